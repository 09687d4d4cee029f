//! The ledger while a build runs: what is noted, what is drawn, and how it becomes files.
//!
//! What the rules drop is known in pass 1, but whether it counts (only the newest page of a URL does)
//! after pass 2. So pass 1 notes candidates beside the pages in the spool, a quarter more than are
//! wanted ([`noted`]), and pass 4 draws from those that count. (With more than a fifth of a reason's
//! pages on older copies, its sample is smaller than asked for; it is still the same on every run.)

use crate::work::buckets::{Bucketed, Buckets, part};
use crate::work::intermediate::Matched;
use crate::work::judged_group::{Group, Groups, Layout, of_ledger};
use crate::work::sample::Sampler;
use c4_data::Error;
use c4_data::ledger::{DroppedLine, DroppedPage, Duplicate, KEPT, LedgerRow, LedgerWriter, Table, UrlVerdict};
use c4_data::{LedgerFile, LedgerMode};
use c4_filters::Reason;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::Path;

/// Text of a page in a sample, so that a thousand long pages are no burden.
const SAMPLE_TEXT_BYTES: usize = 8 << 10;
/// Text of a ledger's file.
const FILE_BYTES: u64 = 256 << 20;

/// How many things of a reason pass 1 notes for a sample of `n`.
pub(crate) fn noted(n: u64) -> u64 {
    n.saturating_add(n / 4 + 1)
}

/// What pass 1 notes for the ledger.
pub(crate) struct Candidates {
    mode: LedgerMode,
    sampler: Sampler,
}

impl Candidates {
    /// None yet.
    pub(crate) fn new(mode: LedgerMode) -> Candidates {
        let limit = match mode {
            LedgerMode::Sample(n) => usize::try_from(noted(n)).unwrap_or(usize::MAX),
            _ => 0,
        };
        Candidates {
            mode,
            sampler: Sampler::new(Reason::ALL.len(), limit),
        }
    }

    /// Whether there is a ledger at all.
    pub(crate) fn are_wanted(&self) -> bool {
        self.mode != LedgerMode::None
    }

    /// Whether to note a page or line that went for `reason`; what is drawn for the sample is added to
    /// `drawn`, so that the draw can be made again ([`remember`](Candidates::remember)).
    pub(crate) fn offer(&self, reason: Reason, priority: u64, drawn: &mut Drawn) -> bool {
        offer(self.mode, &self.sampler, reason, priority, drawn)
    }

    /// Takes up the draw of a build that was stopped.
    pub(crate) fn remember(&self, drawn: &Drawn) {
        remember(&self.sampler, drawn);
    }

    /// Whether it was noted, whatever the order in which things came; after all have come.
    pub(crate) fn hold(&self, reason: Reason, priority: u64) -> bool {
        match self.mode {
            LedgerMode::All => true,
            LedgerMode::Sample(_) => self.sampler.holds(reason as usize, priority),
            LedgerMode::None => false,
        }
    }

    /// The text of a page, as much of it as the ledger holds.
    pub(crate) fn text<'t>(&self, text: &'t str) -> &'t str {
        match self.mode {
            LedgerMode::All => text,
            _ => &text[..text.floor_char_boundary(SAMPLE_TEXT_BYTES)],
        }
    }
}

/// What was drawn for a sample: reasons, and places in the draw.
pub(crate) type Drawn = Vec<(Reason, u64)>;

fn offer(mode: LedgerMode, sampler: &Sampler, reason: Reason, priority: u64, drawn: &mut Drawn) -> bool {
    match mode {
        LedgerMode::All => true,
        LedgerMode::None => false,
        LedgerMode::Sample(_) => {
            let taken = sampler.offer(reason as usize, priority);
            if taken {
                drawn.push((reason, priority));
            }
            taken
        }
    }
}

/// All that was not drawn was larger than the bound of that time, so what was drawn gives the same bound.
fn remember(sampler: &Sampler, drawn: &Drawn) {
    for (reason, priority) in drawn {
        sampler.offer(*reason as usize, *priority);
    }
}

/// A place in a text, as the ledger holds it.
pub(crate) fn matched(text: &str, range: Range<usize>) -> Matched {
    Matched {
        text: text[range.clone()].to_owned(),
        start: u32::try_from(range.start).unwrap_or(u32::MAX),
    }
}

/// A row on its way to its table.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Entry<R> {
    key: u128,
    tie: (u32, u64, u32),
    /// Place in the draw, if there is one.
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

/// Where a page is in the build: MD5 of its normalised URL, place of its archive, order in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// MD5 of the normalised URL.
    pub key: u128,
    /// Place of the archive.
    pub archive: u32,
    /// Order in the archive.
    pub order: u64,
}

/// The ledger of a build in pass 4.
pub(crate) struct Ledger {
    mode: LedgerMode,
    sampler: Sampler,
}

