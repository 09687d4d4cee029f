//! Adafactor (Shazeer and Stern 2018), as Mesh TensorFlow's `AdafactorOptimizer` with T5's settings: no momentum.

use super::{BLOCK, square_sum};
use crate::math::elementwise;
use crate::model::Layout;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Settings; the defaults are Mesh TensorFlow's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdafactorConfig {
    /// Size from which on both dimensions of a variable make its second moments kept by row and by column, not in full.
    ///
    /// Unit: values. Source: Mesh TensorFlow's default.
    pub min_factored_size: usize,
    /// Exponent of the moments' decay: step `t` (from 0) keeps `1 - (t + 1)^-decay_exponent` of them.
    ///
    /// Unit: none. Source: Shazeer and Stern 2018, section 7.2.
    pub decay_exponent: f64,
    /// Root mean square that an update is brought down to.
    ///
    /// Unit: none. Source: Shazeer and Stern 2018, section 6.
    pub clip_threshold: f64,
    /// Least unit of steps: they are in units of a variable's root mean square, or of this where it is larger; left
    /// out, they are absolute.
    ///
    /// Unit: value of a parameter. Source: Shazeer and Stern 2018, section 8.
    pub min_parameter_scale: Option<f64>,
    /// Added to squares of gradients.
    ///
    /// Unit: square of a gradient. Source: Shazeer and Stern 2018, section 9.
    pub epsilon: f32,
}

impl Default for AdafactorConfig {
    fn default() -> AdafactorConfig {
        AdafactorConfig {
            min_factored_size: 128,
            decay_exponent: 0.8,
            clip_threshold: 1.0,
            min_parameter_scale: Some(1e-3),
            epsilon: 1e-30,
        }
    }
}

impl AdafactorConfig {
    /// What step `step` (from 0) keeps of the moments.
    pub(crate) fn decay(&self, step: u64) -> f32 {
        (1.0 - (step as f64 + 1.0).powf(-self.decay_exponent)) as f32
    }
}

/// What is remembered of a variable.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Slot {
    /// `(matrices, rows, columns)` with a moment for each row and each column; `None`: one for each value.
    factored: Option<(usize, usize, usize)>,
    range: Range<usize>,
}

/// The optimiser and its second moments.
#[derive(Debug, Clone, PartialEq)]
pub struct Adafactor {
    config: AdafactorConfig,
    slots: Vec<Slot>,
    pub(super) state: Vec<f32>,
}

/// Rows of a task.
const ROWS: usize = 64;

/// The shapes of a layout's variables; `None` for those that are frozen.
pub(super) fn shapes(layout: &Layout) -> impl Iterator<Item = Option<&[usize]>> {
    layout.variables().iter().map(|v| v.trained.map(|_| &v.shape[..]))
}

/// Where the moments of variables of these shapes are, and how many there are; of one without a shape there are none.
pub(super) fn slots<'s>(
    config: AdafactorConfig,
    shapes: impl Iterator<Item = Option<&'s [usize]>>,
) -> (Vec<Slot>, usize) {
    let mut end = 0;
    let slots = shapes.map(|shape| {
        let shape = shape.unwrap_or(&[0]);
        let factored = match *shape {
            [ref outer @ .., rows, columns] if rows.min(columns) >= config.min_factored_size => {
                Some((outer.iter().product(), rows, columns))
            }
            _ => None,
        };
        let len = match factored {
            Some((matrices, rows, columns)) => matrices * (rows + columns),
            None => shape.iter().product(),
        };
        let range = end..end + len;
        end = range.end;
        Slot { factored, range }
    });
    (slots.collect(), end)
}

impl Adafactor {
    /// An optimiser that has seen nothing yet.
    pub fn new(config: AdafactorConfig, layout: &Layout) -> Adafactor {
        Adafactor::with_slots(config, slots(config, shapes(layout)))
    }

