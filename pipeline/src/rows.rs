//! Rows on their way to files: in buckets by the hash of their URL, which is also their order in
//! the corpus, so that reading the shards in order is reading a shuffled corpus.

use crate::error::Error;
use crate::parallel::lock;
use crate::spool::{SpoolReader, SpoolWriter, SpooledRow, frame, unframe};
use rayon::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Mutex;

/// Text of a bucket: what a thread holds in memory when it writes a file.
const BUCKET_TEXT_BYTES: u64 = 16 << 20;
/// Bounds the files open at once.
const MAX_BUCKETS: u64 = 256;

/// The place of `key` among `parts` equal parts of the key space.
pub fn part(key: u128, parts: usize) -> usize {
    (((key >> 64) * parts as u128) >> 64) as usize
}

/// How many buckets `text_bytes` of text in files of `file_bytes` want. Has no influence on what is
/// written.
pub fn bucket_count(text_bytes: u64, file_bytes: u64) -> u64 {
    // A file reads whole buckets, so small files want small ones.
    let size = BUCKET_TEXT_BYTES.min(file_bytes.max(1));
    text_bytes.div_ceil(size).clamp(1, MAX_BUCKETS)
}

/// What goes through buckets.
pub trait Bucketed: Serialize + DeserializeOwned + Send {
    /// MD5 of the normalised URL.
    fn key(&self) -> u128;
    /// Place among rows of the same key.
    fn tie(&self) -> (u32, u64, u32);
}

impl Bucketed for SpooledRow {
    fn key(&self) -> u128 {
        self.key
    }

    fn tie(&self) -> (u32, u64, u32) {
        (self.archive, self.record_offset, 0)
    }
}

/// Rows of one kind.
pub struct Buckets<T> {
    buckets: Vec<Mutex<SpoolWriter>>,
    row: PhantomData<fn() -> T>,
}

impl<T: Bucketed> Buckets<T> {
    /// `count` buckets in `work`, in files that start with `name`.
    pub fn new(work: &Path, name: &str, count: u64) -> Buckets<T> {
        let bucket = |i| SpoolWriter::new(work.join(format!("{name}-{i:05}.spool")));
        Buckets {
            buckets: (0..count).map(|i| Mutex::new(bucket(i))).collect(),
            row: PhantomData,
        }
    }

    /// Adds the rows of a batch.
    ///
    /// # Errors
    /// The work folder cannot be written.
    pub fn add(&self, mut rows: Vec<T>) -> Result<(), Error> {
        let buckets = &self.buckets;
        let place = |row: &T| part(row.key(), buckets.len());
        rows.sort_unstable_by_key(T::key);
        for rows in rows.chunk_by(|a, b| place(a) == place(b)) {
            let bucket = &buckets[place(&rows[0])];
            let path = lock(bucket).path().to_owned();
            let frame = frame(&path, rows)?;
            lock(bucket).append(&frame)?;
        }
        Ok(())
    }

    /// Gives the rows of file `index` of `count` to `each`, bucket by bucket, in order.
    ///
    /// # Errors
    /// The work folder cannot be read, or whatever `each` says.
    pub fn read(
        &self,
        index: usize,
        count: usize,
        mut each: impl FnMut(Vec<T>) -> Result<(), Error> + Send,
    ) -> Result<(), Error> {
        let buckets = &self.buckets;
        let first = index * buckets.len() / count;
        let end = ((index + 1) * buckets.len()).div_ceil(count);
        let load = |i: usize| -> Result<Vec<T>, Error> {
            let path = lock(&buckets[i]).path().to_owned();
            let mut frames = Vec::new();
            if let Some(mut reader) = SpoolReader::<T>::open(&path)? {
                while let Some(frame) = reader.next_frame()? {
                    frames.push(frame);
                }
            }
            let unpacked: Vec<Vec<T>> = frames
                .into_par_iter()
                .map(|frame| unframe(&path, &frame))
                .collect::<Result<_, _>>()?;
            let of_file = |row: &T| part(row.key(), count) == index;
            let mut rows: Vec<T> = unpacked.into_iter().flatten().filter(of_file).collect();
            rows.sort_unstable_by_key(|row| (row.key(), row.tie()));
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
            let count = bucket_count(text_bytes, u64::MAX);
            let buckets = Buckets::new(dir.path(), "rows", count);
            for batch in 0..5 {
                let rows = (0..100).map(|i| row(batch * 100 + i)).collect();
                buckets.add(rows).unwrap();
            }
            for shards in [1, 3, 7] {
                let mut keys = Vec::new();
                for shard in 0..shards {
                    let each = |rows: Vec<SpooledRow>| {
                        assert!(rows.iter().all(|row| part(row.key, shards) == shard));
                        keys.extend(rows.iter().map(|row| row.key));
                        Ok(())
                    };
                    buckets.read(shard, shards, each).unwrap();
                }
                assert_eq!(keys, expected);
            }
        }
    }
}
