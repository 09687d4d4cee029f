//! Rows with named columns, of files of every kind in which text comes: what corpora and tasks are read of.
//!
//! A [`Source`] names a corpus. [`corpora`](listing::corpora) says which [`RowFile`]s are meant, for training and for
//! validation; [`RowFile::open`] reads one from any row on, and [`DocumentRows`] takes text and URL of each row.
//! Nothing is copied or converted.

mod batches;
mod json;
mod kind;
pub(crate) mod listing;
pub(crate) mod packed;
pub(crate) mod sizes;
pub(crate) mod source;
pub(crate) mod table;
mod text;

pub use source::{Source, TextDocument};

use crate::Error;
use c4_data::{BatchLimit, Manifest};
pub(crate) use kind::Kind;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// The values of the columns that were asked for, in their order; null where a row has none.
pub(crate) type Row = Vec<Value>;

/// The rows of one file, in order.
pub(crate) trait Rows: Send {
    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// The file is damaged, or a row is not what it should be; names the row.
    fn next(&mut self) -> Result<Option<Row>, Error>;

    /// The next row, or what is wrong with it where the rows behind it can be read nevertheless; `None` at the end.
    ///
    /// # Errors
    /// The file is damaged, so that nothing more can be read.
    fn next_or_problem(&mut self) -> Result<Option<Result<Row, String>>, Error> {
        Ok(self.next()?.map(Ok))
    }

    /// Where the row is that was read last.
    fn place(&self) -> Place;
}

/// Where a row is in its file, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// On this line.
    Line(u64),
    /// It is the row of this number.
    Row(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Place::Line(number) => write!(f, "line {number}"),
            Place::Row(number) => write!(f, "row {number}"),
        }
    }
}

/// A file of rows, of known size.
#[derive(Debug, Clone)]
pub(crate) struct RowFile {
    pub path: PathBuf,
    kind: Kind,
    /// The column that holds a document's text.
    text: String,
    document: TextDocument,
    /// The names of a table's columns, where its first line does not say them.
    names: Option<Vec<String>>,
    limit: BatchLimit,
    /// The number of rows.
    pub rows: u64,
    /// UTF-8 bytes of all texts; 0 of a task's files.
    pub text_bytes: u64,
    /// The checksum of the file, or of the archive that it is in.
    pub sha256: String,
    /// Whether `c4 build` wrote it, so that its manifest states its size and checksum.
    pub of_build: bool,
}

/// A file as it was: path, checksum, size, time of change.
type AsItWas = (PathBuf, String, u64, Option<SystemTime>);

/// Files that were compared with their checksums. Each is compared once a process (about a second a gigabyte), though
/// every validation opens them again.
static COMPARED: Mutex<BTreeSet<AsItWas>> = Mutex::new(BTreeSet::new());

impl RowFile {
    /// Opens the file at row `row`, from 0, for these columns, after comparing it with its checksum.
    ///
    /// Of the rows before, Arrow files and Parquet decode those in the same batch; JSON and text are decompressed from
    /// the start, and Arrow streams decoded.
    ///
    /// # Errors
    /// A file that cannot be read, or has changed since its size was noted or its build wrote it.
    pub fn open(&self, columns: Vec<String>, row: u64) -> Result<Box<dyn Rows>, Error> {
        self.compare()?;
        let names = self.names.as_deref();
        open(&self.path, self.kind, self.document, names, columns, self.limit, row).map_err(|error| self.damaged(error))
    }

    /// The file's documents from row `row` on.
    ///
    /// # Errors
    /// As [`open`](RowFile::open).
    pub fn documents(&self, row: u64) -> Result<DocumentRows, Error> {
        Ok(DocumentRows {
            rows: self.open(vec![self.text.clone(), "url".to_owned()], row)?,
            file: self.clone(),
        })
    }

    fn compare(&self) -> Result<(), Error> {
        let path = &self.path;
        let on_disk = packed::on_disk(path);
        let is = std::fs::metadata(on_disk).map_err(|e| Error::io(on_disk, e))?;
        let as_it_is = (path.clone(), self.sha256.clone(), is.len(), is.modified().ok());
        let compared = || COMPARED.lock().unwrap_or_else(PoisonError::into_inner);
        // Not under the lock: other files are compared at the same time.
        let known = compared().contains(&as_it_is);
        if !known {
            let sum = c4_data::atomic_file::sha256_file(on_disk).map_err(|cause| self.damaged(cause.into()))?;
            if sum != self.sha256 {
                return Err(Error::format(
                    path,
                    match self.of_build {
                        true => format!(
                            "the shard is damaged (its checksum is not that of {}); `c4 verify` says more",
                            Manifest::FILE
                        ),
                        false => {
                            "has changed since it was first read: begin again, or put the old file back".to_owned()
                        }
                    },
                ));
            }
            compared().insert(as_it_is);
        }
        Ok(())
    }

