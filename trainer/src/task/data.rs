//! The files of a task and their rows, by split.

use super::columns::Columns;
use super::folder::{self, Found};
use super::row::{FileRows, TaskRows};
use super::{Task, TaskSplit};
use crate::Error;
use crate::rows::{Kind, RowFile, listing, sizes, table};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The number of a file's first rows that are looked at, to see whether they are of the task.
const ROWS_LOOKED_AT: u64 = 100;

/// The files of a task under a folder, or one file, by split.
#[derive(Debug, Clone)]
pub struct TaskData {
    splits: BTreeMap<TaskSplit, SplitFiles>,
    /// Files that were not read: of no split, or others of their split were preferred.
    pub left_out: Vec<PathBuf>,
}

impl TaskData {
    /// Finds the files of a task in `data`: a folder named as the task in it, the folder itself, or the one file. Each
    /// is read once a process for its rows and its checksum.
    ///
    /// # Errors
    /// Nothing is there; the rows are of another task, with the columns that were looked for and those that are there;
    /// a file that cannot be read.
    pub fn open(task: &Task, data: &Path) -> Result<TaskData, Error> {
        let mut problem = None;
        for folder in folder::candidates(task, data)? {
            match TaskData::of_folder(task, &folder) {
                Ok(Some(data)) => return Ok(data),
                Ok(None) => {}
                // The folder named by the task says it best.
                Err(error) => problem = problem.or(Some(error)),
            }
        }
        Err(problem.unwrap_or_else(|| {
            let problem = format!(
                "no rows of {} are there: give its folder, or one that holds a folder of the task's name; `t5 task get {0} -o DIR` \
                 fetches those of the built-in tasks",
                task.card.name
            );
            Error::format(data, problem)
        }))
    }

    /// The rows of a split; `None`: there are no files of it.
    pub fn split(&self, split: TaskSplit) -> Option<&SplitFiles> {
        self.splits.get(&split)
    }

    /// `None`: the folder has no files of rows.
    fn of_folder(task: &Task, folder: &Path) -> Result<Option<TaskData>, Error> {
        let Found { splits, mut left_out } = folder::by_split(&task.card, folder)?;
        let columns: Arc<[String]> = roots(task).into();
        let mut of_splits = BTreeMap::new();
        for (split, paths) in splits {
            let mut files = Vec::new();
            for path in paths {
                let said = folder::says_split(&task.card, folder, &path);
                match SplitFile::open(task, &path, &columns) {
                    Ok(Some(file)) => files.push(file),
                    Ok(None) => left_out.push(path),
                    // What is not named as a split need be nothing of the task's.
                    Err(_) if !said && path != folder => left_out.push(path),
                    Err(error) => return Err(error),
                }
            }
            if !files.is_empty() {
                let preprocessor = task.card.preprocessor;
                let columns = columns.clone();
                of_splits.insert(
                    split,
                    SplitFiles {
                        files,
                        columns,
                        preprocessor,
                    },
                );
            }
        }
        left_out.sort();
        Ok(match of_splits.is_empty() {
            true => None,
            false => Some(TaskData {
                splits: of_splits,
                left_out,
            }),
        })
    }
}

/// The columns of a file that the task may use: the first parts of nested ones' paths.
fn roots(task: &Task) -> Vec<String> {
    let card = &task.card;
    let mut roots = Vec::new();
    for name in card.used_columns() {
        for path in card.names_of(name) {
            roots.push(path.to_owned());
            roots.extend(path.split_once('.').map(|(root, _)| root.to_owned()));
        }
    }
    let nested = card.preprocessor.iter().flat_map(|preprocessor| preprocessor.nested());
    roots.extend(nested.map(|root| (*root).to_owned()));
    roots.sort();
    roots.dedup();
    roots
}

/// A file of a split.
#[derive(Debug, Clone)]
struct SplitFile {
    file: RowFile,
    /// Rows, nested ones one by one.
    rows: u64,
    /// Whether rows are nested, so that a row's place in the file is known only after reading those before.
    nested: bool,
}

