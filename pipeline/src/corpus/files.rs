//! Small questions to the file system, and removing what is ours.

use crate::error::Error;
use c4_data::Error as DataError;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::time::UNIX_EPOCH;

/// Whether `name` names a temporary file of [`c4_fs::write_atomic`] for one of `files`.
pub(super) fn is_temporary(name: &str, files: &[&str]) -> bool {
    let middle = name.strip_prefix('.').and_then(|name| name.strip_suffix(".tmp"));
    let id = middle.and_then(|middle| files.iter().find_map(|file| middle.strip_prefix(file)));
    let id = id.and_then(|id| id.strip_prefix('.'));
    id.is_some_and(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()))
}

/// The names in a folder; none if the folder is missing.
pub(super) fn names(dir: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(DataError::io(dir, "list"))?,
    };
    let name = |entry: std::io::Result<fs::DirEntry>| {
        Ok(entry
            .map_err(DataError::io(dir, "list"))?
            .file_name()
            .to_string_lossy()
            .into_owned())
    };
    entries.map(name).collect()
}

/// Whether a file exists and has `bytes` bytes.
pub(super) fn is_whole(path: &Path, bytes: u64) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.len() == bytes)
}

/// When a file was last written to, in nanoseconds since 1970; 0 where the file system does not say.
pub(super) fn last_changed(path: &Path) -> Result<u64, Error> {
    let metadata = fs::metadata(path).map_err(DataError::io(path, "read"))?;
    let changed = metadata.modified().ok();
    let since = changed.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    Ok(since.map_or(0, |since| since.as_nanos() as u64))
}

/// Whether the open file is the one at `path`, and not one that was there before.
///
/// # Errors
/// The file system does not say.
pub(super) fn is_at(file: &File, path: &Path) -> Result<bool, DataError> {
    let there = match fs::metadata(path) {
        Ok(there) => there,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(DataError::io(path, "read")(e)),
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let inode = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let open = file.metadata().map_err(DataError::io(path, "read"))?;
        Ok(inode(open) == inode(there))
    }
    #[cfg(not(unix))]
    {
        let _ = (file, there);
        Ok(true)
    }
}

pub(super) fn remove_folder(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(DataError::io(folder, "remove")(e).into()),
        _ => Ok(()),
    }
}

/// Whether a text file is ours, by a mark in its first 64 KiB.
pub(crate) fn is_with(path: &Path, mark: &str) -> bool {
    let mut beginning = Vec::new();
    let read = File::open(path).and_then(|file| file.take(1 << 16).read_to_end(&mut beginning));
    read.is_ok() && memchr::memmem::find(&beginning, mark.as_bytes()).is_some()
}

/// Removes a text file if it is ours, by a mark in its first 64 KiB.
pub(super) fn remove_with(path: &Path, mark: &str) -> Result<(), Error> {
    match path.is_file() && is_with(path, mark) {
        true => remove(path),
        false => Ok(()),
    }
}

pub(super) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(DataError::io(path, "remove")(e).into()),
        _ => Ok(()),
    }
}
