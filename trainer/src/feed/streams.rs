//! What a feed is of: corpora and tasks, opened, with the share of the examples that each has.

use super::FeedConfig;
use super::chain::Chain;
use super::corpus::{self, Corpus, TaskRate};
use super::mixing::{Mixing, MixtureShare, TaskSource};
use super::task::{self, TaskStream};
use crate::Error;
use crate::objective::Lengths;
use crate::rows::Source;
use c4_data::Split;

/// What a feed is of.
#[derive(Debug, Clone, Copy)]
pub struct FeedSources<'a> {
    /// The corpora.
    pub corpora: &'a [Source],
    /// The tasks, which are read after the corpora in whatever has an order.
    pub tasks: &'a [TaskSource],
    /// How often an example is of which of them.
    pub mixing: Mixing,
}

impl<'a> FeedSources<'a> {
    /// Corpora alone.
    pub fn of(corpora: &'a [Source]) -> FeedSources<'a> {
        FeedSources {
            corpora,
            tasks: &[],
            mixing: Mixing::Given,
        }
    }
}

/// Sources that are opened.
#[derive(Default)]
pub(super) struct Streams {
    pub corpora: Vec<Corpus>,
    pub tasks: Vec<TaskStream>,
    /// Of each task, its share of the examples.
    pub task_shares: Vec<f64>,
    /// All sources, corpora first.
    pub mixture: Vec<MixtureShare>,
}

impl Streams {
    /// Opens the sources for training.
    ///
    /// # Errors
    /// As [`Feed::of_mixture`](super::Feed::of_mixture).
    pub fn open(sources: FeedSources<'_>, config: &FeedConfig) -> Result<Streams, Error> {
        let tasks = task::open(sources.tasks, config)?;
        let rate = |task: &TaskStream| TaskRate {
            name: task.name().to_owned(),
            weight: task.source.weight,
            examples: task.examples(),
        };
        let rates: Vec<TaskRate> = tasks.iter().map(rate).collect();
        let shared = corpus::open(sources.corpora, &rates, sources.mixing, Split::Train)?;
        Ok(Streams {
            corpora: shared.corpora,
            tasks,
            task_shares: shared.task_shares,
            mixture: shared.sources,
        })
    }

    /// Positions of a row that has room for an example of each source.
    ///
    /// # Errors
    /// An objective without inputs for an encoder.
    pub fn row_lengths(&self, config: &FeedConfig, objective: Lengths) -> Result<(usize, usize), Error> {
        let tasks = self.tasks.iter().map(|task| task.lengths);
        row_lengths(config, (!self.corpora.is_empty()).then_some(objective), tasks)
    }

    /// SHA-256 of all that decides which examples come in which order, but for the tokeniser; not where the corpora
    /// are.
    pub fn fingerprint(&self, config: &FeedConfig, chain: &Chain) -> String {
        let corpora: Vec<_> = self
            .corpora
            .iter()
            .map(|corpus| {
                let parts = corpus.parts.iter();
                let parts: Vec<_> = parts.map(|part| (&part.file.sha256, &part.rows)).collect();
                (corpus.info.share, parts)
            })
            .collect();
        let mut decides = serde_json::json!({
            "version": 1,
            "corpora": corpora,
            "objective": chain.objective,
            "ids": chain.ids,
            "seed": config.seed,
            "shard_order": config.shard_order,
            "documents_per_group": config.documents_per_group,
            "max_document_tokens": config.max_document_tokens,
        });
        if config.shuffle_groups > 1 {
            decides["shuffle_groups"] = config.shuffle_groups.into();
        }
        if !self.tasks.is_empty() {
            let task = |(task, share): (&TaskStream, &f64)| {
                let files: Vec<String> = task.files.files().into_iter().map(|file| file.sha256).collect();
                serde_json::json!([share, task.task.sha256, files, task.lengths])
            };
            decides["tasks"] = self.tasks.iter().zip(&self.task_shares).map(task).collect();
        }
        c4_data::atomic_file::sha256_hex(decides.to_string().as_bytes())
    }
}

/// Positions of a row that has room for an example of each: of inputs (0 for a decoder-only model) and of targets.
///
/// # Errors
/// An objective without inputs for an encoder.
fn row_lengths(
    config: &FeedConfig,
    objective: Option<Lengths>,
    tasks: impl Iterator<Item = Lengths>,
) -> Result<(usize, usize), Error> {
    let (mut inputs, mut targets) = (0, 0);
    for lengths in objective.into_iter().chain(tasks) {
        let (i, t) = config.layout.row_lengths(lengths)?;
        (inputs, targets) = (inputs.max(i), targets.max(t));
    }
    Ok((inputs, targets))
}

/// The same of sources that are not opened: only cards of tasks are read.
///
/// # Errors
/// No such task; an objective that cannot be.
pub(crate) fn configured_row_lengths(
    corpora: bool,
    tasks: &[TaskSource],
    config: &FeedConfig,
) -> Result<(usize, usize), Error> {
    let objective = config.objective.resolve()?.lengths();
    let of = |source: &TaskSource| Ok(task::lengths(&task::card(source)?, config));
    let tasks: Vec<Lengths> = tasks.iter().map(of).collect::<Result<_, Error>>()?;
    row_lengths(config, corpora.then_some(objective), tasks.into_iter())
}

/// What share of the examples each source has, corpora first.
///
/// # Errors
/// As [`Feed::of_mixture`](super::Feed::of_mixture).
pub fn mixture(sources: FeedSources<'_>, config: &FeedConfig) -> Result<Vec<MixtureShare>, Error> {
    Ok(Streams::open(sources, config)?.mixture)
}
