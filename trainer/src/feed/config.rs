//! The configuration of a feed: objective, shape of a batch, order.

use crate::Error;
use crate::base::limits;
use crate::objective::{Lengths, ObjectiveConfig};
use serde::{Deserialize, Serialize};

/// Which side of a [`Batch`](crate::base::Batch) an example's inputs go to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowLayout {
    /// Inputs to the encoder, targets to the decoder.
    #[default]
    EncoderDecoder,
    /// Both to the decoder, as one sequence `inputs EOS targets EOS` (paper, section 3.2.1); its length is the sum of both.
    /// A plain language model's examples have no inputs and are `targets EOS`.
    DecoderOnly,
}

/// Whether rows hold several examples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Packing {
    /// As many as fit, in order.
    #[default]
    Packed,
    /// One example a row.
    OnePerRow,
}

/// In which order an epoch goes through a corpus's shards. Documents of a shard keep their order: `c4` wrote them by the hash
/// of their URL, so the manifest's order is a shuffled one already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShardOrder {
    /// The manifest's, in every epoch.
    #[default]
    Manifest,
    /// Another in each epoch, drawn from the seed.
    Seeded,
}

/// How a feed makes batches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FeedConfig {
    /// The objective, with the lengths.
    pub objective: ObjectiveConfig,
    /// What the model is.
    pub layout: RowLayout,
    /// Rows of a batch. The paper's pre-training has 128 of 512 inputs (section 3.1.2).
    pub rows: usize,
    /// Whether rows hold several examples.
    pub packing: Packing,
    /// The seed of all that is drawn: noise, parts of long documents, the order of shards, the mixture.
    pub seed: u64,
    /// In which order shards are read.
    pub shard_order: ShardOrder,
    /// Documents that are joined before they are cut into segments, in objectives that join; the unit of reading in
    /// all: 128 as in `reduce_concat_tokens` of the reference.
    pub documents_per_group: usize,
    /// Groups of documents whose examples are shuffled together, as seqio shuffles examples after all preprocessing; 1: none are. Each
    /// corpus of a feed has `2 + 2 * threads` times so many groups in memory (some 0.3 MB each, of C4's documents).
    pub shuffle_groups: usize,
    /// Tokens of a document at most: of a longer one, one random part of this length is used: 65,536 as in `select_random_chunk` of the
    /// reference.
    pub max_document_tokens: usize,
    /// Threads that read and tokenise in the background. Batches do not depend on it.
    pub threads: usize,
}

impl Default for FeedConfig {
    fn default() -> FeedConfig {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        FeedConfig {
            objective: ObjectiveConfig::default(),
            layout: RowLayout::default(),
            rows: 128,
            packing: Packing::default(),
            seed: 0,
            shard_order: ShardOrder::default(),
            documents_per_group: 128,
            shuffle_groups: 1,
            max_document_tokens: 65_536,
            threads: cores.saturating_sub(1).max(1),
        }
    }
}

impl FeedConfig {
    /// Refuses numbers that cannot be.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        for (key, value, most) in [
            ("rows", self.rows, 1 << 20),
            ("documents_per_group", self.documents_per_group, 1 << 16),
            ("shuffle_groups", self.shuffle_groups, 1 << 12),
            ("max_document_tokens", self.max_document_tokens, 1 << 24),
            ("threads", self.threads, 1 << 10),
        ] {
            limits::whole(key, value, 1..=most)?;
        }
        Ok(())
    }
}

impl RowLayout {
    /// Lengths of a row: of its inputs and of its targets.
    ///
    /// # Errors
    /// An objective without inputs for an encoder.
    pub fn row_lengths(self, lengths: Lengths) -> Result<(usize, usize), Error> {
        match self {
            RowLayout::EncoderDecoder if lengths.inputs == 0 => Err(Error::Setting(
                "objective lm: an encoder would have nothing to read; use prefix_lm (the paper's section 3.2.3 does), or a \
                 decoder-only model"
                    .to_owned(),
            )),
            RowLayout::EncoderDecoder => Ok((lengths.inputs, lengths.targets)),
            RowLayout::DecoderOnly => Ok((0, lengths.inputs + lengths.targets)),
        }
    }
}
