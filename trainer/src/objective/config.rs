//! The objective's configuration.

use super::{Lengths, Objective, Spans, drop_tokens, iid_denoising, span_corruption};
use crate::Error;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The objectives by name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ObjectiveKind {
    /// Spans of tokens are replaced by sentinels in the inputs, and are the targets: what T5 was trained with.
    #[default]
    SpanCorruption,
    /// The same with each token drawn alone: the paper's baseline.
    IidDenoising,
    /// A segment's first part is the inputs, its rest the targets.
    PrefixLm,
    /// All of a segment is the targets; for language models.
    Lm,
    /// Tokens are masked or exchanged in the inputs; the targets are the whole segment.
    BertStyle,
    /// The same, but all of them are masked and none is exchanged.
    MassStyle,
    /// Tokens are left out of the inputs without a sentinel, and are the targets.
    DropTokens,
    /// The inputs are the segment's tokens in random order; the targets are the segment.
    Deshuffling,
}

impl ObjectiveKind {
    /// All objectives.
    pub const ALL: [ObjectiveKind; 8] = [
        ObjectiveKind::SpanCorruption,
        ObjectiveKind::IidDenoising,
        ObjectiveKind::PrefixLm,
        ObjectiveKind::Lm,
        ObjectiveKind::BertStyle,
        ObjectiveKind::MassStyle,
        ObjectiveKind::DropTokens,
        ObjectiveKind::Deshuffling,
    ];

    /// The name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            ObjectiveKind::SpanCorruption => "span_corruption",
            ObjectiveKind::IidDenoising => "iid_denoising",
            ObjectiveKind::PrefixLm => "prefix_lm",
            ObjectiveKind::Lm => "lm",
            ObjectiveKind::BertStyle => "bert_style",
            ObjectiveKind::MassStyle => "mass_style",
            ObjectiveKind::DropTokens => "drop_tokens",
            ObjectiveKind::Deshuffling => "deshuffling",
        }
    }

    fn has_density(self) -> bool {
        !matches!(
            self,
            ObjectiveKind::PrefixLm | ObjectiveKind::Lm | ObjectiveKind::Deshuffling
        )
    }
}

/// An objective as it is written in a configuration. What is left out has the paper's value:
/// nothing at all is T5's span corruption, 568 tokens that become 512 and 114.
///
/// ```
/// use t5_trainer::internals::ObjectiveConfig;
/// let config: ObjectiveConfig = toml::from_str("name = \"span_corruption\"\nmean_span_length = 5.0").unwrap();
/// let lengths = config.resolve()?.lengths();
/// assert_eq!((lengths.segment, lengths.inputs, lengths.targets), (581, 512, 105));
/// # Ok::<(), t5_trainer::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ObjectiveConfig {
    /// Which objective: how a segment of text becomes inputs and targets.
    ///
    /// Source: paper, sections 3.1.4 and 3.3.
    // Checkpoints of versions before 0.2 call it `objective`.
    #[serde(alias = "objective")]
    pub name: ObjectiveKind,
    /// Share of tokens that are noise. Not for `lm`, `prefix_lm`, `deshuffling`.
    ///
    /// Unit: share of a segment's tokens. Source: paper, section 3.3.3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub density: Option<f64>,
    /// Mean number of tokens of a noise span. Only for `span_corruption`.
    ///
    /// Unit: tokens. Source: paper, section 3.3.4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_span_length: Option<f64>,
    /// Where the spans are. Only for `span_corruption`.
    ///
    /// Source: `random_spans_noise_mask` of the reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spans: Option<Spans>,
    /// Length of the inputs, EOS included. Not for `lm`.
    ///
    /// Unit: tokens. Source: paper, section 3.1.2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inputs_length: Option<usize>,
    /// Length of the targets, EOS included; what is longer is trimmed. Left out, it is computed from the rest.
    ///
    /// Unit: tokens. Source: `random_spans_helper` of the reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub targets_length: Option<usize>,
}

/// The paper's corruption rate (section 3.3.3) and mean span length (3.3.4), `random_spans_helper`'s arguments for T5.
const DENSITY: f64 = 0.15;
const MEAN_SPAN_LENGTH: f64 = 3.0;
/// Section 3.1.2.
const LENGTH: usize = 512;
/// Room for a token, a sentinel or two, and EOS.
const LEAST_LENGTH: usize = 4;
const MOST_LENGTH: usize = 1 << 16;

