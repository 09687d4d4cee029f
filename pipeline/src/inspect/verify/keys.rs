//! Keys that stand twice, found in bounded memory.
//!
//! Keys are held in memory and sorted, 16 bytes each. When they are more than may be held, the upper part of the key
//! space is let go, and another pass over the shards takes it up. So a corpus with `n` keys is read `16 n / limit`
//! times, rounded up: with 1 GiB once for 64 million lines, and some hundred times for the seven thousand million of
//! the whole C4 (more memory, fewer passes). A single key that stands more often than fits is the one thing that goes
//! above the limit.

use crate::runtime::parallel::lock;
use rayon::prelude::*;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The number of partitions of the key space, which are let go one by one.
const PARTITIONS: usize = 1024;
/// The share of the limit that is freed when it is reached.
const FREED: f64 = 0.25;
/// The number of repeated keys that are looked up in the shards.
const HANDED_ON: usize = 3;

fn partition(key: u128) -> usize {
    (key >> 118) as usize
}

/// The keys of one pass.
pub(crate) struct Keys {
    partitions: Vec<Mutex<Vec<u128>>>,
    first: usize,
    /// The partitions from here on wait for another pass.
    end: AtomicUsize,
    /// The bytes allocated.
    held: AtomicUsize,
    limit: usize,
    letting_go: Mutex<()>,
}

/// The keys that are repeated.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct RepeatedKeys {
    /// The number of keys seen.
    pub keys: u64,
    /// The number of keys of which at least two copies are sure.
    pub sure: u64,
    /// The number of repeated keys of which at most one copy is sure.
    pub unsure: u64,
    /// The smallest keys of which two copies are sure, unmarked.
    pub first: Vec<u128>,
    /// The number of passes.
    pub passes: u64,
}

/// `key` with a mark in its lowest bit, which is no part of the key from then on.
pub(crate) fn marked(key: u128, sure: bool) -> u128 {
    key >> 1 << 1 | u128::from(sure)
}

/// `key` without the mark.
pub(crate) fn unmarked(key: u128) -> u128 {
    key >> 1
}

impl Keys {
    /// The keys of the first pass; at most `limit` bytes are held.
    pub(crate) fn new(limit: usize) -> Keys {
        Keys::from(0, limit)
    }

    fn from(first: usize, limit: usize) -> Keys {
        Keys {
            partitions: (first..PARTITIONS).map(|_| Mutex::default()).collect(),
            first,
            end: AtomicUsize::new(PARTITIONS),
            held: AtomicUsize::new(0),
            limit,
            letting_go: Mutex::new(()),
        }
    }

    /// Whether the pass takes the keys of a partition.
    fn takes(&self, partition: usize) -> bool {
        partition >= self.first && partition < self.end.load(Ordering::SeqCst)
    }

    /// Adds keys, [`marked`]; those of other passes are let go.
    pub(crate) fn add(&self, mut keys: Vec<u128>) {
        keys.retain(|key| self.takes(partition(*key)));
        keys.sort_unstable();
        for keys in keys.chunk_by(|a, b| partition(*a) == partition(*b)) {
            let p = partition(keys[0]);
            let mut partition = lock(&self.partitions[p - self.first]);
            // Asked again under the lock, so that what was let go stays empty.
            if !self.takes(p) {
                break;
            }
            let before = partition.capacity();
            partition.extend_from_slice(keys);
            let grown = (partition.capacity() - before) * size_of::<u128>();
            drop(partition);
            if self.held.fetch_add(grown, Ordering::SeqCst) + grown > self.limit {
                self.let_go();
            }
        }
    }

    /// Makes room: the upper partitions go, but the first never does.
    fn let_go(&self) {
        let _alone = lock(&self.letting_go);
        let goal = self.limit - (self.limit as f64 * FREED) as usize;
        let mut end = self.end.load(Ordering::SeqCst);
        while self.held.load(Ordering::SeqCst) > goal && end > self.first + 1 {
            end -= 1;
            self.end.store(end, Ordering::SeqCst);
            let gone = std::mem::take(&mut *lock(&self.partitions[end - self.first]));
            let bytes = gone.capacity() * size_of::<u128>();
            self.held.fetch_sub(bytes, Ordering::SeqCst);
        }
    }

    /// Ends the pass: adds the repeated keys to `found`, and gives the next pass; `None` if all keys have been seen.
    pub(crate) fn finish(self, found: &mut RepeatedKeys) -> Option<Keys> {
        let end = self.end.into_inner();
        let partitions = self.partitions.into_par_iter().take(end - self.first);
        let lists: Vec<RepeatedKeys> = partitions
            .map(|partition| repeated(partition.into_inner().unwrap_or_default()))
            .collect();
        found.passes += 1;
        for list in lists {
            found.keys += list.keys;
            found.sure += list.sure;
            found.unsure += list.unsure;
            found.first.extend(list.first);
            found.first.truncate(HANDED_ON);
        }
        (end < PARTITIONS).then(|| Keys::from(end, self.limit))
    }
}

fn repeated(mut keys: Vec<u128>) -> RepeatedKeys {
    keys.sort_unstable();
    let mut found = RepeatedKeys {
        keys: keys.len() as u64,
        ..RepeatedKeys::default()
    };
    for copies in keys.chunk_by(|a, b| unmarked(*a) == unmarked(*b)) {
        let sure = copies.iter().filter(|copy| **copy & 1 == 1).count();
        match (copies.len(), sure) {
            (0 | 1, _) => {}
            (_, 0 | 1) => found.unsure += 1,
            _ => {
                found.sure += 1;
                if found.first.len() < HANDED_ON {
                    found.first.push(unmarked(copies[0]));
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key that is spread over the key space.
    fn key(i: u64) -> u128 {
        u128::from(i.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 64 | u128::from(i) << 1
    }

    #[test]
    fn little_memory_takes_more_passes_and_finds_the_same() {
        let keys: Vec<u128> = (0..20_000)
            .chain((0..20_000).filter(|i| i % 1000 == 7))
            .map(|i| marked(key(i), i % 2000 == 7))
            .collect();
        let mut whole = RepeatedKeys::default();
        for limit in [usize::MAX, 100_000, 20_000] {
            let mut found = RepeatedKeys::default();
            let mut next = Some(Keys::new(limit));
            while let Some(pass) = next {
                keys.par_chunks(100).for_each(|some| pass.add(some.to_vec()));
                assert!(pass.held.load(Ordering::SeqCst) <= limit.max(40_000));
                next = pass.finish(&mut found);
            }
            assert_eq!((found.keys, found.sure, found.unsure), (20_020, 10, 10));
            if limit == usize::MAX {
                assert_eq!(found.passes, 1);
                whole = found;
            } else {
                assert!(found.passes > 2, "{}", found.passes);
                assert_eq!(found.first, whole.first);
            }
        }
    }
}
