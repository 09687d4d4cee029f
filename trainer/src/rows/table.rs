//! Rows of tables: fields between tabs, which have no quotes (GLUE's form: a quotation mark is text).

use super::{LineReader, Place, Row, Rows};
use crate::Error;
use serde_json::Value;
use std::path::Path;

/// The limit for the first line of a table.
const LONGEST_FIRST_LINE: u64 = 1 << 24;

/// The fields of a table's first line; `None`: the file is empty.
///
/// # Errors
/// The file cannot be read, or its first line is not UTF-8.
pub(crate) fn first_line(path: &Path) -> Result<Option<Vec<String>>, Error> {
    let mut lines = LineReader::open(path, LONGEST_FIRST_LINE)?;
    if !lines.read()? {
        return Ok(None);
    }
    let line = lines.text().map_err(|problem| lines.wrong(problem))?;
    Ok(Some(line.split('\t').map(str::to_owned).collect()))
}

/// Lines of fields between tabs, blank ones left out.
pub(super) struct TabLines {
    lines: LineReader,
    /// The number of fields of a row.
    width: usize,
    /// Where the columns are that were asked for.
    places: Vec<Option<usize>>,
}

impl TabLines {
    /// Opens a table whose columns are `names`, or, without, those of its first line.
    pub fn open(
        path: &Path,
        names: Option<&[String]>,
        columns: &[String],
        longest: u64,
        row: u64,
    ) -> Result<TabLines, Error> {
        let mut lines = LineReader::open(path, longest)?;
        let names = match names {
            Some(names) => names.to_vec(),
            None => {
                lines.read()?;
                let line = lines.text().map_err(|problem| lines.wrong(problem))?;
                line.split('\t').map(str::to_owned).collect()
            }
        };
        let place = |column: &String| names.iter().position(|name| name == column);
        let mut table = TabLines {
            width: names.len(),
            places: columns.iter().map(place).collect(),
            lines,
        };
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

impl Rows for TabLines {
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
