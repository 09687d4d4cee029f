//! Pass 1: read every archive, run the rules that look at one page alone, note keys.
//!
//! Pages go to a spool per archive, with what became of their lines; of every page a [`PageEntry`]
//! stays in memory. What the rules counted travels with the page, since whether it counts at all
//! (only the newest page of a URL does) is known when all archives have been read.

use crate::error::Error;
use crate::input::{Input, Location};
use crate::keys::{KeyEntry, Keys};
use crate::ledger::{self, Candidates};
use crate::parallel::{self, Job, lock};
use crate::progress::Progress;
use crate::reading::{Damage, Health, RawPage, Split};
use crate::remote::{FetchedFile, Fetcher};
use crate::sample;
use crate::source::{self, Batch, OpenSource};
use crate::spool::{SpoolWriter, SpooledLine, SpooledPage, frame};
use c4_data::{DedupStep, Recipe};
use c4_filters::rules::length;
use c4_filters::{
    ArchiveKind, Cleaned, Cleaner, LineCounts, Reason, SeenLine, Side, Stage, Statistics, Tally,
    Verdict, dedup, guard, url,
};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// What is known of a page besides its text.
#[derive(Debug)]
pub struct PageEntry {
    /// Place in the archive: batch and place in it. Smaller is earlier.
    pub order: u64,
    /// MD5 of the normalised URL.
    pub normalized: u128,
    /// MD5 of the URL.
    pub owner: u128,
    /// As in the record.
    pub timestamp: Box<str>,
    /// Bytes from the start of the archive.
    pub record_offset: u64,
    /// Why it went, if it did.
    pub dropped: Option<Reason>,
}

/// What pass 1 knows of an archive.
#[derive(Default)]
pub struct CleanedArchive {
    /// Its pages, in no particular order.
    pub pages: Vec<PageEntry>,
    /// First page of each frame of the spool.
    pub frames: Vec<u32>,
    /// How reading it went.
    pub health: Health,
    statistics: Statistics,
    text_bytes: u64,
}

/// What pass 1 leaves to the others.
pub struct CleanResult {
    /// By place of the archive.
    pub archives: Vec<CleanedArchive>,
    /// Keys of lines or spans of the pages that passed.
    pub keys: Keys,
    /// Records and pages read; nothing yet of what became of pages.
    pub statistics: Statistics,
    /// UTF-8 bytes of all texts in the spools.
    pub text_bytes: u64,
}

/// Where the spool of an archive is.
pub fn spool_path(work: &Path, archive: usize) -> PathBuf {
    work.join(format!("pages-{archive:05}.spool"))
}

struct CleanPass<'a> {
    recipe: &'a Recipe,
    inputs: &'a [Input],
    fetcher: &'a Fetcher,
    cleaner: Cleaner,
    archives: Vec<Mutex<(CleanedArchive, SpoolWriter)>>,
    keys: Keys,
    candidates: &'a Candidates,
    watch: Mutex<Watch>,
    progress: &'a Progress,
}

/// What the rules have done so far, to tell early if it is not what the recipe expects.
#[derive(Default)]
struct Watch {
    /// Of pages whose URL may still lose, so only shares count.
    tally: Tally,
    told: BTreeSet<Reason>,
}

/// Runs the pass.
///
/// # Errors
/// The work folder cannot be written. An archive that cannot be read is no error: it is noted in
/// its result.
pub fn run(
    recipe: &Recipe,
    inputs: &[Input],
    fetcher: &Fetcher,
    work: &Path,
    candidates: &Candidates,
    progress: &Progress,
) -> Result<CleanResult, Error> {
    let archive = |i| {
        (
            CleanedArchive::default(),
            SpoolWriter::new(spool_path(work, i)),
        )
    };
    let pass = CleanPass {
        recipe,
        inputs,
        fetcher,
        cleaner: Cleaner::new(recipe),
        archives: (0..inputs.len()).map(|i| Mutex::new(archive(i))).collect(),
        keys: Keys::default(),
        candidates,
        watch: Mutex::default(),
        progress,
    };
    parallel::drain(&pass, inputs.len())?;
    let mut result = CleanResult {
        archives: Vec::with_capacity(inputs.len()),
        keys: pass.keys,
        statistics: Statistics::default(),
        text_bytes: 0,
    };
    for archive in pass.archives {
        let (mut archive, _) = archive.into_inner().unwrap_or_else(|e| e.into_inner());
        result.statistics += std::mem::take(&mut archive.statistics);
        result.text_bytes += archive.text_bytes;
        result.archives.push(archive);
    }
    Ok(result)
}

