//! Sizes and checksums of files that no manifest describes: found by one pass over a file, and noted.
//!
//! A run notes them in its folder ([`FILE`]), so that it goes on without another pass, and says which file has changed.

use super::kind::Kind;
use super::{RowFile, Source, TextDocument, open, text_row};
use crate::Error;
use c4_data::BatchLimit;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

/// The note of a run's files.
pub(crate) const FILE: &str = "corpora.json";

/// Stands for the column of files whose rows are not of one text.
const NO_COLUMN: &str = "";

/// What one pass over a file has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileSize {
    pub path: PathBuf,
    /// The column that was read.
    column: String,
    document: TextDocument,
    bytes: u64,
    /// When the file was changed, in nanoseconds after 1970.
    modified_ns: u64,
    pub sha256: String,
    rows: u64,
    text_bytes: u64,
}

type Key = (PathBuf, String, TextDocument);

/// What this process knows of files.
static KNOWN: Mutex<BTreeMap<Key, FileSize>> = Mutex::new(BTreeMap::new());

fn known() -> std::sync::MutexGuard<'static, BTreeMap<Key, FileSize>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FileSize {
    fn key(&self) -> Key {
        (self.path.clone(), self.column.clone(), self.document)
    }
}

/// A file's bytes and when it was changed.
fn state(path: &Path) -> Result<(u64, u64), Error> {
    let on_disk = super::packed::on_disk(path);
    let is = std::fs::metadata(on_disk).map_err(|e| Error::io(on_disk, e))?;
    let changed = is.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let nanoseconds = changed.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(0));
    Ok((is.len(), nanoseconds))
}

/// What is known of a file that is as it was.
pub(super) fn find(path: &Path, column: &str, document: TextDocument) -> Result<Option<FileSize>, Error> {
    let (bytes, modified_ns) = state(path)?;
    let size = known().get(&(path.to_owned(), column.to_owned(), document)).cloned();
    Ok(size.filter(|size| size.bytes == bytes && size.modified_ns == modified_ns))
}

/// Reads a whole file for its checksum, its rows and their text.
///
/// # Errors
/// The file cannot be read, or a row of it; not one row has the column.
pub(super) fn measure(path: &Path, kind: Kind, column: &str, document: TextDocument) -> Result<FileSize, Error> {
    let (bytes, modified_ns) = state(path)?;
    let sha256 = c4_data::atomic_file::sha256_file(path)?;
    let mut rows = open(
        path,
        kind,
        document,
        None,
        vec![column.to_owned()],
        BatchLimit::of_other_programs(),
        0,
    )?;
    let mut size = FileSize {
        path: path.to_owned(),
        column: column.to_owned(),
        document,
        bytes,
        modified_ns,
        sha256,
        rows: 0,
        text_bytes: 0,
    };
    let mut texts = 0_u64;
    while let Some(row) = rows.next()? {
        size.rows += 1;
        texts += u64::from(!row.iter().all(serde_json::Value::is_null));
        size.text_bytes += text_row(row, path, column, rows.place())?.text.len() as u64;
    }
    if size.rows > 0 && texts == 0 {
        let columns = super::listing::columns(path, kind)?;
        let problem = format!(
            "no row has a column `{column}`; its columns are {}: name the one that holds the text by --column",
            columns.join(", ")
        );
        return Err(Error::format(path, problem));
    }
    known().insert(size.key(), size.clone());
    Ok(size)
}

/// A file whose rows are not of one text: its rows and checksum, by one pass over it that is noted, too.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn counted(path: &Path, kind: Kind, names: Option<Vec<String>>) -> Result<RowFile, Error> {
    let size = match find(path, NO_COLUMN, TextDocument::Line)? {
        Some(size) => size,
        None => count(path, kind, names.as_deref())?,
    };
    Ok(RowFile {
        names,
        ..size.file(kind)
    })
}

