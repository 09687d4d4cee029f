#!/usr/bin/env bash
# Our CLD3 against the original, PyPI gcld3 3.0.13: that its data is what data/cld3/ holds, that the golden files are
# what it answers, and that it and we answer alike. Makes its virtual environment below target/; gcld3 is compiled
# there, which wants a C++ compiler, protoc and libprotobuf (Debian: protobuf-compiler, libprotobuf-dev).
# Usage: cld3.sh PROGRAM [WET...], where PROGRAM is the example cld3 of this package
set -euo pipefail
program=$(realpath "$1")
shift
here=$(realpath "$(dirname "$0")")
root=$(realpath "$here/../..")
venv=$root/target/venv-cld3
if [ ! -e "$venv/ready" ]; then
    command -v protoc >/dev/null || { echo "protoc is missing: sudo apt-get install protobuf-compiler libprotobuf-dev"; exit 1; }
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet gcld3==3.0.13
    "$venv/bin/pip" download --quiet --no-deps --no-binary gcld3 --dest "$venv" gcld3==3.0.13
    touch "$venv/ready"
fi
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
python3 "$root/data/cld3/extract.py" "$venv/gcld3-3.0.13.tar.gz" "$out"
cmp "$out/network.bin" "$root/data/cld3/network.bin"
cmp "$out/letters.bin" "$root/data/cld3/letters.bin"
cp "$root"/tests/golden/*_cld3.jsonl.gz "$out"
"$venv/bin/python" "$here/cld3.py" write "$out"
for file in golden_cld3.jsonl.gz fuzz_cld3.jsonl.gz; do
    cmp <(zcat "$out/$file") <(zcat "$root/tests/golden/$file")
done
"$venv/bin/python" "$here/cld3.py" compare "$program" "$root/tests/golden" "$@"
