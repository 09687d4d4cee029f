//! What a file holds, told by its first bytes.

use crate::Error;
use c4_data::{BatchLimit, Container};
use flate2::bufread::MultiGzDecoder;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// What rows a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Record batches of Arrow or Parquet.
    Batches(Container),
    /// A JSON object a line.
    JsonLines,
    /// One JSON array of objects.
    JsonArray,
    /// JSON objects one after another, each over several lines.
    JsonObjects,
    /// A table: lines of fields between tabs.
    Tabs,
    /// A table: fields between commas, perhaps in quotes.
    Commas,
    /// Plain text.
    Text,
}

/// The number of first bytes that are looked at, unpacked.
const HEAD_BYTES: usize = 4096;

impl Kind {
    /// The kind of a file; `None`: nothing that rows can be read of. `by_itself`: the user named this very file, so
    /// that whatever is not something else is plain text; of a folder's files, only those are whose names end as such.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn of(path: &Path, by_itself: bool) -> Result<Option<Kind>, Error> {
        let mut head = Vec::with_capacity(HEAD_BYTES);
        let mut packed = [0; 8];
        let fail = |e| Error::io(path, e);
        let mut read = 0;
        let mut file = super::packed::open(path)?;
        while read < packed.len() {
            match file.read(&mut packed[read..]).map_err(fail)? {
                0 => break,
                more => read += more,
            }
        }
        let packed = &packed[..read];
        let kind = match packed {
            [b'A', b'R', b'R', b'O', b'W', b'1', ..] => Some(Kind::Batches(Container::ArrowFile)),
            [b'P', b'A', b'R', b'1', ..] => Some(Kind::Batches(Container::Parquet)),
            [0xff, 0xff, 0xff, 0xff, ..] => Some(Kind::Batches(Container::ArrowStream)),
            _ => None,
        };
        if kind.is_some() {
            return Ok(kind);
        }
        open(path)?
            .take(HEAD_BYTES as u64)
            .read_to_end(&mut head)
            .map_err(fail)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let name = [".gz", ".zst", ".zstd"]
            .iter()
            .find_map(|end| name.strip_suffix(end))
            .unwrap_or(&name);
        let named_text = name.ends_with(".txt") || name.ends_with(".text");
        let first = head.trim_ascii_start().first();
        Ok(match first {
            _ if named_text => Some(Kind::Text),
            Some(b'{') if by_itself || name.contains("json") => Some(Kind::JsonLines),
            Some(b'[') if by_itself || name.contains("json") => Some(Kind::JsonArray),
            // An empty file of a name that says what it would hold.
            None if name.contains("json") => Some(Kind::JsonLines),
            _ if by_itself && !head.contains(&0) => Some(Kind::Text),
            _ => None,
        })
    }
}

impl Kind {
    /// The kind of a file that is to hold a task's rows: tables, too, and JSON objects over several lines. `None`:
    /// nothing that rows can be read of.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn of_task(path: &Path) -> Result<Option<Kind>, Error> {
        let kind = Kind::of(path, true)?;
        let line = match kind {
            Some(Kind::Batches(_)) if super::packed::on_disk(path) != path => {
                return Err(Error::format(path, "is not read in an archive: unpack it first"));
            }
            None | Some(Kind::Batches(_)) => return Ok(kind),
            Some(_) => first_line(path)?,
        };
        let text = line.trim_ascii();
        Ok(match (kind, text.first()) {
            (Some(Kind::JsonArray), _) if is_json(text) != Some(false) || !text.contains(&b'\t') => {
                Some(Kind::JsonArray)
            }
            (_, Some(b'{')) => match is_json(text) {
                // No line of a table is the start of an object.
                None => Some(Kind::JsonObjects),
                Some(true) => Some(Kind::JsonLines),
                Some(false) if text.contains(&b'\t') => Some(Kind::Tabs),
                Some(false) => Some(Kind::JsonLines),
            },
            (_, Some(_)) if line.contains(&b'\t') => Some(Kind::Tabs),
            (_, Some(_)) if line.contains(&b',') => Some(Kind::Commas),
            // An empty file of a name that says what it would hold.
            (Some(Kind::JsonLines), None) => Some(Kind::JsonLines),
            _ => None,
        })
    }
}

/// Whether a line is a whole JSON value; `None`: it is the start of one that goes on in the next line.
fn is_json(line: &[u8]) -> Option<bool> {
    match serde_json::from_slice::<serde::de::IgnoredAny>(line) {
        Ok(_) => Some(true),
        // A line that was cut short ends anywhere; whoever writes an object over several lines breaks them at these.
        Err(e) if e.is_eof() && line.last().is_some_and(|last| b"{[,:".contains(last)) => None,
        Err(_) => Some(false),
    }
}

/// The first line of a file that is not blank.
fn first_line(path: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = open(path)?.take(BatchLimit::of_other_programs().line_bytes());
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = bytes.read_until(b'\n', &mut line).map_err(|e| Error::io(path, e))?;
        if read == 0 || !line.trim_ascii().is_empty() {
            return Ok(line);
        }
    }
}

/// A file's bytes, unpacked where they are gzip or zstd, without a byte order mark.
pub(super) fn open(path: &Path) -> Result<Box<dyn BufRead + Send>, Error> {
    let fail = |e| Error::io(path, e);
    let mut file = BufReader::with_capacity(1 << 16, super::packed::open(path)?);
    let head = file.fill_buf().map_err(fail)?;
    let mut bytes: Box<dyn BufRead + Send> = match head {
        [0x1f, 0x8b, ..] => Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(file))),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let unpacked = zstd::Decoder::with_buffer(file).map_err(fail)?;
            Box::new(BufReader::with_capacity(1 << 16, unpacked))
        }
        _ => Box::new(file),
    };
    const MARK: &[u8] = b"\xef\xbb\xbf";
    if bytes.fill_buf().map_err(fail)?.starts_with(MARK) {
        bytes.consume(MARK.len());
    }
    Ok(bytes)
}
