//! What a model needs of the machine's memory, known before it is taken: a system that promises more memory than it has
//! ends the process without a word.

use super::settings::RunConfig;
use crate::Error;
use crate::base::limits;
use crate::base::memory::{available, gigabytes, refuse_too_much};
use crate::model::{ModelConfig, Reach};
use crate::optimizer::Optimizer;

/// Bytes of an `f32`.
const VALUE: u64 = 4;
/// Targets whose logits are there at a time (`model/head.rs`).
const TARGETS: u64 = 512;

/// What training needs at least: parameters, gradients and the optimiser's state of those that are trained, and what a
/// batch leaves for the backward pass. Where there is an `accelerator`, the host holds parameters and state alone. A
/// sentence where that is more than what is not in use now.
///
/// # Errors
/// More than all of the machine's memory; more elements at a place of the model than are counted there.
pub fn check_training(config: &RunConfig, accelerator: bool) -> Result<Option<String>, Error> {
    let layout = config.last_layout()?;
    let state = Optimizer::state_len(config.optimizer, &layout) as u64;
    let model = layout.len() as u64;
    let (copies, batch) = match accelerator {
        true => (model, 0),
        false => (
            model.saturating_add(layout.gradients_len() as u64),
            activations(config, Some(layout.reach()))?,
        ),
    };
    let values = copies.saturating_add(state);
    let bytes = values.saturating_add(batch).saturating_mul(VALUE);
    let what = format!(
        "training {model} parameters on batches of {} rows (feed.rows)",
        config.feed.rows
    );
    let parts = format!(
        "{} for parameters, gradients and the optimiser's state, {} for a batch",
        gigabytes(values.saturating_mul(VALUE)),
        gigabytes(batch.saturating_mul(VALUE)),
    );
    refuse_too_much(&what, bytes).map_err(|error| Error::Setting(format!("{error}: {parts}")))?;
    if accelerator || config.model.dropout > 0.0 {
        check_elements(config)?;
    }
    Ok(available().filter(|free| bytes > *free).map(|free| {
        let (bytes, free) = (gigabytes(bytes), gigabytes(free));
        format!("{what} needs {bytes} of memory, and {free} are free: {parts}")
    }))
}

/// Refuses to measure with batches that do not fit.
///
/// # Errors
/// More than all of the machine's memory; for an `accelerator` more elements than its kernels count.
pub fn check_evaluation(config: &RunConfig, accelerator: bool) -> Result<(), Error> {
    if accelerator {
        check_elements(config)?;
    }
    let model = config.model.parameters().unwrap_or(u64::MAX);
    let batch = activations(config, None)?;
    let what = format!("measuring batches of {} rows", config.feed.rows);
    refuse_too_much(&what, model.saturating_add(batch).saturating_mul(VALUE))
}

/// Refuses a batch with 2^32 elements or more at a place where dropout and kernels count them in 32 bits.
fn check_elements(config: &RunConfig) -> Result<(), Error> {
    let (inputs, targets) = config.row_lengths()?;
    let row = config.model.counted_elements(inputs.max(targets)).max(1);
    let rows = config.feed.rows as u64;
    if row.saturating_mul(rows) <= u64::from(u32::MAX) {
        return Ok(());
    }
    let problem = format!(
        "a batch has {} elements at a place of the model, and must have fewer than 2^32 there: at most {} rows of these lengths; raise \
         batches_per_step in return",
        row.saturating_mul(rows),
        u64::from(u32::MAX) / row
    );
    Err(limits::refuse("feed.rows", rows, problem))
}

/// Values that a batch's passes leave at least: all that a backward pass reads that goes so far.
fn activations(config: &RunConfig, backward: Option<Reach>) -> Result<u64, Error> {
    let (inputs, targets) = config.row_lengths()?;
    let model = &config.model;
    let rows = config.feed.rows as u64;
    let (inputs, targets) = (rows * inputs as u64, rows * targets as u64);
    let cross = match model.architecture.has_encoder() {
        true => 1,
        false => 0,
    };
    let (from, seen) = (backward.map(|reach| reach.encoder), (cross > 0).then_some(inputs));
    let encoder = stack(model, model.encoder_layers as u64 * cross, inputs, None, from);
    let from = backward.map(|reach| reach.decoder);
    let decoder = stack(model, model.decoder_layers as u64, targets, seen, from);
    let logits = targets.min(TARGETS) * model.vocab_size as u64;
    Ok(encoder.saturating_add(decoder).saturating_add(logits))
}

