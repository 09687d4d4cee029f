//! Dedup keys: of all pages with one URL, and of all copies of one line or span, one copy is kept.

use c4_filters::newest_page;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;

/// Where a copy is, for the passes: the segment and the page in it, the line or sentence on the page;
/// and for people, in bytes from the start of the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub(crate) struct CopyPlace {
    /// The segment's number among all segments of the build.
    pub segment: u32,
    /// The page's number in the segment.
    pub page: u32,
    /// The line, or the first sentence of the span; 0 for a page.
    pub position: u32,
    /// The byte offset of the page's record in the archive.
    pub record_offset: u64,
}

/// The segment that a key is read from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyOrigin {
    /// The segment's number among all segments of the build.
    pub segment: u32,
    /// The number of the segment's archive.
    pub archive: u32,
}

/// The dedup key of one copy: copies of one thing have the same hash, and the copy with the smallest rank is kept.
pub(crate) trait DedupKey: Sized + Send {
    /// The order of copies with one hash: the smallest is kept.
    type Rank<'a>: Ord
    where
        Self: 'a;

    /// The memory of a key in bytes, with the count that is kept beside it.
    const MEMORY: u64;
    /// The bytes of a key in a file, about.
    const STORED: u64;
    /// The hash that all copies of one thing share.
    fn hash(&self) -> u128;
    fn rank(&self) -> Self::Rank<'_>;
    fn place(&self) -> CopyPlace;
    /// The key with the number of its page raised by `first`.
    fn after(self, first: u32) -> Self;
    /// Appends the key as a segment's file holds it.
    fn put(&self, bytes: &mut Vec<u8>);
    /// Takes a key from the front of `bytes`; `None` if they do not begin with one.
    fn take(bytes: &mut &[u8], origin: KeyOrigin) -> Option<Self>;
}

/// The halves of a 128-bit number, high before low: they sort as the number does, and need no alignment to 16 bytes.
type Halves = [u64; 2];

fn halves(n: u128) -> Halves {
    [(n >> 64) as u64, n as u64]
}

fn whole([high, low]: Halves) -> u128 {
    u128::from(high) << 64 | u128::from(low)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*first)
}

/// The key of a page among pages with its URL. The newest is kept; of several, the first in the order of archives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UrlKey {
    hash: Halves,
    timestamp: Box<str>,
    archive: u32,
    order: u64,
    place: CopyPlace,
}

impl UrlKey {
    /// The key of a page by the MD5 of its normalised URL, its timestamp, and its order in its archive.
    pub(crate) fn new(hash: u128, timestamp: &str, order: u64, place: CopyPlace) -> UrlKey {
        UrlKey {
            hash: halves(hash),
            timestamp: timestamp.into(),
            archive: 0,
            order,
            place,
        }
    }
}

impl DedupKey for UrlKey {
    type Rank<'a> = (Reverse<&'a str>, (u32, u64));
    /// A timestamp takes 32 bytes of the allocator's.
    const MEMORY: u64 = size_of::<(UrlKey, u32)>() as u64 + 32;
    /// With a timestamp as WARC has it, to the second.
    const STORED: u64 = 60;

    fn hash(&self) -> u128 {
        whole(self.hash)
    }

    fn rank(&self) -> Self::Rank<'_> {
        newest_page::rank(&self.timestamp, (self.archive, self.order))
    }

    fn place(&self) -> CopyPlace {
        self.place
    }

    fn after(mut self, first: u32) -> Self {
        self.place.page += first;
        self
    }

    fn put(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.hash().to_le_bytes());
        bytes.extend(self.order.to_le_bytes());
        bytes.extend(self.place.record_offset.to_le_bytes());
        bytes.extend(self.place.page.to_le_bytes());
        bytes.extend((self.timestamp.len() as u32).to_le_bytes());
        bytes.extend(self.timestamp.as_bytes());
    }

    fn take(bytes: &mut &[u8], origin: KeyOrigin) -> Option<UrlKey> {
        let hash = halves(u128::from_le_bytes(take(bytes)?));
        let order = u64::from_le_bytes(take(bytes)?);
        let record_offset = u64::from_le_bytes(take(bytes)?);
        let page = u32::from_le_bytes(take(bytes)?);
        let length = u32::from_le_bytes(take(bytes)?) as usize;
        let (timestamp, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        Some(UrlKey {
            hash,
            timestamp: std::str::from_utf8(timestamp).ok()?.into(),
            archive: origin.archive,
            order,
            place: CopyPlace {
                segment: origin.segment,
                page,
                position: 0,
                record_offset,
            },
        })
    }
}

