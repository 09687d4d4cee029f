//! AdamW (Loshchilov and Hutter 2019): Adam with weight decay outside of its moments.

use super::{BLOCK, square_sum};
use crate::math::elementwise;
use crate::model::Layout;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Settings; the defaults are PyTorch's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdamWConfig {
    /// What a step keeps of the mean of gradients.
    ///
    /// Unit: share. Source: Kingma and Ba 2015; PyTorch's default.
    pub beta1: f64,
    /// What a step keeps of the mean of the gradients' squares.
    ///
    /// Unit: share. Source: Kingma and Ba 2015; PyTorch's default.
    pub beta2: f64,
    /// Added to the root of the squares' mean.
    ///
    /// Unit: gradient. Source: Kingma and Ba 2015; PyTorch's default.
    pub epsilon: f64,
    /// Decay of matrices: a step takes `rate * weight_decay` of them; vectors (norms) are spared.
    ///
    /// Unit: share a unit of the rate. Source: Loshchilov and Hutter 2019; PyTorch's default.
    pub weight_decay: f64,
    /// Least unit of steps: they are in units of a variable's root mean square, or of this where it is larger, as in
    /// Adafactor; left out, they are absolute.
    ///
    /// Unit: value of a parameter. Source: nanoT5's "RMS scaling" (Nawrot 2023).
    pub min_parameter_scale: Option<f64>,
}

impl Default for AdamWConfig {
    fn default() -> AdamWConfig {
        AdamWConfig {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.01,
            min_parameter_scale: None,
        }
    }
}

/// Numbers of a step of a variable, as `elementwise::AdamStep`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbers {
    pub beta1: f32,
    pub beta2: f32,
    pub keep: f32,
    pub rate: f64,
    pub root: f32,
    pub epsilon: f32,
}

impl AdamWConfig {
    /// Of step `step` (from 0), in units of `scale`.
    pub(crate) fn numbers(&self, rate: f64, scale: f64, step: u64, matrix: bool) -> Numbers {
        let correct = |beta: f64| 1.0 - beta.powf(step as f64 + 1.0);
        let decay = if matrix { rate * self.weight_decay } else { 0.0 };
        Numbers {
            beta1: self.beta1 as f32,
            beta2: self.beta2 as f32,
            keep: (1.0 - decay) as f32,
            rate: rate * scale / correct(self.beta1),
            root: correct(self.beta2).sqrt().recip() as f32,
            epsilon: self.epsilon as f32,
        }
    }
}

/// The optimiser and its moments.
#[derive(Debug, Clone, PartialEq)]
pub struct AdamW {
    config: AdamWConfig,
    /// Where the first moments of each variable are; empty for one that is frozen.
    places: Vec<Range<usize>>,
    /// First moments of all trained parameters, then second.
    pub(super) state: Vec<f32>,
}

impl AdamW {
    /// An optimiser that has seen nothing yet.
    pub fn new(config: AdamWConfig, layout: &Layout) -> AdamW {
        let mut end = 0;
        let places = layout.variables().iter().map(|variable| {
            let start = end;
            end += variable.trained.map_or(0, |_| variable.range.len());
            start..end
        });
        AdamW {
            config,
            places: places.collect(),
            state: vec![0.0; 2 * layout.trained_parameters()],
        }
    }

    /// The optimiser for what `layout` trains: the moments of variables that were trained before stay.
    pub(super) fn retrained(&self, layout: &Layout) -> AdamW {
        let mut new = AdamW::new(self.config, layout);
        let old = self.state.split_at(self.state.len() / 2);
        let half = new.state.len() / 2;
        let (first, second) = new.state.split_at_mut(half);
        for (to, from) in new.places.iter().zip(&self.places) {
            if to.len() == from.len() {
                first[to.clone()].copy_from_slice(&old.0[from.clone()]);
                second[to.clone()].copy_from_slice(&old.1[from.clone()]);
            }
        }
        new
    }

    /// The optimiser's settings.
    #[cfg(devices)]
    pub(crate) fn config(&self) -> AdamWConfig {
        self.config
    }

    /// Where a variable's first moments are; second ones follow all first ones.
    #[cfg(devices)]
    pub(crate) fn place(&self, number: usize) -> Range<usize> {
        self.places[number].clone()
    }

    /// An optimiser with these settings whose state is elsewhere.
    #[cfg(devices)]
    pub(crate) fn without_state(&self) -> AdamW {
        AdamW {
            config: self.config,
            places: self.places.clone(),
            state: Vec::new(),
        }
    }

    /// All moments: first ones, then second ones.
    pub fn state(&self) -> &[f32] {
        &self.state
    }

    /// One step of the variables that are trained; `step` counts from 0.
    pub fn update(&mut self, layout: &Layout, parameters: &mut [f32], gradients: &[f32], rate: f64, step: u64) {
        let config = self.config;
        let half = self.state.len() / 2;
        let (first, second) = self.state.split_at_mut(half);
        for (variable, place) in layout.variables().iter().zip(&self.places) {
            let (Some(began), Some(gradient)) = (variable.trained, &variable.gradient) else {
                continue;
            };
            let step = step - began;
            let w = &mut parameters[variable.range.clone()];
            let scale = match config.min_parameter_scale {
                Some(least) => (square_sum(w) / w.len() as f64).sqrt().max(least),
                None => 1.0,
            };
            let numbers = config.numbers(rate, scale, step, variable.shape.len() > 1);
            let step = elementwise::AdamStep {
                beta1: numbers.beta1,
                beta2: numbers.beta2,
                keep: numbers.keep,
                rate: numbers.rate as f32,
                root: numbers.root,
                epsilon: numbers.epsilon,
            };
            let moments = first[place.clone()]
                .par_chunks_mut(BLOCK)
                .zip(second[place.clone()].par_chunks_mut(BLOCK));
            let blocks = w
                .par_chunks_mut(BLOCK)
                .zip(gradients[gradient.clone()].par_chunks(BLOCK))
                .zip(moments);
            blocks.for_each(|((w, g), (m, v))| elementwise::adam_step(w, g, m, v, step));
        }
    }
}
