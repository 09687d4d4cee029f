"""C4 on Apache Spark: the corpus of `c4 build`, made by a cluster.

    spark-submit pipeline/spark/c4_spark.py --recipe en --output s3a://bucket/en s3a://bucket/archives/ ...

Inputs are archives or folders of them, on disks that all workers see, on `s3a://` or `hdfs://`. The module `c4` (the wheel
of pipeline/python) must be installed on every worker. The output has shards, `stats.json` and `manifest.json`: the rows,
shards and counters of `c4 build` on the same inputs, to the byte of every shard, whatever the number of workers, and
however often a task was tried. Exit status 1: done, but some archives could not be read (they are told, and in the manifest).
Intermediate files are in a folder of WORK (default: OUTPUT.work) that goes at the end.

Archives and corpus are read and written by pyarrow: for hdfs:// it wants libhdfs and CLASSPATH; for stores other than Amazon's
AWS_ENDPOINT_URL (on workers, by spark.executorEnv). What is between is Spark's: for s3a:// it wants the package hadoop-aws.

    read     a task an archive: pages, rules, keys                         -> WORK/pages
    newest   of all pages of one URL the one that stays                    shuffle of (hash, timestamp, place)
    copies   of all equal lines or spans the one that stays                shuffle of (hash, owner, position)
    finish   pages without what they lost, judged by language and words    shuffle of pages by place -> WORK/rows
    shards   a task a shard: rows by the hash of their URL                 shuffle of rows -> OUTPUT

Both elections combine before they shuffle: whatever a task has of one key leaves it as one row.
"""

import argparse
import hashlib
import json
import os
import re
import sys
import tempfile
import time
from contextlib import contextmanager
from urllib.parse import urlparse

import c4
import pyarrow as pa
import pyarrow.compute
import pyarrow.fs
from pyspark import TaskContext
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

PAGE = "url string, timestamp string, content_type string, content_length string, archive string, record_offset bigint"
# `place` is the archive's, `order` the record's in it; together a page's name. The last row of an archive has `stats` and
# `input`, and nothing else.
PAGES = f"""place int, `order` bigint, {PAGE}, text string, reason string, competes boolean, url_key binary,
    owner binary, counts binary, keys array<binary>, stats binary, input string"""
ROWS = f"{PAGE}, text string, language string, language_score float, split string, url_key binary, stats binary"
# What a run leaves in its output that was stopped.
OWN = re.compile(r"(_partial\.\d+\.)?(([a-z-]+\.)?(train|validation)-\d+-of-\d+\.[a-z.]+|stats\.json|manifest\.json)")
# Archives whose damage is told; the manifest has all.
MOST_SAID = 20
DROPS = pa.list_(pa.struct([("position", pa.int64()), ("same_page", pa.int64())]))


def filesystem(uri: str) -> tuple[pa.fs.FileSystem, str]:
    """The file system of a path or URI, and the path on it. AWS_ENDPOINT_URL is for stores other than Amazon's."""
    parts = urlparse(uri)
    if "://" not in uri:
        return pa.fs.LocalFileSystem(), os.path.abspath(uri)
    endpoint = urlparse(os.environ.get("AWS_ENDPOINT_URL", ""))
    if parts.scheme in ("s3", "s3a") and endpoint.netloc:
        store = pa.fs.S3FileSystem(endpoint_override=endpoint.netloc, scheme=endpoint.scheme)
        return store, f"{parts.netloc}{parts.path}".rstrip("/")
    return pa.fs.FileSystem.from_uri(uri.replace("s3a://", "s3://", 1))


def is_local(uri: str) -> bool:
    return "://" not in uri or uri.startswith("file://")


