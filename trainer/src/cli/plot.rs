//! `t5 plot`.

use super::output::tell;
use crate::run::METRICS;
use crate::run::plot::{PlottedMetrics, svg};
use anyhow::Context;
use clap::Args;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Draws what a run has measured as SVG: loss in training and validation, learning rate, tokens a second.
///
/// What single steps gave is faint; the lines over it are means of neighbouring steps.
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
    super::refuse_hugging_face(&args.run)?;
    let path = args.run.join(METRICS);
    let metrics = PlottedMetrics::read(&path)?;
    let output = args.output.clone().unwrap_or_else(|| args.run.join("plot.svg"));
    refuse_other(&output)?;
    let picture = svg(&metrics).with_context(|| path.display().to_string())?;
    c4_data::atomic_file::write_atomic(&output, picture.as_bytes())?;
    tell(output.display());
    Ok(())
}

/// Refuses to write over a file that is no picture of this kind.
fn refuse_other(path: &Path) -> anyhow::Result<()> {
    if !path.is_file() {
        return Ok(());
    }
    let mut start = [0; 5];
    let mut file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
    let is_empty = file.read(&mut start).with_context(|| path.display().to_string())? == 0;
    anyhow::ensure!(
        is_empty || [b"<svg ", b"<?xml"].contains(&&start),
        "{}: is a file, but no SVG; name another one for the picture",
        path.display()
    );
    Ok(())
}
