#!/usr/bin/env bash
# How a build grows: synthetic crawls of growing size under one small memory budget, and the last of them once more
# without one. Prints pages, CPU microseconds a page (all and by pass), peak memory and the largest size of the work folder; fails if the
# peak is more than a fifth above the budget, or if the two corpora of the last crawl differ.
# Usage: scale.sh C4 SYNTHESIZE [BUDGET] [PAGES...]
set -euo pipefail
c4=$1 synthesize=$2 budget=${3:-512M}
shift $(($# < 3 ? $# : 3))
sizes=(${@:-100000 1000000 10000000})
dir=$(mktemp -d "${TMPDIR:-/tmp}/c4-scale.XXXXXX")
trap 'rm -rf "$dir"' EXIT
number() { grep -o "\"$2\": [0-9.]*" "$1/run.json" | head -1 | awk '{ print $2 }'; }
sums() { (cd "$1" && find . -type f ! -name run.json | sort | xargs sha256sum); }
bytes=$(numfmt --from=iec "$budget")
printf '%10s %8s %10s %10s %10s %8s  %s\n' pages budget "us a page" "peak MB" "work MB" "wall s" "wall seconds by pass"
measure() { # NAME PAGES ARGUMENTS...
    local out=$dir/$1 pages=$2
    shift 2
    "$c4" build -r en -o "$out" "$@" "$dir/crawl" 2>"$dir/log" &
    local pid=$! work=0 now
    while kill -0 "$pid" 2>/dev/null; do
        now=$(du -sm "$out/_c4_work" 2>/dev/null | cut -f1 || true)
        [ "${now:-0}" -gt "$work" ] && work=$now
        sleep 1
    done
    wait "$pid" || { cat "$dir/log"; exit 1; }
    printf '%10d %8s %10.1f %10.0f %10d %8.0f  %s\n' "$pages" "${2:-none}" \
        "$(awk -v c="$(number "$out" cpu_seconds)" -v p="$pages" 'BEGIN { print 1e6 * c / p }')" \
        "$(awk -v b="$(number "$out" peak_memory_bytes)" 'BEGIN { print b / 1e6 }')" "$work" "$(number "$out" wall_seconds)" \
        "$(sed -n '/wall_seconds_by_pass/,/}/p' "$out/run.json" | grep -v '[{}]' | awk -F'[":,]+' '{ printf "%s %.0f  ", $2, $3 }')"
}
failed=0
for pages in "${sizes[@]}"; do
    rm -rf "$dir/crawl" "$dir/small"
    "$synthesize" "$dir/crawl" "$pages"
    measure small "$pages" --memory "$budget"
    if [ "$(number "$dir/small" peak_memory_bytes)" -gt $((bytes * 6 / 5)) ]; then
        echo "the peak is more than a fifth above the budget of $budget"
        failed=1
    fi
done
measure large "$pages" --memory 1T
if [ "$(sums "$dir/small")" = "$(sums "$dir/large")" ]; then
    echo "equal to the byte with and without a budget ($pages pages)"
else
    echo "the two corpora differ"
    failed=1
fi
exit $failed
