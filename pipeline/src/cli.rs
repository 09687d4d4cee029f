//! What the user types, and the commands behind it.

mod card;
mod diff;
mod explain;
mod ledger;
mod report;
mod sweep;
mod verify;

use crate::error::Error;
use crate::input;
use crate::output;
use crate::run::{BuildOptions, Built, Outcome, build};
use crate::table::{Table, funnel, percent, thousands};
use anyhow::Context;
use c4_data::{
    BUILTIN_RECIPES, Format, InputEntry, InputState, LedgerMode, Manifest, Recipe, ShardReader,
    Split, WordLists,
};
use c4_filters::{Reason, Scope};
use clap::{Args, Parser, Subcommand, ValueEnum};
use indicatif::DecimalBytes;
use serde_json::{Value, json};
use std::io::{self, BufWriter, Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Rebuild C4 from a raw crawl, and see why every line stayed or went.
#[derive(Debug, Parser)]
#[command(name = "c4", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build a corpus from crawl archives.
    Build(Build),
    /// Print the documents of a corpus as JSON lines.
    Cat(Cat),
    /// Show what a build read, dropped and kept.
    Stats(Stats),
    /// Write the build's report: one HTML file.
    Report(report::Report),
    /// Show why a page and each of its lines stays or goes.
    Explain(explain::Explain),
    /// Print what a build dropped.
    Ledger(ledger::Ledger),
    /// Compare two corpora: which pages and lines differ, and which rule did it.
    Diff(diff::Diff),
    /// List the recipes, or print one as TOML.
    Recipes(Recipes),
    /// Try combinations of thresholds in one pass, and tell what each would keep.
    Sweep(sweep::Sweep),
    /// Check a finished corpus: files, counts, and what its recipe promises.
    Verify(verify::Verify),
    /// Write a corpus's dataset card, for people and for the Hugging Face Hub.
    Card(card::Card),
}

/// Reads WARC and WET archives (plain, gzip or zstd; told by content), applies a recipe, and writes
/// shards, `stats.json`, `manifest.json` and `run.json`.
///
/// Exit status: 0, all done; 1, done, but something could not be read (see the messages); 2,
/// refused or stopped.
#[derive(Debug, Args)]
struct Build {
    /// Archives, folders of archives, or listings (*.paths, *.paths.gz: one path or URL a line).
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// Folder for the corpus; made if it is missing.
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// A recipe's name (see `c4 recipes`) or TOML file.
    #[arg(short, long, default_value = BUILTIN_RECIPES[0].0, value_name = "NAME|FILE")]
    recipe: String,
    /// Folder that the paths of a listing are in, and that stands for the host of its URLs
    /// [default: the listing's folder].
    #[arg(long, value_name = "DIR")]
    base: Option<PathBuf>,
    /// File format of the shards; jsonl is gzip JSON lines as C4 is published.
    #[arg(long, value_enum, default_value_t = FormatArg::Arrow)]
    format: FormatArg,
    /// Text of a shard, in bytes (K, M, G: powers of 1024).
    #[arg(long, default_value = "256M", value_parser = parse_size, value_name = "SIZE")]
    shard_size: u64,
    /// Threads [default: one a core].
    #[arg(
        short,
        long,
        default_value_t = 0,
        hide_default_value = true,
        value_name = "N"
    )]
    #[arg(value_parser = clap::value_parser!(u16).range(0..=512))]
    threads: u16,
    /// Folder for intermediate files [default: below the output; gone at the end].
    #[arg(long, value_name = "DIR")]
    work_dir: Option<PathBuf>,
    /// Replace the corpus that the output folder holds; other files in it stay.
    #[arg(long)]
    overwrite: bool,
    /// What to keep of what is dropped: all, none, or sample:N (N pages and N lines a reason).
    #[arg(long, default_value_t, value_name = "all|sample:N|none")]
    ledger: LedgerMode,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FormatArg {
    Arrow,
    Parquet,
    Jsonl,
}

/// Prints `text`, `timestamp` and `url` of every document, one JSON object a line, in the order of
/// the shards.
#[derive(Debug, Args)]
struct Cat {
    /// Folder of a finished corpus.
    dir: PathBuf,
    /// Only this split.
    #[arg(long, value_enum)]
    split: Option<SplitArg>,
    /// All columns, and the split (arrow and parquet).
    #[arg(long)]
    full: bool,
    /// At most this many documents.
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<u64>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SplitArg {
    Train,
    Validation,
}

#[derive(Debug, Args)]
struct Stats {
    /// Folder of a finished corpus.
    dir: PathBuf,
    /// Print stats.json.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Recipes {
    /// The recipe to print.
    name: Option<String>,
}

/// A size in bytes, with K, M, G or T as powers of 1024.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim().trim_end_matches("iB").trim_end_matches('B');
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let shift = match unit.trim().to_ascii_uppercase().as_str() {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err("give a number with K, M, G or T, as in 256M".into()),
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| "give a number, as in 256M".to_owned())?;
    match number.checked_mul(1 << shift) {
        Some(bytes) if bytes > 0 => Ok(bytes),
        _ => Err("must be above 0 and below 16 EiB".into()),
    }
}

