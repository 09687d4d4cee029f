//! Passes 2 and 3: of all copies with one key the best is kept; the others are noted for their segments as dropped.
//!
//! The key space is cut into parts, each a unit of work that fits into memory. A part reads its keys
//! from every segment, sorts them, and keeps the best copy of each. It then reads them again and
//! writes a [`DroppedCopy`] for every other one, in the order of segments. Reading twice costs little (keys
//! are a fraction of the texts), and it bounds memory by the number of different keys, not of copies: a line
//! that half of all pages hold takes as much as one that two pages hold.

use crate::error::Error;
use crate::runtime::stop;
use crate::work::block;
use crate::work::dedup_key::{CopyPlace, DedupKey, DroppedCopy};
use crate::work::segment::{MOST_SLOTS, Segments};
use crate::work::{WorkReader, WorkWriter, damaged, origin};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::path::{Path, PathBuf};

/// How many of the most repeated keys are listed.
const MOST_REPEATED: usize = 100;
/// The table of a part's file that holds dropped copies, a slot a segment.
const DROPPED: usize = 0;
/// The table of a part's file that holds the most repeated keys, in one slot.
const REPEATED: usize = 1;
/// The fewest keys of a part, unless that leaves cores without work.
const PART_KEYS: u64 = 1 << 14;

/// A key that many pages hold. Ordered by the number of copies, most first, then by hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct RepeatedKey {
    /// The number of copies, on pages that pass 2 has kept.
    pub copies: Reverse<u64>,
    hash: u128,
    /// The place of the kept copy.
    pub kept: CopyPlace,
}

/// How many parts `keys` keys are cut into, so that each has at most `memory` bytes.
pub(crate) fn part_count<K: DedupKey>(keys: u64, memory: u64, threads: usize) -> usize {
    let fit = (keys * K::MEMORY).div_ceil(memory.max(1));
    let busy = (keys / PART_KEYS).min(threads as u64 * 4);
    let count = fit.max(busy).max(1).next_power_of_two();
    count.min(MOST_SLOTS as u64) as usize
}

/// Pass 2 or 3 of a build, and the files that it leaves.
pub(crate) struct DedupPass<'a> {
    pub work: &'a Path,
    /// What the names of the pass's files begin with.
    pub name: &'static str,
    pub segments: &'a Segments,
    /// The table of the segments' files that holds the keys.
    pub table: usize,
    /// The number of parts that the key space is cut into.
    pub parts: usize,
    /// The bytes of keys that a part may hold in memory.
    pub memory: u64,
    /// The hash of all that the pass's decisions depend on.
    pub origin: u64,
}

