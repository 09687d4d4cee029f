//! The keys of lines or spans, in partitions by hash, and which copy of each stays.

use crate::parallel::lock;
use rayon::prelude::*;
use std::sync::Mutex;

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
    /// Place of the winning copy, if it is on the same page.
    pub same_page: Option<u32>,
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

    /// Which copies go, by archive (of `archives`), each list in order of page and position.
    ///
    /// Of equal keys the one with the smallest (owner of its page, position) stays; `owner` gives
    /// the MD5 of a page's URL, or `None` for a page that is no longer in, whose keys count for
    /// nothing. The result does not depend on the order in which keys came.
    pub fn losers(
        self,
        archives: usize,
        owner: impl Fn(&KeyEntry) -> Option<u128> + Sync,
    ) -> Vec<Vec<Loser>> {
        let lists: Vec<Vec<(u32, Loser)>> = self
            .partitions
            .into_par_iter()
            .map(|partition| {
                let mut entries = partition.into_inner().unwrap_or_default();
                entries.sort_unstable_by_key(|entry| entry.key);
                let mut losers = Vec::new();
                for copies in entries.chunk_by(|a, b| a.key == b.key) {
                    if copies.len() > 1 {
                        lose(copies, &owner, &mut losers);
                    }
                }
                losers
            })
            .collect();
        let mut by_archive = vec![Vec::new(); archives];
        for (archive, loser) in lists.into_iter().flatten() {
            by_archive[archive as usize].push(loser);
        }
        by_archive
            .par_iter_mut()
            .for_each(|losers| losers.sort_unstable());
        by_archive
    }
}

/// The copies of one key but the one that stays.
fn lose(
    copies: &[KeyEntry],
    owner: &impl Fn(&KeyEntry) -> Option<u128>,
    losers: &mut Vec<(u32, Loser)>,
) {
    let alive = || {
        copies
            .iter()
            .filter_map(|copy| Some((owner(copy)?, copy.position, copy)))
    };
    let Some((_, position, winner)) =
        alive().min_by_key(|(owner, position, _)| (*owner, *position))
    else {
        return;
    };
    for (_, _, copy) in alive().filter(|(_, _, copy)| *copy != winner) {
        let same = (copy.archive, copy.page) == (winner.archive, winner.page);
        let loser = Loser {
            page: copy.page,
            position: copy.position,
            same_page: same.then_some(position),
        };
        losers.push((copy.archive, loser));
    }
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
        let losers = keys.losers(1, owner);
        let loser = |page, position, same_page| Loser {
            page,
            position,
            same_page,
        };
        assert_eq!(losers, [[loser(10, 0, None), loser(11, 5, Some(2))]]);
    }
}
