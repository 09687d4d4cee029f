//! Claims: of all pages with one URL, and of all copies of one line or span, one stays.

use c4_filters::newest_page;
use std::cmp::Reverse;

/// Where a copy is, for the passes: the segment and the page in it, the line or sentence on the page;
/// and for people, in bytes from the start of the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Place {
    /// The segment's place among all.
    pub segment: u32,
    /// The page's place in the segment.
    pub page: u32,
    /// The line, or the first sentence of the span; 0 for a page.
    pub position: u32,
    /// Where the page's record starts.
    pub record_offset: u64,
}

/// The segment that a claim is read from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    /// Its place among all.
    pub segment: u32,
    /// The place of its archive.
    pub archive: u32,
}

/// One of several that have a key in common.
pub(crate) trait Claim: Sized + Send {
    /// What decides: the smallest stays.
    type Rank<'a>: Ord
    where
        Self: 'a;

    /// Memory of one, in bytes, with the count that is kept beside it.
    const MEMORY: u64;
    /// Bytes of one in a file.
    const STORED: u64;
    /// What equal claims have in common.
    fn key(&self) -> u128;
    /// Who stays.
    fn rank(&self) -> Self::Rank<'_>;
    /// Where it is.
    fn place(&self) -> Place;
    /// The same, its page `first` pages further on.
    fn after(self, first: u32) -> Self;
    /// Appends what a segment's file holds of it.
    fn put(&self, bytes: &mut Vec<u8>);
    /// Takes one from the front of `bytes`; `None` if they do not begin with one.
    fn take(bytes: &mut &[u8], origin: Origin) -> Option<Self>;
}

/// Numbers in an order that needs no alignment to 16 bytes.
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

/// A page claims its URL. The newest stays; of several, the first in the order of archives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UrlClaim {
    key: Halves,
    timestamp: Box<str>,
    archive: u32,
    order: u64,
    place: Place,
}

impl UrlClaim {
    /// That of a page: MD5 of its normalised URL, timestamp, order in its archive, place.
    pub(crate) fn new(key: u128, timestamp: &str, order: u64, place: Place) -> UrlClaim {
        UrlClaim {
            key: halves(key),
            timestamp: timestamp.into(),
            archive: 0,
            order,
            place,
        }
    }
}

impl Claim for UrlClaim {
    type Rank<'a> = (Reverse<&'a str>, (u32, u64));
    /// A timestamp takes 32 bytes of the allocator's.
    const MEMORY: u64 = size_of::<(UrlClaim, u32)>() as u64 + 32;
    /// With a timestamp as WARC has it, to the second.
    const STORED: u64 = 60;

    fn key(&self) -> u128 {
        whole(self.key)
    }

    fn rank(&self) -> Self::Rank<'_> {
        newest_page::rank(&self.timestamp, (self.archive, self.order))
    }

    fn place(&self) -> Place {
        self.place
    }

    fn after(mut self, first: u32) -> Self {
        self.place.page += first;
        self
    }

    fn put(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.key().to_le_bytes());
        bytes.extend(self.order.to_le_bytes());
        bytes.extend(self.place.record_offset.to_le_bytes());
        bytes.extend(self.place.page.to_le_bytes());
        bytes.extend((self.timestamp.len() as u32).to_le_bytes());
        bytes.extend(self.timestamp.as_bytes());
    }

    fn take(bytes: &mut &[u8], origin: Origin) -> Option<UrlClaim> {
        let key = halves(u128::from_le_bytes(take(bytes)?));
        let order = u64::from_le_bytes(take(bytes)?);
        let record_offset = u64::from_le_bytes(take(bytes)?);
        let page = u32::from_le_bytes(take(bytes)?);
        let length = u32::from_le_bytes(take(bytes)?) as usize;
        let (timestamp, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        Some(UrlClaim {
            key,
            timestamp: std::str::from_utf8(timestamp).ok()?.into(),
            archive: origin.archive,
            order,
            place: Place {
                segment: origin.segment,
                page,
                position: 0,
                record_offset,
            },
        })
    }
}

/// A page claims a line or span. The page whose URL has the smallest MD5 has it, where it stands first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TextClaim {
    key: Halves,
    owner: Halves,
    place: Place,
}

