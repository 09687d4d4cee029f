#!/usr/bin/env bash
# Our metrics against scikit-learn, SciPy, sacreBLEU and rouge-score, and against the rules of the scripts of SQuAD, ReCoRD
# and MultiRC, on 10,000 made-up answers each, to 1e-9. Makes its virtual environment below target/.
# Usage: metrics.sh SCORE [GOLDEN], where SCORE is the example score of this package; with GOLDEN some of the cases are
# written to that file, with the references' scores
set -euo pipefail
score=$(realpath "$1")
here=$(realpath "$(dirname "$0")")
root=$(realpath "$here/../..")
. "$here/common.sh"
python=$(environment venv-metrics scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6 sacrebleu==2.6.0 rouge-score==0.1.2 nltk==3.10.4)
"$python" "$here/metrics.py" "$score" "${@:2}"
