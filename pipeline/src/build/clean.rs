//! Pass 1: read every archive, run the rules that look at one page alone, note keys.
//!
//! An archive is a unit of work: its pages are written to segments ([`segment`]), with the counts of their
//! lines and with their dedup keys; what is known of the archive as a whole is in an [`ArchiveEntry`] that
//! is written last. What the rules counted is kept with the page, since whether it counts at all
//! (only the newest page of a URL does) is known when all archives have been read.
//!
//! Several recipes may be applied at once: archives are read, and HTML is extracted, once.

mod target_pass;

pub(crate) use target_pass::Target;

use crate::error::Error;
use crate::input::{FileState, Input, Location};
use crate::read::outcome::Split;
use crate::read::{self, Batch, OpenSource};
use crate::remote::{FetchedFile, Fetcher};
use crate::runtime::memory::Memory;
use crate::runtime::parallel::{self, Job, lock};
use crate::runtime::stop;
use crate::terminal::progress::Progress;
use crate::work::segment::{self, ArchiveEntry};
use c4_filters::ArchiveKind;
use std::sync::Mutex;
use target_pass::{CleanedBatch, OpenArchive, TargetPass};

/// The message for an archive that was written to while the build ran.
const CHANGED: &str = "has changed or was replaced while it was read, so what is kept of it may be of neither version; \
                       build again with --overwrite when nobody writes to it";

/// The message for an archive whose state cannot be read a second time.
const UNSURE: &str = "cannot be looked at again after it was read, so it may have changed";

struct CleanPass<'a> {
    inputs: &'a [Input],
    /// The numbers of the archives that are to be read.
    todo: &'a [usize],
    fetcher: &'a Fetcher,
    /// The state of each of them before any was read.
    before: Vec<Option<FileState>>,
    /// Archives that could not be fetched, and why.
    missing: Mutex<Vec<Missing>>,
    targets: Vec<TargetPass<'a>>,
    memory: Memory,
    progress: &'a Progress,
}

/// Reads the archives `todo`, which are not done for every target. All targets read alike
/// ([`Recipe::read`](c4_data::Recipe::read)). Returns the archives that could not be fetched.
///
/// # Errors
/// A work folder cannot be written, or the build is asked to stop. An archive that cannot be read is
/// no error: that is noted in its [`ArchiveEntry`].
pub(crate) fn run(
    targets: &[Target<'_>],
    inputs: &[Input],
    (todo, fetcher): (&[usize], &Fetcher),
    memory: Memory,
    progress: &Progress,
) -> Result<Vec<Missing>, Error> {
    let pass = CleanPass {
        inputs,
        todo,
        fetcher,
        before: todo
            .iter()
            .map(|archive| inputs[*archive].state().ok().flatten())
            .collect(),
        missing: Mutex::default(),
        targets: targets
            .iter()
            .map(|target| TargetPass::new(*target, inputs.len()))
            .collect(),
        memory,
        progress,
    };
    parallel::drain(&pass, todo.len())?;
    if stop::asked() {
        return Err(Error::Stopped);
    }
    let mut missing = std::mem::take(&mut *lock(&pass.missing));
    missing.sort_unstable_by_key(|missing| missing.archive);
    Ok(missing)
}

/// An archive that could not be fetched. Nothing of it is in the work folder, so it can be tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing {
    /// The archive's number.
    pub archive: usize,
    pub reason: String,
    /// What to set or change, where that can help.
    pub advice: Option<String>,
}

