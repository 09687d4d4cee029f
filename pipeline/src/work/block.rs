//! Frames: compressed lists of items in work files.
//!
//! A frame is the length of its zstd data, their length unpacked and a number that the writer chooses (u32 each,
//! little-endian), then the zstd data: `postcard` items one after the other. The format is private to one build and
//! never outlives it.

use crate::runtime::memory::LARGE_FRAME_BYTES;
use crate::work::damaged;
use c4_data::Error;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cell::RefCell;
use std::fs::File;
use std::io::{BufReader, Cursor, Read, Take};
use std::path::{Path, PathBuf};
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::compress_bound;

/// Fast above all: a frame is written and read once.
const ZSTD_LEVEL: i32 = -5;
/// The bytes before the zstd data.
const HEAD: usize = 12;

/// Appends an item to an encoded list.
pub(crate) fn encode<T: Serialize>(item: &T, list: &mut Vec<u8>) {
    // Fails for sequences of unknown length only, and memory takes everything.
    *list = postcard::to_extend(item, std::mem::take(list)).expect("our types can be encoded");
}

/// The items of an encoded list that was read from the file `path`.
///
/// # Errors
/// The list is not what [`encode`] made.
pub(crate) fn decode<T: DeserializeOwned>(path: &Path, mut list: &[u8]) -> Result<Vec<T>, Error> {
    let mut items = Vec::new();
    while !list.is_empty() {
        let (item, rest) = postcard::take_from_bytes(list).map_err(|_| damaged(path))?;
        items.push(item);
        list = rest;
    }
    Ok(items)
}

/// An encoded list, compressed, as a file holds it.
pub(crate) struct Frame(Vec<u8>);

impl Frame {
    /// Compresses an encoded list; best done outside any lock.
    ///
    /// # Errors
    /// The list has 4 GiB or more.
    pub(crate) fn new(list: &[u8]) -> Result<Frame, Error> {
        let fail = |reason: &str| Error::Format {
            path: PathBuf::new(),
            reason: reason.to_owned(),
        };
        let bytes = compress(list).map_err(|e| fail(&e.to_string()));
        let mut bytes = bytes?;
        let length = |n: usize| u32::try_from(n).map_err(|_| fail("a batch above 4 GiB"));
        let packed = length(bytes.len() - HEAD)?;
        bytes[..4].copy_from_slice(&packed.to_le_bytes());
        bytes[4..8].copy_from_slice(&length(list.len())?.to_le_bytes());
        Ok(Frame(bytes))
    }

    pub(crate) fn set_number(&mut self, number: u32) {
        self.0[8..HEAD].copy_from_slice(&number.to_le_bytes());
    }

    pub(crate) fn number(&self) -> u32 {
        self.head(2)
    }

    /// The bytes of the encoded items before they were compressed.
    pub(crate) fn unpacked_bytes(&self) -> usize {
        self.head(1) as usize
    }

    /// Whether the frame holds a large page: see [`Large`](crate::runtime::memory::Large).
    pub(crate) fn is_large(&self) -> bool {
        self.unpacked_bytes() >= LARGE_FRAME_BYTES
    }

