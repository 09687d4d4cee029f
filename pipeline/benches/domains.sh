#!/usr/bin/env bash
# Domains of URLs by `tldextract` and by us: domains.sh FILE.warc.wet.gz... [options of domains.py]
set -euo pipefail
exec python3 "$(dirname "$0")/domains.py" "$@"
