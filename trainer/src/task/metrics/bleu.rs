//! BLEU (Papineni et al. 2002) of a corpus as sacreBLEU computes it (Post 2018): runs of one to four tokens, the
//! closest right answer's length, precisions of 0 smoothed exponentially.

use super::super::score::BleuTokenizer;
use super::super::{Truth, pystr};
use super::Sums;
use super::bleu_tokens::spaced;
use ahash::AHashMap;
use rayon::prelude::*;

/// The longest run of tokens that is compared.
const ORDER: usize = 4;

/// Numbers a row: tokens of the answer and of the closest right answer, then for each length of runs the right ones,
/// then all of the answer's.
const WIDTH: usize = 2 + 2 * ORDER;

/// The version of sacreBLEU that the scores are compared with (`make metrics`).
const SACREBLEU: &str = "2.6.0";

/// BLEU from 0 to 100.
pub(in crate::task) fn bleu(tokenizer: BleuTokenizer, truths: &[&Truth], answers: &[&str]) -> Sums {
    let rows = truths.par_iter().zip(answers);
    let numbers: Vec<[f64; WIDTH]> = rows.map(|(truth, answer)| numbers(tokenizer, truth, answer)).collect();
    Sums::new(WIDTH, numbers.concat(), |sums, _| score(sums))
}

/// What sacreBLEU prints beside a score so that others can compute the same: `references` right answers a row.
pub(in crate::task) fn signature(tokenizer: BleuTokenizer, truths: &[&Truth]) -> String {
    let counts = || truths.iter().map(|truth| truth.answers.len());
    let references = match (counts().min(), counts().max()) {
        (Some(least), Some(most)) if least == most => least.to_string(),
        _ => "var".to_owned(),
    };
    let tokenizer = match tokenizer {
        BleuTokenizer::V13a => "13a",
        BleuTokenizer::Intl => "intl",
    };
    format!("nrefs:{references}|case:mixed|eff:no|tok:{tokenizer}|smooth:exp|version:{SACREBLEU}")
}

fn numbers(tokenizer: BleuTokenizer, truth: &Truth, answer: &str) -> [f64; WIDTH] {
    let mut known: AHashMap<String, u32> = AHashMap::new();
    let mut ids = |text: &str| -> Vec<u32> {
        let spaced = spaced(text, tokenizer);
        let tokens = pystr::words(&spaced).map(|token| {
            let next = known.len() as u32;
            *known.entry(token.to_owned()).or_insert(next)
        });
        tokens.collect()
    };
    let answer = ids(answer);
    let truths: Vec<Vec<u32>> = truth.answers.iter().map(|truth| ids(truth)).collect();
    // The shorter of two that are as close.
    let closest = truths
        .iter()
        .map(Vec::len)
        .min_by_key(|&length| (length.abs_diff(answer.len()), length));
    let mut numbers = [0.0; WIDTH];
    numbers[0] = answer.len() as f64;
    numbers[1] = closest.unwrap_or(0) as f64;
    for length in 1..=ORDER {
        let answered = runs(&answer, length);
        // How often a right answer has the run: the one that has it most.
        let mut most: AHashMap<&[u32], usize> = AHashMap::new();
        for truth in &truths {
            for (run, count) in runs(truth, length) {
                let best = most.entry(run).or_default();
                *best = count.max(*best);
            }
        }
        let right = answered
            .iter()
            .map(|(run, count)| most.get(run).map_or(0, |most| *most.min(count)));
        numbers[1 + length] = right.sum::<usize>() as f64;
        numbers[1 + ORDER + length] = answered.values().sum::<usize>() as f64;
    }
    numbers
}

fn runs(tokens: &[u32], length: usize) -> AHashMap<&[u32], usize> {
    let mut counts = AHashMap::new();
    for run in tokens.windows(length) {
        *counts.entry(run).or_default() += 1;
    }
    counts
}

/// BLEU of summed numbers.
fn score(sums: &[f64]) -> f64 {
    let (answered, expected) = (sums[0], sums[1]);
    let (right, all) = sums[2..].split_at(ORDER);
    // Without a right token, or with no answer of four tokens.
    if right.iter().all(|&right| right == 0.0) || all.contains(&0.0) {
        return 0.0;
    }
    let brevity = if answered < expected {
        1.0 - expected / answered
    } else {
        0.0
    };
    let mut smooth = 1.0;
    let logarithms = right.iter().zip(all).map(|(&right, &all)| {
        if right == 0.0 {
            smooth *= 2.0;
            (100.0 / (smooth * all)).ln()
        } else {
            (100.0 * right / all).ln()
        }
    });
    (brevity + logarithms.sum::<f64>() / ORDER as f64).exp()
}
