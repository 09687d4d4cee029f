//! Candle, on the CPU, as a `model::Backend`: each operation is written as a formula of candle's tensors, and its
//! backward pass is candle's automatic one. Several times as slow and large as the operations written by hand
//! (`trainer/docs/log.md`), and an oracle of them, dropout included. What only moves values is the CPU's.
//!
//! candle's fused softmax and norms have no gradient, so both are built of its elementary operations.
//!
//! Above 500 lines: one function an operation.

use crate::Error;
use crate::math::dropout::{DropoutShape, Site};
use crate::math::elementwise::{Gated, RowLoss, add};
use crate::math::matrix::Into;
use crate::model::{
    Attention, AttentionMask, Backend, CpuBackend, CpuHeads, CpuTargets, Distances, Gradient, Kind, Operand, Projection,
};
use candle_core::{D, DType, Device, Result as Candle, Tensor, Var};
use std::ops::Range;

/// Added to the scores of keys that a query does not see.
const UNSEEN: f32 = -1e9;
/// Targets whose logits are in memory at a time.
const TARGETS: usize = 512;

/// Candle, with the gradients of the last attention.
#[derive(Debug, Default)]
pub(super) struct CandleBackend {
    cpu: CpuBackend,
    dq: Vec<f32>,
    dkv: Vec<f32>,
}

fn failed(error: candle_core::Error) -> Error {
    Error::Setting(format!("candle: {error}"))
}

fn tensor(values: &[f32], shape: &[usize]) -> Candle<Tensor> {
    Tensor::from_slice(values, shape, &Device::Cpu)
}

fn variable(values: &[f32], shape: &[usize]) -> Candle<Var> {
    Var::from_tensor(&tensor(values, shape)?)
}

fn values(tensor: &Tensor) -> Candle<Vec<f32>> {
    tensor.flatten_all()?.to_vec1()
}

/// The gradients of `sum(y * dy)` by some variables.
fn gradients(y: &Tensor, dy: &[f32], by: &[&Var]) -> Candle<Vec<Vec<f32>>> {
    let found = y.mul(&tensor(dy, y.dims())?)?.sum_all()?.backward()?;
    let of = |variable: &&Var| match found.get(variable.as_tensor()) {
        Some(gradient) => values(gradient),
        None => Ok(vec![0.0; variable.elem_count()]),
    };
    by.iter().map(of).collect()
}

fn matrix(of: Operand<'_, Vec<f32>>) -> Candle<Tensor> {
    let matrix = tensor(&of.buffer[of.range()], &[of.rows, of.cols])?;
    if of.transposed {
        matrix.t()?.contiguous()
    } else {
        Ok(matrix)
    }
}

fn norm(x: &Tensor, weight: &Tensor, epsilon: f32) -> Candle<Tensor> {
    let square = x.sqr()?.mean_keepdim(D::Minus1)?;
    let root = (square + f64::from(epsilon))?.sqrt()?;
    x.broadcast_div(&root)?.broadcast_mul(weight)
}

/// 0, or what keeps the mean, for each element of `[batch, length, width]`.
fn factors(site: Option<Site>, len: usize, (length, width): (usize, usize)) -> Vec<f32> {
    let mut factors = vec![1.0; len];
    if let Some(site) = site {
        site.apply(&mut factors, length, width);
    }
    factors
}

/// `f(pre[.., 0]) * pre[.., 1]`, of `[n, 2, d_ff]`.
fn gated(f: Gated, pre: &Tensor) -> Candle<Tensor> {
    let (first, second) = (pre.narrow(1, 0, 1)?, pre.narrow(1, 1, 1)?);
    let first = match f {
        Gated::Silu => first.silu()?,
        Gated::Gelu => first.gelu()?,
    };
    first.mul(&second)?.squeeze(1)
}

/// 0 where a query sees a key, `[batch, 1, queries, keys]`.
fn mask(mask: &AttentionMask) -> Candle<Tensor> {
    let (rows, queries, keys) = (mask.rows, mask.queries, mask.keys);
    let mut unseen = vec![UNSEEN; rows * queries * keys];
    for (i, row) in unseen.chunks_exact_mut(keys).enumerate() {
        row[mask.of(i / queries, i % queries)].fill(0.0);
    }
    tensor(&unseen, &[rows, 1, queries, keys])
}

