//! A buffered file that knows its position and shares its handle with other readers.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// The size of the buffer in bytes.
pub(crate) const BUFFER_BYTES: usize = 256 << 10;

/// A file with an offset of its own, so that several threads can share the handle.
#[derive(Debug)]
struct SharedFile {
    file: Arc<File>,
    at: u64,
}

impl Read for SharedFile {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // `take` and `read_to_end` do not try again where a signal interrupts.
        let n = c4_data::atomic_file::uninterrupted(|| self.file.read_at(buf, self.at))?;
        self.at += n as u64;
        Ok(n)
    }
}

impl Seek for SharedFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.file.metadata()?.len().checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// A buffered file that knows its position.
#[derive(Debug)]
pub(crate) struct PositionedFile {
    file: BufReader<SharedFile>,
    /// The offset of the next byte in the file.
    pub position: u64,
}

impl PositionedFile {
    pub(crate) fn new(file: Arc<File>, position: u64) -> PositionedFile {
        let shared = SharedFile { file, at: position };
        let file = BufReader::with_capacity(BUFFER_BYTES, shared);
        PositionedFile { file, position }
    }

    /// Goes to a position; cheap within the buffer.
    pub(crate) fn seek(&mut self, position: u64) -> io::Result<()> {
        // `seek_relative` keeps the buffer if the target is in it.
        self.file.seek_relative(position as i64 - self.position as i64)?;
        self.position = position;
        Ok(())
    }

    /// The next `n` bytes, or fewer at the end of the file, without moving.
    pub(crate) fn peek(&mut self, n: usize) -> io::Result<Vec<u8>> {
        let start = self.position;
        let mut bytes = Vec::with_capacity(n);
        self.by_ref().take(n as u64).read_to_end(&mut bytes)?;
        self.seek(start)?;
        Ok(bytes)
    }
}

impl Read for PositionedFile {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buf)?;
        self.position += n as u64;
        Ok(n)
    }
}

impl BufRead for PositionedFile {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.file.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.position += amount as u64;
        self.file.consume(amount);
    }
}
