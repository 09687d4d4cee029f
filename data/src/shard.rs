//! Shards, the files that documents are stored in: their formats, names and writer. `shard_reader.rs` reads them.

use crate::atomic_file::HashingWriter;
use crate::ipc_file::{self, IpcFileWriter};
use crate::limit::{BATCH_TEXT_BYTES, MAX_OTHER_BYTES, MAX_PAGE_BYTES};
use crate::recipe::is_language_code;
use crate::{Document, Error, ShardEntry, ShardSet, Split, schema};
use arrow::array::RecordBatch;
use arrow::ipc::CompressionType;
use arrow::ipc::writer::EncodedData;
use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression as ParquetCompression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// The number of rows in a record batch, unless its text reaches [`BATCH_TEXT_BYTES`] first, which bounds a reader's
/// memory and what one core encodes at a time, or its other strings [`MAX_OTHER_BYTES`].
pub(crate) const BATCH_ROWS: usize = 1024;

/// The file format of shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Arrow IPC file with zstd: the whole schema, the default.
    Arrow,
    /// Parquet with zstd: the whole schema.
    Parquet,
    /// JSON lines in gzip with `text`, `timestamp` and `url`: the layout in which C4 is published.
    Jsonl,
}

impl Format {
    /// The file name of shard `index` of `count`: `train-00000-of-00003.arrow`, or `de.train-00000-of-00003.arrow` in a
    /// set of one language.
    pub fn file_name<'a>(self, set: impl Into<ShardSet<'a>>, index: usize, count: usize) -> String {
        self.name(set.into(), &format!("{index:05}-of-{count:05}"))
    }

    /// The file names of all shards of a set, as a shell pattern.
    pub fn file_pattern<'a>(self, set: impl Into<ShardSet<'a>>) -> String {
        self.name(set.into(), "*")
    }

    fn name(self, set: ShardSet<'_>, place: &str) -> String {
        let split = set.split.name();
        let set = match set.language {
            Some(language) => format!("{language}.{split}"),
            None => split.to_owned(),
        };
        match self {
            Format::Arrow => format!("{set}-{place}.arrow"),
            Format::Parquet => format!("{set}-{place}.parquet"),
            // The names of the published copy.
            Format::Jsonl => format!("c4-{set}.{place}.json.gz"),
        }
    }

    /// Whether `name` is one that [`Format::file_name`] gives, in any format.
    pub fn is_shard_name(name: &str) -> bool {
        let stem = name
            .strip_suffix(".arrow")
            .or_else(|| name.strip_suffix(".parquet"))
            .or_else(|| name.strip_suffix(".json.gz")?.strip_prefix("c4-"));
        let digits = |s: &str| s.len() >= 5 && s.bytes().all(|b| b.is_ascii_digit());
        let is_set = |set: &str| {
            let split = match set.split_once('.') {
                Some((language, split)) if is_language_code(language) => split,
                _ => set,
            };
            Split::ALL.iter().any(|s| s.name() == split)
        };
        stem.and_then(|stem| stem.split_once("-of-"))
            .and_then(|(head, count)| Some((head.rsplit_once(['-', '.'])?, count)))
            .is_some_and(|((set, index), count)| is_set(set) && digits(index) && digits(count))
    }
}

/// The metadata of a shard: the recipe of the corpus that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardMeta {
    /// The name of the recipe.
    pub recipe: String,
    /// The hash of the recipe.
    pub recipe_hash: String,
}

/// The line of a JSON-lines shard, keys in the order of the published copy.
#[derive(Serialize, Deserialize)]
pub(crate) struct JsonLine<'a> {
    #[serde(borrow)]
    pub(crate) text: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) timestamp: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) url: std::borrow::Cow<'a, str>,
}

/// A batch of documents, encoded as it will be in the file, whatever its place there: made on any core, independently
/// of other batches.
pub struct EncodedBatch {
    data: EncodedRows,
    rows: u64,
    text_bytes: u64,
}

enum EncodedRows {
    Arrow(EncodedData),
    /// The rows for Parquet, which encodes across batches and thus when they are written.
    Parquet(RecordBatch),
    /// A gzip member.
    Jsonl(Vec<u8>),
}

impl EncodedBatch {
    /// The approximate size of the batch in the file in bytes; for Parquet, which is encoded later, that of its text.
    pub fn bytes(&self) -> u64 {
        match &self.data {
            EncodedRows::Arrow(data) => (data.ipc_message.len() + data.arrow_data.len()) as u64,
            EncodedRows::Parquet(_) => self.text_bytes,
            EncodedRows::Jsonl(gzip) => gzip.len() as u64,
        }
    }
}

