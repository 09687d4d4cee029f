//! The ledger: what a build dropped and why, as Arrow files in the folder `ledger` of a corpus.
//!
//! | table | one row is | complete |
//! |---|---|---|
//! | `pages` | a dropped page | with `all` |
//! | `lines` | a line that went while its page stayed in at that time | with `all` |
//! | `duplicates` | a copy that went, and the one that stayed for it | always |
//! | `fates` | what became of a normalised URL | always |
//!
//! With `sample:N`, `pages` and `lines` hold at most N rows a reason, drawn by a hash of the page (and
//! the line's number), so that the sample depends on neither threads nor order. All tables are in the
//! order of the pages' URL hash.
//!
//! Above 500 lines with its tests: rows, writer and reader stand together, so that one cannot change
//! without the other.

use crate::Error;
use crate::fs::{HashingWriter, sha256_file};
use crate::guard::guarded;
use crate::ipc_check;
use crate::ipc_file::{self, IpcFileWriter};
use crate::limit::BatchLimit;
use arrow::array::{Array, ArrayRef, Float32Array, RecordBatch, StringArray, UInt32Array, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::CompressionType;
use arrow::ipc::reader::FileReader;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

/// The ledger's folder in that of the corpus.
pub const LEDGER_FOLDER: &str = "ledger";

/// How much of the ledger is kept. Written `all`, `sample:N` or `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum LedgerMode {
    /// Every dropped page and line.
    All,
    /// At most so many rows a reason of `pages` and `lines`.
    Sample(u64),
    /// No ledger.
    None,
}

impl Default for LedgerMode {
    fn default() -> Self {
        LedgerMode::Sample(1000)
    }
}

impl fmt::Display for LedgerMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LedgerMode::All => f.write_str("all"),
            LedgerMode::Sample(n) => write!(f, "sample:{n}"),
            LedgerMode::None => f.write_str("none"),
        }
    }
}

impl FromStr for LedgerMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let sample = |n: &str| n.parse().ok().filter(|n| *n > 0).map(LedgerMode::Sample);
        match text {
            "all" => Ok(LedgerMode::All),
            "none" => Ok(LedgerMode::None),
            _ => text
                .strip_prefix("sample:")
                .and_then(sample)
                .ok_or_else(|| "give all, none, or sample:N with N above 0, as in sample:1000".to_owned()),
        }
    }
}

impl TryFrom<String> for LedgerMode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<LedgerMode> for String {
    fn from(mode: LedgerMode) -> String {
        mode.to_string()
    }
}

/// What `manifest.json` says of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// How much of it is kept.
    pub mode: LedgerMode,
    /// Of the samples.
    pub seed: u64,
    /// Its files, table by table, each in order.
    pub files: Vec<LedgerFile>,
}

/// One file of a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerFile {
    /// Its path in the folder of the corpus.
    pub file: String,
    /// The table it is a part of.
    pub table: Table,
    /// Rows in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of the file.
    pub sha256: String,
}

/// The tables of a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Table {
    /// [`DroppedPage`].
    Pages,
    /// [`DroppedLine`].
    Lines,
    /// [`Duplicate`].
    Duplicates,
    /// [`Fate`].
    Fates,
}

impl Table {
    /// All of them.
    pub const ALL: [Table; 4] = [Table::Pages, Table::Lines, Table::Duplicates, Table::Fates];

    /// Its name, which its files start with.
    pub fn name(self) -> &'static str {
        match self {
            Table::Pages => "pages",
            Table::Lines => "lines",
            Table::Duplicates => "duplicates",
            Table::Fates => "fates",
        }
    }

    /// The name of file `index`.
    pub fn file_name(self, index: usize) -> String {
        format!("{}-{index:05}.arrow", self.name())
    }

    /// Whether `name` is one that [`file_name`](Self::file_name) gives.
    pub fn is_file_name(name: &str) -> bool {
        let parts = name.strip_suffix(".arrow").and_then(|stem| stem.rsplit_once('-'));
        parts.is_some_and(|(table, index)| {
            Table::ALL.iter().any(|t| t.name() == table)
                && index.len() >= 5
                && index.bytes().all(|b| b.is_ascii_digit())
        })
    }
}

/// A value of a column.
trait Cell: Sized {
    const TYPE: DataType;
    const NULLABLE: bool = false;
    type Array: Array + 'static;
    fn array<'a>(values: impl Iterator<Item = &'a Self>) -> Self::Array
    where
        Self: 'a;
    fn get(array: &Self::Array, row: usize) -> Self;
}

