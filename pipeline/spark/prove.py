"""Proofs of c4_spark.py on a cluster of two workers on this machine: prove.py C4 ARCHIVES...

1. For `en`, `c4` and `multilingual`: every shard is that of `c4 build` to the byte, and so are counters and tally.
2. With a worker's Python and an executor killed in the middle: the same.
3. One line on 200,000 pages, one URL 50,000 times: the same, and no task takes more than its share.
4. Damaged archives into a folder where a run was stopped: the same, told, exit status 1, and nobody else's files go.
5. CPU seconds beside `c4 build --threads 2`, stage by stage.

Exit status 1 if something differs.
"""

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

JOB = Path(__file__).resolve().parent / "c4_spark.py"
SAMPLES = JOB.parents[2] / "data/samples"
CLUSTER = "local-cluster[2,1,1024]"


def spark(output: Path, recipe: str, inputs: list[str], events: Path, *settings: str, during=None) -> str:
    """Runs the job; gives what it says. `during` is called with the process while it runs."""
    events.mkdir(parents=True, exist_ok=True)
    python = sys.executable
    environment = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": python, "PYSPARK_DRIVER_PYTHON": python}
    command = [str(Path(python).parent / "spark-submit"), "--master", CLUSTER, "--driver-memory", "1g"]
    defaults = ["spark.ui.enabled=false", "spark.log.level=ERROR", "spark.sql.shuffle.partitions=8"]
    logged = ["spark.eventLog.enabled=true", f"spark.eventLog.dir=file://{events}", "spark.eventLog.compress=false"]
    for setting in [*defaults, *logged, *settings]:
        command += ["--conf", setting]
    command += [str(JOB), "--recipe", recipe, "--output", str(output), *inputs]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if during:
        threading.Thread(target=during, args=(process,), daemon=True).start()
    # spark-submit sends what a Python program says to its own stdout.
    said, _ = process.communicate()
    # 1: done, but not all could be read.
    if process.returncode and "kept: corpus in" not in said:
        print(said[-4000:])
        raise SystemExit(f"the job failed: {process.returncode}")
    lines = [line for line in said.splitlines() if "c4_spark: " in line]
    return "\n".join([*lines, f"exit status {process.returncode}"])


def build(c4: str, output: Path, recipe: str, inputs: list[str]) -> None:
    command = [c4, "build", "-r", recipe, "-o", str(output), "--ledger", "none", "--threads", "2", *inputs]
    status = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if status.returncode not in (0, 1):
        raise SystemExit(status.stderr)


def compare(ours: Path, wanted: Path, what: str) -> bool:
    """Shards (by their SHA-256, which are checked), archives, counters, tally."""

    def corpus(folder: Path) -> dict:
        manifest = json.loads((folder / "manifest.json").read_text())
        stats = json.loads((folder / "stats.json").read_text())
        facts = {key: manifest[key] for key in ("recipe_hash", "inputs", "shards")}
        return facts | {key: stats[key] for key in ("counters", "tally", "stages", "years", "languages", "bad_words")}

    one, other = corpus(ours), corpus(wanted)
    different = [key for key in other if one[key] != other[key]]
    bytes_differ = [s["file"] for s in other["shards"] if (ours / s["file"]).read_bytes() != (wanted / s["file"]).read_bytes()]
    rows = sum(shard["rows"] for shard in one["shards"])
    verdict = "equal" if not different and not bytes_differ else f"DIFFERENT: {different} {bytes_differ}"
    print(f"{what}: {rows:,} rows in {len(one['shards'])} shards: {verdict}", flush=True)
    return verdict == "equal"


def tasks(events: Path) -> list[dict]:
    """What the tasks that ended well have used."""
    found = []
    for file in sorted(path for path in events.rglob("*") if path.is_file() and "events" in path.name or path.name.startswith(("app-", "local-"))):
        if not file.is_file():
            continue
        for line in file.read_text().splitlines():
            event = json.loads(line)
            if event.get("Event") == "SparkListenerTaskEnd" and event["Task End Reason"]["Reason"] == "Success":
                metrics = event["Task Metrics"]
                shuffle = metrics["Shuffle Read Metrics"]
                found.append(
                    {
                        "stage": event["Stage ID"],
                        "cpu": metrics["Executor CPU Time"] / 1e9,
                        "memory": metrics["Peak Execution Memory"],
                        "records": shuffle["Total Records Read"],
                        "bytes": shuffle["Remote Bytes Read"] + shuffle["Local Bytes Read"],
                        "spilled": metrics["Disk Bytes Spilled"],
                    }
                )
    return found


def killer(done: list[str]):
    """Kills, while the job runs, one of its Python workers and then an executor."""

    def children(pid: int) -> list[int]:
        listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True).stdout
        rows = [line.split(None, 2) for line in listed.splitlines()]
        below, new = [], [pid]
        while new:
            below += new
            new = [int(row[0]) for row in rows if int(row[1]) in new]
        names = {int(row[0]): row[2] for row in rows if len(row) > 2}
        return [(p, names.get(p, "")) for p in below]

    def during(process) -> None:
        for what, words in (("python worker", "pyspark.daemon"), ("executor", "CoarseGrainedExecutorBackend")):
            end = time.monotonic() + 120
            while time.monotonic() < end and process.poll() is None:
                found = [pid for pid, name in children(process.pid) if words in name and "spark-class" not in name]
                # The daemon forks its workers: the last one is at work.
                if (what == "executor" and found) or len(found) > 1:
                    time.sleep(2)
                    try:
                        os.kill(found[-1], signal.SIGKILL)
                        done.append(what)
                    except ProcessLookupError:
                        pass
                    break
                time.sleep(0.2)

    return during