impl ObjectiveConfig {
    /// What was left out, with the values that it has: `key = value` each.
    ///
    /// # Errors
    /// As [`resolve`](ObjectiveConfig::resolve).
    pub fn defaults(&self) -> Result<Vec<String>, Error> {
        let Objective {
            kind,
            density,
            mean_span_length,
            spans,
            lengths,
        } = self.resolve()?;
        let is_spans = kind == ObjectiveKind::SpanCorruption;
        let has_mean = is_spans && spans != Spans::Regular;
        let all = [
            (
                kind.has_density() && self.density.is_none(),
                format!("density = {density:?}"),
            ),
            (
                has_mean && self.mean_span_length.is_none(),
                format!("mean_span_length = {mean_span_length:?}"),
            ),
            (is_spans && self.spans.is_none(), "spans = \"random\"".to_owned()),
            (
                kind != ObjectiveKind::Lm && self.inputs_length.is_none(),
                format!("inputs_length = {}", lengths.inputs),
            ),
            (
                self.targets_length.is_none(),
                format!("targets_length = {}", lengths.targets),
            ),
        ];
        let left_out = all.into_iter().filter(|(left_out, _)| *left_out);
        Ok(left_out.map(|(_, line)| line).collect())
    }

    /// Fills in what was left out.
    ///
    /// # Errors
    /// A value that cannot be, or a key that the objective has no use for; the message names both.
    pub fn resolve(&self) -> Result<Objective, Error> {
        let kind = self.name;
        let name = kind.name();
        let refuse = |problem: String| Err(Error::Setting(format!("objective {name}: {problem}")));
        let is_spans = kind == ObjectiveKind::SpanCorruption;
        let spans = self.spans.unwrap_or_default();
        let useless = [
            ("density", self.density.is_some() && !kind.has_density()),
            (
                "mean_span_length",
                self.mean_span_length.is_some() && (!is_spans || spans == Spans::Regular),
            ),
            ("spans", self.spans.is_some() && !is_spans),
            (
                "inputs_length",
                self.inputs_length.is_some() && kind == ObjectiveKind::Lm,
            ),
        ];
        if let Some((key, _)) = useless.iter().find(|(_, useless)| *useless) {
            return refuse(format!("it has no {key}: remove that key"));
        }
        for (key, length) in [
            ("inputs_length", self.inputs_length),
            ("targets_length", self.targets_length),
        ] {
            let range = LEAST_LENGTH..=MOST_LENGTH;
            if let Some(length) = length.filter(|length| !range.contains(length)) {
                return refuse(format!(
                    "{key} is {length}, and must be {LEAST_LENGTH} to {MOST_LENGTH} tokens"
                ));
            }
        }
        let density = match self.density {
            _ if !kind.has_density() => 0.0,
            None => DENSITY,
            Some(density) if density > 0.0 && density < 1.0 => density,
            Some(density) => {
                return refuse(format!(
                    "density is {density}, and must be above 0 and below 1, such as 0.15"
                ));
            }
        };
        let mean_span_length = match self.mean_span_length {
            _ if !is_spans => 0.0,
            None => MEAN_SPAN_LENGTH,
            Some(mean) if mean >= 1.0 && mean <= MOST_LENGTH as f64 => mean,
            Some(mean) => {
                return refuse(format!(
                    "mean_span_length is {mean}, and must be 1 to {MOST_LENGTH} tokens"
                ));
            }
        };
        let inputs = self.inputs_length.unwrap_or(LENGTH);
        let mut lengths = Lengths {
            segment: inputs - 1,
            inputs,
            targets: inputs,
        };
        match kind {
            ObjectiveKind::SpanCorruption => {
                // A turned mask cuts one run in two, so that one side is longer by a sentinel.
                let more = usize::from(spans == Spans::Rolled);
                let room = inputs - more;
                match span_corruption::random_spans_helper(room, density, mean_span_length) {
                    // A mask has a span even where the helper rounds to none.
                    Some(found) => {
                        lengths.segment = found.segment;
                        lengths.targets = found.targets.max(3) + more;
                    }
                    None => {
                        return refuse(format!(
                            "density {density} leaves so little that segments of more than 2^20 tokens would fit \
                             into {inputs}: lower it"
                        ));
                    }
                }
            }
            ObjectiveKind::IidDenoising => {
                lengths.targets = iid_denoising::targets_length(inputs, density);
            }
            ObjectiveKind::DropTokens => {
                lengths.targets = drop_tokens::targets_length(inputs, density);
            }
            ObjectiveKind::Lm => {
                let targets = self.targets_length.unwrap_or(LENGTH);
                lengths = Lengths {
                    segment: targets - 1,
                    inputs: 0,
                    targets,
                };
            }
            ObjectiveKind::PrefixLm
            | ObjectiveKind::BertStyle
            | ObjectiveKind::MassStyle
            | ObjectiveKind::Deshuffling => {}
        }
        lengths.targets = self.targets_length.unwrap_or(lengths.targets);
        Ok(Objective {
            kind,
            density,
            mean_span_length,
            spans,
            lengths,
        })
    }
}
