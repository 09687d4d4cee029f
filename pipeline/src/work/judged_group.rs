//! Judged groups: what pass 4 makes of some segments, written together.
//!
//! What is kept of a segment, and what the ledger wants of it, is sorted into buckets by the hash of its URL.
//! A segment has little for each of them, so several segments are written as one file, a slot a bucket;
//! their pages count as judged when that file is there.

use crate::work::block::{self, Frame, Frames};
use crate::work::buckets::part;
use crate::work::ledger::DrawnItems;
use crate::work::shard_sets::SetSizes;
use crate::work::{WorkReader, WorkWriter, remove};
use c4_data::Error;
use c4_data::ledger::Table;
use c4_filters::{DomainCounts, DomainTable, Reached, Statistics};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The table of the corpus's rows: the buckets of each set, one [set](crate::work::shard_sets) after the other.
pub(crate) const ROWS: usize = 0;
const DOMAINS: usize = 5;
const SUMMARY: usize = 6;

/// The table of a group's file that holds rows of a table of the ledger.
pub(crate) fn of_ledger(table: Table) -> usize {
    1 + table as usize
}

/// How many buckets there are for what pass 4 writes. Has no influence on the corpus.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Layout {
    /// The number of [sets](crate::work::shard_sets) of rows.
    pub sets: usize,
    /// Buckets of the rows of one set.
    pub rows: usize,
    /// Buckets of each of the ledger's tables, in the order of [`Table::ALL`].
    pub ledger: [usize; 4],
    /// Buckets of domains.
    pub domains: usize,
}

impl Layout {
    /// The slot of the first bucket of a set.
    pub(crate) fn first_slot(self, set: usize) -> usize {
        set * self.rows
    }

    /// The slot of a row in the table [`ROWS`].
    pub(crate) fn row_slot(self, set: usize, key: u128) -> usize {
        self.first_slot(set) + part(key, self.rows)
    }
}

/// What pass 4 knows of the segments of a group beside their rows.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// The numbers of the segments.
    pub segments: Vec<u32>,
    /// The counts of what became of the segments' pages.
    pub statistics: Statistics,
    /// The sizes of the sets that have rows.
    pub sets: SetSizes,
    /// Priorities in the draw of kept pages, with the number of their sentences.
    pub sentences: Vec<(u64, u64)>,
    /// The most frequent duplicates, by rank.
    pub repeated: Vec<(usize, RepeatedText)>,
    /// What was drawn for the ledger's sample.
    pub drawn: DrawnItems,
}

/// A line or span that many pages hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RepeatedText {
    pub copies: u64,
    /// The first characters of the copy.
    pub text: String,
    /// The URL of the page that keeps its copy.
    pub url: String,
}

impl Summary {
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

/// What pass 4 has made of some segments, in memory until it is written.
pub(crate) struct JudgedGroup {
    layout: Layout,
    slots: BTreeMap<(usize, usize), Vec<u8>>,
    bytes: u64,
    pub summary: Summary,
    /// The counts of pages by domain.
    pub domains: DomainCounts,
}

impl JudgedGroup {
    pub(crate) fn new(layout: Layout) -> JudgedGroup {
        JudgedGroup {
            layout,
            slots: BTreeMap::new(),
            bytes: 0,
            summary: Summary::default(),
            domains: DomainCounts::default(),
        }
    }

    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    /// The memory of the group in bytes, about.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes + self.domains.len() as u64 * 150
    }

    /// Appends an item to the list of a slot.
    pub(crate) fn put<T: Serialize>(&mut self, table: usize, slot: usize, item: &T) {
        let list = self.slots.entry((table, slot)).or_default();
        let before = list.len();
        block::encode(item, list);
        self.bytes += (list.len() - before) as u64;
    }

    pub(crate) fn merge(&mut self, other: JudgedGroup) {
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

    /// Writes the group as the next of `groups`, compressed and synced.
    ///
    /// # Errors
    /// The work folder cannot be written.
    pub(crate) fn write(mut self, work: &Path, groups: &mut JudgedGroups) -> Result<(), Error> {
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

/// The key by which a domain is sorted into buckets.
fn domain_key(name: &str) -> u128 {
    c4_filters::url::md5(name)
}

/// The groups that are written, of one work folder and origin.
#[derive(Debug, Clone, Default)]
pub(crate) struct JudgedGroups {
    paths: Vec<PathBuf>,
    /// The number of the next group.
    next: usize,
    pub layout: Layout,
    /// The hash of all that the groups' content depends on.
    pub origin: u64,
}

const PREFIX: &str = "group-";

fn path(work: &Path, number: usize) -> PathBuf {
    work.join(format!("{PREFIX}{number:05}"))
}

/// The numbers of the groups in a work folder, of whatever origin.
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

impl JudgedGroups {
    /// Finds the groups of this origin in a work folder. Removes those of another one, and any that holds a segment a
    /// second time.
    ///
    /// # Errors
    /// The work folder cannot be read or written.
    pub(crate) fn of(work: &Path, origin: u64, layout: Layout) -> Result<JudgedGroups, Error> {
        let mut groups = JudgedGroups {
            origin,
            layout,
            ..JudgedGroups::default()
        };
        let mut known: HashSet<u32> = HashSet::new();
        for number in numbers(work)? {
            groups.next = number + 1;
            let path = path(work, number);
            let there = WorkReader::open_if_whole(&path)?;
            if there.is_some_and(|file| file.origin == origin) {
                let one = JudgedGroups {
                    paths: vec![path.clone()],
                    ..JudgedGroups::default()
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

    /// Whether a work folder holds a group, of whatever origin.
    ///
    /// # Errors
    /// The work folder cannot be read.
    pub(crate) fn are_there(work: &Path) -> Result<bool, Error> {
        Ok(!numbers(work)?.is_empty())
    }

    /// The frames that all groups hold in some slots, each with the path of its file.
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

    /// The summaries of all groups, merged.
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

    /// The counts by domain of all groups; a bucket at a time is in memory.
    ///
    /// # Errors
    /// The work folder cannot be read.
    pub(crate) fn domains(&self) -> Result<DomainTable, Error> {
        let mut table = DomainTable::default();
        for slot in 0..self.layout.domains {
            let mut part = DomainCounts::default();
            for (name, reached) in self.items::<(String, Reached)>(DOMAINS, slot)? {
                part.add(&name, &reached);
            }
            table.add(part);
        }
        Ok(table)
    }
}
