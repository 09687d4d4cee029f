#!/usr/bin/env bash
# That Hugging Face's transformers, versions 5 and 4, open what `t5 export` writes, of T5, T5 v1.1, one with shared stacks and umT5, each
# trained a few steps: no variable missing or left over, our logits, in bf16 and in parts the same values. That `t5 import` reads what
# `save_pretrained` writes of that. That transformers, `tokenizers` alone and candle-transformers (a crate that is made below
# target/) make the same ids and greedy text of a folder, also with a vocabulary that falls back to bytes, and huggingface_hub
# reads its card. Makes its virtual environments, one of several GB, below target/.
# Usage: export.sh T5 C4 LOGITS [INPUT...], where the first three are programs (LOGITS: the example of this package), and an
# INPUT is a crawl archive; without, the sample crawl
set -euo pipefail
t5=$(realpath "$1") c4=$(realpath "$2") logits=$(realpath "$3")
shift 3
here=$(realpath "$(dirname "$0")")
root=$(realpath "$here/../..")
. "$here/common.sh"
torch=$(torch_environment)
four=$(transformers_4_environment)
export HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
quiet() {
    "$@" 2>"$out/log" || { cat "$out/log"; exit 1; }
}
corpus "$c4" "$out/corpus" "$@"
quiet "$t5" vocab train "$out/corpus" --size 400 -o "$out/vocab.model"
"$c4" cat "$out/corpus" >"$out/texts.jsonl"
for name in t5 v1.1 shared umt5; do
    case $name in
    t5) settings=() ;;
    v1.1) settings=(--set model.activation=gated_gelu --set model.head=untied) ;;
    shared) settings=(--set model.architecture=shared) ;;
    umt5) settings=(--set model.relative_bias=each_layer --set model.activation=gated_gelu) ;;
    esac
    quiet "$t5" pretrain --size tiny --corpus "$out/corpus" --vocab "$out/vocab.model" -o "$out/$name" --steps 20 \
        --set model.vocab_size=512 --set feed.rows=4 --set feed.objective.inputs_length=128 --set batches_per_step=1 \
        --set evaluate_every=0 "${settings[@]}"
    quiet "$t5" export "$out/$name" -o "$out/$name-exported" --license apache-2.0
    quiet "$t5" export "$out/$name" -o "$out/$name-bf16" --dtype bf16 --shard-size 2MB
    for version in 5 4; do
        # Version 4 on the PyTorch of version 5's environment.
        path=$([ $version = 5 ] || "$four" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
        PYTHONPATH=$path quiet "$torch" "$here/export_model.py" "$logits" "$out/$name/checkpoints/step-00000020" \
            "$out/$name-exported" "$out/$name-bf16" "$out/$name-saved-$version"
        quiet "$t5" import "$out/$name-saved-$version" --vocab "$out/vocab.model" -o "$out/$name-imported-$version"
        quiet "$t5" export "$out/$name-imported-$version" -o "$out/$name-again-$version"
        cmp "$out/$name-again-$version/model.safetensors" "$out/$name-exported/model.safetensors"
        echo "$name: t5 import reads what save_pretrained of version $version writes of it, every bit of it"
    done
done
for python in "$torch" "$four"; do
    quiet "$python" "$here/vocabulary_hf.py" "$t5" "$out/t5-exported" "$out/texts.jsonl"
done
# A vocabulary with byte fallback, and a model of it.
quiet "$torch" "$here/byte_vocabulary.py" "$out/vocab.model" "$out/bytes.model"
quiet "$t5" pretrain --size tiny --corpus "$out/corpus" --vocab "$out/bytes.model" -o "$out/bytes" --steps 20 \
    --set feed.rows=4 --set feed.objective.inputs_length=128 --set batches_per_step=1 --set evaluate_every=0
quiet "$t5" export "$out/bytes" -o "$out/bytes-exported" --license apache-2.0
candle=$root/target/candle-t5
mkdir -p "$candle/src"
cp "$here/candle/t5.rs" "$candle/src/main.rs"
cat >"$candle/Cargo.toml" <<'MANIFEST'
[package]
name = "candle-t5"
version = "0.0.0"
edition = "2024"
[dependencies]
candle-core = "=0.11.1"
candle-nn = "=0.11.1"
candle-transformers = "=0.11.1"
serde_json = "=1.0.154"
tokenizers = { version = "=0.23.2", default-features = false, features = ["onig"] }
[workspace]
MANIFEST
quiet "${CARGO:-cargo}" build --release --manifest-path "$candle/Cargo.toml" --target-dir "$candle/target"
for name in t5 umt5 bytes; do
    folder=$out/$name-exported
    for version in 5 4; do
        path=$([ $version = 5 ] || "$four" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
        PYTHONPATH=$path quiet "$torch" "$here/export_texts.py" "$t5" "$folder" "$out/texts.jsonl" "$out/$name-said-$version"
    done
    cmp "$out/$name-said-5" "$out/$name-said-4"
    # It has no umT5.
    if [ $name != umt5 ]; then
        "$torch" -c "import sys; sys.path.insert(0, '$here'); import json, export_texts
for prompt in export_texts.PROMPTS: print(json.dumps(prompt))" >"$out/prompts"
        quiet "$candle/target/release/candle-t5" "$folder" 12 <"$out/prompts" >"$out/$name-candle"
        "$torch" - "$out/$name-said-5" "$out/$name-candle" <<'COMPARE'
import json, sys
a, b = ([json.loads(line) for line in open(file, encoding="utf-8")] for file in sys.argv[1:])
assert a == b, (a, b)
print(f"candle-transformers: the ids, greedy ids and texts of transformers for {len(a)} prompts")
COMPARE
    fi
done
quiet "$torch" - "$out/t5-exported/README.md" <<'CARD'
import sys
from huggingface_hub import ModelCard
card = ModelCard.load(sys.argv[1])
data = card.data
assert (data.license, data.library_name, data.pipeline_tag) == ("apache-2.0", "transformers", "text2text-generation"), data
assert data.language == ["en"] or data.language is None, data.language
print(f"huggingface_hub reads the card: {data.to_dict()}")
CARD
