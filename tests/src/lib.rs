//! Tests across crates; see the files of `tests/`.
