//! What a device must be able to do, so that T5 is written once: [`Backend`], of which the CPU, a GPU and candle are
//! three.
//!
//! Shapes are written `[batch, length, d_model]`; `n` is `batch * length`, the positions of a stack. Buffers hold
//! values (f32: the residual stream, sums, gradients) or activations (what matrix products read: on a GPU bf16 or f32).
//! All operations are done in the order they are asked for, and all sums have a fixed order, so the same calls give the
//! same bits.

use super::attention_mask::AttentionMask;
use super::norm::Gradient;
use super::relative_position::Distances;
use crate::Error;
use crate::math::dropout::Site;
use crate::math::elementwise::{Gated, RowLoss};
use crate::math::matrix::Into;
use std::fmt::Debug;
use std::ops::Range;

/// What a buffer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// f32.
    Value,
    /// What matrix products read.
    Activation,
}

/// A matrix to read: `rows * cols` elements of a buffer from `start` on, row after row.
#[derive(Debug)]
pub(crate) struct Operand<'a, T> {
    pub buffer: &'a T,
    pub start: usize,
    pub rows: usize,
    pub cols: usize,
    /// Rows and columns are exchanged; nothing is moved.
    pub transposed: bool,
}

impl<T> Clone for Operand<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Operand<'_, T> {}

impl<'a, T> Operand<'a, T> {
    /// The first `rows * cols` elements of a buffer.
    pub fn new(buffer: &'a T, rows: usize, cols: usize) -> Operand<'a, T> {
        Operand::of(buffer, &(0..rows * cols), cols)
    }

    /// A variable in a buffer of all variables.
    pub fn of(buffer: &'a T, range: &Range<usize>, cols: usize) -> Operand<'a, T> {
        Operand {
            buffer,
            start: range.start,
            rows: range.len() / cols,
            cols,
            transposed: false,
        }
    }

    /// The transpose.
    pub fn t(self) -> Operand<'a, T> {
        Operand {
            transposed: !self.transposed,
            ..self
        }
    }

    pub fn range(self) -> Range<usize> {
        self.start..self.start + self.rows * self.cols
    }
}

/// Who sees whom, on a device.
#[derive(Debug)]
pub(crate) struct Seen<B: Backend> {
    pub rows: usize,
    pub queries: usize,
    pub keys: usize,
    pub mask: B::Mask,
}

/// An attention: `softmax(q k^T + bias) v`.
#[derive(Debug)]
pub(crate) struct Attention<'a, B: Backend> {
    pub heads: usize,
    pub d_kv: usize,
    pub seen: &'a Seen<B>,
    /// By distance, `[heads, queries + keys - 1]`; `None` in attention to the encoder.
    pub bias: Option<&'a B::Buffer>,
    /// Dropout of the probabilities.
    pub dropout: Option<Site>,
}

impl<B: Backend> Clone for Attention<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for Attention<'_, B> {}

impl<B: Backend> Attention<'_, B> {
    /// Columns of all heads together.
    pub fn width(self) -> usize {
        self.heads * self.d_kv
    }
}

/// Which of queries, keys and values lie beside each other in the columns of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Projection {
    /// All three, `[n, 3, width]`: a stack's own positions.
    Own,
    /// Queries, `[n, width]`.
    Queries,
    /// Keys and values of the encoder's output, `[inputs, 2, width]`.
    Encoded,
}

/// Operations on a device. Every one fails where the device does.
pub(crate) trait Backend: Debug + Sized {
    /// Memory for elements of one kind.
    type Buffer: Debug;
    /// Token ids of a stack's positions.
    type Tokens: Debug;
    /// For each query the keys that it sees.
    type Mask: Debug;
    /// The bucket of each distance.
    type Distances: Debug;
    /// Targets that count, and their losses.
    type Targets: Debug;
    /// Projected queries, keys and values, kept for the backward pass.
    type Heads: Debug;

    // Memory.

