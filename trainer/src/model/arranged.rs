//! A model arranged for decoding: each matrix once in panels ([`Packed`]), positions of all sequences as rows without
//! padding.
//!
//! Every operation here works on rows or on one sequence alone, with sums in an order that nothing beside it changes:
//! what a model says to an input is the same to the bit in every batch, and on any number of threads.

use super::attention_mask::AttentionMask;
use super::config::ModelConfig;
use super::embedding;
use super::layout::{AttentionLayout, FeedForwardLayout, LayerLayout, Layout};
use super::norm;
use super::relative_position::bucket;
use super::scores::{HostAttention, Projected, weave};
use crate::Error;
use crate::base::{Sequences, memory};
use crate::math::elementwise::{self, Gated};
use crate::math::kept::EncodedKeys;
use crate::math::matrix::Into;
use crate::math::packed::Packed;
use std::ops::Range;

/// Positions that an encoder takes at a time, unless one input alone has more: their memory is used again.
const POSITIONS: usize = 2048;

/// The matrices of an attention.
#[derive(Debug)]
pub(super) struct ArrangedAttention {
    /// Queries, and where keys and values are of the same positions, they too.
    pub first: Packed,
    /// Keys and values of other positions.
    pub kv: Option<Packed>,
    pub o: Packed,
}

/// The matrices of a layer.
#[derive(Debug)]
pub(super) struct ArrangedLayer {
    pub attention: ArrangedAttention,
    pub cross: Option<ArrangedAttention>,
    pub feed_forward: ArrangedFeedForward,
    /// Behind the feed-forward layer, where the model has adapters.
    pub adapter: Option<ArrangedFeedForward>,
}

/// The matrices of a feed-forward layer, or of an adapter.
#[derive(Debug)]
pub(super) struct ArrangedFeedForward {
    wi: Packed,
    wo: Packed,
}

/// The matrices of a model, arranged.
#[derive(Debug)]
pub(crate) struct Arranged {
    pub(super) encoder: Vec<ArrangedLayer>,
    pub(super) decoder: Vec<ArrangedLayer>,
    pub(super) head: Packed,
}

impl Arranged {
    /// Arranges a model's matrices: as many bytes again as they have.
    ///
    /// # Errors
    /// More than the machine's memory holds.
    pub fn new(config: &ModelConfig, layout: &Layout, parameters: &[f32]) -> Result<Arranged, Error> {
        let bytes = (layout.len() as u64).saturating_mul(2 * size_of::<f32>() as u64);
        memory::refuse_too_much("decoding, which arranges the model's matrices anew,", bytes)?;
        let d = config.d_model;
        let pack = |range: &Range<usize>, depth: usize| Packed::new(&parameters[range.clone()], depth);
        let attention = |layout: &AttentionLayout, first: &Range<usize>, kv: Option<&Range<usize>>| ArrangedAttention {
            first: pack(first, d),
            kv: kv.map(|kv| pack(kv, d)),
            o: pack(&layout.o, config.heads_width()),
        };
        let feed_forward = |layout: &FeedForwardLayout, width: usize| ArrangedFeedForward {
            wi: pack(&layout.wi, d),
            wo: pack(&layout.wo, width),
        };
        let layer = |layer: &LayerLayout| ArrangedLayer {
            attention: attention(&layer.attention, &layer.attention.qkv, None),
            cross: layer
                .cross
                .as_ref()
                .map(|cross| attention(cross, &cross.q, Some(&cross.kv))),
            feed_forward: feed_forward(&layer.feed_forward, config.d_ff),
            adapter: layer
                .adapter
                .as_ref()
                .map(|adapter| feed_forward(adapter, config.adapter)),
        };
        let encoder = layout.encoder.iter().flat_map(|stack| &stack.layers);
        Ok(Arranged {
            encoder: encoder.map(layer).collect(),
            decoder: layout.decoder.layers.iter().map(layer).collect(),
            head: pack(&layout.head, d),
        })
    }
}

/// A model as decoding reads it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weights<'m> {
    pub config: &'m ModelConfig,
    pub layout: &'m Layout,
    pub parameters: &'m [f32],
    pub arranged: &'m Arranged,
}

