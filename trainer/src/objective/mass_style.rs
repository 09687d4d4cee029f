//! MASS-style (paper, section 3.3.2; gin file `iid_15_m_f`): noise tokens become one mask token; the targets
//! are the whole segment.

use super::mask::iid_noise_mask;
use super::noise::noise_token_to_sentinel;
use super::random::Random;
use super::{Example, Ids};

/// An example of a segment.
pub fn example(tokens: &[u32], density: f64, ids: Ids, rng: &mut Random) -> Example {
    let mask = iid_noise_mask(tokens.len(), density, rng);
    Example {
        inputs: noise_token_to_sentinel(tokens, &mask, ids),
        targets: tokens.to_vec(),
    }
}
