#!/usr/bin/env bash
# CPU seconds and memory of a training step beside Hugging Face's T5 (PyTorch), in one run, one after the other:
#
#   trainer/benches/step.sh [SIZE] [ROWS] [STEPS] [ROUNDS] [DROPOUT] [PRECISIONS]
#
# A step is forward, backward and Adafactor on ROWS x (512 + 114) positions, vocabulary 32,128. What counts is the
# least of all steps of a contender: other work on the machine only adds. PyTorch's threads sleep while they wait
# (OMP_WAIT_POLICY), else their spinning would count as work.
# PRECISIONS of PyTorch are f32 and bf16 (autocast); without vectors for it a CPU takes minutes for a step in bf16.
# PyTorch and transformers go to target/venv-torch (several GB the first time).
set -euo pipefail
size=${1:-small} rows=${2:-4} steps=${3:-4} rounds=${4:-3} dropout=${5:-0} precisions=${6:-f32 bf16}
cd "$(dirname "$0")/../.."
cargo build --release --locked --quiet --examples
root=$PWD
. trainer/benches/common.sh
python=$(torch_environment)
out=target/step
mkdir -p "$out"
rm -f "$out"/*.txt
export OMP_WAIT_POLICY=passive
round=0
while [ "$round" -lt "$rounds" ]; do
    target/release/examples/step "$size" "$rows" "$steps" "$dropout" >>"$out/ours-f32.txt"
    for precision in $precisions; do
        "$python" trainer/benches/hugging_face_step.py "$size" "$rows" "$steps" "$precision" "$dropout" \
            >>"$out/pytorch-$precision.txt" 2>"$out/errors-$precision.log"
    done
    round=$((round + 1))
done
echo "| who | CPU s/step, least | median | wall s, least | memory MB |"
echo "|---|---|---|---|---|"
for file in "$out"/*.txt; do
    who=$(basename "$file" .txt)
    sort -n "$file" | awk -v who="$who" '
        /memory/ { if ($2 > memory) memory = $2; next }
        { cpu[++n] = $1; if (n == 1 || $2 < wall) wall = $2 }
        END { printf "| %s | %.2f | %.2f | %.2f | %d |\n", who, cpu[1], cpu[int((n + 1) / 2)], wall, memory }'
done
