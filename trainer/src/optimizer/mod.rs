//! How gradients change parameters: Adafactor or AdamW, in place, over flat buffers.
//!
//! Sums are cut by shape, so bits do not depend on threads. An optimiser's state is one flat buffer, to be saved as it
//! is; of variables that are frozen it has none.

mod adafactor;
mod adamw;
pub mod schedule;

pub use adafactor::{Adafactor, AdafactorConfig};
pub use adamw::{AdamW, AdamWConfig};

use crate::Error;
use crate::base::limits;
use crate::math::elementwise;
use crate::model::Layout;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which optimiser, with its settings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum OptimizerConfig {
    /// What T5 was trained with.
    Adafactor(AdafactorConfig),
    /// What many train it with.
    #[serde(rename = "adamw")]
    AdamW(AdamWConfig),
}

impl OptimizerConfig {
    /// Whether a step's size is the rate itself, and not a part of each variable's.
    pub(crate) fn takes_absolute_steps(&self) -> bool {
        let least = match self {
            OptimizerConfig::Adafactor(config) => config.min_parameter_scale,
            OptimizerConfig::AdamW(config) => config.min_parameter_scale,
        };
        least.is_none()
    }

    /// Refuses numbers that cannot be.
    ///
    /// # Errors
    /// Says which setting, and what it must be.
    pub fn validate(&self) -> Result<(), Error> {
        let positive = |key, value: f64| limits::real(key, value, |x| x > 0.0, "above 0");
        let least = match *self {
            OptimizerConfig::Adafactor(config) => {
                limits::whole("min_factored_size", config.min_factored_size, 1..=limits::COUNT)?;
                positive("decay_exponent", config.decay_exponent)?;
                positive("clip_threshold", config.clip_threshold)?;
                positive("epsilon", config.epsilon.into())?;
                config.min_parameter_scale
            }
            OptimizerConfig::AdamW(config) => {
                for (key, beta) in [("beta1", config.beta1), ("beta2", config.beta2)] {
                    let inside = |beta| (0.0..1.0).contains(&beta);
                    limits::real(key, beta, inside, "from 0 to below 1")?;
                }
                // On f32: what is 0 there divides by 0 where a gradient is 0.
                positive("epsilon", f64::from(config.epsilon as f32))?;
                let decay = config.weight_decay;
                limits::real("weight_decay", decay, |x| x >= 0.0, "not negative")?;
                config.min_parameter_scale
            }
        };
        match least {
            Some(least) => limits::real("min_parameter_scale", least, |x| x >= 0.0, "not negative"),
            None => Ok(()),
        }
    }
}

/// An optimiser with its state.
///
/// ```
/// use t5_trainer::{ModelConfig, Optimizer, OptimizerConfig, T5};
/// let config = ModelConfig { vocab_size: 128, encoder_layers: 1, decoder_layers: 1, ..ModelConfig::named("tiny")? };
/// let model = T5::new(config, 7)?;
/// let optimizer = Optimizer::new(OptimizerConfig::AdamW(Default::default()), model.layout());
/// assert_eq!(optimizer.state().len(), 2 * model.parameters().len());
/// # Ok::<(), t5_trainer::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Optimizer {
    /// Adafactor, with its moments.
    Adafactor(Adafactor),
    /// AdamW, with its moments.
    AdamW(AdamW),
}

impl Optimizer {
    /// An optimiser that has seen nothing yet.
    pub fn new(config: OptimizerConfig, layout: &Layout) -> Optimizer {
        match config {
            OptimizerConfig::Adafactor(config) => Optimizer::Adafactor(Adafactor::new(config, layout)),
            OptimizerConfig::AdamW(config) => Optimizer::AdamW(AdamW::new(config, layout)),
        }
    }

    /// This optimiser for what `layout` trains: what it remembers of variables that were trained before stays, of
    /// others it has seen nothing yet.
    pub fn retrained(&self, layout: &Layout) -> Optimizer {
        match self {
            Optimizer::Adafactor(optimizer) => Optimizer::Adafactor(optimizer.retrained(layout)),
            Optimizer::AdamW(optimizer) => Optimizer::AdamW(optimizer.retrained(layout)),
        }
    }

    /// Changes the trained ones of `parameters` by `gradients`, both where `layout` says. `step` counts from 0; a
    /// variable that began to be trained later counts from there ([`Variable::trained`](crate::model::Variable)).
    pub fn update(&mut self, layout: &Layout, parameters: &mut [f32], gradients: &[f32], rate: f64, step: u64) {
        match self {
            Optimizer::Adafactor(optimizer) => optimizer.update(layout, parameters, gradients, rate, step),
            Optimizer::AdamW(optimizer) => optimizer.update(layout, parameters, gradients, rate, step),
        }
    }

    /// Values of an optimiser's state, without making one.
    pub fn state_len(config: OptimizerConfig, layout: &Layout) -> usize {
        match config {
            OptimizerConfig::Adafactor(config) => adafactor::slots(config, adafactor::shapes(layout)).1,
            OptimizerConfig::AdamW(_) => 2 * layout.trained_parameters(),
        }
    }

    /// All that an optimiser remembers.
    pub fn state(&self) -> &[f32] {
        match self {
            Optimizer::Adafactor(optimizer) => optimizer.state(),
            Optimizer::AdamW(optimizer) => optimizer.state(),
        }
    }

    /// Takes up a state that [`state`](Optimizer::state) gave.
    ///
    /// # Errors
    /// A state of another length: of another model, or of another optimiser.
    pub fn set_state(&mut self, state: Vec<f32>) -> Result<(), Error> {
        let own = match self {
            Optimizer::Adafactor(optimizer) => &mut optimizer.state,
            Optimizer::AdamW(optimizer) => &mut optimizer.state,
        };
        if own.len() != state.len() {
            return Err(Error::Setting(format!(
                "the optimiser's state has {} values, and this optimiser needs {}: go on with the optimiser that was saved, or begin \
                 its state anew by --new-optimizer",
                state.len(),
                own.len()
            )));
        }
        *own = state;
        Ok(())
    }
}

/// Values of a task.
const BLOCK: usize = 1 << 16;

/// `sqrt(sum(g^2))` over all gradients.
pub fn global_norm(gradients: &[f32]) -> f64 {
    square_sum(gradients).sqrt()
}

/// Scales gradients so that their global norm (given) is `limit` at most (Pascanu et al. 2013).
pub fn clip_global_norm(gradients: &mut [f32], norm: f64, limit: f64) {
    if norm > limit {
        let factor = (limit / norm) as f32;
        gradients
            .par_chunks_mut(BLOCK)
            .for_each(|block| elementwise::scale(block, factor));
    }
}

/// `sum(x^2)`: of blocks in f32, of their sums in f64.
fn square_sum(values: &[f32]) -> f64 {
    let sums: Vec<f64> = values
        .par_chunks(1 << 12)
        .with_min_len(16)
        .map(|block| f64::from(elementwise::square_sum(block)))
        .collect();
    sums.iter().sum()
}
