//! The output folder: what is in it, whether it may be written, and the files beside the shards.
//!
//! A build is done when `manifest.json` exists and no mark of an unfinished build does. Until then
//! everything is in a work folder of its own; shards move to their place when all of them are whole,
//! so that a corpus that is to be replaced stays until its successor is there. Only files that a
//! build is known to have written are ever removed.

mod finished;

pub use finished::{finished, read_stats};

use crate::card;
use crate::error::Error;
use crate::report::page;
use crate::stop;
use crate::work::remove_partial;
use c4_data::{Error as DataError, Format, InputEntry, LedgerMode, Manifest, fs as c4_fs, ledger};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Counters and tally.
pub const STATS_FILE: &str = "stats.json";
/// What is not the same twice: times, memory, threads.
pub const RUN_FILE: &str = "run.json";
/// The report that `c4 report` writes.
pub const REPORT_FILE: &str = "report.html";
/// The work folder in the output folder: a name that nobody else uses.
const WORK: &str = "_c4_work";
const MARKER: &str = "build.json";
/// Locked by the process that builds; the lock dies with it.
const LOCK: &str = "lock";
/// All that is ever in the work folder.
const WORK_ENTRIES: [&str; 7] = [
    LOCK, MARKER, REPLACING, "spools", "shards", "whole", "ledger",
];
/// Ends the names of files that say what is in a file of the corpus that is whole.
const DONE: &str = ".done";
/// There when the old corpus is gone and the new one takes its place.
const REPLACING: &str = "replacing";
/// Files of the work folder that are written by way of temporary ones.
const OWN_FILES: [&str; 2] = [MARKER, REPLACING];
/// Version of the work folder's files; another one cannot go on with them.
const WORK_VERSION: u32 = 1;

/// What the mark in a work folder says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    program: String,
    work_version: u32,
    #[serde(flatten)]
    identity: Identity,
}

impl Mark {
    fn new(identity: &Identity) -> Mark {
        Mark {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            work_version: WORK_VERSION,
            identity: identity.clone(),
        }
    }

    fn read(work: &Path) -> Option<Mark> {
        let json = fs::read(work.join(MARKER)).ok()?;
        serde_json::from_slice(&json).ok()
    }
}

/// What a build is, for telling one from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The recipe's name.
    pub recipe: String,
    /// The recipe's hash.
    pub recipe_hash: String,
    /// The shards' format.
    pub format: Format,
    /// The shards' target size.
    pub shard_size_bytes: u64,
    /// How much of the ledger is kept.
    pub ledger: LedgerMode,
    /// Names and sizes of the archives.
    pub inputs: Vec<(String, u64)>,
}

/// What stands in the output folder.
#[derive(Debug)]
pub enum Found {
    /// The very corpus that is asked for, finished.
    Finished(Box<Manifest>),
    /// Nothing, an unfinished build, or a corpus to be replaced: these files of it go.
    Free(Vec<String>),
}

/// The folders of a build.
#[derive(Debug)]
pub struct Output {
    /// The output folder.
    pub dir: PathBuf,
    /// For shards that are not finished; on the output's file system.
    pub partial: PathBuf,
    /// For shards that are, until all are.
    pub whole: PathBuf,
    /// For the ledger, until all of it is there.
    pub ledger: PathBuf,
    /// For what is between the passes.
    pub work: PathBuf,
    /// The folder in the output folder that is ours until the end.
    own: PathBuf,
    /// Files that are to be replaced.
    old: Vec<String>,
    /// Held as long as the build runs.
    _lock: File,
}

impl Identity {
    /// In what `other` differs, in words; `None` if in nothing.
    fn difference(&self, other: &Identity) -> Option<String> {
        if self.recipe_hash != other.recipe_hash {
            let what = if self.recipe == other.recipe {
                "another version of recipe"
            } else {
                "recipe"
            };
            return Some(format!("{what} `{}`", other.recipe));
        }
        // Sizes of remote archives are known only of a finished build.
        let differ = |((a, n), (b, m)): (&(String, u64), &(String, u64))| {
            a != b || (n != m && *n > 0 && *m > 0)
        };
        let mut pairs = self.inputs.iter().zip(&other.inputs);
        if self.inputs.len() != other.inputs.len() || pairs.any(differ) {
            return Some(format!("other inputs ({} archives)", other.inputs.len()));
        }
        if (self.format, self.shard_size_bytes) != (other.format, other.shard_size_bytes) {
            return Some("another format or shard size".to_owned());
        }
        if self.ledger != other.ledger {
            return Some(format!("the same recipe with ledger {}", other.ledger));
        }
        None
    }
}

