//! A folder of Hugging Face's transformers as a model of ours: `config.json`, and the weights.

use super::weights::{self, WEIGHTS, WeightFile};
use crate::Error;
use crate::model::{Activation, EOS, Head, ModelConfig, RelativeBias, T5};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

pub(crate) const CONFIG: &str = "config.json";
const EMBEDDING: &str = "shared.weight";
const HEAD: &str = "lm_head.weight";

/// What we read of `config.json`; defaults are those of transformers' `T5Config`.
#[derive(Deserialize)]
struct TransformersConfig {
    model_type: String,
    vocab_size: usize,
    d_model: usize,
    d_kv: usize,
    d_ff: usize,
    num_layers: usize,
    num_decoder_layers: Option<usize>,
    num_heads: usize,
    #[serde(default = "buckets")]
    relative_attention_num_buckets: usize,
    #[serde(default = "max_distance")]
    relative_attention_max_distance: usize,
    #[serde(default = "dropout_rate")]
    dropout_rate: f32,
    #[serde(default = "epsilon")]
    layer_norm_epsilon: f32,
    feed_forward_proj: Option<String>,
    tie_word_embeddings: Option<bool>,
    scale_decoder_outputs: Option<bool>,
    transformers_version: Option<String>,
    pad_token_id: Option<u32>,
    eos_token_id: Option<OneOrMany>,
    decoder_start_token_id: Option<u32>,
}

/// One id, or a list of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(u32),
    Some(Vec<u32>),
}

fn buckets() -> usize {
    32
}
fn max_distance() -> usize {
    128
}
fn dropout_rate() -> f32 {
    0.1
}
fn epsilon() -> f32 {
    1e-6
}

/// Which of transformers' models it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// T5 and T5 v1.1.
    T5,
    /// mT5: T5 v1.1 with another vocabulary.
    Mt5,
    /// umT5: mT5 with a table of relative positions for each layer.
    Umt5,
}

/// What others with T5 in their name are.
const OTHERS: [(&str, &str); 6] = [
    ("t5gemma", "T5Gemma: a Gemma with an encoder"),
    ("t5gemma2", "T5Gemma 2: a Gemma with an encoder"),
    ("longt5", "LongT5, whose attention is local"),
    ("switch_transformers", "a Switch Transformer, whose layers have experts"),
    ("pix2struct", "Pix2Struct, which reads pictures"),
    ("udop", "UDOP, which reads pictures"),
];

impl TransformersConfig {
    /// The error names other kinds of models.
    fn kind(&self, path: &Path) -> Result<Kind, Error> {
        kind(&self.model_type).map_err(|problem| Error::format(path, problem))
    }

    fn is_of_version_5(&self) -> bool {
        let version = self.transformers_version.as_deref().unwrap_or_default();
        let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        major.is_some_and(|major| major >= 5)
    }
}

fn kind(model_type: &str) -> Result<Kind, String> {
    match model_type {
        "t5" => Ok(Kind::T5),
        "mt5" => Ok(Kind::Mt5),
        "umt5" => Ok(Kind::Umt5),
        other => {
            let named = OTHERS.iter().find(|(name, _)| *name == other);
            let what = named.map_or(String::new(), |(_, what)| format!(" ({what})"));
            Err(format!(
                "model_type is `{other}`{what}; take a T5, T5 v1.1, mT5 or umT5"
            ))
        }
    }
}

fn read_config(path: &Path) -> Result<TransformersConfig, Error> {
    let text = match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let problem = "missing; give a folder that `save_pretrained` wrote, with config.json and model.safetensors";
            return Err(Error::format(path, problem));
        }
        text => text.map_err(|error| Error::io(path, error))?,
    };
    let wrong = |error: serde_json::Error| Error::format(path, error.to_string());
    let config: Value = serde_json::from_slice(&text).map_err(wrong)?;
    // First: another kind of model has other keys.
    match config["model_type"].as_str() {
        Some(model_type) => kind(model_type).map_err(|problem| Error::format(path, problem))?,
        None => {
            return Err(Error::format(
                path,
                "has no model_type; take a T5, T5 v1.1, mT5 or umT5",
            ));
        }
    };
    TransformersConfig::deserialize(config).map_err(wrong)
}

