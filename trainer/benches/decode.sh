#!/usr/bin/env bash
# That a model answers as transformers' `generate` answers: greedily token by token; by beam search as far as the two
# searches are one, and what differs is compared with a second implementation of ours in Python, on transformers' logits.
# How many tokens a CPU second each gives, alternately, on one thread and on two. Models of the sizes of T5-tiny and
# T5-small, trained a little on the corpus so that answers end. Makes its virtual environment, of several GB, below target/.
# Usage: decode.sh T5 C4 PREDICT [STEPS [ROUNDS [COUNT [INPUT...]]]], where the first three are programs (PREDICT: the
# example of this package), and an INPUT is a crawl archive; without, the sample crawl
set -euo pipefail
t5=$(realpath "$1") c4=$(realpath "$2") predict=$(realpath "$3")
steps=${4:-300} rounds=${5:-3} count=${6:-500}
shift $(($# < 6 ? $# : 6))
here=$(realpath "$(dirname "$0")")
root=$(realpath "$here/../..")
. "$here/common.sh"
torch=$(torch_environment)
# Threads that wait sleep: else their waiting would count as work.
export HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error OMP_WAIT_POLICY=passive
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
quiet() {
    "$@" 2>"$out/log" || { cat "$out/log"; exit 1; }
}
corpus "$c4" "$out/corpus" "$@"
quiet "$t5" vocab train "$out/corpus" --size 400 -o "$out/vocab.model"
"$c4" cat "$out/corpus" >"$out/texts.jsonl"
for size in tiny small; do
    # Small ones are learned in fewer steps, and cost more each.
    some=$([ $size = tiny ] && echo "$steps" || echo $((steps / 5)))
    # T5's own number of tokens: its logits are a third of the small one's work.
    quiet "$t5" pretrain --size $size --corpus "$out/corpus" --vocab "$out/vocab.model" -o "$out/$size" \
        --steps "$some" --set model.vocab_size=32128 --set feed.rows=16 --set feed.objective.inputs_length=64 \
        --set batches_per_step=1 --set evaluate_every=0
    quiet "$t5" export "$out/$size" -o "$out/$size-exported"
    quiet "$torch" "$here/decode.py" "$predict" "$out/$size-exported" "$out/texts.jsonl" "$rounds" "$count"
done
