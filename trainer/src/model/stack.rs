//! A stack of layers: tokens in, normed positions out, and the way back.

use super::attention::{self, Sink, SublayerScratch};
use super::attention_mask::AttentionMask;
use super::config::ModelConfig;
use super::embedding;
use super::feed_forward;
use super::layout::{AttentionLayout, LayerLayout, StackLayout};
use super::norm;
use super::relative_position::Distances;
use super::scores::resize;
use crate::math::dropout::{Dropout, Site};
use std::ops::Range;

/// What a forward pass keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// What the backward pass reads.
    Everything,
    /// The residual stream before each sublayer; the backward pass computes the rest again.
    Streams,
    /// Nothing but the output.
    Output,
}

/// A stack's memory, used again by every step.
#[derive(Debug, Default)]
pub(crate) struct StackMemory {
    /// The residual stream before each sublayer, and after the last, `[n, d_model]` each.
    streams: Vec<Vec<f32>>,
    attention: Vec<attention::SavedAttention>,
    feed_forward: Vec<feed_forward::SavedFeedForward>,
    inverse: Vec<f32>,
    /// `[n, d_model]`.
    pub output: Vec<f32>,
    /// By distance, `[heads, distances]`.
    bias: Vec<f32>,
    dbias: Vec<f32>,
}

/// A pass through a stack.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StackPass<'a> {
    pub config: &'a ModelConfig,
    pub parameters: &'a [f32],
    pub embedding: &'a Range<usize>,
    pub layout: &'a StackLayout,
    pub distances: &'a Distances,
    /// To the stack's own positions.
    pub visibility: &'a AttentionMask,
    /// To the encoder's output.
    pub cross: Option<(&'a AttentionMask, &'a [f32])>,
    pub dropout: Option<Dropout>,
    /// Keeps dropout of two stacks apart.
    pub number: u64,
}

