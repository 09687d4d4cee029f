//! The output folder: what is in it, whether it may be written, and the files beside the shards.
//!
//! A build is done when `manifest.json` exists and no mark of an unfinished build does. Until then
//! everything is in a work folder of its own; shards move to their place when all of them are whole,
//! so that a corpus that is to be replaced stays until its successor is there. Only files that a
//! build is known to have written are ever removed.
//!
//! Above 500 lines with its tests: all that decides whether a folder may be written to stands together.

mod finished;

pub(crate) use finished::{checked_file, finished, read_stats};

use crate::error::Error;
use crate::remote::is_url;
use crate::runtime::stop;
use crate::work::remove_partial;
use crate::work::segment::ArchiveEntry;
use c4_data::{Error as DataError, Format, InputEntry, LedgerMode, Manifest, Stats, atomic_file, ledger};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;
use xxhash_rust::xxh3::xxh3_64;

/// What is not the same twice: times, memory, threads.
pub(crate) const RUN_FILE: &str = "run.json";
/// The report that `c4 report` writes.
pub(crate) const REPORT_FILE: &str = "report.html";
/// The generator that the head of a report's HTML names: a build that replaces a corpus removes a report that has it.
pub(crate) const REPORT_GENERATOR: &str = "c4 report";
/// The dataset card that `c4 card` writes.
pub(crate) const CARD_FILE: &str = "README.md";
/// Stands in every dataset card of this program: a file without it was written by someone else.
pub const CARD_MARK: &str = "<!-- Written by `c4 card`, which replaces this file as long as this line is in it. -->";
/// The work folder in the output folder: a name that nobody else uses.
const WORK: &str = "_c4_work";
const MARKER: &str = "build.json";
/// In it: what is between the passes, if no other folder is named.
const SPOOLS: &str = "spools";
/// Locked by the process that builds; the lock dies with it.
const LOCK: &str = "lock";
/// All that is ever in the work folder.
const WORK_ENTRIES: [&str; 7] = [LOCK, MARKER, REPLACING, SPOOLS, "shards", "whole", "ledger"];
/// Ends the names of files that say what is in a file of the corpus that is whole.
const DONE: &str = ".done";
/// There when the old corpus is gone and the new one takes its place.
const REPLACING: &str = "replacing";
/// Files of the work folder that are written by way of temporary ones.
const OWN_FILES: [&str; 2] = [MARKER, REPLACING];
/// Version of the work folder's files; another one cannot go on with them.
const WORK_VERSION: u32 = 4;

/// What the mark in a work folder says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    program: String,
    work_version: u32,
    /// Where the files between the passes are; `None`: below the mark.
    work: Option<PathBuf>,
    #[serde(flatten)]
    identity: Identity,
}

impl Mark {
    fn new(identity: &Identity, work: Option<PathBuf>) -> Mark {
        Mark {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            work_version: WORK_VERSION,
            work,
            identity: identity.clone(),
        }
    }

    /// Whether it is of this build, and of a program that can go on with it.
    fn is_of(&self, identity: &Identity) -> bool {
        *self == Mark::new(identity, self.work.clone())
    }

    /// Where the files between the passes are; `own` is the folder of the mark.
    fn folder(&self, own: &Path) -> PathBuf {
        self.work.clone().unwrap_or_else(|| own.join(SPOOLS))
    }

    /// That of a work folder; `None` if there is none that can be gone on with.
    fn read(work: &Path) -> Result<Option<Mark>, DataError> {
        let json = atomic_file::read_if_there(&work.join(MARKER))?;
        Ok(json.and_then(|json| serde_json::from_slice(&json).ok()))
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
    /// The archives.
    pub inputs: Vec<InputIdentity>,
}

/// What tells an archive from another of its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputIdentity {
    /// Its name in the corpus.
    pub name: String,
    /// Its size; 0: not known before it is fetched.
    pub bytes: u64,
    /// [`Input::stamp`](crate::input::Input::stamp); empty: not known.
    pub stamp: String,
}

