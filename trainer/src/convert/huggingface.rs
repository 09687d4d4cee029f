//! Models as folders of Hugging Face's transformers: `config.json` and `model.safetensors`.

use crate::Error;
use crate::base::tensor_file;
use crate::model::{Activation, Architecture, EOS, Head, ModelConfig, T5, Variable};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, View};
use serde::Deserialize;
use serde_json::json;
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
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
    #[serde(default = "relu")]
    feed_forward_proj: String,
    #[serde(default = "tied")]
    tie_word_embeddings: bool,
    scale_decoder_outputs: Option<bool>,
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
fn relu() -> String {
    "relu".into()
}
fn tied() -> bool {
    true
}

/// Reads a T5 or T5 v1.1 from a folder; values in f32, bf16 or f16, one file or several with an index.
/// Settings of the loss, which the folder does not have, are our defaults.
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
    let text = match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let problem = "missing; give a folder that `save_pretrained` wrote, with config.json and model.safetensors";
            return Err(Error::format(&path, problem));
        }
        text => text.map_err(|error| Error::io(&path, error))?,
    };
    let config: TransformersConfig =
        serde_json::from_slice(&text).map_err(|error| Error::format(&path, error.to_string()))?;
    if config.model_type != "t5" {
        let problem = format!("model_type is `{}`; take a T5 or T5 v1.1", config.model_type);
        return Err(Error::format(&path, problem));
    }
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
    let activation = match &config.feed_forward_proj[..] {
        "relu" => Activation::Relu,
        "gated-gelu" | "gated-gelu_new" => Activation::GatedGelu,
        "gated-silu" | "gated-swish" => Activation::GatedSilu,
        other => {
            let problem = format!("feed_forward_proj is `{other}`; only relu, gated-gelu and gated-silu can be read");
            return Err(Error::format(&path, problem));
        }
    };
    let tied = config.tie_word_embeddings;
    // transformers 5 writes `tied` for every model, and what it does in `scale_decoder_outputs`; before, one was the other.
    let scaled = tied && config.scale_decoder_outputs.unwrap_or(true);
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
    for path in weight_files(folder)? {
        let bytes = std::fs::read(&path).map_err(|error| Error::io(&path, error))?;
        let file = SafeTensors::deserialize(&bytes).map_err(|error| Error::format(&path, error.to_string()))?;
        let mut tensors = file.tensors();
        // Else another of them would be named each time.
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, tensor) in tensors {
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
            if tensor.shape() != variable.shape {
                let (is, should) = (tensor.shape(), &variable.shape);
                let problem = format!("variable `{name}` is {is:?}, by config.json it should be {should:?}");
                return Err(Error::format(&path, problem));
            }
            let values = values(&path, &name, &tensor)?;
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

fn weight_files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let (index, single) = (folder.join(INDEX), folder.join(WEIGHTS));
    if !index.exists() {
        let pickled = ["pytorch_model.bin", "pytorch_model.bin.index.json"];
        let problem = match pickled.iter().find(|name| folder.join(name).exists()) {
            _ if single.exists() => return Ok(vec![single]),
            Some(name) => format!(
                "missing; there is {name}, which runs code when it is read: in Python, \
                 `T5ForConditionalGeneration.from_pretrained(FOLDER).save_pretrained(OTHER)` writes a folder with safetensors"
            ),
            None => "missing; give a folder that `save_pretrained` wrote".to_owned(),
        };
        return Err(Error::format(&single, problem));
    }
    #[derive(Deserialize)]
    struct Index {
        weight_map: HashMap<String, String>,
    }
    let text = std::fs::read(&index).map_err(|error| Error::io(&index, error))?;
    let parsed: Index = serde_json::from_slice(&text).map_err(|error| Error::format(&index, error.to_string()))?;
    let files: BTreeSet<String> = parsed.weight_map.into_values().collect();
    Ok(files.into_iter().map(|file| folder.join(file)).collect())
}