impl From<&Manifest> for Identity {
    fn from(manifest: &Manifest) -> Identity {
        let input = |entry: &InputEntry| (entry.archive.clone(), entry.bytes);
        Identity {
            recipe: manifest.recipe.name.clone(),
            recipe_hash: manifest.recipe_hash.clone(),
            format: manifest.format,
            shard_size_bytes: manifest.shard_size_bytes,
            ledger: manifest.ledger.mode,
            inputs: manifest.inputs.iter().map(input).collect(),
        }
    }
}

/// Looks at the output folder before anything is changed.
///
/// # Errors
/// It holds something else: another build without `overwrite`, or files of other kinds.
pub fn inspect(dir: &Path, identity: &Identity, overwrite: bool) -> Result<Found, Error> {
    let refuse = |reason: String| {
        Err(Error::Output {
            path: dir.to_owned(),
            reason,
        })
    };
    match fs::metadata(dir) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Found::Free(Vec::new())),
        Err(e) => return Err(DataError::io(dir, "open")(e).into()),
        Ok(metadata) if !metadata.is_dir() => return refuse("is a file, not a folder".into()),
        Ok(_) => {}
    }
    let manifest = match Manifest::read(dir) {
        Ok(manifest) => manifest,
        Err(_) => {
            let reason = "holds a manifest.json of something else; choose another folder";
            return refuse(reason.into());
        }
    };
    let work = dir.join(WORK);
    let strange = names(&work)?
        .into_iter()
        .find(|n| !WORK_ENTRIES.contains(&n.as_str()) && !is_temporary(n, &OWN_FILES));
    if let Some(name) = strange {
        return refuse(format!(
            "{WORK}/{name} is no file of a build; choose another folder"
        ));
    }
    let marker = Mark::read(&work).map(|mark| mark.identity);

    // Shards that a build has written: those of the manifest, or of a build that was stopped while
    // it moved them to their place.
    let mut ours: Vec<String> = Vec::new();
    ours.extend(
        manifest
            .iter()
            .flat_map(|m| &m.shards)
            .map(|shard| shard.file.clone()),
    );
    let files = manifest.iter().flat_map(|m| &m.ledger.files);
    ours.extend(files.map(|file| file.file.clone()));
    if marker.is_some() {
        ours.extend(
            names(dir)?
                .into_iter()
                .filter(|name| Format::is_shard_name(name)),
        );
        let names = names(&dir.join(ledger::LEDGER_FOLDER))?.into_iter();
        let names = names.filter(|name| ledger::Table::is_file_name(name));
        ours.extend(names.map(|name| format!("{}/{name}", ledger::LEDGER_FOLDER)));
    }
    if overwrite {
        return Ok(Found::Free(ours));
    }
    let finished = manifest.as_ref().map(Identity::from);
    match (finished, marker) {
        // Stopped after the manifest was written, or never stopped.
        (Some(finished), marker) if marker.as_ref().is_none_or(|marker| *marker == finished) => {
            match identity.difference(&finished) {
                None => {
                    let whole = |m: &Manifest| {
                        let shards = m.shards.iter().map(|s| (&s.file, s.bytes));
                        let ledger = m.ledger.files.iter().map(|f| (&f.file, f.bytes));
                        shards
                            .chain(ledger)
                            .all(|(file, bytes)| is_whole(dir, file, bytes))
                    };
                    let manifest = manifest.filter(|manifest| whole(manifest));
                    let done = manifest.map(|manifest| Found::Finished(Box::new(manifest)));
                    Ok(done.unwrap_or(Found::Free(ours)))
                }
                Some(other) => refuse(format!(
                    "holds a corpus of {other}; choose another folder, or replace it with \
                     --overwrite"
                )),
            }
        }
        (_, Some(unfinished)) => match identity.difference(&unfinished) {
            None => Ok(Found::Free(ours)),
            Some(other) => refuse(format!(
                "holds an unfinished build of {other}; choose another folder, or replace it with \
                 --overwrite"
            )),
        },
        (_, None) => {
            if names(dir)?.iter().all(|name| name == WORK) {
                return Ok(Found::Free(ours));
            }
            refuse(
                "is not empty and holds no corpus; choose another folder, or write into it with \
                 --overwrite (other files in it stay)"
                    .into(),
            )
        }
    }
}

