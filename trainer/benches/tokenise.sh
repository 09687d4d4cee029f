#!/usr/bin/env bash
# Our encoder against PyPI sentencepiece: that both give the same ids for every text of FILES, as a document and line by
# line, and MB a CPU second of each, on one core, in turns. Makes its virtual environment below target/.
# Usage: tokenise.sh PROGRAM VOCAB FILE..., where PROGRAM is the example tokenize of this package, VOCAB a SentencePiece
# model without sentinels, and a FILE is JSON lines with `text` or a WET, compressed by gzip or not. VOCAB may be empty where T5
# and C4 are the programs: then it is made, 400 pieces of the sample crawl
set -euo pipefail
program=$(realpath "$1")
vocab=$2
shift 2
here=$(realpath "$(dirname "$0")")
root=$(realpath "$here/../..")
. "$here/common.sh"
python=$(environment venv-sentencepiece sentencepiece==0.2.3)
if [ -z "$vocab" ]; then
    out=$(mktemp -d)
    trap 'rm -rf "$out"' EXIT
    corpus "$C4" "$out/corpus"
    vocab=$out/vocab.model
    "$T5" vocab train "$out/corpus" --size 400 -o "$vocab" 2>/dev/null
fi
"$python" "$here/tokenise.py" "$program" "$(realpath "$vocab")" "$@"