fn count(path: &Path, kind: Kind, names: Option<&[String]>) -> Result<FileSize, Error> {
    let (bytes, modified_ns) = state(path)?;
    let sha256 = c4_data::atomic_file::sha256_file(super::packed::on_disk(path))?;
    let limit = BatchLimit::of_other_programs();
    let mut all = open(path, kind, TextDocument::Line, names, Vec::new(), limit, 0)?;
    let mut rows = 0;
    while all.next_or_problem()?.is_some() {
        rows += 1;
    }
    let size = FileSize {
        path: path.to_owned(),
        column: NO_COLUMN.to_owned(),
        document: TextDocument::Line,
        bytes,
        modified_ns,
        sha256,
        rows,
        text_bytes: 0,
    };
    known().insert(size.key(), size.clone());
    Ok(size)
}

impl FileSize {
    /// The file, to be opened.
    pub(super) fn file(self, kind: Kind) -> RowFile {
        RowFile {
            path: self.path,
            kind,
            text: self.column,
            document: self.document,
            names: None,
            limit: BatchLimit::of_other_programs(),
            rows: self.rows,
            text_bytes: self.text_bytes,
            sha256: self.sha256,
            of_build: false,
        }
    }
}

/// All files of some corpora that no build wrote, for training and for validation.
///
/// # Errors
/// As [`corpora`](super::listing::corpora).
pub(crate) fn files(sources: &[Source]) -> Result<Vec<RowFile>, Error> {
    let mut files = Vec::new();
    for source in sources {
        for corpus in super::listing::corpora(source, &|_, _| {})? {
            files.extend(corpus.train.into_iter().chain(corpus.validation));
        }
    }
    files.retain(|file| !file.of_build);
    Ok(files)
}

/// Takes a run's note as known. A run without one has corpora of `c4 build` only.
///
/// # Errors
/// The note cannot be read.
pub(crate) fn read(run: &Path) -> Result<Vec<FileSize>, Error> {
    let path = run.join(FILE);
    let text = match std::fs::read(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.map_err(|e| Error::io(&path, e))?,
    };
    let sizes: Vec<FileSize> = serde_json::from_slice(&text).map_err(|e| {
        Error::format(
            &path,
            format!("is damaged ({e}); remove it, and the corpora are measured again"),
        )
    })?;
    remember(&sizes);
    Ok(sizes)
}

/// Takes sizes as known, for files that are as they were then.
pub(crate) fn remember(sizes: &[FileSize]) {
    known().extend(sizes.iter().map(|size| (size.key(), size.clone())));
}

/// All that this process knows of files.
pub(crate) fn all() -> Vec<FileSize> {
    known().values().cloned().collect()
}

/// Writes the note of a run's [`files`].
///
/// # Errors
/// The note cannot be written.
pub(crate) fn write(run: &Path, files: &[RowFile]) -> Result<(), Error> {
    let of_file = |file: &RowFile| {
        known()
            .get(&(file.path.clone(), file.text.clone(), file.document))
            .cloned()
    };
    let sizes: Vec<FileSize> = files.iter().filter_map(of_file).collect();
    let path = run.join(FILE);
    let text = serde_json::to_string_pretty(&sizes).map_err(|e| Error::io(&path, e.into()))?;
    Ok(c4_data::atomic_file::write_atomic(&path, text.as_bytes())?)
}

/// Refuses [`files`] that are others than a run has noted, where they are at the same place.
///
/// # Errors
/// Names the first file that has changed, is missing, or is new.
pub(crate) fn compare(noted: &[FileSize], files: &[RowFile]) -> Result<(), Error> {
    let noted: BTreeMap<&Path, &str> = noted.iter().map(|size| (&*size.path, &*size.sha256)).collect();
    let are: BTreeMap<&Path, &str> = files.iter().map(|file| (&*file.path, &*file.sha256)).collect();
    if !noted.keys().any(|path| are.contains_key(path)) {
        return Ok(());
    }
    let wrong = |path: &Path, what: &str| {
        let advice = "make it what it was, or begin the corpora anew by --new-data";
        Err(Error::format(path, format!("{what}: {advice}")))
    };
    for (path, sum) in &noted {
        match are.get(path) {
            None => return wrong(path, "is not among the corpus's files any more"),
            Some(is) if is != sum => return wrong(path, "has changed since the run began"),
            Some(_) => {}
        }
    }
    match are.keys().find(|path| !noted.contains_key(*path)) {
        Some(path) => wrong(path, "has come to the corpus since the run began"),
        None => Ok(()),
    }
}
