//! Passes 2 and 3: of all claims with one key the best stays; the others are told to their segments.
//!
//! The key space is cut into parts, each a unit of work that fits into memory. A part reads its claims
//! from every segment, sorts them, and keeps the best of each key. It then reads them again and
//! writes a loser for every other copy, in the order of segments. Reading twice costs little (claims
//! are a fraction of the texts), and it bounds memory by the number of keys, not of copies: a line
//! that half of all pages hold takes as much as one that two pages hold.

use crate::error::Error;
use crate::runtime::stop;
use crate::work::block;
use crate::work::dedup_key::{Claim, Loser, Place};
use crate::work::segment::{MOST_SLOTS, Segments};
use crate::work::{WorkReader, WorkWriter, damaged, origin};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::path::{Path, PathBuf};

/// Keys with most copies that are listed.
const MOST_REPEATED: usize = 100;
/// Tables of a part's file: losers by segment; the most repeated keys.
const LOSERS: usize = 0;
const REPEATED: usize = 1;
/// A part has at least as many claims, unless there are too few for all cores.
const PART_CLAIMS: u64 = 1 << 14;

/// A key that many pages hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Repeated {
    /// How many copies there are, on pages that are still in.
    pub copies: Reverse<u64>,
    key: u128,
    /// The one that stays.
    pub winner: Place,
}

#[derive(Serialize, Deserialize)]
struct StoredRepeated {
    copies: u64,
    key: u128,
    segment: u32,
    page: u32,
    position: u32,
    record_offset: u64,
}

/// How many parts `claims` claims are cut into, so that each has at most `memory` bytes.
pub(crate) fn part_count<C: Claim>(claims: u64, memory: u64, threads: usize) -> usize {
    let fit = (claims * C::MEMORY).div_ceil(memory.max(1));
    let busy = (claims / PART_CLAIMS).min(threads as u64 * 4);
    let count = fit.max(busy).max(1).next_power_of_two();
    count.min(MOST_SLOTS as u64) as usize
}

/// One of the two passes.
pub(crate) struct Election<'a> {
    /// The work folder.
    pub work: &'a Path,
    /// What its files are called.
    pub name: &'static str,
    /// Where the claims are.
    pub segments: &'a Segments,
    /// Which table they are in.
    pub table: usize,
    /// Parts of the key space.
    pub parts: usize,
    /// Claims that a part may hold in memory.
    pub memory: u64,
    /// What stands for all that decides it.
    pub origin: u64,
}

