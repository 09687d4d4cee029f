//! Whether the records of archives are what their digests say.

use crate::error::Error;
use crate::input::Input;
use crate::inspect::thread_pool;
use crate::read::archive::Archive;
use crate::read::digest::{self, Checked};
use crate::read::warc::{Item, RecordReader};
use crate::runtime::parallel;
use serde::Serialize;
use std::ops::AddAssign;

/// The number of wrong records that are listed; all are counted.
const LISTED: usize = 10_000;

/// A record whose digest differs, or a place that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wrong {
    /// The name of the archive.
    pub archive: String,
    /// The offset of the record in bytes: of its member, where the archive is compressed record by record.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
}

/// The outcome of the check of archives.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Digests {
    /// The number of archives that were read.
    pub archives: u64,
    /// The number of records whose digests are all right.
    pub right: u64,
    /// The number of records without a digest, or with none of SHA-1, SHA-256 and MD5.
    pub without: u64,
    /// The number of records with a digest that differs.
    pub differ: u64,
    /// The number of places that cannot be read.
    pub damaged: u64,
    /// The first ten thousand records and places that differ or cannot be read, in order.
    pub listed: Vec<Wrong>,
}

impl Digests {
    /// Whether all records could be read and no digest differs.
    pub fn holds(&self) -> bool {
        self.differ + self.damaged == 0
    }
}

impl AddAssign for Digests {
    fn add_assign(&mut self, other: Digests) {
        self.archives += other.archives;
        self.right += other.right;
        self.without += other.without;
        self.differ += other.differ;
        self.damaged += other.damaged;
        let room = LISTED - self.listed.len();
        self.listed.extend(other.listed.into_iter().take(room));
    }
}

/// Checks the block and payload digests of every record; a record of more than `max_record_bytes` cannot be read.
///
/// # Errors
/// Threads that cannot be started, or an archive that is not on this machine.
pub fn archives(inputs: &[Input], max_record_bytes: u64, threads: usize) -> Result<Digests, Error> {
    let each = |i: usize| one(&inputs[i], max_record_bytes);
    let found = thread_pool(threads)?.install(|| parallel::each(inputs.len(), each))?;
    let mut sum = Digests::default();
    found.into_iter().for_each(|digests| sum += digests);
    Ok(sum)
}

fn one(input: &Input, max_record_bytes: u64) -> Result<Digests, Error> {
    let path = input.file()?;
    let mut found = Digests {
        archives: 1,
        ..Digests::default()
    };
    let wrong = |found: &mut Digests, offset, what: String| {
        if found.listed.len() < LISTED {
            found.listed.push(Wrong {
                archive: input.label.to_string(),
                offset,
                what,
            });
        }
    };
    let mut reader = match Archive::open(path) {
        Ok(Some(archive)) => RecordReader::new(archive, max_record_bytes),
        none => {
            let cause = none.err().map(|e| e.to_string());
            let cause = cause.unwrap_or_else(|| "is no crawl archive".to_owned());
            found.damaged += 1;
            wrong(&mut found, 0, cause);
            return Ok(found);
        }
    };
    loop {
        match reader.next_item() {
            Ok(Some(Item::Record(record))) => match digest::check(&record) {
                Checked::Right => found.right += 1,
                Checked::None => found.without += 1,
                Checked::Wrong(what) => {
                    found.differ += 1;
                    wrong(&mut found, record.offset, format!("{}: {what}", record.url()));
                }
            },
            Ok(Some(Item::Damage(damage))) => {
                found.damaged += 1;
                wrong(&mut found, damage.offset, damage.cause);
            }
            Ok(None) => return Ok(found),
            Err(error) => {
                found.damaged += 1;
                let cause = format!("cannot be read further: {error}");
                wrong(&mut found, reader.position(), cause);
                return Ok(found);
            }
        }
    }
}