impl DedupPass<'_> {
    fn path(&self, part: usize) -> PathBuf {
        let DedupPass { name, parts, .. } = self;
        self.work.join(format!("{name}-{part:04}-of-{parts:04}"))
    }

    /// The file of a part; `None` if the part is not done.
    fn open_if_done(&self, part: usize) -> Result<Option<WorkReader>, Error> {
        let there = WorkReader::open_if_whole(&self.path(part))?;
        Ok(there.filter(|file| file.origin == self.origin))
    }

    fn open(&self, part: usize) -> Result<WorkReader, Error> {
        let reader = WorkReader::open(&self.path(part))?;
        match reader.origin == self.origin {
            true => Ok(reader),
            false => Err(damaged(&self.path(part)).into()),
        }
    }

    /// The parts that are not done.
    ///
    /// # Errors
    /// The work folder cannot be read.
    pub(crate) fn todo(&self) -> Result<Vec<usize>, Error> {
        let mut todo = Vec::new();
        for part in 0..self.parts {
            if self.open_if_done(part)?.is_none() {
                todo.push(part);
            }
        }
        Ok(todo)
    }

    /// The hash of all that the pass has decided.
    ///
    /// # Errors
    /// The work folder cannot be read, or a part is not done.
    pub(crate) fn id(&self) -> Result<u64, Error> {
        let mut ids = vec![self.origin];
        for part in 0..self.parts {
            ids.push(self.open(part)?.id);
        }
        Ok(origin(ids))
    }

    /// Runs all parts that are not done. `is_kept` says whether the keys of a page (segment, page) count.
    ///
    /// # Errors
    /// The work folder cannot be read or written, or the build is asked to stop.
    pub(crate) fn run<K: DedupKey>(&self, is_kept: impl Fn(u32, u32) -> bool + Sync) -> Result<(), Error> {
        self.todo()?.into_par_iter().try_for_each(|part| {
            if stop::asked() {
                return Err(Error::Stopped);
            }
            self.run_part::<K>(part, &is_kept)
        })
    }

    fn run_part<K: DedupKey>(&self, part: usize, is_kept: &(impl Fn(u32, u32) -> bool + Sync)) -> Result<(), Error> {
        let keys = |segment| -> Result<_, Error> {
            let keys = self.segments.keys::<K>(segment, self.table, (part, self.parts))?;
            let counts = |key: &K| is_kept(key.place().segment, key.place().page);
            Ok(keys.into_iter().filter(counts))
        };
        let segments = 0..self.segments.all().len();
        let mut limit = (self.memory / K::MEMORY).max(1024) as usize;
        let mut best: Vec<(K, u32)> = Vec::new();
        for segment in segments.clone() {
            for key in keys(segment)? {
                if best.len() == limit {
                    combine(&mut best);
                    // More different keys than fit: the key space cannot be cut finer than this.
                    limit = limit.max(best.len() * 3 / 2);
                }
                best.push((key, 1));
            }
        }
        combine(&mut best);
        best.retain(|(_, copies)| *copies > 1);

        stop::crash_point("spill");
        let mut writer = WorkWriter::create(&self.path(part))?;
        let mut table = writer.table(DROPPED, segments.len());
        let mut bytes = Vec::new();
        for segment in segments {
            bytes.clear();
            let mut rest = &best[..];
            for key in keys(segment)? {
                // Both are in the order of hashes.
                rest = &rest[rest.partition_point(|(best, _)| best.hash() < key.hash())..];
                let Some((best, _)) = rest.first() else {
                    break;
                };
                let (place, kept) = (key.place(), best.place());
                if best.hash() == key.hash() && kept != place {
                    let CopyPlace { page, position, .. } = place;
                    DroppedCopy { page, position, kept }.put(&mut bytes);
                }
            }
            if !bytes.is_empty() {
                table.put(segment, &bytes)?;
            }
        }
        table.finish()?;
        let mut repeated: Vec<RepeatedKey> = Vec::new();
        for (key, copies) in &best {
            repeated.push(RepeatedKey {
                copies: Reverse(u64::from(*copies)),
                hash: key.hash(),
                kept: key.place(),
            });
            if repeated.len() >= 16 * MOST_REPEATED {
                leave_most_repeated(&mut repeated);
            }
        }
        leave_most_repeated(&mut repeated);
        let mut list = Vec::new();
        repeated.iter().for_each(|key| block::encode(key, &mut list));
        let mut table = writer.table(REPEATED, 1);
        table.put(0, &list)?;
        table.finish()?;
        writer.finish(self.origin)?;
        Ok(())
    }

    /// The dropped copies of a segment, in the order of pages and positions.
    ///
    /// # Errors
    /// The work folder cannot be read.
    pub(crate) fn dropped(&self, segment: usize) -> Result<Vec<DroppedCopy>, Error> {
        let mut dropped = Vec::new();
        for part in 0..self.parts {
            let path = self.path(part);
            let bytes = self.open(part)?.read(DROPPED, segment..segment + 1)?;
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                dropped.push(DroppedCopy::take(&mut rest).ok_or_else(|| damaged(&path))?);
            }
        }
        dropped.sort_unstable();
        Ok(dropped)
    }

    /// The [`MOST_REPEATED`] keys with most copies, ties by hash.
    ///
    /// # Errors
    /// The work folder cannot be read.
    pub(crate) fn repeated(&self) -> Result<Vec<RepeatedKey>, Error> {
        let mut repeated = Vec::new();
        for part in 0..self.parts {
            let path = self.path(part);
            let bytes = self.open(part)?.read(REPEATED, 0..1)?;
            repeated.extend(block::decode::<RepeatedKey>(&path, &bytes)?);
            leave_most_repeated(&mut repeated);
        }
        Ok(repeated)
    }
}

fn leave_most_repeated(repeated: &mut Vec<RepeatedKey>) {
    repeated.sort_unstable();
    repeated.truncate(MOST_REPEATED);
}

/// Leaves the best of the keys with one hash, with the number of copies, in the order of hashes.
fn combine<K: DedupKey>(keys: &mut Vec<(K, u32)>) {
    keys.sort_unstable_by(|(a, _), (b, _)| {
        let hashes = a.hash().cmp(&b.hash());
        hashes.then_with(|| a.rank().cmp(&b.rank()))
    });
    keys.dedup_by(|(next, copies), (best, sum)| {
        let same = next.hash() == best.hash();
        if same {
            *sum = sum.saturating_add(*copies);
        }
        same
    });
}

/// The pages that pass 2 drops for a newer one of their URL: a bit a page, a list a segment.
pub(crate) struct OlderPages(Vec<Box<[u64]>>);

impl OlderPages {
    /// Reads the older pages from the files of pass 2.
    ///
    /// # Errors
    /// The work folder cannot be read.
    pub(crate) fn read(urls: &DedupPass<'_>) -> Result<OlderPages, Error> {
        let mut older: Vec<Box<[u64]>> = Vec::new();
        for segment in urls.segments.all() {
            let words = (segment.entry.pages as usize).div_ceil(64);
            older.push(vec![0; words].into());
        }
        let read = |(segment, bits): (usize, &mut Box<[u64]>)| -> Result<(), Error> {
            for copy in urls.dropped(segment)? {
                bits[copy.page as usize / 64] |= 1 << (copy.page % 64);
            }
            Ok(())
        };
        older.par_iter_mut().enumerate().try_for_each(read)?;
        Ok(OlderPages(older))
    }

    pub(crate) fn holds(&self, segment: u32, page: u32) -> bool {
        self.0[segment as usize][page as usize / 64] >> (page % 64) & 1 == 1
    }
}
