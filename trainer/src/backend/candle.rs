//! The same passes on candle's tensors, with its automatic backward pass: several times as slow and large as the ones written
//! by hand (`trainer/docs/log.md`), and an oracle of them, dropout included.
//!
//! candle's fused softmax and norms have no gradient, so both are built of its elementary operations.

use super::Backend;
use super::cpu::Cpu;
use super::recompute::Recompute;
use crate::Error;
use crate::base::{Batch, Sequences};
use crate::math::dropout::{Dropout, DropoutShape, Site};
use crate::math::elementwise::{self, RowLoss};
use crate::model::{
    self, Activation, AttentionLayout, AttentionMask, Decoder, Distances, FeedForwardLayout, Layout, Loss, ModelConfig,
    StackLayout, T5,
};
use crate::optimizer::Optimizer;
use candle_core::{D, Device, Result, Tensor, Var};
use std::collections::BTreeMap;
use std::ops::Range;

/// Added to the scores of keys that a query does not see.
const UNSEEN: f32 = -1e9;

/// Targets whose logits are in memory at a time where no backward pass wants all of them.
const TARGETS: usize = 512;

/// A model whose passes are candle's; gradients are gathered, and the optimiser steps, as on the CPU.
pub(super) struct Candle {
    cpu: Cpu,
}

impl Candle {
    pub fn new(cpu: Cpu) -> Candle {
        Candle { cpu }
    }

    /// Runs `work` on the decoder's output, `[rows * targets.length, d_model]`, without dropout.
    fn forward<T>(
        &self,
        batch: &Batch,
        work: impl FnOnce(&Twin<'_>, &Tensor) -> Result<T>,
    ) -> std::result::Result<T, Error> {
        let model = &self.cpu.model;
        model::check(model.config(), batch)?;
        let sight = model::sight(model.config(), batch)?;
        let run = || {
            let twin = Twin::new(model.config(), model.layout(), model.parameters(), None)?;
            let (decoder, distances) = &sight.decoder;
            let hidden = twin.forward(batch, sight.encoder.as_ref(), (decoder, distances))?;
            work(&twin, &hidden)
        };
        run().map_err(failed)
    }
}

fn failed(error: candle_core::Error) -> Error {
    Error::Setting(format!("candle: {error}"))
}

impl Backend for Candle {
    fn name(&self) -> Option<&str> {
        Some("candle, on the CPU")
    }

    fn config(&self) -> &ModelConfig {
        self.cpu.config()
    }

    fn zero_gradients(&mut self) -> std::result::Result<(), Error> {
        self.cpu.zero_gradients()
    }

    fn accumulate(&mut self, batch: &Batch, weight: f32, dropout_seed: u64) -> std::result::Result<Loss, Error> {
        let config = self.config().clone();
        model::check(&config, batch)?;
        let sight = model::sight(&config, batch)?;
        let targets = model::targets(&config, batch);
        let dropout = config.dropout_of(dropout_seed);
        let (layout, parameters, gradients) = self.cpu.model.buffers();
        let mut run = || {
            let twin = Twin::new(&config, layout, parameters, dropout)?;
            let (decoder, distances) = &sight.decoder;
            let hidden = twin.forward(batch, sight.encoder.as_ref(), (decoder, distances))?;
            twin.loss(&hidden, &targets, weight, gradients)
        };
        let mut loss = run().map_err(failed)?;
        loss.positions = batch.targets.tokens.len();
        Ok(loss)
    }

    fn target_losses(&mut self, batch: &Batch) -> std::result::Result<Vec<RowLoss>, Error> {
        let targets = model::targets(self.config(), batch);
        self.forward(batch, |twin, hidden| {
            let mut losses = Vec::with_capacity(targets.len());
            for targets in targets.chunks(TARGETS) {
                let rows: Vec<u32> = targets.iter().map(|&(row, _)| row as u32).collect();
                let rows = Tensor::from_vec(rows, targets.len(), &twin.device)?;
                let logits = twin.logits(&hidden.index_select(&rows, 0)?)?.to_vec2::<f32>()?;
                let each = logits.iter().zip(targets);
                losses.extend(each.map(|(row, &(_, token))| elementwise::cross_entropy_row(row, token as usize)));
            }
            Ok(losses)
        })
    }

