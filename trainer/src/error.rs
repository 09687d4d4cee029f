use std::path::{Path, PathBuf};

/// What can go wrong in this crate. Every message names the file, the cause and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    // Not named `source`: whoever prints the chain of causes would print it twice.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
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
    /// A number of a configuration that cannot be.
    #[error("{key} = {value}{}: {problem}", file.as_ref().map_or(String::new(), |file| format!(" ({})", file.display())))]
    Value {
        /// The setting, as `feed.rows`.
        key: String,
        /// What was given.
        value: String,
        /// The file that says so; none for a setting of the command line, or a default.
        file: Option<PathBuf>,
        /// What it must be.
        problem: String,
    },
    /// Training has gone astray. The message says where, and from which checkpoint to go on.
    #[error("{0}")]
    Diverged(String),
    /// Training ended early, but what was trained is saved.
    #[error("{cause}; the steps before are saved: when that is mended, --resume goes on after step {step}")]
    Stopped {
        /// Why it ended.
        cause: Box<Error>,
        /// Steps that are done.
        step: u64,
    },
    /// A device (GPU) is not there or has failed. The message says which, why, and what to do.
    #[error("{0}")]
    Device(String),
    /// Processes that train together cannot, or one of them has ended. The message says which, and why.
    #[error("{0}")]
    Peer(String),
    /// A corpus could not be read.
    #[error(transparent)]
    Data(#[from] c4_data::Error),
}

impl Error {
    /// An I/O error of `path`.
    pub fn io(path: &Path, cause: std::io::Error) -> Error {
        Error::Io {
            path: path.to_path_buf(),
            cause,
        }
    }

    /// The error with a table's name before its key: `feed` before `rows`.
    pub(crate) fn under(self, table: &str) -> Error {
        match self {
            Error::Value {
                key,
                value,
                file,
                problem,
            } => Error::Value {
                key: format!("{table}.{key}"),
                value,
                file,
                problem,
            },
            other => other,
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
