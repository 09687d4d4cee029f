//! Validates that the lists in a Parquet file's own structures fit into the file.
//!
//! Its footer and page headers are structures of Thrift's compact protocol. The reader trusts the lengths of lists that
//! it skips: one of two thousand million elements of no bytes costs seconds, and a few kB hold a thousand of them.

use crate::Error;
use crate::limit::BatchLimit;
use parquet::file::metadata::ParquetMetaData;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// The length of the footer's length and of the magic.
const TRAILER_BYTES: u64 = 8;
/// The limit for lists in structures in lists; Parquet's own are nested to 8 or so.
const MAX_DEPTH: u32 = 32;
/// `PageHeader.uncompressed_page_size` (parquet.thrift).
const UNCOMPRESSED_PAGE_SIZE: i64 = 2;
/// `PageHeader.compressed_page_size`.
const COMPRESSED_PAGE_SIZE: i64 = 3;

/// The sizes of a page, as its header has them.
#[derive(Debug, Default, PartialEq, Eq)]
struct PageBytes {
    unpacked: Option<i64>,
    packed: Option<i64>,
}

/// Validates the footer. A file that is not Parquet at all is left to the reader, which reports it.
///
/// # Errors
/// A list that does not fit into the file, or the operating system's error.
pub(crate) fn footer(path: &Path) -> Result<(), Error> {
    let mut file = File::open(path).map_err(Error::io(path, "open"))?;
    let mut walk = || -> io::Result<()> {
        let size = file.seek(SeekFrom::End(0))?;
        if size < TRAILER_BYTES {
            return Ok(());
        }
        file.seek(SeekFrom::Start(size - TRAILER_BYTES))?;
        let mut length = [0; 4];
        file.read_exact(&mut length)?;
        let Some(at) = (size - TRAILER_BYTES).checked_sub(u64::from(u32::from_le_bytes(length))) else {
            return Ok(());
        };
        file.seek(SeekFrom::Start(at))?;
        let mut thrift = Thrift {
            bytes: BufReader::new(&mut file),
            at,
            end: size - TRAILER_BYTES,
        };
        thrift.structure(0).map(drop)
    };
    walk().map_err(|e| wrong(path, "the footer", &e))
}

/// Validates the header of every page; gives the sum over the columns of the bytes of their largest page, unpacked.
///
/// # Errors
/// A page that does not fit into the file or the limit, or the operating system's error.
pub(crate) fn pages(path: &Path, metadata: &ParquetMetaData, limit: BatchLimit) -> Result<u64, Error> {
    let file = File::open(path).map_err(Error::io(path, "open"))?;
    let size = file.metadata().map_err(Error::io(path, "read"))?.len();
    let mut bytes = BufReader::new(file);
    let groups = metadata.row_groups().iter();
    let columns = groups.flat_map(|rows| rows.columns().iter().enumerate());
    let mut largest: Vec<u64> = Vec::new();
    for (place, column) in columns {
        let (start, length) = column.byte_range();
        let end = start.saturating_add(length).min(size);
        let mut at = start;
        while at < end {
            let mut page = || -> io::Result<(u64, u64)> {
                bytes.seek(SeekFrom::Start(at))?;
                let mut thrift = Thrift {
                    bytes: &mut bytes,
                    at,
                    end,
                };
                let body = thrift.structure(0)?;
                let size = |n: Option<i64>| {
                    let n = n.and_then(|n| u64::try_from(n).ok());
                    n.ok_or_else(|| invalid("a page of no size"))
                };
                let next = thrift.at.saturating_add(size(body.packed)?);
                Ok((next, size(body.unpacked)?))
            };
            let (next, unpacked) = page().map_err(|e| wrong(path, &format!("the page header at {at}"), &e))?;
            if unpacked.max(next - at) > limit.bytes {
                return Err(Error::Format {
                    path: path.to_owned(),
                    reason: format!(
                        "the page at {at} unpacks to {unpacked} bytes, at most {} may be; it is not read",
                        limit.bytes
                    ),
                });
            }
            largest.resize(largest.len().max(place + 1), 0);
            largest[place] = largest[place].max(unpacked);
            at = next;
        }
    }
    Ok(largest.iter().sum())
}

