//! What a build is, for telling one from another, and the mark that an unfinished one leaves.

use super::{MARKER, WORK_FILES, WORK_VERSION};
use c4_data::{Error as DataError, Format, InputEntry, LedgerMode, Manifest, atomic_file};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What a build is, for telling one from another: recipe, format, archives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// The name of the recipe.
    pub recipe: String,
    /// The hash of the recipe and its lists ([`Recipe::hash`](c4_data::Recipe::hash)).
    pub recipe_hash: String,
    /// The file format of the shards.
    pub format: Format,
    /// The target size of a shard, in bytes of text.
    pub shard_size_bytes: u64,
    /// How much of the ledger is kept.
    pub ledger: LedgerMode,
    /// The archives, in order.
    pub inputs: Vec<InputIdentity>,
}

/// What tells an archive from another one of the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InputIdentity {
    /// The archive's name in the corpus.
    pub name: String,
    /// The archive's size in bytes; 0: not known before it is fetched.
    pub bytes: u64,
    /// The state of the archive ([`Input::stamp`](crate::input::Input::stamp)); empty: not known.
    pub stamp: String,
}

impl InputIdentity {
    /// Whether these are two archives, or one that has changed, as far as is known.
    fn differs(&self, other: &InputIdentity) -> bool {
        let (bytes, stamps) = ([self.bytes, other.bytes], [&self.stamp, &other.stamp]);
        self.name != other.name
            || (bytes[0] != bytes[1] && !bytes.contains(&0))
            || (stamps[0] != stamps[1] && stamps.iter().all(|stamp| !stamp.is_empty()))
    }
}

impl Identity {
    /// How `other` differs, in words; `None` if it does not.
    pub(super) fn difference(&self, other: &Identity) -> Option<String> {
        if self.recipe_hash != other.recipe_hash {
            let what = if self.recipe == other.recipe {
                "another version of recipe"
            } else {
                "recipe"
            };
            return Some(format!("{what} `{}`", other.recipe));
        }
        let mut pairs = self.inputs.iter().zip(&other.inputs);
        let differs = pairs.find(|(ours, theirs)| ours.differs(theirs));
        match differs {
            Some((ours, theirs)) if ours.name == theirs.name => {
                let name = &ours.name;
                return Some(format!("other inputs ({name} has changed, or is another one)"));
            }
            None if self.inputs.len() == other.inputs.len() => {}
            _ => return Some(format!("other inputs ({} archives)", other.inputs.len())),
        }
        if (self.format, self.shard_size_bytes) != (other.format, other.shard_size_bytes) {
            return Some("another format or shard size".to_owned());
        }
        if self.ledger != other.ledger {
            return Some(format!("the same recipe with ledger {}", other.ledger));
        }
        None
    }

    /// The hash of the identity.
    pub(super) fn key(&self) -> String {
        atomic_file::sha256_hex(&serde_json::to_vec(self).unwrap_or_default())
    }
}

impl From<&Manifest> for Identity {
    fn from(manifest: &Manifest) -> Identity {
        let input = |entry: &InputEntry| InputIdentity {
            name: entry.archive.clone(),
            bytes: entry.bytes,
            stamp: String::new(),
        };
        Identity {
            recipe: manifest.recipe.name.clone(),
            recipe_hash: manifest.recipe_hash.clone(),
            format: manifest.format,
            shard_size_bytes: manifest.shard_size_bytes,
            ledger: manifest.ledger.mode,
            inputs: manifest.inputs.iter().map(input).collect(),
        }
    }
}

/// What the mark in a work folder says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    program: String,
    work_version: u32,
    /// The folder of work files; `None`: [`WORK_FILES`] beside the mark.
    pub(super) work: Option<PathBuf>,
    #[serde(flatten)]
    pub(super) identity: Identity,
}

impl Mark {
    pub(super) fn new(identity: &Identity, work: Option<PathBuf>) -> Mark {
        Mark {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            work_version: WORK_VERSION,
            work,
            identity: identity.clone(),
        }
    }

    /// Whether the mark is of this build, and of a program whose work files this one can use.
    pub(super) fn is_of(&self, identity: &Identity) -> bool {
        *self == Mark::new(identity, self.work.clone())
    }

    /// The folder of work files; `own` is the folder of the mark.
    pub(super) fn folder(&self, own: &Path) -> PathBuf {
        self.work.clone().unwrap_or_else(|| own.join(WORK_FILES))
    }

    /// The mark of a work folder; `None` if there is none that can be read.
    pub(super) fn read(work: &Path) -> Result<Option<Mark>, DataError> {
        let json = atomic_file::read_if_there(&work.join(MARKER))?;
        Ok(json.and_then(|json| serde_json::from_slice(&json).ok()))
    }
}