impl InputIdentity {
    /// Whether these are two archives, or one that has changed, as far as they tell.
    fn differs(&self, other: &InputIdentity) -> bool {
        let (bytes, stamps) = ([self.bytes, other.bytes], [&self.stamp, &other.stamp]);
        self.name != other.name
            || (bytes[0] != bytes[1] && !bytes.contains(&0))
            || (stamps[0] != stamps[1] && stamps.iter().all(|stamp| !stamp.is_empty()))
    }
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
pub(crate) struct Output {
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
    /// What stands for the build in what is there.
    pub key: u64,
    /// The folder in the output folder that is ours until the end.
    own: PathBuf,
    /// Files that are to be replaced.
    old: Vec<String>,
    /// Held as long as the build runs.
    lock: File,
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
        let mut pairs = self.inputs.iter().zip(&other.inputs);
        let differs = pairs.find(|(ours, theirs)| ours.differs(theirs));
        match differs {
            Some((ours, theirs)) if ours.name == theirs.name => {
                let name = &ours.name;
                return Some(format!("other inputs ({name} has changed, or is another one)"));
            }
            None if self.inputs.len() == other.inputs.len() => {}
            _ => return Some(format!("other inputs ({} archives)", other.inputs.len())),
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
        let input = |entry: &InputEntry| InputIdentity {
            name: entry.archive.clone(),
            bytes: entry.bytes,
            stamp: String::new(),
        };
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
    if dir.to_str().is_some_and(is_url) {
        let reason = "is a URL, and corpora are written to folders of this machine; copy it there when it is done";
        return refuse(reason.into());
    }
    match fs::metadata(dir) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Found::Free(Vec::new())),
        Err(e) => return Err(DataError::io(dir, "open")(e).into()),
        Ok(metadata) if !metadata.is_dir() => return refuse("is a file, not a folder".into()),
        Ok(_) => {}
    }
    let manifest = match Manifest::read(dir) {
        Ok(manifest) => manifest,
        Err(error @ DataError::Io { .. }) => return Err(error.into()),
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
        return refuse(format!("{WORK}/{name} is no file of a build; choose another folder"));
    }
    let marker = Mark::read(&work)?.map(|mark| mark.identity);