macro_rules! cell {
    ($type:ty, $arrow:ident, $array:ty) => {
        impl Cell for $type {
            const TYPE: DataType = DataType::$arrow;
            type Array = $array;
            fn array<'a>(values: impl Iterator<Item = &'a Self>) -> $array {
                <$array>::from_iter_values(values.cloned())
            }
            fn get(array: &$array, row: usize) -> Self {
                array.value(row).to_owned()
            }
        }
        impl Cell for Option<$type> {
            const TYPE: DataType = DataType::$arrow;
            const NULLABLE: bool = true;
            type Array = $array;
            fn array<'a>(values: impl Iterator<Item = &'a Self>) -> $array {
                values.cloned().collect()
            }
            fn get(array: &$array, row: usize) -> Self {
                array.is_valid(row).then(|| array.value(row).to_owned())
            }
        }
    };
}
cell!(String, Utf8, StringArray);
cell!(u32, UInt32, UInt32Array);
cell!(u64, UInt64, UInt64Array);
cell!(f32, Float32, Float32Array);

/// A row of a ledger's table.
pub trait LedgerRow: Serialize + DeserializeOwned + Send + Sync {
    /// The table.
    const TABLE: Table;
    /// Its columns.
    fn schema() -> SchemaRef;
    /// Rows as a record batch.
    ///
    /// # Errors
    /// More than 2 GiB of text.
    fn to_batch(rows: &[Self]) -> Result<RecordBatch, ArrowError>;
    /// A record batch as rows. Columns are found by name.
    ///
    /// # Errors
    /// A column that is missing or has another type.
    fn from_batch(batch: &RecordBatch) -> Result<Vec<Self>, ArrowError>;
    /// Bytes of text in it, more or less.
    fn weight(&self) -> usize;
}

