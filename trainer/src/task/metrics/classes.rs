//! Metrics of classes: scikit-learn's definitions, as T5 calls them (`t5/evaluation/metrics.py`).
//!
//! A truth is the index of a label; an answer too, or none where its text is no label, which is wrong.

use super::Sums;

/// The share of right answers, in percent.
pub(in crate::task) fn accuracy(truths: &[usize], answers: &[Option<usize>]) -> Sums {
    let right = truths
        .iter()
        .zip(answers)
        .map(|(truth, answer)| *answer == Some(*truth));
    Sums::mean(right.map(one).collect())
}

/// F1 of the second of two labels, in percent. An answer that is no label counts as the label that is wrong
/// (`f1_score_with_invalid`).
///
/// `groups` are of rows that make one unit of the bootstrap: one a row, or MultiRC's questions, whose F1a this is.
pub(in crate::task) fn f1(truths: &[usize], answers: &[Option<usize>], groups: &[usize]) -> Sums {
    let units = groups.iter().max().map_or(0, |last| last + 1);
    let mut counts = vec![0.0; units * 3];
    for ((&truth, answer), &group) in truths.iter().zip(answers).zip(groups) {
        let answer = answer.unwrap_or(1 - truth);
        let numbers = [one(truth == 1 && answer == 1), one(answer == 1), one(truth == 1)];
        for (sum, number) in counts[3 * group..].iter_mut().zip(numbers) {
            *sum += number;
        }
    }
    Sums::new(3, counts, |sums, _| 100.0 * f1_of_counts(sums))
}

/// The mean of the F1 of each of `classes` labels, in percent (`mean_multiclass_f1`).
pub(in crate::task) fn macro_f1(truths: &[usize], answers: &[Option<usize>], classes: usize) -> Sums {
    Sums::new(3 * classes, counts(truths, answers, classes), |sums, _| {
        let classes = sums.chunks_exact(3);
        let number = classes.len() as f64;
        100.0 * classes.map(f1_of_counts).sum::<f64>() / number
    })
}

/// Matthews' correlation times 100. Answers that are no label are one more class, as for scikit-learn the number -1 is:
/// this is the correlation of several classes (Gorodkin 2004). 0 where truths or answers are all of one class.
pub(in crate::task) fn matthews(truths: &[usize], answers: &[Option<usize>], classes: usize) -> Sums {
    let answers: Vec<Option<usize>> = answers.iter().map(|answer| answer.or(Some(classes))).collect();
    let counts = counts(truths, &answers, classes + 1);
    Sums::new(3 * (classes + 1), counts, |sums, units| {
        let (mut right, mut both, mut answered, mut true_ones) = (0.0, 0.0, 0.0, 0.0);
        for class in sums.chunks_exact(3) {
            right += class[0];
            both += class[1] * class[2];
            answered += class[1] * class[1];
            true_ones += class[2] * class[2];
        }
        let spread = (units * units - answered) * (units * units - true_ones);
        let together = right * units - both;
        if spread == 0.0 {
            0.0
        } else {
            100.0 * together / spread.sqrt()
        }
    })
}

/// The share of MultiRC's questions of which every answer is judged right, in percent.
pub(in crate::task) fn all_of_group(truths: &[usize], answers: &[Option<usize>], groups: &[usize]) -> Sums {
    let mut right = vec![1.0; groups.iter().max().map_or(0, |last| last + 1)];
    for ((truth, answer), &group) in truths.iter().zip(answers).zip(groups) {
        if *answer != Some(*truth) {
            right[group] = 0.0;
        }
    }
    Sums::mean(right)
}

/// For every row and class: right answers, answers, truths. `[rows, classes, 3]`
fn counts(truths: &[usize], answers: &[Option<usize>], classes: usize) -> Vec<f64> {
    let mut counts = vec![0.0; truths.len() * classes * 3];
    for ((row, &truth), &answer) in counts.chunks_exact_mut(classes * 3).zip(truths).zip(answers) {
        row[3 * truth + 2] = 1.0;
        if let Some(answer) = answer {
            row[3 * answer + 1] = 1.0;
            row[3 * answer] = one(answer == truth);
        }
    }
    counts
}

/// F1 from right answers, answers and truths; 0 where there is neither an answer nor a truth.
fn f1_of_counts(counts: &[f64]) -> f64 {
    let all = counts[1] + counts[2];
    if all == 0.0 { 0.0 } else { 2.0 * counts[0] / all }
}

fn one(is: bool) -> f64 {
    f64::from(u8::from(is))
}