/// Takes the documents of the next batch from the front of `documents`.
///
/// Batches are cut by rows and bytes of text alone, so that a shard's bytes depend on its documents and nothing else.
/// `None` if there are not enough for a whole batch and more may come.
pub fn next_batch(documents: &mut Vec<Document>, more_may_come: bool) -> Option<Vec<Document>> {
    let (mut text, mut other) = (0, 0);
    let full = documents.iter().take(BATCH_ROWS).position(|document| {
        text += document.page.text.len() as u64;
        other += other_bytes(document);
        text >= BATCH_TEXT_BYTES || other >= MAX_OTHER_BYTES
    });
    let n = match full {
        Some(last) => last + 1,
        None if documents.len() >= BATCH_ROWS => BATCH_ROWS,
        None if more_may_come || documents.is_empty() => return None,
        None => documents.len(),
    };
    let rest = documents.split_off(n);
    Some(std::mem::replace(documents, rest))
}

/// The number of bytes of all strings of a document except its text.
fn other_bytes(document: &Document) -> u64 {
    let page = &document.page;
    let strings = [&page.url, &page.timestamp, &page.content_type, &page.content_length];
    let bytes: usize = strings.map(String::len).iter().sum();
    (bytes + document.language.len() + document.archive.len()) as u64
}

/// Encodes and compresses a batch for a shard of `format` and `meta`: the expensive part of writing, separate from the
/// writer so that it can run on any core.
///
/// # Errors
/// A page is longer than readers accept (128 MiB of text, 16 MiB of URL and other strings).
pub fn encode(format: Format, meta: &ShardMeta, documents: &[Document]) -> Result<EncodedBatch, Error> {
    let nowhere = Path::new("a record batch");
    let too_long = |d: &&Document| d.page.text.len() as u64 > MAX_PAGE_BYTES || other_bytes(d) > MAX_OTHER_BYTES;
    if let Some(document) = documents.iter().find(too_long) {
        let url: String = document.page.url.chars().take(200).collect();
        return Err(Error::Format {
            path: nowhere.to_owned(),
            reason: format!(
                "the page {url} has {} bytes of text and {} of URL and other strings; at most {MAX_PAGE_BYTES} and \
                 {MAX_OTHER_BYTES} can be stored",
                document.page.text.len(),
                other_bytes(document)
            ),
        });
    }
    let batch = || {
        let schema = schema::schema(&meta.recipe, &meta.recipe_hash);
        schema::to_batch(&schema, documents).map_err(Error::arrow(nowhere))
    };
    let data = match format {
        Format::Arrow => {
            EncodedRows::Arrow(ipc_file::encode(&batch()?, CompressionType::ZSTD).map_err(Error::arrow(nowhere))?)
        }
        Format::Parquet => EncodedRows::Parquet(batch()?),
        Format::Jsonl => {
            let gzip = json_lines(documents).map_err(Error::io(nowhere, "encode"))?;
            EncodedRows::Jsonl(gzip)
        }
    };
    Ok(EncodedBatch {
        data,
        rows: documents.len() as u64,
        text_bytes: documents.iter().map(|d| d.page.text.len() as u64).sum(),
    })
}

fn json_lines(documents: &[Document]) -> std::io::Result<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    for document in documents {
        let line = JsonLine {
            text: document.page.text.as_str().into(),
            timestamp: document.page.timestamp.as_str().into(),
            url: document.page.url.as_str().into(),
        };
        serde_json::to_writer(&mut gzip, &line)?;
        gzip.write_all(b"\n")?;
    }
    gzip.finish()
}

type Sink = HashingWriter<BufWriter<File>>;

enum Encoder {
    Arrow(Box<IpcFileWriter<Sink>>),
    Parquet(Box<ArrowWriter<Sink>>),
    Jsonl(Sink),
}

/// Writes one shard, under a temporary path until [`finish`](ShardWriter::finish) renames it to its final one. A writer
/// that is dropped before leaves nothing under the final name. The bytes depend on the batches, their order and the
/// metadata alone.
pub struct ShardWriter {
    temporary: PathBuf,
    target: PathBuf,
    format: Format,
    language: Option<String>,
    split: Split,
    meta: ShardMeta,
    encoder: Encoder,
    rows: u64,
    text_bytes: u64,
}

