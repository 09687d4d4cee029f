"""The module `c4`: parts put together by hand give the corpus of a build, and bad input is named."""

import ast
import gzip
import hashlib
import importlib.metadata
import inspect
import json
import mmap
import multiprocessing
import os
import pickle
import shutil
import threading
import warnings
from pathlib import Path
from types import MappingProxyType

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import c4

HERE = Path(__file__).resolve().parent
RECIPE = HERE / "../../../data/recipes/en.toml"
SAMPLES = sorted((HERE / "../../../data/samples").resolve().glob("*.gz"))


def drops_of(cleaned: list[pa.RecordBatch]) -> tuple[set, dict]:
    """Pages whose URL another page has, and what pages lose: what a cluster computes with its shuffles."""
    newest, older = {}, set()
    rows = [
        (place, row)
        for batch in cleaned
        for row in batch.to_pylist()
        for place in [(row["archive"], row["order"])]
    ]
    for place, row in rows:
        if row["competes"]:
            key = row["url_key"]
            # Archives are in the order of their names here; the larger timestamp, then the earlier place.
            best = newest.get(key)
            if best is None or row["timestamp"] > best[1]:
                newest[key] = (place, row["timestamp"])
    for place, row in rows:
        if row["competes"] and newest[row["url_key"]][0] != place:
            older.add(place)
    claims = {}
    for place, row in rows:
        if row["reason"] is None and place not in older:
            for position, key in enumerate(row["keys"]):
                claims.setdefault(key, []).append((row["owner"], position, place))
    drops = {}
    for copies in claims.values():
        winner = min(copies)
        for owner, position, place in copies:
            if (owner, position, place) != winner:
                same_page = winner[1] if place == winner[2] else None
                drops.setdefault(place, []).append({"position": position, "same_page": same_page})
    return older, drops


def by_hand(folder: Path, recipe: str, threads: int = 1, rows: int | None = None) -> dict:
    """A corpus from the parts of the module; `rows` cuts batches."""
    stats = c4.Stats()
    reader = c4.read(SAMPLES, recipe, threads=threads)
    cleaned = []
    for pages in reader:
        for start in range(0, pages.num_rows, rows or pages.num_rows):
            part = pages.slice(start, rows or pages.num_rows)
            batch, counted = c4.clean(part, recipe, threads=threads)
            stats += counted
            cleaned.append(batch.append_column("keys", c4.keys(batch, recipe, threads=threads)))
    stats += reader.stats
    older, drops = drops_of(cleaned)
    kept = []
    for batch in cleaned:
        places = list(zip(batch.column("archive").to_pylist(), batch.column("order").to_pylist()))
        reasons = batch.column("reason").to_pylist()
        reasons = ["older_copy" if place in older else reason for place, reason in zip(places, reasons)]
        at = batch.schema.get_field_index("reason")
        batch = batch.set_column(at, "reason", pa.array(reasons, pa.string()))
        lost = pa.array([drops.get(place) for place in places], pa.list_(pa.struct([("position", pa.int64()), ("same_page", pa.int64())])))
        finished, counted = c4.finish(batch, lost, recipe, threads=threads)
        stats += counted
        kept.append(finished.filter(finished.column("reason").is_null()))
    stats.check()
    table = pa.Table.from_batches(kept).sort_by("url_key")
    folder.mkdir()
    shards = []
    for split in ("train", "validation"):
        writer = c4.ShardWriter(folder, recipe, split, 0, 1)
        writer.write(table.filter(pa.compute.equal(table["split"], split)))
        shards.append(writer.finish())
    manifest, statistics = c4.manifest(recipe, shards, reader.inputs, stats)
    (folder / "stats.json").write_bytes(statistics)
    (folder / "manifest.json").write_bytes(manifest)
    return json.loads(manifest)


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """Corpora by recipe, as a build makes them."""
    made = {}

    def build(recipe: str) -> tuple[Path, dict]:
        if recipe not in made:
            folder = tmp_path_factory.mktemp("built") / recipe
            made[recipe] = folder, c4.build(SAMPLES, folder, recipe, ledger="none")
        return made[recipe]

    return build


