//! What a model sees of a task's rows, before anything is trained: their text in pieces, what is cut, what is refused.

use super::Tokenizer;
use crate::Error;
use crate::task::{RowReason, Task, TaskData, TaskRow, TaskSplit, TextExample};
use crate::vocab::Vocab;
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Rows that are judged at a time, by all threads.
const CHUNK: usize = 4096;
/// The number of refused rows of a kind that are named.
const NAMED: usize = 3;
/// The number of different targets up to which they are counted one by one.
const TARGETS: usize = 64;

/// What a split's rows are for a model.
#[derive(Debug, Serialize)]
pub(crate) struct TaskPreview {
    pub split: TaskSplit,
    /// Rows of the split's files.
    pub rows: u64,
    /// Rows that were read, from the first on.
    pub rows_read: u64,
    /// Rows that the split has no use for, as wrong ones of WSC in training.
    pub rows_unused: u64,
    /// Refused rows by reason.
    pub refused: BTreeMap<RowReason, Refused>,
    pub examples: u64,
    /// Examples whose answer is not known.
    pub unlabelled: u64,
    /// Examples by target, where there are few different ones.
    pub targets: Option<BTreeMap<String, u64>>,
    /// How long inputs are, in pieces with EOS; in characters without a vocabulary.
    pub input_lengths: Option<LengthSpread>,
    /// How long targets are, likewise.
    pub target_lengths: Option<LengthSpread>,
    /// The first examples.
    pub shown: Vec<ShownExample>,
    /// Whether lengths are in pieces.
    pub in_pieces: bool,
}

/// Refused rows of one kind.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Refused {
    pub rows: u64,
    /// Files, places and problems of the first ones.
    pub first: Vec<String>,
}

/// How long texts are.
#[derive(Debug, Serialize)]
pub(crate) struct LengthSpread {
    pub least: usize,
    pub median: usize,
    pub mean: f64,
    /// The length that 95 of 100 texts have at most.
    pub of_95: usize,
    /// The length that 99 of 100 texts have at most.
    pub of_99: usize,
    pub most: usize,
    /// The task's limit.
    pub limit: usize,
    /// Texts above the limit, whose ends are not seen.
    pub cut: u64,
}

/// An example as the model sees it.
#[derive(Debug, Serialize)]
pub(crate) struct ShownExample {
    /// The file and the row.
    pub place: String,
    pub inputs: ShownText,
    pub targets: ShownText,
    /// All right answers, where there are others than the target.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<String>,
}

/// A text, and the pieces of it that are seen.
#[derive(Debug, Serialize)]
pub(crate) struct ShownText {
    pub text: String,
    /// Without EOS; none without a vocabulary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pieces: Option<Vec<String>>,
    /// Pieces that were cut off.
    pub cut: usize,
}