/// Of attention's probabilities, `[batch, heads, queries, keys]`.
fn probability_factors(of: Attention<'_, CandleBackend>) -> Option<Vec<f32>> {
    let (site, seen) = (of.dropout?, of.seen);
    let all = seen.rows * of.heads * seen.keys;
    Some(match site.shape {
        DropoutShape::Elementwise => site.factors(0, all * seen.queries),
        DropoutShape::AcrossLength => {
            let shared = site.factors(0, all);
            let shared = shared.chunks_exact(seen.keys);
            shared.flat_map(|shared| shared.repeat(seen.queries)).collect()
        }
    })
}

/// `[n, width]` of columns `[n, parts, width]`.
fn attend(of: Attention<'_, CandleBackend>, q: &Tensor, kv: &Tensor, bias: Option<&Tensor>) -> Candle<Tensor> {
    let (seen, heads, d_kv) = (of.seen, of.heads, of.d_kv);
    let split = |columns: &Tensor, part: usize, length: usize| {
        let part = columns.narrow(1, part, 1)?;
        let heads = part.reshape((seen.rows, length, heads, d_kv))?;
        heads.transpose(1, 2)?.contiguous()
    };
    let own = usize::from(bias.is_some());
    let q = split(q, 0, seen.queries)?;
    let (k, v) = (split(kv, own, seen.keys)?, split(kv, own + 1, seen.keys)?);
    let mut scores = q.matmul(&k.transpose(2, 3)?)?;
    if let Some(bias) = bias {
        let (queries, keys) = (seen.queries, seen.keys);
        let distance = |i: usize| (queries - 1 - i / keys + i % keys) as u32;
        let distances: Vec<u32> = (0..queries * keys).map(distance).collect();
        let distances = Tensor::from_vec(distances, queries * keys, &Device::Cpu)?;
        let bias = bias.index_select(&distances, 1)?.reshape((1, heads, queries, keys))?;
        scores = scores.broadcast_add(&bias)?;
    }
    let scores = scores.broadcast_add(&mask(&seen.mask)?)?;
    let highest = scores.max_keepdim(D::Minus1)?.detach();
    let exp = scores.broadcast_sub(&highest)?.exp()?;
    let mut p = exp.broadcast_div(&exp.sum_keepdim(D::Minus1)?)?;
    if let Some(factors) = probability_factors(of) {
        p = p.mul(&tensor(&factors, p.dims())?)?;
    }
    let context = p.matmul(&v)?.transpose(1, 2)?.contiguous()?;
    context.reshape((seen.rows * seen.queries, of.width()))
}

/// Queries' columns, and those of keys and values; one variable twice where they lie side by side.
fn columns(of: Attention<'_, CandleBackend>, heads: &CpuHeads) -> Candle<(Var, Var)> {
    let width = of.width();
    let columns = |values: &[f32], parts: usize| variable(values, &[values.len() / (parts * width), parts, width]);
    match of.bias {
        Some(_) => {
            let own = columns(&heads.q, 3)?;
            Ok((own.clone(), own))
        }
        None => Ok((columns(&heads.q, 1)?, columns(&heads.kv, 2)?)),
    }
}

fn bias_variable(of: Attention<'_, CandleBackend>) -> Candle<Option<Var>> {
    let bias = of.bias.map(|bias| variable(bias, &[of.heads, bias.len() / of.heads]));
    bias.transpose()
}

/// Cross entropy and `ln(Z)` of rows of logits, `[n, 1]` each, and the losses that they are.
fn losses(logits: &Tensor, tokens: &[(usize, u32)]) -> Candle<(Tensor, Tensor, Vec<RowLoss>)> {
    let tokens: Vec<u32> = tokens.iter().map(|&(_, token)| token).collect();
    let tokens = Tensor::from_vec(tokens, (logits.dim(0)?, 1), &Device::Cpu)?;
    let highest = logits.max_keepdim(D::Minus1)?.detach();
    let sum = logits.broadcast_sub(&highest)?.exp()?.sum_keepdim(D::Minus1)?;
    let log_z = (sum.log()? + &highest)?;
    let said = logits.gather(&tokens, 1)?;
    let cross_entropy = (&log_z - &said)?;
    let numbers = values(&log_z)?.into_iter().zip(values(&cross_entropy)?);
    let correct = values(&said)?.into_iter().zip(values(&highest)?);
    let rows = numbers
        .zip(correct)
        .map(|((log_z, cross_entropy), (said, highest))| RowLoss {
            log_z,
            cross_entropy,
            correct: said >= highest,
        });
    let rows = rows.collect();
    Ok((cross_entropy, log_z, rows))
}