macro_rules! table {
    ($(#[doc = $doc:literal])* $name:ident, $table:ident, $weight:expr, {
        $($(#[doc = $field_doc:literal])* $column:literal $field:ident: $type:ty,)*
    }) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub struct $name {
            $($(#[doc = $field_doc])* pub $field: $type,)*
        }

        impl LedgerRow for $name {
            const TABLE: Table = Table::$table;

            fn schema() -> SchemaRef {
                Arc::new(Schema::new(vec![
                    $(Field::new($column, <$type>::TYPE, <$type>::NULLABLE),)*
                ]))
            }

            fn to_batch(rows: &[Self]) -> Result<RecordBatch, ArrowError> {
                let columns: Vec<ArrayRef> = vec![
                    $(Arc::new(<$type as Cell>::array(rows.iter().map(|row| &row.$field))),)*
                ];
                RecordBatch::try_new(Self::schema(), columns)
            }

            fn from_batch(batch: &RecordBatch) -> Result<Vec<Self>, ArrowError> {
                $(let $field = column::<<$type as Cell>::Array>(batch, $column)?;)*
                let row = |i| $name { $($field: <$type as Cell>::get($field, i),)* };
                Ok((0..batch.num_rows()).map(row).collect())
            }

            fn weight(&self) -> usize {
                let weight: fn(&Self) -> usize = $weight;
                weight(self)
            }
        }
    };
}

fn column<'a, A: 'static>(batch: &'a RecordBatch, name: &str) -> Result<&'a A, ArrowError> {
    let array = batch.column_by_name(name);
    let array = array.and_then(|array| array.as_any().downcast_ref::<A>());
    array.ok_or_else(|| ArrowError::SchemaError(format!("column `{name}` is missing or has another type")))
}

table! {
    /// A page that a step dropped.
    DroppedPage, Pages, |row| row.text.len() + row.url.len() + 64, {
        /// Code of the reason.
        "reason" reason: String,
        /// What decided: the recipe's key, or in words.
        "rule" rule: String,
        /// What the rule went by, as it stands in the text; empty where nothing stands out.
        "match" matched: String,
        /// Where that is in `text`, in bytes; null where it is not in it.
        "match_start" match_start: Option<u32>,
        /// The page as the step saw it: as it was read for the length limit and the rules, what they
        /// had left for later steps. In a sample at most 8 KiB; of an older copy it may be missing.
        "text" text: String,
        /// Bytes of the whole text.
        "text_bytes" text_bytes: u64,
        /// As in the record.
        "url" url: String,
        /// As in the record.
        "timestamp" timestamp: String,
        /// What the detector found; empty where it was not asked.
        "language" language: String,
        /// Its probability.
        "language_score" language_score: f32,
        /// Lines that went with the page.
        "lines" lines: u64,
        /// Characters of these lines.
        "chars" chars: u64,
        /// Words of these lines.
        "words" words: u64,
        /// Where the page was read.
        "archive" archive: String,
        /// Bytes from the start of the archive.
        "record_offset" record_offset: u64,
    }
}

table! {
    /// A line that a rule dropped while its page was in.
    DroppedLine, Lines, |row| row.text.len() + row.url.len() + 64, {
        /// Code of the reason.
        "reason" reason: String,
        /// What decided: the recipe's key, or in words.
        "rule" rule: String,
        /// What the rule went by, as it stands in the line; empty where nothing stands out.
        "match" matched: String,
        /// Where that is in `text`, in bytes.
        "match_start" match_start: Option<u32>,
        /// The line: as it was read for the rules, as they had left it for dedup.
        "text" text: String,
        /// Place of the line on the page as it was read, from 0.
        "line" line: u32,
        /// What became of its page: `kept`, or the code of the reason.
        "page" page: String,
        /// As in the record.
        "url" url: String,
        /// Where the page was read.
        "archive" archive: String,
        /// Bytes from the start of the archive.
        "record_offset" record_offset: u64,
    }
}

table! {
    /// A copy that went, and the one that stayed for it.
    Duplicate, Duplicates, |_| 64, {
        /// Code of the reason: of a line or span, or `older_copy` of a page.
        "reason" reason: String,
        /// Where the page of the copy that went was read.
        "archive" archive: String,
        /// Bytes from the start of the archive.
        "record_offset" record_offset: u64,
        /// Which line, or the first sentence of which span, after the rules; 0 for a page.
        "position" position: u32,
        /// Where the page of the copy that stayed was read.
        "kept_archive" kept_archive: String,
        /// Bytes from the start of that archive.
        "kept_record_offset" kept_record_offset: u64,
        /// Which line or sentence of that page.
        "kept_position" kept_position: u32,
    }
}

table! {
    /// What became of a normalised URL: of its newest page, or of its only ones that were too long.
    Fate, Fates, |_| 16, {
        /// The first eight bytes of the MD5 of the normalised URL, as a number.
        "url_key" url_key: u64,
        /// `kept`, or the code of the reason.
        "fate" fate: String,
    }
}

/// The fate of a page that is in the corpus.
pub const KEPT: &str = "kept";

/// Rows of a record batch, unless its text reaches [`BATCH_BYTES`] first.
const BATCH_ROWS: usize = 4096;
const BATCH_BYTES: usize = 1 << 20;
/// The default ledger must cost next to nothing.
const COMPRESSION: CompressionType = CompressionType::LZ4_FRAME;

/// Writes one table as files of about the same size. The bytes depend on the rows and their order
/// alone.
pub struct LedgerWriter<R> {
    folder: PathBuf,
    file_bytes: u64,
    waiting: Vec<R>,
    waiting_bytes: usize,
    open: Option<OpenFile>,
    files: Vec<LedgerFile>,
}

struct OpenFile {
    path: PathBuf,
    writer: IpcFileWriter<HashingWriter<BufWriter<File>>>,
    rows: u64,
    weight: u64,
}

impl<R: LedgerRow> LedgerWriter<R> {
    /// Files go to `folder`, a new one after each `file_bytes` of text. A table without rows is one
    /// file without rows.
    pub fn new(folder: &Path, file_bytes: u64) -> LedgerWriter<R> {
        LedgerWriter {
            folder: folder.to_owned(),
            file_bytes,
            waiting: Vec::new(),
            waiting_bytes: 0,
            open: None,
            files: Vec::new(),
        }
    }

    /// Appends a row.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&mut self, row: R) -> Result<(), Error> {
        self.waiting_bytes += row.weight();
        self.waiting.push(row);
        if self.waiting.len() >= BATCH_ROWS || self.waiting_bytes >= BATCH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        let rows = std::mem::take(&mut self.waiting);
        let weight = std::mem::take(&mut self.waiting_bytes) as u64;
        let mut open = match self.open.take() {
            Some(open) => open,
            None => {
                let path = self.folder.join(R::TABLE.file_name(self.files.len()));
                let file = File::create(&path).map_err(Error::io(&path, "create"))?;
                let sink = HashingWriter::new(BufWriter::with_capacity(1 << 16, file));
                let writer = IpcFileWriter::new(sink, &R::schema()).map_err(Error::arrow(&path))?;
                OpenFile {
                    path,
                    writer,
                    rows: 0,
                    weight: 0,
                }
            }
        };
        if !rows.is_empty() {
            let batch = R::to_batch(&rows).and_then(|batch| ipc_file::encode(&batch, COMPRESSION));
            let batch = batch.map_err(Error::arrow(&open.path))?;
            open.writer.write(batch).map_err(Error::arrow(&open.path))?;
        }
        open.rows += rows.len() as u64;
        open.weight += weight;
        if open.weight < self.file_bytes {
            self.open = Some(open);
            return Ok(());
        }
        self.close(open)
    }

    fn close(&mut self, open: OpenFile) -> Result<(), Error> {
        let path = &open.path;
        let sink = open.writer.finish().map_err(Error::arrow(path))?;
        let (buffered, bytes, sha256) = sink.finish();
        let file = buffered.into_inner();
        let file = file.map_err(|e| Error::io(path, "write")(e.into_error()))?;
        file.sync_all().map_err(Error::io(path, "sync"))?;
        let name = R::TABLE.file_name(self.files.len());
        self.files.push(LedgerFile {
            file: format!("{LEDGER_FOLDER}/{name}"),
            table: R::TABLE,
            rows: open.rows,
            bytes,
            sha256,
        });
        Ok(())
    }

    /// Ends the table; all its files are synced.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn finish(mut self) -> Result<Vec<LedgerFile>, Error> {
        if !self.waiting.is_empty() || (self.open.is_none() && self.files.is_empty()) {
            self.flush()?;
        }
        if let Some(open) = self.open.take() {
            self.close(open)?;
        }
        Ok(self.files)
    }
}

/// Reads a table of a ledger, row by row, a record batch at a time. A file is read once more before, for
/// its checksum.
pub struct LedgerReader<R> {
    paths: std::vec::IntoIter<(PathBuf, String)>,
    open: Option<(PathBuf, FileReader<BufReader<File>>)>,
    rows: std::vec::IntoIter<R>,
    row: PhantomData<R>,
}

impl<R: LedgerRow> LedgerReader<R> {
    /// The table of the corpus in `dir`.
    pub fn new(dir: &Path, ledger: &LedgerEntry) -> LedgerReader<R> {
        let files = ledger.files.iter().filter(|file| file.table == R::TABLE);
        let path = |file: &LedgerFile| (dir.join(&file.file), file.sha256.clone());
        let paths: Vec<(PathBuf, String)> = files.map(path).collect();
        LedgerReader {
            paths: paths.into_iter(),
            open: None,
            rows: Vec::new().into_iter(),
            row: PhantomData,
        }
    }

    /// Makes the next rows ready; false at the end.
    fn fill(&mut self) -> Result<bool, Error> {
        loop {
            if let Some((path, reader)) = &mut self.open {
                let rows = guarded(path, || {
                    let batch = reader.next().transpose().map_err(Error::arrow(path))?;
                    let rows = batch.map(|batch| R::from_batch(&batch)).transpose();
                    rows.map_err(Error::arrow(path))
                })?;
                if let Some(rows) = rows {
                    self.rows = rows.into_iter();
                    return Ok(true);
                }
                self.open = None;
            }
            let Some((path, sha256)) = self.paths.next() else {
                return Ok(false);
            };
            if sha256_file(&path)? != sha256 {
                let reason = "is not what the build wrote (its checksum differs); build it again";
                let reason = reason.to_owned();
                return Err(Error::Format { path, reason });
            }
            let reader = ipc_check::open(&path, None, BatchLimit::of_ledger())?;
            self.open = Some((path, reader));
        }
    }
}

impl<R: LedgerRow> Iterator for LedgerReader<R> {
    type Item = Result<R, Error>;

    /// An error ends the table.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.rows.next() {
                return Some(Ok(row));
            }
            match self.fill() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(e) => {
                    self.paths = Vec::new().into_iter();
                    self.open = None;
                    return Some(Err(e));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(i: u32) -> DroppedLine {
        DroppedLine {
            reason: "no_end_mark".into(),
            rule: "clean.end_marks".into(),
            matched: "é".into(),
            match_start: (!i.is_multiple_of(3)).then_some(i),
            text: "x".repeat(i as usize),
            line: i,
            page: KEPT.into(),
            url: format!("http://a.example/{i}"),
            archive: "a".into(),
            record_offset: u64::from(i) << 40,
        }
    }

    #[test]
    fn tables_keep_their_rows_over_several_files() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join(LEDGER_FOLDER);
        std::fs::create_dir(&folder).unwrap();
        let rows: Vec<DroppedLine> = (0..5000).map(line).collect();
        let mut writer = LedgerWriter::new(&folder, 4 << 20);
        for row in rows.clone() {
            writer.write(row).unwrap();
        }
        let mut ledger = LedgerEntry {
            mode: LedgerMode::All,
            seed: 0,
            files: writer.finish().unwrap(),
        };
        assert!(ledger.files.len() > 1);
        let empty: LedgerWriter<Fate> = LedgerWriter::new(&folder, 1);
        ledger.files.extend(empty.finish().unwrap());
        let read = LedgerReader::<DroppedLine>::new(dir.path(), &ledger);
        assert_eq!(read.map(|row| row.unwrap()).collect::<Vec<_>>(), rows);
        assert_eq!(LedgerReader::<Fate>::new(dir.path(), &ledger).count(), 0);
    }

    #[test]
    fn modes_are_written_as_they_are_typed() {
        for text in ["all", "none", "sample:1000"] {
            assert_eq!(text.parse::<LedgerMode>().unwrap().to_string(), text);
        }
        for text in ["", "sample", "sample:0", "sample:-1", "some"] {
            assert!(text.parse::<LedgerMode>().is_err(), "{text}");
        }
    }
}
