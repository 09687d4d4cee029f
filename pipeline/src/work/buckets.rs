//! Rows on their way to files: in buckets by the hash of their URL, which is also their order in
//! the corpus, so that reading the shards in order is reading a shuffled corpus.

use crate::runtime::memory::{LARGE_FRAME_BYTES, Large};
use crate::work::block::Frame;
use crate::work::intermediate::WorkRow;
use crate::work::judged_group::JudgedGroups;
use c4_data::Error;
use rayon::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;
use std::ops::Range;
use std::path::Path;

/// The most buckets of one table: bounds the table of slots that every group has.
const MOST_BUCKETS: u64 = 1 << 16;
/// The most buckets of rows, of all sets together.
const MOST_SLOTS: usize = 1 << 20;

/// The number of the part that holds `key`, where the 128-bit key space is cut into `parts` equal parts.
pub fn part(key: u128, parts: usize) -> usize {
    (((key >> 64) * parts as u128) >> 64) as usize
}

/// How many buckets of at most `bucket_bytes` bytes are wanted for `text_bytes` bytes of text that go to files of
/// `file_bytes`. Has no influence on what is written.
pub(crate) fn bucket_count(text_bytes: u64, file_bytes: u64, bucket_bytes: u64) -> usize {
    // A file reads whole buckets, so small files want small ones.
    let size = bucket_bytes.min(file_bytes).max(1);
    text_bytes.div_ceil(size).clamp(1, MOST_BUCKETS) as usize
}

/// How many buckets each of `sets` sets has, which have `text_bytes` bytes of text together: how much each set has is
/// not known beforehand.
pub(crate) fn bucket_count_of_sets(sets: usize, text_bytes: u64, file_bytes: u64, bucket_bytes: u64) -> usize {
    bucket_count(text_bytes, file_bytes, bucket_bytes).min(MOST_SLOTS / sets)
}

/// A row that is sorted into buckets by its key, and within them by key and tie.
pub(crate) trait Bucketed: Serialize + DeserializeOwned + Send {
    /// The MD5 of the normalised URL.
    fn key(&self) -> u128;
    /// The order among rows with one key.
    fn tie(&self) -> (u32, u64, u32);
}

impl Bucketed for WorkRow {
    fn key(&self) -> u128 {
        self.key
    }

    fn tie(&self) -> (u32, u64, u32) {
        (self.archive, self.page.record_offset, 0)
    }
}

/// The buckets of rows of one kind, in all groups.
pub(crate) struct Buckets<'g, T> {
    pub groups: &'g JudgedGroups,
    table: usize,
    /// The slot of the first bucket.
    first: usize,
    count: usize,
    /// How many buckets are read at once.
    step: usize,
    /// From so many unpacked bytes on, what is read at once is held by one thread alone ([`Large`]).
    large_bytes: usize,
    row: PhantomData<fn() -> T>,
}

impl<'g, T: Bucketed> Buckets<'g, T> {
    /// The buckets in `count` slots of `table`, from `first` on.
    pub(crate) fn new(groups: &'g JudgedGroups, table: usize, first: usize, count: usize) -> Self {
        Buckets {
            groups,
            table,
            first,
            count,
            step: 1,
            large_bytes: LARGE_FRAME_BYTES,
            row: PhantomData,
        }
    }

    /// Reads as many buckets at once as make up `bucket_bytes`, where all of them hold `bytes` bytes together.
    #[must_use]
    pub(crate) fn at_once(self, bytes: u64, bucket_bytes: u64) -> Self {
        let buckets = self.count as u128 * u128::from(bucket_bytes) / u128::from(bytes.max(1));
        let step = usize::try_from(buckets).unwrap_or(usize::MAX);
        let usual = usize::try_from(bucket_bytes).unwrap_or(usize::MAX);
        Buckets {
            step: step.clamp(1, self.count.max(1)),
            large_bytes: self.large_bytes.max(usual.saturating_mul(2)),
            ..self
        }
    }

    fn frames(&self, buckets: Range<usize>) -> Result<Vec<(&'g Path, Frame)>, Error> {
        let slots = self.first + buckets.start..self.first + buckets.end;
        self.groups.frames(self.table, slots)
    }

    /// Whether the frames are too large for every thread to hold as many at once.
    fn are_large(&self, frames: &[(&Path, Frame)]) -> bool {
        let unpacked = frames.iter().map(|(_, frame)| frame.unpacked_bytes());
        unpacked.sum::<usize>() >= self.large_bytes
    }

