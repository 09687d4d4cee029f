//! The keys of lines or spans, in partitions by hash, and which copy of each stays.

use crate::parallel::lock;
use rayon::prelude::*;
use std::cmp::Reverse;
use std::sync::Mutex;

/// Repeated keys that are listed.
const MOST_REPEATED: usize = 100;

/// Partitions are what is sorted in parallel.
const PARTITIONS: usize = 64;

/// One line or span of one page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyEntry {
    key: [u64; 2],
    /// Place of the archive.
    pub archive: u32,
    /// Place of the page in the archive's table.
    pub page: u32,
    /// Place of the line, or of the span's first sentence, in the page.
    pub position: u32,
}

impl KeyEntry {
    /// An entry; `page` may still be relative to a batch.
    pub fn new(key: u128, archive: u32, page: u32, position: u32) -> KeyEntry {
        let key = [(key >> 64) as u64, key as u64];
        KeyEntry {
            key,
            archive,
            page,
            position,
        }
    }
}

/// A copy that goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Loser {
    /// Place of the page in its archive's table.
    pub page: u32,
    /// Place of the line or of the span's first sentence.
    pub position: u32,
    /// The copy that stays for it.
    pub winner: Winner,
}

/// A copy that stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Winner {
    /// Place of the archive.
    pub archive: u32,
    /// Place of the page in the archive's table.
    pub page: u32,
    /// Place of the line or of the span's first sentence.
    pub position: u32,
}

/// A key that many pages hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Repeated {
    /// How many copies there are, on pages that are still in.
    pub copies: Reverse<u64>,
    key: [u64; 2],
    /// The one that stays.
    pub winner: Winner,
}

/// What one partition gives: copies that go, with their archive, and repeated keys.
type Found = (Vec<(u32, Loser)>, Vec<Repeated>);

/// What is known of duplicates.
#[derive(Debug)]
pub struct Duplicates {
    /// Copies that go, by archive, each list in order of page and position.
    pub losers: Vec<Vec<Loser>>,
    /// The keys with most copies, ties by key.
    pub repeated: Vec<Repeated>,
}

/// All keys of a build.
pub struct Keys {
    partitions: Vec<Mutex<Vec<KeyEntry>>>,
}

impl Default for Keys {
    fn default() -> Self {
        Keys {
            partitions: (0..PARTITIONS).map(|_| Mutex::default()).collect(),
        }
    }
}

impl Keys {
    /// Adds the keys of a batch, whose pages are numbered from `first_page`.
    pub fn add(&self, mut entries: Vec<KeyEntry>, first_page: u32) {
        entries.sort_unstable_by_key(|entry| entry.key);
        let partition = |entry: &KeyEntry| (entry.key[0] >> 58) as usize;
        let mut rest = &mut entries[..];
        while let Some(first) = rest.first() {
            let p = partition(first);
            let n = rest.partition_point(|entry| partition(entry) <= p);
            let (these, others) = rest.split_at_mut(n);
            these.iter_mut().for_each(|entry| entry.page += first_page);
            lock(&self.partitions[p]).extend_from_slice(these);
            rest = others;
        }
    }

    /// Which copies go, among `archives` archives.
    ///
    /// Of equal keys the one with the smallest (owner of its page, position) stays; `owner` gives
    /// the MD5 of a page's URL, or `None` for a page that is no longer in, whose keys count for
    /// nothing. The result does not depend on the order in which keys came.
    pub fn losers(
        self,
        archives: usize,
        owner: impl Fn(&KeyEntry) -> Option<u128> + Sync,
    ) -> Duplicates {
        let lists: Vec<Found> = self
            .partitions
            .into_par_iter()
            .map(|partition| {
                let mut entries = partition.into_inner().unwrap_or_default();
                entries.sort_unstable_by_key(|entry| entry.key);
                let mut losers = Vec::new();
                let mut repeated = Vec::new();
                for copies in entries.chunk_by(|a, b| a.key == b.key) {
                    if copies.len() > 1 {
                        repeated.extend(lose(copies, &owner, &mut losers));
                        if repeated.len() >= 16 * MOST_REPEATED {
                            most(&mut repeated);
                        }
                    }
                }
                most(&mut repeated);
                (losers, repeated)
            })
            .collect();
        let mut by_archive = vec![Vec::new(); archives];
        let mut repeated = Vec::new();
        for (losers, most) in lists {
            for (archive, loser) in losers {
                by_archive[archive as usize].push(loser);
            }
            repeated.extend(most);
        }
        by_archive
            .par_iter_mut()
            .for_each(|losers| losers.sort_unstable());
        most(&mut repeated);
        Duplicates {
            losers: by_archive,
            repeated,
        }
    }
}

/// Leaves the keys with most copies, in order.
fn most(repeated: &mut Vec<Repeated>) {
    repeated.sort_unstable();
    repeated.truncate(MOST_REPEATED);
}

/// The copies of one key but the one that stays; `None` if no more than one is on a page still in.
fn lose(
    copies: &[KeyEntry],
    owner: &impl Fn(&KeyEntry) -> Option<u128>,
    losers: &mut Vec<(u32, Loser)>,
) -> Option<Repeated> {
    let alive = || {
        copies
            .iter()
            .filter_map(|copy| Some((owner(copy)?, copy.position, copy)))
    };
    let (_, _, stays) = alive().min_by_key(|(owner, position, _)| (*owner, *position))?;
    let winner = Winner {
        archive: stays.archive,
        page: stays.page,
        position: stays.position,
    };
    let mut count = 1;
    for (_, _, copy) in alive().filter(|(_, _, copy)| *copy != stays) {
        count += 1;
        let loser = Loser {
            page: copy.page,
            position: copy.position,
            winner,
        };
        losers.push((copy.archive, loser));
    }
    (count > 1).then_some(Repeated {
        copies: Reverse(count),
        key: stays.key,
        winner,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smallest_owner_then_first_position_stays() {
        let keys = Keys::default();
        let entry = |page, position| KeyEntry::new(7 << 100, 0, page, position);
        keys.add(vec![entry(0, 0), entry(1, 5), entry(1, 2)], 10);
        keys.add(vec![entry(0, 0), KeyEntry::new(9, 0, 0, 1)], 20);
        // Page 20 has the smallest owner but is no longer in.
        let owner = |entry: &KeyEntry| (entry.page != 20).then_some(100 - u128::from(entry.page));
        let found = keys.losers(1, owner);
        let winner = Winner {
            archive: 0,
            page: 11,
            position: 2,
        };
        let loser = |page, position| Loser {
            page,
            position,
            winner,
        };
        assert_eq!(found.losers, [[loser(10, 0), loser(11, 5)]]);
        let [repeated] = found.repeated[..] else {
            panic!("{:?}", found.repeated);
        };
        assert_eq!((repeated.copies, repeated.winner), (Reverse(3), winner));
    }
}
