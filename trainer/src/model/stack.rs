//! A stack of layers: tokens in, normed positions out, and back their gradients.

use super::attention::{AttentionSublayer, Input, SavedAttention, Sink, SublayerScratch};
use super::backend::{Attention, Backend, Kind, Seen};
use super::config::ModelConfig;
use super::feed_forward::{FeedForwardSublayer, SavedFeedForward};
use super::layout::{AttentionLayout, FeedForwardLayout, LayerLayout, Layout, StackLayout};
use super::norm::Gradient;
use crate::Error;
use crate::math::dropout::{Dropout, Site};
use crate::math::elementwise::Gated;
use std::ops::Range;

/// What a forward pass keeps, of the sublayers from a number on, with which the backward pass ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// What the backward pass reads.
    Everything(usize),
    /// The residual stream before each sublayer; the backward pass computes the rest again.
    Streams(usize),
    /// Nothing but the output.
    Output,
}

impl Keep {
    /// The sublayer with which the backward pass ends; the number after those that there can be where there is none.
    fn from(self) -> usize {
        match self {
            Keep::Everything(from) | Keep::Streams(from) => from,
            Keep::Output => usize::MAX,
        }
    }

    /// Where the stream before a sublayer is: those below the first that is kept take turns.
    fn stream(self, sublayer: usize) -> usize {
        match self {
            Keep::Everything(from) | Keep::Streams(from) if sublayer >= from => from.min(2) + sublayer - from,
            _ => sublayer % 2,
        }
    }

    /// Where what a sublayer saves is.
    fn saved(self, sublayer: usize) -> usize {
        match self {
            Keep::Everything(from) if sublayer >= from => from.min(1) + sublayer - from,
            _ => 0,
        }
    }
}

/// A stack's memory, used again by every step.
#[derive(Debug)]
pub(crate) struct StackMemory<B: Backend> {
    /// The residual stream before each sublayer that it is kept of, and after the last, `[n, d_model]` each.
    streams: Vec<B::Buffer>,
    attention: Vec<SavedAttention<B>>,
    feed_forward: Vec<SavedFeedForward<B>>,
    inverse: B::Buffer,
    /// `[n, d_model]`.
    pub output: B::Buffer,
    /// By distance, `[heads, distances]`.
    bias: B::Buffer,
    dbias: B::Buffer,
}

impl<B: Backend> StackMemory<B> {
    pub fn new(on: &B) -> StackMemory<B> {
        StackMemory {
            streams: Vec::new(),
            attention: Vec::new(),
            feed_forward: Vec::new(),
            inverse: on.buffer(Kind::Value),
            output: on.buffer(Kind::Activation),
            bias: on.buffer(Kind::Value),
            dbias: on.buffer(Kind::Value),
        }
    }

    fn grow(&mut self, on: &B, streams: usize, saved: usize) {
        let (streams, saved) = (streams.max(self.streams.len()), saved.max(self.attention.len()));
        self.streams.resize_with(streams, || on.buffer(Kind::Value));
        self.attention.resize_with(saved, || SavedAttention::new(on));
        self.feed_forward.resize_with(saved, || SavedFeedForward::new(on));
    }
}

/// A pass through a stack.
pub(crate) struct StackPass<'a, B: Backend> {
    pub config: &'a ModelConfig,
    /// All variables as values, and as products read them.
    pub parameters: &'a B::Buffer,
    pub matrices: &'a B::Buffer,
    pub all: &'a Layout,
    pub layout: &'a StackLayout,
    pub tokens: &'a B::Tokens,
    pub distances: &'a B::Distances,
    /// To the stack's own positions.
    pub seen: &'a Seen<B>,
    /// To the encoder's output.
    pub cross: Option<(&'a Seen<B>, &'a B::Buffer)>,
    pub dropout: Option<Dropout>,
    /// Keeps dropout of two stacks apart.
    pub number: u64,
}

