//! Work files: what a unit of work leaves to the passes after it.
//!
//! A unit (an archive, a range of keys, some pages) writes one file, under another name until it is
//! whole and synced. So a unit is done when its file is there, and a build that was stopped anywhere
//! resumes by leaving out what is done.
//!
//! A file holds a **body**, bytes in the order in which they came, and up to [`TABLES`] **tables**. A
//! table has numbered slots, each a range of bytes, so that what comes from every unit of one pass and is for every
//! unit of the next (the keys of an archive for their ranges, what a range has found for the archives, rows for
//! their shards) is a slot in the files of the one for each unit of the other. Layout: body; slots
//! of each table, their offsets and checksums; where all of that is. Numbers are little-endian. A reader needs
//! three small reads and one large one for any slots, and keeps nothing in memory.
//!
//! What a disk has changed is an error: slots and the end of the file have checksums (XXH3), the frames of a body
//! have zstd's.
//!
//! **Origin.** Somebody may have removed files between two tries, or put older ones in their place. So a file has an
//! id, a hash of all that is in it, and says of what files it was made: its *origin* is a hash of their ids
//! ([`origin`]). A unit whose file has another origin than is wanted is not done.

pub(crate) mod block;
pub mod buckets;
pub(crate) mod dedup_key;
pub mod health;
pub(crate) mod intermediate;
pub(crate) mod judged_group;
pub(crate) mod ledger;
pub mod sample;
pub(crate) mod segment;
pub mod shard_sets;

use c4_data::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// The number of tables of a work file.
pub(crate) const TABLES: usize = 8;
const MAGIC: &[u8; 8] = b"c4work\x00\x04";
/// The bytes of a file's trailer: offset and number of slots of each table, length of the body, origin, checksum of all
/// before the trailer; checksum of the trailer so far, which is the file's id; magic.
const TRAILER_BYTES: usize = TABLES * 16 + 40;
/// The bytes of a slot's index entry: its offset, and the checksum of its content; last, the end of all slots, and 0.
const SLOT_BYTES: usize = 16;
/// The extension of a file's name until the file is whole.
const PARTIAL: &str = "partial";

/// Writes a work file: the body, then tables, then [`finish`](WorkWriter::finish).
pub(crate) struct WorkWriter {
    path: PathBuf,
    partial: PathBuf,
    file: BufWriter<File>,
    written: u64,
    /// Hashes all that is written.
    hasher: Xxh3,
    body: u64,
    tables: [(u64, u64); TABLES],
}

impl WorkWriter {
    /// Starts the file at `path`, under another name.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(crate) fn create(path: &Path) -> Result<WorkWriter, Error> {
        // A name of this process: another build may have begun anew in a folder that was removed.
        let mut partial = path.as_os_str().to_owned();
        partial.push(format!(".{}.{PARTIAL}", std::process::id()));
        let partial = PathBuf::from(partial);
        let file = File::create(&partial).map_err(Error::io(&partial, "create"))?;
        Ok(WorkWriter {
            path: path.to_owned(),
            partial,
            file: BufWriter::with_capacity(1 << 17, file),
            written: 0,
            hasher: Xxh3::new(),
            body: 0,
            tables: [(0, 0); TABLES],
        })
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let written = self.file.write_all(bytes);
        written.map_err(Error::io(&self.partial, "write"))?;
        self.hasher.update(bytes);
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Appends to the body, which comes before all tables.
    ///
    /// # Errors
    /// The file cannot be written (a full disk, say).
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.put(bytes)?;
        self.body = self.written;
        Ok(())
    }

    /// Starts a table; 16 bytes of memory a slot.
    pub(crate) fn table(&mut self, table: usize, slots: usize) -> TableWriter<'_> {
        TableWriter {
            writer: self,
            table,
            slots,
            index: Vec::with_capacity(slots + 1),
            hasher: Xxh3::new(),
        }
    }

    /// Ends the file, which was made of files with the hash `origin`, syncs it and renames it to its own name. Returns
    /// the file's id.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn finish(mut self, origin: u64) -> Result<u64, Error> {
        let mut trailer = Vec::with_capacity(TRAILER_BYTES);
        for (offsets, slots) in self.tables {
            trailer.extend(offsets.to_le_bytes());
            trailer.extend(slots.to_le_bytes());
        }
        trailer.extend(self.body.to_le_bytes());
        trailer.extend(origin.to_le_bytes());
        trailer.extend(self.hasher.digest().to_le_bytes());
        let id = xxh3_64(&trailer);
        trailer.extend(id.to_le_bytes());
        trailer.extend(MAGIC);
        self.put(&trailer)?;
        let file = self.file.into_inner().map_err(|e| e.into_error());
        let synced = file.and_then(|file| file.sync_all());
        synced.map_err(Error::io(&self.partial, "write"))?;
        crate::runtime::stop::crash_point("work-file");
        let renamed = c4_data::atomic_file::rename(&self.partial, &self.path);
        renamed.map_err(Error::io(&self.path, "rename"))?;
        Ok(id)
    }
}

