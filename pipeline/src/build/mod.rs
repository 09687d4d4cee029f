//! A build, from archives to a corpus, in five passes.
//!
//! 1. **Clean** (`clean`): every archive is read and every page judged alone.
//! 2. **Newest page per URL** and 3. **duplicate lines or spans** (`dedup`): which copy is kept.
//! 4. **Finish** (`finish`): what is left of each page, language, bad words, split.
//! 5. **Shards** and ledger (`write`): rows in the order of their URL's hash.
//!
//! Every decision is a function of the set of pages alone, and every order is one of hashes or
//! names, so the corpus is the same to the byte on any number of threads, with any memory, and
//! however often the build was stopped: each pass is a list of units of work, each unit leaves a file
//! ([`work`](crate::work)), and a unit whose file exists is done.

pub(crate) mod clean;
pub(crate) mod dedup;
pub(crate) mod finish;
pub mod url_list;

mod clock;
mod cut;
mod target;
mod write;

use crate::build::clean::{Missing, Target};
use crate::error::Error;
use crate::input::{self, Input};
use crate::remote::RemoteOptions;
use crate::runtime::memory::Memory;
use crate::terminal::progress::{Progress, Unit};
use crate::work::segment::ArchiveEntry;
use c4_data::{Format, InputState, LedgerMode, Lists, Manifest, Recipe};
use c4_filters::{Tally, language_rule};
use std::path::PathBuf;
use target::{Prepared, TargetBuild};

/// One corpus that a build makes: a recipe, its lists, and where the corpus is written.
#[derive(Debug, Clone)]
pub struct TargetOptions {
    /// The recipe by which pages are kept.
    pub recipe: Recipe,
    /// The word, domain and URL lists that the recipe names.
    pub lists: Lists,
    /// The folder of the corpus.
    pub output: PathBuf,
}

/// The default size of a shard, in bytes of text.
pub(crate) const SHARD_SIZE_BYTES: u64 = 256 << 20;
/// The smallest size of a shard that may be asked for, in bytes of text.
pub const LEAST_SHARD_BYTES: u64 = 1 << 10;

/// What to build: archives, one target a recipe, and how.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// The corpora to make; all their recipes read archives alike ([`Recipe::read`]).
    pub targets: Vec<TargetOptions>,
    /// The archives, in order ([`crate::input::resolve`]).
    pub inputs: Vec<Input>,
    /// The file format of the shards.
    pub format: Format,
    /// The target size of a shard, in bytes of text.
    pub shard_size_bytes: u64,
    /// The number of threads; 0: one a core.
    pub threads: usize,
    /// The memory that the whole process may take, in bytes.
    pub memory_bytes: u64,
    /// The folder for intermediate files; `None`: below the output folder.
    pub work_dir: Option<PathBuf>,
    /// Whether a corpus or an unfinished build in the output folder is replaced.
    pub overwrite: bool,
    /// How much of the ledger is kept.
    pub ledger: LedgerMode,
    /// How archives on other machines are fetched.
    pub remote: RemoteOptions,
    /// Whether archives that cannot be fetched are left out; else they stop the build.
    pub allow_missing: bool,
}

impl BuildOptions {
    /// The number of threads that the build runs: as many as the options ask for, or one a core.
    pub fn threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        }
    }
}

/// What has become of a target: a corpus that was finished before, or is now.
#[derive(Debug)]
pub enum Outcome {
    /// The very corpus was finished before; its manifest.
    AlreadyDone(Box<Manifest>),
    /// The corpus was built.
    Built(Box<Built>),
}

/// A finished build of one target.
#[derive(Debug)]
pub struct Built {
    /// The content of `manifest.json`.
    pub manifest: Manifest,
    /// The counts of records, pages and lines by what became of them.
    pub tally: Tally,
    /// Sentences about what looks wrong, as `stats.json` has them.
    pub warnings: Vec<String>,
    /// The duration of the build in seconds by the clock.
    pub wall_seconds: f64,
}

impl Built {
    /// Whether an archive, or a place in one, could not be read.
    pub fn damaged(&self) -> bool {
        self.manifest.inputs.iter().any(|input| input.state != InputState::Read)
    }
}

