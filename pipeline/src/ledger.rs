//! The ledger while a build runs: what is noted, what is drawn, and how it becomes files.
//!
//! What the rules drop is known in pass 1, but whether it counts (only the newest page of a URL does)
//! after pass 2. So pass 1 notes candidates beside the pages in the spool, a quarter more than are
//! wanted, and pass 4 draws from those that count. (With more than a fifth of a reason's pages on
//! older copies, its sample is smaller than asked for; it is still the same on every run.)

use crate::error::Error;
use crate::rows::{Bucketed, Buckets, bucket_count};
use crate::sample::{self, Sampler};
use crate::spool::Matched;
use c4_data::ledger::{
    DroppedLine, DroppedPage, Duplicate, Fate, KEPT, LedgerRow, LedgerWriter, Table,
};
use c4_data::{LedgerEntry, LedgerFile, LedgerMode};
use c4_filters::Reason;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::Path;

/// Text of a page in a sample, so that a thousand long pages are no burden.
const SAMPLE_TEXT_BYTES: usize = 8 << 10;
/// Text of a ledger's file.
const FILE_BYTES: u64 = 256 << 20;

/// What pass 1 notes for the ledger.
pub struct Candidates {
    mode: LedgerMode,
    sampler: Sampler,
}

impl Candidates {
    /// None yet.
    pub fn new(mode: LedgerMode) -> Candidates {
        let limit = match mode {
            LedgerMode::Sample(n) => {
                usize::try_from(n.saturating_add(n / 4 + 1)).unwrap_or(usize::MAX)
            }
            _ => 0,
        };
        Candidates {
            mode,
            sampler: Sampler::new(Reason::ALL.len(), limit),
        }
    }

    /// Whether there is a ledger at all.
    pub fn are_wanted(&self) -> bool {
        self.mode != LedgerMode::None
    }

    /// Whether to note a page or line that went for `reason`.
    pub fn offer(&self, reason: Reason, priority: u64) -> bool {
        match self.mode {
            LedgerMode::All => true,
            LedgerMode::Sample(_) => self.sampler.offer(reason as usize, priority),
            LedgerMode::None => false,
        }
    }

    /// Whether it was noted, whatever the order in which things came; after all have come.
    pub fn hold(&self, reason: Reason, priority: u64) -> bool {
        match self.mode {
            LedgerMode::All => true,
            LedgerMode::Sample(_) => self.sampler.holds(reason as usize, priority),
            LedgerMode::None => false,
        }
    }

    /// The text of a page, as much of it as the ledger holds.
    pub fn text<'t>(&self, text: &'t str) -> &'t str {
        match self.mode {
            LedgerMode::All => text,
            _ => &text[..text.floor_char_boundary(SAMPLE_TEXT_BYTES)],
        }
    }
}

/// A place in a text, as the ledger holds it.
pub fn matched(text: &str, range: Range<usize>) -> Matched {
    Matched {
        text: text[range.clone()].to_owned(),
        start: u32::try_from(range.start).unwrap_or(u32::MAX),
    }
}

/// A row on its way to its table.
#[derive(Debug, Serialize, Deserialize)]
pub struct Entry<R> {
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
pub struct Place {
    /// MD5 of the normalised URL.
    pub key: u128,
    /// Place of the archive.
    pub archive: u32,
    /// Order in the archive.
    pub order: u64,
}

/// What a batch of pass 4 adds.
#[derive(Default)]
pub struct Batch {
    pages: Vec<Entry<DroppedPage>>,
    lines: Vec<Entry<DroppedLine>>,
    duplicates: Vec<Entry<Duplicate>>,
    fates: Vec<Entry<Fate>>,
}

/// The ledger of a build in pass 4.
pub struct Ledger {
    mode: LedgerMode,
    sampler: Sampler,
    pages: Buckets<Entry<DroppedPage>>,
    lines: Buckets<Entry<DroppedLine>>,
    duplicates: Buckets<Entry<Duplicate>>,
    fates: Buckets<Entry<Fate>>,
}

impl Ledger {
    /// Spools in `work`, for pages with `text_bytes` of text.
    pub fn new(mode: LedgerMode, work: &Path, text_bytes: u64) -> Ledger {
        let limit = match mode {
            LedgerMode::Sample(n) => usize::try_from(n).unwrap_or(usize::MAX),
            _ => 0,
        };
        let count = bucket_count(text_bytes, FILE_BYTES);
        // Of these a row is a fraction of a page.
        let few = count.div_ceil(16);
        Ledger {
            mode,
            sampler: Sampler::new(Reason::ALL.len(), limit),
            pages: Buckets::new(work, "ledger-pages", count),
            lines: Buckets::new(work, "ledger-lines", count),
            duplicates: Buckets::new(work, "ledger-duplicates", few),
            fates: Buckets::new(work, "ledger-fates", few),
        }
    }

