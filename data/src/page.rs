//! The page: what an archive's record becomes before any rule has seen it.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A page of a crawl: what an archive's record becomes, with its header values verbatim.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Page {
    /// The URL, `WARC-Target-URI`.
    pub url: String,
    /// The page's text: all of it as it was read, or what the rules have left of it.
    pub text: String,
    /// The time of the crawl, `WARC-Date`.
    pub timestamp: String,
    /// `Content-Type`; may be empty.
    pub content_type: String,
    /// `Content-Length`; may be empty.
    pub content_length: String,
    /// Where the record starts, in bytes from the start of the archive (see the crate's schema).
    pub record_offset: u64,
}

impl Page {
    /// The same page with another text.
    pub fn with_text(&self, text: String) -> Page {
        Page {
            url: self.url.clone(),
            text,
            timestamp: self.timestamp.clone(),
            content_type: self.content_type.clone(),
            content_length: self.content_length.clone(),
            record_offset: self.record_offset,
        }
    }
}

/// A kept page: one row of a shard.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The page, its text cleaned.
    pub page: Page,
    /// The label of the page's archive: its file name, with as much of its folder as tells it from others.
    pub archive: Arc<str>,
    /// The language code; empty without a language step.
    pub language: String,
    /// The language's probability, 0 to 1.
    pub language_score: f32,
}

/// The domain of a URL in statistics: its host, in lower case and without `www.`. Empty if the URL has no host.
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

/// The split of the corpus that a document belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// The documents for training.
    Train,
    /// The documents for evaluation: 0.1 % of the pages in C4.
    Validation,
}

impl Split {
    /// Both splits, in the order in which they are listed everywhere.
    pub const ALL: [Split; 2] = [Split::Train, Split::Validation];

    /// The split's name: `train` or `validation`.
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Validation => "validation",
        }
    }
}

/// A set of documents that has shards of its own: a split, of all languages or of one. Sets are listed by language,
/// then by split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardSet<'a> {
    /// The language code; `None` if the corpus does not separate languages.
    pub language: Option<&'a str>,
    /// The split that the documents belong to.
    pub split: Split,
}

impl From<Split> for ShardSet<'_> {
    fn from(split: Split) -> Self {
        ShardSet { language: None, split }
    }
}
