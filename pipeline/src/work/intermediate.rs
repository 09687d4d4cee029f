//! What is in work files between two passes: pages after the first, rows after the fourth.

use c4_filters::{LineCounts, Reason};
use serde::{Deserialize, Serialize};

/// A page between cleaning and the end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SpooledPage {
    /// Place in the archive: batch and place in it. Smaller is earlier.
    pub order: u64,
    /// MD5 of the normalised URL.
    pub normalized: u128,
    /// MD5 of the URL.
    pub owner: u128,
    /// As in the record.
    pub timestamp: String,
    /// Bytes from the start of the archive.
    pub record_offset: u64,
    /// Why it went, if it did.
    pub dropped: Option<Reason>,
    /// As in the record.
    pub url: String,
    /// What the rules have left; of a page that they dropped, the text as it was read if the ledger
    /// may want it.
    pub text: String,
    /// As in the record.
    pub content_type: String,
    /// As in the record.
    pub content_length: String,
    /// What became of its lines. Counts only if the page is the newest of its URL.
    pub lines: LineCounts,
    /// What the rule that dropped it went by.
    pub matched: Option<Matched>,
    /// Bytes of the whole text as it was read.
    pub text_bytes: u64,
    /// Places, on the page as it was read, of the lines that passed the rules; empty without a ledger.
    pub kept_lines: Vec<u32>,
    /// Lines that went and that the ledger may want.
    pub dropped_lines: Vec<SpooledLine>,
}

/// What a rule went by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Matched {
    /// As it stands in the text.
    pub text: String,
    /// Where, in bytes.
    pub start: u32,
}

/// A line that a rule dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SpooledLine {
    /// Its place on the page as it was read.
    pub number: u32,
    /// Why.
    pub reason: Reason,
    /// As it was read.
    pub text: String,
    /// What the rule went by.
    pub matched: Option<Matched>,
}

/// A document before it is in its shard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SpooledRow {
    /// MD5 of the normalised URL: the order of the corpus.
    pub key: u128,
    /// Place of the archive in the order of archives.
    pub archive: u32,
    /// Bytes from the start of the archive.
    pub record_offset: u64,
    /// As in the record.
    pub url: String,
    /// The document's text.
    pub text: String,
    /// As in the record.
    pub timestamp: String,
    /// As in the record.
    pub content_type: String,
    /// As in the record.
    pub content_length: String,
    /// By the detector.
    pub language: String,
    /// By the detector.
    pub language_score: f32,
}
