//! The files of a build that `c4_data` has no type for, as far as the report shows them. Every part may be missing.

use c4_data::Stats;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The recipe's name, from whichever file has it.
pub(super) fn recipe_name(stats: &Stats, manifest: &Manifest) -> String {
    let from_manifest = || manifest.recipe.get("name").and_then(Value::as_str);
    let name = Some(stats.recipe.as_str()).filter(|name| !name.is_empty());
    name.or_else(from_manifest).unwrap_or("unnamed").to_owned()
}

/// `manifest.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Manifest {
    pub versions: Versions,
    pub recipe_hash: String,
    pub recipe: Map<String, Value>,
    pub format: String,
    pub inputs: Vec<ReportInput>,
    pub shards: Vec<Shard>,
}

/// Versions that decide over the bytes of a corpus.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Versions {
    pub program: String,
    pub schema: u64,
}

/// One archive.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ReportInput {
    pub archive: String,
    pub bytes: u64,
    pub state: String,
    pub damage: Vec<ReportDamage>,
    pub damaged_records: u64,
}

/// A place that could not be read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ReportDamage {
    pub offset: u64,
    pub cause: String,
}

/// One file of the corpus.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Shard {
    pub file: String,
    pub split: String,
    pub rows: u64,
    pub bytes: u64,
    pub text_bytes: u64,
}

/// `run.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Run {
    pub wall_seconds: f64,
    pub wall_seconds_by_pass: BTreeMap<String, f64>,
    pub cpu_seconds: Option<f64>,
    pub peak_memory_bytes: Option<u64>,
    pub threads: Option<u64>,
}
