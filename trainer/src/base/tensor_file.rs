//! Files of tensors, written whole or not at all.

use crate::Error;
use safetensors::tensor::View;
use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Why a file of tensors is not there.
pub(crate) fn not_written(path: &Path, cause: impl std::fmt::Display, advice: &str) -> Error {
    Error::format(path, format!("cannot be written ({cause}); {advice}"))
}

/// A file, and the tensors to be in it by name.
pub(crate) type TensorsOfFile<V> = (PathBuf, Vec<(String, V)>);

/// Writes a model's files and those that say what it is (paths and bytes): all whole, or none.
pub(crate) fn write_model<V: View>(files: Vec<TensorsOfFile<V>>, notes: &[(PathBuf, Vec<u8>)]) -> Result<(), Error> {
    let partial = |path: &Path| path.with_extension("safetensors.partial");
    let paths: Vec<PathBuf> = files.iter().map(|(path, _)| path.clone()).collect();
    let write = || -> Result<(), Error> {
        for (path, tensors) in files {
            write_partial(&path, &partial(&path), tensors)?;
        }
        // Not before: on a full disk an older model would have another's notes.
        for (note, bytes) in notes {
            c4_data::atomic_file::write_atomic(note, bytes)?;
        }
        for path in &paths {
            if let Some((note, _)) = notes.first() {
                open_as(&partial(path), note)?;
            }
            let renamed = c4_data::atomic_file::rename(&partial(path), path);
            renamed.map_err(|e| not_written(path, e, ADVICE))?;
        }
        Ok(())
    };
    let written = write();
    if written.is_err() {
        // The error tells; on a full disk their room is wanted.
        paths.iter().for_each(|path| drop(fs::remove_file(partial(path))));
    }
    written
}

const ADVICE: &str = "make room, and give the same command again";

fn write_partial<V: View>(path: &Path, partial: &Path, tensors: Vec<(String, V)>) -> Result<(), Error> {
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let written = safetensors::serialize_to_file(tensors, Some(metadata), partial);
    written.map_err(|e| not_written(path, e, ADVICE))?;
    let synced = File::open(partial).and_then(|file| file.sync_all());
    synced.map_err(|e| not_written(path, e, ADVICE))
}

/// Gives a file the permissions of another one beside it: the crate `safetensors` writes for the owner's eyes alone.
pub(crate) fn open_as(path: &Path, other: &Path) -> Result<(), Error> {
    let permissions = fs::metadata(other).map_err(|e| Error::io(other, e))?;
    fs::set_permissions(path, permissions.permissions()).map_err(|e| Error::io(path, e))
}
