//! `c4 stats`.

use crate::corpus;
use crate::terminal;
use crate::terminal::table::{TextTable, funnel};
use crate::view::number::thousands;
use clap::Args;
use serde_json::Value;
use std::cmp::Reverse;
use std::fmt::Write;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct StatsArgs {
    /// Folder of a finished corpus.
    dir: PathBuf,
    /// Print stats.json.
    #[arg(long)]
    json: bool,
}

/// The number of languages that are listed at most.
const LANGUAGES: usize = 10;

/// Pages by detected language, before and after the language rule and what follows it; nothing if none was
/// detected.
fn languages(value: &Value) -> String {
    let count = |sides: &Value, side: &str| sides[side].as_u64().unwrap_or(0);
    let mut rows: Vec<_> = value.as_object().into_iter().flatten().collect();
    rows.sort_by_key(|(_, sides)| Reverse((count(sides, "out"), count(sides, "in"))));
    if rows.is_empty() {
        return String::new();
    }
    let mut table = TextTable::default();
    table.row(["language", "pages detected", "pages kept"]);
    let (listed, others) = rows.split_at(rows.len().min(LANGUAGES));
    for (code, sides) in listed {
        let n = |side| thousands(count(sides, side));
        table.row([code, &n("in"), &n("out")]);
    }
    if !others.is_empty() {
        let sum = |side| thousands(others.iter().map(|(_, sides)| count(sides, side)).sum());
        let name = format!("{} more (c4 stats --json)", others.len());
        table.row([&name, &sum("in"), &sum("out")]);
    }
    format!("{}\n", table.render())
}

pub(super) fn run(args: &StatsArgs) -> anyhow::Result<()> {
    let manifest = corpus::finished(&args.dir)?;
    let (bytes, value) = corpus::read_stats(&args.dir, &manifest)?;
    if args.json {
        return Ok(terminal::print_json(&String::from_utf8_lossy(&bytes))?);
    }
    let mut out = String::new();
    let mut table = TextTable::default();
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
        "{}\n{}{heading}\n{}",
        funnel(&value["tally"]),
        languages(&value["languages"]),
        table.render()
    )?;
    Ok(terminal::print(&out)?)
}
