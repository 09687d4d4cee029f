//! The model in the host's memory: parameters, gradients, and the passes over a batch on the CPU.

use super::batch::{denominator, total};
use super::config::ModelConfig;
use super::cpu::CpuBackend;
use super::head::Loss;
use super::init;
use super::layout::Layout;
use super::passes::{Passes, Weights};
use crate::Error;
use crate::base::{Batch, Sequences, limits};
use crate::math::elementwise::RowLoss;

/// A T5 on the CPU: all its parameters in one flat buffer of `f32`, gradients in another, and memory that its passes
/// use again.
///
/// The backward pass is written by hand: each sublayer is one operation with a forward and a backward function, which
/// adds gradients where they belong. So batches accumulate, and clipping, optimisers and exchange between processes
/// work on one slice.
///
/// ```
/// use t5_trainer::{ModelConfig, T5};
/// let config = ModelConfig { vocab_size: 128, encoder_layers: 1, decoder_layers: 1, ..ModelConfig::named("tiny")? };
/// let model = T5::new(config.clone(), 7)?;
/// assert_eq!(model.parameters().len() as u64, config.parameters().unwrap());
/// # Ok::<(), t5_trainer::Error>(())
/// ```
#[derive(Debug)]
pub struct T5 {
    config: ModelConfig,
    layout: Layout,
    parameters: Vec<f32>,
    /// Of trained variables; empty until the first backward pass.
    gradients: Vec<f32>,
    passes: Passes<CpuBackend>,
}

fn weights<'a>(config: &'a ModelConfig, layout: &'a Layout, parameters: &'a Vec<f32>) -> Weights<'a, CpuBackend> {
    Weights {
        config,
        layout,
        parameters,
        matrices: parameters,
    }
}

impl T5 {
    /// A model with Mesh TensorFlow's first values, drawn from `seed`.
    ///
    /// # Errors
    /// Settings that cannot be.
    pub fn new(config: ModelConfig, seed: u64) -> Result<T5, Error> {
        config.validate()?;
        let layout = Layout::new(&config);
        let mut parameters = layout.zeros()?;
        init::fill_parameters(&layout, seed, &mut parameters);
        T5::with_parameters(config, parameters)
    }

    /// A model with given parameters, in the order of its [`Layout`].
    ///
    /// # Errors
    /// Settings that cannot be, or another number of parameters.
    pub fn with_parameters(config: ModelConfig, parameters: Vec<f32>) -> Result<T5, Error> {
        config.validate()?;
        let layout = Layout::new(&config);
        if layout.len() != parameters.len() {
            return Err(Error::Setting(format!(
                "this model has {} parameters, not {}; take the configuration they were saved with",
                layout.len(),
                parameters.len()
            )));
        }
        Ok(T5 {
            config,
            layout,
            parameters,
            gradients: Vec::new(),
            passes: Passes::new(CpuBackend::default()),
        })
    }

    /// This model with adapters of a width behind its feed-forward layers, drawn from `seed`, that change what it says
    /// next to nothing. All is trained.
    ///
    /// # Errors
    /// The model has adapters of another width.
    pub fn with_adapters(self, width: usize, seed: u64) -> Result<T5, Error> {
        let old = self.config.adapter;
        if old == width {
            return Ok(self);
        }
        if old > 0 {
            let problem = format!("the model has adapters of width {old}, which stay; leave the setting out");
            return Err(limits::refuse("model.adapter", width, problem));
        }
        let config = ModelConfig {
            adapter: width,
            ..self.config
        };
        config.validate().map_err(|error| error.under("model"))?;
        let layout = Layout::new(&config);
        let mut parameters = layout.zeros()?;
        init::fill_parameters(&layout, seed, &mut parameters);
        for variable in self.layout.variables() {
            if let Some(new) = layout.variable(&variable.name) {
                parameters[new.range.clone()].copy_from_slice(&self.parameters[variable.range.clone()]);
            }
        }
        T5::with_parameters(config, parameters)
    }

    /// The settings of the model.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The variables of the model, and where they are.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Trains from here on what `layout` says, which is one of this model; all else keeps its bits. At first all is
    /// trained.
    ///
    /// # Panics
    /// A layout of another model.
    pub fn set_layout(&mut self, layout: &Layout) {
        assert_eq!(self.layout.len(), layout.len(), "a layout of another model");
        self.layout = layout.clone();
        self.gradients = Vec::new();
    }

