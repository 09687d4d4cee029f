#!/usr/bin/env bash
# Our vocabulary trainer against that of PyPI sentencepiece, on the same text: bytes a token on that text and on another,
# CPU seconds, memory. And that others read our file: sentencepiece with our ids, Hugging Face's T5 tokenizer with our
# sentinels. Makes its virtual environments below target/.
# Usage: vocabulary.sh T5 C4 TOKENIZE TRAIN HELD_OUT, where the first three are programs (TOKENIZE: the example of this
# package), TRAIN is a WET of English pages, and HELD_OUT a WET or JSON lines with `text`, compressed by gzip or not
set -euo pipefail
t5=$(realpath "$1") c4=$(realpath "$2") tokenize=$(realpath "$3") train=$(realpath "$4") held_out=$(realpath "$5")
here=$(realpath "$(dirname "$0")")
target=$(realpath "$here/../..")/target
for package in sentencepiece==0.2.1 transformers==5.2.0; do
    venv=$target/venv-${package%%=*}
    if [ ! -e "$venv/ready-$package" ]; then
        python3 -m venv --clear "$venv"
        "$venv/bin/pip" install --quiet "$package" sentencepiece==0.2.1 protobuf
        touch "$venv/ready-$package"
    fi
done
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
"$c4" build --recipe en.noclean --output "$out/corpus" "$train" >"$out/log" 2>&1 || [ $? -eq 1 ] || { cat "$out/log"; exit 1; }
"$c4" cat --split train "$out/corpus" >"$out/train.jsonl"
for size in 8000 32000; do
    "$target/venv-sentencepiece/bin/python" "$here/vocabulary.py" "$t5" "$tokenize" "$out" "$size" "$held_out"
done
HF_HUB_OFFLINE=1 "$target/venv-transformers/bin/python" "$here/vocabulary_hf.py" "$t5" "$out/ours-32000.model" "$held_out"
