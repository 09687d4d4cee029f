#!/usr/bin/env bash
# C4 on Spark against `c4 build`: prove.sh C4 ARCHIVES...   (Java 17; half a GB below target/ for pyspark)
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
venv=$root/target/venv-spark
if [ ! -e "$venv/ready" ]; then
    command -v java >/dev/null || { echo "Java 17 is missing: sudo apt-get install openjdk-17-jre-headless"; exit 1; }
    python3 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$root/pipeline/spark/requirements.txt"
    touch "$venv/ready"
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps "$root"/target/wheels/c4-*.whl
exec "$venv/bin/python" "$root/pipeline/spark/prove.py" "$@"
