//! The files of a build, as far as the report shows them. Every part may be missing.

use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Counts by reason code.
pub(super) type Counts = BTreeMap<String, u64>;

/// `stats.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Stats {
    pub recipe: String,
    pub recipe_hash: String,
    pub tally: Tally,
    pub stages: Vec<StageCounts>,
    pub histograms: BTreeMap<String, Histogram>,
    pub years: BTreeMap<String, InOut>,
    pub languages: BTreeMap<String, InOut>,
    pub domains: Option<Survival>,
    pub top_level_domains: Option<Survival>,
    pub duplicates: Vec<Duplicate>,
    pub bad_words: Vec<BadWord>,
    pub warnings: Vec<String>,
}

impl Stats {
    /// The recipe's name, from whichever file has it.
    pub(crate) fn recipe_name(&self, manifest: &Manifest) -> String {
        let from_manifest = || manifest.recipe.get("name").and_then(Value::as_str);
        let name = Some(self.recipe.as_str()).filter(|name| !name.is_empty());
        name.or_else(from_manifest).unwrap_or("unnamed").to_owned()
    }
}

/// Where everything went, each thing in one place.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Tally {
    pub records: Account,
    pub pages: Account,
    pub lines: Account,
    pub chars: Account,
    pub words: Account,
    pub text_bytes: InOut,
}

/// One quantity of the tally: `in` = `out` + all the others.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Account {
    #[serde(rename = "in")]
    pub read: u64,
    #[serde(rename = "out")]
    pub kept: u64,
    pub dropped: Counts,
    pub gone_with_page: Counts,
    pub trimmed: u64,
}

impl Account {
    /// How much is neither kept nor gone for a reason; a sound tally gives 0.
    pub(super) fn missing(&self) -> i128 {
        let gone = self.dropped.values().chain(self.gone_with_page.values());
        let gone: i128 = gone.copied().map(i128::from).sum();
        i128::from(self.read) - i128::from(self.kept) - gone - i128::from(self.trimmed)
    }
}

/// What went in and what came out.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(default)]
pub(crate) struct InOut {
    #[serde(rename = "in")]
    pub read: u64,
    #[serde(rename = "out")]
    pub kept: u64,
}

/// One step of the build.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StageCounts {
    pub stage: String,
    pub doc: String,
    pub pages: InOut,
    pub lines: InOut,
    pub chars: InOut,
    pub words: InOut,
    pub dropped: StageDropped,
}

/// What a step dropped.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StageDropped {
    pub pages: Counts,
    pub lines: Counts,
}

/// Counts by bin.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Histogram {
    pub unit: String,
    /// One more than there are bins; the last may be open.
    pub edges: Vec<Option<f64>>,
    #[serde(rename = "in")]
    pub read: Option<Vec<u64>>,
    #[serde(rename = "out")]
    pub kept: Vec<u64>,
    pub sample: Option<Sample>,
}

/// How many pages a histogram is made from.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Sample {
    pub pages: u64,
    pub of: u64,
}

/// Pages by name after each step.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Survival {
    pub stages: Vec<String>,
    pub distinct: u64,
    pub top: Vec<Survivor>,
}

/// Pages of one name after each step.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Survivor {
    pub name: String,
    pub pages: Vec<u64>,
}

/// A line or span that many pages have.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Duplicate {
    pub copies: u64,
    pub text: String,
    pub url: String,
}

/// A word of the blocklist.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct BadWord {
    pub word: String,
    pub pages: u64,
}

/// `manifest.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Manifest {
    pub versions: Versions,
    pub recipe_hash: String,
    pub recipe: Map<String, Value>,
    pub format: String,
    pub inputs: Vec<Input>,
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
pub(super) struct Input {
    pub archive: String,
    pub bytes: u64,
    pub state: String,
    pub damage: Vec<Damage>,
    pub damaged_records: u64,
}

/// A place that could not be read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Damage {
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