    /// An empty buffer.
    fn buffer(&self, kind: Kind) -> Self::Buffer;
    fn len(buffer: &Self::Buffer) -> usize;
    /// Makes a buffer's length fit; what is in it does not matter.
    fn resize(&mut self, buffer: &mut Self::Buffer, len: usize) -> Result<(), Error>;
    fn zero(&mut self, buffer: &mut Self::Buffer) -> Result<(), Error>;
    /// Sets elements `at` to 0.
    fn zero_part(&mut self, buffer: &mut Self::Buffer, at: &Range<usize>) -> Result<(), Error>;
    /// All elements, as f32.
    fn download(&self, buffer: &Self::Buffer) -> Result<Vec<f32>, Error>;
    fn tokens(&self, tokens: &[u32]) -> Result<Self::Tokens, Error>;
    fn mask(&self, mask: AttentionMask) -> Result<Self::Mask, Error>;
    fn distances(&self, distances: Distances) -> Result<Self::Distances, Error>;
    /// Targets as `(position in [batch, length], token)`.
    fn targets(&self, targets: Vec<(usize, u32)>) -> Result<Self::Targets, Error>;
    fn heads(&self) -> Self::Heads;
    /// Targets whose logits are in memory at a time.
    fn targets_at_a_time(&self) -> usize;

    // The residual stream.