/// Of a stack of `n` positions: `model/stack.rs`'s `Memory`, of which the backward pass ends with sublayer `from`.
/// Ranges of the settings keep all of this below 2^64, but for a product of the largest, which is cut off there.
fn stack(model: &ModelConfig, layers: u64, n: u64, seen: Option<u64>, from: Option<usize>) -> u64 {
    if layers == 0 {
        return 0;
    }
    let (d, width) = (model.d_model as u64, model.heads_width() as u64);
    let attention = n.saturating_mul(4 * width);
    let cross = seen.map_or(0, |seen| (n + seen).saturating_mul(2 * width));
    let inner = match model.activation.gated() {
        None => 1,
        Some(_) => 3,
    };
    let feed_forward = n.saturating_mul(inner * model.d_ff as u64 + model.adapter as u64);
    let of_layer = 2 + u64::from(seen.is_some()) + u64::from(model.adapter > 0);
    let sublayers = layers * of_layer;
    let kept = from.map_or(0, |from| (sublayers + 1).saturating_sub(from as u64));
    let streams = kept.max(2);
    let kept = match model.recompute {
        true => 1,
        false => (kept.saturating_sub(1) / of_layer).max(1),
    };
    let saved = attention.saturating_add(cross).saturating_add(feed_forward);
    let streams = n.saturating_mul(d).saturating_mul(streams);
    streams.saturating_add(saved.saturating_mul(kept))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Layout;

    #[test]
    fn a_model_that_cannot_fit_is_refused_before_it_is_made() {
        if available().is_none() {
            return;
        }
        let tiny = RunConfig::named("v1.1-tiny").unwrap();
        assert!(check_training(&tiny, false).is_ok());
        assert!(check_evaluation(&tiny, true).is_ok());
        // 2^48 parameters: no machine has the memory.
        let mut huge = tiny.clone();
        huge.model.d_model = 1 << 14;
        huge.model.d_ff = 1 << 20;
        huge.model.encoder_layers = 1 << 10;
        huge.model.decoder_layers = 1 << 10;
        huge.validate().unwrap();
        for accelerator in [false, true] {
            let error = check_training(&huge, accelerator).unwrap_err().to_string();
            assert!(error.contains("of memory"), "{error}");
        }
        let error = Layout::new(&huge.model).zeros().unwrap_err();
        assert!(error.to_string().contains("parameters"), "{error}");
        // Batches alone.
        let mut wide = tiny;
        wide.feed.rows = 1 << 20;
        wide.feed.objective.inputs_length = Some(1 << 16);
        wide.validate().unwrap();
        let error = check_training(&wide, false).unwrap_err().to_string();
        assert!(error.contains("feed.rows"), "{error}");
        assert!(check_evaluation(&wide, false).is_err());
    }

    #[test]
    fn more_elements_than_are_counted_are_refused() {
        let refused = |config: &RunConfig| {
            let found = check_training(config, true);
            found.is_err_and(|error| error.to_string().contains("fewer than 2^32"))
        };
        // 2^13 rows of 512 are 2^32 of d_ff, with dropout and without.
        let mut config = RunConfig::named("tiny").unwrap();
        for dropout in [0.1, 0.0] {
            config.model.dropout = dropout;
            config.feed.rows = 1 << 13;
            assert!(refused(&config));
            let error = check_evaluation(&config, true).unwrap_err().to_string();
            assert!(
                error.starts_with("feed.rows = 8192: ") && error.contains("at most 8191 rows"),
                "{error}"
            );
            config.feed.rows -= 1;
            assert!(!refused(&config));
        }
        // Attention's weights: 2^31 and 2^32 of a tiny model.
        let mut config = RunConfig::named("tiny").unwrap();
        config = config.with(&["model.dropout_shape=elementwise".to_owned()]).unwrap();
        config.feed.objective.inputs_length = Some(1 << 12);
        for (rows, is_refused) in [(32, false), (64, true)] {
            config.feed.rows = rows;
            assert_eq!(refused(&config), is_refused, "{rows}");
        }
        let shared = config.with(&["model.dropout_shape=across_length".to_owned()]).unwrap();
        assert!(!refused(&shared));
    }

    /// What is frozen costs neither gradients nor state, nor, below the lowest trained layer, activations.
    #[test]
    fn what_is_frozen_costs_less() {
        let needs = |settings: &[&str]| {
            let settings: Vec<String> = settings.iter().map(|s| (*s).to_owned()).collect();
            let config = RunConfig::resolve("small", None, &settings, None).unwrap();
            let layout = config.last_layout().unwrap();
            let state = Optimizer::new(config.optimizer, &layout).state().len();
            assert_eq!(Optimizer::state_len(config.optimizer, &layout), state);
            (
                layout.gradients_len(),
                state,
                activations(&config, Some(layout.reach())).unwrap(),
            )
        };
        let all = needs(&[]);
        assert_eq!(all.0, 60_506_624);
        let top = needs(&["transfer={kind='only', variables=['decoder.block.5.*']}"]);
        assert!(
            top.0 * 10 < all.0 && top.1 * 5 < all.1 && top.2 * 4 < all.2,
            "{top:?}, {all:?}"
        );
        let decoder = needs(&["transfer={kind='only', variables=['decoder.*']}"]);
        assert!(top.2 < decoder.2 && decoder.2 * 2 < all.2, "{decoder:?}, {all:?}");
        let adapters = needs(&["model.adapter=32", "transfer.kind=adapters"]);
        // Adafactor factors no matrix with fewer than 128 columns, so that narrow adapters have a moment a parameter.
        assert!(adapters.0 * 100 < all.0 && adapters.1 <= adapters.0, "{adapters:?}");
        assert_eq!(needs(&["transfer.kind=unfreezing"]), all);
    }

    #[test]
    fn what_is_counted_is_what_is_there() {
        for name in ModelConfig::names().filter(|name| !name.contains("11b")) {
            let config = RunConfig::named(name).unwrap();
            let layout = Layout::new(&config.model);
            assert_eq!(config.model.parameters(), Some(layout.len() as u64));
        }
        let config = RunConfig::named("v1.1-tiny").unwrap();
        for architecture in [
            crate::model::Architecture::Shared,
            crate::model::Architecture::LanguageModel,
        ] {
            let model = config.model.clone().with_architecture(architecture);
            let layout = Layout::new(&model);
            assert_eq!(model.parameters(), Some(layout.len() as u64));
            let state = Optimizer::state_len(config.optimizer, &layout);
            let optimizer = Optimizer::new(config.optimizer, &layout);
            assert_eq!(state, optimizer.state().len());
        }
    }
}
