#!/usr/bin/env python3
"""That recipe `multilingual` keeps the pages and texts of C4's configuration of that name, over real WET files.

    cargo build --release --locked --workspace --bins --examples
    python3 pipeline/benches/multilingual.py FILE.warc.wet.gz... [--c4 target/release/c4] [--judge .../examples/judge]

The reference is TensorFlow Datasets' text/c4_utils.py, unchanged, in the order of text/c4.py, in plain loops without
Beam (as in peers.py), with its own language detector, gcld3 3.0.13. To build that, pip needs a C++ compiler and
Protocol Buffers (apt-get install g++ protobuf-compiler libprotobuf-dev); the environment is made once, in target/peers/.

What is compared:
  1. up to line dedup: `c4 build` without the later steps; the set of pages, every text, every counter
  2. bad words, given the reference's languages: the example `judge`; the verdict on every page
  3. the language of every page, by our detector and by gcld3
  4. the whole recipe: pages, texts, languages, every counter; where a page's language differs, it is told apart
"""

import argparse
import ast
import collections
import json
import random
import subprocess
import sys
import tempfile
import types
from pathlib import Path

import peers

ROOT = peers.ROOT
peers.PINS["multilingual"] = "absl-py==2.3.1 tensorflow-datasets==4.9.10 gcld3==3.0.13"

# --- The reference, in its environment.


def constants(*names):
    """Of text/c4.py, without running it."""
    source = (peers.site_packages() / "tensorflow_datasets/text/c4.py").read_text()
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and node.targets[0].id in names:
            found[node.targets[0].id] = ast.literal_eval(node.value)
    return [found[name] for name in names]


class Collection:
    """Stands for a Beam collection: what is applied to it is what comes out."""

    def __or__(self, transform):
        return transform


def word_lists(languages, allowed):
    """As text/c4.py reads them, from the package that holds the same lists (data/lists/README.md)."""
    lists = ROOT / "data/lists"
    later = set((lists / "en-added-later.txt").read_text().splitlines())
    words = collections.defaultdict(set)
    for language in languages:
        entries = json.loads((lists / f"naughty-words-1.2.0-{language}.json").read_text())
        if language == "en":
            entries = [word for word in entries if word not in later]
        words[language.split("-")[0]].update(word.strip() for word in entries)
    for language, allowlist in allowed.items():
        words[language] -= allowlist
    return words


class BadWords:
    """The reference's filter; says by its counters what it made of a page."""

    def __init__(self, c4, counters):
        listed, allowed = constants("_BADWORDS_LANGS", "_BADWORDS_ALLOWLIST")
        self.keeps = c4.get_badwords_filter_fn(word_lists(listed, allowed), filter_fraction=0.999)
        self.counters = counters

    def judge(self, page):
        """Whether it stays, and the counter of its language; None if that has no list."""
        step = f"badwords-filter-{page.language.split('-')[0]}"
        names = ("passed", "soft-passed", "filtered")
        before = [self.counters.get((step, name), 0) for name in names]
        kept = self.keeps(page)
        raised = [name for name, n in zip(names, before, strict=True) if self.counters.get((step, name), 0) > n]
        return kept, raised[0] if raised else None


def load_reference(counters):
    # Neither is used by this configuration.
    sys.modules["langdetect"] = types.ModuleType("langdetect")
    sys.modules["nltk"] = types.SimpleNamespace(data=types.SimpleNamespace(load=lambda _: None))
    return peers.load_c4_utils(counters)


def reference_words():
    """Of JSON lines with `url`, `language` and `text`: the counters."""
    counters = {}
    c4 = load_reference(counters)
    words = BadWords(c4, counters)
    for line in sys.stdin:
        row = json.loads(line)
        page = c4.PageFeatures(normalized_url=c4.normalize_url(row["url"]), text=row["text"], language=row["language"])
        print(json.dumps(words.judge(page)[1]))


