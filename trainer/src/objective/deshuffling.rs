//! Deshuffling (paper, section 3.3.1; gin file `all_permute`): the inputs are a document's segment in random
//! order, the targets the segment.

use super::Example;
use super::noise::permute_noise_tokens;
use super::random::Random;

/// An example of a segment.
pub fn example(tokens: &[u32], rng: &mut Random) -> Example {
    let all = vec![true; tokens.len()];
    Example {
        inputs: permute_noise_tokens(tokens, &all, rng),
        targets: tokens.to_vec(),
    }
}
