//! Randomness that is a function of its place: which run, which corpus, which epoch, which example.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What a draw is for. Draws for different purposes are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The order of a corpus's shards in an epoch.
    ShardOrder = 1,
    /// Which part of a long document is used.
    Chunk = 2,
    /// An example's noise.
    Noise = 3,
    /// From which corpus an example is taken.
    Mixture = 4,
    /// The order of the examples of a window of groups.
    Shuffle = 5,
    /// The order of the rows of a task's window in an epoch.
    RowOrder = 6,
}

/// The place of a draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The configuration's seed.
    pub seed: u64,
    /// What is drawn.
    pub purpose: Purpose,
    /// Number of the corpus in the feed.
    pub corpus: u32,
    /// The corpus's epoch, from 0.
    pub epoch: u64,
    /// Number of the group of documents in its epoch.
    pub group: u64,
    /// Number of the example, document or draw in its group.
    pub index: u64,
}

/// A stream of random numbers: ChaCha with 12 rounds, which is specified (RFC 8439 has the block
/// function), so that no version of any crate changes what a seed gives. What is made of its words
/// is written here for the same reason.
#[derive(Debug, Clone)]
pub struct Random(ChaCha12Rng);

impl Random {
    /// The stream of a place. The place itself is ChaCha's key and nonce, little-endian: key = `seed`
    /// (8 bytes), `epoch` (8), `group` (8), `corpus` (4), `purpose` (4); nonce = `index`. ChaCha is the hash
    /// that makes streams of neighbouring places independent, and no two places share one.
    pub fn at(place: Place) -> Random {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&place.seed.to_le_bytes());
        key[8..16].copy_from_slice(&place.epoch.to_le_bytes());
        key[16..24].copy_from_slice(&place.group.to_le_bytes());
        key[24..28].copy_from_slice(&place.corpus.to_le_bytes());
        key[28..].copy_from_slice(&(place.purpose as u32).to_le_bytes());
        let mut rng = ChaCha12Rng::from_seed(key);
        rng.set_stream(place.index);
        Random(rng)
    }

    /// Uniform in `0..n`, without bias (Lemire 2019, arXiv 1805.10941); 0 if `n` is 0 or 1, without a draw.
    pub fn below(&mut self, n: u32) -> u32 {
        if n <= 1 {
            return 0;
        }
        // 2^32 mod n: below it, some results would have one more way to come about than others.
        let biased = n.wrapping_neg() % n;
        loop {
            let wide = u64::from(self.0.next_u32()) * u64::from(n);
            let bytes = wide.to_le_bytes();
            let low = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            if low >= biased {
                return u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
            }
        }
    }

    /// [`below`](Random::below) for a length or an index.
    ///
    /// # Panics
    /// If `n` is 2^32 or more; no sequence is.
    pub fn index(&mut self, n: usize) -> usize {
        let n = u32::try_from(n).expect("a sequence is shorter than 2^32");
        self.below(n) as usize
    }

    /// Uniform in `[0, 1)`, a multiple of 2^-53.
    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * 2f64.powi(-53)
    }

    /// True with probability `p`: compares a uniform multiple of 2^-24 with `p`, in f32 as the reference does.
    pub fn chance(&mut self, p: f32) -> bool {
        ((self.0.next_u32() >> 8) as f32) * 2f32.powi(-24) < p
    }

    /// All orders are equally likely (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.index(last + 1);
            items.swap(last, other);
        }
    }
}
