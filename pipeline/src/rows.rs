//! Rows on their way to shards: in buckets by the hash of their URL, which is also their order in
//! the corpus, so that reading the shards in order is reading a shuffled corpus.

use crate::error::Error;
use crate::parallel::lock;
use crate::spool::{SpoolReader, SpoolWriter, SpooledRow, frame, unframe};
use c4_data::Split;
use rayon::prelude::*;
use std::path::Path;
use std::sync::Mutex;

/// Text of a bucket: what a thread holds in memory when it writes a shard.
const BUCKET_TEXT_BYTES: u64 = 16 << 20;
/// Bounds the files open at once.
const MAX_BUCKETS: u64 = 256;

/// The place of `key` among `parts` equal parts of the key space.
pub fn part(key: u128, parts: usize) -> usize {
    (((key >> 64) * parts as u128) >> 64) as usize
}

/// The buckets of both splits.
pub struct Buckets {
    splits: [Vec<Mutex<SpoolWriter>>; 2],
}

impl Buckets {
    /// Buckets in `work` for at most `text_bytes` of text in shards of `shard_size_bytes`. Their number has no influence on the
    /// corpus.
    pub fn new(work: &Path, text_bytes: u64, shard_size_bytes: u64) -> Buckets {
        // A shard reads whole buckets, so small shards want small ones.
        let size = BUCKET_TEXT_BYTES.min(shard_size_bytes.max(1));
        let many = text_bytes.div_ceil(size).clamp(1, MAX_BUCKETS);
        // A thousandth of the pages is for validation.
        let few = many.div_ceil(64);
        let bucket = |split: Split, i: u64| {
            SpoolWriter::new(work.join(format!("{}-{i:05}.spool", split.name())))
        };
        Buckets {
            splits: [(Split::Train, many), (Split::Validation, few)]
                .map(|(split, n)| (0..n).map(|i| Mutex::new(bucket(split, i))).collect()),
        }
    }

    /// Adds the rows of a batch.
    ///
    /// # Errors
    /// The work folder cannot be written.
    pub fn add(&self, split: Split, mut rows: Vec<SpooledRow>) -> Result<(), Error> {
        let buckets = &self.splits[split as usize];
        rows.sort_unstable_by_key(|row| row.key);
        for rows in rows.chunk_by(|a, b| part(a.key, buckets.len()) == part(b.key, buckets.len())) {
            let bucket = &buckets[part(rows[0].key, buckets.len())];
            let path = lock(bucket).path().to_owned();
            let frame = frame(&path, rows)?;
            lock(bucket).append(&frame)?;
        }
        Ok(())
    }

    /// Gives the rows of shard `index` of `count` to `each`, bucket by bucket, in order.
    ///
    /// # Errors
    /// The work folder cannot be read, or whatever `each` says.
    pub fn read(
        &self,
        split: Split,
        index: usize,
        count: usize,
        mut each: impl FnMut(Vec<SpooledRow>) -> Result<(), Error> + Send,
    ) -> Result<(), Error> {
        let buckets = &self.splits[split as usize];
        let first = index * buckets.len() / count;
        let end = ((index + 1) * buckets.len()).div_ceil(count);
        let load = |i: usize| -> Result<Vec<SpooledRow>, Error> {
            let path = lock(&buckets[i]).path().to_owned();
            let mut frames = Vec::new();
            if let Some(mut reader) = SpoolReader::<SpooledRow>::open(&path)? {
                while let Some(frame) = reader.next_frame()? {
                    frames.push(frame);
                }
            }
            let unpacked: Vec<Vec<SpooledRow>> = frames
                .into_par_iter()
                .map(|frame| unframe(&path, &frame))
                .collect::<Result<_, _>>()?;
            let of_shard = |row: &SpooledRow| part(row.key, count) == index;
            let mut rows: Vec<SpooledRow> =
                unpacked.into_iter().flatten().filter(of_shard).collect();
            rows.sort_unstable_by_key(|row| row.key);
            Ok(rows)
        };
        let mut loaded = load(first)?;
        for i in first..end {
            // The next bucket is read while this one is worked on.
            let last = i + 1 == end;
            let (done, next) = rayon::join(
                || each(loaded),
                || if last { Ok(Vec::new()) } else { load(i + 1) },
            );
            done?;
            loaded = next?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(i: u32) -> SpooledRow {
        SpooledRow {
            key: u128::from(i.wrapping_mul(0x9e37_79b9)) << 96,
            archive: i,
            record_offset: 0,
            url: String::new(),
            text: String::new(),
            timestamp: String::new(),
            content_type: String::new(),
            content_length: String::new(),
            language: String::new(),
            language_score: 0.0,
        }
    }

    #[test]
    fn shards_hold_all_rows_in_order_whatever_the_number_of_buckets() {
        let mut expected: Vec<u128> = (0..500).map(|i| row(i).key).collect();
        expected.sort_unstable();
        for text_bytes in [0, 5 * BUCKET_TEXT_BYTES, 100 * BUCKET_TEXT_BYTES] {
            let dir = tempfile::tempdir().unwrap();
            let buckets = Buckets::new(dir.path(), text_bytes, u64::MAX);
            for batch in 0..5 {
                let rows = (0..100).map(|i| row(batch * 100 + i)).collect();
                buckets.add(Split::Train, rows).unwrap();
            }
            for shards in [1, 3, 7] {
                let mut keys = Vec::new();
                for shard in 0..shards {
                    let each = |rows: Vec<SpooledRow>| {
                        assert!(rows.iter().all(|row| part(row.key, shards) == shard));
                        keys.extend(rows.iter().map(|row| row.key));
                        Ok(())
                    };
                    buckets.read(Split::Train, shard, shards, each).unwrap();
                }
                assert_eq!(keys, expected);
            }
        }
    }
}
