#!/usr/bin/env bash
# CPU seconds and memory of a training step by what is trained, one after the other:
#
#   trainer/benches/transfer.sh [SIZE] [ROWS] [STEPS] [ROUNDS]
#
# A step is forward, backward and Adafactor on ROWS x (512 + 114) positions, vocabulary 32,128, dropout 0.1. What counts is the least of
# all steps: other work on the machine only adds.
set -euo pipefail
size=${1:-small} rows=${2:-2} steps=${3:-3} rounds=${4:-2}
cd "$(dirname "$0")/../.."
cargo build --release --locked --quiet --example step
out=target/transfer
mkdir -p "$out"
rm -f "$out"/*.txt
top=$(cargo run --release --locked --quiet --bin t5 -- inspect --size "$size" | sed -n 's/^decoder_layers = //p')
top=$((top - 1))

measure() { # NAME SETTING...
    local name=$1
    shift
    target/release/examples/step "$size" "$rows" "$steps" 0.1 "$@" >>"$out/$name.txt"
}

round=0
while [ "$round" -lt "$rounds" ]; do
    measure 1-all
    measure 2-unfreezing-first-episode transfer.kind=unfreezing
    measure 3-adapters-and-norms model.adapter=64 transfer.kind=adapters
    measure 4-adapters-alone model.adapter=64 "transfer={kind='adapters', norms=false}"
    measure 5-decoder "transfer={kind='only', variables=['decoder.*']}"
    measure 6-uppermost-layer "transfer={kind='only', variables=['decoder.block.$top.*']}"
    round=$((round + 1))
done
echo "| what is trained | CPU s/step, least | median | memory MB |"
echo "|---|---|---|---|"
for file in "$out"/*.txt; do
    who=$(basename "$file" .txt)
    sort -n "$file" | awk -v who="${who#*-}" '
        /memory/ { if ($2 > memory) memory = $2; next }
        { cpu[++n] = $1 }
        END { printf "| %s | %.2f | %.2f | %d |\n", who, cpu[1], cpu[int((n + 1) / 2)], memory }'
done
