//! Pass 1 for one target: the rules on each page of a batch, and the segments of an archive.

use crate::error::Error;
use crate::runtime::memory::Memory;
use crate::runtime::parallel::lock;
use crate::work::block::{self, Frame};
use crate::work::dedup_key::{CopyPlace, TextKey, UrlKey};
use crate::work::intermediate::{WorkLine, WorkPage};
use crate::work::ledger::{self, Candidates, DrawnItems};
use crate::work::sample;
use crate::work::segment::{ArchiveEntry, SegmentWriter};
use c4_data::{Damaged, Page, Recipe, Split};
use c4_filters::{
    Admission, Cleaned, Cleaner, JudgedPage, PageRules, Reason, SeenLine, Stage, Statistics, Tally, Verdict, dedup,
    expectations, url,
};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;

/// A corpus that is built, perhaps beside others, as pass 1 sees it.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub recipe: &'a Recipe,
    /// The rules on URLs and domains, with their lists.
    pub admission: &'a Admission,
    /// The target's work folder.
    pub work: &'a Path,
    /// The hash of the build of this target ([`OutputFolder::key`](crate::corpus::OutputFolder::key)).
    pub key: u64,
    /// What is noted for the target's ledger.
    pub candidates: &'a Candidates,
}

/// Pass 1 of one target.
pub(super) struct TargetPass<'a> {
    pub(super) target: Target<'a>,
    cleaner: Cleaner,
    /// The archives that are being read, by number.
    pub(super) open: Vec<Mutex<Option<Box<OpenArchive>>>>,
    watch: Mutex<RuleWatch>,
}

/// What is known so far of an archive that is being read.
#[derive(Default)]
pub(super) struct OpenArchive {
    pub(super) entry: ArchiveEntry,
    pub(super) segment: Option<SegmentWriter>,
}

/// What the rules have done so far, to warn early if it is not what the recipe expects.
#[derive(Default)]
struct RuleWatch {
    /// Counts pages that may still be dropped as older ones of their URL, so only shares say something.
    tally: Tally,
    /// The reasons that were warned of.
    warned: BTreeSet<Reason>,
}

/// What the rules of one target leave of a batch.
#[derive(Default)]
pub(super) struct CleanedBatch {
    /// The pages as an encoded list.
    pages: Vec<u8>,
    pub(super) count: u32,
    urls: Vec<UrlKey>,
    texts: Vec<TextKey>,
    pub(super) damage: Vec<(u64, Damaged)>,
    pub(super) statistics: Statistics,
    text_bytes: u64,
    passed: u64,
    drawn: DrawnItems,
    /// What the rules have done to the batch's pages.
    pub(super) watch: Tally,
}

impl<'a> TargetPass<'a> {
    pub(super) fn new(target: Target<'a>, archives: usize) -> TargetPass<'a> {
        TargetPass {
            target,
            cleaner: Cleaner::new(target.recipe),
            open: (0..archives).map(|_| Mutex::default()).collect(),
            watch: Mutex::default(),
        }
    }

    /// Adds a batch to its archive.
    pub(super) fn add(&self, archive: usize, batch: CleanedBatch, memory: Memory) -> Result<(), Error> {
        let frame = match batch.count {
            0 => None,
            _ => Some(Frame::new(&batch.pages)?),
        };
        let mut state = lock(&self.open[archive]);
        let Some(state) = state.as_mut() else {
            return Ok(());
        };
        let OpenArchive { entry, segment } = &mut **state;
        entry.health.note(batch.damage);
        entry.statistics += batch.statistics;
        entry.text_bytes += batch.text_bytes;
        entry.passed += batch.passed;
        entry.drawn.extend(batch.drawn);
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
        writer.add(frame, batch.count, batch.urls, batch.texts, batch.text_bytes)?;
        if is_large || writer.is_full(memory) {
            entry.segments.push(writer.finish()?);
        } else {
            *segment = Some(writer);
        }
        Ok(())
    }

    /// Warns, once a reason, as soon as enough pages show that something is wrong.
    pub(super) fn watch(&self, batch: &Tally) {
        let mut watch = lock(&self.watch);
        watch.tally += batch.clone();
        for (reason, says) in expectations::unexpected(&watch.tally, self.target.recipe, Stage::Rules) {
            if watch.warned.insert(reason) {
                let (pages, name) = (watch.tally.pages(), &self.target.recipe.name);
                tracing::warn!("after {pages} pages: {says} (recipe {name})");
            }
        }
    }

    /// Cleans one page, whose order in its archive is `order`, and adds what is left of it to `batch`.
    pub(super) fn clean(&self, order: u64, page: &Page, batch: &mut CleanedBatch) {
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
        let drawn = &mut batch.drawn;
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
        } = rules.judge(seen_as, &mut batch.statistics, seen);
        let text_bytes = page.text.len() as u64;
        let place = CopyPlace {
            page: batch.count,
            record_offset: page.record_offset,
            ..CopyPlace::default()
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
                let hashes = dedup::keys(recipe.dedup.as_ref(), &cleaned.text);
                let key = |(position, hash)| TextKey::new(hash, owner, CopyPlace { position, ..place });
                batch.texts.extend((0..).zip(hashes).map(key));
                batch.passed += 1;
                batch.text_bytes += cleaned.text.len() as u64;
                (None, cleaned.lines, cleaned.text)
            }
        };
        batch.watch.lines += lines.total;
        match dropped {
            Some(reason) => batch.watch.drop_page(reason, &lines),
            None => batch.watch.keep_page(Split::Train, &lines),
        }
        // The reference drops other pages before it looks for the newest of a URL.
        if dropped.is_none_or(Reason::competes) {
            let key = UrlKey::new(normalized, &page.timestamp, order, place);
            batch.urls.push(key);
        }
        batch.count += 1;
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
        block::encode(&page, &mut batch.pages);
    }
}
