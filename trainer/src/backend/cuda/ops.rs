//! A GPU as a `model::Backend`. Values are f32, activations bf16 or f32. Scores and probabilities of some rows at a
//! time are in memory, and never kept: the backward pass makes them again.
//!
//! Above 500 lines: one function an operation.

use super::buffer::{Buffer, View};
use super::driver::{Driver, Dtype};
use super::kernels::{Columns, Kernels, Scored, ScoresShape, TASKS};
use super::product::DeviceMatrix;
use crate::Error;
use crate::math::dropout::Site;
use crate::math::elementwise::{Gated, RowLoss};
use crate::math::matrix::Into;
use crate::model::{Attention, AttentionMask, Backend, Distances, Gradient, Kind, Operand, Projection};
use std::ops::Range;
use std::sync::Arc;

/// A device, with memory of its operations.
#[derive(Debug)]
pub(super) struct CudaBackend {
    pub kernels: Kernels,
    activations: Dtype,
    /// Products before they are split into heads, in the type of activations.
    wide: Buffer,
    /// Contexts by head, or their gradients.
    pieces: Buffer,
    scores: Buffer,
    dscores: Buffer,
    p: Buffer,
    ds: Buffer,
    dq: Buffer,
    dk: Buffer,
    dv: Buffer,
    /// Of sums in two steps.
    partial: Buffer,
}

/// A stack's tokens, with the positions of each.
#[derive(Debug)]
pub(super) struct CudaTokens {
    all: Buffer,
    ids: Buffer,
    starts: Buffer,
    positions: Buffer,
}

/// Targets that count: rows of hidden values, tokens, and `[n, 3]` numbers of their losses.
#[derive(Debug)]
pub(super) struct CudaTargets {
    rows: Buffer,
    tokens: Buffer,
    losses: Buffer,
}

/// Projected positions, each `[batch, heads, length, d_kv]`.
#[derive(Debug)]
pub(super) struct CudaHeads {
    q: Buffer,
    k: Buffer,
    v: Buffer,
}

/// Tokens that occur, where each one's positions start (and, at last, their count), and all positions by token, in
/// rising order.
fn grouped(tokens: &[u32]) -> (Vec<u32>, Vec<u32>, Vec<u32>) {
    let mut positions: Vec<u32> = (0..tokens.len() as u32).collect();
    positions.sort_by_key(|&position| tokens[position as usize]);
    let (mut ids, mut starts) = (Vec::new(), Vec::new());
    for (at, &position) in positions.iter().enumerate() {
        let id = tokens[position as usize];
        if ids.last() != Some(&id) {
            ids.push(id);
            starts.push(at as u32);
        }
    }
    starts.push(tokens.len() as u32);
    (ids, starts, positions)
}

fn matrix<'a>(of: Operand<'a, Buffer>) -> DeviceMatrix<'a> {
    let matrix = DeviceMatrix::new(of.buffer.view(of.range()), of.rows, of.cols);
    if of.transposed { matrix.t() } else { matrix }
}

impl CudaBackend {
    pub fn new(driver: Arc<dyn Driver>, activations: Dtype) -> CudaBackend {
        let float = || Buffer::new(&driver, Dtype::F32);
        let activation = || Buffer::new(&driver, activations);
        CudaBackend {
            activations,
            wide: activation(),
            pieces: activation(),
            scores: float(),
            dscores: float(),
            p: activation(),
            ds: activation(),
            dq: activation(),
            dk: activation(),
            dv: activation(),
            partial: float(),
            kernels: Kernels { driver: driver.clone() },
        }
    }

    fn numbers(&self, values: &[u32]) -> Result<Buffer, Error> {
        let mut buffer = Buffer::new(&self.kernels.driver, Dtype::U32);
        buffer.set(values)?;
        Ok(buffer)
    }

