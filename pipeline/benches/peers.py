#!/usr/bin/env python3
"""CPU seconds of `c4 build` and of Python programs with the same rules, over one WET file.

    python3 pipeline/benches/peers.py FILE.warc.wet.gz [--c4 target/release/c4]

Needs Python 3.11 or later, pip with PyPI, and for datatrove's reader the system library libmagic.
The virtual environments are made once, in target/peers/. Nothing is downloaded while measuring.

What is measured: user + system time of one process on one thread, each run in a new process, the programs in turn.
For the peers it starts after imports, models, word lists and regular expressions are loaded, and they write no output.
For `c4` it is the whole process: start, models, build, and the corpus written to disk.

Peers and their steps:
  tfds            TensorFlow Datasets' text/c4_utils.py, unchanged, in the order of text/c4.py, in plain loops without
                  Beam: split_wet_file, is_valid_length, select_newest_page, clean_page, line dedup, detect_english,
                  bad words. TensorFlow and Beam are replaced by stand-ins: open(), a no-op as_text, a dict of counters.
  datatrove       WarcReader, C4QualityFilter (5 words a line, 3 sentences), C4BadWordsFilter. English sentences are
                  split by spaCy, its default. No line dedup; its language filter downloads a model and is left out.
  datatrove-nltk  The same with NLTK's punkt, the splitter that C4 used, passed as `language`.
  dolma           The tagger c4_v2 alone, over pages read beforehand. It marks spans and removes nothing.
"""

import argparse
import gzip
import hashlib
import json
import os
import platform
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "target" / "peers"

