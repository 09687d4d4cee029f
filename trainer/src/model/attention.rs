//! The attention sublayers: `x + attention(norm(x))`, to the stack's own positions or to the encoder's.

use super::backend::{Attention, Backend, Kind, Operand, Projection};
use super::layout::{AttentionLayout, Layout};
use super::norm::Gradient;
use crate::Error;
use crate::math::dropout::Site;
use crate::math::matrix::Into;
use std::ops::Range;

/// What the forward pass keeps for the backward pass.
#[derive(Debug)]
pub(crate) struct SavedAttention<B: Backend> {
    /// The norm's factors, `[n]`.
    inverse: B::Buffer,
    heads: B::Heads,
    /// `[n, width]`.
    context: B::Buffer,
    /// `[batch, heads, length]`.
    log_sums: B::Buffer,
}

impl<B: Backend> SavedAttention<B> {
    pub fn new(on: &B) -> SavedAttention<B> {
        SavedAttention {
            inverse: on.buffer(Kind::Value),
            heads: on.heads(),
            context: on.buffer(Kind::Activation),
            log_sums: on.buffer(Kind::Value),
        }
    }
}

/// Memory that sublayers share, one after the other.
#[derive(Debug)]
pub(crate) struct SublayerScratch<B: Backend> {
    /// Normed positions, `[n, d_model]`.
    pub y: B::Buffer,
    /// The gradient of normed positions; or, in a forward pass, what is to be dropped of.
    pub dy: B::Buffer,
    /// Gradients of wider layers.
    pub wide: B::Buffer,
    /// The gradient of a sublayer's output, without what was dropped.
    pub dout: B::Buffer,
}

impl<B: Backend> SublayerScratch<B> {
    pub fn new(on: &B) -> SublayerScratch<B> {
        SublayerScratch {
            y: on.buffer(Kind::Activation),
            dy: on.buffer(Kind::Value),
            wide: on.buffer(Kind::Activation),
            dout: on.buffer(Kind::Activation),
        }
    }
}

/// Whether a sublayer's backward pass is to give the gradient of what the sublayer read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    Wanted,
    /// All that is below is frozen.
    Unwanted,
}

/// Where a backward pass adds gradients.
pub(crate) struct Sink<'a, B: Backend> {
    /// Of all variables that have one, where the layout says.
    pub variables: &'a mut B::Buffer,
    /// Of the encoder's output, `[inputs, d_model]`; `None` where there is none, or it is not wanted.
    pub encoded: Option<&'a mut B::Buffer>,
}

/// An attention sublayer and where it is used.
pub(crate) struct AttentionSublayer<'a, B: Backend> {
    pub layout: &'a AttentionLayout,
    /// Says which variables have gradients.
    pub all: &'a Layout,
    /// All variables as values: those of norms are read here.
    pub parameters: &'a B::Buffer,
    /// All variables as products read them.
    pub matrices: &'a B::Buffer,
    pub epsilon: f32,
    pub attention: Attention<'a, B>,
    /// The encoder's output, `[inputs, d_model]`, where attention is to it.
    pub encoded: Option<&'a B::Buffer>,
    /// Dropout of the output.
    pub dropout: Option<Site>,
}

impl<'a, B: Backend> AttentionSublayer<'a, B> {
    fn d(&self) -> usize {
        self.layout.norm.len()
    }

    fn norm(&self) -> (&'a B::Buffer, &'a Range<usize>) {
        (self.parameters, &self.layout.norm)
    }

