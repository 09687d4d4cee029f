//! The output folder: what is in it, whether it may be written, and the files beside the shards.
//!
//! A build is done when `manifest.json` exists; it is written last. Until then `work/build.json`
//! says whose folder it is.

use crate::error::Error;
use c4_data::{Error as DataError, Format, InputEntry, Manifest, fs as c4_fs};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// File names of a finished corpus besides its shards.
const FILES: [&str; 3] = [Manifest::FILE, STATS_FILE, RUN_FILE];
/// Counters and tally.
pub const STATS_FILE: &str = "stats.json";
/// What is not the same twice: times, memory, threads.
pub const RUN_FILE: &str = "run.json";
const WORK: &str = "work";
const MARKER: &str = "build.json";

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
    /// Names and sizes of the archives.
    pub inputs: Vec<(String, u64)>,
}

/// What stands in the output folder.
#[derive(Debug)]
pub enum Found {
    /// The very corpus that is asked for, finished.
    Finished(Box<Manifest>),
    /// Nothing, or an unfinished build of the same: free to be written.
    Free,
}

/// The folders of a build.
#[derive(Debug)]
pub struct Output {
    /// The output folder.
    pub dir: PathBuf,
    /// For shards that are not finished; on the output's file system.
    pub partial: PathBuf,
    /// For spools.
    pub work: PathBuf,
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
        if self.inputs != other.inputs {
            return Some(format!("other inputs ({} archives)", other.inputs.len()));
        }
        if (self.format, self.shard_size_bytes) != (other.format, other.shard_size_bytes) {
            return Some("another format or shard size".to_owned());
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
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Found::Free),
        Err(e) => return Err(DataError::io(dir, "open")(e).into()),
        Ok(metadata) if !metadata.is_dir() => return refuse("is a file, not a folder".into()),
        Ok(_) => {}
    }
    if overwrite {
        return Ok(Found::Free);
    }
    if let Some(manifest) = Manifest::read(dir)? {
        return match identity.difference(&Identity::from(&manifest)) {
            None => Ok(Found::Finished(Box::new(manifest))),
            Some(other) => refuse(format!(
                "holds a corpus of {other}; choose another folder, or replace it with --overwrite"
            )),
        };
    }
    let marker = dir.join(WORK).join(MARKER);
    if let Ok(bytes) = fs::read(&marker) {
        let unfinished: Option<Identity> = serde_json::from_slice(&bytes).ok();
        return match unfinished.as_ref().map(|other| identity.difference(other)) {
            Some(None) | None => Ok(Found::Free),
            Some(Some(other)) => refuse(format!(
                "holds an unfinished build of {other}; choose another folder, or replace it with \
                 --overwrite"
            )),
        };
    }
    let mut entries = fs::read_dir(dir).map_err(DataError::io(dir, "list"))?;
    match entries.next() {
        None => Ok(Found::Free),
        Some(_) => refuse(
            "is not empty and holds no corpus; choose another folder, or write into it with \
             --overwrite (other files in it stay)"
                .into(),
        ),
    }
}

impl Output {
    /// Makes the folders, takes away what an earlier build has left, and leaves a mark.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn prepare(dir: &Path, work: Option<&Path>, identity: &Identity) -> Result<Output, Error> {
        let own_work = dir.join(WORK);
        fs::create_dir_all(&own_work).map_err(DataError::io(&own_work, "create"))?;
        // The manifest goes first: from here on the folder is unfinished.
        for file in FILES {
            remove(&dir.join(file))?;
        }
        let json = serde_json::to_vec_pretty(identity).unwrap_or_default();
        c4_fs::write_atomic(&own_work.join(MARKER), &json)?;
        for entry in fs::read_dir(dir).map_err(DataError::io(dir, "list"))? {
            let entry = entry.map_err(DataError::io(dir, "list"))?;
            if Format::is_shard_name(&entry.file_name().to_string_lossy()) {
                remove(&entry.path())?;
            }
        }
        let work = match work {
            // A folder of its own below the one that was named, which may hold other things.
            Some(work) => work.join(format!("c4-{}", &identity.key()[..16])),
            None => own_work.join("spools"),
        };
        let output = Output {
            dir: dir.to_owned(),
            partial: own_work.join("shards"),
            work,
        };
        for folder in [&output.partial, &output.work] {
            if folder.exists() {
                fs::remove_dir_all(folder).map_err(DataError::io(folder, "empty"))?;
            }
            fs::create_dir_all(folder).map_err(DataError::io(folder, "create"))?;
        }
        Ok(output)
    }

    /// Takes the work folders away; called after the manifest is written.
    ///
    /// # Errors
    /// They cannot be removed.
    pub fn clear(&self) -> Result<(), Error> {
        for folder in [&self.work, &self.dir.join(WORK)] {
            if folder.exists() {
                fs::remove_dir_all(folder).map_err(DataError::io(folder, "remove"))?;
            }
        }
        Ok(())
    }
}

impl Identity {
    fn key(&self) -> String {
        c4_fs::sha256_hex(&serde_json::to_vec(self).unwrap_or_default())
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(DataError::io(path, "remove")(e).into())
        }
        _ => Ok(()),
    }
}