    // Shards that a build has written: those of the manifest, or of a build that was stopped while
    // it moved them to their place.
    let mut ours: Vec<String> = Vec::new();
    ours.extend(manifest.iter().flat_map(|m| &m.shards).map(|shard| shard.file.clone()));
    let files = manifest.iter().flat_map(|m| &m.ledger.files);
    ours.extend(files.map(|file| file.file.clone()));
    if marker.is_some() {
        ours.extend(names(dir)?.into_iter().filter(|name| Format::is_shard_name(name)));
        let names = names(&dir.join(ledger::LEDGER_FOLDER))?.into_iter();
        let names = names.filter(|name| ledger::Table::is_file_name(name));
        ours.extend(names.map(|name| format!("{}/{name}", ledger::LEDGER_FOLDER)));
    }
    if overwrite {
        return Ok(Found::Free(ours));
    }
    let finished = manifest.as_ref().map(|manifest| {
        let mut identity = Identity::from(manifest);
        for (input, stamp) in identity.inputs.iter_mut().zip(stamps(dir)) {
            input.stamp = stamp;
        }
        identity
    });
    match (finished, marker) {
        // Stopped after the manifest was written, or never stopped.
        (Some(finished), marker)
            if marker
                .as_ref()
                .is_none_or(|marker| marker.difference(&finished).is_none()) =>
        {
            match identity.difference(&finished) {
                None => {
                    let whole = |m: &Manifest| {
                        let shards = m.shards.iter().map(|s| (&s.file, s.bytes));
                        let ledger = m.ledger.files.iter().map(|f| (&f.file, f.bytes));
                        shards
                            .chain(ledger)
                            .all(|(file, bytes)| is_whole(&dir.join(file), bytes))
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

/// What `run.json` says of a finished build's inputs; nothing if it is not there.
fn stamps(dir: &Path) -> Vec<String> {
    let json = fs::read(dir.join(RUN_FILE)).ok();
    let run: Option<serde_json::Value> = json.and_then(|json| serde_json::from_slice(&json).ok());
    let stamps = run.and_then(|mut run| serde_json::from_value(run["input_stamps"].take()).ok());
    stamps.unwrap_or_default()
}

/// Whether a build has begun in a folder, or is done there and stays.
pub(crate) fn is_begun(dir: &Path, overwrite: bool) -> bool {
    let done = dir.join(Manifest::FILE).exists();
    dir.join(WORK).join(MARKER).exists() || (done && !overwrite)
}

/// Whether `name` is that of a temporary file of [`atomic_file::write_atomic`] for one of `files`.
fn is_temporary(name: &str, files: &[&str]) -> bool {
    let middle = name.strip_prefix('.').and_then(|name| name.strip_suffix(".tmp"));
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

/// A file of the corpus, as its writer noted it.
pub(crate) struct WrittenFile<'a> {
    /// Its path in the folder of the corpus.
    pub file: &'a str,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its content, in hexadecimal digits.
    pub sha256: &'a str,
}

/// Whether a file is there, in its size.
fn is_whole(path: &Path, bytes: u64) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.len() == bytes)
}

/// When a file was last written to, in nanoseconds since 1970; 0 where the file system does not say.
fn last_changed(path: &Path) -> Result<u64, Error> {
    let metadata = fs::metadata(path).map_err(DataError::io(path, "read"))?;
    let changed = metadata.modified().ok();
    let since = changed.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    Ok(since.map_or(0, |since| since.as_nanos() as u64))
}

/// Whether the open file is the one at `path`, and not one that was there.
///
/// # Errors
/// The file system does not tell.
fn is_at(file: &File, path: &Path) -> Result<bool, DataError> {
    let there = match fs::metadata(path) {
        Ok(there) => there,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(DataError::io(path, "read")(e)),
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let inode = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let open = file.metadata().map_err(DataError::io(path, "read"))?;
        Ok(inode(open) == inode(there))
    }
    #[cfg(not(unix))]
    {
        let _ = (file, there);
        Ok(true)
    }
}

impl Output {
    /// Makes the folders and leaves a mark, or takes up those of the same build. Nothing of an earlier
    /// corpus changes yet.
    ///
    /// # Errors
    /// What [`inspect`] refuses; a folder that cannot be written; another build at work here.
    pub(crate) fn prepare(
        dir: &Path,
        work: Option<&Path>,
        identity: &Identity,
        overwrite: bool,
    ) -> Result<Output, Error> {
        let own = dir.join(WORK);
        let work = match work {
            // A folder of its own below the one that was named, which may hold other things.
            Some(work) => {
                atomic_file::create_folder(work).map_err(DataError::io(work, "create"))?;
                let absolute = |path: &Path| std::path::absolute(path).unwrap_or(path.to_owned());
                let key = format!("{} {}", absolute(dir).display(), identity.key());
                let name = format!("c4-{}", &atomic_file::sha256_hex(key.as_bytes())[..16]);
                Some(absolute(&work.join(name)))
            }
            None => None,
        };
        atomic_file::create_folder(&own).map_err(DataError::io(&own, "create"))?;
        let lock_path = own.join(LOCK);
        let lock = File::create(&lock_path).map_err(DataError::io(&lock_path, "create"))?;
        let busy = || Error::Output {
            path: dir.to_owned(),
            reason: "another build is writing here; wait for it, or choose another folder".into(),
        };
        let locked = lock.try_lock();
        // One that has just ended takes its lock with it.
        if matches!(locked, Err(TryLockError::WouldBlock)) || !is_at(&lock, &lock_path)? {
            return Err(busy());
        }
        if let Err(TryLockError::Error(cause)) = locked {
            let path = lock_path.display();
            tracing::warn!("{path}: cannot lock ({cause}); let no other build write here");
        }
        // Nobody else writes here from now on; before, somebody may have.
        let Found::Free(old) = inspect(dir, identity, overwrite)? else {
            return Err(busy());
        };
        let before = Mark::read(&own)?;
        let goes_on = before.as_ref().is_some_and(|before| before.is_of(identity));
        let work = match &before {
            Some(before) if goes_on && before.folder(&own).is_dir() => {
                if before.work != work {
                    let folder = before.folder(&own);
                    tracing::info!("goes on in {}, where it began", folder.display());
                }
                before.work.clone()
            }
            Some(before) => {
                remove_folder(&before.folder(&own))?;
                work
            }
            None => work,
        };
        let mark = Mark::new(identity, work);
        let output = Output {
            dir: dir.to_owned(),
            partial: own.join("shards"),
            whole: own.join("whole"),
            ledger: own.join("ledger"),
            work: mark.folder(&own),
            key: xxh3_64(identity.key().as_bytes()),
            own,
            old,
            lock,
        };
        if !goes_on {
            for folder in [&output.whole, &output.ledger, &output.work] {
                remove_folder(folder)?;
            }
            remove(&output.own.join(REPLACING))?;
        }
        if before.as_ref() != Some(&mark) {
            let json = serde_json::to_vec_pretty(&mark).unwrap_or_default();
            atomic_file::write_atomic(&output.own.join(MARKER), &json)?;
        }
        remove_folder(&output.partial)?;
        for folder in [&output.partial, &output.whole, &output.ledger, &output.work] {
            atomic_file::create_folder(folder).map_err(DataError::io(folder, "create"))?;
        }
        remove_partial(&output.work)?;
        Ok(output)
    }

    /// Takes away what passes after the first have left.
    ///
    /// # Errors
    /// The work folder cannot be written.
    pub(crate) fn keep_archives_only(&self) -> Result<(), Error> {
        for name in names(&self.work)? {
            let path = self.work.join(&name);
            if path.is_file() && !ArchiveEntry::is_of_pass_1(&name) {
                remove(&path)?;
            }
        }
        for folder in [&self.whole, &self.ledger] {
            remove_folder(folder)?;
            atomic_file::create_folder(folder).map_err(DataError::io(folder, "create"))?;
        }
        Ok(())
    }

    /// What was noted with [`set_done`](Output::set_done) when the file `name` was whole; `None` if it is
    /// not, was made of something else than `origin` stands for, or `files`, which were written with it into `folder`,
    /// are not there as they were. A file that was written to since, or copied, is read and compared with its checksum.
    ///
    /// # Errors
    /// The work folder cannot be read.
    pub(crate) fn done<T: DeserializeOwned>(
        &self,
        name: &str,
        origin: u64,
        folder: &Path,
        files: impl Fn(&T) -> Vec<WrittenFile<'_>>,
    ) -> Result<Option<T>, Error> {
        let path = self.whole.join(format!("{name}{DONE}"));
        let Some(json) = atomic_file::read_if_there(&path)? else {
            return Ok(None);
        };
        let Ok((its_origin, what, changed)) = serde_json::from_slice::<(u64, T, Vec<u64>)>(&json) else {
            return Ok(None);
        };
        if its_origin != origin {
            return Ok(None);
        }
        for (file, changed) in files(&what).iter().zip(changed) {
            let Some(path) = self.written(folder, file.file, file.bytes) else {
                return Ok(None);
            };
            if last_changed(&path)? != changed && atomic_file::sha256_file(&path)? != file.sha256 {
                return Ok(None);
            }
        }
        Ok(Some(what))
    }

    /// Where a file of the corpus is, in its size: in `folder`, where it was written, or in its place.
    fn written(&self, folder: &Path, file: &str, bytes: u64) -> Option<PathBuf> {
        let name = Path::new(file).file_name().unwrap_or_default();
        let (waiting, placed) = (folder.join(name), self.dir.join(file));
        match is_whole(&waiting, bytes) {
            true => Some(waiting),
            false if self.own.join(REPLACING).exists() => Some(placed).filter(|placed| is_whole(placed, bytes)),
            false => None,
        }
    }

    /// Notes that the file `name` is whole: what there is to know of it, and of `files`, which were written with it
    /// into `folder`.
    ///
    /// # Errors
    /// The work folder cannot be written.
    pub(crate) fn set_done<T: Serialize>(
        &self,
        name: &str,
        origin: u64,
        what: &T,
        folder: &Path,
        files: impl Fn(&T) -> Vec<WrittenFile<'_>>,
    ) -> Result<(), Error> {
        let changed = files(what).into_iter().map(|file| {
            let name = Path::new(file.file).file_name().unwrap_or_default();
            last_changed(&folder.join(name))
        });
        let changed = changed.collect::<Result<Vec<u64>, Error>>()?;
        let json = serde_json::to_vec(&(origin, what, changed)).unwrap_or_default();
        let path = self.whole.join(format!("{name}{DONE}"));
        Ok(atomic_file::write_atomic(&path, &json)?)
    }

    /// How many files are.
    ///
    /// # Errors
    /// The work folder cannot be read.
    pub(crate) fn entries_done(&self) -> Result<usize, Error> {
        let names = names(&self.whole)?;
        Ok(names.iter().filter(|name| name.ends_with(DONE)).count())
    }

    /// Puts the finished shards and the ledger in the place of what was there.
    ///
    /// # Errors
    /// The output folder cannot be written.
    pub(crate) fn replace(&self, manifest: &Manifest) -> Result<(), Error> {
        if !is_at(&self.lock, &self.own.join(LOCK))? {
            return Err(Error::Output {
                path: self.own.clone(),
                reason: "was removed while the build ran, and another one may write here now; what is done is lost, and the \
                         same command begins anew"
                    .into(),
            });
        }
        let replacing = self.own.join(REPLACING);
        let folder = self.dir.join(ledger::LEDGER_FOLDER);
        let begun = replacing.try_exists();
        if !begun.map_err(DataError::io(&replacing, "read"))? {
            // Without its manifest the old corpus is none; the mark says what comes instead.
            remove(&self.dir.join(Manifest::FILE))?;
            for name in &self.old {
                remove(&self.dir.join(name))?;
            }
            // What was told of the old corpus goes with it.
            remove_with(&self.dir.join(REPORT_FILE), REPORT_GENERATOR)?;
            remove_with(&self.dir.join(CARD_FILE), CARD_MARK)?;
            for folder in [&self.dir, &folder].into_iter().filter(|folder| folder.is_dir()) {
                atomic_file::sync_folder(folder).map_err(DataError::io(folder, "sync"))?;
            }
            atomic_file::write_atomic(&replacing, b"")?;
        }
        for shard in &manifest.shards {
            self.put(&self.whole, &shard.file, shard.bytes)?;
        }
        if manifest.ledger.files.is_empty() {
            // It stays if it holds files of others.
            let _ = fs::remove_dir(&folder);
        } else {
            atomic_file::create_folder(&folder).map_err(DataError::io(&folder, "create"))?;
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
        let name = target.file_name().unwrap_or_default();
        let source = from.join(name);
        // Whatever has done this.
        if self.written(from, file, bytes).is_none() {
            return Err(Error::Output {
                path: source,
                reason: format!(
                    "is gone, or not of the {bytes} bytes that it was written with; the same command writes it again"
                ),
            });
        }
        match atomic_file::rename(&source, &target) {
            Err(e) if e.kind() == ErrorKind::NotFound && is_whole(&target, bytes) => Ok(()),
            renamed => Ok(renamed.map_err(DataError::io(&target, "rename"))?),
        }
    }

    /// Takes the work folders away; called after the manifest is written.
    ///
    /// # Errors
    /// They cannot be removed.
    pub(crate) fn clear(&self) -> Result<(), Error> {
        // Of a build that was killed while it wrote one of these.
        for name in names(&self.dir)? {
            if is_temporary(&name, &[Stats::FILE, RUN_FILE, Manifest::FILE]) {
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
pub(crate) fn clear_work(dir: &Path) -> Result<(), Error> {
    let work = dir.join(WORK);
    let left = names(&work)?;
    let left = left.iter().filter(|name| is_temporary(name, &OWN_FILES));
    // The mark goes last.
    for name in left.map(String::as_str).chain(WORK_ENTRIES.into_iter().rev()) {
        let path = work.join(name);
        match fs::symlink_metadata(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Ok(metadata) if metadata.is_dir() => remove_folder(&path)?,
            Ok(_) => remove(&path)?,
            Err(e) => return Err(DataError::io(&path, "remove")(e).into()),
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
        atomic_file::sha256_hex(&serde_json::to_vec(self).unwrap_or_default())
    }
}

/// Whether a text file is ours, told by a mark in its beginning.
pub(crate) fn is_with(path: &Path, mark: &str) -> bool {
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
