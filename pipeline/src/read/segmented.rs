//! Records that were cut into segments (WARC 1.1, section 7), joined as far as the segments follow each other.

use crate::read::outcome::damage;
use crate::read::record::{Record, ends_as_html};
use crate::read::warc::Item;
use c4_filters::Reason;

/// A record of which some segments have been read.
pub(super) struct SegmentedRecord {
    /// The segments so far, joined.
    record: Record,
    id: Option<String>,
    /// The number of the last segment.
    number: u64,
}

impl SegmentedRecord {
    pub(super) fn new(first: Record) -> SegmentedRecord {
        SegmentedRecord {
            id: first.header("WARC-Record-ID"),
            record: first,
            number: 1,
        }
    }

    /// Whether `next` is the segment that follows.
    pub(super) fn is_followed_by(&self, next: &Record) -> bool {
        next.record_type() == "continuation"
            && next.segment() == Some(self.number + 1)
            && self.id.is_some()
            && self.id == next.header("WARC-Segment-Origin-ID")
    }

    /// Appends the block of the segment that follows; returns the length of the record in bytes.
    pub(super) fn join(&mut self, next: &Record) -> usize {
        let record = &mut self.record;
        record.bytes.extend_from_slice(next.block());
        record.block.end = record.bytes.len();
        record.is_joined = true;
        self.number += 1;
        self.record.len()
    }

    /// The byte offset of the first segment.
    pub(super) fn offset(&self) -> u64 {
        self.record.offset
    }

    /// The record, or damage if segments are missing; `total` is what the last segment says of the length of all.
    pub(super) fn close(self, total: Option<usize>) -> Item {
        let record = self.record;
        let whole = match total {
            Some(total) => record.block().len() == total,
            None => ends_as_html(record.block()),
        };
        if whole {
            return Item::Record(record);
        }
        let cause = "the record goes on in segments that do not follow in this archive";
        Item::Damage(damage(Reason::Truncated, record.offset, cause))
    }
}
