#!/usr/bin/env bash
# Whole processes, interleaved: a build on one thread (also without a ledger), one on two, bare inflation of the same archive,
# and a sweep of eight settings beside a build of the steps that it covers.
# Prints CPU seconds (user + sys) and wall seconds of each run, best and median, and MB of uncompressed archive a CPU second.
# Usage: whole.sh C4 INFLATE ARCHIVE.gz [RECIPE] [RUNS]
set -euo pipefail
c4=$1 inflate=$2 archive=$3 recipe=${4:-en} runs=${5:-5}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
bytes=$("$inflate" "$archive" | cut -d' ' -f1)
TIMEFORMAT='%U %S %R'
timed() { # NAME COMMAND...: one line "cpu wall" to the file of that name
    local name=$1
    shift
    { time "$@" >"$out/log" 2>&1 || [ $? -eq 1 ]; } 2>"$out/time"
    awk '{ print $1 + $2, $3 }' "$out/time" >>"$out/$name.txt"
}
# The recipe without dedup, language and bad words: sections of TOML up to the next one.
"$c4" recipes "$recipe" | awk '/^\[/ { off = /^\[(dedup|language|bad_words|expect)\]/ } !off' | sed 's/^name = .*/name = "bare"/' >"$out/bare.toml"
for _ in $(seq "$runs"); do
    timed inflate "$inflate" "$archive"
    timed none "$c4" build --ledger none --recipe "$recipe" --threads 1 --overwrite -o "$out/none" "$archive"
    timed bare "$c4" build --recipe "$out/bare.toml" --threads 1 --overwrite -o "$out/bare" "$archive"
    timed sweep "$c4" sweep --recipe "$out/bare.toml" --threads 1 --set line.min_words=3,4,5,6 --set page.min_sentences=3,5 "$archive"
    timed one "$c4" build --recipe "$recipe" --threads 1 --overwrite -o "$out/one" "$archive"
    timed two "$c4" build --recipe "$recipe" --threads 2 --overwrite -o "$out/two" "$archive"
done
peak() { grep -o '"peak_memory_bytes": [0-9]*' "$out/$1/run.json" | awk '{ printf "%.0f", $2 / 1e6 }'; }
echo "$(basename "$archive"), recipe $recipe: $((bytes / 1000000)) MB uncompressed, $runs runs, interleaved"
for name in inflate none one two bare sweep; do
    sort -n "$out/$name.txt" | awk -v name="$name" -v mb="$((bytes / 1000))" '
        { cpu[NR] = $1; if (NR == 1 || $2 < wall) wall = $2 }
        END {
            m = cpu[int((NR + 1) / 2)]
            printf "%-8s cpu s best %.2f median %.2f, %6.1f MB a CPU second (median), wall s best %.2f\n", name, cpu[1], m, mb / 1000 / m, wall
        }'
done
median() { sort -n "$out/$1.txt" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
best_wall() { awk 'NR == 1 || $2 < w { w = $2 } END { print w }' "$out/$1.txt"; }
awk -v a="$(median one)" -v b="$(median inflate)" -v c="$(best_wall one)" -v d="$(best_wall two)" 'BEGIN {
    printf "build / inflation: %.1f times the CPU; two threads: %.2f times as fast as one (best wall of each)\n", a / b, c / d }'
awk -v a="$(median one)" -v b="$(median none)" -v c="$(median sweep)" -v d="$(median bare)" 'BEGIN {
    printf "default ledger: %+.1f %% CPU; a sweep of 8 settings: %.2f times one build\n", 100 * (a / b - 1), c / d }'
echo "peak memory: $(peak one) MB on one thread, $(peak two) MB on two"
