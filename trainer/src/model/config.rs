//! What a model is: sizes, variant, and the settings of its loss.

use crate::Error;
use crate::base::limits;
use crate::math::dropout::{Dropout, DropoutShape};
use crate::math::elementwise::Gated;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which stacks there are, and what they see (Raffel et al. 2020, section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// Encoder and decoder with variables of their own.
    EncoderDecoder,
    /// Encoder and decoder with the same variables; attention between them is the decoder's alone.
    Shared,
    /// One stack; a position sees itself and what is before it.
    LanguageModel,
    /// One stack; a position also sees all of its example's input part. An example is `inputs EOS targets EOS`.
    PrefixLm,
}

impl Architecture {
    /// The name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Architecture::EncoderDecoder => "encoder_decoder",
            Architecture::Shared => "shared",
            Architecture::LanguageModel => "language_model",
            Architecture::PrefixLm => "prefix_lm",
        }
    }

    /// Whether there is an encoder.
    pub fn has_encoder(self) -> bool {
        matches!(self, Architecture::EncoderDecoder | Architecture::Shared)
    }
}

/// What is between the two matrices of a feed-forward layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `max(0, x)`: T5.
    Relu,
    /// `gelu(x W_0) * (x W_1)`, gelu by its tanh formula: T5 v1.1 (Shazeer 2020).
    GatedGelu,
    /// `silu(x W_0) * (x W_1)`: SwiGLU of the same paper.
    GatedSilu,
}

impl Activation {
    /// What becomes of the first half of a gated layer; `None` without a gate.
    pub(crate) fn gated(self) -> Option<Gated> {
        match self {
            Activation::Relu => None,
            Activation::GatedGelu => Some(Gated::Gelu),
            Activation::GatedSilu => Some(Gated::Silu),
        }
    }
}

/// Where logits come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Head {
    /// From the token embedding, times `d_model^-0.5`: T5.
    Tied,
    /// From a matrix of its own: T5 v1.1.
    Untied,
}

/// Which layers of a stack read the same table of relative positions (§2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RelativeBias {
    /// All of them: T5.
    #[default]
    Shared,
    /// Each has a table of its own: umT5 (Chung et al. 2023).
    EachLayer,
}

impl RelativeBias {
    fn is_shared(&self) -> bool {
        *self == RelativeBias::Shared
    }
}

/// By what the summed loss is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Denominator {
    /// All target positions, padding included, as in Mesh TensorFlow: a step's weight does not depend on its padding.
    #[default]
    Positions,
    /// Target positions that count: the mean, as in Hugging Face.
    Targets,
}

/// Which targets count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LossOn {
    /// All targets that are not padding.
    #[default]
    All,
    /// For examples `inputs EOS targets EOS` in one sequence: those after the first EOS.
    AfterInputs,
}

