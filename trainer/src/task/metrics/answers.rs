//! Exact match and F1 of texts with several right answers: SQuAD's script (v1.1), and ReCoRD's, which differs in what
//! is counted once.

use super::super::postprocess::{names, normalize};
use super::super::{Truth, pystr};
use super::Sums;
use ahash::AHashMap;
use rayon::prelude::*;

/// The share of answers that are one of the row's right ones, to the byte, in percent.
pub(in crate::task) fn exact_match(truths: &[&Truth], answers: &[&str]) -> Sums {
    best(truths, answers, |truth, answer| f64::from(u8::from(truth == answer)))
}

/// The share of answers whose words are among those of a right one or the other way round, in percent: what makes an
/// answer right in the Winograd schemas.
pub(in crate::task) fn subset_match(truths: &[&Truth], answers: &[&str]) -> Sums {
    best(truths, answers, |truth, answer| {
        f64::from(u8::from(names(answer, truth) == Some(true)))
    })
}

/// SQuAD's exact match in percent: the answer equals a right one when both are normalised.
pub(in crate::task) fn squad_exact_match(truths: &[&Truth], answers: &[&str]) -> Sums {
    best(truths, answers, |truth, answer| {
        f64::from(u8::from(normalize(truth) == normalize(answer)))
    })
}

/// SQuAD's F1 in percent: of the words of the normalised answer and the right one that it shares most with. As in the
/// script, two texts without words share none.
pub(in crate::task) fn squad_f1(truths: &[&Truth], answers: &[&str]) -> Sums {
    best(truths, answers, |truth, answer| {
        let (truth, answer) = (normalize(truth), normalize(answer));
        let mut left: AHashMap<&str, usize> = AHashMap::new();
        let mut of_truth = 0_usize;
        for word in pystr::words(&truth) {
            *left.entry(word).or_default() += 1;
            of_truth += 1;
        }
        let (mut same, mut of_answer) = (0_usize, 0_usize);
        for word in pystr::words(&answer) {
            of_answer += 1;
            if let Some(count) = left.get_mut(word).filter(|count| **count > 0) {
                *count -= 1;
                same += 1;
            }
        }
        if same == 0 {
            return 0.0;
        }
        let precision = same as f64 / of_answer as f64;
        let recall = same as f64 / of_truth as f64;
        2.0 * precision * recall / (precision + recall)
    })
}

/// The mean over rows of the best that an answer gets for one of the right ones.
fn best(truths: &[&Truth], answers: &[&str], score: impl Fn(&str, &str) -> f64 + Sync) -> Sums {
    let rows = truths.par_iter().zip(answers);
    let values = rows.map(|(truth, answer)| {
        let scores = truth.answers.iter().map(|truth| score(truth, answer));
        scores.fold(0.0, f64::max)
    });
    Sums::mean(values.collect())
}
