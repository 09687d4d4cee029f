//! Shards: the files that documents are stored in.
//!
//! Above 500 lines with its tests: writer and reader of the three formats stand together, so that one
//! cannot change without the other.

use crate::fs::HashingWriter;
use crate::guard::guarded;
use crate::ipc_check;
use crate::ipc_file::{self, IpcFileWriter};
use crate::limit::{BATCH_TEXT_BYTES, BatchLimit, MAX_OTHER_BYTES, MAX_PAGE_BYTES};
use crate::parquet_check;
use crate::recipe::is_language_code;
use crate::{Document, Error, Page, Provenance, ShardEntry, ShardSet, Split, schema};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::CompressionType;
use arrow::ipc::reader::FileReader;
use arrow::ipc::writer::EncodedData;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Compression as ParquetCompression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Rows of a record batch, unless its text reaches [`BATCH_TEXT_BYTES`] first, which bounds a reader's memory and
/// what one core encodes at a time, or its other strings [`MAX_OTHER_BYTES`].
const BATCH_ROWS: usize = 1024;

/// File format of the shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Arrow IPC file, zstd: the whole schema, the default.
    Arrow,
    /// Parquet, zstd: the whole schema.
    Parquet,
    /// gzip JSON lines with `text`, `timestamp` and `url`: the layout in which C4 is published.
    Jsonl,
}

impl Format {
    /// The file name of shard `index` of `count`: `train-00000-of-00003.arrow`, or
    /// `de.train-00000-of-00003.arrow` in a set of one language.
    pub fn file_name<'a>(self, set: impl Into<ShardSet<'a>>, index: usize, count: usize) -> String {
        self.name(set.into(), &format!("{index:05}-of-{count:05}"))
    }

    /// The file names of all shards of a set, as a pattern of a shell.
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

/// What the shard says of the corpus it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardMeta {
    /// The recipe's name.
    pub recipe: String,
    /// The recipe's hash.
    pub recipe_hash: String,
}

/// The line of a JSON-lines shard, keys in the order of the published copy.
#[derive(Serialize, Deserialize)]
struct JsonLine<'a> {
    #[serde(borrow)]
    text: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    timestamp: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    url: std::borrow::Cow<'a, str>,
}

/// A batch of documents as it will be in the file, but for its place there: made on any core,
/// independent of what comes before and after.
pub struct EncodedBatch {
    data: EncodedRows,
    rows: u64,
    text_bytes: u64,
}

enum EncodedRows {
    Arrow(EncodedData),
    /// Parquet encodes across batches, so this one does so when it is written.
    Parquet(RecordBatch),
    /// A gzip member.
    Jsonl(Vec<u8>),
}

impl EncodedBatch {
    /// Its size in the file, about; of Parquet, which is encoded later, that of its text.
    pub fn bytes(&self) -> u64 {
        match &self.data {
            EncodedRows::Arrow(data) => (data.ipc_message.len() + data.arrow_data.len()) as u64,
            EncodedRows::Parquet(_) => self.text_bytes,
            EncodedRows::Jsonl(gzip) => gzip.len() as u64,
        }
    }
}

/// Takes from `documents` what makes up the next batch; the rest stays.
///
/// Batches are cut by rows and bytes of text alone, so that a shard's bytes depend on its documents
/// and nothing else. `None` if there are not enough for a whole batch and more may come.
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

/// Bytes of all strings but the text.
fn other_bytes(document: &Document) -> u64 {
    let page = &document.page;
    let strings = [&page.url, &page.timestamp, &page.content_type, &page.content_length];
    let bytes: usize = strings.map(String::len).iter().sum();
    (bytes + document.language.len() + page.provenance.archive.len()) as u64
}

/// Encodes and compresses a batch for a shard of `format` and `meta`: the expensive part of
/// writing, apart from the writer so that it can run on any core.
///
/// # Errors
/// A page that is longer than readers take (128 MiB of text, 16 MiB of URL and other strings).
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

/// Writes one shard: under a temporary path, renamed to its final one by
/// [`finish`](ShardWriter::finish). Dropped before that, it leaves nothing under the final name.
/// The bytes depend on the batches, their order and the metadata alone.
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

    /// Appends a batch that [`encode`] made for this shard's format and metadata.
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

    /// Encodes and appends `documents`, in batches: for callers who need no second core.
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
        crate::fs::rename(path, &self.target).map_err(Error::io(&self.target, "rename"))?;
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