impl Job for CleanPass<'_> {
    /// The file, if it was fetched, goes after the source.
    type Source = (OpenSource, Option<FetchedFile>);
    type Batch = (ArchiveKind, Batch);
    type Error = Error;

    fn open(&self, index: usize) -> Result<Option<Self::Source>, Error> {
        let opened = match &self.inputs[index].location {
            Location::File(path) => {
                OpenSource::open(path, &self.recipe.read).map(|source| (source, None))
            }
            Location::Remote(_) => self.fetch(index),
        };
        match opened {
            Ok(source) => {
                let kind = source.0.kind() as usize;
                lock(&self.archives[index]).0.statistics.tally.archives[kind] += 1;
                Ok(Some(source))
            }
            Err(cause) => Ok(self.fail(index, cause)),
        }
    }

    fn next(
        &self,
        index: usize,
        (source, _): &mut Self::Source,
    ) -> Result<Option<(ArchiveKind, Batch)>, Error> {
        match source.next_batch(self.progress) {
            Ok(batch) => Ok(batch.map(|batch| (source.kind(), batch))),
            Err(cause) => Ok(self.fail(index, cause)),
        }
    }

    fn work(
        &self,
        index: usize,
        sequence: u64,
        (kind, batch): (ArchiveKind, Batch),
    ) -> Result<(), Error> {
        let mut found = Found::default();
        for (i, split) in source::split(batch).into_iter().enumerate() {
            let order = sequence << 32 | i as u64;
            match split {
                Split::Page(page) => self.page(index, order, page, &mut found),
                Split::Dropped(dropped) => {
                    found.statistics.tally.drop_record(kind, dropped.reason);
                }
                Split::Damage(damage) => {
                    found.statistics.tally.drop_record(kind, damage.reason);
                    found.damage.push((order, damage));
                }
            }
        }
        let pages = found.pages.len() as u64;
        found.statistics.tally.read_pages(kind, pages);
        self.watch(kind, &found);
        let path = spool_path(Path::new(""), index);
        let frame = match &found.spooled[..] {
            [] => None,
            pages => Some(frame(&path, pages)?),
        };
        let mut locked = lock(&self.archives[index]);
        let (archive, spool) = &mut *locked;
        let first_page = u32::try_from(archive.pages.len()).unwrap_or(u32::MAX);
        if let Some(frame) = frame {
            spool.append(&frame)?;
            archive.frames.push(first_page);
        }
        archive.pages.append(&mut found.pages);
        archive.health.damage.append(&mut found.damage);
        archive.statistics += found.statistics;
        archive.text_bytes += found.text_bytes;
        drop(locked);
        self.keys.add(found.keys, first_page);
        Ok(())
    }

    fn finish(&self, index: usize) -> Result<(), Error> {
        let (archive, _) = &*lock(&self.archives[index]);
        if archive.pages.is_empty() && archive.health.failed.is_none() {
            tracing::warn!("{}: gave no page", self.inputs[index].label);
        }
        Ok(())
    }
}

/// What a batch gave.
#[derive(Default)]
struct Found {
    pages: Vec<PageEntry>,
    spooled: Vec<SpooledPage>,
    keys: Vec<KeyEntry>,
    damage: Vec<(u64, Damage)>,
    statistics: Statistics,
    text_bytes: u64,
}