impl Backend for CandleBackend {
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
        self.cpu.resize(buffer, len)
    }

    fn zero(&mut self, buffer: &mut Vec<f32>) -> Result<(), Error> {
        self.cpu.zero(buffer)
    }

    fn zero_part(&mut self, buffer: &mut Vec<f32>, at: &Range<usize>) -> Result<(), Error> {
        self.cpu.zero_part(buffer, at)
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
        self.cpu.targets(targets)
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
        table: (&Vec<f32>, &Range<usize>),
        d: usize,
        out: &mut Vec<f32>,
    ) -> Result<(), Error> {
        self.cpu.embed(tokens, table, d, out)
    }

    fn embed_backward(
        &mut self,
        tokens: &Vec<u32>,
        dout: &Vec<f32>,
        d: usize,
        dtable: (&mut Vec<f32>, &Range<usize>),
    ) -> Result<(), Error> {
        self.cpu.embed_backward(tokens, dout, d, dtable)
    }

    fn norm(
        &mut self,
        x: &Vec<f32>,
        (weights, range): (&Vec<f32>, &Range<usize>),
        epsilon: f32,
        y: &mut Vec<f32>,
        inverse: &mut Vec<f32>,
    ) -> Result<(), Error> {
        let d = range.len();
        // The backward pass wants to know epsilon again.
        inverse.fill(epsilon);
        let norm = || {
            let x = tensor(x, &[x.len() / d, d])?;
            values(&norm(&x, &tensor(&weights[range.clone()], &[d])?, epsilon)?)
        };
        *y = norm().map_err(failed)?;
        Ok(())
    }

    fn norm_again(
        &mut self,
        x: &Vec<f32>,
        weight: (&Vec<f32>, &Range<usize>),
        epsilon: f32,
        y: &mut Vec<f32>,
        inverse: &mut Vec<f32>,
    ) -> Result<(), Error> {
        self.norm(x, weight, epsilon, y, inverse)
    }

    fn norm_backward(
        &mut self,
        dy: &Vec<f32>,
        x: &Vec<f32>,
        (weights, range): (&Vec<f32>, &Range<usize>),
        inverse: &Vec<f32>,
        dx: &mut Vec<f32>,
        gradient: Gradient,
        dweight: Option<(&mut Vec<f32>, &Range<usize>)>,
    ) -> Result<(), Error> {
        let d = range.len();
        let epsilon = inverse.first().copied().unwrap_or_default();
        let backward = || {
            let (x, weight) = (
                variable(x, &[x.len() / d, d])?,
                variable(&weights[range.clone()], &[d])?,
            );
            gradients(&norm(&x, &weight, epsilon)?, dy, &[&x, &weight])
        };
        let found = backward().map_err(failed)?;
        match gradient {
            Gradient::Set => dx.copy_from_slice(&found[0]),
            Gradient::Added => add(dx, &found[0]),
        }
        if let Some((gradients, at)) = dweight {
            add(&mut gradients[at.clone()], &found[1]);
        }
        Ok(())
    }

    fn dropout(&mut self, x: &mut Vec<f32>, site: Site, shape: (usize, usize)) -> Result<(), Error> {
        self.cpu.dropout(x, site, shape)
    }

    fn dropped<'s>(
        &mut self,
        dx: &'s Vec<f32>,
        site: Option<Site>,
        shape: (usize, usize),
        scratch: &'s mut Vec<f32>,
    ) -> Result<&'s Vec<f32>, Error> {
        self.cpu.dropped(dx, site, shape, scratch)
    }

    fn gemm(
        &mut self,
        (out, at): (&mut Vec<f32>, &Range<usize>),
        into: Into,
        alpha: f32,
        a: Operand<'_, Vec<f32>>,
        b: Operand<'_, Vec<f32>>,
    ) -> Result<(), Error> {
        let product = || values(&(matrix(a)?.matmul(&matrix(b)?)? * f64::from(alpha))?);
        let product = product().map_err(failed)?;
        match into {
            Into::Set => out[at.clone()].copy_from_slice(&product),
            Into::Add => add(&mut out[at.clone()], &product),
        }
        Ok(())
    }

    fn residual(
        &mut self,
        x: &Vec<f32>,
        h: Operand<'_, Vec<f32>>,
        w: Operand<'_, Vec<f32>>,
        site: Option<Site>,
        shape: (usize, usize),
        out: &mut Vec<f32>,
        _scratch: &mut Vec<f32>,
    ) -> Result<(), Error> {
        let residual = || {
            let product = matrix(h)?.matmul(&matrix(w.t())?)?;
            let factors = tensor(&factors(site, x.len(), shape), product.dims())?;
            values(&(tensor(x, product.dims())? + product.mul(&factors)?)?)
        };
        *out = residual().map_err(failed)?;
        Ok(())
    }

    fn relu(&mut self, hidden: &mut Vec<f32>, site: Option<Site>, shape: (usize, usize)) -> Result<(), Error> {
        let relu = || {
            let factors = tensor(&factors(site, hidden.len(), shape), &[hidden.len()])?;
            values(&tensor(hidden, &[hidden.len()])?.relu()?.mul(&factors)?)
        };
        let done = relu().map_err(failed)?;
        *hidden = done;
        Ok(())
    }

    fn relu_backward(
        &mut self,
        dh: &mut Vec<f32>,
        hidden: &Vec<f32>,
        site: Option<Site>,
        _shape: (usize, usize),
    ) -> Result<(), Error> {
        // By a formula: candle's slope of relu at 0 is 1, and what was taken is 0 here. What dropout took is 0, too.
        let backward = || {
            let slope = tensor(hidden, &[hidden.len()])?.gt(0f32)?.to_dtype(DType::F32)?;
            let scale = site.map_or(1.0, |site| f64::from(site.scale));
            values(&(tensor(dh, &[dh.len()])?.mul(&slope)? * scale)?)
        };
        let found = backward().map_err(failed)?;
        *dh = found;
        Ok(())
    }

    fn gated(
        &mut self,
        f: Gated,
        pre: &Vec<f32>,
        hidden: &mut Vec<f32>,
        site: Option<Site>,
        shape: (usize, usize),
    ) -> Result<(), Error> {
        let forward = || {
            let n = hidden.len() / shape.1;
            let factors = tensor(&factors(site, hidden.len(), shape), &[n, shape.1])?;
            values(&gated(f, &tensor(pre, &[n, 2, shape.1])?)?.mul(&factors)?)
        };
        let done = forward().map_err(failed)?;
        *hidden = done;
        Ok(())
    }

    fn gated_backward(
        &mut self,
        f: Gated,
        pre: &mut Vec<f32>,
        dh: &mut Vec<f32>,
        site: Option<Site>,
        shape: (usize, usize),
    ) -> Result<(), Error> {
        let backward = || {
            let n = dh.len() / shape.1;
            let pre = variable(pre, &[n, 2, shape.1])?;
            let factors = tensor(&factors(site, dh.len(), shape), &[n, shape.1])?;
            Ok(gradients(&gated(f, &pre)?.mul(&factors)?, dh, &[&pre])?.remove(0))
        };
        let found = backward().map_err(failed)?;
        *pre = found;
        Ok(())
    }

    fn project(
        &mut self,
        x: Operand<'_, Vec<f32>>,
        w: Operand<'_, Vec<f32>>,
        _of: Attention<'_, Self>,
        projection: Projection,
        heads: &mut CpuHeads,
    ) -> Result<(), Error> {
        let project = || values(&matrix(x)?.matmul(&matrix(w.t())?)?);
        let columns = project().map_err(failed)?;
        match projection {
            Projection::Own | Projection::Queries => heads.q = columns,
            Projection::Encoded => heads.kv = columns,
        }
        Ok(())
    }

    fn attention(
        &mut self,
        of: Attention<'_, Self>,
        heads: &CpuHeads,
        context: &mut Vec<f32>,
        _log_sums: &mut Vec<f32>,
    ) -> Result<(), Error> {
        let attention = || {
            let (q, kv) = columns(of, heads)?;
            let bias = bias_variable(of)?;
            values(&attend(of, &q, &kv, bias.as_ref().map(Var::as_tensor))?)
        };
        *context = attention().map_err(failed)?;
        Ok(())
    }

    fn attention_backward(
        &mut self,
        of: Attention<'_, Self>,
        heads: &CpuHeads,
        _: (&Vec<f32>, &Vec<f32>),
        dcontext: &Vec<f32>,
        dbias: &mut Vec<f32>,
    ) -> Result<(), Error> {
        let backward = || {
            let (q, kv) = columns(of, heads)?;
            let bias = bias_variable(of)?;
            let context = attend(of, &q, &kv, bias.as_ref().map(Var::as_tensor))?;
            let mut by = vec![&q, &kv];
            by.extend(&bias);
            gradients(&context, dcontext, &by)
        };
        let mut found = backward().map_err(failed)?.into_iter();
        self.dq = found.next().unwrap_or_default();
        self.dkv = found.next().unwrap_or_default();
        if let Some(gradient) = found.next() {
            add(dbias, &gradient);
        }
        Ok(())
    }

    fn gather_heads(
        &mut self,
        _of: Attention<'_, Self>,
        projection: Projection,
        out: &mut Vec<f32>,
    ) -> Result<(), Error> {
        let columns = match projection {
            Projection::Own | Projection::Queries => &mut self.dq,
            Projection::Encoded => &mut self.dkv,
        };
        *out = std::mem::take(columns);
        Ok(())
    }

    fn bias_spread(
        &mut self,
        table: (&Vec<f32>, &Range<usize>),
        distances: &Distances,
        heads: usize,
        bias: &mut Vec<f32>,
    ) -> Result<(), Error> {
        self.cpu.bias_spread(table, distances, heads, bias)
    }

    fn bias_gather(
        &mut self,
        dbias: &Vec<f32>,
        distances: &Distances,
        heads: usize,
        dtable: (&mut Vec<f32>, &Range<usize>),
    ) -> Result<(), Error> {
        self.cpu.bias_gather(dbias, distances, heads, dtable)
    }

    fn gather_rows(
        &mut self,
        hidden: &Vec<f32>,
        (targets, some): (&CpuTargets, &Range<usize>),
        d: usize,
        out: &mut Vec<f32>,
    ) -> Result<(), Error> {
        self.cpu.gather_rows(hidden, (targets, some), d, out)
    }

    fn scatter_rows(
        &mut self,
        rows: &Vec<f32>,
        (targets, some): (&CpuTargets, &Range<usize>),
        d: usize,
        out: &mut Vec<f32>,
    ) -> Result<(), Error> {
        self.cpu.scatter_rows(rows, (targets, some), d, out)
    }

    fn cross_entropy(
        &mut self,
        logits: &mut Vec<f32>,
        (targets, some): (&mut CpuTargets, &Range<usize>),
    ) -> Result<(), Error> {
        let (n, tokens) = (some.len(), &targets.targets[some.clone()]);
        let found = tensor(logits, &[n, logits.len() / n]).and_then(|logits| losses(&logits, tokens));
        targets.losses.extend(found.map_err(failed)?.2);
        Ok(())
    }

    fn cross_entropy_backward<'s>(
        &mut self,
        logits: &'s mut Vec<f32>,
        (targets, some): (&mut CpuTargets, &Range<usize>),
        (weight, z_loss): (f32, f32),
        dlogits: &'s mut Vec<f32>,
    ) -> Result<&'s Vec<f32>, Error> {
        let (n, tokens) = (some.len(), &targets.targets[some.clone()]);
        let backward = || {
            let logits = variable(logits, &[n, logits.len() / n])?;
            let (cross_entropy, log_z, rows) = losses(&logits, tokens)?;
            let total = (cross_entropy + (log_z.sqr()? * f64::from(z_loss))?)?;
            let each = vec![weight; n];
            Ok((rows, gradients(&total, &each, &[&logits])?.remove(0)))
        };
        let (rows, gradient) = backward().map_err(failed)?;
        targets.losses.extend(rows);
        *dlogits = gradient;
        Ok(dlogits)
    }

    fn losses(&mut self, targets: CpuTargets) -> Result<Vec<RowLoss>, Error> {
        Ok(targets.losses)
    }
}