    fn logits(&mut self, batch: &Batch) -> std::result::Result<Vec<f32>, Error> {
        self.forward(batch, |twin, hidden| twin.logits(hidden)?.flatten_all()?.to_vec1())
    }

    fn decoder(
        &mut self,
        rows: usize,
        inputs: &Sequences,
        beams: usize,
        _max_length: usize,
    ) -> std::result::Result<Box<dyn Decoder + '_>, Error> {
        Ok(Box::new(Recompute::open(self, rows, inputs, beams)?))
    }

    fn gradient_norm(&mut self) -> std::result::Result<f64, Error> {
        self.cpu.gradient_norm()
    }

    fn clip_gradients(&mut self, norm: f64, limit: f64) -> std::result::Result<(), Error> {
        self.cpu.clip_gradients(norm, limit)
    }

    fn update(&mut self, rate: f64, step: u64) -> std::result::Result<(), Error> {
        self.cpu.update(rate, step)
    }

    fn gradients(&self) -> std::result::Result<Vec<f32>, Error> {
        self.cpu.gradients()
    }

    fn host(&mut self) -> std::result::Result<(&T5, Option<&Optimizer>), Error> {
        self.cpu.host()
    }

    fn into_host(self: Box<Self>) -> std::result::Result<(T5, Option<Optimizer>), Error> {
        Box::new(self.cpu).into_host()
    }
}

/// A model's variables on candle, for one batch.
struct Twin<'a> {
    config: &'a ModelConfig,
    layout: &'a Layout,
    /// By where they start in the flat buffer.
    variables: BTreeMap<usize, Var>,
    pub dropout: Option<Dropout>,
    device: Device,
}

/// One stack's surroundings.
struct Stack<'s> {
    layout: &'s StackLayout,
    tokens: &'s [u32],
    sight: (&'s AttentionMask, &'s Distances),
    cross: Option<(&'s AttentionMask, &'s Tensor)>,
    /// Keeps dropout of two stacks apart.
    number: u64,
}