/// Writes the slots of a table, in their order.
pub(crate) struct TableWriter<'a> {
    writer: &'a mut WorkWriter,
    table: usize,
    slots: usize,
    /// The offset and checksum of each slot so far; the checksum of the last one is still to come.
    index: Vec<(u64, u64)>,
    /// Hashes the last slot.
    hasher: Xxh3,
}

impl TableWriter<'_> {
    /// Appends to a slot; no later slot may have been written to.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn put(&mut self, slot: usize, bytes: &[u8]) -> Result<(), Error> {
        debug_assert!(slot < self.slots && self.index.len() <= slot + 1);
        self.begin(slot);
        self.hasher.update(bytes);
        self.writer.put(bytes)
    }

    /// Begins a slot; those skipped stay empty.
    fn begin(&mut self, slot: usize) {
        while self.index.len() <= slot {
            if let Some(last) = self.index.last_mut() {
                last.1 = self.hasher.digest();
                self.hasher.reset();
            }
            self.index.push((self.writer.written, 0));
        }
    }

    /// Ends the table.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        self.begin(self.slots);
        self.writer.tables[self.table] = (self.writer.written, self.slots as u64);
        let numbers = self.index.iter().flat_map(|(start, sum)| [start, sum]);
        let index: Vec<u8> = numbers.flat_map(|n| n.to_le_bytes()).collect();
        self.writer.put(&index)
    }
}

/// Reads a work file that is whole.
pub(crate) struct WorkReader {
    path: PathBuf,
    file: File,
    /// The length of the body in bytes.
    body: u64,
    /// The hash of the ids of the files that this one was made of.
    pub origin: u64,
    /// The hash of all that is in the file.
    pub id: u64,
    tables: [(u64, u64); TABLES],
}

impl WorkReader {
    /// Opens a file; `None` if it is missing, or not whole.
    ///
    /// # Errors
    /// The operating system cannot read the file.
    pub(crate) fn open_if_whole(path: &Path) -> Result<Option<WorkReader>, Error> {
        let opened = match File::open(path) {
            Ok(file) => Self::new(path, file),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => Err(Error::io(path, "open")(e)),
        };
        match opened {
            Err(Error::Format { .. }) => Ok(None),
            opened => opened.map(Some),
        }
    }

    /// Opens a file that has to be there.
    ///
    /// # Errors
    /// The file cannot be read, or is not whole.
    pub(crate) fn open(path: &Path) -> Result<WorkReader, Error> {
        Self::new(path, File::open(path).map_err(Error::io(path, "open"))?)
    }

    fn new(path: &Path, file: File) -> Result<WorkReader, Error> {
        let mut reader = WorkReader {
            path: path.to_owned(),
            file,
            body: 0,
            origin: 0,
            id: 0,
            tables: [(0, 0); TABLES],
        };
        let length = reader.file.metadata().map_err(Error::io(path, "read"))?;
        let Some(at) = length.len().checked_sub(TRAILER_BYTES as u64) else {
            return Err(damaged(path));
        };
        let trailer = reader.bytes(at, TRAILER_BYTES)?;
        let (known, check) = trailer.split_at(TRAILER_BYTES - 16);
        if !trailer.ends_with(MAGIC) || !check.starts_with(&xxh3_64(known).to_le_bytes()) {
            return Err(damaged(path));
        }
        let mut numbers = numbers(&trailer);
        let mut next = || numbers.next().unwrap_or_default();
        reader.tables = std::array::from_fn(|_| (next(), next()));
        (reader.body, reader.origin) = (next(), next());
        let _sum = next();
        reader.id = next();
        Ok(reader)
    }

    /// Reads `length` bytes at an offset.
    fn bytes(&self, at: u64, length: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; length];
        let mut file = &self.file;
        let read = file.seek(SeekFrom::Start(at));
        read.and_then(|_| file.read_exact(&mut bytes))
            .map_err(Error::io(&self.path, "read"))?;
        Ok(bytes)
    }

    /// The number of slots of a table; 0 if the file has no such table.
    pub(crate) fn slots(&self, table: usize) -> usize {
        self.tables[table].1 as usize
    }

    /// The bytes of some slots of a table, one after the other.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub(crate) fn read(&self, table: usize, slots: Range<usize>) -> Result<Vec<u8>, Error> {
        let (offset, count) = self.tables[table];
        if slots.end as u64 > count || slots.start >= slots.end {
            return Ok(Vec::new());
        }
        let length = (slots.end - slots.start + 1) * SLOT_BYTES;
        let index = self.bytes(offset + (slots.start * SLOT_BYTES) as u64, length)?;
        let index: Vec<u64> = numbers(&index).collect();
        let [start, .., end, _] = index[..] else {
            return Err(damaged(&self.path));
        };
        // Slots come before their index.
        if start > end || end > offset {
            return Err(damaged(&self.path));
        }
        let bytes = self.bytes(start, (end - start) as usize)?;
        let mut rest = &bytes[..];
        for slot in index.as_chunks::<2>().0.windows(2) {
            let [[from, sum], [to, _]] = slot else {
                continue;
            };
            let length = to.checked_sub(*from).and_then(|n| usize::try_from(n).ok());
            let split = length.and_then(|length| rest.split_at_checked(length));
            match split {
                Some((slot, after)) if xxh3_64(slot) == *sum => rest = after,
                _ => return Err(damaged(&self.path)),
            }
        }
        Ok(bytes)
    }

    /// The open file at the start of its body, and the length of the body in bytes.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn into_body(mut self) -> Result<(File, u64), Error> {
        let start = self.file.seek(SeekFrom::Start(0));
        start.map_err(Error::io(&self.path, "read"))?;
        Ok((self.file, self.body))
    }
}

