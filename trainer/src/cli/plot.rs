//! `t5 plot`.

use anyhow::Context;
use clap::Args;
use std::path::PathBuf;
use t5_trainer::plot::{Metrics, svg};
use t5_trainer::run::METRICS;

/// Draws what a run has measured as SVG: loss in training and validation, learning rate, tokens a second.
#[derive(Debug, Args)]
pub(crate) struct Plot {
    /// The run.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The picture [default: plot.svg in the run].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) fn run(args: &Plot) -> anyhow::Result<()> {
    let path = args.run.join(METRICS);
    let metrics = Metrics::read(&path)?;
    let output = args
        .output
        .clone()
        .unwrap_or_else(|| args.run.join("plot.svg"));
    let picture = svg(&metrics).with_context(|| path.display().to_string())?;
    c4_data::fs::write_atomic(&output, picture.as_bytes())?;
    eprintln!("{}", output.display());
    Ok(())
}
