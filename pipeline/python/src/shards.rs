//! Shards and manifest of a corpus that others have computed.

use crate::columns::{Batch, batch, bytes, floats, hash, integers, texts, texts_if_there};
use crate::error::{invalid, of_data, whole};
use crate::recipe::{Loaded, Name, load};
use crate::stats::{Stats, of_json, to_json};
use c4_data::schema::SCHEMA_VERSION;
use c4_data::shard::next_batch;
use c4_data::{
    Document, Format, InputEntry, LedgerEntry, LedgerMode, Manifest, Page, Recipe, ShardEntry, ShardMeta, ShardSet,
    Split, SplitStep, Versions,
};
use c4_filters::{DomainTable, expectations, url};
use c4_pipeline::build::LEAST_SHARD_BYTES;
use c4_pipeline::work::buckets::part;
use c4_pipeline::work::shard_sets::Sets;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use serde_json::json;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// A format by its name.
pub fn format_of(name: &str) -> PyResult<Format> {
    serde_json::from_value(json!(name)).map_err(|_| invalid(format!("format={name:?}: wanted: arrow, parquet, jsonl")))
}

fn split_of(name: &str) -> PyResult<Split> {
    let split = Split::ALL.into_iter().find(|split| split.name() == name);
    split.ok_or_else(|| invalid(format!("split={name:?}: wanted: train, validation")))
}

/// Python's argument `shard_size`.
pub fn shard_size_of(size: &Bound<'_, PyAny>) -> PyResult<u64> {
    match whole("shard_size", size)? {
        n if n < LEAST_SHARD_BYTES => Err(invalid(format!("shard_size={n}: at least {LEAST_SHARD_BYTES} bytes"))),
        n => Ok(n),
    }
}

/// Writes one shard: rows in the order of `url_key`, the same bytes as `c4 build` for the same rows. The file has its
/// name when `finish` returns; before, there is none.
#[pyclass(module = "c4", name = "ShardWriter")]
pub struct ShardWriter {
    // Parquet's writer is no one's to share.
    writer: Mutex<State>,
    /// The process that made it: a fork's copy leaves its files alone.
    process: u32,
    loaded: Arc<Loaded>,
    meta: ShardMeta,
    format: Format,
    scratch: PathBuf,
    place: Place,
    waiting: Vec<Document>,
    last: u128,
}

enum State {
    Open(Box<c4_data::ShardWriter>),
    /// The file could not be written.
    GivenUp,
    Finished,
}

/// Which rows are this shard's.
struct Place {
    language: Option<String>,
    split: Split,
    index: usize,
    count: usize,
}

impl Place {
    /// Refuses a page that belongs elsewhere.
    fn check(&self, key: u128, language: &str, step: &SplitStep) -> Result<(), String> {
        let split = url::split(key, step);
        if split != self.split {
            let (is, wanted) = (split.name(), self.split.name());
            return Err(format!("is of split {is}, and this shard of {wanted}"));
        }
        if let Some(wanted) = &self.language
            && wanted != language
        {
            return Err(format!("is in {language:?}, and this shard of {wanted:?}"));
        }
        match part(key, self.count) {
            index if index == self.index => Ok(()),
            index => Err(format!(
                "belongs to shard {index} of {}, and this is shard {}: that is floor(url_key / 2^128 * count)",
                self.count, self.index
            )),
        }
    }
}