    fn matrix(&self, range: &Range<usize>, cols: usize) -> Operand<'a, B::Buffer> {
        Operand::of(self.matrices, range, cols)
    }

    /// The product that queries come of.
    fn first(&self) -> (&'a Range<usize>, Projection) {
        match self.encoded {
            None => (&self.layout.qkv, Projection::Own),
            Some(_) => (&self.layout.q, Projection::Queries),
        }
    }

    /// `out = x + attention(norm(x))`, both `[batch, length, d_model]`.
    pub fn forward(
        &self,
        on: &mut B,
        x: &B::Buffer,
        out: &mut B::Buffer,
        saved: &mut SavedAttention<B>,
        scratch: &mut SublayerScratch<B>,
    ) -> Result<(), Error> {
        self.inner(on, x, saved, scratch)?;
        let (d, width) = (self.d(), self.attention.width());
        let context = Operand::new(&saved.context, B::len(x) / d, width);
        let shape = (self.attention.seen.queries, d);
        let w = self.matrix(&self.layout.o, width);
        on.residual(x, context, w, self.dropout, shape, out, &mut scratch.dy)
    }

    /// The part that the backward pass needs.
    pub fn inner(
        &self,
        on: &mut B,
        x: &B::Buffer,
        saved: &mut SavedAttention<B>,
        scratch: &mut SublayerScratch<B>,
    ) -> Result<(), Error> {
        let (d, of) = (self.d(), self.attention);
        let n = B::len(x) / d;
        on.resize(&mut saved.inverse, n)?;
        on.resize(&mut scratch.y, n * d)?;
        on.norm(x, self.norm(), self.epsilon, &mut scratch.y, &mut saved.inverse)?;
        let y = Operand::new(&scratch.y, n, d);
        let (range, projection) = self.first();
        on.project(y, self.matrix(range, d), of, projection, &mut saved.heads)?;
        if let Some(encoded) = self.encoded {
            let encoded = Operand::new(encoded, B::len(encoded) / d, d);
            let w = self.matrix(&self.layout.kv, d);
            on.project(encoded, w, of, Projection::Encoded, &mut saved.heads)?;
        }
        on.resize(&mut saved.log_sums, n * of.heads)?;
        on.resize(&mut saved.context, n * of.width())?;
        on.attention(of, &saved.heads, &mut saved.context, &mut saved.log_sums)
    }

    /// Takes the gradient of the output in `dx`, leaves that of the input there, if it is wanted. Gradients of trained
    /// variables, of the bias by distance, and of the encoder's output are added to.
    #[allow(clippy::too_many_arguments)]
    pub fn backward(
        &self,
        on: &mut B,
        x: &B::Buffer,
        dx: &mut B::Buffer,
        saved: &mut SavedAttention<B>,
        scratch: &mut SublayerScratch<B>,
        input: Input,
        dbias: &mut B::Buffer,
        sink: &mut Sink<'_, B>,
    ) -> Result<(), Error> {
        let SublayerScratch { y, dy, wide, dout } = scratch;
        let (layout, of) = (self.layout, self.attention);
        let (d, width) = (self.d(), of.width());
        let n = B::len(x) / d;
        let (range, projection) = self.first();
        let [norm, first, kv, o] = [&layout.norm, range, &layout.kv, &layout.o].map(|range| self.all.gradient(range));
        // Of a stack's own positions, the first product has keys and values, too.
        let kv = kv.filter(|_| self.encoded.is_some());
        // The output's matrix.
        let dout = on.dropped(dx, self.dropout, (of.seen.queries, d), dout)?;
        let dout = Operand::new(dout, n, d);
        if let Some(o) = &o {
            let context = Operand::new(&saved.context, n, width);
            on.gemm((sink.variables, o), Into::Add, 1.0, dout.t(), context)?;
        }
        on.resize(wide, n * width)?;
        on.gemm(
            (wide, &(0..n * width)),
            Into::Set,
            1.0,
            dout,
            self.matrix(&layout.o, width),
        )?;
        // The scores.
        on.attention_backward(of, &saved.heads, (&saved.context, &saved.log_sums), wide, dbias)?;
        // The projections.
        let through_norm = input == Input::Wanted || norm.is_some();
        if through_norm || first.is_some() {
            let columns = range.len() / d;
            on.resize(wide, n * columns)?;
            on.gather_heads(of, projection, wide)?;
            let dq = Operand::new(&*wide, n, columns);
            if let Some(first) = &first {
                on.resize(y, n * d)?;
                on.norm_again(x, self.norm(), self.epsilon, y, &mut saved.inverse)?;
                let y = Operand::new(&*y, n, d);
                on.gemm((sink.variables, first), Into::Add, 1.0, dq.t(), y)?;
            }
            if through_norm {
                on.resize(dy, n * d)?;
                on.gemm((dy, &(0..n * d)), Into::Set, 1.0, dq, self.matrix(range, d))?;
            }
        }
        if let Some(encoded) = self.encoded.filter(|_| kv.is_some() || sink.encoded.is_some()) {
            let inputs = B::len(encoded) / d;
            on.resize(wide, inputs * 2 * width)?;
            on.gather_heads(of, Projection::Encoded, wide)?;
            let dkv = Operand::new(&*wide, inputs, 2 * width);
            if let Some(kv) = &kv {
                let encoded = Operand::new(encoded, inputs, d);
                on.gemm((sink.variables, kv), Into::Add, 1.0, dkv.t(), encoded)?;
            }
            if let Some(dencoded) = &mut sink.encoded {
                let all = 0..inputs * d;
                on.gemm((dencoded, &all), Into::Add, 1.0, dkv, self.matrix(&layout.kv, d))?;
            }
        }
        if !through_norm {
            return Ok(());
        }
        let dweight = norm.as_ref().map(|norm| (&mut *sink.variables, norm));
        on.norm_backward(dy, x, self.norm(), &saved.inverse, dx, Gradient::Added, dweight)
    }
}