    /// For variables of these shapes.
    pub fn with_shapes<'s>(config: AdafactorConfig, shapes: impl Iterator<Item = &'s [usize]>) -> Adafactor {
        Adafactor::with_slots(config, slots(config, shapes.map(Some)))
    }

    fn with_slots(config: AdafactorConfig, (slots, end): (Vec<Slot>, usize)) -> Adafactor {
        Adafactor {
            config,
            slots,
            state: vec![0.0; end],
        }
    }

    /// The optimiser for what `layout` trains: the moments of variables that were trained before stay.
    pub(super) fn retrained(&self, layout: &Layout) -> Adafactor {
        let mut new = Adafactor::new(self.config, layout);
        for (to, from) in new.slots.iter().zip(&self.slots) {
            if to.range.len() == from.range.len() {
                new.state[to.range.clone()].copy_from_slice(&self.state[from.range.clone()]);
            }
        }
        new
    }

    /// The optimiser's settings.
    #[cfg(devices)]
    pub(crate) fn config(&self) -> AdafactorConfig {
        self.config
    }

    /// Where a variable's state is: `(matrices, rows, columns)` where its moments are factored, and where they are in
    /// the state.
    #[cfg(devices)]
    pub(crate) fn slot(&self, number: usize) -> (Option<(usize, usize, usize)>, Range<usize>) {
        let slot = &self.slots[number];
        (slot.factored, slot.range.clone())
    }

    /// An optimiser with these settings whose state is elsewhere.
    #[cfg(devices)]
    pub(crate) fn without_state(&self) -> Adafactor {
        Adafactor {
            config: self.config,
            slots: self.slots.clone(),
            state: Vec::new(),
        }
    }

    /// All moments, trained variable after trained variable: rows, then columns.
    pub fn state(&self) -> &[f32] {
        &self.state
    }

    /// One step of the variables that are trained.
    pub fn update(&mut self, layout: &Layout, parameters: &mut [f32], gradients: &[f32], rate: f64, step: u64) {
        for (number, variable) in layout.variables().iter().enumerate() {
            if let (Some(began), Some(gradient)) = (variable.trained, &variable.gradient) {
                let (w, g) = (&mut parameters[variable.range.clone()], &gradients[gradient.clone()]);
                self.update_variable(number, w, g, rate, step - began);
            }
        }
    }

    /// One step of one variable.
    pub fn update_variable(&mut self, number: usize, w: &mut [f32], g: &[f32], rate: f64, step: u64) {
        let slot = &self.slots[number];
        let state = &mut self.state[slot.range.clone()];
        let decay = self.config.decay(step);
        let scale = match self.config.min_parameter_scale {
            Some(least) => (square_sum(w) / w.len() as f64).sqrt().max(least),
            None => 1.0,
        };
        let factor = |update_squares: f64| {
            let rms = (update_squares / g.len() as f64).sqrt();
            (rate * scale / (rms / self.config.clip_threshold).max(1.0)) as f32
        };
        let epsilon = self.config.epsilon;
        match slot.factored {
            None => {
                let blocks = state.par_chunks_mut(BLOCK).zip(g.par_chunks(BLOCK));
                let squares: Vec<f64> = blocks
                    .map(|(v, g)| f64::from(elementwise::moments(v, g, decay, epsilon)))
                    .collect();
                let factor = factor(squares.iter().sum());
                let blocks = w
                    .par_chunks_mut(BLOCK)
                    .zip(g.par_chunks(BLOCK))
                    .zip(state.par_chunks(BLOCK));
                blocks.for_each(|((w, g), v)| elementwise::step_by_moments(w, g, v, factor));
            }
            Some((matrices, rows, columns)) => {
                let (row_moments, column_moments) = state.split_at_mut(matrices * rows);
                let size = rows * columns;
                let mut squares = 0.0;
                let mut factors = Vec::with_capacity(matrices);
                for matrix in 0..matrices {
                    let g = &g[matrix * size..][..size];
                    let r = &mut row_moments[matrix * rows..][..rows];
                    let c = &mut column_moments[matrix * columns..][..columns];
                    moments(g, r, c, decay, epsilon);
                    let (r, c) = inverse_roots(r, c);
                    let sums: Vec<f64> = g
                        .par_chunks(ROWS * columns)
                        .zip(r.par_chunks(ROWS))
                        .map(|(g, r)| {
                            let rows = g.chunks_exact(columns).zip(r);
                            rows.map(|(g, r)| f64::from(r * r * elementwise::weighted_squares(g, &c)))
                                .sum()
                        })
                        .collect();
                    squares += sums.iter().sum::<f64>();
                    factors.push((r, c));
                }
                let factor = factor(squares);
                let matrices = w.chunks_exact_mut(size).zip(g.chunks_exact(size));
                for ((w, g), (r, c)) in matrices.zip(&factors) {
                    let blocks = w.par_chunks_mut(ROWS * columns).zip(g.par_chunks(ROWS * columns));
                    blocks.zip(r.par_chunks(ROWS)).for_each(|((w, g), r)| {
                        let rows = w.chunks_exact_mut(columns).zip(g.chunks_exact(columns)).zip(r);
                        rows.for_each(|((w, g), r)| elementwise::step_by_columns(w, g, &c[..], factor * r));
                    });
                }
            }
        }
    }
}

/// Moves the moments of a matrix's rows and columns towards the means of its squares.
fn moments(g: &[f32], row_moments: &mut [f32], column_moments: &mut [f32], decay: f32, epsilon: f32) {
    let (rows, columns) = (row_moments.len(), column_moments.len());
    let mut sums = vec![0.0; rows.div_ceil(ROWS) * columns];
    let keep = |moment: &mut f32, sum: f64, count: usize| {
        *moment = decay * *moment + (1.0 - decay) * ((sum / count as f64) as f32 + epsilon);
    };
    g.par_chunks(ROWS * columns)
        .zip(row_moments.par_chunks_mut(ROWS))
        .zip(sums.par_chunks_exact_mut(columns))
        .for_each(|((g, moments), sums)| {
            for (g, moment) in g.chunks_exact(columns).zip(moments) {
                keep(moment, f64::from(elementwise::add_squares(sums, g)), columns);
            }
        });
    let mut total = vec![0.0f64; columns];
    for sums in sums.chunks_exact(columns) {
        for (total, sum) in total.iter_mut().zip(sums) {
            *total += f64::from(*sum);
        }
    }
    for (moment, total) in column_moments.iter_mut().zip(total) {
        keep(moment, total, rows);
    }
}

/// `1 / sqrt(r / mean(r))` and `1 / sqrt(c)`.
fn inverse_roots(r: &[f32], c: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let mean = r.iter().map(|&r| f64::from(r)).sum::<f64>() / r.len() as f64;
    let rows = r.iter().map(|&r| (f64::from(r) / mean).powf(-0.5) as f32);
    let columns = c.iter().map(|&c| f64::from(c).powf(-0.5) as f32);
    (rows.collect(), columns.collect())
}