impl TextClaim {
    /// That of a line or span: its hash, MD5 of its page's URL, place.
    pub(crate) fn new(key: u128, owner: u128, place: Place) -> TextClaim {
        TextClaim {
            key: halves(key),
            owner: halves(owner),
            place,
        }
    }
}

impl Claim for TextClaim {
    /// Pages with one URL are told apart by where they are, should there be no step that leaves one.
    type Rank<'a> = (Halves, u32, u32, u32);
    const MEMORY: u64 = size_of::<(TextClaim, u32)>() as u64;
    const STORED: u64 = 48;

    fn key(&self) -> u128 {
        whole(self.key)
    }

    fn rank(&self) -> Self::Rank<'_> {
        let Place {
            segment,
            page,
            position,
            ..
        } = self.place;
        (self.owner, position, segment, page)
    }

    fn place(&self) -> Place {
        self.place
    }

    fn after(mut self, first: u32) -> Self {
        self.place.page += first;
        self
    }

    fn put(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.key().to_le_bytes());
        bytes.extend(whole(self.owner).to_le_bytes());
        bytes.extend(self.place.record_offset.to_le_bytes());
        bytes.extend(self.place.page.to_le_bytes());
        bytes.extend(self.place.position.to_le_bytes());
    }

    fn take(bytes: &mut &[u8], origin: Origin) -> Option<TextClaim> {
        let key = halves(u128::from_le_bytes(take(bytes)?));
        let owner = halves(u128::from_le_bytes(take(bytes)?));
        let record_offset = u64::from_le_bytes(take(bytes)?);
        let page = u32::from_le_bytes(take(bytes)?);
        let position = u32::from_le_bytes(take(bytes)?);
        let place = Place {
            segment: origin.segment,
            page,
            position,
            record_offset,
        };
        Some(TextClaim { key, owner, place })
    }
}

/// A copy that goes, and the one that stays for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Loser {
    /// Place of its page in its segment.
    pub page: u32,
    /// The line, or the first sentence of the span; 0 for a page.
    pub position: u32,
    /// The copy that stays.
    pub winner: Place,
}

impl Loser {
    /// Appends it.
    pub(crate) fn put(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.page.to_le_bytes());
        bytes.extend(self.position.to_le_bytes());
        bytes.extend(self.winner.segment.to_le_bytes());
        bytes.extend(self.winner.page.to_le_bytes());
        bytes.extend(self.winner.position.to_le_bytes());
        bytes.extend(self.winner.record_offset.to_le_bytes());
    }

    /// Takes one from the front of `bytes`.
    pub(crate) fn take(bytes: &mut &[u8]) -> Option<Loser> {
        let mut next = || Some(u32::from_le_bytes(take(bytes)?));
        let [page, position] = [next()?, next()?];
        let [segment, of_winner, position_of_winner] = [next()?, next()?, next()?];
        let record_offset = u64::from_le_bytes(take(bytes)?);
        Some(Loser {
            page,
            position,
            winner: Place {
                segment,
                page: of_winner,
                position: position_of_winner,
                record_offset,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_come_back_as_they_were_put() {
        let place = Place {
            segment: 3,
            page: 7,
            position: 2,
            record_offset: 1 << 40,
        };
        let origin = Origin { segment: 3, archive: 0 };
        let text = TextClaim::new(u128::MAX - 5, 17 << 90, place);
        let page = Place { position: 0, ..place };
        let urls = ["2019-04-18T10:12:43Z", ""].map(|t| UrlClaim::new(5 << 100, t, 9, page));
        let loser = Loser {
            page: 1,
            position: 2,
            winner: place,
        };
        let mut bytes = Vec::new();
        text.put(&mut bytes);
        urls.iter().for_each(|url| url.put(&mut bytes));
        loser.put(&mut bytes);
        let mut rest = &bytes[..];
        assert_eq!(TextClaim::take(&mut rest, origin), Some(text));
        for url in urls {
            assert_eq!(UrlClaim::take(&mut rest, origin), Some(url));
        }
        assert_eq!(Loser::take(&mut rest), Some(loser));
        assert!(rest.is_empty());
        assert_eq!(Loser::take(&mut rest), None);
    }
}