impl<'a> Twin<'a> {
    pub fn new(
        config: &'a ModelConfig,
        layout: &'a Layout,
        parameters: &[f32],
        dropout: Option<Dropout>,
    ) -> Result<Twin<'a>> {
        let device = Device::Cpu;
        let mut variables = BTreeMap::new();
        for variable in layout.variables() {
            let values = &parameters[variable.range.clone()];
            let value = Tensor::from_slice(values, &variable.shape[..], &device)?;
            variables.insert(variable.range.start, Var::from_tensor(&value)?);
        }
        Ok(Twin {
            config,
            layout,
            variables,
            dropout,
            device,
        })
    }

    /// The variable that starts at `start`.
    fn at(&self, start: usize) -> Result<&Tensor> {
        let variable = self.variables.get(&start);
        variable
            .map(Var::as_tensor)
            .ok_or_else(|| candle_core::Error::msg(format!("no variable starts at {start}")))
    }

    /// The output of the decoder, `[rows * targets.length, d_model]`.
    pub fn forward(
        &self,
        batch: &Batch,
        encoder: Option<&(AttentionMask, Distances, AttentionMask)>,
        decoder: (&AttentionMask, &Distances),
    ) -> Result<Tensor> {
        let encoded = match (encoder, &self.layout.encoder) {
            (Some((visibility, distances, _)), Some(layout)) => Some(self.stack(&Stack {
                layout,
                tokens: &batch.inputs.tokens,
                sight: (visibility, distances),
                cross: None,
                number: 0,
            })?),
            _ => None,
        };
        let cross = encoder.map(|(_, _, cross)| cross);
        self.stack(&Stack {
            layout: &self.layout.decoder,
            tokens: &batch.decoder_inputs,
            sight: decoder,
            cross: cross.zip(encoded.as_ref()),
            number: 1,
        })
    }

    fn stack(&self, stack: &Stack<'_>) -> Result<Tensor> {
        let length = stack.sight.0.queries;
        let tokens = Tensor::from_slice(stack.tokens, stack.tokens.len(), &self.device)?;
        let sublayers = stack.layout.layers.iter();
        let sublayers: usize = sublayers.map(|l| 2 + usize::from(l.cross.is_some())).sum();
        let site = |sublayer: usize, place| self.site(stack.number, sublayer, place);
        let mut x = self.at(self.layout.embedding.start)?.index_select(&tokens, 0)?;
        x = self.dropped(x, site(sublayers, 0), length)?;
        let bias = self.bias(stack)?;
        let mut sublayer = 0;
        let mut sites = || {
            sublayer += 1;
            (site(sublayer - 1, 0), site(sublayer - 1, 1))
        };
        for layer in &stack.layout.layers {
            let own = (stack.sight.0, Some(&bias), None);
            x = self.attention(x, &layer.attention, own, sites())?;
            if let (Some(layout), Some((visibility, encoded))) = (&layer.cross, stack.cross) {
                x = self.attention(x, layout, (visibility, None, Some(encoded)), sites())?;
            }
            x = self.feed_forward(x, &layer.feed_forward, length, sites())?;
        }
        let x = self.norm(&x, &stack.layout.norm)?;
        self.dropped(x, site(sublayers, 1), length)
    }

    fn site(&self, stack: u64, sublayer: usize, place: u64) -> Option<Site> {
        Some(self.dropout?.of(stack, sublayer, place))
    }

    /// `x`, `[rows * length, width]`, without what is dropped.
    fn dropped(&self, x: Tensor, site: Option<Site>, length: usize) -> Result<Tensor> {
        let Some(site) = site else { return Ok(x) };
        let mut factors = vec![1.0; x.elem_count()];
        site.apply(&mut factors, length, x.dim(1)?);
        x.mul(&Tensor::from_vec(factors, x.shape(), &self.device)?)
    }

    fn norm(&self, x: &Tensor, weight: &Range<usize>) -> Result<Tensor> {
        let square = x.sqr()?.mean_keepdim(D::Minus1)?;
        let root = (square + f64::from(self.config.norm_epsilon))?.sqrt()?;
        x.broadcast_div(&root)?.broadcast_mul(self.at(weight.start)?)
    }

    /// `x w^T`.
    fn linear(&self, x: &Tensor, weight: usize) -> Result<Tensor> {
        x.matmul(&self.at(weight)?.t()?)
    }

    /// Of relative positions, `[1, heads, queries, keys]`.
    fn bias(&self, stack: &Stack<'_>) -> Result<Tensor> {
        let (visibility, distances) = stack.sight;
        let (queries, keys, heads) = (visibility.queries, visibility.keys, self.config.heads);
        let buckets: Vec<u32> = (0..queries * keys)
            .map(|i| distances.bucket(queries - 1 - i / keys + i % keys) as u32)
            .collect();
        let buckets = Tensor::from_vec(buckets, queries * keys, &self.device)?;
        let bias = self.at(stack.layout.relative_bias.start)?.index_select(&buckets, 0)?;
        bias.t()?.reshape((1, heads, queries, keys))
    }

    /// 0 where a query sees a key, `[rows, 1, queries, keys]`.
    fn mask(&self, visibility: &AttentionMask) -> Result<Tensor> {
        let (rows, queries, keys) = (visibility.rows, visibility.queries, visibility.keys);
        let mut mask = vec![UNSEEN; rows * queries * keys];
        for (i, mask) in mask.chunks_exact_mut(keys).enumerate() {
            mask[visibility.of(i / queries, i % queries)].fill(0.0);
        }
        Tensor::from_vec(mask, (rows, 1, queries, keys), &self.device)
    }

    fn attention(
        &self,
        x: Tensor,
        layout: &AttentionLayout,
        (visibility, bias, encoded): (&AttentionMask, Option<&Tensor>, Option<&Tensor>),
        sites: (Option<Site>, Option<Site>),
    ) -> Result<Tensor> {
        let (heads, d_kv, width) = (self.config.heads, self.config.d_kv, self.config.heads_width());
        let AttentionMask {
            rows, queries, keys, ..
        } = *visibility;
        let y = self.norm(&x, &layout.norm)?;
        let source = encoded.unwrap_or(&y);
        let split = |x: Tensor, length: usize| x.reshape((rows, length, heads, d_kv))?.transpose(1, 2)?.contiguous();
        let q = split(self.linear(&y, layout.q.start)?, queries)?;
        let k = split(self.linear(source, layout.kv.start)?, keys)?;
        let v = split(
            self.linear(source, layout.kv.start + width * self.config.d_model)?,
            keys,
        )?;
        let mut scores = q.matmul(&k.transpose(2, 3)?)?;
        if let Some(bias) = bias {
            scores = scores.broadcast_add(bias)?;
        }
        let scores = scores.broadcast_add(&self.mask(visibility)?)?;
        let highest = scores.max_keepdim(D::Minus1)?.detach();
        let exp = scores.broadcast_sub(&highest)?.exp()?;
        let mut weights = exp.broadcast_div(&exp.sum_keepdim(D::Minus1)?)?;
        if let Some(site) = sites.0 {
            let factors = match site.shape {
                DropoutShape::Elementwise => site.factors(0, weights.elem_count()),
                DropoutShape::AcrossLength => {
                    let shared = site.factors(0, rows * heads * keys);
                    let shared = shared.chunks_exact(keys);
                    shared.flat_map(|shared| shared.repeat(queries)).collect()
                }
            };
            weights = weights.mul(&Tensor::from_vec(factors, weights.shape(), &self.device)?)?;
        }
        let mixed = weights.matmul(&v)?.transpose(1, 2)?.contiguous()?;
        let out = self.linear(&mixed.reshape((rows * queries, width))?, layout.o.start)?;
        x + self.dropped(out, sites.1, queries)?
    }

    fn feed_forward(
        &self,
        x: Tensor,
        layout: &FeedForwardLayout,
        length: usize,
        sites: (Option<Site>, Option<Site>),
    ) -> Result<Tensor> {
        let y = self.norm(&x, &layout.norm)?;
        let first = self.linear(&y, layout.wi.start)?;
        let hidden = match self.config.activation {
            Activation::Relu => first.relu()?,
            gated => {
                let second = layout.wi.start + self.config.d_ff * self.config.d_model;
                let first = match gated {
                    Activation::GatedSilu => first.silu()?,
                    _ => first.gelu()?,
                };
                first.mul(&self.linear(&y, second)?)?
            }
        };
        let hidden = self.dropped(hidden, sites.0, length)?;
        let out = self.linear(&hidden, layout.wo.start)?;
        x + self.dropped(out, sites.1, length)?
    }

    /// The logits of rows of `hidden`, `[n, d_model]` to `[n, vocab]`.
    fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        let hidden = (hidden * f64::from(model::head_scale(self.config)))?;
        self.linear(&hidden, self.layout.head.start)
    }

    /// The loss of the targets `(row of hidden, token)`, and `weight` times its gradients, which are added to `gradients`.
    pub fn loss(&self, hidden: &Tensor, targets: &[(usize, u32)], weight: f32, gradients: &mut [f32]) -> Result<Loss> {
        let mut loss = Loss {
            targets: targets.len(),
            ..Loss::default()
        };
        if targets.is_empty() {
            return Ok(loss);
        }
        let rows: Vec<u32> = targets.iter().map(|&(row, _)| row as u32).collect();
        let tokens: Vec<u32> = targets.iter().map(|&(_, token)| token).collect();
        let rows = Tensor::from_vec(rows, targets.len(), &self.device)?;
        let tokens = Tensor::from_vec(tokens, (targets.len(), 1), &self.device)?;
        let logits = self.logits(&hidden.index_select(&rows, 0)?)?;
        let highest = logits.max_keepdim(D::Minus1)?.detach();
        let sum = logits.broadcast_sub(&highest)?.exp()?.sum_keepdim(D::Minus1)?;
        let log_z = (sum.log()? + &highest)?;
        let said = logits.gather(&tokens, 1)?;
        let cross_entropy = (&log_z - &said)?;
        let z_loss = (log_z.sqr()? * f64::from(self.config.z_loss))?;
        let total = ((&cross_entropy + z_loss)?.sum_all()? * f64::from(weight))?;
        let column = |x: &Tensor| x.flatten_all()?.to_vec1::<f32>();
        loss.cross_entropy = column(&cross_entropy)?.into_iter().map(f64::from).sum();
        loss.log_z_squares = column(&log_z)?.into_iter().map(|z| f64::from(z) * f64::from(z)).sum();
        let (said, highest) = (column(&said)?, column(&highest)?);
        loss.correct = said
            .iter()
            .zip(&highest)
            .filter(|(said, highest)| said >= highest)
            .count();
        let found = total.backward()?;
        for (start, variable) in &self.variables {
            if let Some(gradient) = found.get(variable.as_tensor()) {
                let values = column(gradient)?;
                let to = &mut gradients[*start..start + values.len()];
                elementwise::add(to, &values);
            }
        }
        Ok(loss)
    }
}
