//! Files of tensors, written whole or not at all.

use crate::Error;
use safetensors::tensor::View;
use std::collections::HashMap;
use std::fs::{self, File};
use std::path::Path;

/// Why a file of tensors is not there.
pub(crate) fn not_written(path: &Path, cause: impl std::fmt::Display, advice: &str) -> Error {
    Error::format(path, format!("cannot be written ({cause}); {advice}"))
}

/// Writes a model's file and the one that says what it is (its path and bytes): both whole, or none.
pub(crate) fn write_model<V: View>(
    path: &Path,
    tensors: Vec<(String, V)>,
    (note, bytes): (&Path, &[u8]),
) -> Result<(), Error> {
    let advice = "make room, and give the same command again";
    let partial = path.with_extension("safetensors.partial");
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let written = safetensors::serialize_to_file(tensors, Some(metadata), &partial)
        .map_err(|e| not_written(path, e, advice))
        .and_then(|()| {
            let synced = File::open(&partial).and_then(|file| file.sync_all());
            synced.map_err(|e| not_written(path, e, advice))
        })
        // Not before: on a full disk an older model would have another's note.
        .and_then(|()| Ok(c4_data::atomic_file::write_atomic(note, bytes)?))
        .and_then(|()| open_as(&partial, note))
        .and_then(|()| {
            let renamed = c4_data::atomic_file::rename(&partial, path);
            renamed.map_err(|e| not_written(path, e, advice))
        });
    if written.is_err() {
        // The error tells; on a full disk its room is wanted.
        let _ = fs::remove_file(&partial);
    }
    written
}

/// Gives a file the permissions of another one beside it: the crate `safetensors` writes for the owner's eyes alone.
pub(crate) fn open_as(path: &Path, other: &Path) -> Result<(), Error> {
    let permissions = fs::metadata(other).map_err(|e| Error::io(other, e))?;
    fs::set_permissions(path, permissions.permissions()).map_err(|e| Error::io(path, e))
}
