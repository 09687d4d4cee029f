"""C4's rules on Ray Data: crawl archives in, cleaned pages out.

    python pipeline/ray/c4_ray.py --recipe en --output OUTPUT ARCHIVES...

Inputs are archives, folders of them or listings, on disks that all nodes see, as is the output: Parquet, a page a row. The
module `c4` (the wheel of pipeline/python) must be installed on every node. It joins the cluster of RAY_ADDRESS, or starts
one on this machine. A task an archive reads and cleans it, batch by batch; the pages are those of `c4.read` and
`c4.clean`, whatever the number of nodes.

This is cleaning alone, each page by itself: the length and line rules, citations, sentences. Which of several copies of a page
or line stays, the language and the bad words need all pages at once: `c4 build`, or pipeline/spark/c4_spark.py.

Counters are printed, and are in `_counters.json` beside the pages. Exit status 1: done, but not all archives could be read.
"""

import argparse
import json
import os
import sys
from collections import Counter

import c4
import pyarrow as pa
import pyarrow.compute as pc
import ray

PAGE = ["url", "text", "timestamp", "content_type", "content_length", "archive", "record_offset", "order"]


@ray.remote(num_cpus=0)
class Totals:
    """What became of records and pages, archive by archive; one that is read again, since a node was lost, counts once."""

    def __init__(self):
        self.known, self.counters, self.damaged = set(), Counter(), []

    def add(self, entry: dict, counters: Counter) -> None:
        if entry["archive"] not in self.known:
            self.known.add(entry["archive"])
            self.counters += counters
            if entry["state"] != "read":
                self.damaged.append(entry)

    def sums(self) -> tuple[dict[str, int], list[dict]]:
        return dict(sorted(self.counters.items())), self.damaged


def clean(archives: pa.Table, recipe: str, every_page: bool, totals):
    """Archives to pages: those that stay, or all of them with the reason why they go."""
    for archive in archives.to_pylist():
        counters = Counter(archives=1)
        reader = c4.read(archive["path"], recipe, labels=[archive["archive"]])
        for pages in reader:
            cleaned, _ = c4.clean(pages, recipe)
            reasons = cleaned.column("reason")
            counters["pages"] += cleaned.num_rows
            counters["pages/kept"] += reasons.null_count
            for count in pc.value_counts(reasons.drop_null()).to_pylist():
                counters[f"pages/{count['values']}"] += count["counts"]
            if every_page:
                yield pa.table(cleaned.select([*PAGE, "reason"]))
            else:
                yield pa.table(cleaned.filter(reasons.is_null()).select(PAGE))
        records = reader.stats.tally()["records"]
        counters["records"] += records["in"]
        counters.update({f"records/{reason}": count for reason, count in records["dropped"].items()})
        (entry,) = reader.inputs
        ray.get(totals.add.remote(entry, counters))


def list_archives(inputs: list[str], recipe: str) -> list[dict[str, str]]:
    found = c4.inputs(inputs, recipe)
    if not found:
        raise ValueError("no archive in " + ", ".join(inputs))
    return [{"path": os.path.abspath(entry["path"]), "archive": entry["archive"]} for entry in found]


def pages(archives: list[dict[str, str]], recipe: str, every_page: bool, totals) -> ray.data.Dataset:
    """The cleaned pages of archives as a dataset, to be written, or to go on with."""
    return ray.data.from_items(archives, override_num_blocks=len(archives)).map_batches(
        clean,
        fn_kwargs={"recipe": recipe, "every_page": every_page, "totals": totals},
        batch_size=1,
        batch_format="pyarrow",
    )


def for_workers(recipe: str) -> str:
    """A recipe as workers can load it: the text of a file, or its path if it has word lists beside it."""
    if recipe in c4.recipes() or not os.path.isfile(recipe):
        return recipe
    with open(recipe, encoding="utf-8") as file:
        text = file.read()
    try:
        c4.inputs([], text)
        return text
    except ValueError:
        return os.path.abspath(recipe)


def main() -> int:
    parser = argparse.ArgumentParser(prog="c4_ray.py", description="C4's rules on Ray Data: archives in, cleaned pages out.")
    parser.add_argument("inputs", nargs="+", help="archives, folders of them, listings")
    parser.add_argument("--output", required=True, help="folder of the pages, new or empty")
    parser.add_argument("--recipe", default="c4", help="a built-in recipe, or a TOML file (default: c4)")
    parser.add_argument("--all", action="store_true", help="dropped pages, too: no text, but the reason")
    args = parser.parse_args()
    recipe = for_workers(args.recipe)
    if os.path.isdir(args.output) and os.listdir(args.output):
        raise SystemExit(f"c4_ray: {args.output} is not empty; give another --output")
    try:
        archives = list_archives(args.inputs, recipe)
        ray.init(log_to_driver=False)
        totals = Totals.remote()
        pages(archives, recipe, args.all, totals).write_parquet(os.path.abspath(args.output))
        counters, damaged = ray.get(totals.sums.remote())
    except (ValueError, OSError) as error:
        raise SystemExit(f"c4_ray: {error}") from error
    finally:
        ray.shutdown()
    # Ray itself prints to standard output at times. Readers of Parquet pass over names that begin so.
    text = json.dumps(counters, indent=2)
    os.makedirs(args.output, exist_ok=True)  # without a page there is none
    with open(os.path.join(args.output, "_counters.json"), "w", encoding="utf-8") as file:
        file.write(text + "\n")
    print(text)
    for entry in damaged:
        print(f"c4_ray: {entry['archive']}: {entry['state']}: {entry.get('damage')}", file=sys.stderr)
    return 1 if damaged else 0


if __name__ == "__main__":
    sys.exit(main())
