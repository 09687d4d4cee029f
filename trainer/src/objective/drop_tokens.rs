//! Drop corrupted tokens (paper, section 3.3.2; gin file `iid_15_d_d`): noise tokens vanish from the inputs
//! without a trace and are the targets.

use super::Example;
use super::mask::iid_noise_mask;
use super::noise::{drop_noise_tokens, drop_nonnoise_tokens};
use super::random::Random;

/// An example of a segment. Either side may be empty.
pub fn example(tokens: &[u32], density: f64, rng: &mut Random) -> Example {
    let mask = iid_noise_mask(tokens.len(), density, rng);
    Example {
        inputs: drop_noise_tokens(tokens, &mask),
        targets: drop_nonnoise_tokens(tokens, &mask),
    }
}

/// Length of the targets, EOS included, if none is configured: mean and 3.25 standard deviations of the number of
/// noise tokens, which for 512 at 15 % gives the paper's 104; never more than the inputs.
pub fn targets_length(inputs_length: usize, density: f64) -> usize {
    let tokens = (inputs_length - 1) as f64;
    let deviation = (tokens * density * (1.0 - density)).sqrt();
    let most = (tokens * density + 3.25 * deviation + 1.0).ceil() as usize;
    most.clamp(2, inputs_length)
}