#[pymethods]
impl ShardWriter {
    #[new]
    #[pyo3(signature = (folder, recipe, split, index, count, *, language=None, format="arrow"))]
    fn new(
        folder: PathBuf,
        recipe: Name,
        split: &str,
        index: &Bound<'_, PyAny>,
        count: &Bound<'_, PyAny>,
        language: Option<String>,
        format: &str,
    ) -> PyResult<ShardWriter> {
        let loaded = load(&recipe)?;
        let format = format_of(format)?;
        let (index, count) = (whole("index", index)?, whole("count", count)?);
        if index >= count {
            return Err(invalid(format!("index={index}: of {count} shards")));
        }
        check_language(&loaded.recipe, language.as_deref())?;
        let place = Place {
            language,
            split: split_of(split)?,
            index: index as usize,
            count: count as usize,
        };
        let set = ShardSet {
            language: place.language.as_deref(),
            split: place.split,
        };
        let meta = ShardMeta {
            recipe: loaded.recipe.name.clone(),
            recipe_hash: loaded.hash.clone(),
        };
        let target = folder.join(format.file_name(set, place.index, place.count));
        // Two attempts at one shard (a task that was started twice) do not share a file.
        let scratch = folder.join(format!(".partial-{}-{:x}", std::process::id(), unique()));
        if folder.as_os_str().is_empty() {
            return Err(invalid("folder is empty"));
        }
        std::fs::create_dir_all(&scratch).map_err(|e| of_data(c4_data::Error::io(&scratch, "create")(e)))?;
        let writer = c4_data::ShardWriter::create(&target, &scratch, format, set, &meta);
        let writer = writer.inspect_err(|_| {
            // What cannot be removed harms nobody.
            let _ = std::fs::remove_dir_all(&scratch);
        });
        Ok(ShardWriter {
            writer: Mutex::new(State::Open(Box::new(writer.map_err(of_data)?))),
            process: std::process::id(),
            loaded,
            meta,
            format,
            scratch,
            place,
            waiting: Vec::new(),
            last: 0,
        })
    }

    /// Appends rows: all of the batch, or none of it if a row is refused.
    fn write(&mut self, py: Python<'_>, batch: &Bound<'_, PyAny>) -> PyResult<()> {
        self.open()?;
        let batch = self::batch(batch)?;
        let (mut documents, last) = self.documents(&batch)?;
        self.waiting.append(&mut documents);
        self.last = last;
        py.detach(|| self.flush(true))
    }

    /// Ends the shard; its entry in the manifest.
    fn finish<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.open()?;
        py.detach(|| self.flush(false))?;
        let State::Open(writer) = self.turn(State::GivenUp) else {
            return Err(invalid("this shard is finished"));
        };
        let entry = py.detach(|| writer.finish()).map_err(|e| {
            self.give_up();
            of_data(e)
        })?;
        self.turn(State::Finished);
        // Nothing is in it any more.
        let _ = std::fs::remove_dir(&self.scratch);
        let entry = serde_json::to_value(entry).map_err(|e| invalid(e.to_string()))?;
        of_json(py, &entry)
    }
}

/// A recipe by language has one of its languages a shard, all others none.
fn check_language(recipe: &Recipe, language: Option<&str>) -> PyResult<()> {
    let sets = Sets::of(recipe);
    let known = sets.languages();
    if known.iter().any(|known| known.as_deref() == language) {
        return Ok(());
    }
    let known: Vec<&str> = known.iter().filter_map(Option::as_deref).collect();
    let wanted = match &*known {
        [] => "none: its shards hold all languages".to_owned(),
        known => format!("one of: {}", known.join(", ")),
    };
    let (name, language) = (&recipe.name, language.unwrap_or("None"));
    Err(invalid(format!("language={language}: recipe {name} wants {wanted}")))
}

