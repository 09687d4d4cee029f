//! Reference models and cases, read in place.
#![allow(dead_code)]

pub mod archive;
pub mod corpus;
pub mod events;
pub mod program;
/// By its source: a dependency on its crate would compile the pipeline.
#[path = "../../../../tests/src/python.rs"]
pub mod python;
pub mod references;
#[path = "../../../../tests/src/skipped.rs"]
mod skipped;

pub use skipped::skipped;

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use t5_trainer::internals::{Activation, Architecture, Head, LossOn, RelativeBias};
use t5_trainer::{Batch, Sequences};
use t5_trainer::{ModelConfig, T5};

/// The folder of this crate; of tests that were taken to another machine (`make gpu-proof`), the one that stands for it
/// there.
pub fn crate_folder() -> PathBuf {
    match std::env::var_os("T5_TEST_FOLDER") {
        Some(folder) => folder.into(),
        None => env!("CARGO_MANIFEST_DIR").into(),
    }
}

/// A real input that is not part of the project, read in place; `None`, with the test noted as [`skipped`], where the
/// folder of such inputs is missing. With `CI` set it must be there.
#[track_caller]
pub fn shared(name: &str) -> Option<PathBuf> {
    let folder = crate_folder().join("../../shared");
    let path = folder.join(name);
    if !folder.exists() {
        assert!(std::env::var_os("CI").is_none(), "{} is missing", path.display());
        skipped(&format!("no {name} in ../shared"));
        return None;
    }
    assert!(path.exists(), "{} is missing in a folder that is there", path.display());
    Some(path)
}

/// A golden file of a reference (see `tests/golden/README.md`).
pub fn golden(name: &str) -> Value {
    let path = crate_folder().join("tests/golden").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Every file of a folder, at any depth, with its content.
pub fn tree(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_owned();
                files.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    files
}

pub fn floats(value: &Value) -> Vec<f32> {
    match value {
        Value::Array(values) => values.iter().flat_map(floats).collect(),
        value => vec![value.as_f64().unwrap() as f32],
    }
}

pub fn ids(value: &Value) -> Vec<u32> {
    floats(value).into_iter().map(|id| id as u32).collect()
}

/// Segments and positions of rows that hold one example each, padded with 0.
pub fn one_example_a_row(length: usize, tokens: Vec<u32>) -> Sequences {
    let segments = tokens.iter().map(|&token| u32::from(token != 0)).collect();
    let positions = tokens
        .iter()
        .enumerate()
        .map(|(i, &token)| if token == 0 { 0 } else { (i % length) as u32 });
    Sequences {
        length,
        segments,
        positions: positions.collect(),
        tokens,
    }
}

/// What the decoder reads.
pub fn shifted(targets: &Sequences) -> Vec<u32> {
    let starts = |i: usize| i.is_multiple_of(targets.length) || targets.segments[i] != targets.segments[i - 1];
    (0..targets.tokens.len())
        .map(|i| if starts(i) { 0 } else { targets.tokens[i - 1] })
        .collect()
}

/// A model that is small and has all of a T5's parts.
pub fn small(architecture: Architecture) -> ModelConfig {
    let config = ModelConfig {
        vocab_size: 48,
        d_model: 16,
        d_ff: 24,
        d_kv: 4,
        heads: 3,
        encoder_layers: 2,
        decoder_layers: 2,
        dropout: 0.0,
        ..ModelConfig::named("small").unwrap()
    };
    let config = config.with_architecture(architecture);
    let loss_on = match architecture {
        Architecture::PrefixLm => LossOn::AfterInputs,
        _ => LossOn::All,
    };
    ModelConfig { loss_on, ..config }
}

pub const ARCHITECTURES: [Architecture; 4] = [
    Architecture::EncoderDecoder,
    Architecture::Shared,
    Architecture::LanguageModel,
    Architecture::PrefixLm,
];

/// All kinds of models, small.
pub fn kinds() -> Vec<ModelConfig> {
    let gated = ModelConfig {
        activation: Activation::GatedGelu,
        head: Head::Untied,
        ..small(Architecture::EncoderDecoder)
    };
    let silu = ModelConfig {
        activation: Activation::GatedSilu,
        ..gated.clone()
    };
    // umT5's.
    let each_layer = ModelConfig {
        relative_bias: RelativeBias::EachLayer,
        ..gated.clone()
    };
    let each_layer_shared = ModelConfig {
        relative_bias: RelativeBias::EachLayer,
        ..small(Architecture::Shared)
    };
    let adapters = ModelConfig {
        adapter: 8,
        ..gated.clone()
    };
    let adapters_shared = ModelConfig {
        adapter: 20,
        ..small(Architecture::Shared)
    };
    let more = [gated, silu, each_layer, each_layer_shared, adapters, adapters_shared];
    ARCHITECTURES.into_iter().map(small).chain(more).collect()
}

/// A model whose adapters, if there are any, are no longer next to nothing.
pub fn drawn(config: &ModelConfig, seed: u64) -> T5 {
    let mut model = T5::new(config.clone(), seed).unwrap();
    for variable in model.layout().variables().to_vec() {
        if variable.name.contains(".adapter.w") {
            let values = &mut model.parameters_mut()[variable.range];
            values.iter_mut().for_each(|value| *value *= 25.0);
        }
    }
    model
}

/// Packed rows of made-up examples that fit `config`.
pub fn batch(config: &ModelConfig, rows: usize, inputs: usize, targets: usize, seed: u64) -> Batch {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut next = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut side = |length: usize, two_parts: bool| {
        let mut sequences = Sequences {
            length,
            ..Sequences::default()
        };
        for _ in 0..rows {
            let first = length / 2 + next(length / 4 + 1);
            let second = (length - first) * 3 / 4;
            let parts = [(1, first), (2, second), (0, length - first - second)];
            for (segment, len) in parts {
                for position in 0..len {
                    let end = segment > 0 && (position + 1 == len || (two_parts && position == len / 2));
                    let token = match (segment, end) {
                        (0, _) => 0,
                        (_, true) => 1,
                        _ => 2 + next(config.vocab_size - 2) as u32,
                    };
                    sequences.tokens.push(token);
                    sequences.segments.push(segment);
                    sequences.positions.push(if segment == 0 { 0 } else { position as u32 });
                }
            }
        }
        sequences
    };
    let encoder = config.architecture.has_encoder();
    let inputs = if encoder {
        side(inputs, false)
    } else {
        Sequences::default()
    };
    let targets = side(targets, !encoder);
    Batch {
        rows,
        decoder_inputs: shifted(&targets),
        inputs,
        targets,
    }
}

pub fn close(what: &str, ours: &[f32], theirs: &[f32], tolerance: f32) -> f32 {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let differences = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs());
    let worst = differences.fold(0.0, f32::max);
    assert!(worst <= tolerance, "{what}: {worst:e} away, {tolerance:e} allowed");
    worst
}

