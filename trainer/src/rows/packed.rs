//! Files in zip archives, named by paths that lead through the archive: `RTE.zip/RTE/train.tsv`.

use super::source::is_note;
use crate::Error;
use flate2::CrcReader;
use flate2::bufread::DeflateDecoder;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

/// The archive that a path leads through, and the name of the file in it; `None`: it is a path like any other.
fn located(path: &Path) -> Option<(&Path, String)> {
    if path.exists() {
        return None;
    }
    let archive = path.ancestors().skip(1).find(|ancestor| ancestor.is_file())?;
    let parts = path.strip_prefix(archive).ok()?.iter();
    let parts: Vec<_> = parts.map(|part| part.to_string_lossy()).collect();
    Some((archive, parts.join("/")))
}

/// The file on disk that a path's bytes are in: itself, or the archive.
pub(crate) fn on_disk(path: &Path) -> &Path {
    located(path).map_or(path, |(archive, _)| archive)
}

/// Whether a file is a zip archive, by its first bytes.
pub(crate) fn is_archive(path: &Path) -> bool {
    let mut head = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
    read.is_ok() && head == *b"PK\x03\x04"
}

/// The paths of all files of an archive that lie below a path through it, or of the whole archive; notes are left out.
///
/// # Errors
/// The archive is damaged.
pub(crate) fn files_below(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let archive = on_disk(path);
    let opened = open_archive(archive)?;
    let mut found = Vec::new();
    for name in opened.file_names() {
        let name = name.map_err(|e| damaged(archive, &e))?;
        let below = Path::new(&*name);
        let file = archive.join(below);
        let is_note = below.iter().any(|part| is_note(Path::new(part)));
        if !name.ends_with('/') && !is_note && file.starts_with(path) {
            found.push(file);
        }
    }
    found.sort();
    Ok(found)
}

/// Opens a file for its bytes, in an archive or not.
pub(super) fn open(path: &Path) -> Result<Box<dyn Read + Send>, Error> {
    let Some((archive, name)) = located(path) else {
        return Ok(Box::new(File::open(path).map_err(|e| Error::io(path, e))?));
    };
    let mut opened = open_archive(archive)?;
    let wrong = |e: ZipError| damaged(archive, &e);
    let index = opened
        .index_for_name(&name)
        .ok_or_else(|| wrong(ZipError::FileNotFound))?;
    let (start, bytes, compression, crc32) = {
        let member = opened.by_index_raw(index).map_err(wrong)?;
        if member.encrypted() {
            return Err(Error::format(path, "is encrypted: unpack the archive first"));
        }
        (
            member.data_start(),
            member.compressed_size(),
            member.compression(),
            member.crc32(),
        )
    };
    let mut file = opened.into_inner();
    let start = start.ok_or_else(|| wrong(ZipError::FileNotFound))?;
    file.seek(SeekFrom::Start(start)).map_err(|e| Error::io(archive, e))?;
    let packed = BufReader::with_capacity(1 << 16, file.take(bytes));
    let unpacked: Box<dyn Read + Send> = match compression {
        CompressionMethod::Stored => Box::new(packed),
        // The crate's reader of members borrows the archive; that of raw bytes says where they are.
        other if other == CompressionMethod::DEFLATE => Box::new(DeflateDecoder::new(packed)),
        other => {
            let problem = format!("is compressed by {other}, which is not read here: unpack the archive first");
            return Err(Error::format(path, problem));
        }
    };
    Ok(Box::new(Compared {
        bytes: CrcReader::new(unpacked),
        crc32,
    }))
}

fn open_archive(archive: &Path) -> Result<ZipArchive<BufReader<File>>, Error> {
    let file = File::open(archive).map_err(|e| Error::io(archive, e))?;
    ZipArchive::new(BufReader::new(file)).map_err(|e| damaged(archive, &e))
}

fn damaged(archive: &Path, error: &ZipError) -> Error {
    Error::format(archive, format!("is a damaged or cut zip ({error}); take another copy"))
}

/// Bytes of a member, compared with its checksum at their end.
struct Compared {
    bytes: CrcReader<Box<dyn Read + Send>>,
    crc32: u32,
}

impl Read for Compared {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(buffer)?;
        if read == 0 && !buffer.is_empty() && self.bytes.crc().sum() != self.crc32 {
            let problem = "its checksum is not that of the archive: the archive is damaged";
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        Ok(read)
    }
}
