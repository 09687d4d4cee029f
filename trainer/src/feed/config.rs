//! The configuration of a feed: objective, shape of a batch, order.

use crate::Error;
use crate::base::limits;
use crate::objective::{Lengths, ObjectiveConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which side of a [`Batch`](crate::base::Batch) an example's inputs go to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RowLayout {
    /// Inputs to the encoder, targets to the decoder.
    #[default]
    EncoderDecoder,
    /// Both to the decoder, as one sequence `inputs EOS targets EOS` (paper, section 3.2.1); its length is the sum of
    /// both. A plain language model's examples have no inputs and are `targets EOS`.
    DecoderOnly,
}

/// Whether rows hold several examples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Packing {
    /// As many examples as fit, in order.
    #[default]
    Packed,
    /// One example a row.
    OnePerRow,
}

/// In which order an epoch goes through a corpus's shards. Documents of a shard keep their order: `c4` wrote them by
/// the hash of their URL, so the manifest's order is a shuffled one already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShardOrder {
    /// The manifest's order, in every epoch.
    #[default]
    Manifest,
    /// Another order in each epoch, drawn from the seed.
    Seeded,
}

/// How a feed makes batches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FeedConfig {
    /// The objective, with the lengths.
    pub objective: ObjectiveConfig,
    /// Which side of a row an example's inputs and targets are on: it follows the model's architecture.
    ///
    /// Source: paper, section 3.2.1.
    pub layout: RowLayout,
    /// Rows of a batch, whose activations are in memory together.
    ///
    /// Unit: rows. Source: 8 fit into a small machine; times `batches_per_step` the paper's 128 (section 3.1.2).
    pub rows: usize,
    /// Whether rows hold several examples.
    ///
    /// Source: T5's pre-training packs (paper, section 3.1.2).
    pub packing: Packing,
    /// Seed of all that is drawn of the data: noise, parts of long documents, the order of shards, the mixture.
    ///
    /// Unit: none. Source: ours.
    pub seed: u64,
    /// In which order shards are read.
    ///
    /// Source: ours.
    pub shard_order: ShardOrder,
    /// Documents that are joined before they are cut into segments, in objectives that join; in all objectives the unit
    /// of reading.
    ///
    /// Unit: documents. Source: `reduce_concat_tokens` of the reference.
    pub documents_per_group: usize,
    /// Groups of documents whose examples are shuffled among each other; 1: none are. In memory are `2 + 2 * threads`
    /// times so many groups of each corpus (some 0.3 MB each, of C4's documents).
    ///
    /// Unit: groups. Source: seqio shuffles examples after all preprocessing.
    pub shuffle_groups: usize,
    /// Tokens of a document at most: of a longer one, one random part of this length is used.
    ///
    /// Unit: tokens. Source: `select_random_chunk` of the reference.
    pub max_document_tokens: usize,
    /// Tokens of a task's inputs at most, EOS included; 0: as the task's card says.
    ///
    /// Unit: tokens. Source: the reference's lengths of each task (512).
    #[serde(skip_serializing_if = "is_zero")]
    pub task_inputs: usize,
    /// Tokens of a task's targets at most, EOS included; 0: as the task's card says.
    ///
    /// Unit: tokens. Source: the reference's lengths of each task (GLUE 84, SuperGLUE 62, SQuAD 97, others 512).
    #[serde(skip_serializing_if = "is_zero")]
    pub task_targets: usize,
    /// Threads that read and tokenise in the background. Batches do not depend on it.
    ///
    /// Unit: threads. Default: the machine's cores less one. Source: ours.
    pub threads: usize,
}

fn is_zero(value: &usize) -> bool {
    *value == 0
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
            task_inputs: 0,
            task_targets: 0,
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
        // EOS is one of them.
        for (key, value) in [("task_inputs", self.task_inputs), ("task_targets", self.task_targets)] {
            limits::whole(key, value, 0..=1 << 16)?;
            if value == 1 {
                return Err(limits::refuse(
                    key,
                    value,
                    "must be 2 or more, since EOS is one of the tokens, or 0",
                ));
            }
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
