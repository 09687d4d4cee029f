//! A build from inputs to corpus.
//!
//! 1. **Clean** ([`clean_pass`]): every archive is read and every page judged alone.
//! 2. **Newest page per URL** and 3. **duplicate lines or spans** ([`election`](crate::election)):
//!    which copy stays.
//! 4. **Finish** ([`finish_pass`]): what is left of each page, language, bad words, split.
//! 5. **Shards** and ledger ([`rows`](crate::rows)): rows in the order of their URL's hash.
//!
//! Every decision is a function of the set of pages alone, and every order is one of hashes or
//! names, so the corpus is the same to the byte on any number of threads, with any memory, and
//! however often the build was stopped: each pass is a list of units of work, each unit leaves a file
//! ([`work`](crate::work)), and a unit whose file is there is done.
//!
//! Above 500 lines: the passes and what they write in the end, in the order in which they run.

use crate::claim::{TextClaim, UrlClaim};
use crate::clean_pass::{self, Missing, Target};
use crate::election::{Election, Older, part_count};
use crate::error::Error;
use crate::finish_pass::{self, FinishInput};
use crate::group::{Groups, Layout, ROWS, Summary};
use crate::input::{self, Input};
use crate::ledger::{Candidates, Ledger};
use crate::memory::Memory;
use crate::output::{self, Found, Identity, Output};
use crate::parallel;
use crate::progress::{Progress, Unit};
use crate::remote::RemoteOptions;
use crate::rows::{Buckets, bucket_count, bucket_count_of_sets};
use crate::segment::{ArchiveEntry, Segments, TEXTS, URLS};
use crate::sets::{ROW_BYTES, SetSizes, Sets};
use crate::spool::SpooledRow;
use crate::{admission, stop, usage};
use c4_data::ledger::Table;
use c4_data::schema::SCHEMA_VERSION;
use c4_data::shard::{self, EncodedBatch};
use c4_data::{
    Document, Format, InputEntry, InputState, LedgerEntry, LedgerFile, LedgerMode, Lists, Manifest,
    Page, Provenance, Recipe, ShardEntry, ShardMeta, ShardSet, ShardWriter, Versions, fs as c4_fs,
};
use c4_filters::rules::bad_words::BadWords;
use c4_filters::{Admission, Statistics, Tally, counters, guard, language};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Memory of a domain and its counts.
const DOMAIN_BYTES: u64 = 150;

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
        self.manifest
            .inputs
            .iter()
            .any(|input| input.state != InputState::Read)
    }
}