# Name of the environment -> all that is installed in it, without resolving dependencies.
# `llama-index-core` is there for a file it carries: NLTK's English punkt model.
PINS = {
    "tfds": """
        absl-py==2.3.1 joblib==1.6.0 langdetect==1.0.9 llama-index-core==0.10.50 nltk==3.8.1 regex==2026.11.15
        six==1.17.0 tensorflow-datasets==4.9.10 tqdm==4.70.1 click==8.5.1""",
    "datatrove": """
        annotated-doc==0.0.7 annotated-types==0.8.0 anyio==4.16.0 blis==1.3.4 catalogue==2.0.10 certifi==2026.10.18
        charset-normalizer==3.5.2 click==8.5.1 cloudpathlib==0.26.0 cloudpickle==3.1.2 confection==1.3.4 cymem==2.0.16
        datatrove==0.10.1 dill==0.4.1 faust-cchardet==3.2.0 filelock==4.2.11 fsspec==2026.9.0 h11==0.16.0 hf-xet==1.8.0
        httpcore==1.0.9 httpcore2==2.16.2 httpx==0.28.1 httpx2==2.16.2 huggingface_hub==2.4.0 humanize==4.17.0
        idna==3.20 Jinja2==3.1.6 joblib==1.6.0 loguru==0.7.3 markdown-it-py==4.3.0 MarkupSafe==3.0.4 mdurl==0.1.2
        multiprocess==0.70.19 murmurhash==1.0.16 nltk==3.8.1 numpy==2.4.6 orjson==3.13.0 packaging==26.3
        preshed==3.0.15 pyarrow==26.0.1 pydantic==2.14.3 pydantic_core==2.50.4 Pygments==2.21.0 python-magic==0.4.27
        PyYAML==6.0.3 regex==2026.11.15 requests==2.34.2 rich==15.0.0 shellingham==1.5.4 six==1.17.0 smart_open==9.0.2
        spacy==3.8.18 spacy-legacy==3.0.12 spacy-loggers==1.0.5 srsly==2.5.6 thinc==8.3.14 tqdm==4.70.1
        truststore==0.10.5 typer==0.29.2 typing-inspection==0.4.5 typing_extensions==4.16.0 urllib3==2.8.0
        warcio==1.7.5 wasabi==1.1.3 weasel==1.0.1 wrapt==2.5.2""",
    "dolma": """
        aiobotocore==2.5.4 aiohappyeyeballs==2.7.1 aiohttp==3.14.5 aioitertools==0.13.0 aiosignal==1.4.0 anyascii==0.3.3
        attrs==26.1.0 blingfire==0.1.8 boto3==1.28.17 botocore==1.31.17 certifi==2026.10.18 charset-normalizer==3.5.2
        click==8.5.1 cloudpickle==3.1.2 defusedxml==0.7.1 dolma==1.2.1 fasttext-wheel==0.9.2 filelock==4.2.11
        frozenlist==1.8.0 fsspec==2023.6.0 hf-xet==1.8.0 huggingface-hub==0.36.2 idna==3.20 jmespath==1.1.0
        joblib==1.6.0 jq==1.13.0 jsonpath-ng==1.16.0 markdown-it-py==4.3.0 mdurl==0.1.2 msgspec==0.22.0 multidict==7.2.1
        necessary==0.4.3 nltk==3.8.1 numpy==1.26.4 omegaconf==2.4.0 packaging==26.3 platformdirs==4.14.7
        propcache==0.5.4 pybind11==3.1.0 pygments==2.21.0 python-dateutil==2.9.0.post0 python-dotenv==1.2.4
        pyyaml==6.0.3 regex==2026.11.15 requests==2.34.2 requirements-parser==0.13.1 rich==15.0.0 s3fs==2023.6.0
        s3transfer==0.6.2 six==1.17.0 smart-open==9.0.2 tokenizers==0.19.1 tqdm==4.70.1 typing-extensions==4.16.0
        uniseg==0.10.1 urllib3==1.26.20 wrapt==1.17.3 yarl==1.25.1 zstandard==0.25.0""",
}
# Peer -> its environment and what it covers, for the table.
PEERS = {
    "tfds": ("tfds", "TFDS 4.9.10 functions: all steps"),
    "datatrove": ("datatrove", "datatrove 0.10.1, spaCy: no dedup, no language"),
    "datatrove-nltk": ("datatrove", "datatrove 0.10.1, NLTK: no dedup, no language"),
    "dolma": ("dolma", "dolma 1.2.1, c4_v2: tags only, no reading"),
}
PUNKT_SHA256 = "5cad3758596392364e3be9803dbd7ebeda384b68937b488a01365f5551bb942c"
BAD_WORDS_SHA256 = "a506cbcf8a31935b122299f3bb1d32be6db3d0ad498765d28f365dfc4f4d7b8c"
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")


# --- The peers: each returns a function that does the work and says (pages read, pages kept, digest of the output).


def site_packages():
    return next(Path(p) for p in sys.path if p.endswith("site-packages"))