/// Whether a build has begun in a folder, or is done there and stays.
pub fn is_begun(dir: &Path, overwrite: bool) -> bool {
    let done = dir.join(Manifest::FILE).exists();
    dir.join(WORK).join(MARKER).exists() || (done && !overwrite)
}

/// Whether `name` is that of a temporary file of [`c4_fs::write_atomic`] for one of `files`.
fn is_temporary(name: &str, files: &[&str]) -> bool {
    let middle = name
        .strip_prefix('.')
        .and_then(|name| name.strip_suffix(".tmp"));
    let id = middle.and_then(|middle| files.iter().find_map(|file| middle.strip_prefix(file)));
    let id = id.and_then(|id| id.strip_prefix('.'));
    id.is_some_and(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()))
}

/// The names in a folder; none if it is missing.
fn names(dir: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(DataError::io(dir, "list"))?,
    };
    let name = |entry: std::io::Result<fs::DirEntry>| {
        Ok(entry
            .map_err(DataError::io(dir, "list"))?
            .file_name()
            .to_string_lossy()
            .into_owned())
    };
    entries.map(name).collect()
}

/// Whether a file is there, in its size.
fn is_whole(dir: &Path, file: &str, bytes: u64) -> bool {
    fs::metadata(dir.join(file)).is_ok_and(|metadata| metadata.len() == bytes)
}

impl Output {
    /// Makes the folders and leaves a mark, or takes up those of the same build. Nothing of an earlier
    /// corpus changes yet; `old` are its shards.
    ///
    /// # Errors
    /// A folder cannot be written.
    pub fn prepare(
        dir: &Path,
        work: Option<&Path>,
        identity: &Identity,
        old: Vec<String>,
    ) -> Result<Output, Error> {
        let own = dir.join(WORK);
        let work = match work {
            // A folder of its own below the one that was named, which may hold other things.
            Some(work) => {
                fs::create_dir_all(work).map_err(DataError::io(work, "create"))?;
                let whose = std::path::absolute(dir).unwrap_or(dir.to_owned());
                let key = format!("{} {}", whose.display(), identity.key());
                work.join(format!("c4-{}", &c4_fs::sha256_hex(key.as_bytes())[..16]))
            }
            None => own.join("spools"),
        };
        fs::create_dir_all(&own).map_err(DataError::io(&own, "create"))?;
        let lock_path = own.join(LOCK);
        let lock = File::create(&lock_path).map_err(DataError::io(&lock_path, "create"))?;
        if let Err(TryLockError::WouldBlock) = lock.try_lock() {
            return Err(Error::Output {
                path: dir.to_owned(),
                reason: "another build is writing here; wait for it, or choose another folder"
                    .into(),
            });
        }
        let mark = Mark::new(identity);
        let goes_on = Mark::read(&own).is_some_and(|old| old == mark);
        let output = Output {
            dir: dir.to_owned(),
            partial: own.join("shards"),
            whole: own.join("whole"),
            ledger: own.join("ledger"),
            own,
            work,
            old,
            _lock: lock,
        };
        if !goes_on {
            for folder in [&output.whole, &output.ledger, &output.work] {
                remove_folder(folder)?;
            }
            remove(&output.own.join(REPLACING))?;
            let json = serde_json::to_vec_pretty(&mark).unwrap_or_default();
            c4_fs::write_atomic(&output.own.join(MARKER), &json)?;
        }
        remove_folder(&output.partial)?;
        for folder in [&output.partial, &output.whole, &output.ledger, &output.work] {
            fs::create_dir_all(folder).map_err(DataError::io(folder, "create"))?;
        }
        remove_partial(&output.work)?;
        Ok(output)
    }

    /// What was said with [`set_done`](Output::set_done) when the file `name` was whole; `None` if it is
    /// not.
    ///
    /// # Errors
    /// The work folder cannot be read.
    pub fn done<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Error> {
        let path = self.whole.join(format!("{name}{DONE}"));
        match fs::read(&path) {
            Ok(json) => Ok(serde_json::from_slice(&json).ok()),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(DataError::io(&path, "read")(e).into()),
        }
    }

    /// Notes that the file `name` is whole.
    ///
    /// # Errors
    /// The work folder cannot be written.
    pub fn set_done<T: Serialize>(&self, name: &str, what: &T) -> Result<(), Error> {
        let json = serde_json::to_vec(what).unwrap_or_default();
        let path = self.whole.join(format!("{name}{DONE}"));
        Ok(c4_fs::write_atomic(&path, &json)?)
    }

