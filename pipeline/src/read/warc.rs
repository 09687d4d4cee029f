//! Reads an archive record by record, WARC or ARC.
//!
//! Lenient where real archives are wrong: lengths that do not fit, several records in a member, a record over several
//! members, WARC/0.18 (and what [`record`](crate::read::record) forgives). Where a length is wrong, the record ends
//! where the next one starts.

mod buffer;

use crate::read::arc;
use crate::read::archive::{Archive, Compression, RECORD_MAGIC, RecordFormat};
use crate::read::outcome::{Damage, damage};
use crate::read::record::{
    MAX_ARC_HEADER_BYTES, MAX_HEADER_BYTES, MAX_MARK_BYTES, Record, content_length, ends_whole, header_end, is_blank,
    trim_line_ends,
};
use crate::read::segmented::SegmentedRecord;
use crate::runtime::memory::Large;
use c4_filters::Reason;
use std::collections::VecDeque;
use std::io;

/// What [`RecordReader`] reads: a record, or a damaged place.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    /// A whole record.
    Record(Record),
    /// A place that could not be read; it counts as one record.
    Damage(Damage),
}

impl Item {
    /// The memory of the item in bytes, about.
    pub(crate) fn bytes(&self) -> usize {
        /// Allocations, and the fields of a record.
        const EACH: usize = 256;
        match self {
            Item::Record(record) => record.len() + EACH,
            Item::Damage(damage) => damage.cause.len() + EACH,
        }
    }
}

/// The start of a member in the buffer.
#[derive(Debug, Clone, Copy)]
struct MemberStart {
    /// The member's place in the buffer.
    place: usize,
    /// The member's byte offset in the archive.
    offset: u64,
    /// Whether this is the archive's first member.
    first: bool,
}

/// Reads an archive record by record.
pub struct RecordReader {
    archive: Archive,
    max_record_bytes: usize,
    /// Uncompressed bytes, from the current record on or from before it. They are of one member, unless a record
    /// wants more than its member holds.
    buffer: Vec<u8>,
    /// How many bytes of the buffer have been used up.
    used: usize,
    /// The place of `buffer` in the uncompressed stream.
    base: u64,
    /// The members in `buffer`, the first being that of the current record.
    starts: VecDeque<MemberStart>,
    /// The places in `buffer` where a member was taken in that starts with a record.
    record_starts: VecDeque<usize>,
    /// A place in the uncompressed stream: no header that starts before it ends before it.
    headless: u64,
    /// Whether the last member has more to give.
    inside: bool,
    members: u64,
    records_of_member: u64,
    by_member: bool,
    /// The place in `buffer` of the member that could not be read (to its end), and what is wrong. It is returned after
    /// the records before it.
    damage: Option<(usize, Damage)>,
    /// A record whose next segments are still to come.
    segments: Option<SegmentedRecord>,
    /// The items to return before anything else.
    pending: VecDeque<Item>,
    /// Held while the buffer is large.
    large: Option<Large>,
    done: bool,
}

impl RecordReader {
    /// Reads `archive`; a record of more than `max_record_bytes` is dropped.
    pub fn new(archive: Archive, max_record_bytes: u64) -> RecordReader {
        RecordReader {
            by_member: archive.compression() != Compression::Plain,
            archive,
            max_record_bytes: usize::try_from(max_record_bytes).unwrap_or(usize::MAX),
            buffer: Vec::new(),
            used: 0,
            base: 0,
            starts: VecDeque::new(),
            record_starts: VecDeque::new(),
            headless: 0,
            inside: false,
            members: 0,
            records_of_member: 0,
            damage: None,
            segments: None,
            pending: VecDeque::new(),
            large: None,
            done: false,
        }
    }

    /// Reads an archive that is known to be compressed record by record, from anywhere in it.
    pub(crate) fn by_member(archive: Archive, max_record_bytes: u64) -> RecordReader {
        let mut reader = Self::new(archive, max_record_bytes);
        // Only the first member of an archive tells whether it is, and this is another one.
        reader.members = 1;
        reader
    }