def load_c4_utils(counters):
    """TFDS' c4_utils.py with stand-ins for what it imports of TensorFlow, Beam and TFDS itself."""
    import importlib.util
    import types

    import langdetect
    import nltk

    def counter(namespace, name):
        def inc(amount=1):
            counters[namespace, name] = counters.get((namespace, name), 0) + amount

        return types.SimpleNamespace(inc=inc)

    space = types.SimpleNamespace
    beam = space(metrics=space(Metrics=space(counter=counter)))
    lazy = types.ModuleType("tensorflow_datasets.core.utils.lazy_imports_utils")
    lazy.tensorflow = space(compat=space(as_text=lambda text: text), io=space(gfile=space(GFile=open)))
    api = types.ModuleType("tensorflow_datasets.public_api")
    api.core = space(lazy_imports=space(apache_beam=beam, langdetect=langdetect, nltk=nltk))
    package = types.ModuleType("tensorflow_datasets")
    package.public_api = api
    sys.modules |= {
        "tensorflow_datasets": package,
        "tensorflow_datasets.core": types.ModuleType("tensorflow_datasets.core"),
        "tensorflow_datasets.core.utils": types.ModuleType("tensorflow_datasets.core.utils"),
        lazy.__name__: lazy,
        api.__name__: api,
    }
    spec = importlib.util.spec_from_file_location(
        "tensorflow_datasets.text.c4_utils", site_packages() / "tensorflow_datasets/text/c4_utils.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    module._SENTENCE_TOKENIZER = nltk.data.load("tokenizers/punkt/english.pickle")
    return module


def peer_tfds(wet, word_list):
    counters = {}
    c4 = load_c4_utils(counters)
    c4._get_sentences("One sentence. Another one.")
    list(c4.detect_english(c4.PageFeatures(text="This loads the profiles of the languages.")))
    clean = c4.get_clean_page_fn()
    good_words = c4.get_badwords_filter_fn({"en": set(Path(word_list).read_text().splitlines())}, filter_fraction=1.0)
    counters.clear()

    def work():
        # "select_newest": CombinePerKey
        groups = {}
        for page in c4.split_wet_file(wet):
            if c4.is_valid_length(page):
                groups.setdefault(page.normalized_url, []).append(page)
        pages = [c4.select_newest_page(group) for group in groups.values()]
        pages = [cleaned for page in pages for cleaned in clean(page)]
        # remove_duplicate_text: each line stays in the page whose URL hashes lowest. One hash a page, not one a line.
        chosen = {}
        for page in pages:
            rank = c4._hash_text(page.url)
            for line, url in c4._emit_url_to_lines(page):
                best = chosen.get(line)
                if best is None or rank < best[0]:
                    chosen[line] = (rank, url)
        lines = {}
        for line, (_, url) in chosen.items():
            lines.setdefault(url, []).append(line)
        count = c4.get_counter_inc_fn("dedupe-lines")
        pages = [
            left
            for page in pages
            for left in c4._remove_lines_from_text(
                (page.url, {"pages": [page], "lines": lines.get(page.url, [])}), count, c4._MIN_NUM_SENTENCES
            )
        ]
        pages = [english for page in pages for english in c4.detect_english(page)]
        return [page for page in pages if good_words(page)]

    return work, lambda kept: (
        counters["split-wet-file", "passed"],
        len(kept),
        digest((page.url, page.text) for page in kept),
    )


def peer_datatrove(wet, word_list, nltk=False):
    import datatrove.pipeline.filters.c4_filters as c4_filters
    from datatrove.data import Document
    from datatrove.pipeline.readers import WarcReader
    from datatrove.utils.text import split_into_sentences
    from datatrove.utils.word_tokenizers import NLTKTokenizer
    from loguru import logger

    import cchardet, magic, warcio.archiveiterator  # noqa: E401, F401 (the reader imports them late)

    logger.remove()
    language = NLTKTokenizer("english") if nltk else "eng"
    split_into_sentences("One sentence. Another one.", language)
    # The list that it would download is the one made here.
    c4_filters.cached_asset_path_or_download = lambda *_, **__: word_list
    reader = WarcReader(str(Path(wet).parent), glob_pattern=Path(wet).name, recursive=False)
    quality = c4_filters.C4QualityFilter(min_num_sentences=3, min_words_per_line=5, language=language)
    words = c4_filters.C4BadWordsFilter()
    words.filter(Document(text="This compiles the expression.", id="0"))
    seen = 0

    def counted(documents):
        nonlocal seen
        for document in documents:
            seen += 1
            yield document

    return lambda: list(words.run(quality.run(counted(reader.run(None))))), lambda kept: (seen, len(kept), "")


def peer_dolma(wet, _):
    from dolma.core.data_types import Document
    from dolma.taggers.c4 import FasterC4Tagger

    # The text of each page, cut by the records' lengths.
    pages = []
    with gzip.open(wet, "rb") as file:
        while line := file.readline():
            if not line.startswith(b"WARC/"):
                continue
            kind, length = b"", 0
            while line := file.readline().strip():
                name, _, value = line.partition(b":")
                if name.lower() == b"warc-type":
                    kind = value.strip()
                elif name.lower() == b"content-length":
                    length = int(value)
            body = file.read(length)
            if kind == b"conversion":
                text = body.decode("utf-8", "replace")
                pages.append(Document(source="wet", id=str(len(pages)), version="0", text=text))
    tagger = FasterC4Tagger()
    return lambda: [tagger.predict(page) for page in pages], lambda kept: (len(pages), len(kept), "")


def digest(pairs):
    """Of URLs and texts, in any order."""
    hashes = sorted(hashlib.sha256(f"{url}\0{text}".encode()).hexdigest() for url, text in pairs)
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def run_peer(name, wet, word_list):
    """In the peer's environment: one run, its result as JSON on the last line."""
    make = {
        "tfds": peer_tfds,
        "datatrove": peer_datatrove,
        "datatrove-nltk": lambda *args: peer_datatrove(*args, nltk=True),
        "dolma": peer_dolma,
    }[name]
    work, describe = make(wet, word_list)
    before = cpu()
    result = work()
    seconds = cpu() - before
    pages, kept, output = describe(result)
    print(json.dumps({"cpu": seconds, "pages": pages, "kept": kept, "digest": output}))


# --- Set-up and the table.


def environment(name):
    """The environment's python; made if it is missing or was made with other pins."""
    folder = HOME / name
    python = folder / "bin" / "python"
    mark = folder / "pins"
    pins = PINS[name].split()
    wanted = "\n".join(pins) + "\n"
    if not mark.exists() or mark.read_text() != wanted:
        print(f"making the environment {name} ({len(pins)} packages)", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
        subprocess.run(pip + pins, check=True, stdout=sys.stderr)
        mark.write_text(wanted)
    return python


def bad_words():
    """The English list of the `en` recipe, by the rule in data/lists/README.md."""
    lists = ROOT / "data" / "lists"
    later = set((lists / "en-added-later.txt").read_text().splitlines())
    words = json.loads((lists / "naughty-words-1.2.0-en.json").read_text())
    text = "".join(f"{word}\n" for word in words if word not in later)
    check(text.encode(), BAD_WORDS_SHA256, "the list of bad words")
    path = HOME / "bad-words-en.txt"
    path.write_text(text)
    return path


def punkt():
    """The folder for NLTK_DATA: the model from the package that carries it."""
    found = next((HOME / "tfds").glob("lib/*/site-packages/llama_index/core/_static/nltk_cache"))
    check((found / "tokenizers/punkt/PY3/english.pickle").read_bytes(), PUNKT_SHA256, "the punkt model")
    return found


def check(data, sha256, what):
    if hashlib.sha256(data).hexdigest() != sha256:
        sys.exit(f"{what} is not the expected one")


def time_peer(name, python, wet, words, env):
    command = [str(python), str(Path(__file__).resolve()), "--run-peer", name, "--words", str(words), str(wet)]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no message"])[-1])
    return json.loads(done.stdout.strip().splitlines()[-1])


def build(c4, wet, folder, *options):
    """One `c4 build`, its CPU seconds."""
    command = [c4, "build", "--recipe", "en", "--threads", "1", "--overwrite", *options, "-o", str(folder), str(wet)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"c4 build ended with status {child.returncode}")
    return used.ru_utime + used.ru_stime


def output_of(c4, wet, folder):
    """Pages read, pages kept and the digest of what `c4 build` makes; not timed."""
    build(c4, wet, folder, "--format", "jsonl")
    counters = json.loads((folder / "stats.json").read_text())["counters"]
    pairs = []
    for shard in folder.glob("*.json.gz"):
        with gzip.open(shard, "rt", encoding="utf-8") as lines:
            pairs += [(page["url"], page["text"]) for page in map(json.loads, lines)]
    return counters["split-wet-file/passed"], len(pairs), digest(pairs)


def processor():
    try:
        return re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())[1]
    except (OSError, TypeError):
        return platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wet", type=Path, help="a gzipped WET file")
    parser.add_argument("--c4", default=str(ROOT / "target/release/c4"), help="the program")
    parser.add_argument("--runs", type=int, default=5, help="runs of c4")
    parser.add_argument("--peer-runs", type=int, default=3, help="runs of each peer")
    parser.add_argument("--peers", default=",".join(PEERS), help="which of them")
    parser.add_argument("--run-peer", choices=PEERS, help=argparse.SUPPRESS)
    parser.add_argument("--words", help=argparse.SUPPRESS)
    args = parser.parse_args()
    wet = args.wet.resolve()
    if args.run_peer:
        return run_peer(args.run_peer, str(wet), args.words)
    if unknown := set(args.peers.split(",")) - set(PEERS):
        parser.error(f"no such peer: {', '.join(sorted(unknown))}")

    HOME.mkdir(parents=True, exist_ok=True)
    words = bad_words()
    environment("tfds")  # the punkt model is in it
    pythons, failed = {}, {}
    for name in args.peers.split(","):
        try:
            pythons[name] = environment(PEERS[name][0])
        except subprocess.CalledProcessError:
            failed[name] = "its packages could not be installed"
    env = os.environ | {"NLTK_DATA": str(punkt()), "PYTHONHASHSEED": "0"} | dict.fromkeys(ONE_THREAD, "1")

    with gzip.open(wet, "rb") as file:
        size = 0
        while block := file.read(1 << 20):
            size += len(block)
    megabytes = size / 1e6

    load = os.getloadavg()[0]
    ours, peers = [], {name: [] for name in pythons}
    with tempfile.TemporaryDirectory(dir=HOME) as folder:
        folder = Path(folder)
        pages, kept, output = output_of(args.c4, wet, folder / "jsonl")
        for turn in range(max(args.runs, args.peer_runs)):
            if turn < args.runs:
                ours.append(build(args.c4, wet, folder / "out"))
            for name in [n for n in peers if turn < args.peer_runs and n not in failed]:
                print(f"run {turn + 1} of {name}", file=sys.stderr)
                try:
                    peers[name].append(time_peer(name, pythons[name], wet, words, env))
                except RuntimeError as error:
                    failed[name] = str(error)

    rows = [("c4 build, recipe en: all steps, output written", ours, pages, kept, "")]
    for name, results in peers.items():
        if name in failed or not results:
            continue
        label = PEERS[name][1]
        last = results[-1]
        same = ""
        if last["digest"]:
            same = "yes" if last["digest"] == output else "no"
        kept_by = "-" if name == "dolma" else last["kept"]
        rows.append((label, [r["cpu"] for r in results], last["pages"], kept_by, same))

    best_of_ours, median_of_ours = min(ours), statistics.median(ours)
    print(f"{megabytes:.2f} MB of WET uncompressed, {time.strftime('%Y-%m-%d')}; {processor()}, {os.cpu_count()} cores,")
    print(f"load average {load:.1f} before, {os.getloadavg()[0]:.1f} after; Python {platform.python_version()}.")
    print("One process, one thread; best and median CPU seconds (user + system).")
    print("Peers: start, imports and loading of models left out, nothing written. c4: the whole process.")
    print()
    print("| program | runs | best s | median s | MB/s best | MB/s median | c4 is faster: best | median | in | kept | same text |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|")
    for label, seconds, pages, kept, same in rows:
        best, median = min(seconds), statistics.median(seconds)
        ratios = f"{best / best_of_ours:.1f}x | {median / median_of_ours:.1f}x"
        if seconds is ours:
            ratios = "1 | 1"
        print(
            f"| {label} | {len(seconds)} | {best:.2f} | {median:.2f} | {megabytes / best:.2f} | {megabytes / median:.2f}"
            f" | {ratios} | {pages} | {kept} | {same} |"
        )
    for name, reason in failed.items():
        print(f"\nLeft out: {name}: {reason}")


if __name__ == "__main__":
    main()