def reference(wets):
    """Prints a JSON line a page that comes to the language step, and one with the counters."""
    import gcld3

    counters = {}
    c4 = load_reference(counters)
    lazy = c4.tfds.core.lazy_imports
    lazy.gcld3 = gcld3
    lazy.apache_beam.DoFn = object
    lazy.apache_beam.ParDo = lambda fn: fn
    (languages,) = constants("MC4_LANGUAGES")
    detector = c4.detect_languages(Collection(), valid_languages=languages)
    detector.start_bundle()
    words = BadWords(c4, counters)

    groups = {}
    for wet in wets:
        for page in c4.split_wet_file(wet):
            if c4.is_valid_length(page):
                groups.setdefault(page.normalized_url, []).append(page)
    pages = [c4.select_newest_page(group) for group in groups.values()]
    pages = [page for page in pages if c4.paragraph_filter(page)]
    chosen = {}
    for page in pages:
        rank = c4._hash_text(page.url)
        for line, url in c4._emit_url_to_lines(page):
            best = chosen.get(line)
            if best is None or rank < best[0]:
                chosen[line] = (rank, url)
    lines = collections.defaultdict(list)
    for line, (_, url) in chosen.items():
        lines[url].append(line)
    count = c4.get_counter_inc_fn("dedupe-lines")
    for page in pages:
        joined = {"pages": [page], "lines": lines[page.url]}
        for left in c4._remove_lines_from_text((page.url, joined), count, min_num_sentences=0):
            row = {"url": left.url, "timestamp": left.timestamp, "text": left.text, "language": None, "words": None}
            for labelled in detector.process(left):
                kept, verdict = words.judge(labelled)
                row |= {"language": labelled.language, "words": verdict, "kept": kept}
            print(json.dumps(row))
    # A counter that was never raised is not there.
    print(json.dumps({"/".join(key): n for key, n in counters.items()}))


# --- Ours.

STAGES = ("split-wet-file/", "too-long-filter/", "duplicate-url-filter/", "paragraph-filter/", "dedupe-lines/")
LATER = ("language-filter/", "badwords-filter")


def build(c4, recipe, output, wets):
    """`c4 build`; what it says if it refuses."""
    command = [c4, "build", "--recipe", recipe, "--ledger", "all", "-o", str(output), *map(str, wets)]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    return None if done.returncode == 0 else done.stderr.strip()


def documents(c4, corpus):
    return {row["url"]: row for row in rows_of([c4, "cat", "--full", corpus])}


def counters(corpus, prefixes):
    found = json.loads((corpus / "stats.json").read_text())["counters"]
    return {name: n for name, n in found.items() if name.startswith(prefixes)}


def rows_of(command, **options):
    """The JSON lines that a program prints. Only \\n ends a line: texts hold other line boundaries."""
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, encoding="utf-8", check=True, **options)
    return [json.loads(line) for line in done.stdout.split("\n") if line]


class Report:
    def __init__(self):
        self.fine = True

    def compare(self, what, ours, theirs):
        """Two dictionaries, by key."""
        wrong = [key for key in sorted(ours.keys() | theirs.keys()) if ours.get(key) != theirs.get(key)]
        print(f"{what}: {len(theirs)} compared, {len(wrong)} differ")
        for key in wrong[:10]:
            print(f"  {key}: ours {str(ours.get(key))[:200]!r}, reference {str(theirs.get(key))[:200]!r}")
        self.fine &= not wrong and bool(theirs)


AROUND = ["", " ", "x", "é", "_", "-", "0", ".", "'", "\n", "\u0301", "\u200b", "一", "ア", "ก", "①", "½", "ª", "İ", "ẞ", "😀"]


def made_up(rng):
    """Every entry of every list among odd neighbours, in languages with and without suffixes."""
    for path in sorted((ROOT / "data/lists").glob("naughty-words-1.2.0-*.json")):
        language = path.stem.removeprefix("naughty-words-1.2.0-").split("-")[0]
        for entry in json.loads(path.read_text()):
            for _ in range(16):
                before, after, other = (rng.choice(AROUND) for _ in range(3))
                word = rng.choice([entry, entry.upper(), entry.title(), entry.replace(" ", "  ")])
                text = f"{other}{rng.choice(['', 'ok ', 'de'])}{before}{word}{after}{rng.choice(['', ' so', 'ん'])}{other}"
                code = rng.choice([language, language, f"{language}-Latn", f"{language}-x-y", "und"])
                yield {"url": f"http://example.com/{rng.randrange(10**9)}", "language": code, "text": text}


