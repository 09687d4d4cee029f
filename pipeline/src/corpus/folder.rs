//! The folders of a build: locked, marked, filled, and in the end put in the place of an older corpus.

use super::files::{is_at, is_temporary, is_whole, last_changed, names, remove, remove_folder, remove_with};
use super::identity::{Identity, Mark};
use super::inspect::{OutputState, inspect};
use super::{
    CARD_FILE, CARD_MARK, DONE, LOCK, MARKER, OWN_FILES, REPLACING, REPORT_FILE, REPORT_GENERATOR, RUN_FILE, WORK,
    WORK_ENTRIES,
};
use crate::error::Error;
use crate::runtime::stop;
use crate::work::remove_partial;
use crate::work::segment::ArchiveEntry;
use c4_data::{Error as DataError, Manifest, Stats, atomic_file, ledger};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

/// The output folder of a build and the folders that it works in; locked as long as this value lives.
#[derive(Debug)]
pub(crate) struct OutputFolder {
    /// The output folder.
    pub dir: PathBuf,
    /// The folder of unfinished shards; on the output's file system.
    pub partial: PathBuf,
    /// The folder of finished shards, until all are.
    pub whole: PathBuf,
    /// The folder of the ledger, until all of it is written.
    pub ledger: PathBuf,
    /// The folder of work files.
    pub work: PathBuf,
    /// The hash of the build's [`Identity`], which its work files name.
    pub key: u64,
    /// The work folder in the output folder, which is ours until the end.
    own: PathBuf,
    /// The files of an older corpus that are to be replaced.
    old: Vec<String>,
    /// The lock on the output folder, held as long as the build runs.
    lock: File,
}

/// A file of the corpus, as it was when it was written.
pub(crate) struct WrittenFile<'a> {
    /// The file's path in the folder of the corpus.
    pub file: &'a str,
    pub bytes: u64,
    /// The SHA-256 of the file's content, in hexadecimal digits.
    pub sha256: &'a str,
}

impl OutputFolder {
    /// Makes the folders and leaves a mark, or uses those that the same build has made before. Nothing of an earlier
    /// corpus changes yet.
    ///
    /// # Errors
    /// [`inspect`] refuses the output folder, a folder cannot be written, or another build is at work here.
    pub(crate) fn prepare(
        dir: &Path,
        work: Option<&Path>,
        identity: &Identity,
        overwrite: bool,
    ) -> Result<OutputFolder, Error> {
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
        // A build that has just ended removes its lock.
        if matches!(locked, Err(TryLockError::WouldBlock)) || !is_at(&lock, &lock_path)? {
            return Err(busy());
        }
        if let Err(TryLockError::Error(cause)) = locked {
            let path = lock_path.display();
            tracing::warn!("{path}: cannot lock ({cause}); let no other build write here");
        }
        // Nobody else writes here from now on; before, somebody may have.
        let OutputState::Free(old) = inspect(dir, identity, overwrite)? else {
            return Err(busy());
        };
        let before = Mark::read(&own)?;
        let resumes = before.as_ref().is_some_and(|before| before.is_of(identity));
        let work = match &before {
            Some(before) if resumes && before.folder(&own).is_dir() => {
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
        let output = OutputFolder {
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
        if !resumes {
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

    /// Removes what passes after the first have left.
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

    /// What was noted with [`set_done`](OutputFolder::set_done) when the file `name` was whole. `None` if it is not,
    /// if it was made of something else than what has the hash `origin`, or if `files`, which were written with it into
    /// `folder`, are not there as they were. A file that was written to since, or copied, is read and compared with its
    /// checksum.
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
        let Ok((noted_origin, what, changed)) = serde_json::from_slice::<(u64, T, Vec<u64>)>(&json) else {
            return Ok(None);
        };
        if noted_origin != origin {
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

    /// The path of a file of the corpus that has `bytes` bytes: in `folder`, where it was written, or in its place.
    fn written(&self, folder: &Path, file: &str, bytes: u64) -> Option<PathBuf> {
        let name = Path::new(file).file_name().unwrap_or_default();
        let (waiting, placed) = (folder.join(name), self.dir.join(file));
        match is_whole(&waiting, bytes) {
            true => Some(waiting),
            false if self.own.join(REPLACING).exists() => Some(placed).filter(|placed| is_whole(placed, bytes)),
            false => None,
        }
    }

    /// Notes that the file `name` is whole, with `what` there is to know of it, and when `files`, which were written
    /// with it into `folder`, were last changed.
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

    /// The number of files that were noted as whole.
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
            // What was written about the old corpus is removed with it.
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
            // Other people's files in the folder keep it.
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

    /// Removes the work folders; called after the manifest is written.
    ///
    /// # Errors
    /// A folder cannot be removed.
    pub(crate) fn clear(&self) -> Result<(), Error> {
        // A build that was killed while it wrote one of these has left a temporary file.
        for name in names(&self.dir)? {
            if is_temporary(&name, &[Stats::FILE, RUN_FILE, Manifest::FILE]) {
                remove(&self.dir.join(name))?;
            }
        }
        remove_folder(&self.work)?;
        clear_work(&self.dir)
    }
}

/// Removes what a finished build may have left of its work folder.
///
/// # Errors
/// The work folder cannot be removed.
pub(crate) fn clear_work(dir: &Path) -> Result<(), Error> {
    let work = dir.join(WORK);
    let left = names(&work)?;
    let left = left.iter().filter(|name| is_temporary(name, &OWN_FILES));
    // The mark is removed last.
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
