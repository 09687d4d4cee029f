//! Groups: what pass 4 makes of some segments, written together.
//!
//! What is kept of a segment, and what the ledger wants of it, goes to buckets by the hash of its URL.
//! A segment gives each of them little, so several segments are written as one file, a slot a bucket;
//! their pages count as judged when that file is there.

use crate::work::block::{self, Frame, Frames};
use crate::work::buckets::part;
use crate::work::shard_sets::SetSizes;
use crate::work::{WorkReader, WorkWriter, remove};
use c4_data::Error;
use c4_data::ledger::Table;
use c4_filters::{DomainCounts, DomainTable, Reached, Reason, Statistics};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Table of the corpus's rows: the buckets of each set, one [set](crate::work::shard_sets) after the other.
pub(crate) const ROWS: usize = 0;
const DOMAINS: usize = 5;
const SUMMARY: usize = 6;

/// The table of a table of the ledger.
pub(crate) fn of_ledger(table: Table) -> usize {
    1 + table as usize
}

/// Into how many buckets things go. Has no influence on what is written in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Layout {
    /// Sets of rows.
    pub sets: usize,
    /// Rows of one set.
    pub rows: usize,
    /// Rows of the ledger's tables, in the order of [`Table::ALL`].
    pub ledger: [usize; 4],
    /// DomainCounts.
    pub domains: usize,
}

/// What is known of the segments of a group besides rows.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// Which segments.
    pub segments: Vec<u32>,
    /// What became of their pages.
    pub statistics: Statistics,
    /// Of the sets that have rows.
    pub sets: SetSizes,
    /// Sentences of pages kept, with their places in the draw.
    pub sentences: Vec<(u64, u64)>,
    /// The most frequent duplicates, by rank.
    pub repeated: Vec<(usize, RepeatedText)>,
    /// What was drawn for the ledger: reasons, and places in the draw.
    pub drawn: Vec<(Reason, u64)>,
}

/// A line or span that many pages hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RepeatedText {
    /// How many copies there are.
    pub copies: u64,
    /// Its first characters.
    pub text: String,
    /// The page where it stays.
    pub url: String,
}

impl Summary {
    /// Adds another one.
    pub(crate) fn merge(&mut self, mut other: Summary) {
        self.segments.append(&mut other.segments);
        self.statistics += other.statistics;
        for (set, size) in other.sets {
            *self.sets.entry(set).or_default() += size;
        }
        self.sentences.append(&mut other.sentences);
        self.repeated.append(&mut other.repeated);
        self.drawn.append(&mut other.drawn);
    }
}

/// A group that is being made.
pub(crate) struct Group {
    layout: Layout,
    slots: BTreeMap<(usize, usize), Vec<u8>>,
    bytes: u64,
    /// What is known besides.
    pub summary: Summary,
    /// Pages by domain.
    pub domains: DomainCounts,
}

impl Group {
    /// An empty one.
    pub(crate) fn new(layout: Layout) -> Group {
        Group {
            layout,
            slots: BTreeMap::new(),
            bytes: 0,
            summary: Summary::default(),
            domains: DomainCounts::default(),
        }
    }

    /// The layout.
    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    /// Memory of what is in it, about.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes + self.domains.len() as u64 * 150
    }

    /// Adds an item to a slot.
    pub(crate) fn put<T: Serialize>(&mut self, table: usize, slot: usize, item: &T) {
        let list = self.slots.entry((table, slot)).or_default();
        let before = list.len();
        block::encode(item, list);
        self.bytes += (list.len() - before) as u64;
    }

    /// Adds another one.
    pub(crate) fn merge(&mut self, other: Group) {
        self.bytes += other.bytes;
        for (slot, list) in other.slots {
            let mine = self.slots.entry(slot).or_default();
            if mine.is_empty() {
                *mine = list;
            } else {
                mine.extend(list);
            }
        }
        self.summary.merge(other.summary);
        self.domains.merge(other.domains);
    }

    /// Writes it as the next of `groups`.
    ///
    /// # Errors
    /// The work folder cannot be written.
    pub(crate) fn write(mut self, work: &Path, groups: &mut Groups) -> Result<(), Error> {
        let path = path(work, groups.next);
        let domains = std::mem::take(&mut self.domains);
        for (name, reached) in domains.iter() {
            let slot = part(domain_key(name), self.layout.domains);
            self.put(DOMAINS, slot, &(name, reached));
        }
        let summary = std::mem::take(&mut self.summary);
        self.put(SUMMARY, 0, &summary);
        let mut writer = WorkWriter::create(&path)?;
        let Layout {
            sets,
            rows,
            ledger,
            domains,
        } = self.layout;
        let mut tables = vec![(ROWS, sets * rows), (DOMAINS, domains), (SUMMARY, 1)];
        tables.extend(Table::ALL.iter().zip(ledger).map(|(t, n)| (of_ledger(*t), n)));
        for (table, count) in tables {
            let mut of_table = writer.table(table, count);
            for ((_, slot), list) in self.slots.range((table, 0)..(table + 1, 0)) {
                of_table.put(*slot, Frame::new(list)?.bytes())?;
            }
            of_table.finish()?;
        }
        writer.finish(groups.origin)?;
        groups.next += 1;
        groups.paths.push(path);
        Ok(())
    }
}

