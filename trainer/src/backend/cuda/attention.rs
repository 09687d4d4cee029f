//! The attention sublayers, as `model/attention.rs` and `model/scores.rs` have them. Scores and probabilities of some rows at a time are
//! in memory, and never kept: the backward pass makes them again.

use super::buffer::{Buffer, View};
use super::driver::Dtype;
use super::kernels::{Columns, Heads, Kernels, Scored, TASKS};
use super::product::DeviceMatrix;
use super::stack::{DeviceScratch, Seen};
use crate::Error;
use crate::math::dropout::Site;
use crate::model::AttentionLayout;
use std::ops::Range;

/// What the forward pass keeps for the backward pass.
#[derive(Debug)]
pub(super) struct DeviceSavedAttention {
    /// Each `[rows, heads, positions, d_kv]`.
    q: Buffer,
    k: Buffer,
    v: Buffer,
    /// `[n, width]`.
    context: Buffer,
    /// `[rows, heads, queries]`.
    log_sums: Buffer,
}

impl DeviceSavedAttention {
    pub fn new(kernels: &Kernels, activations: Dtype) -> DeviceSavedAttention {
        let buffer = |dtype| Buffer::new(&kernels.driver, dtype);
        DeviceSavedAttention {
            q: buffer(activations),
            k: buffer(activations),
            v: buffer(activations),
            context: buffer(activations),
            log_sums: buffer(Dtype::F32),
        }
    }
}

/// Where a backward pass adds gradients.
pub(super) struct DeviceSink<'a> {
    /// Of all variables, in the order of the layout.
    pub variables: &'a mut Buffer,
    /// Of the encoder's output, `[inputs, d_model]`.
    pub encoded: Option<&'a mut Buffer>,
}

/// An attention sublayer and where it is used.
#[derive(Debug, Clone, Copy)]
pub(super) struct DeviceAttention<'a> {
    pub kernels: &'a Kernels,
    pub layout: &'a AttentionLayout,
    /// All variables in f32: those of norms are read here.
    pub parameters: &'a Buffer,
    /// All variables in the type of activations.
    pub weights: &'a Buffer,
    pub epsilon: f32,
    pub heads: usize,
    pub d_kv: usize,
    pub seen: &'a Seen,
    /// By distance; `None` where there is none.
    pub bias: Option<&'a Buffer>,
    /// The encoder's output, `[inputs, d_model]`, where attention is to it.
    pub encoded: Option<&'a Buffer>,
    /// Of the probabilities and of the output.
    pub dropout: Option<(Site, Site)>,
}

impl<'a> DeviceAttention<'a> {
    fn width(&self) -> usize {
        self.heads * self.d_kv
    }

    fn d(&self) -> usize {
        self.layout.norm.len()
    }

