//! The output folder: what is in it, whether it may be written to, and the files beside the shards.
//!
//! A build is done when `manifest.json` exists and no mark of an unfinished build does. Until then
//! everything is in a work folder of its own; shards move to their place when all of them are whole,
//! so that a corpus that is to be replaced is kept until its successor is ready. Only files that a
//! build is known to have written are ever removed.

mod files;
mod finished;
mod folder;
mod identity;
mod inspect;

pub(crate) use files::is_with;
pub(crate) use finished::{checked_file, finished, read_stats};
pub(crate) use folder::{OutputFolder, WrittenFile, clear_work};
pub(crate) use identity::{Identity, InputIdentity};
pub(crate) use inspect::{OutputState, inspect};

use c4_data::Manifest;
use std::path::Path;

/// The file of what differs from one run to the next: times, memory, threads.
pub(crate) const RUN_FILE: &str = "run.json";
/// The file of the report that `c4 report` writes.
pub(crate) const REPORT_FILE: &str = "report.html";
/// The generator that the head of a report's HTML names: a build that replaces a corpus removes a report that has it.
pub(crate) const REPORT_GENERATOR: &str = "c4 report";
/// The file of the dataset card that `c4 card` writes.
pub(crate) const CARD_FILE: &str = "README.md";
/// The line in every dataset card of this program: a file without it was written by someone else.
pub const CARD_MARK: &str = "<!-- Written by `c4 card`, which replaces this file as long as this line is in it. -->";
/// The name of the work folder in the output folder, which nobody else uses.
const WORK: &str = "_c4_work";
/// The file of the [`Mark`](identity::Mark).
const MARKER: &str = "build.json";
/// The folder of work files in the work folder, if no other one is named.
const WORK_FILES: &str = "spools";
/// The file that is locked by the process that builds; the lock ends with the process.
const LOCK: &str = "lock";
/// The names of all that is ever in the work folder.
const WORK_ENTRIES: [&str; 7] = [LOCK, MARKER, REPLACING, WORK_FILES, "shards", "whole", "ledger"];
/// The extension of files that say what is in a file of the corpus that is whole.
const DONE: &str = ".done";
/// The file that exists while a new corpus takes the place of the old one, which is gone.
const REPLACING: &str = "replacing";
/// The files of the work folder that are written by way of temporary ones.
const OWN_FILES: [&str; 2] = [MARKER, REPLACING];
/// The version of the work folder's files; a program of another version cannot resume with them.
const WORK_VERSION: u32 = 5;

/// Whether a build has begun in a folder, or is done there and not to be replaced.
pub(crate) fn is_begun(dir: &Path, overwrite: bool) -> bool {
    let done = dir.join(Manifest::FILE).exists();
    dir.join(WORK).join(MARKER).exists() || (done && !overwrite)
}
