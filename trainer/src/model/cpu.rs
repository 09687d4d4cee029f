//! The CPU as a [`Backend`]: buffers are vectors of f32, values and activations alike.

use super::attention_mask::AttentionMask;
use super::backend::{Attention, Backend, Kind, Operand, Projection};
use super::norm::Gradient;
use super::relative_position::Distances;
use super::scores::{HeadGradients, HostAttention, Projected, resize, weave};
use super::{embedding, norm};
use crate::Error;
use crate::math::dropout::Site;
use crate::math::elementwise::{self, Gated, RowLoss};
use crate::math::matrix::{Into, Matrix, Threads, multiply};
use rayon::prelude::*;
use std::ops::Range;

/// Rows of a task.
const ROWS: usize = 16;
/// Targets handled at a time: 63 MiB of logits at T5's vocabulary. Each time all of the matrix and of its gradient is
/// read.
const TARGETS: usize = 512;

/// The CPU, with memory of its operations.
#[derive(Debug, Default)]
pub(crate) struct CpuBackend {
    pieces: Vec<f32>,
    gradients: HeadGradients,
}

/// Columns of products, with queries, keys and values side by side.
#[derive(Debug, Default)]
pub(crate) struct CpuHeads {
    /// `q`, `k` and `v` `[n, 3, width]`; of attention to the encoder `q` `[n, width]`.
    pub q: Vec<f32>,
    /// Of attention to the encoder `k` and `v`, `[inputs, 2, width]`.
    pub kv: Vec<f32>,
}

/// Targets that count, and what was noted of them.
#[derive(Debug)]
pub(crate) struct CpuTargets {
    pub targets: Vec<(usize, u32)>,
    pub losses: Vec<RowLoss>,
}

fn matrix<'a>(of: Operand<'a, Vec<f32>>) -> Matrix<'a> {
    let matrix = Matrix::new(&of.buffer[of.range()], of.rows, of.cols);
    if of.transposed { matrix.t() } else { matrix }
}

fn attention<'s>(of: Attention<'s, CpuBackend>, heads: &'s CpuHeads) -> HostAttention<'s> {
    let width = of.width();
    // Attention to the encoder has no bias.
    let (q_stride, kv, stride, column) = match of.bias {
        Some(_) => (3 * width, &heads.q, 3 * width, width),
        None => (width, &heads.kv, 2 * width, 0),
    };
    let projected = |data, stride, column| Projected { data, stride, column };
    HostAttention {
        heads: of.heads,
        d_kv: of.d_kv,
        mask: &of.seen.mask,
        bias: of.bias.map_or(&[], |bias| bias),
        dropout: of.dropout,
        q: projected(&heads.q, q_stride, 0),
        k: projected(kv, stride, column),
        v: projected(kv, stride, column + width),
    }
}

impl Backend for CpuBackend {
    type Buffer = Vec<f32>;
    type Tokens = Vec<u32>;
    type Mask = AttentionMask;
    type Distances = Distances;
    type Targets = CpuTargets;
    type Heads = CpuHeads;

    fn buffer(&self, _kind: Kind) -> Vec<f32> {
        Vec::new()
    }

    fn len(buffer: &Vec<f32>) -> usize {
        buffer.len()
    }

    fn resize(&mut self, buffer: &mut Vec<f32>, len: usize) -> Result<(), Error> {
        resize(buffer, len);
        Ok(())
    }

    fn zero(&mut self, buffer: &mut Vec<f32>) -> Result<(), Error> {
        buffer.fill(0.0);
        Ok(())
    }

    fn zero_part(&mut self, buffer: &mut Vec<f32>, at: &Range<usize>) -> Result<(), Error> {
        buffer[at.clone()].fill(0.0);
        Ok(())
    }

    fn download(&self, buffer: &Vec<f32>) -> Result<Vec<f32>, Error> {
        Ok(buffer.clone())
    }

    fn tokens(&self, tokens: &[u32]) -> Result<Vec<u32>, Error> {
        Ok(tokens.to_vec())
    }