impl Election<'_> {
    fn path(&self, part: usize) -> PathBuf {
        let Election { name, parts, .. } = self;
        self.work.join(format!("{name}-{part:04}-of-{parts:04}"))
    }

    /// The file of a part, if the part is done.
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

    /// Parts that are not done.
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

    /// What stands for all that it has decided.
    ///
    /// # Errors
    /// The work folder cannot be read.
    pub(crate) fn id(&self) -> Result<u64, Error> {
        let mut ids = vec![self.origin];
        for part in 0..self.parts {
            ids.push(self.open(part)?.id);
        }
        Ok(origin(ids))
    }

    /// Runs all parts that are not done. `alive` says whether the claims of a page (segment, page)
    /// count.
    ///
    /// # Errors
    /// The work folder cannot be read or written, or the build is asked to stop.
    pub(crate) fn run<C: Claim>(&self, alive: impl Fn(u32, u32) -> bool + Sync) -> Result<(), Error> {
        self.todo()?.into_par_iter().try_for_each(|part| {
            if stop::asked() {
                return Err(Error::Stopped);
            }
            self.run_part::<C>(part, &alive)
        })
    }

    fn run_part<C: Claim>(&self, part: usize, alive: &(impl Fn(u32, u32) -> bool + Sync)) -> Result<(), Error> {
        let claims = |segment| -> Result<_, Error> {
            let claims = self.segments.claims::<C>(segment, self.table, (part, self.parts))?;
            let alive = |claim: &C| alive(claim.place().segment, claim.place().page);
            Ok(claims.into_iter().filter(alive))
        };
        let segments = 0..self.segments.all().len();
        let mut limit = (self.memory / C::MEMORY).max(1024) as usize;
        let mut best: Vec<(C, u32)> = Vec::new();
        for segment in segments.clone() {
            for claim in claims(segment)? {
                if best.len() == limit {
                    combine(&mut best);
                    // More keys than fit: keys cannot be cut finer than this.
                    limit = limit.max(best.len() * 3 / 2);
                }
                best.push((claim, 1));
            }
        }
        combine(&mut best);
        best.retain(|(_, copies)| *copies > 1);

        stop::crash_point("spill");
        let mut writer = WorkWriter::create(&self.path(part))?;
        let mut table = writer.table(LOSERS, segments.len());
        let mut bytes = Vec::new();
        for segment in segments {
            bytes.clear();
            let mut rest = &best[..];
            for claim in claims(segment)? {
                // Both are in the order of keys.
                rest = &rest[rest.partition_point(|(best, _)| best.key() < claim.key())..];
                let Some((stays, _)) = rest.first() else {
                    break;
                };
                if stays.key() == claim.key() && stays.place() != claim.place() {
                    let Place { page, position, .. } = claim.place();
                    let winner = stays.place();
                    Loser { page, position, winner }.put(&mut bytes);
                }
            }
            if !bytes.is_empty() {
                table.put(segment, &bytes)?;
            }
        }
        table.finish()?;
        let mut repeated: Vec<Repeated> = Vec::new();
        for (claim, copies) in &best {
            repeated.push(Repeated {
                copies: Reverse(u64::from(*copies)),
                key: claim.key(),
                winner: claim.place(),
            });
            if repeated.len() >= 16 * MOST_REPEATED {
                most(&mut repeated);
            }
        }
        most(&mut repeated);
        let mut list = Vec::new();
        for Repeated { copies, key, winner } in repeated {
            let stored = StoredRepeated {
                copies: copies.0,
                key,
                segment: winner.segment,
                page: winner.page,
                position: winner.position,
                record_offset: winner.record_offset,
            };
            block::encode(&stored, &mut list);
        }
        let mut table = writer.table(REPEATED, 1);
        table.put(0, &list)?;
        table.finish()?;
        writer.finish(self.origin)?;
        Ok(())
    }

    /// The losers of a segment, in the order of pages and positions.
    ///
    /// # Errors
    /// The work folder cannot be read.
    pub(crate) fn losers(&self, segment: usize) -> Result<Vec<Loser>, Error> {
        let mut losers = Vec::new();
        for part in 0..self.parts {
            let path = self.path(part);
            let bytes = self.open(part)?.read(LOSERS, segment..segment + 1)?;
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                losers.push(Loser::take(&mut rest).ok_or_else(|| damaged(&path))?);
            }
        }
        losers.sort_unstable();
        Ok(losers)
    }

    /// The keys with most copies, ties by key.
    ///
    /// # Errors
    /// The work folder cannot be read.
    pub(crate) fn repeated(&self) -> Result<Vec<Repeated>, Error> {
        let mut repeated = Vec::new();
        for part in 0..self.parts {
            let path = self.path(part);
            let bytes = self.open(part)?.read(REPEATED, 0..1)?;
            let stored: Vec<StoredRepeated> = block::decode(&path, &bytes)?;
            repeated.extend(stored.into_iter().map(|stored| Repeated {
                copies: Reverse(stored.copies),
                key: stored.key,
                winner: Place {
                    segment: stored.segment,
                    page: stored.page,
                    position: stored.position,
                    record_offset: stored.record_offset,
                },
            }));
            most(&mut repeated);
        }
        Ok(repeated)
    }
}

/// Leaves the keys with most copies, in order.
fn most(repeated: &mut Vec<Repeated>) {
    repeated.sort_unstable();
    repeated.truncate(MOST_REPEATED);
}

/// Leaves the best claim of each key, with the number of copies, in the order of keys.
fn combine<C: Claim>(claims: &mut Vec<(C, u32)>) {
    claims.sort_unstable_by(|(a, _), (b, _)| {
        let keys = a.key().cmp(&b.key());
        keys.then_with(|| a.rank().cmp(&b.rank()))
    });
    claims.dedup_by(|(next, copies), (best, sum)| {
        let same = next.key() == best.key();
        if same {
            *sum = sum.saturating_add(*copies);
        }
        same
    });
}

/// Pages that have lost their URL: a bit a page.
pub(crate) struct Older(Vec<Box<[u64]>>);

impl Older {
    /// Reads them from the files of pass 2.
    ///
    /// # Errors
    /// The work folder cannot be read.
    pub(crate) fn read(election: &Election<'_>) -> Result<Older, Error> {
        let mut older: Vec<Box<[u64]>> = Vec::new();
        for segment in election.segments.all() {
            let words = (segment.entry.pages as usize).div_ceil(64);
            older.push(vec![0; words].into());
        }
        let read = |(segment, bits): (usize, &mut Box<[u64]>)| -> Result<(), Error> {
            for loser in election.losers(segment)? {
                bits[loser.page as usize / 64] |= 1 << (loser.page % 64);
            }
            Ok(())
        };
        older.par_iter_mut().enumerate().try_for_each(read)?;
        Ok(Older(older))
    }

    /// Whether a page has lost.
    pub(crate) fn holds(&self, segment: u32, page: u32) -> bool {
        self.0[segment as usize][page as usize / 64] >> (page % 64) & 1 == 1
    }
}
