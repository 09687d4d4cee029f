//! What the user types, and the commands behind it.

mod build;
mod card;
mod cat;
mod diff;
mod explain;
mod ledger;
mod lists;
mod memory_arg;
mod plan;
mod recipes;
mod remote_args;
mod report;
mod stats;
mod sweep;
mod threads;
mod verify;

use crate::terminal::{self, is_enough};
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Rebuild C4 from a raw crawl, and see why every line was kept or dropped.
#[derive(Debug, Parser)]
#[command(name = "c4", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build a corpus from crawl archives.
    Build(build::BuildArgs),
    /// Say what a build would take: pages, time, memory, disk.
    Plan(plan::PlanArgs),
    /// Write the build's report: one HTML file.
    Report(report::ReportArgs),
    /// Show what a build read, dropped and kept.
    Stats(stats::StatsArgs),
    /// Show why a page and each of its lines is kept or dropped.
    Explain(explain::ExplainArgs),
    /// Print what a build dropped.
    Ledger(ledger::LedgerArgs),
    /// Compare two corpora: which pages and lines differ, and which rule did it.
    Diff(diff::DiffArgs),
    /// Try combinations of thresholds in one pass, and say what each would keep.
    Sweep(sweep::SweepArgs),
    /// Check a finished corpus: files, counts, and what its recipe promises.
    Verify(verify::VerifyArgs),
    /// Write a corpus's dataset card, for people and for the Hugging Face Hub.
    Card(card::CardArgs),
    /// Print the documents of a corpus as JSON lines.
    Cat(cat::CatArgs),
    /// List the recipes, or print one as TOML.
    Recipes(recipes::RecipesArgs),
    /// Print the licences of this program and of all that is in it.
    #[command(long_flag = "licenses")]
    Licenses,
}

/// A size in bytes, with K, M, G or T as powers of 1024.
fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim().trim_end_matches("iB").trim_end_matches('B');
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let shift = match unit.trim().to_ascii_uppercase().as_str() {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err("give a number with K, M, G or T, as in 256M".into()),
    };
    let number: u64 = digits.parse().map_err(|_| "give a number, as in 256M".to_owned())?;
    match number.checked_mul(1 << shift) {
        Some(bytes) if bytes > 0 => Ok(bytes),
        _ => Err("must be above 0 and below 16 EiB".into()),
    }
}

/// Runs a command. An error is one that the user should see; exit status 2 goes with it.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let result = match cli.command {
        Command::Build(args) => return build::run(args),
        Command::Plan(args) => plan::run(args),
        Command::Sweep(args) => return sweep::run(args),
        Command::Verify(args) => return verify::run(args),
        Command::Report(args) => report::run(&args),
        Command::Stats(args) => stats::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Ledger(args) => ledger::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Card(args) => card::run(&args),
        Command::Cat(args) => cat::run(&args),
        Command::Recipes(args) => recipes::run(&args),
        Command::Licenses => {
            let text = c4_data::LICENSES.join("\n");
            terminal::print(&format!("{}\n", text.trim_end())).map_err(Into::into)
        }
    };
    match result {
        // The reader of our output has closed it (`c4 cat … | head`).
        Err(e) if is_enough(&e) => Ok(ExitCode::SUCCESS),
        result => result.map(|()| ExitCode::SUCCESS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("4096"), Ok(4096));
        assert_eq!(parse_size("256M"), Ok(256 << 20));
        assert_eq!(parse_size("1 GiB"), Ok(1 << 30));
        for bad in ["", "M", "-1", "1X", "0", "99999999999T"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
