//! The commands: what the user types, and what is printed. What they do is in the library.

mod answering;
mod eval;
mod eval_tasks;
mod export;
mod finetune;
mod generate;
mod import;
mod inspect;
mod mix;
mod output;
mod plot;
mod predict;
mod pretrain;
mod processes;
mod progress;
mod settings;
mod status;
mod submission;
mod task;
mod tasks;
mod tokenize;
mod training;
mod transfer;
mod vocab;

use crate::run;
use crate::run::checkpoint::{self, Checkpoint};
use crate::vocab::Vocab;
use anyhow::Context;
use clap::{Parser, Subcommand};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Pre-train T5 on a corpus that `c4 build` has written, or on other files with text.
#[derive(Debug, Parser)]
#[command(name = "t5", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Pre-train a model.
    Pretrain(pretrain::Pretrain),
    /// Fine-tune a model on tasks.
    Finetune(finetune::Finetune),
    /// Write a model's answers to the rows of a task.
    Predict(predict::Predict),
    /// Measure a model on validation documents, or on tasks.
    Eval(eval::Eval),
    /// List tasks, look at one, or fetch its rows.
    Task(task::TaskArgs),
    /// Show which share of a mixture's examples each source has.
    Mix(mix::MixArgs),
    /// Let a model fill the blanks of a text.
    Generate(generate::Generate),
    /// Show what a run is, and what the model sees.
    Inspect(inspect::Inspect),
    /// Draw a run's loss, learning rate and speed.
    Plot(plot::Plot),
    /// Write a model for Hugging Face's transformers.
    Export(export::Export),
    /// Take over a model of Hugging Face's transformers.
    Import(import::Import),
    /// Make a vocabulary, or look into one.
    Vocab(vocab::VocabArgs),
    /// Show how a vocabulary cuts a text into pieces.
    Tokenize(tokenize::Tokenize),
    /// Print the licences of this program and of all that is in it.
    #[command(long_flag = "licenses")]
    Licenses,
}

/// Runs the program `t5` with the arguments of this process: what `main` is.
///
/// The status is 0 where all is done, 2 where something was refused or has failed (said on standard error), and 128 +
/// signal where a signal has stopped a run.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Pretrain(args) => return ended(pretrain::run(args)),
        Command::Finetune(args) => return ended(finetune::run(args)),
        Command::Predict(args) => predict::run(&args),
        Command::Eval(args) => eval::run(args),
        Command::Task(args) => task::run(args),
        Command::Mix(args) => mix::run(&args),
        Command::Generate(args) => generate::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Plot(args) => plot::run(&args),
        Command::Export(args) => export::run(args),
        Command::Import(args) => import::run(args),
        Command::Vocab(args) => vocab::run(args),
        Command::Tokenize(args) => tokenize::run(&args),
        Command::Licenses => {
            let text = c4_data::LICENSES.join("\n");
            output::print(format_args!("{}", text.trim_end())).map_err(Into::into)
        }
    };
    ended(result.map(|()| ExitCode::SUCCESS))
}

fn ended(result: anyhow::Result<ExitCode>) -> ExitCode {
    match result {
        Ok(code) => code,
        // Whoever reads our output has had enough (`t5 vocab show … | head`).
        Err(e) if is_broken_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => {
            // An error of a file names it.
            let is_bare = e.chain().len() == 1 && e.is::<io::Error>();
            let what = if is_bare { "standard output: " } else { "" };
            output::tell(format_args!("t5: {what}{e:#}"));
            ExitCode::from(2)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>());
    io.is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

/// A checkpoint that a user named: a run's folder (its last one), or the checkpoint's own.
pub(crate) struct Named {
    pub path: PathBuf,
    pub note: Checkpoint,
    pub vocab: Vocab,
    pub vocab_file: PathBuf,
}

impl Named {
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Named> {
        let checkpoints = checkpoint::list(&folder.join(run::CHECKPOINTS))?;
        let (path, owner) = match checkpoints.last() {
            Some((_, path)) => (path.clone(), Some(folder.to_owned())),
            None => {
                refuse_hugging_face(folder)?;
                let absolute = std::path::absolute(folder)?;
                let owner = absolute.parent().and_then(Path::parent);
                (folder.to_owned(), owner.map(Path::to_owned))
            }
        };
        let note = Checkpoint::read(&path).with_context(|| {
            format!(
                "{}: no run of `t5 pretrain`, and no checkpoint of one",
                folder.display()
            )
        })?;
        let vocab_file = owner.unwrap_or_default().join(run::VOCAB);
        let vocab = note.vocab(&vocab_file)?;
        Ok(Named {
            path,
            note,
            vocab,
            vocab_file,
        })
    }
}

/// Whether a folder is one of Hugging Face's transformers, and no run.
pub(crate) fn is_hugging_face(folder: &Path) -> bool {
    let there = |name: &str| folder.join(name).is_file();
    there("config.json") && !there(checkpoint::NOTE) && !there(run::METRICS)
}

/// Refuses a folder of Hugging Face's transformers where a run is wanted, with the command that makes one of it.
pub(crate) fn refuse_hugging_face(folder: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(
        !is_hugging_face(folder),
        "{folder}: is a model of Hugging Face's transformers, and no run yet; import it first: t5 import {folder} -o RUN",
        folder = folder.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
        assert!(Cli::try_parse_from(["t5", "--licenses"]).is_ok());
    }
}