@pytest.mark.parametrize("recipe", ["c4", "en", "en.noblocklist", "en.noclean"])
def test_parts_give_the_corpus_of_a_build(recipe, built, tmp_path):
    folder, manifest = built(recipe)
    ours = by_hand(tmp_path / "hand", recipe)
    for key in ("recipe", "recipe_hash", "inputs", "shards", "versions"):
        assert ours[key] == manifest[key], key
    assert sum(shard["rows"] for shard in ours["shards"]) > 30
    for shard in ours["shards"]:
        data = (tmp_path / "hand" / shard["file"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == shard["sha256"]
        assert data == (folder / shard["file"]).read_bytes()
    one, other = (json.loads((f / "stats.json").read_text()) for f in (folder, tmp_path / "hand"))
    for key in ("counters", "tally", "stages", "years", "languages", "bad_words"):
        assert one[key] == other[key], key
    assert one["counters"]["train/examples"] > 0


@pytest.mark.parametrize(("threads", "rows"), [(2, None), (1, 1), (0, 3)])
def test_neither_threads_nor_batches_show(threads, rows, built, tmp_path):
    ours = by_hand(tmp_path / "hand", "c4", threads, rows)
    assert ours["shards"] == built("c4")[1]["shards"]


def page(text="It is a page. It has three sentences. This is the third one.", **more):
    row = {"url": "https://a.example/", "timestamp": "2019-04-18T10:12:43Z", "text": text, **more}
    return pa.RecordBatch.from_pylist([row])


def test_tables_and_all_kinds_of_strings_are_taken():
    wanted = c4.clean(page(), "en")[0].to_pylist()
    for kind in (pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())):
        batch = page()
        columns = [column.cast(kind) for column in batch.columns]
        table = pa.Table.from_arrays(columns, batch.schema.names)
        got = c4.clean(table, "en")[0]
        assert got.column("text").to_pylist() == [row["text"] for row in wanted], kind
        assert got.column("url_key").to_pylist() == [row["url_key"] for row in wanted], kind
    empty = c4.clean(page().slice(0, 0), "en")[0]
    assert empty.num_rows == 0 and "reason" in empty.schema.names
    assert len(c4.keys(empty, "en")) == 0 and c4.finish(empty, None, "en")[0].num_rows == 0


def test_dictionaries_without_entries():
    nulls = pa.DictionaryArray.from_arrays(pa.array([None, None], pa.int8()), pa.array([], pa.string()))
    assert c4.keys(pa.record_batch({"text": nulls}), "en").to_pylist() == [[], []]
    pages = pa.record_batch({name: nulls for name in ("url", "text", "timestamp")})
    with pytest.raises(ValueError, match="`url` is null in row 0"):
        c4.clean(pages, "en")
    assert c4.clean(pages.slice(0, 0), "en")[0].num_rows == 0
    cleaned = c4.clean(page(), "en")[0]
    reason = cleaned.set_column(cleaned.schema.get_field_index("reason"), "reason", nulls.slice(1))
    assert c4.finish(reason, None, "en")[0].column("reason").to_pylist() == [None]


def test_columns_of_any_kind_pass_through():
    batch = page()
    for column in (
        pa.array([[1]], pa.list_view(pa.int8())),
        pa.array([("a", 1)], pa.struct([("a", pa.string()), ("a", pa.int8())])),
        pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1], pa.int8())),
        pa.RunEndEncodedArray.from_arrays(pa.array([1], pa.int16()), pa.array(["x"])),
        pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])]),
    ):
        field = pa.field("other", column.type, metadata={"of": "a field"})
        batch = pa.RecordBatch.from_arrays([*page().columns, column], schema=page().schema.append(field))
        given = c4.clean(batch, "en")[0]
        assert given.schema.field("other").equals(field, check_metadata=True)
        assert given.column("other").equals(column)


def test_reasons_and_columns_that_pass_through():
    batch, stats = c4.clean(page("Lorem ipsum is here, a page of it.", extra=[7]), "en")
    assert batch.column("reason").to_pylist() == ["lorem_ipsum"]
    assert batch.column("text").to_pylist() == [None]
    assert batch.column("extra").to_pylist() == [[7]]
    finished, more = c4.finish(batch, None, "en")
    assert finished.column("reason").to_pylist() == ["lorem_ipsum"]
    dropped = (stats + more).tally()["pages"]["dropped"]
    assert dropped["lorem_ipsum"] == 1