/// Reads a T5, T5 v1.1 or mT5 from a folder; values in f32, bf16 or f16, as safetensors or as `pytorch_model.bin`
/// (without running any of its code), one file or several with an index. Settings of the loss, which the folder does
/// not have, are our defaults.
///
/// # Errors
/// A file that cannot be read, another kind of model, or a variable that is missing or has another shape.
///
/// ```
/// use std::path::Path;
/// let missing = t5_trainer::load(Path::new("no/such/folder"));
/// assert!(missing.is_err_and(|error| error.to_string().contains("save_pretrained")));
/// ```
pub fn load(folder: &Path) -> Result<T5, Error> {
    let path = folder.join(CONFIG);
    let config = read_config(&path)?;
    let ends = match &config.eos_token_id {
        Some(OneOrMany::One(id)) => std::slice::from_ref(id),
        Some(OneOrMany::Some(ids)) => ids,
        None => &[],
    };
    let one = |id: &Option<u32>| id.as_slice().to_vec();
    for (key, ids, ours) in [
        ("pad_token_id", one(&config.pad_token_id), 0),
        ("eos_token_id", ends.to_vec(), EOS),
        ("decoder_start_token_id", one(&config.decoder_start_token_id), 0),
    ] {
        if let Some(id) = ids.iter().find(|id| **id != ours) {
            let problem = format!("{key} is {id}; only a T5 where it is {ours} alone can be read");
            return Err(Error::format(&path, problem));
        }
    }
    let kind = config.kind(&path)?;
    let projection = config.feed_forward_proj.as_deref().unwrap_or(match kind {
        Kind::T5 => "relu",
        Kind::Mt5 | Kind::Umt5 => "gated-gelu",
    });
    let activation = match projection {
        "relu" => Activation::Relu,
        "gated-gelu" | "gated-gelu_new" => Activation::GatedGelu,
        "gated-silu" | "gated-swish" => Activation::GatedSilu,
        other => {
            let problem = format!("feed_forward_proj is `{other}`; only relu, gated-gelu and gated-silu can be read");
            return Err(Error::format(&path, problem));
        }
    };
    let tied = config.tie_word_embeddings.unwrap_or(kind != Kind::Mt5);
    // transformers 5 writes `tied` for every model. What it does it says for T5 in `scale_decoder_outputs`; mT5's
    // outputs it never scales. Before, one was the other.
    let scaled = tied
        && match kind {
            Kind::T5 => config.scale_decoder_outputs.unwrap_or(true),
            Kind::Mt5 => !config.is_of_version_5(),
            Kind::Umt5 => true,
        };
    let config = ModelConfig {
        vocab_size: config.vocab_size,
        d_model: config.d_model,
        d_ff: config.d_ff,
        d_kv: config.d_kv,
        heads: config.num_heads,
        encoder_layers: config.num_layers,
        decoder_layers: config.num_decoder_layers.unwrap_or(config.num_layers),
        activation,
        head: if scaled { Head::Tied } else { Head::Untied },
        dropout: config.dropout_rate,
        norm_epsilon: config.layer_norm_epsilon,
        relative_buckets: config.relative_attention_num_buckets,
        relative_max_distance: config.relative_attention_max_distance,
        relative_bias: match kind {
            Kind::T5 | Kind::Mt5 => RelativeBias::Shared,
            Kind::Umt5 => RelativeBias::EachLayer,
        },
        ..ModelConfig::named("small")?
    };
    config
        .validate()
        .map_err(|error| Error::format(&path, error.to_string()))?;
    let layout = crate::model::Layout::new(&config);
    let mut parameters = layout.zeros()?;
    let mut missing: BTreeSet<&str> = layout.variables().iter().map(|variable| &variable.name[..]).collect();
    // The first name that the embedding came by.
    let mut embedded: Option<String> = None;
    for path in weights::files(folder)? {
        let mut file = WeightFile::open(&path)?;
        for (name, shape) in file.list() {
            let own = match &name[..] {
                // The embedding, which is stored by one of its names, or by several.
                "encoder.embed_tokens.weight" | "decoder.embed_tokens.weight" => EMBEDDING,
                HEAD if layout.variable(HEAD).is_none() => EMBEDDING,
                // A table that no version reads.
                "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight" => {
                    continue;
                }
                name => name,
            };
            let Some(variable) = layout.variable(own) else {
                let problem = format!("variable `{name}` is not one of a T5 with this config.json");
                return Err(Error::format(&path, problem));
            };
            if shape != variable.shape {
                let should = &variable.shape;
                let problem = format!("variable `{name}` is {shape:?}, by config.json it should be {should:?}");
                return Err(Error::format(&path, problem));
            }
            let values = file.values(&name)?;
            if values.iter().any(|value| !value.is_finite()) {
                let problem = format!("variable `{name}` holds values that are not finite");
                return Err(Error::format(&path, problem));
            }
            if own == EMBEDDING {
                match &embedded {
                    Some(other) if parameters[variable.range.clone()] != values[..] => {
                        return Err(two_embeddings(&path, other, &name));
                    }
                    Some(_) => continue,
                    None => embedded = Some(name),
                }
            }
            parameters[variable.range.clone()].copy_from_slice(&values);
            missing.remove(&variable.name[..]);
        }
    }
    // Tied, but not scaled: a matrix of its own gives the same logits.
    if tied && layout.variable(HEAD).is_some() && missing.len() == 1 {
        if missing.remove(HEAD) {
            parameters.copy_within(layout.embedding.clone(), layout.head.start);
        } else if missing.remove(EMBEDDING) {
            parameters.copy_within(layout.head.clone(), layout.embedding.start);
        }
    }
    if let Some(name) = missing.first() {
        let problem = format!("variable `{name}` is missing (with {} more)", missing.len() - 1);
        return Err(Error::format(&folder.join(WEIGHTS), problem));
    }
    T5::with_parameters(config, parameters)
}

/// The embedding by two of its names, with different values.
fn two_embeddings(path: &Path, first: &str, second: &str) -> Error {
    let problem = match [first, second].contains(&HEAD) {
        true => {
            "config.json says tie_word_embeddings, but lm_head.weight is not shared.weight; say false there for a T5 v1.1, or \
             remove lm_head.weight"
                .to_owned()
        }
        false => format!("`{first}` and `{second}` differ, and are one variable in a T5; remove the wrong one"),
    };
    Error::format(path, problem)
}