fn wrong(path: &Path, what: &str, error: &io::Error) -> Error {
    Error::Format {
        path: path.to_owned(),
        reason: format!("is no whole Parquet file: {what}: {error}"),
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// A walk over structures of the compact protocol (thrift-compact-protocol.md).
struct Thrift<R> {
    bytes: R,
    at: u64,
    /// The offset that no structure may exceed.
    end: u64,
}

impl<R: BufRead> Thrift<R> {
    fn skip(&mut self, count: u64) -> io::Result<()> {
        if count > self.end.saturating_sub(self.at) {
            return Err(invalid("it does not end within the file"));
        }
        let skipped = io::copy(&mut self.bytes.by_ref().take(count), &mut io::sink())?;
        self.at += skipped;
        match skipped == count {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn byte(&mut self) -> io::Result<u8> {
        let byte = self.bytes.fill_buf()?.first().copied();
        let byte = byte.ok_or(io::ErrorKind::UnexpectedEof)?;
        self.skip(1)?;
        Ok(byte)
    }

    fn varint(&mut self) -> io::Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(invalid("a number of more than 64 bits"))
    }

    fn zigzag(&mut self) -> io::Result<i64> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// Validates a count of elements, each of at least `bytes` bytes.
    fn count(&self, count: u64, bytes: u64) -> io::Result<u64> {
        match count.saturating_mul(bytes) <= self.end.saturating_sub(self.at) {
            true => Ok(count),
            false => Err(invalid("a list of more elements than bytes are left")),
        }
    }

    /// Walks to the end of a structure; gives the fields in which a page's header has its sizes, where they are
    /// numbers.
    fn structure(&mut self, depth: u32) -> io::Result<PageBytes> {
        let mut field = 0_i64;
        let mut found = PageBytes::default();
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Ok(found);
            }
            field = match head >> 4 {
                0 => self.zigzag()?,
                step => field.saturating_add(step.into()),
            };
            match head & 0x0f {
                // Booleans are in the type.
                1 | 2 => {}
                4..=6 if field == UNCOMPRESSED_PAGE_SIZE => found.unpacked = Some(self.zigzag()?),
                4..=6 if field == COMPRESSED_PAGE_SIZE => found.packed = Some(self.zigzag()?),
                kind => self.value(kind, depth)?,
            }
        }
    }

    /// Walks to the end of a value. An element of a list that is a boolean has a byte.
    fn value(&mut self, kind: u8, depth: u32) -> io::Result<()> {
        if depth > MAX_DEPTH {
            return Err(invalid("structures nested too deeply"));
        }
        match kind {
            1..=3 => self.skip(1),
            4..=6 => self.varint().map(drop),
            7 => self.skip(8),
            8 => {
                let length = self.varint()?;
                self.skip(length)
            }
            9 | 10 => {
                let head = self.byte()?;
                let count = match head >> 4 {
                    15 => self.varint()?,
                    count => count.into(),
                };
                for _ in 0..self.count(count, 1)? {
                    self.value(head & 0x0f, depth + 1)?;
                }
                Ok(())
            }
            11 => {
                let count = self.varint()?;
                if count > 0 {
                    let kinds = self.byte()?;
                    for _ in 0..self.count(count, 2)? {
                        self.value(kinds >> 4, depth + 1)?;
                        self.value(kinds & 0x0f, depth + 1)?;
                    }
                }
                Ok(())
            }
            12 => self.structure(depth + 1).map(drop),
            13 => self.skip(16),
            _ => Err(invalid("a value of no known type")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(bytes: &[u8]) -> Result<PageBytes, String> {
        let mut thrift = Thrift {
            bytes,
            at: 0,
            end: bytes.len() as u64,
        };
        thrift.structure(0).map_err(|e| e.to_string())
    }

    #[test]
    fn structures_are_walked_and_impossible_lists_are_errors() {
        // Field 3 is -2; field 4 a list of two booleans; field 5 a map of one number to text; then the end.
        let good = [0x35, 0x03, 0x19, 0x21, 1, 2, 0x1b, 1, 0x58, 7, 2, b'a', b'b', 0];
        let found = PageBytes {
            unpacked: None,
            packed: Some(-2),
        };
        assert_eq!(walk(&good), Ok(found));
        // A list of 2^31 - 1 elements of type 0, as fuzzing found.
        let list = [0x19, 0xf0, 0xff, 0xff, 0xff, 0xff, 0x07, 0];
        assert!(walk(&list).unwrap_err().contains("more elements"));
        assert!(walk(&[0x19, 0x10, 0]).unwrap_err().contains("no known type"));
        let nested = [0x1c; 100];
        assert!(walk(&nested).unwrap_err().contains("nested"));
        assert!(walk(&[0x18, 0x7f, 0]).is_err());
        assert!(walk(&[0x35]).is_err());
    }
}