INVALID = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")])


@pytest.mark.parametrize(
    ("column", "array", "words"),
    [
        ("text", pa.array([5]), ["`text`", "Int64"]),
        ("text", pa.array([None], pa.string()), ["`text`", "null", "row 0"]),
        ("text", INVALID, ["`text`", "row 0", "UTF-8", "index 0"]),
        ("url", pa.array([b"http://a.example/"]), ["`url`", "Binary"]),
        ("timestamp", None, ["`timestamp`", "missing", "url"]),
    ],
)
def test_wrong_columns_are_named(column, array, words):
    columns = {field.name: values for field, values in zip(page().schema, page().columns) if field.name != column}
    if array is not None:
        columns[column] = array
    batch = pa.RecordBatch.from_pydict(columns)
    with pytest.raises(ValueError) as error:
        c4.clean(batch, "en")
    assert all(word in str(error.value) for word in words), error.value


def test_what_finish_refuses():
    cleaned = c4.clean(page(), "en")[0]
    kind = pa.list_(pa.struct([("position", pa.int64()), ("same_page", pa.int64())]))

    def refused(words, batch=cleaned, drops=None):
        with pytest.raises(ValueError) as error:
            c4.finish(batch, drops, "en")
        assert all(word in str(error.value) for word in words), error.value

    refused(["drops", "2 lists", "1 page"], drops=pa.array([None, None], kind))
    refused(["drops"], drops=pa.array([3]))
    for place in (-1, 1, 1 << 40):
        refused(["drops", f"position {place}", "1 keys"], drops=pa.array([[{"position": place, "same_page": None}]], kind))
    refused(["drops", "null"], drops=pa.array([[{"position": None, "same_page": None}]], kind))
    refused(["drops", "null"], drops=pa.array([[None]], kind))
    refused(["drops", "same_page 0"], drops=pa.array([[{"position": 0, "same_page": 0}]], kind))
    refused(["drops", "position 0", "twice"], drops=pa.array([[{"position": 0, "same_page": None}] * 2], kind))
    refused(["drops", "Float64"], drops=pa.array([[{"position": 0.5, "same_page": None}]]))
    refused(["drops", "same_page"], drops=pa.array([[{"position": 0}]]))
    refused(["drops is Dictionary", "lists of structs"], drops=pa.DictionaryArray.from_arrays(pa.array([0]), pa.array([[]], kind)))
    # The order of the fields says nothing.
    backwards = pa.array([[{"same_page": None, "position": 0}]])
    assert c4.finish(cleaned, backwards, "en")[0].column("reason").to_pylist() == ["emptied_by_dedup"]

    def with_column(name, array):
        at = cleaned.schema.get_field_index(name)
        return cleaned.set_column(at, name, array)

    refused(["counts", "row 0"], with_column("counts", pa.array([b"\xff" * 7])))
    # Counts, text, reason and URL belong together.
    refused(["text", "row 0"], with_column("text", pa.array(["Another page. It was not cleaned. It has three."])))
    refused(["text", "row 0"], with_column("counts", c4.clean(page(page().column("text")[0].as_py() + " More."), "en")[0].column("counts")))
    refused(["reason", "row 0", "older_copy"], with_column("reason", pa.array(["curly_bracket"])))
    refused(["counts", "row 0", "url_key"], with_column("url_key", pa.array([b"\1" * 16])))
    huge = pa.list_(pa.struct([("position", pa.uint64()), ("same_page", pa.uint64())]))
    refused(["drops.same_page", str(2**63 + 5)], drops=pa.array([[{"position": 0, "same_page": 2**63 + 5}]], huge))
    counts = bytearray(cleaned.column("counts")[0].as_py())
    counts[0] ^= 1
    refused(["counts", "row 0"], with_column("counts", pa.array([bytes(counts)])))
    reason = c4.clean(page("Lorem ipsum is here."), "en")[0]
    refused(["counts", "row 0"], reason.set_column(reason.schema.get_field_index("counts"), "counts", pa.array([bytes(counts)])))
    refused(["url_key", "5 bytes"], with_column("url_key", pa.array([b"short"])))
    refused(["reason", "nonsense"], with_column("reason", pa.array(["nonsense"])))
    refused(["row 0", "text"], with_column("text", pa.array([None], pa.string())))


