//! `c4 stats`.

use super::finished;
use crate::output;
use crate::table::{Table, funnel, thousands};
use clap::Args;
use std::io::{Write, stdout};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct Stats {
    /// Folder of a finished corpus.
    dir: PathBuf,
    /// Print stats.json.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Stats) -> anyhow::Result<()> {
    let manifest = finished(&args.dir)?;
    let (bytes, value) = output::read_stats(&args.dir, &manifest)?;
    let mut out = stdout().lock();
    if args.json {
        return Ok(out.write_all(&bytes)?);
    }
    let mut table = Table::default();
    for (name, n) in value["counters"].as_object().into_iter().flatten() {
        table.row([name, &thousands(n.as_u64().unwrap_or(0))]);
    }
    writeln!(
        out,
        "recipe {} ({})\n",
        manifest.recipe.name,
        manifest.recipe_hash.get(..12).unwrap_or_default()
    )?;
    for warning in value["warnings"].as_array().into_iter().flatten() {
        writeln!(out, "WARNING: {}", warning.as_str().unwrap_or_default())?;
    }
    let heading = "counters, under the reference's names";
    write!(
        out,
        "{}\n{heading}\n{}",
        funnel(&value["tally"]),
        table.render()
    )?;
    Ok(())
}
