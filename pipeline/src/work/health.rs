//! How reading an archive went, as its manifest entry says it.

use c4_data::{Damaged, InputEntry, InputState};
use serde::{Deserialize, Serialize};

/// How many damaged places a manifest lists for an archive; all are counted.
const LISTED_DAMAGE: usize = 20;

/// How reading an archive went: the places that could not be read, and whether all of it was.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Health {
    /// The first places that could not be read, by (batch, place in it).
    damage: Vec<(u64, Damaged)>,
    /// How many places could not be read.
    damaged: u64,
    /// Why the archive could not be read to its end, if so.
    pub failed: Option<String>,
    /// Whether the archive could not be fetched at all, and the build went on without it.
    pub missing: bool,
    /// The archive's size in bytes, if that was not known before it was fetched.
    pub bytes: Option<u64>,
}

impl Health {
    /// Notes places that could not be read; a list of any length takes little memory.
    pub fn note(&mut self, damage: Vec<(u64, Damaged)>) {
        self.damaged += damage.len() as u64;
        self.damage.extend(damage);
        self.damage.sort_by_key(|(place, damage)| (*place, damage.offset));
        self.damage.truncate(LISTED_DAMAGE);
    }

    /// The manifest's entry of the archive `label`, whose size is `bytes` where that was known before it was read.
    pub fn entry(&self, label: &str, bytes: Option<u64>) -> InputEntry {
        let mut damage: Vec<Damaged> = self.damage.iter().map(|(_, damage)| damage.clone()).collect();
        damage.extend(self.failed.iter().map(|cause| Damaged {
            offset: 0,
            cause: cause.clone(),
        }));
        InputEntry {
            archive: label.to_owned(),
            bytes: bytes.or(self.bytes).unwrap_or(0),
            state: match (&self.failed, self.damaged) {
                (Some(_), _) => InputState::Failed,
                (None, 0) => InputState::Read,
                (None, _) => InputState::Damaged,
            },
            damage,
            damaged_records: self.damaged,
        }
    }
}