/// The place of a domain in the key space.
fn domain_key(name: &str) -> u128 {
    c4_filters::url::md5(name)
}

/// The groups that are written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Groups {
    paths: Vec<PathBuf>,
    /// The number of the next one.
    next: usize,
    /// What stands for all that decides what is in them.
    pub origin: u64,
}

const PREFIX: &str = "group-";

fn path(work: &Path, number: usize) -> PathBuf {
    work.join(format!("{PREFIX}{number:05}"))
}

/// The groups in a work folder, by number, of whatever origin.
fn numbers(work: &Path) -> Result<Vec<usize>, Error> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(work).map_err(Error::io(work, "list"))? {
        let name = entry.map_err(Error::io(work, "list"))?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        numbers.extend(number.and_then(|number| number.parse::<usize>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

impl Groups {
    /// Those of a work folder and this origin. Others are removed, and what holds a segment a second time.
    ///
    /// # Errors
    /// The work folder cannot be read or written.
    pub(crate) fn of(work: &Path, origin: u64) -> Result<Groups, Error> {
        let mut groups = Groups {
            origin,
            ..Groups::default()
        };
        let mut known: HashSet<u32> = HashSet::new();
        for number in numbers(work)? {
            groups.next = number + 1;
            let path = path(work, number);
            let there = WorkReader::open_if_whole(&path)?;
            if there.is_some_and(|file| file.origin == origin) {
                let one = Groups {
                    paths: vec![path.clone()],
                    ..Groups::default()
                };
                let segments = one.summary()?.segments;
                if segments.iter().all(|segment| !known.contains(segment)) {
                    known.extend(segments);
                    groups.paths.push(path);
                    continue;
                }
            }
            remove(&path)?;
        }
        Ok(groups)
    }

    /// Whether a work folder holds any, of whatever origin.
    ///
    /// # Errors
    /// The work folder cannot be read.
    pub(crate) fn are_there(work: &Path) -> Result<bool, Error> {
        Ok(!numbers(work)?.is_empty())
    }

    /// What the files hold in some slots: a path, and frames.
    ///
    /// # Errors
    /// The work folder cannot be read.
    pub(crate) fn frames(&self, table: usize, slots: Range<usize>) -> Result<Vec<(&Path, Frame)>, Error> {
        let mut all = Vec::new();
        for path in &self.paths {
            let bytes = WorkReader::open(path)?.read(table, slots.clone())?;
            let mut frames = Frames::of_bytes(path, &bytes);
            while let Some(frame) = frames.next_frame()? {
                all.push((path.as_path(), frame));
            }
        }
        Ok(all)
    }

    fn items<T: DeserializeOwned>(&self, table: usize, slot: usize) -> Result<Vec<T>, Error> {
        let mut items = Vec::new();
        for (path, frame) in self.frames(table, slot..slot + 1)? {
            items.extend(frame.items::<T>(path)?);
        }
        Ok(items)
    }

    /// What is known of all groups.
    ///
    /// # Errors
    /// The work folder cannot be read.
    pub(crate) fn summary(&self) -> Result<Summary, Error> {
        let mut sum = Summary::default();
        for summary in self.items(SUMMARY, 0)? {
            sum.merge(summary);
        }
        Ok(sum)
    }

    /// The domains of all groups, a part at a time in memory.
    ///
    /// # Errors
    /// The work folder cannot be read.
    pub(crate) fn domains(&self, layout: Layout) -> Result<DomainTable, Error> {
        let mut table = DomainTable::default();
        for slot in 0..layout.domains {
            let mut part = DomainCounts::default();
            for (name, reached) in self.items::<(String, Reached)>(DOMAINS, slot)? {
                part.add(&name, &reached);
            }
            table.add(part);
        }
        Ok(table)
    }
}
