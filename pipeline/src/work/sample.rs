//! Samples that depend on neither threads nor order: of all items of a kind those with the smallest hashes.

use crate::runtime::parallel::lock;
use std::collections::BinaryHeap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// The seed of all samples of a build; written into the manifest.
pub const SEED: u64 = 0;

/// The priority of a page in the draw (smaller is drawn first), by the MD5 of its URL and the offset of its record.
pub(crate) fn priority(owner: u128, record_offset: u64) -> u64 {
    mix(owner as u64 ^ mix(record_offset ^ mix(SEED)))
}

/// The priority in the draw of line `number` of a page, by the priority of the page.
pub(crate) fn line_priority(page: u64, number: u32) -> u64 {
    mix(page ^ mix(u64::from(number) + 1))
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014): a bijection.
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Draws at most `limit` items of each kind. What [`offer`](Sampler::offer) takes is a superset of
/// the sample, whose bounds are known at the end ([`holds`](Sampler::holds)).
pub(crate) struct Sampler {
    limit: usize,
    kinds: Vec<KindSample>,
}

#[derive(Default)]
struct KindSample {
    smallest: Mutex<BinaryHeap<u64>>,
    /// Above this nothing is taken any more.
    bound: AtomicU64,
}

impl Sampler {
    /// Draws `limit` items of each of `kinds` kinds; 8 bytes of memory an item.
    pub(crate) fn new(kinds: usize, limit: usize) -> Sampler {
        let kind = |_| KindSample {
            smallest: Mutex::default(),
            bound: AtomicU64::new(if limit == 0 { 0 } else { u64::MAX }),
        };
        Sampler {
            limit,
            kinds: (0..kinds).map(kind).collect(),
        }
    }

    /// Whether an item is among the first `limit` of its kind so far. Costs a comparison for most items.
    pub(crate) fn offer(&self, kind: usize, priority: u64) -> bool {
        let kind = &self.kinds[kind];
        if priority > kind.bound.load(Ordering::Relaxed) || self.limit == 0 {
            return false;
        }
        let mut smallest = lock(&kind.smallest);
        smallest.push(priority);
        if smallest.len() > self.limit {
            smallest.pop();
        }
        if smallest.len() == self.limit {
            let largest = smallest.peek().copied().unwrap_or(u64::MAX);
            kind.bound.store(largest, Ordering::Relaxed);
        }
        true
    }

    /// Whether an item is in the sample, after all have been offered; of several items whose priority is the bound,
    /// all are.
    pub(crate) fn holds(&self, kind: usize, priority: u64) -> bool {
        self.limit > 0 && priority <= self.kinds[kind].bound.load(Ordering::Relaxed)
    }

    /// The sample of exactly `limit` items a kind, after all items have been offered.
    pub(crate) fn draw(&self) -> Draw {
        let of_kind = |kind: &KindSample| {
            let smallest = lock(&kind.smallest);
            let bound = kind.bound.load(Ordering::Relaxed);
            let at_bound = match smallest.len() < self.limit {
                true => usize::MAX,
                false => smallest.iter().filter(|p| **p == bound).count(),
            };
            (bound, at_bound)
        };
        Draw(self.kinds.iter().map(of_kind).collect())
    }
}

/// A sample that is asked once for each item. A record of an archive that was given several times has one priority:
/// where that is the bound, the items asked for first are in.
pub(crate) struct Draw(Vec<(u64, usize)>);

impl Draw {
    pub(crate) fn takes(&mut self, kind: usize, priority: u64) -> bool {
        let (bound, at_bound) = &mut self.0[kind];
        if priority == *bound && *at_bound > 0 {
            *at_bound -= 1;
            return true;
        }
        priority < *bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_does_not_depend_on_the_order() {
        let draw = |things: &[u64]| {
            let sampler = Sampler::new(1, 10);
            let mut taken: Vec<u64> = things.iter().copied().filter(|p| sampler.offer(0, *p)).collect();
            taken.retain(|p| sampler.holds(0, *p));
            taken.sort_unstable();
            taken
        };
        let mut things: Vec<u64> = (0..1000).map(|i| line_priority(7, i)).collect();
        let one = draw(&things);
        things.reverse();
        assert_eq!(draw(&things), one);
        things.sort_unstable();
        assert_eq!(one, things[..10]);
        assert_eq!(draw(&things[..5]), things[..5]);
        assert!(!Sampler::new(1, 0).offer(0, 0));
    }

    #[test]
    fn a_sample_has_its_number_where_things_have_the_same_hash() {
        for (limit, things, drawn) in [
            (4, &[1, 2, 3, 3, 3, 9][..], 4),
            (4, &[7, 7, 7, 7, 7, 7], 4),
            (9, &[7, 7, 8], 3),
            (0, &[0, 0], 0),
        ] {
            let sampler = Sampler::new(1, limit);
            for thing in things {
                sampler.offer(0, *thing);
            }
            let mut draw = sampler.draw();
            let taken = things.iter().filter(|thing| draw.takes(0, **thing));
            assert_eq!(taken.count(), drawn, "{limit} of {things:?}");
        }
    }
}
