//! Rows of plain text: a line each, or one a file. Their only column is `text`.

use super::source::TEXT;
use super::{Place, Row, Rows};
use crate::Error;
use serde_json::Value;
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

fn row(columns: &[String], text: &str) -> Row {
    let value = |column: &String| match column == TEXT {
        true => Value::String(text.to_owned()),
        false => Value::Null,
    };
    columns.iter().map(value).collect()
}

/// Lines, without their ends.
pub(super) struct Lines {
    path: PathBuf,
    bytes: Box<dyn BufRead + Send>,
    columns: Vec<String>,
    longest: u64,
    line: Vec<u8>,
    number: u64,
}

impl Lines {
    pub fn open(path: &Path, columns: Vec<String>, longest: u64, row: u64) -> Result<Lines, Error> {
        let mut lines = Lines {
            path: path.to_owned(),
            bytes: super::kind::open(path)?,
            columns,
            longest,
            line: Vec::new(),
            number: 0,
        };
        for _ in 0..row {
            if !lines.read()? {
                break;
            }
        }
        Ok(lines)
    }

    fn read(&mut self) -> Result<bool, Error> {
        self.number += 1;
        super::read_line(&self.path, &mut self.bytes, &mut self.line, self.number, self.longest)
    }
}

impl Rows for Lines {
    fn next(&mut self) -> Result<Option<Row>, Error> {
        if !self.read()? {
            return Ok(None);
        }
        let text = std::str::from_utf8(&self.line).map_err(|e| {
            let at = format!("line {} is not UTF-8 from its byte {} on", self.number, e.valid_up_to());
            Error::format(&self.path, format!("{at}: convert the file, by `iconv` say"))
        })?;
        Ok(Some(row(&self.columns, text.trim_end_matches(['\n', '\r']))))
    }

    fn place(&self) -> Place {
        Place::Line(self.number)
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
