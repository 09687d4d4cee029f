//! The ledger while a build runs: what is noted, what is drawn, and how it becomes files.
//!
//! What the rules drop is known in pass 1, but whether it counts (only the newest page of a URL does)
//! after pass 2. So pass 1 notes candidates beside the pages in the work files, a quarter more than are
//! wanted ([`noted`]), and pass 4 draws from those that count. (With more than a fifth of a reason's
//! pages on older copies, its sample is smaller than asked for; it is still the same on every run.)

use crate::work::buckets::{Bucketed, Buckets, part};
use crate::work::intermediate::Matched;
use crate::work::judged_group::{JudgedGroup, JudgedGroups, Layout, of_ledger};
use crate::work::sample::Sampler;
use c4_data::Error;
use c4_data::ledger::{DroppedLine, DroppedPage, Duplicate, KEPT, LedgerRow, LedgerWriter, Table, UrlVerdict};
use c4_data::{LedgerFile, LedgerMode};
use c4_filters::Reason;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::Path;

/// How much of a page's text a sample holds, in bytes, so that a thousand long pages are no burden.
const SAMPLE_TEXT_BYTES: usize = 8 << 10;
/// The bytes of text of a ledger's file.
const FILE_BYTES: u64 = 256 << 20;

/// How many pages or lines pass 1 notes of each reason for a sample of `n`.
pub(crate) fn noted(n: u64) -> u64 {
    n.saturating_add(n / 4 + 1)
}

/// What was drawn for a sample: reasons, and priorities in the draw.
pub(crate) type DrawnItems = Vec<(Reason, u64)>;

/// The draw of a ledger's sample, by reason; with another mode than a sample, all or nothing is taken.
struct ReasonSampler {
    mode: LedgerMode,
    sampler: Sampler,
}

impl ReasonSampler {
    /// Draws `limit(n)` items of each reason, where the sample is of `n`.
    fn new(mode: LedgerMode, limit: impl FnOnce(u64) -> u64) -> ReasonSampler {
        let limit = match mode {
            LedgerMode::Sample(n) => usize::try_from(limit(n)).unwrap_or(usize::MAX),
            _ => 0,
        };
        ReasonSampler {
            mode,
            sampler: Sampler::new(Reason::ALL.len(), limit),
        }
    }

    fn offer(&self, reason: Reason, priority: u64, drawn: &mut DrawnItems) -> bool {
        match self.mode {
            LedgerMode::All => true,
            LedgerMode::None => false,
            LedgerMode::Sample(_) => {
                let taken = self.sampler.offer(reason as usize, priority);
                if taken {
                    drawn.push((reason, priority));
                }
                taken
            }
        }
    }

    /// Repeats the draw of a build that was stopped. All that was not drawn then was above the bound of that time, so
    /// what was drawn gives the same bound.
    fn remember(&self, drawn: &DrawnItems) {
        for (reason, priority) in drawn {
            self.sampler.offer(*reason as usize, *priority);
        }
    }
}

/// The dropped pages and lines that pass 1 notes for the ledger.
pub(crate) struct Candidates(ReasonSampler);

impl Candidates {
    pub(crate) fn new(mode: LedgerMode) -> Candidates {
        Candidates(ReasonSampler::new(mode, noted))
    }

    /// Whether the build keeps a ledger at all.
    pub(crate) fn are_wanted(&self) -> bool {
        self.0.mode != LedgerMode::None
    }

    /// Whether to note a page or line that was dropped for `reason`; what is drawn for the sample is added to
    /// `drawn`, so that the draw can be made again ([`remember`](Candidates::remember)).
    pub(crate) fn offer(&self, reason: Reason, priority: u64, drawn: &mut DrawnItems) -> bool {
        self.0.offer(reason, priority, drawn)
    }

    /// Repeats the draw of a build that was stopped.
    pub(crate) fn remember(&self, drawn: &DrawnItems) {
        self.0.remember(drawn);
    }

    /// Whether a page or line was noted, whatever the order in which they came; after all have come.
    pub(crate) fn hold(&self, reason: Reason, priority: u64) -> bool {
        match self.0.mode {
            LedgerMode::All => true,
            LedgerMode::Sample(_) => self.0.sampler.holds(reason as usize, priority),
            LedgerMode::None => false,
        }
    }

    /// The text of a page, as much of it as the ledger holds.
    pub(crate) fn text<'t>(&self, text: &'t str) -> &'t str {
        match self.0.mode {
            LedgerMode::All => text,
            _ => &text[..text.floor_char_boundary(SAMPLE_TEXT_BYTES)],
        }
    }
}

/// The piece of a text at `range`, in bytes, as the ledger holds it.
pub(crate) fn matched(text: &str, range: Range<usize>) -> Matched {
    Matched {
        text: text[range.clone()].to_owned(),
        start: u32::try_from(range.start).unwrap_or(u32::MAX),
    }
}

/// A row on its way to its table.
#[derive(Debug, Serialize, Deserialize)]
struct Entry<R> {
    key: u128,
    tie: (u32, u64, u32),
    /// The reason and priority in the draw, if the row is of a sample.
    draw: Option<(Reason, u64)>,
    row: R,
}

impl<R: LedgerRow> Bucketed for Entry<R> {
    fn key(&self) -> u128 {
        self.key
    }

