#!/usr/bin/env bash
# Our vocabulary trainer against that of PyPI sentencepiece, on the same text: bytes a token on that text and on another,
# CPU seconds, memory. And that others read our file: sentencepiece with our ids, Hugging Face's T5 tokenizers with our ids and
# sentinels. Makes its virtual environments below target/.
# Usage: vocabulary.sh T5 C4 TOKENIZE [TRAIN HELD_OUT [SIZE...]], where the first three are programs (TOKENIZE: the example of
# this package), TRAIN is a WET of English pages, HELD_OUT a WET or JSON lines with `text`, compressed by gzip or not, and a
# SIZE is a number of pieces (8000 and 32000). Without them, three archives of the sample crawl and the fourth: 400 pieces, and
# ours may be somewhat worse there, since so little text decides by chance
set -euo pipefail
t5=$(realpath "$1") c4=$(realpath "$2") tokenize=$(realpath "$3")
shift 3
here=$(realpath "$(dirname "$0")")
root=$(realpath "$here/../..")
. "$here/common.sh"
sentencepiece=$(environment venv-sentencepiece sentencepiece==0.2.3)
four=$(transformers_4_environment)
five=$(environment venv-transformers-5 transformers==5.23.0 sentencepiece==0.2.3 protobuf==7.36.2)
export HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
if [ $# -gt 0 ]; then
    held_out=$(realpath "$2")
    corpus "$c4" "$out/corpus" "$(realpath "$1")"
    shift 2
    [ $# -gt 0 ] || set -- 8000 32000
else
    held_out=$root/data/samples/sample-00001.warc.wet.gz
    corpus "$c4" "$out/corpus" $(ls "$root"/data/samples/*.gz | grep -v 00001)
    set -- 400
fi
"$c4" cat --split train "$out/corpus" >"$out/train.jsonl"
for size in "$@"; do
    "$sentencepiece" "$here/vocabulary.py" "$t5" "$tokenize" "$out" "$size" "$held_out"
    mkdir "$out/$size"
    cp "$out/ours-$size.model" "$out/$size/spiece.model"
    for python in "$four" "$five"; do
        "$python" "$here/vocabulary_hf.py" "$t5" "$out/$size" "$held_out"
    done
done
