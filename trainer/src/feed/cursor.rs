//! Where a feed is.

use serde::{Deserialize, Serialize};

/// Where the next batch begins: all that is needed to go on exactly there. Small, whatever the corpora.
///
/// It holds for the same corpora, objective, seed and tokeniser; the fingerprint refuses others, but for the tokeniser,
/// which a feed cannot compare. Rows of a batch, packing and threads may change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// SHA-256 of what decides over the examples.
    pub fingerprint: String,
    /// Examples used so far, which is also the number of the next draw of the mixture.
    pub examples: u64,
    /// Where each corpus is, in the order of [`Feed::corpora`](super::Feed::corpora).
    pub corpora: Vec<Position>,
}

/// Where a corpus is: at an example of a group of documents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// The epoch, from 0.
    pub epoch: u64,
    /// The shard in this epoch's order where the group begins.
    pub shard: u64,
    /// The document of that shard where the group begins.
    pub document: u64,
    /// The group's number in the epoch.
    pub group: u64,
    /// The next of the group's examples.
    pub example: u64,
}