impl Ledger {
    /// Nothing in it yet.
    pub(crate) fn new(mode: LedgerMode) -> Ledger {
        let limit = match mode {
            LedgerMode::Sample(n) => usize::try_from(n).unwrap_or(usize::MAX),
            _ => 0,
        };
        Ledger {
            mode,
            sampler: Sampler::new(Reason::ALL.len(), limit),
        }
    }

    /// Whether there is a ledger at all.
    pub(crate) fn is_kept(&self) -> bool {
        self.mode != LedgerMode::None
    }

    /// Takes up the draw of a build that was stopped.
    pub(crate) fn remember(&self, drawn: &Drawn) {
        remember(&self.sampler, drawn);
    }

    fn draw(&self, group: &mut Group, reason: Reason, priority: u64) -> bool {
        let drawn = &mut group.summary.drawn;
        offer(self.mode, &self.sampler, reason, priority, drawn)
    }

    fn put<R: LedgerRow>(&self, group: &mut Group, entry: &Entry<R>) {
        let slot = part(entry.key, buckets(group.layout(), R::TABLE));
        group.put(of_ledger(R::TABLE), slot, entry);
    }

    /// Adds a dropped page, if it may be in the sample.
    pub(crate) fn page(
        &self,
        group: &mut Group,
        place: Place,
        (reason, priority): (Reason, u64),
        row: impl FnOnce() -> DroppedPage,
    ) {
        if !self.draw(group, reason, priority) {
            return;
        }
        let entry = Entry {
            key: place.key,
            tie: (place.archive, place.order, 0),
            draw: Some((reason, priority)),
            row: row(),
        };
        self.put(group, &entry);
    }

    /// Adds a dropped line, if it may be in the sample.
    pub(crate) fn line(
        &self,
        group: &mut Group,
        place: Place,
        (reason, priority): (Reason, u64),
        number: u32,
        row: impl FnOnce() -> DroppedLine,
    ) {
        if !self.draw(group, reason, priority) {
            return;
        }
        let entry = Entry {
            key: place.key,
            tie: (place.archive, place.order, number),
            draw: Some((reason, priority)),
            row: row(),
        };
        self.put(group, &entry);
    }

    /// Adds a copy that went.
    pub(crate) fn duplicate(&self, group: &mut Group, place: Place, row: Duplicate) {
        if !self.is_kept() {
            return;
        }
        let entry = Entry {
            key: place.key,
            tie: (place.archive, place.order, row.position),
            draw: None,
            row,
        };
        self.put(group, &entry);
    }

    /// Adds what became of a page; not for older copies.
    pub(crate) fn verdict(&self, group: &mut Group, place: Place, dropped: Option<Reason>) {
        if !self.is_kept() {
            return;
        }
        let entry = Entry {
            key: place.key,
            // Of one URL the page that competed comes before those that did not.
            tie: match dropped {
                Some(reason) if !reason.competes() => (1 + reason.index() as u32, 0, 0),
                _ => (0, 0, 0),
            },
            draw: None,
            row: UrlVerdict {
                url_key: (place.key >> 64) as u64,
                verdict: dropped.map_or(KEPT, Reason::code).to_owned(),
            },
        };
        self.put(group, &entry);
    }

    /// Writes a table to `folder`, from all groups.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn write(
        &self,
        table: Table,
        groups: &Groups,
        layout: Layout,
        folder: &Path,
    ) -> Result<Vec<LedgerFile>, Error> {
        match table {
            Table::Pages => self.write_table::<DroppedPage>(groups, layout, folder),
            Table::Lines => self.write_table::<DroppedLine>(groups, layout, folder),
            Table::Duplicates => self.write_table::<Duplicate>(groups, layout, folder),
            Table::UrlVerdicts => self.write_table::<UrlVerdict>(groups, layout, folder),
        }
    }

    fn write_table<R: LedgerRow>(
        &self,
        groups: &Groups,
        layout: Layout,
        folder: &Path,
    ) -> Result<Vec<LedgerFile>, Error> {
        let count = buckets(layout, R::TABLE);
        let buckets = Buckets::<Entry<R>>::new(groups, of_ledger(R::TABLE), 0, count);
        let mut writer = LedgerWriter::<R>::new(folder, FILE_BYTES);
        let mut last_url = None;
        let mut draw = self.sampler.draw();
        buckets.read(0, 1, |entries| {
            for entry in entries {
                let drawn = match (self.mode, entry.draw) {
                    (LedgerMode::Sample(_), Some((reason, priority))) => draw.takes(reason as usize, priority),
                    _ => true,
                };
                // One verdict for each URL.
                let again = R::TABLE == Table::UrlVerdicts && last_url == Some(entry.key);
                last_url = Some(entry.key);
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

/// Both parts of what a rule went by.
pub(crate) fn split_match(matched: Option<&Matched>, text: &str) -> (String, Option<u32>) {
    let Some(matched) = matched else {
        return (String::new(), None);
    };
    let start = matched.start as usize;
    let there = text.get(start..start + matched.text.len()) == Some(&*matched.text);
    (matched.text.clone(), there.then_some(matched.start))
}