/// A model's sizes and settings. Unknown keys are refused.
///
/// ```
/// use t5_trainer::ModelConfig;
/// let base = ModelConfig::named("base")?;
/// assert_eq!((base.d_model, base.heads, base.encoder_layers), (768, 12, 12));
/// assert_eq!(base.parameters(), Some(222_903_552));
/// # Ok::<(), t5_trainer::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Which stacks there are, and what they see.
    ///
    /// Source: paper, section 3.2.
    pub architecture: Architecture,
    /// Rows of the embedding: left out, the ids of the vocabulary, rounded up to a multiple of 128.
    ///
    /// Unit: ids. Source: 32,128 for T5's 32,100 ids in the released models.
    pub vocab_size: usize,
    /// Width of the residual stream.
    ///
    /// Unit: values. Source: paper, sections 3.1.1 and 3.7.
    pub d_model: usize,
    /// Width inside of a feed-forward layer.
    ///
    /// Unit: values. Source: paper, sections 3.1.1 and 3.7.
    pub d_ff: usize,
    /// Width of an attention's head.
    ///
    /// Unit: values. Source: paper, sections 3.1.1 and 3.7.
    pub d_kv: usize,
    /// Heads of an attention; `heads * d_kv` need not be `d_model`.
    ///
    /// Unit: heads. Source: paper, sections 3.1.1 and 3.7.
    pub heads: usize,
    /// Layers of the encoder; 0 without one.
    ///
    /// Unit: layers. Source: paper, sections 3.1.1 and 3.7.
    pub encoder_layers: usize,
    /// Layers of the decoder, or of the only stack.
    ///
    /// Unit: layers. Source: paper, sections 3.1.1 and 3.7.
    pub decoder_layers: usize,
    /// What is between the two matrices of a feed-forward layer.
    ///
    /// Source: relu in T5 (paper, section 2.1), gated_gelu in v1.1 (Shazeer 2020).
    pub activation: Activation,
    /// Width inside of the adapter behind each feed-forward layer (norm, dense, relu, dense, residual); 0: there are
    /// none.
    ///
    /// Unit: values. Default: `0`. Source: 32, 128, 512 and 2048 in the paper, section 3.5.1 (Houlsby et al. 2019).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub adapter: usize,
    /// Which matrix the logits come from.
    ///
    /// Source: tied in T5 (paper, section 2.1), untied in v1.1.
    pub head: Head,
    /// Rate of dropout in training.
    ///
    /// Unit: share of the values. Source: 0.1 in T5 (paper, section 3.1.1), 0 in v1.1's pre-training.
    #[serde(default)]
    pub dropout: f32,
    /// Which elements share a draw of dropout.
    ///
    /// Source: Mesh TensorFlow, with which T5 was trained.
    #[serde(default)]
    pub dropout_shape: DropoutShape,
    /// Factor of `ln(Z)^2` in the loss of training.
    ///
    /// Unit: none. Source: Mesh TensorFlow's default; not in the paper.
    #[serde(default = "z_loss")]
    pub z_loss: f32,
    /// By what the summed loss of a step is divided.
    ///
    /// Source: Mesh TensorFlow.
    #[serde(default)]
    pub denominator: Denominator,
    /// Which targets count in the loss.
    ///
    /// Source: paper, section 3.2.1.
    #[serde(default)]
    pub loss_on: LossOn,
    /// Added to the mean square of a norm.
    ///
    /// Unit: square of a value. Source: Mesh TensorFlow's default.
    #[serde(default = "norm_epsilon")]
    pub norm_epsilon: f32,
    /// Rows of a table of relative positions, a multiple of 4.
    ///
    /// Unit: rows. Source: paper, section 2.1.
    #[serde(default = "relative_buckets")]
    pub relative_buckets: usize,
    /// Distance from which on all relative positions share a row.
    ///
    /// Unit: tokens. Source: paper, section 2.1.
    #[serde(default = "relative_max_distance")]
    pub relative_max_distance: usize,
    /// Which layers of a stack read the same table of relative positions.
    ///
    /// Source: paper, section 2.1; `each_layer` is umT5's.
    #[serde(default, skip_serializing_if = "RelativeBias::is_shared")]
    pub relative_bias: RelativeBias,
    /// Whether what is inside of a sublayer is computed again in the backward pass: more time, less memory, the
    /// same bits.
    ///
    /// Source: Chen et al. 2016.
    #[serde(default)]
    pub recompute: bool,
}

fn is_zero(width: &usize) -> bool {
    *width == 0
}
fn z_loss() -> f32 {
    1e-4
}
fn norm_epsilon() -> f32 {
    1e-6
}
fn relative_buckets() -> usize {
    32
}
fn relative_max_distance() -> usize {
    128
}

/// EOS in T5's vocabulary.
pub const EOS: u32 = 1;

/// T5's 32,000 pieces and 100 sentinels, padded to a multiple of 128.
pub const VOCAB_SIZE: usize = 32_128;

/// Name, layers of each stack, d_model, d_ff, d_kv, heads. T5: Raffel et al. 2020, §3.7 and Table 13 (`2x`, `4x`),
/// v1.1: the configurations `t5.1.1.*.gin` of the released code. `tiny` is ours: what trains on a laptop.
const SIZES: [(&str, usize, usize, usize, usize, usize); 14] = [
    ("tiny", 4, 256, 1024, 64, 4),
    ("small", 6, 512, 2048, 64, 8),
    ("base", 12, 768, 3072, 64, 12),
    ("large", 24, 1024, 4096, 64, 16),
    ("3b", 24, 1024, 16_384, 128, 32),
    ("11b", 24, 1024, 65_536, 128, 128),
    ("2x", 16, 1024, 4096, 64, 16),
    ("4x", 32, 1024, 4096, 64, 16),
    ("v1.1-tiny", 2, 32, 64, 64, 2),
    ("v1.1-small", 8, 512, 1024, 64, 6),
    ("v1.1-base", 12, 768, 2048, 64, 12),
    ("v1.1-large", 24, 1024, 2816, 64, 16),
    ("v1.1-xl", 24, 2048, 5120, 64, 32),
    ("v1.1-xxl", 24, 4096, 10_240, 64, 64),
];

