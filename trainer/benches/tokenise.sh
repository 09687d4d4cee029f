#!/usr/bin/env bash
# Our encoder against PyPI sentencepiece: that both give the same ids for every text of FILES, as a document and line by
# line, and MB a CPU second of each, on one core, in turns. Makes its virtual environment below target/.
# Usage: tokenise.sh PROGRAM VOCAB FILE..., where PROGRAM is the example tokenize of this package, VOCAB a SentencePiece
# model without sentinels, and a FILE is JSON lines with `text` or a WET, compressed by gzip or not
set -euo pipefail
program=$(realpath "$1")
vocab=$(realpath "$2")
shift 2
here=$(realpath "$(dirname "$0")")
venv=$(realpath "$here/../..")/target/venv-sentencepiece
if [ ! -e "$venv/ready-sentencepiece==0.2.1" ]; then
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet sentencepiece==0.2.1
    touch "$venv/ready-sentencepiece==0.2.1"
fi
"$venv/bin/python" "$here/tokenise.py" "$program" "$vocab" "$@"
