//! What becomes of tokens under a noise mask. Each is a function of T5's `t5/data/preprocessors.py`,
//! whose name it has. `tokens` and `mask` have one length. None of them appends EOS.

use super::Ids;
use super::random::Random;

/// Each run of noise becomes one sentinel: the first run [`Ids::sentinel`]`(0)`, the next `(1)`.
pub fn noise_span_to_unique_sentinel(tokens: &[u32], mask: &[bool], ids: Ids) -> Vec<u32> {
    runs_to_sentinels(tokens, mask, true, ids)
}

/// Each run without noise becomes one sentinel.
pub fn nonnoise_span_to_unique_sentinel(tokens: &[u32], mask: &[bool], ids: Ids) -> Vec<u32> {
    runs_to_sentinels(tokens, mask, false, ids)
}

fn runs_to_sentinels(tokens: &[u32], mask: &[bool], replaced: bool, ids: Ids) -> Vec<u32> {
    let mut out = Vec::with_capacity(tokens.len());
    let (mut runs, mut inside) = (0, false);
    for (&token, &noise) in tokens.iter().zip(mask) {
        if noise != replaced {
            out.push(token);
        } else if !inside {
            out.push(ids.sentinel(runs));
            runs += 1;
        }
        inside = noise == replaced;
    }
    out
}

/// Each noise token becomes sentinel 0.
pub fn noise_token_to_sentinel(tokens: &[u32], mask: &[bool], ids: Ids) -> Vec<u32> {
    let pairs = tokens.iter().zip(mask);
    pairs
        .map(|(&token, &noise)| if noise { ids.sentinel(0) } else { token })
        .collect()
}

/// Each noise token becomes, with probability 0.1, any id but pad, EOS and unknown, and sentinel 0 otherwise.
/// The reference draws among all ids from 3 on, its sentinels included.
pub fn noise_token_to_random_token_or_sentinel(tokens: &[u32], mask: &[bool], ids: Ids, rng: &mut Random) -> Vec<u32> {
    /// `random_prob` of the reference; the paper's section 3.3.1 says 10 % too.
    const RANDOM: f32 = 0.1;
    let first = ids.first_ordinary();
    let mut out = tokens.to_vec();
    for (token, _) in out.iter_mut().zip(mask).filter(|(_, noise)| **noise) {
        *token = if rng.chance(RANDOM) {
            first + rng.below(ids.vocab_size - first)
        } else {
            ids.sentinel(0)
        };
    }
    out
}

/// The tokens that are not noise.
pub fn drop_noise_tokens(tokens: &[u32], mask: &[bool]) -> Vec<u32> {
    let pairs = tokens.iter().zip(mask);
    pairs.filter(|(_, noise)| !**noise).map(|(t, _)| *t).collect()
}

/// The tokens that are noise.
pub fn drop_nonnoise_tokens(tokens: &[u32], mask: &[bool]) -> Vec<u32> {
    let pairs = tokens.iter().zip(mask);
    pairs.filter(|(_, noise)| **noise).map(|(t, _)| *t).collect()
}

/// Noise tokens in any order among their places, all orders equally likely.
pub fn permute_noise_tokens(tokens: &[u32], mask: &[bool], rng: &mut Random) -> Vec<u32> {
    let mut noise = drop_nonnoise_tokens(tokens, mask);
    rng.shuffle(&mut noise);
    let mut noise = noise.into_iter();
    let pairs = tokens.iter().zip(mask);
    pairs
        .map(|(&token, &is_noise)| match is_noise {
            true => noise.next().unwrap_or(token),
            false => token,
        })
        .collect()
}