    fn unpack(frames: Vec<(&'g Path, Frame)>, of_file: impl Fn(&T) -> bool + Sync) -> Result<Vec<T>, Error> {
        let unpacked: Vec<Vec<T>> = frames
            .into_par_iter()
            .map(|(path, frame)| {
                let mut rows = frame.items(path)?;
                rows.retain(&of_file);
                Ok(rows)
            })
            .collect::<Result<_, Error>>()?;
        let mut rows: Vec<T> = unpacked.into_iter().flatten().collect();
        rows.sort_unstable_by_key(|row| (row.key(), row.tie()));
        Ok(rows)
    }

    /// Calls `each` with the rows of file `index` of `count`, some buckets at a time, in order. Must not be called in a
    /// task that rayon may run on a thread that waits for another: it may wait for [`Large`].
    ///
    /// # Errors
    /// The work folder cannot be read; or the error of `each`.
    pub(crate) fn read<E: From<Error> + Send>(
        &self,
        index: usize,
        count: usize,
        mut each: impl FnMut(Vec<T>) -> Result<(), E> + Send,
    ) -> Result<(), E> {
        let first = index * self.count / count;
        let end = ((index + 1) * self.count).div_ceil(count);
        let frames = |bucket: usize| self.frames(bucket..(bucket + self.step).min(end));
        let unpack = |frames| Self::unpack(frames, |row| part(row.key(), count) == index);
        // `None`: what is there is large.
        let load = |bucket: usize| -> Result<Option<Vec<T>>, Error> {
            let frames = match bucket < end {
                true => frames(bucket)?,
                false => Vec::new(),
            };
            match self.are_large(&frames) {
                true => Ok(None),
                false => unpack(frames).map(Some),
            }
        };
        let mut loaded = load(first)?;
        for bucket in (first..end).step_by(self.step) {
            let next = bucket + self.step;
            loaded = match loaded {
                // What comes next is read while this is worked on.
                Some(rows) => {
                    let (done, next) = rayon::join(|| each(rows), || load(next));
                    done?;
                    next?
                }
                None => {
                    let large = Large::wait();
                    each(unpack(frames(bucket)?)?)?;
                    drop(large);
                    load(next)?
                }
            };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::judged_group::{JudgedGroup, Layout, ROWS};
    use c4_data::Page;
    use std::collections::BTreeSet;

    fn row(i: u32) -> WorkRow {
        WorkRow {
            key: u128::from(i.wrapping_mul(0x9e37_79b9)) << 96,
            archive: i,
            page: Page::default(),
            language: String::new(),
            language_score: 0.0,
        }
    }

    #[test]
    fn shards_hold_all_rows_in_order_whatever_the_number_of_buckets() {
        let mut expected: Vec<u128> = (0..500).map(|i| row(i).key).collect();
        expected.sort_unstable();
        for text_bytes in [0, 5, 100] {
            let dir = tempfile::tempdir().unwrap();
            let count = bucket_count(text_bytes, u64::MAX, 1);
            let layout = Layout {
                sets: 1,
                rows: count,
                ledger: [1; 4],
                domains: 1,
            };
            let mut groups = JudgedGroups::of(dir.path(), 0, layout).unwrap();
            for batch in 0..5 {
                let mut group = JudgedGroup::new(layout);
                for row in (0..100).map(|i| row(batch * 100 + i)) {
                    let slot = part(row.key, count);
                    group.put(ROWS, slot, &row);
                }
                group.write(dir.path(), &mut groups).unwrap();
            }
            let groups = JudgedGroups::of(dir.path(), groups.origin, layout).unwrap();
            assert_eq!(
                groups
                    .frames(ROWS, 0..count)
                    .unwrap()
                    .iter()
                    .map(|(path, _)| path)
                    .collect::<BTreeSet<_>>()
                    .len(),
                5
            );
            for (shards, at_once) in [(1, 1), (3, 1), (7, 1), (1, 7), (3, 20), (7, 1000)] {
                let buckets = Buckets::new(&groups, ROWS, 0, count).at_once(count as u64, at_once);
                let mut keys = Vec::new();
                for shard in 0..shards {
                    let each = |rows: Vec<WorkRow>| {
                        assert!(rows.iter().all(|row| part(row.key, shards) == shard));
                        keys.extend(rows.iter().map(|row| row.key));
                        Ok::<(), Error>(())
                    };
                    buckets.read(shard, shards, each).unwrap();
                }
                assert_eq!(keys, expected);
            }
        }
    }
}
