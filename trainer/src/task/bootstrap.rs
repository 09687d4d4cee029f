//! How sure a score is: intervals by the bootstrap (Efron 1979), over rows drawn with replacement.

use super::metrics::Statistic;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How often rows are drawn anew for a score's interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bootstrap {
    /// Number of samples, each of as many rows as there are.
    pub resamples: u32,
    /// The seed of the draws: the same seed, the same interval.
    pub seed: u64,
}

impl Default for Bootstrap {
    /// A thousand samples with seed 0, as many as rouge-score and sacreBLEU take.
    fn default() -> Self {
        Bootstrap {
            resamples: 1000,
            seed: 0,
        }
    }
}

/// The interval that 95 % of the samples' values fall in (percentiles 2.5 and 97.5, between two values linearly).
///
/// Each sample has a stream of random numbers of its own, so the interval is the same for any number of threads.
/// Samples without a value (a correlation, where all rows drawn are equal) are left out; none if that leaves no value.
pub(super) fn interval(statistic: &dyn Statistic, bootstrap: Bootstrap) -> Option<(f64, f64)> {
    let units = statistic.units();
    let bound = u32::try_from(units).ok()?;
    let sample = |weights: &mut Vec<u32>, index: u32| {
        let mut rng = ChaCha8Rng::seed_from_u64(bootstrap.seed);
        rng.set_stream(u64::from(index));
        weights.fill(0);
        for _ in 0..units {
            // The high half of a product with 32 random bits: uneven by less than one part in 2^32 / units.
            let unit = (u64::from(rng.next_u32()) * u64::from(bound)) >> 32;
            weights[unit as usize] += 1;
        }
        statistic.value(weights)
    };
    let indices = (0..bootstrap.resamples).into_par_iter();
    let values = indices.map_init(|| vec![0; units], sample);
    let mut values: Vec<f64> = values.filter(|value| !value.is_nan()).collect();
    values.sort_by(f64::total_cmp);
    Some((quantile(&values, 0.025)?, quantile(&values, 0.975)?))
}

/// The quantile of sorted values, linear between two of them (NumPy's default).
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = share * last as f64;
    let (low, part) = (place.floor(), place.fract());
    let below = sorted[low as usize];
    let above = sorted[(low as usize + 1).min(last)];
    Some(below + (above - below) * part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::metrics::Sums;

    #[test]
    fn quantiles_are_linear_between_values() {
        let values = [1.0, 2.0, 4.0, 8.0];
        assert_eq!(quantile(&values, 0.5), Some(3.0));
        assert_eq!(quantile(&values, 1.0), Some(8.0));
        assert_eq!(quantile(&[5.0], 0.025), Some(5.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    /// The mean of n zeros and ones with share p has a standard deviation of sqrt(p (1 - p) / n).
    #[test]
    fn the_interval_of_a_mean_is_that_of_the_normal_distribution() {
        let ones = Sums::mean((0..2000).map(|i| f64::from(u8::from(i % 4 == 0))).collect());
        let (low, high) = interval(
            &ones,
            Bootstrap {
                resamples: 4000,
                seed: 3,
            },
        )
        .unwrap();
        let half = 100.0 * 1.96 * (0.25_f64 * 0.75 / 2000.0).sqrt();
        assert!((low - (25.0 - half)).abs() < 0.12 * half, "{low}");
        assert!((high - (25.0 + half)).abs() < 0.12 * half, "{high}");
    }

    #[test]
    fn any_number_of_threads_gives_the_same_interval() {
        let values = Sums::mean((0..500).map(|i| f64::from(i) / 7.0).collect());
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| interval(&values, Bootstrap::default()))
        };
        assert_eq!(with(1), with(3));
        assert_ne!(
            with(1),
            interval(
                &values,
                Bootstrap {
                    resamples: 1000,
                    seed: 1
                }
            )
        );
    }
}