/// Builds all targets, or goes on with them; gives their outcomes in order.
///
/// # Errors
/// See [`Error`]. Damage in archives is none: it is in the manifest and the tally.
pub fn build(options: &BuildOptions) -> Result<Vec<Outcome>, Error> {
    let read = |target: &TargetOptions| target.recipe.read.clone();
    if let Some(other) = options
        .targets
        .iter()
        .find(|t| read(t) != read(&options.targets[0]))
    {
        return Err(c4_data::Error::Recipe {
            name: other.recipe.name.clone(),
            reason:
                "reads archives in another way than the recipe before it; build them one by one"
                    .to_owned(),
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
        build.tell_resumed()?;
        for archive in build.archives_done() {
            let entry = ArchiveEntry::read(&build.output.work, archive)?;
            build.candidates.remember(&entry.drawn);
        }
        if let Some(step) = &build.target.recipe.language {
            let detector = step.detector;
            // The tables are there when the first page comes, and cost no waiting.
            rayon::spawn(move || language::warm_up(detector));
        }
    }
    let missing = |archive: &usize| {
        let there = |build: &Build<'_>| ArchiveEntry::is_there(&build.output.work, *archive);
        !builds.iter().all(there)
    };
    let todo: Vec<usize> = (0..inputs.len()).filter(missing).collect();
    if !todo.is_empty() {
        let bytes = todo
            .iter()
            .filter_map(|archive| inputs[*archive].bytes)
            .sum();
        let progress = Progress::new("reading", Unit::Bytes, bytes);
        let remote =
            input::remote(inputs).filter(|(archive, _)| todo.binary_search(archive).is_ok());
        let downloads = builds
            .first()
            .map(|build| build.output.work.join("downloads"));
        let downloads = downloads.unwrap_or_default();
        let threads = rayon::current_num_threads();
        let fetcher = options
            .remote
            .fetch(remote.collect(), &downloads, threads)?;
        let targets: Vec<Target<'_>> = builds.iter().map(Build::as_target).collect();
        let memory = memory.shared_by(targets.len());
        let missing = clean_pass::run(&targets, inputs, (&todo, &fetcher), memory, &progress);
        progress.finish();
        let missing = missing?;
        if !missing.is_empty() && !options.allow_missing {
            let name = |m: &Missing| format!("{}: {}", inputs[m.archive].location, m.reason);
            return Err(Error::Missing {
                list: missing.iter().map(name).collect(),
                all: inputs.len(),
            });
        }
        for Missing { archive, reason } in missing {
            tracing::error!("{}: {reason}", inputs[archive].location);
            for build in &*builds {
                let mut entry = ArchiveEntry::default();
                entry.health.failed = Some(reason.clone());
                entry.write(&build.output.work, archive)?;
            }
        }
    }
    builds.iter_mut().for_each(|build| build.clock.lap("clean"));
    Ok(())
}

/// Seconds by pass.
struct Clock {
    started: Instant,
    started_unix: u64,
    laps: Vec<(&'static str, f64)>,
}

impl Clock {
    fn start() -> Clock {
        Clock {
            started: Instant::now(),
            started_unix: unix_seconds(),
            laps: Vec::new(),
        }
    }

    fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    fn lap(&mut self, name: &'static str) {
        let before: f64 = self.laps.iter().map(|(_, seconds)| seconds).sum();
        self.laps.push((name, self.seconds() - before));
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

/// How the work after pass 1 is cut; kept, so that a build that goes on cuts it in the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Cut {
    /// Memory of a part of pass 2 or 3.
    election_bytes: u64,
    /// Parts of pass 2.
    url_parts: usize,
    /// Parts of pass 3; 0: the recipe has none.
    text_parts: usize,
    /// Segments.
    segments: usize,
    layout: Layout,
}

impl Cut {
    fn path(work: &Path) -> PathBuf {
        work.join("cut.json")
    }

    fn read(work: &Path) -> Option<Cut> {
        let bytes = std::fs::read(Self::path(work)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }
}

/// What pass 1 has left of all archives.
struct Cleaned {
    segments: Segments,
    entries: Vec<InputEntry>,
    statistics: Statistics,
    text_bytes: u64,
    passed: u64,
    warnings: Vec<String>,
}

enum Prepared<'a> {
    Done(Box<Manifest>),
    ToDo(Box<Build<'a>>),
}

struct Build<'a> {
    options: &'a BuildOptions,
    target: &'a TargetOptions,
    admission: Admission,
    bad_words: Option<BadWords>,
    sets: Sets,
    memory: Memory,
    candidates: Candidates,
    ledger: Ledger,
    output: Output,
    meta: ShardMeta,
    clock: Clock,
}

impl<'a> Build<'a> {
    /// Checks everything and makes the folders.
    fn prepare(
        options: &'a BuildOptions,
        target: &'a TargetOptions,
        memory: Memory,
    ) -> Result<Prepared<'a>, Error> {
        let recipe = &target.recipe;
        let recipe_hash = recipe.hash(&target.lists);
        let identity = Identity {
            recipe: recipe.name.clone(),
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
        guard::check(recipe).map_err(|reason| c4_data::Error::Recipe {
            name: recipe.name.clone(),
            reason,
        })?;
        let bad_words = match &recipe.bad_words {
            None => None,
            Some(step) => {
                let compiled = BadWords::new(step, &target.lists);
                Some(compiled.map_err(|e| Error::WordLists {
                    recipe: recipe.name.clone(),
                    reason: e.to_string(),
                })?)
            }
        };
        let old = match output::inspect(&target.output, &identity, options.overwrite)? {
            Found::Finished(manifest) => return Ok(Prepared::Done(manifest)),
            Found::Free(old) => old,
        };
        let clock = Clock::start();
        let work = options.work_dir.as_deref();
        let output = Output::prepare(&target.output, work, &identity, old)?;
        Ok(Prepared::ToDo(Box::new(Build {
            options,
            target,
            admission: admission::load(recipe, &target.lists)?,
            bad_words,
            sets: Sets::of(recipe),
            memory,
            candidates: Candidates::new(options.ledger),
            ledger: Ledger::new(options.ledger),
            output,
            meta: ShardMeta {
                recipe: recipe.name.clone(),
                recipe_hash,
            },
            clock,
        })))
    }

    fn as_target(&self) -> Target<'_> {
        Target {
            recipe: &self.target.recipe,
            admission: &self.admission,
            work: &self.output.work,
            candidates: &self.candidates,
        }
    }

    fn archives_done(&self) -> impl Iterator<Item = usize> {
        let there = |archive: &usize| ArchiveEntry::is_there(&self.output.work, *archive);
        (0..self.options.inputs.len()).filter(there)
    }

    /// Says what of an earlier try is used.
    fn tell_resumed(&self) -> Result<(), Error> {
        let work = &self.output.work;
        let archives = self.archives_done().count();
        if archives == 0 {
            return Ok(());
        }
        let all = self.options.inputs.len();
        let mut text = format!("{archives} of {all} archives read");
        let (mut done, mut units) = (archives, all);
        if let Some(cut) = Cut::read(work) {
            let ranges = cut.url_parts + cut.text_parts;
            let files = std::fs::read_dir(work).into_iter().flatten().flatten();
            let names = files.map(|file| file.file_name().to_string_lossy().into_owned());
            let ours = |name: &String| ["urls-", "texts-"].iter().any(|n| name.starts_with(n));
            let whole = names.filter(|name| ours(name) && !name.ends_with("partial"));
            let ranges_done = whole.count().min(ranges);
            let judged = Groups::of(work).summary()?.segments.len();
            let shards = self.output.entries_done()?;
            text += &format!(
                ", {ranges_done} of {ranges} ranges of keys compared, {judged} of {} segments \
                 judged, {shards} files written",
                cut.segments
            );
            done += ranges_done + judged + shards;
            units += ranges + cut.segments + shards;
        }
        let name = &self.target.recipe.name;
        tracing::info!("{name}: resumed: {done} of {units} units ({text})");
        Ok(())
    }

    fn run(mut self) -> Result<Built, Error> {
        let recipe = &self.target.recipe;
        let cleaned = self.cleaned()?;
        let work = self.output.work.clone();
        let cut = self.cut(&cleaned)?;
        let election = |name, table, parts| Election {
            work: &work,
            name,
            segments: &cleaned.segments,
            table,
            parts,
            memory: cut.election_bytes,
        };
        let urls = election("urls", URLS, cut.url_parts);
        urls.run::<UrlClaim>(|_, _| true)?;
        self.clock.lap("newest page per URL");

        let texts = recipe.dedup.is_some();
        let texts = texts.then(|| election("texts", TEXTS, cut.text_parts));
        let mut repeated = Vec::new();
        if let Some(texts) = &texts {
            if texts.done() < texts.parts {
                let older = Older::read(&urls)?;
                texts.run::<TextClaim>(|segment, page| !older.holds(segment, page))?;
            }
            repeated = texts.repeated()?;
        }
        self.clock.lap("duplicates");

        let progress = Progress::new("judging", Unit::Items, cleaned.passed);
        let finished = finish_pass::run(FinishInput {
            recipe,
            bad_words: self.bad_words.as_ref(),
            inputs: &self.options.inputs,
            segments: &cleaned.segments,
            candidates: &self.candidates,
            urls: &urls,
            texts: texts.as_ref(),
            repeated: &repeated,
            work: &work,
            sets: &self.sets,
            layout: cut.layout,
            group_bytes: self.memory.group(cleaned.text_bytes),
            ledger: &self.ledger,
            progress: &progress,
        });
        progress.finish();
        let (groups, summary) = finished?;
        self.clock.lap("finish");
        self.write(cleaned, &cut, &groups, summary)
    }

    /// Reads what pass 1 has left.
    fn cleaned(&self) -> Result<Cleaned, Error> {
        let inputs = &self.options.inputs;
        let work = &self.output.work;
        let mut statistics = Statistics::default();
        let (mut text_bytes, mut passed) = (0, 0);
        let (mut entries, mut segments, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
        for (archive, input) in inputs.iter().enumerate() {
            let entry = ArchiveEntry::read(work, archive)?;
            if entry.segments.is_empty() && entry.health.failed.is_none() {
                warnings.push(format!("{}: gave no page", input.label));
            }
            statistics += entry.statistics;
            text_bytes += entry.text_bytes;
            passed += entry.passed;
            entries.push(entry.health.entry(input));
            segments.push(entry.segments);
        }
        Ok(Cleaned {
            segments: Segments::new(work, segments.iter().map(Vec::as_slice)),
            entries,
            statistics,
            text_bytes,
            passed,
            warnings,
        })
    }

    /// How the rest of the work is cut.
    fn cut(&self, cleaned: &Cleaned) -> Result<Cut, Error> {
        let work = &self.output.work;
        let memory = self.memory;
        let old = Cut::read(work);
        // What is judged cannot be cut anew; and need not be, if it fits.
        let fits = |cut: &Cut| cut.election_bytes <= memory.election();
        if let Some(old) = old
            && (fits(&old) || !Groups::of(work).is_empty())
        {
            return Ok(old);
        }
        let segments = cleaned.segments.all();
        let claims = |table| segments.iter().map(|s| s.entry.claims[table]).sum::<u64>();
        let election_bytes = memory.election();
        let threads = rayon::current_num_threads();
        let tally = &cleaned.statistics.tally;
        let (pages, lines) = (tally.pages(), tally.lines.lines);
        // Rows in memory: their texts, and what the strings and numbers beside them take.
        let buckets = |bytes| bucket_count(bytes, u64::MAX, memory.bucket());
        let all = self.options.ledger == LedgerMode::All;
        let of_text = |rows: u64| {
            if all {
                tally.text_bytes_in + rows * 600
            } else {
                1
            }
        };
        let losers = claims(URLS) + claims(TEXTS);
        let (sets, shard_bytes) = (self.sets.count(), self.options.shard_size_bytes);
        let rows = cleaned.text_bytes + cleaned.passed * ROW_BYTES;
        let cut = Cut {
            election_bytes,
            url_parts: part_count::<UrlClaim>(claims(URLS), election_bytes, threads),
            text_parts: match self.target.recipe.dedup {
                Some(_) => part_count::<TextClaim>(claims(TEXTS), election_bytes, threads),
                None => 0,
            },
            segments: segments.len(),
            layout: Layout {
                sets,
                rows: bucket_count_of_sets(sets, rows, shard_bytes, memory.bucket()),
                ledger: [
                    buckets(of_text(pages)),
                    buckets(of_text(lines)),
                    buckets(losers * 300),
                    buckets(pages * 160),
                ],
                domains: buckets(pages * DOMAIN_BYTES),
            },
        };
        let json = serde_json::to_vec(&cut).unwrap_or_default();
        c4_fs::write_atomic(&Cut::path(work), &json)?;
        Ok(cut)
    }

    /// Writes everything that stays.
    fn write(
        mut self,
        cleaned: Cleaned,
        cut: &Cut,
        groups: &Groups,
        summary: Summary,
    ) -> Result<Built, Error> {
        let recipe = &self.target.recipe;
        let mut warnings = cleaned.warnings;
        let mut statistics = cleaned.statistics;
        statistics += summary.statistics;
        statistics.tally.listed_urls = self.admission.listed_urls();
        let tally = &statistics.tally;
        tally.check().map_err(Error::Tally)?;
        warnings.extend(guard::warnings(tally, recipe));

        let shards = self.write_shards(groups, cut.layout, &summary.sets)?;
        self.clock.lap("shards");
        let ledger = self.write_ledger(groups, cut.layout)?;
        self.clock.lap("ledger");

        let mut manifest = Manifest {
            versions: Versions {
                program: env!("CARGO_PKG_VERSION").to_owned(),
                schema: SCHEMA_VERSION,
            },
            recipe_hash: self.meta.recipe_hash.clone(),
            recipe: recipe.clone(),
            format: self.options.format,
            shard_size_bytes: self.options.shard_size_bytes,
            inputs: cleaned.entries,
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
        let domains = groups.domains(cut.layout)?;
        let sentences: Vec<u64> = summary.sentences.iter().map(|(_, n)| *n).collect();
        let rest = statistics.to_json(recipe, &domains, &sentences);
        for (key, value) in rest.as_object().into_iter().flatten() {
            stats[key] = value.clone();
        }
        let repeated = summary.repeated.iter().map(|(_, repeated)| {
            json!({ "copies": repeated.copies, "text": repeated.text, "url": repeated.url })
        });
        stats["duplicates"] = repeated.collect();
        let stats = pretty(&stats);
        manifest.stats_sha256 = c4_fs::sha256_hex(&stats);
        if stop::asked() {
            return Err(Error::Stopped);
        }
        self.output.replace(&manifest)?;
        let wall_seconds = self.clock.seconds();
        self.write_reports(&manifest, &stats, wall_seconds)?;
        self.output.clear()?;
        Ok(Built {
            manifest,
            tally: statistics.tally,
            warnings,
            wall_seconds,
        })
    }

    fn write_ledger(&self, groups: &Groups, layout: Layout) -> Result<LedgerEntry, Error> {
        let mut entry = LedgerEntry {
            mode: self.options.ledger,
            seed: crate::sample::SEED,
            files: Vec::new(),
        };
        if !self.ledger.is_kept() {
            return Ok(entry);
        }
        let table = |table: Table| -> Result<Vec<LedgerFile>, Error> {
            let folder = &self.output.ledger;
            let name = table.file_name(0);
            if let Some(done) = self.output.done(&name)? {
                return Ok(done);
            }
            if stop::asked() {
                return Err(Error::Stopped);
            }
            let files = self.ledger.write(table, groups, layout, folder)?;
            self.output.set_done(&name, &files)?;
            Ok(files)
        };
        let tables = parallel::each(Table::ALL.len(), |i| table(Table::ALL[i]))?;
        entry.files = tables.into_iter().flatten().collect();
        Ok(entry)
    }

    fn write_shards(
        &self,
        groups: &Groups,
        layout: Layout,
        sizes: &SetSizes,
    ) -> Result<Vec<ShardEntry>, Error> {
        let mut list = Vec::new();
        for (place, set) in self.sets.written(sizes) {
            let size = sizes.get(&place).copied().unwrap_or_default();
            let shard_bytes = self.options.shard_size_bytes.max(1);
            let count = size.text_bytes.div_ceil(shard_bytes).max(1) as usize;
            list.extend((0..count).map(|i| (place, set, size, i, count)));
        }
        let progress = Progress::new("writing", Unit::Items, list.len() as u64);
        let shards = parallel::each(list.len(), |shard| {
            let (place, set, size, i, count) = list[shard];
            let buckets = Buckets::new(groups, ROWS, place * layout.rows, layout.rows)
                .at_once(size.memory(), self.memory.bucket());
            let shard = self.write_shard(&buckets, set, i, count);
            progress.add(1);
            shard
        });
        progress.finish();
        shards
    }

    fn write_shard(
        &self,
        buckets: &Buckets<'_, SpooledRow>,
        set: ShardSet<'_>,
        index: usize,
        count: usize,
    ) -> Result<ShardEntry, Error> {
        let format = self.options.format;
        let name = format.file_name(set, index, count);
        if let Some(done) = self.output.done(&name)? {
            return Ok(done);
        }
        if stop::asked() {
            return Err(Error::Stopped);
        }
        let target = self.output.whole.join(&name);
        let mut writer =
            ShardWriter::create(&target, &self.output.partial, format, set, &self.meta)?;
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
        let entry = writer.finish()?;
        stop::crash_point("shard");
        self.output.set_done(&name, &entry)?;
        Ok(entry)
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
        wall_seconds: f64,
    ) -> Result<(), Error> {
        let options = self.options;
        let passes = self.clock.laps.iter();
        let passes: serde_json::Map<_, _> = passes
            .map(|(name, seconds)| ((*name).to_owned(), json!(seconds)))
            .collect();
        let run = json!({
            "output": self.target.output.to_string_lossy(),
            "inputs": options.inputs.iter().map(|i| i.location.to_string()).collect::<Vec<_>>(),
            "started_unix_seconds": self.clock.started_unix,
            "finished_unix_seconds": unix_seconds(),
            "wall_seconds": wall_seconds,
            "wall_seconds_by_pass": passes,
            "cpu_seconds": usage::cpu_seconds(),
            "peak_memory_bytes": usage::peak_memory_bytes(),
            "memory_budget_bytes": options.memory_bytes,
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
