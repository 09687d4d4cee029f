//! Objectives: how a segment of plain tokens becomes inputs and targets (Raffel et al. 2020, sections 3.1.4
//! and 3.3; gin files of the reference, `t5/models/gin/objectives/`).
//!
//! Everything here is a function of tokens, ids and randomness; the [feed](crate::feed) supplies them.

pub mod bert_style;
mod config;
pub mod deshuffling;
pub mod drop_tokens;
pub mod iid_denoising;
pub mod lm;
pub mod mask;
pub mod mass_style;
pub mod noise;
pub mod prefix_lm;
pub mod random;
pub mod span_corruption;

pub use config::{ObjectiveConfig, ObjectiveKind};
pub use random::{Place, Purpose, Random};
pub use span_corruption::Spans;

use crate::Error;
use serde::{Deserialize, Serialize};

/// The ids of a vocabulary that objectives must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ids {
    /// Number of ids, sentinels included; not the rows of the embedding, which may be padded to more.
    pub vocab_size: u32,
    /// Padding. Always 0: [`Batch`](crate::base::Batch) says so.
    pub pad: u32,
    /// End of a sequence.
    pub eos: u32,
    /// Unknown.
    pub unk: u32,
}

impl Ids {
    /// The ids of T5's vocabulary: 32,000 pieces and 100 sentinels.
    pub const T5: Ids = Ids {
        vocab_size: 32_100,
        pad: 0,
        eos: 1,
        unk: 2,
    };

    /// Sentinel `k`, from 0: `vocab_size - 1 - k`.
    ///
    /// A vocabulary has some number of sentinels (100 in T5's), but as in the reference nothing stops a segment
    /// with more runs of noise: their ids are those of ordinary pieces below the sentinels, in inputs and targets
    /// alike, and so ambiguous but still paired. [`Objective::sentinels`] says how many to expect, for a caller that
    /// wants to warn. Unlike in the reference they never reach pad, EOS and unknown: the lowest id above these
    /// is used again and again.
    pub fn sentinel(self, k: u32) -> u32 {
        let id = self.vocab_size.saturating_sub(1).saturating_sub(k);
        id.max(self.first_ordinary())
    }

    /// Refuses tokens that the vocabulary does not have.
    ///
    /// # Errors
    /// Names the first.
    pub(crate) fn check(self, tokens: &[u32]) -> Result<(), Error> {
        match tokens.iter().find(|id| **id >= self.vocab_size) {
            None => Ok(()),
            Some(id) => Err(Error::Setting(format!(
                "the tokeniser gave the id {id}, and the vocabulary has {}: they do not belong together",
                self.vocab_size
            ))),
        }
    }

    /// The first id above pad, EOS and unknown.
    pub fn first_ordinary(self) -> u32 {
        self.pad.max(self.eos).max(self.unk) + 1
    }

    /// Refuses what cannot be the ids of a vocabulary.
    ///
    /// # Errors
    /// Pad is not 0, two ids are the same, or the vocabulary has no id beside them.
    pub fn validate(self) -> Result<(), Error> {
        let Ids { pad, eos, unk, .. } = self;
        let problem = if pad != 0 {
            format!("its padding is {pad}, and must be 0")
        } else if eos == pad || unk == pad || eos == unk {
            "padding, EOS and unknown must be three ids".to_owned()
        } else if self.vocab_size <= eos.max(unk).saturating_add(1) {
            "it has no pieces".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::Setting(format!("vocabulary: {problem}")))
    }
}

/// What a segment became.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Example {
    /// What the model reads.
    pub inputs: Vec<u32>,
    /// What it shall say.
    pub targets: Vec<u32>,
}

impl Example {
    /// Puts the inputs before the targets, for a decoder-only model.
    pub(crate) fn join(&mut self) {
        let mut both = std::mem::take(&mut self.inputs);
        both.append(&mut self.targets);
        self.targets = both;
    }
}

