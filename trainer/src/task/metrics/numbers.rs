//! Correlations of numbers, as SciPy defines them.

use super::Statistic;

/// Pearson's correlation times 100. NaN where a number is not finite, or all truths or all answers are equal.
pub(in crate::task) struct Pearson {
    truths: Vec<f64>,
    answers: Vec<f64>,
}

impl Pearson {
    pub(in crate::task) fn new(truths: Vec<f64>, answers: Vec<f64>) -> Pearson {
        Pearson { truths, answers }
    }
}

impl Statistic for Pearson {
    fn units(&self) -> usize {
        self.truths.len()
    }

    fn value(&self, weights: &[u32]) -> f64 {
        100.0 * correlation(&self.truths, &self.answers, weights)
    }
}

/// Spearman's correlation times 100: Pearson's of the ranks, equal numbers sharing the mean of their ranks. NaN where a
/// number is NaN, or all truths or all answers are equal.
pub(in crate::task) struct Spearman {
    truths: Levels,
    answers: Levels,
}

/// The places of numbers among the different ones, in order.
struct Levels {
    /// The level of each number, from 0; none if one of them is NaN.
    of: Option<Vec<usize>>,
    /// How many levels there are.
    count: usize,
}

impl Levels {
    fn new(numbers: &[f64]) -> Levels {
        if numbers.iter().any(|number| number.is_nan()) {
            return Levels { of: None, count: 0 };
        }
        // -0 and 0 are equal.
        let key = |number: f64| number + 0.0;
        let mut sorted: Vec<f64> = numbers.iter().copied().map(key).collect();
        sorted.sort_by(f64::total_cmp);
        sorted.dedup();
        let level = |&number: &f64| sorted.partition_point(|&other| other < key(number));
        Levels {
            of: Some(numbers.iter().map(level).collect()),
            count: sorted.len(),
        }
    }

    /// The ranks of the numbers where number `i` occurs `weights[i]` times.
    fn ranks(&self, weights: &[u32]) -> Option<Vec<f64>> {
        let of = self.of.as_ref()?;
        let mut counts = vec![0.0; self.count];
        for (&level, &weight) in of.iter().zip(weights) {
            counts[level] += f64::from(weight);
        }
        let mut below = 0.0;
        for count in &mut counts {
            let here = *count;
            *count = below + (here + 1.0) / 2.0;
            below += here;
        }
        Some(of.iter().map(|&level| counts[level]).collect())
    }
}

impl Spearman {
    pub(in crate::task) fn new(truths: &[f64], answers: &[f64]) -> Spearman {
        Spearman {
            truths: Levels::new(truths),
            answers: Levels::new(answers),
        }
    }
}

impl Statistic for Spearman {
    fn units(&self) -> usize {
        self.truths.of.as_ref().map_or(0, Vec::len)
    }

    fn value(&self, weights: &[u32]) -> f64 {
        match (self.truths.ranks(weights), self.answers.ranks(weights)) {
            (Some(truths), Some(answers)) => 100.0 * correlation(&truths, &answers, weights),
            _ => f64::NAN,
        }
    }
}

/// The correlation of two lists where place `i` occurs `weights[i]` times.
fn correlation(x: &[f64], y: &[f64], weights: &[u32]) -> f64 {
    match (deviations(x, weights), deviations(y, weights)) {
        (Some(x), Some(y)) => {
            let products = x.iter().zip(&y).zip(weights).map(|((x, y), &w)| f64::from(w) * x * y);
            // Rounding may leave it just outside.
            products.sum::<f64>().clamp(-1.0, 1.0)
        }
        _ => f64::NAN,
    }
}

/// Deviations from the mean, over the root of the sum of their squares; none where all numbers are equal or one is not
/// finite.
fn deviations(numbers: &[f64], weights: &[u32]) -> Option<Vec<f64>> {
    let used = || numbers.iter().zip(weights).filter(|(_, w)| **w > 0);
    let (first, _) = used().next()?;
    if used().all(|(number, _)| number == first) || used().any(|(number, _)| !number.is_finite()) {
        return None;
    }
    let units: f64 = used().map(|(_, &w)| f64::from(w)).sum();
    let mean = used().map(|(number, &w)| number * (f64::from(w) / units)).sum::<f64>();
    // By the largest first, so that no square overflows.
    let largest = used().map(|(number, _)| (number - mean).abs()).fold(0.0, f64::max);
    let squares = used().map(|(number, &w)| f64::from(w) * ((number - mean) / largest).powi(2));
    let norm = squares.sum::<f64>().sqrt();
    Some(numbers.iter().map(|number| (number - mean) / largest / norm).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_numbers_share_the_mean_of_their_ranks() {
        let levels = Levels::new(&[2.0, 0.0, 2.0, -0.0, 1.0]);
        assert_eq!(levels.ranks(&[1; 5]).unwrap(), [4.5, 1.5, 4.5, 1.5, 3.0]);
        let repeated = levels.ranks(&[2, 0, 1, 1, 1]).unwrap();
        assert_eq!(repeated, [4.0, 1.0, 4.0, 1.0, 2.0]);
    }

    #[test]
    fn a_weight_is_as_good_as_a_copy() {
        let (x, y) = ([1.0, 2.0, 4.0, 3.0], [2.0, 1.0, 9.0, 3.0]);
        let weighted = correlation(&x, &y, &[1, 3, 0, 2]);
        let copied = correlation(
            &[1.0, 2.0, 2.0, 2.0, 3.0, 3.0],
            &[2.0, 1.0, 1.0, 1.0, 3.0, 3.0],
            &[1; 6],
        );
        assert!((weighted - copied).abs() < 1e-15);
    }

    #[test]
    fn equal_answers_have_no_correlation() {
        let pearson = Pearson::new(vec![1.0, 2.0, 3.0], vec![0.1; 3]);
        assert!(pearson.value(&[1; 3]).is_nan());
        let large = correlation(&[1.0, 1e300], &[2.0, -1e300], &[1; 2]);
        assert!((large + 1.0).abs() < 1e-15, "no square overflows: {large}");
    }
}