    fn mask(&self, mask: AttentionMask) -> Result<AttentionMask, Error> {
        Ok(mask)
    }

    fn distances(&self, distances: Distances) -> Result<Distances, Error> {
        Ok(distances)
    }

    fn targets(&self, targets: Vec<(usize, u32)>) -> Result<CpuTargets, Error> {
        let losses = Vec::with_capacity(targets.len());
        Ok(CpuTargets { targets, losses })
    }

    fn heads(&self) -> CpuHeads {
        CpuHeads::default()
    }

    fn targets_at_a_time(&self) -> usize {
        TARGETS
    }

    fn embed(
        &mut self,
        tokens: &Vec<u32>,
        (table, range): (&Vec<f32>, &Range<usize>),
        d: usize,
        out: &mut Vec<f32>,
    ) -> Result<(), Error> {
        embedding::forward(tokens, &table[range.clone()], d, out);
        Ok(())
    }

    fn embed_backward(
        &mut self,
        tokens: &Vec<u32>,
        dout: &Vec<f32>,
        d: usize,
        (dtable, range): (&mut Vec<f32>, &Range<usize>),
    ) -> Result<(), Error> {
        embedding::backward(tokens, dout, d, &mut dtable[range.clone()]);
        Ok(())
    }

    fn norm(
        &mut self,
        x: &Vec<f32>,
        (weight, range): (&Vec<f32>, &Range<usize>),
        epsilon: f32,
        y: &mut Vec<f32>,
        inverse: &mut Vec<f32>,
    ) -> Result<(), Error> {
        norm::forward(x, &weight[range.clone()], epsilon, y, inverse);
        Ok(())
    }

    fn norm_again(
        &mut self,
        x: &Vec<f32>,
        (weight, range): (&Vec<f32>, &Range<usize>),
        _epsilon: f32,
        y: &mut Vec<f32>,
        inverse: &mut Vec<f32>,
    ) -> Result<(), Error> {
        norm::again(x, &weight[range.clone()], y, inverse);
        Ok(())
    }

    fn norm_backward(
        &mut self,
        dy: &Vec<f32>,
        x: &Vec<f32>,
        (weight, range): (&Vec<f32>, &Range<usize>),
        inverse: &Vec<f32>,
        dx: &mut Vec<f32>,
        gradient: Gradient,
        dweight: Option<(&mut Vec<f32>, &Range<usize>)>,
    ) -> Result<(), Error> {
        let dweight = dweight.map(|(gradients, at)| &mut gradients[at.clone()]);
        norm::backward(dy, x, &weight[range.clone()], inverse, dx, gradient, dweight);
        Ok(())
    }

    fn dropout(&mut self, x: &mut Vec<f32>, site: Site, (length, width): (usize, usize)) -> Result<(), Error> {
        site.apply(x, length, width);
        Ok(())
    }

