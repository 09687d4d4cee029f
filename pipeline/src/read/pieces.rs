//! A gzip archive in pieces, still compressed, so that inflating is spread over cores too.
//!
//! gzip members do not say how long they are, so where one starts can only be guessed: at the bytes that the
//! archive's first member starts with. The same bytes may stand in what a web server sent (an archive in an archive, a
//! body in gzip). So a guess has to be proved: a piece starts where the members of the piece before it end,
//! one after the other, from the start of the archive on. A piece is inflated before that is known, and inflated
//! again from the right place where the guess was wrong; where a member is not what it should be (it reaches over
//! the end of its piece, or is damaged), the thread that has its piece reads on in the file up to the next member
//! behind the piece. So pieces give the records that reading the archive in one go gives.

use crate::read::archive::{Archive, RecordFormat};
use crate::read::member_decoder::GzipDecoder;
use crate::read::outcome::damage;
use crate::read::record::Record;
use crate::read::warc::{Item, RecordReader};
use crate::runtime::memory::Large;
use c4_filters::Reason;
use memchr::memmem;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// The fewest bytes of a piece, unless the archive ends.
const PIECE_BYTES: usize = 256 << 10;
/// The most bytes of a piece: without a likely start of a member within them it ends anywhere.
const MAX_PIECE_BYTES: usize = 1 << 20;
/// The largest member that is decompressed with others of its piece, in bytes; a larger one is read by itself.
const MAX_MEMBER_BYTES: usize = 2 << 20;
/// The bytes of records from which on they are returned as a portion.
const PORTION_BYTES: usize = 4 << 20;
/// The bytes of the blocks in which a likely start of a member is searched.
const SEARCH_BYTES: usize = 32 << 10;
/// The length in bytes of a gzip header: magic number, method, no flags; then the time, which may differ; then the
/// system (RFC 1952, section 2.3).
const HEAD_BYTES: usize = 10;
const MAGIC: [u8; 4] = [0x1f, 0x8b, 8, 0];

/// Where the members of a piece end: set by the thread that reads the piece, awaited by the one that reads the next.
#[derive(Debug, Default)]
struct PieceEnd {
    /// The offset in the archive, and how many bytes were decoded in vain up to there; `Some(None)`: it will never be
    /// known, since reading was given up.
    end: Mutex<Option<Option<(u64, u64)>>>,
    known: Condvar,
}

impl PieceEnd {
    /// Sets the end, unless it is set.
    fn set(&self, end: Option<(u64, u64)>) {
        let mut known = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        known.get_or_insert(end);
        self.known.notify_all();
    }

    fn wait(&self) -> Option<(u64, u64)> {
        let end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        let end = self.known.wait_while(end, |end| end.is_none());
        end.unwrap_or_else(PoisonError::into_inner).flatten()
    }
}

/// A range of an archive's bytes, still compressed; [`records`](MemberPiece::records) reads the members in it.
#[derive(Debug)]
pub struct MemberPiece {
    bytes: Vec<u8>,
    /// The offset of the bytes in the archive.
    offset: u64,
    /// Whether a member is likely to start there.
    guessed: bool,
    file: Arc<File>,
    format: RecordFormat,
    max_record_bytes: u64,
    /// The end of the piece before; `None`: the archive starts here.
    before: Option<Arc<PieceEnd>>,
    end: Arc<PieceEnd>,
}

impl Drop for MemberPiece {
    fn drop(&mut self) {
        // Nobody is to wait for what nobody reads.
        self.end.set(None);
    }
}

/// Cuts an archive into pieces that are likely to start with a member.
pub struct PieceReader {
    file: Arc<File>,
    format: RecordFormat,
    max_record_bytes: u64,
    head: [u8; HEAD_BYTES],
    pending: Vec<u8>,
    /// The offset of `pending` in the archive.
    offset: u64,
    guessed: bool,
    before: Option<Arc<PieceEnd>>,
    ended: bool,
}

