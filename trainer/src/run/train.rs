//! The loop, nothing else.

use super::metrics::Metrics;
use super::{Run, advice_after_divergence, gradient_not_finite, not_finite, together};
use crate::Error;
use crate::backend::DeviceModel;
use crate::base::Batch;
use crate::feed::FeedConfig;
use crate::feed::ids;
use crate::feed::{EpochStart, Feed, Validations};
use crate::model::{self, Loss};
use crate::processes::Communicator;
use crate::rows::{Source, sizes};
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

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchReport {
    /// Batches of the step that are done (on a GPU: given to it), this one included.
    pub batch: u64,
    /// Batches of a step.
    pub batches: u64,
    /// By the clock, in seconds since the gradients of the first were begun.
    pub seconds: f64,
}

/// What a validation gave.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// Steps that the model had.
    pub step: u64,
    /// Mean cross entropy, in nats a target: of several corpora, the mean of theirs by their shares in training.
    pub validation_loss: f64,
    /// `exp` of [`validation_loss`](Evaluation::validation_loss).
    pub perplexity: f64,
    /// Share of targets that were held most likely; of several corpora as the loss.
    pub validation_accuracy: f64,
    /// Targets in all.
    pub targets: u64,
    /// Where there are several corpora, each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub corpora: Vec<CorpusEvaluation>,
}

/// What a validation gave on one corpus.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CorpusEvaluation {
    /// [`CorpusInfo::name`](crate::feed::CorpusInfo::name).
    pub corpus: String,
    /// The corpus's share in the mean.
    pub share: f64,
    /// Mean cross entropy, in nats a target.
    pub loss: f64,
    /// Share of targets that were held most likely.
    pub accuracy: f64,
    /// Targets.
    pub targets: u64,
}

