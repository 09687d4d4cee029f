#!/usr/bin/env bash
# Runs every fuzz target for SECONDS of CPU time each (default 600), from the samples and what was found before, and says how many inputs it tried.
# Wants a nightly compiler and `cargo install cargo-fuzz`. What is found stays in tests/fuzz/artifacts.
# Usage: run.sh [SECONDS] [TARGET...]
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")"
seconds=${1:-600}
shift $(($# > 0 ? 1 : 0))
targets=(${@:-warc records http html recipe shard})
repo=../..
for target in "${targets[@]}"; do
    mkdir -p "corpus/$target"
done
# Seeds: samples, recipes, and a small corpus in every format, each file behind the byte that names its format.
cp $repo/data/samples/*.gz corpus/warc/ 2>/dev/null || true
cp $repo/data/recipes/*.toml corpus/recipe/ 2>/dev/null || true
c4=$repo/target/release/c4
if [ -x "$c4" ] && [ -d corpus/shard ]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    i=0
    for format in arrow parquet jsonl; do
        "$c4" build --format $format --shard-size 8K -o "$work/$format" $repo/data/samples 2>/dev/null || [ $? -eq 1 ]
        for file in "$work/$format"/*-of-*; do
            { printf "\\x0$i"; cat "$file"; } >"corpus/shard/$format-$(basename "$file")"
        done
        i=$((i + 1))
    done
    { printf '\x03'; cat "$work/arrow/manifest.json"; } >corpus/shard/manifest
fi
zcat $repo/data/samples/*.warc.gz 2>/dev/null | csplit -s -z -f corpus/http/seed- - '/^WARC\/1.0/' '{*}' 2>/dev/null || true
for file in corpus/http/seed-*; do
    [ -f "$file" ] || continue
    # What follows the WARC header: the block. Its text, for the other target.
    sed -i '1,/^\r$/d' "$file"
    [ -d corpus/html ] && sed '1,/^\r$/d' "$file" >"corpus/html/$(basename "$file")"
done
# CPU seconds of a process.
cpu() { awk '{ print int(($14 + $15) / 100) }' "/proc/$1/stat" 2>/dev/null || echo 0; }
failed=0
for target in "${targets[@]}"; do
    cargo +nightly fuzz build --sanitizer none --fuzz-dir . "$target" 2>/dev/null
    program=$(find target -path "*/release/$target" -type f | head -1)
    mkdir -p "artifacts/$target"
    "$program" "corpus/$target" -artifact_prefix="artifacts/$target/" -timeout=10 -rss_limit_mb=1024 -max_len=65536 -print_final_stats=1 \
        >"$target.log" 2>&1 &
    pid=$!
    while kill -0 $pid 2>/dev/null && [ "$(cpu $pid)" -lt "$seconds" ]; do
        sleep 1
    done
    echo "== $target: $(cpu $pid) CPU seconds"
    kill -INT $pid 2>/dev/null || true
    wait $pid || true
    grep -E "stat::number_of_executed_units|stat::peak_rss|ERROR|SUMMARY|panicked|Test unit written" "$target.log" || true
    if [ -n "$(ls "artifacts/$target")" ]; then
        failed=1
    fi
done
exit $failed
