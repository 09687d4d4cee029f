//! Validation: losses over the documents of corpora, and scores of answers to the rows of tasks.

use super::settings::RunConfig;
use super::together;
use crate::Error;
use crate::backend::DeviceModel;
use crate::eval::ensemble::Ensemble;
use crate::eval::exam::{Exam, TaskEvaluation, average};
use crate::eval::generate::Decoding;
use crate::eval::predict::Answering;
use crate::feed::{FeedConfig, Mixing, Validations, ids};
use crate::model::Loss;
use crate::processes::Communicator;
use crate::rows::Source;
use crate::task::TaskSplit;
use crate::vocab::Vocab;
use serde::Serialize;
use std::sync::Arc;

/// Rows that are answered together.
pub(crate) const ANSWER_ROWS: usize = 32;

/// What a validation gave.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// Steps that the model had.
    pub step: u64,
    /// The loss over the documents of corpora, where there are some.
    #[serde(flatten)]
    pub loss: Option<LossEvaluation>,
    /// Each task.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskEvaluation>,
    /// The mean of the tasks' numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average: Option<f64>,
}

/// What a validation gave on corpora.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LossEvaluation {
    /// Mean cross entropy, in nats a target: of several corpora, the mean of theirs by their shares in training.
    pub validation_loss: f64,
    /// `exp` of [`validation_loss`](LossEvaluation::validation_loss).
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

/// The losses over the validation documents of each corpus that has some; `limit`: batches of each corpus at most, 0:
/// all.
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
    let mut alone = Communicator::alone();
    evaluate_together(&mut alone, backend, vocab, (corpora, Mixing::Given), config, limit)
}

/// The same, where each of several processes measures every so many-th batch.
pub(super) fn evaluate_together(
    over: &mut Communicator,
    backend: &mut dyn DeviceModel,
    vocab: &Arc<Vocab>,
    (corpora, mixing): (&[Source], Mixing),
    config: &FeedConfig,
    limit: u64,
) -> Result<Vec<CorpusLoss>, Error> {
    let mut validations = Validations::of_mixture(corpora, mixing, config, ids(vocab), vocab.clone())?;
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
        Evaluation {
            step,
            loss: Some(LossEvaluation::of(losses)),
            tasks: Vec::new(),
            average: None,
        }
    }

    /// Of both; of corpora nothing where none has validation documents.
    pub(super) fn of_both(step: u64, losses: &[CorpusLoss], tasks: Vec<TaskEvaluation>) -> Evaluation {
        Evaluation {
            step,
            loss: (!losses.is_empty()).then(|| LossEvaluation::of(losses)),
            average: average(&tasks),
            tasks,
        }
    }
}

impl LossEvaluation {
    fn of(losses: &[CorpusLoss]) -> LossEvaluation {
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
        LossEvaluation {
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

/// The validation rows of a run's tasks, `evaluate_examples` of each; those without a validation split or without known
/// answers are left out.
///
/// # Errors
/// As [`Exam::open`].
pub(crate) fn exams(config: &RunConfig, vocab: &Vocab) -> Result<Vec<Exam>, Error> {
    let mut exams = Vec::new();
    for source in &config.tasks {
        let limit = config.evaluate_examples;
        let exam = Exam::open(source, TaskSplit::Validation, limit, &config.feed, vocab)?;
        exams.extend(exam.filter(Exam::is_known));
    }
    Ok(exams)
}

/// What a model is worth on a task, where each of several processes answers a part of the rows: greedy, as the paper
/// validates.
///
/// # Errors
/// The device fails, or another process has ended.
pub(super) fn examine(
    over: &mut Communicator,
    backend: &mut dyn DeviceModel,
    vocab: &Vocab,
    exam: &Exam,
    mut on_done: impl FnMut(usize, usize),
) -> Result<TaskEvaluation, Error> {
    let answering = Answering {
        decoding: Decoding::Greedy,
        max_length: exam.task.card.decode.max_length.min(exam.target_length),
        rows: ANSWER_ROWS,
        ensemble: Ensemble::default(),
    };
    let (rank, size, rows) = (over.rank(), over.size(), exam.examples.len());
    over.check()?;
    let own = rows * rank / size..rows * (rank + 1) / size;
    let count = own.len();
    let own = exam.answers(own, &mut [backend], vocab, &answering, |done| on_done(done, count))?;
    let unlike = |e: serde_json::Error| Error::Peer(format!("answers of another process cannot be read ({e})"));
    let own = serde_json::to_vec(&own).map_err(unlike)?;
    let mut answers: Vec<String> = Vec::new();
    for part in over.gather(&own)? {
        answers.extend(serde_json::from_slice::<Vec<String>>(&part).map_err(unlike)?);
    }
    exam.score(&answers, None)
}
