"""c4_ray.py: its pages are those of `c4.read` and `c4.clean` called directly.

    pip install 'ray[data]==2.60.0' pytest target/wheels/c4-*.whl
    python -m pytest pipeline/ray
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

c4 = pytest.importorskip("c4", reason="the wheel of pipeline/python is not installed")
pytest.importorskip("ray.data", reason="ray[data] is not installed")
import pyarrow.parquet as pq  # noqa: E402 (both need it)

HERE = Path(__file__).resolve().parent
SAMPLES = HERE.parents[1] / "data" / "samples"
REAL = HERE.parents[2] / "shared" / "data" / "wet"
COLUMNS = ["url", "text", "timestamp", "content_type", "content_length", "archive", "record_offset", "order"]


def program(*arguments, script=HERE / "c4_ray.py"):
    # No telemetry. A fresh Ray on this machine, whatever cluster the caller is on.
    env = os.environ | {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "RAY_ADDRESS": "local"}
    command = [sys.executable, str(script), *map(str, arguments)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)


def rows_of(folder):
    return sorted(
        (row for file in folder.glob("*.parquet") for row in pq.read_table(file).to_pylist()), key=lambda row: (row["archive"], row["order"])
    )


def direct(folder, recipe, every_page):
    """Rows and counters without Ray, of all archives by one reader."""
    reader, rows, counters = c4.read(folder, recipe), [], Counter()
    for batch in reader:
        for row in c4.clean(batch, recipe)[0].to_pylist():
            counters["pages"] += 1
            counters["pages/" + (row["reason"] or "kept")] += 1
            if every_page or row["reason"] is None:
                rows.append({name: row[name] for name in [*COLUMNS, *(["reason"] if every_page else [])]})
    counters["archives"] = len(reader.inputs)
    records = reader.stats.tally()["records"]
    counters["records"] = records["in"]
    counters.update({f"records/{reason}": count for reason, count in records["dropped"].items()})
    damaged = {entry["archive"] for entry in reader.inputs if entry["state"] != "read"}
    return sorted(rows, key=lambda row: (row["archive"], row["order"])), +counters, damaged


def compare(inputs, output, recipe, *options, **script):
    done = program(*options, "--recipe", recipe, "--output", output, inputs, **script)
    rows, counters, damaged = direct(inputs, str(recipe), "--all" in options)
    assert damaged, "one of these archives is damaged"
    assert done.returncode == 1, done.stderr
    assert all(f"c4_ray: {archive}: damaged" in done.stderr for archive in damaged)
    printed = (output / "_counters.json").read_text()
    assert done.stdout.endswith(printed)
    assert json.loads(printed) == counters
    found = rows_of(output)
    assert len(found) == len(rows) > 0
    assert found == rows
    return rows


def test_samples_every_page(tmp_path):
    rows = compare(SAMPLES, tmp_path / "out", "en", "--all")
    dropped = [row for row in rows if row["reason"]]
    assert 0 < len(dropped) < len(rows)
    assert all(row["text"] is None for row in dropped)


def own_recipe():
    text = (HERE.parents[1] / "data" / "recipes" / "c4.toml").read_text()
    assert "min_sentences = 3" in text
    return text.replace('name = "c4"', 'name = "longer"', 1).replace("min_sentences = 3", "min_sentences = 6", 1)


def test_samples_by_a_recipe_of_ones_own(tmp_path):
    recipe = tmp_path / "longer.toml"
    recipe.write_text(own_recipe())
    rows = compare(SAMPLES, tmp_path / "out", recipe)
    assert len(rows) < len(direct(SAMPLES, "c4", False)[0])
    # The folder has pages now.
    done = program("--output", tmp_path / "out", SAMPLES)
    assert done.returncode == 1 and "is not empty" in done.stderr


DYING = """
import os, sys
sys.path.insert(0, {folder!r})
import c4_ray
from ray import cloudpickle

cloudpickle.register_pickle_by_value(c4_ray)
clean = c4_ray.clean

def dying(*args, **kwargs):
    yield from clean(*args, **kwargs)
    try:
        os.close(os.open({mark!r}, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os._exit(1)

c4_ray.clean = dying
sys.exit(c4_ray.main())
"""


def test_a_worker_that_dies_changes_nothing(tmp_path):
    """Its archive is read again; it had been counted."""
    mark, script = tmp_path / "died", tmp_path / "dying.py"
    script.write_text(DYING.format(folder=str(HERE), mark=str(mark)))
    compare(SAMPLES, tmp_path / "out", "en", script=script)
    assert mark.exists()


def test_an_archive_without_pages(tmp_path):
    archive = tmp_path / "none.warc.wet"
    archive.write_bytes(b"WARC/1.0\r\nWARC-Type: warcinfo\r\nContent-Length: 0\r\n\r\n\r\n\r\n")
    done = program("--output", tmp_path / "out", archive)
    assert done.returncode == 0, done.stderr
    _, counters, _ = direct(archive, "c4", False)
    assert json.loads((tmp_path / "out" / "_counters.json").read_text()) == counters
    assert counters["archives"] == 1 and not counters["pages"]


def test_bad_arguments_are_named(tmp_path):
    done = program("--recipe", "no-such-recipe", "--output", tmp_path / "out", SAMPLES)
    assert done.returncode == 1 and "c4_ray: " in done.stderr and "no-such-recipe" in done.stderr
    done = program("--output", tmp_path / "out", tmp_path / "missing")
    assert done.returncode == 1 and "c4_ray: " in done.stderr and "missing" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not REAL.is_dir(), reason=f"{REAL} is not there")
def test_real_crawls(tmp_path):
    compare(REAL, tmp_path / "out", "en")