    /// Whether there is a ledger at all.
    pub fn is_kept(&self) -> bool {
        self.mode != LedgerMode::None
    }

    fn draw(&self, reason: Reason, priority: u64) -> bool {
        match self.mode {
            LedgerMode::All => true,
            LedgerMode::Sample(_) => self.sampler.offer(reason as usize, priority),
            LedgerMode::None => false,
        }
    }

    /// Adds a dropped page, if it may be in the sample.
    pub fn page(
        &self,
        batch: &mut Batch,
        place: Place,
        (reason, priority): (Reason, u64),
        row: impl FnOnce() -> DroppedPage,
    ) {
        if self.draw(reason, priority) {
            batch.pages.push(Entry {
                key: place.key,
                tie: (place.archive, place.order, 0),
                draw: Some((reason, priority)),
                row: row(),
            });
        }
    }

    /// Adds a dropped line, if it may be in the sample.
    pub fn line(
        &self,
        batch: &mut Batch,
        place: Place,
        (reason, priority): (Reason, u64),
        number: u32,
        row: impl FnOnce() -> DroppedLine,
    ) {
        if self.draw(reason, priority) {
            batch.lines.push(Entry {
                key: place.key,
                tie: (place.archive, place.order, number),
                draw: Some((reason, priority)),
                row: row(),
            });
        }
    }

    /// Adds a copy that went.
    pub fn duplicate(&self, batch: &mut Batch, place: Place, row: Duplicate) {
        if self.is_kept() {
            batch.duplicates.push(Entry {
                key: place.key,
                tie: (place.archive, place.order, row.position),
                draw: None,
                row,
            });
        }
    }

    /// Adds what became of a page; not for older copies.
    pub fn fate(&self, batch: &mut Batch, place: Place, fate: Option<Reason>) {
        if self.is_kept() {
            batch.fates.push(Entry {
                key: place.key,
                // Of one URL the page that competed comes before those that did not.
                tie: match fate {
                    Some(reason) if !reason.competes() => (1 + reason.index() as u32, 0, 0),
                    _ => (0, 0, 0),
                },
                draw: None,
                row: Fate {
                    url_key: (place.key >> 64) as u64,
                    fate: fate.map_or(KEPT, Reason::code).to_owned(),
                },
            });
        }
    }

    /// Takes a batch.
    ///
    /// # Errors
    /// The work folder cannot be written.
    pub fn add(&self, batch: Batch) -> Result<(), Error> {
        self.pages.add(batch.pages)?;
        self.lines.add(batch.lines)?;
        self.duplicates.add(batch.duplicates)?;
        self.fates.add(batch.fates)
    }

    /// Writes the tables to `folder`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, folder: &Path) -> Result<LedgerEntry, Error> {
        let mut entry = LedgerEntry {
            mode: self.mode,
            seed: sample::SEED,
            files: Vec::new(),
        };
        if !self.is_kept() {
            return Ok(entry);
        }
        std::fs::create_dir_all(folder).map_err(c4_data::Error::io(folder, "create"))?;
        let tables: Vec<Vec<LedgerFile>> = Table::ALL
            .into_par_iter()
            .map(|table| match table {
                Table::Pages => self.write_table(&self.pages, folder),
                Table::Lines => self.write_table(&self.lines, folder),
                Table::Duplicates => self.write_table(&self.duplicates, folder),
                Table::Fates => self.write_table(&self.fates, folder),
            })
            .collect::<Result<_, Error>>()?;
        entry.files = tables.into_iter().flatten().collect();
        Ok(entry)
    }

    fn write_table<R: LedgerRow>(
        &self,
        buckets: &Buckets<Entry<R>>,
        folder: &Path,
    ) -> Result<Vec<LedgerFile>, Error> {
        let mut writer = LedgerWriter::<R>::new(folder, FILE_BYTES);
        let mut last_fate = None;
        buckets.read(0, 1, |entries| {
            for entry in entries {
                let drawn = match (self.mode, entry.draw) {
                    (LedgerMode::Sample(_), Some((reason, priority))) => {
                        self.sampler.holds(reason as usize, priority)
                    }
                    _ => true,
                };
                // One fate a URL.
                let again = R::TABLE == Table::Fates && last_fate == Some(entry.key);
                last_fate = Some(entry.key);
                if drawn && !again {
                    writer.write(entry.row)?;
                }
            }
            Ok(())
        })?;
        Ok(writer.finish()?)
    }
}

/// Both parts of what a rule went by.
pub fn split_match(matched: Option<&Matched>, text: &str) -> (String, Option<u32>) {
    let Some(matched) = matched else {
        return (String::new(), None);
    };
    let start = matched.start as usize;
    let there = text.get(start..start + matched.text.len()) == Some(&*matched.text);
    (matched.text.clone(), there.then_some(matched.start))
}
