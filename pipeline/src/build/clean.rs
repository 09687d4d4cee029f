//! Pass 1: read every archive, run the rules that look at one page alone, note keys.
//!
//! An archive is a unit of work: its pages go to segments ([`segment`]), with what became of their
//! lines and what they claim; what is known of the archive as a whole goes to an [`ArchiveEntry`] that
//! is written last. What the rules counted travels with the page, since whether it counts at all
//! (only the newest page of a URL does) is known when all archives have been read.
//!
//! Several recipes may be applied at once: archives are read, and HTML is extracted, once.

use crate::error::Error;
use crate::input::{FileState, Input, Location};
use crate::read::outcome::Split;
use crate::read::{self, Batch, OpenSource};
use crate::remote::{FetchedFile, Fetcher};
use crate::runtime::memory::Memory;
use crate::runtime::parallel::{self, Job, lock};
use crate::runtime::stop;
use crate::terminal::progress::Progress;
use crate::work::block::{self, Frame};
use crate::work::dedup_key::{Place, TextClaim, UrlClaim};
use crate::work::intermediate::{WorkLine, WorkPage};
use crate::work::ledger::{self, Candidates};
use crate::work::sample;
use crate::work::segment::{self, ArchiveEntry, SegmentWriter};
use c4_data::Page;
use c4_data::{Damaged, Recipe};
use c4_filters::{
    Admission, ArchiveKind, Cleaned, Cleaner, JudgedPage, PageRules, Reason, SeenLine, Stage, Statistics, Tally,
    Verdict, dedup, expectations, url,
};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;

/// What is said of an archive that was written to while the build ran.
const CHANGED: &str = "has changed or was replaced while it was read, so what is kept of it may be of neither version; \
                       build again with --overwrite when nobody writes to it";

/// Of one that cannot be looked at again.
const UNSURE: &str = "cannot be looked at again after it was read, so it may have changed";

/// One of the corpora that are built at once.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    /// Its recipe.
    pub recipe: &'a Recipe,
    /// Which pages get in.
    pub admission: &'a Admission,
    /// Its work folder.
    pub work: &'a Path,
    /// What stands for it in that folder.
    pub key: u64,
    /// What its ledger may want.
    pub candidates: &'a Candidates,
}

/// A target while archives are read.
struct Part<'a> {
    target: Target<'a>,
    cleaner: Cleaner,
    /// By place of the archive, those that are being read.
    open: Vec<Mutex<Option<Box<OpenArchive>>>>,
    watch: Mutex<Watch>,
}

/// What is known so far of an archive that is being read.
#[derive(Default)]
struct OpenArchive {
    entry: ArchiveEntry,
    segment: Option<SegmentWriter>,
}

struct CleanPass<'a> {
    inputs: &'a [Input],
    /// Places of the archives that are to be read.
    todo: &'a [usize],
    fetcher: &'a Fetcher,
    /// What they were before any was read.
    before: Vec<Option<FileState>>,
    /// Archives that could not be fetched, and why.
    missing: Mutex<Vec<Missing>>,
    parts: Vec<Part<'a>>,
    memory: Memory,
    progress: &'a Progress,
}

/// What the rules have done so far, to tell early if it is not what the recipe expects.
#[derive(Default)]
struct Watch {
    /// Of pages whose URL may still lose, so only shares count.
    tally: Tally,
    told: BTreeSet<Reason>,
}

