//! `c4 verify`: what the user types, and what comes out.

use super::parse_size;
use super::threads::ThreadsArg;
use crate::output;
use crate::table::printable;
use crate::terminal;
use crate::verify::report::{Check, Offence, Report, Status};
use crate::verify::{VerifyOptions, verify};
use clap::Args;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::ExitCode;

/// Checks a finished corpus against its manifest, its statistics, its ledger and its recipe.
///
/// One line a check: its name, `ok`, `FAILED`, `note` or `not checked`, and what was counted; below
/// it the first offences. Every shard is read twice or more often (see --memory).
///
/// Exit status: 0, all is right; 1, something is not; 2, refused (no corpus, or a file cannot be
/// read).
#[derive(Debug, Args)]
pub struct Verify {
    /// Folder of a finished corpus.
    dir: PathBuf,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
    /// Folder of the recipe's word lists, if these are files [default: the corpus].
    #[arg(long, value_name = "DIR")]
    lists: Option<PathBuf>,
    /// Memory for finding what is there twice, 16 bytes a line or sentence; with less than that the
    /// shards are read several times (K, M, G: powers of 1024).
    #[arg(long, default_value = "1G", value_parser = parse_size, value_name = "SIZE")]
    memory: u64,
    #[command(flatten)]
    threads: ThreadsArg,
}

/// Runs the command.
///
/// # Errors
/// No corpus, or a file that cannot be read.
pub fn run(args: Verify) -> anyhow::Result<ExitCode> {
    let manifest = output::finished(&args.dir)?;
    let options = VerifyOptions {
        dir: args.dir,
        lists: args.lists,
        memory_bytes: usize::try_from(args.memory).unwrap_or(usize::MAX),
        threads: args.threads.number(),
    };
    let report = verify(&options, &manifest)?;
    let printed = match args.json {
        true => {
            let mut json = serde_json::to_value(&report)?;
            json["holds"] = report.holds().into();
            terminal::print_json(&format!("{json:#}\n"))
        }
        false => terminal::print(&render(&report)),
    };
    match printed {
        // Whoever reads has had enough; what was found stays found.
        Err(e) if e.kind() == ErrorKind::BrokenPipe => {}
        printed => printed?,
    }
    Ok(ExitCode::from(u8::from(!report.holds())))
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
    let separator = if check.status == Status::NotChecked {
        ": "
    } else {
        "  "
    };
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
