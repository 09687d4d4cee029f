//! The commands: what the user types, and what is printed. What they do is in the library.

pub(crate) mod eval;
pub(crate) mod export;
pub(crate) mod generate;
pub(crate) mod import;
pub(crate) mod inspect;
pub(crate) mod output;
pub(crate) mod plot;
pub(crate) mod pretrain;
mod settings;
pub(crate) mod tokenize;
pub(crate) mod vocab;

use anyhow::Context;
use std::path::{Path, PathBuf};
use t5_trainer::checkpoint::{self, Checkpoint};
use t5_trainer::{Vocab, run};

/// A checkpoint that a user named: a run's folder (its last one), or the checkpoint's own.
pub(crate) struct Named {
    pub path: PathBuf,
    pub note: Checkpoint,
    pub vocab: Vocab,
}

impl Named {
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Named> {
        let checkpoints = checkpoint::list(&folder.join(run::CHECKPOINTS))?;
        let (path, owner) = match checkpoints.last() {
            Some((_, path)) => (path.clone(), Some(folder.to_owned())),
            None => {
                let absolute = std::path::absolute(folder)?;
                let owner = absolute.parent().and_then(Path::parent);
                (folder.to_owned(), owner.map(Path::to_owned))
            }
        };
        let note = Checkpoint::read(&path).with_context(|| {
            format!(
                "{}: no run of `t5 pretrain`, and no checkpoint of one",
                folder.display()
            )
        })?;
        let owner = owner.unwrap_or_default();
        let vocab = note.vocab(&owner.join(run::VOCAB))?;
        Ok(Named { path, note, vocab })
    }
}
