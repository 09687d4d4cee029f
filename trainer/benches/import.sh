#!/usr/bin/env bash
# That `t5 generate` and `t5 import` take what Hugging Face's transformers, versions 5 and 4, save: of more than twenty kinds of small
# models (tied or not, gated, in parts, in half precision, the embedding by any of its names, pytorch_model.bin of all forms, mT5, umT5,
# tokenizer.json or spiece.model, byte fallback) logits and greedy text are those of transformers; what cannot be taken is refused
# with the reason. Virtual environments as for export.sh.
# Usage: import.sh T5 C4 LOGITS [INPUT...], where the first three are programs (LOGITS: the example of this package), and an INPUT is a
# crawl archive; without, the sample crawl. With GOLDEN=FOLDER, the folder gets small files for the tests.
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
corpus "$c4" "$out/corpus" "$@"
"$t5" vocab train "$out/corpus" --size 400 -o "$out/vocab.model" 2>/dev/null
quiet() {
    "$@" 2>"$out/log" || { cat "$out/log"; exit 1; }
}
quiet "$torch" "$here/byte_vocabulary.py" "$out/vocab.model" "$out/bytes.model"
for version in 5 4; do
    # Version 4 on the PyTorch of version 5's environment.
    path=$([ $version = 5 ] || "$four" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    PYTHONPATH=$path quiet "$torch" "$here/import.py" "$t5" "$logits" "$out/vocab.model" "$out/bytes.model" "$out/version-$version"
done
if [ -n "${GOLDEN:-}" ]; then
    path=$("$four" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    PYTHONPATH=$path quiet "$torch" "$here/import_golden.py" "$GOLDEN"
fi
