//! Segments: the pages of an archive after pass 1, cut so that the dedup keys of a segment's pages fit into
//! memory. An archive of usual size is one segment.

use crate::runtime::memory::Memory;
use crate::work::block::{Frame, Frames};
use crate::work::buckets::part;
use crate::work::dedup_key::{DedupKey, KeyOrigin, TextKey, UrlKey};
use crate::work::health::Health;
use crate::work::ledger::DrawnItems;
use crate::work::{WorkReader, WorkWriter, damaged, origin, remove};
use c4_data::{Error, atomic_file};
use c4_filters::Statistics;
use serde::{Deserialize, Serialize};
use std::fs;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

/// The table of a segment's file that holds the keys of URLs.
pub(crate) const URLS: usize = 0;
/// The table of a segment's file that holds the keys of lines or spans.
pub(crate) const TEXTS: usize = 1;
/// The most slots that keys are cut into: the finest cut of the key space.
pub(crate) const MOST_SLOTS: usize = 4096;
/// The fewest keys of a slot, on average.
const SLOT_KEYS: usize = 64;

/// What pass 1 leaves of an archive beside its segments; its file is there when all of them are.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct ArchiveEntry {
    /// The build that has read the archive ([`OutputFolder::key`](crate::corpus::OutputFolder::key)).
    pub build: u64,
    pub segments: Vec<SegmentEntry>,
    /// The counts of records and pages read; nothing yet of what became of pages.
    pub statistics: Statistics,
    /// The UTF-8 bytes of the texts that passed the rules.
    pub text_bytes: u64,
    /// The number of pages that passed the rules.
    pub passed: u64,
    pub health: Health,
    /// What was noted for the ledger's sample.
    pub drawn: DrawnItems,
}

/// How much a segment holds, and the id of its file.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct SegmentEntry {
    pub pages: u32,
    /// The number of keys in the tables [`URLS`] and [`TEXTS`].
    pub keys: [u64; 2],
    /// The id of the segment's file.
    pub id: u64,
}

/// The origin of a segment, which is made of no work file.
const NO_ORIGIN: u64 = 0;

fn archive_path(work: &Path, archive: usize) -> PathBuf {
    work.join(format!("archive-{archive:05}.done"))
}

fn segment_path(work: &Path, archive: usize, number: usize) -> PathBuf {
    work.join(format!("segment-{archive:05}-{number:03}"))
}

impl ArchiveEntry {
    /// Whether pass 1 is done with an archive.
    pub(crate) fn is_there(work: &Path, archive: usize) -> bool {
        archive_path(work, archive).exists()
    }

    /// Reads the entry of an archive.
    ///
    /// # Errors
    /// The entry's file is missing, cannot be read, or is damaged.
    pub(crate) fn read(work: &Path, archive: usize) -> Result<ArchiveEntry, Error> {
        let path = archive_path(work, archive);
        let bytes = fs::read(&path).map_err(Error::io(&path, "read"))?;
        let entry = bytes.split_last_chunk::<8>();
        let entry = entry.filter(|(entry, sum)| xxh3_64(entry).to_le_bytes() == **sum);
        let entry = entry.and_then(|(entry, _)| postcard::from_bytes(entry).ok());
        entry.ok_or_else(|| damaged(&path))
    }

    /// The numbers of the archive's segments whose files are missing, or are of another try.
    ///
    /// # Errors
    /// The work folder cannot be read.
    pub(crate) fn missing(&self, work: &Path, archive: usize) -> Result<Vec<usize>, Error> {
        let mut missing = Vec::new();
        for (number, entry) in self.segments.iter().enumerate() {
            let there = WorkReader::open_if_whole(&segment_path(work, archive, number))?;
            if there.is_none_or(|there| there.id != entry.id) {
                missing.push(number);
            }
        }
        Ok(missing)
    }

    /// Removes the entry of an archive, which is to be read again.
    ///
    /// # Errors
    /// The work folder cannot be written.
    pub(crate) fn remove(work: &Path, archive: usize) -> Result<(), Error> {
        remove(&archive_path(work, archive))
    }

