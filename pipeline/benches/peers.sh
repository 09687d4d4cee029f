#!/usr/bin/env bash
# The Python peers against `c4 build`: peers.sh FILE.warc.wet.gz [options of peers.py]
set -euo pipefail
exec python3 "$(dirname "$0")/peers.py" "$@"
