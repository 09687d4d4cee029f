//! WET archives read as the reference reads them (`wet_reading = "lines"`): the whole archive is a
//! text, a line `WARC/1.0` starts a page, header and body lines are distinguished by their first
//! letters alone (the reference's `split_wet_file`).
//!
//! Reading is cut in two so that one archive keeps all cores busy: [`ChunkReader`] inflates and
//! cuts the text where a line `WARC/1.0` stands (there the reference's state starts anew, so
//! chunks are independent); [`split`] makes pages of a chunk, on any thread.

use crate::read::archive::{Archive, Compression, MemberError, MemberProgress};
use crate::read::digest::{self, Checked};
use crate::read::outcome::{Damage, Dropped, MAX_URL_BYTES, MEMBER_BYTES, Split, damage, read_on, short};
use crate::read::record::Record;
use crate::runtime::memory::Large;
use c4_data::Page;
use c4_filters::{Reason, pystr};
use memchr::{memchr2, memmem};

/// The bytes from which on a chunk is cut.
const CHUNK_BYTES: usize = 1 << 20;
const DELIMITER: &str = "WARC/1.0";

/// A chunk of a WET archive's text; no page crosses its ends.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    /// The text, not yet known to be UTF-8.
    bytes: Vec<u8>,
    /// The starts of members: place in `bytes`, offset in the archive. Empty if offsets are places
    /// in the uncompressed stream.
    members: Vec<(usize, u64)>,
    /// The place of `bytes` in the uncompressed stream.
    base: u64,
    /// The most bytes of a record; larger ones are dropped.
    max_record_bytes: usize,
}

impl Chunk {
    /// The offset of the record that starts at `place`.
    fn offset(&self, place: usize) -> u64 {
        let after = self.members.partition_point(|(start, _)| *start <= place);
        match after.checked_sub(1) {
            Some(i) => self.members[i].1,
            None => self.base + place as u64,
        }
    }

    fn too_large(&self, place: usize) -> Damage {
        let cause = format!("the record is larger than {} bytes", self.max_record_bytes);
        damage(Reason::RecordTooLarge, self.offset(place), cause)
    }
}

/// What [`ChunkReader`] reads: text, or a damaged place.
#[derive(Debug)]
pub(crate) enum WetItem {
    Chunk(Chunk),
    /// A place that could not be read; it counts as one record.
    Damage(Damage),
}

/// Cuts a WET archive into [`Chunk`]s.
pub(crate) struct ChunkReader {
    archive: Archive,
    pending: Chunk,
    /// Whether the current member has more to give.
    inside: bool,
    /// The place in `pending` where the current member starts; 0 if that has been cut off.
    member_place: usize,
    /// Whether the current member is larger than what is taken as a whole.
    large_member: bool,
    /// How many members were read; the first one tells whether the archive is compressed record by record.
    members: u64,
    by_member: bool,
    damage: Option<Damage>,
    /// How many of the pending bytes are known to hold no place to cut at (each byte is searched once).
    searched: usize,
    /// Whether a record that is too large is being read: nothing is kept until the next one.
    skipping: bool,
    /// The damage to report when that record ends.
    skipped: Option<Damage>,
    /// The permit to hold large text, while what is pending is large.
    large: Option<Large>,
    done: bool,
}

impl ChunkReader {
    /// Reads `archive`; a record of more than `max_record_bytes` is dropped.
    pub(crate) fn new(archive: Archive, max_record_bytes: u64) -> ChunkReader {
        ChunkReader {
            by_member: archive.compression() != Compression::Plain,
            archive,
            pending: Chunk {
                max_record_bytes: usize::try_from(max_record_bytes).unwrap_or(usize::MAX),
                ..Chunk::default()
            },
            inside: false,
            member_place: 0,
            large_member: false,
            members: 0,
            damage: None,
            searched: 0,
            skipping: false,
            skipped: None,
            large: None,
            done: false,
        }
    }

    /// The permit to hold a large chunk; it has to be kept as long as the chunk.
    pub(crate) fn take_large(&mut self) -> Option<Large> {
        self.large.take()
    }

    /// How many bytes of the file have been read so far.
    pub(crate) fn position(&self) -> u64 {
        self.archive.position()
    }

