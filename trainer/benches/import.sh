#!/usr/bin/env bash
# That `t5 generate` and `t5 import` take what Hugging Face's transformers, versions 5 and 4, save: of more than twenty kinds of small
# models (tied or not, gated, in parts, in half precision, the embedding by any of its names, tokenizer.json or spiece.model)
# the greedy text is that of transformers; what cannot be taken is refused with the reason. Virtual environments as for export.sh.
# Usage: import.sh T5 C4 [INPUT...], where the first two are programs, and an INPUT is a crawl archive; without, the sample crawl
set -euo pipefail
t5=$(realpath "$1") c4=$(realpath "$2")
shift 2
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
for version in 5 4; do
    # Version 4 on the PyTorch of version 5's environment.
    path=$([ $version = 5 ] || "$four" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    PYTHONPATH=$path "$torch" "$here/import.py" "$t5" "$out/vocab.model" "$out/version-$version" 2>"$out/log" || { cat "$out/log"; exit 1; }
done
