//! A stack of layers, as `model/stack.rs` has it: tokens in, normed positions out, and the way back.

use super::attention::{self, DeviceSink};
use super::buffer::{Buffer, View, ViewMut};
use super::driver::Dtype;
use super::feed_forward;
use super::kernels::Kernels;
use crate::Error;
use crate::math::dropout::{Dropout, Site};
use crate::model::{
    self, AttentionLayout, AttentionMask, Distances, FeedForwardLayout, Keep, ModelConfig, Part, StackLayout,
};
use std::ops::Range;

/// Memory that sublayers share, one after the other.
#[derive(Debug)]
pub(super) struct DeviceScratch {
    /// Normed positions, in the type of activations, and the norm's factors.
    pub y: Buffer,
    pub inverse: Buffer,
    /// The gradient of normed positions; or, in a forward pass, what is to be dropped of.
    pub dy: Buffer,
    /// The gradient of a sublayer's output, in the type of activations.
    pub dout: Buffer,
    /// Projected positions, or their gradients.
    pub wide: Buffer,
    /// Contexts by head, or their gradients.
    pub pieces: Buffer,
    pub scores: Buffer,
    pub dscores: Buffer,
    pub p: Buffer,
    pub ds: Buffer,
    pub dq: Buffer,
    pub dk: Buffer,
    pub dv: Buffer,
    /// Of sums in two steps.
    pub partial: Buffer,
}

impl DeviceScratch {
    pub fn new(kernels: &Kernels, activations: Dtype) -> DeviceScratch {
        let float = || Buffer::new(&kernels.driver, Dtype::F32);
        let activation = || Buffer::new(&kernels.driver, activations);
        DeviceScratch {
            y: activation(),
            inverse: float(),
            dy: float(),
            dout: activation(),
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
        }
    }

    /// Norms rows of `x` into `y`.
    pub fn norm(&mut self, kernels: &Kernels, x: &Buffer, weight: View<'_>, epsilon: f32) -> Result<(), Error> {
        self.y.resize(x.len())?;
        self.inverse.resize(x.len() / weight.len())?;
        kernels.norm(x.all(), weight, self.y.all_mut(), self.inverse.all_mut(), epsilon)
    }

    /// Backward of the last [`norm`](DeviceScratch::norm), from `dy`: `dx` and `dweight` are added to.
    pub fn norm_backward(
        &mut self,
        kernels: &Kernels,
        x: &Buffer,
        weight: View<'_>,
        dx: &mut Buffer,
        dweight: ViewMut<'_>,
    ) -> Result<(), Error> {
        kernels.norm_backward(
            self.dy.all(),
            x.all(),
            weight,
            self.inverse.all(),
            dx.all_mut(),
            true,
            dweight,
            &mut self.partial,
        )
    }
}

/// Who sees whom, on the device.
#[derive(Debug)]
pub(super) struct Seen {
    pub rows: usize,
    pub queries: usize,
    pub keys: usize,
    /// First key and the one after the last, `[rows, queries, 2]`.
    pub ranges: Buffer,
}

impl Seen {
    pub fn new(kernels: &Kernels, visibility: &AttentionMask) -> Result<Seen, Error> {
        let mut all = Vec::with_capacity(visibility.rows * visibility.queries * 2);
        for row in 0..visibility.rows {
            for query in 0..visibility.queries {
                let seen = visibility.of(row, query);
                all.extend([seen.start as u32, seen.end as u32]);
            }
        }
        let mut ranges = Buffer::new(&kernels.driver, Dtype::U32);
        ranges.set(&all)?;
        Ok(Seen {
            rows: visibility.rows,
            queries: visibility.queries,
            keys: visibility.keys,
            ranges,
        })
    }
}

/// The bucket of each distance, on the device.
pub(super) fn buckets(kernels: &Kernels, distances: &Distances) -> Result<Buffer, Error> {
    let all: Vec<u32> = distances.buckets().iter().map(|&b| b as u32).collect();
    let mut buckets = Buffer::new(&kernels.driver, Dtype::U32);
    buckets.set(&all)?;
    Ok(buckets)
}

/// A stack's tokens on the device, with the positions of each.
#[derive(Debug)]
pub(super) struct Tokens {
    all: Buffer,
    ids: Buffer,
    starts: Buffer,
    positions: Buffer,
}

impl Tokens {
    pub fn new(kernels: &Kernels, tokens: &[u32]) -> Result<Tokens, Error> {
        let buffer = |values: &[u32]| {
            let mut buffer = Buffer::new(&kernels.driver, Dtype::U32);
            buffer.set(values)?;
            Ok::<_, Error>(buffer)
        };
        let (ids, starts, positions) = grouped(tokens);
        Ok(Tokens {
            all: buffer(tokens)?,
            ids: buffer(&ids)?,
            starts: buffer(&starts)?,
            positions: buffer(&positions)?,
        })
    }
}