fn values(path: &Path, name: &str, tensor: &TensorView<'_>) -> Result<Vec<f32>, Error> {
    let data = tensor.data();
    let (pairs, _) = data.as_chunks::<2>();
    let (quads, _) = data.as_chunks::<4>();
    match tensor.dtype() {
        Dtype::F32 => Ok(quads.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()),
        Dtype::BF16 => Ok(pairs
            .iter()
            .map(|bytes| half::bf16::from_le_bytes(*bytes).to_f32())
            .collect()),
        Dtype::F16 => Ok(pairs
            .iter()
            .map(|bytes| half::f16::from_le_bytes(*bytes).to_f32())
            .collect()),
        other => {
            let problem = format!("variable `{name}` is {other:?}; only F32, BF16 and F16 can be read");
            Err(Error::format(path, problem))
        }
    }
}

/// A variable as transformers names it.
struct NamedValues<'a> {
    variable: &'a Variable,
    values: &'a [f32],
}

impl View for NamedValues<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.variable.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn data_len(&self) -> usize {
        self.values.len() * 4
    }
}

/// Writes a model that `T5ForConditionalGeneration.from_pretrained` reads, as f32. Shared variables are written twice, so the
/// model is the same there, but no longer shared. The folder is made where it is missing.
///
/// # Errors
/// A language model (transformers' T5 has none), or a file that cannot be written.
pub fn save(model: &T5, folder: &Path) -> Result<(), Error> {
    let config = model.config();
    if !config.architecture.has_encoder() {
        return Err(Error::Setting(format!(
            "Hugging Face has no class for a T5 of architecture {}; encoder_decoder and shared can be exported",
            config.architecture.name()
        )));
    }
    std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
    let mut tensors = Vec::new();
    for variable in model.layout().variables() {
        let tensor = || NamedValues {
            variable,
            values: &model.parameters()[variable.range.clone()],
        };
        tensors.push((variable.name.clone(), tensor()));
        if config.architecture == Architecture::Shared
            && let Some(name) = encoder_name(&variable.name)
        {
            tensors.push((name, tensor()));
        }
    }
    let (projection, function) = match config.activation {
        Activation::Relu => ("relu", "relu"),
        Activation::GatedGelu => ("gated-gelu", "gelu_new"),
        Activation::GatedSilu => ("gated-silu", "silu"),
    };
    let tied = config.head == Head::Tied;
    let json = json!({
        "architectures": ["T5ForConditionalGeneration"],
        "model_type": "t5",
        "d_model": config.d_model,
        "d_kv": config.d_kv,
        "d_ff": config.d_ff,
        "num_layers": config.encoder_layers,
        "num_decoder_layers": config.decoder_layers,
        "num_heads": config.heads,
        "relative_attention_num_buckets": config.relative_buckets,
        "relative_attention_max_distance": config.relative_max_distance,
        "dropout_rate": shortest(config.dropout),
        "layer_norm_epsilon": shortest(config.norm_epsilon),
        "feed_forward_proj": projection,
        "dense_act_fn": function,
        "is_gated_act": config.activation != Activation::Relu,
        "tie_word_embeddings": tied,
        "scale_decoder_outputs": tied,
        "vocab_size": config.vocab_size,
        "is_encoder_decoder": true,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "decoder_start_token_id": 0,
        "initializer_factor": 1.0,
        "use_cache": true,
        "dtype": "float32",
        "torch_dtype": "float32",
    });
    let path = folder.join(CONFIG);
    let text = format!("{json:#}\n");
    tensor_file::write_model(&folder.join(WEIGHTS), tensors, (&path, text.as_bytes()))
}

/// The number that a person would write for it: 0.1, not 0.10000000149011612.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

/// The encoder's name of a decoder's variable; none of attention to the encoder.
fn encoder_name(name: &str) -> Option<String> {
    let rest = name.strip_prefix("decoder.")?;
    if rest.contains(".EncDecAttention.") || rest.contains(".layer.1.layer_norm") {
        return None;
    }
    Some(format!("encoder.{}", rest.replace(".layer.2.", ".layer.1.")))
}
