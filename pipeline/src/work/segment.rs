//! Segments: the pages of an archive after pass 1, cut so that what a segment's pages claim fits into
//! memory. An archive of usual size is one segment.

use crate::runtime::memory::Memory;
use crate::work::block::{Frame, Frames};
use crate::work::buckets::part;
use crate::work::dedup_key::{Claim, Origin, TextClaim, UrlClaim};
use crate::work::health::Health;
use crate::work::{WorkReader, WorkWriter, damaged, origin, remove};
use c4_data::{Error, atomic_file};
use c4_filters::{Reason, Statistics};
use serde::{Deserialize, Serialize};
use std::fs;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

/// Table of the claims to URLs.
pub(crate) const URLS: usize = 0;
/// Table of the claims to lines or spans.
pub(crate) const TEXTS: usize = 1;
/// The finest cut of the key space.
pub(crate) const MOST_SLOTS: usize = 4096;
/// Claims of a slot at least, on average.
const SLOT_CLAIMS: usize = 64;

/// What pass 1 leaves of an archive beside its segments; its file is there when all of them are.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct ArchiveEntry {
    /// Which build it is of ([`Output::key`](crate::corpus::Output::key)).
    pub build: u64,
    /// Its segments.
    pub segments: Vec<SegmentEntry>,
    /// Records and pages read; nothing yet of what became of pages.
    pub statistics: Statistics,
    /// UTF-8 bytes of the texts that passed the rules.
    pub text_bytes: u64,
    /// Pages that passed the rules.
    pub passed: u64,
    /// How reading it went.
    pub health: Health,
    /// What was noted for the ledger's sample: reasons, and places in the draw.
    pub drawn: Vec<(Reason, u64)>,
}

/// What there is to know of a segment.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct SegmentEntry {
    /// Pages.
    pub pages: u32,
    /// Claims to URLs and to lines or spans.
    pub claims: [u64; 2],
    /// Id of its file.
    pub id: u64,
}

/// A segment has no origin but its archive.
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

    /// Reads it.
    ///
    /// # Errors
    /// It is not there or cannot be read.
    pub(crate) fn read(work: &Path, archive: usize) -> Result<ArchiveEntry, Error> {
        let path = archive_path(work, archive);
        let bytes = fs::read(&path).map_err(Error::io(&path, "read"))?;
        let entry = bytes.split_last_chunk::<8>();
        let entry = entry.filter(|(entry, sum)| xxh3_64(entry).to_le_bytes() == **sum);
        let entry = entry.and_then(|(entry, _)| postcard::from_bytes(entry).ok());
        entry.ok_or_else(|| damaged(&path))
    }

    /// Its segments that are not there, by number; one of another try is not.
    ///
    /// # Errors
    /// The work folder cannot be read.
    pub(crate) fn gone(&self, work: &Path, archive: usize) -> Result<Vec<usize>, Error> {
        let mut gone = Vec::new();
        for (number, entry) in self.segments.iter().enumerate() {
            let there = WorkReader::open_if_whole(&segment_path(work, archive, number))?;
            if there.is_none_or(|there| there.id != entry.id) {
                gone.push(number);
            }
        }
        Ok(gone)
    }

    /// Removes it: the archive is not done.
    ///
    /// # Errors
    /// The work folder cannot be written.
    pub(crate) fn remove(work: &Path, archive: usize) -> Result<(), Error> {
        remove(&archive_path(work, archive))
    }

    /// Whether a file of the work folder is one of pass 1.
    pub(crate) fn is_of_pass_1(name: &str) -> bool {
        name.starts_with("archive-") || name.starts_with("segment-")
    }

    /// Writes it: the archive is done.
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
    urls: Vec<UrlClaim>,
    texts: Vec<TextClaim>,
    text_bytes: u64,
}

impl SegmentWriter {
    /// Starts a segment.
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

    /// Adds a batch: its pages, and what they claim (numbered from 0).
    ///
    /// # Errors
    /// The work folder cannot be written.
    pub(crate) fn add(
        &mut self,
        mut frame: Frame,
        pages: u32,
        urls: Vec<UrlClaim>,
        texts: Vec<TextClaim>,
        text_bytes: u64,
    ) -> Result<(), Error> {
        let first = self.entry.pages;
        frame.set_number(first);
        self.writer.append(frame.bytes())?;
        self.urls.extend(urls.into_iter().map(|c| c.after(first)));
        self.texts.extend(texts.into_iter().map(|c| c.after(first)));
        self.entry.pages += pages;
        self.text_bytes += text_bytes;
        Ok(())
    }