/// A sublayer of a stack.
pub(super) enum Sublayer<'l> {
    Own(&'l LayerLayout),
    Cross(&'l AttentionLayout),
    FeedForward(&'l FeedForwardLayout),
    Adapter(&'l FeedForwardLayout),
}

impl Sublayer<'_> {
    /// The variables of the sublayer.
    pub fn variables(&self) -> Vec<&Range<usize>> {
        match self {
            Sublayer::Own(layer) => {
                let AttentionLayout { norm, qkv, o, .. } = &layer.attention;
                vec![norm, qkv, o, &layer.relative_bias]
            }
            Sublayer::Cross(AttentionLayout { norm, q, kv, o, .. }) => vec![norm, q, kv, o],
            Sublayer::FeedForward(FeedForwardLayout { norm, wi, wo })
            | Sublayer::Adapter(FeedForwardLayout { norm, wi, wo }) => vec![norm, wi, wo],
        }
    }

    pub fn reads_the_encoder(&self) -> bool {
        matches!(self, Sublayer::Cross(_))
    }
}

/// A stack's sublayers, in order.
pub(super) fn sublayers(layers: &[LayerLayout]) -> Vec<Sublayer<'_>> {
    let sublayers = layers.iter().flat_map(|layer| {
        let cross = layer.cross.as_ref().map(Sublayer::Cross);
        let first = std::iter::once(Sublayer::Own(layer)).chain(cross);
        let adapter = layer.adapter.as_ref().map(Sublayer::Adapter);
        first.chain([Sublayer::FeedForward(&layer.feed_forward)]).chain(adapter)
    });
    sublayers.collect()
}

impl<'a, B: Backend> StackPass<'a, B> {
    /// Dropout at a place of a sublayer; at those of no sublayer, the embedding and the output, with the number after
    /// the last.
    fn site(&self, sublayer: usize, place: u64) -> Option<Site> {
        Some(self.dropout?.of(self.number, sublayer, place))
    }

    fn shape(&self) -> (usize, usize) {
        (self.seen.queries, self.config.d_model)
    }

    /// Fills `bias` from a layer's table.
    fn spread(&self, on: &mut B, table: &Range<usize>, bias: &mut B::Buffer) -> Result<(), Error> {
        on.bias_spread((self.parameters, table), self.distances, self.config.heads, bias)
    }

    fn attention<'s>(
        &'s self,
        layout: &'s AttentionLayout,
        bias: Option<&'s B::Buffer>,
        cross: Option<(&'s Seen<B>, &'s B::Buffer)>,
        sublayer: usize,
    ) -> AttentionSublayer<'s, B> {
        AttentionSublayer {
            layout,
            all: self.all,
            parameters: self.parameters,
            matrices: self.matrices,
            epsilon: self.config.norm_epsilon,
            attention: Attention {
                heads: self.config.heads,
                d_kv: self.config.d_kv,
                seen: cross.map_or(self.seen, |cross| cross.0),
                bias,
                dropout: self.site(sublayer, 0),
            },
            encoded: cross.map(|cross| cross.1),
            dropout: self.site(sublayer, 1),
        }
    }

    fn feed_forward<'s>(
        &'s self,
        layout: &'s FeedForwardLayout,
        gated: Option<Gated>,
        sublayer: usize,
    ) -> FeedForwardSublayer<'s, B> {
        FeedForwardSublayer {
            layout,
            all: self.all,
            parameters: self.parameters,
            matrices: self.matrices,
            epsilon: self.config.norm_epsilon,
            gated,
            length: self.seen.queries,
            dropout: self.site(sublayer, 0).zip(self.site(sublayer, 1)),
        }
    }

    /// What is between the matrices of a sublayer that is no attention; `None`: relu.
    fn gated(&self, sublayer: &Sublayer<'_>) -> Option<Gated> {
        match sublayer {
            Sublayer::Adapter(_) => None,
            _ => self.config.activation.gated(),
        }
    }

    /// Fills `memory.output`.
    pub fn forward(
        &self,
        on: &mut B,
        keep: Keep,
        memory: &mut StackMemory<B>,
        scratch: &mut SublayerScratch<B>,
    ) -> Result<(), Error> {
        let d = self.config.d_model;
        let n = self.seen.rows * self.seen.queries;
        let sublayers = sublayers(&self.layout.layers);
        let streams = 1 + (0..=sublayers.len()).map(|n| keep.stream(n)).max().unwrap_or(0);
        let saved = 1 + (0..sublayers.len()).map(|n| keep.saved(n)).max().unwrap_or(0);
        memory.grow(on, streams, saved);
        for stream in &mut memory.streams[..streams] {
            on.resize(stream, n * d)?;
        }
        on.embed(
            self.tokens,
            (self.parameters, &self.all.embedding),
            d,
            &mut memory.streams[0],
        )?;
        if let Some(site) = self.site(sublayers.len(), 0) {
            on.dropout(&mut memory.streams[0], site, self.shape())?;
        }
        // The table that is spread in `memory.bias`.
        let mut spread = None;
        for (number, sublayer) in sublayers.iter().enumerate() {
            let (from, to) = (keep.stream(number), keep.stream(number + 1));
            let place = keep.saved(number);
            let Ok([x, out]) = memory.streams.get_disjoint_mut([from, to]) else {
                unreachable!("two streams at least");
            };
            let part = match sublayer {
                Sublayer::Own(layer) => {
                    let table = &layer.relative_bias;
                    if spread != Some(table) {
                        self.spread(on, table, &mut memory.bias)?;
                        spread = Some(table);
                    }
                    self.attention(&layer.attention, Some(&memory.bias), None, number)
                }
                Sublayer::Cross(layout) => self.attention(layout, None, self.cross, number),
                Sublayer::FeedForward(layout) | Sublayer::Adapter(layout) => {
                    let saved = &mut memory.feed_forward[place];
                    let part = self.feed_forward(layout, self.gated(sublayer), number);
                    part.forward(on, x, out, saved, scratch)?;
                    continue;
                }
            };
            part.forward(on, x, out, &mut memory.attention[place], scratch)?;
        }
        on.resize(&mut memory.output, n * d)?;
        on.resize(&mut memory.inverse, n)?;
        let last = &memory.streams[keep.stream(sublayers.len())];
        let weight = (self.parameters, &self.layout.norm);
        let epsilon = self.config.norm_epsilon;
        on.norm(last, weight, epsilon, &mut memory.output, &mut memory.inverse)?;
        match self.site(sublayers.len(), 1) {
            Some(site) => on.dropout(&mut memory.output, site, self.shape()),
            None => Ok(()),
        }
    }

    /// From the gradient of the output, `dx`, to those of trained variables and of the encoder's output, which are
    /// added to, down to the first sublayer that was kept. `dx` is used up.
    pub fn backward(
        &self,
        on: &mut B,
        keep: Keep,
        memory: &mut StackMemory<B>,
        scratch: &mut SublayerScratch<B>,
        dx: &mut B::Buffer,
        sink: &mut Sink<'_, B>,
    ) -> Result<(), Error> {
        let (d, heads) = (self.config.d_model, self.config.heads);
        let sublayers = sublayers(&self.layout.layers);
        let from = keep.from();
        if from > sublayers.len() {
            return Ok(());
        }
        let embedding = self.all.gradient(&self.all.embedding);
        if let Some(site) = self.site(sublayers.len(), 1) {
            on.dropout(dx, site, self.shape())?;
        }
        on.resize(&mut scratch.dy, B::len(dx))?;
        let x = &memory.streams[keep.stream(sublayers.len())];
        let weight = (self.parameters, &self.layout.norm);
        let place = self.all.gradient(&self.layout.norm);
        let (dy, dweight) = (
            &mut scratch.dy,
            place.as_ref().map(|place| (&mut *sink.variables, place)),
        );
        on.norm_backward(dx, x, weight, &memory.inverse, dy, Gradient::Set, dweight)?;
        std::mem::swap(dx, &mut scratch.dy);
        on.resize(&mut memory.dbias, B::len(&memory.bias))?;
        on.zero(&mut memory.dbias)?;
        // The forward pass ended with the last layer's table in `memory.bias`.
        let last = self.layout.layers.last();
        let mut spread = last.map_or(&(0..0), |layer| &layer.relative_bias);
        for (number, sublayer) in sublayers.iter().enumerate().skip(from).rev() {
            let x = &memory.streams[keep.stream(number)];
            let place = keep.saved(number);
            let computes_again = matches!(keep, Keep::Streams(_));
            let input = match number > from || embedding.is_some() {
                true => Input::Wanted,
                false => Input::Unwanted,
            };
            let part = match sublayer {
                Sublayer::Own(layer) => {
                    let table = &layer.relative_bias;
                    if spread != table {
                        if let Some(place) = &self.all.gradient(spread) {
                            on.bias_gather(&memory.dbias, self.distances, heads, (&mut *sink.variables, place))?;
                        }
                        on.zero(&mut memory.dbias)?;
                        self.spread(on, table, &mut memory.bias)?;
                        spread = table;
                    }
                    self.attention(&layer.attention, Some(&memory.bias), None, number)
                }
                Sublayer::Cross(layout) => self.attention(layout, None, self.cross, number),
                Sublayer::FeedForward(layout) | Sublayer::Adapter(layout) => {
                    let part = self.feed_forward(layout, self.gated(sublayer), number);
                    let saved = &mut memory.feed_forward[place];
                    if computes_again {
                        part.inner(on, x, saved, scratch)?;
                    }
                    part.backward(on, x, dx, saved, scratch, input, sink.variables)?;
                    continue;
                }
            };
            let saved = &mut memory.attention[place];
            if computes_again {
                part.inner(on, x, saved, scratch)?;
            }
            part.backward(on, x, dx, saved, scratch, input, &mut memory.dbias, sink)?;
        }
        if let Some(place) = &self.all.gradient(spread) {
            on.bias_gather(&memory.dbias, self.distances, heads, (&mut *sink.variables, place))?;
        }
        let Some(embedding) = &embedding else {
            return Ok(());
        };
        if let Some(site) = self.site(sublayers.len(), 0) {
            on.dropout(dx, site, self.shape())?;
        }
        on.embed_backward(self.tokens, dx, d, (&mut *sink.variables, embedding))
    }
}