    /// `scores = q k^T` of some rows, `[rows and heads, queries, keys]`.
    fn score(&mut self, of: Attention<'_, Self>, rows: &Range<usize>, heads: &CudaHeads) -> Result<(), Error> {
        let seen = of.seen;
        self.scores.resize(rows.len() * of.heads * seen.queries * seen.keys)?;
        let q = some_rows(of, &heads.q, rows, seen.queries);
        let k = some_rows(of, &heads.k, rows, seen.keys).t();
        self.kernels.multiply(self.scores.all_mut(), 0.0, 1.0, q, k)
    }

    /// Rows whose scores are in memory at a time.
    fn blocks(&self, of: Attention<'_, Self>) -> impl Iterator<Item = Range<usize>> + use<> {
        let (heads, rows) = (of.heads, of.seen.rows);
        let row = heads * of.seen.queries * of.seen.keys;
        let limit = self.kernels.driver.limits().scores;
        let each = (limit / row.max(1)).min(TASKS / heads).max(1);
        (0..rows).step_by(each).map(move |start| start..rows.min(start + each))
    }
}

fn shape(of: Attention<'_, CudaBackend>) -> ScoresShape {
    ScoresShape {
        heads: of.heads,
        queries: of.seen.queries,
        keys: of.seen.keys,
    }
}

/// Where the heads of rows of `length` positions lie in columns from `first` on.
fn columns(of: Attention<'_, CudaBackend>, length: usize, stride: usize, first: usize) -> Columns {
    Columns {
        stride,
        first,
        heads: of.heads,
        d_kv: of.d_kv,
        length,
    }
}

fn scored<'a>(of: Attention<'a, CudaBackend>, rows: &Range<usize>) -> Scored<'a> {
    Scored {
        shape: shape(of),
        first_row: rows.start,
        rows: rows.len(),
        bias: of.bias.map(Buffer::all),
        seen: of.seen.mask.all(),
        dropout: of.dropout,
    }
}

/// The range of some rows' heads in `[batch, heads, length, d_kv]`.
fn piece(of: Attention<'_, CudaBackend>, rows: &Range<usize>, length: usize) -> Range<usize> {
    let row = of.width() * length;
    rows.start * row..rows.end * row
}

/// Some rows' heads of `[batch, heads, length, d_kv]`, as so many matrices.
fn some_rows<'b>(
    of: Attention<'_, CudaBackend>,
    buffer: &'b Buffer,
    rows: &Range<usize>,
    length: usize,
) -> DeviceMatrix<'b> {
    let view = buffer.view(piece(of, rows, length));
    DeviceMatrix::batch(view, rows.len() * of.heads, length, of.d_kv)
}

/// `[rows and heads, queries, keys]`.
fn by_query<'b>(of: Attention<'_, CudaBackend>, buffer: &'b Buffer, rows: &Range<usize>) -> DeviceMatrix<'b> {
    DeviceMatrix::batch(buffer.all(), rows.len() * of.heads, of.seen.queries, of.seen.keys)
}

fn view<'a>((buffer, range): (&'a Buffer, &Range<usize>)) -> View<'a> {
    buffer.view(range.clone())
}

impl Backend for CudaBackend {
    type Buffer = Buffer;
    type Tokens = CudaTokens;
    /// First key and the one after the last, `[batch, queries, 2]`.
    type Mask = Buffer;
    type Distances = Buffer;
    type Targets = CudaTargets;
    type Heads = CudaHeads;

    fn buffer(&self, kind: Kind) -> Buffer {
        let dtype = match kind {
            Kind::Value => Dtype::F32,
            Kind::Activation => self.activations,
        };
        Buffer::new(&self.kernels.driver, dtype)
    }

    fn len(buffer: &Buffer) -> usize {
        buffer.len()
    }

    fn resize(&mut self, buffer: &mut Buffer, len: usize) -> Result<(), Error> {
        buffer.resize(len)
    }

    fn zero(&mut self, buffer: &mut Buffer) -> Result<(), Error> {
        buffer.zero()
    }

    fn zero_part(&mut self, buffer: &mut Buffer, at: &Range<usize>) -> Result<(), Error> {
        buffer.zero_part(at.clone())
    }

    fn download(&self, buffer: &Buffer) -> Result<Vec<f32>, Error> {
        buffer.get()
    }

