#!/usr/bin/env bash
# mC4 by TensorFlow Datasets' own functions and by us: multilingual.sh FILE.warc.wet.gz... [options of multilingual.py]
set -euo pipefail
exec python3 "$(dirname "$0")/multilingual.py" "$@"
