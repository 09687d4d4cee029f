//! The model: parameters, gradients, and the passes over a batch.
//!
//! Above 500 lines: forward and backward pass, side by side.

use super::attention::{Sink, SublayerScratch};
use super::attention_mask::AttentionMask;
use super::config::{Architecture, Denominator, EOS, Head, LossOn, ModelConfig};
use super::embedding;
use super::head::{self, Loss};
use super::init;
use super::layout::Layout;
use super::relative_position::Distances;
use super::stack::{Keep, StackMemory, StackPass};
use crate::Error;
use crate::base::Batch;
use crate::base::Sequences;
use crate::math::dropout::Dropout;
use crate::math::elementwise::RowLoss;

/// A T5: all its parameters in one flat buffer of `f32`, gradients in another, and memory that its passes use again.
///
/// The backward pass is written by hand: each sublayer is one operation with a forward and a backward function, which adds
/// gradients where they belong. So batches accumulate, and clipping, optimisers and exchange between
/// processes work on one slice.
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
    /// Empty until the first backward pass.
    gradients: Vec<f32>,
    workspace: Workspace,
}

#[derive(Debug, Default)]
struct Workspace {
    encoder: StackMemory,
    decoder: StackMemory,
    scratch: SublayerScratch,
    head: head::HeadScratch,
    dhidden: Vec<f32>,
    dencoded: Vec<f32>,
}

/// Who sees whom in a batch, and at which distances.
pub(crate) struct Sight {
    /// The encoder's own positions, their distances, and the decoder's to them.
    pub encoder: Option<(AttentionMask, Distances, AttentionMask)>,
    pub decoder: (AttentionMask, Distances),
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
            workspace: Workspace::default(),
        })
    }

    /// Its settings.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Its variables.
    pub fn layout(&self) -> &Layout {
        &self.layout
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

    /// All gradients, in the order of the layout; empty before the first [`accumulate`](T5::accumulate).
    pub fn gradients(&self) -> &[f32] {
        &self.gradients
    }

    /// What an optimiser works on: layout, parameters, gradients.
    pub fn buffers(&mut self) -> (&Layout, &mut [f32], &mut [f32]) {
        let size = self.layout.len();
        self.gradients.resize(size, 0.0);
        (&self.layout, &mut self.parameters, &mut self.gradients)
    }

    /// Sets all gradients to 0.
    pub fn zero_gradients(&mut self) {
        use rayon::prelude::*;
        self.gradients.par_chunks_mut(1 << 20).for_each(|part| part.fill(0.0));
    }

    /// By what a batch's summed loss is divided, after the settings: target positions, or targets that count. With several
    /// batches a step, the sum of theirs.
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
        Ok(total(batch, &self.target_losses(batch)?))
    }

    /// The losses of the targets that count, row after row, without dropout.
    ///
    /// # Errors
    /// A batch that is not for this model.
    pub(crate) fn target_losses(&mut self, batch: &Batch) -> Result<Vec<RowLoss>, Error> {
        self.forward(batch, Keep::Output, None)?;
        let targets = targets(&self.config, batch);
        let head = head(&self.config, &self.layout, &self.parameters);
        let workspace = &mut self.workspace;
        Ok(head.losses(&workspace.decoder.output, &targets, &mut workspace.head))
    }

    /// The logits of all target positions, `[rows, targets.length, vocab]`, without dropout.
    ///
    /// # Errors
    /// A batch that is not for this model.
    pub fn logits(&mut self, batch: &Batch) -> Result<Vec<f32>, Error> {
        self.forward(batch, Keep::Output, None)?;
        let mut logits = Vec::new();
        let head = head(&self.config, &self.layout, &self.parameters);
        head.logits(&self.workspace.decoder.output, &mut logits);
        Ok(logits)
    }

    /// The encoder's output, `[rows, inputs.length, d_model]`, without dropout.
    ///
    /// # Errors
    /// A model without encoder, tokens outside of the vocabulary, or segments in pieces.
    pub fn encode(&mut self, rows: usize, inputs: &Sequences) -> Result<&[f32], Error> {
        let Some(layout) = &self.layout.encoder else {
            return Err(Error::Setting("a language model has no encoder".into()));
        };
        check_sequences("inputs", rows, inputs, self.config.vocab_size)?;
        let visibility = AttentionMask::encoder(rows, inputs)?;
        let pass = StackPass {
            config: &self.config,
            parameters: &self.parameters,
            embedding: &self.layout.embedding,
            layout,
            distances: &distances(&self.config, inputs.length, true),
            visibility: &visibility,
            cross: None,
            dropout: None,
            number: 0,
        };
        let workspace = &mut self.workspace;
        pass.forward(
            &inputs.tokens,
            Keep::Output,
            &mut workspace.encoder,
            &mut workspace.scratch,
        );
        Ok(&workspace.encoder.output)
    }

    /// Forward and backward: adds to the gradients `weight` times those of the batch's summed training loss (cross entropy
    /// and z-loss). `dropout_seed` is to be another for every batch.
    ///
    /// # Errors
    /// A batch that is not for this model.
    pub fn accumulate(&mut self, batch: &Batch, weight: f32, dropout_seed: u64) -> Result<Loss, Error> {
        let keep = match self.config.recompute {
            false => Keep::Everything,
            true => Keep::Streams,
        };
        let dropout = self.config.dropout_of(dropout_seed);
        let sight = self.forward(batch, keep, dropout)?;
        let targets = targets(&self.config, batch);
        let size = self.layout.len();
        self.gradients.resize(size, 0.0);
        let workspace = &mut self.workspace;
        let head = head(&self.config, &self.layout, &self.parameters);
        workspace.dhidden.clear();
        workspace.dhidden.resize(workspace.decoder.output.len(), 0.0);
        let backward = head::HeadBackward {
            weight,
            z_loss: self.config.z_loss,
            dhidden: &mut workspace.dhidden,
            dweight: &mut self.gradients[self.layout.head.clone()],
        };
        let hidden = &workspace.decoder.output;
        let mut loss = head.loss(hidden, &targets, backward, &mut workspace.head);
        loss.positions = batch.targets.tokens.len();
        workspace.dencoded.clear();
        workspace.dencoded.resize(workspace.encoder.output.len(), 0.0);
        let encoded = &workspace.encoder.output[..];
        let (scratch, gradients) = (&mut workspace.scratch, &mut self.gradients[..]);
        let common = common(&self.config, &self.layout, &self.parameters, &sight, dropout);
        common.decoder(encoded).backward(
            &batch.decoder_inputs,
            keep,
            &mut workspace.decoder,
            scratch,
            &mut workspace.dhidden,
            &mut Sink {
                variables: gradients,
                encoded: &mut workspace.dencoded,
            },
        );
        if let Some(pass) = common.encoder() {
            pass.backward(
                &batch.inputs.tokens,
                keep,
                &mut workspace.encoder,
                scratch,
                &mut workspace.dencoded,
                &mut Sink {
                    variables: gradients,
                    encoded: &mut [],
                },
            );
        }
        Ok(loss)
    }

    fn forward(&mut self, batch: &Batch, keep: Keep, dropout: Option<Dropout>) -> Result<Sight, Error> {
        check(&self.config, batch)?;
        let sight = sight(&self.config, batch)?;
        let common = common(&self.config, &self.layout, &self.parameters, &sight, dropout);
        let Workspace {
            encoder,
            decoder,
            scratch,
            ..
        } = &mut self.workspace;
        match common.encoder() {
            Some(pass) => pass.forward(&batch.inputs.tokens, keep, encoder, scratch),
            None => encoder.output.clear(),
        }
        let pass = common.decoder(&encoder.output);
        pass.forward(&batch.decoder_inputs, keep, decoder, scratch);
        Ok(sight)
    }
}