impl ModelConfig {
    /// The dropout of a batch; `None` where the model has none.
    pub(crate) fn dropout_of(&self, seed: u64) -> Option<Dropout> {
        (self.dropout > 0.0).then_some(Dropout {
            rate: self.dropout,
            shape: self.dropout_shape,
            seed,
        })
    }

    /// Elements of a row with `length` positions at the place that has most of those that dropout and kernels count:
    /// the residual stream and the inside of a feed-forward layer, `[length, width]`; and where there is dropout,
    /// attention's weights, `[heads, queries, keys]`, or `[heads, keys]` where queries share a draw.
    pub(crate) fn counted_elements(&self, length: usize) -> u64 {
        let (length, heads) = (length as u64, self.heads as u64);
        let width = self.d_model.max(self.d_ff).max(self.adapter) as u64;
        let queries = match self.dropout_shape {
            _ if self.dropout == 0.0 => 0,
            DropoutShape::AcrossLength => 1,
            DropoutShape::Elementwise => length,
        };
        let weights = length.saturating_mul(queries).saturating_mul(heads);
        length.saturating_mul(width).max(weights)
    }

    /// The names [`named`](ModelConfig::named) knows.
    pub fn names() -> impl Iterator<Item = &'static str> {
        SIZES.iter().map(|size| size.0)
    }

    /// A published size, as an encoder-decoder. T5 has dropout 0.1, v1.1 none (as in its pre-training).
    ///
    /// # Errors
    /// An unknown name.
    pub fn named(name: &str) -> Result<ModelConfig, Error> {
        let Some(&(name, layers, d_model, d_ff, d_kv, heads)) = SIZES.iter().find(|size| size.0 == name) else {
            let names: Vec<_> = ModelConfig::names().collect();
            return Err(Error::Setting(format!(
                "there is no model size `{name}`; take one of {}",
                names.join(", ")
            )));
        };
        let gated = name.starts_with("v1.1");
        Ok(ModelConfig {
            architecture: Architecture::EncoderDecoder,
            vocab_size: VOCAB_SIZE,
            d_model,
            d_ff,
            d_kv,
            heads,
            encoder_layers: layers,
            decoder_layers: layers,
            activation: if gated { Activation::GatedGelu } else { Activation::Relu },
            adapter: 0,
            head: if gated { Head::Untied } else { Head::Tied },
            dropout: if gated { 0.0 } else { 0.1 },
            dropout_shape: DropoutShape::default(),
            z_loss: z_loss(),
            denominator: Denominator::default(),
            loss_on: LossOn::default(),
            norm_epsilon: norm_epsilon(),
            relative_buckets: relative_buckets(),
            relative_max_distance: relative_max_distance(),
            relative_bias: RelativeBias::default(),
            recompute: false,
        })
    }

    /// These sizes with other stacks: a language model has the decoder's layers only.
    pub fn with_architecture(self, architecture: Architecture) -> ModelConfig {
        ModelConfig {
            architecture,
            encoder_layers: match architecture {
                Architecture::EncoderDecoder => self.encoder_layers,
                Architecture::Shared => self.decoder_layers,
                Architecture::LanguageModel | Architecture::PrefixLm => 0,
            },
            ..self
        }
    }

    /// Width of all heads together.
    pub fn heads_width(&self) -> usize {
        self.heads * self.d_kv
    }

    /// Matrices that read a feed-forward layer's input.
    pub fn feed_forward_inputs(&self) -> usize {
        match self.activation.gated() {
            None => 1,
            Some(_) => 2,
        }
    }

    /// Refuses what cannot be.
    ///
    /// # Errors
    /// Says which setting, and what to do.
    pub fn validate(&self) -> Result<(), Error> {
        // Far above any model there is; and products of two of them stay in range.
        for (key, value, most) in [
            ("vocab_size", self.vocab_size, 1 << 24),
            ("d_model", self.d_model, 1 << 16),
            ("d_ff", self.d_ff, 1 << 20),
            ("d_kv", self.d_kv, 1 << 16),
            ("heads", self.heads, 1 << 12),
            ("decoder_layers", self.decoder_layers, 1 << 10),
            ("relative_max_distance", self.relative_max_distance, 1 << 24),
            ("relative_buckets", self.relative_buckets, 1 << 16),
        ] {
            limits::whole(key, value, 1..=most)?;
        }
        limits::whole("encoder_layers", self.encoder_layers, 0..=1 << 10)?;
        limits::whole("adapter", self.adapter, 0..=1 << 20)?;
        let encoder_layers = match self.architecture {
            Architecture::EncoderDecoder if self.encoder_layers > 0 => self.encoder_layers,
            Architecture::EncoderDecoder => 1,
            Architecture::Shared => self.decoder_layers,
            Architecture::LanguageModel | Architecture::PrefixLm => 0,
        };
        if self.encoder_layers != encoder_layers {
            let problem = format!("does not go with this architecture; give {encoder_layers}");
            return Err(limits::refuse("encoder_layers", self.encoder_layers, problem));
        }
        let rate = |rate| (0.0..1.0).contains(&rate);
        limits::real("dropout", self.dropout, rate, "from 0 to below 1")?;
        let not_negative = |value| value >= 0.0;
        limits::real("z_loss", self.z_loss, not_negative, "not negative")?;
        limits::real("norm_epsilon", self.norm_epsilon, not_negative, "not negative")?;
        if self.relative_buckets < 4 || !self.relative_buckets.is_multiple_of(4) {
            let problem = "must be a multiple of 4";
            return Err(limits::refuse("relative_buckets", self.relative_buckets, problem));
        }
        if self.relative_max_distance <= self.relative_buckets / 2 {
            return Err(limits::refuse(
                "relative_max_distance",
                self.relative_max_distance,
                "must be more than half of relative_buckets",
            ));
        }
        if self.loss_on == LossOn::AfterInputs && self.architecture.has_encoder() {
            return Err(Error::Setting(
                "loss_on = \"after_inputs\" is for language models; an encoder-decoder's targets hold no inputs".into(),
            ));
        }
        // Beyond this no buffer's size in bytes is a number, whatever the machine's memory.
        const MOST: u64 = 1 << 48;
        match self.parameters() {
            Some(parameters) if parameters <= MOST => Ok(()),
            parameters => Err(Error::Setting(format!(
                "this model would have {} parameters, and none has more than {MOST}; lower its sizes (d_model, d_ff, d_kv, heads, layers)",
                parameters.map_or("more than 10^19".to_owned(), |n| n.to_string())
            ))),
        }
    }

    /// How many parameters the model has; `None` where that is more than a number holds. Cheap, in contrast to a
    /// [`Layout`](super::Layout).
    pub fn parameters(&self) -> Option<u64> {
        let number = |n: usize| u64::try_from(n).ok();
        let product = |a: usize, b: usize| number(a)?.checked_mul(number(b)?);
        let d = number(self.d_model)?;
        // A norm and four matrices; a norm and two or three.
        let matrix = d.checked_mul(product(self.heads, self.d_kv)?)?;
        let attention = matrix.checked_mul(4)?.checked_add(d)?;
        let matrices = number(self.feed_forward_inputs())? + 1;
        let feed_forward = product(self.d_model, self.d_ff)?
            .checked_mul(matrices)?
            .checked_add(d)?;
        let adapter = match self.adapter {
            0 => 0,
            width => product(2 * self.d_model, width)?.checked_add(d)?,
        };
        let feed_forward = feed_forward.checked_add(adapter)?;
        let stack = |layers: usize, attentions: u64| {
            let layer = attention.checked_mul(attentions)?.checked_add(feed_forward)?;
            let tables = match self.relative_bias {
                RelativeBias::Shared => layers.min(1),
                RelativeBias::EachLayer => layers,
            };
            let tables = product(self.relative_buckets, self.heads)?.checked_mul(number(tables)?)?;
            let layers = layer.checked_mul(number(layers)?)?;
            layers.checked_add(tables)?.checked_add(d)
        };
        let cross = u64::from(self.architecture.has_encoder());
        let mut all = stack(self.decoder_layers, 1 + cross)?;
        if self.architecture == Architecture::EncoderDecoder {
            all = all.checked_add(stack(self.encoder_layers, 1)?)?;
        }
        let tables = match self.head {
            Head::Tied => 1,
            Head::Untied => 2,
        };
        let table = product(self.vocab_size, self.d_model)?;
        all.checked_add(table.checked_mul(tables)?)
    }
}
