"""Rebuild C4 from Python: the same core as the program `c4`, on Arrow record batches.

A recipe is the name of a built-in one (`c4`, `en`, `en.noblocklist`, `en.noclean`, `realnewslike`, `webtextlike`,
`multilingual`), the path of a TOML file (a `PathLike` always is one), or TOML itself (whose word lists are built-in ones, or have absolute paths). It is
loaded once a process; a file again when its text has changed, though not when only its word lists have.

A batch is a `pyarrow.RecordBatch`, or whatever speaks Arrow: a `pyarrow.Table`, a frame of polars or pandas. Arrays
cross without copies. Columns that a function does not know pass through, as does the schema's metadata; those that it
gives take the place of columns of the same names. No two columns may have one name.

`threads`: 1 works on the calling thread, 0 on all cores. All functions release the GIL while they work, so Python's own
threads run in parallel, too, and with a batch each scale better. Results do not depend on threads or on how rows are cut into batches. A `Reader` or `ShardWriter`
belongs to one thread at a time.

Errors: `ValueError` names the column, key or argument that is wrong; `OSError` what the system refused.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from os import PathLike
from typing import Any

import pyarrow

__version__: str

_Path = str | PathLike[str]
_Paths = _Path | Sequence[_Path]
_Recipe = str | PathLike[str]

def recipes() -> dict[str, dict[str, Any]]:
    """The built-in recipes by name: their steps and thresholds."""

def recipe(recipe: _Recipe = "c4") -> dict[str, Any]:
    """One recipe: its steps and thresholds. Reads none of its lists."""

def inputs(paths: _Paths, recipe: _Recipe = "c4") -> list[dict[str, Any]]:
    """The archives that files, folders (at any depth) and listings (`*.paths`) name, in the order of a build: by label,
    each once, however often it is named.

    Each: `path`; `archive`, its label in the column of that name (the file name, and as much of the folder as tells
    it from others); `bytes`, its size, or None.
    """

def read(paths: _Paths, recipe: _Recipe = "c4", *, labels: Sequence[str] | None = None, threads: int = 1) -> Reader:
    """The pages of crawl archives (WET, WARC; plain, gzip, zstd), a batch of some 1 MB of archive at a time.

    Columns: `url`, `text`, `timestamp`, `content_type`, `content_length`, `archive`: string; `record_offset`: int64,
    bytes from the start of the archive; `order`: int64, the record's rank in its archive.

    `labels` replace the labels of the archives, in the order of `inputs`; no two are the same. What cannot be read (a damaged member, a cut archive, a file that is
    none) raises nothing and loses nothing else: it is counted in `stats` and listed in `inputs` of the reader.
    """

class Reader(Iterator[pyarrow.RecordBatch]):
    @property
    def stats(self) -> Stats:
        """Records read so far, and why some became no page."""
    @property
    def inputs(self) -> list[dict[str, Any]]:
        """The archives read to their end, as a manifest lists them: `archive`, `bytes`, `state` (`read`, `damaged`,
        `failed`), `damage` (`offset`, `cause`), `damaged_records`."""
    def __iter__(self) -> Reader: ...
    def __next__(self) -> pyarrow.RecordBatch: ...

def clean(batch: Any, recipe: _Recipe, *, threads: int = 1) -> tuple[pyarrow.RecordBatch, Stats]:
    """Asks the rules about every page alone (the reference's `clean_page`). Linear in the text.

    Wants `url`, `text`, `timestamp`. Gives all columns, and

    - `text`: the lines that stay, or null if the page goes
    - `reason`: why it goes (`too_long`, `curly_bracket`, `too_few_sentences`, ...), or null
    - `competes`: bool: whether it takes part in the choice of one page a URL (not if it goes by a rule before that)
    - `url_key`: binary, 16 bytes: MD5 of the normalised URL; pages that share it are copies
    - `owner`: binary, 16 bytes: MD5 of the URL; of equal lines the one with the smallest owner stays
    - `counts`: binary: what became of its lines, for `finish`, sealed with the text, `reason`, `url_key` and recipe: until then
      none of them may change, but for `older_copy`
    """

def keys(batch: Any, recipe: _Recipe, *, threads: int = 1) -> pyarrow.ListArray:
    """The dedup keys of cleaned pages (column `text`, null: none): a list of 16-byte keys a page.

    By place: of lines (the released code), or of spans by their first sentence (the paper). Of equal keys the one with
    the smallest (`owner`, place) stays. Pages that go do not count: those with a `reason` have no keys, so mark pages of which
    a newer copy stays (`older_copy`, see `finish`) before, or leave their keys out.
    """

def finish(batch: Any, drops: Any | None, recipe: _Recipe, *, threads: int = 1) -> tuple[pyarrow.RecordBatch, Stats]:
    """The last steps: takes copies off, counts sentences again, asks for language and bad words, tells the split.

    `batch` is one of `clean`, in which `reason` may have become `older_copy` where another page that `competes`
    for its `url_key` stays (the one with the largest timestamp, then the first archive by name, then the smallest `order`). `drops` has a
    list a page, or null: structs of `position`, the place of a key that lost, and `same_page`, the place of the copy
    that stays if it is on the same page (it comes before), else null. Whole numbers; no position twice. An array, a
    column of polars or pandas, or a Python list of lists of dicts.

    Gives all columns but `competes`, `counts`, `owner`, `keys` and `drops`, and `text` (null if the page goes), `reason` (null if
    it stays), `language`, `language_score`, `split` (`train`, `validation`, or null).
    """

def explain(page: str, recipe: _Recipe = "c4", *, url: str = "", timestamp: str = "") -> dict[str, Any]:
    """The way of a page's text through a recipe, step by step, and why each of its lines stays or goes.

    Keys: `verdict`, `reason`, `stations`, `lines` (`text`, `kept_text`, `reason`, `match`).
    """

class Stats:
    """What became of records, pages, lines, characters and words. Sums: add the parts up with `+` or `sum`, in any order. They can be pickled.

    A reader's hold the records, those of `clean` what came in, those of `finish` what became of it: pages kept and
    dropped, lines dropped. Who cleans and does not finish counts the column `reason`.
    """

    def __init__(self) -> None: ...
    def __add__(self, other: Stats) -> Stats: ...
    def __iadd__(self, other: Stats) -> Stats: ...
    def __radd__(self, other: int) -> Stats: ...
    def __eq__(self, other: object) -> bool: ...
    @staticmethod
    def from_bytes(data: bytes) -> Stats:
        """What `to_bytes` gave."""
    def to_bytes(self) -> bytes:
        """For another process with this version of the module."""
    def counters(self, recipe: _Recipe) -> dict[str, int]:
        """The counters of TensorFlow Datasets' c4, by name, of a whole: `ValueError` where `check` raises."""
    def tally(self) -> dict[str, Any]:
        """`records`, `pages`, `lines`, `chars`, `words`, each with `in`, `out` and `dropped` by reason."""
    def check(self) -> None:
        """Raises `ValueError` if something is neither kept nor dropped. A whole adds up: pages read, cleaned and
        finished; a part alone does not."""

class ShardWriter:
    """One shard of a corpus: the same bytes as `c4 build` writes for the same rows.

    Shard `index` of `count` holds the pages of `split` whose `url_key` is in the part `index` of as many equal parts of all
    keys: floor(url_key / 2^128 * count). `language` is wanted by recipes whose shards are of one language each
    (`multilingual`), and by no other.

    The file has its name (`train-00000-of-00003.arrow`) when `finish` returns, and is not there before.
    """

    def __init__(
        self,
        folder: _Path,
        recipe: _Recipe,
        split: str,
        index: int,
        count: int,
        *,
        language: str | None = None,
        format: str = "arrow",
    ) -> None: ...
    def write(self, batch: Any) -> None:
        """Appends rows, ascending by `url_key`: `url_key`, `url`, `text`, `timestamp`, `content_type`,
        `content_length`, `language`, `language_score`, `archive`, `record_offset`; `reason`, if there, is null.

        `ValueError`: a row is refused; nothing of this batch was taken, and the writer can go on. `OSError`: the file could
        not be written; the writer is of no more use."""
    def finish(self) -> dict[str, Any]:
        """Ends the file; gives its entry in the manifest (`file`, `rows`, `bytes`, `sha256`, ...)."""

def manifest(
    recipe: _Recipe,
    shards: Sequence[Mapping[str, Any]],
    inputs: Sequence[Mapping[str, Any]],
    stats: Stats,
    *,
    format: str = "arrow",
    shard_size: int = 268435456,
) -> tuple[bytes, bytes]:
    """`manifest.json` and `stats.json` of a corpus: of the entries of its shards, those of its archives
    (`Reader.inputs`), and the sum of all statistics, which must add up. `shard_size`: what was aimed at, in bytes of text,
    at least 1,024. Of `stats.json` three tables are empty, which want all pages at once: `domains`, `duplicates` (repeated
    texts), and in `histograms` `page_sentences`. With both files beside the shards the folder is a corpus for `c4` and
    `t5`; the manifest is to be written last.
    """

def build(
    inputs: _Paths,
    output: _Path,
    recipe: _Recipe = "c4",
    *,
    format: str = "arrow",
    shard_size: int = 268435456,
    threads: int = 0,
    memory: int | None = None,
    ledger: str = "sample:1000",
    overwrite: bool = False,
    work_dir: _Path | None = None,
    progress: Callable[[str, int, int], object] | None = None,
) -> dict[str, Any]:
    """Builds a corpus on this machine, as `c4 build` does, and goes on with one that was stopped.

    `inputs`: files, folders, listings, URLs, names of crawls. `memory`: bytes of the whole process. `ledger`: `all`,
    `none`, or `sample:N`, rows a reason. `progress` is called with (pass, done, total) some ten times a second. Ctrl-C, or an
    exception in it, stops between two units of work; the same call goes on. One build at a time in a process. What is not
    here (samples of crawls, lists of domains, several recipes at once) `c4 build` has.

    Gives the manifest, with `warnings`.
    """