/// The largest difference over the largest value.
pub fn relative(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    let differences = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, f32::max) / theirs.iter().fold(0.0, |max: f32, x| max.max(x.abs()))
}

/// A model of `golden_t5_*.json`, with the batch it was run on.
pub fn mesh_model(name: &str) -> (Value, T5, Batch) {
    let golden = golden(&format!("golden_t5_{name}.json"));
    let size = |key: &str| golden[key].as_u64().unwrap() as usize;
    let (architecture, v1_1) = match name {
        "v1_0" => (Architecture::EncoderDecoder, false),
        "v1_1" => (Architecture::EncoderDecoder, true),
        "shared" => (Architecture::Shared, false),
        "lm" => (Architecture::LanguageModel, false),
        "prefix_lm" => (Architecture::PrefixLm, false),
        _ => panic!("{name}"),
    };
    let config = ModelConfig {
        vocab_size: size("vocab_padded"),
        d_model: size("d_model"),
        d_ff: size("d_ff"),
        d_kv: size("d_kv"),
        heads: size("heads"),
        encoder_layers: size("layers"),
        decoder_layers: size("layers"),
        dropout: 0.0,
        ..ModelConfig::named(if v1_1 { "v1.1-small" } else { "small" }).unwrap()
    };
    let mut config = config.with_architecture(architecture);
    if !architecture.has_encoder() {
        config.loss_on = LossOn::AfterInputs;
    }
    let layout = t5_trainer::internals::Layout::new(&config);
    let mut parameters = vec![f32::NAN; layout.len()];
    for (name, weight) in golden["weights"].as_object().unwrap() {
        let name = hugging_face_name(name, architecture.has_encoder());
        let variable = layout.variable(&name).unwrap_or_else(|| panic!("{name}"));
        let mut values = floats(&weight["data"]);
        // The embedding is the one matrix that Mesh and Hugging Face write the same way.
        if let [rows, columns] = variable.shape[..]
            && name != "shared.weight"
        {
            let turned = |i: usize| values[i % columns * rows + i / columns];
            values = (0..values.len()).map(turned).collect();
        }
        parameters[variable.range.clone()].copy_from_slice(&values);
    }
    assert!(
        parameters.iter().all(|value| value.is_finite()),
        "a variable is missing"
    );
    let side = |tokens: &str, segments: &str, positions: &str| match &golden[tokens] {
        Value::Null => Sequences::default(),
        tokens => Sequences {
            length: tokens[0].as_array().unwrap().len(),
            tokens: ids(tokens),
            segments: ids(&golden[segments]),
            positions: ids(&golden[positions]),
        },
    };
    let targets = side("targets", "decoder_segment_ids", "decoder_positions");
    let batch = Batch {
        rows: 2,
        inputs: side("inputs", "encoder_segment_ids", "encoder_positions"),
        decoder_inputs: shifted(&targets),
        targets,
    };
    let model = T5::with_parameters(config, parameters).unwrap();
    (golden, model, batch)
}

/// Mesh TensorFlow's name of a variable to Hugging Face's.
fn hugging_face_name(name: &str, encoder: bool) -> String {
    let parts: Vec<&str> = name.split('/').collect();
    let number = |part: &str| part.rsplit('_').next().unwrap().parse::<usize>().unwrap();
    let stack = if parts[0] == "transformer" { "decoder" } else { parts[0] };
    match parts[1..] {
        ["embedding"] => "shared.weight".into(),
        ["logits", "kernel"] => "lm_head.weight".into(),
        ["rms_norm", "scale"] => format!("{stack}.final_layer_norm.weight"),
        [block, layer, ref rest @ ..] => {
            let layer = match layer {
                "self_attention" => 0,
                "enc_dec_attention" => 1,
                "dense_relu_dense" if encoder => 2,
                layer => number(layer),
            };
            let variable = match *rest {
                ["rms_norm", "scale"] => "layer_norm".into(),
                [kind, variable] | [kind, variable, "kernel"] => format!("{kind}.{variable}"),
                _ => panic!("{name}"),
            };
            format!("{stack}.block.{}.layer.{layer}.{variable}.weight", number(block))
        }
        _ => panic!("{name}"),
    }
}