def list_archives(uris: list[str], recipe: str) -> list[tuple[int, str, str]]:
    """(place, path, label) of all archives, in the order in which `c4 build` has them."""
    if all(is_local(uri) for uri in uris):
        paths = [filesystem(uri)[1] for uri in uris]
        found = [(entry["path"], entry["archive"]) for entry in c4.inputs(paths, recipe)]
    else:
        paths = set()
        for uri in uris:
            files, path = filesystem(uri)
            scheme = uri.split("://", 1)[0]
            info = files.get_file_info(path)
            if info.type == pa.fs.FileType.NotFound:
                raise SystemExit(f"c4_spark: {uri}: no such file or folder")
            if info.type == pa.fs.FileType.Directory:
                inside = files.get_file_info(pa.fs.FileSelector(path, recursive=True))
                inside = [f.path for f in inside if f.type == pa.fs.FileType.File and is_archive(f.base_name)]
            else:
                inside = [path]
            paths.update(f"{scheme}://{name}" for name in inside)
        # By name, then by folder.
        paths = sorted(paths, key=lambda path: (path.rsplit("/", 1)[-1], path))
        found = list(zip(paths, labels(paths)))
    if not found:
        raise SystemExit("c4_spark: no archive in " + ", ".join(uris))
    return [(place, path, label) for place, (path, label) in enumerate(found)]


def labels(paths: list[str]) -> list[str]:
    """Names of files, with as many folders as all of one name need to differ: those of `c4 build`."""
    same: dict[str, list[list[str]]] = {}
    for path in paths:
        parts = path.split("/")
        same.setdefault(parts[-1], []).append(parts)

    def label(path: str) -> str:
        parts, length = path.split("/"), 1
        others = same[parts[-1]]
        while len({tuple(other[-length:]) for other in others}) < len(others):
            length += 1
        return "/".join(parts[-length:])

    return [label(path) for path in paths]


def is_archive(name: str) -> bool:
    for ending in (".gz", ".zst"):
        name = name.removesuffix(ending)
    return name.endswith((".warc", ".wet"))


@contextmanager
def on_this_machine(path: str):
    """An archive as a file; what is elsewhere is fetched, and goes afterwards."""
    if is_local(path):
        yield filesystem(path)[1]
        return
    files, name = filesystem(path)
    with tempfile.TemporaryDirectory() as folder:
        target = os.path.join(folder, "archive")
        pa.fs.copy_files(name, target, source_filesystem=files, destination_filesystem=pa.fs.LocalFileSystem())
        yield target


