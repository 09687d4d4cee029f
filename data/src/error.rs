//! The one error type of this crate.

use std::path::{Path, PathBuf};

/// What can go wrong between a corpus and the disk. Every variant names the file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused.
    #[error("{path}: cannot {action}: {cause}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was being done, as a verb phrase.
        action: &'static str,
        /// The operating system's reason.
        cause: std::io::Error,
    },
    /// A shard that Arrow cannot read or write.
    #[error("{path}: {cause}")]
    Arrow {
        /// The shard.
        path: PathBuf,
        /// Arrow's reason.
        cause: arrow::error::ArrowError,
    },
    /// A shard that Parquet cannot read or write.
    #[error("{path}: {cause}")]
    Parquet {
        /// The shard.
        path: PathBuf,
        /// Parquet's reason.
        cause: parquet::errors::ParquetError,
    },
    /// A file whose content is not what its name promises.
    #[error("{path}: {reason}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// A recipe that cannot be used.
    #[error("recipe {name}: {reason}")]
    Recipe {
        /// The recipe's name or file.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A value to try for a key of a recipe that cannot be.
    #[error("setting {key}: {reason}")]
    Setting {
        /// The key, with the values where only those are wrong.
        key: String,
        /// What is wrong.
        reason: String,
    },
}

impl Error {
    /// For `map_err` on I/O: `Error::io(path, "write")`.
    pub fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_owned();
        move |cause| Error::Io { path, action, cause }
    }

    pub(crate) fn arrow(path: &Path) -> impl FnOnce(arrow::error::ArrowError) -> Error {
        let path = path.to_owned();
        move |cause| match cause {
            arrow::error::ArrowError::IoError(_, cause) => Error::Io {
                path,
                action: "read or write",
                cause,
            },
            cause => Error::Arrow { path, cause },
        }
    }

    pub(crate) fn parquet(path: &Path) -> impl FnOnce(parquet::errors::ParquetError) -> Error {
        let path = path.to_owned();
        move |cause| Error::Parquet { path, cause }
    }
}
