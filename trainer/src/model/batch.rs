//! What a batch is for a model: who sees whom, which targets count, what is refused.

use super::attention_mask::AttentionMask;
use super::config::{Architecture, Denominator, EOS, LossOn, ModelConfig};
use super::embedding;
use super::head::Loss;
use super::relative_position::Distances;
use crate::Error;
use crate::base::{Batch, Sequences};
use crate::math::elementwise::RowLoss;

/// Who sees whom in a batch, and at which distances.
pub(crate) struct Sight {
    /// The encoder's own positions, their distances, and the decoder's to them.
    pub encoder: Option<(AttentionMask, Distances, AttentionMask)>,
    pub decoder: (AttentionMask, Distances),
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

/// By what a batch's summed loss is divided, after the settings: target positions, or targets that count. With several
/// batches a step, the sum of theirs.
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

/// The loss of a batch of so many target positions from those of its [`targets`].
pub(crate) fn total(positions: usize, losses: &[RowLoss]) -> Loss {
    let mut loss = Loss::default();
    losses.iter().for_each(|row| loss.add(row));
    loss.positions = positions;
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

pub(crate) fn check_sequences(what: &str, rows: usize, sequences: &Sequences, vocab_size: usize) -> Result<(), Error> {
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