impl PieceReader {
    /// Opens an archive of `format`, of which a record of more than `max_record_bytes` is dropped; `None` if it is
    /// not gzip, or has a gzip header that its members do not share (with a file name in it).
    ///
    /// # Errors
    /// The operating system cannot read the file.
    pub fn open(path: &Path, format: RecordFormat, max_record_bytes: u64) -> io::Result<Option<PieceReader>> {
        let file = File::open(path)?;
        let mut pending = Vec::new();
        (&file).take(PIECE_BYTES as u64).read_to_end(&mut pending)?;
        let head = pending.first_chunk().filter(|head| head.starts_with(&MAGIC));
        Ok(head.copied().map(|head| PieceReader {
            file: Arc::new(file),
            format,
            max_record_bytes,
            head,
            pending,
            offset: 0,
            guessed: true,
            before: None,
            ended: false,
        }))
    }

    /// How many bytes of the file have been read so far.
    pub fn position(&self) -> u64 {
        self.offset + self.pending.len() as u64
    }

    /// The next piece of the archive; `None` at the end.
    ///
    /// # Errors
    /// The operating system cannot read the file.
    pub fn next_piece(&mut self) -> io::Result<Option<MemberPiece>> {
        loop {
            let (cut, guessed) = match self.last_guess() {
                _ if self.ended => (self.pending.len(), false),
                Some(cut) if self.pending.len() >= PIECE_BYTES => (cut, true),
                None if self.pending.len() >= MAX_PIECE_BYTES => (self.pending.len(), false),
                _ => {
                    let want = PIECE_BYTES as u64;
                    let read = (&*self.file).take(want).read_to_end(&mut self.pending)?;
                    self.ended = (read as u64) < want;
                    continue;
                }
            };
            if cut == 0 {
                return Ok(None);
            }
            let rest = self.pending.split_off(cut);
            let end = Arc::new(PieceEnd::default());
            let piece = MemberPiece {
                bytes: std::mem::replace(&mut self.pending, rest),
                offset: self.offset,
                guessed: self.guessed,
                file: self.file.clone(),
                format: self.format,
                max_record_bytes: self.max_record_bytes,
                before: self.before.replace(end.clone()),
                end,
            };
            self.offset += cut as u64;
            self.guessed = guessed;
            return Ok(Some(piece));
        }
    }

    /// The last place behind the first byte where a member is likely to start.
    fn last_guess(&self) -> Option<usize> {
        let system = &self.head[8..];
        let likely = |at: &usize| self.pending.get(at + 8..at + HEAD_BYTES) == Some(system);
        // From block to block backwards, but forwards within: memchr is ten times as fast that way.
        let mut end = self.pending.len();
        while end > 1 {
            let start = end.saturating_sub(SEARCH_BYTES).max(1);
            let block = &self.pending[start..self.pending.len().min(end + MAGIC.len() - 1)];
            let places = memmem::find_iter(block, &MAGIC).map(|at| start + at);
            if let Some(last) = places.filter(likely).last() {
                return Some(last);
            }
            end = start;
        }
        None
    }
}

impl MemberPiece {
    /// Reads the records of the members that start in the piece, in order. The pieces before have to be read, too, or
    /// dropped: the iterator waits for them.
    pub fn records(self) -> PieceRecords {
        PieceRecords {
            at: self.offset,
            proved: self.before.is_none(),
            slow: None,
            gzip: GzipDecoder::default(),
            large: None,
            vain: 0,
            done: false,
            piece: self,
        }
    }

    fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }
}

/// The records of a piece, in portions: see [`MemberPiece::records`].
pub struct PieceRecords {
    piece: MemberPiece,
    /// The offset of the member to read next.
    at: u64,
    /// Whether a member is known to start where the reading of this piece started.
    proved: bool,
    /// The reader that reads on in the file.
    slow: Option<RecordReader>,
    gzip: GzipDecoder,
    /// The permit to hold large records.
    large: Option<Large>,
    /// How many bytes of the archive were decoded in vain so far.
    vain: u64,
    done: bool,
}

impl Iterator for PieceRecords {
    type Item = Vec<Item>;

