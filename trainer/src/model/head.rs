//! Logits and loss. Only targets that count get logits, and only some of them at a time: all logits of a step
//! are never in memory together.

use super::backend::{Backend, Kind, Operand};
use crate::Error;
use crate::math::elementwise::RowLoss;
use crate::math::matrix::Into;
use std::ops::{AddAssign, Range};

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
#[derive(Debug)]
pub(crate) struct HeadScratch<B: Backend> {
    hidden: B::Buffer,
    logits: B::Buffer,
    dlogits: B::Buffer,
    dhidden: B::Buffer,
}

impl<B: Backend> HeadScratch<B> {
    pub fn new(on: &B) -> HeadScratch<B> {
        HeadScratch {
            hidden: on.buffer(Kind::Activation),
            logits: on.buffer(Kind::Value),
            dlogits: on.buffer(Kind::Activation),
            dhidden: on.buffer(Kind::Value),
        }
    }
}

/// The head of a model.
pub(crate) struct LogitsHead<'a, B: Backend> {
    /// All variables as products read them, and where the matrix is, `[vocab, d_model]`.
    pub matrices: &'a B::Buffer,
    pub range: &'a Range<usize>,
    pub d: usize,
    /// What hidden values are multiplied with: `d_model^-0.5` where the weight is the embedding.
    pub scale: f32,
}

/// What the backward pass of a head adds to.
pub(crate) struct HeadBackward<'a, B: Backend> {
    /// What each target's loss is multiplied with.
    pub weight: f32,
    pub z_loss: f32,
    /// `[n, d_model]`; rows of targets that do not count stay as they are. `None` where it is not wanted.
    pub dhidden: Option<&'a mut B::Buffer>,
    /// Of all variables that have one, and where that of the head's matrix is.
    pub gradients: &'a mut B::Buffer,
    pub matrix: Option<Range<usize>>,
}

impl<B: Backend> LogitsHead<'_, B> {
    fn vocab(&self) -> usize {
        self.range.len() / self.d
    }

    fn matrix(&self) -> Operand<'_, B::Buffer> {
        Operand::of(self.matrices, self.range, self.d)
    }

    /// Logits of all of `hidden` `[n, d_model]`, `[n, vocab]`.
    pub fn logits(&self, on: &mut B, hidden: &B::Buffer, scratch: &mut HeadScratch<B>) -> Result<Vec<f32>, Error> {
        let (n, d, vocab) = (B::len(hidden) / self.d, self.d, self.vocab());
        let each = on.targets_at_a_time();
        let mut all = Vec::with_capacity(n * vocab);
        for start in (0..n).step_by(each) {
            let rows = start..n.min(start + each);
            on.resize(&mut scratch.logits, rows.len() * vocab)?;
            let part = Operand::of(hidden, &(rows.start * d..rows.end * d), d);
            let out = (&mut scratch.logits, &(0..rows.len() * vocab));
            on.gemm(out, Into::Set, self.scale, part, self.matrix().t())?;
            all.extend(on.download(&scratch.logits)?);
        }
        Ok(all)
    }

    /// The loss of each of the targets `(row of hidden, token)`, where [`Backend::losses`] finds them; and gradients
    /// where they are wanted.
    pub fn losses(
        &self,
        on: &mut B,
        hidden: &B::Buffer,
        targets: Vec<(usize, u32)>,
        mut backward: Option<HeadBackward<'_, B>>,
        scratch: &mut HeadScratch<B>,
    ) -> Result<B::Targets, Error> {
        let (d, vocab, count) = (self.d, self.vocab(), targets.len());
        let each = on.targets_at_a_time();
        let mut targets = on.targets(targets)?;
        for start in (0..count).step_by(each) {
            let some = start..count.min(start + each);
            let n = some.len();
            on.resize(&mut scratch.hidden, n * d)?;
            on.gather_rows(hidden, (&targets, &some), d, &mut scratch.hidden)?;
            let part = Operand::new(&scratch.hidden, n, d);
            on.resize(&mut scratch.logits, n * vocab)?;
            let out = (&mut scratch.logits, &(0..n * vocab));
            on.gemm(out, Into::Set, self.scale, part, self.matrix().t())?;
            let Some(to) = &mut backward else {
                on.cross_entropy(&mut scratch.logits, (&mut targets, &some))?;
                continue;
            };
            let (logits, dlogits) = (&mut scratch.logits, &mut scratch.dlogits);
            let weights = (to.weight, to.z_loss);
            let dlogits = on.cross_entropy_backward(logits, (&mut targets, &some), weights, dlogits)?;
            let dlogits = Operand::new(dlogits, n, vocab);
            if let Some(matrix) = &to.matrix {
                on.gemm((to.gradients, matrix), Into::Add, self.scale, dlogits.t(), part)?;
            }
            if let Some(dhidden) = &mut to.dhidden {
                on.resize(&mut scratch.dhidden, n * d)?;
                let out = (&mut scratch.dhidden, &(0..n * d));
                on.gemm(out, Into::Set, self.scale, dlogits, self.matrix())?;
                on.scatter_rows(&scratch.dhidden, (&targets, &some), d, dhidden)?;
            }
        }
        Ok(targets)
    }
}