/// Builds all targets, or resumes their builds; returns their outcomes in order. Each archive is read once for all of
/// them.
///
/// # Errors
/// The recipes read archives in different ways; an output folder holds something else or cannot be written; an archive
/// cannot be fetched; a stop was asked for. Damage in archives is no error: it is in the manifest and the tally.
pub fn build(options: &BuildOptions) -> Result<Vec<Outcome>, Error> {
    let read = |target: &TargetOptions| target.recipe.read.clone();
    if let Some(other) = options.targets.iter().find(|t| read(t) != read(&options.targets[0])) {
        return Err(c4_data::Error::Recipe {
            name: other.recipe.name.clone(),
            reason: "reads archives in another way than the recipe before it; build them one by one".to_owned(),
        }
        .into());
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads)
        .build()
        .map_err(|e| Error::Threads {
            threads: options.threads,
            reason: e.to_string(),
        })?;
    let memory = Memory::new(options.memory_bytes, pool.current_num_threads());
    let mut outcomes = Vec::new();
    let mut builds = Vec::new();
    for target in &options.targets {
        let build = TargetBuild::prepare(options, target, memory)?;
        outcomes.push(match build {
            Prepared::Done(manifest) => Some(Outcome::AlreadyDone(manifest)),
            Prepared::ToDo(build) => {
                builds.push(*build);
                None
            }
        });
    }
    pool.install(|| -> Result<Vec<Outcome>, Error> {
        clean(&mut builds, options, memory)?;
        let mut built = builds.into_iter().map(TargetBuild::run);
        let outcome = |outcome: Option<Outcome>| match outcome {
            Some(done) => Ok(done),
            None => match built.next() {
                Some(built) => Ok(Outcome::Built(Box::new(built?))),
                None => Err(Error::Stopped),
            },
        };
        outcomes.into_iter().map(outcome).collect()
    })
}

/// Pass 1 of all targets at once.
fn clean(builds: &mut [TargetBuild<'_>], options: &BuildOptions, memory: Memory) -> Result<(), Error> {
    let inputs = &options.inputs;
    for build in &*builds {
        build.forget_what_is_missing()?;
        build.report_resumed()?;
        for archive in build.archives_done() {
            let entry = ArchiveEntry::read(&build.output.work, archive)?;
            build.candidates.remember(&entry.drawn);
        }
        if let Some(step) = &build.target.recipe.language {
            let detector = step.detector;
            // The tables are there when the first page comes, and cost no waiting.
            rayon::spawn(move || language_rule::warm_up(detector));
        }
    }
    let missing = |archive: &usize| {
        let there = |build: &TargetBuild<'_>| ArchiveEntry::is_there(&build.output.work, *archive);
        !builds.iter().all(there)
    };
    let todo: Vec<usize> = (0..inputs.len()).filter(missing).collect();
    if !todo.is_empty() {
        let bytes = todo.iter().filter_map(|archive| inputs[*archive].bytes).sum();
        let unknown = todo.iter().filter(|archive| inputs[**archive].bytes.is_none());
        let unknown = unknown.count() as u64;
        let progress = Progress::with_unknown("reading", Unit::Bytes, bytes, unknown);
        let remote = input::remote(inputs).filter(|(archive, _)| todo.binary_search(archive).is_ok());
        let downloads = builds.first().map(|build| build.output.work.join("downloads"));
        let downloads = downloads.unwrap_or_default();
        let threads = rayon::current_num_threads();
        let fetcher = options.remote.fetch(remote.collect(), &downloads, threads)?;
        let targets: Vec<Target<'_>> = builds.iter().map(TargetBuild::as_target).collect();
        let memory = memory.shared_by(targets.len());
        let missing = clean::run(&targets, inputs, (&todo, &fetcher), memory, &progress);
        progress.finish();
        let missing = missing?;
        if !missing.is_empty() && !options.allow_missing {
            let name = |m: &Missing| format!("{}: {}", inputs[m.archive].location, m.reason);
            return Err(Error::Missing {
                list: missing.iter().map(name).collect(),
                all: inputs.len(),
                advice: missing.iter().find_map(|m| m.advice.clone()),
            });
        }
        for Missing { archive, reason, .. } in missing {
            tracing::error!("{}: {reason}", inputs[archive].location);
            for build in &*builds {
                let mut entry = ArchiveEntry {
                    build: build.output.key,
                    ..ArchiveEntry::default()
                };
                entry.health.failed = Some(reason.clone());
                entry.health.missing = true;
                entry.write(&build.output.work, archive)?;
            }
        }
    }
    builds.iter_mut().for_each(|build| build.clock.lap("clean"));
    Ok(())
}
