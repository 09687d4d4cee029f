//! WARC and ARC records: the bytes of an archive as records with their headers.
//!
//! Lenient where real archives are wrong: LF-only headers, lower-case and folded header names,
//! lengths that do not fit, several records in a member, a record over several members, WARC/0.18. Where a
//! length is wrong, the record ends where the next one starts.
//!
//! Above 500 lines: the reader and all that it forgives.

use crate::read::arc;
use crate::read::archive::{Archive, Compression, Format, MemberError, Progress, RECORD_MAGIC};
use crate::read::outcome::{Damage, MEMBER_BYTES, damage, read_on};
use crate::runtime::memory::Large;
use c4_filters::Reason;
use memchr::memmem;
use std::collections::VecDeque;
use std::io;
use std::ops::Range;

/// No record's header is larger in real archives; bounds the search for its end.
const MAX_HEADER_BYTES: usize = 1 << 20;
/// Of an archive that is not compressed, so much is read at a time.
const PLAIN_BYTES: usize = 1 << 20;

/// A record: its bytes and where its parts are. One of an ARC has the header of a WARC record that says the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Header and block.
    bytes: Vec<u8>,
    block: Range<usize>,
    /// Whether it was joined of segments, so that its header is the first one's alone.
    pub is_joined: bool,
    /// Bytes from the start of the archive: of the member, or of the record in the uncompressed
    /// stream where the archive is not compressed record by record.
    pub offset: u64,
}

impl Record {
    /// The block: what follows the header.
    pub fn block(&self) -> &[u8] {
        &self.bytes[self.block.clone()]
    }

    /// The value of a header, the first one of that name (any case), folded lines joined by a
    /// space; bytes that are not UTF-8 are replaced.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        parse_header(&self.bytes[..self.block.start], name)
    }

    /// `WARC-Type`, lower-cased; empty without one.
    pub(crate) fn record_type(&self) -> String {
        self.header("WARC-Type").unwrap_or_default().to_ascii_lowercase()
    }

    /// `WARC-Target-URI`, without the angle brackets that some crawlers write.
    pub fn url(&self) -> String {
        let url = self.header("WARC-Target-URI").unwrap_or_default();
        let bare = url.strip_prefix('<').and_then(|url| url.strip_suffix('>'));
        bare.map_or(url.clone(), str::to_owned)
    }

    /// The segment's number, from 1, where a record was cut into segments (WARC 1.1, section 7).
    pub(crate) fn segment(&self) -> Option<u64> {
        self.header("WARC-Segment-Number")?.parse().ok()
    }

    /// The record that `member` holds, if it holds one and nothing else and that is as it should be: its length
    /// fits, and it is no segment of one. What is in `member` after that is of no use.
    pub(crate) fn alone(member: &mut Vec<u8>, format: Format, offset: u64, max_record_bytes: u64) -> Option<Record> {
        if Format::of(member) != Some(format) {
            return None;
        }
        let header = header_end(&member[..member.len().min(MAX_HEADER_BYTES)], format, 0)?;
        let length = content_length(&member[..header], format)?;
        let end = header.checked_add(usize::try_from(length).ok()?)?;
        if length > max_record_bytes || !member.get(end..)?.iter().all(is_blank) {
            return None;
        }
        // Nothing is copied, but where too much room would be held.
        let record = match format == Format::Warc && member.capacity() <= 2 * end {
            true => {
                member.truncate(end);
                let bytes = std::mem::take(member);
                let block = header..end;
                Record {
                    bytes,
                    block,
                    is_joined: false,
                    offset,
                }
            }
            false => Record::new(&member[..end], format, header, offset),
        };
        match record.segment() {
            None => Some(record),
            Some(_) => None,
        }
    }

    /// The WARC record that `bytes` start with, as long as its `Content-Length` says; `None` if that is not there.
    pub(crate) fn prefix(bytes: &[u8]) -> Option<Record> {
        let header = header_end(bytes, Format::Warc, 0)?;
        let length = content_length(&bytes[..header], Format::Warc)?;
        let end = header.checked_add(usize::try_from(length).ok()?)?;
        Some(Record::new(bytes.get(..end)?, Format::Warc, header, 0))
    }

    fn new(bytes: &[u8], format: Format, header: usize, offset: u64) -> Record {
        let (bytes, header) = match arc::header(bytes) {
            Some(line) if format == Format::Arc => {
                let mut head = line.as_warc();
                let length = head.len();
                head.extend_from_slice(&bytes[header..]);
                (head, length)
            }
            _ => (bytes.to_vec(), header),
        };
        Record {
            block: header..bytes.len(),
            bytes,
            is_joined: false,
            offset,
        }
    }

    /// Bytes of the record in memory.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Never: a record has at least its first line.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

