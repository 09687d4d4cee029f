//! A gzip archive in pieces of whole members, still compressed, so that inflating is spread over
//! cores too.
//!
//! gzip members do not say how long they are, so a boundary can only be guessed: a place where the
//! ten bytes stand that the archive's first member starts with. All writers of crawls give every
//! member the same head (no name, no time), and ten bytes do not appear by chance. A piece is then
//! read as an archive of its own. Where no such place is found the rest is read as a stream.

use crate::archive::Archive;
use memchr::memmem;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// A piece has at least this many bytes, unless the archive ends.
const PIECE_BYTES: usize = 256 << 10;
/// Without a boundary within so many bytes, the rest is not cut.
const MAX_PIECE_BYTES: usize = 16 << 20;
const HEAD_BYTES: usize = 10;

/// Whole members, compressed.
#[derive(Debug)]
pub struct Piece {
    /// Their bytes.
    pub bytes: Vec<u8>,
    /// Where they start in the archive.
    pub offset: u64,
    /// Nothing follows.
    pub last: bool,
}

/// What [`PieceReader::next_piece`] gives.
pub enum Next {
    /// A piece.
    Piece(Piece),
    /// The rest cannot be cut: the archive, open where it starts.
    Rest(Box<Archive>),
    /// The end.
    End,
}

/// Cuts an archive into pieces.
pub struct PieceReader {
    path: PathBuf,
    file: File,
    head: [u8; HEAD_BYTES],
    pending: Vec<u8>,
    /// Where `pending` starts in the archive.
    offset: u64,
    ended: bool,
}

impl PieceReader {
    /// Opens an archive; `None` if it is not gzip or has a head that members do not share (with a
    /// name or a time in it).
    ///
    /// # Errors
    /// The operating system cannot read the file.
    pub fn open(path: &Path) -> io::Result<Option<PieceReader>> {
        let mut file = File::open(path)?;
        let mut head = Vec::new();
        file.by_ref()
            .take(HEAD_BYTES as u64)
            .read_to_end(&mut head)?;
        file.seek(SeekFrom::Start(0))?;
        // Magic, deflate, no flags, no time (RFC 1952).
        let plain = head.starts_with(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0]);
        let Ok(head) = <[u8; HEAD_BYTES]>::try_from(head) else {
            return Ok(None);
        };
        Ok(plain.then(|| PieceReader {
            path: path.to_owned(),
            file,
            head,
            pending: Vec::new(),
            offset: 0,
            ended: false,
        }))
    }

    /// Bytes of the file read so far.
    pub fn position(&self) -> u64 {
        self.offset + self.pending.len() as u64
    }

    /// The next piece.
    ///
    /// # Errors
    /// The operating system cannot read the file.
    pub fn next_piece(&mut self) -> io::Result<Next> {
        let mut searched = 1;
        loop {
            if self.ended {
                if self.pending.is_empty() {
                    return Ok(Next::End);
                }
                return Ok(Next::Piece(self.cut(self.pending.len())));
            }
            let want = (PIECE_BYTES.max(2 * self.pending.len()) - self.pending.len()) as u64;
            let n = self
                .file
                .by_ref()
                .take(want)
                .read_to_end(&mut self.pending)?;
            self.ended = (n as u64) < want;
            if self.pending.len() < PIECE_BYTES {
                continue;
            }
            let from = searched.min(self.pending.len());
            if let Some(at) = memmem::rfind(&self.pending[from..], &self.head) {
                return Ok(Next::Piece(self.cut(from + at)));
            }
            searched = self.pending.len().saturating_sub(HEAD_BYTES).max(1);
            if self.pending.len() > MAX_PIECE_BYTES {
                let rest = Archive::open_at(&self.path, self.offset)?;
                self.ended = true;
                self.pending.clear();
                return Ok(Next::Rest(Box::new(rest)));
            }
        }
    }

    fn cut(&mut self, at: usize) -> Piece {
        let rest = self.pending.split_off(at);
        let bytes = std::mem::replace(&mut self.pending, rest);
        let offset = self.offset;
        self.offset += at as u64;
        Piece {
            last: self.ended && self.pending.is_empty(),
            bytes,
            offset,
        }
    }
}
