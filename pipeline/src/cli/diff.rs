//! `c4 diff`.

use super::report::write_page;
use crate::inspect::diff::{self, Cause, DiffOptions};
use crate::terminal;
use clap::Args;
use std::path::PathBuf;

/// The number of top domains on a page, where they can be searched.
const PAGE_DOMAINS: usize = 300;
/// The number of examples of each cause on a page, which folds them.
const PAGE_EXAMPLES: usize = 8;

/// Compares two finished corpora: pages that only one has, pages with other text, and which rule did
/// it. Pages are the same if their normalised URLs are.
///
/// Exit status: 0, compared, whether or not they differ; 2, something is wrong.
#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// Folder of a finished corpus.
    a: PathBuf,
    /// Folder of another.
    b: PathBuf,
    /// Print all that was found as JSON.
    #[arg(long)]
    json: bool,
    /// Write what was found as one HTML file, which stands alone, in place of text; `-` for stdout.
    #[arg(short, long, value_name = "FILE", conflicts_with = "json")]
    output: Option<PathBuf>,
    /// Examples of each cause [default: 3, in an HTML file 8].
    #[arg(short = 'n', long, value_name = "N")]
    examples: Option<usize>,
    /// Show only what has this cause: a reason (see `c4 stats`), or not_read, rewritten,
    /// other_version, other_reading, unknown.
    #[arg(long, value_parser = Cause::parse, value_name = "CODE")]
    reason: Option<Cause>,
    /// Compare only pages of this host (www. does not count).
    #[arg(long, value_name = "D")]
    domain: Option<String>,
}

pub(super) fn run(args: &DiffArgs) -> anyhow::Result<()> {
    let mut options = DiffOptions {
        reason: args.reason,
        domain: args.domain.clone(),
        ..DiffOptions::default()
    };
    if args.output.is_some() {
        (options.examples, options.domains) = (PAGE_EXAMPLES, PAGE_DOMAINS);
    }
    options.examples = args.examples.unwrap_or(options.examples);
    let diff = diff::diff(&args.a, &args.b, &options)?;
    if let Some(path) = &args.output {
        return write_page(Some(path), path, &diff::page(&diff));
    }
    if args.json {
        let json = serde_json::to_string_pretty(&diff)?;
        return Ok(terminal::print_json(&(json + "\n"))?);
    }
    Ok(terminal::print(&diff::text(&diff))?)
}