    fn dropped<'s>(
        &mut self,
        dx: &'s Vec<f32>,
        site: Option<Site>,
        (length, width): (usize, usize),
        scratch: &'s mut Vec<f32>,
    ) -> Result<&'s Vec<f32>, Error> {
        let Some(site) = site else { return Ok(dx) };
        resize(scratch, dx.len());
        scratch.copy_from_slice(dx);
        site.apply(scratch, length, width);
        Ok(scratch)
    }

    fn gemm(
        &mut self,
        (out, at): (&mut Vec<f32>, &Range<usize>),
        into: Into,
        alpha: f32,
        a: Operand<'_, Vec<f32>>,
        b: Operand<'_, Vec<f32>>,
    ) -> Result<(), Error> {
        multiply(&mut out[at.clone()], into, alpha, matrix(a), matrix(b), Threads::All);
        Ok(())
    }

    fn residual(
        &mut self,
        x: &Vec<f32>,
        h: Operand<'_, Vec<f32>>,
        w: Operand<'_, Vec<f32>>,
        site: Option<Site>,
        (length, d): (usize, usize),
        out: &mut Vec<f32>,
        scratch: &mut Vec<f32>,
    ) -> Result<(), Error> {
        out.copy_from_slice(x);
        let (h, w) = (matrix(h), matrix(w).t());
        match site {
            None => multiply(out, Into::Add, 1.0, h, w, Threads::All),
            Some(site) => {
                resize(scratch, x.len());
                multiply(scratch, Into::Set, 1.0, h, w, Threads::All);
                site.apply(scratch, length, d);
                elementwise::add(out, scratch);
            }
        }
        Ok(())
    }

    fn relu(&mut self, hidden: &mut Vec<f32>, site: Option<Site>, (length, d_ff): (usize, usize)) -> Result<(), Error> {
        hidden.par_chunks_mut(ROWS * d_ff).for_each(elementwise::relu);
        if let Some(site) = site {
            site.apply(hidden, length, d_ff);
        }
        Ok(())
    }

    fn relu_backward(
        &mut self,
        dh: &mut Vec<f32>,
        hidden: &Vec<f32>,
        site: Option<Site>,
        (_, d_ff): (usize, usize),
    ) -> Result<(), Error> {
        // What dropout took is 0 in `hidden`, too.
        let factor = site.map_or(1.0, |site| site.scale);
        let block = ROWS * d_ff;
        let tasks = dh.par_chunks_mut(block).zip(hidden.par_chunks(block));
        tasks.for_each(|(dh, h)| elementwise::relu_backward(dh, h, factor));
        Ok(())
    }

    fn gated(
        &mut self,
        f: Gated,
        pre: &Vec<f32>,
        hidden: &mut Vec<f32>,
        site: Option<Site>,
        (length, d_ff): (usize, usize),
    ) -> Result<(), Error> {
        let rows = pre.par_chunks(2 * d_ff).zip(hidden.par_chunks_mut(d_ff));
        rows.with_min_len(ROWS)
            .for_each(|(pre, hidden)| elementwise::gated_row(f, pre, hidden));
        if let Some(site) = site {
            site.apply(hidden, length, d_ff);
        }
        Ok(())
    }

    fn gated_backward(
        &mut self,
        f: Gated,
        pre: &mut Vec<f32>,
        dh: &mut Vec<f32>,
        site: Option<Site>,
        (length, d_ff): (usize, usize),
    ) -> Result<(), Error> {
        if let Some(site) = site {
            site.apply(dh, length, d_ff);
        }
        let rows = pre.par_chunks_mut(2 * d_ff).zip(dh.par_chunks_mut(d_ff));
        rows.with_min_len(ROWS)
            .for_each(|(pre, dh)| elementwise::gated_row_backward(f, pre, dh));
        Ok(())
    }

    fn project(
        &mut self,
        x: Operand<'_, Vec<f32>>,
        w: Operand<'_, Vec<f32>>,
        _of: Attention<'_, CpuBackend>,
        projection: Projection,
        heads: &mut CpuHeads,
    ) -> Result<(), Error> {
        let out = match projection {
            Projection::Own | Projection::Queries => &mut heads.q,
            Projection::Encoded => &mut heads.kv,
        };
        resize(out, x.rows * w.rows);
        multiply(out, Into::Set, 1.0, matrix(x), matrix(w).t(), Threads::All);
        Ok(())
    }

    fn attention(
        &mut self,
        of: Attention<'_, CpuBackend>,
        heads: &CpuHeads,
        context: &mut Vec<f32>,
        log_sums: &mut Vec<f32>,
    ) -> Result<(), Error> {
        resize(&mut self.pieces, context.len());
        attention(of, heads).forward(&mut self.pieces, log_sums);
        let shape = (of.heads, of.seen.queries, of.d_kv);
        weave(&self.pieces, shape, context, of.width(), 0);
        Ok(())
    }

    fn attention_backward(
        &mut self,
        of: Attention<'_, CpuBackend>,
        heads: &CpuHeads,
        (context, log_sums): (&Vec<f32>, &Vec<f32>),
        dcontext: &Vec<f32>,
        dbias: &mut Vec<f32>,
    ) -> Result<(), Error> {
        attention(of, heads).backward(dcontext, context, log_sums, &mut self.gradients);
        if of.bias.is_some_and(|bias| !bias.is_empty()) {
            for piece in self.gradients.bias.chunks_exact(dbias.len()) {
                elementwise::add(dbias, piece);
            }
        }
        Ok(())
    }

    fn gather_heads(
        &mut self,
        of: Attention<'_, CpuBackend>,
        projection: Projection,
        out: &mut Vec<f32>,
    ) -> Result<(), Error> {
        let width = of.width();
        let (queries, keys) = ((of.heads, of.seen.queries, of.d_kv), (of.heads, of.seen.keys, of.d_kv));
        let HeadGradients { q, k, v, .. } = &self.gradients;
        match projection {
            Projection::Own => {
                weave(q, queries, out, 3 * width, 0);
                weave(k, keys, out, 3 * width, width);
                weave(v, keys, out, 3 * width, 2 * width);
            }
            Projection::Queries => weave(q, queries, out, width, 0),
            Projection::Encoded => {
                weave(k, keys, out, 2 * width, 0);
                weave(v, keys, out, 2 * width, width);
            }
        }
        Ok(())
    }

    fn bias_spread(
        &mut self,
        (table, range): (&Vec<f32>, &Range<usize>),
        distances: &Distances,
        _heads: usize,
        bias: &mut Vec<f32>,
    ) -> Result<(), Error> {
        distances.spread(&table[range.clone()], bias);
        Ok(())
    }

    fn bias_gather(
        &mut self,
        dbias: &Vec<f32>,
        distances: &Distances,
        _heads: usize,
        (dtable, range): (&mut Vec<f32>, &Range<usize>),
    ) -> Result<(), Error> {
        distances.gather(dbias, &mut dtable[range.clone()]);
        Ok(())
    }

    fn gather_rows(
        &mut self,
        hidden: &Vec<f32>,
        (targets, some): (&CpuTargets, &Range<usize>),
        d: usize,
        out: &mut Vec<f32>,
    ) -> Result<(), Error> {
        let rows = targets.targets[some.clone()].iter().zip(out.chunks_exact_mut(d));
        rows.for_each(|(&(row, _), out)| out.copy_from_slice(&hidden[row * d..(row + 1) * d]));
        Ok(())
    }

    fn scatter_rows(
        &mut self,
        rows: &Vec<f32>,
        (targets, some): (&CpuTargets, &Range<usize>),
        d: usize,
        out: &mut Vec<f32>,
    ) -> Result<(), Error> {
        let rows = targets.targets[some.clone()].iter().zip(rows.chunks_exact(d));
        rows.for_each(|(&(row, _), from)| out[row * d..(row + 1) * d].copy_from_slice(from));
        Ok(())
    }

    fn cross_entropy(
        &mut self,
        logits: &mut Vec<f32>,
        (targets, some): (&mut CpuTargets, &Range<usize>),
    ) -> Result<(), Error> {
        let CpuTargets { targets, losses } = targets;
        let rows = logits
            .par_chunks_exact(logits.len() / some.len())
            .zip(&targets[some.clone()]);
        losses.par_extend(rows.map(|(row, &(_, token))| elementwise::cross_entropy_row(row, token as usize)));
        Ok(())
    }

    fn cross_entropy_backward<'s>(
        &mut self,
        logits: &'s mut Vec<f32>,
        (targets, some): (&mut CpuTargets, &Range<usize>),
        (weight, z_loss): (f32, f32),
        _dlogits: &'s mut Vec<f32>,
    ) -> Result<&'s Vec<f32>, Error> {
        let CpuTargets { targets, losses } = targets;
        let vocab = logits.len() / some.len();
        let rows = logits.par_chunks_exact_mut(vocab).zip(&targets[some.clone()]);
        losses.par_extend(
            rows.map(|(row, &(_, token))| elementwise::cross_entropy_row_backward(row, token as usize, weight, z_loss)),
        );
        Ok(logits)
    }

    fn losses(&mut self, targets: CpuTargets) -> Result<Vec<RowLoss>, Error> {
        Ok(targets.losses)
    }
}
