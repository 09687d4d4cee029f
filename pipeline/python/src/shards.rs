//! Shards and manifest of a corpus that others have computed.

use crate::columns::{batch, bytes, floats, hash, integers, texts};
use crate::error::{invalid, of_data};
use crate::recipe::{Loaded, load};
use crate::stats::{Stats, of_json, to_json};
use c4_data::schema::SCHEMA_VERSION;
use c4_data::shard::next_batch;
use c4_data::{
    Document, Format, InputEntry, LedgerEntry, LedgerMode, Manifest, Page, Provenance, ShardEntry,
    ShardMeta, ShardSet, Split, Versions,
};
use c4_filters::{DomainTable, counters, guard};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use serde_json::json;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// A format by its name.
pub fn format_of(name: &str) -> PyResult<Format> {
    serde_json::from_value(json!(name))
        .map_err(|_| invalid(format!("format={name:?}: wanted: arrow, parquet, jsonl")))
}

fn split_of(name: &str) -> PyResult<Split> {
    let split = Split::ALL.into_iter().find(|split| split.name() == name);
    split.ok_or_else(|| invalid(format!("split={name:?}: wanted: train, validation")))
}

/// Writes one shard: rows in the order of `url_key`, the same bytes as `c4 build` for the same rows. The file has its name
/// when `finish` returns; before, there is none.
#[pyclass(module = "c4", name = "ShardWriter")]
pub struct ShardWriter {
    // Parquet's writer is no one's to share.
    writer: Mutex<Option<c4_data::ShardWriter>>,
    scratch: PathBuf,
    format: Format,
    meta: ShardMeta,
    waiting: Vec<Document>,
    last: u128,
}

#[pymethods]
impl ShardWriter {
    #[new]
    #[pyo3(signature = (folder, recipe, split, index, count, *, language=None, format="arrow"))]
    fn new(
        folder: PathBuf,
        recipe: &str,
        split: &str,
        index: usize,
        count: usize,
        language: Option<&str>,
        format: &str,
    ) -> PyResult<ShardWriter> {
        let loaded = load(recipe)?;
        let format = format_of(format)?;
        if index >= count {
            return Err(invalid(format!("index={index}: of {count} shards")));
        }
        let set = ShardSet {
            language,
            split: split_of(split)?,
        };
        let meta = ShardMeta {
            recipe: loaded.recipe.name.clone(),
            recipe_hash: loaded.hash.clone(),
        };
        let target = folder.join(format.file_name(set, index, count));
        // Two attempts at one shard (a task that was started twice) do not share a file.
        let scratch = folder.join(format!(".partial-{}-{:x}", std::process::id(), unique()));
        std::fs::create_dir_all(&scratch)
            .map_err(|e| of_data(c4_data::Error::io(&scratch, "create")(e)))?;
        let writer = c4_data::ShardWriter::create(&target, &scratch, format, set, &meta);
        Ok(ShardWriter {
            writer: Mutex::new(Some(writer.map_err(of_data)?)),
            scratch,
            format,
            meta,
            waiting: Vec::new(),
            last: 0,
        })
    }

    /// Appends rows: `url_key`, `url`, `text`, `timestamp`, `content_type`, `content_length`, `language`,
    /// `language_score`, `archive`, `record_offset`.
    fn write(&mut self, py: Python<'_>, batch: &Bound<'_, PyAny>) -> PyResult<()> {
        let batch = self::batch(batch)?;
        let keys = bytes(&batch, "url_key")?;
        let names = [
            "url",
            "text",
            "timestamp",
            "content_type",
            "content_length",
            "language",
            "archive",
        ];
        let columns = names.map(|name| texts(&batch, name));
        let [
            url,
            text,
            timestamp,
            content_type,
            content_length,
            language,
            archive,
        ] = columns;
        let (url, text, timestamp) = (url?, text?, timestamp?);
        let (content_type, content_length) = (content_type?, content_length?);
        let (language, archive) = (language?, archive?);
        let (score, offset) = (
            floats(&batch, "language_score")?,
            integers(&batch, "record_offset")?,
        );
        let mut name: Arc<str> = Arc::from("");
        for row in 0..batch.num_rows() {
            let key = hash(&keys, "url_key", row)?;
            if key < self.last {
                return Err(invalid(format!(
                    "row {row}: rows of a shard have to be in the order of `url_key`"
                )));
            }
            self.last = key;
            if &*name != archive.value(row) {
                name = Arc::from(archive.value(row));
            }
            self.waiting.push(Document {
                page: Page {
                    url: url.value(row).to_owned(),
                    text: text.value(row).to_owned(),
                    timestamp: timestamp.value(row).to_owned(),
                    content_type: content_type.value(row).to_owned(),
                    content_length: content_length.value(row).to_owned(),
                    provenance: Provenance {
                        archive: name.clone(),
                        record_offset: offset.value(row) as u64,
                    },
                },
                language: language.value(row).to_owned(),
                language_score: score.value(row) as f32,
            });
        }
        py.detach(|| self.flush(true))
    }

