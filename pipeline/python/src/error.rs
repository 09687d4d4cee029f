//! Rust's errors as Python's: what the caller gave is a `ValueError`, what the system refuses an `OSError`.

use c4_pipeline::input::InputError;
use pyo3::exceptions::{PyFileNotFoundError, PyOSError, PyOverflowError, PyPermissionError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use std::io;

/// What errors of the program call otherwise here.
const WORDS: [(&str, &str); 5] = [
    ("replace it with --overwrite", "replace it by overwrite=True"),
    ("write into it with --overwrite", "write into it by overwrite=True"),
    (
        "by --domains FILE (JSON, or one domain a line) or the key",
        "by the recipe's key",
    ),
    ("by --urls FILE (one URL a line) or the key", "by the recipe's key"),
    (
        "only `c4 build` fetches archives (`--keep-downloads DIR` keeps them). Of a listing or a URL, --base DIR says where they are",
        "only c4.build fetches archives",
    ),
];

/// The caller's mistake.
pub fn invalid(reason: impl Into<String>) -> PyErr {
    let mut reason = reason.into();
    for (theirs, ours) in WORDS {
        reason = reason.replace(theirs, ours);
    }
    PyValueError::new_err(reason)
}

/// The system's.
pub fn system(reason: impl Into<String>) -> PyErr {
    PyOSError::new_err(reason.into())
}

fn of_io(kind: io::ErrorKind, reason: String) -> PyErr {
    match kind {
        io::ErrorKind::NotFound => PyFileNotFoundError::new_err(reason),
        io::ErrorKind::PermissionDenied => PyPermissionError::new_err(reason),
        _ => system(reason),
    }
}

/// An error of what is to be read.
pub fn of_input(error: InputError) -> PyErr {
    match &error {
        InputError::Unreadable { cause, .. } | InputError::Listed { cause, .. } => {
            of_io(cause.kind(), error.to_string())
        }
        _ => invalid(error.to_string()),
    }
}

/// An error of recipes, lists, shards.
pub fn of_data(error: c4_data::Error) -> PyErr {
    match error {
        c4_data::Error::Io { ref cause, .. } => of_io(cause.kind(), error.to_string()),
        _ => invalid(error.to_string()),
    }
}

/// Argument `name`, a whole number from 0.
pub fn whole(name: &str, value: &Bound<'_, PyAny>) -> PyResult<u64> {
    value
        .extract()
        .map_err(|e: PyErr| match e.is_instance_of::<PyOverflowError>(value.py()) {
            true => invalid(format!("{name}={value}: out of range")),
            false => PyTypeError::new_err(format!("{name}: {e}")),
        })
}