/// Runs a command. An error is one that the user should see; exit status 2 goes with it.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let result = match cli.command {
        Command::Build(args) => return run_build(args),
        Command::Verify(args) => return verify::run(args),
        Command::Cat(args) => cat(&args),
        Command::Stats(args) => stats(&args),
        Command::Report(args) => report::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Ledger(args) => ledger::run(&args),
        Command::Diff(args) => diff::run(&args, &mut stdout().lock()),
        Command::Recipes(args) => recipes(&args),
        Command::Sweep(args) => return sweep::run(args),
        Command::Card(args) => card::run(&args),
    };
    match result {
        // Whoever reads our output has had enough (`c4 cat … | head`).
        Err(e) if is_broken_pipe(&e) => Ok(ExitCode::SUCCESS),
        result => result.map(|()| ExitCode::SUCCESS),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<io::Error>());
    io.is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

fn run_build(args: Build) -> anyhow::Result<ExitCode> {
    let (recipe, base) = Recipe::load(&args.recipe)?;
    let lists = WordLists::load(&recipe, &base)?;
    let inputs = input::resolve(&args.inputs, args.base.as_deref(), &recipe.read)?;
    let options = BuildOptions {
        recipe,
        lists,
        inputs,
        output: args.output,
        format: match args.format {
            FormatArg::Arrow => Format::Arrow,
            FormatArg::Parquet => Format::Parquet,
            FormatArg::Jsonl => Format::Jsonl,
        },
        shard_size_bytes: args.shard_size,
        threads: usize::from(args.threads),
        work_dir: args.work_dir,
        overwrite: args.overwrite,
        ledger: args.ledger,
    };
    match build(&options)? {
        Outcome::AlreadyDone(manifest) => {
            output::clear_work(&options.output)?;
            let rows: u64 = manifest.shards.iter().map(|shard| shard.rows).sum();
            eprintln!(
                "{} holds this corpus already: {} documents in {} shards. Nothing to do.",
                options.output.display(),
                thousands(rows),
                manifest.shards.len()
            );
            Ok(exit_code(&manifest))
        }
        Outcome::Built(built) => {
            summarize(&options, &built);
            Ok(exit_code(&built.manifest))
        }
    }
}

fn exit_code(manifest: &Manifest) -> ExitCode {
    let whole = manifest
        .inputs
        .iter()
        .all(|input| input.state == InputState::Read);
    ExitCode::from(u8::from(!whole))
}

/// What stderr says at the end of a build.
fn summarize(options: &BuildOptions, built: &Built) {
    let tally = &built.tally;
    let (pages, kept) = (tally.pages(), tally.pages_out.iter().sum());
    let bytes: u64 = options.inputs.iter().map(|input| input.bytes).sum();
    eprintln!(
        "{} pages in, {} kept ({}): {} train, {} validation, {} of text",
        thousands(pages),
        thousands(kept),
        percent(kept, pages),
        thousands(tally.pages_out[0]),
        thousands(tally.pages_out[1]),
        DecimalBytes(tally.text_bytes_out)
    );
    let mut reasons: Vec<(u64, Reason)> = Reason::of(Scope::Page)
        .iter()
        .map(|r| (tally.dropped_pages(*r), *r))
        .collect();
    reasons.sort_by_key(|(n, reason)| (std::cmp::Reverse(*n), *reason));
    for (n, reason) in reasons.iter().take(5).filter(|(n, _)| *n > 0) {
        eprintln!(
            "{:>12}  {:<30} {}",
            thousands(*n),
            reason.code(),
            reason.doc()
        );
    }
    eprintln!(
        "{:.2} s: {:.1} MB/s of archives, {:.1} MB/s of text read. Corpus in {}",
        built.wall_seconds,
        bytes as f64 / 1e6 / built.wall_seconds,
        tally.text_bytes_in as f64 / 1e6 / built.wall_seconds,
        options.output.display()
    );
    for warning in &built.warnings {
        eprintln!("WARNING: {warning}");
    }
    report_damage(&built.manifest.inputs);
}

