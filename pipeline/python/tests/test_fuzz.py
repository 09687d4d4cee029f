"""Whatever Python gives to the module `c4`, it answers with a result or with an error of Python's: no panic, no crash.

Arrays of all of Arrow's types, sound and broken, take the place of columns; all arguments are taken by wrong things. Cases are
drawn by their seed in a process of its own, so that a crash has a name. C4_FUZZ_CASES=N draws so many (`make wheel-test` some
hundred), C4_FUZZ_SEED=N begins there: with C4_FUZZ_CASES=1 one case alone.
"""

import gc
import inspect
import math
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

import c4

CASES = int(os.environ.get("C4_FUZZ_CASES", "700"))
SEED = int(os.environ.get("C4_FUZZ_SEED", "0"))
SAMPLE = (Path(__file__).parent / "../../../data/samples/sample-00001.warc.wet.gz").resolve()
# PanicException is none of them, nor is SystemError.
TOLD = (ValueError, TypeError, OverflowError, OSError, RuntimeError, ArithmeticError, LookupError, NotImplementedError)

FLAT = [
    *(getattr(pa, name)() for name in "null bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64".split()),
    *(getattr(pa, name)() for name in "float16 float32 float64 date32 date64 month_day_nano_interval".split()),
    *(getattr(pa, name)() for name in "string large_string string_view binary large_binary binary_view".split()),
    *(pa.binary(n) for n in (0, 1, 16)),
    *(pa.time32(unit) for unit in ("s", "ms")),
    *(pa.time64(unit) for unit in ("us", "ns")),
    *(pa.timestamp(unit, zone) for unit in ("s", "ms", "us", "ns") for zone in (None, "UTC", "no/zone")),
    *(pa.duration(unit) for unit in ("s", "ms", "us", "ns")),
    *(pa.decimal128(9, scale) for scale in (-3, 0, 4)),
    pa.decimal256(60, 5),
]
FLAT += [getattr(pa, name)(5, 2) for name in ("decimal32", "decimal64") if hasattr(pa, name)]
TEXT = [pa.string(), pa.large_string(), pa.string_view()]
INTEGERS = [kind for kind in FLAT if pa.types.is_integer(kind)]
WORDS = ["", "https://a.example/ä", "2019-04-18T10:12:43Z", "2019", "20é9-04-18T10:12:43Z", "9" * 40, "older_copy", "en", "de", "\0"]
WORDS += ["It is a page. It has three sentences. This is the third one.\nNo mark", "日本語。" * 30, "a\u2028b\r\n\ufeff.", "x" * 5000]


class Own(pa.ExtensionType):
    """An extension of any type."""

    def __init__(self, storage):
        super().__init__(storage, "c4.test.own")

    def __arrow_ext_serialize__(self):
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage, serialized):
        return cls(storage)


def kind(rng, depth=2):
    """A type; nested ones to some depth."""
    if depth == 0 or rng.random() < 0.4:
        return rng.choice(TEXT if rng.random() < 0.3 else FLAT)

    def inner():
        return kind(rng, depth - 1)

    names = ["position", "same_page", "x", "x"]
    kinds = [inner() for _ in range(rng.randrange(4))]
    fields = [pa.field(rng.choice(names), of, pa.types.is_null(of) or rng.random() < 0.8) for of in kinds]
    several = [pa.field(f"c{i}", inner()) for i in range(1 + rng.randrange(3))]
    return rng.choice(
        [
            lambda: pa.list_(inner()),
            lambda: pa.large_list(inner()),
            lambda: pa.list_(inner(), rng.randrange(4)),
            lambda: pa.list_view(inner()),
            lambda: pa.large_list_view(inner()),
            lambda: pa.map_(rng.choice([pa.string(), pa.int8()]), inner()),
            lambda: pa.struct(fields),
            lambda: pa.sparse_union(several),
            lambda: pa.dense_union(several),
            lambda: pa.dictionary(rng.choice(INTEGERS), inner(), rng.random() < 0.5),
            lambda: pa.dictionary(rng.choice(INTEGERS), rng.choice(TEXT)),
            lambda: pa.run_end_encoded(rng.choice([pa.int16(), pa.int32(), pa.int64()]), inner()),
            # pyarrow aborts when it validates an extension of an extension.
            lambda: Own(pa.list_(inner())),
            lambda: Own(rng.choice(FLAT)),
        ]
    )()


