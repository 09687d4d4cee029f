//! A WARC or ARC record: its header and block, and where it begins and ends in a run of bytes.
//!
//! Lenient where real archives are wrong: LF-only headers, lower-case and folded header names, missing ends.

use crate::read::arc;
use crate::read::archive::{RECORD_MAGIC, RecordFormat};
use memchr::memmem;
use std::ops::Range;

/// The longest header of a record that is read, in bytes; bounds the search for its end.
pub(crate) const MAX_HEADER_BYTES: usize = 1 << 20;

/// A WARC record: its header and block. A record of an ARC has the header of the WARC record that says the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The header, then the block.
    pub(super) bytes: Vec<u8>,
    pub(super) block: Range<usize>,
    /// Whether the record was joined of segments, so that its header is that of the first segment.
    pub is_joined: bool,
    /// The byte offset of the record's member in the archive, or, where the archive is not compressed record by record,
    /// of the record in the uncompressed stream.
    pub offset: u64,
}

impl Record {
    /// The block of the record, which follows the header.
    pub fn block(&self) -> &[u8] {
        &self.bytes[self.block.clone()]
    }

    /// The value of a header, the first one of that name (any case), folded lines joined by a
    /// space; bytes that are not UTF-8 are replaced.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        parse_header(&self.bytes[..self.block.start], name)
    }

    /// The value of `WARC-Type`, lower-cased; empty without one.
    pub(crate) fn record_type(&self) -> String {
        self.header("WARC-Type").unwrap_or_default().to_ascii_lowercase()
    }

    /// The value of `WARC-Target-URI`, without the angle brackets that some crawlers write.
    pub fn url(&self) -> String {
        let url = self.header("WARC-Target-URI").unwrap_or_default();
        let bare = url.strip_prefix('<').and_then(|url| url.strip_suffix('>'));
        bare.map_or(url.clone(), str::to_owned)
    }

    /// The number of the segment, from 1, where a record was cut into segments (WARC 1.1, section 7).
    pub(crate) fn segment(&self) -> Option<u64> {
        self.header("WARC-Segment-Number")?.parse().ok()
    }

    /// The record that `member` holds, if it holds nothing else, the record's length fits, and it is no segment of a
    /// record. What is left in `member` is of no use.
    pub(crate) fn alone(
        member: &mut Vec<u8>,
        format: RecordFormat,
        offset: u64,
        max_record_bytes: u64,
    ) -> Option<Record> {
        if RecordFormat::of(member) != Some(format) {
            return None;
        }
        let header = header_end(&member[..member.len().min(MAX_HEADER_BYTES)], format, 0)?;
        let length = content_length(&member[..header], format)?;
        let end = header.checked_add(usize::try_from(length).ok()?)?;
        if length > max_record_bytes || !member.get(end..)?.iter().all(is_blank) {
            return None;
        }
        // Nothing is copied, but where too much room would be held.
        let record = match format == RecordFormat::Warc && member.capacity() <= 2 * end {
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

    /// The WARC record that `bytes` start with, as long as its `Content-Length` says; `None` if they are shorter.
    pub(crate) fn prefix(bytes: &[u8]) -> Option<Record> {
        let header = header_end(bytes, RecordFormat::Warc, 0)?;
        let length = content_length(&bytes[..header], RecordFormat::Warc)?;
        let end = header.checked_add(usize::try_from(length).ok()?)?;
        Some(Record::new(bytes.get(..end)?, RecordFormat::Warc, header, 0))
    }

    /// Copies the record `bytes`, whose header ends at `header`.
    pub(super) fn new(bytes: &[u8], format: RecordFormat, header: usize, offset: u64) -> Record {
        let (bytes, header) = match arc::header(bytes) {
            Some(line) if format == RecordFormat::Arc => {
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

    /// The length of the record in bytes, header and block.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
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

/// Whether a byte may stand between records: line ends, and zeros or spaces as padding.
pub(super) fn is_blank(byte: &u8) -> bool {
    matches!(byte, b'\r' | b'\n' | b'\0' | b' ' | b'\t')
}

/// Whether a block ends with `</html>`, as whole HTML does.
pub(super) fn ends_as_html(block: &[u8]) -> bool {
    let text = block.trim_ascii_end();
    let end = text.len().saturating_sub(b"</html>".len());
    text[end..].eq_ignore_ascii_case(b"</html>")
}

/// Whether `record`, whose header ends at `header`, ends as one that is whole: as HTML does, or with the empty line
/// that ends a record, unless that is the one behind an HTTP head.
pub(super) fn ends_whole(record: &[u8], header: usize) -> bool {
    let (head, block) = record.split_at(header);
    let line: &[u8] = if head.ends_with(b"\r\n") { b"\r\n\r\n" } else { b"\n\n" };
    let more = |end: usize| end < trim_line_ends(block, 0);
    let has_body = !block.starts_with(b"HTTP/") || header_end(block, RecordFormat::Warc, 0).is_some_and(more);
    ends_as_html(block) || (block.ends_with(line) && has_body)
}

/// The length of the block in bytes that a header announces.
pub(super) fn content_length(header: &[u8], format: RecordFormat) -> Option<u64> {
    match format {
        RecordFormat::Warc => parse_header(header, "Content-Length")?.parse().ok(),
        RecordFormat::Arc => arc::header(header)?.length,
    }
}

/// How many bytes may have to be read to see whether they are an ARC record.
pub(super) const MAX_ARC_HEADER_BYTES: usize = 2 << 10;

/// `\n` + `WARC/1.0` + line end: what [`next_record`] looks at.
pub(super) const MAX_MARK_BYTES: usize = 16;

/// The end of the header in `bytes` (for WARC after its empty line); nothing before `from` is one.
pub(super) fn header_end(bytes: &[u8], format: RecordFormat, from: usize) -> Option<usize> {
    if format == RecordFormat::Arc {
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

/// The place, at `from` or later, of the first line of a record (`WARC/` and a version).
pub(super) fn next_record(bytes: &[u8], format: RecordFormat, from: usize) -> Option<usize> {
    if format == RecordFormat::Arc {
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

/// The length of `bytes` without line ends at the end, but at least `from`.
pub(super) fn trim_line_ends(bytes: &[u8], from: usize) -> usize {
    let blank = bytes[from..].iter().rev().take_while(|b| matches!(b, b'\r' | b'\n'));
    bytes.len() - blank.count()
}