fn parse_header(head: &[u8], name: &str) -> Option<String> {
    let mut lines = head.split(|b| *b == b'\n').skip(1).peekable();
    while let Some(line) = lines.next() {
        let Some(colon) = memchr::memchr(b':', line) else {
            continue;
        };
        if !line[..colon].trim_ascii().eq_ignore_ascii_case(name.as_bytes()) {
            continue;
        }
        let mut value = line[colon + 1..].trim_ascii().to_vec();
        while let Some(more) = lines.next_if(|l| matches!(l.first(), Some(b' ' | b'\t'))) {
            value.push(b' ');
            value.extend_from_slice(more.trim_ascii());
        }
        return Some(String::from_utf8_lossy(&value).into_owned());
    }
    None
}

/// What [`RecordReader`] gives.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    /// A record.
    Record(Record),
    /// A place that could not be read; it counts as one record.
    Damage(Damage),
}

impl Item {
    /// What it takes of memory in bytes, about.
    pub(crate) fn bytes(&self) -> usize {
        /// Allocations, and what is known of a record.
        const EACH: usize = 256;
        match self {
            Item::Record(record) => record.len() + EACH,
            Item::Damage(damage) => damage.cause.len() + EACH,
        }
    }
}

/// The start of a member in the buffer.
#[derive(Debug, Clone, Copy)]
struct Start {
    /// Its place in the buffer.
    place: usize,
    /// Its offset in the archive.
    offset: u64,
    /// It is the archive's first.
    first: bool,
}

