//! How well a model does on the pages of each domain.

use crate::Error;
use crate::backend::DeviceModel;
use crate::feed::ids;
use crate::feed::{Documents, FeedConfig, Packer};
use crate::model::Loss;
use crate::rows::Source;
use crate::vocab::Vocab;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What was measured on a domain's documents.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct DomainLoss {
    /// Documents that gave an example.
    pub documents: u64,
    /// Tokens of those documents, those that the loss is not taken over included.
    pub tokens: u64,
    /// The loss over those documents.
    pub loss: Loss,
}

impl DomainLoss {
    /// Adds the documents of another measurement.
    pub fn add(&mut self, other: &DomainLoss) {
        self.documents += other.documents;
        self.tokens += other.tokens;
        self.loss += other.loss;
    }
}

/// The loss over validation documents by their page's domain ([`c4_data::domain`]); `limit`: batches at most, 0: all.
///
/// Each example is of one document: documents are not joined before they are cut into segments, as they are in training
/// and in [`evaluate`](crate::run::train::evaluate). So noise is drawn otherwise, documents that are shorter than a
/// segment are seen with nothing before and after, and the losses of all domains together are not quite that of
/// `evaluate`.
///
/// # Errors
/// The corpora cannot be read.
pub fn evaluate(
    backend: &mut dyn DeviceModel,
    vocab: &Arc<Vocab>,
    corpora: &[Source],
    config: &FeedConfig,
    limit: u64,
) -> Result<BTreeMap<String, DomainLoss>, Error> {
    let mut documents = Documents::validation(corpora, config, ids(vocab), vocab.clone())?;
    let (inputs, targets) = documents.row_lengths();
    let mut packer = Packer::new(config.rows, inputs, targets, config.packing);
    let mut found = Found::default();
    let mut batches = 0;
    while let Some(document) = documents.next()? {
        let domain = c4_data::domain(&document.url);
        for (i, example) in document.examples.iter().enumerate() {
            while !packer.add(example) {
                found.measure(backend, &mut packer)?;
                batches += 1;
                if batches == limit {
                    return Ok(found.domains);
                }
            }
            // A document counts with its first example.
            found.waiting.push(match i {
                0 => (domain.clone(), 1, document.tokens),
                _ => (domain.clone(), 0, 0),
            });
        }
    }
    found.measure(backend, &mut packer)?;
    Ok(found.domains)
}

#[derive(Default)]
struct Found {
    domains: BTreeMap<String, DomainLoss>,
    /// Of the examples in the packer: domain, documents, tokens.
    waiting: Vec<(String, u64, u64)>,
}

impl Found {
    /// Measures what is in the packer.
    fn measure(&mut self, backend: &mut dyn DeviceModel, packer: &mut Packer) -> Result<(), Error> {
        let Some(batch) = packer.finish() else {
            return Ok(());
        };
        let losses = backend.evaluate_each(&batch)?;
        assert_eq!(losses.len(), self.waiting.len(), "a loss for each example");
        for ((domain, documents, tokens), loss) in self.waiting.drain(..).zip(losses) {
            self.domains.entry(domain).or_default().add(&DomainLoss {
                documents,
                tokens,
                loss,
            });
        }
        Ok(())
    }
}