    /// `out[i] = table[tokens[i]]`, `[n, d_model]`.
    fn embed(
        &mut self,
        tokens: &Self::Tokens,
        table: (&Self::Buffer, &Range<usize>),
        d: usize,
        out: &mut Self::Buffer,
    ) -> Result<(), Error>;
    /// Adds rows of `dout` to the rows of the table that they came from.
    fn embed_backward(
        &mut self,
        tokens: &Self::Tokens,
        dout: &Self::Buffer,
        d: usize,
        dtable: (&mut Self::Buffer, &Range<usize>),
    ) -> Result<(), Error>;
    /// Root mean square norm of rows of `x` into `y`, `[n, d_model]`; `inverse` `[n]` gets a factor a row.
    fn norm(
        &mut self,
        x: &Self::Buffer,
        weight: (&Self::Buffer, &Range<usize>),
        epsilon: f32,
        y: &mut Self::Buffer,
        inverse: &mut Self::Buffer,
    ) -> Result<(), Error>;
    /// What [`norm`](Backend::norm) gave, from the factors it kept.
    fn norm_again(
        &mut self,
        x: &Self::Buffer,
        weight: (&Self::Buffer, &Range<usize>),
        epsilon: f32,
        y: &mut Self::Buffer,
        inverse: &mut Self::Buffer,
    ) -> Result<(), Error>;
    /// Gradients of a norm: `dx` is set or added to, elements `dweight` of gradients are added to, where the weight is
    /// trained.
    #[allow(clippy::too_many_arguments)]
    fn norm_backward(
        &mut self,
        dy: &Self::Buffer,
        x: &Self::Buffer,
        weight: (&Self::Buffer, &Range<usize>),
        inverse: &Self::Buffer,
        dx: &mut Self::Buffer,
        gradient: Gradient,
        dweight: Option<(&mut Self::Buffer, &Range<usize>)>,
    ) -> Result<(), Error>;
    /// Drops of `x`, `[batch, length, width]`, in place.
    fn dropout(&mut self, x: &mut Self::Buffer, site: Site, shape: (usize, usize)) -> Result<(), Error>;
    /// `dx` after dropout as an activation: in `scratch`, or `dx` itself where that is the same.
    fn dropped<'s>(
        &mut self,
        dx: &'s Self::Buffer,
        site: Option<Site>,
        shape: (usize, usize),
        scratch: &'s mut Self::Buffer,
    ) -> Result<&'s Self::Buffer, Error>;

    // Matrix products.

    /// Elements `at` of `out` become `alpha * a b`, or have it added to them.
    fn gemm(
        &mut self,
        out: (&mut Self::Buffer, &Range<usize>),
        into: Into,
        alpha: f32,
        a: Operand<'_, Self::Buffer>,
        b: Operand<'_, Self::Buffer>,
    ) -> Result<(), Error>;
    /// `out = x + dropout(h w^T)`, `[batch, length, d_model]`; `w` is `[d_model, h.cols]`, `shape` length and d_model,
    /// `scratch` holds values.
    #[allow(clippy::too_many_arguments)]
    fn residual(
        &mut self,
        x: &Self::Buffer,
        h: Operand<'_, Self::Buffer>,
        w: Operand<'_, Self::Buffer>,
        site: Option<Site>,
        shape: (usize, usize),
        out: &mut Self::Buffer,
        scratch: &mut Self::Buffer,
    ) -> Result<(), Error>;

    // Feed-forward layers: `[batch, length, d_ff]`, `shape` is length and d_ff.

    /// relu, and dropout, in place.
    fn relu(&mut self, hidden: &mut Self::Buffer, site: Option<Site>, shape: (usize, usize)) -> Result<(), Error>;
    /// Backward of [`relu`](Backend::relu), in place, from what it gave.
    fn relu_backward(
        &mut self,
        dh: &mut Self::Buffer,
        hidden: &Self::Buffer,
        site: Option<Site>,
        shape: (usize, usize),
    ) -> Result<(), Error>;
    /// `hidden = dropout(f(pre[.., 0]) * pre[.., 1])`, where `pre` is `[n, 2, d_ff]`.
    fn gated(
        &mut self,
        f: Gated,
        pre: &Self::Buffer,
        hidden: &mut Self::Buffer,
        site: Option<Site>,
        shape: (usize, usize),
    ) -> Result<(), Error>;
    /// Backward of [`gated`](Backend::gated): `pre` becomes its gradient; `dh` is used up.
    fn gated_backward(
        &mut self,
        f: Gated,
        pre: &mut Self::Buffer,
        dh: &mut Self::Buffer,
        site: Option<Site>,
        shape: (usize, usize),
    ) -> Result<(), Error>;

    // Attention.

    /// `x w^T`, as heads.
    fn project(
        &mut self,
        x: Operand<'_, Self::Buffer>,
        w: Operand<'_, Self::Buffer>,
        of: Attention<'_, Self>,
        projection: Projection,
        heads: &mut Self::Heads,
    ) -> Result<(), Error>;
    /// `context` `[n, width]`, and the logarithms of the softmax's sums, `[batch, heads, length]`.
    fn attention(
        &mut self,
        of: Attention<'_, Self>,
        heads: &Self::Heads,
        context: &mut Self::Buffer,
        log_sums: &mut Self::Buffer,
    ) -> Result<(), Error>;
    /// Gradients of queries, keys and values, which stay on the device for [`gather_heads`](Backend::gather_heads);
    /// that of the bias is added to `dbias`. `forward` is what the forward pass gave: context and logarithms.
    fn attention_backward(
        &mut self,
        of: Attention<'_, Self>,
        heads: &Self::Heads,
        forward: (&Self::Buffer, &Self::Buffer),
        dcontext: &Self::Buffer,
        dbias: &mut Self::Buffer,
    ) -> Result<(), Error>;
    /// The last gradients of a projection's columns, `[n, columns]`.
    fn gather_heads(
        &mut self,
        of: Attention<'_, Self>,
        projection: Projection,
        out: &mut Self::Buffer,
    ) -> Result<(), Error>;
    /// The bias by distance, `[heads, distances]`, of a table `[buckets, heads]`.
    fn bias_spread(
        &mut self,
        table: (&Self::Buffer, &Range<usize>),
        distances: &Self::Distances,
        heads: usize,
        bias: &mut Self::Buffer,
    ) -> Result<(), Error>;
    /// Backward of [`bias_spread`](Backend::bias_spread): the table's gradient is added to.
    fn bias_gather(
        &mut self,
        dbias: &Self::Buffer,
        distances: &Self::Distances,
        heads: usize,
        dtable: (&mut Self::Buffer, &Range<usize>),
    ) -> Result<(), Error>;

    // The head. `some` are numbers of targets.

    /// The rows of `hidden` `[n, d_model]` that some targets are at.
    fn gather_rows(
        &mut self,
        hidden: &Self::Buffer,
        targets: (&Self::Targets, &Range<usize>),
        d: usize,
        out: &mut Self::Buffer,
    ) -> Result<(), Error>;
    /// Backward of [`gather_rows`](Backend::gather_rows): sets those rows of `out`.
    fn scatter_rows(
        &mut self,
        rows: &Self::Buffer,
        targets: (&Self::Targets, &Range<usize>),
        d: usize,
        out: &mut Self::Buffer,
    ) -> Result<(), Error>;
    /// Notes the losses of some targets, from their logits `[some, vocab]`, which are used up.
    fn cross_entropy(
        &mut self,
        logits: &mut Self::Buffer,
        targets: (&mut Self::Targets, &Range<usize>),
    ) -> Result<(), Error>;
    /// The same, and the gradient of `weight * (cross entropy + z_loss * ln(Z)^2)` by the logits: in `dlogits`, or in
    /// their place.
    fn cross_entropy_backward<'s>(
        &mut self,
        logits: &'s mut Self::Buffer,
        targets: (&mut Self::Targets, &Range<usize>),
        weights: (f32, f32),
        dlogits: &'s mut Self::Buffer,
    ) -> Result<&'s Self::Buffer, Error>;
    /// The losses that were noted.
    fn losses(&mut self, targets: Self::Targets) -> Result<Vec<RowLoss>, Error>;
}
