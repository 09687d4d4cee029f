//! `c4 plan`, and the head of `c4 build`.

use super::build::CorpusArgs;
use crate::Error;
use crate::build::BuildOptions;
use crate::inspect::plan::{self, ArchiveSample, Disk, Estimate};
use crate::runtime::memory::Memory;
use crate::runtime::stop;
use crate::terminal::table::TextTable;
use crate::terminal::{self, tell};
use crate::view::number::thousands;
use anyhow::bail;
use clap::Args;
use indicatif::DecimalBytes;
use std::fmt::Write;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    what: CorpusArgs,
    /// Folder that the corpus would go to: the free room of its disk counts.
    #[arg(short, long, default_value = ".", value_name = "DIR")]
    output: PathBuf,
}

/// Reads a sample of the archives and says what a build with the same arguments would take: pages, CPU
/// time, memory, disk. Writes nothing.
///
/// Exit status: 0, it would fit; 2, the disk is too small, or the build would be refused.
pub(super) fn run(args: PlanArgs) -> anyhow::Result<()> {
    let options = args.what.options(&args.output)?;
    let threads = options.threads();
    let memory = Memory::new(options.memory_bytes, threads);
    let sample = ArchiveSample::at(&options.inputs, &options.remote.network)?;
    let mut out = String::new();
    let mut estimates = Vec::new();
    for target in &options.targets {
        let estimate = plan::estimate(target, options.ledger, &sample)?;
        let Estimate {
            archives,
            bytes,
            sampled,
            ..
        } = estimate;
        writeln!(
            out,
            "{archives} {}, {}{}; recipe {}, from a sample of {} ({:.2} %)",
            if archives == 1 { "archive" } else { "archives" },
            if sample.remote > 0 { "about " } else { "" },
            DecimalBytes(bytes as u64),
            target.recipe.name,
            DecimalBytes(sampled as u64),
            100.0 * sampled / bytes.max(1.0)
        )?;
        let mut table = TextTable::default();
        let size = |n: f64| DecimalBytes(n as u64).to_string();
        let parts = plan::key_parts(&estimate, memory);
        for (name, value) in [
            ("pages", about(estimate.pages)),
            ("text", size(estimate.text_bytes)),
            ("pages kept, before duplicates and listed words", about(estimate.kept)),
            ("CPU time", duration(estimate.cpu_seconds)),
            (
                "time by the clock, on idle cores",
                format!(
                    "{} on {threads} threads",
                    duration(estimate.cpu_seconds / threads as f64)
                ),
            ),
            (
                "memory",
                format!(
                    "up to {} (--memory); keys take {}, compared in {parts} {}",
                    DecimalBytes(options.memory_bytes),
                    size(estimate.key_bytes),
                    if parts == 1 { "part" } else { "parts" }
                ),
            ),
            ("work folder at its largest", size(estimate.work_bytes)),
            ("shards", size(estimate.corpus_bytes)),
            ("ledger", size(estimate.ledger_bytes)),
        ] {
            table.row([name, &value]);
        }
        writeln!(out, "{}", table.render())?;
        estimates.push(estimate);
    }
    let disks = plan::disks(&options, &estimates, &sample);
    for disk in &disks {
        writeln!(out, "{}", say(disk))?;
    }
    terminal::print(&out)?;
    refuse_small(&disks)
}

/// Prints what a build will take, one line a target; refuses a disk that is too small.
pub(super) fn head(options: &BuildOptions) -> anyhow::Result<()> {
    if plan::is_small(&options.inputs) {
        return Ok(());
    }
    let threads = options.threads();
    let sample = match ArchiveSample::at(&options.inputs, &options.remote.network) {
        Ok(sample) => sample,
        Err(_) if stop::asked() => return Err(Error::Stopped.into()),
        // The build has more patience, and a list of what is missing.
        Err(error) => {
            tell(format_args!("No estimate: {error}"));
            return Ok(());
        }
    };
    let mut estimates = Vec::new();
    for target in &options.targets {
        let estimate = plan::estimate(target, options.ledger, &sample)?;
        tell(format_args!(
            "{}: about {} pages, {} CPU time ({} on {threads} threads), up to {} of memory, {} of disk for work and {} \
             for the corpus",
            target.recipe.name,
            about(estimate.pages),
            duration(estimate.cpu_seconds),
            duration(estimate.cpu_seconds / threads as f64),
            DecimalBytes(options.memory_bytes),
            DecimalBytes(estimate.work_bytes as u64),
            DecimalBytes((estimate.corpus_bytes + estimate.ledger_bytes) as u64)
        ));
        estimates.push(estimate);
    }
    refuse_small(&plan::disks(options, &estimates, &sample))
}

fn say(disk: &Disk) -> String {
    let wanted = DecimalBytes(disk.wanted as u64);
    let free = disk
        .free
        .map_or("unknown".to_owned(), |free| DecimalBytes(free).to_string());
    format!("disk of {}: {wanted} wanted, {free} free", disk.folder.display())
}

fn refuse_small(disks: &[Disk]) -> anyhow::Result<()> {
    if let Some(disk) = disks.iter().find(|disk| disk.is_too_small()) {
        bail!(
            "{}; name a larger one with --work-dir or --output, or go on all the same with --no-plan",
            say(disk)
        );
    }
    Ok(())
}

/// A count with three digits, since an estimate has no more.
fn about(n: f64) -> String {
    let unit = 10_f64.powf((n.max(1.0).log10() - 2.0).floor().max(0.0));
    thousands(((n / unit).round() * unit) as u64)
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.1} days", s / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_said_as_exactly_as_they_are_known() {
        assert_eq!(about(0.4), "0");
        assert_eq!(about(123.0), "123");
        assert_eq!(about(1_234_567.0), "1,230,000");
        assert_eq!(duration(59.6), "60 s");
        assert_eq!(duration(3600.0), "60 min");
        assert_eq!(duration(360_000.0), "4.2 days");
    }
}