def skewed(folder: Path) -> list[str]:
    """Archives in which a line is on 200,000 pages and a URL is there 50,000 times."""
    folder.mkdir()
    random.seed(1)
    words = [word + "ing" for word in "walk talk sing read turn help work play open look start end".split()]
    line = "On day {} of year {} the people of the town were {} and {} in the street, and nobody was {} at home."
    paths = []
    for archive in range(25):
        path = folder / f"skew-{archive:02}.warc.wet.gz"
        with gzip.open(path, "wb", compresslevel=1) as file:
            for page in range(10_000):
                number = archive * 10_000 + page
                again = page < 2_000
                url = "https://again.example/" if again else f"https://site-{number % 997}.example/{number}"
                own = [line.format(number, i, *random.choices(words, k=3)) for i in range(3)]
                text = "\n".join([*own, "This line is on very many of all these pages."])
                date = f"2019-04-18T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}Z"
                data = text.encode()
                head = f"WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Target-URI: {url}\r\nWARC-Date: {date}\r\n"
                head += f"WARC-Record-ID: <urn:uuid:{number:032x}>\r\nContent-Type: text/plain\r\nContent-Length: {len(data)}\r\n\r\n"
                file.write(head.encode() + data + b"\r\n\r\n")
        paths.append(str(path))
    return paths


def main() -> None:
    c4, *inputs = sys.argv[1:]
    fine = True
    with tempfile.TemporaryDirectory(prefix="c4-spark-") as temporary:
        place = Path(temporary)
        # The last has two shards a language.
        for recipe in ("en", "c4", "multilingual"):
            build(c4, place / f"one-{recipe}", recipe, inputs)
            said = spark(place / recipe, recipe, inputs, place / f"events-{recipe}")
            fine &= compare(place / recipe, place / f"one-{recipe}", recipe)
            run = json.loads((place / f"one-{recipe}/run.json").read_text())
            print(f"  c4 build --threads 2, CPU s by pass: {run['cpu_seconds_by_pass']}")
            print("  " + next(line for line in said.splitlines() if "CPU seconds" in line))
            used = tasks(place / f"events-{recipe}")
            print(f"  CPU s of Spark's own, in executors: {sum(task['cpu'] for task in used):.1f} in {len(used)} tasks")

        killed: list[str] = []
        spark(place / "killed", "c4", inputs, place / "events-killed", during=killer(killed))
        fine &= compare(place / "killed", place / "one-c4", f"c4, killed in the middle: {' and '.join(killed) or 'NOTHING'}")
        fine &= len(killed) == 2

        samples = sorted(map(str, SAMPLES.glob("*.gz")))
        build(c4, place / "one-damaged", "en", samples)
        (place / "damaged").mkdir()
        for left in ("_partial.3.train-00001-of-00002.arrow", "train-00000-of-00007.arrow"):
            (place / "damaged" / left).write_text("left by a run that was stopped")
        others = place / "damaged.work/others"
        others.parent.mkdir()
        others.write_text("mine")
        said = spark(place / "damaged", "en", samples, place / "events-damaged")
        fine &= compare(place / "damaged", place / "one-damaged", "damaged archives, after a run that was stopped")
        shards = [shard["file"] for shard in json.loads((place / "damaged/manifest.json").read_text())["shards"]]
        exact = {path.name for path in (place / "damaged").iterdir()} == {*shards, "stats.json", "manifest.json"}
        told = "damaged.warc.gz: damaged: offset" in said and "exit status 1" in said
        print(f"  damage told: {told}; no file but the corpus's: {exact}; others' files stay: {others.exists()}")
        fine &= told and exact and others.exists()

        archives = skewed(place / "skewed")
        build(c4, place / "one-skew", "en.noblocklist", archives)
        adaptive = "spark.sql.adaptive."
        # Partitions of a few MB are large here; in a cluster the defaults are 256 MB and 64 MB.
        small = [f"{adaptive}skewJoin.skewedPartitionThresholdInBytes=4m", f"{adaptive}advisoryPartitionSizeInBytes=2m", f"{adaptive}autoBroadcastJoinThreshold=-1", "spark.sql.autoBroadcastJoinThreshold=-1"]
        spark(place / "skew", "en.noblocklist", archives, place / "events-skew", *small)
        fine &= compare(place / "skew", place / "one-skew", "one line on 200,000 pages, one URL 50,000 times")
        used = tasks(place / "events-skew")
        most = max(used, key=lambda task: task["records"])
        memory = max(task["memory"] for task in used)
        print(f"  of {len(used)} tasks the one that read most read {most['records']:,} rows ({most['bytes'] / 1e6:.1f} MB); peak of execution memory {memory / 1e6:.0f} MB, spilled {sum(task['spilled'] for task in used)} bytes")
        # An executor of 1 GiB has some 430 MB for it.
        fine &= memory < 430e6
    raise SystemExit(0 if fine else 1)


if __name__ == "__main__":
    main()
