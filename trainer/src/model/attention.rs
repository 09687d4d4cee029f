//! The attention sublayers: `x + attention(norm(x))`, to the stack's own positions or to the encoder's.

use super::attention_mask::AttentionMask;
use super::layout::AttentionLayout;
use super::norm;
use super::scores::{Attention, Gradients, Projected, resize, weave};
use crate::math::dropout::Site;
use crate::math::matrix::{Into, Matrix, Threads, multiply};

/// What the forward pass keeps for the backward pass.
#[derive(Debug, Default)]
pub(crate) struct SavedAttention {
    /// The norm's factors, `[n]`.
    inverse: Vec<f32>,
    /// `q`, `k` and `v` `[n, 3, width]`; of attention to the encoder `q` `[n, width]`.
    q: Vec<f32>,
    /// Of attention to the encoder `k` and `v`, `[inputs, 2, width]`.
    kv: Vec<f32>,
    /// `[n, width]`.
    context: Vec<f32>,
    log_sums: Vec<f32>,
}

/// Memory that sublayers share, one after the other.
#[derive(Debug, Default)]
pub(crate) struct SublayerScratch {
    pub y: Vec<f32>,
    pub dy: Vec<f32>,
    pub wide: Vec<f32>,
    pub dout: Vec<f32>,
    gradients: Gradients,
}

/// Where a backward pass adds gradients.
pub(crate) struct Sink<'a> {
    /// Of all variables, in the order of the layout.
    pub variables: &'a mut [f32],
    /// Of the encoder's output, `[inputs, d_model]`; empty where there is none.
    pub encoded: &'a mut [f32],
}

/// An attention sublayer and where it is used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttentionSublayer<'a> {
    pub layout: &'a AttentionLayout,
    pub parameters: &'a [f32],
    pub epsilon: f32,
    pub heads: usize,
    pub d_kv: usize,
    pub visibility: &'a AttentionMask,
    /// By distance; empty where there is none.
    pub bias: &'a [f32],
    /// The encoder's output, `[inputs, d_model]`, where attention is to it.
    pub encoded: Option<&'a [f32]>,
    /// Of the probabilities and of the output.
    pub dropout: Option<(Site, Site)>,
}

