//! The page: what an archive's record becomes before any rule has seen it.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Where a page was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// The archive's label: its file name, with as much of its folder as tells it from others.
    pub archive: Arc<str>,
    /// Bytes from the start of the archive (see the crate's schema).
    pub record_offset: u64,
}

/// A page of a crawl. All header values are verbatim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// `WARC-Target-URI`.
    pub url: String,
    /// The page's text.
    pub text: String,
    /// `WARC-Date`.
    pub timestamp: String,
    /// `Content-Type`; may be empty.
    pub content_type: String,
    /// `Content-Length`; may be empty.
    pub content_length: String,
    /// Where it was read.
    pub provenance: Provenance,
}

/// A page that stayed: one row of a shard.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The page, its text cleaned.
    pub page: Page,
    /// Language code; empty without a language step.
    pub language: String,
    /// The code's probability, 0 to 1.
    pub language_score: f32,
}

/// The part of the corpus a document belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// For training.
    Train,
    /// For evaluation: 0.1 % of the pages in C4.
    Validation,
}

impl Split {
    /// Both, in the order in which they are listed everywhere.
    pub const ALL: [Split; 2] = [Split::Train, Split::Validation];

    /// `train` or `validation`.
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Validation => "validation",
        }
    }
}

/// Documents that have shards of their own: a split, of all languages or of one. Sets are listed by
/// language, then by split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardSet<'a> {
    /// Language code; `None` where languages are not told apart.
    pub language: Option<&'a str>,
    /// The split.
    pub split: Split,
}

impl From<Split> for ShardSet<'_> {
    fn from(split: Split) -> Self {
        ShardSet {
            language: None,
            split,
        }
    }
}
