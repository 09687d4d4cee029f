//! Noise masks: which tokens of a segment are noise (true). Each is a function of T5's
//! `t5/data/preprocessors.py`, whose name it has; only the source of randomness differs.

use super::random::Random;

/// Number of noise tokens and of noise spans that [`random_spans_noise_mask`] puts into `length` tokens.
///
/// The same arithmetic as the reference: f32, halves to even. Where it asks for more spans than there
/// are tokens to separate them, which the reference does not guard against, the spans are as many as these.
pub fn random_spans_counts(length: usize, density: f64, mean_span_length: f64) -> (usize, usize) {
    let length = length.max(2);
    let noise = (length as f32 * density as f32).round_ties_even() as usize;
    let noise = noise.clamp(1, length - 1);
    let spans = (noise as f32 / mean_span_length as f32).round_ties_even() as usize;
    (noise, spans.clamp(1, noise.min(length - noise)))
}

/// Spans of noise with a fixed number of tokens and spans ([`random_spans_counts`]), all such masks equally
/// likely. From two tokens on it starts clean and ends with noise.
pub fn random_spans_noise_mask(length: usize, density: f64, mean_span_length: f64, rng: &mut Random) -> Vec<bool> {
    let (noise, spans) = random_spans_counts(length, density, mean_span_length);
    let noise_lengths = composition(noise, spans, rng);
    let clean_lengths = composition(length.max(2) - noise, spans, rng);
    let mut mask = Vec::with_capacity(length.max(2));
    for (clean, noise) in clean_lengths.into_iter().zip(noise_lengths) {
        mask.resize(mask.len() + clean, false);
        mask.resize(mask.len() + noise, true);
    }
    mask.truncate(length);
    mask
}

/// `items` as a sum of `parts` positive numbers, all such sums equally likely. `1 <= parts <= items`.
fn composition(items: usize, parts: usize, rng: &mut Random) -> Vec<usize> {
    // Which of the items - 1 gaps are cut: selection sampling (Knuth, TAOCP 2, 3.4.2, algorithm S).
    let mut lengths = Vec::with_capacity(parts);
    let (mut cuts, mut start) = (parts - 1, 0);
    for gap in 1..items {
        if rng.index(items - gap) < cuts {
            lengths.push(gap - start);
            (start, cuts) = (gap, cuts - 1);
        }
    }
    lengths.push(items - start);
    lengths
}

/// Each token is noise with probability `density`.
pub fn iid_noise_mask(length: usize, density: f64, rng: &mut Random) -> Vec<bool> {
    (0..length).map(|_| rng.chance(density as f32)).collect()
}

/// The first k tokens, k uniform in `1..length`; of one token none.
pub fn random_prefix_noise_mask(length: usize, rng: &mut Random) -> Vec<bool> {
    let prefix = match length {
        0 | 1 => 0,
        _ => 1 + rng.index(length - 1),
    };
    (0..length).map(|i| i < prefix).collect()
}

/// Spans of equal length at equal distances: the length uniform in 1 to 5, the distance `round(length / density)`,
/// a random offset.
pub fn regular_noise_mask(length: usize, density: f64, rng: &mut Random) -> Vec<bool> {
    let span = 1 + rng.index(5);
    let period = (span as f32 / density as f32).round_ties_even() as usize;
    // At least 1 since density is below 1.
    let offset = rng.index(period);
    (0..length).map(|i| (i + offset) % period < span).collect()
}

/// The mask turned by a random number of places (`random_roll` of the reference): noise may then be at
/// both ends, which makes one run more.
pub fn roll(mut mask: Vec<bool>, rng: &mut Random) -> Vec<bool> {
    let by = rng.index(mask.len());
    mask.rotate_right(by);
    mask
}