    /// The next chunk or damaged place; `None` at the end.
    ///
    /// # Errors
    /// The operating system cannot read the file; nothing more comes then.
    pub(crate) fn next_item(&mut self) -> std::io::Result<Option<WetItem>> {
        loop {
            if let Some(damage) = self.damage.take() {
                // What was whole before the damage comes first, and no page crosses it.
                if !self.pending.bytes.is_empty() {
                    self.damage = Some(damage);
                    return Ok(Some(WetItem::Chunk(self.cut(self.pending.bytes.len()))));
                }
                return Ok(Some(WetItem::Damage(damage)));
            }
            if let Some(damage) = self.skipped.take_if(|_| !self.skipping || self.done) {
                return Ok(Some(WetItem::Damage(damage)));
            }
            if self.done {
                if self.skipping || self.pending.bytes.is_empty() {
                    return Ok(None);
                }
                return Ok(Some(WetItem::Chunk(self.cut(self.pending.bytes.len()))));
            }
            if self.pending.bytes.len() >= CHUNK_BYTES {
                let from = self.searched.saturating_sub(DELIMITER.len() + 1);
                // A member may have brought much more than a chunk.
                let bytes = &self.pending.bytes[from..];
                let near = last_delimiter(&bytes[..bytes.len().min(2 * CHUNK_BYTES)]);
                if let Some(at) = near.or_else(|| last_delimiter(bytes)) {
                    return Ok(Some(WetItem::Chunk(self.cut(from + at))));
                }
                self.searched = self.pending.bytes.len();
                if self.pending.bytes.len() > self.pending.max_record_bytes {
                    self.skipping = true;
                    self.skipped = Some(self.pending.too_large(0));
                    self.skip();
                    continue;
                }
            }
            self.fill()?;
        }
    }

    /// Reads on: the rest of the current member, or the next one.
    fn fill(&mut self) -> std::io::Result<()> {
        if !self.inside {
            match self.archive.next_member() {
                Ok(Some(offset)) => {
                    self.inside = true;
                    self.member_place = self.pending.bytes.len();
                    self.large_member = false;
                    self.members += 1;
                    if self.by_member {
                        self.pending.members.push((self.pending.bytes.len(), offset));
                    }
                }
                Ok(None) => self.done = true,
                Err(error) => self.note(error)?,
            }
            if !self.inside {
                return Ok(());
            }
        }
        // What no checksum at the end can take back need not be read as a whole.
        let most = match self.large_member || self.archive.compression() == Compression::Plain {
            true => CHUNK_BYTES,
            false => MEMBER_BYTES,
        };
        match read_on(&mut self.archive, &mut self.pending.bytes, most, &mut self.large) {
            Ok(MemberProgress::More) => self.large_member = true,
            Ok(MemberProgress::End) => self.inside = false,
            Err(error) => {
                self.inside = false;
                // A cut member is good up to the cut, only its last page is incomplete. A corrupt one cannot be
                // trusted, but much of a large one has been returned already.
                let partly = matches!(error, MemberError::Truncated) || self.large_member;
                let good = if partly {
                    last_delimiter(&self.pending.bytes)
                } else {
                    None
                };
                let good = good.filter(|at| *at > self.member_place);
                self.pending.bytes.truncate(good.unwrap_or(self.member_place));
                self.note(error)?;
            }
        }
        if self.members == 1 && self.by_member && last_delimiter(&self.pending.bytes).is_some() {
            self.by_member = false;
            self.pending.members.clear();
        }
        if self.skipping {
            self.skip();
        }
        Ok(())
    }

    /// Inside a record that is too large: drops what is pending, up to the next record if it is
    /// there. The last bytes stay, since a delimiter may lie across two readings.
    fn skip(&mut self) {
        let bytes = &self.pending.bytes;
        let found = memmem::find_iter(bytes, DELIMITER).find(|at| is_delimiter(bytes, *at));
        self.skipping = found.is_none();
        let tail = self.pending.bytes.len().saturating_sub(DELIMITER.len() + 2);
        self.cut(found.unwrap_or(tail));
    }

    fn note(&mut self, error: MemberError) -> std::io::Result<()> {
        self.damage = Some(Damage::of_member(self.archive.member_start(), error)?);
        Ok(())
    }

    /// Takes the first `at` bytes of what is pending.
    fn cut(&mut self, at: usize) -> Chunk {
        // Room for most of the next chunk, so that it comes in without moving.
        let mut rest = Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4);
        rest.extend_from_slice(&self.pending.bytes[at..]);
        self.pending.bytes.truncate(at);
        let base = self.pending.base + at as u64;
        let split = self.pending.members.partition_point(|(start, _)| *start < at);
        let mut members = self.pending.members.split_off(split);
        if members.first().is_none_or(|(start, _)| *start > at)
            && let Some((_, offset)) = self.pending.members.last()
        {
            // The rest begins inside the member that was cut.
            members.insert(0, (at, *offset));
        }
        members.iter_mut().for_each(|(start, _)| *start -= at);
        self.searched = 0;
        self.member_place = self.member_place.saturating_sub(at);
        let max_record_bytes = self.pending.max_record_bytes;
        let rest = Chunk {
            bytes: rest,
            members,
            base,
            max_record_bytes,
        };
        std::mem::replace(&mut self.pending, rest)
    }
}

