#!/usr/bin/env bash
# That Hugging Face `datasets` reads the folder of a corpus as it is, by its card, in every format: same rows, columns and
# order as `c4 cat`. Makes its virtual environment below target/.
# Usage: card.sh C4 INPUT...
set -euo pipefail
c4=$(realpath "$1")
shift
root=$(realpath "$(dirname "$0")/../..")
venv=$root/target/venv-datasets
if [ ! -e "$venv/ready" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet datasets==5.2.0
    touch "$venv/ready"
fi
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
"$c4" recipes en | sed -e 's/^name = .*/name = "all-train"/' -e 's/^validation_one_in = [0-9]*/validation_one_in = 0/' >"$out/all-train.toml"
for recipe in c4 "$out/all-train.toml"; do
    for format in arrow parquet jsonl; do
        corpus=$out/$(basename "$recipe" .toml)-$format
        # Exit status 1: done, but not all could be read.
        "$c4" build --recipe "$recipe" --format "$format" --shard-size 8K --ledger all --output "$corpus" "$@" 2>"$out/log" ||
            [ $? -eq 1 ] || { cat "$out/log"; exit 1; }
        "$c4" card "$corpus" 2>/dev/null
        full=$([ "$format" = jsonl ] || echo --full)
        for split in train validation; do
            "$c4" cat $full --split "$split" "$corpus" >"$out/$split.jsonl"
        done
        HF_HOME=$out/hf HF_HUB_OFFLINE=1 HF_DATASETS_DISABLE_PROGRESS_BARS=1 "$venv/bin/python" - "$corpus" "$out" <<'PY'
import json
import sys

import datasets

corpus, out = sys.argv[1:]
loaded = datasets.load_dataset(corpus)
sizes = {}
for split in ("train", "validation"):
    with open(f"{out}/{split}.jsonl", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    if not rows:
        assert split not in loaded, f"{split} has no rows and should be left out"
        continue
    found = loaded[split]
    sizes[split] = len(rows)
    assert len(found) == len(rows), (split, len(found), len(rows))
    columns = set(rows[0]) - {"split"}
    assert set(found.column_names) == columns, (found.column_names, columns)
    for mine, theirs in zip(rows, found, strict=True):
        for column in columns:
            wanted, value = mine[column], theirs[column]
            if column == "timestamp" and corpus.endswith("jsonl"):
                # `datasets` takes it for a date (the card says so).
                wanted, value = wanted[:19].replace("T", " "), value[:19]
            if column == "language_score":
                wanted, value = round(wanted, 6), round(value, 6)
            assert value == wanted, (column, value, wanted)
print(f"{corpus.rsplit('/', 1)[1]}: {sizes} read by datasets {datasets.__version__}")
PY
    done
done