def test_columns_of_more_than_2_gib():
    # All rows are one string.
    data = b"word " * 200_000 + b"\n"
    views = np.zeros((2600, 4), np.int32)
    views[:, 0] = len(data)
    views[:, 1] = np.frombuffer(data[:4], np.int32)[0]
    text = pa.Array.from_buffers(pa.string_view(), 2600, [None, pa.py_buffer(views.tobytes()), pa.py_buffer(data)])
    words = pa.array([data.decode()])
    dictionary = pa.DictionaryArray.from_arrays(pa.array(np.zeros(2600, np.int32)), words)
    for column in (text, dictionary):
        with pytest.raises(ValueError, match="`text` holds 26000[0-9]+ bytes"):
            c4.keys(pa.record_batch({"text": column}), "c4")
    # A slice from the far end of a large column: memory that nobody has touched.
    far = 2_300_000_000
    memory = mmap.mmap(-1, far + 30)
    memory[far:] = b"It is. It was. It will be now."
    offsets = np.array([0, far, far + 30], np.int64)
    text = pa.Array.from_buffers(pa.large_string(), 2, [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(memory)])
    assert len(c4.keys(pa.record_batch({"text": text[1:]}), "en")[0]) == 1
    with pytest.raises(ValueError, match="`text` holds 2300000030 bytes"):
        c4.keys(pa.record_batch({"text": text}), "en")


def test_names_and_metadata_of_columns():
    batch = page()
    twice = pa.RecordBatch.from_arrays([*batch.columns, batch.column(0)], [*batch.schema.names, batch.schema.names[0]])
    with pytest.raises(ValueError, match="two columns.*`url`"):
        c4.clean(twice, "en")
    told = c4.clean(batch.replace_schema_metadata({"from": "a crawl"}), "en")[0]
    assert told.schema.metadata == {b"from": b"a crawl"}


def test_recipes_that_cannot_be():
    with pytest.raises(ValueError, match="no-such.*en.noblocklist"):
        c4.clean(page(), "no-such")
    with pytest.raises(ValueError, match="unknown field `speling`"):
        c4.clean(page(), 'name = "x"\nspeling = 1\n')
    with pytest.raises(ValueError, match="domains"):
        c4.clean(page(), "realnewslike")
    assert list(c4.recipes())[:2] == ["c4", "en"]
    text = RECIPE.read_text()
    with pytest.raises(ValueError, match="name: `en`.*a name of its own"):
        c4.clean(page(), text.replace("min_sentences = 3", "min_sentences = 4"))
    with pytest.raises(ValueError, match="language.keep.*xx"):
        c4.clean(page(), text.replace('name = "en"', 'name = "mine"').replace('keep = ["en"]', 'keep = ["xx"]'))


def test_a_recipe_file_that_changes_is_loaded_again(tmp_path):
    path = tmp_path / "mine.toml"
    text = RECIPE.read_text().replace('name = "en"', 'name = "mine"')
    for sentences, reason in ((3, None), (4, "too_few_sentences"), (3, None)):
        path.write_text(text.replace("min_sentences = 3", f"min_sentences = {sentences}"))
        cleaned = c4.clean(page(), path)[0]
        assert c4.recipe(path) == c4.recipe(str(path))
        assert cleaned.column("reason").to_pylist() == [reason]
    # What one recipe has cleaned no other finishes.
    with pytest.raises(ValueError, match="row 0.*counts.*recipe"):
        c4.finish(cleaned, None, "en")
    # TOML has no folder in which word lists could be.
    listed = text.replace("ldnoobw-25e679f-en", "words.txt")
    assert listed != text
    with pytest.raises(ValueError, match="words.txt"):
        c4.clean(page(), listed)


