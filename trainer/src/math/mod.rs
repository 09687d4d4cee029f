//! Arithmetic on slices of `f32`, compiled for the vectors of each CPU: matrix products, values and rows, dropout.

pub(crate) mod dropout;
pub(crate) mod elementwise;
pub(crate) mod kept;
pub(crate) mod logits;
pub(crate) mod matrix;
pub(crate) mod packed;
