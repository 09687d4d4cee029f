//! Validation documents: a feed for each corpus.

use super::corpus::{self, Corpus, CorpusInfo};
use super::mixing::Mixing;
use super::{Feed, FeedConfig, ShardOrder, Streams, Tokenizer};
use crate::Error;
use crate::objective::Ids;
use crate::rows::Source;
use c4_data::Split;
use std::sync::Arc;

/// The validation documents of some corpora, corpus after corpus. A corpus without validation gives the documents held
/// out for it ([`CorpusInfo::validation`]); one without those gives nothing.
pub struct Validations {
    corpora: std::vec::IntoIter<Corpus>,
    config: FeedConfig,
    ids: Ids,
    tokenizer: Arc<dyn Tokenizer>,
}

impl Validations {
    /// Opens the corpora; nothing is read of them yet.
    ///
    /// # Errors
    /// As [`Feed::open`].
    pub fn open(
        sources: &[Source],
        config: &FeedConfig,
        ids: Ids,
        tokenizer: Arc<dyn Tokenizer>,
    ) -> Result<Validations, Error> {
        Validations::of_mixture(sources, Mixing::Given, config, ids, tokenizer)
    }

    /// The same, where `mixing` decides over the corpora's shares.
    ///
    /// # Errors
    /// As [`Feed::open`].
    pub fn of_mixture(
        sources: &[Source],
        mixing: Mixing,
        config: &FeedConfig,
        ids: Ids,
        tokenizer: Arc<dyn Tokenizer>,
    ) -> Result<Validations, Error> {
        Ok(Validations {
            corpora: corpus::open(sources, &[], mixing, Split::Validation)?
                .corpora
                .into_iter(),
            config: validation(config),
            ids,
            tokenizer,
        })
    }

    /// The corpora that are still to come.
    pub fn corpora(&self) -> impl Iterator<Item = &CorpusInfo> {
        self.corpora.as_slice().iter().map(|corpus| &corpus.info)
    }

    /// A pass over the documents of the next corpus, the same in every run and whatever other corpora there are:
    /// neither seed nor order of the configuration count. Its last batch may have fewer rows. `None` after the last
    /// corpus.
    ///
    /// # Errors
    /// As [`Feed::open`].
    #[allow(clippy::should_implement_trait)] // an iterator of results would hide that it ends at the first error
    pub fn next(&mut self) -> Result<Option<Feed>, Error> {
        let Some(corpus) = self.corpora.next() else {
            return Ok(None);
        };
        let tokenizer = self.tokenizer.clone();
        let sources = Streams {
            corpora: vec![corpus],
            ..Streams::default()
        };
        Feed::start(sources, &self.config, self.ids, tokenizer, None, Some(1)).map(Some)
    }
}

/// A configuration that gives the same examples in every run.
pub(super) fn validation(config: &FeedConfig) -> FeedConfig {
    FeedConfig {
        seed: 0,
        shard_order: ShardOrder::Manifest,
        shuffle_groups: 1,
        ..config.clone()
    }
}
