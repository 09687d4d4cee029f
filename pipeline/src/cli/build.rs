//! `c4 build`.

use super::lists::ListArgs;
use super::memory_arg::MemoryArg;
use super::parse_size;
use super::remote_args::{REMOTE, RemoteArgs};
use super::threads::ThreadsArg;
use crate::Error;
use crate::build::{BuildOptions, Built, LEAST_SHARD_BYTES, Outcome, SHARD_SIZE_BYTES, TargetOptions, build};
use crate::corpus;
use crate::input;
use crate::runtime::stop;
use crate::terminal::table::percent;
use crate::terminal::tell;
use crate::view::number::thousands;
use anyhow::Context;
use c4_data::{BUILTIN_RECIPES, Format, InputEntry, InputState, LedgerMode, Recipe};
use c4_filters::{Reason, Scope};
use clap::{Args, ValueEnum};
use indicatif::DecimalBytes;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Options of `c4 build` and `c4 plan`: what to build, from what, and with what.
#[derive(Debug, Args)]
pub(super) struct CorpusArgs {
    /// Archives, folders of archives, listings (*.paths, *.paths.gz: one path or URL a line), each
    /// here or at an http, https or s3 URL; or names of crawls, as CC-MAIN-2019-18.
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// A recipe's name (see `c4 recipes`) or TOML file. Given more than once, each corpus goes to a
    /// folder of its recipe's name below the output, and archives are read once.
    #[arg(short, long, default_value = BUILTIN_RECIPES[0].0, value_name = "NAME|FILE")]
    recipe: Vec<String>,
    /// Only pages in this language, of a recipe that keeps several; may be given several times. The
    /// recipe is then called multilingual.de, for example.
    #[arg(long = "language", value_name = "CODE")]
    languages: Vec<String>,
    #[command(flatten)]
    lists: ListArgs,
    /// Folder or URL that the paths of a listing are in, and that stands for the host of URLs
    /// [default: the listing's folder; of a remote one, its host].
    #[arg(long, value_name = "DIR|URL")]
    base: Option<PathBuf>,
    #[command(flatten)]
    threads: ThreadsArg,
    #[command(flatten)]
    memory: MemoryArg,
    /// Folder for intermediate files [default: below the output; removed at the end].
    #[arg(long, value_name = "DIR")]
    work_dir: Option<PathBuf>,
    /// What to keep of what is dropped: all, none, or sample:N (N pages and N lines a reason).
    #[arg(long, default_value_t, value_name = "all|sample:N|none")]
    ledger: LedgerMode,
    /// Drop and count records of archives that are not what their digests say.
    #[arg(long)]
    verify_digests: bool,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Reads WARC and WET archives (plain, gzip or zstd; recognised by content), applies a recipe, and writes
/// shards, `stats.json`, `manifest.json` and `run.json`.
///
/// Exit status: 0, all done; 1, done, but something could not be read (see the messages); 2,
/// refused or stopped.
#[derive(Debug, Args)]
pub(super) struct BuildArgs {
    /// Folder for the corpus; made if it is missing.
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    #[command(flatten)]
    what: CorpusArgs,
    /// File format of the shards; jsonl is gzip JSON lines as C4 is published.
    #[arg(long, value_enum, default_value_t = FormatArg::Arrow)]
    format: FormatArg,
    /// Text of a shard, in bytes (K, M, G: powers of 1024).
    #[arg(long, default_value = "256M", value_parser = parse_shard_size, value_name = "SIZE")]
    shard_size: u64,
    /// Replace the corpus that the output folder holds; other files in it are kept.
    #[arg(long)]
    overwrite: bool,
    /// Do not estimate beforehand what the build will take, nor check whether the disk is large enough.
    #[arg(long)]
    no_plan: bool,
    /// Go on without archives that cannot be fetched; they are listed, and exit status is 1.
    #[arg(long, help_heading = REMOTE)]
    allow_missing: bool,
}

fn parse_shard_size(text: &str) -> Result<u64, String> {
    match parse_size(text)? {
        size if size < LEAST_SHARD_BYTES => Err("must be at least 1K".into()),
        size => Ok(size),
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FormatArg {
    Arrow,
    Parquet,
    Jsonl,
}

impl CorpusArgs {
    /// The options of a build into `output`, checked as far as can be without reading archives.
    pub(super) fn options(self, output: &Path) -> anyhow::Result<BuildOptions> {
        let args = self;
        let (memory_bytes, threads) = args.memory.budget("a build", args.threads.number())?;
        let mut targets: Vec<TargetOptions> = Vec::new();
        let mut recipes = Vec::new();
        for name in &args.recipe {
            let (recipe, base) = Recipe::load(name)?;
            let mut recipe = recipe.with_languages(&args.languages)?;
            recipe.read.verify_digests |= args.verify_digests;
            recipes.push((recipe, base));
        }
        let all: Vec<&Recipe> = recipes.iter().map(|(recipe, _)| recipe).collect();
        args.lists.check(&all)?;
        for (recipe, base) in recipes {
            let (recipe, lists) = args.lists.load(recipe, &base)?;
            let output = match args.recipe.len() {
                1 => output.to_owned(),
                _ => output.join(&recipe.name),
            };
            anyhow::ensure!(
                targets.iter().all(|other| other.output != output),
                "two recipes are called {}; their corpora would be in one folder",
                recipe.name
            );
            targets.push(TargetOptions { lists, recipe, output });
        }
        let remote = args.remote.options();
        let places = args.remote.places(args.base.as_deref(), &remote.network)?;
        let inputs = input::resolve_in(&args.inputs, &places, &targets[0].recipe.read)?;
        Ok(BuildOptions {
            targets,
            inputs,
            format: Format::Arrow,
            shard_size_bytes: SHARD_SIZE_BYTES,
            threads,
            memory_bytes,
            work_dir: args.work_dir,
            overwrite: false,
            ledger: args.ledger,
            allow_missing: false,
            remote,
        })
    }
}

impl BuildArgs {
    fn options(self) -> anyhow::Result<BuildOptions> {
        Ok(BuildOptions {
            format: match self.format {
                FormatArg::Arrow => Format::Arrow,
                FormatArg::Parquet => Format::Parquet,
                FormatArg::Jsonl => Format::Jsonl,
            },
            shard_size_bytes: self.shard_size,
            overwrite: self.overwrite,
            allow_missing: self.allow_missing,
            ..self.what.options(&self.output)?
        })
    }
}

pub(super) fn run(args: BuildArgs) -> anyhow::Result<ExitCode> {
    let with_plan = !args.no_plan;
    let options = args.options()?;
    // A build that is resumed, or that is done, needs no estimate.
    let begun = |target: &TargetOptions| corpus::is_begun(&target.output, options.overwrite);
    stop::listen(|text| tell(text)).context("cannot listen to signals")?;
    if with_plan && !options.targets.iter().any(begun) {
        super::plan::head(&options)?;
    }
    let outcomes = match build(&options) {
        Err(Error::Missing { list, all, advice }) => {
            tell_missing(&list, all, advice.as_deref());
            return Ok(ExitCode::from(1));
        }
        outcomes => outcomes?,
    };
    let (mut whole, mut reported) = (true, None);
    for (target, outcome) in options.targets.iter().zip(&outcomes) {
        let manifest = match outcome {
            Outcome::AlreadyDone(manifest) => {
                corpus::clear_work(&target.output)?;
                let rows: u64 = manifest.shards.iter().map(|shard| shard.rows).sum();
                tell(format_args!(
                    "{} holds this corpus already: {} documents in {} shards. Nothing to do; --overwrite builds it \
                     again.",
                    target.output.display(),
                    thousands(rows),
                    manifest.shards.len()
                ));
                manifest
            }
            Outcome::Built(built) => {
                summarize(target, built);
                &built.manifest
            }
        };
        // The recipes read alike, so what they could not read is the same.
        if reported.replace(manifest.inputs.clone()).as_ref() != Some(&manifest.inputs) {
            whole &= report_damage(&manifest.inputs);
        }
    }
    Ok(ExitCode::from(u8::from(!whole)))
}

/// Archives that are listed at most.
const LISTED_MISSING: usize = 20;

fn tell_missing(list: &[String], all: usize, advice: Option<&str>) {
    tell(format_args!(
        "{} of {all} archives could not be fetched; all else of the reading is done:",
        list.len()
    ));
    for missing in list.iter().take(LISTED_MISSING) {
        tell(format_args!("  {missing}"));
    }
    if list.len() > LISTED_MISSING {
        tell(format_args!("  and {} more", list.len() - LISTED_MISSING));
    }
    tell("The same command tries these again; with --allow-missing it goes on without them.");
    if let Some(advice) = advice {
        tell(format_args!("What may help: {advice}."));
    }
}

/// Prints the summary of a build on standard error.
fn summarize(target: &TargetOptions, built: &Built) {
    let tally = &built.tally;
    let (pages, kept) = (tally.pages(), tally.pages_out.iter().sum());
    let bytes: u64 = built.manifest.inputs.iter().map(|input| input.bytes).sum();
    tell(format_args!(
        "{} pages in, {} kept ({}): {} train, {} validation, {} of text",
        thousands(pages),
        thousands(kept),
        percent(kept, pages),
        thousands(tally.pages_out[0]),
        thousands(tally.pages_out[1]),
        DecimalBytes(tally.text_bytes_out)
    ));
    let mut reasons: Vec<(u64, Reason)> = Reason::of(Scope::Page)
        .iter()
        .map(|r| (tally.dropped_pages(*r), *r))
        .collect();
    reasons.sort_by_key(|(n, reason)| (std::cmp::Reverse(*n), *reason));
    for (n, reason) in reasons.iter().take(5).filter(|(n, _)| *n > 0) {
        tell(format_args!(
            "{:>12}  {:<30} {}",
            thousands(*n),
            reason.code(),
            reason.doc()
        ));
    }
    let others: Vec<u64> = reasons.iter().skip(5).map(|(n, _)| *n).filter(|n| *n > 0).collect();
    if !others.is_empty() {
        tell(format_args!(
            "{:>12}  for {} other reasons (c4 stats {})",
            thousands(others.iter().sum()),
            others.len(),
            target.output.display()
        ));
    }
    tell(format_args!(
        "{:.2} s: {:.1} MB/s of archives, {:.1} MB/s of text read. Corpus in {}",
        built.wall_seconds,
        bytes as f64 / 1e6 / built.wall_seconds,
        tally.text_bytes_in as f64 / 1e6 / built.wall_seconds,
        target.output.display()
    ));
    for warning in &built.warnings {
        tell(format_args!("WARNING: {warning}"));
    }
}

/// Prints what could not be read; whether all could.
pub(super) fn report_damage(inputs: &[InputEntry]) -> bool {
    let bad: Vec<_> = inputs.iter().filter(|i| i.state != InputState::Read).collect();
    if bad.is_empty() {
        return true;
    }
    let places: u64 = bad.iter().map(|input| input.damaged_records.max(1)).sum();
    tell(format_args!(
        "Could not be read: {places} {} in {} of {} archives. All else was; exit status 1.",
        if places == 1 { "place" } else { "places" },
        bad.len(),
        inputs.len()
    ));
    for input in bad {
        for damage in &input.damage {
            tell(format_args!(
                "  {}, byte {}: {}",
                input.archive, damage.offset, damage.cause
            ));
        }
        let unlisted = input.damaged_records.saturating_sub(input.damage.len() as u64);
        if unlisted > 0 {
            tell(format_args!("  {}: and {unlisted} more places", input.archive));
        }
    }
    false
}
