#!/usr/bin/env bash
# A whole build on one thread against the bare sum of inflation, Punkt and the published langdetect crate on the same archive
# (examples/bare_sum.rs), interleaved. Prints medians of CPU seconds and of the ratios of neighbours.
# Usage: bare_sum.sh C4 BARE_SUM ARCHIVE.gz [RECIPE] [RUNS]
set -euo pipefail
c4=$1 bare=$2 archive=$3 recipe=${4:-en} runs=${5:-5}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
TIMEFORMAT='%U %S'
build() { "$c4" build --threads 1 --overwrite "$@" "$archive" >"$out/log" 2>&1 || [ $? -eq 1 ] || { cat "$out/log" >&2; exit 1; }; }
# The recipe up to language detection, and up to dedup: sections of TOML up to the next one.
"$c4" recipes "$recipe" | awk '/^\[/ { off = /^\[(language|bad_words|expect)\]/ } !off' | sed 's/^name = .*/name = "detect"/' >"$out/detect.toml"
awk '/^\[/ { off = /^\[dedup\]/ } !off' "$out/detect.toml" | sed 's/^name = .*/name = "rules"/' >"$out/rules.toml"
build --recipe "$out/detect.toml" --ledger none -o "$out/detect"
build --recipe "$out/rules.toml" --ledger none -o "$out/rules"
for _ in $(seq "$runs"); do
    "$bare" "$archive" "$out/rules" "$out/detect" 2>"$out/what" >>"$out/sum.txt"
    { time build --recipe "$recipe" -o "$out/whole"; } 2>"$out/time"
    awk '{ print $1 + $2 }' "$out/time" >>"$out/whole.txt"
done
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
cat "$out/what"
echo "$(basename "$archive"), recipe $recipe, $runs runs, medians: inflation $(cut -d' ' -f2 "$out/sum.txt" | median), Punkt" \
    "$(cut -d' ' -f3 "$out/sum.txt" | median), langdetect $(cut -d' ' -f4 "$out/sum.txt" | median), sum $(cut -d' ' -f1 "$out/sum.txt" | median);" \
    "whole build $(median <"$out/whole.txt"); ratio $(paste -d' ' "$out/whole.txt" "$out/sum.txt" | awk '{ print $1 / $2 }' | median)"
