//! A run that ends before its first step leaves nothing behind.

use super::checkpoint::BASE;
use super::{CHECKPOINTS, LOCK, METRICS, VOCAB, tensorboard};
use crate::rows::sizes;
use std::fs;
use std::path::{Path, PathBuf};

/// What a new run makes in its folder before its first step: what was not there before.
#[derive(Debug)]
pub(super) struct Begun {
    folder: PathBuf,
    /// Files and folders, in the order of removal.
    new: Vec<PathBuf>,
    has_older_events: bool,
}

impl Begun {
    /// To be called before anything is made.
    pub fn new(folder: &Path) -> Begun {
        let inside = [VOCAB, METRICS, CHECKPOINTS, BASE, sizes::FILE, LOCK].map(|name| folder.join(name));
        let inside = inside.into_iter().filter(|path| !path.exists());
        let parents = folder
            .ancestors()
            .take_while(|path| !path.as_os_str().is_empty() && !path.exists());
        Begun {
            folder: folder.to_owned(),
            new: inside.chain(parents.map(Path::to_owned)).collect(),
            has_older_events: tensorboard::list(folder).is_ok_and(|events| !events.is_empty()),
        }
    }

    /// Removes all of it, folders only where they are empty. The error that ended the run is the one to tell.
    pub fn remove(&self) {
        if !self.has_older_events {
            let _ = tensorboard::remove(&self.folder);
        }
        for path in &self.new {
            let _ = match path.is_dir() {
                true => fs::remove_dir(path),
                false => fs::remove_file(path),
            };
        }
    }
}
