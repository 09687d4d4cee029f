//! What work files hold between two passes: pages after pass 1, rows after pass 4.

use c4_data::Page;
use c4_filters::{LineCounts, Reason};
use serde::{Deserialize, Serialize};

/// A page between pass 1 and pass 4.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WorkPage {
    /// The page. Its text is what the rules have left; of a page that they dropped, the text as it was read if the
    /// ledger may want it.
    pub page: Page,
    /// The page's rank in its archive: batch and place in it. Smaller is earlier.
    pub order: u64,
    /// The MD5 of the normalised URL.
    pub normalized: u128,
    /// The MD5 of the URL.
    pub owner: u128,
    /// The reason of the drop, if a rule dropped the page.
    pub dropped: Option<Reason>,
    /// The counts of the page's lines. They count only if the page is the newest of its URL.
    pub lines: LineCounts,
    /// The text by which a rule dropped the page.
    pub matched: Option<Matched>,
    /// The bytes of the whole text as it was read.
    pub text_bytes: u64,
    /// The numbers, on the page as it was read, of the lines that passed the rules; empty without a ledger.
    pub kept_lines: Vec<u32>,
    /// The dropped lines that the ledger may want.
    pub dropped_lines: Vec<WorkLine>,
}

/// The piece of a text by which a rule dropped it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Matched {
    pub text: String,
    /// The byte offset of the piece in the text.
    pub start: u32,
}

/// A line that a rule dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WorkLine {
    /// The line's number on the page as it was read, from 0.
    pub number: u32,
    /// The reason of the drop.
    pub reason: Reason,
    /// The line as it was read.
    pub text: String,
    /// The piece by which the rule dropped the line.
    pub matched: Option<Matched>,
}

/// A kept page between pass 4 and its shard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WorkRow {
    /// The page, its text finished.
    pub page: Page,
    /// The MD5 of the normalised URL: the order of the corpus.
    pub key: u128,
    /// The number of the page's archive.
    pub archive: u32,
    /// The language code by the detector; empty without a language step.
    pub language: String,
    /// The language's probability, 0 to 1.
    pub language_score: f32,
}
