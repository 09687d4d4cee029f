//! Validates that the numbers in an Arrow IPC file or stream lie within the file.
//!
//! Arrow's reader trusts them: a number out of bounds makes it panic, or allocate memory that no machine has.

use crate::Error;
use crate::catch_panic::catch_panic;
use crate::limit::BatchLimit;
use arrow::ipc::reader::FileReader;
use arrow::ipc::{Block, Message, RecordBatch, root_as_footer, root_as_message};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// The length of the footer's length and of the magic.
const TRAILER_BYTES: u64 = 10;
/// Marks the start of a message, before its length.
const CONTINUATION: [u8; 4] = [0xff; 4];
/// The length of the number before a compressed buffer, which is its length when it is unpacked.
const PREFIX_BYTES: u64 = 8;
/// The limit for metadata, of which a column needs some hundred bytes.
const MAX_METADATA_BYTES: u64 = 64 << 20;

/// Validates and opens an Arrow IPC file; its batches are still to be read within [`catch_panic`].
///
/// # Errors
/// A number that is out of bounds, or the operating system's error.
pub(crate) fn open(
    path: &Path,
    projection: Option<Vec<usize>>,
    limit: BatchLimit,
) -> Result<FileReader<BufReader<File>>, Error> {
    let mut file = File::open(path).map_err(Error::io(path, "open"))?;
    check(path, &mut file, limit)?;
    catch_panic(path, || {
        FileReader::try_new(BufReader::new(file), projection).map_err(Error::arrow(path))
    })
}

/// Validates the footer, and each record batch's metadata and lengths; does not read the data.
///
/// # Errors
/// A number that is out of bounds, or the operating system's error.
fn check(path: &Path, file: &mut File, limit: BatchLimit) -> Result<(), Error> {
    let mut check = Check::new(path, file, "Arrow file", limit)?;
    let size = check.size;
    let trailer = check.read(size.saturating_sub(TRAILER_BYTES), TRAILER_BYTES.min(size))?;
    let Some((length, b"ARROW1")) = trailer.split_first_chunk::<4>() else {
        return Err(check.wrong("it does not end as one"));
    };
    let length = check.positive(i32::from_le_bytes(*length).into(), "the footer's length")?;
    let footer = check.read((size - TRAILER_BYTES).saturating_sub(length), length)?;
    let footer = root_as_footer(&footer).map_err(|e| check.wrong(format!("footer: {e}")))?;
    let dictionaries = footer.dictionaries().into_iter().flatten();
    let batches = footer.recordBatches().into_iter().flatten();
    for block in dictionaries.chain(batches) {
        let block: &Block = block;
        let at = check.positive(block.offset(), "a block's offset")?;
        let metadata = check.positive(block.metaDataLength().into(), "a metadata's length")?;
        let body_length = check.positive(block.bodyLength(), "a body's length")?;
        let bytes = check.read(at, metadata)?;
        let skipped = match bytes.starts_with(&CONTINUATION) {
            true => 8,
            false => 4,
        };
        let message = root_as_message(bytes.get(skipped..).unwrap_or_default());
        let message = message.map_err(|e| check.wrong(format!("the message at {at}: {e}")))?;
        let Some(batch) = batch_of(&message) else {
            return Err(check.wrong(format!("the message at {at} is no record batch")));
        };
        check.batch(batch, at, at.saturating_add(metadata), body_length)?;
    }
    Ok(())
}

/// Validates a stream of messages as [`check`] does a file: schema, dictionaries and record batches one after the
/// other, as `datasets` of Hugging Face saves them.
///
/// # Errors
/// A number that is out of bounds, or the operating system's error.
pub(crate) fn stream(path: &Path, limit: BatchLimit) -> Result<(), Error> {
    let mut file = File::open(path).map_err(Error::io(path, "open"))?;
    let mut check = Check::new(path, &mut file, "Arrow stream", limit)?;
    let mut at = 0;
    while at < check.size {
        let head = check.read(at, 8)?;
        let Some((&CONTINUATION, length)) = head.split_first_chunk::<4>() else {
            return Err(check.wrong(format!("no message begins at {at}")));
        };
        let length = length.as_array().map_or(-1, |bytes| i32::from_le_bytes(*bytes));
        let length = check.positive(length.into(), "a metadata's length")?;
        if length == 0 {
            break;
        }
        let bytes = check.read(at + 8, length)?;
        let message = root_as_message(&bytes).map_err(|e| check.wrong(format!("the message at {at}: {e}")))?;
        let body_length = check.positive(message.bodyLength(), "a body's length")?;
        let body = at + 8 + length;
        match batch_of(&message) {
            Some(batch) => check.batch(batch, at, body, body_length)?,
            None if body_length == 0 => {}
            None => return Err(check.wrong(format!("the message at {at} is no record batch"))),
        }
        at = body + body_length;
    }
    Ok(())
}

