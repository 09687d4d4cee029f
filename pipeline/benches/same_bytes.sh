#!/usr/bin/env bash
# Do two programs make the same corpora? Builds the recipes c4, en, multilingual and realnewslike of three sets of archives
# with each (../shared/data/wet, ../shared/data/bench, data/samples), in Arrow with a whole ledger, and compares the files
# byte by byte: shards, stats.json, manifest.json, ledger. Only run.json is left out, since it differs from run to run.
# Ends with status 1 if anything differs.
# Usage: same_bytes.sh OLD NEW [THREADS]
set -euo pipefail
[ $# -ge 2 ] || { sed -n 's/^# Usage: /usage: /p' "$0" >&2; exit 2; }
old=$1 new=$2 threads=${3:-2}
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
build() { # PROGRAM OUTPUT ARGUMENTS...: an exit status of 1 is that of archives that are damaged on purpose
    local program=$1 output=$2
    shift 2
    "$program" build --no-plan --ledger all --threads "$threads" --output "$output" "$@" >"$out/log" 2>&1 || [ $? -eq 1 ] || {
        cat "$out/log" >&2
        exit 2
    }
}
differ=0
echo "| archives | recipe | pages | files | bytes | OLD and NEW |"
echo "|---|---|---|---|---|---|"
for archives in ../shared/data/wet ../shared/data/bench data/samples; do
    inputs=$root/$archives
    [ -d "$inputs" ] || { echo "$archives is missing" >&2; exit 2; }
    for recipe in en c4 multilingual realnewslike; do
        arguments=(--recipe "$recipe" "$inputs")
        if [ "$recipe" = realnewslike ]; then
            # Every second domain of the pages that `en` keeps, so that some pages pass and some do not.
            "$old" cat "$out/old-en" | grep -o '"url":"[^"]*"}*$' | cut -d/ -f3 | tr -d '"}' | sed -E 's/:.*//; s/.*\.([^.]*\.[^.]*)$/\1/' |
                LC_ALL=C sort -u | awk 'NR % 2 { printf "%s\"%s\": [\"\"]", n++ ? ", " : "{", $0 } END { print "}" }' >"$out/domains.json"
            arguments+=(--domains "$out/domains.json")
        fi
        build "$old" "$out/old-$recipe" "${arguments[@]}"
        build "$new" "$out/new-$recipe" "${arguments[@]}"
        rm "$out/old-$recipe/run.json" "$out/new-$recipe/run.json"
        said=same
        diff -rq "$out/old-$recipe" "$out/new-$recipe" >"$out/diff" || { said=DIFFERENT; differ=1; }
        pages=$("$old" cat "$out/old-$recipe" | wc -l)
        files=$(find "$out/old-$recipe" -type f | wc -l)
        bytes=$(find "$out/old-$recipe" -type f -printf '%s\n' | awk '{ n += $1 } END { print n + 0 }')
        echo "| $archives | $recipe | $pages | $files | $bytes | $said |"
        sed "s,$out/,,g" "$out/diff" >&2
    done
    rm -rf "$out"/old-* "$out"/new-*
done
exit "$differ"
