//! `t5 pretrain`.

use super::settings::{CorpusArgs, tell_of_corpora};
use super::tasks::{TrainedTaskArgs, tell_of_tasks};
use super::training::{MachineArgs, ResumeArgs, head, take_corpora};
use crate::backend::Device;
use crate::model::ModelConfig;
use crate::run::Run;
use crate::run::settings::RunConfig;
use crate::vocab::Vocab;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Pre-trains T5 on corpora that `c4 build` has written, or on other files with text; and on tasks beside them.
///
/// Ctrl-C ends a run after the step in hand, with a checkpoint; `--resume` goes on to the bit.
/// Exit status: 0, done; 130 or 143, stopped by Ctrl-C or SIGTERM (128 + signal), after a checkpoint; 2, refused, or
/// the loss is no longer a number.
#[derive(Debug, Args)]
pub(crate) struct Pretrain {
    #[command(flatten)]
    corpora: CorpusArgs,
    #[command(flatten)]
    tasks: TrainedTaskArgs,
    /// The vocabulary: what `t5 vocab train` wrote, or any SentencePiece unigram model with T5's layout.
    #[arg(long, value_name = "FILE", required_unless_present = "resume")]
    vocab: Option<PathBuf>,
    /// Folder of the run; made if it is missing.
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Settings as TOML; `t5 inspect --size SIZE` prints all of them.
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    config: Option<PathBuf>,
    /// The model, by name.
    #[arg(long, default_value = "small", value_name = "SIZE", conflicts_with = "resume")]
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(ModelConfig::names()))]
    size: String,
    /// Steps in all; the same as --set steps=N.
    #[arg(long, value_name = "N")]
    steps: Option<u64>,
    /// One setting, as feed.rows=4; may be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    #[command(flatten)]
    resume: ResumeArgs,
    #[command(flatten)]
    machine: MachineArgs,
}

pub(crate) fn run(mut args: Pretrain) -> anyhow::Result<ExitCode> {
    let rows = ["feed.rows", "batches_per_step"];
    let rows_are_said = args.resume.resume || RunConfig::says(args.config.as_deref(), &args.settings, &rows)?;
    args.settings.extend(args.steps.map(|steps| format!("steps={steps}")));
    let output = args.output.clone();
    args.machine.train(&output, rows_are_said, |device, processes| {
        open(&args, device, processes)
    })
}

/// The run that is begun or gone on with, after its head is told.
fn open(args: &Pretrain, device: Device, processes: usize) -> anyhow::Result<Run> {
    let corpora = args.corpora.sources();
    if args.resume.resume {
        let (data, on) = ((corpora, &args.tasks), (device, processes));
        return args
            .resume
            .open(&args.output, &args.settings, data, args.vocab.as_deref(), on);
    }
    let vocab = args.vocab.clone().unwrap_or_default();
    let opened = Vocab::open(&vocab)?;
    let ids = Some(opened.size());
    let mut config = RunConfig::resolve(&args.size, args.config.as_deref(), &args.settings, ids)?;
    take_corpora(&mut config, corpora);
    args.tasks.apply(&mut config)?;
    anyhow::ensure!(
        !(config.corpora.is_empty() && config.tasks.is_empty()),
        "no corpus: name one by --corpus, or in the configuration by [[corpora]]"
    );
    head(&config, opened.sentinels(), device, processes)?;
    // Before anything is written, and before a large model is drawn.
    tell_of_corpora(&config.corpora)?;
    tell_of_tasks(&config)?;
    Ok(Run::begin(&args.output, config, &vocab)?)
}

/// `1234567` as `1,234,567`.
pub(super) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn thousands_have_commas() {
        for (n, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (60_506_624, "60,506,624")] {
            assert_eq!(super::thousands(n), text);
        }
    }
}
