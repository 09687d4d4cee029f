#!/usr/bin/env bash
# That Hugging Face `datasets` reads the folder of a corpus as it is, by its card, in every format: same rows, columns and
# order as `c4 cat`; and by language, where each has shards of its own. Makes its virtual environment below target/.
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
"$c4" recipes en.noclean | sed -e 's/^name = .*/name = "by-language"/' -e 's/^keep = .*/keep = []/' \
    -e 's/^min_probability = [0-9.]*/min_probability = 0.5/' -e 's/^validation_one_in = [0-9]*/validation_one_in = 10\nby_language = true/' \
    >"$out/by-language.toml"
# Its validation is a shard without rows.
"$c4" recipes en | sed -e 's/^name = .*/name = "no-validation"/' -e 's/^validation_one_in = [0-9]*/validation_one_in = 4294967296/' \
    >"$out/no-validation.toml"
for recipe in c4 "$out/all-train.toml" "$out/no-validation.toml" "$out/by-language.toml"; do
    for format in arrow parquet jsonl; do
        corpus=$out/$(basename "$recipe" .toml)-$format
        # Exit status 1: done, but not all could be read.
        "$c4" build --recipe "$recipe" --format "$format" --shard-size 8K --ledger all --output "$corpus" "$@" 2>"$out/log" ||
            [ $? -eq 1 ] || { cat "$out/log"; exit 1; }
        "$c4" card "$corpus" 2>/dev/null
        HF_HOME=$out/hf HF_HUB_OFFLINE=1 HF_DATASETS_DISABLE_PROGRESS_BARS=1 "$venv/bin/python" - "$c4" "$corpus" <<'PY'
import json
import subprocess
import sys

import datasets

c4, corpus = sys.argv[1:]
jsonl = corpus.endswith("jsonl")


def cat(*arguments):
    full = [] if jsonl else ["--full"]
    lines = subprocess.run([c4, "cat", *full, *arguments, corpus], check=True, capture_output=True).stdout
    return [json.loads(line) for line in lines.splitlines()]


def check(config, *arguments):
    """Rows of each split."""
    loaded = datasets.load_dataset(corpus, config)
    sizes = {}
    for split in ("train", "validation"):
        rows = cat("--split", split, *arguments)
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
                if column == "timestamp" and jsonl:
                    # `datasets` takes it for a date (the card says so).
                    wanted, value = wanted[:19].replace("T", " "), value[:19]
                if column == "language_score":
                    wanted, value = round(wanted, 6), round(value, 6)
                assert value == wanted, (column, value, wanted)
    return sizes


with open(f"{corpus}/manifest.json", encoding="utf-8") as file:
    shards = json.load(file)["shards"]
languages = sorted({shard["language"] for shard in shards if "language" in shard})
if languages:
    assert datasets.get_dataset_config_names(corpus) == languages
    sizes = {language: check(language, "--language", language) for language in languages}
else:
    sizes = check(None)
print(f"{corpus.rsplit('/', 1)[1]}: {sizes} read by datasets {datasets.__version__}")
PY
    done
done
