//! The shards of a corpus, read on all cores.

use super::report::Offence;
use crate::error::Error;
use crate::terminal::progress::{Progress, Unit};
use c4_data::{BatchLimit, Document, Manifest, ShardEntry, ShardReader, ShardSet};
use rayon::prelude::*;
use std::collections::HashMap;
use std::ops::AddAssign;
use std::path::Path;

/// The number of rows that a thread takes at a time.
const PIECE_ROWS: usize = 32;
/// The size of a block in rows, and in bytes of text if these come first. A block is read by one thread, which holds it
/// in memory, and worked on by all.
const BLOCK_ROWS: usize = 1024;
const BLOCK_TEXT_BYTES: usize = 4 << 20;

/// A corpus, as far as its bytes are right.
pub(crate) struct VerifiedCorpus<'a> {
    pub dir: &'a Path,
    pub manifest: &'a Manifest,
    /// Whether each shard, in the order of the manifest, is what the build wrote. The others are not read: any bytes
    /// may be in them.
    pub sound: Vec<bool>,
}

/// A shard and its place among those of its set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlacedShard<'a> {
    pub entry: &'a ShardEntry,
    /// The place of the shard among those of its set.
    pub index: usize,
    /// The number of shards of the set.
    pub count: usize,
    /// Whether the shard is what the build wrote, and is read.
    pub sound: bool,
}

/// A row of a shard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ShardRow<'a> {
    pub shard: PlacedShard<'a>,
    /// The number of the row in its shard, from 0.
    pub number: u64,
    pub document: &'a Document,
}

impl ShardRow<'_> {
    /// An offence of the row.
    pub(crate) fn offence(&self, what: impl Into<String>) -> Offence {
        Offence {
            row: Some(self.number),
            url: Some(self.document.page.url.clone()),
            ..Offence::of_file(&self.shard.entry.file, what)
        }
    }
}

/// The place of each shard among those of its set and the number of shards of the set, in the manifest's order.
pub(crate) fn places(manifest: &Manifest) -> Vec<(usize, usize)> {
    let mut counts: HashMap<ShardSet<'_>, usize> = HashMap::new();
    let mut indices = Vec::new();
    for shard in &manifest.shards {
        let count = counts.entry(shard.set()).or_default();
        indices.push(*count);
        *count += 1;
    }
    let shards = indices.into_iter().zip(&manifest.shards);
    shards.map(|(i, shard)| (i, counts[&shard.set()])).collect()
}

impl VerifiedCorpus<'_> {
    /// All shards in the manifest's order.
    pub(crate) fn shards(&self) -> Vec<PlacedShard<'_>> {
        let shards = self.manifest.shards.iter().zip(places(self.manifest));
        let shard = |((entry, (index, count)), sound): (_, &bool)| PlacedShard {
            entry,
            index,
            count,
            sound: *sound,
        };
        shards.zip(&self.sound).map(shard).collect()
    }

    /// The number of documents of the shards that are read, by the manifest.
    pub(crate) fn rows(&self) -> u64 {
        let sound = self.shards().into_iter().filter(|shard| shard.sound);
        sound.map(|shard| shard.entry.rows).sum()
    }

    pub(crate) fn whole(&self) -> bool {
        self.sound.iter().all(|sound| *sound)
    }

    /// Gives all rows of the sound shards to `work`, a few at a time and on any core, and adds up
    /// what comes of them, shard by shard, in the order of the rows. A shard that cannot be read to
    /// its end gives what came before and the error.
    ///
    /// Reads every shard once. Holds a few megabytes of text a thread.
    ///
    /// # Errors
    /// The system refuses to read a file.
    pub(crate) fn scan<T>(
        &self,
        name: &'static str,
        work: impl Fn(&[ShardRow<'_>]) -> T + Sync,
    ) -> Result<Vec<(PlacedShard<'_>, T, Option<String>)>, Error>
    where
        T: Default + AddAssign + Send,
    {
        let progress = Progress::new(name, Unit::Items, self.rows());
        let shards = self.shards().into_par_iter().filter(|shard| shard.sound);
        let sums = shards
            .map(|shard| {
                let mut sum = T::default();
                let read = self.scan_shard(shard, &work, &mut sum, &progress);
                match read {
                    Ok(()) => Ok((shard, sum, None)),
                    Err(c4_data::Error::Io { path, action, cause })
                        if cause.kind() != std::io::ErrorKind::InvalidData
                            && cause.kind() != std::io::ErrorKind::UnexpectedEof
                            && cause.kind() != std::io::ErrorKind::InvalidInput =>
                    {
                        Err(c4_data::Error::Io { path, action, cause }.into())
                    }
                    Err(e) => Ok((shard, sum, Some(e.to_string()))),
                }
            })
            .collect();
        progress.finish();
        sums
    }

    fn scan_shard<T>(
        &self,
        shard: PlacedShard<'_>,
        work: &(impl Fn(&[ShardRow<'_>]) -> T + Sync),
        sum: &mut T,
        progress: &Progress,
    ) -> Result<(), c4_data::Error>
    where
        T: AddAssign + Send,
    {
        let limit = BatchLimit::of(&self.manifest.recipe);
        let mut reader = ShardReader::open_within(&self.dir.join(&shard.entry.file), limit)?;
        let mut first = 0;
        loop {
            let mut block: Vec<Document> = Vec::new();
            let mut bytes = 0;
            let mut end = None;
            while block.len() < BLOCK_ROWS && bytes < BLOCK_TEXT_BYTES {
                match reader.next() {
                    Some(Ok(document)) => {
                        bytes += document.page.text.len();
                        block.push(document);
                    }
                    Some(Err(e)) => {
                        end = Some(Err(e));
                        break;
                    }
                    None => {
                        end = Some(Ok(()));
                        break;
                    }
                }
            }
            let rows: Vec<ShardRow<'_>> = (first..)
                .zip(&block)
                .map(|(number, document)| ShardRow {
                    shard,
                    number,
                    document,
                })
                .collect();
            let pieces: Vec<T> = rows.par_chunks(PIECE_ROWS).map(work).collect();
            pieces.into_iter().for_each(|piece| *sum += piece);
            first += block.len() as u64;
            progress.add(block.len() as u64);
            if let Some(end) = end {
                return end;
            }
        }
    }
}
