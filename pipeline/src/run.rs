//! A build from inputs to corpus.
//!
//! 1. **Clean** ([`clean_pass`]): every archive is read and every page judged alone.
//! 2. **Newest page per URL** ([`url_pass`]).
//! 3. **Duplicate lines or spans** ([`keys`](crate::keys)): among the pages still in.
//! 4. **Finish** ([`finish_pass`]): what is left of each page, language, bad words, split.
//! 5. **Shards** ([`rows`](crate::rows)): rows in the order of their URL's hash.
//!
//! Every decision is a function of the set of pages alone, and every order is one of hashes or
//! names, so the corpus is the same to the byte on any number of threads.

use crate::clean_pass::{self, CleanedArchive};
use crate::error::Error;
use crate::finish_pass::{self, FinishInput};
use crate::input::{self, Input};
use crate::ledger::{Candidates, Ledger};
use crate::output::{self, Found, Identity, Output};
use crate::progress::{Progress, Unit};
use crate::remote::RemoteOptions;
use crate::rows::{Buckets, bucket_count};
use crate::spool::SpooledRow;
use crate::{url_pass, usage};
use c4_data::schema::SCHEMA_VERSION;
use c4_data::shard::{self, EncodedBatch};
use c4_data::{
    Document, Format, InputEntry, InputState, LedgerMode, Manifest, Page, Provenance, Recipe,
    ShardEntry, ShardMeta, ShardWriter, Split, Versions, WordLists,
};
use c4_filters::rules::bad_words::BadWords;
use c4_filters::{Tally, counters, guard, language};
use rayon::prelude::*;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// What to build.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// The recipe.
    pub recipe: Recipe,
    /// Its word lists.
    pub lists: WordLists,
    /// The archives, in order ([`crate::input::resolve`]).
    pub inputs: Vec<Input>,
    /// The output folder.
    pub output: PathBuf,
    /// The shards' format.
    pub format: Format,
    /// The shards' target size, in bytes of text.
    pub shard_size_bytes: u64,
    /// Threads; 0: one a core.
    pub threads: usize,
    /// Where spools go; `None`: below the output folder.
    pub work_dir: Option<PathBuf>,
    /// Replace what is in the output folder.
    pub overwrite: bool,
    /// How much of the ledger is kept.
    pub ledger: LedgerMode,
    /// How archives are fetched that are elsewhere.
    pub remote: RemoteOptions,
}

/// What came of it.
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
        self.manifest
            .inputs
            .iter()
            .any(|input| input.state != InputState::Read)
    }
}

/// Builds a corpus.
///
/// # Errors
/// See [`Error`]. Damage in archives is none: it is in the manifest and the tally.
pub fn build(options: &BuildOptions) -> Result<Outcome, Error> {
    let recipe_hash = options.recipe.hash(&options.lists);
    let identity = Identity {
        recipe: options.recipe.name.clone(),
        recipe_hash: recipe_hash.clone(),
        format: options.format,
        shard_size_bytes: options.shard_size_bytes,
        ledger: options.ledger,
        inputs: options
            .inputs
            .iter()
            .map(|i| (i.label.to_string(), i.bytes.unwrap_or(0)))
            .collect(),
    };
    guard::check(&options.recipe).map_err(|reason| c4_data::Error::Recipe {
        name: options.recipe.name.clone(),
        reason,
    })?;
    let bad_words = match &options.recipe.bad_words {
        None => None,
        Some(step) => {
            let compiled = BadWords::new(step, &options.lists);
            Some(compiled.map_err(|e| Error::WordLists {
                recipe: options.recipe.name.clone(),
                reason: e.to_string(),
            })?)
        }
    };
    let old = match output::inspect(&options.output, &identity, options.overwrite)? {
        Found::Finished(manifest) => return Ok(Outcome::AlreadyDone(manifest)),
        Found::Free(old) => old,
    };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads)
        .build()
        .map_err(|e| Error::Threads {
            threads: options.threads,
            reason: e.to_string(),
        })?;
    let clock = Clock::start();
    let output = Output::prepare(&options.output, options.work_dir.as_deref(), &identity, old)?;
    let build = Build {
        options,
        output,
        meta: ShardMeta {
            recipe: options.recipe.name.clone(),
            recipe_hash,
        },
        clock,
    };
    let built = pool.install(|| build.run(bad_words.as_ref()))?;
    Ok(Outcome::Built(Box::new(built)))
}

/// Seconds by pass.
struct Clock {
    started: Instant,
    started_unix: u64,
}