/// Who sees whom in a batch, and at which distances.
pub(crate) fn sight(config: &ModelConfig, batch: &Batch) -> Result<Sight, Error> {
    let (rows, inputs, targets) = (batch.rows, &batch.inputs, &batch.targets);
    let architecture = config.architecture;
    let encoder = match architecture.has_encoder() {
        false => None,
        true => Some((
            AttentionMask::encoder(rows, inputs)?,
            distances(config, inputs.length, true),
            AttentionMask::cross(rows, targets, inputs)?,
        )),
    };
    let bidirectional = architecture == Architecture::PrefixLm;
    Ok(Sight {
        encoder,
        decoder: (
            AttentionMask::decoder(rows, targets, architecture)?,
            distances(config, targets.length, bidirectional),
        ),
    })
}

/// Positions that count, with their tokens.
pub(crate) fn targets(config: &ModelConfig, batch: &Batch) -> Vec<(usize, u32)> {
    let mut targets = Vec::new();
    let length = batch.targets.length.max(1);
    for (row, tokens) in batch.targets.tokens.chunks(length).enumerate() {
        // Inputs are where an even number of EOS came before.
        let mut in_targets = config.loss_on == LossOn::All;
        for (position, &token) in tokens.iter().enumerate() {
            if token != 0 && in_targets {
                targets.push((row * length + position, token));
            }
            if config.loss_on == LossOn::AfterInputs && token == EOS {
                in_targets = !in_targets;
            }
        }
    }
    targets
}

/// By what a batch's summed loss is divided, after the settings: target positions, or targets that count. With several batches a
/// step, the sum of theirs.
///
/// # Errors
/// A batch that is not for this model.
pub(crate) fn denominator(config: &ModelConfig, batch: &Batch) -> Result<f64, Error> {
    check(config, batch)?;
    let count = match config.denominator {
        Denominator::Positions => batch.targets.tokens.len(),
        Denominator::Targets => targets(config, batch).len(),
    };
    Ok(count.max(1) as f64)
}