enum Decoder {
    Arrow(Box<FileReader<BufReader<File>>>),
    Parquet(Box<ParquetRecordBatchReader>),
    Jsonl(Box<BufReader<MultiGzDecoder<BufReader<File>>>>),
}

/// Reads the documents of one shard in order, a record batch at a time. The format is told by the
/// file's name.
///
/// ```
/// use c4_data::*;
/// # let dir = std::env::temp_dir().join(format!("c4-data-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&dir)?;
/// let path = dir.join(Format::Arrow.file_name(Split::Train, 0, 1));
/// let meta = ShardMeta { recipe: "en".into(), recipe_hash: "…".into() };
/// let mut writer = ShardWriter::create(&path, &std::env::temp_dir(), Format::Arrow, Split::Train, &meta)?;
/// writer.write(vec![Document {
///     page: Page {
///         url: "https://a.example/".into(),
///         text: "One line.".into(),
///         timestamp: "2019-04-18T10:12:43Z".into(),
///         content_type: "text/plain".into(),
///         content_length: "9".into(),
///         provenance: Provenance { archive: "a.warc.wet.gz".into(), record_offset: 512 },
///     },
///     language: "en".into(),
///     language_score: 0.99,
/// }])?;
/// writer.finish()?;
///
/// for document in ShardReader::open(&path)? {
///     assert_eq!(document?.page.text, "One line.");
/// }
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ShardReader {
    path: PathBuf,
    limit: BatchLimit,
    /// Lines that were read, of JSON.
    lines: u64,
    decoder: Decoder,
    /// JSON lines have none.
    schema: Option<SchemaRef>,
    batch: std::vec::IntoIter<Document>,
    /// After an error nothing more comes.
    failed: bool,
}

impl ShardReader {
    /// Opens a shard.
    ///
    /// # Errors
    /// A file that is missing, cut, or in none of the formats; one that unpacks to more than any build writes.
    pub fn open(path: &Path) -> Result<ShardReader, Error> {
        ShardReader::open_within(path, BatchLimit::any())
    }