/// Tokens that occur, where each one's positions start (and, at last, their count), and all positions by token, in rising
/// order.
pub(super) fn grouped(tokens: &[u32]) -> (Vec<u32>, Vec<u32>, Vec<u32>) {
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

/// A stack's memory, used again by every step.
#[derive(Debug)]
pub(super) struct DeviceMemory {
    activations: Dtype,
    /// The residual stream before each sublayer, and after the last, `[n, d_model]` each.
    streams: Vec<Buffer>,
    attention: Vec<attention::DeviceSavedAttention>,
    feed_forward: Vec<feed_forward::DeviceSavedFeedForward>,
    inverse: Buffer,
    /// `[n, d_model]`, in the type of activations.
    pub output: Buffer,
    /// By distance, `[heads, distances]`.
    bias: Buffer,
    dbias: Buffer,
}

impl DeviceMemory {
    pub fn new(kernels: &Kernels, activations: Dtype) -> DeviceMemory {
        let buffer = |dtype| Buffer::new(&kernels.driver, dtype);
        DeviceMemory {
            activations,
            streams: Vec::new(),
            attention: Vec::new(),
            feed_forward: Vec::new(),
            inverse: buffer(Dtype::F32),
            output: buffer(activations),
            bias: buffer(Dtype::F32),
            dbias: buffer(Dtype::F32),
        }
    }

    fn grow(&mut self, kernels: &Kernels, streams: usize, saved: usize) {
        let activations = self.activations;
        let fit = |len: usize, wanted: usize| wanted.max(len);
        self.streams.resize_with(fit(self.streams.len(), streams), || {
            Buffer::new(&kernels.driver, Dtype::F32)
        });
        self.attention.resize_with(fit(self.attention.len(), saved), || {
            attention::DeviceSavedAttention::new(kernels, activations)
        });
        self.feed_forward.resize_with(fit(self.feed_forward.len(), saved), || {
            feed_forward::DeviceSavedFeedForward::new(kernels, activations)
        });
    }
}

/// A pass through a stack.
#[derive(Debug, Clone, Copy)]
pub(super) struct DevicePass<'a> {
    pub kernels: &'a Kernels,
    pub config: &'a ModelConfig,
    pub parameters: &'a Buffer,
    /// The same, in the type of activations.
    pub weights: &'a Buffer,
    pub embedding: &'a Range<usize>,
    pub layout: &'a StackLayout,
    pub tokens: &'a Tokens,
    pub buckets: &'a Buffer,
    /// To the stack's own positions.
    pub seen: &'a Seen,
    /// To the encoder's output.
    pub cross: Option<(&'a Seen, &'a Buffer)>,
    pub dropout: Option<Dropout>,
    /// Keeps dropout of two stacks apart.
    pub number: u64,
}

impl<'a> DevicePass<'a> {
    fn site(&self, sublayer: usize, place: u64) -> Option<Site> {
        model::site(self.dropout, self.number, sublayer, place)
    }

    fn sites(&self, sublayer: usize) -> Option<(Site, Site)> {
        Some((self.site(sublayer, 0)?, self.site(sublayer, 1)?))
    }

