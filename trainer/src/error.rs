use std::path::{Path, PathBuf};

/// What can go wrong in this crate. Every message names the file, the cause and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {problem}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A setting, or a combination of settings, that cannot be.
    #[error("{0}")]
    Setting(String),
    /// Training has gone astray. The message says where, and from which checkpoint to go on.
    #[error("{0}")]
    Diverged(String),
    /// A device (GPU) is not there or has failed. The message says which, why, and what to do.
    #[error("{0}")]
    Device(String),
    /// A corpus could not be read.
    #[error(transparent)]
    Data(#[from] c4_data::Error),
}

impl Error {
    /// An I/O error of `path`.
    pub fn io(path: &Path, source: std::io::Error) -> Error {
        Error::Io {
            path: path.to_path_buf(),
            source,
        }
    }

    /// `path` is not what it should be.
    pub fn format(path: &Path, problem: impl Into<String>) -> Error {
        Error::Format {
            path: path.to_path_buf(),
            problem: problem.into(),
        }
    }
}