def test_pages_that_go_have_no_keys_and_drops_may_be_of_any_kind():
    cleaned = c4.clean(page(), "en")[0]
    assert [len(keys) for keys in c4.keys(cleaned, "en").to_pylist()] == [1]
    at = cleaned.schema.get_field_index("reason")
    older = cleaned.set_column(at, "reason", pa.array(["older_copy"]))
    assert c4.keys(older, "en").to_pylist() == [[]]
    assert c4.finish(older, None, "en")[0].column("reason").to_pylist() == ["older_copy"]
    lost = [[{"position": 0, "same_page": None}]]
    for drops in (lost, iter(lost), pl.Series(lost), pl.DataFrame({"drops": lost})["drops"], pa.chunked_array([pa.array(lost)])):
        assert c4.finish(cleaned, drops, "en")[0].column("reason").to_pylist() == ["emptied_by_dedup"]
    itself = []
    itself.append(itself)
    for wrong in (object(), itself, [[{"position": 0.5, "same_page": None}]]):
        with pytest.raises(ValueError, match="drops"):
            c4.finish(cleaned, wrong, "en")


def test_the_corpus_by_hand_of_the_readme(built, tmp_path):
    text = (HERE / "../README.md").read_text()
    (code,) = (part.split("```")[0] for part in text.split("```python\n") if "is_first_distinct" in part.split("```")[0])
    # Pages of which one is there twice, newer in the second archive.
    copies = [tmp_path / "a.warc.wet.gz", tmp_path / "b.warc.wet.gz"]
    copies[0].write_bytes(SAMPLES[1].read_bytes())
    newer = gzip.decompress(SAMPLES[1].read_bytes()).replace(b"WARC-Date: 20", b"WARC-Date: 21")
    copies[1].write_bytes(gzip.compress(newer))
    archives = [*SAMPLES, *copies]
    result = {"c4": c4, "archives": archives}
    exec(code, result)
    c4.build(archives, tmp_path / "out", "en", format="parquet", ledger="none")
    wanted = pl.concat([pl.read_parquet(path) for path in sorted((tmp_path / "out").glob("*.parquet"))])
    assert wanted.height > 50
    assert (result["pages"]["reason"] == "older_copy").sum() > 5
    assert sorted(result["kept"].select("url", "text", "timestamp").rows()) == sorted(wanted.select("url", "text", "timestamp").rows())


def test_objects_that_are_no_batches():
    for thing in (None, 3, "text", [1], object()):
        with pytest.raises(TypeError, match="batch"):
            c4.clean(thing, "en")
        with pytest.raises(TypeError, match="batch"):
            c4.keys(thing, "en")


def test_absurd_numbers_of_threads(tmp_path):
    for call in (
        lambda: c4.clean(page(), "en", threads=10**9),
        lambda: c4.read(SAMPLES, threads=10**9),
        lambda: c4.build(SAMPLES, tmp_path / "out", threads=10**9),
    ):
        with pytest.raises(ValueError, match="threads=1000000000"):
            call()
    with pytest.raises(ValueError, match="threads=-1"):
        c4.clean(page(), "en", threads=-1)
    with pytest.raises(TypeError, match="threads"):
        c4.clean(page(), "en", threads="2")


def test_threads_after_a_fork():
    pages = pa.Table.from_batches(list(c4.read(SAMPLES, "en")))
    wanted = c4.clean(pages, "en", threads=2)[0].num_rows
    # Of the parent's threads the child has none.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with multiprocessing.get_context("fork").Pool(1) as pool:
            for threads in (2, 0):
                work = pool.apply_async(count_cleaned, (pages, threads))
                assert work.get(timeout=120) == wanted


def count_cleaned(pages, threads):
    return c4.clean(pages, "en", threads=threads)[0].num_rows