    fn attention<'s>(
        &'s self,
        layout: &'s AttentionLayout,
        bias: Option<&'s Buffer>,
        cross: Option<(&'s Seen, &'s Buffer)>,
        sublayer: usize,
    ) -> attention::DeviceAttention<'s> {
        attention::DeviceAttention {
            kernels: self.kernels,
            layout,
            parameters: self.parameters,
            weights: self.weights,
            epsilon: self.config.norm_epsilon,
            heads: self.config.heads,
            d_kv: self.config.d_kv,
            seen: cross.map_or(self.seen, |cross| cross.0),
            bias,
            encoded: cross.map(|cross| cross.1),
            dropout: self.sites(sublayer),
        }
    }

    fn feed_forward<'s>(
        &'s self,
        layout: &'s FeedForwardLayout,
        sublayer: usize,
    ) -> feed_forward::DeviceFeedForward<'s> {
        feed_forward::DeviceFeedForward {
            kernels: self.kernels,
            layout,
            parameters: self.parameters,
            weights: self.weights,
            epsilon: self.config.norm_epsilon,
            gated: self.config.activation.gated(),
            length: self.seen.queries,
            dropout: self.sites(sublayer),
        }
    }

    fn variable(&self, range: &Range<usize>) -> View<'a> {
        self.parameters.view(range.clone())
    }

    /// Fills `memory.output`.
    pub fn forward(&self, keep: Keep, memory: &mut DeviceMemory, scratch: &mut DeviceScratch) -> Result<(), Error> {
        let (kernels, d) = (self.kernels, self.config.d_model);
        let n = self.tokens.all.len();
        let length = self.seen.queries;
        let parts = model::parts(&self.layout.layers);
        let (streams, saved) = match keep {
            Keep::Output => (2, 1),
            Keep::Streams => (parts.len() + 1, 1),
            Keep::Everything => (parts.len() + 1, parts.len()),
        };
        memory.grow(kernels, streams, saved);
        let (heads, table) = (self.config.heads, self.variable(&self.layout.relative_bias));
        memory.bias.resize(heads * self.buckets.len())?;
        kernels.bias_spread(table, self.buckets.all(), memory.bias.all_mut(), heads)?;
        let table = self.variable(self.embedding);
        memory.streams[0].resize(n * d)?;
        let first = memory.streams[0].all_mut();
        kernels.embed(table, self.tokens.all.all(), first, d)?;
        if let Some(site) = self.site(parts.len(), 0) {
            kernels.drop(memory.streams[0].all_mut(), site, (length, d))?;
        }
        for (sublayer, part) in parts.iter().enumerate() {
            let (from, to) = (sublayer % streams, (sublayer + 1) % streams);
            let place = sublayer % saved;
            let Ok([x, out]) = memory.streams.get_disjoint_mut([from, to]) else {
                unreachable!("two streams at least");
            };
            let (attention, bias) = (&mut memory.attention[place], Some(&memory.bias));
            match part {
                Part::Own(layout) => self
                    .attention(layout, bias, None, sublayer)
                    .forward(x, out, attention, scratch)?,
                Part::Cross(layout) => self
                    .attention(layout, None, self.cross, sublayer)
                    .forward(x, out, attention, scratch)?,
                Part::FeedForward(layout) => {
                    self.feed_forward(layout, sublayer)
                        .forward(x, out, &mut memory.feed_forward[place], scratch)?
                }
            }
        }
        memory.output.resize(n * d)?;
        memory.inverse.resize(n)?;
        kernels.norm(
            memory.streams[parts.len() % streams].all(),
            self.variable(&self.layout.norm),
            memory.output.all_mut(),
            memory.inverse.all_mut(),
            self.config.norm_epsilon,
        )?;
        match self.site(parts.len(), 1) {
            Some(site) => kernels.drop(memory.output.all_mut(), site, (length, d)),
            None => Ok(()),
        }
    }

    /// From the gradient of the output, `dx`, to those of variables and of the encoder's output, which are added to. `dx` is
    /// used up.
    pub fn backward(
        &self,
        keep: Keep,
        memory: &mut DeviceMemory,
        scratch: &mut DeviceScratch,
        dx: &mut Buffer,
        sink: &mut DeviceSink<'_>,
    ) -> Result<(), Error> {
        let (kernels, d) = (self.kernels, self.config.d_model);
        let length = self.seen.queries;
        let parts = model::parts(&self.layout.layers);
        if let Some(site) = self.site(parts.len(), 1) {
            kernels.drop(dx.all_mut(), site, (length, d))?;
        }
        scratch.dy.resize(dx.len())?;
        kernels.norm_backward(
            dx.all(),
            memory.streams[parts.len()].all(),
            self.variable(&self.layout.norm),
            memory.inverse.all(),
            scratch.dy.all_mut(),
            false,
            sink.variables.view_mut(self.layout.norm.clone()),
            &mut scratch.partial,
        )?;
        std::mem::swap(dx, &mut scratch.dy);
        memory.dbias.resize(memory.bias.len())?;
        memory.dbias.zero()?;
        for (sublayer, part) in parts.iter().enumerate().rev() {
            let x = &memory.streams[sublayer];
            let place = match keep {
                Keep::Everything => sublayer,
                _ => 0,
            };
            let (saved, dbias) = (&mut memory.attention[place], &mut memory.dbias);
            let attention = match part {
                Part::Own(layout) => self.attention(layout, Some(&memory.bias), None, sublayer),
                Part::Cross(layout) => self.attention(layout, None, self.cross, sublayer),
                Part::FeedForward(layout) => {
                    let part = self.feed_forward(layout, sublayer);
                    let saved = &mut memory.feed_forward[place];
                    if keep == Keep::Streams {
                        part.inner(x, saved, scratch)?;
                    }
                    part.backward(x, dx, saved, scratch, sink.variables)?;
                    continue;
                }
            };
            if keep == Keep::Streams {
                attention.inner(x, saved, scratch)?;
            }
            attention.backward(x, dx, saved, scratch, dbias, sink)?;
        }
        let table = sink.variables.view_mut(self.layout.relative_bias.clone());
        let heads = self.config.heads;
        kernels.bias_gather(memory.dbias.all(), self.buckets.all(), table, heads)?;
        if let Some(site) = self.site(parts.len(), 0) {
            kernels.drop(dx.all_mut(), site, (length, d))?;
        }
        let tokens = self.tokens;
        let groups = (tokens.ids.all(), tokens.starts.all(), tokens.positions.all());
        let table = sink.variables.view_mut(self.embedding.clone());
        kernels.embed_backward(groups, dx.all(), table, d)
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
