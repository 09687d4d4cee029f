#!/usr/bin/env bash
# That TensorBoard shows a run as metrics.jsonl has it, every step once, also of a run that was killed after its last
# checkpoint and has gone on: by its reader in Python, and by its server with and without its data server. Makes its virtual
# environment below target/.
# Usage: event_files.sh T5 C4
set -euo pipefail
t5=$(realpath "$1") c4=$(realpath "$2")
here=$(realpath "$(dirname "$0")")
root=$(realpath "$here/../..")
. "$here/common.sh"
python=$(environment venv-tensorboard tensorboard==2.21.0 setuptools==65.5.0)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
corpus "$c4" "$out/corpus"
"$t5" vocab train "$out/corpus" --size 400 -o "$out/vocab.model" 2>"$out/log"
"$t5" pretrain --size v1.1-tiny --corpus "$out/corpus" --vocab "$out/vocab.model" -o "$out/runs/run" --steps 30 \
    --set model.vocab_size=512 --set feed.rows=2 --set feed.objective.inputs_length=64 --set batches_per_step=1 \
    --set evaluate_every=5 --set evaluate_batches=1 --set checkpoint_every=10 2>>"$out/log"
# As if it had been killed before its last checkpoint was written.
rm -r "$out/runs/run/checkpoints/step-00000030"
"$t5" pretrain --resume -o "$out/runs/run" --steps 27 --set "schedule={kind='constant', rate=0.002}" 2>>"$out/log"
"$python" "$here/event_files.py" "$out/runs"
