//! The one pass over the archives: every page is judged by all recipes and forgotten.

use super::domains::Domains;
use crate::input::Input;
use crate::read::outcome::Split;
use crate::read::{self, Batch, OpenSource};
use crate::runtime::parallel::{self, Job, lock};
use crate::terminal::progress::Progress;
use crate::work::health::Health;
use c4_data::Page;
use c4_data::{ReadStep, Recipe};
use c4_filters::{SweepOutcome, Sweeper, url};
use std::convert::Infallible;
use std::sync::Mutex;

/// What is held of a page beside the verdicts on it.
pub(super) struct SweptPage {
    /// The place in the archive: batch and place in the batch. Smaller is earlier.
    pub order: u64,
    /// The MD5 of the normalised URL.
    pub normalized: u128,
    /// The timestamp as in the record.
    pub timestamp: Box<str>,
    /// The number of the domain.
    pub host: u32,
}

/// What is held of an archive.
#[derive(Default)]
pub(super) struct ReadArchive {
    /// The pages of the archive, in no particular order.
    pub pages: Vec<SweptPage>,
    /// The outcomes of all recipes for the first page, then for the second, and so on.
    pub outcomes: Vec<SweepOutcome>,
    pub health: Health,
}

struct ReadPass<'a> {
    step: &'a ReadStep,
    sweeper: Sweeper,
    inputs: &'a [Input],
    archives: Vec<Mutex<ReadArchive>>,
    domains: Mutex<Domains>,
    progress: &'a Progress,
}

/// Runs the pass on the current thread pool. An archive that cannot be read is no error: it is noted in its result.
pub(super) fn run(
    step: &ReadStep,
    recipes: &[Recipe],
    inputs: &[Input],
    progress: &Progress,
) -> (Vec<ReadArchive>, Domains) {
    let pass = ReadPass {
        step,
        sweeper: Sweeper::new(recipes),
        inputs,
        archives: inputs.iter().map(|_| Mutex::default()).collect(),
        domains: Mutex::default(),
        progress,
    };
    let Ok(()) = parallel::drain(&pass, inputs.len());
    let archives = pass.archives.into_iter().map(|archive| {
        let archive = archive.into_inner();
        archive.unwrap_or_else(|e| e.into_inner())
    });
    let archives = archives.collect();
    let domains = pass.domains.into_inner().unwrap_or_else(|e| e.into_inner());
    (archives, domains)
}

impl Job for ReadPass<'_> {
    type Source = OpenSource;
    type Batch = Batch;
    type Error = Infallible;

    fn open(&self, index: usize) -> Result<Option<OpenSource>, Infallible> {
        let file = self.inputs[index].file().map_err(|e| e.to_string());
        let source = file.and_then(|path| OpenSource::open(path, self.step));
        Ok(source.map_err(|cause| self.fail(index, cause)).ok())
    }

    fn next(&self, index: usize, source: &mut OpenSource) -> Result<Option<Batch>, Infallible> {
        let batch = source.next_batch(|bytes| self.progress.add(bytes));
        Ok(batch.unwrap_or_else(|cause| {
            self.fail(index, cause);
            None
        }))
    }

    fn work(&self, index: usize, sequence: u64, batch: Batch) -> Result<(), Infallible> {
        let mut found = ReadArchive::default();
        let mut names = Vec::new();
        let mut damages = Vec::new();
        for (i, split) in read::split(batch).flatten().enumerate() {
            let order = sequence << 32 | i as u64;
            match split {
                Split::Page(page) => {
                    names.push(url::domain(&page.url));
                    self.page(order, page, &mut found);
                }
                Split::Dropped(_) => {}
                Split::Damage(damage) => damages.push((order, damage.listed())),
            }
        }
        let mut domains = lock(&self.domains);
        for (page, name) in found.pages.iter_mut().zip(&names) {
            page.host = domains.add(name);
        }
        drop(domains);
        let mut archive = lock(&self.archives[index]);
        archive.pages.append(&mut found.pages);
        archive.outcomes.append(&mut found.outcomes);
        archive.health.note(damages);
        Ok(())
    }

    fn is_large(batch: &Batch) -> bool {
        batch.is_large()
    }

    fn finish(&self, _: usize) -> Result<(), Infallible> {
        Ok(())
    }
}

impl ReadPass<'_> {
    fn fail(&self, index: usize, cause: String) {
        let input = &self.inputs[index];
        tracing::error!("{}: {cause}", input.location);
        lock(&self.archives[index]).health.failed = Some(cause);
    }

    /// Judges one page.
    fn page(&self, order: u64, page: Page, found: &mut ReadArchive) {
        found.outcomes.extend(self.sweeper.sweep(&page.text));
        found.pages.push(SweptPage {
            order,
            normalized: url::md5(&url::normalize(&page.url)),
            timestamp: page.timestamp.into_boxed_str(),
            host: 0,
        });
    }
}
