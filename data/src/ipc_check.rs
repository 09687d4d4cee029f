//! Validates that the numbers in an Arrow IPC file lie within the file.
//!
//! Arrow's reader trusts them: a number out of bounds makes it panic, or allocate memory that no machine has.

use crate::Error;
use crate::catch_panic::catch_panic;
use crate::limit::BatchLimit;
use arrow::ipc::reader::FileReader;
use arrow::ipc::{Block, root_as_footer, root_as_message};
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
    let wrong = |reason: String| Error::Format {
        path: path.to_owned(),
        reason: format!("is no whole Arrow file: {reason}"),
    };
    let size = file.seek(SeekFrom::End(0)).map_err(Error::io(path, "read"))?;
    let mut read = |at: u64, length: u64| -> Result<Vec<u8>, Error> {
        let fits = at.checked_add(length).is_some_and(|end| end <= size);
        if !fits || length > MAX_METADATA_BYTES {
            return Err(wrong(format!("{length} bytes at {at} of {size} are not there")));
        }
        let mut bytes = vec![0; length as usize];
        file.seek(SeekFrom::Start(at))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(Error::io(path, "read"))?;
        Ok(bytes)
    };
    let positive = |n: i64, what: &str| u64::try_from(n).map_err(|_| wrong(format!("{what} is {n}")));

    let trailer = read(size.saturating_sub(TRAILER_BYTES), TRAILER_BYTES.min(size))?;
    let Some((length, b"ARROW1")) = trailer.split_first_chunk::<4>() else {
        return Err(wrong("it does not end as one".to_owned()));
    };
    let length = positive(i32::from_le_bytes(*length).into(), "the footer's length")?;
    let footer = read((size - TRAILER_BYTES).saturating_sub(length), length)?;
    let footer = root_as_footer(&footer).map_err(|e| wrong(format!("footer: {e}")))?;
    let dictionaries = footer.dictionaries().into_iter().flatten();
    let batches = footer.recordBatches().into_iter().flatten();
    for (index, block) in dictionaries.chain(batches).enumerate() {
        let block: &Block = block;
        let too_large = |what: String| Error::Format {
            path: path.to_owned(),
            reason: format!("batch {index} {what}, which no build writes; it is not read"),
        };
        let at = positive(block.offset(), "a block's offset")?;
        let metadata = positive(block.metaDataLength().into(), "a metadata's length")?;
        let body_length = positive(block.bodyLength(), "a body's length")?;
        let body = at.saturating_add(metadata);
        if body.saturating_add(body_length) > size {
            return Err(wrong(format!("the block at {at} ends behind the file")));
        }
        let bytes = read(at, metadata)?;
        let skipped = match bytes.starts_with(&CONTINUATION) {
            true => 8,
            false => 4,
        };
        let message = root_as_message(bytes.get(skipped..).unwrap_or_default())
            .map_err(|e| wrong(format!("the message at {at}: {e}")))?;
        let Some(batch) = message.header_as_record_batch() else {
            return Err(wrong(format!("the message at {at} is no record batch")));
        };
        let rows = positive(batch.length(), "a batch's rows")?;
        if rows > limit.rows {
            return Err(too_large(format!("has {rows} rows, at most {} may be", limit.rows)));
        }
        let mut unpacked_bytes = 0_u64;
        for buffer in batch.buffers().into_iter().flatten() {
            let start = positive(buffer.offset(), "a buffer's offset")?;
            let length = positive(buffer.length(), "a buffer's length")?;
            if start.checked_add(length).is_none_or(|end| end > body_length) {
                return Err(wrong(format!("a buffer of the block at {at} ends behind it")));
            }
            let unpacked = match batch.compression() {
                Some(_) if length > 0 => {
                    let prefix = read(body + start, PREFIX_BYTES.min(length))?;
                    let prefix = prefix.as_array().map_or(i64::MAX, |b| i64::from_le_bytes(*b));
                    // -1: not packed.
                    u64::try_from(prefix).unwrap_or(length)
                }
                _ => length,
            };
            unpacked_bytes = unpacked_bytes.saturating_add(unpacked);
        }
        let (has, most) = (unpacked_bytes.max(body_length), limit.bytes);
        if has > most {
            return Err(too_large(format!("holds {has} bytes, at most {most} may be")));
        }
    }
    Ok(())
}
