//! HostAttention between projected positions: `softmax(q k^T + bias) v`, for every row and head, block by block of
//! queries.
//!
//! The probabilities are never stored: a block of them fits the cache, and the backward pass makes them again from the
//! logarithm of their sum (Dao et al. 2022). Keys that no query of a block sees are left out. T5 has no `d_kv^-0.5`
//! here.
//!
//! Tasks are (row, head); each writes a piece of its own, `[row, head, position, d_kv]`, and pieces are woven to
//! `[position, head, d_kv]` afterwards.

use super::attention_mask::AttentionMask;
use crate::math::dropout::DropoutShape;
use crate::math::dropout::Site;
use crate::math::elementwise;
use crate::math::matrix::{Into, Matrix, Threads, multiply, multiply_strided};
use rayon::prelude::*;
use std::ops::Range;

/// Queries handled at a time: with 512 keys a block's scores take 128 KiB.
const QUERIES: usize = 64;

/// Projected positions: element `c` of head `h` at position `p` is at `p * stride + column + h * d_kv + c`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Projected<'a> {
    pub data: &'a [f32],
    pub stride: usize,
    pub column: usize,
}

impl<'a> Projected<'a> {
    /// Positions `range` of a head.
    fn head(self, range: Range<usize>, head: usize, d_kv: usize) -> Matrix<'a> {
        let start = range.start * self.stride + self.column + head * d_kv;
        Matrix::strided(&self.data[start.min(self.data.len())..], range.len(), d_kv, self.stride)
    }
}

/// What attends to what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HostAttention<'a> {
    pub heads: usize,
    pub d_kv: usize,
    pub mask: &'a AttentionMask,
    /// By distance, `[heads, queries + keys - 1]`; empty where there is none.
    pub bias: &'a [f32],
    /// Dropout of the probabilities.
    pub dropout: Option<Site>,
    pub q: Projected<'a>,
    pub k: Projected<'a>,
    pub v: Projected<'a>,
}

/// Memory of a task.
#[derive(Default)]
struct ScoresScratch {
    /// `[d_kv, keys]`, so that products read them in order.
    k: Vec<f32>,
    v: Vec<f32>,
    /// `[QUERIES, keys]`.
    p: Vec<f32>,
    dropped: Vec<f32>,
    dp: Vec<f32>,
}

/// Makes a buffer's length fit; what is in it does not matter.
pub(crate) fn resize(buffer: &mut Vec<f32>, len: usize) {
    if buffer.len() < len {
        // Not `resize`: it would copy what is not needed.
        *buffer = vec![0.0; len];
    } else {
        buffer.truncate(len);
    }
}

/// Positions of a head as `[d_kv, positions]`.
fn transpose(data: Projected<'_>, range: Range<usize>, head: usize, d_kv: usize, out: &mut Vec<f32>) {
    /// Positions at a time: what is written is a cache line.
    const BLOCK: usize = 16;
    let rows = range.len();
    resize(out, rows * d_kv);
    for first in (0..rows).step_by(BLOCK) {
        let len = BLOCK.min(rows - first);
        let start = (range.start + first) * data.stride + data.column + head * d_kv;
        let data_block = &data.data[start..];
        for (column, out) in out.chunks_exact_mut(rows).enumerate() {
            let from = data_block[column..].iter().step_by(data.stride);
            for (out, value) in out[first..first + len].iter_mut().zip(from) {
                *out = *value;
            }
        }
    }
}

