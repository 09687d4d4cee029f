//! Span corruption, the objective of T5 (Raffel et al. 2020, section 3.3.4): spans of tokens are replaced
//! by one sentinel each, and the targets say what they were.

use super::mask::{random_spans_noise_mask, regular_noise_mask, roll};
use super::noise::{noise_span_to_unique_sentinel, nonnoise_span_to_unique_sentinel};
use super::random::Random;
use super::{Example, Ids, Lengths};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the spans are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Spans {
    /// Anywhere, with a fixed number of tokens and spans; the segment ends with noise. What T5 does.
    #[default]
    Random,
    /// As `random`, then turned, so that noise may be at any place (`random_roll` of the reference).
    Rolled,
    /// At equal distances, 1 to 5 tokens each (`regular_noise_mask` of the reference); takes no mean length.
    Regular,
}

/// The mask of a segment of `length` tokens.
pub fn mask(length: usize, density: f64, mean_span_length: f64, spans: Spans, rng: &mut Random) -> Vec<bool> {
    match spans {
        Spans::Random => random_spans_noise_mask(length, density, mean_span_length, rng),
        Spans::Rolled => roll(random_spans_noise_mask(length, density, mean_span_length, rng), rng),
        Spans::Regular => regular_noise_mask(length, density, rng),
    }
}

/// Inputs: the tokens with a sentinel for each run of noise. Targets: the same with noise and the rest
/// exchanged. So the targets end with a sentinel exactly if the mask ends clean.
pub fn corrupt(tokens: &[u32], mask: &[bool], ids: Ids) -> Example {
    Example {
        inputs: noise_span_to_unique_sentinel(tokens, mask, ids),
        targets: nonnoise_span_to_unique_sentinel(tokens, mask, ids),
    }
}

/// Longest segment that is looked for; a density so near to 1 that more would fit is refused.
const MOST_TOKENS: usize = 1 << 20;

/// The longest segment whose inputs, EOS included, fit into `inputs_length`, and the length of its
/// targets: `random_spans_helper` of the reference, in f64 with halves to even, and with its rule that
/// at a density of exactly 0.5 targets are not longer than inputs. 512 at 0.15 and 3 give 568 and 114.
/// `None` if it would be longer than 2^20 tokens. Costs a step for each token above `inputs_length`.
pub fn random_spans_helper(inputs_length: usize, density: f64, mean_span_length: f64) -> Option<Lengths> {
    let lengths = |tokens: usize| {
        let noise = (tokens as f64 * density).round_ties_even() as usize;
        let spans = (noise as f64 / mean_span_length).round_ties_even() as usize;
        (tokens - noise + spans + 1, noise + spans + 1)
    };
    let mut tokens = inputs_length - 1;
    while lengths(tokens + 1).0 <= inputs_length {
        tokens += 1;
        if tokens > MOST_TOKENS {
            return None;
        }
    }
    let mut targets = lengths(tokens).1;
    if density == 0.5 && targets > inputs_length {
        tokens -= 1;
        targets -= 1;
    }
    Some(Lengths {
        segment: tokens,
        inputs: inputs_length,
        targets,
    })
}
