#!/bin/sh
# Proves on a machine with an NVIDIA GPU what the trainer does there, unattended, in at most eight minutes (the
# project's docs/gpu.md says how to use it).
#
#   prove.sh [--out FOLDER] [--parts NAME,...] [--limit NAME=SECONDS]... [--total SECONDS] [--emulated]
#
# Writes FOLDER/proof.json, valid after every part, and a log a part in FOLDER/logs (default: `out` beside this script).
# --emulated runs the same programs on a driver and a cuBLAS that emulate a GPU. Needs Python 3.10 or later
# (PYTHON=...); PyTorch, compute-sanitizer and ncu are used where they are there.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
command -v "$python" >/dev/null || {
    echo "prove.sh: $python is missing; name a Python 3.10 or later by PYTHON=..." >&2
    exit 2
}
case " $* " in
*" --emulated "*)
    export T5_FAKE_DRIVER=1 LD_LIBRARY_PATH="$here/emulated"
    ;;
*)
    # cuBLAS is PyTorch's where there is one, so that both measure with the same; else CUDA's.
    packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    export LD_LIBRARY_PATH="$packages/nvidia/cu13/lib:${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}/usr/local/cuda/lib64"
    export PATH="$PATH:/usr/local/cuda/bin"
    ;;
esac
exec "$python" "$here/prove.py" "$@"