/// Lengths in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lengths {
    /// Length of a segment of plain text.
    pub segment: usize,
    /// Length of the inputs, EOS included; 0 if the objective has none.
    pub inputs: usize,
    /// Length of the targets, EOS included.
    pub targets: usize,
}

/// An objective with all that was left open in its [configuration](ObjectiveConfig) filled in.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Objective {
    kind: ObjectiveKind,
    /// Share of noise tokens; 0 where the kind has none.
    density: f64,
    /// 0 where the kind has none.
    mean_span_length: f64,
    spans: Spans,
    lengths: Lengths,
}

impl Objective {
    /// Which objective this is.
    pub fn kind(&self) -> ObjectiveKind {
        self.kind
    }

    /// Lengths of segments and of what they become.
    pub fn lengths(&self) -> Lengths {
        self.lengths
    }

    /// Whether segments are cut from many documents joined (128 in the reference), and not from one each. Joined
    /// documents have nothing between them, no EOS either.
    pub fn joins_documents(&self) -> bool {
        !matches!(self.kind, ObjectiveKind::PrefixLm | ObjectiveKind::Deshuffling)
    }

    /// Inputs and targets of a segment, without EOS, not trimmed. Linear in its length.
    pub fn example(&self, tokens: &[u32], ids: Ids, rng: &mut Random) -> Example {
        let density = self.density;
        match self.kind {
            ObjectiveKind::SpanCorruption => {
                let length = self.mean_span_length;
                let mask = span_corruption::mask(tokens.len(), density, length, self.spans, rng);
                span_corruption::corrupt(tokens, &mask, ids)
            }
            ObjectiveKind::IidDenoising => iid_denoising::example(tokens, density, ids, rng),
            ObjectiveKind::PrefixLm => prefix_lm::example(tokens, rng),
            ObjectiveKind::Lm => lm::example(tokens),
            ObjectiveKind::BertStyle => bert_style::example(tokens, density, ids, rng),
            ObjectiveKind::MassStyle => mass_style::example(tokens, density, ids, rng),
            ObjectiveKind::DropTokens => drop_tokens::example(tokens, density, rng),
            ObjectiveKind::Deshuffling => deshuffling::example(tokens, rng),
        }
    }

    /// How many different sentinels a full segment takes: exactly for random spans, on average (rounded up) where
    /// each token is noise by itself or spans are regular. More than the vocabulary has is no error (see
    /// [`Ids::sentinel`]), but worth a warning.
    pub fn sentinels(&self) -> usize {
        let n = self.lengths.segment;
        let mean = |runs: f64| (runs + 1.0).ceil() as usize;
        match self.kind {
            ObjectiveKind::SpanCorruption => {
                let (_, spans) = mask::random_spans_counts(n, self.density, self.mean_span_length);
                match self.spans {
                    Spans::Random => spans,
                    Spans::Rolled => spans + 1,
                    // 1 to 5 tokens a span: the mean of 1/length is 137/300.
                    Spans::Regular => mean(n as f64 * self.density * 137.0 / 300.0),
                }
            }
            ObjectiveKind::IidDenoising => mean(n as f64 * self.density * (1.0 - self.density)),
            ObjectiveKind::BertStyle | ObjectiveKind::MassStyle => 1,
            ObjectiveKind::PrefixLm | ObjectiveKind::Lm | ObjectiveKind::DropTokens | ObjectiveKind::Deshuffling => 0,
        }
    }
}

/// Trims both sides to their lengths less one and appends EOS (`append_eos_after_trim` of the reference). A side
/// of length 0 stays empty. True if something was cut off.
pub fn append_eos_after_trim(example: &mut Example, lengths: Lengths, ids: Ids) -> bool {
    let mut trimmed = false;
    let sides = [
        (&mut example.inputs, lengths.inputs),
        (&mut example.targets, lengths.targets),
    ];
    for (tokens, length) in sides {
        trimmed |= tokens.len() >= length.max(1);
        tokens.truncate(length.saturating_sub(1));
        if length > 0 {
            tokens.push(ids.eos);
        }
    }
    trimmed
}
