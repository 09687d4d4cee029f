//! WARC records: the bytes of an archive as records with their headers.
//!
//! Lenient where real archives are wrong: LF-only headers, lower-case and folded header names,
//! lengths that do not fit, several records in a member, WARC/0.18. Where a length is wrong, the
//! record ends where the next one starts.

use crate::archive::{Archive, Compression, MemberError, Progress, RECORD_MAGIC};
use crate::reading::{Damage, MEMBER_BYTES, damage};
use c4_filters::Reason;
use memchr::memmem;
use std::ops::Range;

/// No record's header is larger in real archives; bounds the search for its end.
const MAX_HEADER_BYTES: usize = 1 << 20;
/// Of an archive that is not compressed, so much is read at a time.
const PLAIN_BYTES: usize = 1 << 20;

/// A record: its bytes and where its parts are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Header and block.
    bytes: Vec<u8>,
    block: Range<usize>,
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
    pub fn header(&self, name: &str) -> Option<String> {
        parse_header(&self.bytes[..self.block.start], name)
    }

    /// `WARC-Type`, lower-cased; empty without one.
    pub fn record_type(&self) -> String {
        self.header("WARC-Type")
            .unwrap_or_default()
            .to_ascii_lowercase()
    }

    /// `WARC-Target-URI`, without the angle brackets that some crawlers write.
    pub fn url(&self) -> String {
        let url = self.header("WARC-Target-URI").unwrap_or_default();
        let bare = url.strip_prefix('<').and_then(|url| url.strip_suffix('>'));
        bare.map_or(url.clone(), str::to_owned)
    }

    /// Bytes of the record in memory.
    pub fn len(&self) -> usize {
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
        if !line[..colon]
            .trim_ascii()
            .eq_ignore_ascii_case(name.as_bytes())
        {
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

/// Reads an archive record by record.
pub struct RecordReader {
    archive: Archive,
    max_record_bytes: usize,
    /// Uncompressed bytes of the current member, from the current record on.
    buffer: Vec<u8>,
    /// How many of them have been used up.
    used: usize,
    /// Place of `buffer` in the uncompressed stream.
    base: u64,
    inside: bool,
    members: u64,
    member_offset: u64,
    records_of_member: u64,
    by_member: bool,
    damage: Option<Damage>,
    pushed_back: Option<Damage>,
    /// The member was cut: its last record is incomplete.
    cut: bool,
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
            inside: false,
            members: 0,
            member_offset: 0,
            records_of_member: 0,
            damage: None,
            pushed_back: None,
            cut: false,
            done: false,
        }
    }

    /// Reads an archive that is known to be compressed record by record, from anywhere in it.
    pub fn by_member(archive: Archive, max_record_bytes: u64) -> RecordReader {
        let mut reader = Self::new(archive, max_record_bytes);
        // What tells is the first member of an archive, which this is not.
        reader.members = 1;
        reader
    }

    /// Whether the archive, of which a record has been read, is compressed record by record as far
    /// as its first member tells.
    pub fn is_by_member(&self) -> bool {
        self.by_member
    }

    /// Bytes of the file read so far.
    pub fn position(&self) -> u64 {
        self.archive.position()
    }

    /// Gives a damaged place back; it comes again before anything else.
    pub fn push_back(&mut self, damage: Damage) {
        self.pushed_back = Some(damage);
    }

    /// The next record or damaged place; `None` at the end.
    ///
    /// # Errors
    /// The operating system cannot read the file; nothing more comes then.
    pub fn next_item(&mut self) -> std::io::Result<Option<Item>> {
        if let Some(damage) = self.pushed_back.take() {
            return Ok(Some(Item::Damage(damage)));
        }
        loop {
            self.skip_blank();
            if self.rest().is_empty() {
                if self.inside {
                    self.fill()?;
                } else if let Some(damage) = self.damage.take() {
                    return Ok(Some(Item::Damage(damage)));
                } else if self.done {
                    return Ok(None);
                } else {
                    self.begin()?;
                }
                continue;
            }
            if let Some(item) = self.record()? {
                return Ok(Some(item));
            }
        }
    }

    fn rest(&self) -> &[u8] {
        &self.buffer[self.used..]
    }

    /// Line ends between records belong to none.
    fn skip_blank(&mut self) {
        let blank = |b: &&u8| matches!(b, b'\r' | b'\n');
        self.used += self.rest().iter().take_while(blank).count();
    }

    fn begin(&mut self) -> std::io::Result<()> {
        self.base += self.buffer.len() as u64;
        self.buffer.clear();
        self.used = 0;
        self.cut = false;
        match self.archive.next_member() {
            Ok(Some(offset)) => {
                self.inside = true;
                self.members += 1;
                self.member_offset = offset;
                self.records_of_member = 0;
                self.fill()
            }
            Ok(None) => {
                self.done = true;
                Ok(())
            }
            Err(error) => self.note(error),
        }
    }

    fn note(&mut self, error: MemberError) -> std::io::Result<()> {
        self.damage = Some(Damage::of_member(self.archive.member_start(), error)?);
        Ok(())
    }

    /// Reads on in the current member.
    fn fill(&mut self) -> std::io::Result<()> {
        if !self.inside {
            return Ok(());
        }
        // What has been used up makes room.
        self.base += self.used as u64;
        self.buffer.drain(..self.used);
        self.used = 0;
        let most = match self.archive.compression() {
            Compression::Plain => PLAIN_BYTES,
            _ => MEMBER_BYTES,
        };
        match self.archive.read(&mut self.buffer, most) {
            Ok(Progress::More) => {}
            Ok(Progress::End) => self.inside = false,
            Err(error) => {
                self.inside = false;
                // A cut member is good up to the cut; a corrupt one cannot be trusted at all.
                self.cut = matches!(error, MemberError::Truncated);
                if !self.cut {
                    self.buffer.clear();
                }
                self.note(error)?;
            }
        }
        Ok(())
    }

    /// Reads on until `n` bytes from here are there, or the member ends.
    fn want(&mut self, n: usize) -> std::io::Result<bool> {
        while self.rest().len() < n && self.inside {
            self.fill()?;
        }
        Ok(self.rest().len() >= n)
    }

    /// The record that starts here. `None`: nothing came of it, go on.
    fn record(&mut self) -> std::io::Result<Option<Item>> {
        if !self.want(RECORD_MAGIC.len())? && self.rest().is_empty() {
            // The member has turned out corrupt.
            return Ok(None);
        }
        let offset = self.offset();
        if !self.rest().starts_with(RECORD_MAGIC) {
            return self.malformed(offset, "the bytes here are no WARC record".into());
        }
        self.records_of_member += 1;
        let mut searched = 0;
        let header = loop {
            if let Some(end) = header_end(self.rest(), searched) {
                break end;
            }
            searched = self.rest().len().saturating_sub(4);
            if searched > MAX_HEADER_BYTES {
                return self.malformed(offset, "the record's header does not end".into());
            }
            if !self.inside {
                if self.cut {
                    return Ok(self.drop_rest());
                }
                return self.malformed(offset, "the record ends within its header".into());
            }
            self.fill()?;
            if self.rest().is_empty() {
                return Ok(None);
            }
        };
        let length = parse_header(&self.rest()[..header], "Content-Length");
        let length = length.and_then(|value| value.parse::<u64>().ok());
        if let Some(length) = length.and_then(|n| usize::try_from(n).ok())
            && length <= self.max_record_bytes
        {
            let end = header + length;
            self.want(end + 4 + RECORD_MAGIC.len())?;
            if self.rest().len() >= end && ends_here(&self.rest()[end..]) {
                if self.cut && next_record(self.rest(), end).is_none() {
                    return Ok(self.drop_rest());
                }
                return Ok(Some(self.take(offset, header, end)));
            }
        }
        self.without_length(offset, header)
    }

    /// A record whose length is missing or wrong: it ends where the next one starts, or with its
    /// member.
    fn without_length(&mut self, offset: u64, header: usize) -> std::io::Result<Option<Item>> {
        let mut searched = header;
        loop {
            if self.rest().len() < header {
                // The member has turned out corrupt.
                return Ok(None);
            }
            if let Some(next) = next_record(self.rest(), searched) {
                let end = trim_line_ends(&self.rest()[..next], header);
                return Ok(Some(self.take(offset, header, end)));
            }
            searched = self.rest().len().saturating_sub(MAX_MARK_BYTES).max(header);
            if self.rest().len() > self.max_record_bytes {
                let damage = self.too_large(offset);
                self.skip_record()?;
                return Ok(Some(Item::Damage(damage)));
            }
            if !self.inside {
                break;
            }
            self.fill()?;
        }
        if self.cut {
            return Ok(self.drop_rest());
        }
        let end = trim_line_ends(self.rest(), header);
        let length = parse_header(&self.rest()[..header], "Content-Length");
        let announced = length.and_then(|value| value.parse::<usize>().ok());
        // Nothing tells whether an uncompressed file is whole but the lengths in it.
        if self.archive.compression() == Compression::Plain
            && announced.is_some_and(|length| length > self.rest().len() - header)
        {
            self.used = self.buffer.len();
            let cause = "the archive is cut in the middle of a record; fetch it again";
            return Ok(Some(Item::Damage(damage(Reason::Truncated, offset, cause))));
        }
        Ok(Some(self.take(offset, header, end)))
    }

    /// Takes the record that ends at `end`; moves the buffer if it holds nothing else.
    fn take(&mut self, offset: u64, header: usize, end: usize) -> Item {
        if end > self.max_record_bytes {
            self.used += end;
            return Item::Damage(self.too_large(offset));
        }
        let tail = self.buffer[self.used + end..].iter();
        let last = !self.inside && tail.clone().all(|b| matches!(b, b'\r' | b'\n'));
        let bytes = if self.used == 0 && last {
            self.base += self.buffer.len() as u64;
            let mut bytes = std::mem::take(&mut self.buffer);
            bytes.truncate(end);
            bytes
        } else {
            let bytes = self.rest()[..end].to_vec();
            self.used += end;
            bytes
        };
        Item::Record(Record {
            bytes,
            block: header..end,
            offset,
        })
    }

    /// Leaves out what is no record, up to the next one of the member.
    fn malformed(&mut self, offset: u64, cause: String) -> std::io::Result<Option<Item>> {
        self.skip_record()?;
        Ok(Some(Item::Damage(damage(
            Reason::MalformedRecord,
            offset,
            cause,
        ))))
    }

    fn too_large(&self, offset: u64) -> Damage {
        let cause = format!("the record is larger than {} bytes", self.max_record_bytes);
        damage(Reason::RecordTooLarge, offset, cause)
    }

    fn skip_record(&mut self) -> std::io::Result<()> {
        // Not the record that starts here.
        let mut searched = 1.min(self.rest().len());
        loop {
            if let Some(next) = next_record(self.rest(), searched) {
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
        if self.by_member && self.members == 1 && self.records_of_member == 1 {
            // Two records in the first member: not compressed record by record.
            self.by_member = false;
        }
        if self.by_member {
            self.member_offset
        } else {
            self.base + self.used as u64
        }
    }
}

/// `\n` + `WARC/1.0` + line end: what [`next_record`] looks at.
const MAX_MARK_BYTES: usize = 16;

/// The end of the header in `bytes` (after its empty line); nothing before `from` is one.
fn header_end(bytes: &[u8], from: usize) -> Option<usize> {
    let from = from.saturating_sub(2);
    memchr::memchr_iter(b'\n', &bytes[from..]).find_map(|i| {
        let rest = &bytes[from + i + 1..];
        match rest {
            [b'\n', ..] => Some(from + i + 2),
            [b'\r', b'\n', ..] => Some(from + i + 3),
            _ => None,
        }
    })
}

/// Whether a record may end before `tail`: line ends, then nothing or a record.
fn ends_here(tail: &[u8]) -> bool {
    let blank = tail
        .iter()
        .take_while(|b| matches!(b, b'\r' | b'\n'))
        .count();
    let next = &tail[blank..];
    next.is_empty()
        || (next.starts_with(RECORD_MAGIC) && next.get(5).is_none_or(u8::is_ascii_digit))
}

/// The place from `from` on where a line is a record's first line (`WARC/` and a version).
fn next_record(bytes: &[u8], from: usize) -> Option<usize> {
    memmem::find_iter(&bytes[from..], RECORD_MAGIC)
        .map(|i| from + i)
        .find(|&at| {
            let starts_line = at > 0 && bytes[at - 1] == b'\n';
            let line = &bytes[at + RECORD_MAGIC.len()..];
            let version = line
                .iter()
                .take_while(|b| b.is_ascii_digit() || **b == b'.')
                .count();
            let ends = matches!(line.get(version), Some(b'\r' | b'\n'));
            starts_line && (3..=4).contains(&version) && ends
        })
}

/// The end of `bytes` without line ends at its end, but not before `from`.
fn trim_line_ends(bytes: &[u8], from: usize) -> usize {
    let blank = bytes[from..]
        .iter()
        .rev()
        .take_while(|b| matches!(b, b'\r' | b'\n'));
    bytes.len() - blank.count()
}
