//! `c4 report`.

use crate::corpus;
use crate::inspect::report::{ExampleLine, ExamplePage, Examples, Sources, render};
use crate::terminal::{self, tell};
use anyhow::{Context, bail};
use c4_data::ledger::{DroppedLine, DroppedPage, LedgerReader};
use c4_data::{Error, LedgerEntry, Manifest, atomic_file};
use clap::Args;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The number of examples of each reason.
const EXAMPLES: usize = 8;

/// Writes one HTML file that shows what a build kept and dropped, and why. It stands alone: send
/// it, or open it without a network.
#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// Folder of a finished corpus.
    dir: PathBuf,
    /// The file to write; `-` for stdout [default: report.html in DIR].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(args: &ReportArgs) -> anyhow::Result<()> {
    let dir = &args.dir;
    let manifest = corpus::finished(dir)?;
    let examples = examples(dir, &manifest.ledger)?;
    let html = render(&Sources {
        manifest: &read_json(&dir.join(Manifest::FILE))?,
        stats: &corpus::read_stats(dir, &manifest)?.1,
        run: read_json(&dir.join(corpus::RUN_FILE)).ok().as_ref(),
        examples: &examples,
    })?;
    write_page(args.output.as_deref(), &dir.join(corpus::REPORT_FILE), &html)
}

/// Writes a page to the file that was named, or to `default`, and says where it is.
pub(super) fn write_page(named: Option<&Path>, default: &Path, html: &str) -> anyhow::Result<()> {
    if named.is_some_and(|path| path.as_os_str() == "-") {
        return Ok(terminal::write_all(html)?);
    }
    let path = named.unwrap_or(default);
    // A pipe or a device is no file that could be lost.
    if path.is_file() && !corpus::is_with(path, corpus::REPORT_GENERATOR) {
        bail!(
            "{}: exists, and is no report; name another file with -o",
            path.display()
        );
    }
    atomic_file::write_atomic(path, html.as_bytes())?;
    tell(format_args!("Report in {} ({} kB)", path.display(), html.len() / 1000));
    Ok(())
}

fn read_json(path: &Path) -> anyhow::Result<Value> {
    let bytes = std::fs::read(path).map_err(Error::io(path, "read"))?;
    let what = || format!("{}: not what a build writes", path.display());
    serde_json::from_slice(&bytes).with_context(what)
}

/// The first rows of each reason, which are drawn by hash; a page is shown once a reason.
fn examples(dir: &Path, ledger: &LedgerEntry) -> Result<Examples, Error> {
    let mut examples = Examples::default();
    let mut count: HashMap<String, usize> = HashMap::new();
    for page in LedgerReader::<DroppedPage>::new(dir, ledger) {
        let page = page?;
        let shown = count.entry(page.reason.clone()).or_default();
        if *shown < EXAMPLES && !page.text.is_empty() {
            *shown += 1;
            examples.pages.push(ExamplePage {
                matched: place(page.match_start, &page.matched),
                reason: page.reason,
                url: page.url,
                text: page.text,
            });
        }
    }
    let mut seen = HashSet::new();
    for line in LedgerReader::<DroppedLine>::new(dir, ledger) {
        let line = line?;
        let shown = count.entry(line.reason.clone()).or_default();
        if *shown < EXAMPLES && !line.text.trim().is_empty() && seen.insert((line.reason.clone(), line.url.clone())) {
            *shown += 1;
            examples.lines.push(ExampleLine {
                matched: place(line.match_start, &line.matched),
                reason: line.reason,
                url: line.url,
                line: u64::from(line.line),
                text: line.text,
                page_verdict: line.page,
            });
        }
    }
    Ok(examples)
}

fn place(start: Option<u32>, matched: &str) -> Option<Range<usize>> {
    let start = start? as usize;
    Some(start..start + matched.len())
}