def text_of(row):
    return (row["timestamp"], row["text"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wets", type=Path, nargs="*", help="gzipped WET files")
    parser.add_argument("--c4", default=str(ROOT / "target/release/c4"), help="the program")
    parser.add_argument("--judge", default=str(ROOT / "target/release/examples/judge"), help="the example program")
    parser.add_argument("--reference", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--reference-words", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    # Of pages that are equally old the first counts; ours are in the order of their archives' names.
    wets = sorted((wet.resolve() for wet in args.wets), key=lambda wet: wet.name)
    if args.reference:
        return reference(wets)
    if args.reference_words:
        return reference_words()
    if not wets:
        parser.error("name a WET file")
    peers.HOME.mkdir(parents=True, exist_ok=True)
    python = peers.environment("multilingual")
    *rows, theirs = rows_of([python, Path(__file__).resolve(), "--reference", *wets])
    rows = {row["url"]: row for row in rows}
    report = Report()
    with tempfile.TemporaryDirectory(dir=peers.HOME) as folder:
        check(args, python, Path(folder), wets, rows, theirs, report)
    sys.exit(0 if report.fine else 1)


def check(args, python, folder, wets, rows, theirs, report):
    print("1. Up to line dedup")
    recipe = subprocess.run([args.c4, "recipes", "multilingual"], stdout=subprocess.PIPE, text=True, check=True).stdout
    first, _, rest = recipe.partition("[language]")
    early = folder / "early.toml"
    rest = rest[rest.index("[split]") :].replace("by_language = true", "by_language = false")
    early.write_text((first + rest).replace('name = "multilingual"', 'name = "early"', 1))
    if refusal := build(args.c4, str(early), folder / "early", wets):
        sys.exit(refusal)
    ours = documents(args.c4, folder / "early")
    report.compare("  pages and texts", {url: text_of(row) for url, row in ours.items()}, {url: text_of(row) for url, row in rows.items()})
    of_stages = {name: n for name, n in theirs.items() if name.startswith(STAGES) and n}
    report.compare("  counters", counters(folder / "early", STAGES), of_stages)

    print("2. Bad words, given the languages of gcld3; then made-up texts")
    labelled = [row for row in rows.values() if row["language"]]
    lines = "".join(json.dumps({key: row[key] for key in ("url", "text", "language")}) + "\n" for row in labelled)
    verdicts = rows_of([args.judge, "bad_words", "multilingual"], input=lines)
    verdicts = dict(zip((row["url"] for row in labelled), verdicts, strict=True))
    report.compare("  verdicts", verdicts, {row["url"]: row["words"] for row in labelled})
    seen = collections.Counter(str(row["words"]) for row in labelled)
    print(f"  of which {dict(seen)} in {len({row['language'] for row in labelled})} languages")

    texts = list(made_up(random.Random(1)))
    lines = "".join(json.dumps(row) + "\n" for row in texts)
    wanted = rows_of([python, Path(__file__).resolve(), "--reference-words"], input=lines)
    found = rows_of([args.judge, "bad_words", "multilingual"], input=lines)
    report.compare("  verdicts on made-up texts", dict(enumerate(found)), dict(enumerate(wanted)))
    print(f"  of which {dict(collections.Counter(map(str, wanted)))}")

    print("3. Languages")
    if refusal := build(args.c4, "multilingual", folder / "whole", wets):
        print(f"  not compared: {refusal}")
        return
    ours = documents(args.c4, folder / "whole")
    language = {url: row["language"] for url, row in ours.items()}
    for reason in ("bad_words", "other_language"):
        for row in rows_of([args.c4, "ledger", "--json", "--reason", reason, folder / "whole"]):
            # The reference says nothing of the language of a page that it does not keep.
            language[row["url"]] = row["language"] if reason == "bad_words" else None
    differing = {url for url, row in rows.items() if language.get(url) != row["language"]}
    share = 100 * (1 - len(differing) / len(rows))
    print(f"  {len(rows)} pages: {len(rows) - len(differing)} in the same language, {share:.3f} %")
    for url in sorted(differing)[:10]:
        print(f"  {url}: ours {language.get(url)}, gcld3 {rows[url]['language']}")

    print("4. The whole recipe, where the language is the same")
    whole = lambda row: (*text_of(row), row["language"])  # noqa: E731
    report.compare(
        "  pages, texts, languages",
        {url: whole(row) for url, row in ours.items() if url not in differing},
        {url: whole(row) for url, row in rows.items() if row.get("kept") and url not in differing},
    )
    if differing:
        print("  counters not compared, since some languages differ")
        report.fine = False
        return
    later = {name: n for name, n in theirs.items() if name.startswith(STAGES + LATER) and n}
    report.compare("  counters", counters(folder / "whole", STAGES + LATER), later)


if __name__ == "__main__":
    main()
