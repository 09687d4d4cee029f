//! Which variables are trained, where their gradients are, and how far a backward pass has to go for them. What is
//! frozen has no gradient, so norm, clipping, optimiser and the exchange between processes never see it.

use super::layout::{Layout, StackLayout};
use super::stack::sublayers;
use std::ops::Range;

/// How far a backward pass goes: for each stack the number of the first sublayer that something is computed of. The
/// number after the last sublayer is that of the stack's final norm; what is above that needs nothing of the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reach {
    pub encoder: usize,
    pub decoder: usize,
    /// Whether the gradient of the encoder's output is wanted.
    pub is_in_encoder: bool,
    /// Whether the gradient of the decoder's output is wanted.
    pub is_in_decoder: bool,
}

impl Layout {
    /// Trains from here on those variables for which `began`, in their order, has a number: that of the steps that the
    /// optimiser had done when it first saw the variable. All others are frozen.
    ///
    /// # Panics
    /// Another number of them than of variables.
    pub fn train(&mut self, began: &[Option<u64>]) {
        assert_eq!(began.len(), self.variables.len(), "one for each variable");
        for (variable, began) in self.variables.iter_mut().zip(began) {
            variable.trained = *began;
        }
        let mut has_gradient: Vec<bool> = self.variables.iter().map(|v| v.trained.is_some()).collect();
        // One product gives the gradients of all matrices that read the same input.
        for product in self.products() {
            let members = self.members(&product);
            if has_gradient[members.clone()].contains(&true) {
                has_gradient[members].fill(true);
            }
        }
        let mut end = 0;
        for (variable, has_gradient) in self.variables.iter_mut().zip(has_gradient) {
            variable.gradient = has_gradient.then(|| end..end + variable.range.len());
            end = variable.gradient.as_ref().map_or(end, |gradient| gradient.end);
        }
    }

    /// Elements of the flat buffer of gradients.
    pub fn gradients_len(&self) -> usize {
        let mut last_first = self.variables.iter().rev();
        last_first
            .find_map(|v| v.gradient.as_ref())
            .map_or(0, |gradient| gradient.end)
    }

    /// How many parameters are trained.
    pub fn trained_parameters(&self) -> usize {
        let trained = self.variables.iter().filter(|v| v.trained.is_some());
        trained.map(|v| v.range.len()).sum()
    }

    /// Where the gradient of neighbouring variables is, of which `range` has all elements; `None` where all are frozen.
    pub(crate) fn gradient(&self, range: &Range<usize>) -> Option<Range<usize>> {
        let members = &self.variables[self.members(range)];
        let (first, last) = (members.first()?.gradient.as_ref()?, members.last()?.gradient.as_ref()?);
        Some(first.start..last.end)
    }

    /// The gradients that come of a product for others, and are those of frozen variables.
    pub(crate) fn spare_gradients(&self) -> impl Iterator<Item = &Range<usize>> {
        let frozen = self.variables.iter().filter(|v| v.trained.is_none());
        frozen.filter_map(|v| v.gradient.as_ref())
    }

    /// How far a backward pass goes.
    pub(crate) fn reach(&self) -> Reach {
        let is_in = |from: usize, stack: &StackLayout| from <= sublayers(&stack.layers).len();
        let encoder = self.encoder.as_ref().map(|stack| (self.first_of(stack, false), stack));
        let is_in_encoder = encoder.is_some_and(|(from, stack)| is_in(from, stack));
        let decoder = self.first_of(&self.decoder, is_in_encoder);
        Reach {
            encoder: encoder.map_or(0, |(from, _)| from),
            decoder,
            is_in_encoder,
            is_in_decoder: is_in(decoder, &self.decoder),
        }
    }

    /// The first sublayer of a stack that something is computed of; `with_encoder`: what attention to the encoder reads
    /// is wanted.
    fn first_of(&self, stack: &StackLayout, with_encoder: bool) -> usize {
        if self.gradient(&self.embedding).is_some() {
            return 0;
        }
        let sublayers = sublayers(&stack.layers);
        let mut numbered = sublayers.iter().enumerate();
        let first = numbered.find(|(_, sublayer)| {
            let is_trained = sublayer.variables().iter().any(|range| self.gradient(range).is_some());
            is_trained || with_encoder && sublayer.reads_the_encoder()
        });
        match first {
            Some((number, _)) => number,
            None if self.gradient(&stack.norm).is_some() => sublayers.len(),
            None => sublayers.len() + 1,
        }
    }

    /// The numbers of the variables that fill a range.
    fn members(&self, range: &Range<usize>) -> Range<usize> {
        let before = |place: usize| self.variables.partition_point(|v| v.range.start < place);
        before(range.start)..before(range.end)
    }

    /// The ranges of several matrices that one product is of.
    fn products(&self) -> Vec<Range<usize>> {
        let stacks = self.encoder.iter().chain([&self.decoder]);
        let layers = stacks.flat_map(|stack| &stack.layers);
        let of_layer = layers.flat_map(|layer| {
            let cross = layer.cross.as_ref().map(|cross| cross.kv.clone());
            [layer.attention.qkv.clone(), layer.feed_forward.wi.clone()]
                .into_iter()
                .chain(cross)
        });
        of_layer.collect()
    }
}
