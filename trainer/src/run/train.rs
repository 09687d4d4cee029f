//! The loop, nothing else.

use super::metrics::Metrics;
use super::{Run, advice_after_divergence, not_finite};
use crate::Error;
use crate::backend::DeviceModel;
use crate::base::Batch;
use crate::feed::FeedConfig;
use crate::feed::ids;
use crate::feed::{EpochStart, Feed, Source};
use crate::model::{self, Loss};
use crate::vocab::Vocab;
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// What a step gave.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepReport {
    /// Steps that are done, this one included.
    pub step: u64,
    /// Mean cross entropy of its targets, in nats.
    pub loss: f64,
    /// Mean of `ln(Z)^2`, which the z-loss holds down.
    pub log_z_square: f64,
    /// Share of targets that were held most likely.
    pub accuracy: f64,
    /// Learning rate.
    pub learning_rate: f64,
    /// Global norm of the gradients, before clipping.
    pub gradient_norm: f64,
    /// Tokens of inputs and targets, without padding.
    pub tokens: u64,
    /// By the clock, in seconds.
    pub seconds: f64,
    /// Of them, waiting for the feed.
    pub waited: f64,
}

impl StepReport {
    /// Tokens a second, by the clock.
    pub fn tokens_per_second(&self) -> f64 {
        self.tokens as f64 / self.seconds.max(1e-9)
    }

    /// Share of its time that it waited for the feed.
    pub fn waited_share(&self) -> f64 {
        self.waited / self.seconds.max(1e-9)
    }
}

/// What a validation gave.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Evaluation {
    /// Steps that the model had.
    pub step: u64,
    /// Mean cross entropy, in nats a target.
    pub validation_loss: f64,
    /// `exp` of it.
    pub perplexity: f64,
    /// Share of targets that were held most likely.
    pub validation_accuracy: f64,
    /// Targets.
    pub targets: u64,
}

/// What the loop tells as it goes.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A step is done.
    Step(StepReport),
    /// Validation documents were looked at.
    Evaluation(Evaluation),
    /// A corpus begins anew.
    Epoch(EpochStart),
    /// A checkpoint was written, after so many steps.
    Checkpoint(u64),
}