/// Of a layer's parts; its place among the stack's sublayers.
pub(crate) enum Part<'l> {
    Own(&'l AttentionLayout),
    Cross(&'l AttentionLayout),
    FeedForward(&'l super::layout::FeedForwardLayout),
}

/// A stack's sublayers, in order.
pub(crate) fn parts(layers: &[LayerLayout]) -> Vec<Part<'_>> {
    let parts = layers.iter().flat_map(|layer| {
        let cross = layer.cross.as_ref().map(Part::Cross);
        let first = std::iter::once(Part::Own(&layer.attention)).chain(cross);
        first.chain([Part::FeedForward(&layer.feed_forward)])
    });
    parts.collect()
}

/// Dropout at a place of a sublayer of stack `number`; at those of no sublayer, the embedding and the output, with the number
/// after the last.
pub(crate) fn site(dropout: Option<Dropout>, number: u64, sublayer: usize, place: u64) -> Option<Site> {
    Some(dropout?.of(number, sublayer, place))
}

impl<'a> StackPass<'a> {
    fn site(&self, sublayer: usize, place: u64) -> Option<Site> {
        site(self.dropout, self.number, sublayer, place)
    }

    fn sites(&self, sublayer: usize) -> Option<(Site, Site)> {
        Some((self.site(sublayer, 0)?, self.site(sublayer, 1)?))
    }

    fn attention<'s>(
        &'s self,
        layout: &'s AttentionLayout,
        bias: &'s [f32],
        cross: Option<(&'s AttentionMask, &'s [f32])>,
        sublayer: usize,
    ) -> attention::AttentionSublayer<'s> {
        attention::AttentionSublayer {
            layout,
            parameters: self.parameters,
            epsilon: self.config.norm_epsilon,
            heads: self.config.heads,
            d_kv: self.config.d_kv,
            visibility: cross.map_or(self.visibility, |cross| cross.0),
            bias: if cross.is_some() { &[] } else { bias },
            encoded: cross.map(|cross| cross.1),
            dropout: self.sites(sublayer),
        }
    }

    fn feed_forward<'s>(
        &'s self,
        layout: &'s super::layout::FeedForwardLayout,
        sublayer: usize,
    ) -> feed_forward::FeedForwardSublayer<'s> {
        feed_forward::FeedForwardSublayer {
            layout,
            parameters: self.parameters,
            epsilon: self.config.norm_epsilon,
            gated: self.config.activation.gated(),
            length: self.visibility.queries,
            dropout: self.sites(sublayer),
        }
    }

    /// Fills `memory.output`.
    pub fn forward(&self, tokens: &[u32], keep: Keep, memory: &mut StackMemory, scratch: &mut SublayerScratch) {
        let (d, n) = (self.config.d_model, tokens.len());
        let parts = parts(&self.layout.layers);
        let streams = if keep == Keep::Output { 2 } else { parts.len() + 1 };
        let saved = if keep == Keep::Everything { parts.len() } else { 1 };
        memory.streams.resize_with(memory.streams.len().max(streams), Vec::new);
        memory
            .attention
            .resize_with(memory.attention.len().max(saved), Default::default);
        memory
            .feed_forward
            .resize_with(memory.feed_forward.len().max(saved), Default::default);
        memory.streams[..streams]
            .iter_mut()
            .for_each(|stream| resize(stream, n * d));
        let table = &self.parameters[self.layout.relative_bias.clone()];
        self.distances.spread(table, &mut memory.bias);
        embedding::forward(
            tokens,
            &self.parameters[self.embedding.clone()],
            d,
            &mut memory.streams[0],
        );
        if let Some(site) = self.site(parts.len(), 0) {
            site.apply(&mut memory.streams[0], self.visibility.queries, d);
        }
        for (sublayer, part) in parts.iter().enumerate() {
            let (x, out) = two(&mut memory.streams, sublayer % streams, (sublayer + 1) % streams);
            let place = sublayer % saved;
            match part {
                Part::Own(layout) => self.attention(layout, &memory.bias, None, sublayer).forward(
                    x,
                    out,
                    &mut memory.attention[place],
                    scratch,
                ),
                Part::Cross(layout) => self.attention(layout, &[], self.cross, sublayer).forward(
                    x,
                    out,
                    &mut memory.attention[place],
                    scratch,
                ),
                Part::FeedForward(layout) => {
                    self.feed_forward(layout, sublayer)
                        .forward(x, out, &mut memory.feed_forward[place], scratch)
                }
            }
        }
        resize(&mut memory.output, n * d);
        resize(&mut memory.inverse, n);
        let weight = &self.parameters[self.layout.norm.clone()];
        let last = &memory.streams[parts.len() % streams];
        norm::forward(
            last,
            weight,
            self.config.norm_epsilon,
            &mut memory.output,
            &mut memory.inverse,
        );
        if let Some(site) = self.site(parts.len(), 1) {
            site.apply(&mut memory.output, self.visibility.queries, d);
        }
    }

    /// From the gradient of the output, `dx`, to those of variables and of the encoder's output, which are added to. `dx` is
    /// used up.
    pub fn backward(
        &self,
        tokens: &[u32],
        keep: Keep,
        memory: &mut StackMemory,
        scratch: &mut SublayerScratch,
        dx: &mut Vec<f32>,
        sink: &mut Sink<'_>,
    ) {
        let d = self.config.d_model;
        let length = self.visibility.queries;
        let parts = parts(&self.layout.layers);
        if let Some(site) = self.site(parts.len(), 1) {
            site.apply(dx, length, d);
        }
        resize(&mut scratch.dy, dx.len());
        norm::backward(
            dx,
            &memory.streams[parts.len()],
            &self.parameters[self.layout.norm.clone()],
            &memory.inverse,
            &mut scratch.dy,
            norm::Gradient::Set,
            &mut sink.variables[self.layout.norm.clone()],
        );
        std::mem::swap(dx, &mut scratch.dy);
        memory.dbias.clear();
        memory.dbias.resize(memory.bias.len(), 0.0);
        for (sublayer, part) in parts.iter().enumerate().rev() {
            let x = &memory.streams[sublayer];
            let place = if keep == Keep::Everything { sublayer } else { 0 };
            let (saved, dbias) = (&mut memory.attention[place], &mut memory.dbias);
            match part {
                Part::Own(layout) => {
                    let part = self.attention(layout, &memory.bias, None, sublayer);
                    if keep == Keep::Streams {
                        part.inner(x, saved, scratch);
                    }
                    part.backward(x, dx, saved, scratch, dbias, sink);
                }
                Part::Cross(layout) => {
                    let part = self.attention(layout, &[], self.cross, sublayer);
                    if keep == Keep::Streams {
                        part.inner(x, saved, scratch);
                    }
                    part.backward(x, dx, saved, scratch, dbias, sink);
                }
                Part::FeedForward(layout) => {
                    let part = self.feed_forward(layout, sublayer);
                    let saved = &mut memory.feed_forward[place];
                    if keep == Keep::Streams {
                        part.inner(x, saved, scratch);
                    }
                    part.backward(x, dx, saved, scratch, sink.variables);
                }
            }
        }
        let table = &mut sink.variables[self.layout.relative_bias.clone()];
        self.distances.gather(&memory.dbias, table);
        if let Some(site) = self.site(parts.len(), 0) {
            site.apply(dx, length, d);
        }
        embedding::backward(tokens, dx, d, &mut sink.variables[self.embedding.clone()]);
    }
}

/// Two different buffers of several: one to read, one to write.
fn two(buffers: &mut [Vec<f32>], read: usize, write: usize) -> (&[f32], &mut [f32]) {
    if read < write {
        let (left, right) = buffers.split_at_mut(write);
        (&left[read], &mut right[0])
    } else {
        let (left, right) = buffers.split_at_mut(read);
        (&right[0], &mut left[write])
    }
}
