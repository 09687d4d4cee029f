#!/usr/bin/env bash
# That Hugging Face's transformers, versions 5 and 4, open what `t5 export` writes, of T5, T5 v1.1 and one with shared stacks, each
# trained a few steps: no variable missing or left over, our logits, and the vocabulary with our ids (version 4: by its slow
# and its fast tokenizer). And that `t5 import` reads what `save_pretrained` writes of that. Makes its virtual environments, one
# of several GB, below target/.
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
for name in t5 v1.1 shared; do
    case $name in
    t5) settings=() ;;
    v1.1) settings=(--set model.activation=gated_gelu --set model.head=untied) ;;
    shared) settings=(--set model.architecture=shared) ;;
    esac
    quiet "$t5" pretrain --size tiny --corpus "$out/corpus" --vocab "$out/vocab.model" -o "$out/$name" --steps 20 \
        --set model.vocab_size=512 --set feed.rows=4 --set feed.objective.inputs_length=128 --set batches_per_step=1 \
        --set evaluate_every=0 "${settings[@]}"
    quiet "$t5" export "$out/$name" -o "$out/$name-exported"
    for version in 5 4; do
        # Version 4 on the PyTorch of version 5's environment.
        path=$([ $version = 5 ] || "$four" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
        PYTHONPATH=$path quiet "$torch" "$here/export_model.py" "$logits" "$out/$name/checkpoints/step-00000020" \
            "$out/$name-exported" "$out/$name-saved-$version"
        quiet "$t5" import "$out/$name-saved-$version" --vocab "$out/vocab.model" -o "$out/$name-imported-$version"
        quiet "$t5" export "$out/$name-imported-$version" -o "$out/$name-again-$version"
        cmp "$out/$name-again-$version/model.safetensors" "$out/$name-exported/model.safetensors"
        echo "$name: t5 import reads what save_pretrained of version $version writes of it, every bit of it"
    done
done
for python in "$torch" "$four"; do
    quiet "$python" "$here/vocabulary_hf.py" "$t5" "$out/t5-exported" "$out/texts.jsonl"
done
