//! Rust's errors as Python's: what the caller gave is a `ValueError`, what the system refuses an `OSError`.

use pyo3::PyErr;
use pyo3::exceptions::{PyOSError, PyValueError};

/// The caller's mistake.
pub fn invalid(reason: impl Into<String>) -> PyErr {
    PyValueError::new_err(reason.into())
}

/// The system's.
pub fn system(reason: impl Into<String>) -> PyErr {
    PyOSError::new_err(reason.into())
}

/// An error of recipes, lists, shards.
pub fn of_data(error: c4_data::Error) -> PyErr {
    match error {
        c4_data::Error::Io { .. } => system(error.to_string()),
        _ => invalid(error.to_string()),
    }
}
