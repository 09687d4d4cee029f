//! The rules of `c4-filters` against what the references made of the same texts (`tests/golden`): every row must be
//! equal. It needs no other crate, so `make quick CRATE=filters` runs it.

#![allow(clippy::unwrap_used)]
// Golden files are read here; the rules read nothing.
#![allow(clippy::disallowed_methods)]

mod cld3;
mod counters;
mod punkt;

use flate2::read::MultiGzDecoder;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::Read;

/// The rows of a golden file of JSON lines.
fn rows<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let path = format!("{}/../tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    let mut file = File::open(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    if name.ends_with(".gz") {
        MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
    } else {
        file.read_to_string(&mut text).unwrap();
    }
    // Only \n ends a row: texts hold other line boundaries.
    let rows = text.split('\n').filter(|row| !row.is_empty());
    rows.map(|row| serde_json::from_str(row).unwrap()).collect()
}
