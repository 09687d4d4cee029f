#!/usr/bin/env python3
"""The module `c4` beside Python programs with the same rules, page by page.

    python3 pipeline/python/benches/peers.py ARCHIVE|FOLDER... [--pages 10000] [--rounds 3]

Needs what pipeline/benches/peers.py needs; the virtual environments below target/peers/ are made by it, once. The wheel is
the newest in target/wheels/; without one it is built (Rust). Exit status 1: some page is not as TensorFlow Datasets has it.

All get the same pages, in memory: the first of the archives. Each does the page-by-page rules of recipe `en`, no more:

  c4.clean         on the batches of `c4.read`, Arrow in and out
  c4.clean, str    the same, the batches made of Python strings, texts taken back as Python strings
  tfds             is_valid_length and clean_page of TensorFlow Datasets' c4_utils.py, unchanged
  datatrove        C4QualityFilter with C4's thresholds (5 words a line, 3 sentences), sentences by spaCy, its default
  datatrove-nltk   the same, sentences by NLTK's punkt

CPU is user + system time of a process of its own on one thread, imports and models left out, the programs in turns;
ratios are of neighbours in one round. Then wall time of two threads over one: `threads=2`, two threads of Python, and
what two independent processes reach at that moment, which is the most that the machine has to give.
"""

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benches"))
import peers  # noqa: E402

# Program -> its environment, and what the table says of it.
PROGRAMS = {
    "c4.clean": ("wheel", "`c4.clean`"),
    "c4.clean, str": ("wheel", "`c4.clean`, Python strings in and out"),
    "tfds": ("tfds", "TFDS 4.9.10 `clean_page`"),
    "datatrove-nltk": ("datatrove", "datatrove 0.10.1 `C4QualityFilter`, NLTK"),
    "datatrove": ("datatrove", "datatrove 0.10.1 `C4QualityFilter`, spaCy"),
}
peers.PINS |= {"wheel": "pyarrow==26.0.1", "maturin": "maturin==1.16.0"}
WHEELS = peers.ROOT / "target" / "wheels"
SHOWN = 5


# --- In an environment: (work, describe); `work` is timed, `describe` makes of its result texts (None: dropped) and counters.


def batches(folder):
    import pyarrow as pa

    with pa.OSFile(str(folder / "pages.arrow")) as file:
        return list(pa.ipc.open_stream(file))