impl SplitFile {
    /// `None`: it holds no rows of any kind.
    fn open(task: &Task, path: &Path, columns: &[String]) -> Result<Option<SplitFile>, Error> {
        let Some(kind) = Kind::of_task(path)? else {
            return Ok(None);
        };
        let names = match kind {
            Kind::Tabs | Kind::Commas => names_of_table(task, path, kind)?,
            _ => None,
        };
        let file = sizes::counted(path, kind, names)?;
        let mut rows = FileRows::open(&file, columns, task.card.preprocessor, 0)?;
        let mut read = 0;
        let mut fits = file.rows == 0;
        while read < ROWS_LOOKED_AT && !fits {
            let Some(row) = rows.next()? else { break };
            read += 1;
            fits = row.values().is_ok_and(|values| {
                let columns = Columns::of(&task.card, values);
                let mut needed = task.card.needed_columns().into_iter();
                needed.all(|column| columns.get(column).is_some())
            });
        }
        if !fits {
            return Err(of_another_task(task, path, kind));
        }
        let nested = rows.nested;
        let mut all = file.rows;
        if nested {
            all = read;
            while rows.next()?.is_some() {
                all += 1;
            }
        }
        Ok(Some(SplitFile {
            file,
            rows: all,
            nested,
        }))
    }
}

/// The names of the columns of a table whose first line does not say them; `None`: it does.
fn names_of_table(task: &Task, path: &Path, kind: Kind) -> Result<Option<Vec<String>>, Error> {
    let card = &task.card;
    let first = table::first_row(path, kind)?;
    let needed = card.needed_columns();
    let named = needed.iter().all(|column| {
        card.names_of(column)
            .any(|name| first.iter().any(|field| field == name))
    });
    if named {
        return Ok(None);
    }
    Ok(card
        .rows
        .tables
        .iter()
        .find(|names| names.len() == first.len())
        .cloned())
}

fn of_another_task(task: &Task, path: &Path, kind: Kind) -> Error {
    let there = match listing::columns(path, kind) {
        Ok(columns) if !columns.is_empty() => columns.join(", "),
        Ok(_) => "none".to_owned(),
        Err(error) => return error,
    };
    let card = &task.card;
    let wanted: Vec<String> = card
        .needed_columns()
        .into_iter()
        .map(|column| card.names_of(column).collect::<Vec<_>>().join(" or "))
        .collect();
    let there: String = there.chars().take(300).collect();
    let problem = format!(
        "is of another task: {} wants the columns {}, and the file has {there}; if they are the same by other names, say so in a card \
         of your own, under [columns]",
        card.name,
        wanted.join(", ")
    );
    Error::format(path, problem)
}

/// The files of a split, in the order of their names.
#[derive(Debug, Clone)]
pub struct SplitFiles {
    files: Vec<SplitFile>,
    columns: Arc<[String]>,
    preprocessor: Option<super::Preprocessor>,
}

impl SplitFiles {
    /// The number of rows in all, known without reading again; rows that are refused among them.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    /// The files, with their checksums.
    pub(crate) fn files(&self) -> Vec<RowFile> {
        self.files.iter().map(|file| file.file.clone()).collect()
    }

    /// Opens the rows in order from row `row` on, from 0.
    ///
    /// # Errors
    /// A file that cannot be read, or has changed since it was first read.
    pub fn open(&self, row: u64) -> Result<TaskRows, Error> {
        let mut behind = row;
        let mut first = 0;
        while first < self.files.len() && behind >= self.files[first].rows {
            behind -= self.files[first].rows;
            first += 1;
        }
        let current = match self.files.get(first) {
            None => None,
            Some(file) => {
                let from = if file.nested { 0 } else { behind };
                let mut rows = FileRows::open(&file.file, &self.columns, self.preprocessor, from)?;
                for _ in from..behind {
                    rows.next()?;
                }
                Some(rows)
            }
        };
        let (columns, preprocessor) = (self.columns.clone(), self.preprocessor);
        let others: Vec<RowFile> = self
            .files
            .iter()
            .skip(first + 1)
            .map(|file| file.file.clone())
            .collect();
        let next = others
            .into_iter()
            .map(move |file| FileRows::open(&file, &columns, preprocessor, 0));
        Ok(TaskRows {
            current,
            next: Box::new(next),
        })
    }
}
