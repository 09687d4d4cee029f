//! A model of ours as a folder of Hugging Face's transformers.

use super::huggingface::CONFIG;
use super::tasks::{self, TaskMap};
use super::weights::{INDEX, WEIGHTS};
use crate::Error;
use crate::base::tensor_file;
use crate::model::{Activation, Architecture, Head, ModelConfig, RelativeBias, T5, Variable};
use safetensors::tensor::{Dtype, View};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::str::FromStr;

const GENERATION: &str = "generation_config.json";

/// The type in which a model's values are saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SavedType {
    /// As they are trained.
    #[default]
    F32,
    /// Rounded to the nearest, half of the size.
    Bf16,
}

impl FromStr for SavedType {
    type Err = String;

    fn from_str(text: &str) -> Result<SavedType, String> {
        match text {
            "f32" => Ok(SavedType::F32),
            "bf16" => Ok(SavedType::Bf16),
            _ => Err("write f32 or bf16".to_owned()),
        }
    }
}

impl SavedType {
    fn bytes(self) -> u64 {
        match self {
            SavedType::F32 => 4,
            SavedType::Bf16 => 2,
        }
    }

    /// PyTorch's name.
    pub fn name(self) -> &'static str {
        match self {
            SavedType::F32 => "float32",
            SavedType::Bf16 => "bfloat16",
        }
    }
}

/// How a model is saved.
#[derive(Debug, Clone, PartialEq)]
pub struct SaveOptions {
    /// The type of its values.
    pub dtype: SavedType,
    /// Bytes of a file of weights at most, unless one variable alone has more.
    pub shard_bytes: u64,
    /// What it is asked for each task: `task_specific_params` of config.json, and of one task alone
    /// generation_config.json.
    pub tasks: TaskMap,
}

impl Default for SaveOptions {
    /// f32, and 5 GB as in transformers 4.
    fn default() -> SaveOptions {
        SaveOptions {
            dtype: SavedType::F32,
            shard_bytes: 5_000_000_000,
            tasks: TaskMap::new(),
        }
    }
}

/// A variable as transformers names it.
struct NamedValues<'a> {
    variable: &'a Variable,
    values: &'a [f32],
    dtype: SavedType,
}

impl NamedValues<'_> {
    fn bytes(&self) -> u64 {
        self.values.len() as u64 * self.dtype.bytes()
    }
}

impl View for NamedValues<'_> {
    fn dtype(&self) -> Dtype {
        match self.dtype {
            SavedType::F32 => Dtype::F32,
            SavedType::Bf16 => Dtype::BF16,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.variable.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let values = self.values.iter();
        match self.dtype {
            SavedType::F32 => values.flat_map(|value| value.to_le_bytes()).collect(),
            SavedType::Bf16 => values
                .flat_map(|value| half::bf16::from_f32(*value).to_le_bytes())
                .collect(),
        }
    }

    fn data_len(&self) -> usize {
        self.bytes() as usize
    }
}