def test_reading_what_cannot_be_read(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        c4.read(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        c4.build(tmp_path / "nowhere", tmp_path / "out")
    # One that is none loses nothing else.
    (tmp_path / "a.warc.gz").write_bytes(b"no archive at all")
    (tmp_path / "empty.warc.gz").write_bytes(b"")
    reader = c4.read([tmp_path, SAMPLES[1]], "en")
    assert sum(batch.num_rows for batch in reader) > 10
    assert [entry["state"] for entry in reader.inputs] == ["failed", "failed", "read"]
    for labels in (["one"], ["a", "b", "c", "a"], ["a", "b", "", "d"]):
        with pytest.raises(ValueError, match="labels"):
            c4.read(SAMPLES, labels=labels)
    for nothing in (5, b"bytes", [5], None):
        with pytest.raises(TypeError, match="wanted: a path"):
            c4.read(nothing)
    with pytest.raises(ValueError, match="empty"):
        c4.read("")
    os.mkfifo(tmp_path / "pipe.warc")
    with pytest.raises(OSError, match="pipe.warc.*neither a file"):
        c4.inputs(tmp_path / "pipe.warc")
    assert c4.inputs([SAMPLES[0], str(SAMPLES[0])]) == c4.inputs(SAMPLES[0])
    reader = c4.read(SAMPLES, "en")
    pages = sum(batch.num_rows for batch in reader)
    states = [entry["state"] for entry in reader.inputs]
    assert states == ["read", "read", "damaged", "damaged"]
    assert reader.stats.tally()["pages"]["in"] == pages == 102
    assert [entry["archive"] for entry in c4.inputs(SAMPLES)] == [path.name for path in SAMPLES]


def test_statistics_are_sums_and_travel():
    parts = []
    for batch in c4.read(SAMPLES, "en"):
        parts.append(c4.clean(batch, "en")[1])
    there = [pickle.loads(pickle.dumps(part)) for part in parts]
    one, other = c4.Stats(), c4.Stats()
    for part in parts:
        one += part
    for part in reversed(there):
        other = part + other
    assert one.tally() == other.tally() and one.to_bytes() == other.to_bytes()
    assert sum(parts) == one == other != c4.Stats()
    before = parts[0].to_bytes()
    total = sum(parts[:1])
    total += one
    assert parts[0].to_bytes() == before
    with pytest.raises(ValueError, match="more than can be added"):
        for _ in range(70):
            total += total
    with pytest.raises(TypeError):
        5 + one
    data = bytearray(one.to_bytes())
    for wrong in (b"", b"\x01\x02", bytes(data[:-1]), bytes([data[0] ^ 1, *data[1:]])):
        with pytest.raises(ValueError, match="Stats"):
            c4.Stats.from_bytes(wrong)
    # Pages that were cleaned and not finished have no fate.
    for whole in (one.check, lambda: one.counters("en")):
        with pytest.raises(ValueError, match="lines"):
            whole()


def test_shards_want_their_order(tmp_path):
    writer = c4.ShardWriter(tmp_path, "en", "train", 0, 1)
    finished = c4.finish(c4.clean(page(), "en")[0], None, "en")[0]
    with pytest.raises(ValueError, match="content_type"):
        writer.write(finished)
    columns = {"content_type": "text/plain", "content_length": "5", "archive": "a", "record_offset": 0}
    row = {**finished.to_pylist()[0], **columns}
    low, high = ({**row, "url_key": byte * 16} for byte in (b"\x01", b"\x02"))
    higher = {**row, "url_key": b"\x03" * 16}
    writer.write(pa.RecordBatch.from_pylist([high]))
    # Nothing of a batch with a wrong row is taken.
    for wrong, words in (
        (low, "row 1.*url_key"),
        ({**higher, "language_score": float("nan")}, "row 1.*language_score.*NaN"),
        ({**higher, "record_offset": -1}, "row 1.*record_offset.*-1"),
        ({**higher, "reason": "older_copy"}, "row 1.*reason.*older_copy"),
        ({**higher, "url_key": b"\0" * 14 + b"\x03\xe8"}, "row 1.*order"),
        ({**higher, "url_key": (1000 << 118).to_bytes(16, "big")}, "row 1.*validation.*train"),
    ):
        with pytest.raises(ValueError, match=words):
            writer.write(pa.RecordBatch.from_pylist([higher, wrong]))
    writer.write(pa.RecordBatch.from_pylist([higher]))
    assert list(tmp_path.glob("train*")) == []
    assert writer.finish()["rows"] == 2
    with pytest.raises(ValueError, match="finished"):
        writer.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["train-00000-of-00001.arrow"]
    for wrong in ({"split": "test"}, {"format": "csv"}, {"index": 1}, {"index": -1}, {"language": "en"}):
        arguments = {"split": "train", "index": 0, "count": 1, **wrong}
        with pytest.raises(ValueError, match=next(iter(wrong))):
            c4.ShardWriter(tmp_path, "en", **arguments)
    for language in (None, "xx", "../../en"):
        with pytest.raises(ValueError, match="language"):
            c4.ShardWriter(tmp_path, "multilingual", "train", 0, 1, language=language)
    c4.ShardWriter(tmp_path, "multilingual", "train", 0, 1, language="de")
    # The second half of all keys is the second shard's.
    writer = c4.ShardWriter(tmp_path, "en", "train", 1, 2)
    with pytest.raises(ValueError, match="shard 0 of 2"):
        writer.write(pa.RecordBatch.from_pylist([low]))
    writer.write(pa.RecordBatch.from_pylist([{**row, "url_key": b"\x80" + b"\1" * 15}]))


def test_a_shard_that_cannot_be_written_is_given_up(tmp_path):
    finished = c4.finish(c4.clean(page(), "en")[0], None, "en")[0].to_pylist()[0]
    columns = {"content_type": "text/plain", "content_length": "5", "archive": "a", "record_offset": 0}
    row = {**finished, **columns, "url_key": b"\1" * 16}
    writer = c4.ShardWriter(tmp_path, "en", "train", 0, 1)
    for scratch in tmp_path.iterdir():
        shutil.rmtree(scratch)
    writer.write(pa.RecordBatch.from_pylist([row]))
    with pytest.raises(OSError, match="train-00000"):
        writer.finish()
    with pytest.raises(ValueError, match="given up"):
        writer.write(pa.RecordBatch.from_pylist([row]))
    with pytest.raises(ValueError, match="given up"):
        writer.finish()
    # Nothing stays of a file that could not get its name.
    (tmp_path / "validation-00000-of-00001.arrow").mkdir()
    writer = c4.ShardWriter(tmp_path, "en", "validation", 0, 1)
    with pytest.raises(OSError, match="validation-00000"):
        writer.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["validation-00000-of-00001.arrow"]


def test_a_fork_leaves_the_files_of_a_shard_alone(tmp_path):
    writer = c4.ShardWriter(tmp_path, "en", "train", 0, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        child = os.fork()
    if child == 0:
        del writer
        os._exit(0)
    os.waitpid(child, 0)
    assert writer.finish()["rows"] == 0


def test_manifests_of_no_corpus(built, tmp_path):
    _, manifest = built("en")
    stats = c4.Stats()
    reader = c4.read(SAMPLES, "en")
    for pages in reader:
        cleaned, counted = c4.clean(pages, "en")
        stats += counted + c4.finish(cleaned, None, "en")[1]
    stats += reader.stats
    kept = stats.tally()["pages"]["out"]
    train, validation = manifest["shards"]
    train = {**train, "rows": kept - validation["rows"]}
    c4.manifest("en", [validation, train], reader.inputs, stats)
    c4.manifest("en", [MappingProxyType(validation), train], reader.inputs, stats)
    for shards, words in (
        ([train], "validation.*missing"),
        ([train, train, validation], "train-00000-of-00001.arrow where"),
        ([{**train, "file": "../train"}, validation], "where"),
        ([{**train, "file": "train-00000-of-00003.arrow"}, validation], "where"),
        ([{**train, "rows": 2**63}, {**validation, "rows": 2**63 + 5}], "rows"),
        ([{**train, "sha256": "zz"}, validation], "SHA-256"),
        ([{**train, "language": "en"}, {**validation, "language": "en"}], "where"),
        ([train, {**validation, "split": "train"}], "where"),
    ):
        with pytest.raises(ValueError, match=words):
            c4.manifest("en", shards, reader.inputs, stats)
    for inputs in (reader.inputs * 2, reader.inputs[:1], []):
        with pytest.raises(ValueError, match="inputs"):
            c4.manifest("en", [train, validation], inputs, stats)
    for arguments in ({"recipe": "multilingual"}, {"format": "parquet"}):
        with pytest.raises(ValueError, match="shards"):
            c4.manifest(**{"recipe": "en", "shards": [train, validation], "inputs": reader.inputs, "stats": stats, **arguments})


def test_one_build_at_a_time(tmp_path):
    said = []

    def build_another(*_):
        if not said:
            with pytest.raises(RuntimeError, match="another build"):
                c4.build(SAMPLES, tmp_path / "other", "en")
            said.append(True)

    inputs = []
    for i in range(40):
        inputs.append(tmp_path / f"{i:02}.warc.wet.gz")
        inputs[-1].write_bytes(SAMPLES[1].read_bytes())
    while not said:
        c4.build(inputs, tmp_path / "out", "en", overwrite=True, threads=1, progress=build_another)


def test_a_build_tells_how_far_it_is_and_can_be_stopped(tmp_path, built):
    told = []
    # Enough archives for the build to be asked some times.
    inputs = []
    for i in range(40):
        copy = tmp_path / f"{i:02}.warc.wet.gz"
        copy.write_bytes(SAMPLES[1].read_bytes())
        inputs.append(copy)
    out = tmp_path / "out"

    class Enough(Exception):
        pass

    def stop(*progress):
        told.append(progress)
        raise Enough

    with pytest.raises(Enough):
        c4.build(inputs, out, "en", progress=stop, threads=1)
        # A machine may be faster than it is asked.
        raise Enough
    manifest = c4.build(inputs, out, "en", progress=lambda *p: told.append(p), threads=1)
    assert sum(shard["rows"] for shard in manifest["shards"]) > 10
    for name, done, total in told:
        assert name in {"reading", "judging", "writing"} and 0 <= done <= total
    # It is done already.
    assert c4.build(inputs, out, "en")["shards"] == manifest["shards"]
    for wrong in ({"memory": 5}, {"memory": -5}, {"shard_size": 10}, {"output": ""}, {"inputs": []}, {"ledger": "lots"}):
        arguments = {"inputs": inputs, "output": out, "recipe": "en", **wrong}
        with pytest.raises(ValueError, match=next(iter(wrong))):
            c4.build(**arguments)
    with pytest.raises(ValueError, match="is a URL"):
        c4.build(inputs, "s3://bucket/out", "en")
    with pytest.raises(ValueError, match="overwrite=True"):
        c4.build(inputs[:1], out, "en")
    with pytest.raises(ValueError, match="shard_size"):
        c4.manifest("en", [], [], c4.Stats(), shard_size=0)


def test_the_interpreter_is_free_while_rust_works():
    pages = [batch for batch in c4.read(SAMPLES, "c4")] * 40
    table = pa.Table.from_batches(pages)
    counted, done = 0, threading.Event()

    def work():
        c4.clean(table, "c4")
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    while not done.is_set():
        counted += 1
    thread.join()
    # Under the lock this loop would turn a few times: once before, once after.
    assert counted > 1000


def test_explain_says_why():
    told = c4.explain("Hello there, you are welcome.\nNo mark here", "en")
    assert told["reason"] == "too_few_sentences"
    assert [line["reason"] for line in told["lines"]] == [None, "no_end_mark"]


def test_the_wheel_holds_the_licences_of_all_that_is_in_it():
    texts = {path.name: path.read_text() for path in importlib.metadata.files("c4") if "licenses" in path.parts}
    assert set(texts) == {"LICENSE", "data.txt", "crates.txt"}
    assert "LDNOOBW" in texts["data.txt"] and "\narrow-pyarrow " in texts["crates.txt"]


def test_the_stub_is_the_module():
    stub = ast.parse((HERE / "../c4.pyi").read_text())

    def arguments(function):
        names = [a.arg for a in function.args.posonlyargs + function.args.args + function.args.kwonlyargs]
        return [name for name in names if name != "self"]

    public = {name for name in dir(c4) if not name.startswith("_")} - {"c4"}
    described = {node.name for node in stub.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    assert described == public
    for node in stub.body:
        if isinstance(node, ast.FunctionDef):
            assert arguments(node) == list(inspect.signature(getattr(c4, node.name)).parameters), node.name
            assert ast.get_docstring(node) and getattr(c4, node.name).__doc__
        if isinstance(node, ast.ClassDef):
            for method in (m for m in node.body if isinstance(m, ast.FunctionDef)):
                assert hasattr(getattr(c4, node.name), method.name), method.name
