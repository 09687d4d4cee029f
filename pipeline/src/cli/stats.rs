//! `c4 stats`.

use crate::corpus;
use crate::terminal;
use crate::terminal::table::{TextTable, funnel};
use crate::view::number::thousands;
use c4_data::InOut;
use clap::Args;
use std::cmp::Reverse;
use std::collections::BTreeMap;
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
fn languages(languages: &BTreeMap<String, InOut>) -> String {
    let mut rows: Vec<(&String, &InOut)> = languages.iter().collect();
    rows.sort_by_key(|(_, pages)| Reverse((pages.kept, pages.read)));
    if rows.is_empty() {
        return String::new();
    }
    let mut table = TextTable::default();
    table.row(["language", "pages detected", "pages kept"]);
    let (listed, others) = rows.split_at(rows.len().min(LANGUAGES));
    for (code, pages) in listed {
        table.row([code, &thousands(pages.read), &thousands(pages.kept)]);
    }
    if !others.is_empty() {
        let sum = |of: fn(&InOut) -> u64| thousands(others.iter().map(|(_, pages)| of(pages)).sum());
        let name = format!("{} more (c4 stats --json)", others.len());
        table.row([&name, &sum(|pages| pages.read), &sum(|pages| pages.kept)]);
    }
    format!("{}\n", table.render())
}

pub(super) fn run(args: &StatsArgs) -> anyhow::Result<()> {
    let manifest = corpus::finished(&args.dir)?;
    let (bytes, stats) = corpus::read_stats(&args.dir, &manifest)?;
    if args.json {
        return Ok(terminal::print_json(&String::from_utf8_lossy(&bytes))?);
    }
    let mut out = String::new();
    let mut table = TextTable::default();
    for (name, n) in &stats.counters {
        table.row([name, &thousands(*n)]);
    }
    writeln!(
        out,
        "recipe {} ({})\n",
        manifest.recipe.name,
        manifest.recipe_hash.get(..12).unwrap_or_default()
    )?;
    for warning in &stats.warnings {
        writeln!(out, "WARNING: {warning}")?;
    }
    let heading = "counters, under the reference's names";
    write!(
        out,
        "{}\n{}{heading}\n{}",
        funnel(&stats.tally),
        languages(&stats.languages),
        table.render()
    )?;
    Ok(terminal::print(&out)?)
}
