//! The random walk over a text's n-grams.

use super::grams::{Grams, STAGES};
use super::profiles::{Gram, LANGUAGES, Profiles, Row, Shares, WIDTH};
use super::random::{Draws, Stream};

/// `Detector.n_trial`.
const TRIALS: usize = 7;
/// `Detector.ALPHA_DEFAULT`, `ALPHA_WIDTH`, `BASE_FREQ`.
const ALPHA: f64 = 0.5;
const ALPHA_WIDTH: f64 = 0.05;
const BASE: f64 = 10_000.0;
/// `Detector.ITERATION_LIMIT`, `CONV_THRESHOLD`.
const LIMIT: usize = 1000;
const CONVERGED: f64 = 0.99999;
/// Steps from one normalisation to the next.
const STRIDE: usize = 5;

/// `Detector._detect_block`: the probabilities of all languages.
#[inline(always)]
pub(super) fn probabilities(profiles: &Profiles, stream: &Stream, grams: &Grams) -> [f64; LANGUAGES] {
    let mut random = stream.random();
    let mut mean = [0.0; LANGUAGES];
    for _ in 0..TRIALS {
        let weight = (ALPHA + random.gauss() * ALPHA_WIDTH) / BASE;
        let draws = Draws::new(&mut random, grams.len());
        let walked = walk(profiles, grams, draws, weight);
        for (mean, probability) in mean.iter_mut().zip(walked) {
            *mean += probability / TRIALS as f64;
        }
    }
    mean
}

/// Runs one trial. Its first step is normalised alone, then every fifth.
#[inline(always)]
fn walk(profiles: &Profiles, grams: &Grams, mut draws: Draws, weight: f64) -> Row {
    let shares = &profiles.shares;
    // The padding is 0 from start to end.
    let mut row = [0.0; WIDTH];
    row[..LANGUAGES].fill(1.0 / LANGUAGES as f64);

    let [number] = draws.peek();
    draws.use_up(1);
    let step = grams.find(profiles, [number], |_| ());
    let mut first = [[0.0; WIDTH]];
    let [a] = rows(shares, step, &mut first);
    for (probability, a) in row.iter_mut().zip(a) {
        *probability *= weight + a;
    }
    let mut spare = [[0.0; WIDTH]; STRIDE];
    let mut steps = 0;
    loop {
        // The next n-grams are looked up before it is known if they are needed: meanwhile, the long chain of additions
        // runs.
        let numbers: [u32; STRIDE] = draws.peek();
        let mut sum = 0.0;
        let (parts, _) = row.as_chunks::<{ LANGUAGES / STAGES }>();
        let grams = grams.find(profiles, numbers, |stage| {
            for probability in &parts[stage] {
                sum += probability;
            }
        });
        if normalize(&mut row, sum) > CONVERGED || steps >= LIMIT {
            return row;
        }
        draws.use_up(STRIDE);
        let [a, b, c, d, e] = rows(shares, grams, &mut spare);
        for i in 0..WIDTH {
            row[i] = row[i] * (weight + a[i]) * (weight + b[i]) * (weight + c[i]) * (weight + d[i]) * (weight + e[i]);
        }
        steps += STRIDE;
    }
}

/// The shares of n-grams in all languages.
#[inline(always)]
fn rows<'a, const COUNT: usize>(
    shares: &'a Shares,
    grams: [Gram; COUNT],
    spare: &'a mut [Row; COUNT],
) -> [&'a Row; COUNT] {
    for (gram, row) in grams.iter().zip(&mut *spare) {
        if let Gram::Few { at, count } = *gram {
            row.fill(0.0);
            for (language, share) in shares.few(at, count) {
                row[usize::from(language)] = share;
            }
        }
    }
    std::array::from_fn(|i| match grams[i] {
        Gram::Row(row) => &shares.rows[row as usize],
        Gram::Few { .. } => &spare[i],
    })
}

/// `Detector._normalize_prob`, the sum given. Returns the largest.
#[inline(always)]
fn normalize(row: &mut Row, sum: f64) -> f64 {
    let mut largest = [0.0f64; 4];
    for four in row.as_chunks_mut::<4>().0 {
        for (probability, largest) in four.iter_mut().zip(&mut largest) {
            *probability /= sum;
            *largest = if *probability > *largest {
                *probability
            } else {
                *largest
            };
        }
    }
    largest.into_iter().fold(0.0, f64::max)
}