impl CleanPass<'_> {
    /// Waits for an archive that is fetched, and opens it.
    fn fetch(&self, index: usize) -> Result<(OpenSource, Option<FetchedFile>), String> {
        let file = self.fetcher.take(index).map_err(|e| e.reason())?;
        lock(&self.archives[index]).0.health.bytes = Some(file.bytes());
        self.progress.expect(file.bytes());
        let source = OpenSource::open(file.path(), &self.recipe.read)?;
        Ok((source, Some(file)))
    }

    /// Notes that an archive cannot be read, which gives nothing.
    fn fail<T>(&self, index: usize, cause: String) -> Option<T> {
        let input = &self.inputs[index];
        lock(&self.archives[index]).0.health.fail(input, cause);
        None
    }

    /// Warns, once a reason, as soon as enough pages tell that something is wrong.
    fn watch(&self, kind: ArchiveKind, found: &Found) {
        let mut tally = Tally::default();
        tally.read_pages(kind, found.pages.len() as u64);
        for (entry, page) in found.pages.iter().zip(&found.spooled) {
            tally.lines += page.lines.total;
            match entry.dropped {
                Some(reason) => tally.drop_page(reason, &page.lines),
                None => tally.keep_page(c4_data::Split::Train, &page.lines),
            }
        }
        let mut watch = lock(&self.watch);
        watch.tally += tally;
        for (reason, says) in guard::unexpected(&watch.tally, self.recipe, Stage::Rules) {
            if watch.told.insert(reason) {
                let pages = watch.tally.pages();
                tracing::warn!("after {pages} pages: {says}");
            }
        }
    }

    /// Cleans one page and notes what is left of it.
    fn page(&self, index: usize, order: u64, page: RawPage, found: &mut Found) {
        let owner = url::md5(&page.url);
        let priority = sample::priority(owner, page.record_offset);
        let mut dropped_lines = Vec::new();
        let mut kept_lines = Vec::new();
        let mut matched = None;
        let line_words = &mut found.statistics.line_words;
        let seen = |line: SeenLine<'_, '_>| {
            line_words.add(Side::In, line.amount.words);
            let Some(outcome) = line.outcome else { return };
            match outcome.verdict {
                Verdict::Keep if self.candidates.are_wanted() => kept_lines.push(line.number),
                Verdict::Keep => {}
                Verdict::DropLine(reason) => {
                    let priority = sample::line_priority(priority, line.number);
                    if self.candidates.offer(reason, priority) {
                        let place = self.cleaner.find_match(line.text, reason);
                        dropped_lines.push(SpooledLine {
                            number: line.number,
                            reason,
                            text: line.text.to_owned(),
                            matched: place.map(|range| ledger::matched(line.text, range)),
                        });
                    }
                }
                Verdict::DropPage(reason) => {
                    let at = line.text.as_ptr().addr() - page.text.as_ptr().addr();
                    let place = self.cleaner.find_match(line.text, reason);
                    matched = place
                        .map(|range| ledger::matched(&page.text, at + range.start..at + range.end));
                }
            }
        };
        let limit = self.recipe.length.as_ref();
        let cleaned = match limit {
            Some(step) if length::too_long(&page.text, step.max_page_chars) => Cleaned::Drop {
                reason: Reason::TooLong,
                lines: LineCounts::untouched(self.cleaner.measure(&page.text, seen)),
            },
            _ => self.cleaner.clean_seen(&page.text, seen),
        };
        let text_bytes = page.text.len() as u64;
        let place = u32::try_from(found.pages.len()).unwrap_or(u32::MAX);
        let (dropped, lines, text) = match cleaned {
            Cleaned::Drop { reason, lines } => {
                let text = match self.candidates.offer(reason, priority) {
                    true => self.candidates.text(&page.text).to_owned(),
                    false => String::new(),
                };
                (Some(reason), lines, text)
            }
            Cleaned::Keep(cleaned) => {
                let keys = match &self.recipe.dedup {
                    None => Vec::new(),
                    Some(DedupStep::Lines { .. }) => dedup::line_keys(&cleaned.text),
                    Some(DedupStep::Spans { span_sentences, .. }) => {
                        dedup::span_keys(&cleaned.text, *span_sentences)
                    }
                };
                let archive = u32::try_from(index).unwrap_or(u32::MAX);
                let keys = (0..).zip(keys);
                found
                    .keys
                    .extend(keys.map(|(i, key)| KeyEntry::new(key, archive, place, i)));
                found.text_bytes += cleaned.text.len() as u64;
                (None, cleaned.lines, cleaned.text)
            }
        };
        let statistics = &mut found.statistics;
        statistics.tally.text_bytes_in += text_bytes;
        statistics.tally.lines += lines.total;
        statistics.page_chars.add(Side::In, lines.total.chars);
        statistics.page_lines.add(Side::In, lines.total.lines);
        statistics.year(Side::In, &page.timestamp);
        found.pages.push(PageEntry {
            order,
            normalized: url::md5(&url::normalize(&page.url)),
            owner,
            timestamp: page.timestamp.into_boxed_str(),
            record_offset: page.record_offset,
            dropped,
        });
        found.spooled.push(SpooledPage {
            url: page.url,
            text,
            content_type: page.content_type,
            content_length: page.content_length,
            lines,
            matched,
            text_bytes,
            kept_lines,
            dropped_lines,
        });
    }
}