/// Trains until the configuration's last step, or until `on_event` (called with every event) says to stop by `false`;
/// a checkpoint is written then, too, and where something else than the model fails.
///
/// # Errors
/// The corpora cannot be read, the loss is no longer finite, or a file cannot be written.
pub fn train(run: &mut Run, on_event: impl FnMut(&Event) -> bool) -> Result<(), Error> {
    let mut metrics = None;
    let error = match steps(run, &mut metrics, on_event) {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    // Of a model that has diverged, or on a device that has failed, there is nothing to save.
    let model_is_good = !matches!(error, Error::Diverged(_) | Error::Device(_));
    let begun = run.saved.unwrap_or(0);
    if !model_is_good || run.step == begun {
        return Err(error);
    }
    // A checkpoint without the metrics of its steps would lack them for good.
    let noted = metrics.as_mut().map_or(Ok(()), Metrics::sync);
    if noted.and_then(|()| run.save()).is_err() {
        return Err(error);
    }
    Err(Error::Stopped {
        cause: Box::new(error),
        step: run.step,
    })
}

fn steps(run: &mut Run, metrics: &mut Option<Metrics>, mut on_event: impl FnMut(&Event) -> bool) -> Result<(), Error> {
    let config = run.config.clone();
    let tokens = ids(&run.vocab);
    let vocab: Arc<Vocab> = run.vocab.clone();
    let cursor = run.cursor.clone();
    let mut feed = Feed::open(&config.corpora, &config.feed, tokens, vocab, cursor)?;
    let metrics = metrics.insert(Metrics::open(&run.folder, run.step + 1)?);
    let mut going = true;
    if run.lacks_evaluation()? {
        going &= validate(run, metrics, &mut on_event)?;
    }
    if run.saved.is_some() {
        // A process may have ended between the two.
        run.prune()?;
    }
    while run.step < config.steps && going {
        let report = step(run, &mut feed)?;
        metrics.step(&report)?;
        run.keep();
        going &= on_event(&Event::Step(report));
        for epoch in feed.epoch_starts() {
            going &= on_event(&Event::Epoch(epoch));
        }
        let last = run.step == config.steps;
        if run.step.is_multiple_of(config.checkpoint_every) || last || !going {
            going &= save(run, metrics, &mut on_event)?;
        }
        // Who is stopped does not wait for it: the run validates when it goes on.
        if config.evaluate_every > 0 && run.step.is_multiple_of(config.evaluate_every) && going {
            going &= validate(run, metrics, &mut on_event)?;
            if !going && run.saved != Some(run.step) {
                save(run, metrics, &mut on_event)?;
            }
        }
        if run.saved == Some(run.step) {
            run.prune()?;
        }
    }
    Ok(())
}

fn save(run: &mut Run, metrics: &mut Metrics, on_event: &mut impl FnMut(&Event) -> bool) -> Result<bool, Error> {
    metrics.sync()?;
    run.save()?;
    Ok(on_event(&Event::Checkpoint(run.step)))
}

/// Measures on the validation documents. Metrics last: what they have is not looked at again.
fn validate(run: &mut Run, metrics: &mut Metrics, on_event: &mut impl FnMut(&Event) -> bool) -> Result<bool, Error> {
    let config = &run.config;
    let limit = config.evaluate_batches;
    let loss = evaluate(&mut *run.backend, &run.vocab, &config.corpora, &config.feed, limit)?;
    let evaluation = Evaluation::of(run.step, &loss);
    run.note_loss(evaluation.validation_loss)?;
    metrics.evaluation(&evaluation)?;
    Ok(on_event(&Event::Evaluation(evaluation)))
}

/// One step: gradients of some batches, one update.
fn step(run: &mut Run, feed: &mut Feed) -> Result<StepReport, Error> {
    let (started, waited) = (Instant::now(), feed.waited());
    let config = &run.config;
    let mut batches = Vec::new();
    // Taken over when the step is done: a checkpoint after one that failed goes on at its first batch.
    let mut next = None;
    for _ in 0..config.batches_per_step {
        // A training feed has no end.
        let Some((batch, cursor)) = feed.next()? else {
            return Err(Error::Setting("the corpora hold no examples".into()));
        };
        batches.push(batch);
        next = Some(cursor);
    }
    let mut denominator = 0.0;
    for batch in &batches {
        denominator += model::denominator(&config.model, batch)?;
    }
    let weight = (1.0 / denominator) as f32;
    let mut loss = Loss::default();
    let backend = &mut *run.backend;
    backend.zero_gradients()?;
    for (number, batch) in (0..).zip(&batches) {
        let seed = dropout_seed(config.seed, run.step, number);
        loss += backend.accumulate(batch, weight, seed)?;
    }
    let norm = backend.gradient_norm()?;
    if !loss.cross_entropy.is_finite() || !norm.is_finite() {
        let parameter = not_finite(&run.layout, backend.host()?.0.parameters());
        let culprit = match (parameter, not_finite(&run.layout, &backend.gradients()?)) {
            (Some(name), _) => format!("parameter {name} is not finite"),
            (None, Some(name)) => format!("the gradient of {name} is not finite"),
            (None, None) => "the gradients are too large".to_owned(),
        };
        return Err(Error::Diverged(format!(
            "step {}: the loss is {}, {culprit}; {}",
            run.step + 1,
            loss.mean(),
            advice_after_divergence(&run.folder)?
        )));
    }
    let rate = config.schedule.rate(run.step);
    if let Some(limit) = config.clip_norm {
        backend.clip_gradients(norm, limit)?;
    }
    backend.update(rate, run.step)?;
    run.step += 1;
    run.cursor = next;
    Ok(StepReport {
        step: run.step,
        loss: loss.mean(),
        log_z_square: loss.log_z_squares / loss.targets.max(1) as f64,
        accuracy: loss.correct as f64 / loss.targets.max(1) as f64,
        learning_rate: rate,
        gradient_norm: norm,
        tokens: batches.iter().map(tokens).sum(),
        seconds: started.elapsed().as_secs_f64(),
        waited: (feed.waited() - waited).as_secs_f64(),
    })
}

/// Another number for every batch of a run; a function of seed, step and batch, so that a run that goes on draws the same.
fn dropout_seed(seed: u64, step: u64, batch: u64) -> u64 {
    let place = [step.to_le_bytes(), batch.to_le_bytes()].concat();
    xxh3_64_with_seed(&place, seed)
}

/// Tokens of a batch, without padding.
fn tokens(batch: &Batch) -> u64 {
    let sides = [&batch.inputs.tokens, &batch.targets.tokens];
    sides
        .iter()
        .map(|side| side.iter().filter(|t| **t != 0).count() as u64)
        .sum()
}

/// The loss over validation documents; `limit`: batches at most, 0: all.
///
/// # Errors
/// The corpora cannot be read.
pub fn evaluate(
    backend: &mut dyn DeviceModel,
    vocab: &Arc<Vocab>,
    corpora: &[Source],
    config: &FeedConfig,
    limit: u64,
) -> Result<Loss, Error> {
    let mut feed = Feed::validation(corpora, config, ids(vocab), vocab.clone())?;
    let mut loss = Loss::default();
    let mut batches = 0;
    while (limit == 0 || batches < limit)
        && let Some((batch, _)) = feed.next()?
    {
        loss += backend.evaluate(&batch)?;
        batches += 1;
    }
    Ok(loss)
}

impl Evaluation {
    /// Of a loss after `step` steps.
    pub fn of(step: u64, loss: &Loss) -> Evaluation {
        Evaluation {
            step,
            validation_loss: loss.mean(),
            perplexity: loss.mean().exp(),
            validation_accuracy: loss.correct as f64 / loss.targets.max(1) as f64,
            targets: loss.targets as u64,
        }
    }
}
