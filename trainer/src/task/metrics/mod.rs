//! Metrics, a family a file. Each makes a [`Statistic`] of rows; the score is its value over all of them.

pub(super) mod answers;
pub(super) mod bleu;
pub(super) mod bleu_tokens;
pub(super) mod classes;
pub(super) mod numbers;
pub(super) mod porter;
pub(super) mod rouge;

/// What a metric knows of every unit (a row, or a group of rows that are scored together), enough to give the score of
/// any sample of them.
pub(super) trait Statistic: Sync {
    /// Number of units.
    fn units(&self) -> usize;

    /// The score where unit `i` occurs `weights[i]` times. NaN where the metric has no value.
    fn value(&self, weights: &[u32]) -> f64;
}

/// A statistic of sums: the score is a function of the units' numbers, each added up.
pub(super) struct Sums {
    /// Numbers a unit.
    width: usize,
    /// The numbers: `[units, width]`.
    numbers: Vec<f64>,
    /// The score from the sums and the number of units, repeated ones counted as often as they occur.
    score: fn(&[f64], f64) -> f64,
}

impl Sums {
    /// `numbers`: `[units, width]`; `score`: of `width` sums and the number of units.
    pub(super) fn new(width: usize, numbers: Vec<f64>, score: fn(&[f64], f64) -> f64) -> Sums {
        Sums { width, numbers, score }
    }

    /// A hundred times the mean of a number a unit.
    pub(super) fn mean(numbers: Vec<f64>) -> Sums {
        Sums::new(1, numbers, |sums, units| 100.0 * sums[0] / units)
    }
}

impl Statistic for Sums {
    fn units(&self) -> usize {
        self.numbers.len() / self.width
    }

    fn value(&self, weights: &[u32]) -> f64 {
        let mut sums = vec![0.0; self.width];
        let mut units = 0.0;
        for (numbers, &weight) in self.numbers.chunks_exact(self.width).zip(weights) {
            let weight = f64::from(weight);
            units += weight;
            for (sum, number) in sums.iter_mut().zip(numbers) {
                *sum += weight * number;
            }
        }
        (self.score)(&sums, units)
    }
}
