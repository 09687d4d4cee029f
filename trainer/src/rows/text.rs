//! Rows of plain text: a line each, or one a file. Their only column is `text`.

use super::source::TEXT;
use super::{LineReader, Place, Row, Rows};
use crate::Error;
use serde_json::Value;
use std::io::Read;
use std::path::Path;

fn row(columns: &[String], text: &str) -> Row {
    let value = |column: &String| match column == TEXT {
        true => Value::String(text.to_owned()),
        false => Value::Null,
    };
    columns.iter().map(value).collect()
}

/// Lines, without their ends.
pub(super) struct Lines {
    lines: LineReader,
    columns: Vec<String>,
}

impl Lines {
    pub fn open(path: &Path, columns: Vec<String>, longest: u64, row: u64) -> Result<Lines, Error> {
        let mut lines = LineReader::open(path, longest)?;
        for _ in 0..row {
            if !lines.read()? {
                break;
            }
        }
        Ok(Lines { lines, columns })
    }
}

impl Rows for Lines {
    fn next(&mut self) -> Result<Option<Row>, Error> {
        if !self.lines.read()? {
            return Ok(None);
        }
        let text = self.lines.text().map_err(|problem| self.lines.wrong(problem))?;
        Ok(Some(row(&self.columns, text)))
    }

    fn place(&self) -> Place {
        Place::Line(self.lines.number)
    }
}

/// A file that is one document.
pub(super) struct Whole {
    row: Option<Row>,
}

impl Whole {
    pub fn open(path: &Path, columns: &[String], longest: u64, at: u64) -> Result<Whole, Error> {
        if at > 0 {
            return Ok(Whole { row: None });
        }
        let mut bytes = Vec::new();
        let mut file = super::kind::open(path)?.take(longest + 1);
        file.read_to_end(&mut bytes).map_err(|e| Error::io(path, e))?;
        if bytes.len() as u64 > longest {
            let problem = format!("has more than {longest} bytes: as one document it is too large; take its lines");
            return Err(Error::format(path, problem));
        }
        let text = std::str::from_utf8(&bytes).map_err(|e| {
            let at = format!("is not UTF-8 from byte {} on", e.valid_up_to());
            Error::format(path, format!("{at}: convert the file, by `iconv` say"))
        })?;
        Ok(Whole {
            row: Some(row(columns, text)),
        })
    }
}

impl Rows for Whole {
    fn next(&mut self) -> Result<Option<Row>, Error> {
        Ok(self.row.take())
    }

    fn place(&self) -> Place {
        Place::Row(1)
    }
}
