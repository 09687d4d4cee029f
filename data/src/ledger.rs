//! The ledger of a corpus: what its build dropped and why, as Arrow files in the folder `ledger`.
//!
//! | table | one row is | complete |
//! |---|---|---|
//! | `pages` | a dropped page | with `all` |
//! | `lines` | a line that was dropped while its page was kept so far | with `all` |
//! | `duplicates` | a dropped copy, and the one that was kept for it | always |
//! | `fates` | the verdict on a normalised URL | always |
//!
//! With `sample:N`, `pages` and `lines` hold at most N rows a reason, drawn by a hash of the page (and the line's
//! number), so that the sample depends on neither threads nor order. All tables are in the order of the pages' URL
//! hash.
//!
//! Above 500 lines with its tests: rows, writer and reader are in one file, so that one cannot change without the
//! other.

use crate::Error;
use crate::atomic_file::{HashingWriter, sha256_file};
use crate::catch_panic::catch_panic;
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

/// The name of the ledger's folder in that of the corpus.
pub const LEDGER_FOLDER: &str = "ledger";

/// The mode of a ledger: how much of it is kept. Written `all`, `sample:N` or `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum LedgerMode {
    /// Every dropped page and line is kept.
    All,
    /// At most this number of rows for each reason is kept of `pages` and `lines`.
    Sample(u64),
    /// No ledger is kept.
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

/// The entry of a ledger in `manifest.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// How much of the ledger is kept.
    pub mode: LedgerMode,
    /// The seed of the samples.
    pub seed: u64,
    /// The ledger's files, table by table, each table in order.
    pub files: Vec<LedgerFile>,
}

/// One file of a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerFile {
    /// The file's path in the folder of the corpus.
    pub file: String,
    /// The table that the file is a part of.
    pub table: Table,
    /// The number of rows in the file.
    pub rows: u64,
    /// The size of the file in bytes.
    pub bytes: u64,
    /// The SHA-256 of the file, as hexadecimal digits.
    pub sha256: String,
}

/// The tables of a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Table {
    /// The table of [`DroppedPage`].
    Pages,
    /// The table of [`DroppedLine`].
    Lines,
    /// The table of [`Duplicate`].
    Duplicates,
    /// The table of [`UrlVerdict`].
    #[serde(rename = "fates")]
    UrlVerdicts,
}

impl Table {
    /// All tables, in the order in which they are written.
    pub const ALL: [Table; 4] = [Table::Pages, Table::Lines, Table::Duplicates, Table::UrlVerdicts];

    /// The table's name, with which the names of its files start.
    pub fn name(self) -> &'static str {
        match self {
            Table::Pages => "pages",
            Table::Lines => "lines",
            Table::Duplicates => "duplicates",
            Table::UrlVerdicts => "fates",
        }
    }

    /// The name of the table's file `index`, from 0.
    pub fn file_name(self, index: usize) -> String {
        format!("{}-{index:05}.arrow", self.name())
    }

    /// Whether `name` is a file name of some table, as [`file_name`](Self::file_name) gives it.
    pub fn is_file_name(name: &str) -> bool {
        let parts = name.strip_suffix(".arrow").and_then(|stem| stem.rsplit_once('-'));
        parts.is_some_and(|(table, index)| {
            Table::ALL.iter().any(|t| t.name() == table)
                && index.len() >= 5
                && index.bytes().all(|b| b.is_ascii_digit())
        })
    }
}

/// A type of a column's values.
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

/// A type of row of a ledger's table.
pub trait LedgerRow: Serialize + DeserializeOwned + Send + Sync {
    /// The table that the row belongs to.
    const TABLE: Table;
    /// The table's columns.
    fn schema() -> SchemaRef;
    /// Encodes rows as a record batch.
    ///
    /// # Errors
    /// The rows have more than 2 GiB of text.
    fn to_batch(rows: &[Self]) -> Result<RecordBatch, ArrowError>;
    /// Decodes a record batch into rows. Columns are found by name.
    ///
    /// # Errors
    /// A column is missing or has another type.
    fn from_batch(batch: &RecordBatch) -> Result<Vec<Self>, ArrowError>;
    /// The row's size in bytes of text, approximately.
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
        /// The code of the reason.
        "reason" reason: String,
        /// The recipe's key that decided, or a few words where no key did.
        "rule" rule: String,
        /// The part of the text that gave the rule its verdict; empty where no part stands out.
        "match" matched: String,
        /// The byte offset of `match` in `text`; null where it is not in it.
        "match_start" match_start: Option<u32>,
        /// The page's text as the dropping step saw it: as it was read for the length limit and the rules, as those had
        /// cleaned it for later steps. In a sample at most 8 KiB; of an older copy it may be missing.
        "text" text: String,
        /// The size of the whole text in bytes.
        "text_bytes" text_bytes: u64,
        /// The page's URL, as in the record.
        "url" url: String,
        /// The page's `WARC-Date`, as in the record.
        "timestamp" timestamp: String,
        /// The code of the detected language; empty where no detector was asked.
        "language" language: String,
        /// The probability of the language, 0 to 1.
        "language_score" language_score: f32,
        /// The number of lines that were dropped with the page.
        "lines" lines: u64,
        /// The code points of these lines.
        "chars" chars: u64,
        /// The words of these lines.
        "words" words: u64,
        /// The archive that the page was read from.
        "archive" archive: String,
        /// The byte offset of the page's record in the archive.
        "record_offset" record_offset: u64,
    }
}