/// Reads the archives that are not done for every target. All targets read alike
/// ([`Recipe::read`]).
///
/// # Errors
/// A work folder cannot be written, or the build is asked to stop. An archive that cannot be read is
/// no error: it is noted in its [`ArchiveEntry`].
pub(crate) fn run(
    targets: &[Target<'_>],
    inputs: &[Input],
    (todo, fetcher): (&[usize], &Fetcher),
    memory: Memory,
    progress: &Progress,
) -> Result<Vec<Missing>, Error> {
    let pass = CleanPass {
        inputs,
        todo,
        fetcher,
        before: todo
            .iter()
            .map(|archive| inputs[*archive].state().ok().flatten())
            .collect(),
        missing: Mutex::default(),
        parts: targets.iter().map(|target| Part::new(*target, inputs.len())).collect(),
        memory,
        progress,
    };
    parallel::drain(&pass, todo.len())?;
    if stop::asked() {
        return Err(Error::Stopped);
    }
    let mut missing = std::mem::take(&mut *lock(&pass.missing));
    missing.sort_unstable_by_key(|missing| missing.archive);
    Ok(missing)
}

/// An archive that could not be fetched; nothing is noted of it, so it can be tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing {
    /// Its place.
    pub archive: usize,
    /// Why.
    pub reason: String,
    /// What to set or change, where that can help.
    pub advice: Option<String>,
}

/// What a batch gives one target.
#[derive(Default)]
struct Found {
    pages: Vec<u8>,
    count: u32,
    urls: Vec<UrlClaim>,
    texts: Vec<TextClaim>,
    damage: Vec<(u64, Damaged)>,
    statistics: Statistics,
    text_bytes: u64,
    passed: u64,
    drawn: Vec<(Reason, u64)>,
    /// What the rules have done to its pages.
    watch: Tally,
}

impl Job for CleanPass<'_> {
    /// The file, if it was fetched, goes after the source.
    type Source = (OpenSource, Option<FetchedFile>);
    type Batch = (ArchiveKind, Batch);
    type Error = Error;

    fn stopped(&self) -> bool {
        stop::asked()
    }

    fn open(&self, index: usize) -> Result<Option<Self::Source>, Error> {
        let archive = self.todo[index];
        // Of a target that has this archive already (the build was stopped between two), nothing is open.
        let missing = |part: &&Part| !ArchiveEntry::is_there(part.target.work, archive);
        let open: Vec<&Part> = self.parts.iter().filter(missing).collect();
        for part in &open {
            segment::remove_all(part.target.work, archive)?;
            let mut state = OpenArchive::default();
            state.entry.build = part.target.key;
            *lock(&part.open[archive]) = Some(Box::new(state));
        }
        let read = &self.parts[0].target.recipe.read;
        let opened = match &self.inputs[archive].location {
            Location::File(path) => OpenSource::open(path, read).map(|source| (source, None)),
            Location::Remote(_) => {
                let file = match self.fetcher.take(archive) {
                    Ok(file) => file,
                    Err(error) => {
                        let reason = error.reason();
                        return Ok(self.miss(archive, reason, error.advice));
                    }
                };
                self.progress.come(file.bytes());
                self.each_open(archive, |state| {
                    state.entry.health.bytes = Some(file.bytes());
                    Ok(())
                })?;
                match OpenSource::open(file.path(), read) {
                    Ok(source) => Ok((source, Some(file))),
                    // What a server says in place of a file; another time it may have the file.
                    Err(cause) => return Ok(self.miss(archive, cause, None)),
                }
            }
        };
        match opened {
            Ok(source) => {
                let kind = source.0.kind() as usize;
                self.each_open(archive, |state| {
                    state.entry.statistics.tally.archives[kind] += 1;
                    Ok(())
                })?;
                Ok(Some(source))
            }
            Err(cause) => self.fail(archive, &cause),
        }
    }

    fn next(&self, index: usize, (source, _): &mut Self::Source) -> Result<Option<(ArchiveKind, Batch)>, Error> {
        match source.next_batch(|bytes| self.progress.add(bytes)) {
            Ok(batch) => Ok(batch.map(|batch| (source.kind(), batch))),
            Err(cause) => self.fail(self.todo[index], &cause),
        }
    }

    fn work(&self, index: usize, sequence: u64, (kind, batch): (ArchiveKind, Batch)) -> Result<(), Error> {
        let archive = self.todo[index];
        let mut first = 0;
        for splits in read::split(batch) {
            for part in &self.parts {
                if lock(&part.open[archive]).is_none() {
                    continue;
                }
                let mut found = Found::default();
                for (i, split) in (first..).zip(&splits) {
                    let order = sequence << 32 | i;
                    match split {
                        Split::Page(page) => part.page(order, page, &mut found),
                        Split::Dropped(dropped) => {
                            found.statistics.tally.drop_record(kind, dropped.reason);
                        }
                        Split::Damage(damage) => {
                            found.statistics.tally.drop_record(kind, damage.reason);
                            found.damage.push((order, damage.listed()));
                        }
                    }
                }
                let tally = &mut found.statistics.tally;
                tally.read_pages(kind, u64::from(found.count));
                found.watch.read_pages(kind, u64::from(found.count));
                part.watch(&found.watch);
                part.add(archive, found, self.memory)?;
            }
            first += splits.len() as u64;
        }
        Ok(())
    }

    fn is_large((_, batch): &Self::Batch) -> bool {
        batch.is_large()
    }

    fn finish(&self, index: usize) -> Result<(), Error> {
        let archive = self.todo[index];
        if let Some(before) = &self.before[index] {
            let changed = match self.inputs[archive].state() {
                Ok(now) => (now.as_ref() != Some(before)).then(|| CHANGED.to_owned()),
                Err(e) => Some(format!("{UNSURE}: {e}")),
            };
            if let Some(cause) = changed {
                self.fail::<()>(archive, &cause)?;
            }
        }
        for part in &self.parts {
            let Some(state) = lock(&part.open[archive]).take() else {
                continue;
            };
            let OpenArchive { mut entry, segment } = *state;
            if let Some(segment) = segment {
                entry.segments.push(segment.finish()?);
            }
            entry.write(part.target.work, archive)?;
        }
        Ok(())
    }
}