/// Memory of a pass, used again.
#[derive(Debug, Default)]
pub(super) struct RowMemory {
    /// Normed rows, `[n, d_model]`.
    pub y: Vec<f32>,
    inverse: Vec<f32>,
    /// Queries, keys and values, or hidden values.
    pub wide: Vec<f32>,
    gated: Vec<f32>,
    /// `[n, width]`.
    pub context: Vec<f32>,
}

impl<'m> Weights<'m> {
    /// Rows of the embedding, `[tokens, d_model]`.
    pub fn embed(&self, tokens: &[u32], x: &mut Vec<f32>) {
        let d = self.config.d_model;
        x.resize(tokens.len() * d, 0.0);
        embedding::forward(tokens, &self.parameters[self.layout.embedding.clone()], d, x);
    }

    /// Fills `memory.y` with the rows of `x`, normed.
    pub fn norm(&self, x: &[f32], weight: &Range<usize>, memory: &mut RowMemory) {
        memory.y.resize(x.len(), 0.0);
        memory.inverse.resize(x.len() / weight.len(), 0.0);
        let weight = &self.parameters[weight.clone()];
        let (y, inverse) = (&mut memory.y, &mut memory.inverse);
        norm::forward(x, weight, self.config.norm_epsilon, y, inverse);
    }

    /// Fills `memory.wide` with the normed rows of `x` times `matrix`.
    pub fn normed_product(&self, x: &[f32], weight: &Range<usize>, matrix: &Packed, memory: &mut RowMemory) {
        self.norm(x, weight, memory);
        memory.wide.resize(x.len() / weight.len() * matrix.columns(), 0.0);
        matrix.multiply(&mut memory.wide, Into::Set, 1.0, &memory.y);
    }

    /// Adds the result of a layer's feed-forward sublayer to `x`, and then its adapter's.
    pub fn feed_forward(&self, layout: &LayerLayout, layer: &ArrangedLayer, x: &mut [f32], memory: &mut RowMemory) {
        let gated = self.config.activation.gated();
        self.sublayer(&layout.feed_forward, &layer.feed_forward, gated, x, memory);
        if let (Some(layout), Some(adapter)) = (&layout.adapter, &layer.adapter) {
            self.sublayer(layout, adapter, None, x, memory);
        }
    }

    fn sublayer(
        &self,
        layout: &FeedForwardLayout,
        matrices: &ArrangedFeedForward,
        gated: Option<Gated>,
        x: &mut [f32],
        memory: &mut RowMemory,
    ) {
        self.normed_product(x, &layout.norm, &matrices.wi, memory);
        let hidden = match gated {
            None => {
                elementwise::relu(&mut memory.wide);
                &memory.wide
            }
            Some(f) => {
                let d_ff = matrices.wi.columns() / 2;
                memory.gated.resize(memory.wide.len() / 2, 0.0);
                let rows = memory.wide.chunks_exact(2 * d_ff);
                let rows = rows.zip(memory.gated.chunks_exact_mut(d_ff));
                rows.for_each(|(pre, gated)| elementwise::gated_row(f, pre, gated));
                &memory.gated
            }
        };
        matrices.wo.multiply(x, Into::Add, 1.0, hidden);
    }

    /// The biases of distances `from..to`, keys less queries, `[heads, distances]`.
    pub fn biases(&self, table: &Range<usize>, distances: Range<i64>, bidirectional: bool) -> Vec<f32> {
        let (config, table) = (self.config, &self.parameters[table.clone()]);
        let bucket = |distance| {
            bucket(
                distance,
                bidirectional,
                config.relative_buckets,
                config.relative_max_distance,
            )
        };
        let buckets: Vec<usize> = distances.map(bucket).collect();
        let of_head = |head| buckets.iter().map(move |bucket| table[bucket * config.heads + head]);
        (0..config.heads).flat_map(of_head).collect()
    }