impl Job for CleanPass<'_> {
    /// The file, if it was fetched, is dropped (and removed) after the source.
    type Source = (OpenSource, Option<FetchedFile>);
    type Batch = (ArchiveKind, Batch);
    type Error = Error;

    fn stopped(&self) -> bool {
        stop::asked()
    }

    fn open(&self, index: usize) -> Result<Option<Self::Source>, Error> {
        let archive = self.todo[index];
        // For a target that has this archive already (the build was stopped between two), nothing is opened.
        let missing = |pass: &&TargetPass| !ArchiveEntry::is_there(pass.target.work, archive);
        let open: Vec<&TargetPass> = self.targets.iter().filter(missing).collect();
        for pass in &open {
            segment::remove_all(pass.target.work, archive)?;
            let mut state = OpenArchive::default();
            state.entry.build = pass.target.key;
            *lock(&pass.open[archive]) = Some(Box::new(state));
        }
        let read = &self.targets[0].target.recipe.read;
        let opened = match &self.inputs[archive].location {
            Location::File(path) => OpenSource::open(path, read).map(|source| (source, None)),
            Location::Remote(_) => {
                let file = match self.fetcher.take(archive) {
                    Ok(file) => file,
                    Err(error) => {
                        let reason = error.reason();
                        return Ok(self.miss(archive, reason, error.advice));
                    }
                };
                self.progress.come(file.bytes());
                self.each_open(archive, |state| {
                    state.entry.health.bytes = Some(file.bytes());
                    Ok(())
                })?;
                match OpenSource::open(file.path(), read) {
                    Ok(source) => Ok((source, Some(file))),
                    // What a server says in place of a file; another time it may have the file.
                    Err(cause) => return Ok(self.miss(archive, cause, None)),
                }
            }
        };
        match opened {
            Ok(source) => {
                let kind = source.0.kind() as usize;
                self.each_open(archive, |state| {
                    state.entry.statistics.tally.archives[kind] += 1;
                    Ok(())
                })?;
                Ok(Some(source))
            }
            Err(cause) => self.fail(archive, &cause),
        }
    }

    fn next(&self, index: usize, (source, _): &mut Self::Source) -> Result<Option<(ArchiveKind, Batch)>, Error> {
        match source.next_batch(|bytes| self.progress.add(bytes)) {
            Ok(batch) => Ok(batch.map(|batch| (source.kind(), batch))),
            Err(cause) => self.fail(self.todo[index], &cause),
        }
    }

    fn work(&self, index: usize, sequence: u64, (kind, batch): (ArchiveKind, Batch)) -> Result<(), Error> {
        let archive = self.todo[index];
        let mut first = 0;
        for splits in read::split(batch) {
            for pass in &self.targets {
                if lock(&pass.open[archive]).is_none() {
                    continue;
                }
                let mut cleaned = CleanedBatch::default();
                for (i, split) in (first..).zip(&splits) {
                    let order = sequence << 32 | i;
                    match split {
                        Split::Page(page) => pass.clean(order, page, &mut cleaned),
                        Split::Dropped(dropped) => {
                            cleaned.statistics.tally.drop_record(kind, dropped.reason);
                        }
                        Split::Damage(damage) => {
                            cleaned.statistics.tally.drop_record(kind, damage.reason);
                            cleaned.damage.push((order, damage.listed()));
                        }
                    }
                }
                let tally = &mut cleaned.statistics.tally;
                tally.read_pages(kind, u64::from(cleaned.count));
                cleaned.watch.read_pages(kind, u64::from(cleaned.count));
                pass.watch(&cleaned.watch);
                pass.add(archive, cleaned, self.memory)?;
            }
            first += splits.len() as u64;
        }
        Ok(())
    }

    fn is_large((_, batch): &Self::Batch) -> bool {
        batch.is_large()
    }

    fn finish(&self, index: usize) -> Result<(), Error> {
        let archive = self.todo[index];
        if let Some(before) = &self.before[index] {
            let changed = match self.inputs[archive].state() {
                Ok(now) => (now.as_ref() != Some(before)).then(|| CHANGED.to_owned()),
                Err(e) => Some(format!("{UNSURE}: {e}")),
            };
            if let Some(cause) = changed {
                self.fail::<()>(archive, &cause)?;
            }
        }
        for pass in &self.targets {
            let Some(state) = lock(&pass.open[archive]).take() else {
                continue;
            };
            let OpenArchive { mut entry, segment } = *state;
            if let Some(segment) = segment {
                entry.segments.push(segment.finish()?);
            }
            entry.write(pass.target.work, archive)?;
        }
        Ok(())
    }
}

impl CleanPass<'_> {
    /// Notes that an archive could not be fetched; nothing of it is kept.
    fn miss<T>(&self, archive: usize, reason: String, advice: Option<String>) -> Option<T> {
        lock(&self.missing).push(Missing {
            archive,
            reason,
            advice,
        });
        for pass in &self.targets {
            *lock(&pass.open[archive]) = None;
        }
        None
    }

    fn each_open(&self, archive: usize, each: impl Fn(&mut OpenArchive) -> Result<(), Error>) -> Result<(), Error> {
        self.targets.iter().try_for_each(|pass| {
            let mut state = lock(&pass.open[archive]);
            state.as_mut().map_or(Ok(()), |state| each(state))
        })
    }

    /// Notes that an archive cannot be read (further); what was read of it is kept.
    fn fail<T>(&self, archive: usize, cause: &str) -> Result<Option<T>, Error> {
        let input = &self.inputs[archive];
        tracing::error!("{}: {cause}", input.location);
        self.each_open(archive, |state| {
            state.entry.health.failed = Some(cause.to_owned());
            Ok(())
        })?;
        Ok(None)
    }
}
