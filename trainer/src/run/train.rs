//! The loop, nothing else.

use super::evaluation::{evaluate_together, examine, exams};
use super::metrics::{self, Metrics};
use super::{Run, advice_after_divergence, gradient_not_finite, not_finite, together};
use crate::Error;
use crate::base::Batch;
use crate::eval::exam::Exam;
use crate::feed;
use crate::feed::ids;
use crate::feed::{EpochStart, Feed, RefusedRow};
use crate::model;
use crate::rows::sizes;
use crate::vocab::Vocab;
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;
use xxhash_rust::xxh3::xxh3_64_with_seed;

pub use super::evaluation::{CorpusLoss, Evaluation, evaluate};

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

/// How far a validation is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswersReport {
    /// The task's name.
    pub task: String,
    /// Rows that this process has answered.
    pub done: usize,
    /// Rows that this process is to answer.
    pub rows: usize,
}

/// What the loop tells as it goes.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A batch of a step is done.
    Batch(BatchReport),
    /// A step is done.
    Step(StepReport),
    /// Some of a task's validation rows are answered.
    Answers(AnswersReport),
    /// Validation documents were looked at.
    Evaluation(Evaluation),
    /// A corpus or a task begins anew.
    Epoch(EpochStart),
    /// A row of a task gave no example.
    Refused(RefusedRow),
    /// The run ends: the average over the tasks was best at this step, which is too many validations ago.
    OutOfPatience(u64),
    /// A checkpoint was written, after so many steps.
    Checkpoint(u64),
}

/// Why training has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// After the last step.
    Done,
    /// It was told to.
    Stopped,
    /// The average over the tasks has not become better for long.
    OutOfPatience,
}

/// What validations look at, and have found.
#[derive(Default)]
struct Validation {
    /// The validation rows of tasks.
    exams: Vec<Exam>,
    /// Whether a corpus has validation documents.
    of_corpora: bool,
    /// Averages over the tasks by step, the run's before included; of rank 0.
    averages: Vec<(u64, f64)>,
}

impl Validation {
    /// The step of the best average, if it is `patience` validations ago or more.
    fn out_of_patience(&self, patience: u64) -> Option<u64> {
        let mut best: Option<(u64, f64, usize)> = None;
        for (place, (step, average)) in self.averages.iter().enumerate() {
            if best.is_none_or(|(_, most, _)| *average > most) {
                best = Some((*step, *average, place));
            }
        }
        let (step, _, place) = best?;
        let since = (self.averages.len() - 1 - place) as u64;
        (patience > 0 && since >= patience).then_some(step)
    }
}