/// A number that no other writer of this process has.
fn unique() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl ShardWriter {
    fn state(&mut self) -> &mut State {
        let writer = self.writer.get_mut();
        writer.unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&mut self, state: State) -> State {
        std::mem::replace(self.state(), state)
    }

    fn open(&mut self) -> PyResult<&mut c4_data::ShardWriter> {
        match self.state() {
            State::Open(writer) => Ok(writer),
            State::Finished => Err(invalid("this shard is finished")),
            State::GivenUp => Err(invalid(
                "this shard was given up after an error; make another ShardWriter",
            )),
        }
    }

    /// The rows of a batch, and the key of the last.
    fn documents(&self, batch: &Batch<'_>) -> PyResult<(Vec<Document>, u128)> {
        let keys = bytes(batch, "url_key")?;
        let names = [
            "url",
            "text",
            "timestamp",
            "content_type",
            "content_length",
            "language",
            "archive",
        ];
        let columns = names.map(|name| texts(batch, name));
        let [url, text, timestamp, content_type, content_length, language, archive] = columns;
        let (url, text, timestamp) = (url?, text?, timestamp?);
        let (content_type, content_length) = (content_type?, content_length?);
        let (language, archive) = (language?, archive?);
        let (score, offset) = (floats(batch, "language_score")?, integers(batch, "record_offset")?);
        let reasons = texts_if_there(batch, "reason")?;
        let mut documents = Vec::with_capacity(batch.rows);
        let mut last = self.last;
        let mut name: Arc<str> = Arc::from("");
        for row in 0..batch.rows {
            let wrong = |what: String| invalid(format!("row {row}: {what}"));
            let key = hash(&keys, "url_key", row)?;
            if key < last {
                let what = "rows of a shard have to be in the order of `url_key`";
                return Err(wrong(what.to_owned()));
            }
            last = key;
            let place = self.place.check(key, language.value(row)?, &self.loaded.recipe.split);
            place.map_err(|what| wrong(format!("this page {what}")))?;
            if let Some(reasons) = &reasons
                && let Some(reason) = reasons.or_null(row)?
            {
                return Err(wrong(format!("this page goes, for `reason` {reason:?}")));
            }
            let score = score.value(row);
            if !(0.0..=2.0).contains(&score) {
                return Err(wrong(format!("`language_score` is {score}, and no probability")));
            }
            let record_offset = offset.value(row);
            let Ok(record_offset) = u64::try_from(record_offset) else {
                return Err(wrong(format!("`record_offset` is {record_offset}")));
            };
            if &*name != archive.value(row)? {
                name = Arc::from(archive.value(row)?);
            }
            documents.push(Document {
                page: Page {
                    url: url.value(row)?.to_owned(),
                    text: text.value(row)?.to_owned(),
                    timestamp: timestamp.value(row)?.to_owned(),
                    content_type: content_type.value(row)?.to_owned(),
                    content_length: content_length.value(row)?.to_owned(),
                    record_offset,
                },
                archive: name.clone(),
                language: language.value(row)?.to_owned(),
                language_score: score as f32,
            });
        }
        Ok((documents, last))
    }

    /// Writes what waits; after an error the shard is given up.
    fn flush(&mut self, more_may_come: bool) -> PyResult<()> {
        let mut waiting = std::mem::take(&mut self.waiting);
        while let Some(documents) = next_batch(&mut waiting, more_may_come) {
            let batch = c4_data::shard::encode(self.format, &self.meta, &documents);
            let appended = batch.map_err(of_data);
            let appended = appended.and_then(|batch| self.open()?.append(batch).map_err(of_data));
            if let Err(e) = appended {
                self.give_up();
                return Err(e);
            }
        }
        self.waiting = waiting;
        Ok(())
    }

    fn give_up(&mut self) {
        drop(self.turn(State::GivenUp));
        // What cannot be removed harms nobody.
        let _ = std::fs::remove_dir_all(&self.scratch);
    }
}

impl Drop for ShardWriter {
    fn drop(&mut self) {
        if std::process::id() != self.process {
            // Not even closed: what is buffered would be written twice.
            std::mem::forget(self.turn(State::GivenUp));
        } else if let State::Open(_) = self.state() {
            self.give_up();
        }
    }
}

/// Refuses shards that are not all of all their sets, each once.
fn complete(shards: &[ShardEntry], sets: &Sets, format: Format) -> Result<(), String> {
    let mut rest = shards;
    let mut found = HashSet::new();
    while let Some(first) = rest.first() {
        let set = first.set();
        let count = rest.iter().take_while(|shard| shard.set() == set).count();
        for (index, shard) in rest[..count].iter().enumerate() {
            let name = format.file_name(set, index, count);
            if shard.file != name {
                return Err(format!("{} where {name} should be", shard.file));
            }
        }
        if !sets.languages().iter().any(|l| l.as_deref() == set.language) {
            return Err(format!("the recipe has none as {}", first.file));
        }
        found.insert((set.language, set.split.name()));
        rest = &rest[count..];
    }
    let languages: HashSet<Option<&str>> = found.iter().map(|(language, _)| *language).collect();
    let all = sets.languages().contains(&None).then_some(None);
    for language in languages.into_iter().chain(all) {
        for split in Split::ALL {
            if !found.contains(&(language, split.name())) {
                let set = ShardSet { language, split };
                return Err(format!("{} are missing", format.file_pattern(set)));
            }
        }
    }
    Ok(())
}

