//! Validation documents one by one.

use super::chain::Chain;
use super::corpus;
use super::cursor::Position;
use super::group::GroupReader;
use super::mixing::Mixing;
use super::validation::validation;
use super::{FeedConfig, Tokenizer, chain, reading};
use crate::Error;
use crate::objective::{Example, Ids};
use crate::rows::Source;
use c4_data::Split;
use std::sync::Arc;

/// A document with the examples that are made of it alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentExamples {
    /// The URL of the document's page.
    pub url: String,
    /// Tokens of the document, without those outside of the chosen part of a very long document.
    pub tokens: u64,
    /// What the objective made of it.
    pub examples: Vec<Example>,
}

/// One pass over the validation documents, corpus after corpus, as [`Validations`](super::Validations) with
/// `documents_per_group = 1`: documents are not joined before they are cut into segments. Reads and tokenises on the
/// caller's thread.
pub struct Documents {
    chain: Chain,
    readers: std::iter::Peekable<std::vec::IntoIter<GroupReader>>,
    row_lengths: (usize, usize),
}

impl Documents {
    /// Opens the corpora.
    ///
    /// # Errors
    /// As [`Feed::open`](super::Feed::open).
    pub fn validation(
        sources: &[Source],
        config: &FeedConfig,
        ids: Ids,
        tokenizer: Arc<dyn Tokenizer>,
    ) -> Result<Documents, Error> {
        let config = FeedConfig {
            documents_per_group: 1,
            ..validation(config)
        };
        let chain = chain(&config, ids, tokenizer)?;
        let row_lengths = config.layout.row_lengths(chain.objective.lengths())?;
        let mut readers = Vec::new();
        for corpus in corpus::open(sources, &[], Mixing::Given, Split::Validation)?.corpora {
            let reading = reading(&config, Some(1));
            readers.push(GroupReader::new(Arc::new(corpus), 0, reading, Position::default())?);
        }
        Ok(Documents {
            chain,
            readers: readers.into_iter().peekable(),
            row_lengths,
        })
    }

    /// Positions of a row: of its inputs (0 for a decoder-only model) and of its targets.
    pub fn row_lengths(&self) -> (usize, usize) {
        self.row_lengths
    }

    /// The next one, blank ones left out; `None` after the last.
    ///
    /// # Errors
    /// As [`Feed::next`](super::Feed::next).
    #[allow(clippy::should_implement_trait)] // an iterator of results would hide that it ends at the first error
    pub fn next(&mut self) -> Result<Option<DocumentExamples>, Error> {
        while let Some(reader) = self.readers.peek_mut() {
            let Some(mut window) = reader.next()? else {
                self.readers.next();
                continue;
            };
            let group = self.chain.examples(&window, 0)?;
            let document = window.groups.pop().and_then(|mut group| group.pop());
            return Ok(Some(DocumentExamples {
                url: document.map_or_else(String::new, |document| document.url),
                tokens: group.tokens - group.left_out,
                examples: group.examples,
            }));
        }
        Ok(None)
    }
}
