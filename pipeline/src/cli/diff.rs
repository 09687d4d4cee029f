//! `c4 diff`.

use crate::diff::{self, Cause, Options};
use clap::Args;
use std::io::{self, Write};
use std::path::PathBuf;

/// Compares two finished corpora: pages that only one has, pages with other text, and which rule did
/// it. Pages are the same if their normalised URLs are.
///
/// Exit status: 0, compared, whether or not they differ; 2, something is wrong.
#[derive(Debug, Args)]
pub(super) struct Diff {
    /// Folder of a finished corpus.
    a: PathBuf,
    /// Folder of another.
    b: PathBuf,
    /// Print all that was found as JSON.
    #[arg(long)]
    json: bool,
    /// Examples of each cause.
    #[arg(short = 'n', long, default_value_t = 3, value_name = "N")]
    examples: usize,
    /// Show only what has this cause: a reason (see `c4 stats`), or not_read, rewritten,
    /// other_version, other_reading, unknown.
    #[arg(long, value_parser = Cause::parse, value_name = "CODE")]
    reason: Option<Cause>,
    /// Look only at pages of this host (www. does not count).
    #[arg(long, value_name = "D")]
    domain: Option<String>,
}

pub(super) fn run(args: &Diff, out: &mut impl Write) -> anyhow::Result<()> {
    let options = Options {
        reason: args.reason,
        domain: args.domain.clone(),
        examples: args.examples,
    };
    let diff = diff::diff(&args.a, &args.b, &options)?;
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &diff).map_err(io::Error::from)?;
        return Ok(writeln!(out)?);
    }
    Ok(out.write_all(diff::text(&diff).as_bytes())?)
}
