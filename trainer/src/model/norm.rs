//! Root mean square norm: `y = x / sqrt(mean(x^2) + epsilon) * weight` (Zhang and Sennrich 2019), before every
//! sublayer.

use crate::math::elementwise;
use rayon::prelude::*;

/// Rows of a task. Sums over rows are sums over tasks' sums, so they do not depend on threads.
const ROWS: usize = 64;

/// Norms rows of `x`; `inverse` gets a factor a row.
pub(crate) fn forward(x: &[f32], weight: &[f32], epsilon: f32, y: &mut [f32], inverse: &mut [f32]) {
    let block = ROWS * weight.len();
    let tasks = x
        .par_chunks(block)
        .zip(y.par_chunks_mut(block))
        .zip(inverse.par_chunks_mut(ROWS));
    tasks.for_each(|((x, y), inverse)| elementwise::norm_rows(x, weight, epsilon, y, inverse));
}

/// What [`forward`] gave, from the factors it kept.
pub(crate) fn again(x: &[f32], weight: &[f32], y: &mut [f32], inverse: &[f32]) {
    let block = ROWS * weight.len();
    let tasks = x
        .par_chunks(block)
        .zip(y.par_chunks_mut(block))
        .zip(inverse.par_chunks(ROWS));
    tasks.for_each(|((x, y), inverse)| elementwise::norm_rows_again(x, weight, y, inverse));
}

/// What becomes of `dx`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gradient {
    /// It holds the gradient of a residual that goes around the norm.
    Added,
    /// It holds nothing.
    Set,
}

/// Gradients: `dx` is set or added to, `dweight` is added to, where the weight is trained.
pub(crate) fn backward(
    dy: &[f32],
    x: &[f32],
    weight: &[f32],
    inverse: &[f32],
    dx: &mut [f32],
    gradient: Gradient,
    dweight: Option<&mut [f32]>,
) {
    let d = weight.len();
    let block = ROWS * d;
    let tasks = inverse.len().div_ceil(ROWS);
    let mut partial = vec![0.0; tasks * d];
    let tasks = dy
        .par_chunks(block)
        .zip(x.par_chunks(block))
        .zip(inverse.par_chunks(ROWS));
    let outputs = dx.par_chunks_mut(block).zip(partial.par_chunks_mut(d));
    tasks.zip(outputs).for_each(|(((dy, x), inverse), (dx, dweight))| {
        let set = gradient == Gradient::Set;
        elementwise::norm_rows_backward(dy, x, weight, inverse, dx, set, dweight);
    });
    if let Some(dweight) = dweight {
        for partial in partial.chunks_exact(d) {
            elementwise::add(dweight, partial);
        }
    }
}