table! {
    /// A line that a rule dropped while its page was kept so far.
    DroppedLine, Lines, |row| row.text.len() + row.url.len() + 64, {
        /// The code of the reason.
        "reason" reason: String,
        /// The recipe's key that decided, or a few words where no key did.
        "rule" rule: String,
        /// The part of the line that gave the rule its verdict; empty where no part stands out.
        "match" matched: String,
        /// The byte offset of `match` in `text`; null where there is no match.
        "match_start" match_start: Option<u32>,
        /// The line: as it was read if a rule dropped it, as the rules had cleaned it if dedup did.
        "text" text: String,
        /// The line's number on the page as it was read, from 0.
        "line" line: u32,
        /// The verdict on the line's page: `kept`, or the code of the reason.
        "page" page: String,
        /// The page's URL, as in the record.
        "url" url: String,
        /// The archive that the page was read from.
        "archive" archive: String,
        /// The byte offset of the page's record in the archive.
        "record_offset" record_offset: u64,
    }
}

table! {
    /// A dropped copy of a line, span or page, and the copy that was kept.
    Duplicate, Duplicates, |_| 64, {
        /// The code of the reason: that of a line or span, or `older_copy` of a page.
        "reason" reason: String,
        /// The archive that the dropped copy's page was read from.
        "archive" archive: String,
        /// The byte offset of that page's record in the archive.
        "record_offset" record_offset: u64,
        /// The number of the dropped line, or of the dropped span's first sentence, on the page as the rules left it; 0
        /// for a page.
        "position" position: u32,
        /// The archive that the kept copy's page was read from.
        "kept_archive" kept_archive: String,
        /// The byte offset of that page's record in its archive.
        "kept_record_offset" kept_record_offset: u64,
        /// The number of the kept line or first sentence on that page.
        "kept_position" kept_position: u32,
    }
}

table! {
    /// The verdict on a normalised URL: on its newest page, or on its pages if all were dropped before they competed.
    UrlVerdict, UrlVerdicts, |_| 16, {
        /// The first eight bytes of the MD5 of the normalised URL, as a big-endian number.
        "url_key" url_key: u64,
        /// The verdict: `kept`, or the code of the reason.
        "fate" verdict: String,
    }
}

/// The verdict in the ledger on a page that is in the corpus.
pub const KEPT: &str = "kept";

/// The number of rows in a record batch, unless its text reaches [`BATCH_BYTES`] first.
const BATCH_ROWS: usize = 4096;
/// The number of bytes of text at which a record batch ends.
const BATCH_BYTES: usize = 1 << 20;
/// The compression of ledgers, a cheap one, since the default ledger must cost next to nothing.
const COMPRESSION: CompressionType = CompressionType::LZ4_FRAME;

/// Writes one table of a ledger, as files of about the same size. The bytes depend on the rows and their order alone.
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
    /// Starts a table in `folder`, with a new file after each `file_bytes` of text. A table without rows is one file
    /// without rows.
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

    /// Appends a row to the table.
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

    /// Ends the table, with all its files synced.
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

/// Reads the rows of a table of a ledger, a record batch at a time. Each file is read once before, for its checksum.
pub struct LedgerReader<R> {
    paths: std::vec::IntoIter<(PathBuf, String)>,
    open: Option<(PathBuf, FileReader<BufReader<File>>)>,
    rows: std::vec::IntoIter<R>,
    row: PhantomData<R>,
}

impl<R: LedgerRow> LedgerReader<R> {
    /// Opens the table in the `ledger` of the corpus in `dir`.
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

    /// Reads the next batch of rows; false at the end.
    fn fill(&mut self) -> Result<bool, Error> {
        loop {
            if let Some((path, reader)) = &mut self.open {
                let rows = catch_panic(path, || {
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

    /// The next row; an error ends the iteration.
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
        let empty: LedgerWriter<UrlVerdict> = LedgerWriter::new(&folder, 1);
        ledger.files.extend(empty.finish().unwrap());
        let read = LedgerReader::<DroppedLine>::new(dir.path(), &ledger);
        assert_eq!(read.map(|row| row.unwrap()).collect::<Vec<_>>(), rows);
        assert_eq!(LedgerReader::<UrlVerdict>::new(dir.path(), &ledger).count(), 0);
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