def conform(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The columns of `schema`; what is missing is null."""
    columns = []
    for field in schema:
        there = field.name in batch.schema.names
        columns.append(batch.column(field.name).cast(field.type) if there else pa.nulls(batch.num_rows, field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def one_row(schema: pa.Schema, **values) -> pa.RecordBatch:
    return conform(pa.RecordBatch.from_pylist([values]), schema)


def arrow_schema(ddl: str) -> pa.Schema:
    from pyspark.sql.pandas.types import to_arrow_schema
    from pyspark.sql.types import StructType

    return to_arrow_schema(StructType.fromDDL(ddl))


def read(recipe: str):
    """Archives to pages, what the rules made of them, and their keys."""
    schema = arrow_schema(PAGES)

    def work(batches):
        for batch in batches:
            for entry in batch.to_pylist():
                with on_this_machine(entry["path"]) as path:
                    yield from archive(entry["place"], path, entry["label"])

    def archive(place, path, label):
        stats = c4.Stats()
        reader = c4.read(path, recipe, labels=[label])
        for pages in reader:
            cleaned, counted = c4.clean(pages, recipe)
            stats += counted
            places = pa.array([place] * cleaned.num_rows, pa.int32())
            cleaned = cleaned.append_column("place", places)
            yield conform(cleaned.append_column("keys", c4.keys(cleaned, recipe)), schema)
        (entry,) = reader.inputs
        stats += reader.stats
        yield one_row(schema, place=place, stats=stats.to_bytes(), input=json.dumps(entry))

    return work


def finish(recipe: str):
    """Pages and what they lost to rows."""
    schema = arrow_schema(ROWS)

    def work(batches):
        stats = c4.Stats()
        for batch in batches:
            finished, counted = c4.finish(batch, batch.column("drops"), recipe)
            stats += counted
            yield conform(finished.filter(finished.column("reason").is_null()), schema)
        yield one_row(schema, stats=stats.to_bytes())

    return work


def write(recipe: str, output: str, format: str, sets: list[tuple[tuple, int, int]]):
    """Rows, in order, to the shard of the task; `sets` has the name (split, or language and split), index
    and count of each. And the same for one shard, here."""

    def shard(target: int, batches) -> str:
        (*language, split), index, count = sets[target]
        with tempfile.TemporaryDirectory() as folder:
            writer = c4.ShardWriter(folder, recipe, split, index, count, language=language[0] if language else None, format=format)
            for batch in batches:
                if pa.compute.any(pa.compute.not_equal(batch.column("target"), target)).as_py():
                    raise RuntimeError(f"rows of another shard in partition {target}: Spark has cut partitions anew")
                writer.write(batch)
            entry = writer.finish()
            publish(os.path.join(folder, entry["file"]), output, entry["file"])
        return json.dumps(entry)

    def work(batches):
        target = TaskContext.get().partitionId()
        yield pa.RecordBatch.from_pylist([{"target": target, "entry": shard(target, batches)}])

    return work, shard


def publish(path: str, output: str, name: str) -> None:
    """Copies a file to the output, where it is whole or not there."""
    files, folder = filesystem(output)
    task = TaskContext.get()
    attempt = task.taskAttemptId() if task else 0
    partial = f"{folder}/_partial.{attempt}.{name}"
    pa.fs.copy_files(path, partial, source_filesystem=pa.fs.LocalFileSystem(), destination_filesystem=files)
    files.move(partial, f"{folder}/{name}")


def metered(work, seconds):
    """`work`, with the CPU seconds of its Python processes added to `seconds` (of tasks that were tried again, too)."""

    def run(batches):
        started = time.process_time()
        yield from work(batches)
        seconds.add(time.process_time() - started)

    return run


def losers(claims: DataFrame, rank, best) -> DataFrame:
    """Of all claims to one `key` those that `best` of `rank` does not choose, with the `winner`."""
    # Combined before the shuffle: a row a key and task. Keys with one claim, nearly all, end here.
    chosen = claims.groupBy("key").agg(best(rank).alias("winner"), F.count("*").alias("copies"))
    chosen = chosen.where("copies > 1").drop("copies")
    return claims.join(chosen, "key").where(rank != F.col("winner"))


def older_copies(pages: DataFrame) -> DataFrame:
    """(place, order) of pages of which a newer one with the same URL stays."""
    claims = pages.where("competes").select("place", "order", F.col("url_key").alias("key"), "timestamp")
    # The newest; of several the first archive's, and the first in it.
    rank = F.struct("timestamp", (-F.col("place")).alias("place"), (-F.col("order")).alias("order"))
    return losers(claims, rank, F.max).select("place", "order")


def dropped_copies(pages: DataFrame, older: DataFrame) -> DataFrame:
    """(place, order, drops) of pages that lose lines or spans."""
    kept = pages.where("reason is null and stats is null").join(older, ["place", "order"], "left_anti")
    claims = kept.select("place", "order", "owner", F.posexplode("keys").alias("position", "key"))
    lost = losers(claims, F.struct("owner", "position"), F.min)
    same_page = F.when(F.col("winner.owner") == F.col("owner"), F.col("winner.position").cast("bigint"))
    drop = F.struct(F.col("position").cast("bigint").alias("position"), same_page.alias("same_page"))
    return lost.groupBy("place", "order").agg(F.collect_list(drop).alias("drops"))


def shard_of(count: str):
    """The place of `url_key` among as many equal parts of the key space as column `count` says."""
    first = "cast(conv(hex(substring(url_key, 1, 8)), 16, 10) as decimal(20, 0))"
    return F.expr(f"int(({first} * cast({count} as decimal(10, 0))) div {1 << 64}bd)")


def sum_of(rows: DataFrame) -> c4.Stats:
    """All statistics, added up on the workers."""
    parts = rows.where("stats is not null").select("stats").rdd

    def add(rows):
        total = c4.Stats()
        for row in rows:
            total += c4.Stats.from_bytes(bytes(row.stats))
        yield total.to_bytes()

    def both(a, b):
        return (c4.Stats.from_bytes(a) + c4.Stats.from_bytes(b)).to_bytes()

    return c4.Stats.from_bytes(parts.mapPartitions(add).treeReduce(both))


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


def size(text: str) -> int:
    """Bytes; K, M, G are powers of 1024."""
    unit = {"K": 10, "M": 20, "G": 30}.get(text[-1:].upper(), 0)
    bytes = int(text[:-1] if unit else text) << unit
    if not 1 << 10 <= bytes <= 1 << 62:
        raise argparse.ArgumentTypeError("must be at least 1K and at most 2^62")
    return bytes


def write_shards(spark: SparkSession, rows: DataFrame, recipe: str, output: str, args: argparse.Namespace, seconds) -> list[dict]:
    """Rows to shards; their entries in the manifest."""
    # A set of shards is a split, or a split of one language.
    by = ["language", "split"] if c4.recipe(recipe)["split"].get("by_language") else ["split"]
    sums = rows.groupBy(*by).agg(F.sum(F.octet_length("text")).alias("bytes")).collect()
    sizes = {tuple(row[name] for name in by): row.bytes for row in sums}
    heads = sorted({name[:-1] for name in sizes} | ({()} if by == ["split"] else set()))
    shards_of, sets = [], []
    for name in (head + (split,) for head in heads for split in ("train", "validation")):
        count = max(1, -(-sizes.get(name, 0) // args.shard_size))
        shards_of.append((*name, len(sets), count))
        sets += [(name, index, count) for index in range(count)]
    tell(f"writing {len(sets)} shards")
    if not sets:
        return []
    fields = ", ".join(f"{name} string" for name in by)
    places = F.broadcast(spark.createDataFrame(shards_of, f"{fields}, first int, count int"))
    ordered = (
        rows.join(places, by)
        .withColumn("target", F.col("first") + shard_of("count"))
        .repartitionById(len(sets), "target")
        .sortWithinPartitions("url_key")
    )
    work, shard = write(recipe, output, args.format, sets)
    written = ordered.mapInArrow(metered(work, seconds), "target bigint, entry string").collect()
    entries = {row.target: row.entry for row in written}
    # Of partitions without rows Spark may make no task.
    return [json.loads(entries[target] if target in entries else shard(target, [])) for target in range(len(sets))]


def absolute(uri: str) -> str:
    return uri.rstrip("/") if "://" in uri else os.path.abspath(uri)


def remove_stopped(files: pa.fs.FileSystem, folder: str, name: str) -> None:
    """Takes what a stopped run has written out of the output; refuses one that holds anything else."""
    inside = files.get_file_info(pa.fs.FileSelector(folder))
    if any(file.base_name == "manifest.json" for file in inside):
        raise ValueError(f"{name} holds a corpus; give another --output")
    if others := [file.base_name for file in inside if not OWN.fullmatch(file.base_name)]:
        raise ValueError(f"{name} holds {others[0]}, which is of no corpus; give another --output")
    for file in inside:
        files.delete_file(file.path)


def build(spark: SparkSession, args: argparse.Namespace) -> int:
    recipe = for_workers(args.recipe)
    # Workers may run in other folders.
    output = absolute(args.output)
    # A folder of this corpus alone, since it goes at the end.
    work = f"{absolute(args.work or output + '.work')}/c4-{hashlib.sha256(output.encode()).hexdigest()[:16]}"
    for uri in (output, work):
        if set(uri) & set("*?[]{}\\"):
            raise ValueError(f"{uri}: Spark takes *, ?, [, ], {{, }} for patterns; give another folder")
    archives = list_archives(args.inputs, recipe)
    files, folder = filesystem(output)
    files.create_dir(folder, recursive=True)
    remove_stopped(files, folder, args.output)
    seconds = {stage: spark.sparkContext.accumulator(0.0) for stage in ("read", "finish", "shards")}

    tell(f"reading {len(archives)} archives")
    # A task an archive.
    tasks = spark.sparkContext.parallelize(archives, len(archives))
    tasks = spark.createDataFrame(tasks, "place int, path string, label string")
    tasks.mapInArrow(metered(read(recipe), seconds["read"]), PAGES).write.mode("overwrite").parquet(f"{work}/pages")
    pages = spark.read.parquet(f"{work}/pages")

    tell("newest pages and copies of lines")
    older_copies(pages).write.mode("overwrite").parquet(f"{work}/older")
    older = spark.read.parquet(f"{work}/older")
    drops = dropped_copies(pages, older)

    tell("finishing pages")
    reason = F.when(F.col("older"), "older_copy").otherwise(F.col("reason"))
    judged = (
        pages.where("stats is null")
        .drop("keys", "owner", "competes", "stats", "input")
        .join(older.withColumn("older", F.lit(True)), ["place", "order"], "left")
        .withColumn("reason", reason)
        .join(drops, ["place", "order"], "left")
    )
    judged.mapInArrow(metered(finish(recipe), seconds["finish"]), ROWS).write.mode("overwrite").parquet(f"{work}/rows")
    rows = spark.read.parquet(f"{work}/rows")

    stats = sum_of(pages) + sum_of(rows)
    stats.check()
    rows = rows.where("stats is null")
    shards = write_shards(spark, rows, recipe, output, args, seconds["shards"])
    inputs = pages.where("stats is not null").orderBy("place").select("input").collect()
    inputs = [json.loads(row.input) for row in inputs]
    manifest, statistics = c4.manifest(
        recipe,
        shards,
        inputs,
        stats,
        format=args.format,
        shard_size=args.shard_size,
    )
    with tempfile.TemporaryDirectory() as temporary:
        # The manifest last: with it the corpus is done.
        for name, data in (("stats.json", statistics), ("manifest.json", manifest)):
            path = os.path.join(temporary, name)
            with open(path, "wb") as file:
                file.write(data)
            publish(path, output, name)
    if not args.keep_work:
        work_files, work_folder = filesystem(work)
        work_files.delete_dir(work_folder)
        above = work_folder.rsplit("/", 1)[0]
        if not args.work and not work_files.get_file_info(pa.fs.FileSelector(above)):
            work_files.delete_dir(above)
    pages_in, pages_out = (stats.tally()["pages"][side] for side in ("in", "out"))
    tell("CPU seconds in Python: " + ", ".join(f"{stage} {spent.value:.1f}" for stage, spent in seconds.items()))
    tell(f"{pages_in} pages in, {pages_out} kept: corpus in {args.output}")
    broken = [entry for entry in inputs if entry["state"] != "read"]
    for entry in broken[:MOST_SAID]:
        places = "; ".join(f"offset {damage['offset']}: {damage['cause']}" for damage in entry.get("damage", []))
        tell(f"{entry['archive']}: {entry['state']}: {places}")
    if broken[MOST_SAID:]:
        tell(f"and {len(broken) - MOST_SAID} more archives; all are in {args.output}/manifest.json")
    return 1 if broken else 0


def tell(what: str) -> None:
    print(f"c4_spark: {what}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="c4_spark.py", description="C4 on Apache Spark: the corpus of `c4 build`.")
    parser.add_argument("inputs", nargs="+", help="archives, or folders of them: paths, s3a://, hdfs://")
    parser.add_argument("--output", required=True, help="folder of the corpus")
    parser.add_argument("--recipe", default="c4", help="a built-in recipe, or a TOML file; one with word lists beside it on a disk that all workers see (default: c4)")
    parser.add_argument("--format", default="arrow", choices=["arrow", "parquet", "jsonl"])
    parser.add_argument("--shard-size", type=size, default=256 << 20, help="bytes of text of a shard (K, M, G; default: 256M)")
    parser.add_argument("--work", help="folder of intermediate files, seen by all workers (default: OUTPUT.work)")
    parser.add_argument("--keep-work", action="store_true", help="leave the intermediate files")
    args = parser.parse_args()
    spark = SparkSession.builder.appName("c4").getOrCreate()
    try:
        status = build(spark, args)
    except (ValueError, OSError) as error:
        raise SystemExit(f"c4_spark: {error}") from error
    finally:
        spark.stop()
    sys.exit(status)


if __name__ == "__main__":
    main()