    /// The error of a shard, with what to do; errors of other files say it already.
    pub(crate) fn damaged(&self, error: Error) -> Error {
        let Error::Data(cause) = error else { return error };
        let cause = match cause {
            c4_data::Error::Io { action, cause, .. } => format!("cannot {action}: {cause}"),
            c4_data::Error::Arrow { cause, .. } => cause.to_string(),
            c4_data::Error::Parquet { cause, .. } => cause.to_string(),
            c4_data::Error::Format { reason, .. } => reason,
            other => other.to_string(),
        };
        let problem = match self.of_build {
            true => format!("the shard is damaged ({cause}); `c4 verify` says more"),
            false => format!("the file is damaged ({cause})"),
        };
        Error::format(&self.path, problem)
    }
}

/// The text of a row and the URL of its page, empty where there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TextRow {
    pub text: String,
    pub url: String,
}

/// The documents of a file, in order.
pub(crate) struct DocumentRows {
    rows: Box<dyn Rows>,
    file: RowFile,
}

impl DocumentRows {
    /// The next document; `None` at the end. A row whose text is null is a blank document.
    ///
    /// # Errors
    /// As [`Rows::next`]; a text that is something else.
    pub fn next(&mut self) -> Result<Option<TextRow>, Error> {
        let Some(row) = self.rows.next().map_err(|error| self.file.damaged(error))? else {
            return Ok(None);
        };
        let place = self.rows.place();
        text_row(row, &self.file.path, &self.file.text, place).map(Some)
    }
}

/// A row of text and URL as a document.
fn text_row(row: Row, path: &Path, column: &str, place: Place) -> Result<TextRow, Error> {
    let mut values = row.into_iter();
    let text = match values.next() {
        Some(Value::String(text)) => text,
        None | Some(Value::Null) => String::new(),
        Some(other) => {
            let kind = match other {
                Value::Number(_) => "a number",
                Value::Bool(_) => "a truth value",
                Value::Array(_) => "a list",
                _ => "an object",
            };
            let problem = format!("{place}: column `{column}` holds {kind}, not text; name another by --column");
            return Err(Error::format(path, problem));
        }
    };
    let url = match values.next() {
        Some(Value::String(url)) => url,
        _ => String::new(),
    };
    Ok(TextRow { text, url })
}

fn open(
    path: &Path,
    kind: Kind,
    document: TextDocument,
    names: Option<&[String]>,
    columns: Vec<String>,
    limit: BatchLimit,
    row: u64,
) -> Result<Box<dyn Rows>, Error> {
    let longest = limit.line_bytes();
    Ok(match kind {
        Kind::Batches(container) => Box::new(batches::BatchRows::open(path, container, columns, limit, row)?),
        Kind::JsonLines => Box::new(json::JsonLines::open(path, columns, longest, row)?),
        Kind::JsonArray => Box::new(json::JsonArray::open(path, columns, json::Around::Brackets, row)?),
        Kind::JsonObjects => Box::new(json::JsonArray::open(path, columns, json::Around::Nothing, row)?),
        Kind::Tabs => Box::new(table::Tabs::open(path, names, &columns, longest, row)?),
        Kind::Commas => Box::new(table::Commas::open(path, names, &columns, row)?),
        Kind::Text if document == TextDocument::File => Box::new(text::Whole::open(path, &columns, longest, row)?),
        Kind::Text => Box::new(text::Lines::open(path, columns, longest, row)?),
    })
}

/// The lines of a file, unpacked, one in memory at a time.
struct LineReader {
    path: PathBuf,
    bytes: Box<dyn BufRead + Send>,
    longest: u64,
    /// The line that was read last, its end included.
    line: Vec<u8>,
    /// That line's number, from 1.
    number: u64,
}

impl LineReader {
    fn open(path: &Path, longest: u64) -> Result<LineReader, Error> {
        Ok(LineReader {
            path: path.to_owned(),
            bytes: kind::open(path)?,
            longest,
            line: Vec::new(),
            number: 0,
        })
    }

    /// The line that was read last, without its end.
    ///
    /// # Errors
    /// It is not UTF-8.
    fn text(&self) -> Result<&str, String> {
        let text = std::str::from_utf8(&self.line).map_err(|e| {
            let at = e.valid_up_to();
            format!("is not UTF-8 from its byte {at} on: convert the file, by `iconv` say")
        })?;
        Ok(text.trim_end_matches(['\n', '\r']))
    }

    /// Reads the next line; false at the end of the file.
    fn read(&mut self) -> Result<bool, Error> {
        self.number += 1;
        self.line.clear();
        let mut bytes = (&mut self.bytes).take(self.longest + 1);
        let read = bytes.read_until(b'\n', &mut self.line);
        if bytes.limit() == 0 {
            return Err(self.wrong(format!("has more than {} bytes; it is not read", self.longest)));
        }
        match read {
            Ok(read) => Ok(read > 0),
            Err(e) => Err(self.wrong(format!("cannot be read: {e}"))),
        }
    }

    /// What is wrong with the line that was read last.
    fn wrong(&self, problem: impl fmt::Display) -> Error {
        Error::format(&self.path, format!("line {} {problem}", self.number))
    }
}