impl HostAttention<'_> {
    fn distances(&self) -> usize {
        self.mask.queries + self.mask.keys - 1
    }

    /// The biases of a query's `keys`.
    fn bias(&self, head: usize, query: usize, keys: Range<usize>) -> &[f32] {
        if self.bias.is_empty() {
            return &[];
        }
        let start = head * self.distances() + self.mask.queries - 1 - query;
        &self.bias[start + keys.start..start + keys.end]
    }

    /// Dropout's factors for all keys of a row and head, where queries share them.
    fn shared_factors(&self, row: usize, head: usize) -> Vec<f32> {
        let keys = self.mask.keys;
        match self.dropout {
            Some(site) if site.shape == DropoutShape::AcrossLength => {
                site.factors((row * self.heads + head) * keys, keys)
            }
            _ => Vec::new(),
        }
    }

    /// Drops of a query's `keys`.
    fn drop(&self, values: &mut [f32], shared: &[f32], (row, head, query): (usize, usize, usize), keys: Range<usize>) {
        let Some(site) = self.dropout else { return };
        if shared.is_empty() {
            let all = ((row * self.heads + head) * self.mask.queries + query) * self.mask.keys;
            elementwise::drop_elements(values, site, all + keys.start);
        } else {
            elementwise::multiply(values, &shared[keys]);
        }
    }

    /// Scores of a block of queries, `[queries, span]`.
    fn scores(&self, row: usize, head: usize, queries: Range<usize>, span: Range<usize>, k: &[f32], out: &mut [f32]) {
        let (v, d) = (self.mask, self.d_kv);
        let first = row * v.queries;
        let q = self.q.head(first + queries.start..first + queries.end, head, d);
        // `k` is `[d_kv, keys]`.
        let k = Matrix::strided(&k[span.start..], d, span.len(), v.keys);
        multiply(out, Into::Set, 1.0, q, k, Threads::One);
    }

    /// Fills `pieces` `[rows, heads, queries, d_kv]` and `log_sums` `[rows, heads, queries]`.
    pub fn forward(&self, pieces: &mut [f32], log_sums: &mut [f32]) {
        let (v, d) = (self.mask, self.d_kv);
        if v.queries == 0 {
            return;
        }
        let tasks = pieces
            .par_chunks_exact_mut(v.queries * d)
            .zip(log_sums.par_chunks_exact_mut(v.queries));
        tasks
            .enumerate()
            .for_each_init(ScoresScratch::default, |scratch, (task, (out, log_sums))| {
                let (row, head) = (task / self.heads, task % self.heads);
                let positions = row * v.keys..(row + 1) * v.keys;
                transpose(self.k, positions, head, d, &mut scratch.k);
                let factors = self.shared_factors(row, head);
                for start in (0..v.queries).step_by(QUERIES) {
                    let queries = start..v.queries.min(start + QUERIES);
                    let span = v.span(row, queries.clone());
                    let out = &mut out[queries.start * d..queries.end * d];
                    if span.is_empty() {
                        out.fill(0.0);
                        log_sums[queries].fill(0.0);
                        continue;
                    }
                    resize(&mut scratch.p, queries.len() * span.len());
                    self.scores(row, head, queries.clone(), span.clone(), &scratch.k, &mut scratch.p);
                    for (query, p) in queries.clone().zip(scratch.p.chunks_exact_mut(span.len())) {
                        let seen = v.of(row, query);
                        let p = &mut split(p, &span, &seen)[..];
                        log_sums[query] = match p {
                            [] => 0.0,
                            _ => elementwise::softmax_row(p, self.bias(head, query, seen.clone())),
                        };
                        self.drop(p, &factors, (row, head, query), seen);
                    }
                    let p = Matrix::new(&scratch.p, queries.len(), span.len());
                    let first = row * v.keys;
                    let values = self.v.head(first + span.start..first + span.end, head, d);
                    multiply(out, Into::Set, 1.0, p, values, Threads::One);
                }
            });
    }

    /// HeadGradients of `q`, `k`, `v` as pieces `[rows, heads, positions, d_kv]`, and of the bias, `[rows, heads,
    /// distances]` (empty where there is none), from `dout` and what [`forward`](HostAttention::forward) gave, both
    /// `[positions, heads, d_kv]`.
    pub fn backward(&self, dout: &[f32], out: &[f32], log_sums: &[f32], gradients: &mut HeadGradients) {
        let (v, d) = (self.mask, self.d_kv);
        if v.queries == 0 || v.keys == 0 {
            return;
        }
        let tasks = v.rows * self.heads;
        let distances = if self.bias.is_empty() { 0 } else { self.distances() };
        gradients.resize(tasks, v.queries * d, v.keys * d, distances);
        let width = self.heads * d;
        let dout = Projected {
            data: dout,
            stride: width,
            column: 0,
        };
        // A stand-in, so that there is a piece a task.
        let mut none = vec![0.0; tasks];
        let dbias = if distances == 0 { &mut none } else { &mut gradients.bias };
        let outputs = gradients
            .q
            .par_chunks_exact_mut(v.queries * d)
            .zip(gradients.k.par_chunks_exact_mut(v.keys * d))
            .zip(gradients.v.par_chunks_exact_mut(v.keys * d))
            .zip(dbias.par_chunks_exact_mut(distances.max(1)));
        let tasks = outputs.zip(log_sums.par_chunks_exact(v.queries)).enumerate();
        tasks.for_each_init(
            ScoresScratch::default,
            |scratch, (task, ((((dq, dk), dv), dbias), log_sums))| {
                let (row, head) = (task / self.heads, task % self.heads);
                let positions = row * v.keys..(row + 1) * v.keys;
                transpose(self.k, positions.clone(), head, d, &mut scratch.k);
                transpose(self.v, positions, head, d, &mut scratch.v);
                let factors = self.shared_factors(row, head);
                dk.fill(0.0);
                dv.fill(0.0);
                dbias.fill(0.0);
                for start in (0..v.queries).step_by(QUERIES) {
                    let queries = start..v.queries.min(start + QUERIES);
                    let span = v.span(row, queries.clone());
                    let dq = &mut dq[queries.start * d..queries.end * d];
                    if span.is_empty() {
                        dq.fill(0.0);
                        continue;
                    }
                    let size = queries.len() * span.len();
                    resize(&mut scratch.p, size);
                    resize(&mut scratch.dp, size);
                    self.scores(row, head, queries.clone(), span.clone(), &scratch.k, &mut scratch.p);
                    let first = row * v.queries;
                    let positions = first + queries.start..first + queries.end;
                    let dout_block = dout.head(positions.clone(), head, d);
                    let values = Matrix::strided(&scratch.v[span.start..], d, span.len(), v.keys);
                    multiply(&mut scratch.dp, Into::Set, 1.0, dout_block, values, Threads::One);
                    if self.dropout.is_some() {
                        resize(&mut scratch.dropped, size);
                    }
                    let rows = scratch
                        .p
                        .chunks_exact_mut(span.len())
                        .zip(scratch.dp.chunks_exact_mut(span.len()));
                    for ((query, position), (p, dp)) in queries.clone().zip(positions.clone()).zip(rows) {
                        let seen = v.of(row, query);
                        let place = (row, head, query);
                        let p = split(p, &span, &seen);
                        let dp = split(dp, &span, &seen);
                        if p.is_empty() {
                            continue;
                        }
                        elementwise::softmax_row_again(p, self.bias(head, query, seen.clone()), log_sums[query]);
                        self.drop(dp, &factors, place, seen.clone());
                        let start = position * width + head * d;
                        let mean = elementwise::dot(&dout.data[start..start + d], &out[start..start + d]);
                        elementwise::softmax_row_backward(dp, p, mean);
                        self.drop(p, &factors, place, seen.clone());
                        if distances > 0 {
                            let start = v.queries - 1 - query;
                            elementwise::add(&mut dbias[start + seen.start..start + seen.end], dp);
                        }
                    }
                    let p = Matrix::new(&scratch.p, queries.len(), span.len());
                    let dp = Matrix::new(&scratch.dp, queries.len(), span.len());
                    let keys = row * v.keys;
                    let k = self.k.head(keys + span.start..keys + span.end, head, d);
                    let q = self.q.head(positions, head, d);
                    multiply(dq, Into::Set, 1.0, dp, k, Threads::One);
                    let (dk, dv) = (&mut dk[span.start * d..], &mut dv[span.start * d..]);
                    multiply_strided(dk, d, Into::Add, 1.0, dp.t(), q, Threads::One);
                    multiply_strided(dv, d, Into::Add, 1.0, p.t(), dout_block, Threads::One);
                }
            },
        );
    }
}

