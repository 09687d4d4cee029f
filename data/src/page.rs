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

/// The host of a URL, in lower case and without `www.`: what statistics call its domain. Empty where
/// there is none.
///
/// ```
/// use c4_data::domain;
/// assert_eq!(domain("https://user@www.Example.COM:8080/a?b"), "example.com");
/// assert_eq!(domain("http://[::1]:80/"), "[::1]");
/// ```
pub fn domain(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = match host.find(']') {
        Some(end) => &host[..=end],
        None => host.split(':').next().unwrap_or_default(),
    };
    let host = host.trim_end_matches('.').to_lowercase();
    match host.strip_prefix("www.") {
        Some(rest) if rest.contains('.') => rest.to_owned(),
        _ => host,
    }
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
        ShardSet { language: None, split }
    }
}