impl CleanPass<'_> {
    /// Notes that an archive could not be fetched; nothing is kept of it.
    fn miss<T>(&self, archive: usize, reason: String, advice: Option<String>) -> Option<T> {
        lock(&self.missing).push(Missing {
            archive,
            reason,
            advice,
        });
        for part in &self.parts {
            *lock(&part.open[archive]) = None;
        }
        None
    }

    fn each_open(&self, archive: usize, each: impl Fn(&mut OpenArchive) -> Result<(), Error>) -> Result<(), Error> {
        self.parts.iter().try_for_each(|part| {
            let mut state = lock(&part.open[archive]);
            state.as_mut().map_or(Ok(()), |state| each(state))
        })
    }

    /// Notes that an archive cannot be read (further); what was read of it stays.
    fn fail<T>(&self, archive: usize, cause: &str) -> Result<Option<T>, Error> {
        let input = &self.inputs[archive];
        tracing::error!("{}: {cause}", input.location);
        self.each_open(archive, |state| {
            state.entry.health.failed = Some(cause.to_owned());
            Ok(())
        })?;
        Ok(None)
    }
}

impl<'a> Part<'a> {
    fn new(target: Target<'a>, archives: usize) -> Part<'a> {
        Part {
            target,
            cleaner: Cleaner::new(target.recipe),
            open: (0..archives).map(|_| Mutex::default()).collect(),
            watch: Mutex::default(),
        }
    }

    /// Adds a batch to its archive.
    fn add(&self, archive: usize, found: Found, memory: Memory) -> Result<(), Error> {
        let frame = match found.count {
            0 => None,
            _ => Some(Frame::new(&found.pages)?),
        };
        let mut state = lock(&self.open[archive]);
        let Some(state) = state.as_mut() else {
            return Ok(());
        };
        let OpenArchive { entry, segment } = &mut **state;
        entry.health.note(found.damage);
        entry.statistics += found.statistics;
        entry.text_bytes += found.text_bytes;
        entry.passed += found.passed;
        entry.drawn.extend(found.drawn);
        let Some(frame) = frame else {
            return Ok(());
        };
        // A large page is a segment of its own, so that pass 4 is done with it before it holds another.
        let is_large = frame.is_large();
        if is_large && let Some(before) = segment.take() {
            entry.segments.push(before.finish()?);
        }
        let mut writer = match segment.take() {
            Some(writer) => writer,
            None => SegmentWriter::create(self.target.work, archive, entry.segments.len())?,
        };
        writer.add(frame, found.count, found.urls, found.texts, found.text_bytes)?;
        if is_large || writer.is_full(memory) {
            entry.segments.push(writer.finish()?);
        } else {
            *segment = Some(writer);
        }
        Ok(())
    }

    /// Warns, once a reason, as soon as enough pages tell that something is wrong.
    fn watch(&self, batch: &Tally) {
        let mut watch = lock(&self.watch);
        watch.tally += batch.clone();
        for (reason, says) in expectations::unexpected(&watch.tally, self.target.recipe, Stage::Rules) {
            if watch.told.insert(reason) {
                let (pages, name) = (watch.tally.pages(), &self.target.recipe.name);
                tracing::warn!("after {pages} pages: {says} (recipe {name})");
            }
        }
    }

    /// Cleans one page and notes what is left of it.
    fn page(&self, order: u64, page: &Page, found: &mut Found) {
        let Target {
            recipe,
            admission,
            candidates,
            ..
        } = self.target;
        let owner = url::md5(&page.url);
        let priority = sample::priority(owner, page.record_offset);
        let mut dropped_lines = Vec::new();
        let mut kept_lines = Vec::new();
        let mut matched = None;
        let drawn = &mut found.drawn;
        let mut offer = |reason, priority| candidates.offer(reason, priority, drawn);
        let seen = |line: SeenLine<'_, '_>| {
            let Some(outcome) = line.outcome else { return };
            match outcome.verdict {
                Verdict::Keep if candidates.are_wanted() => kept_lines.push(line.number),
                Verdict::Keep => {}
                Verdict::DropLine(reason) => {
                    let priority = sample::line_priority(priority, line.number);
                    if offer(reason, priority) {
                        let place = self.cleaner.find_match(line.text, reason);
                        dropped_lines.push(WorkLine {
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
                    matched = place.map(|range| ledger::matched(&page.text, at + range.start..at + range.end));
                }
            }
        };
        let rules = PageRules {
            admission,
            cleaner: &self.cleaner,
        };
        let seen_as = (&*page.url, &*page.text, &*page.timestamp);
        let JudgedPage {
            normalized, cleaned, ..
        } = rules.judge(seen_as, &mut found.statistics, seen);
        let text_bytes = page.text.len() as u64;
        let place = Place {
            page: found.count,
            record_offset: page.record_offset,
            ..Place::default()
        };
        let (dropped, lines, text) = match cleaned {
            Cleaned::Drop { reason, lines } => {
                let text = match offer(reason, priority) {
                    true => candidates.text(&page.text).to_owned(),
                    false => String::new(),
                };
                (Some(reason), lines, text)
            }
            Cleaned::Keep(cleaned) => {
                let keys = dedup::keys(recipe.dedup.as_ref(), &cleaned.text);
                let claim = |(position, key)| TextClaim::new(key, owner, Place { position, ..place });
                found.texts.extend((0..).zip(keys).map(claim));
                found.passed += 1;
                found.text_bytes += cleaned.text.len() as u64;
                (None, cleaned.lines, cleaned.text)
            }
        };
        found.watch.lines += lines.total;
        match dropped {
            Some(reason) => found.watch.drop_page(reason, &lines),
            None => found.watch.keep_page(c4_data::Split::Train, &lines),
        }
        // Others were dropped before, as in the reference.
        if dropped.is_none_or(Reason::competes) {
            let claim = UrlClaim::new(normalized, &page.timestamp, order, place);
            found.urls.push(claim);
        }
        found.count += 1;
        let page = WorkPage {
            page: page.with_text(text),
            order,
            normalized,
            owner,
            dropped,
            lines,
            matched,
            text_bytes,
            kept_lines,
            dropped_lines,
        };
        block::encode(&page, &mut found.pages);
    }
}
