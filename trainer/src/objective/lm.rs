//! Language modelling (paper, section 3.2.2; gin file `lm`): no inputs, the targets are the segment.

use super::Example;

/// An example of a segment.
pub fn example(tokens: &[u32]) -> Example {
    Example {
        inputs: Vec::new(),
        targets: tokens.to_vec(),
    }
}
