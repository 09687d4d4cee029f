//! Event files for TensorBoard: TFRecords of `Event` messages (`tensorflow/core/util/event.proto`), scalars alone.
//!
//! By hand: three messages and a frame. Crates for it bring image decoders (tensorboard-rs, tfrecord) or a protobuf
//! compiler (tboard).
//!
//! **A run that goes on** begins another file. Its first events say that a session starts at the next step; TensorBoard
//! then drops what it has of that step and later ones (`_MaybePurgeOrphanedData` of its Python reader; its data server
//! drops, of each scalar, what is not before the step that comes in). So steps that a killed process took after its
//! last checkpoint do not show twice, though they stay in the older file. Files are read in the order of their names,
//! so a name is never before those that are there.

use super::metrics::write_waiting;
use crate::Error;
use crate::base::protobuf::{put_bytes, put_double, put_float, put_number};
use crc_fast::CrcAlgorithm;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What all event files are called; the Unix time follows.
const PREFIX: &str = "events.out.tfevents.";
/// What ends the names of ours.
const SUFFIX: &str = ".t5";
/// `SessionLog.START`.
const START: u64 = 1;

/// An event file that is being written.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
    waiting: Vec<u8>,
}

impl EventFile {
    /// Begins a file in a run's folder, whose first scalars will be of `step`. Its name is after those of all event
    /// files there.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn create(folder: &Path, step: u64) -> Result<EventFile, Error> {
        // Later than all of them, even if the clock was put back.
        let last = list(folder)?.iter().filter_map(|path| seconds(path)).max();
        let time = last.map_or(0, |last| last.saturating_add(1)).max(now() as u64);
        let path = folder.join(format!("{PREFIX}{time:010}{SUFFIX}"));
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).open(&path);
        let file = file.map_err(|e| Error::io(&path, e))?;
        let waiting = Vec::new();
        let mut file = EventFile { path, file, waiting };
        file.write(0, |event| put_bytes(event, 3, b"brain.Event:2"))?;
        let mut session = Vec::new();
        put_number(&mut session, 1, START);
        file.write(step, |event| put_bytes(event, 7, &session))?;
        Ok(file)
    }

    /// Scalars of a step, by their names; `part/name` puts it into a section of TensorBoard's page. TensorBoard keeps
    /// them as f32.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn scalars<'a>(&mut self, step: u64, scalars: impl IntoIterator<Item = (&'a str, f64)>) -> Result<(), Error> {
        let mut summary = Vec::new();
        for (name, value) in scalars {
            let mut scalar = Vec::new();
            put_bytes(&mut scalar, 1, name.as_bytes());
            put_float(&mut scalar, 2, value as f32);
            put_bytes(&mut summary, 1, &scalar);
        }
        self.write(step, |event| put_bytes(event, 5, &summary))
    }

    fn write(&mut self, step: u64, what: impl FnOnce(&mut Vec<u8>)) -> Result<(), Error> {
        let mut event = Vec::new();
        put_double(&mut event, 1, now());
        put_number(&mut event, 2, step);
        what(&mut event);
        // At once, so that a file ends with a whole record whenever the process dies.
        self.waiting.extend(record(&event));
        self.flush()
    }

    /// Writes what could not be written before.
    ///
    /// # Errors
    /// It still cannot.
    pub fn flush(&mut self) -> Result<(), Error> {
        let written = write_waiting(&mut self.file, &mut self.waiting);
        written.map_err(|e| Error::io(&self.path, e))
    }
}

/// Removes the event files of an earlier try from a run's folder.
///
/// # Errors
/// One cannot be removed.
pub fn remove(folder: &Path) -> Result<(), Error> {
    for path in list(folder)? {
        if path.to_string_lossy().ends_with(SUFFIX) {
            fs::remove_file(&path).map_err(|e| Error::io(&path, e))?;
        }
    }
    Ok(())
}

/// The event files in a folder.
pub(super) fn list(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
        let entry = entry.map_err(|e| Error::io(folder, e))?;
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// The time in a file's name.
fn seconds(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.strip_prefix(PREFIX)?;
    name.split('.').next()?.parse().ok()
}

/// Seconds since 1970.
fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

/// A TFRecord (`tensorflow/core/lib/io/record_writer.h`): length, checksum of the length, data, checksum of the data.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let parts = [&length[..], &checksum(&length), data, &checksum(data)];
    parts.concat()
}

/// CRC-32C, masked since a checksum of data with checksums in it is a poor one.
fn checksum(bytes: &[u8]) -> [u8; 4] {
    let crc = crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32;
    let masked = crc.rotate_right(15).wrapping_add(0xa282_ead8);
    masked.to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order_of_their_making() {
        let dir = tempfile::tempdir().unwrap();
        // Of another program, by a clock that is ahead.
        let other = dir.path().join("events.out.tfevents.5000000000.host");
        fs::write(&other, "").unwrap();
        let names: Vec<PathBuf> = (1..4)
            .map(|step| EventFile::create(dir.path(), step).unwrap().path)
            .collect();
        assert!(names.is_sorted() && names[0] > other, "{names:?}");
        assert_eq!(list(dir.path()).unwrap().len(), 4);
        remove(dir.path()).unwrap();
        assert_eq!(list(dir.path()).unwrap(), [other]);
    }
}