    fn tokens(&self, tokens: &[u32]) -> Result<CudaTokens, Error> {
        let (ids, starts, positions) = grouped(tokens);
        Ok(CudaTokens {
            all: self.numbers(tokens)?,
            ids: self.numbers(&ids)?,
            starts: self.numbers(&starts)?,
            positions: self.numbers(&positions)?,
        })
    }

    fn mask(&self, mask: AttentionMask) -> Result<Buffer, Error> {
        let mut all = Vec::with_capacity(mask.rows * mask.queries * 2);
        for row in 0..mask.rows {
            for query in 0..mask.queries {
                let seen = mask.of(row, query);
                all.extend([seen.start as u32, seen.end as u32]);
            }
        }
        self.numbers(&all)
    }

    fn distances(&self, distances: Distances) -> Result<Buffer, Error> {
        let buckets: Vec<u32> = distances.buckets().iter().map(|&b| b as u32).collect();
        self.numbers(&buckets)
    }

    fn targets(&self, targets: Vec<(usize, u32)>) -> Result<CudaTargets, Error> {
        let rows: Vec<u32> = targets.iter().map(|&(row, _)| row as u32).collect();
        let tokens: Vec<u32> = targets.iter().map(|&(_, token)| token).collect();
        let mut losses = Buffer::new(&self.kernels.driver, Dtype::F32);
        losses.resize(targets.len() * 3)?;
        Ok(CudaTargets {
            rows: self.numbers(&rows)?,
            tokens: self.numbers(&tokens)?,
            losses,
        })
    }

    fn heads(&self) -> CudaHeads {
        let buffer = || self.buffer(Kind::Activation);
        CudaHeads {
            q: buffer(),
            k: buffer(),
            v: buffer(),
        }
    }

    fn targets_at_a_time(&self) -> usize {
        self.kernels.driver.limits().targets
    }

    fn embed(
        &mut self,
        tokens: &CudaTokens,
        table: (&Buffer, &Range<usize>),
        d: usize,
        out: &mut Buffer,
    ) -> Result<(), Error> {
        self.kernels.embed(view(table), tokens.all.all(), out.all_mut(), d)
    }

    fn embed_backward(
        &mut self,
        tokens: &CudaTokens,
        dout: &Buffer,
        d: usize,
        (dtable, range): (&mut Buffer, &Range<usize>),
    ) -> Result<(), Error> {
        let groups = (tokens.ids.all(), tokens.starts.all(), tokens.positions.all());
        let dtable = dtable.view_mut(range.clone());
        self.kernels.embed_backward(groups, dout.all(), dtable, d)
    }

    fn norm(
        &mut self,
        x: &Buffer,
        weight: (&Buffer, &Range<usize>),
        epsilon: f32,
        y: &mut Buffer,
        inverse: &mut Buffer,
    ) -> Result<(), Error> {
        let (y, inverse) = (y.all_mut(), inverse.all_mut());
        self.kernels.norm(x.all(), view(weight), y, inverse, epsilon)
    }

    fn norm_again(
        &mut self,
        x: &Buffer,
        weight: (&Buffer, &Range<usize>),
        epsilon: f32,
        y: &mut Buffer,
        inverse: &mut Buffer,
    ) -> Result<(), Error> {
        self.norm(x, weight, epsilon, y, inverse)
    }

    fn norm_backward(
        &mut self,
        dy: &Buffer,
        x: &Buffer,
        weight: (&Buffer, &Range<usize>),
        inverse: &Buffer,
        dx: &mut Buffer,
        gradient: Gradient,
        dweight: Option<(&mut Buffer, &Range<usize>)>,
    ) -> Result<(), Error> {
        self.kernels.norm_backward(
            dy.all(),
            x.all(),
            view(weight),
            inverse.all(),
            dx.all_mut(),
            gradient == Gradient::Added,
            dweight.map(|(gradients, at)| gradients.view_mut(at.clone())),
            &mut self.partial,
        )
    }