impl ShardWriter {
    /// Starts the shard `target`; `scratch` is a folder on the same file system.
    ///
    /// # Errors
    /// The temporary file cannot be created.
    pub fn create<'a>(
        target: &Path,
        scratch: &Path,
        format: Format,
        set: impl Into<ShardSet<'a>>,
        meta: &ShardMeta,
    ) -> Result<ShardWriter, Error> {
        let ShardSet { language, split } = set.into();
        let temporary = scratch.join(target.file_name().unwrap_or_default());
        let file = File::create(&temporary).map_err(Error::io(&temporary, "create"))?;
        let sink = HashingWriter::new(BufWriter::with_capacity(1 << 16, file));
        let schema = schema::schema(&meta.recipe, &meta.recipe_hash);
        let encoder = match format {
            Format::Arrow => IpcFileWriter::new(sink, &schema)
                .map(|writer| Encoder::Arrow(Box::new(writer)))
                .map_err(Error::arrow(&temporary))?,
            Format::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(ParquetCompression::ZSTD(ZstdLevel::default()))
                    .set_max_row_group_row_count(Some(16 * BATCH_ROWS))
                    .set_created_by("c4".to_owned())
                    .build();
                ArrowWriter::try_new(sink, schema, Some(properties))
                    .map(|writer| Encoder::Parquet(Box::new(writer)))
                    .map_err(Error::parquet(&temporary))?
            }
            Format::Jsonl => Encoder::Jsonl(sink),
        };
        Ok(ShardWriter {
            temporary,
            target: target.to_owned(),
            format,
            language: language.map(str::to_owned),
            split,
            meta: meta.clone(),
            encoder,
            rows: 0,
            text_bytes: 0,
        })
    }

    /// Appends a batch to the shard that [`encode`] made for its format and metadata.
    ///
    /// # Errors
    /// The file cannot be written (a full disk, say), or the batch is for another format.
    pub fn append(&mut self, batch: EncodedBatch) -> Result<(), Error> {
        let path = &self.temporary;
        self.rows += batch.rows;
        self.text_bytes += batch.text_bytes;
        match (&mut self.encoder, batch.data) {
            (Encoder::Arrow(writer), EncodedRows::Arrow(data)) => writer.write(data).map_err(Error::arrow(path)),
            (Encoder::Parquet(writer), EncodedRows::Parquet(rows)) => writer.write(&rows).map_err(Error::parquet(path)),
            (Encoder::Jsonl(sink), EncodedRows::Jsonl(gzip)) => sink.write_all(&gzip).map_err(Error::io(path, "write")),
            _ => Err(Error::Format {
                path: path.clone(),
                reason: "a batch that was encoded for another format".into(),
            }),
        }
    }

    /// Encodes and appends `documents` in batches, for callers that need no second core.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&mut self, mut documents: Vec<Document>) -> Result<(), Error> {
        while let Some(batch) = next_batch(&mut documents, false) {
            self.append(encode(self.format, &self.meta, &batch)?)?;
        }
        Ok(())
    }

    /// Ends the shard, syncs it to the disk and gives it its final name.
    ///
    /// # Errors
    /// The file cannot be written or renamed.
    pub fn finish(self) -> Result<ShardEntry, Error> {
        let path = &self.temporary;
        let sink = match self.encoder {
            Encoder::Arrow(writer) => writer.finish().map_err(Error::arrow(path))?,
            Encoder::Parquet(writer) => writer.into_inner().map_err(Error::parquet(path))?,
            Encoder::Jsonl(mut sink) => {
                if self.rows == 0 {
                    // An empty file is no gzip file.
                    let member = json_lines(&[]).map_err(Error::io(path, "encode"))?;
                    sink.write_all(&member).map_err(Error::io(path, "write"))?;
                }
                sink
            }
        };
        let (buffered, bytes, sha256) = sink.finish();
        let file = buffered
            .into_inner()
            .map_err(|e| Error::io(path, "write")(e.into_error()))?;
        file.sync_all().map_err(Error::io(path, "sync"))?;
        crate::atomic_file::rename(path, &self.target).map_err(Error::io(&self.target, "rename"))?;
        let name = self.target.file_name().unwrap_or_default();
        Ok(ShardEntry {
            file: name.to_string_lossy().into_owned(),
            language: self.language,
            split: self.split,
            rows: self.rows,
            bytes,
            text_bytes: self.text_bytes,
            sha256,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shard_names() {
        for format in [Format::Arrow, Format::Parquet, Format::Jsonl] {
            for split in Split::ALL {
                let all = [None, Some("de"), Some("fil"), Some("zh-Latn")];
                for set in all.map(|language| ShardSet { language, split }) {
                    assert!(Format::is_shard_name(&format.file_name(set, 3, 100)));
                }
            }
        }
        let set = ShardSet {
            language: Some("de"),
            split: Split::Train,
        };
        for (format, name, pattern) in [
            (Format::Arrow, "de.train-00000-of-00003.arrow", "de.train-*.arrow"),
            (Format::Parquet, "de.train-00000-of-00003.parquet", "de.train-*.parquet"),
            (
                Format::Jsonl,
                "c4-de.train.00000-of-00003.json.gz",
                "c4-de.train.*.json.gz",
            ),
        ] {
            assert_eq!(format.file_name(set, 0, 3), name);
            assert_eq!(format.file_pattern(set), pattern);
        }
        for name in [
            "train.arrow",
            "train-00000-of-00001.txt",
            "my-train-1-of-2.arrow",
            "german.train-00000-of-00001.arrow",
            "de.fr.train-00000-of-00001.arrow",
            ".train-00000-of-00001.arrow",
        ] {
            assert!(!Format::is_shard_name(name), "{name}");
        }
    }
}