impl AttentionSublayer<'_> {
    fn width(&self) -> usize {
        self.heads * self.d_kv
    }

    fn scores<'s>(&'s self, saved_q: &'s [f32], saved_kv: &'s [f32]) -> Attention<'s> {
        let width = self.width();
        let own = self.encoded.is_none();
        let (kv, stride, column) = match own {
            true => (saved_q, 3 * width, width),
            false => (saved_kv, 2 * width, 0),
        };
        let projected = |data, stride, column| Projected { data, stride, column };
        Attention {
            heads: self.heads,
            d_kv: self.d_kv,
            visibility: self.visibility,
            bias: self.bias,
            dropout: self.dropout.map(|dropout| dropout.0),
            q: projected(saved_q, if own { 3 * width } else { width }, 0),
            k: projected(kv, stride, column),
            v: projected(kv, stride, column + width),
        }
    }

    /// `out = x + attention(norm(x))`, both `[n, d_model]`.
    pub fn forward(&self, x: &[f32], out: &mut [f32], saved: &mut SavedAttention, scratch: &mut SublayerScratch) {
        self.inner(x, saved, scratch);
        let weight = &self.parameters[self.layout.o.clone()];
        let d = self.layout.norm.len();
        let context = Matrix::new(&saved.context, x.len() / d, self.width());
        project_residual(
            x,
            out,
            context,
            weight,
            self.dropout.map(|dropout| dropout.1),
            self.visibility.queries,
            scratch,
        );
    }

    /// The part that the backward pass needs.
    pub fn inner(&self, x: &[f32], saved: &mut SavedAttention, scratch: &mut SublayerScratch) {
        let p = self.parameters;
        let (d, width) = (self.layout.norm.len(), self.width());
        let n = x.len() / d;
        resize(&mut saved.inverse, n);
        resize(&mut scratch.y, x.len());
        norm::forward(
            x,
            &p[self.layout.norm.clone()],
            self.epsilon,
            &mut scratch.y,
            &mut saved.inverse,
        );
        let y = Matrix::new(&scratch.y, n, d);
        let (range, columns) = match self.encoded {
            None => (self.layout.qkv.clone(), 3 * width),
            Some(_) => (self.layout.q.clone(), width),
        };
        resize(&mut saved.q, n * columns);
        multiply(
            &mut saved.q,
            Into::Set,
            1.0,
            y,
            Matrix::new(&p[range], columns, d).t(),
            Threads::All,
        );
        if let Some(encoded) = self.encoded {
            let inputs = encoded.len() / d;
            resize(&mut saved.kv, inputs * 2 * width);
            let weight = Matrix::new(&p[self.layout.kv.clone()], 2 * width, d).t();
            multiply(
                &mut saved.kv,
                Into::Set,
                1.0,
                Matrix::new(encoded, inputs, d),
                weight,
                Threads::All,
            );
        }
        resize(&mut saved.log_sums, n * self.heads);
        resize(&mut saved.context, n * width);
        resize(&mut scratch.wide, n * width);
        let scores = self.scores(&saved.q, &saved.kv);
        scores.forward(&mut scratch.wide, &mut saved.log_sums);
        let shape = (self.heads, self.visibility.queries, self.d_kv);
        weave(&scratch.wide, shape, &mut saved.context, width, 0);
    }

    /// Takes the gradient of the output in `dx`, leaves that of the input there. Gradients of variables, of the bias by
    /// distance, and of the encoder's output are added to.
    pub fn backward(
        &self,
        x: &[f32],
        dx: &mut [f32],
        saved: &SavedAttention,
        scratch: &mut SublayerScratch,
        dbias: &mut [f32],
        sink: &mut Sink<'_>,
    ) {
        let gradients = &mut *sink.variables;
        let p = self.parameters;
        let layout = self.layout;
        let (d, width) = (layout.norm.len(), self.width());
        let n = x.len() / d;
        let dropout = self.dropout.map(|dropout| dropout.1);
        let length = self.visibility.queries;
        let dout = dropped(dx, dropout, (length, d), &mut scratch.dout);
        let dout = Matrix::new(dout, n, d);
        // The output's matrix.
        let context = Matrix::new(&saved.context, n, width);
        multiply(
            &mut gradients[layout.o.clone()],
            Into::Add,
            1.0,
            dout.t(),
            context,
            Threads::All,
        );
        resize(&mut scratch.wide, n * width);
        let weight = Matrix::new(&p[layout.o.clone()], d, width);
        multiply(&mut scratch.wide, Into::Set, 1.0, dout, weight, Threads::All);
        // The scores.
        let pieces = &mut scratch.gradients;
        let scores = self.scores(&saved.q, &saved.kv);
        scores.backward(&scratch.wide, &saved.context, &saved.log_sums, pieces);
        if !self.bias.is_empty() {
            for piece in pieces.bias.chunks_exact(dbias.len()) {
                crate::math::elementwise::add(dbias, piece);
            }
        }
        // The projections.
        let (heads, d_kv) = (self.heads, self.d_kv);
        let (queries, keys) = ((heads, length, d_kv), (heads, self.visibility.keys, d_kv));
        resize(&mut scratch.y, x.len());
        resize(&mut scratch.dy, x.len());
        norm::again(x, &p[layout.norm.clone()], &mut scratch.y, &saved.inverse);
        let (range, columns) = match self.encoded {
            None => (layout.qkv.clone(), 3 * width),
            Some(_) => (layout.q.clone(), width),
        };
        resize(&mut scratch.wide, n * columns);
        weave(&pieces.q, queries, &mut scratch.wide, columns, 0);
        if self.encoded.is_none() {
            weave(&pieces.k, keys, &mut scratch.wide, columns, width);
            weave(&pieces.v, keys, &mut scratch.wide, columns, 2 * width);
        }
        let dq = Matrix::new(&scratch.wide, n, columns);
        let y = Matrix::new(&scratch.y, n, d);
        multiply(&mut gradients[range.clone()], Into::Add, 1.0, dq.t(), y, Threads::All);
        let weight = Matrix::new(&p[range], columns, d);
        multiply(&mut scratch.dy, Into::Set, 1.0, dq, weight, Threads::All);
        if let Some(encoded) = self.encoded {
            let inputs = encoded.len() / d;
            let columns = 2 * width;
            resize(&mut scratch.wide, inputs * columns);
            weave(&pieces.k, keys, &mut scratch.wide, columns, 0);
            weave(&pieces.v, keys, &mut scratch.wide, columns, width);
            let dkv = Matrix::new(&scratch.wide, inputs, columns);
            let encoded = Matrix::new(encoded, inputs, d);
            multiply(
                &mut gradients[layout.kv.clone()],
                Into::Add,
                1.0,
                dkv.t(),
                encoded,
                Threads::All,
            );
            let weight = Matrix::new(&p[layout.kv.clone()], columns, d);
            multiply(sink.encoded, Into::Add, 1.0, dkv, weight, Threads::All);
        }
        norm::backward(
            &scratch.dy,
            x,
            &p[layout.norm.clone()],
            &saved.inverse,
            dx,
            norm::Gradient::Added,
            &mut gradients[layout.norm.clone()],
        );
    }
}

/// `out = x + dropout(h w^T)`; `w` is `[d_model, h.cols]`.
pub(crate) fn project_residual(
    x: &[f32],
    out: &mut [f32],
    h: Matrix<'_>,
    weight: &[f32],
    dropout: Option<Site>,
    length: usize,
    scratch: &mut SublayerScratch,
) {
    let (rows, cols) = h.shape();
    let d = weight.len() / cols;
    let weight = Matrix::new(weight, d, cols).t();
    out.copy_from_slice(x);
    match dropout {
        None => multiply(out, Into::Add, 1.0, h, weight, Threads::All),
        Some(site) => {
            resize(&mut scratch.dout, rows * d);
            multiply(&mut scratch.dout, Into::Set, 1.0, h, weight, Threads::All);
            site.apply(&mut scratch.dout, length, d);
            crate::math::elementwise::add(out, &scratch.dout);
        }
    }
}

/// Backward of dropout: `dx` itself where there is none.
pub(crate) fn dropped<'s>(
    dx: &'s [f32],
    dropout: Option<Site>,
    (length, width): (usize, usize),
    scratch: &'s mut Vec<f32>,
) -> &'s [f32] {
    match dropout {
        None => dx,
        Some(site) => {
            resize(scratch, dx.len());
            scratch.copy_from_slice(dx);
            site.apply(scratch, length, width);
            scratch
        }
    }
}