/// Reads the rows of a split, or of the first that is there, at most `most` of them, as a model with this vocabulary
/// would; shows the first examples.
///
/// # Errors
/// No rows of the split; a file that cannot be read.
pub(crate) fn preview(
    task: &Task,
    data: &Path,
    split: Option<TaskSplit>,
    vocab: Option<&Vocab>,
    shown: usize,
    most: u64,
) -> Result<TaskPreview, Error> {
    let found = TaskData::open(task, data)?;
    let there: Vec<TaskSplit> = TaskSplit::ALL
        .into_iter()
        .filter(|split| found.split(*split).is_some())
        .collect();
    let wanted = split.or(there.first().copied());
    let Some((split, files)) = wanted.and_then(|split| Some((split, found.split(split)?))) else {
        let there: Vec<&str> = there.into_iter().map(TaskSplit::name).collect();
        let wanted = wanted.map_or("any split", TaskSplit::name);
        let problem = format!(
            "has no rows of {} for {wanted}; it has those for {}",
            task.card.name,
            there.join(", ")
        );
        return Err(Error::format(data, problem));
    };
    let mut preview = TaskPreview {
        split,
        rows: files.rows(),
        rows_read: 0,
        rows_unused: 0,
        refused: BTreeMap::new(),
        examples: 0,
        unlabelled: 0,
        targets: Some(BTreeMap::new()),
        input_lengths: None,
        target_lengths: None,
        shown: Vec::new(),
        in_pieces: vocab.is_some(),
    };
    let (mut inputs, mut targets) = (Vec::new(), Vec::new());
    let mut rows = files.open(0)?;
    while preview.rows_read < most {
        let wanted = usize::try_from(most - preview.rows_read).unwrap_or(CHUNK).min(CHUNK);
        let mut chunk: Vec<TaskRow> = Vec::with_capacity(wanted);
        while chunk.len() < wanted {
            match rows.next()? {
                Some(row) => chunk.push(row),
                None => break,
            }
        }
        if chunk.is_empty() {
            break;
        }
        preview.rows_read += chunk.len() as u64;
        let length = |text: &str| match vocab {
            Some(vocab) => pieces(vocab, text).len() + 1,
            None => text.chars().count(),
        };
        let judged = chunk.par_iter().map(|row| {
            let examples = task.examples(row, split)?;
            let measured = examples.into_iter().map(|example| {
                let lengths = (length(&example.inputs), length(&example.targets));
                (example, lengths)
            });
            Ok(measured.collect::<Vec<_>>())
        });
        for (row, judged) in chunk.iter().zip(judged.collect::<Vec<_>>()) {
            let examples = match judged {
                Ok(examples) => examples,
                Err(problem) => {
                    let problem: crate::task::RowProblem = problem;
                    let refused = preview.refused.entry(problem.reason).or_default();
                    refused.rows += 1;
                    if refused.first.len() < NAMED {
                        refused.first.push(format!("{}: {problem}", row.place()));
                    }
                    continue;
                }
            };
            preview.rows_unused += u64::from(examples.is_empty());
            for (example, (of_inputs, of_targets)) in examples {
                preview.examples += 1;
                preview.unlabelled += u64::from(!example.truth.known);
                inputs.push(of_inputs);
                targets.push(of_targets);
                count(&mut preview.targets, &example);
                if preview.shown.len() < shown {
                    preview.shown.push(show(task, row, example, vocab));
                }
            }
        }
    }
    preview.input_lengths = LengthSpread::of(inputs, task.card.lengths.inputs, vocab.is_some());
    preview.target_lengths = LengthSpread::of(targets, task.card.lengths.targets, vocab.is_some());
    Ok(preview)
}

fn pieces(vocab: &Vocab, text: &str) -> Vec<u32> {
    let mut ids = Vec::new();
    Tokenizer::encode(vocab, text, &mut ids);
    ids
}

fn count(targets: &mut Option<BTreeMap<String, u64>>, example: &TextExample) {
    if let Some(counts) = targets {
        *counts.entry(example.targets.clone()).or_default() += 1;
        if counts.len() > TARGETS {
            *targets = None;
        }
    }
}

fn show(task: &Task, row: &TaskRow, example: TextExample, vocab: Option<&Vocab>) -> ShownExample {
    let shown = |text: String, limit: usize| {
        let Some(vocab) = vocab else {
            return ShownText {
                text,
                pieces: None,
                cut: 0,
            };
        };
        let ids = pieces(vocab, &text);
        let kept = ids.len().min(limit.saturating_sub(1));
        let piece = |id: &u32| {
            vocab
                .piece(*id)
                .map_or_else(|| format!("<{id}>"), |piece| piece.text.clone())
        };
        ShownText {
            text,
            pieces: Some(ids[..kept].iter().map(piece).collect()),
            cut: ids.len() - kept,
        }
    };
    let mut answers = example.truth.answers;
    if answers == [example.targets.as_str()] {
        answers.clear();
    }
    ShownExample {
        place: row.place(),
        inputs: shown(example.inputs, task.card.lengths.inputs),
        targets: shown(example.targets, task.card.lengths.targets),
        answers,
    }
}

impl LengthSpread {
    /// `None`: there are no texts.
    fn of(mut lengths: Vec<usize>, limit: usize, in_pieces: bool) -> Option<LengthSpread> {
        lengths.sort_unstable();
        let at = |share: f64| {
            let place = (share * lengths.len() as f64).ceil() as usize;
            lengths.get(place.max(1) - 1).copied()
        };
        let above = lengths.iter().filter(|length| **length > limit).count() as u64;
        Some(LengthSpread {
            least: *lengths.first()?,
            median: at(0.5)?,
            mean: lengths.iter().sum::<usize>() as f64 / lengths.len() as f64,
            of_95: at(0.95)?,
            of_99: at(0.99)?,
            most: *lengths.last()?,
            limit,
            cut: if in_pieces { above } else { 0 },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_ranks() {
        let spread = LengthSpread::of((1..=200).rev().collect(), 190, true).unwrap();
        let found = (
            spread.least,
            spread.median,
            spread.of_95,
            spread.of_99,
            spread.most,
            spread.cut,
        );
        assert_eq!(found, (1, 100, 190, 198, 200, 10));
        assert!((spread.mean - 100.5).abs() < 1e-12);
        assert!(LengthSpread::of(Vec::new(), 1, true).is_none());
    }
}