    fn next(&mut self) -> Option<Vec<Item>> {
        self.large = None;
        // Without a guess nothing can be done before the right place is known.
        if !self.piece.guessed && !self.proved {
            self.prove();
        }
        while !self.done {
            let mut items = self.fast();
            if !self.proved && !self.prove() {
                continue;
            }
            if items.is_empty() && self.at < self.piece.end() {
                items = self.slow();
            }
            self.done = self.slow.is_none() && self.at >= self.piece.end();
            if self.done {
                self.piece.end.set(Some((self.at, self.vain)));
            }
            if !items.is_empty() {
                return Some(items);
            }
        }
        None
    }
}

impl PieceRecords {
    /// The permit to hold large records; it has to be kept as long as the records returned last.
    pub(crate) fn take_large(&mut self) -> Option<Large> {
        self.large.take()
    }

    /// Waits until it is known where a member starts in this piece; false if that is not where reading has started, so
    /// that it starts anew.
    fn prove(&mut self) -> bool {
        let known = self.piece.before.as_ref().map(|end| end.wait());
        self.proved = true;
        let right = match known {
            None => self.piece.offset,
            Some(Some((at, vain))) => {
                self.vain = vain;
                at
            }
            // The piece before could not be read, and that was noted.
            Some(None) if self.piece.guessed => self.piece.offset,
            Some(None) => {
                self.done = true;
                return false;
            }
        };
        let was_right = right == self.piece.offset && self.piece.guessed;
        if !was_right {
            self.at = right;
            self.done = right >= self.piece.end();
            if self.done {
                self.piece.end.set(Some((right, self.vain)));
            }
        }
        was_right
    }

    /// The records of members that lie in the piece and hold a record each, sound and of the right length, up to the
    /// first member that is otherwise.
    fn fast(&mut self) -> Vec<Item> {
        let mut items = Vec::new();
        let mut bytes = 0;
        let mut content = Vec::new();
        while self.slow.is_none() && self.at < self.piece.end() && bytes < PORTION_BYTES {
            let rest = &self.piece.bytes[(self.at - self.piece.offset) as usize..];
            content.clear();
            let Some(length) = self.gzip.decode(rest, &mut content, MAX_MEMBER_BYTES) else {
                break;
            };
            let (format, limit) = (self.piece.format, self.piece.max_record_bytes);
            let Some(record) = Record::alone(&mut content, format, self.at, limit) else {
                break;
            };
            let item = Item::Record(record);
            bytes += item.bytes();
            items.push(item);
            self.at += length as u64;
        }
        items
    }

    /// The records that are read on in the file, until a member starts behind the piece.
    fn slow(&mut self) -> Vec<Item> {
        let mut items = Vec::new();
        if let Err(error) = self.read_on(&mut items) {
            let cause = format!("the archive cannot be read further than here: {error}");
            items.push(Item::Damage(damage(Reason::CorruptMember, self.at, cause)));
            self.slow = None;
            self.piece.end.set(None);
            self.at = self.piece.end();
        }
        items
    }

    fn read_on(&mut self, items: &mut Vec<Item>) -> io::Result<()> {
        let reader = match &mut self.slow {
            Some(reader) => reader,
            None => {
                let file = self.piece.file.clone();
                let mut archive = Archive::from(file, self.at, self.piece.format)?;
                archive.set_vain(self.vain);
                let limit = self.piece.max_record_bytes;
                self.slow.insert(RecordReader::by_member(archive, limit))
            }
        };
        let mut bytes = 0;
        while bytes < PORTION_BYTES {
            let boundary = reader.boundary()?;
            self.vain = reader.vain();
            if let Some(at) = boundary.filter(|at| *at >= self.piece.end()) {
                self.at = at;
                self.slow = None;
                return Ok(());
            }
            match reader.next_item()? {
                Some(item) => {
                    bytes += item.bytes();
                    items.push(item);
                }
                None => {
                    self.vain = reader.vain();
                    self.at = reader.position().max(self.piece.end());
                    self.slow = None;
                    return Ok(());
                }
            }
        }
        self.large = reader.take_large();
        Ok(())
    }
}