    fn head(&self, i: usize) -> u32 {
        let (numbers, _) = self.0.as_chunks::<4>();
        u32::from_le_bytes(numbers[i])
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Decompresses and decodes the items; `path` is the file that errors name.
    ///
    /// # Errors
    /// The frame is not what was written.
    pub(crate) fn items<T: DeserializeOwned>(&self, path: &Path) -> Result<Vec<T>, Error> {
        let plain = decompress(&self.0[HEAD..], self.unpacked_bytes()).map_err(|_| damaged(path))?;
        decode(path, &plain)
    }
}

/// Room for the head, and the compressed list behind it. Each thread keeps its compressor: making one costs more than
/// compressing a small frame.
fn compress(plain: &[u8]) -> std::io::Result<Vec<u8>> {
    thread_local! {
        static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    }
    COMPRESSOR.with_borrow_mut(|slot| {
        let compressor = match slot {
            Some(compressor) => compressor,
            None => {
                let compressor = slot.insert(Compressor::new(ZSTD_LEVEL)?);
                compressor.include_checksum(true)?;
                compressor
            }
        };
        let mut bytes = Cursor::new(vec![0; HEAD]);
        bytes.get_mut().reserve_exact(compress_bound(plain.len()));
        bytes.set_position(HEAD as u64);
        compressor.compress_to_buffer(plain, &mut bytes)?;
        Ok(bytes.into_inner())
    })
}

/// Unpacks what [`compress`] has packed. Each thread keeps its decompressor.
fn decompress(packed: &[u8], length: usize) -> std::io::Result<Vec<u8>> {
    thread_local! {
        static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
    }
    DECOMPRESSOR.with_borrow_mut(|slot| {
        let decompressor = match slot {
            Some(decompressor) => decompressor,
            None => slot.insert(Decompressor::new()?),
        };
        decompressor.decompress(packed, length)
    })
}

/// Reads the frames of a file, or of some slots of it, one after the other.
pub(crate) struct Frames<R> {
    path: PathBuf,
    source: Take<R>,
}

impl Frames<BufReader<File>> {
    /// Reads the frames in the next `length` bytes of `file`.
    pub(crate) fn of_file(path: &Path, file: File, length: u64) -> Self {
        Frames {
            path: path.to_owned(),
            source: BufReader::with_capacity(1 << 18, file).take(length),
        }
    }
}

impl<'b> Frames<&'b [u8]> {
    /// Reads the frames in `bytes`, which are from the file `path`.
    pub(crate) fn of_bytes(path: &Path, bytes: &'b [u8]) -> Self {
        Frames {
            path: path.to_owned(),
            source: bytes.take(bytes.len() as u64),
        }
    }
}

impl<R: Read> Frames<R> {
    /// The next frame; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read, or ends within a frame.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        let head = self.next_head()?;
        head.map(|head| self.body(head)).transpose()
    }

    /// What comes before the next frame's items: the frame without them, from which [`body`](Frames::body) makes the
    /// frame; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read, or ends within the head.
    pub(crate) fn next_head(&mut self) -> Result<Option<Frame>, Error> {
        if self.source.limit() == 0 {
            return Ok(None);
        }
        let mut head = Frame(Vec::with_capacity(HEAD));
        self.append(HEAD, &mut head)?;
        Ok(Some(head))
    }

    /// The frame whose head was read last.
    ///
    /// # Errors
    /// The file cannot be read, or ends within the frame.
    pub(crate) fn body(&mut self, mut frame: Frame) -> Result<Frame, Error> {
        let length = frame.head(0) as usize;
        if length as u64 > self.source.limit() {
            return Err(damaged(&self.path));
        }
        frame.0.reserve_exact(length);
        self.append(length, &mut frame)?;
        Ok(frame)
    }

    fn append(&mut self, length: usize, frame: &mut Frame) -> Result<(), Error> {
        let mut source = self.source.by_ref().take(length as u64);
        let read = source.read_to_end(&mut frame.0);
        match read.map_err(Error::io(&self.path, "read"))? {
            n if n == length => Ok(()),
            _ => Err(damaged(&self.path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_give_back_their_items() {
        let path = Path::new("a");
        let mut bytes = Vec::new();
        for n in [0_u32, 3, 1000] {
            let mut list = Vec::new();
            (0..n).for_each(|i| encode(&(i, "text"), &mut list));
            let mut frame = Frame::new(&list).unwrap();
            frame.set_number(n);
            bytes.extend(frame.bytes());
        }
        let mut frames = Frames::of_bytes(path, &bytes);
        for n in [0_u32, 3, 1000] {
            let frame = frames.next_frame().unwrap().unwrap();
            assert_eq!(frame.number(), n);
            let items: Vec<(u32, String)> = frame.items(path).unwrap();
            assert!(items.iter().map(|(i, _)| *i).eq(0..n));
        }
        assert!(frames.next_frame().unwrap().is_none());
        let mut cut = Frames::of_bytes(path, &bytes[..bytes.len() - 1]);
        assert!((0..3).any(|_| cut.next_frame().is_err()));
    }
}
