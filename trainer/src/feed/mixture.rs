//! From which corpus or task the next example is taken.

use crate::objective::{Place, Purpose, Random};

/// A choice among corpora and tasks by their shares, made anew for each example, as seqio's mixtures do.
#[derive(Debug, Clone)]
pub struct Mixture {
    seed: u64,
    /// Sums of the shares up to each of them.
    bounds: Vec<f64>,
}

impl Mixture {
    /// A choice by shares that add up to 1.
    pub fn new(seed: u64, shares: impl Iterator<Item = f64>) -> Mixture {
        let mut sum = 0.0;
        let bounds = shares.map(|share| {
            sum += share;
            sum
        });
        Mixture {
            seed,
            bounds: bounds.collect(),
        }
    }

    /// The number of the source of example `number` of the feed: the first whose bound is above a uniform number, which
    /// depends on the seed and `number` alone.
    pub fn corpus(&self, number: u64) -> usize {
        if self.bounds.len() == 1 {
            return 0;
        }
        let place = Place {
            seed: self.seed,
            purpose: Purpose::Mixture,
            corpus: 0,
            epoch: 0,
            group: 0,
            index: number,
        };
        let drawn = Random::at(place).unit();
        let found = self.bounds.iter().position(|bound| drawn < *bound);
        // Shares may sum up to a little less than 1.
        found.unwrap_or(self.bounds.len() - 1)
    }
}