/// Trains until the configuration's last step, or until `on_event` (called with every event) says to stop by `false`;
/// a checkpoint is written then, too, and where something else than the model fails. Where several processes train
/// together, all call this, and all stop at the same step where one is told to.
///
/// # Errors
/// The corpora cannot be read, the loss is no longer finite, a file cannot be written, or another process has ended.
pub fn train(run: &mut Run, on_event: impl FnMut(&Event) -> bool) -> Result<Ending, Error> {
    let mut metrics = None;
    let error = match steps(run, &mut metrics, on_event) {
        Ok(ending) => return Ok(ending),
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

fn steps(
    run: &mut Run,
    metrics: &mut Option<Metrics>,
    mut on_event: impl FnMut(&Event) -> bool,
) -> Result<Ending, Error> {
    let config = run.config.clone();
    let tokens = ids(&run.vocab);
    let vocab: Arc<Vocab> = run.vocab.clone();
    let cursor = run.cursor.clone();
    let leads = run.communicator.leads();
    if leads {
        let mut files = sizes::files(&config.corpora)?;
        files.extend(feed::task::files(&config.tasks)?);
        run.note_files(&files)?;
    }
    let mut feed = Feed::of_mixture(config.sources(), &config.feed, tokens, vocab, cursor)?;
    let mut validation = Validation::default();
    if config.evaluate_every > 0 {
        validation.of_corpora = feed.corpora().iter().any(|corpus| corpus.validation.documents() > 0);
        validation.exams = exams(&config, &run.vocab)?;
        if !validation.of_corpora && validation.exams.is_empty() {
            return Err(Error::Setting(
                "no document to validate with: no corpus has more than one, and no task has validation rows; set evaluate_every=0 to \
                 train without"
                    .into(),
            ));
        }
    }
    if leads {
        validation.averages = metrics::averages(&run.folder, run.step)?;
        *metrics = Some(Metrics::open(&run.folder, run.step + 1)?);
    }
    let mut going = true;
    let lacks_evaluation = leads && run.lacks_evaluation()?;
    if run.communicator.any(lacks_evaluation)? {
        going = validate(run, metrics, &mut validation, &mut on_event)?;
    }
    if run.saved.is_some() && leads {
        // A process may have ended between the two.
        run.prune()?;
    }
    let mut patient = is_patient(run, &validation, &mut on_event)?;
    while run.step < config.steps && going && patient {
        let mut wanted = true;
        let report = step(run, &mut feed, |batch| wanted &= on_event(&Event::Batch(batch)))?;
        if let Some(metrics) = metrics {
            metrics.step(&report)?;
        }
        run.keep();
        wanted &= on_event(&Event::Step(report));
        for row in feed.refused_rows() {
            wanted &= on_event(&Event::Refused(row));
        }
        for epoch in feed.epoch_starts() {
            wanted &= on_event(&Event::Epoch(epoch));
        }
        going = all_go_on(run, wanted)?;
        let last = run.step == config.steps;
        let evaluates = config.evaluates_after(run.step);
        // The best at a task can only be kept if it was written.
        let of_tasks = evaluates && !validation.exams.is_empty();
        if run.step.is_multiple_of(config.checkpoint_every) || last || of_tasks || !going {
            going &= save(run, metrics, &mut on_event)?;
        }
        // Who is stopped does not wait for it: the run validates when it goes on.
        if evaluates && going {
            going &= validate(run, metrics, &mut validation, &mut on_event)?;
            patient = is_patient(run, &validation, &mut on_event)?;
            if !(going && patient) && run.saved != Some(run.step) {
                save(run, metrics, &mut on_event)?;
            }
        }
        if run.saved == Some(run.step) && leads {
            run.prune()?;
        }
    }
    Ok(match (patient, run.step < config.steps) {
        (false, _) => Ending::OutOfPatience,
        (true, true) => Ending::Stopped,
        (true, false) => Ending::Done,
    })
}

/// Whether the average over the tasks may still become better, as rank 0 sees it.
fn is_patient(
    run: &mut Run,
    validation: &Validation,
    on_event: &mut impl FnMut(&Event) -> bool,
) -> Result<bool, Error> {
    let ends = validation.out_of_patience(run.config.patience);
    if let Some(best) = ends {
        on_event(&Event::OutOfPatience(best));
    }
    Ok(!run.communicator.any(ends.is_some())?)
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

/// Measures on the validation documents and rows. Metrics last: what they have is not looked at again.
fn validate(
    run: &mut Run,
    metrics: &mut Option<Metrics>,
    validation: &mut Validation,
    on_event: &mut impl FnMut(&Event) -> bool,
) -> Result<bool, Error> {
    let config = &run.config;
    let (limit, over) = (config.evaluate_batches, &mut run.communicator);
    let losses = match validation.of_corpora {
        true => {
            let corpora = (&config.corpora[..], config.mixing);
            evaluate_together(over, &mut *run.backend, &run.vocab, corpora, &config.feed, limit)?
        }
        false => Vec::new(),
    };
    let mut tasks = Vec::new();
    let mut wanted = true;
    for exam in &validation.exams {
        let on_done = |done, rows| {
            let report = AnswersReport {
                task: exam.name().to_owned(),
                done,
                rows,
            };
            wanted &= on_event(&Event::Answers(report));
        };
        tasks.push(examine(over, &mut *run.backend, &run.vocab, exam, on_done)?);
    }
    let evaluation = Evaluation::of_both(run.step, &losses, tasks);
    if let Some(metrics) = metrics {
        run.note_evaluation(&evaluation)?;
        metrics.evaluation(&evaluation)?;
        validation
            .averages
            .extend(evaluation.average.map(|average| (run.step, average)));
    }
    wanted &= on_event(&Event::Evaluation(evaluation));
    all_go_on(run, wanted)
}

/// One step: gradients of some batches, one update. Of several processes each makes all batches, computes every so
/// many-th, and adds its gradients to those of the others; the update is everybody's.
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
    let optimizer_steps = run.note().optimizer_steps();
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
    backend.update(rate, optimizer_steps)?;
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

/// Another number for every batch of a run; a function of seed, step and batch, so that a run that goes on draws the
/// same.
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