fn numbers(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let (chunks, _) = bytes.as_chunks::<8>();
    chunks.iter().map(|chunk| u64::from_le_bytes(*chunk))
}

/// The hash of the ids of several files.
pub(crate) fn origin(ids: impl IntoIterator<Item = u64>) -> u64 {
    let bytes: Vec<u8> = ids.into_iter().flat_map(u64::to_le_bytes).collect();
    xxh3_64(&bytes)
}

/// The error for a work file at `path` that is not what this program wrote.
pub fn damaged(path: &Path) -> Error {
    let folder = path.parent().unwrap_or(path).display();
    Error::Format {
        path: path.to_owned(),
        reason: format!(
            "a file of the work folder is damaged; remove the folder {folder} and give the same command again"
        ),
    }
}

/// Removes the unfinished files that stopped units have left in `folder`.
///
/// # Errors
/// The folder cannot be read or written.
pub(crate) fn remove_partial(folder: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(folder).map_err(Error::io(folder, "list"))? {
        let path = entry.map_err(Error::io(folder, "list"))?.path();
        if path.extension().is_some_and(|end| end == PARTIAL) {
            remove(&path)?;
        }
    }
    Ok(())
}

/// Removes a file, if it is there.
///
/// # Errors
/// The folder cannot be written.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path, "remove")(e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_hold_what_was_put_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let mut writer = WorkWriter::create(&path).unwrap();
        writer.append(b"body").unwrap();
        for (table, slots) in [(2, 1000), (0, 3)] {
            let mut writer = writer.table(table, slots);
            for slot in (0..slots).filter(|slot| slot % 3 == 1) {
                writer.put(slot, b"x").unwrap();
                writer.put(slot, slot.to_string().as_bytes()).unwrap();
            }
            writer.finish().unwrap();
        }
        assert!(WorkReader::open_if_whole(&path).unwrap().is_none());
        let id = writer.finish(17).unwrap();
        let reader = WorkReader::open(&path).unwrap();
        assert_eq!((reader.id, reader.origin), (id, 17));
        assert_eq!([0, 1, 2].map(|table| reader.slots(table)), [3, 0, 1000]);
        assert_eq!(reader.read(0, 0..3).unwrap(), b"x1");
        assert_eq!(reader.read(1, 0..3).unwrap(), b"");
        assert_eq!(reader.read(2, 0..1).unwrap(), b"");
        assert_eq!(reader.read(2, 997..1000).unwrap(), b"x997");
        assert_eq!(reader.read(2, 1..998).unwrap().len(), {
            let of = |slot: usize| 1 + slot.to_string().len();
            (1..998).filter(|slot| slot % 3 == 1).map(of).sum::<usize>()
        });
        let (mut file, length) = reader.into_body().unwrap();
        let mut body = vec![0; length as usize];
        file.read_exact(&mut body).unwrap();
        assert_eq!(body, b"body");
    }

    #[test]
    fn a_cut_file_is_an_error_and_a_partial_one_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let mut writer = WorkWriter::create(&path).unwrap();
        writer.append(&[7; 1000]).unwrap();
        drop(writer);
        remove_partial(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        fs::write(&path, [0; 300]).unwrap();
        let error = WorkReader::open(&path).err().unwrap().to_string();
        assert!(error.contains("damaged"), "{error}");
        assert!(WorkReader::open_if_whole(&path).unwrap().is_none());
    }

    #[test]
    fn a_changed_bit_anywhere_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let mut writer = WorkWriter::create(&path).unwrap();
        let mut table = writer.table(3, 5);
        for slot in [1, 2, 4] {
            table.put(slot, b"some").unwrap();
            table.put(slot, b"thing").unwrap();
        }
        table.finish().unwrap();
        writer.finish(1).unwrap();
        let whole = fs::read(&path).unwrap();
        let read = || WorkReader::open(&path)?.read(3, 0..5);
        assert_eq!(read().unwrap(), b"something".repeat(3));
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, bytes).unwrap();
            // The checksum of the end is of no slot.
            assert!(
                read().is_err() || (bit / 8).abs_diff(whole.len() - TRAILER_BYTES - 4) <= 4,
                "bit {bit}"
            );
        }
    }
}