pub(crate) fn report_damage(inputs: &[InputEntry]) {
    let bad: Vec<_> = inputs
        .iter()
        .filter(|i| i.state != InputState::Read)
        .collect();
    if bad.is_empty() {
        return;
    }
    let places: u64 = bad.iter().map(|input| input.damaged_records.max(1)).sum();
    eprintln!(
        "Could not be read: {places} places in {} of {} archives. All else was; exit status 1.",
        bad.len(),
        inputs.len()
    );
    for input in bad {
        for damage in &input.damage {
            eprintln!(
                "  {}, byte {}: {}",
                input.archive, damage.offset, damage.cause
            );
        }
        let unlisted = input
            .damaged_records
            .saturating_sub(input.damage.len() as u64);
        if unlisted > 0 {
            eprintln!("  {}: and {unlisted} more places", input.archive);
        }
    }
}

/// The manifest of a finished corpus.
pub(crate) fn finished(dir: &Path) -> anyhow::Result<Manifest> {
    let manifest = Manifest::read(dir)?;
    manifest.with_context(|| {
        format!(
            "{}: holds no finished corpus (no {})",
            dir.display(),
            Manifest::FILE
        )
    })
}

fn cat(args: &Cat) -> anyhow::Result<()> {
    let manifest = finished(&args.dir)?;
    if args.full && manifest.format == Format::Jsonl {
        anyhow::bail!(
            "{}: its jsonl shards hold text, timestamp and url only; --full needs arrow or parquet",
            args.dir.display()
        );
    }
    let wanted = args.split.map(|split| match split {
        SplitArg::Train => Split::Train,
        SplitArg::Validation => Split::Validation,
    });
    let mut out = BufWriter::new(stdout().lock());
    let mut left = args.limit.unwrap_or(u64::MAX);
    for shard in manifest
        .shards
        .iter()
        .filter(|s| wanted.is_none_or(|split| split == s.split))
    {
        if left == 0 {
            break;
        }
        let path = args.dir.join(&shard.file);
        if c4_data::fs::sha256_file(&path)? != shard.sha256 {
            anyhow::bail!(
                "{}: is not what the build wrote (its checksum differs from {}); build it again",
                path.display(),
                Manifest::FILE
            );
        }
        for document in ShardReader::open(&path)? {
            if left == 0 {
                break;
            }
            left -= 1;
            let document = document?;
            let page = &document.page;
            let mut line = json!({"text": page.text, "timestamp": page.timestamp, "url": page.url});
            if args.full {
                line["split"] = json!(shard.split.name());
                line["content_type"] = json!(page.content_type);
                line["content_length"] = json!(page.content_length);
                line["language"] = json!(document.language);
                line["language_score"] = json!(document.language_score);
                line["archive"] = json!(&*page.provenance.archive);
                line["record_offset"] = json!(page.provenance.record_offset);
            }
            serde_json::to_writer(&mut out, &line).map_err(io::Error::from)?;
            out.write_all(b"\n")?;
        }
    }
    Ok(out.flush()?)
}

fn stats(args: &Stats) -> anyhow::Result<()> {
    let manifest = finished(&args.dir)?;
    let path = args.dir.join(output::STATS_FILE);
    let text = std::fs::read_to_string(&path).map_err(c4_data::Error::io(&path, "read"))?;
    let mut out = stdout().lock();
    if args.json {
        return Ok(out.write_all(text.as_bytes())?);
    }
    let value: Value = serde_json::from_str(&text)
        .with_context(|| format!("{}: not what a build writes", path.display()))?;
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
    let heading = "counters, under the reference's names";
    write!(
        out,
        "{}\n{heading}\n{}",
        funnel(&value["tally"]),
        table.render()
    )?;
    Ok(())
}

fn recipes(args: &Recipes) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    let Some(name) = &args.name else {
        let mut table = Vec::new();
        for (name, text) in BUILTIN_RECIPES {
            table.push((name, Recipe::parse(name, text)?.description));
        }
        for (name, description) in table {
            writeln!(out, "{name:<16} {description}")?;
        }
        return Ok(());
    };
    let found = BUILTIN_RECIPES.iter().find(|(n, _)| n == name);
    let Some((_, text)) = found else {
        // The same message as for a build.
        return Err(Recipe::load(name)
            .map_or_else(Error::from, |_| Error::Output {
                path: name.into(),
                reason: "is a file; print it with any tool".into(),
            })
            .into());
    };
    Ok(out.write_all(text.as_bytes())?)
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
