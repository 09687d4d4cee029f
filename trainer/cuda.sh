#!/bin/sh
# nvcc of CUDA 13.0, whose PTX a driver of the 580 series takes, without a CUDA installation: from PyPI, into a folder that looks like one.
#
#   trainer/cuda.sh FOLDER      makes FOLDER/home, to be given to cargo as CUDA_HOME
#
# 300 MB. Libraries are not needed: the program loads the driver's and cuBLAS when it runs.
set -eu
mkdir -p "$1"
folder=$(cd "$1" && pwd)
python3 -m venv "$folder/python"
"$folder/python/bin/pip" install --quiet --disable-pip-version-check \
    nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85
packages=$("$folder/python/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
mkdir -p "$folder/home"
for part in bin include lib nvvm; do
    ln -sfn "$packages/nvidia/cu13/$part" "$folder/home/$part"
done
ln -sfn lib "$folder/home/lib64"
"$folder/home/bin/nvcc" --version | tail -n 2