    /// Whether the archive, of which a record has been read, is compressed record by record as far
    /// as its first member tells.
    pub(crate) fn is_by_member(&self) -> bool {
        self.by_member
    }

    /// The format of the archive's records; `None` before one has been read.
    pub fn format(&self) -> Option<RecordFormat> {
        self.archive.format()
    }

    /// How many bytes of the file have been read so far.
    pub fn position(&self) -> u64 {
        self.archive.position()
    }

    /// How many bytes were decoded in vain so far (see [`Archive::set_vain`]).
    pub(crate) fn vain(&self) -> u64 {
        self.archive.vain()
    }

    /// The byte offset of the next member, if no record lies across its start and all before it has been returned.
    ///
    /// # Errors
    /// The operating system cannot read the file.
    pub(crate) fn boundary(&mut self) -> io::Result<Option<u64>> {
        self.skip_blank();
        while self.rest().is_empty() && self.inside {
            self.fill()?;
            self.skip_blank();
        }
        let waits = self.damage.is_some() || self.segments.is_some() || !self.pending.is_empty();
        Ok((self.rest().is_empty() && !waits).then(|| self.archive.position()))
    }

    /// Takes a damaged place back, to return it before anything else.
    pub fn push_back(&mut self, damage: Damage) {
        self.pending.push_front(Item::Damage(damage));
    }

    /// The permit to hold large records; it has to be kept as long as the records returned so far.
    pub(crate) fn take_large(&mut self) -> Option<Large> {
        self.large.take()
    }

    /// The next record or damaged place; `None` at the end. Segments of a record that follow each other are joined.
    ///
    /// # Errors
    /// The operating system cannot read the file; nothing more comes then.
    pub fn next_item(&mut self) -> io::Result<Option<Item>> {
        loop {
            if let Some(item) = self.pending.pop_front() {
                return Ok(Some(item));
            }
            let item = self.next_part()?;
            let Some(open) = self.segments.take() else {
                match item {
                    Some(Item::Record(record)) if record.segment() == Some(1) => {
                        self.segments = Some(SegmentedRecord::new(record));
                        continue;
                    }
                    item => return Ok(item),
                }
            };
            match item {
                Some(Item::Record(next)) if open.is_followed_by(&next) => self.join(open, &next),
                item => {
                    let closed = open.close(None);
                    self.pending.extend([closed].into_iter().chain(item));
                }
            }
        }
    }

    /// Adds a segment to its record, which is done if that was the last one.
    fn join(&mut self, mut open: SegmentedRecord, next: &Record) {
        if open.join(next) > self.max_record_bytes {
            let damage = self.too_large(open.offset());
            self.pending.push_back(Item::Damage(damage));
        } else if let Some(total) = next.header("WARC-Segment-Total-Length") {
            self.pending.push_back(open.close(total.parse().ok()));
        } else {
            self.segments = Some(open);
        }
    }

    /// The next record, or segment of one, or damaged place.
    fn next_part(&mut self) -> io::Result<Option<Item>> {
        loop {
            self.skip_blank();
            if self.rest().is_empty() {
                if self.inside {
                    self.fill()?;
                } else if let Some((_, damage)) = self.damage.take() {
                    return Ok(Some(Item::Damage(damage)));
                } else if self.done {
                    return Ok(None);
                } else {
                    self.base += self.buffer.len() as u64;
                    self.buffer.clear();
                    self.used = 0;
                    self.starts.clear();
                    self.record_starts.clear();
                    self.let_go();
                    self.open_member()?;
                }
                continue;
            }
            if let Some(item) = self.record()? {
                return Ok(Some(item));
            }
        }
    }

