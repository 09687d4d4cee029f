//! A build from inputs to corpus.
//!
//! 1. **Clean** ([`clean_pass`]): every archive is read and every page judged alone.
//! 2. **Newest page per URL** and 3. **duplicate lines or spans** ([`election`](crate::build::dedup)):
//!    which copy stays.
//! 4. **Finish** ([`finish_pass`](crate::build::finish)): what is left of each page, language, bad words, split.
//! 5. **Shards** and ledger ([`rows`](crate::work::buckets)): rows in the order of their URL's hash.
//!
//! Every decision is a function of the set of pages alone, and every order is one of hashes or
//! names, so the corpus is the same to the byte on any number of threads, with any memory, and
//! however often the build was stopped: each pass is a list of units of work, each unit leaves a file
//! ([`work`](crate::work)), and a unit whose file is there is done.

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
use target::{Build, Prepared};

/// One corpus of a build.
#[derive(Debug, Clone)]
pub struct TargetOptions {
    /// The recipe.
    pub recipe: Recipe,
    /// Its lists.
    pub lists: Lists,
    /// The output folder.
    pub output: PathBuf,
}

/// Text of a shard, in bytes, if nothing else is said.
pub(crate) const SHARD_SIZE_BYTES: u64 = 256 << 20;
/// A shard has some documents at least.
pub const LEAST_SHARD_BYTES: u64 = 1 << 10;

/// What to build.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// What to make of the archives; all recipes read them alike.
    pub targets: Vec<TargetOptions>,
    /// The archives, in order ([`crate::input::resolve`]).
    pub inputs: Vec<Input>,
    /// The shards' format.
    pub format: Format,
    /// The shards' target size, in bytes of text.
    pub shard_size_bytes: u64,
    /// Threads; 0: one a core.
    pub threads: usize,
    /// Memory of the whole process, in bytes.
    pub memory_bytes: u64,
    /// Where intermediate files go; `None`: below the output folder.
    pub work_dir: Option<PathBuf>,
    /// Replace what is in the output folder.
    pub overwrite: bool,
    /// How much of the ledger is kept.
    pub ledger: LedgerMode,
    /// How archives are fetched that are elsewhere.
    pub remote: RemoteOptions,
    /// Go on without archives that cannot be fetched.
    pub allow_missing: bool,
}

impl BuildOptions {
    /// Threads: as many as are asked for, or one a core.
    pub fn threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        }
    }
}

/// What came of a target.
#[derive(Debug)]
pub enum Outcome {
    /// The corpus was there already.
    AlreadyDone(Box<Manifest>),
    /// It was built.
    Built(Box<Built>),
}

/// A finished build.
#[derive(Debug)]
pub struct Built {
    /// The content of `manifest.json`.
    pub manifest: Manifest,
    /// What became of everything.
    pub tally: Tally,
    /// What looks wrong.
    pub warnings: Vec<String>,
    /// Seconds by the clock.
    pub wall_seconds: f64,
}

impl Built {
    /// Whether something could not be read.
    pub fn damaged(&self) -> bool {
        self.manifest.inputs.iter().any(|input| input.state != InputState::Read)
    }
}

/// Builds all targets, or goes on with them; gives their outcomes in order.
///
/// # Errors
/// See [`Error`]. Damage in archives is none: it is in the manifest and the tally.
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
        let build = Build::prepare(options, target, memory)?;
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
        let mut built = builds.into_iter().map(Build::run);
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
fn clean(builds: &mut [Build<'_>], options: &BuildOptions, memory: Memory) -> Result<(), Error> {
    let inputs = &options.inputs;
    for build in &*builds {
        build.forget_what_is_gone()?;
        build.tell_resumed()?;
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
        let there = |build: &Build<'_>| ArchiveEntry::is_there(&build.output.work, *archive);
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
        let targets: Vec<Target<'_>> = builds.iter().map(Build::as_target).collect();
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