/// The loss of a batch from those of its [`targets`].
pub(crate) fn total(batch: &Batch, losses: &[RowLoss]) -> Loss {
    let mut loss = Loss::default();
    losses.iter().for_each(|row| loss.add(row));
    loss.positions = batch.targets.tokens.len();
    loss
}

/// The loss of each example of a batch, row after row, from those of its [`targets`].
pub(crate) fn each_example(config: &ModelConfig, batch: &Batch, rows: &[RowLoss]) -> Vec<Loss> {
    let mut losses: Vec<Loss> = Vec::new();
    let mut numbers = Vec::new();
    let mut last = None;
    for (position, &segment) in batch.targets.segments.iter().enumerate() {
        let example = (position / batch.targets.length, segment);
        if segment > 0 && last != Some(example) {
            losses.push(Loss::default());
            last = Some(example);
        }
        numbers.push(losses.len().saturating_sub(1));
        if segment > 0
            && let Some(loss) = losses.last_mut()
        {
            loss.positions += 1;
        }
    }
    for ((position, _), row) in targets(config, batch).into_iter().zip(rows) {
        losses[numbers[position]].add(row);
    }
    losses
}

/// Refuses a batch that is not for a model.
pub(crate) fn check(config: &ModelConfig, batch: &Batch) -> Result<(), Error> {
    let vocab_size = config.vocab_size;
    check_sequences("targets", batch.rows, &batch.targets, vocab_size)?;
    if batch.decoder_inputs.len() != batch.targets.tokens.len() {
        return Err(Error::Setting(
            "a batch's decoder inputs and targets differ in length".into(),
        ));
    }
    embedding::check(&batch.decoder_inputs, vocab_size)?;
    if config.architecture.has_encoder() {
        check_sequences("inputs", batch.rows, &batch.inputs, vocab_size)?;
    } else if !batch.inputs.tokens.is_empty() {
        return Err(Error::Setting(
            "a batch with inputs is for a model with an encoder; pack inputs and targets into one sequence".into(),
        ));
    }
    Ok(())
}

fn check_sequences(what: &str, rows: usize, sequences: &Sequences, vocab_size: usize) -> Result<(), Error> {
    let len = rows * sequences.length;
    if rows == 0 || len == 0 || sequences.tokens.len() != len || sequences.segments.len() != len {
        return Err(Error::Setting(format!(
            "a batch's {what} are {} tokens and {} segment ids, not {rows} rows of {} positions; give as many, and one at least",
            sequences.tokens.len(),
            sequences.segments.len(),
            sequences.length
        )));
    }
    embedding::check(&sequences.tokens, vocab_size)
}

pub(crate) fn distances(config: &ModelConfig, length: usize, bidirectional: bool) -> Distances {
    let buckets = (config.relative_buckets, config.relative_max_distance);
    Distances::new(length, length, config.heads, bidirectional, buckets)
}

pub(crate) fn head<'a>(config: &ModelConfig, layout: &Layout, parameters: &'a [f32]) -> head::LogitsHead<'a> {
    head::LogitsHead {
        weight: &parameters[layout.head.clone()],
        d: config.d_model,
        scale: head_scale(config),
    }
}

/// What hidden values are multiplied with before the head's matrix.
pub(crate) fn head_scale(config: &ModelConfig) -> f32 {
    match config.head {
        Head::Tied => (config.d_model as f32).powf(-0.5),
        Head::Untied => 1.0,
    }
}

/// What both stacks of a pass have in common.
struct Common<'a> {
    config: &'a ModelConfig,
    layout: &'a Layout,
    parameters: &'a [f32],
    sight: &'a Sight,
    dropout: Option<Dropout>,
}

fn common<'a>(
    config: &'a ModelConfig,
    layout: &'a Layout,
    parameters: &'a [f32],
    sight: &'a Sight,
    dropout: Option<Dropout>,
) -> Common<'a> {
    Common {
        config,
        layout,
        parameters,
        sight,
        dropout,
    }
}

impl<'a> Common<'a> {
    fn encoder(&self) -> Option<StackPass<'a>> {
        let (visibility, distances, _) = self.sight.encoder.as_ref()?;
        Some(StackPass {
            config: self.config,
            parameters: self.parameters,
            embedding: &self.layout.embedding,
            layout: self.layout.encoder.as_ref()?,
            distances,
            visibility,
            cross: None,
            dropout: self.dropout,
            number: 0,
        })
    }

    fn decoder<'s>(&'s self, encoded: &'s [f32]) -> StackPass<'s> {
        let (visibility, distances) = &self.sight.decoder;
        StackPass {
            config: self.config,
            parameters: self.parameters,
            embedding: &self.layout.embedding,
            layout: &self.layout.decoder,
            distances,
            visibility,
            cross: self.sight.encoder.as_ref().map(|sight| (&sight.2, encoded)),
            dropout: self.dropout,
            number: 1,
        }
    }
}
