//! Logits and loss. Only targets that count get logits, and only some of them at a time: all logits of a step
//! are never in memory together.

use super::scores::resize;
use crate::math::elementwise::{self, RowLoss};
use crate::math::matrix::{Into, Matrix, Threads, multiply};
use rayon::prelude::*;
use std::ops::AddAssign;

/// Targets handled at a time: 63 MiB of logits at T5's vocabulary. Each time all of the matrix and of its gradient is read.
const TARGETS: usize = 512;

/// What a pass over some targets said. Sums, so losses of several batches are added.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Loss {
    /// Sum of `-ln p(target)`, in nats.
    pub cross_entropy: f64,
    /// Sum of `ln(Z)^2`, without its factor.
    pub log_z_squares: f64,
    /// Targets that count.
    pub targets: usize,
    /// Target positions, padding included.
    pub positions: usize,
    /// Targets than which no token was held more likely.
    pub correct: usize,
}

impl Loss {
    /// Mean of `-ln p(target)` over the targets that count; 0 of none.
    pub fn mean(&self) -> f64 {
        self.cross_entropy / self.targets.max(1) as f64
    }
}

impl Loss {
    /// Adds a target.
    pub(crate) fn add(&mut self, row: &RowLoss) {
        self.cross_entropy += f64::from(row.cross_entropy);
        self.log_z_squares += f64::from(row.log_z) * f64::from(row.log_z);
        self.targets += 1;
        self.correct += usize::from(row.correct);
    }
}

impl AddAssign for Loss {
    fn add_assign(&mut self, other: Loss) {
        self.cross_entropy += other.cross_entropy;
        self.log_z_squares += other.log_z_squares;
        self.targets += other.targets;
        self.positions += other.positions;
        self.correct += other.correct;
    }
}

/// Memory of the head.
#[derive(Debug, Default)]
pub(crate) struct HeadScratch {
    hidden: Vec<f32>,
    logits: Vec<f32>,
    dhidden: Vec<f32>,
}

/// The head of a model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogitsHead<'a> {
    /// `[vocab, d_model]`.
    pub weight: &'a [f32],
    pub d: usize,
    /// What hidden values are multiplied with: `d_model^-0.5` where the weight is the embedding.
    pub scale: f32,
}

/// What the backward pass of a head adds to.
pub(crate) struct HeadBackward<'a> {
    /// What each target's loss is multiplied with.
    pub weight: f32,
    pub z_loss: f32,
    /// `[n, d_model]`; rows of targets that do not count stay as they are.
    pub dhidden: &'a mut [f32],
    /// `[vocab, d_model]`.
    pub dweight: &'a mut [f32],
}

impl LogitsHead<'_> {
    fn matrix(&self) -> Matrix<'_> {
        Matrix::new(self.weight, self.weight.len() / self.d, self.d)
    }

    /// Logits of all of `hidden` `[n, d_model]`, `[n, vocab]`.
    pub fn logits(&self, hidden: &[f32], out: &mut Vec<f32>) {
        let n = hidden.len() / self.d;
        resize(out, n * (self.weight.len() / self.d));
        multiply(
            out,
            Into::Set,
            self.scale,
            Matrix::new(hidden, n, self.d),
            self.matrix().t(),
            Threads::All,
        );
    }

    /// Logits of the targets `(row of hidden, token)` into the scratch, with the hidden values that they are from.
    fn logits_of(&self, hidden: &[f32], targets: &[(usize, u32)], scratch: &mut HeadScratch) {
        scratch.hidden.clear();
        for &(row, _) in targets {
            let hidden = &hidden[row * self.d..(row + 1) * self.d];
            scratch.hidden.extend_from_slice(hidden);
        }
        self.logits(&scratch.hidden, &mut scratch.logits);
    }

    /// The loss of each of the targets `(row of hidden, token)`.
    pub fn losses(&self, hidden: &[f32], targets: &[(usize, u32)], scratch: &mut HeadScratch) -> Vec<RowLoss> {
        let mut losses = Vec::with_capacity(targets.len());
        for targets in targets.chunks(TARGETS) {
            self.logits_of(hidden, targets, scratch);
            let rows = scratch.logits.par_chunks_exact(self.weight.len() / self.d);
            let row = |(row, &(_, token)): (&[f32], &(usize, u32))| elementwise::cross_entropy_row(row, token as usize);
            losses.par_extend(rows.zip(targets).map(row));
        }
        losses
    }

    /// Loss of the targets `(row of hidden, token)`, and gradients.
    pub fn loss(
        &self,
        hidden: &[f32],
        targets: &[(usize, u32)],
        to: HeadBackward<'_>,
        scratch: &mut HeadScratch,
    ) -> Loss {
        let (d, vocab) = (self.d, self.weight.len() / self.d);
        let mut loss = Loss::default();
        for targets in targets.chunks(TARGETS) {
            let n = targets.len();
            self.logits_of(hidden, targets, scratch);
            let rows = scratch.logits.par_chunks_exact_mut(vocab).zip(targets);
            let rows: Vec<RowLoss> = rows
                .map(|(row, &(_, token))| {
                    elementwise::cross_entropy_row_backward(row, token as usize, to.weight, to.z_loss)
                })
                .collect();
            rows.iter().for_each(|row| loss.add(row));
            let dlogits = Matrix::new(&scratch.logits, n, vocab);
            let hidden = Matrix::new(&scratch.hidden, n, d);
            multiply(to.dweight, Into::Add, self.scale, dlogits.t(), hidden, Threads::All);
            resize(&mut scratch.dhidden, n * d);
            multiply(
                &mut scratch.dhidden,
                Into::Set,
                self.scale,
                dlogits,
                self.matrix(),
                Threads::All,
            );
            for (&(row, _), dhidden) in targets.iter().zip(scratch.dhidden.chunks_exact(d)) {
                to.dhidden[row * d..(row + 1) * d].copy_from_slice(dhidden);
            }
        }
        loss
    }
}