/// Reads an archive record by record.
pub struct RecordReader {
    archive: Archive,
    max_record_bytes: usize,
    /// Uncompressed bytes, from the current record on or from before it. They are of one member, unless a record
    /// wants more than its member holds.
    buffer: Vec<u8>,
    /// How many of them have been used up.
    used: usize,
    /// Place of `buffer` in the uncompressed stream.
    base: u64,
    /// The members in `buffer`, the first being that of the current record.
    starts: VecDeque<Start>,
    /// The places in `buffer` where a member was taken in that starts with a record.
    record_starts: VecDeque<usize>,
    /// No header that starts before this place in the uncompressed stream ends before it.
    headless: u64,
    /// The last member has more to give.
    inside: bool,
    members: u64,
    records_of_member: u64,
    by_member: bool,
    /// Where in `buffer` the member starts that could not be read (to its end), and what is wrong. It comes after
    /// the records before it.
    damage: Option<(usize, Damage)>,
    /// A record that goes on in segments.
    segments: Option<Segments>,
    /// What comes before anything else.
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
        // What tells is the first member of an archive, which this is not.
        reader.members = 1;
        reader
    }

    /// Whether the archive, of which a record has been read, is compressed record by record as far
    /// as its first member tells.
    pub(crate) fn is_by_member(&self) -> bool {
        self.by_member
    }

    /// What the archive's records are; `None`: none has been read.
    pub fn format(&self) -> Option<Format> {
        self.archive.format()
    }

    /// Bytes of the file read so far.
    pub fn position(&self) -> u64 {
        self.archive.position()
    }

    /// Bytes that were decoded in vain so far (see [`Archive::set_vain`]).
    pub(crate) fn vain(&self) -> u64 {
        self.archive.vain()
    }

    /// Where the next member starts, if no record lies across its start and all before it has been given.
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

    /// Gives a damaged place back; it comes again before anything else.
    pub fn push_back(&mut self, damage: Damage) {
        self.pending.push_front(Item::Damage(damage));
    }

    /// What is held since records are large; it has to be kept as long as they are.
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
                        self.segments = Some(Segments::new(record));
                        continue;
                    }
                    item => return Ok(item),
                }
            };
            match item {
                Some(Item::Record(next)) if open.go_on_with(&next) => self.join(open, &next),
                item => {
                    let closed = close(open.record, None);
                    self.pending.extend([closed].into_iter().chain(item));
                }
            }
        }
    }

    /// Adds a segment to the record that it is of.
    fn join(&mut self, mut open: Segments, next: &Record) {
        let record = &mut open.record;
        record.bytes.extend_from_slice(next.block());
        record.block.end = record.bytes.len();
        record.is_joined = true;
        open.number += 1;
        if record.bytes.len() > self.max_record_bytes {
            let damage = self.too_large(record.offset);
            self.pending.push_back(Item::Damage(damage));
        } else if let Some(total) = next.header("WARC-Segment-Total-Length") {
            self.pending.push_back(close(open.record, total.parse().ok()));
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

    /// Gives back the room that a large record took.
    fn let_go(&mut self) {
        if self.large.is_some() && self.buffer.len() < MEMBER_BYTES / 8 {
            self.buffer.shrink_to(MEMBER_BYTES / 8);
            self.large = None;
        }
    }

    fn rest(&self) -> &[u8] {
        &self.buffer[self.used..]
    }

    /// Line ends and padding between records belong to none.
    fn skip_blank(&mut self) {
        self.used += self.rest().iter().take_while(|b| is_blank(b)).count();
    }

    /// Goes to the next member, behind what is in the buffer.
    fn open_member(&mut self) -> io::Result<()> {
        match self.archive.next_member() {
            Ok(Some(offset)) => {
                self.inside = true;
                self.starts.push_back(Start {
                    place: self.buffer.len(),
                    offset,
                    first: self.members == 0,
                });
                self.members += 1;
                if self.starts.len() == 1 {
                    self.records_of_member = 0;
                }
                self.fill()
            }
            Ok(None) => {
                self.done = true;
                Ok(())
            }
            Err(error) => self.note(self.buffer.len(), error),
        }
    }

    fn note(&mut self, place: usize, error: MemberError) -> io::Result<()> {
        let damage = Damage::of_member(self.archive.member_start(), error)?;
        self.damage = Some((place, damage));
        Ok(())
    }

    /// Reads on in the last member of the buffer.
    fn fill(&mut self) -> io::Result<()> {
        if !self.inside {
            return Ok(());
        }
        // What has been used up makes room, as soon as moving the rest costs no more than was used.
        if self.used > self.buffer.len() / 2 {
            self.base += self.used as u64;
            self.buffer.drain(..self.used);
            for start in &mut self.starts {
                start.place = start.place.saturating_sub(self.used);
            }
            for place in &mut self.record_starts {
                *place = place.saturating_sub(self.used);
            }
            self.used = 0;
            self.let_go();
        }
        let most = match self.archive.compression() {
            Compression::Plain => PLAIN_BYTES,
            _ => MEMBER_BYTES,
        };
        let before = self.buffer.len();
        match read_on(&mut self.archive, &mut self.buffer, most, &mut self.large) {
            Ok(Progress::More) => {}
            Ok(Progress::End) => self.inside = false,
            Err(error) => {
                self.inside = false;
                // A cut member is good up to the cut; what a corrupt one gave last cannot be trusted.
                if !matches!(error, MemberError::Truncated) {
                    self.buffer.truncate(before);
                }
                let start = self.starts.back().map_or(0, |start| start.place);
                self.note(start, error)?;
            }
        }
        Ok(())
    }

    /// Reads on until `n` bytes from here are there, or the last member in the buffer ends.
    fn want(&mut self, n: usize) -> io::Result<()> {
        while self.rest().len() < n && self.inside {
            self.fill()?;
        }
        Ok(())
    }

    /// Takes another member into the buffer; false if there is none.
    fn cross(&mut self) -> io::Result<bool> {
        if self.inside || self.damage.is_some() || self.done {
            return Ok(false);
        }
        let before = self.members;
        self.open_member()?;
        let format = self.archive.format();
        if let Some(place) = self.starts.back().map(|start| start.place)
            && self.members > before
            && format.is_some()
            && Format::of(&self.buffer[place..]) == format
        {
            self.record_starts.push_back(place);
        }
        Ok(self.members > before)
    }

    /// The place from `from` on, from here, where the next record starts, by its first line; a member may start
    /// with it.
    fn next_start(&mut self, from: usize, format: Format) -> Option<usize> {
        let first = self.used + from.max(1);
        while self.record_starts.front().is_some_and(|place| *place < first) {
            self.record_starts.pop_front();
        }
        let member = self.record_starts.front().map(|place| place - self.used);
        let searched = &self.rest()[..member.unwrap_or(self.rest().len())];
        next_record(searched, format, from).or(member)
    }

    /// The record that starts here. `None`: nothing came of it, go on.
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
                let Some(format) = Format::of(self.rest()) else {
                    return self.malformed(offset, "the bytes here are no WARC or ARC record".into());
                };
                self.archive.set_format(format);
                format
            }
        };
        if format == Format::Warc && !self.rest().starts_with(RECORD_MAGIC) {
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
        if format == Format::Arc && arc::header(&self.rest()[..header]).is_none() {
            return self.malformed(offset, "the bytes here are no ARC record".into());
        }
        let length = content_length(&self.rest()[..header], format);
        let length = length.and_then(|n| usize::try_from(n).ok());
        if let Some(length) = length.filter(|length| *length <= self.max_record_bytes) {
            let end = header + length;
            self.want(end + MAX_MARK_BYTES)?;
            // More than the member holds: it goes on in the next one.
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
    fn ends_well(&self, end: usize, format: Format) -> bool {
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
                Format::Warc => next.starts_with(RECORD_MAGIC) && next.get(5).is_none_or(u8::is_ascii_digit),
                // Its content ends with one line end.
                Format::Arc => arc::header(next).is_some() || tail.starts_with(b"\n"),
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
        format: Format,
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
        // Of an archive that is one member, the checksum at its end tells that it is whole.
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
    fn take(&mut self, offset: u64, format: Format, header: usize, end: usize) -> Item {
        if end > self.max_record_bytes {
            self.used += end;
            return Item::Damage(self.too_large(offset));
        }
        let last = !self.inside && self.buffer[self.used + end..].iter().all(is_blank);
        // Nothing is copied, but where too much room would be held.
        let fits = self.buffer.capacity() <= 2 * end;
        if format == Format::Warc && self.used == 0 && last && fits {
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

    /// Leaves out what is no record, up to the next one of the member.
    fn malformed(&mut self, offset: u64, cause: String) -> io::Result<Option<Item>> {
        self.skip_record()?;
        Ok(Some(Item::Damage(damage(Reason::MalformedRecord, offset, cause))))
    }

    fn too_large(&self, offset: u64) -> Damage {
        let cause = format!("the record is larger than {} bytes", self.max_record_bytes);
        damage(Reason::RecordTooLarge, offset, cause)
    }

    fn skip_record(&mut self) -> io::Result<()> {
        let format = self.archive.format().unwrap_or(Format::Warc);
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

    /// The rest of a cut member goes; the damage that was noted counts for it.
    fn drop_rest(&mut self) -> Option<Item> {
        self.used = self.buffer.len();
        None
    }

    /// The offset of the record that starts here.
    fn offset(&mut self) -> u64 {
        while self.starts.get(1).is_some_and(|next| next.place <= self.used) {
            self.starts.pop_front();
            self.records_of_member = 0;
        }
        let start = self.starts.front().copied();
        if self.by_member && self.records_of_member == 1 && start.is_some_and(|start| start.first) {
            // Two records in the first member: not compressed record by record.
            self.by_member = false;
        }
        match start {
            Some(start) if self.by_member => start.offset,
            _ => self.base + self.used as u64,
        }
    }
}

/// A record of which segments have been read.
struct Segments {
    /// What they come to so far.
    record: Record,
    id: Option<String>,
    /// The number of the last one.
    number: u64,
}

impl Segments {
    fn new(first: Record) -> Segments {
        Segments {
            id: first.header("WARC-Record-ID"),
            record: first,
            number: 1,
        }
    }

    /// Whether `next` is the segment that follows.
    fn go_on_with(&self, next: &Record) -> bool {
        next.record_type() == "continuation"
            && next.segment() == Some(self.number + 1)
            && self.id.is_some()
            && self.id == next.header("WARC-Segment-Origin-ID")
    }
}

/// A record whose segments have all been joined as far as they follow; `total` is what the last one says of its
/// length.
fn close(record: Record, total: Option<usize>) -> Item {
    let whole = match total {
        Some(total) => record.block().len() == total,
        None => ends_as_html(record.block()),
    };
    if whole {
        return Item::Record(record);
    }
    let cause = "the record goes on in segments that do not follow in this archive";
    Item::Damage(damage(Reason::Truncated, record.offset, cause))
}

/// What stands between records: line ends, and zeros or spaces as padding.
fn is_blank(byte: &u8) -> bool {
    matches!(byte, b'\r' | b'\n' | b'\0' | b' ' | b'\t')
}

fn ends_as_html(block: &[u8]) -> bool {
    let text = block.trim_ascii_end();
    let end = text.len().saturating_sub(b"</html>".len());
    text[end..].eq_ignore_ascii_case(b"</html>")
}

/// Whether `record`, whose header ends at `header`, ends as one that is whole: as HTML does, or with the empty line
/// that ends a record, unless that is the one behind an HTTP head.
fn ends_whole(record: &[u8], header: usize) -> bool {
    let (head, block) = record.split_at(header);
    let line: &[u8] = if head.ends_with(b"\r\n") { b"\r\n\r\n" } else { b"\n\n" };
    let more = |end: usize| end < trim_line_ends(block, 0);
    let has_body = !block.starts_with(b"HTTP/") || header_end(block, Format::Warc, 0).is_some_and(more);
    ends_as_html(block) || (block.ends_with(line) && has_body)
}

/// The bytes that a header announces, without those of the header.
fn content_length(header: &[u8], format: Format) -> Option<u64> {
    match format {
        Format::Warc => parse_header(header, "Content-Length")?.parse().ok(),
        Format::Arc => arc::header(header)?.length,
    }
}

/// How much may have to be read to tell whether the bytes are an ARC record.
const MAX_ARC_HEADER_BYTES: usize = 2 << 10;

/// `\n` + `WARC/1.0` + line end: what [`next_record`] looks at.
const MAX_MARK_BYTES: usize = 16;

/// The end of the header in `bytes` (for WARC after its empty line); nothing before `from` is one.
fn header_end(bytes: &[u8], format: Format, from: usize) -> Option<usize> {
    if format == Format::Arc {
        return memchr::memchr(b'\n', &bytes[from..]).map(|i| from + i + 1);
    }
    let from = from.saturating_sub(4);
    memchr::memchr_iter(b'\n', &bytes[from..]).find_map(|i| {
        let rest = &bytes[from + i + 1..];
        // Files that went through a text mode have `\r\r\n`.
        let line = rest.iter().take(3).take_while(|b| **b == b'\r').count();
        (rest.get(line) == Some(&b'\n')).then_some(from + i + line + 2)
    })
}

/// The place from `from` on where a line is a record's first line (`WARC/` and a version).
fn next_record(bytes: &[u8], format: Format, from: usize) -> Option<usize> {
    if format == Format::Arc {
        return arc::next_record(bytes, from);
    }
    memmem::find_iter(&bytes[from..], RECORD_MAGIC)
        .map(|i| from + i)
        .find(|&at| {
            let starts_line = at > 0 && bytes[at - 1] == b'\n';
            let line = &bytes[at + RECORD_MAGIC.len()..];
            let version = line.iter().take_while(|b| b.is_ascii_digit() || **b == b'.').count();
            let ends = matches!(line.get(version), Some(b'\r' | b'\n'));
            starts_line && (3..=4).contains(&version) && ends
        })
}

/// The end of `bytes` without line ends at its end, but not before `from`.
fn trim_line_ends(bytes: &[u8], from: usize) -> usize {
    let blank = bytes[from..].iter().rev().take_while(|b| matches!(b, b'\r' | b'\n'));
    bytes.len() - blank.count()
}