def pages(folder):
    with open(folder / "pages.jsonl", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def ours(folder):
    import c4

    inputs = batches(folder)
    c4.clean(inputs[0].slice(0, 1), "en")  # loads the recipe

    def describe(results):
        stats, texts = c4.Stats.from_bytes((folder / "stats").read_bytes()), []
        for cleaned, counted in results:
            texts += cleaned.column("text").to_pylist()
            # What became of a page is counted when it is known, in the last step.
            stats += counted + c4.finish(cleaned, None, "en")[1]
        return texts, stats.counters("en")

    return lambda: [c4.clean(batch, "en") for batch in inputs], describe


def ours_of_strings(folder):
    import c4
    import pyarrow as pa

    inputs = pages(folder)
    c4.clean(batches(folder)[0].slice(0, 1), "en")

    def work():
        texts = []
        for start in range(0, len(inputs), 500):
            batch = pa.RecordBatch.from_pylist(inputs[start : start + 500])
            cleaned, _ = c4.clean(batch, "en")
            texts += cleaned.column("text").to_pylist()
        return texts

    return work, lambda texts: (texts, None)


def tfds(folder):
    counters = {}
    reference = peers.load_c4_utils(counters)
    reference._get_sentences("One sentence. Another one.")
    clean = reference.get_clean_page_fn()
    inputs = [reference.PageFeatures(**page) for page in pages(folder)]

    def work():
        texts = []
        for page in inputs:
            cleaned = list(clean(page)) if reference.is_valid_length(page) else []
            texts.append(cleaned[0].text if cleaned else None)
        return texts

    return work, lambda texts: (texts, {"/".join(name): count for name, count in counters.items()})


def datatrove(folder, nltk=False):
    from datatrove.data import Document
    from datatrove.pipeline.filters.c4_filters import C4QualityFilter
    from datatrove.utils.text import split_into_sentences
    from datatrove.utils.word_tokenizers import NLTKTokenizer

    language = NLTKTokenizer("english") if nltk else "eng"
    split_into_sentences("One sentence. Another one.", language)
    quality = C4QualityFilter(min_num_sentences=3, min_words_per_line=5, language=language)
    inputs = [Document(text=page["text"], id=page["url"]) for page in pages(folder)]

    def work():
        return [page.text if quality.filter(page) is True else None for page in inputs]

    return work, lambda texts: (texts, None)


def run(name, folder):
    make = {
        "c4.clean": ours,
        "c4.clean, str": ours_of_strings,
        "tfds": tfds,
        "datatrove": datatrove,
        "datatrove-nltk": lambda folder: datatrove(folder, nltk=True),
    }[name]
    work, describe = make(folder)
    before = peers.cpu()
    result = work()
    seconds = peers.cpu() - before
    texts, counters = describe(result)
    (folder / f"{name}.json").write_text(json.dumps({"texts": texts, "counters": counters}))
    return {"cpu": seconds}


def read(folder, inputs, limit):
    """The first pages of archives, as the module reads them, for all programs: `limit`, and the rest of a batch."""
    import c4
    import pyarrow as pa

    count, size, stats, writer = 0, 0, c4.Stats(), None
    with open(folder / "pages.jsonl", "w", encoding="utf-8") as lines:
        for path in inputs:
            reader = c4.read(path, "en")
            for batch in reader:
                writer = writer or pa.ipc.new_stream(str(folder / "pages.arrow"), batch.schema)
                writer.write_batch(batch)
                for page in batch.select(["url", "text", "timestamp"]).to_pylist():
                    lines.write(json.dumps(page) + "\n")
                    size += len(page["text"].encode())
                count += batch.num_rows
                if count >= limit:
                    break
            stats += reader.stats
            if count >= limit:
                break
    if writer:
        writer.close()
    (folder / "stats").write_bytes(stats.to_bytes())
    return {"pages": count, "bytes": size}


def half(folder, which, passes):
    """Half of the batches, so many times, whenever a line comes in."""
    import c4

    inputs = batches(folder)[which::2]
    c4.clean(inputs[0].slice(0, 1), "en")
    print("ready", flush=True)
    for _ in sys.stdin:
        for batch in inputs * passes:
            c4.clean(batch, "en")
        print("done", flush=True)


def scale(folder, rounds):
    """Wall and CPU seconds of one thread, two of the module's, two of Python's, and two processes, in turns."""
    import c4

    inputs = batches(folder)
    passes = 1

    def clean(part, threads=1):
        for batch in part * passes:
            c4.clean(batch, "en", threads=threads)

    clean(inputs)
    before = peers.cpu()
    clean(inputs)
    # At least a second, so that what is measured is no start of threads.
    passes = math.ceil(1 / max(peers.cpu() - before, 1e-3))
    halves = [child(sys.executable, os.environ, "half", folder, which, passes, stdin=subprocess.PIPE) for which in range(2)]
    for process in halves:
        process.stdout.readline()

    def two_of_python():
        both = [threading.Thread(target=clean, args=(inputs[i::2],)) for i in range(2)]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()

    def two_processes():
        for process in halves:
            process.stdin.write("\n")
            process.stdin.flush()
        if not all(process.stdout.readline() for process in halves):
            sys.exit("a process ended early")

    ways = {"one": lambda: clean(inputs), "two": lambda: clean(inputs, 2), "python": two_of_python, "processes": two_processes}
    result = {name: [] for name in ways}
    for _ in range(rounds):
        for name, work in ways.items():
            wall, used = time.perf_counter(), peers.cpu()
            work()
            result[name].append((time.perf_counter() - wall, peers.cpu() - used))
    for process in halves:
        process.communicate()
    return result


# --- Set-up and the table.


def child(python, env, *arguments, **pipes):
    """This program in an environment."""
    command = [str(python), str(Path(__file__).resolve()), "--child", *map(str, arguments)]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True, **pipes)


def answer(process):
    output, _ = process.communicate()
    if process.returncode != 0:
        sys.exit(f"{' '.join(process.args[3:])} ended with status {process.returncode}")
    return json.loads(output.strip().splitlines()[-1])


def wheel():
    """The newest wheel; built if there is none."""
    found = sorted(WHEELS.glob("c4-*.whl"), key=lambda path: path.stat().st_mtime)
    if not found:
        maturin = peers.environment("maturin").parent / "maturin"
        command = [maturin, "build", "--release", "--locked", "--out", WHEELS]
        subprocess.run(command, check=True, cwd=peers.ROOT / "pipeline" / "python", stdout=sys.stderr)
        found = list(WHEELS.glob("c4-*.whl"))
    return found[-1]


