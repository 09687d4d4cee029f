# For the scripts beside it, which source it after setting `root`: virtual environments, a corpus.

# Python of the virtual environment NAME below target/ with PACKAGES: environment NAME PACKAGE...
environment() {
    local venv=$root/target/$1
    shift
    # As the tests mark theirs (tests/src/python.rs), so that both take the same one.
    local packages="$*" ready
    ready=$venv/ready-${packages// /+}
    if [ ! -e "$ready" ]; then
        python3 -m venv --clear "$venv" >&2
        "$venv/bin/pip" install --quiet "$@" >&2
        touch "$ready"
    fi
    echo "$venv/bin/python"
}

# PyTorch, several GB the first time.
torch_environment() {
    environment venv-torch torch==2.15.0 transformers==5.23.0 numpy==2.4.6 sentencepiece==0.2.3 protobuf==7.36.2
}

# The last one with T5's tokenizer on sentencepiece ("slow").
transformers_4_environment() {
    environment venv-transformers-4 transformers==4.57.6 sentencepiece==0.2.3 protobuf==7.36.2
}

# A corpus of the archives, or of the sample crawl: corpus C4 FOLDER [INPUT...]
corpus() {
    local c4=$1 folder=$2
    shift 2
    [ $# -gt 0 ] || set -- "$root/data/samples"
    # Exit status 1: done, but not all could be read.
    "$c4" build --recipe en.noclean --output "$folder" "$@" >"$folder.log" 2>&1 || [ $? -eq 1 ] || { cat "$folder.log" >&2; return 1; }
}
