//! `t5 mix`.

use super::Named;
use super::output::print;
use super::pretrain::thousands;
use super::settings::CorpusArgs;
use super::tasks::TrainedTaskArgs;
use super::training::take_corpora;
use crate::feed;
use crate::run::settings::RunConfig;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Which share of the examples each corpus and each task of a mixture has.
#[derive(Debug, Args)]
pub(crate) struct MixArgs {
    #[command(subcommand)]
    command: MixCommand,
}

#[derive(Debug, Subcommand)]
enum MixCommand {
    /// Print each source's examples, its rate, and its share of all examples.
    Show(Show),
}

#[derive(Debug, Args)]
struct Show {
    /// A configuration in TOML, or a run.
    #[arg(value_name = "CONFIG|RUN")]
    of: PathBuf,
    #[command(flatten)]
    corpora: CorpusArgs,
    #[command(flatten)]
    tasks: TrainedTaskArgs,
    /// One setting, as mixing.kind=equal; may be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &MixArgs) -> anyhow::Result<()> {
    let MixCommand::Show(args) = &args.command;
    let mut config = match args.of.is_file() {
        true => RunConfig::resolve("small", Some(&args.of), &args.settings, None)?,
        false => Named::open(&args.of)?.note.config.with(&args.settings)?,
    };
    take_corpora(&mut config, args.corpora.sources());
    args.tasks.apply(&mut config)?;
    let mixture = feed::mixture(config.sources(), &config.feed)?;
    if args.json {
        return Ok(print(format_args!("{}", serde_json::to_string(&mixture)?))?);
    }
    let names = mixture.iter().map(|of| of.name.chars().count());
    let width = names.max().unwrap_or_default().max("source".len());
    print(format_args!(
        "{:width$}  {:>13}  {:>14}  {:>8}",
        "source", "examples", "rate", "share"
    ))?;
    for of in &mixture {
        print(format_args!(
            "{:width$}  {:>13}  {:>14.2}  {:>6.2} %",
            of.name,
            thousands(of.examples),
            of.rate,
            100.0 * of.share
        ))?;
    }
    Ok(())
}