    fn weight(&self, range: &Range<usize>, columns: usize) -> DeviceMatrix<'a> {
        let view = self.weights.view(range.clone());
        DeviceMatrix::new(view, range.len() / columns, columns)
    }

    fn shape(&self) -> Heads {
        Heads {
            heads: self.heads,
            queries: self.seen.queries,
            keys: self.seen.keys,
        }
    }

    /// Queries and keys of a row's heads.
    fn columns(&self, length: usize, stride: usize, first: usize) -> Columns {
        Columns {
            stride,
            first,
            heads: self.heads,
            d_kv: self.d_kv,
            length,
        }
    }

    /// Rows whose scores are in memory at a time.
    fn blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (shape, rows) = (self.shape(), self.seen.rows);
        let row = shape.heads * shape.queries * shape.keys;
        let limit = self.kernels.driver.limits().scores;
        let each = (limit / row.max(1)).min(TASKS / shape.heads).max(1);
        (0..rows).step_by(each).map(move |start| start..rows.min(start + each))
    }

    fn scored<'s>(&'s self, rows: &Range<usize>) -> Scored<'s> {
        Scored {
            shape: self.shape(),
            first_row: rows.start,
            rows: rows.len(),
            bias: self.bias.map(Buffer::all),
            seen: self.seen.ranges.all(),
            dropout: self.dropout.map(|dropout| dropout.0),
        }
    }

    /// Some rows' heads of `[rows, heads, length, d_kv]`, as so many matrices.
    fn matrices<'b>(&self, of: &'b Buffer, rows: &Range<usize>, length: usize) -> DeviceMatrix<'b> {
        let row = self.heads * length * self.d_kv;
        let view = of.view(rows.start * row..rows.end * row);
        DeviceMatrix::batch(view, rows.len() * self.heads, length, self.d_kv)
    }

    /// The range of what [`matrices`](DeviceAttention::matrices) reads.
    fn piece(&self, rows: &Range<usize>, length: usize) -> Range<usize> {
        let row = self.heads * length * self.d_kv;
        rows.start * row..rows.end * row
    }

    /// `out = x + attention(norm(x))`, both `[n, d_model]`.
    pub fn forward(
        &self,
        x: &Buffer,
        out: &mut Buffer,
        saved: &mut DeviceSavedAttention,
        scratch: &mut DeviceScratch,
    ) -> Result<(), Error> {
        self.inner(x, saved, scratch)?;
        let (d, width) = (self.d(), self.width());
        let context = DeviceMatrix::new(saved.context.all(), x.len() / d, width);
        let weight = self.weight(&self.layout.o, width);
        let dropout = self.dropout.map(|dropout| dropout.1);
        let shape = (self.seen.queries, d);
        project_residual(self.kernels, x, out, context, weight, dropout, shape, scratch)
    }

    /// The part that the backward pass needs.
    pub fn inner(
        &self,
        x: &Buffer,
        saved: &mut DeviceSavedAttention,
        scratch: &mut DeviceScratch,
    ) -> Result<(), Error> {
        let (kernels, d, width) = (self.kernels, self.d(), self.width());
        let n = x.len() / d;
        let Heads { queries, keys, .. } = self.shape();
        scratch.norm(kernels, x, self.norm(), self.epsilon)?;
        let range = match self.encoded {
            None => &self.layout.qkv,
            Some(_) => &self.layout.q,
        };
        let columns = range.len() / d;
        scratch.wide.resize(n * columns)?;
        let y = DeviceMatrix::new(scratch.y.all(), n, d);
        let weight = self.weight(range, d).t();
        kernels.multiply(scratch.wide.all_mut(), 0.0, 1.0, y, weight)?;
        saved.q.resize(n * width)?;
        let split = |from: &Buffer, to: &mut Buffer, columns| kernels.split_heads(from.all(), to.all_mut(), columns);
        split(&scratch.wide, &mut saved.q, self.columns(queries, columns, 0))?;
        let inputs = self.seen.rows * keys;
        saved.k.resize(inputs * width)?;
        saved.v.resize(inputs * width)?;
        let (stride, first) = match self.encoded {
            None => (columns, width),
            Some(encoded) => {
                scratch.wide.resize(inputs * 2 * width)?;
                let encoded = DeviceMatrix::new(encoded.all(), inputs, d);
                let weight = self.weight(&self.layout.kv, d).t();
                kernels.multiply(scratch.wide.all_mut(), 0.0, 1.0, encoded, weight)?;
                (2 * width, 0)
            }
        };
        split(&scratch.wide, &mut saved.k, self.columns(keys, stride, first))?;
        split(&scratch.wide, &mut saved.v, self.columns(keys, stride, first + width))?;
        saved.log_sums.resize(n * self.heads)?;
        saved.context.resize(n * width)?;
        scratch.pieces.resize(n * width)?;
        for rows in self.blocks() {
            self.scores(&rows, saved, scratch)?;
            scratch.p.resize(scratch.scores.len())?;
            kernels.softmax(
                self.scored(&rows),
                scratch.scores.all_mut(),
                scratch.p.all_mut(),
                saved.log_sums.all_mut(),
            )?;
            let p = self.probabilities(&scratch.p, &rows);
            let out = scratch.pieces.view_mut(self.piece(&rows, queries));
            kernels.multiply(out, 0.0, 1.0, p, self.matrices(&saved.v, &rows, keys))?;
        }
        kernels.merge_heads(
            scratch.pieces.all(),
            saved.context.all_mut(),
            self.columns(queries, width, 0),
        )
    }

    fn norm(&self) -> View<'a> {
        self.parameters.view(self.layout.norm.clone())
    }

    /// `[rows and heads, queries, keys]`.
    fn probabilities<'b>(&self, of: &'b Buffer, rows: &Range<usize>) -> DeviceMatrix<'b> {
        let shape = self.shape();
        DeviceMatrix::batch(of.all(), rows.len() * shape.heads, shape.queries, shape.keys)
    }

    fn scores(
        &self,
        rows: &Range<usize>,
        saved: &DeviceSavedAttention,
        scratch: &mut DeviceScratch,
    ) -> Result<(), Error> {
        let shape = self.shape();
        let len = rows.len() * shape.heads * shape.queries * shape.keys;
        scratch.scores.resize(len)?;
        let q = self.matrices(&saved.q, rows, shape.queries);
        let k = self.matrices(&saved.k, rows, shape.keys).t();
        self.kernels.multiply(scratch.scores.all_mut(), 0.0, 1.0, q, k)
    }

    /// Takes the gradient of the output in `dx`, leaves that of the input there. Gradients of variables, of the bias by
    /// distance, and of the encoder's output are added to.
    pub fn backward(
        &self,
        x: &Buffer,
        dx: &mut Buffer,
        saved: &DeviceSavedAttention,
        scratch: &mut DeviceScratch,
        dbias: &mut Buffer,
        sink: &mut DeviceSink<'_>,
    ) -> Result<(), Error> {
        let (kernels, d, width) = (self.kernels, self.d(), self.width());
        let n = x.len() / d;
        let Heads { queries, keys, .. } = self.shape();
        // The output's matrix.
        let dropout = self.dropout.map(|dropout| dropout.1);
        scratch.dout.resize(n * d)?;
        kernels.cast(dx.all(), scratch.dout.all_mut(), dropout, (queries, d))?;
        let dout = DeviceMatrix::new(scratch.dout.all(), n, d);
        let context = DeviceMatrix::new(saved.context.all(), n, width);
        let gradient = sink.variables.view_mut(self.layout.o.clone());
        kernels.multiply(gradient, 1.0, 1.0, dout.t(), context)?;
        scratch.wide.resize(n * width)?;
        let weight = self.weight(&self.layout.o, width);
        kernels.multiply(scratch.wide.all_mut(), 0.0, 1.0, dout, weight)?;
        scratch.pieces.resize(n * width)?;
        kernels.split_heads(
            scratch.wide.all(),
            scratch.pieces.all_mut(),
            self.columns(queries, width, 0),
        )?;
        self.scores_backward(saved, scratch, dbias)?;
        // The projections.
        scratch.norm(kernels, x, self.norm(), self.epsilon)?;
        let range = match self.encoded {
            None => &self.layout.qkv,
            Some(_) => &self.layout.q,
        };
        let columns = range.len() / d;
        scratch.wide.resize(n * columns)?;
        let merge = |from: &Buffer, to: &mut Buffer, columns| kernels.merge_heads(from.all(), to.all_mut(), columns);
        let to = &mut scratch.wide;
        merge(&scratch.dq, to, self.columns(queries, columns, 0))?;
        if self.encoded.is_none() {
            merge(&scratch.dk, to, self.columns(keys, columns, width))?;
            merge(&scratch.dv, to, self.columns(keys, columns, 2 * width))?;
        }
        let dq = DeviceMatrix::new(scratch.wide.all(), n, columns);
        let y = DeviceMatrix::new(scratch.y.all(), n, d);
        let gradient = sink.variables.view_mut(range.clone());
        kernels.multiply(gradient, 1.0, 1.0, dq.t(), y)?;
        scratch.dy.resize(n * d)?;
        let weight = self.weight(range, d);
        kernels.multiply(scratch.dy.all_mut(), 0.0, 1.0, dq, weight)?;
        if let (Some(encoded), Some(dencoded)) = (self.encoded, &mut sink.encoded) {
            let (inputs, columns) = (self.seen.rows * keys, 2 * width);
            let to = &mut scratch.wide;
            to.resize(inputs * columns)?;
            merge(&scratch.dk, to, self.columns(keys, columns, 0))?;
            merge(&scratch.dv, to, self.columns(keys, columns, width))?;
            let dkv = DeviceMatrix::new(scratch.wide.all(), inputs, columns);
            let encoded = DeviceMatrix::new(encoded.all(), inputs, d);
            let gradient = sink.variables.view_mut(self.layout.kv.clone());
            kernels.multiply(gradient, 1.0, 1.0, dkv.t(), encoded)?;
            let weight = self.weight(&self.layout.kv, d);
            kernels.multiply(dencoded.all_mut(), 1.0, 1.0, dkv, weight)?;
        }
        let norm = self.layout.norm.clone();
        scratch.norm_backward(kernels, x, self.norm(), dx, sink.variables.view_mut(norm))
    }

    /// From the gradient of the context in `scratch.pieces` to those of `q`, `k`, `v` in `dq`, `dk`, `dv`, as pieces.
    fn scores_backward(
        &self,
        saved: &DeviceSavedAttention,
        scratch: &mut DeviceScratch,
        dbias: &mut Buffer,
    ) -> Result<(), Error> {
        let kernels = self.kernels;
        let Heads { queries, keys, .. } = self.shape();
        scratch.dq.resize(saved.q.len())?;
        scratch.dk.resize(saved.k.len())?;
        scratch.dv.resize(saved.v.len())?;
        for rows in self.blocks() {
            self.scores(&rows, saved, scratch)?;
            let len = scratch.scores.len();
            scratch.dscores.resize(len)?;
            scratch.p.resize(len)?;
            scratch.ds.resize(len)?;
            let dcontext = self.matrices(&scratch.pieces, &rows, queries);
            let v = self.matrices(&saved.v, &rows, keys).t();
            kernels.multiply(scratch.dscores.all_mut(), 0.0, 1.0, dcontext, v)?;
            kernels.softmax_backward(
                self.scored(&rows),
                (scratch.scores.all_mut(), scratch.dscores.all_mut()),
                saved.log_sums.all(),
                (scratch.p.all_mut(), scratch.ds.all_mut()),
            )?;
            if self.bias.is_some() {
                kernels.bias_backward(
                    scratch.ds.all(),
                    self.shape(),
                    rows.len(),
                    dbias.all_mut(),
                    &mut scratch.partial,
                )?;
            }
            let p = self.probabilities(&scratch.p, &rows);
            let ds = self.probabilities(&scratch.ds, &rows);
            let q = self.matrices(&saved.q, &rows, queries);
            let k = self.matrices(&saved.k, &rows, keys);
            let (of_queries, of_keys) = (self.piece(&rows, queries), self.piece(&rows, keys));
            kernels.multiply(scratch.dq.view_mut(of_queries), 0.0, 1.0, ds, k)?;
            kernels.multiply(scratch.dk.view_mut(of_keys.clone()), 0.0, 1.0, ds.t(), q)?;
            kernels.multiply(scratch.dv.view_mut(of_keys), 0.0, 1.0, p.t(), dcontext)?;
        }
        Ok(())
    }
}

/// `out = x + dropout(h w^T)`, `[n, d]`; `w` is `[d, h's columns]`.
#[allow(clippy::too_many_arguments)]
pub(super) fn project_residual(
    kernels: &Kernels,
    x: &Buffer,
    out: &mut Buffer,
    h: DeviceMatrix<'_>,
    weight: DeviceMatrix<'_>,
    dropout: Option<Site>,
    shape: (usize, usize),
    scratch: &mut DeviceScratch,
) -> Result<(), Error> {
    match dropout {
        None => {
            out.copy_from(x)?;
            kernels.multiply(out.all_mut(), 1.0, 1.0, h, weight.t())
        }
        Some(_) => {
            out.resize(x.len())?;
            scratch.dy.resize(x.len())?;
            kernels.multiply(scratch.dy.all_mut(), 0.0, 1.0, h, weight.t())?;
            kernels.residual(x.all(), scratch.dy.all(), out.all_mut(), dropout, shape)
        }
    }
}
