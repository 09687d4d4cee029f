//! `c4 verify`: what the user types, and what comes out.

use super::memory_arg::MemoryArg;
use super::threads::ThreadsArg;
use crate::corpus;
use crate::input;
use crate::inspect::verify::report::{Check, Offence, Report, Status};
use crate::inspect::verify::{self, VerifyOptions, verify};
use crate::runtime::memory::Memory;
use crate::terminal;
use crate::view::number::thousands;
use c4_data::{BUILTIN_RECIPES, Recipe, printable};
use clap::Args;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// Checks a finished corpus against its manifest, its statistics, its ledger and its recipe.
///
/// One line a check: its name, `ok`, `FAILED`, `note` or `not checked`, and what was counted; below
/// it the first offences. Every shard is read twice, and more often where --memory is too little for 16
/// bytes a line or sentence.
///
/// With --archives, checks crawl archives: the block and payload digests of every record.
///
/// Exit status: 0, all is right; 1, something is not; 2, refused (no corpus, or a file cannot be
/// read).
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Folder of a finished corpus.
    #[arg(required_unless_present = "archives")]
    dir: Option<PathBuf>,
    /// Check the digests of these archives (files, folders, listings), not a corpus.
    #[arg(long, num_args = 1.., value_name = "PATH", conflicts_with_all = ["dir", "lists", "memory"])]
    archives: Vec<PathBuf>,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
    /// Folder of the recipe's word lists, if these are files [default: the corpus].
    #[arg(long, value_name = "DIR")]
    lists: Option<PathBuf>,
    #[command(flatten)]
    memory: MemoryArg,
    #[command(flatten)]
    threads: ThreadsArg,
}

pub(crate) fn run(args: VerifyArgs) -> anyhow::Result<ExitCode> {
    let Some(dir) = args.dir else {
        return archives(&args.archives, args.threads.number(), args.json);
    };
    let manifest = corpus::finished(&dir)?;
    let (memory_bytes, threads) = args.memory.budget("verification", args.threads.number())?;
    let key_bytes = Memory::new(memory_bytes, threads).verified_keys();
    let options = VerifyOptions {
        dir,
        lists: args.lists,
        key_bytes: usize::try_from(key_bytes).unwrap_or(usize::MAX),
        threads,
    };
    let report = verify(&options, &manifest)?;
    answer(args.json, &report, report.holds(), || render(&report))
}

/// Prints what was found; gives the exit status.
fn answer(json: bool, found: &impl Serialize, holds: bool, text: impl FnOnce() -> String) -> anyhow::Result<ExitCode> {
    let printed = match json {
        true => {
            let mut json = serde_json::to_value(found)?;
            json["holds"] = holds.into();
            terminal::print_json(&format!("{json:#}\n"))
        }
        false => terminal::print(&text()),
    };
    terminal::unless_closed(printed)?;
    Ok(ExitCode::from(u8::from(!holds)))
}

/// Checks the digests of archives.
fn archives(paths: &[PathBuf], threads: usize, json: bool) -> anyhow::Result<ExitCode> {
    let read = Recipe::load(BUILTIN_RECIPES[0].0)?.0.read;
    let inputs = input::resolve(paths, None, &read)?;
    let found = verify::archives::archives(&inputs, read.max_record_bytes, threads)?;
    answer(json, &found, found.holds(), || {
        let mut out = String::new();
        for wrong in &found.listed {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{}, byte {}: {}", wrong.archive, wrong.offset, wrong.what);
        }
        let unlisted = found.differ + found.damaged - found.listed.len() as u64;
        if unlisted > 0 {
            let _ = writeln!(out, "and {} more", thousands(unlisted));
        }
        let _ = writeln!(
            out,
            "{} archives: the digests of {} records are right, of {} differ; {} have none; {} places cannot be read",
            thousands(found.archives),
            thousands(found.right),
            thousands(found.differ),
            thousands(found.without),
            thousands(found.damaged)
        );
        out
    })
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok",
        Status::Failed => "FAILED",
        Status::Note => "note",
        Status::NotChecked => "not checked",
    }
}

fn render(report: &Report) -> String {
    let mut out = String::new();
    for check in &report.checks {
        render_check(check, &mut out);
    }
    let failed = report.count(Status::Failed);
    let not_checked = report.count(Status::NotChecked);
    let verdict = match failed {
        0 => "nothing is wrong".to_owned(),
        1 => "1 check failed".to_owned(),
        n => format!("{n} checks failed"),
    };
    let checks = report.checks.len() - not_checked;
    let rest = match not_checked {
        0 => String::new(),
        n => format!(", {n} could not be made"),
    };
    out + &format!("{checks} checks: {verdict}{rest}\n")
}

fn render_check(check: &Check, out: &mut String) {
    // Writing to a string cannot fail.
    let counted = match (check.status, check.offences) {
        (Status::Failed, n) => format!("{n} against: {}", check.counted),
        _ => check.counted.clone(),
    };
    let (name, status) = (check.name, status(check.status));
    let separator = if check.status == Status::NotChecked { ": " } else { "  " };
    let _ = writeln!(out, "{name:<17} {status:<11}{separator}{counted}");
    for offence in &check.examples {
        let _ = writeln!(out, "{:>18}{}", "", describe(offence));
    }
    let unlisted = check.offences.saturating_sub(check.examples.len() as u64);
    if unlisted > 0 && !check.examples.is_empty() {
        let _ = writeln!(out, "{:>18}and {unlisted} more", "");
    }
}

fn describe(offence: &Offence) -> String {
    let mut text = offence.file.clone();
    if let Some(row) = offence.row {
        text += &format!(", row {row}");
    }
    if let Some(url) = &offence.url {
        text += &format!(", {}", printable(url));
    }
    text += &format!(": {}", offence.what);
    if let Some(line) = &offence.line {
        text += &format!(": \"{}\"", printable(line));
    }
    text
}
