//! What a build will take: pages, time, memory and disk, from the inputs' sizes and a sample of them.
//!
//! A build's reading, rules, keys, language detection and compression are run on the sample, and the sums are scaled up
//! by the bytes of the archives. Duplicates are not removed, so the pages kept, and the disk, are rather too many.

mod sample;

pub(crate) use sample::{ArchiveSample, is_small};

use crate::build::url_list;
use crate::build::{BuildOptions, TargetOptions};
use crate::error::Error;
use crate::read::outcome::Split;
use crate::read::{self, OpenSource};
use crate::runtime::memory::Memory;
use crate::runtime::stop;
use crate::runtime::usage;
use crate::work::block::{self, Frame};
use crate::work::dedup_key::{DedupKey, TextKey, UrlKey};
use c4_data::shard::{self, ShardMeta};
use c4_data::{Document, LedgerMode, Page, Recipe};
use c4_filters::rules::bad_words::BadWords;
use c4_filters::{Admission, Cleaned, Cleaner, Finisher, PageRules, Statistics, dedup, language_rule, url};
use rustix::fs::statvfs;
use std::fs;
use std::path::{Path, PathBuf};

/// What the second half of a build (comparing keys, reading and writing everything once more) costs beside the
/// work that a sample does, and what statistics and ledger do: measured on whole builds.
const REST: f64 = 1.25;
/// The bytes of a dropped copy in the work folder.
const LOSER_BYTES: f64 = 28.0;
/// The bytes of the sample that wait to be compressed together.
const WAITING_BYTES: usize = 1 << 20;
/// The share of the keys whose copies are dropped, about.
const LOSERS: f64 = 0.3;
/// The bytes of ledger and statistics a page that is in any of them, compressed.
const LEDGER_PAGE_BYTES: f64 = 24.0;
/// The bytes in the whole ledger a byte of text that is dropped: compressed, but much of it line by line, with place
/// and reason. Measured.
const LEDGER_TEXT: f64 = 0.8;
/// The bytes in the ledger a page or line that it keeps of each reason, over all reasons. Measured: 4.5 kB.
const LEDGER_SAMPLE_BYTES: f64 = 5000.0;

/// The estimate of what a build of one recipe takes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Estimate {
    /// The number of archives.
    pub archives: usize,
    /// The bytes of the archives.
    pub bytes: f64,
    /// The bytes of the archives that were sampled.
    pub sampled: f64,
    /// The number of pages read.
    pub pages: f64,
    /// The bytes of the texts of all pages.
    pub text_bytes: f64,
    /// The number of pages kept, before dedup.
    pub kept: f64,
    pub cpu_seconds: f64,
    /// The memory that all keys would take at once; what is above the budget is compared in partitions.
    pub key_bytes: f64,
    /// The largest size of the work folder.
    pub work_bytes: f64,
    pub corpus_bytes: f64,
    pub ledger_bytes: f64,
}

