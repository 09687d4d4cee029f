#!/bin/sh
# Packs what prove.sh needs into target/gpu-proof, and that into target/gpu-proof.tar: for a machine with a GPU, without
# Rust or network.
#
#   trainer/benches/gpu_proof/pack.sh TESTS FAKE_DRIVER
#
# TESTS: the trainer's test program with the feature `cuda`; FAKE_DRIVER: libcuda.so of kernels/fake_driver.cpp;
# CUDA_HOME: where bin/ptxas is, which makes machine code of the kernels here, as the driver does there. The losses of
# the CPU, beside which the GPU trains, are made here: half a minute.
set -eu
[ $# -eq 2 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2; }
tests=$1 driver=$2
cd "$(dirname "$0")/../../.."
pack=target/gpu-proof
steps=300
rm -rf "$pack" "$pack.tar"
mkdir -p "$pack/programs" "$pack/emulated" "$pack/data" "$pack/project/trainer/tests" "$pack/project/target"
cp trainer/benches/gpu_proof/*.sh trainer/benches/gpu_proof/*.py "$pack"
rm "$pack/pack.sh"

# Programs, stripped.
cp target/cuda/t5 target/cuda/device_step "$pack/programs"
cp "$tests" "$pack/programs/tests"
strip "$pack"/programs/*
cp "$driver" "$pack/emulated/libcuda.so"
strip "$pack/emulated/libcuda.so"
# One library: a second copy would have a state of its own.
ln -s libcuda.so "$pack/emulated/libcublas.so"

# Goldens, where the tests look for them.
cp -r trainer/tests/golden "$pack/project/trainer/tests"
hugging_face=../shared/spec/golden/hf_t5
if [ -d "$hugging_face" ]; then
    mkdir -p "$pack/shared/spec/golden"
    cp -r "$hugging_face" "$pack/shared/spec/golden"
    chmod -R u+w "$pack/shared"
else
    echo "$hugging_face is missing: the pack has no goldens of Hugging Face"
fi

# A corpus, a vocabulary, and a run on the CPU. Exit status 1 of a build is right: two of the sample's archives are
# damaged on purpose.
data=$pack/data
cp trainer/benches/gpu_proof/proof.toml "$data"
complain() {
    cat "$pack.log"
    exit 1
}
target/release/c4 build --recipe en.noclean --output "$data/corpus" data/samples >"$pack.log" 2>&1 ||
    [ $? -eq 1 ] || complain
target/cuda/t5 vocab train "$data/corpus" --size 400 -o "$data/vocab.model" >>"$pack.log" 2>&1 || complain
target/cuda/t5 pretrain --size tiny --config "$data/proof.toml" --corpus "$data/corpus" --vocab "$data/vocab.model" \
    --steps $steps --output "$pack.cpu" >>"$pack.log" 2>&1 || complain
mkdir "$data/cpu"
cp "$pack.cpu/metrics.jsonl" "$data/cpu"
rm -rf "$pack.cpu" "$pack.log"

# Machine code for an H100 or H200, to know that it can be made, and that no kernel lacks registers.
ptx=$(ls -t target/release/build/t5-trainer-*/out/kernels.ptx | head -n 1)
"$CUDA_HOME/bin/ptxas" -arch=sm_90 -v -o "$pack.cubin" "$ptx" 2>"$pack.log" || complain
kernels=$(grep -c 'Compiling entry' "$pack.log")
spills=$(grep 'bytes spill' "$pack.log" | grep -cv ' 0 bytes spill stores, 0 bytes spill loads' || true)
rm "$pack.cubin" "$pack.log"

cat >"$pack/pack.json" <<END
{
 "commit": "$(git rev-parse HEAD 2>/dev/null || echo unknown)",
 "files_changed_since": $(git status --porcelain 2>/dev/null | grep -c . || true),
 "packed": "$(date -u +%Y-%m-%dT%H:%M:%SZ)",
 "kernels": $kernels,
 "kernels_that_spill": $spills,
 "ptxas": "$("$CUDA_HOME/bin/ptxas" --version | tail -n 1)",
 "rustc": "$(rustc --version)",
 "cpu_losses_of": "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1)"
}
END
tar -cf "$pack.tar" -C target gpu-proof
size=$(du -sm --apparent-size "$pack" | cut -f 1)
echo "$pack and $pack.tar: $size MB"
[ "$size" -le 60 ] || { echo "more than 60 MB"; exit 1; }
