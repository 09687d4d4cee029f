//! Limits for what a file holds in one piece: a corpus may come from anywhere, and what is small in a file may be large
//! in memory.

use crate::Recipe;

/// The limit for a stored page's text, in bytes; `read.max_record_bytes` of a recipe may not be more.
pub(crate) const MAX_PAGE_BYTES: u64 = 128 << 20;
/// The limit for a page's other strings together, its URL among them, in bytes.
pub(crate) const MAX_OTHER_BYTES: u64 = 16 << 20;
/// The number of bytes of text at which a batch ends; the page that reaches it is part of the batch.
pub(crate) const BATCH_TEXT_BYTES: u64 = 1 << 20;

/// The limit for a batch of rows in a shard: a batch that holds more is refused before it is unpacked.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimit {
    /// The number of rows; a build's files have far fewer.
    pub(crate) rows: u64,
    /// The number of bytes of all columns, unpacked.
    pub(crate) bytes: u64,
    /// The number of bytes of a line of JSON, where a byte of text may take six.
    pub(crate) line_bytes: u64,
}

impl BatchLimit {
    /// The limit for shards of `recipe`: a batch is cut at 1 MiB of text, so the longest page decides.
    pub fn of(recipe: &Recipe) -> BatchLimit {
        let length = recipe.length.as_ref();
        let bytes = length.map(|step| (step.max_page_chars as u64).saturating_mul(4));
        BatchLimit::of_pages(bytes.unwrap_or(MAX_PAGE_BYTES))
    }

    /// The limit for shards of any recipe.
    pub(crate) fn any() -> BatchLimit {
        BatchLimit::of_pages(MAX_PAGE_BYTES)
    }

    fn of_pages(bytes: u64) -> BatchLimit {
        let page = bytes.min(MAX_PAGE_BYTES);
        BatchLimit {
            rows: 1 << 16,
            bytes: page + BATCH_TEXT_BYTES + 2 * MAX_OTHER_BYTES + (1 << 20),
            line_bytes: 6 * page + MAX_OTHER_BYTES,
        }
    }

    /// The limit for files of other programs, whose batches are as large as whoever wrote them liked.
    pub fn of_other_programs() -> BatchLimit {
        BatchLimit {
            rows: 1 << 24,
            bytes: 4 << 30,
            line_bytes: 1 << 30,
        }
    }

    /// The largest line of JSON or text, in bytes.
    pub fn line_bytes(&self) -> u64 {
        self.line_bytes
    }

    /// The limit for a ledger, where a row has a page's text and its match.
    pub(crate) fn of_ledger() -> BatchLimit {
        let shard = BatchLimit::any();
        BatchLimit {
            bytes: 2 * shard.bytes,
            ..shard
        }
    }
}