/// The key of a line or span. The copy on the page whose URL has the smallest MD5 is kept, where it stands first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TextKey {
    hash: Halves,
    owner: Halves,
    place: CopyPlace,
}

impl TextKey {
    /// The key of a line or span with this `hash`, on a page whose URL has the MD5 `owner`.
    pub(crate) fn new(hash: u128, owner: u128, place: CopyPlace) -> TextKey {
        TextKey {
            hash: halves(hash),
            owner: halves(owner),
            place,
        }
    }
}

impl DedupKey for TextKey {
    /// Pages with one URL are ordered by where they are, should there be no step that keeps only one.
    type Rank<'a> = (Halves, u32, u32, u32);
    const MEMORY: u64 = size_of::<(TextKey, u32)>() as u64;
    const STORED: u64 = 48;

    fn hash(&self) -> u128 {
        whole(self.hash)
    }

    fn rank(&self) -> Self::Rank<'_> {
        let CopyPlace {
            segment,
            page,
            position,
            ..
        } = self.place;
        (self.owner, position, segment, page)
    }

    fn place(&self) -> CopyPlace {
        self.place
    }

    fn after(mut self, first: u32) -> Self {
        self.place.page += first;
        self
    }

    fn put(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.hash().to_le_bytes());
        bytes.extend(whole(self.owner).to_le_bytes());
        bytes.extend(self.place.record_offset.to_le_bytes());
        bytes.extend(self.place.page.to_le_bytes());
        bytes.extend(self.place.position.to_le_bytes());
    }

    fn take(bytes: &mut &[u8], origin: KeyOrigin) -> Option<TextKey> {
        let hash = halves(u128::from_le_bytes(take(bytes)?));
        let owner = halves(u128::from_le_bytes(take(bytes)?));
        let record_offset = u64::from_le_bytes(take(bytes)?);
        let page = u32::from_le_bytes(take(bytes)?);
        let position = u32::from_le_bytes(take(bytes)?);
        let place = CopyPlace {
            segment: origin.segment,
            page,
            position,
            record_offset,
        };
        Some(TextKey { hash, owner, place })
    }
}

/// A copy that is dropped, and the one that is kept in its stead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DroppedCopy {
    /// The number of the copy's page in its segment.
    pub page: u32,
    /// The line, or the first sentence of the span; 0 for a page.
    pub position: u32,
    /// The place of the kept copy.
    pub kept: CopyPlace,
}

impl DroppedCopy {
    /// Appends the copy in 28 bytes.
    pub(crate) fn put(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.page.to_le_bytes());
        bytes.extend(self.position.to_le_bytes());
        bytes.extend(self.kept.segment.to_le_bytes());
        bytes.extend(self.kept.page.to_le_bytes());
        bytes.extend(self.kept.position.to_le_bytes());
        bytes.extend(self.kept.record_offset.to_le_bytes());
    }

    /// Takes a dropped copy from the front of `bytes`; `None` if they are too short.
    pub(crate) fn take(bytes: &mut &[u8]) -> Option<DroppedCopy> {
        let mut next = || Some(u32::from_le_bytes(take(bytes)?));
        let [page, position] = [next()?, next()?];
        let [segment, kept_page, kept_position] = [next()?, next()?, next()?];
        let record_offset = u64::from_le_bytes(take(bytes)?);
        Some(DroppedCopy {
            page,
            position,
            kept: CopyPlace {
                segment,
                page: kept_page,
                position: kept_position,
                record_offset,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_as_they_were_put() {
        let place = CopyPlace {
            segment: 3,
            page: 7,
            position: 2,
            record_offset: 1 << 40,
        };
        let origin = KeyOrigin { segment: 3, archive: 0 };
        let text = TextKey::new(u128::MAX - 5, 17 << 90, place);
        let page = CopyPlace { position: 0, ..place };
        let urls = ["2019-04-18T10:12:43Z", ""].map(|t| UrlKey::new(5 << 100, t, 9, page));
        let dropped = DroppedCopy {
            page: 1,
            position: 2,
            kept: place,
        };
        let mut bytes = Vec::new();
        text.put(&mut bytes);
        urls.iter().for_each(|url| url.put(&mut bytes));
        dropped.put(&mut bytes);
        let mut rest = &bytes[..];
        assert_eq!(TextKey::take(&mut rest, origin), Some(text));
        for url in urls {
            assert_eq!(UrlKey::take(&mut rest, origin), Some(url));
        }
        assert_eq!(DroppedCopy::take(&mut rest), Some(dropped));
        assert!(rest.is_empty());
        assert_eq!(DroppedCopy::take(&mut rest), None);
    }
}
