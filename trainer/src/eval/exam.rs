//! Rows of a task that a model answers: what it reads, what is right, and what its answers are worth.

use super::generate::Generated;
use super::predict::{Answering, predict};
use crate::Error;
use crate::backend::DeviceModel;
use crate::feed::task::{folder, input, lengths, place_of};
use crate::feed::{FeedConfig, RefusedRow, TaskSource, ids};
use crate::task::{self, Bootstrap, Score, Task, TaskData, TaskSplit, TextExample};
use crate::vocab::Vocab;
use serde::{Serialize, Serializer};
use std::ops::Range;

/// Rows of a split that are answered and scored.
pub struct Exam {
    /// The task.
    pub task: Task,
    /// The rows' split.
    pub split: TaskSplit,
    /// What the model reads and what is right, in the order of the rows.
    pub examples: Vec<TextExample>,
    /// Rows that give no example.
    pub refused: Vec<RefusedRow>,
    inputs: Vec<Vec<u32>>,
    /// Tokens of a target at most, EOS included: longer ones were never trained.
    pub target_length: usize,
}

/// What a model is worth on a task.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskEvaluation {
    /// The task's name.
    pub task: String,
    /// Examples that were answered and have a known answer.
    pub examples: u64,
    /// The task's one number: the mean of its metrics, or the one that its card names; 0 where that is a correlation
    /// that does not exist, since all answers are equal.
    pub headline: f64,
    /// The metrics, as the paper prints them.
    #[serde(serialize_with = "by_name")]
    pub scores: Vec<Score>,
}

/// Scores as a table: a number, or one with its interval.
fn by_name<S: Serializer>(scores: &[Score], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(scores.iter().map(|score| {
        let value = match score.interval {
            None => serde_json::json!(score.value),
            Some((low, high)) => serde_json::json!({ "value": score.value, "low": low, "high": high }),
        };
        (score.metric.to_string(), value)
    }))
}

impl Exam {
    /// Reads a split's rows; `limit`: so many examples at most, spread evenly over the split, with rows that are scored
    /// together kept together; 0: all. `None` where the task has no such split there.
    ///
    /// # Errors
    /// No such task, a folder of another one, a file that cannot be read, or no row that can be used.
    pub fn open(
        source: &TaskSource,
        split: TaskSplit,
        limit: u64,
        config: &FeedConfig,
        vocab: &Vocab,
    ) -> Result<Option<Exam>, Error> {
        let task = Task::open(&source.name)?;
        let data = TaskData::open(&task, folder(source)?)?;
        let Some(files) = data.split(split) else {
            return Ok(None);
        };
        let (mut examples, mut refused) = (Vec::new(), Vec::new());
        let mut rows = files.open(0)?;
        while let Some(row) = rows.next()? {
            match task.examples(&row, split) {
                Ok(found) => examples.extend(found),
                Err(problem) => refused.push(RefusedRow {
                    task: task.card.name.clone(),
                    place: place_of(&row),
                    reason: problem.to_string(),
                }),
            }
        }
        if examples.is_empty() {
            let why = refused.first().map_or("there are none".to_owned(), |row| {
                format!("{}: {}", row.place, row.reason)
            });
            return Err(Error::Setting(format!(
                "{}: not one row of the split {split} can be used; {why}",
                task.card.name
            )));
        }
        let examples = spread(examples, limit);
        let lengths = lengths(&task, config);
        let read = |example: &TextExample| input(vocab, &example.inputs, lengths, ids(vocab));
        let inputs = examples.iter().map(read).collect::<Result<_, Error>>()?;
        Ok(Some(Exam {
            task,
            split,
            examples,
            refused,
            inputs,
            target_length: lengths.targets,
        }))
    }

    /// The task's name.
    pub fn name(&self) -> &str {
        &self.task.card.name
    }

    /// Whether right answers are known, so that answers can be scored.
    pub fn is_known(&self) -> bool {
        self.examples.iter().any(|example| example.truth.known)
    }

    /// What models write for the examples in `range`; `on_done` is told how many are done.
    ///
    /// # Errors
    /// As [`predict`].
    pub fn answers(
        &self,
        range: Range<usize>,
        models: &mut [&mut dyn DeviceModel],
        vocab: &Vocab,
        answering: &Answering,
        on_done: impl FnMut(usize),
    ) -> Result<Vec<String>, Error> {
        let found = predict(models, &self.inputs[range], answering, on_done)?;
        let text = |found: Generated| {
            let end = |id: &u32| *id == vocab.eos();
            let tokens = &found.tokens[..found.tokens.iter().position(end).unwrap_or(found.tokens.len())];
            vocab.decode(tokens)
        };
        Ok(found.into_iter().map(text).collect())
    }

    /// What answers to all examples are worth.
    ///
    /// # Errors
    /// No right answer is known; a metric that cannot be taken of these rows.
    pub fn score(&self, answers: &[String], bootstrap: Option<Bootstrap>) -> Result<TaskEvaluation, Error> {
        let (mut truths, mut said) = (Vec::new(), Vec::new());
        for (example, answer) in self.examples.iter().zip(answers).filter(|(of, _)| of.truth.known) {
            truths.push(example.truth.clone());
            said.push(answer.clone());
        }
        if truths.is_empty() {
            return Err(Error::Setting(format!(
                "{}: no row of the split {} says its answer, so nothing can be scored; t5 predict writes a file to hand in",
                self.name(),
                self.split
            )));
        }
        let scoring = &self.task.card.score;
        let scores = task::score(scoring, &truths, &said, bootstrap)?;
        Ok(TaskEvaluation {
            task: self.name().to_owned(),
            examples: truths.len() as u64,
            headline: Some(task::headline(scoring, &scores))
                .filter(|of| of.is_finite())
                .unwrap_or(0.0),
            scores,
        })
    }
}

/// So many examples at most, evenly spread; those of one group that follow each other are taken together, or not.
fn spread(examples: Vec<TextExample>, limit: u64) -> Vec<TextExample> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if limit == 0 || limit >= examples.len() {
        return examples;
    }
    let together = |a: &TextExample, b: &TextExample| a.truth.group.is_some() && a.truth.group == b.truth.group;
    let groups = examples.chunk_by(together).count() as u128;
    let wanted = (limit as u128 * groups / examples.len() as u128).max(1);
    let before = |group: u128| group * wanted / groups;
    let mut chosen = Vec::new();
    for (group, number) in examples.chunk_by(together).zip(0..) {
        if before(number) < before(number + 1) {
            chosen.extend_from_slice(group);
        }
    }
    chosen
}

/// The mean of the tasks' numbers.
pub fn average(tasks: &[TaskEvaluation]) -> Option<f64> {
    let sum: f64 = tasks.iter().map(|task| task.headline).sum();
    (!tasks.is_empty()).then(|| sum / tasks.len() as f64)
}
