//! How much a file may hold in one piece: a corpus may come from anywhere, and what is small in a file may be large in memory.

use crate::Recipe;

/// The longest page that is stored, in bytes of text; `read.max_record_bytes` of a recipe is no more.
pub(crate) const MAX_PAGE_BYTES: u64 = 128 << 20;
/// Of a page's other strings, URL and all, in bytes.
pub(crate) const MAX_OTHER_BYTES: u64 = 16 << 20;
/// Text of a batch without the page that reaches it.
pub(crate) const BATCH_TEXT_BYTES: u64 = 1 << 20;

/// What a batch of rows in a shard may hold: more is refused before it is unpacked.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimit {
    /// Rows; of a file that this program wrote, far fewer.
    pub(crate) rows: u64,
    /// Bytes of all columns, unpacked.
    pub(crate) bytes: u64,
    /// Bytes of a line of JSON, where any byte of text may take six.
    pub(crate) line_bytes: u64,
}

impl BatchLimit {
    /// Of shards of `recipe`: a batch is cut at 1 MiB of text, so the longest page decides.
    pub fn of(recipe: &Recipe) -> BatchLimit {
        let length = recipe.length.as_ref();
        let bytes = length.map(|step| (step.max_page_chars as u64).saturating_mul(4));
        BatchLimit::of_pages(bytes.unwrap_or(MAX_PAGE_BYTES))
    }

    /// Of shards of whatever recipe.
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

    /// Of a ledger: a row has a page's text and what of it a rule went by.
    pub(crate) fn of_ledger() -> BatchLimit {
        let shard = BatchLimit::any();
        BatchLimit {
            bytes: 2 * shard.bytes,
            ..shard
        }
    }
}
