//! Prefix language modelling (paper, section 3.3.1; gin file `prefix_lm`): a document's segment is cut at a
//! random place; the inputs are what is before, the targets what is after.

use super::Example;
use super::mask::random_prefix_noise_mask;
use super::noise::{drop_noise_tokens, drop_nonnoise_tokens};
use super::random::Random;

/// An example of a segment. Of one token the inputs are empty.
pub fn example(tokens: &[u32], rng: &mut Random) -> Example {
    let mask = random_prefix_noise_mask(tokens.len(), rng);
    Example {
        inputs: drop_nonnoise_tokens(tokens, &mask),
        targets: drop_noise_tokens(tokens, &mask),
    }
}