/// What the loop tells as it goes.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A batch of a step is done.
    Batch(BatchReport),
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
/// a checkpoint is written then, too, and where something else than the model fails. Where several processes train together, all
/// call this, and all stop at the same step where one is told to.
///
/// # Errors
/// The corpora cannot be read, the loss is no longer finite, a file cannot be written, or another process has ended.
pub fn train(run: &mut Run, on_event: impl FnMut(&Event) -> bool) -> Result<(), Error> {
    let mut metrics = None;
    let error = match steps(run, &mut metrics, on_event) {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    // Of a model that has diverged, or on a device that has failed, there is nothing to save.
    let model_is_good = !matches!(error, Error::Diverged(_) | Error::Device(_));
    let begun = run.saved.unwrap_or(0);
    if !model_is_good || run.step == begun || !run.communicator.leads() {
        return Err(match (error, run.saved) {
            (Error::Peer(what), Some(step)) => Error::Peer(format!(
                "{what}; the checkpoint of step {step} is good: --resume goes on from there, with any number of processes"
            )),
            (Error::Peer(what), None) => Error::Peer(format!("{what}; there is no checkpoint yet: begin anew")),
            (error, _) => error,
        });
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
    if run.communicator.leads() {
        run.note_files(&sizes::files(&config.corpora)?)?;
    }
    let mut feed = Feed::open(&config.corpora, &config.feed, tokens, vocab, cursor)?;
    let has_validation = feed.corpora().iter().any(|corpus| corpus.validation.documents() > 0);
    if config.evaluate_every > 0 && !has_validation {
        return Err(Error::Setting(
            "no document to validate with: no corpus has more than one; set evaluate_every=0 to train without".into(),
        ));
    }
    let leads = run.communicator.leads();
    if leads {
        *metrics = Some(Metrics::open(&run.folder, run.step + 1)?);
    }
    let mut going = true;
    let lacks_evaluation = leads && run.lacks_evaluation()?;
    if run.communicator.any(lacks_evaluation)? {
        going = validate(run, metrics, &mut on_event)?;
    }
    if run.saved.is_some() && leads {
        // A process may have ended between the two.
        run.prune()?;
    }
    while run.step < config.steps && going {
        let mut wanted = true;
        let report = step(run, &mut feed, |batch| wanted &= on_event(&Event::Batch(batch)))?;
        if let Some(metrics) = metrics {
            metrics.step(&report)?;
        }
        run.keep();
        wanted &= on_event(&Event::Step(report));
        for epoch in feed.epoch_starts() {
            wanted &= on_event(&Event::Epoch(epoch));
        }
        going = all_go_on(run, wanted)?;
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
        if run.saved == Some(run.step) && leads {
            run.prune()?;
        }
    }
    Ok(())
}

/// Whether the run goes on: no process wants to stop.
fn all_go_on(run: &mut Run, wanted: bool) -> Result<bool, Error> {
    Ok(!run.communicator.any(!wanted)?)
}

/// Writes a checkpoint, which the others wait for.
fn save(
    run: &mut Run,
    metrics: &mut Option<Metrics>,
    on_event: &mut impl FnMut(&Event) -> bool,
) -> Result<bool, Error> {
    run.check_same()?;
    match metrics {
        Some(metrics) => {
            metrics.sync()?;
            run.save()?;
        }
        None => run.saved = Some(run.step),
    }
    let wanted = on_event(&Event::Checkpoint(run.step));
    all_go_on(run, wanted)
}

/// Measures on the validation documents. Metrics last: what they have is not looked at again.
fn validate(
    run: &mut Run,
    metrics: &mut Option<Metrics>,
    on_event: &mut impl FnMut(&Event) -> bool,
) -> Result<bool, Error> {
    let config = &run.config;
    let (limit, over) = (config.evaluate_batches, &mut run.communicator);
    let losses = evaluate_together(
        over,
        &mut *run.backend,
        &run.vocab,
        &config.corpora,
        &config.feed,
        limit,
    )?;
    let evaluation = Evaluation::of(run.step, &losses);
    if let Some(metrics) = metrics {
        run.note_loss(evaluation.validation_loss)?;
        metrics.evaluation(&evaluation)?;
    }
    let wanted = on_event(&Event::Evaluation(evaluation));
    all_go_on(run, wanted)
}

/// One step: gradients of some batches, one update. Of several processes each makes all batches, computes every so many-th, and
/// adds its gradients to those of the others; the update is everybody's.
fn step(run: &mut Run, feed: &mut Feed, mut on_batch: impl FnMut(BatchReport)) -> Result<StepReport, Error> {
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
    let (backend, over) = (&mut *run.backend, &mut run.communicator);
    backend.zero_gradients()?;
    let begun = Instant::now();
    for (number, batch) in (0..).zip(&batches).skip(over.rank()).step_by(over.size()) {
        over.check()?;
        let seed = dropout_seed(config.seed, run.step, number);
        backend.accumulate_ahead(batch, weight, seed)?;
        on_batch(BatchReport {
            batch: number + 1,
            batches: batches.len() as u64,
            seconds: begun.elapsed().as_secs_f64(),
        });
    }
    // First: who does not come is found here, not by a GPU that waits.
    let own = backend.take_losses()?;
    let loss = together::add_up(over, &own, batches.len())?;
    backend.sum_gradients(over)?;
    let norm = backend.gradient_norm()?;
    if !loss.cross_entropy.is_finite() || !norm.is_finite() {
        let parameter = not_finite(&run.layout, backend.host()?.0.parameters());
        let culprit = match (parameter, gradient_not_finite(&run.layout, &backend.gradients()?)) {
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
    let rate = config.schedule.rate(run.step, config.steps);
    if let Some(limit) = config.clip_norm {
        backend.clip_gradients(norm, limit)?;
    }
    backend.update(rate, run.step - run.optimizer_began)?;
    run.step += 1;
    run.cursor = next;
    run.train_what_is_due()?;
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

/// The loss over a corpus's validation documents.
#[derive(Debug, Clone, PartialEq)]
pub struct CorpusLoss {
    /// [`CorpusInfo::name`](crate::feed::CorpusInfo::name).
    pub corpus: String,
    /// The corpus's share of the training's examples, among those with validation documents.
    pub share: f64,
    /// The loss.
    pub loss: Loss,
}

/// The losses over the validation documents of each corpus that has some; `limit`: batches of each corpus at most, 0: all.
///
/// # Errors
/// The corpora cannot be read.
pub fn evaluate(
    backend: &mut dyn DeviceModel,
    vocab: &Arc<Vocab>,
    corpora: &[Source],
    config: &FeedConfig,
    limit: u64,
) -> Result<Vec<CorpusLoss>, Error> {
    evaluate_together(&mut Communicator::alone(), backend, vocab, corpora, config, limit)
}

/// The same, where each of several processes measures every so many-th batch.
fn evaluate_together(
    over: &mut Communicator,
    backend: &mut dyn DeviceModel,
    vocab: &Arc<Vocab>,
    corpora: &[Source],
    config: &FeedConfig,
    limit: u64,
) -> Result<Vec<CorpusLoss>, Error> {
    let mut validations = Validations::open(corpora, config, ids(vocab), vocab.clone())?;
    let mut found = Vec::new();
    while let Some(mut feed) = validations.next()? {
        let mut own = Vec::new();
        let mut batches = 0;
        while (limit == 0 || batches < limit)
            && let Some((batch, _)) = feed.next()?
        {
            if batches % over.size() as u64 == over.rank() as u64 {
                over.check()?;
                own.push(backend.evaluate(&batch)?);
            }
            batches += 1;
        }
        let corpus = &feed.corpora()[0];
        found.push(CorpusLoss {
            corpus: corpus.name.clone(),
            share: corpus.share,
            loss: together::add_up(over, &own, batches as usize)?,
        });
    }
    Ok(found)
}

impl Evaluation {
    /// Of the losses of some corpora after `step` steps.
    pub fn of(step: u64, losses: &[CorpusLoss]) -> Evaluation {
        let corpus = |of: &CorpusLoss| CorpusEvaluation {
            corpus: of.corpus.clone(),
            share: of.share,
            loss: of.loss.mean(),
            accuracy: of.loss.correct as f64 / of.loss.targets.max(1) as f64,
            targets: of.loss.targets as u64,
        };
        let mut corpora: Vec<CorpusEvaluation> = losses.iter().map(corpus).collect();
        let shares: f64 = corpora.iter().map(|corpus| corpus.share).sum();
        corpora.iter_mut().for_each(|corpus| corpus.share /= shares);
        let mean =
            |of: fn(&CorpusEvaluation) -> f64| corpora.iter().map(|corpus| corpus.share * of(corpus)).sum::<f64>();
        let validation_loss = mean(|corpus| corpus.loss);
        Evaluation {
            step,
            validation_loss,
            perplexity: validation_loss.exp(),
            validation_accuracy: mean(|corpus| corpus.accuracy),
            targets: corpora.iter().map(|corpus| corpus.targets).sum(),
            corpora: match corpora.len() {
                1 => Vec::new(),
                _ => corpora,
            },
        }
    }
}
