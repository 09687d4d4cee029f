//! The error type of this crate.

use std::path::{Path, PathBuf};

/// An error in a corpus, a recipe or a list. Names the file, the recipe or the key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system failed.
    #[error("{path}: cannot {action}: {cause}")]
    Io {
        /// The file or folder that was to be used.
        path: PathBuf,
        /// What was to be done to the file, as a verb phrase.
        action: &'static str,
        /// The operating system's error.
        cause: std::io::Error,
    },
    /// Arrow cannot read or write a shard.
    #[error("{path}: {cause}")]
    Arrow {
        /// The shard that was read or written.
        path: PathBuf,
        /// Arrow's error.
        cause: arrow::error::ArrowError,
    },
    /// Parquet cannot read or write a shard.
    #[error("{path}: {cause}")]
    Parquet {
        /// The shard that was read or written.
        path: PathBuf,
        /// Parquet's error.
        cause: parquet::errors::ParquetError,
    },
    /// A file's content is not what its name says.
    #[error("{path}: {reason}")]
    Format {
        /// The file with that content.
        path: PathBuf,
        /// What is wrong with the content, and what to do.
        reason: String,
    },
    /// A recipe cannot be used.
    #[error("recipe {name}: {reason}")]
    Recipe {
        /// The name of the recipe, or its file.
        name: String,
        /// What is wrong with the recipe.
        reason: String,
    },
    /// A setting for a key of a recipe is impossible.
    #[error("setting {key}: {reason}")]
    Setting {
        /// The key of the setting, with the values where only those are wrong.
        key: String,
        /// What is wrong with the setting.
        reason: String,
    },
}

impl Error {
    /// Makes an [`Error::Io`] in `map_err`: `Error::io(path, "write")`; `action` is a verb phrase.
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