    /// How many files are.
    ///
    /// # Errors
    /// The work folder cannot be read.
    pub fn entries_done(&self) -> Result<usize, Error> {
        let names = names(&self.whole)?;
        Ok(names.iter().filter(|name| name.ends_with(DONE)).count())
    }

    /// Puts the finished shards and the ledger in the place of what was there.
    ///
    /// # Errors
    /// The output folder cannot be written.
    pub fn replace(&self, manifest: &Manifest) -> Result<(), Error> {
        let replacing = self.own.join(REPLACING);
        if !replacing.exists() {
            // Without its manifest the old corpus is none; the mark says what comes instead.
            remove(&self.dir.join(Manifest::FILE))?;
            for name in &self.old {
                remove(&self.dir.join(name))?;
            }
            // What was told of the old corpus goes with it.
            remove_with(&self.dir.join(REPORT_FILE), page::GENERATOR)?;
            remove_with(&self.dir.join(card::FILE), card::MARK)?;
            c4_fs::write_atomic(&replacing, b"")?;
        }
        for shard in &manifest.shards {
            self.put(&self.whole, &shard.file, shard.bytes)?;
        }
        let folder = self.dir.join(ledger::LEDGER_FOLDER);
        if manifest.ledger.files.is_empty() {
            // It stays if it holds files of others.
            let _ = fs::remove_dir(&folder);
        } else {
            fs::create_dir_all(&folder).map_err(DataError::io(&folder, "create"))?;
        }
        for file in &manifest.ledger.files {
            self.put(&self.ledger, &file.file, file.bytes)?;
        }
        Ok(())
    }

    /// Moves a file to its place, unless it is there.
    fn put(&self, from: &Path, file: &str, bytes: u64) -> Result<(), Error> {
        let target = self.dir.join(file);
        stop::crash_point("replace");
        let source = from.join(target.file_name().unwrap_or_default());
        match c4_fs::rename(&source, &target) {
            Err(e) if e.kind() == ErrorKind::NotFound && is_whole(&self.dir, file, bytes) => Ok(()),
            renamed => Ok(renamed.map_err(DataError::io(&target, "rename"))?),
        }
    }

    /// Takes the work folders away; called after the manifest is written.
    ///
    /// # Errors
    /// They cannot be removed.
    pub fn clear(&self) -> Result<(), Error> {
        // Of a build that was killed while it wrote one of these.
        for name in names(&self.dir)? {
            if is_temporary(&name, &[STATS_FILE, RUN_FILE, Manifest::FILE]) {
                remove(&self.dir.join(name))?;
            }
        }
        remove_folder(&self.work)?;
        clear_work(&self.dir)
    }
}

/// Takes away what a finished build may have left of its work folder.
///
/// # Errors
/// It cannot be removed.
pub fn clear_work(dir: &Path) -> Result<(), Error> {
    let work = dir.join(WORK);
    let left = names(&work)?;
    let left = left.iter().filter(|name| is_temporary(name, &OWN_FILES));
    // The mark goes last.
    for name in left
        .map(String::as_str)
        .chain(WORK_ENTRIES.into_iter().rev())
    {
        let path = work.join(name);
        if path.is_dir() {
            remove_folder(&path)?;
        } else {
            remove(&path)?;
        }
    }
    match fs::remove_dir(&work) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(DataError::io(&work, "remove")(e).into()),
        _ => Ok(()),
    }
}

fn remove_folder(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(DataError::io(folder, "remove")(e).into()),
        _ => Ok(()),
    }
}

impl Identity {
    fn key(&self) -> String {
        c4_fs::sha256_hex(&serde_json::to_vec(self).unwrap_or_default())
    }
}

/// Whether a text file is ours, told by a mark in its beginning.
pub fn is_with(path: &Path, mark: &str) -> bool {
    let mut beginning = Vec::new();
    let read = File::open(path).and_then(|file| file.take(1 << 16).read_to_end(&mut beginning));
    read.is_ok() && memchr::memmem::find(&beginning, mark.as_bytes()).is_some()
}

/// Removes a text file if it is ours.
fn remove_with(path: &Path, mark: &str) -> Result<(), Error> {
    match path.is_file() && is_with(path, mark) {
        true => remove(path),
        false => Ok(()),
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(DataError::io(path, "remove")(e).into()),
        _ => Ok(()),
    }
}
