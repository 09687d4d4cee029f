#!/bin/sh
# That two programs `t5` train to the same bits: five kinds of models, 20 steps each with dropout and two threads; parameters and the
# optimiser's state are compared byte for byte.
#
# Usage: same_bits.sh T5 OTHER_T5 CORPUS
set -eu
[ $# -eq 3 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 2; }
ours=$1 theirs=$2 corpus=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$ours" vocab train "$corpus" --size 300 -o "$work/vocab.model" 2>/dev/null

# The key of the objective in a program's configuration, which was another one before.
key() {
    if "$1" inspect --size tiny | grep -q '^name = "span_corruption"'; then echo name; else echo objective; fi
}

train() { # PROGRAM FOLDER OBJECTIVE SETTING...
    program=$1 folder=$2 objective=$3
    shift 3
    set -- "feed.objective.$(key "$program")=$objective" model.vocab_size=512 model.d_model=32 model.d_ff=64 model.d_kv=16 \
        model.heads=2 model.decoder_layers=2 feed.rows=2 batches_per_step=2 evaluate_batches=2 evaluate_every=10 \
        checkpoint_every=10 "$@"
    for setting; do
        set -- "$@" --set "$setting"
        shift
    done
    "$program" pretrain --size tiny --corpus "$corpus" --vocab "$work/vocab.model" -o "$folder" -t 2 --steps 20 "$@" 2>"$folder.log" ||
        { tail -3 "$folder.log"; exit 1; }
}

compare() { # NAME OBJECTIVE SETTING...
    name=$1
    shift
    train "$ours" "$work/$name-ours" "$@"
    train "$theirs" "$work/$name-theirs" "$@"
    for step in 10 20; do
        for file in model optimizer; do
            at=checkpoints/step-000000$step/$file.safetensors
            cmp "$work/$name-ours/$at" "$work/$name-theirs/$at"
        done
    done
    echo "$name: the same bits"
}

compare v1.0-relu span_corruption model.encoder_layers=2 feed.objective.inputs_length=64
compare v1.1-gated-gelu span_corruption model.encoder_layers=2 feed.objective.inputs_length=64 model.activation=gated_gelu \
    model.head=untied model.recompute=true clip_norm=1.0
compare language-model lm model.architecture=language_model feed.objective.targets_length=64
compare prefix-lm prefix_lm model.architecture=prefix_lm model.loss_on=after_inputs feed.objective.inputs_length=64
compare shared-bert-style bert_style model.architecture=shared model.encoder_layers=2 feed.objective.inputs_length=64 \
    "optimizer={kind='adamw'}" model.dropout_shape=elementwise
