//! A row of a task's files, and why it may be refused.

use super::preprocess::Preprocessor;
use crate::Error;
use crate::rows::{Place, RowFile, Rows};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::VecDeque;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Why a row is refused: a closed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowReason {
    /// The row cannot be read: no JSON, not UTF-8, too few fields.
    Unreadable,
    /// A column that the input needs is missing or null.
    MissingColumn,
    /// A column holds something else than it must.
    WrongType,
    /// A column of the input, or the target, is empty.
    EmptyText,
    /// The label is none of the card's.
    UnknownLabel,
    /// A row to train on has no label or target.
    NoLabel,
    /// The pronoun is not where the row says, or there is none.
    NoPronoun,
}

impl RowReason {
    /// The reason's stable name.
    pub fn name(self) -> &'static str {
        match self {
            RowReason::Unreadable => "unreadable",
            RowReason::MissingColumn => "missing_column",
            RowReason::WrongType => "wrong_type",
            RowReason::EmptyText => "empty_text",
            RowReason::UnknownLabel => "unknown_label",
            RowReason::NoLabel => "no_label",
            RowReason::NoPronoun => "no_pronoun",
        }
    }
}

/// Why a row is refused, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowProblem {
    /// The kind of problem, to be counted.
    pub reason: RowReason,
    /// What is wrong; the message of a row begins with its file and place.
    pub problem: String,
}

impl RowProblem {
    pub(super) fn new(reason: RowReason, problem: String) -> RowProblem {
        RowProblem { reason, problem }
    }

    pub(super) fn missing(column: &str) -> RowProblem {
        RowProblem::new(RowReason::MissingColumn, format!("column `{column}` is missing"))
    }

    pub(super) fn wrong_type(column: &str, wanted: &str) -> RowProblem {
        RowProblem::new(RowReason::WrongType, format!("column `{column}` is not {wanted}"))
    }
}

impl fmt::Display for RowProblem {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

/// A row of a file, with all columns that its task may use.
#[derive(Debug, Clone)]
pub struct TaskRow {
    file: Arc<Path>,
    place: Place,
    /// Which row of a nested one it is, from 1; 0 of rows that are not nested.
    part: usize,
    values: Result<Map<String, Value>, RowProblem>,
}

impl TaskRow {
    /// A row of these columns, as line `line` of a file.
    pub fn new(file: &Path, line: u64, values: Map<String, Value>) -> TaskRow {
        TaskRow {
            file: file.into(),
            place: Place::Line(line),
            part: 0,
            values: Ok(values),
        }
    }

    /// The file and the place of the row in it, for messages.
    pub fn place(&self) -> String {
        let (file, place) = (self.file.display(), self.place);
        match self.part {
            0 => format!("{file}: {place}"),
            part => format!("{file}: {place}, part {part}"),
        }
    }

    pub(super) fn values(&self) -> Result<&Map<String, Value>, RowProblem> {
        self.values.as_ref().map_err(Clone::clone)
    }
}

/// The rows of one file of a task, nested ones one by one.
pub(super) struct FileRows {
    file: RowFile,
    path: Arc<Path>,
    rows: Box<dyn Rows>,
    columns: Vec<String>,
    preprocessor: Option<Preprocessor>,
    /// Whether a row was read that holds several.
    pub nested: bool,
    /// What is left of a row that holds several.
    ahead: VecDeque<TaskRow>,
}

impl FileRows {
    /// Opens a file at its row `row`, from 0, nested rows not counted one by one.
    ///
    /// # Errors
    /// As [`RowFile::open`].
    pub fn open(
        file: &RowFile,
        columns: &[String],
        preprocessor: Option<Preprocessor>,
        row: u64,
    ) -> Result<FileRows, Error> {
        Ok(FileRows {
            file: file.clone(),
            path: file.path.as_path().into(),
            rows: file.open(columns.to_vec(), row)?,
            columns: columns.to_vec(),
            preprocessor,
            nested: false,
            ahead: VecDeque::new(),
        })
    }

    pub fn next(&mut self) -> Result<Option<TaskRow>, Error> {
        loop {
            if let Some(row) = self.ahead.pop_front() {
                return Ok(Some(row));
            }
            let values = self.rows.next_or_problem().map_err(|error| self.file.damaged(error))?;
            let Some(values) = values else {
                return Ok(None);
            };
            let row = |part, values| TaskRow {
                file: self.path.clone(),
                place: self.rows.place(),
                part,
                values,
            };
            match values {
                Err(problem) => {
                    let problem = RowProblem::new(RowReason::Unreadable, problem);
                    return Ok(Some(row(0, Err(problem))));
                }
                Ok(values) => {
                    let columns = self.columns.iter().cloned().zip(values);
                    let values: Map<String, Value> = columns.filter(|(_, value)| !value.is_null()).collect();
                    let nested = self.preprocessor.map(|preprocessor| preprocessor.unnest(&values));
                    match nested.flatten() {
                        None => return Ok(Some(row(0, Ok(values)))),
                        Some(rows) => {
                            let rows = (1..).zip(rows).map(|(part, values)| row(part, Ok(values)));
                            self.ahead = rows.collect();
                            self.nested = true;
                        }
                    }
                }
            }
        }
    }
}

/// The rows of a split, file after file.
pub struct TaskRows {
    pub(super) current: Option<FileRows>,
    /// Opens the files that come next, at their first row.
    pub(super) next: Box<dyn Iterator<Item = Result<FileRows, Error>> + Send>,
}

impl TaskRows {
    /// The next row; `None` at the end. A row that cannot be read is a row, too, and
    /// [`Task::examples`](super::Task::examples) refuses it.
    ///
    /// # Errors
    /// A file that cannot be opened, or is damaged so that what follows cannot be read.
    #[allow(clippy::should_implement_trait)] // an iterator of results would hide that it ends at the first error
    pub fn next(&mut self) -> Result<Option<TaskRow>, Error> {
        loop {
            if let Some(file) = &mut self.current
                && let Some(row) = file.next()?
            {
                return Ok(Some(row));
            }
            self.current = self.next.next().transpose()?;
            if self.current.is_none() {
                return Ok(None);
            }
        }
    }
}
