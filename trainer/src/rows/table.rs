//! Rows of tables: fields between tabs, which have no quotes (GLUE's form: a quotation mark is text), or between
//! commas, which may.

use super::kind::Kind;
use super::{LineReader, Place, Row, Rows};
use crate::Error;
use csv::{ByteRecord, Reader, ReaderBuilder};
use serde_json::Value;
use std::io::BufRead;
use std::path::{Path, PathBuf};

/// The limit for the first line of a table, in bytes.
const LONGEST_FIRST_LINE: u64 = 1 << 24;

/// The fields of a table's first row; none of an empty file.
///
/// # Errors
/// The file cannot be read, or its first row is not UTF-8.
pub(crate) fn first_row(path: &Path, kind: Kind) -> Result<Vec<String>, Error> {
    if kind == Kind::Commas {
        return Commas::start(path)?.names();
    }
    first_line(&mut LineReader::open(path, LONGEST_FIRST_LINE)?)
}

fn first_line(lines: &mut LineReader) -> Result<Vec<String>, Error> {
    if !lines.read()? {
        return Ok(Vec::new());
    }
    let line = lines.text().map_err(|problem| lines.wrong(problem))?;
    Ok(line.split('\t').map(str::to_owned).collect())
}

/// The columns that are wanted of a table.
struct Wanted {
    /// The number of fields of a row.
    width: usize,
    /// Where the columns are that were asked for.
    places: Vec<Option<usize>>,
}

impl Wanted {
    fn of(names: &[String], columns: &[String]) -> Wanted {
        let place = |column: &String| names.iter().position(|name| name == column);
        Wanted {
            width: names.len(),
            places: columns.iter().map(place).collect(),
        }
    }

    fn row(&self, fields: &[&str]) -> Result<Row, String> {
        if fields.len() != self.width {
            return Err(format!("has {} fields, and the table has {}", fields.len(), self.width));
        }
        let value = |place: &Option<usize>| match place {
            Some(place) => Value::String(fields[*place].to_owned()),
            None => Value::Null,
        };
        Ok(self.places.iter().map(value).collect())
    }
}

/// Lines of fields between tabs, blank ones left out.
pub(super) struct Tabs {
    lines: LineReader,
    wanted: Wanted,
}

impl Tabs {
    /// Opens a table whose columns are `names`, or, without, those of its first line.
    pub fn open(
        path: &Path,
        names: Option<&[String]>,
        columns: &[String],
        longest: u64,
        row: u64,
    ) -> Result<Tabs, Error> {
        let mut lines = LineReader::open(path, longest)?;
        let wanted = match names {
            Some(names) => Wanted::of(names, columns),
            None => Wanted::of(&first_line(&mut lines)?, columns),
        };
        let mut table = Tabs { lines, wanted };
        for _ in 0..row {
            if !table.read()? {
                break;
            }
        }
        Ok(table)
    }

    /// Reads the next line that is not blank; false at the end.
    fn read(&mut self) -> Result<bool, Error> {
        while self.lines.read()? {
            if !self.lines.line.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn row(&self) -> Result<Row, String> {
        let fields: Vec<&str> = self.lines.text()?.split('\t').collect();
        self.wanted.row(&fields)
    }
}

impl Rows for Tabs {
    fn next(&mut self) -> Result<Option<Row>, Error> {
        let row = self.next_or_problem()?.transpose();
        row.map_err(|problem| self.lines.wrong(problem))
    }

    fn next_or_problem(&mut self) -> Result<Option<Result<Row, String>>, Error> {
        Ok(self.read()?.then(|| self.row()))
    }

    fn place(&self) -> Place {
        Place::Line(self.lines.number)
    }
}

/// Rows of fields between commas, as RFC 4180 quotes them, blank lines left out.
pub(super) struct Commas {
    path: PathBuf,
    records: Reader<Box<dyn BufRead + Send>>,
    /// The row that was read last.
    record: ByteRecord,
    wanted: Wanted,
}

impl Commas {
    /// Opens a table as [`Tabs::open`] does.
    pub fn open(path: &Path, names: Option<&[String]>, columns: &[String], row: u64) -> Result<Commas, Error> {
        let mut table = Commas::start(path)?;
        table.wanted = match names {
            Some(names) => Wanted::of(names, columns),
            None => Wanted::of(&table.names()?, columns),
        };
        for _ in 0..row {
            if !table.read()? {
                break;
            }
        }
        Ok(table)
    }

    fn start(path: &Path) -> Result<Commas, Error> {
        // Rows of other widths are refused one by one, with a message of our own.
        let mut reader = ReaderBuilder::new();
        Ok(Commas {
            path: path.to_owned(),
            records: reader
                .has_headers(false)
                .flexible(true)
                .from_reader(super::kind::open(path)?),
            record: ByteRecord::new(),
            wanted: Wanted::of(&[], &[]),
        })
    }

    fn names(&mut self) -> Result<Vec<String>, Error> {
        self.read()?;
        let names = self
            .fields()
            .map(|fields| fields.into_iter().map(str::to_owned).collect());
        names.map_err(|problem| Error::format(&self.path, format!("{}: {problem}", self.place())))
    }

    fn read(&mut self) -> Result<bool, Error> {
        let read = self.records.read_byte_record(&mut self.record);
        read.map_err(|e| Error::format(&self.path, format!("cannot be read: {e}")))
    }

    fn fields(&self) -> Result<Vec<&str>, String> {
        let text =
            |field| std::str::from_utf8(field).map_err(|_| "is not UTF-8: convert the file, by `iconv` say".to_owned());
        self.record.iter().map(text).collect()
    }
}

impl Rows for Commas {
    fn next(&mut self) -> Result<Option<Row>, Error> {
        let row = self.next_or_problem()?.transpose();
        row.map_err(|problem| Error::format(&self.path, format!("{} {problem}", self.place())))
    }

    fn next_or_problem(&mut self) -> Result<Option<Result<Row, String>>, Error> {
        Ok(match self.read()? {
            true => Some(self.fields().and_then(|fields| self.wanted.row(&fields))),
            false => None,
        })
    }

    fn place(&self) -> Place {
        Place::Line(self.record.position().map_or(0, csv::Position::line))
    }
}
