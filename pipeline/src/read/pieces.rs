//! A gzip archive in pieces, still compressed, so that inflating is spread over cores too.
//!
//! gzip members do not say how long they are, so where one starts can only be guessed: at the bytes that the
//! archive's first member starts with. They may as well stand in what a web server sent (an archive in an archive, a
//! body in gzip). So a guess is one until it is proved: a piece starts where the members of the piece before it end,
//! one after the other, from the start of the archive on. A piece is inflated before that is known, and inflated
//! again from the right place where the guess was wrong; where a member is not what it should be (it reaches over
//! the end of its piece, or is damaged), whoever has its piece reads on in the file up to the next member behind the
//! piece. So pieces give what reading the archive in one go gives.

use crate::read::archive::{Archive, Format};
use crate::read::member_decoder::GzipDecoder;
use crate::read::outcome::damage;
use crate::read::warc::{Item, Record, RecordReader};
use crate::runtime::memory::Large;
use c4_filters::Reason;
use memchr::memmem;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// A piece has at least this many bytes, unless the archive ends.
const PIECE_BYTES: usize = 256 << 10;
/// Without a likely start of a member within so many bytes a piece ends anywhere.
const MAX_PIECE_BYTES: usize = 1 << 20;
/// A member that holds more is read on its own.
const MAX_MEMBER_BYTES: usize = 2 << 20;
/// Records of a piece are given as soon as they have so many bytes.
const PORTION_BYTES: usize = 4 << 20;
/// A likely start of a member is searched in blocks of so many bytes.
const SEARCH_BYTES: usize = 32 << 10;
/// Magic number, method, no flags; then the time, which may differ; then the system (RFC 1952, section 2.3).
const HEAD_BYTES: usize = 10;
const MAGIC: [u8; 4] = [0x1f, 0x8b, 8, 0];

/// Where the members of a piece end, known to the one who reads it and then to the next piece.
#[derive(Debug, Default)]
struct End {
    /// The offset in the archive, and how much was decoded in vain up to there; `None` within: it will never be known,
    /// since reading was given up.
    told: Mutex<Option<Option<(u64, u64)>>>,
    known: Condvar,
}

impl End {
    fn tell(&self, end: Option<(u64, u64)>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.get_or_insert(end);
        self.known.notify_all();
    }

    fn wait(&self) -> Option<(u64, u64)> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let told = self.known.wait_while(told, |told| told.is_none());
        told.unwrap_or_else(PoisonError::into_inner).flatten()
    }
}

/// A part of an archive, compressed; its members are read by [`Piece::records`].
#[derive(Debug)]
pub struct Piece {
    bytes: Vec<u8>,
    /// Where they start in the archive.
    offset: u64,
    /// A member is likely to start there.
    guessed: bool,
    file: Arc<File>,
    format: Format,
    max_record_bytes: u64,
    /// Of the piece before; `None`: the archive starts here.
    before: Option<Arc<End>>,
    end: Arc<End>,
}

impl Drop for Piece {
    fn drop(&mut self) {
        // Nobody is to wait for what nobody reads.
        self.end.tell(None);
    }
}

/// Cuts an archive into pieces.
pub struct PieceReader {
    file: Arc<File>,
    format: Format,
    max_record_bytes: u64,
    head: [u8; HEAD_BYTES],
    pending: Vec<u8>,
    /// Where `pending` starts in the archive.
    offset: u64,
    guessed: bool,
    before: Option<Arc<End>>,
    ended: bool,
}

impl PieceReader {
    /// Opens an archive of `format`, of which a record of more than `max_record_bytes` is dropped; `None` if it is
    /// not gzip or has a head that members do not share (with a name in it).
    ///
    /// # Errors
    /// The operating system cannot read the file.
    pub fn open(path: &Path, format: Format, max_record_bytes: u64) -> io::Result<Option<PieceReader>> {
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

    /// Bytes of the file read so far.
    pub fn position(&self) -> u64 {
        self.offset + self.pending.len() as u64
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// The operating system cannot read the file.
    pub fn next_piece(&mut self) -> io::Result<Option<Piece>> {
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
            let end = Arc::new(End::default());
            let piece = Piece {
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
        // From block to block backwards, but forwards within: the crate searches so ten times as fast.
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

impl Piece {
    /// Reads the records of the members that start in the piece, in order.
    pub fn records(self) -> Records {
        Records {
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

/// The records of a piece, in portions: see [`Piece::records`].
pub struct Records {
    piece: Piece,
    /// The offset of the member to read next.
    at: u64,
    /// A member does start where the reading of this piece started.
    proved: bool,
    /// Reads on in the file.
    slow: Option<RecordReader>,
    gzip: GzipDecoder,
    /// Held with records that are large.
    large: Option<Large>,
    /// Bytes of the archive that were decoded in vain so far.
    vain: u64,
    done: bool,
}

impl Iterator for Records {
    type Item = Vec<Item>;

    fn next(&mut self) -> Option<Vec<Item>> {
        self.large = None;
        // Without a guess there is nothing to do before the right place is known.
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
                self.piece.end.tell(Some((self.at, self.vain)));
            }
            if !items.is_empty() {
                return Some(items);
            }
        }
        None
    }
}

impl Records {
    /// What is held since the records given last are large; it has to be kept as long as they are.
    pub(crate) fn take_large(&mut self) -> Option<Large> {
        self.large.take()
    }

    /// Waits until it is known where a member starts in this piece. False: it was not where reading has started, and
    /// reading starts anew.
    fn prove(&mut self) -> bool {
        let known = self.piece.before.as_ref().map(|end| end.wait());
        self.proved = true;
        let right = match known {
            None => self.piece.offset,
            Some(Some((at, vain))) => {
                self.vain = vain;
                at
            }
            // What was before could not be read, and that was noted.
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
                self.piece.end.tell(Some((right, self.vain)));
            }
        }
        was_right
    }

    /// Records of members that lie in the piece and hold a record each, sound and as long as it says, up to the
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

    /// Reads on in the file, until a member starts behind the piece.
    fn slow(&mut self) -> Vec<Item> {
        let mut items = Vec::new();
        if let Err(error) = self.read_on(&mut items) {
            let cause = format!("the archive cannot be read further than here: {error}");
            items.push(Item::Damage(damage(Reason::CorruptMember, self.at, cause)));
            self.slow = None;
            self.piece.end.tell(None);
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