    /// Whether pass 1 wrote the file of this name in the work folder.
    pub(crate) fn is_of_pass_1(name: &str) -> bool {
        name.starts_with("archive-") || name.starts_with("segment-")
    }

    /// Writes the entry: pass 1 is done with the archive.
    ///
    /// # Errors
    /// The work folder cannot be written.
    pub(crate) fn write(&self, work: &Path, archive: usize) -> Result<(), Error> {
        let path = archive_path(work, archive);
        let mut bytes = postcard::to_stdvec(self).map_err(|_| damaged(&path))?;
        bytes.extend(xxh3_64(&bytes).to_le_bytes());
        crate::runtime::stop::crash_point("archive");
        atomic_file::write_atomic(&path, &bytes)
    }
}

/// Writes a segment while its archive is read.
pub(crate) struct SegmentWriter {
    writer: WorkWriter,
    entry: SegmentEntry,
    urls: Vec<UrlKey>,
    texts: Vec<TextKey>,
    text_bytes: u64,
}

impl SegmentWriter {
    /// Starts segment `number` of an archive.
    ///
    /// # Errors
    /// The work folder cannot be written.
    pub(crate) fn create(work: &Path, archive: usize, number: usize) -> Result<SegmentWriter, Error> {
        let path = segment_path(work, archive, number);
        Ok(SegmentWriter {
            writer: WorkWriter::create(&path)?,
            entry: SegmentEntry::default(),
            urls: Vec::new(),
            texts: Vec::new(),
            text_bytes: 0,
        })
    }

    /// Adds a batch: the frame of its `pages` pages, and their keys (with pages numbered from 0).
    ///
    /// # Errors
    /// The work folder cannot be written.
    pub(crate) fn add(
        &mut self,
        mut frame: Frame,
        pages: u32,
        urls: Vec<UrlKey>,
        texts: Vec<TextKey>,
        text_bytes: u64,
    ) -> Result<(), Error> {
        let first = self.entry.pages;
        frame.set_number(first);
        self.writer.append(frame.bytes())?;
        self.urls.extend(urls.into_iter().map(|key| key.after(first)));
        self.texts.extend(texts.into_iter().map(|key| key.after(first)));
        self.entry.pages += pages;
        self.text_bytes += text_bytes;
        Ok(())
    }

    /// Whether the segment is large enough for the memory that its keys and texts take later.
    pub(crate) fn is_full(&self, memory: Memory) -> bool {
        let keys = self.urls.len() as u64 * UrlKey::MEMORY + self.texts.len() as u64 * TextKey::MEMORY;
        keys >= memory.segment_keys() || self.text_bytes >= memory.segment_text() || self.entry.pages >= 1 << 24
    }

    /// Ends the segment's file, with the keys sorted by hash.
    ///
    /// # Errors
    /// The work folder cannot be written.
    pub(crate) fn finish(mut self) -> Result<SegmentEntry, Error> {
        self.entry.keys = [self.urls.len() as u64, self.texts.len() as u64];
        put_keys(&mut self.writer, URLS, self.urls)?;
        put_keys(&mut self.writer, TEXTS, self.texts)?;
        self.entry.id = self.writer.finish(NO_ORIGIN)?;
        Ok(self.entry)
    }
}

fn put_keys<K: DedupKey>(writer: &mut WorkWriter, table: usize, mut keys: Vec<K>) -> Result<(), Error> {
    keys.sort_unstable_by_key(K::hash);
    let slots = keys.len() / SLOT_KEYS;
    let slots = slots.next_power_of_two().clamp(1, MOST_SLOTS);
    let mut table = writer.table(table, slots);
    let mut bytes = Vec::new();
    let slot = |key: &K| part(key.hash(), slots);
    for of_slot in keys.chunk_by(|a, b| slot(a) == slot(b)) {
        bytes.clear();
        of_slot.iter().for_each(|key| key.put(&mut bytes));
        table.put(slot(&of_slot[0]), &bytes)?;
    }
    table.finish()
}