/// Estimates a build of one target from a sample. Costs about a hundredth of the build.
///
/// # Errors
/// Lists that cannot be used; a document that cannot be encoded.
pub(crate) fn estimate(target: &TargetOptions, ledger: LedgerMode, sample: &ArchiveSample) -> Result<Estimate, Error> {
    let recipe = &target.recipe;
    let admission = url_list::load(recipe, &target.lists)?;
    if let Some(step) = &recipe.language {
        language_rule::warm_up(step.detector);
    }
    let bad_words = url_list::bad_words(recipe, &target.lists)?;
    let mut run = SampleRun::new(recipe, &admission, bad_words.as_ref());
    let before = usage::cpu_seconds().unwrap_or_default();
    for (path, bytes) in sample.parts() {
        if stop::asked() {
            return Err(Error::Stopped);
        }
        run.read(path, *bytes)?;
    }
    run.encode(0)?;
    let cpu = usage::cpu_seconds().unwrap_or_default() - before;
    let scale = sample.bytes / run.archive_bytes.max(1) as f64;
    let claims = run.pages * UrlKey::MEMORY + run.text_claims * TextKey::MEMORY;
    let stored = run.pages * UrlKey::STORED + run.text_claims * TextKey::STORED;
    let losers = LOSERS * LOSER_BYTES * run.text_claims as f64;
    // Either the pages and their keys are in the work folder, or rows, and shards beside them.
    let first = run.spool_bytes as f64 + stored as f64 + losers;
    let last = run.row_bytes as f64 + run.shard_bytes as f64 + losers;
    let page_bytes = run.pages as f64 * LEDGER_PAGE_BYTES * scale;
    let dropped = (run.page_bytes - run.kept_bytes) as f64 * LEDGER_TEXT * scale;
    let ledger_bytes = match ledger {
        LedgerMode::None => 0.0,
        LedgerMode::All => page_bytes + dropped,
        LedgerMode::Sample(n) => page_bytes + dropped.min(n as f64 * LEDGER_SAMPLE_BYTES),
    };
    Ok(Estimate {
        archives: sample.archives,
        bytes: sample.bytes,
        sampled: (run.archive_bytes as f64).min(sample.bytes),
        pages: run.pages as f64 * scale,
        text_bytes: run.page_bytes as f64 * scale,
        kept: run.kept as f64 * scale,
        cpu_seconds: cpu * REST * scale,
        key_bytes: claims as f64 * scale,
        work_bytes: first.max(last) * scale,
        corpus_bytes: run.shard_bytes as f64 * scale,
        ledger_bytes,
    })
}

/// The run of a build's steps over a sample, with its sums.
struct SampleRun<'a> {
    recipe: &'a Recipe,
    admission: &'a Admission,
    cleaner: Cleaner,
    finisher: Finisher<'a>,
    statistics: Statistics,
    archive_bytes: u64,
    pages: u64,
    page_bytes: u64,
    text_claims: u64,
    spool: Vec<u8>,
    spool_bytes: u64,
    rows: Vec<u8>,
    row_bytes: u64,
    documents: Vec<Document>,
    shard_bytes: u64,
    kept: u64,
    kept_bytes: u64,
}

impl<'a> SampleRun<'a> {
    fn new(recipe: &'a Recipe, admission: &'a Admission, bad_words: Option<&'a BadWords>) -> SampleRun<'a> {
        SampleRun {
            recipe,
            admission,
            cleaner: Cleaner::new(recipe),
            finisher: Finisher { recipe, bad_words },
            statistics: Statistics::default(),
            archive_bytes: 0,
            pages: 0,
            page_bytes: 0,
            text_claims: 0,
            spool: Vec::new(),
            spool_bytes: 0,
            rows: Vec::new(),
            row_bytes: 0,
            documents: Vec::new(),
            shard_bytes: 0,
            kept: 0,
            kept_bytes: 0,
        }
    }

    /// Reads the first `bytes` of an archive. Damage is for the build to report.
    fn read(&mut self, path: &Path, bytes: u64) -> Result<(), Error> {
        let Ok(mut source) = OpenSource::open(path, &self.recipe.read) else {
            return Ok(());
        };
        while source.position() < bytes
            && let Ok(Some(batch)) = source.next_batch(|_| ())
        {
            for split in read::split(batch).flatten() {
                if let Split::Page(page) = split {
                    self.page(page);
                    self.encode(WAITING_BYTES)?;
                }
            }
        }
        self.archive_bytes += source.position();
        Ok(())
    }

    fn page(&mut self, page: Page) {
        self.pages += 1;
        self.page_bytes += page.text.len() as u64;
        let owner = url::md5(&page.url);
        let rules = PageRules {
            admission: self.admission,
            cleaner: &self.cleaner,
        };
        let seen_as = (&*page.url, &*page.text, &*page.timestamp);
        let judged = rules.judge(seen_as, &mut self.statistics, |_| ());
        let key = judged.normalized;
        block::encode(&(&page.with_text(String::new()), key, owner), &mut self.spool);
        let Cleaned::Keep(cleaned) = judged.cleaned else {
            return;
        };
        self.text_claims += dedup::keys(self.recipe.dedup.as_ref(), &cleaned.text).len() as u64;
        block::encode(&cleaned.text, &mut self.spool);
        let Ok(finished) = self.finisher.judge_language(key, cleaned.text, &mut self.statistics) else {
            return;
        };
        self.kept += 1;
        self.kept_bytes += finished.text.len() as u64;
        let page = Page {
            text: finished.text,
            ..page
        };
        block::encode(&(&page, key, owner), &mut self.rows);
        self.documents.push(Document {
            page,
            archive: "sample.warc.wet.gz".into(),
            language: finished.language,
            language_score: finished.probability as f32,
        });
    }

    /// Compresses what was read, as work files and as shards, if it is more than `waiting` bytes.
    fn encode(&mut self, waiting: usize) -> Result<(), Error> {
        for (bytes, sum) in [
            (&mut self.spool, &mut self.spool_bytes),
            (&mut self.rows, &mut self.row_bytes),
        ] {
            if bytes.len() > waiting {
                *sum += Frame::new(bytes)?.bytes().len() as u64;
                bytes.clear();
            }
        }
        let meta = ShardMeta {
            recipe: self.recipe.name.clone(),
            recipe_hash: String::new(),
        };
        while let Some(batch) = shard::next_batch(&mut self.documents, waiting > 0) {
            let encoded = shard::encode(c4_data::Format::Arrow, &meta, &batch)?;
            self.shard_bytes += encoded.bytes();
        }
        Ok(())
    }
}

/// A file system that a build writes to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Disk {
    /// A folder on the file system.
    pub folder: PathBuf,
    /// The bytes that the build needs there.
    pub wanted: f64,
    /// The bytes that are free; `None` where the system does not say.
    pub free: Option<u64>,
}

