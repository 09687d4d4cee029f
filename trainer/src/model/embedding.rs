//! Tokens to vectors, and back their gradients.

use crate::Error;
use crate::math::elementwise;

/// `out[i] = table[tokens[i]]`.
pub(crate) fn forward(tokens: &[u32], table: &[f32], d: usize, out: &mut [f32]) {
    for (&token, out) in tokens.iter().zip(out.chunks_exact_mut(d)) {
        out.copy_from_slice(&table[token as usize * d..][..d]);
    }
}

/// Adds rows of `dout` to the rows of `dtable` they came from, in their order.
pub(crate) fn backward(tokens: &[u32], dout: &[f32], d: usize, dtable: &mut [f32]) {
    for (&token, dout) in tokens.iter().zip(dout.chunks_exact(d)) {
        elementwise::add(&mut dtable[token as usize * d..][..d], dout);
    }
}

/// Refuses tokens that have no row.
pub(crate) fn check(tokens: &[u32], vocab_size: usize) -> Result<(), Error> {
    match tokens.iter().find(|&&token| token as usize >= vocab_size) {
        None => Ok(()),
        Some(token) => Err(Error::Setting(format!(
            "token {token} is outside of the model's vocabulary of {vocab_size}; take the vocabulary the model was made for"
        ))),
    }
}