impl Clock {
    fn start() -> Clock {
        Clock {
            started: Instant::now(),
            started_unix: unix_seconds(),
        }
    }

    fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}

/// JSON for people, with a line end.
fn pretty(value: &Value) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs())
}

struct Build<'a> {
    options: &'a BuildOptions,
    output: Output,
    meta: ShardMeta,
    clock: Clock,
}

impl Build<'_> {
    fn run(&self, bad_words: Option<&BadWords>) -> Result<Built, Error> {
        let BuildOptions { recipe, inputs, .. } = self.options;
        if let Some(detector) = recipe.language.as_ref().map(|step| step.detector) {
            // The tables are there when the first page comes, and cost no waiting.
            rayon::spawn(move || language::warm_up(detector));
        }
        let mut passes = Vec::new();
        let mut lap = |name: &str| passes.push((name.to_owned(), self.clock.seconds()));

        let bytes = inputs.iter().filter_map(|input| input.bytes).sum();
        let progress = Progress::new("reading", Unit::Bytes, bytes);
        let candidates = Candidates::new(self.options.ledger);
        let work = &self.output.work;
        let threads = rayon::current_num_threads();
        let fetcher = self.options.remote.fetch(
            input::remote(inputs).collect(),
            &work.join("downloads"),
            threads,
        )?;
        let mut cleaned = clean_pass::run(recipe, inputs, &fetcher, work, &candidates, &progress)?;
        drop(fetcher);
        progress.finish();
        lap("clean");

        let archives = &cleaned.archives;
        let url_losers = url_pass::run(archives);
        lap("newest page per URL");

        let duplicates = cleaned.keys.losers(archives.len(), |key| {
            let (archive, page) = (key.archive as usize, key.page as usize);
            let lost = url_losers.lost(archive, page).is_some();
            (!lost).then(|| archives[archive].pages[page].owner)
        });
        lap("duplicates");

        let buckets = bucket_count(cleaned.text_bytes, self.options.shard_size_bytes);
        // A thousandth of the pages is for validation.
        let buckets = [
            (Split::Train, buckets),
            (Split::Validation, buckets.div_ceil(64)),
        ]
        .map(|(split, count)| Buckets::new(work, split.name(), count));
        let text_bytes_in = cleaned.statistics.tally.text_bytes_in;
        let ledger = Ledger::new(self.options.ledger, work, text_bytes_in);
        let passed = archives
            .iter()
            .flat_map(|a| &a.pages)
            .filter(|p| p.dropped.is_none());
        let progress = Progress::new("judging", Unit::Items, passed.count() as u64);
        let finished = finish_pass::run(FinishInput {
            recipe,
            bad_words,
            inputs,
            archives,
            candidates: &candidates,
            url_losers: &url_losers,
            duplicates: &duplicates,
            work,
            buckets: &buckets,
            ledger: &ledger,
            progress: &progress,
        })?;
        progress.finish();
        lap("finish");
        let mut warnings: Vec<String> = empty_inputs(inputs, archives);
        let mut statistics = cleaned.statistics;
        statistics += finished.statistics;
        let tally = &statistics.tally;
        tally.check().map_err(Error::Tally)?;
        let entries: Vec<InputEntry> = inputs
            .iter()
            .zip(&mut cleaned.archives)
            .map(|(input, archive)| archive.health.entry(input))
            .collect();
        warnings.extend(guard::warnings(tally, recipe));

        let shards = self.write_shards(&buckets, finished.split_bytes)?;
        lap("shards");
        let ledger = ledger.write(&self.output.ledger)?;
        lap("ledger");

        let mut manifest = Manifest {
            versions: Versions {
                program: env!("CARGO_PKG_VERSION").to_owned(),
                schema: SCHEMA_VERSION,
            },
            recipe_hash: self.meta.recipe_hash.clone(),
            recipe: recipe.clone(),
            format: self.options.format,
            shard_size_bytes: self.options.shard_size_bytes,
            inputs: entries,
            shards,
            ledger,
            stats_sha256: String::new(),
        };
        let mut stats = json!({
            "recipe": recipe.name,
            "recipe_hash": manifest.recipe_hash,
            "warnings": warnings,
            "counters": counters::counters(tally, recipe),
        });
        let rest = statistics.to_json(recipe, &finished.sentences);
        for (key, value) in rest.as_object().into_iter().flatten() {
            stats[key] = value.clone();
        }
        stats["duplicates"] = json!(finished.repeated);
        let stats = pretty(&stats);
        manifest.stats_sha256 = c4_data::fs::sha256_hex(&stats);
        self.output.replace(&manifest)?;
        let wall_seconds = self.clock.seconds();
        self.write_reports(&manifest, &stats, &passes, wall_seconds)?;
        self.output.clear()?;
        Ok(Built {
            manifest,
            tally: statistics.tally,
            warnings,
            wall_seconds,
        })
    }

    fn write_shards(
        &self,
        buckets: &[Buckets<SpooledRow>; 2],
        bytes: [u64; 2],
    ) -> Result<Vec<ShardEntry>, Error> {
        let mut list = Vec::new();
        for split in Split::ALL {
            let size = self.options.shard_size_bytes.max(1);
            let count = bytes[split as usize].div_ceil(size).max(1) as usize;
            list.extend((0..count).map(|i| (split, i, count)));
        }
        let progress = Progress::new("writing", Unit::Items, list.len() as u64);
        let shards = list
            .into_par_iter()
            .map(|(split, i, count)| {
                let shard = self.write_shard(&buckets[split as usize], split, i, count);
                progress.add(1);
                shard
            })
            .collect();
        progress.finish();
        shards
    }

    fn write_shard(
        &self,
        buckets: &Buckets<SpooledRow>,
        split: Split,
        index: usize,
        count: usize,
    ) -> Result<ShardEntry, Error> {
        let format = self.options.format;
        let target = self
            .output
            .whole
            .join(format.file_name(split, index, count));
        let mut writer =
            ShardWriter::create(&target, &self.output.partial, format, split, &self.meta)?;
        let mut waiting = Vec::new();
        let mut write = |waiting: &mut Vec<Document>, more_may_come| -> Result<(), Error> {
            let next = || shard::next_batch(waiting, more_may_come);
            let batches: Vec<Vec<Document>> = std::iter::from_fn(next).collect();
            // Compression is most of the work; a shard's batches share the cores.
            let encoded: Vec<EncodedBatch> = batches
                .into_par_iter()
                .map(|batch| shard::encode(format, &self.meta, &batch))
                .collect::<Result<_, _>>()?;
            encoded
                .into_iter()
                .try_for_each(|batch| Ok(writer.append(batch)?))
        };
        buckets.read(index, count, |rows| {
            waiting.extend(rows.into_iter().map(|row| self.document(row)));
            write(&mut waiting, true)
        })?;
        write(&mut waiting, false)?;
        Ok(writer.finish()?)
    }

    fn document(&self, row: SpooledRow) -> Document {
        Document {
            page: Page {
                url: row.url,
                text: row.text,
                timestamp: row.timestamp,
                content_type: row.content_type,
                content_length: row.content_length,
                provenance: Provenance {
                    archive: self.options.inputs[row.archive as usize].label.clone(),
                    record_offset: row.record_offset,
                },
            },
            language: row.language,
            language_score: row.language_score,
        }
    }

    /// `stats.json` and `run.json`, and last of all the manifest.
    fn write_reports(
        &self,
        manifest: &Manifest,
        stats: &[u8],
        passes: &[(String, f64)],
        wall_seconds: f64,
    ) -> Result<(), Error> {
        let options = self.options;
        let mut last = 0.0;
        let passes: serde_json::Map<_, _> = passes
            .iter()
            .map(|(name, at)| (name.clone(), json!(at - std::mem::replace(&mut last, *at))))
            .collect();
        let run = json!({
            "output": options.output.to_string_lossy(),
            "inputs": options.inputs.iter().map(|i| i.location.to_string()).collect::<Vec<_>>(),
            "started_unix_seconds": self.clock.started_unix,
            "finished_unix_seconds": unix_seconds(),
            "wall_seconds": wall_seconds,
            "wall_seconds_by_pass": passes,
            "cpu_seconds": usage::cpu_seconds(),
            "peak_memory_bytes": usage::peak_memory_bytes(),
            "threads": rayon::current_num_threads(),
        });
        for (file, bytes) in [
            (output::STATS_FILE, stats),
            (output::RUN_FILE, &pretty(&run)),
        ] {
            c4_data::fs::write_atomic(&self.output.dir.join(file), bytes)?;
        }
        Ok(manifest.write(&self.output.dir)?)
    }
}

/// Inputs that gave no page.
fn empty_inputs(inputs: &[Input], archives: &[CleanedArchive]) -> Vec<String> {
    let pairs = inputs.iter().zip(archives);
    let empty =
        pairs.filter(|(_, archive)| archive.pages.is_empty() && archive.health.failed.is_none());
    empty
        .map(|(input, _)| format!("{}: gave no page", input.label))
        .collect()
}
