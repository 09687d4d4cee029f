//! What `t5 predict` and `t5 eval --task` share: which checkpoint answers, and how.

use super::Named;
use crate::backend::{self, Device, DeviceModel, Precision};
use crate::eval::ensemble::Ensemble;
use crate::eval::exam::Exam;
use crate::eval::generate::Decoding;
use crate::eval::predict::Answering;
use crate::run;
use crate::run::checkpoint::{self, BestBy};
use crate::run::evaluation::ANSWER_ROWS;
use anyhow::{Context, bail};
use clap::Args;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Which of a run's checkpoints is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// The best by the task's score; the last one where none was scored.
    Best,
    Last,
    Step(u64),
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Choice, String> {
        match text {
            "best" => Ok(Choice::Best),
            "last" => Ok(Choice::Last),
            step => {
                let step = step.parse().map(Choice::Step);
                step.map_err(|_| format!("`{text}` is no checkpoint: give best, last, or its step"))
            }
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct AnswerArgs {
    /// The checkpoint of a run: best (by the task's validation score; the last one where none was scored), last, or a
    /// step.
    #[arg(long, default_value = "best", value_name = "best|last|N")]
    checkpoint: Choice,
    /// Sequences that the search for an answer follows; 1: greedy [default: as the task's card says].
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=64))]
    beams: Option<u16>,
    /// How much long answers are favoured, with several beams [default: as the task's card says].
    #[arg(long, value_name = "ALPHA")]
    alpha: Option<f64>,
    /// Tokens of an answer at most [default: as the task's card says].
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    max_tokens: Option<u16>,
    /// Rows that are answered together; answers on the CPU do not depend on it.
    #[arg(long, value_name = "N", default_value_t = ANSWER_ROWS as u16)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    rows: u16,
}

impl AnswerArgs {
    /// How a task's rows are answered.
    pub(super) fn answering(&self, exam: &Exam, ensemble: Ensemble) -> Answering {
        let card = &exam.task.card.decode;
        let beams = self.beams.map_or(card.beams, usize::from);
        let decoding = match beams {
            1 => Decoding::Greedy,
            beams => Decoding::Beam {
                beams,
                alpha: self.alpha.unwrap_or(f64::from(card.alpha)),
            },
        };
        Answering {
            decoding,
            max_length: self.max_tokens.map_or(card.max_length, usize::from),
            rows: self.rows.into(),
            ensemble,
        }
    }

    /// The checkpoint that answers a task, with the run's configuration.
    pub(super) fn open(&self, run: &Path, task: &str) -> anyhow::Result<Named> {
        let folder = run.join(run::CHECKPOINTS);
        let checkpoints = checkpoint::list(&folder)?;
        if checkpoints.is_empty() {
            // A checkpoint that was named itself.
            return Named::open(run);
        }
        let step = match self.checkpoint {
            Choice::Last => None,
            Choice::Step(step) => Some(step),
            Choice::Best => checkpoint::best(&folder)?.remove(&BestBy::Task(task.to_owned())),
        };
        let Some(step) = step else {
            return Named::open(run);
        };
        let Some((_, path)) = checkpoints.iter().find(|(at, _)| *at == step) else {
            let steps: Vec<String> = checkpoints.iter().map(|(step, _)| step.to_string()).collect();
            bail!(
                "{}: has no checkpoint of step {step}; it has those of {}",
                run.display(),
                steps.join(", ")
            );
        };
        Named::open(path)
    }
}

/// The model that answered last, so that it is not read again for the next task.
#[derive(Default)]
pub(super) struct Opened {
    model: Option<(PathBuf, Box<dyn DeviceModel>)>,
}

impl Opened {
    pub(super) fn model(
        &mut self,
        named: &Named,
        (device, precision): (Device, Precision),
    ) -> anyhow::Result<&mut dyn DeviceModel> {
        if self.model.as_ref().is_none_or(|(path, _)| *path != named.path) {
            // Before the next is read: two need not be in memory.
            self.model = None;
            let model = backend::open(device, precision, named.note.model(&named.path)?, None)?;
            self.model = Some((named.path.clone(), model));
        }
        let (_, model) = self.model.as_mut().context("a model was opened")?;
        Ok(&mut **model)
    }
}