    /// Opens a shard with a limit for its batches, that of its recipe.
    ///
    /// # Errors
    /// As [`open`](ShardReader::open).
    pub fn open_within(path: &Path, limit: BatchLimit) -> Result<ShardReader, Error> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let open = || File::open(path).map_err(Error::io(path, "open"));
        let (decoder, schema) = if name.ends_with(".arrow") {
            let reader = ipc_check::open(path, None, limit)?;
            let schema = reader.schema();
            (Decoder::Arrow(Box::new(reader)), Some(schema))
        } else if name.ends_with(".parquet") {
            let (builder, rows) = open_parquet(path, limit)?;
            // The reader's own schema lacks the metadata.
            let schema = builder.schema().clone();
            let build = || builder.with_batch_size(rows).build().map_err(Error::parquet(path));
            (Decoder::Parquet(Box::new(guarded(path, build)?)), Some(schema))
        } else if name.ends_with(".json.gz") {
            let gzip = MultiGzDecoder::new(BufReader::new(open()?));
            let lines = BufReader::with_capacity(1 << 16, gzip);
            (Decoder::Jsonl(Box::new(lines)), None)
        } else {
            return Err(Error::Format {
                path: path.to_owned(),
                reason: "not a shard: its name ends with none of .arrow, .parquet, .json.gz".into(),
            });
        };
        Ok(ShardReader {
            path: path.to_owned(),
            limit,
            lines: 0,
            decoder,
            schema,
            batch: Vec::new().into_iter(),
            failed: false,
        })
    }

    /// Opens a shard at document `row`, from 0. Decodes no more of what is before it than the rest of a record
    /// batch (Arrow, Parquet); JSON lines are decompressed from the start, but not parsed.
    ///
    /// # Errors
    /// As [`open`](ShardReader::open), and a shard of fewer documents than `row`.
    pub fn open_at(path: &Path, limit: BatchLimit, row: u64) -> Result<ShardReader, Error> {
        let mut shard = ShardReader::open_within(path, limit)?;
        let mut left = row;
        match &mut shard.decoder {
            _ if row == 0 => {}
            Decoder::Arrow(reader) => {
                // Of no column, a batch is read but not decompressed, and knows its rows.
                let mut rows = ipc_check::open(path, Some(Vec::new()), limit)?;
                let mut index = 0;
                while let Some(batch) = guarded(path, || rows.next().transpose().map_err(Error::arrow(path)))? {
                    let rows = batch.num_rows() as u64;
                    if rows > left {
                        break;
                    }
                    left -= rows;
                    index += 1;
                }
                if index < reader.num_batches() {
                    reader.set_index(index).map_err(Error::arrow(path))?;
                } else if index > 0 {
                    // At the end: behind the last batch.
                    reader.set_index(index - 1).map_err(Error::arrow(path))?;
                    reader.next().transpose().map_err(Error::arrow(path))?;
                }
            }
            Decoder::Parquet(_) => {
                let (builder, batch_rows) = open_parquet(path, limit)?;
                let rows: i64 = builder.metadata().file_metadata().num_rows();
                let skipped = row.min(u64::try_from(rows).unwrap_or(0));
                left -= skipped;
                let reader = builder
                    .with_batch_size(batch_rows)
                    .with_offset(usize::try_from(skipped).unwrap_or(usize::MAX))
                    .build();
                shard.decoder = Decoder::Parquet(Box::new(reader.map_err(Error::parquet(path))?));
            }
            Decoder::Jsonl(lines) => {
                shard.lines = row;
                while left > 0 && lines.skip_until(b'\n').map_err(Error::io(path, "read"))? > 0 {
                    left -= 1;
                }
            }
        }
        while left > 0 {
            match shard.next().transpose()? {
                Some(_) => left -= 1,
                None => {
                    return Err(Error::Format {
                        path: path.to_owned(),
                        reason: format!("has fewer than {row} documents"),
                    });
                }
            }
        }
        Ok(shard)
    }

    /// In what the file's columns and metadata differ from those of a shard of `meta`, in words;
    /// `None` if in nothing, or if the format has neither (JSON lines).
    pub fn difference(&self, meta: &ShardMeta) -> Option<String> {
        let wanted = schema::schema(&meta.recipe, &meta.recipe_hash);
        schema::difference(self.schema.as_ref()?, &wanted)
    }

    /// The next batch; `None` at the end.
    fn next_batch(&mut self) -> Result<Option<Vec<Document>>, Error> {
        let path = &self.path;
        let decoder = &mut self.decoder;
        if let Decoder::Jsonl(lines) = decoder {
            self.lines += 1;
            return read_json_lines(path, lines, self.lines, self.limit);
        }
        guarded(path, || {
            let batch = match decoder {
                Decoder::Arrow(reader) => reader.next(),
                Decoder::Parquet(reader) => reader.next(),
                Decoder::Jsonl(_) => None,
            };
            let Some(batch) = batch.transpose().map_err(Error::arrow(path))? else {
                return Ok(None);
            };
            let documents = schema::from_batch(&batch).map_err(Error::arrow(path))?;
            Ok(Some(documents))
        })
    }
}

/// Opens a Parquet file whose structures have been looked at; its batches are still to be [`guarded`]. Gives also how
/// many rows to decode at a time.
fn open_parquet(path: &Path, limit: BatchLimit) -> Result<(ParquetRecordBatchReaderBuilder<File>, usize), Error> {
    parquet_check::footer(path)?;
    let file = File::open(path).map_err(Error::io(path, "open"))?;
    guarded(path, || {
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(Error::parquet(path))?;
        let largest = parquet_check::pages(path, builder.metadata(), limit)?;
        // A dictionary's string may be that of every row, and none is longer than its page.
        let rows = usize::try_from(limit.bytes / largest.max(1)).unwrap_or(BATCH_ROWS);
        Ok((builder, rows.clamp(1, BATCH_ROWS)))
    })
}

/// One line as a batch; the columns that the layout lacks are empty.
fn read_json_lines(
    path: &Path,
    lines: &mut impl BufRead,
    number: u64,
    limit: BatchLimit,
) -> Result<Option<Vec<Document>>, Error> {
    let mut line = String::new();
    let mut lines = lines.take(limit.line_bytes + 1);
    let read = lines.read_line(&mut line);
    if lines.limit() == 0 {
        return Err(Error::Format {
            path: path.to_owned(),
            reason: format!(
                "line {number} has more than {} bytes, which no build writes; it is not read",
                limit.line_bytes
            ),
        });
    }
    if read.map_err(Error::io(path, "read"))? == 0 {
        return Ok(None);
    }
    let row: JsonLine = serde_json::from_str(&line).map_err(|e| Error::Format {
        path: path.to_owned(),
        reason: format!("line {number} is not a document: {e}"),
    })?;
    Ok(Some(vec![Document {
        page: Page {
            url: row.url.into_owned(),
            text: row.text.into_owned(),
            timestamp: row.timestamp.into_owned(),
            content_type: String::new(),
            content_length: String::new(),
            provenance: Provenance {
                archive: Arc::from(""),
                record_offset: 0,
            },
        },
        language: String::new(),
        language_score: 0.0,
    }]))
}