    /// Ends the shard; its entry in the manifest.
    fn finish<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        py.detach(|| self.flush(false))?;
        let writer = self.take().ok_or_else(finished)?;
        let entry = py.detach(|| writer.finish()).map_err(of_data)?;
        // Nothing is in it any more.
        let _ = std::fs::remove_dir(&self.scratch);
        let entry = serde_json::to_value(entry).map_err(|e| invalid(e.to_string()))?;
        of_json(py, &entry)
    }
}

/// A number that no other writer of this process has.
fn unique() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn finished() -> PyErr {
    invalid("this shard is finished")
}

impl ShardWriter {
    fn take(&mut self) -> Option<c4_data::ShardWriter> {
        let writer = self.writer.get_mut();
        writer.unwrap_or_else(PoisonError::into_inner).take()
    }

    fn flush(&mut self, more_may_come: bool) -> PyResult<()> {
        let writer = self
            .writer
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let writer = writer.as_mut().ok_or_else(finished)?;
        while let Some(documents) = next_batch(&mut self.waiting, more_may_come) {
            let batch = c4_data::shard::encode(self.format, &self.meta, &documents);
            batch
                .and_then(|batch| writer.append(batch))
                .map_err(of_data)?;
        }
        Ok(())
    }
}

impl Drop for ShardWriter {
    fn drop(&mut self) {
        if self.take().is_some() {
            // An attempt that was given up; what cannot be removed harms nobody.
            let _ = std::fs::remove_dir_all(&self.scratch);
        }
    }
}

/// `manifest.json` and `stats.json` of a corpus whose shards are written.
#[pyfunction]
#[pyo3(signature = (recipe, shards, inputs, stats, *, format="arrow", shard_size=268_435_456))]
pub fn manifest<'py>(
    py: Python<'py>,
    recipe: &str,
    shards: &Bound<'py, PyAny>,
    inputs: &Bound<'py, PyAny>,
    stats: &Stats,
    format: &str,
    shard_size: u64,
) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
    let loaded: Arc<Loaded> = load(recipe)?;
    let recipe = &loaded.recipe;
    let tally = &stats.0.tally;
    tally.check().map_err(invalid)?;
    let wrong = |name: &'static str| move |e| invalid(format!("{name}: {e}"));
    let mut shards: Vec<ShardEntry> =
        serde_json::from_str(&to_json(shards)?).map_err(wrong("shards"))?;
    shards.sort_by(|a, b| {
        let key = |entry: &ShardEntry| {
            (
                entry.language.clone(),
                entry.split as usize,
                entry.file.clone(),
            )
        };
        key(a).cmp(&key(b))
    });
    let inputs: Vec<InputEntry> =
        serde_json::from_str(&to_json(inputs)?).map_err(wrong("inputs"))?;
    let rows: u64 = shards.iter().map(|shard| shard.rows).sum();
    let kept: u64 = tally.pages_out.iter().sum();
    if rows != kept {
        return Err(invalid(format!(
            "shards: {rows} rows, but {kept} pages were kept"
        )));
    }
    let mut value = json!({
        "recipe": recipe.name,
        "recipe_hash": loaded.hash,
        "warnings": guard::warnings(tally, recipe),
        "counters": counters::counters(tally, recipe),
    });
    let rest = stats.0.to_json(recipe, &DomainTable::default(), &[]);
    for (key, part) in rest.as_object().into_iter().flatten() {
        value[key] = part.clone();
    }
    value["duplicates"] = json!([]);
    let stats_json = pretty(&value)?;
    let manifest = Manifest {
        versions: Versions {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            schema: SCHEMA_VERSION,
        },
        recipe_hash: loaded.hash.clone(),
        recipe: recipe.clone(),
        format: format_of(format)?,
        shard_size_bytes: shard_size,
        inputs,
        shards,
        ledger: LedgerEntry {
            mode: LedgerMode::None,
            seed: c4_pipeline::sample::SEED,
            files: Vec::new(),
        },
        stats_sha256: c4_data::fs::sha256_hex(&stats_json),
    };
    let manifest = pretty(&manifest)?;
    Ok((PyBytes::new(py, &manifest), PyBytes::new(py, &stats_json)))
}

fn pretty(value: &impl serde::Serialize) -> PyResult<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|e| invalid(e.to_string()))?;
    bytes.push(b'\n');
    Ok(bytes)
}