/// Writes a model that `T5ForConditionalGeneration.from_pretrained` reads, umT5's class where each layer has its own
/// relative positions; gives the names of the files. Shared variables are written twice, so the model is the same
/// there, but no longer shared. The folder is made where it is missing.
///
/// # Errors
/// A language model or adapters (transformers' T5 has neither), values that bf16 does not have, or a file that cannot
/// be written.
pub fn save(model: &T5, folder: &Path, options: &SaveOptions) -> Result<Vec<String>, Error> {
    let config = model.config();
    if !config.architecture.has_encoder() {
        return Err(Error::Setting(format!(
            "Hugging Face has no class for a T5 of architecture {}; encoder_decoder and shared can be exported",
            config.architecture.name()
        )));
    }
    if config.adapter > 0 {
        return Err(Error::Setting(format!(
            "the model has adapters (model.adapter = {}), and Hugging Face's T5 has none, so it cannot be exported; let it be used by t5 \
             generate and t5 eval, or train without adapters: all parameters, or some of them by transfer.kind = only",
            config.adapter
        )));
    }
    let too_large = |value: &&f32| !half::bf16::from_f32(**value).is_finite();
    if options.dtype == SavedType::Bf16
        && let Some(value) = model.parameters().iter().find(too_large)
    {
        let problem = format!("the model has the value {value:e}, which is infinite in bf16; export it as f32");
        return Err(Error::Setting(problem));
    }
    std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
    let mut tensors = Vec::new();
    for variable in model.layout().variables() {
        let tensor = || NamedValues {
            variable,
            values: &model.parameters()[variable.range.clone()],
            dtype: options.dtype,
        };
        tensors.push((variable.name.clone(), tensor()));
        if config.architecture == Architecture::Shared
            && let Some(name) = encoder_name(&variable.name)
        {
            tensors.push((name, tensor()));
        }
    }
    let text = |json: &Value| format!("{json:#}\n").into_bytes();
    let mut generation = json!({"decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0});
    let mut settings = config_json(config, options.dtype);
    tasks::add(&options.tasks, &mut settings, &mut generation)
        .map_err(|error| Error::format(&folder.join(CONFIG), error.to_string()))?;
    let mut notes = vec![
        (folder.join(CONFIG), text(&settings)),
        (folder.join(GENERATION), text(&generation)),
    ];
    let total: u64 = tensors.iter().map(|(_, tensor)| tensor.bytes()).sum();
    let shards = shards(tensors, options.shard_bytes);
    let count = shards.len();
    if count > 1 && folder.join(WEIGHTS).exists() {
        // Who reads the folder would take that one.
        let problem = "holds a model in one file, and this one goes into several; name another folder";
        return Err(Error::format(folder, problem));
    }
    let mut map = Map::new();
    let mut files: Vec<(PathBuf, Vec<(String, NamedValues<'_>)>)> = Vec::new();
    for (number, shard) in (1..).zip(shards) {
        let file = match count {
            1 => WEIGHTS.to_owned(),
            _ => format!("model-{number:05}-of-{count:05}.safetensors"),
        };
        map.extend(shard.iter().map(|(name, _)| (name.clone(), file.clone().into())));
        files.push((folder.join(file), shard));
    }
    if count > 1 {
        let index = json!({"metadata": {"total_size": total}, "weight_map": map});
        notes.push((folder.join(INDEX), text(&index)));
    }
    let paths = notes
        .iter()
        .map(|(path, _)| path)
        .chain(files.iter().map(|(path, _)| path));
    let names = paths.map(|path| path.file_name().unwrap_or_default().to_string_lossy().into_owned());
    let names = names.collect();
    tensor_file::write_model(files, &notes)?;
    Ok(names)
}

/// Tensors in files of so many bytes, in order.
fn shards(tensors: Vec<(String, NamedValues<'_>)>, most: u64) -> Vec<Vec<(String, NamedValues<'_>)>> {
    let mut shards = vec![Vec::new()];
    let mut bytes = 0;
    for (name, tensor) in tensors {
        let size = tensor.bytes();
        if bytes > 0 && bytes + size > most {
            shards.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(shard) = shards.last_mut() {
            shard.push((name, tensor));
        }
    }
    shards
}

fn config_json(config: &ModelConfig, dtype: SavedType) -> Value {
    let (class, model_type) = match config.relative_bias {
        RelativeBias::Shared => ("T5ForConditionalGeneration", "t5"),
        RelativeBias::EachLayer => ("UMT5ForConditionalGeneration", "umt5"),
    };
    let (projection, function) = match config.activation {
        Activation::Relu => ("relu", "relu"),
        Activation::GatedGelu => ("gated-gelu", "gelu_new"),
        Activation::GatedSilu => ("gated-silu", "silu"),
    };
    let tied = config.head == Head::Tied;
    json!({
        "architectures": [class],
        "model_type": model_type,
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
        "dtype": dtype.name(),
        "torch_dtype": dtype.name(),
    })
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
