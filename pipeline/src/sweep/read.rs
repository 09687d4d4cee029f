//! The one pass over the archives: every page is judged by all recipes and forgotten.

use super::domains::{Domains, domain};
use crate::input::Input;
use crate::parallel::{self, Job, lock};
use crate::progress::Progress;
use crate::reading::{Damage, RawPage, Split};
use crate::source::{self, Batch, Source};
use c4_data::{Damaged, InputEntry, InputState, ReadStep, Recipe};
use c4_filters::{SweepOutcome, Sweeper, url};
use std::convert::Infallible;
use std::sync::Mutex;

/// Damaged places that are listed for an archive; all are counted. As many as a manifest lists.
const LISTED_DAMAGE: usize = 20;

/// What stays of a page besides what the recipes made of it.
pub(super) struct SweptPage {
    /// Place in the archive: batch and place in it. Smaller is earlier.
    pub order: u64,
    /// MD5 of the normalised URL.
    pub normalized: u128,
    /// As in the record.
    pub timestamp: Box<str>,
    /// Its domain's number.
    pub host: u32,
}

/// What stays of an archive.
#[derive(Default)]
pub(super) struct ReadArchive {
    /// Its pages, in no particular order.
    pub pages: Vec<SweptPage>,
    /// What the recipes made of them: the first page by all recipes, then the second, ...
    pub outcomes: Vec<SweepOutcome>,
    /// Places that could not be read, by (batch, place).
    damage: Vec<(u64, Damage)>,
    /// Why it could not be read to its end, if so.
    failed: Option<String>,
}

impl ReadArchive {
    /// How reading it went, as a manifest says it.
    pub fn entry(&self, input: &Input) -> InputEntry {
        let place = |(_, damage): &(u64, Damage)| Damaged {
            offset: damage.offset,
            cause: format!("{}: {}", damage.reason.code(), damage.cause),
        };
        let failed = self.failed.iter().map(|reason| Damaged {
            offset: 0,
            cause: reason.clone(),
        });
        InputEntry {
            archive: input.label.to_string(),
            bytes: input.bytes,
            state: match (&self.failed, &self.damage[..]) {
                (Some(_), _) => InputState::Failed,
                (None, []) => InputState::Read,
                (None, _) => InputState::Damaged,
            },
            damage: self
                .damage
                .iter()
                .take(LISTED_DAMAGE)
                .map(place)
                .chain(failed)
                .collect(),
            damaged_records: self.damage.len() as u64,
        }
    }
}

struct ReadPass<'a> {
    step: &'a ReadStep,
    sweeper: Sweeper,
    inputs: &'a [Input],
    archives: Vec<Mutex<ReadArchive>>,
    domains: Mutex<Domains>,
    progress: &'a Progress,
}

/// Runs the pass on the current pool. An archive that cannot be read is no error: it is noted in
/// its result.
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
        let mut archive = archive.into_inner().unwrap_or_else(|e| e.into_inner());
        archive
            .damage
            .sort_by_key(|(place, damage)| (*place, damage.offset));
        archive
    });
    let archives = archives.collect();
    let domains = pass.domains.into_inner().unwrap_or_else(|e| e.into_inner());
    (archives, domains)
}

impl Job for ReadPass<'_> {
    /// The archive, and how many of its bytes the progress bar knows of.
    type Source = (Source, u64);
    type Batch = Batch;
    type Error = Infallible;

    fn open(&self, index: usize) -> Result<Option<(Source, u64)>, Infallible> {
        let failed = match Source::open(&self.inputs[index].path, self.step) {
            Ok(Some(source)) => return Ok(Some((source, 0))),
            Ok(None) => "not a crawl archive (no WARC record in it)".to_owned(),
            Err(e) => e.to_string(),
        };
        self.fail(index, failed);
        Ok(None)
    }

    fn next(
        &self,
        index: usize,
        (source, reported): &mut (Source, u64),
    ) -> Result<Option<Batch>, Infallible> {
        let batch = source.next_batch();
        let position = source.position();
        self.progress.add(position.saturating_sub(*reported));
        *reported = position.max(*reported);
        Ok(batch.unwrap_or_else(|e| {
            let reason = format!("cannot be read further than byte {position}: {e}");
            self.fail(index, reason);
            None
        }))
    }

    fn work(&self, index: usize, sequence: u64, batch: Batch) -> Result<(), Infallible> {
        let mut found = ReadArchive::default();
        let mut names = Vec::new();
        for (i, split) in source::split(batch).into_iter().enumerate() {
            let order = sequence << 32 | i as u64;
            match split {
                Split::Page(page) => {
                    names.push(domain(&page.url));
                    self.page(order, page, &mut found);
                }
                Split::Dropped(_) => {}
                Split::Damage(damage) => found.damage.push((order, damage)),
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
        archive.damage.append(&mut found.damage);
        Ok(())
    }

    fn finish(&self, _: usize) -> Result<(), Infallible> {
        Ok(())
    }
}

impl ReadPass<'_> {
    fn fail(&self, index: usize, reason: String) {
        tracing::error!("{}: {reason}", self.inputs[index].path.display());
        lock(&self.archives[index]).failed = Some(reason);
    }

    /// Judges one page.
    fn page(&self, order: u64, page: RawPage, found: &mut ReadArchive) {
        found.outcomes.extend(self.sweeper.sweep(&page.text));
        found.pages.push(SweptPage {
            order,
            normalized: url::md5(&url::normalize(&page.url)),
            timestamp: page.timestamp.into_boxed_str(),
            host: 0,
        });
    }
}
