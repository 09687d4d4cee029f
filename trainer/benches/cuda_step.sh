#!/bin/sh
# Tokens a second of a training step on one GPU beside Hugging Face's T5 in PyTorch (bf16 autocast, torch.compile), in one run, one
# after the other:
#
#   trainer/benches/cuda_step.sh [SIZE] [ROWS] [STEPS] [ROUNDS] [DROPOUT] [OPTIMISER]
#
# A step is forward, backward and Adafactor (or adamw) on ROWS x (512 + 114) positions, vocabulary 32,128. Of each round the first ten steps
# do not count (compiling, choosing kernels); of the others the median does, and of those the best round. `make cuda` builds what is measured.
# PyTorch and transformers go to target/python (several GB the first time); cuBLAS is PyTorch's, for both.
set -eu
size=${1:-base} rows=${2:-32} steps=${3:-40} rounds=${4:-3} dropout=${5:-0} optimiser=${6:-adafactor}
cd "$(dirname "$0")/../.."
python=target/python/bin/python
if ! "$python" -c 'import torch, transformers' 2>/dev/null; then
    python3 -m venv target/python
    "$python" -m pip install --quiet torch==2.15.0 transformers==5.23.0 numpy
fi
packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
export LD_LIBRARY_PATH="$packages/nvidia/cu13/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
out=target/cuda/step
mkdir -p "$out"
rm -f "$out"/*.txt
round=0
while [ "$round" -lt "$rounds" ]; do
    target/cuda/device_step cuda "$size" "$rows" "$steps" "$dropout" bf16 "$optimiser" >"$out/ours.$round.txt"
    "$python" trainer/benches/pytorch_cuda_step.py "$size" "$rows" "$steps" "$dropout" "$optimiser" compile \
        >"$out/pytorch-compiled.$round.txt" 2>"$out/errors-compiled.log"
    "$python" trainer/benches/pytorch_cuda_step.py "$size" "$rows" "$steps" "$dropout" "$optimiser" eager \
        >"$out/pytorch-eager.$round.txt" 2>"$out/errors-eager.log"
    round=$((round + 1))
done
echo "| who | tokens a second, best round | worst round | last loss |"
echo "|---|---|---|---|"
for who in ours pytorch-compiled pytorch-eager; do
    for file in "$out/$who".*.txt; do
        tail -n +11 "$file" | sort -n | awk '{ speed[NR] = $1 } END { print speed[int((NR + 1) / 2)] }'
    done | sort -n >"$out/$who.speeds"
    loss=$(tail -n 1 "$out/$who.0.txt" | cut -d ' ' -f 3)
    echo "| $who | $(tail -n 1 "$out/$who.speeds") | $(head -n 1 "$out/$who.speeds") | $loss |"
done