    fn dropout(&mut self, x: &mut Buffer, site: Site, shape: (usize, usize)) -> Result<(), Error> {
        self.kernels.drop(x.all_mut(), site, shape)
    }

    fn dropped<'s>(
        &mut self,
        dx: &'s Buffer,
        site: Option<Site>,
        shape: (usize, usize),
        scratch: &'s mut Buffer,
    ) -> Result<&'s Buffer, Error> {
        scratch.resize(dx.len())?;
        self.kernels.cast(dx.all(), scratch.all_mut(), site, shape)?;
        Ok(scratch)
    }

    fn gemm(
        &mut self,
        (out, at): (&mut Buffer, &Range<usize>),
        into: Into,
        alpha: f32,
        a: Operand<'_, Buffer>,
        b: Operand<'_, Buffer>,
    ) -> Result<(), Error> {
        let beta = match into {
            Into::Set => 0.0,
            Into::Add => 1.0,
        };
        let out = out.view_mut(at.clone());
        self.kernels.multiply(out, beta, alpha, matrix(a), matrix(b))
    }

    fn residual(
        &mut self,
        x: &Buffer,
        h: Operand<'_, Buffer>,
        w: Operand<'_, Buffer>,
        site: Option<Site>,
        shape: (usize, usize),
        out: &mut Buffer,
        scratch: &mut Buffer,
    ) -> Result<(), Error> {
        let (h, w) = (matrix(h), matrix(w).t());
        match site {
            None => {
                out.copy_from(x)?;
                self.kernels.multiply(out.all_mut(), 1.0, 1.0, h, w)
            }
            Some(_) => {
                scratch.resize(x.len())?;
                self.kernels.multiply(scratch.all_mut(), 0.0, 1.0, h, w)?;
                self.kernels
                    .residual(x.all(), scratch.all(), out.all_mut(), site, shape)
            }
        }
    }

    fn relu(&mut self, hidden: &mut Buffer, site: Option<Site>, shape: (usize, usize)) -> Result<(), Error> {
        self.kernels.relu(hidden.all_mut(), site, shape)
    }

    fn relu_backward(
        &mut self,
        dh: &mut Buffer,
        hidden: &Buffer,
        site: Option<Site>,
        _shape: (usize, usize),
    ) -> Result<(), Error> {
        // What dropout took is 0 in `hidden`, too.
        let factor = site.map_or(1.0, |site| site.scale);
        self.kernels.relu_backward(dh.all_mut(), hidden.all(), factor)
    }

    fn gated(
        &mut self,
        f: Gated,
        pre: &Buffer,
        hidden: &mut Buffer,
        site: Option<Site>,
        shape: (usize, usize),
    ) -> Result<(), Error> {
        self.kernels.gated(f, pre.all(), hidden.all_mut(), site, shape)
    }

    fn gated_backward(
        &mut self,
        f: Gated,
        pre: &mut Buffer,
        dh: &mut Buffer,
        site: Option<Site>,
        shape: (usize, usize),
    ) -> Result<(), Error> {
        self.kernels.gated_backward(f, pre.all_mut(), dh.all(), site, shape)
    }

    fn project(
        &mut self,
        x: Operand<'_, Buffer>,
        w: Operand<'_, Buffer>,
        of: Attention<'_, Self>,
        projection: Projection,
        heads: &mut CudaHeads,
    ) -> Result<(), Error> {
        let (n, stride, width) = (x.rows, w.rows, of.width());
        self.wide.resize(n * stride)?;
        self.kernels
            .multiply(self.wide.all_mut(), 0.0, 1.0, matrix(x), matrix(w).t())?;
        let (queries, keys) = (of.seen.queries, of.seen.keys);
        let CudaHeads { q, k, v } = heads;
        let parts: &mut [(&mut Buffer, Columns)] = match projection {
            Projection::Own => &mut [
                (q, columns(of, queries, stride, 0)),
                (k, columns(of, keys, stride, width)),
                (v, columns(of, keys, stride, 2 * width)),
            ],
            Projection::Queries => &mut [(q, columns(of, queries, stride, 0))],
            Projection::Encoded => &mut [(k, columns(of, keys, stride, 0)), (v, columns(of, keys, stride, width))],
        };
        for (to, columns) in parts {
            to.resize(n * width)?;
            self.kernels.split_heads(self.wide.all(), to.all_mut(), *columns)?;
        }
        Ok(())
    }

    fn attention(
        &mut self,
        of: Attention<'_, Self>,
        heads: &CudaHeads,
        context: &mut Buffer,
        log_sums: &mut Buffer,
    ) -> Result<(), Error> {
        let (queries, keys) = (of.seen.queries, of.seen.keys);
        self.pieces.resize(context.len())?;
        for rows in self.blocks(of) {
            self.score(of, &rows, heads)?;
            self.p.resize(self.scores.len())?;
            let (scores, p) = (self.scores.all_mut(), self.p.all_mut());
            self.kernels.softmax(scored(of, &rows), scores, p, log_sums.all_mut())?;
            let (p, v) = (by_query(of, &self.p, &rows), some_rows(of, &heads.v, &rows, keys));
            let out = self.pieces.view_mut(piece(of, &rows, queries));
            self.kernels.multiply(out, 0.0, 1.0, p, v)?;
        }
        let columns = columns(of, queries, of.width(), 0);
        self.kernels.merge_heads(self.pieces.all(), context.all_mut(), columns)
    }

    fn attention_backward(
        &mut self,
        of: Attention<'_, Self>,
        heads: &CudaHeads,
        (_context, log_sums): (&Buffer, &Buffer),
        dcontext: &Buffer,
        dbias: &mut Buffer,
    ) -> Result<(), Error> {
        let (queries, keys) = (of.seen.queries, of.seen.keys);
        self.pieces.resize(dcontext.len())?;
        let columns = columns(of, queries, of.width(), 0);
        self.kernels
            .split_heads(dcontext.all(), self.pieces.all_mut(), columns)?;
        self.dq.resize(heads.q.len())?;
        self.dk.resize(heads.k.len())?;
        self.dv.resize(heads.v.len())?;
        for rows in self.blocks(of) {
            self.score(of, &rows, heads)?;
            let len = self.scores.len();
            self.dscores.resize(len)?;
            self.p.resize(len)?;
            self.ds.resize(len)?;
            let dcontext = some_rows(of, &self.pieces, &rows, queries);
            let v = some_rows(of, &heads.v, &rows, keys).t();
            self.kernels.multiply(self.dscores.all_mut(), 0.0, 1.0, dcontext, v)?;
            self.kernels.softmax_backward(
                scored(of, &rows),
                (self.scores.all_mut(), self.dscores.all_mut()),
                log_sums.all(),
                (self.p.all_mut(), self.ds.all_mut()),
            )?;
            if of.bias.is_some() {
                let (ds, dbias) = (self.ds.all(), dbias.all_mut());
                self.kernels
                    .bias_backward(ds, shape(of), rows.len(), dbias, &mut self.partial)?;
            }
            let (p, ds) = (by_query(of, &self.p, &rows), by_query(of, &self.ds, &rows));
            let q = some_rows(of, &heads.q, &rows, queries);
            let k = some_rows(of, &heads.k, &rows, keys);
            let (of_queries, of_keys) = (piece(of, &rows, queries), piece(of, &rows, keys));
            let kernels = &self.kernels;
            kernels.multiply(self.dq.view_mut(of_queries), 0.0, 1.0, ds, k)?;
            kernels.multiply(self.dk.view_mut(of_keys.clone()), 0.0, 1.0, ds.t(), q)?;
            kernels.multiply(self.dv.view_mut(of_keys), 0.0, 1.0, p.t(), dcontext)?;
        }
        Ok(())
    }

    fn gather_heads(&mut self, of: Attention<'_, Self>, projection: Projection, out: &mut Buffer) -> Result<(), Error> {
        let (width, queries, keys) = (of.width(), of.seen.queries, of.seen.keys);
        let CudaBackend { dq, dk, dv, .. } = self;
        let parts: &[(&Buffer, Columns)] = match projection {
            Projection::Own => &[
                (dq, columns(of, queries, 3 * width, 0)),
                (dk, columns(of, keys, 3 * width, width)),
                (dv, columns(of, keys, 3 * width, 2 * width)),
            ],
            Projection::Queries => &[(dq, columns(of, queries, width, 0))],
            Projection::Encoded => &[
                (dk, columns(of, keys, 2 * width, 0)),
                (dv, columns(of, keys, 2 * width, width)),
            ],
        };
        for (from, columns) in parts {
            self.kernels.merge_heads(from.all(), out.all_mut(), *columns)?;
        }
        Ok(())
    }

    fn bias_spread(
        &mut self,
        table: (&Buffer, &Range<usize>),
        distances: &Buffer,
        heads: usize,
        bias: &mut Buffer,
    ) -> Result<(), Error> {
        bias.resize(heads * distances.len())?;
        self.kernels
            .bias_spread(view(table), distances.all(), bias.all_mut(), heads)
    }

    fn bias_gather(
        &mut self,
        dbias: &Buffer,
        distances: &Buffer,
        heads: usize,
        (dtable, range): (&mut Buffer, &Range<usize>),
    ) -> Result<(), Error> {
        let dtable = dtable.view_mut(range.clone());
        self.kernels.bias_gather(dbias.all(), distances.all(), dtable, heads)
    }

    fn gather_rows(
        &mut self,
        hidden: &Buffer,
        (targets, some): (&CudaTargets, &Range<usize>),
        d: usize,
        out: &mut Buffer,
    ) -> Result<(), Error> {
        let rows = targets.rows.view(some.clone());
        self.kernels.gather_rows(hidden.all(), rows, out.all_mut(), d)
    }

    fn scatter_rows(
        &mut self,
        rows: &Buffer,
        (targets, some): (&CudaTargets, &Range<usize>),
        d: usize,
        out: &mut Buffer,
    ) -> Result<(), Error> {
        let places = targets.rows.view(some.clone());
        self.kernels.scatter_rows(rows.all(), places, out.all_mut(), d)
    }

    fn cross_entropy(
        &mut self,
        logits: &mut Buffer,
        (targets, some): (&mut CudaTargets, &Range<usize>),
    ) -> Result<(), Error> {
        let tokens = targets.tokens.view(some.clone());
        let losses = targets.losses.view_mut(some.start * 3..some.end * 3);
        self.kernels
            .cross_entropy(logits.all_mut(), tokens, None, losses, (0.0, 0.0))
    }

    fn cross_entropy_backward<'s>(
        &mut self,
        logits: &'s mut Buffer,
        (targets, some): (&mut CudaTargets, &Range<usize>),
        weights: (f32, f32),
        dlogits: &'s mut Buffer,
    ) -> Result<&'s Buffer, Error> {
        dlogits.resize(logits.len())?;
        let tokens = targets.tokens.view(some.clone());
        let losses = targets.losses.view_mut(some.start * 3..some.end * 3);
        let out = Some(dlogits.all_mut());
        self.kernels
            .cross_entropy(logits.all_mut(), tokens, out, losses, weights)?;
        Ok(dlogits)
    }

    fn losses(&mut self, targets: CudaTargets) -> Result<Vec<RowLoss>, Error> {
        let found: Vec<f32> = targets.losses.get()?;
        let rows = found.as_chunks::<3>().0.iter();
        let row = |&[log_z, cross_entropy, correct]: &[f32; 3]| RowLoss {
            log_z,
            cross_entropy,
            correct: correct > 0.0,
        };
        Ok(rows.map(row).collect())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn positions_are_grouped_by_token() {
        let (ids, starts, positions) = super::grouped(&[5, 0, 5, 2, 0, 5]);
        assert_eq!(ids, [0, 2, 5]);
        assert_eq!(starts, [0, 2, 3, 6]);
        assert_eq!(positions, [1, 4, 3, 0, 2, 5]);
        assert_eq!(super::grouped(&[]), (vec![], vec![0], vec![]));
    }
}