    /// The keys and values of inputs for attention from the decoder, by layer and row.
    pub fn encode(&self, inputs: &[&[u32]]) -> Result<Vec<Vec<EncodedKeys>>, Error> {
        let mut encoded: Vec<Vec<EncodedKeys>> = self.arranged.decoder.iter().map(|_| Vec::new()).collect();
        let mut memory = RowMemory::default();
        let mut start = 0;
        while start < inputs.len() {
            let mut positions = inputs[start].len();
            let mut end = start + 1;
            while end < inputs.len() && positions + inputs[end].len() <= POSITIONS {
                positions += inputs[end].len();
                end += 1;
            }
            self.encode_some(&inputs[start..end], &mut memory)?;
            let (d, width) = (self.config.d_model, self.config.heads_width());
            let RowMemory { y, wide, .. } = &mut memory;
            for (layer, encoded) in self.arranged.decoder.iter().zip(&mut encoded) {
                let Some(kv) = layer.cross.as_ref().and_then(|cross| cross.kv.as_ref()) else {
                    continue;
                };
                wide.resize(y.len() / d * 2 * width, 0.0);
                kv.multiply(wide, Into::Set, 1.0, y);
                let mut rest = &wide[..];
                for input in &inputs[start..end] {
                    let (kv, after) = rest.split_at(input.len() * 2 * width);
                    encoded.push(EncodedKeys::new(kv, self.config.heads, self.config.d_kv));
                    rest = after;
                }
            }
            start = end;
        }
        Ok(encoded)
    }

    /// Fills `memory.y` with the encoder's output of some inputs, one after the other, `[positions, d_model]`.
    fn encode_some(&self, inputs: &[&[u32]], memory: &mut RowMemory) -> Result<(), Error> {
        let Some(stack) = &self.layout.encoder else {
            return Err(Error::Setting("a language model has no encoder".into()));
        };
        let config = self.config;
        let (width, tokens) = (config.heads_width(), inputs.concat());
        let mut x = Vec::new();
        self.embed(&tokens, &mut x);
        let longest = inputs.iter().map(|input| input.len()).max().unwrap_or_default() as i64;
        let all = 1 - longest..longest;
        let mut spread = &(0..0);
        let mut biases = Vec::new();
        let mut pieces = Vec::new();
        let (mut bias, mut log_sums) = (Vec::new(), Vec::new());
        for (layer, arranged) in stack.layers.iter().zip(&self.arranged.encoder) {
            if *spread != layer.relative_bias {
                spread = &layer.relative_bias;
                biases = self.biases(spread, all.clone(), true);
            }
            self.normed_product(&x, &layer.attention.norm, &arranged.attention.first, memory);
            memory.context.resize(tokens.len() * width, 0.0);
            let (mut qkv, mut context) = (&memory.wide[..], &mut memory.context[..]);
            // Of which length `bias` is.
            let mut length = 0;
            for input in inputs.iter().filter(|input| !input.is_empty()) {
                let (own, rest) = qkv.split_at(input.len() * 3 * width);
                let (out, after) = context.split_at_mut(input.len() * width);
                (qkv, context) = (rest, after);
                if length != input.len() {
                    length = input.len();
                    bias.clear();
                    for biases in biases.chunks_exact(all.clone().count()) {
                        bias.extend_from_slice(&biases[longest as usize - length..][..2 * length - 1]);
                    }
                }
                let mask = AttentionMask::encoder(1, &one_example(length))?;
                let projected = |column| Projected {
                    data: own,
                    stride: 3 * width,
                    column,
                };
                let attention = HostAttention {
                    heads: config.heads,
                    d_kv: config.d_kv,
                    mask: &mask,
                    bias: &bias,
                    dropout: None,
                    q: projected(0),
                    k: projected(width),
                    v: projected(2 * width),
                };
                pieces.resize(out.len(), 0.0);
                log_sums.resize(length * config.heads, 0.0);
                attention.forward(&mut pieces, &mut log_sums);
                weave(&pieces, (config.heads, length, config.d_kv), out, width, 0);
            }
            arranged.attention.o.multiply(&mut x, Into::Add, 1.0, &memory.context);
            self.feed_forward(layer, arranged, &mut x, memory);
        }
        self.norm(&x, &stack.norm, memory);
        Ok(())
    }
}

/// Positions of one example.
fn one_example(length: usize) -> Sequences {
    Sequences {
        length,
        segments: vec![1; length],
        ..Sequences::default()
    }
}