    /// The record that starts here; `None` if there is none after all, and reading goes on.
    fn record(&mut self) -> io::Result<Option<Item>> {
        self.want(RECORD_MAGIC.len())?;
        while self.rest().len() < RECORD_MAGIC.len() && RECORD_MAGIC.starts_with(self.rest()) {
            if !self.cross()? {
                break;
            }
        }
        if self.rest().is_empty() {
            // The member has turned out corrupt.
            return Ok(None);
        }
        let offset = self.offset();
        let format = match self.archive.format() {
            Some(format) => format,
            None => {
                self.want(MAX_ARC_HEADER_BYTES)?;
                while !self.rest().contains(&b'\n') && self.rest().len() < MAX_ARC_HEADER_BYTES && self.cross()? {}
                let Some(format) = RecordFormat::of(self.rest()) else {
                    return self.malformed(offset, "the bytes here are no WARC or ARC record".into());
                };
                self.archive.set_format(format);
                format
            }
        };
        if format == RecordFormat::Warc && !self.rest().starts_with(RECORD_MAGIC) {
            return self.malformed(offset, "the bytes here are no WARC record".into());
        }
        self.records_of_member += 1;
        let here = self.base + self.used as u64;
        let mut searched = self.headless.saturating_sub(here) as usize;
        let header = loop {
            let most = self.rest().len().min(MAX_HEADER_BYTES);
            if let Some(end) = header_end(&self.rest()[..most], format, searched.min(most)) {
                break end;
            }
            searched = searched.max(most.saturating_sub(4));
            self.headless = self.headless.max(here + searched as u64);
            if most == MAX_HEADER_BYTES {
                return self.malformed(offset, "the record's header does not end".into());
            }
            if self.inside {
                self.fill()?;
                if self.rest().is_empty() {
                    return Ok(None);
                }
                continue;
            }
            let place = self.rest().len();
            if !self.cross()? {
                if self.damage.is_some() {
                    return Ok(self.drop_rest());
                }
                return self.malformed(offset, "the record ends within its header".into());
            }
            self.want(place + MAX_MARK_BYTES)?;
            // The rest of a line may look like the header line of an ARC.
            if self.rest()[place..].starts_with(RECORD_MAGIC) {
                return self.malformed(offset, "the record ends within its header".into());
            }
        };
        if format == RecordFormat::Arc && arc::header(&self.rest()[..header]).is_none() {
            return self.malformed(offset, "the bytes here are no ARC record".into());
        }
        let length = content_length(&self.rest()[..header], format);
        let length = length.and_then(|n| usize::try_from(n).ok());
        if let Some(length) = length.filter(|length| *length <= self.max_record_bytes) {
            let end = header + length;
            self.want(end + MAX_MARK_BYTES)?;
            // More than the member holds: the record continues in the next one.
            while self.rest().len() < end && self.cross()? {
                self.want(end + MAX_MARK_BYTES)?;
            }
            if self.rest().len() >= end && self.ends_well(end, format) {
                if self.is_cut(end) && self.next_start(end, format).is_none() {
                    return Ok(self.drop_rest());
                }
                return Ok(Some(self.take(offset, format, header, end)));
            }
        }
        self.without_length(offset, format, header, length)
    }

    /// Whether a record may end at `end`: line ends or padding and then nothing (more of the member) or a record;
    /// or an empty line, whatever follows.
    fn ends_well(&self, end: usize, format: RecordFormat) -> bool {
        let tail = &self.rest()[end..];
        let next = &tail[tail.iter().take_while(|b| is_blank(b)).count()..];
        let behind = self.used + end..=self.buffer.len() - next.len();
        let start = self.starts.partition_point(|start| start.place < *behind.start());
        let starts_member = self
            .starts
            .get(start)
            .is_some_and(|start| behind.contains(&start.place));
        next.is_empty()
            || starts_member
            || tail.starts_with(b"\r\n\r\n")
            || tail.starts_with(b"\n\n")
            || match format {
                RecordFormat::Warc => next.starts_with(RECORD_MAGIC) && next.get(5).is_none_or(u8::is_ascii_digit),
                // The content of an ARC record ends with one line end.
                RecordFormat::Arc => arc::header(next).is_some() || tail.starts_with(b"\n"),
            }
    }

    /// Whether a record that ends at `end` lies in a member that could not be read to its end.
    fn is_cut(&self, end: usize) -> bool {
        let place = self.used + end;
        self.damage.as_ref().is_some_and(|(start, _)| place > *start)
    }

