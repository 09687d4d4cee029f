//! `manifest.json`: what a finished corpus consists of. It is written last, so a corpus that has it is whole.

use crate::recipe::is_language_code;
use crate::{Error, Format, LedgerEntry, Recipe, ShardSet, Split, atomic_file};
use serde::{Deserialize, Serialize};
use std::path::{Component, Path};

/// The content of `manifest.json`. Holds nothing that depends on when, where or how fast the build ran, so that the
/// same inputs give the same bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The versions of what wrote the corpus.
    pub versions: Versions,
    /// The recipe's hash ([`Recipe::hash`]), which covers the word lists, too.
    pub recipe_hash: String,
    /// The recipe that the corpus was built by.
    pub recipe: Recipe,
    /// The file format of the shards.
    pub format: Format,
    /// The target size of a shard, in bytes of text.
    pub shard_size_bytes: u64,
    /// The archives that were read, in the order of their names.
    pub inputs: Vec<InputEntry>,
    /// The shards in the order of [`ShardSet`] (by language, train first), each set in order.
    pub shards: Vec<ShardEntry>,
    /// The ledger of what was dropped.
    pub ledger: LedgerEntry,
    /// The SHA-256 of `stats.json`, as hexadecimal digits.
    pub stats_sha256: String,
}

/// The versions that decide over the bytes of a corpus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// The program's version.
    pub program: String,
    /// The schema's version ([`SCHEMA_VERSION`](crate::schema::SCHEMA_VERSION)).
    pub schema: u32,
}

/// One archive of a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputEntry {
    /// The archive's label (the `archive` column of its pages).
    pub archive: String,
    /// The archive's size in bytes.
    pub bytes: u64,
    /// How far the archive could be read.
    pub state: InputState,
    /// The first places that could not be read, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damage: Vec<Damaged>,
    /// The number of places that could not be read.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub damaged_records: u64,
}

// serde's `skip_serializing_if` hands over a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// How far an archive could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InputState {
    /// The whole archive was read.
    Read,
    /// Some records could not be read.
    Damaged,
    /// Reading ended before the archive's end.
    Failed,
}

/// A place in an archive that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damaged {
    /// The byte offset of the place in the archive.
    pub offset: u64,
    /// What is wrong at that place.
    pub cause: String,
}

/// One shard of a corpus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardEntry {
    /// The shard's file name.
    pub file: String,
    /// The language of the shard's documents, if each language has shards of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The split that the shard belongs to.
    pub split: Split,
    /// The number of documents in the shard.
    pub rows: u64,
    /// The size of the file in bytes.
    pub bytes: u64,
    /// The number of UTF-8 bytes of the texts of all its documents.
    pub text_bytes: u64,
    /// The SHA-256 of the file, as hexadecimal digits.
    pub sha256: String,
}

impl ShardEntry {
    /// The set of documents that the shard holds a part of.
    pub fn set(&self) -> ShardSet<'_> {
        ShardSet {
            language: self.language.as_deref(),
            split: self.split,
        }
    }
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

impl Manifest {
    /// The file name of a manifest.
    pub const FILE: &str = "manifest.json";

    /// Reads the manifest of the corpus in `dir`; `None` if there is none (the build is not done).
    ///
    /// # Errors
    /// The file cannot be read, or is not a manifest.
    pub fn read(dir: &Path) -> Result<Option<Manifest>, Error> {
        let path = dir.join(Self::FILE);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(&path, "read")(e)),
        };
        let manifest: Result<Manifest, String> = serde_json::from_slice(&bytes).map_err(|e| e.to_string());
        match manifest.and_then(|manifest| manifest.validate().map(|()| manifest)) {
            Ok(manifest) => Ok(Some(manifest)),
            Err(e) => Err(Error::Format {
                path,
                reason: format!("not a manifest of this program: {e}"),
            }),
        }
    }

    /// Validates a manifest, which may come from anywhere, against what builds write.
    ///
    /// # Errors
    /// A sentence about something that no build writes.
    pub fn validate(&self) -> Result<(), String> {
        /// The limit for numbers of bytes and rows: no corpus has more, and sums of them do not overflow.
        const MOST: u64 = 1 << 53;
        self.recipe
            .validate()
            .map_err(|(key, reason)| format!("recipe: {key}: {reason}"))?;
        let shards = self.shards.iter().map(|s| (&s.file, &s.sha256));
        let ledger = self.ledger.files.iter().map(|f| (&f.file, &f.sha256));
        for (file, sha256) in shards.chain(ledger) {
            let names = Path::new(file).components();
            let below = names.clone().all(|part| matches!(part, Component::Normal(_)));
            if !below || names.count() == 0 || file.chars().any(char::is_control) {
                return Err(format!("{file:?} is no file of a corpus"));
            }
            if !is_hash(sha256) {
                return Err(format!("{file}: its SHA-256 is none"));
            }
        }
        let mut languages = self.shards.iter().filter_map(|s| s.language.as_ref());
        if let Some(code) = languages.find(|code| !is_language_code(code)) {
            return Err(format!("{code:?} is no language code"));
        }
        let texts = self.inputs.iter().map(|input| &input.archive);
        let mut texts = texts.chain([&self.versions.program, &self.recipe_hash]);
        if let Some(text) = texts.find(|text| text.chars().any(char::is_control)) {
            return Err(format!("{text:?} holds control characters"));
        }
        if !is_hash(&self.recipe_hash) {
            return Err("the recipe's hash is none".to_owned());
        }
        let inputs = self.inputs.iter().flat_map(|i| [i.bytes, i.damaged_records]);
        let shards = self.shards.iter().flat_map(|s| [s.rows, s.bytes, s.text_bytes]);
        let ledger = self.ledger.files.iter().flat_map(|f| [f.rows, f.bytes]);
        let mut numbers = inputs.chain(shards).chain(ledger);
        match numbers.find(|n| *n > MOST) {
            Some(n) => Err(format!("{n} is too large a number")),
            None => Ok(()),
        }
    }

    /// Writes the manifest into `dir`, atomically.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<(), Error> {
        let path = dir.join(Self::FILE);
        let mut json = serde_json::to_vec_pretty(self).map_err(|e| Error::Format {
            path: path.clone(),
            reason: e.to_string(),
        })?;
        json.push(b'\n');
        atomic_file::write_atomic(&path, &json)
    }
}
