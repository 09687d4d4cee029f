//! ROUGE (Lin 2004) as Google's rouge-score computes it: F-measures of words, pairs of words, and longest common
//! subsequences of sentences. T5 gives the mean over rows.

use super::super::Truth;
use super::super::score::Stemming;
use super::{Sums, porter};
use ahash::AHashMap;
use rayon::prelude::*;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::task) enum Rouge {
    /// Runs of so many words: ROUGE-1, ROUGE-2.
    Words(usize),
    /// The union of the longest common subsequences of a right answer's sentences with all of the answer's: ROUGE-Lsum.
    Sentences,
}

/// The mean over rows of the F-measure, in percent. A row with several right answers has the best of them.
pub(in crate::task) fn rouge(kind: Rouge, stemming: Stemming, truths: &[&Truth], answers: &[&str]) -> Sums {
    let rows = truths.par_iter().zip(answers);
    let values = rows.map(|(truth, answer)| {
        let mut ids = Ids::new(stemming);
        let answer = ids.sentences(answer);
        let scores = truth.answers.iter().map(|truth| {
            let truth = ids.sentences(truth);
            match kind {
                Rouge::Words(length) => words(&truth.concat(), &answer.concat(), length),
                Rouge::Sentences => sentences(&truth, &answer, ids.known.len()),
            }
        });
        scores.fold(0.0, f64::max)
    });
    Sums::mean(values.collect())
}

/// Numbers for the words of a row's texts.
struct Ids {
    stemming: Stemming,
    known: AHashMap<String, u32>,
}

impl Ids {
    fn new(stemming: Stemming) -> Ids {
        Ids {
            stemming,
            known: AHashMap::new(),
        }
    }

    /// The words of each sentence that is not empty: runs of ASCII letters and digits in lower case, those of more than
    /// three characters stemmed.
    ///
    /// A sentence is a line. T5 also ends one after ` . ` (`t5/evaluation/metrics.py`), which is how the summaries of
    /// CNN/Daily Mail are joined.
    fn sentences(&mut self, text: &str) -> Vec<Vec<u32>> {
        let text = text.replace(" . ", " .\n");
        let lines = text.split('\n').filter(|line| !line.is_empty());
        lines.map(|line| self.words(line)).collect()
    }

    fn words(&mut self, line: &str) -> Vec<u32> {
        let lower = line.to_lowercase();
        let words = lower
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|word| !word.is_empty());
        words.map(|word| self.id(word)).collect()
    }

    fn id(&mut self, word: &str) -> u32 {
        let word = match self.stemming {
            Stemming::Porter if word.len() > 3 => porter::stem(word),
            _ => word.to_owned(),
        };
        let next = self.known.len() as u32;
        *self.known.entry(word).or_insert(next)
    }
}

/// The F-measure of runs of `length` words.
fn words(truth: &[u32], answer: &[u32], length: usize) -> f64 {
    let mut left: AHashMap<&[u32], usize> = AHashMap::new();
    for run in truth.windows(length) {
        *left.entry(run).or_default() += 1;
    }
    let mut same = 0;
    for run in answer.windows(length) {
        if let Some(count) = left.get_mut(run).filter(|count| **count > 0) {
            *count -= 1;
            same += 1;
        }
    }
    let runs = |words: &[u32]| (words.len() + 1).saturating_sub(length);
    f_measure(same, runs(answer), runs(truth))
}

/// The F-measure of the words of each right sentence that belong to its longest common subsequence with some sentence
/// of the answer. A word counts at most as often as the answer has it (`known`: number of different words).
fn sentences(truth: &[Vec<u32>], answer: &[Vec<u32>], known: usize) -> f64 {
    let mut left = vec![0_usize; known];
    for &word in answer.iter().flatten() {
        left[word as usize] += 1;
    }
    let mut same = 0;
    for sentence in truth {
        let mut common = vec![false; sentence.len()];
        for other in answer {
            mark_common(sentence, other, &mut common);
        }
        for (&word, _) in sentence.iter().zip(common).filter(|(_, common)| *common) {
            // Of the truth's own words each is seen once, so only the answer's can run out.
            if left[word as usize] > 0 {
                left[word as usize] -= 1;
                same += 1;
            }
        }
    }
    let count = |sentences: &[Vec<u32>]| sentences.iter().map(Vec::len).sum();
    f_measure(same, count(answer), count(truth))
}

/// Marks in `common` the words of `truth` that are in its longest common subsequence with `answer`. Of several as long,
/// the one that rouge-score reads out: from the end, a word of both at once, else back in the answer if that loses
/// nothing and going back in the truth would, else back in the truth.
///
/// Time `truth * answer`; memory a bit for each pair.
fn mark_common(truth: &[u32], answer: &[u32], common: &mut [bool]) {
    if truth.is_empty() || answer.is_empty() {
        return;
    }
    let words = answer.len().div_ceil(64);
    // Whether the longest with one word of the answer less is longer than that with one of the truth less.
    let mut back_in_answer = vec![0_u64; truth.len() * words];
    let mut above = vec![0_u32; answer.len() + 1];
    let mut row = vec![0_u32; answer.len() + 1];
    for (i, word) in truth.iter().enumerate() {
        for (j, other) in answer.iter().enumerate() {
            row[j + 1] = if word == other {
                above[j] + 1
            } else if row[j] > above[j + 1] {
                back_in_answer[i * words + j / 64] |= 1 << (j % 64);
                row[j]
            } else {
                above[j + 1]
            };
        }
        std::mem::swap(&mut above, &mut row);
    }
    let (mut i, mut j) = (truth.len(), answer.len());
    while i > 0 && j > 0 {
        if truth[i - 1] == answer[j - 1] {
            common[i - 1] = true;
            i -= 1;
            j -= 1;
        } else if back_in_answer[(i - 1) * words + (j - 1) / 64] >> ((j - 1) % 64) & 1 == 1 {
            j -= 1;
        } else {
            i -= 1;
        }
    }
}

/// The harmonic mean of precision and recall, 0 where both are.
fn f_measure(same: usize, of_answer: usize, of_truth: usize) -> f64 {
    if same == 0 {
        return 0.0;
    }
    let precision = same as f64 / of_answer as f64;
    let recall = same as f64 / of_truth as f64;
    2.0 * precision * recall / (precision + recall)
}
