//! Rust's errors as Python's: what the caller gave is a `ValueError`, what the system refuses an `OSError`.

use pyo3::exceptions::{PyOSError, PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;

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

/// Argument `name`, a whole number from 0.
pub fn whole(name: &str, value: &Bound<'_, PyAny>) -> PyResult<u64> {
    value.extract().map_err(
        |e: PyErr| match e.is_instance_of::<PyOverflowError>(value.py()) {
            true => invalid(format!("{name}={value}: out of range")),
            false => PyTypeError::new_err(format!("{name}: {e}")),
        },
    )
}