/// The record batch of a message, or the values of a dictionary, which are one, too.
fn batch_of<'a>(message: &Message<'a>) -> Option<RecordBatch<'a>> {
    let dictionary = || message.header_as_dictionary_batch()?.data();
    message.header_as_record_batch().or_else(dictionary)
}

/// A file whose messages are validated.
struct Check<'a> {
    path: &'a Path,
    file: &'a mut File,
    size: u64,
    /// What the file is meant to be.
    what: &'static str,
    limit: BatchLimit,
    /// The number of batches so far.
    batches: u64,
}

impl<'a> Check<'a> {
    fn new(path: &'a Path, file: &'a mut File, what: &'static str, limit: BatchLimit) -> Result<Check<'a>, Error> {
        let size = file.seek(SeekFrom::End(0)).map_err(Error::io(path, "read"))?;
        Ok(Check {
            path,
            file,
            size,
            what,
            limit,
            batches: 0,
        })
    }

    fn wrong(&self, reason: impl std::fmt::Display) -> Error {
        Error::Format {
            path: self.path.to_owned(),
            reason: format!("is no whole {}: {reason}", self.what),
        }
    }

    fn read(&mut self, at: u64, length: u64) -> Result<Vec<u8>, Error> {
        let fits = at.checked_add(length).is_some_and(|end| end <= self.size);
        if !fits || length > MAX_METADATA_BYTES {
            return Err(self.wrong(format!("{length} bytes at {at} of {} are not there", self.size)));
        }
        let mut bytes = vec![0; length as usize];
        self.file
            .seek(SeekFrom::Start(at))
            .and_then(|_| self.file.read_exact(&mut bytes))
            .map_err(Error::io(self.path, "read"))?;
        Ok(bytes)
    }

    fn positive(&self, n: i64, what: &str) -> Result<u64, Error> {
        u64::try_from(n).map_err(|_| self.wrong(format!("{what} is {n}")))
    }

    /// Validates the batch of the message at `at`, whose body begins at `body`.
    fn batch(&mut self, batch: RecordBatch<'_>, at: u64, body: u64, body_length: u64) -> Result<(), Error> {
        let (path, index) = (self.path, self.batches);
        let too_large = |what: String| Error::Format {
            path: path.to_owned(),
            reason: format!("batch {index} {what}; it is not read"),
        };
        if body.checked_add(body_length).is_none_or(|end| end > self.size) {
            return Err(self.wrong(format!("the block at {at} ends behind the file")));
        }
        let (rows, most) = (self.positive(batch.length(), "a batch's rows")?, self.limit.rows);
        if rows > most {
            return Err(too_large(format!("has {rows} rows, at most {most} may be")));
        }
        let mut unpacked_bytes = 0_u64;
        for buffer in batch.buffers().into_iter().flatten() {
            let start = self.positive(buffer.offset(), "a buffer's offset")?;
            let length = self.positive(buffer.length(), "a buffer's length")?;
            if start.checked_add(length).is_none_or(|end| end > body_length) {
                return Err(self.wrong(format!("a buffer of the block at {at} ends behind it")));
            }
            let unpacked = match batch.compression() {
                Some(_) if length > 0 => {
                    let prefix = self.read(body + start, PREFIX_BYTES.min(length))?;
                    let prefix = prefix.as_array().map_or(i64::MAX, |b| i64::from_le_bytes(*b));
                    // -1: not packed.
                    u64::try_from(prefix).unwrap_or(length)
                }
                _ => length,
            };
            unpacked_bytes = unpacked_bytes.saturating_add(unpacked);
        }
        let (has, most) = (unpacked_bytes.max(body_length), self.limit.bytes);
        if has > most {
            return Err(too_large(format!("holds {has} bytes, at most {most} may be")));
        }
        self.batches += 1;
        Ok(())
    }
}