/// A segment of a build: where it is, and how much it holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    /// The number of the segment's archive.
    pub archive: u32,
    /// The segment's number in its archive.
    number: u32,
    pub entry: SegmentEntry,
}

/// All segments of a build, in the order of archives.
#[derive(Debug)]
pub(crate) struct Segments {
    work: PathBuf,
    all: Vec<Segment>,
}

impl Segments {
    /// The segments of a build in `work`, whose archives have these entries, in order.
    pub(crate) fn new<'e>(work: &Path, entries: impl IntoIterator<Item = &'e [SegmentEntry]>) -> Segments {
        let mut all = Vec::new();
        for (archive, segments) in (0..).zip(entries) {
            all.extend((0..).zip(segments).map(|(number, entry)| Segment {
                archive,
                number,
                entry: *entry,
            }));
        }
        Segments {
            work: work.to_owned(),
            all,
        }
    }

    pub(crate) fn all(&self) -> &[Segment] {
        &self.all
    }

    /// The hash of all that the segments hold, and of the build's `key`.
    pub(crate) fn id(&self, key: u64) -> u64 {
        let segments = self.all.iter();
        let ids = segments.flat_map(|segment| [u64::from(segment.archive), segment.entry.id]);
        origin([key].into_iter().chain(ids))
    }

    /// The place among all segments of segment `number` of an archive.
    pub(crate) fn place(&self, archive: usize, number: usize) -> Option<usize> {
        let key = |segment: &Segment| (segment.archive as usize, segment.number as usize);
        self.all.binary_search_by_key(&(archive, number), key).ok()
    }

    fn open(&self, segment: usize) -> Result<WorkReader, Error> {
        let path = self.path(segment);
        let reader = WorkReader::open(&path)?;
        match reader.id == self.all[segment].entry.id {
            true => Ok(reader),
            false => Err(damaged(&path)),
        }
    }

    pub(crate) fn path(&self, segment: usize) -> PathBuf {
        let Segment { archive, number, .. } = self.all[segment];
        segment_path(&self.work, archive as usize, number as usize)
    }

    /// The keys of a segment that are in part `index` of `parts` parts of the key space, sorted by hash.
    ///
    /// # Errors
    /// The work folder cannot be read.
    pub(crate) fn keys<K: DedupKey>(
        &self,
        segment: usize,
        table: usize,
        (index, parts): (usize, usize),
    ) -> Result<Vec<K>, Error> {
        if self.all[segment].entry.keys[table] == 0 {
            return Ok(Vec::new());
        }
        let path = self.path(segment);
        let reader = self.open(segment)?;
        let slots = reader.slots(table);
        let range = index * slots / parts..((index + 1) * slots).div_ceil(parts);
        let bytes = reader.read(table, range)?;
        let mut rest = &bytes[..];
        let origin = KeyOrigin {
            segment: segment as u32,
            archive: self.all[segment].archive,
        };
        let mut keys = Vec::new();
        while !rest.is_empty() {
            let key = K::take(&mut rest, origin).ok_or_else(|| damaged(&path))?;
            if part(key.hash(), parts) == index {
                keys.push(key);
            }
        }
        Ok(keys)
    }

    /// Reads the frames of a segment's pages.
    ///
    /// # Errors
    /// The work folder cannot be read.
    pub(crate) fn pages(&self, segment: usize) -> Result<Frames<BufReader<File>>, Error> {
        let path = self.path(segment);
        let (file, length) = self.open(segment)?.into_body()?;
        Ok(Frames::of_file(&path, file, length))
    }

    /// Removes a segment's file.
    ///
    /// # Errors
    /// The work folder cannot be written.
    pub(crate) fn remove(&self, segment: usize) -> Result<(), Error> {
        remove(&self.path(segment))
    }
}

/// Removes the segments that an earlier try at an archive has left.
///
/// # Errors
/// The work folder cannot be written.
pub(crate) fn remove_all(work: &Path, archive: usize) -> Result<(), Error> {
    let paths = (0..).map(|number| segment_path(work, archive, number));
    for path in paths.take_while(|path| path.exists()) {
        remove(&path)?;
    }
    Ok(())
}