/// `manifest.json` and `stats.json` of a corpus whose shards are written.
#[pyfunction]
#[pyo3(signature = (recipe, shards, inputs, stats, *, format="arrow", shard_size=268_435_456))]
pub fn manifest<'py>(
    py: Python<'py>,
    recipe: Name,
    shards: &Bound<'py, PyAny>,
    inputs: &Bound<'py, PyAny>,
    stats: &Stats,
    format: &str,
    #[pyo3(from_py_with = shard_size_of)] shard_size: u64,
) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
    let loaded: Arc<Loaded> = load(&recipe)?;
    let recipe = &loaded.recipe;
    let tally = &stats.0.tally;
    tally.check().map_err(invalid)?;
    let wrong = |name: &'static str| move |e| invalid(format!("{name}: {e}"));
    let mut shards: Vec<ShardEntry> = serde_json::from_str(&to_json(shards)?).map_err(wrong("shards"))?;
    shards.sort_by(|a, b| {
        let key = |entry: &ShardEntry| (entry.language.clone(), entry.split as usize, entry.file.clone());
        key(a).cmp(&key(b))
    });
    let inputs: Vec<InputEntry> = serde_json::from_str(&to_json(inputs)?).map_err(wrong("inputs"))?;
    let format = format_of(format)?;
    complete(&shards, &Sets::of(recipe), format).map_err(|what| invalid(format!("shards: {what}")))?;
    for split in Split::ALL {
        let shards = shards.iter().filter(|shard| shard.split == split);
        let rows = shards.fold(0u64, |sum, shard| sum.saturating_add(shard.rows));
        let kept = tally.pages_out[split as usize];
        if rows != kept {
            let split = split.name();
            return Err(invalid(format!(
                "shards: {rows} rows of split {split}, but {kept} pages were kept"
            )));
        }
    }
    let mut labels = HashSet::new();
    if let Some(twice) = inputs.iter().find(|input| !labels.insert(&input.archive)) {
        return Err(invalid(format!("inputs: {} comes twice", twice.archive)));
    }
    let opened: u64 = tally.archives.iter().sum();
    if (inputs.len() as u64) < opened {
        let has = inputs.len();
        return Err(invalid(format!("inputs: {has} archives, but {opened} were read")));
    }
    let stats = c4_data::Stats {
        recipe_hash: loaded.hash.clone(),
        warnings: expectations::warnings(tally, recipe),
        ..stats.0.to_stats(recipe, &DomainTable::default(), &[])
    };
    let stats_json = stats.to_file();
    let manifest = Manifest {
        versions: Versions {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            schema: SCHEMA_VERSION,
        },
        recipe_hash: loaded.hash.clone(),
        recipe: recipe.clone(),
        format,
        shard_size_bytes: shard_size,
        inputs,
        shards,
        ledger: LedgerEntry {
            mode: LedgerMode::None,
            seed: c4_pipeline::work::sample::SEED,
            files: Vec::new(),
        },
        stats_sha256: c4_data::atomic_file::sha256_hex(&stats_json),
    };
    manifest.validate().map_err(invalid)?;
    let manifest = pretty(&manifest)?;
    Ok((PyBytes::new(py, &manifest), PyBytes::new(py, &stats_json)))
}

fn pretty(value: &impl serde::Serialize) -> PyResult<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|e| invalid(e.to_string()))?;
    bytes.push(b'\n');
    Ok(bytes)
}