    /// A record whose length is missing or wrong: it ends where the next one starts, or with its
    /// member. One that has less than it announces is cut, unless it ends as a whole one does.
    fn without_length(
        &mut self,
        offset: u64,
        format: RecordFormat,
        header: usize,
        announced: Option<usize>,
    ) -> io::Result<Option<Item>> {
        let mut searched = header;
        let end = loop {
            if self.rest().len() < header {
                // The member has turned out corrupt.
                return Ok(None);
            }
            if let Some(next) = self.next_start(searched, format) {
                break next;
            }
            searched = self.rest().len().saturating_sub(MAX_MARK_BYTES).max(header);
            if self.rest().len() > self.max_record_bytes {
                let damage = self.too_large(offset);
                self.skip_record()?;
                return Ok(Some(Item::Damage(damage)));
            }
            if !self.inside {
                if self.is_cut(self.rest().len()) {
                    return Ok(self.drop_rest());
                }
                break self.rest().len();
            }
            self.fill()?;
        };
        let there = end - header;
        // If the archive is a single member, the checksum at its end shows that it is whole.
        let is_last_of_all = end == self.rest().len() && self.damage.is_none();
        let packed_as_one = self.archive.compression() != Compression::Plain && !self.by_member;
        let whole = (is_last_of_all && packed_as_one) || ends_whole(&self.rest()[..end], header);
        match announced {
            Some(length) if length > there && !whole => {
                self.used += end;
                // If it is damage that it ends at, that counts for it.
                if self.rest().is_empty() && self.damage.is_some() {
                    return Ok(None);
                }
                let cause =
                    format!("the record is cut: its Content-Length is {length}, and {there} bytes of it are there");
                Ok(Some(Item::Damage(damage(Reason::Truncated, offset, cause))))
            }
            _ => {
                let end = trim_line_ends(&self.rest()[..end], header);
                Ok(Some(self.take(offset, format, header, end)))
            }
        }
    }

    /// Takes the record that ends at `end`; moves the buffer if it holds nothing else.
    fn take(&mut self, offset: u64, format: RecordFormat, header: usize, end: usize) -> Item {
        if end > self.max_record_bytes {
            self.used += end;
            return Item::Damage(self.too_large(offset));
        }
        let last = !self.inside && self.buffer[self.used + end..].iter().all(is_blank);
        // Nothing is copied, but where too much room would be held.
        let fits = self.buffer.capacity() <= 2 * end;
        if format == RecordFormat::Warc && self.used == 0 && last && fits {
            self.base += self.buffer.len() as u64;
            self.starts.clear();
            if let Some((place, _)) = &mut self.damage {
                *place = 0;
            }
            let mut bytes = std::mem::take(&mut self.buffer);
            bytes.truncate(end);
            return Item::Record(Record {
                bytes,
                block: header..end,
                is_joined: false,
                offset,
            });
        }
        let record = Record::new(&self.rest()[..end], format, header, offset);
        self.used += end;
        Item::Record(record)
    }

    /// Skips what is no record, up to the next one of the member.
    fn malformed(&mut self, offset: u64, cause: String) -> io::Result<Option<Item>> {
        self.skip_record()?;
        Ok(Some(Item::Damage(damage(Reason::MalformedRecord, offset, cause))))
    }

    fn too_large(&self, offset: u64) -> Damage {
        let cause = format!("the record is larger than {} bytes", self.max_record_bytes);
        damage(Reason::RecordTooLarge, offset, cause)
    }

    fn skip_record(&mut self) -> io::Result<()> {
        let format = self.archive.format().unwrap_or(RecordFormat::Warc);
        // Not the record that starts here.
        let mut searched = 1.min(self.rest().len());
        loop {
            if let Some(next) = self.next_start(searched, format) {
                self.used += next;
                return Ok(());
            }
            let keep = self.rest().len().min(MAX_MARK_BYTES);
            self.used = self.buffer.len() - keep;
            searched = 0;
            if !self.inside {
                self.used = self.buffer.len();
                return Ok(());
            }
            self.fill()?;
        }
    }

    /// Drops the rest of a cut member; the damage that was noted counts for it.
    fn drop_rest(&mut self) -> Option<Item> {
        self.used = self.buffer.len();
        None
    }
}
