//! Spools: files of the work folder that hold pages between two passes.
//!
//! A spool is a chain of frames: length (u32, little-endian), then a zstd frame of a `postcard`
//! list. The format is private to one build and never outlives it.

use c4_data::Error;
use c4_filters::{LineCounts, Reason};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use zstd::bulk::Compressor;

/// Fast above all: a spool is written and read once.
const ZSTD_LEVEL: i32 = -5;

/// A page between cleaning and the end: all pages, in the order of their batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpooledPage {
    /// As in the record.
    pub url: String,
    /// What the rules have left; of a page that they dropped, the text as it was read if the ledger
    /// may want it.
    pub text: String,
    /// As in the record.
    pub content_type: String,
    /// As in the record.
    pub content_length: String,
    /// What became of its lines. Counts only if the page is the newest of its URL.
    pub lines: LineCounts,
    /// What the rule that dropped it went by.
    pub matched: Option<Matched>,
    /// Bytes of the whole text as it was read.
    pub text_bytes: u64,
    /// Places, on the page as it was read, of the lines that passed the rules; empty without a ledger.
    pub kept_lines: Vec<u32>,
    /// Lines that went and that the ledger may want.
    pub dropped_lines: Vec<SpooledLine>,
}

/// What a rule went by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matched {
    /// As it stands in the text.
    pub text: String,
    /// Where, in bytes.
    pub start: u32,
}

/// A line that a rule dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpooledLine {
    /// Its place on the page as it was read.
    pub number: u32,
    /// Why.
    pub reason: Reason,
    /// As it was read.
    pub text: String,
    /// What the rule went by.
    pub matched: Option<Matched>,
}

/// A document before it is in its shard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpooledRow {
    /// MD5 of the normalised URL: the order of the corpus.
    pub key: u128,
    /// Place of the archive in the order of archives.
    pub archive: u32,
    /// Bytes from the start of the archive.
    pub record_offset: u64,
    /// As in the record.
    pub url: String,
    /// The document's text.
    pub text: String,
    /// As in the record.
    pub timestamp: String,
    /// As in the record.
    pub content_type: String,
    /// As in the record.
    pub content_length: String,
    /// By the detector.
    pub language: String,
    /// By the detector.
    pub language_score: f32,
}

/// A frame ready to be appended; made outside any lock.
pub struct Frame(Vec<u8>);

/// A context is large, and making one costs more than a small frame.
fn compress(plain: &[u8]) -> std::io::Result<Vec<u8>> {
    thread_local! {
        static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    }
    COMPRESSOR.with_borrow_mut(|slot| {
        let compressor = match slot {
            Some(compressor) => compressor,
            None => slot.insert(Compressor::new(ZSTD_LEVEL)?),
        };
        compressor.compress(plain)
    })
}

/// Compresses `items`.
pub fn frame<T: Serialize>(path: &Path, items: &[T]) -> Result<Frame, Error> {
    let fail = |reason: String| Error::Format {
        path: path.to_owned(),
        reason,
    };
    let plain = postcard::to_stdvec(items).map_err(|e| fail(e.to_string()))?;
    let packed = compress(&plain).map_err(Error::io(path, "compress"))?;
    let length = |n: usize| u32::try_from(n).map_err(|_| fail("a batch above 4 GiB".into()));
    let mut bytes = Vec::with_capacity(packed.len() + 8);
    bytes.extend_from_slice(&length(packed.len())?.to_le_bytes());
    bytes.extend_from_slice(&length(plain.len())?.to_le_bytes());
    bytes.extend_from_slice(&packed);
    Ok(Frame(bytes))
}

/// Appends frames to a spool.
pub struct SpoolWriter {
    path: PathBuf,
    file: Option<File>,
}

impl SpoolWriter {
    /// A spool at `path`; the file is created with its first frame.
    pub fn new(path: PathBuf) -> SpoolWriter {
        SpoolWriter { path, file: None }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a frame.
    ///
    /// # Errors
    /// The file cannot be written (a full disk, say).
    pub fn append(&mut self, frame: &Frame) -> Result<(), Error> {
        if self.file.is_none() {
            self.file = Some(File::create(&self.path).map_err(Error::io(&self.path, "create"))?);
        }
        let file = self.file.as_mut().expect("created above");
        file.write_all(&frame.0)
            .map_err(Error::io(&self.path, "write"))
    }
}

/// Reads a spool frame by frame.
pub struct SpoolReader<T> {
    path: PathBuf,
    file: BufReader<File>,
    item: PhantomData<T>,
}

impl<T: DeserializeOwned> SpoolReader<T> {
    /// Opens a spool; `None` if nothing was ever written to it.
    pub fn open(path: &Path) -> Result<Option<SpoolReader<T>>, Error> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(path, "open")(e)),
        };
        Ok(Some(SpoolReader {
            path: path.to_owned(),
            file: BufReader::with_capacity(1 << 18, file),
            item: PhantomData,
        }))
    }

    /// The next frame as it is on disk; `None` at the end.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        let mut head = [0; 8];
        let n = self
            .file
            .read(&mut head[..1])
            .map_err(Error::io(&self.path, "read"))?;
        if n == 0 {
            return Ok(None);
        }
        let path = &self.path;
        self.file
            .read_exact(&mut head[1..])
            .map_err(Error::io(path, "read"))?;
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let mut bytes = vec![0; 8 + length];
        bytes[..8].copy_from_slice(&head);
        self.file
            .read_exact(&mut bytes[8..])
            .map_err(Error::io(path, "read"))?;
        Ok(Some(Frame(bytes)))
    }
}

/// The items of a frame.
pub fn unframe<T: DeserializeOwned>(path: &Path, frame: &Frame) -> Result<Vec<T>, Error> {
    let plain = u32::from_le_bytes([frame.0[4], frame.0[5], frame.0[6], frame.0[7]]) as usize;
    let plain =
        zstd::bulk::decompress(&frame.0[8..], plain).map_err(Error::io(path, "decompress"))?;
    postcard::from_bytes(&plain).map_err(|e| Error::Format {
        path: path.to_owned(),
        reason: format!("a file of the work folder is damaged ({e}); start again with --overwrite"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spool_gives_back_its_frames() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        assert!(SpoolReader::<u32>::open(&path).unwrap().is_none());
        let mut writer = SpoolWriter::new(path.clone());
        for n in [0_u32, 3, 1000] {
            let items: Vec<u32> = (0..n).collect();
            writer.append(&frame(&path, &items).unwrap()).unwrap();
        }
        let mut reader = SpoolReader::<u32>::open(&path).unwrap().unwrap();
        for n in [0_u32, 3, 1000] {
            let frame = reader.next_frame().unwrap().unwrap();
            assert_eq!(
                unframe::<u32>(&path, &frame).unwrap(),
                (0..n).collect::<Vec<_>>()
            );
        }
        assert!(reader.next_frame().unwrap().is_none());
    }
}