def numbers(rng, n, low, high, dtype):
    """Bytes of whole numbers, some of which may be out of bounds."""
    values = [rng.randint(low, max(low, high)) for _ in range(n)]
    if values and rng.random() < 0.1:
        info = np.iinfo(dtype)
        values[rng.randrange(n)] = rng.choice([int(info.min), int(info.max), -1 if info.min else 0, high + 1])
        values = [min(max(value, int(info.min)), int(info.max)) for value in values]
    return pa.py_buffer(np.array(values, dtype).tobytes())


def offsets(rng, n, end, dtype):
    """Those of `n` values, mostly in order."""
    values = sorted(rng.randint(0, end) for _ in range(n + 1))
    if rng.random() < 0.1:
        info = np.iinfo(dtype)
        values[rng.randrange(n + 1)] = rng.choice([int(info.min), int(info.max), -1, end + 1, end + 10**6, 0])
    return pa.py_buffer(np.array(values, dtype).tobytes())


def array(rng, of, n, nulls=True):
    """`n` values of a type, of buffers that may be wrong; `ValueError` where pyarrow sees that."""
    start = rng.choice([0, 0, 0, 1, 9])
    whole = n + start
    validity = None
    if nulls and rng.random() < 0.4:
        validity = pa.py_buffer(rng.randbytes(math.ceil(whole / 8)))
    count = rng.choice([-1, -1, -1, 0, n]) if validity else 0
    types = pa.types

    def of_buffers(buffers, children=None):
        return pa.Array.from_buffers(of, n, [validity, *buffers], count, start, children)

    if isinstance(of, pa.ExtensionType):
        return pa.ExtensionArray.from_storage(of, array(rng, of.storage_type, n))
    if types.is_null(of):
        return pa.nulls(n)
    if types.is_dictionary(of):
        values = array(rng, of.value_type, rng.choice([0, 1, 5]))
        dtype = of.index_type.to_pandas_dtype()
        keys = pa.Array.from_buffers(of.index_type, n, [validity, numbers(rng, whole, 0, len(values) - 1, dtype)], count, start)
        return pa.DictionaryArray.from_arrays(keys, values, ordered=of.ordered, safe=False)
    if types.is_run_end_encoded(of):
        runs = rng.randint(0, 4)
        dtype = of.run_end_type.to_pandas_dtype()
        ends = sorted(rng.randint(1, whole + 3) for _ in range(runs))
        if ends and rng.random() < 0.8:
            ends[-1] = whole + 3
            ends = sorted(set(ends))
        ends = pa.Array.from_buffers(of.run_end_type, len(ends), [None, pa.py_buffer(np.array(ends, dtype).tobytes())])
        return pa.Array.from_buffers(of, n, [None], 0, start, [ends, array(rng, of.value_type, len(ends))])
    if types.is_union(of):
        fields = [of.field(i) for i in range(of.num_fields)]
        ids = numbers(rng, whole, 0, len(fields) - 1, np.int8)
        size = whole if of.mode == "sparse" else rng.randint(0, 5)
        children = [array(rng, field.type, size) for field in fields]
        more = [] if of.mode == "sparse" else [numbers(rng, whole, 0, size - 1, np.int32)]
        return pa.Array.from_buffers(of, n, [None, ids, *more], 0, start, children)
    if types.is_struct(of):
        return of_buffers([], [array(rng, of.field(i).type, whole, of.field(i).nullable) for i in range(of.num_fields)])
    if types.is_map(of):
        size = rng.randint(0, 6)
        entries = pa.struct([of.key_field, of.item_field])
        parts = [array(rng, of.key_type, size, False), array(rng, of.item_type, size)]
        entries = pa.Array.from_buffers(entries, size, [None], 0, 0, parts)
        return of_buffers([offsets(rng, whole, size, np.int32)], [entries])
    if types.is_fixed_size_list(of):
        return of_buffers([], [array(rng, of.value_type, whole * of.list_size)])
    if types.is_nested(of):
        large = types.is_large_list(of) or types.is_large_list_view(of)
        dtype = np.int64 if large else np.int32
        size = rng.randint(0, 6)
        child = array(rng, of.value_type, size)
        if types.is_list(of) or types.is_large_list(of):
            return of_buffers([offsets(rng, whole, size, dtype)], [child])
        return of_buffers([numbers(rng, whole, 0, size // 2, dtype) for _ in range(2)], [child])
    if types.is_string(of) or types.is_large_string(of) or types.is_binary(of) or types.is_large_binary(of):
        if types.is_large_unicode(of) or types.is_large_binary(of):
            dtype = np.int64
        else:
            dtype = np.int32
        words = [rng.choice(WORDS).encode() for _ in range(whole)]
        if rng.random() < 0.7:
            ends = np.cumsum([0, *map(len, words)]).astype(dtype)
            return of_buffers([pa.py_buffer(ends.tobytes()), pa.py_buffer(b"".join(words))])
        data = rng.randbytes(40)
        return of_buffers([offsets(rng, whole, len(data), dtype), pa.py_buffer(data)])
    if of in (pa.string_view(), pa.binary_view()):
        data = b"".join(word.encode() for word in WORDS)
        views = bytearray()
        for _ in range(whole):
            at = rng.randrange(len(data))
            length = rng.randint(0, min(30, len(data) - at))
            if rng.random() < 0.05:
                length, at = rng.choice([(2**31 - 1, 0), (-1, 0), (13, -1), (20, 2**31 - 1), (-(2**31), 5)])
            head = data[at:][:12].ljust(12, b"\0")
            if 0 <= length <= 12:
                views += np.int32(length).tobytes() + head[:length].ljust(12, b"\0")
            else:
                buffer = 0 if rng.random() < 0.97 else rng.choice([1, -1])
                views += np.int32(length).tobytes() + head[:4] + np.array([buffer, at], np.int32).tobytes()
        return of_buffers([pa.py_buffer(bytes(views)), pa.py_buffer(data)])
    if types.is_boolean(of):
        return of_buffers([pa.py_buffer(rng.randbytes(math.ceil(whole / 8)))])
    width = of.bit_width // 8
    data = rng.choice([bytes(whole * width), rng.randbytes(whole * width)])
    # Not at a multiple of what it holds, now and then.
    data = pa.py_buffer(b"x" + data).slice(1) if rng.random() < 0.1 else pa.py_buffer(data)
    return of_buffers([data])


def some_array(rng, n):
    """An array of `n` values, which pyarrow takes for one."""
    for _ in range(50):
        try:
            made = array(rng, kind(rng), n + 2)
            made = made.slice(rng.randrange(3), n) if rng.random() < 0.5 else made.slice(2)
            made.validate()
            return made
        except (*TOLD, pa.ArrowException):
            continue
    return pa.nulls(n)


def of_type(rng, of, n):
    """The same of one type."""
    for _ in range(50):
        try:
            made = array(rng, of, n)
            made.validate()
            return made
        except (*TOLD, pa.ArrowException):
            continue
    return pa.nulls(n)


class Wrapped:
    """What another library gives: capsules, perhaps of what is gone."""

    def __init__(self, inner, way):
        self.inner, self.way, self.kept = inner, way, None

    def __getattr__(self, name):
        if name not in ("__arrow_c_array__", "__arrow_c_stream__"):
            raise AttributeError(name)
        answers = {"raises": None, "nothing": lambda *_: None, "pair": lambda *_: (1, 2), "callable": 7}
        if self.way in answers:
            if self.way == "raises":
                raise LookupError("no such thing")
            return answers[self.way]
        method = getattr(self.inner, name)
        if self.way == "swapped":
            other = "__arrow_c_array__" if name == "__arrow_c_stream__" else "__arrow_c_stream__"
            return getattr(self.inner, other, method)

        def again(requested=None):
            self.kept = self.kept or method()
            return self.kept

        return again if self.way == "twice" else method


def broken(batch):
    """A stream that ends in an error."""

    def batches():
        yield batch
        raise KeyError("broken")

    return pa.RecordBatchReader.from_batches(batch.schema, batches())


def dress(rng, batch):
    """A batch as whatever a caller may have."""
    way = rng.randrange(12)
    if way < 4:
        return batch
    if way < 7:
        pieces = [batch.slice(i, 1) for i in range(batch.num_rows)]
        return pa.Table.from_batches(pieces[: rng.randint(0, 5)], batch.schema)
    if way == 7 and polars_takes(batch):
        return pl.from_arrow(batch)
    if way == 8:
        return broken(batch)
    wrapped = Wrapped(batch, rng.choice(["raises", "nothing", "pair", "callable", "swapped", "twice", "plain"]))
    if wrapped.way == "twice" and rng.random() < 0.5:
        try:
            pa.record_batch(wrapped)
        except pa.ArrowException:
            pass
    return wrapped


def polars_takes(batch):
    """Polars panics where an array is wrong."""
    try:
        batch.validate(full=True)
    except ValueError:
        return False
    return all(kind in (pa.null(), *TEXT, *INTEGERS) for kind in batch.schema.types)


def sound_batch(rng):
    """A batch that any function takes a part of."""
    text = "It is a page. It has three sentences. This is the third one."
    rows = [
        {"url": f"https://a.example/{i}", "timestamp": "2019-04-18T10:12:43Z", "text": rng.choice([text, text.replace(". ", ".\n"), rng.choice(WORDS)])}
        for i in range(rng.randrange(5))
    ]
    schema = pa.schema([(name, pa.string()) for name in ("url", "timestamp", "text")])
    return pa.RecordBatch.from_pylist(rows, schema)


def spoiled(rng, batch):
    """`batch` with other columns in place of some, or beside them."""
    for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
        n = batch.num_rows
        name = rng.choice(batch.schema.names) if rng.random() < 0.8 else rng.choice(["other", "reason", "keys", "é"])
        like = batch.schema.field(name).type if name in batch.schema.names else pa.string()
        how = rng.randrange(4)
        if how == 0:
            column = some_array(rng, n)
        elif how == 1:
            column = of_type(rng, like, n)
        elif how == 2:
            column = of_type(rng, pa.dictionary(rng.choice(INTEGERS), like), n)
        else:
            column = of_type(rng, rng.choice(TEXT if pa.types.is_string(like) else FLAT), n)
        at = batch.schema.get_field_index(name)
        try:
            batch = batch.set_column(at, name, column) if at >= 0 else batch.append_column(name, column)
        except (*TOLD, pa.ArrowException):
            pass
    return batch


def drops(rng, rows):
    """What `finish` takes as `drops`."""
    if rng.random() < 0.3:
        return None
    if rng.random() < 0.3:
        return some_array(rng, rows)
    if rng.random() < 0.3:
        return [[{"position": rng.choice([0, -1, 2**63, None, "x"]), "same_page": rng.choice([None, 0, 1.5])}]] * rows
    number = rng.choice([*INTEGERS, pa.null(), pa.float64(), pa.decimal128(9, 0), pa.dictionary(pa.int8(), pa.int64())])
    item = pa.struct([pa.field("position", number), pa.field("same_page", rng.choice([number, kind(rng, 1)]))])
    lists = rng.choice([pa.list_, pa.large_list, pa.list_view, lambda item: pa.list_(item, 1), lambda item: pa.dictionary(pa.int8(), pa.list_(item))])
    made = of_type(rng, lists(item), rows)
    return pa.chunked_array([made]) if rng.random() < 0.2 else made


class Odd:
    """Says that it is a number and a path, and is none."""

    def __index__(self):
        return 2**70

    def __fspath__(self):
        return b"\xff"

    def __iter__(self):
        raise KeyError("odd")


def wrong(rng):
    """A thing that no argument should be."""
    nest = []
    for _ in range(3000):
        nest = [nest]
    cycle = []
    cycle.append(cycle)
    return rng.choice(
        [None, True, -1, 0, 3, 2**31, 2**63, 2**64, 2**200, 1.5, math.nan, "", "x", "en", "\0", "\ud800", "é" * 300, "a\nb", b"", b"\xff"]
        + [[], [None], [""], ["x", 5], (), {}, {"a": object()}, {1: 2}, set(), object(), Odd(), Odd, range(3), len, nest, cycle, pa.array([1])]
        + [pa.scalar("en"), pa.nulls(2), Path("x"), Path("en"), iter([1]), c4.Stats(), np.int64(4), np.array(["en"]), memoryview(b"en"), Wrapped(3, "nothing")]
    )


def calls(rng):
    """What a case does: a function, and arguments with something wrong in them."""
    recipe = rng.choice(["c4", "en", "en.noclean", "multilingual"])
    threads = rng.choice([1, 1, 2])
    pages = sound_batch(rng)
    if rng.random() < 0.7:
        what = rng.randrange(4)
        if what == 0:
            return c4.clean, [dress(rng, spoiled(rng, pages)), recipe], {"threads": threads}
        cleaned, _ = c4.clean(pages, recipe)
        if what == 1:
            return c4.keys, [dress(rng, spoiled(rng, cleaned)), recipe], {"threads": threads}
        if what == 2:
            return c4.finish, [dress(rng, spoiled(rng, cleaned)), drops(rng, pages.num_rows), recipe], {"threads": threads}
        rows = c4.finish(cleaned, None, recipe)[0]
        n = rows.num_rows
        for name, column in {"content_type": ["text/html"] * n, "content_length": ["5"] * n, "archive": ["a"] * n, "record_offset": range(n)}.items():
            rows = rows.append_column(name, pa.array(column, pa.int64() if name == "record_offset" else pa.string()))
        rows = rows.set_column(rows.schema.get_field_index("reason"), "reason", pa.nulls(n, pa.string()))
        writer = c4.ShardWriter("shards", "en", "train", 0, 1, format=rng.choice(["arrow", "parquet", "jsonl"]))
        return write, [writer, dress(rng, spoiled(rng, rows))], {}
    stats = c4.Stats()
    reader = c4.read(SAMPLE, "en")
    whole = [
        (c4.recipes, {}),
        (c4.recipe, {"recipe": "en"}),
        (c4.inputs, {"paths": SAMPLE, "recipe": "en"}),
        (c4.read, {"paths": SAMPLE, "recipe": "en", "labels": ["a"], "threads": 1}),
        (c4.clean, {"batch": pages, "recipe": "en", "threads": 1}),
        (c4.keys, {"batch": pages, "recipe": "en", "threads": 1}),
        (c4.finish, {"batch": pages, "drops": None, "recipe": "en", "threads": 1}),
        (c4.explain, {"page": "A page.", "recipe": "en", "url": "x", "timestamp": "2019"}),
        (c4.Stats.from_bytes, {"data": stats.to_bytes()}),
        (stats.counters, {"recipe": "en"}),
        (stats.__add__, {"other": stats}),
        (stats.__radd__, {"other": 0}),
        (stats.__iadd__, {"other": stats}),
        (stats.__eq__, {"other": stats}),
        (c4.ShardWriter, {"folder": "made", "recipe": "en", "split": "train", "index": 0, "count": 1, "language": None, "format": "arrow"}),
        (c4.manifest, {"recipe": "en", "shards": [], "inputs": reader.inputs, "stats": stats, "format": "arrow", "shard_size": 2048}),
        (c4.build, {"inputs": [SAMPLE], "output": "out", "recipe": "nope", "format": "arrow", "shard_size": 2048, "threads": 1, "memory": 2**28, "ledger": "none", "overwrite": False, "work_dir": None, "progress": None}),
    ]
    function, arguments = rng.choice(whole)
    for _ in range(rng.choice([1, 1, 2])):
        if arguments:
            name = rng.choice(list(arguments))
            if (function, name) == (c4.build, "recipe"):
                # A whole build takes its time; that one is left to other tests.
                continue
            arguments[name] = wrong(rng)
    if function in (stats.__add__, stats.__radd__, stats.__iadd__, stats.__eq__):
        return function, list(arguments.values()), {}
    return function, [], arguments


def write(writer, batch):
    writer.write(batch)
    writer.finish()


def case(seed):
    rng = random.Random(seed)
    function, positional, named = calls(rng)
    try:
        result = function(*positional, **named)
        # What came back is sound, too.
        for part in result if isinstance(result, tuple) else (result,):
            if isinstance(part, (pa.RecordBatch, pa.Array)):
                part.validate()
    except TOLD:
        pass


def test_nothing_panics(tmp_path):
    place = {"cwd": tmp_path, "env": {**os.environ, "C4_FUZZ_SEED": str(SEED), "C4_FUZZ_CASES": str(CASES), "NO_COLOR": "1"}}
    ran = subprocess.run([sys.executable, "-X", "faulthandler", __file__], capture_output=True, text=True, errors="replace", **place)
    said = ran.stdout[-200:] + ran.stderr[-4000:]
    assert ran.returncode == 0 and "panicked" not in ran.stderr, said


def test_all_that_is_public_is_tried():
    text = inspect.getsource(calls)
    for name in dir(c4):
        assert name.startswith("_") or name in ("c4", "Reader") or f"c4.{name}" in text, name


if __name__ == "__main__":
    for seed in range(SEED, SEED + CASES):
        print(f"C4_FUZZ_SEED={seed}", flush=True)
        case(seed)
    gc.collect()