def range_of(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def differences(mine, theirs):
    """Pages with another outcome: kept by us alone, by them alone, by both with another text; and those kept by either."""
    counts = {"ours alone": 0, "theirs alone": 0, "other text": 0, "kept by either": 0}
    different = []
    for place, (a, b) in enumerate(zip(mine, theirs, strict=True)):
        counts["kept by either"] += not a is b is None
        if a != b:
            counts["theirs alone" if a is None else "ours alone" if b is None else "other text"] += 1
            different.append(place)
    return counts, different


def where(mine, theirs):
    if mine is None or theirs is None:
        return f"dropped by {'us' if mine is None else 'them'}: {mine or theirs!r:.100}"
    at = len(os.path.commonprefix([mine, theirs]))
    return f"at character {at}: {mine[at : at + 50]!r}, theirs {theirs[at : at + 50]!r}"


def differing_counters(mine, theirs):
    """Counters of the length rule and `clean_page` that are not the same: name -> (ours, theirs)."""
    names = {name for name in mine | theirs if name.startswith(("too-long-filter/", "clean-page/"))}
    both = {name: (mine.get(name, 0), theirs.get(name, 0)) for name in sorted(names)}
    return {name: counts for name, counts in both.items() if counts[0] != counts[1]}


def main():
    if sys.argv[1:2] == ["--child"]:
        what, folder, *rest = sys.argv[2:]
        folder = Path(folder)
        result = {
            "read": lambda: read(folder, rest[1:], int(rest[0])),
            "run": lambda: run(rest[0], folder),
            "scale": lambda: scale(folder, int(rest[0])),
            "half": lambda: half(folder, int(rest[0]), int(rest[1])),
        }[what]()
        print(json.dumps(result))
        return

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("inputs", nargs="+", type=Path, help="archives, or folders of them")
    parser.add_argument("--pages", type=int, default=10_000, help="the first ones, whole batches (default: 10000)")
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument("--programs", default="|".join(PROGRAMS), help="which of them, separated by | (default: all)")
    args = parser.parse_args()
    programs = args.programs.split("|")
    if unknown := set(programs) - set(PROGRAMS):
        parser.error(f"no such program: {', '.join(sorted(unknown))}")
    if args.pages < 1 or args.rounds < 1 or "c4.clean" not in programs:
        parser.error("it takes at least one page, one round, and c4.clean")

    peers.HOME.mkdir(parents=True, exist_ok=True)
    peers.environment("tfds")  # the punkt model is in it
    pythons = {name: peers.environment(name) for name in {PROGRAMS[name][0] for name in programs}}
    pip = [str(pythons["wheel"]), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run(pip + ["--no-deps", "--force-reinstall", str(wheel())], check=True, stdout=sys.stderr)
    env = os.environ | {"NLTK_DATA": str(peers.punkt()), "PYTHONHASHSEED": "0"} | dict.fromkeys(peers.ONE_THREAD, "1")

    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(dir=peers.HOME) as folder:
        folder = Path(folder)
        paths = [path.resolve() for path in args.inputs]
        size = answer(child(pythons["wheel"], env, "read", folder, args.pages, *paths))
        if not size["pages"]:
            sys.exit("no page in " + ", ".join(map(str, args.inputs)))
        seconds = {name: [] for name in programs}
        for turn in range(args.rounds):
            for name in programs:
                print(f"round {turn + 1}: {name}", file=sys.stderr)
                seconds[name].append(answer(child(pythons[PROGRAMS[name][0]], env, "run", folder, name))["cpu"])
        outcomes = {name: json.loads((folder / f"{name}.json").read_text()) for name in programs}
        print("threads", file=sys.stderr)
        walls = answer(child(pythons["wheel"], env, "scale", folder, args.rounds))

    mine = outcomes["c4.clean"]["texts"]
    reference = seconds["c4.clean"]
    print(f"{size['pages']} pages, {size['bytes'] / 1e6:.1f} MB of text, {time.strftime('%Y-%m-%d')}; {peers.processor()},")
    print(f"{os.cpu_count()} cores, load average {load:.1f} before, {os.getloadavg()[0]:.1f} after; Python {platform.python_version()}.")
    print("Medians (min to max) of CPU seconds on one thread, imports and models left out.")
    print()
    print("| program | CPU s | pages a CPU s | c4.clean is faster | kept | same outcome | of those kept by either |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    failed = False
    for name in programs:
        texts = outcomes[name]["texts"]
        counts, different = differences(mine, texts)
        ratio = range_of([theirs / us for theirs, us in zip(seconds[name], reference)])
        equal, either = len(texts) - len(different), counts["kept by either"]
        share = f"{100 * (1 - len(different) / either):.2f} %" if either else "-"
        print(
            f"| {PROGRAMS[name][1]} | {range_of(seconds[name])} | {len(texts) / statistics.median(seconds[name]):,.0f} | {ratio}"
            f" | {sum(text is not None for text in texts)} | {equal} ({100 * equal / len(texts):.2f} %) | {share} |"
        )
    print()
    for name in programs[1:]:
        counts, different = differences(mine, outcomes[name]["texts"])
        what = ", ".join(f"{count} {kind}" for kind, count in counts.items() if kind != "kept by either")
        print(f"{name}: {len(different)} pages differ: {what}" if different else f"{name}: no page differs")
        if PROGRAMS[name][0] == "datatrove":
            continue  # it has other rules
        theirs = outcomes[name]["counters"]
        other = differing_counters(outcomes["c4.clean"]["counters"], theirs) if theirs else {}
        for counter, (a, b) in other.items():
            print(f"  counter {counter}: {a}, theirs {b}")
        for place in different[:SHOWN]:
            print(f"  page {place}, {where(mine[place], outcomes[name]['texts'][place])}")
        failed |= bool(other or different)
    print()
    print("| way | wall s | faster than one thread | CPU s over its |")
    print("|---|--:|--:|--:|")
    one = walls["one"]
    labels = {
        "one": "one thread",
        "two": "`threads=2`",
        "python": "two Python threads, half of the batches each",
        "processes": "two processes, the same",
    }
    for name, label in labels.items():
        faster = range_of([a[0] / b[0] for a, b in zip(one, walls[name])])
        more = range_of([b[1] / a[1] for a, b in zip(one, walls[name])]) if name != "processes" else "-"
        print(f"| {label} | {range_of([wall for wall, _ in walls[name]])} | {faster} | {more} |")
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