    /// Whether no more should come.
    pub(crate) fn is_full(&self, memory: Memory) -> bool {
        let claims = self.urls.len() as u64 * UrlClaim::MEMORY + self.texts.len() as u64 * TextClaim::MEMORY;
        claims >= memory.segment_keys() || self.text_bytes >= memory.segment_text() || self.entry.pages >= 1 << 24
    }

    /// Ends the segment. Claims are in the order of their keys.
    ///
    /// # Errors
    /// The work folder cannot be written.
    pub(crate) fn finish(mut self) -> Result<SegmentEntry, Error> {
        self.entry.claims = [self.urls.len() as u64, self.texts.len() as u64];
        put_claims(&mut self.writer, URLS, self.urls)?;
        put_claims(&mut self.writer, TEXTS, self.texts)?;
        self.entry.id = self.writer.finish(NO_ORIGIN)?;
        Ok(self.entry)
    }
}

fn put_claims<C: Claim>(writer: &mut WorkWriter, table: usize, mut claims: Vec<C>) -> Result<(), Error> {
    claims.sort_unstable_by_key(C::key);
    let slots = claims.len() / SLOT_CLAIMS;
    let slots = slots.next_power_of_two().clamp(1, MOST_SLOTS);
    let mut table = writer.table(table, slots);
    let mut bytes = Vec::new();
    let slot = |claim: &C| part(claim.key(), slots);
    for of_slot in claims.chunk_by(|a, b| slot(a) == slot(b)) {
        bytes.clear();
        of_slot.iter().for_each(|claim| claim.put(&mut bytes));
        table.put(slot(&of_slot[0]), &bytes)?;
    }
    table.finish()
}

/// A segment of a build.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    /// The place of its archive.
    pub archive: u32,
    number: u32,
    /// What there is to know of it.
    pub entry: SegmentEntry,
}

/// All segments of a build, in the order of archives.
#[derive(Debug)]
pub(crate) struct Segments {
    work: PathBuf,
    all: Vec<Segment>,
}

impl Segments {
    /// Those of a build in `work`; `entries` are those of its archives, in order.
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

    /// All, by place.
    pub(crate) fn all(&self) -> &[Segment] {
        &self.all
    }

    /// What stands for all that is in them, in a build that `key` stands for.
    pub(crate) fn id(&self, key: u64) -> u64 {
        let segments = self.all.iter();
        let ids = segments.flat_map(|segment| [u64::from(segment.archive), segment.entry.id]);
        origin([key].into_iter().chain(ids))
    }

    /// The place of a segment: `number` of an archive.
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

    /// Where one is.
    pub(crate) fn path(&self, segment: usize) -> PathBuf {
        let Segment { archive, number, .. } = self.all[segment];
        segment_path(&self.work, archive as usize, number as usize)
    }

    /// The claims of a segment whose keys are in part `index` of `parts`, in their order.
    ///
    /// # Errors
    /// The work folder cannot be read.
    pub(crate) fn claims<C: Claim>(
        &self,
        segment: usize,
        table: usize,
        (index, parts): (usize, usize),
    ) -> Result<Vec<C>, Error> {
        if self.all[segment].entry.claims[table] == 0 {
            return Ok(Vec::new());
        }
        let path = self.path(segment);
        let reader = self.open(segment)?;
        let slots = reader.slots(table);
        let range = index * slots / parts..((index + 1) * slots).div_ceil(parts);
        let bytes = reader.read(table, range)?;
        let mut rest = &bytes[..];
        let origin = Origin {
            segment: segment as u32,
            archive: self.all[segment].archive,
        };
        let mut claims = Vec::new();
        while !rest.is_empty() {
            let claim = C::take(&mut rest, origin).ok_or_else(|| damaged(&path))?;
            if part(claim.key(), parts) == index {
                claims.push(claim);
            }
        }
        Ok(claims)
    }

    /// The pages of a segment.
    ///
    /// # Errors
    /// The work folder cannot be read.
    pub(crate) fn pages(&self, segment: usize) -> Result<Frames<BufReader<File>>, Error> {
        let path = self.path(segment);
        let (file, length) = self.open(segment)?.into_body()?;
        Ok(Frames::of_file(&path, file, length))
    }

    /// Takes a segment's file away.
    ///
    /// # Errors
    /// The work folder cannot be written.
    pub(crate) fn remove(&self, segment: usize) -> Result<(), Error> {
        remove(&self.path(segment))
    }
}

/// Takes away the segments that an earlier try at an archive has left.
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
