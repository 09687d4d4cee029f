//! I.i.d. denoising, the paper's baseline (section 3.1.4): each token is noise by itself; runs of noise
//! are replaced as in [span corruption](super::span_corruption::corrupt).

use super::mask::iid_noise_mask;
use super::random::Random;
use super::span_corruption::corrupt;
use super::{Example, Ids};

/// An example of a segment.
pub fn example(tokens: &[u32], density: f64, ids: Ids, rng: &mut Random) -> Example {
    corrupt(tokens, &iid_noise_mask(tokens.len(), density, rng), ids)
}

/// Length of the targets, EOS included, if none is configured. For 512 inputs at the paper's rates it is the
/// paper's (gin files `iid_10_u_u` to `iid_50_u_u` of the reference; 103 trims nearly every second example).
/// Otherwise 2.5 times the mean number of noise tokens, which at 15 % is the paper's 192 of 512 as well and is
/// hardly ever exceeded; never more than the inputs.
pub fn targets_length(inputs_length: usize, density: f64) -> usize {
    const PAPER: [(f64, usize); 4] = [(0.10, 103), (0.15, 192), (0.25, 256), (0.50, 512)];
    let paper = PAPER.iter().find(|(rate, _)| *rate == density);
    match paper {
        Some((_, targets)) if inputs_length == 512 => *targets,
        _ => {
            let targets = (inputs_length as f64 * density * 2.5).ceil() as usize;
            targets.clamp(4, inputs_length.max(4))
        }
    }
}