impl Disk {
    pub(crate) fn is_too_small(&self) -> bool {
        self.free.is_some_and(|free| self.wanted > free as f64)
    }
}

/// The nearest folder above a path that exists.
fn existing(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or(path.to_owned());
    let mut folders = absolute.ancestors();
    let there = folders.find(|folder| folder.is_dir());
    there.unwrap_or(Path::new("/")).to_owned()
}

/// The file systems of the outputs, the work folder and downloads, with the bytes needed and free on each.
pub(crate) fn disks(options: &BuildOptions, estimates: &[Estimate], sample: &ArchiveSample) -> Vec<Disk> {
    let mut wanted: Vec<(PathBuf, f64)> = Vec::new();
    if sample.remote_bytes > 0.0 {
        let (folder, archives) = match (&options.remote.keep, &options.work_dir) {
            (Some(folder), _) => (folder, sample.remote),
            (None, work) => {
                let folder = work.as_ref().unwrap_or(&options.targets[0].output);
                let threads = options.threads();
                (folder, options.remote.ahead(threads).min(sample.remote))
            }
        };
        let each = sample.remote_bytes / sample.remote as f64;
        wanted.push((existing(folder), each * archives as f64));
    }
    for (target, estimate) in options.targets.iter().zip(estimates) {
        let output = existing(&target.output);
        let work = options.work_dir.as_deref().map_or(output.clone(), existing);
        wanted.push((output, estimate.corpus_bytes + estimate.ledger_bytes));
        wanted.push((work, estimate.work_bytes));
    }
    let device = |path: &Path| {
        #[cfg(unix)]
        let number = fs::metadata(path).map(|m| std::os::unix::fs::MetadataExt::dev(&m)).ok();
        #[cfg(not(unix))]
        let number: Option<u64> = fs::metadata(path).ok().map(|_| 0);
        number
    };
    let mut disks: Vec<(Option<u64>, Disk)> = Vec::new();
    for (folder, bytes) in wanted {
        let number = device(&folder);
        match disks.iter_mut().find(|(other, _)| *other == number) {
            Some((_, disk)) => disk.wanted += bytes,
            None => {
                let free = statvfs(&folder).ok();
                let free = free.map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize));
                let disk = Disk {
                    folder,
                    wanted: bytes,
                    free,
                };
                disks.push((number, disk));
            }
        }
    }
    disks.into_iter().map(|(_, disk)| disk).collect()
}

/// The number of partitions that keys are compared in.
pub(crate) fn key_parts(estimate: &Estimate, memory: Memory) -> u64 {
    (estimate.key_bytes / memory.dedup() as f64).ceil().max(1.0) as u64
}
