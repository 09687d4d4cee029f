//! Rows of JSON: an object a line, or an array of objects.

use super::{LineReader, Place, Row, Rows};
use crate::Error;
use serde::Deserializer as _;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde_json::{Deserializer, Value};
use std::fmt;
use std::io::BufRead;
use std::path::{Path, PathBuf};

/// The columns that are wanted of an object; the others are skipped unread.
#[derive(Clone, Copy)]
struct Columns<'a>(&'a [String]);

impl<'de> DeserializeSeed<'de> for Columns<'_> {
    type Value = Row;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Row, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Columns<'_> {
    type Value = Row;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
        let mut row = vec![Value::Null; self.0.len()];
        while let Some(key) = map.next_key::<std::borrow::Cow<str>>()? {
            match self.0.iter().position(|column| *column == key) {
                Some(place) => row[place] = map.next_value()?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(row)
    }
}

/// The keys of the first object of a file, for a message.
pub(super) fn keys(text: &[u8]) -> Vec<String> {
    struct Keys;
    impl<'de> Visitor<'de> for Keys {
        type Value = Vec<String>;
        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a JSON object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<String>, A::Error> {
            let mut keys = Vec::new();
            while let Some((key, IgnoredAny)) = map.next_entry()? {
                keys.push(key);
            }
            Ok(keys)
        }
    }
    let found = Deserializer::from_slice(text).deserialize_map(Keys);
    found.unwrap_or_default()
}

/// Lines of JSON, blank ones left out.
pub(super) struct JsonLines {
    lines: LineReader,
    columns: Vec<String>,
}

impl JsonLines {
    pub fn open(path: &Path, columns: Vec<String>, longest: u64, row: u64) -> Result<JsonLines, Error> {
        let lines = LineReader::open(path, longest)?;
        let mut lines = JsonLines { lines, columns };
        for _ in 0..row {
            if !lines.read()? {
                break;
            }
        }
        Ok(lines)
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
}

impl Rows for JsonLines {
    fn next(&mut self) -> Result<Option<Row>, Error> {
        let row = self.next_or_problem()?.transpose();
        row.map_err(|problem| self.lines.wrong(problem))
    }

    fn next_or_problem(&mut self) -> Result<Option<Result<Row, String>>, Error> {
        if !self.read()? {
            return Ok(None);
        }
        let mut json = Deserializer::from_slice(self.lines.line.trim_ascii_end());
        let row = Columns(&self.columns).deserialize(&mut json);
        let row = row.and_then(|row| json.end().map(|()| row));
        // Which line it is, the place says.
        let problem = |e: serde_json::Error| e.to_string().replace(" at line 1 column ", " at column ");
        Ok(Some(row.map_err(|e| format!("is not a JSON object: {}", problem(e)))))
    }

    fn place(&self) -> Place {
        Place::Line(self.lines.number)
    }
}

/// What is around the objects of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Around {
    /// They are one array.
    Brackets,
    /// They follow one another.
    Nothing,
}

/// The objects of one JSON array, or of a file that has several over many lines each.
pub(super) struct JsonArray {
    path: PathBuf,
    around: Around,
    bytes: Box<dyn BufRead + Send>,
    columns: Vec<String>,
    /// Objects that were read.
    number: u64,
}

impl JsonArray {
    pub fn open(path: &Path, columns: Vec<String>, around: Around, row: u64) -> Result<JsonArray, Error> {
        let mut array = JsonArray {
            path: path.to_owned(),
            around,
            bytes: super::kind::open(path)?,
            columns,
            number: 0,
        };
        for _ in 0..row {
            if array.read(Columns(&[]))?.is_none() {
                break;
            }
        }
        Ok(array)
    }

    /// The next byte that is neither white space nor a comma nor the array's start, not taken.
    fn peek(&mut self) -> Result<Option<u8>, Error> {
        loop {
            let bytes = self.bytes.fill_buf().map_err(|e| Error::io(&self.path, e))?;
            let Some(first) = bytes.first().copied() else {
                return Ok(None);
            };
            if !(first.is_ascii_whitespace() || first == b',' || first == b'[' && self.number == 0) {
                return Ok(Some(first));
            }
            self.bytes.consume(1);
        }
    }

    fn read(&mut self, columns: Columns) -> Result<Option<Row>, Error> {
        let (path, around) = (self.path.clone(), self.around);
        let wrong = |number: u64, problem: &str| {
            let problem = match around {
                Around::Brackets => format!("object {number} of the array: {problem}"),
                Around::Nothing => format!("object {number}: {problem}"),
            };
            Err(Error::format(&path, problem))
        };
        match (self.peek()?, self.around) {
            (Some(b']'), Around::Brackets) | (None, Around::Nothing) => return Ok(None),
            (Some(_), _) => self.number += 1,
            (None, Around::Brackets) => {
                return wrong(self.number + 1, "the array does not end: the file was cut short");
            }
        }
        // A reader takes no byte behind an object's closing brace.
        match columns.deserialize(&mut Deserializer::from_reader(&mut self.bytes)) {
            Ok(row) => Ok(Some(row)),
            Err(e) => wrong(self.number, &e.to_string()),
        }
    }
}

impl Rows for JsonArray {
    fn next(&mut self) -> Result<Option<Row>, Error> {
        let columns = std::mem::take(&mut self.columns);
        let row = self.read(Columns(&columns));
        self.columns = columns;
        row
    }

    fn place(&self) -> Place {
        Place::Row(self.number)
    }
}
