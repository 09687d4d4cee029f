//! Whether an output folder may be written to.

use super::files::{is_temporary, is_whole, names};
use super::identity::{Identity, Mark};
use super::{OWN_FILES, RUN_FILE, WORK, WORK_ENTRIES};
use crate::error::Error;
use crate::remote::is_url;
use c4_data::{Error as DataError, Format, Manifest, ledger};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// What an output folder holds: the corpus that is asked for, or nothing that keeps a build from writing it.
#[derive(Debug)]
pub(crate) enum OutputState {
    /// The very corpus that is asked for, finished; its manifest.
    Finished(Box<Manifest>),
    /// Nothing, an unfinished build, or a corpus to be replaced, whose files in the folder these are.
    Free(Vec<String>),
}

/// Finds out what an output folder holds, before anything is changed.
///
/// # Errors
/// The folder holds something else: another build without `overwrite`, or files of other kinds; or it cannot be read.
pub(crate) fn inspect(dir: &Path, identity: &Identity, overwrite: bool) -> Result<OutputState, Error> {
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
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(OutputState::Free(Vec::new())),
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
        return Ok(OutputState::Free(ours));
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
                    let done = manifest.map(|manifest| OutputState::Finished(Box::new(manifest)));
                    Ok(done.unwrap_or(OutputState::Free(ours)))
                }
                Some(other) => refuse(format!(
                    "holds a corpus of {other}; choose another folder, or replace it with \
                     --overwrite"
                )),
            }
        }
        (_, Some(unfinished)) => match identity.difference(&unfinished) {
            None => Ok(OutputState::Free(ours)),
            Some(other) => refuse(format!(
                "holds an unfinished build of {other}; choose another folder, or replace it with \
                 --overwrite"
            )),
        },
        (_, None) => {
            if names(dir)?.iter().all(|name| name == WORK) {
                return Ok(OutputState::Free(ours));
            }
            refuse(
                "is not empty and holds no corpus; choose another folder, or write into it with \
                 --overwrite (other files in it stay)"
                    .into(),
            )
        }
    }
}

/// The stamps of a finished build's inputs by its `run.json`; none if that is missing.
fn stamps(dir: &Path) -> Vec<String> {
    let json = fs::read(dir.join(RUN_FILE)).ok();
    let run: Option<serde_json::Value> = json.and_then(|json| serde_json::from_slice(&json).ok());
    let stamps = run.and_then(|mut run| serde_json::from_value(run["input_stamps"].take()).ok());
    stamps.unwrap_or_default()
}