/// The part of a block's row that is seen; the rest becomes 0.
fn split<'r>(row: &'r mut [f32], span: &Range<usize>, seen: &Range<usize>) -> &'r mut [f32] {
    if seen.is_empty() {
        row.fill(0.0);
        return &mut row[..0];
    }
    let (start, end) = (seen.start - span.start, seen.end - span.start);
    row[..start].fill(0.0);
    row[end..].fill(0.0);
    &mut row[start..end]
}

/// Pieces of [`HostAttention::backward`].
#[derive(Debug, Default)]
pub(crate) struct HeadGradients {
    pub q: Vec<f32>,
    pub k: Vec<f32>,
    pub v: Vec<f32>,
    pub bias: Vec<f32>,
}

impl HeadGradients {
    fn resize(&mut self, tasks: usize, q: usize, k: usize, distances: usize) {
        resize(&mut self.q, tasks * q);
        resize(&mut self.k, tasks * k);
        resize(&mut self.v, tasks * k);
        resize(&mut self.bias, tasks * distances);
    }
}

/// Puts pieces `[rows, heads, length, d_kv]` into columns `column..` of `out` `[rows * length, stride]`.
pub(crate) fn weave(
    pieces: &[f32],
    (heads, length, d_kv): (usize, usize, usize),
    out: &mut [f32],
    stride: usize,
    column: usize,
) {
    out.par_chunks_mut(stride * 32).enumerate().for_each(|(block, out)| {
        for (index, out) in out.chunks_exact_mut(stride).enumerate() {
            let (row, position) = ((block * 32 + index) / length, (block * 32 + index) % length);
            let out = &mut out[column..column + heads * d_kv];
            for (head, out) in out.chunks_exact_mut(d_kv).enumerate() {
                let start = ((row * heads + head) * length + position) * d_kv;
                out.copy_from_slice(&pieces[start..start + d_kv]);
            }
        }
    });
}