    fn tie(&self) -> (u32, u64, u32) {
        self.tie
    }
}

/// The position of a page in the build, which is the order of a ledger's rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PagePosition {
    /// The MD5 of the page's normalised URL.
    pub key: u128,
    /// The number of the page's archive.
    pub archive: u32,
    /// The page's order in its archive.
    pub order: u64,
}

/// The ledger of a build: pass 4 adds rows to groups, pass 5 writes its files.
pub(crate) struct BuildLedger(ReasonSampler);

impl BuildLedger {
    pub(crate) fn new(mode: LedgerMode) -> BuildLedger {
        BuildLedger(ReasonSampler::new(mode, |n| n))
    }

    /// Whether the build keeps a ledger at all.
    pub(crate) fn is_kept(&self) -> bool {
        self.0.mode != LedgerMode::None
    }

    /// Repeats the draw of a build that was stopped.
    pub(crate) fn remember(&self, drawn: &DrawnItems) {
        self.0.remember(drawn);
    }

    fn put<R: LedgerRow>(&self, group: &mut JudgedGroup, entry: &Entry<R>) {
        let slot = part(entry.key, buckets(group.layout(), R::TABLE));
        group.put(of_ledger(R::TABLE), slot, entry);
    }

    /// Adds a dropped page, or the dropped line `number` of a page, if it may be in the sample.
    pub(crate) fn dropped<R: LedgerRow>(
        &self,
        group: &mut JudgedGroup,
        position: PagePosition,
        (reason, priority): (Reason, u64),
        number: u32,
        row: impl FnOnce() -> R,
    ) {
        if !self.0.offer(reason, priority, &mut group.summary.drawn) {
            return;
        }
        let entry = Entry {
            key: position.key,
            tie: (position.archive, position.order, number),
            draw: Some((reason, priority)),
            row: row(),
        };
        self.put(group, &entry);
    }

    /// Adds a copy that was dropped for another one.
    pub(crate) fn duplicate(&self, group: &mut JudgedGroup, position: PagePosition, row: Duplicate) {
        if !self.is_kept() {
            return;
        }
        let entry = Entry {
            key: position.key,
            tie: (position.archive, position.order, row.position),
            draw: None,
            row,
        };
        self.put(group, &entry);
    }

    /// Adds the outcome of a page: the reason for which it was dropped, or `None` if it is kept. Not for older copies.
    pub(crate) fn outcome(&self, group: &mut JudgedGroup, position: PagePosition, outcome: Option<Reason>) {
        if !self.is_kept() {
            return;
        }
        let entry = Entry {
            key: position.key,
            // The page of a URL that competed comes before those that did not.
            tie: match outcome {
                Some(reason) if !reason.competes() => (1 + reason.index() as u32, 0, 0),
                _ => (0, 0, 0),
            },
            draw: None,
            row: UrlVerdict {
                url_key: (position.key >> 64) as u64,
                verdict: outcome.map_or(KEPT, Reason::code).to_owned(),
            },
        };
        self.put(group, &entry);
    }

    /// Writes a table to `folder`, from all groups; returns the files that it made.
    ///
    /// # Errors
    /// The work folder cannot be read, or a file cannot be written.
    pub(crate) fn write(&self, table: Table, groups: &JudgedGroups, folder: &Path) -> Result<Vec<LedgerFile>, Error> {
        match table {
            Table::Pages => self.write_table::<DroppedPage>(groups, folder),
            Table::Lines => self.write_table::<DroppedLine>(groups, folder),
            Table::Duplicates => self.write_table::<Duplicate>(groups, folder),
            Table::UrlVerdicts => self.write_table::<UrlVerdict>(groups, folder),
        }
    }

    fn write_table<R: LedgerRow>(&self, groups: &JudgedGroups, folder: &Path) -> Result<Vec<LedgerFile>, Error> {
        let count = buckets(groups.layout, R::TABLE);
        let buckets = Buckets::<Entry<R>>::new(groups, of_ledger(R::TABLE), 0, count);
        let mut writer = LedgerWriter::<R>::new(folder, FILE_BYTES);
        let mut last_key = None;
        let mut draw = self.0.sampler.draw();
        buckets.read(0, 1, |entries| {
            for entry in entries {
                let drawn = match (self.0.mode, entry.draw) {
                    (LedgerMode::Sample(_), Some((reason, priority))) => draw.takes(reason as usize, priority),
                    _ => true,
                };
                // One outcome a URL.
                let again = R::TABLE == Table::UrlVerdicts && last_key == Some(entry.key);
                last_key = Some(entry.key);
                if drawn && !again {
                    writer.write(entry.row)?;
                }
            }
            Ok(())
        })?;
        writer.finish()
    }
}

fn buckets(layout: Layout, table: Table) -> usize {
    layout.ledger[table as usize]
}

/// The text of `matched`, and its offset in bytes if it stands there in `text`, which may have been cut.
pub(crate) fn split_match(matched: Option<&Matched>, text: &str) -> (String, Option<u32>) {
    let Some(matched) = matched else {
        return (String::new(), None);
    };
    let start = matched.start as usize;
    let there = text.get(start..start + matched.text.len()) == Some(&*matched.text);
    (matched.text.clone(), there.then_some(matched.start))
}