/// Whether a line that is exactly the delimiter starts at `at`; false at the very start, where a cut would be useless.
fn is_delimiter(bytes: &[u8], at: usize) -> bool {
    let ends = matches!(bytes.get(at + DELIMITER.len()), Some(b'\n' | b'\r'));
    ends && at > 0 && matches!(bytes[at - 1], b'\n' | b'\r')
}

fn last_delimiter(bytes: &[u8]) -> Option<usize> {
    memmem::rfind_iter(bytes, DELIMITER).find(|at| is_delimiter(bytes, *at))
}

/// The page that is being read, filled field by field as the reference does.
#[derive(Default)]
struct Draft {
    page: Page,
    place: usize,
    bad_utf8: bool,
}

/// Splits a chunk into pages and counted failures, in order. One pass; text is copied once. With `verify_digests` the
/// bytes of each record are compared with its digests.
pub(crate) fn split(chunk: &Chunk, verify_digests: bool) -> Vec<Split> {
    let mut out = Vec::new();
    let mut draft = Draft::default();
    let mut place = 0;
    let mut first = true;
    // Nearly every chunk is UTF-8 as a whole; where one is not, each line is checked.
    let whole = simdutf8::basic::from_utf8(&chunk.bytes).ok();
    while place < chunk.bytes.len() {
        // Universal newlines: \n, \r, \r\n. Between the \r and the \n of a pair stands an empty
        // line, and empty lines vanish.
        let rest = &chunk.bytes[place..];
        let length = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let start = place;
        place += length + 1;
        let is_first = std::mem::replace(&mut first, false);
        let line = match whole {
            Some(text) => Some(&text[start..start + length]),
            None => std::str::from_utf8(&rest[..length]).ok(),
        };
        let Some(line) = line else {
            draft.bad_utf8 = true;
            continue;
        };
        let line = pystr::strip(line);
        if line.is_empty() {
            continue;
        }
        if line == DELIMITER {
            if !is_first {
                out.push(finish(std::mem::take(&mut draft), start, chunk, verify_digests));
            }
            draft.place = start;
        }
        let page = &mut draft.page;
        if !line.starts_with(['W', 'C']) {
            push_line(&mut page.text, line);
            continue;
        }
        let field = |name: &str| line.strip_prefix(name).map(|v| pystr::strip(v).to_owned());
        if let Some(url) = field("WARC-Target-URI:") {
            page.url = url;
        } else if let Some(timestamp) = field("WARC-Date:") {
            page.timestamp = timestamp;
        } else if let Some(content_type) = field("Content-Type:") {
            page.content_type = content_type;
        } else if let Some(content_length) = field("Content-Length:") {
            // Mostly about the size of the text. It may be wrong, so no more than there is.
            let expected = content_length.parse().unwrap_or(0);
            page.text.reserve(rest.len().min(expected));
            page.content_length = content_length;
        } else if !["WARC", "CONTENT-", "Content-"].iter().any(|p| line.starts_with(p)) {
            push_line(&mut page.text, line);
        }
    }
    out.push(finish(draft, chunk.bytes.len(), chunk, verify_digests));
    out
}

fn push_line(text: &mut String, line: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(line);
}

/// The reference's validity test, in its order: URL, text, timestamp.
fn finish(draft: Draft, end: usize, chunk: &Chunk, verify_digests: bool) -> Split {
    let mut page = draft.page;
    if page.text.capacity() / 2 > page.text.len() {
        // The announced length was wrong.
        page.text.shrink_to_fit();
    }
    page.record_offset = chunk.offset(draft.place);
    let offset = page.record_offset;
    if end - draft.place > chunk.max_record_bytes {
        Split::Damage(chunk.too_large(draft.place))
    } else if verify_digests
        && let Some(Checked::Wrong(cause)) =
            Record::prefix(&chunk.bytes[draft.place..end]).map(|record| digest::check(&record))
    {
        let cause = format!("the record of {}: {cause}", short(&page.url));
        Split::Damage(damage(Reason::WrongDigest, offset, cause))
    } else if draft.bad_utf8 {
        let cause = format!("the record of {} is not valid UTF-8", short(&page.url));
        Split::Damage(damage(Reason::BadUtf8, offset, cause))
    } else if page.url.is_empty() {
        dropped(Reason::NoUrl, page)
    } else if page.url.len() > MAX_URL_BYTES {
        page.url = String::new();
        dropped(Reason::UrlTooLong, page)
    } else if page.text.is_empty() {
        dropped(Reason::NoContent, page)
    } else if page.timestamp.is_empty() {
        dropped(Reason::NoTimestamp, page)
    } else {
        Split::Page(page)
    }
}

/// A record that lacks a field of a page.
fn dropped(reason: Reason, page: Page) -> Split {
    Split::Dropped(Dropped {
        reason,
        url: page.url,
        record_offset: page.record_offset,
    })
}
