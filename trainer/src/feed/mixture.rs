//! From which corpus the next example is taken.

use crate::objective::{Place, Purpose, Random};

/// A choice among corpora by their shares, made anew for each example, as seqio's mixtures do.
#[derive(Debug, Clone)]
pub(super) struct Mixture {
    seed: u64,
    /// Sums of the shares up to each corpus.
    bounds: Vec<f64>,
}

impl Mixture {
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

    /// The corpus of example `number` of the feed: the first whose bound is above a uniform number, which
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

#[cfg(test)]
mod tests {
    use super::super::Mixing;
    use super::*;

    /// Of a million draws, each source has its share within three standard deviations, by whatever scheme.
    #[test]
    fn shares_are_drawn_as_they_are_said() {
        const DRAWS: u32 = 1_000_000;
        // CB, CoLA, MNLI and a web corpus.
        let examples = [250, 8551, 392_702, 364_868_892];
        for (seed, mixing) in [
            Mixing::Given,
            Mixing::Equal,
            Mixing::Proportional { limit: 1 << 19 },
            Mixing::Temperature {
                temperature: 2.0,
                limit: 1 << 21,
            },
            Mixing::Temperature {
                temperature: 8.0,
                limit: 1 << 21,
            },
        ]
        .into_iter()
        .enumerate()
        {
            let rates = examples.map(|examples| mixing.rate(examples));
            let sum: f64 = rates.iter().sum();
            let shares = rates.map(|rate| rate / sum);
            let mixture = Mixture::new(seed as u64, shares.into_iter());
            let mut drawn = [0_u32; 4];
            (0..u64::from(DRAWS)).for_each(|number| drawn[mixture.corpus(number)] += 1);
            for (share, drawn) in shares.into_iter().zip(drawn) {
                let sigma = (share * (1.0 - share) / f64::from(DRAWS)).sqrt();
                let is = f64::from(drawn) / f64::from(DRAWS);
                assert!((is - share).abs() <= 3.0 * sigma, "{mixing:?}: {is} for {share}");
            }
        }
    }
}
