//! BERT-style (paper, section 3.3.1; gin file `iid_15_r10s90_f`): of the noise tokens 90 % become one mask
//! token and 10 % any token; the targets are the whole segment.

use super::mask::iid_noise_mask;
use super::noise::noise_token_to_random_token_or_sentinel;
use super::random::Random;
use super::{Example, Ids};

/// An example of a segment.
pub fn example(tokens: &[u32], density: f64, ids: Ids, rng: &mut Random) -> Example {
    let mask = iid_noise_mask(tokens.len(), density, rng);
    Example {
        inputs: noise_token_to_random_token_or_sentinel(tokens, &mask, ids, rng),
        targets: tokens.to_vec(),
    }
}
