//! Logits and loss, as `model/head.rs` has them: of some targets at a time, so all logits of a step are never in memory together.

use super::buffer::Buffer;
use super::driver::Dtype;
use super::kernels::Kernels;
use super::product::DeviceMatrix;
use crate::Error;
use crate::math::elementwise::RowLoss;
use std::ops::Range;

/// Memory of the head.
#[derive(Debug)]
pub(super) struct DeviceHeadScratch {
    rows: Buffer,
    tokens: Buffer,
    hidden: Buffer,
    logits: Buffer,
    dlogits: Buffer,
    dhidden: Buffer,
    loss: Buffer,
}

impl DeviceHeadScratch {
    pub fn new(kernels: &Kernels, activations: Dtype) -> DeviceHeadScratch {
        let buffer = |dtype| Buffer::new(&kernels.driver, dtype);
        DeviceHeadScratch {
            rows: buffer(Dtype::U32),
            tokens: buffer(Dtype::U32),
            hidden: buffer(activations),
            logits: buffer(Dtype::F32),
            dlogits: buffer(activations),
            dhidden: buffer(Dtype::F32),
            loss: buffer(Dtype::F32),
        }
    }
}

/// The head of a model.
#[derive(Debug, Clone, Copy)]
pub(super) struct DeviceHead<'a> {
    pub kernels: &'a Kernels,
    /// All variables in the type of activations.
    pub weights: &'a Buffer,
    /// The matrix's, `[vocab, d_model]`.
    pub range: &'a Range<usize>,
    pub d: usize,
    /// See `model/head.rs`.
    pub scale: f32,
}

/// What the backward pass of a head adds to.
pub(super) struct DeviceHeadBackward<'a> {
    /// What each target's loss is multiplied with.
    pub weight: f32,
    pub z_loss: f32,
    /// `[n, d_model]`; rows of targets that do not count stay as they are.
    pub dhidden: &'a mut Buffer,
    /// Of all variables.
    pub gradients: &'a mut Buffer,
}

impl DeviceHead<'_> {
    fn vocab(&self) -> usize {
        self.range.len() / self.d
    }

    fn matrix(&self) -> DeviceMatrix<'_> {
        let view = self.weights.view(self.range.clone());
        DeviceMatrix::new(view, self.vocab(), self.d)
    }

    /// Logits of all of `hidden` `[n, d_model]`, `[n, vocab]`.
    pub fn logits(&self, hidden: &Buffer, scratch: &mut DeviceHeadScratch) -> Result<Vec<f32>, Error> {
        let (n, d) = (hidden.len() / self.d, self.d);
        let limit = self.kernels.driver.limits().targets;
        let mut all = Vec::with_capacity(n * self.vocab());
        for start in (0..n).step_by(limit) {
            let rows = start..n.min(start + limit);
            scratch.logits.resize(rows.len() * self.vocab())?;
            let part = hidden.view(rows.start * d..rows.end * d);
            let part = DeviceMatrix::new(part, rows.len(), d);
            let logits = scratch.logits.all_mut();
            self.kernels
                .multiply(logits, 0.0, self.scale, part, self.matrix().t())?;
            all.extend(scratch.logits.get::<f32>()?);
        }
        Ok(all)
    }

    /// The loss of each of the targets `(row of hidden, token)`, and gradients where they are wanted.
    pub fn losses(
        &self,
        hidden: &Buffer,
        targets: &[(usize, u32)],
        mut backward: Option<DeviceHeadBackward<'_>>,
        scratch: &mut DeviceHeadScratch,
    ) -> Result<Vec<RowLoss>, Error> {
        let (kernels, d, vocab) = (self.kernels, self.d, self.vocab());
        let limit = kernels.driver.limits().targets;
        let rows: Vec<u32> = targets.iter().map(|&(row, _)| row as u32).collect();
        let tokens: Vec<u32> = targets.iter().map(|&(_, token)| token).collect();
        scratch.rows.set(&rows)?;
        scratch.tokens.set(&tokens)?;
        scratch.loss.resize(targets.len() * 3)?;
        for start in (0..targets.len()).step_by(limit) {
            let range = start..targets.len().min(start + limit);
            let n = range.len();
            let rows = scratch.rows.view(range.clone());
            scratch.hidden.resize(n * d)?;
            kernels.gather_rows(hidden.all(), rows, scratch.hidden.all_mut(), d)?;
            let part = DeviceMatrix::new(scratch.hidden.all(), n, d);
            scratch.logits.resize(n * vocab)?;
            let logits = scratch.logits.all_mut();
            kernels.multiply(logits, 0.0, self.scale, part, self.matrix().t())?;
            let (weight, z_loss) = backward.as_ref().map_or((0.0, 0.0), |to| (to.weight, to.z_loss));
            if backward.is_some() {
                scratch.dlogits.resize(n * vocab)?;
            }
            kernels.cross_entropy(
                scratch.logits.all_mut(),
                scratch.tokens.view(range.clone()),
                backward.as_ref().map(|_| scratch.dlogits.all_mut()),
                scratch.loss.view_mut(range.start * 3..range.end * 3),
                (weight, z_loss),
            )?;
            let Some(to) = &mut backward else { continue };
            let dlogits = DeviceMatrix::new(scratch.dlogits.all(), n, vocab);
            let gradient = to.gradients.view_mut(self.range.clone());
            kernels.multiply(gradient, 1.0, self.scale, dlogits.t(), part)?;
            scratch.dhidden.resize(n * d)?;
            let dhidden = scratch.dhidden.all_mut();
            kernels.multiply(dhidden, 0.0, self.scale, dlogits, self.matrix())?;
            kernels.scatter_rows(scratch.dhidden.all(), rows, to.dhidden.all_mut(), d)?;
        }
        let found: Vec<f32> = scratch.loss.get()?;
        let rows = found.as_chunks::<3>().0.iter();
        let row = |&[log_z, cross_entropy, correct]: &[f32; 3]| RowLoss {
            log_z,
            cross_entropy,
            correct: correct > 0.0,
        };
        Ok(rows.map(row).collect())
    }
}