    /// All parameters, in the order of the layout.
    pub fn parameters(&self) -> &[f32] {
        &self.parameters
    }

    /// All parameters, without the model.
    pub fn into_parameters(self) -> Vec<f32> {
        self.parameters
    }

    /// All parameters, to be changed.
    pub fn parameters_mut(&mut self) -> &mut [f32] {
        &mut self.parameters
    }

    /// The gradients, where the layout says ([`Variable::gradient`](super::Variable)); empty before the first
    /// [`accumulate`](T5::accumulate).
    pub fn gradients(&self) -> &[f32] {
        &self.gradients
    }

    /// What an optimiser works on: layout, parameters, gradients.
    pub fn buffers(&mut self) -> (&Layout, &mut [f32], &mut [f32]) {
        let size = self.layout.gradients_len();
        self.gradients.resize(size, 0.0);
        (&self.layout, &mut self.parameters, &mut self.gradients)
    }

    /// What passes of another backend in the host's memory work on: settings, layout, parameters, gradients.
    #[cfg(feature = "candle")]
    pub(crate) fn vectors(&mut self) -> (&ModelConfig, &Layout, &Vec<f32>, &mut Vec<f32>) {
        self.gradients.resize(self.layout.gradients_len(), 0.0);
        (&self.config, &self.layout, &self.parameters, &mut self.gradients)
    }

    /// Sets all gradients to 0.
    pub fn zero_gradients(&mut self) {
        use rayon::prelude::*;
        self.gradients.par_chunks_mut(1 << 20).for_each(|part| part.fill(0.0));
    }

    /// By what a batch's summed loss is divided, after the settings: target positions, or targets that count. With
    /// several batches a step, the sum of theirs.
    ///
    /// # Errors
    /// A batch that is not for this model.
    pub fn denominator(&self, batch: &Batch) -> Result<f64, Error> {
        denominator(&self.config, batch)
    }

    /// The loss of a batch, without dropout.
    ///
    /// # Errors
    /// A batch that is not for this model.
    pub fn evaluate(&mut self, batch: &Batch) -> Result<Loss, Error> {
        Ok(total(batch.targets.tokens.len(), &self.target_losses(batch)?))
    }

    /// The losses of the targets that count, row after row, without dropout.
    ///
    /// # Errors
    /// A batch that is not for this model.
    pub(crate) fn target_losses(&mut self, batch: &Batch) -> Result<Vec<RowLoss>, Error> {
        let weights = weights(&self.config, &self.layout, &self.parameters);
        self.passes.target_losses(weights, batch)
    }

    /// The logits of all target positions, `[batch, targets.length, vocab]`, without dropout.
    ///
    /// # Errors
    /// A batch that is not for this model.
    pub fn logits(&mut self, batch: &Batch) -> Result<Vec<f32>, Error> {
        let weights = weights(&self.config, &self.layout, &self.parameters);
        self.passes.logits(weights, batch)
    }

    /// The encoder's output, `[batch, inputs.length, d_model]`, without dropout.
    ///
    /// # Errors
    /// A model without encoder, tokens outside of the vocabulary, or segments in pieces.
    pub fn encode(&mut self, rows: usize, inputs: &Sequences) -> Result<&[f32], Error> {
        let weights = weights(&self.config, &self.layout, &self.parameters);
        Ok(self.passes.encode(weights, rows, inputs)?)
    }

    /// Forward and backward: adds to the gradients `weight` times those of the batch's summed training loss (cross
    /// entropy and z-loss). `dropout_seed` is to be another for every batch.
    ///
    /// # Errors
    /// A batch that is not for this model.
    pub fn accumulate(&mut self, batch: &Batch, weight: f32, dropout_seed: u64) -> Result<Loss, Error> {
        self.gradients.resize(self.layout.gradients_len(), 0.0);
        let weights = weights(&self.config, &self.layout, &self.parameters);
        let gradients = &mut self.gradients;
        let losses = self
            .passes
            .accumulate(weights, gradients, batch, weight, dropout_seed)?;
        self.passes.total(losses)
    }
}