impl Iterator for ShardReader {
    type Item = Result<Document, Error>;

    /// An error ends the shard.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(document) = self.batch.next() {
                return Some(Ok(document));
            }
            if self.failed {
                return None;
            }
            match self.next_batch() {
                Ok(Some(batch)) => self.batch = batch.into_iter(),
                Ok(None) => return None,
                Err(e) => {
                    self.failed = true;
                    return Some(Err(e));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn document(i: usize) -> Document {
        Document {
            page: Page {
                url: format!("https://a.example/{i}"),
                text: format!("Line one of {i}.\nLine \"two\" of it, ümläut 日本."),
                timestamp: "2019-04-18T10:12:43Z".into(),
                content_type: "text/html; charset=UTF-8".into(),
                content_length: i.to_string(),
                provenance: Provenance {
                    archive: format!("{}.warc.gz", i % 3).into(),
                    record_offset: 1 << 40 | i as u64,
                },
            },
            language: "en".into(),
            language_score: 0.99 + i as f32 * 1e-6,
        }
    }

    fn meta() -> ShardMeta {
        ShardMeta {
            recipe: "en".into(),
            recipe_hash: "h".into(),
        }
    }

    #[test]
    fn every_format_gives_back_what_it_holds_and_the_same_bytes_twice() {
        let dir = tempfile::tempdir().unwrap();
        let rows: Vec<Document> = (0..2500).map(document).collect();
        for format in [Format::Arrow, Format::Parquet, Format::Jsonl] {
            let mut sums = Vec::new();
            for run in 0..2 {
                let scratch = dir.path().join("scratch");
                fs::create_dir_all(&scratch).unwrap();
                let path = dir.path().join(format.file_name(Split::Train, run, 2));
                let mut writer = ShardWriter::create(&path, &scratch, format, Split::Train, &meta()).unwrap();
                writer.write(rows.clone()).unwrap();
                assert!(!path.exists(), "no file under its final name before the end");
                let entry = writer.finish().unwrap();
                assert_eq!(entry.rows, 2500);
                assert_eq!(entry.sha256, crate::fs::sha256_file(&path).unwrap());
                assert_eq!(entry.bytes, fs::metadata(&path).unwrap().len());
                sums.push(entry.sha256);
                let read: Result<Vec<Document>, Error> = ShardReader::open(&path).unwrap().collect();
                let read = read.unwrap();
                if format == Format::Jsonl {
                    let texts =
                        |rows: &[Document]| -> Vec<String> { rows.iter().map(|d| d.page.text.clone()).collect() };
                    assert_eq!(texts(&read), texts(&rows));
                } else {
                    assert_eq!(read, rows);
                }
                assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
            }
            assert_eq!(sums[0], sums[1], "{format:?}");
        }
    }

    #[test]
    fn shards_open_at_any_document() {
        let dir = tempfile::tempdir().unwrap();
        // Batches of 1,024, and smaller ones where texts are long.
        let rows: Vec<Document> = (0..2500)
            .map(|i| {
                let mut row = document(i);
                if i % 7 == 0 {
                    row.page.text = "A long line of text. ".repeat(2000);
                }
                row
            })
            .collect();
        for format in [Format::Arrow, Format::Parquet, Format::Jsonl] {
            let path = dir.path().join(format.file_name(Split::Train, 0, 1));
            let scratch = dir.path().join("scratch");
            fs::create_dir_all(&scratch).unwrap();
            let mut writer = ShardWriter::create(&path, &scratch, format, Split::Train, &meta()).unwrap();
            writer.write(rows.clone()).unwrap();
            writer.finish().unwrap();
            for row in [0, 1, 167, 168, 169, 170, 1023, 1024, 1025, 2047, 2048, 2499, 2500] {
                let reader = ShardReader::open_at(&path, BatchLimit::any(), row).unwrap();
                let urls: Vec<String> = reader.map(|d| d.unwrap().page.url).collect();
                let wanted = rows[row as usize..].iter().map(|d| d.page.url.clone());
                assert!(urls.into_iter().eq(wanted), "{format:?} from {row}");
            }
            let error = ShardReader::open_at(&path, BatchLimit::any(), 2501)
                .err()
                .unwrap()
                .to_string();
            assert!(error.contains("fewer than 2501"), "{error}");
        }
    }

    #[test]
    fn cut_shard_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("train-00000-of-00001.arrow");
        let mut writer =
            ShardWriter::create(&path, &std::env::temp_dir(), Format::Arrow, Split::Train, &meta()).unwrap();
        writer.write(vec![document(1)]).unwrap();
        writer.finish().unwrap();
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let error = ShardReader::open(&path).err().unwrap().to_string();
        assert!(error.contains("train-00000-of-00001.arrow"), "{error}");
    }

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

    #[test]
    fn what_no_build_writes_is_refused_before_it_is_unpacked() {
        let dir = tempfile::tempdir().unwrap();
        // The second batch, or page, or line, holds what the first does not.
        let rows: Vec<Document> = (0..1100)
            .map(|i| {
                let mut row = document(i);
                if i == 1050 {
                    row.page.text = "A long line of text. ".repeat(40_000);
                }
                row
            })
            .collect();
        let limit = BatchLimit {
            rows: 1024,
            bytes: 512 << 10,
            line_bytes: 512 << 10,
        };
        for (format, words) in [
            (Format::Arrow, ["batch 1 holds ", "at most 524288 may be"]),
            (Format::Parquet, ["the page at ", "at most 524288 may be"]),
            (Format::Jsonl, ["line 1051 has more than", "524288 bytes"]),
        ] {
            let path = dir.path().join(format.file_name(Split::Train, 0, 1));
            let mut writer = ShardWriter::create(&path, dir.path(), format, Split::Train, &meta()).unwrap();
            writer.write(rows.clone()).unwrap();
            let at = writer.finish().unwrap().file;
            let read = |limit| -> Result<Vec<Document>, Error> { ShardReader::open_within(&path, limit)?.collect() };
            assert_eq!(read(BatchLimit::any()).unwrap().len(), rows.len());
            let error = read(limit).unwrap_err().to_string();
            assert!(error.contains(&at), "{error}");
            for word in words {
                assert!(error.contains(word), "{format:?}: no {word} in {error}");
            }
            if format == Format::Arrow {
                let few = BatchLimit {
                    rows: 1000,
                    ..BatchLimit::any()
                };
                let error = read(few).unwrap_err().to_string();
                assert!(error.contains("batch 0 has 1024 rows, at most 1000"), "{error}");
            }
        }
    }

    #[test]
    fn a_dictionary_is_decoded_in_pieces() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("train-00000-of-00001.parquet");
        let mut rows: Vec<Document> = (0..1000).map(document).collect();
        let text = "The same text in every row. ".repeat(100);
        rows.iter_mut().for_each(|row| row.page.text = text.clone());
        let mut writer = ShardWriter::create(&path, dir.path(), Format::Parquet, Split::Train, &meta()).unwrap();
        writer.write(rows.clone()).unwrap();
        writer.finish().unwrap();
        let limit = BatchLimit {
            bytes: 256 << 10,
            ..BatchLimit::any()
        };
        let (_, at_a_time) = open_parquet(&path, limit).unwrap();
        assert!(at_a_time * text.len() <= 256 << 10, "{at_a_time} rows");
        let read = ShardReader::open_within(&path, limit).unwrap();
        assert!(read.map(|row| row.unwrap()).eq(rows));
    }

    #[test]
    fn what_readers_would_refuse_is_not_written() {
        let mut rows: Vec<Document> = (0..40).map(document).collect();
        rows.iter_mut().for_each(|row| row.page.url = "u".repeat(1 << 20));
        let batch = next_batch(&mut rows, false).unwrap();
        assert_eq!((batch.len(), rows.len()), (16, 24), "16 MiB of URLs");
        let mut long = document(0);
        long.page.text = "a".repeat(MAX_PAGE_BYTES as usize + 1);
        let error = encode(Format::Jsonl, &meta(), &[long]).err().unwrap();
        let error = error.to_string();
        assert!(
            error.contains("https://a.example/0") && error.contains("134217728"),
            "{error}"
        );
    }
}
