//! Models of Hugging Face's transformers as runs of ours, and back.

#![allow(clippy::unwrap_used)]

mod common;

use common::program::{Place, refused, said};
use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::HashMap;
use std::fs;
use std::path::Path;

const GATED: [&str; 4] = [
    "--set",
    "model.activation=gated_gelu",
    "--set",
    "model.head=untied",
];
/// The form of examples that the runs of [`Place`] have, so that losses can be compared.
const FEED: [&str; 6] = [
    "--set",
    "feed.objective.inputs_length=64",
    "--set",
    "feed.rows=2",
    "--set",
    "batches_per_step=2",
];

/// A run of a few steps, exported.
fn exported(place: &Place, name: &str, more: &[&str]) -> (String, String) {
    let run = place.path(&format!("{name}-run"));
    let folder = place.path(&format!("{name}-exported"));
    said(&place.begin(&run, &[&["--steps", "3"], more].concat()));
    said(&["export", &run, "-o", &folder]);
    (run, folder)
}

fn read(folder: &str, file: &str) -> Vec<u8> {
    fs::read(Path::new(folder).join(file)).unwrap()
}

fn loss(run: &str, corpus: &str) -> f64 {
    let line = said(&["eval", run, "--corpus", corpus, "--json", "-t", "1"]);
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    line["validation_loss"].as_f64().unwrap()
}

#[test]
fn a_model_comes_back_as_it_was() {
    let place = Place::new();
    for (name, more) in [("v1.0", &[][..]), ("v1.1", &GATED)] {
        let (run, folder) = exported(&place, name, more);
        let imported = place.path(&format!("{name}-imported"));
        said(&[&["import", &folder, "-o", &imported], &FEED[..]].concat());
        let back = place.path(&format!("{name}-back"));
        said(&["export", &imported, "-o", &back]);
        for file in ["model.safetensors", "config.json", "spiece.model"] {
            assert_eq!(read(&back, file), read(&folder, file), "{name} {file}");
        }
        assert_eq!(loss(&imported, &place.corpus), loss(&run, &place.corpus));
        if name == "v1.1" {
            // As transformers 5 writes it.
            let config = String::from_utf8(read(&folder, "config.json")).unwrap();
            let tied = config.replace(
                "\"tie_word_embeddings\": false",
                "\"tie_word_embeddings\": true",
            );
            assert_ne!(config, tied);
            fs::write(Path::new(&folder).join("config.json"), tied).unwrap();
            let (fifth, back) = (place.path("fifth"), place.path("fifth-back"));
            said(&["import", &folder, "-o", &fifth]);
            said(&["export", &fifth, "-o", &back]);
            for file in ["model.safetensors", "config.json"] {
                assert_eq!(read(&back, file), read(&place.path("v1.1-back"), file));
            }
        }
        let ask = |run| said(&["generate", run, "The ___ is", "--max-tokens", "5"]);
        assert_eq!(ask(&imported), ask(&run));

        // It is trained further, from step 0, and learns.
        let mut on = vec!["pretrain", "-o", &imported, "--resume", "--steps", "20"];
        on.extend(["--corpus", &place.corpus, "-t", "2"]);
        on.extend(["--set", "schedule={kind='constant', rate=0.01}"]);
        said(&on);
        assert!(loss(&imported, &place.corpus) < loss(&run, &place.corpus) - 0.2);
        assert!(
            Path::new(&imported)
                .join("checkpoints/step-00000020")
                .is_dir()
        );
    }
}

/// Name, shape, bytes.
type Tensor = (String, Vec<usize>, Vec<u8>);

/// Writes tensors with each value made into bytes of another type, in so many files with an index.
fn rewrite(from: &str, to: &str, dtype: Dtype, files: usize, value: impl Fn(f32) -> Vec<u8>) {
    fs::create_dir_all(to).unwrap();
    for file in ["config.json", "spiece.model"] {
        fs::write(Path::new(to).join(file), read(from, file)).unwrap();
    }
    let bytes = read(from, "model.safetensors");
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut parts: Vec<Vec<Tensor>> = vec![Vec::new(); files];
    let mut map = serde_json::Map::new();
    for (i, (name, tensor)) in tensors.tensors().into_iter().enumerate() {
        let quads = tensor.data().as_chunks().0.iter();
        let data = quads.flat_map(|bytes| value(f32::from_le_bytes(*bytes)));
        let part = &mut parts[i % files];
        part.push((name.clone(), tensor.shape().to_vec(), data.collect()));
        map.insert(name, format!("part-{}.safetensors", i % files).into());
    }
    for (i, part) in parts.iter().enumerate() {
        let path = match files {
            1 => Path::new(to).join("model.safetensors"),
            _ => Path::new(to).join(format!("part-{i}.safetensors")),
        };
        let views = part.iter().map(|(name, shape, data)| {
            let view = TensorView::new(dtype, shape.clone(), data);
            (name.clone(), view.unwrap())
        });
        let tensors: HashMap<_, _> = views.collect();
        safetensors::serialize_to_file(tensors, None, &path).unwrap();
    }
    if files > 1 {
        let index = serde_json::json!({"weight_map": map});
        fs::write(
            Path::new(to).join("model.safetensors.index.json"),
            index.to_string(),
        )
        .unwrap();
    }
}

/// All values by name.
fn values(folder: &str) -> HashMap<String, Vec<f32>> {
    let bytes = read(folder, "model.safetensors");
    let tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
    let of = |(name, tensor): (String, TensorView<'_>)| {
        let quads = tensor.data().as_chunks().0.iter();
        (
            name,
            quads.map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        )
    };
    tensors.into_iter().map(of).collect()
}

#[test]
fn half_precision_and_parts_are_read() {
    let place = Place::new();
    let (_, folder) = exported(&place, "whole", &GATED);
    let as_bf16 = |x: f32| bf16::from_f32(x);
    let as_f16 = |x: f32| f16::from_f32(x);
    let wanted = values(&folder);
    for (name, files) in [("bf16", 1), ("f16", 1), ("f32", 3), ("bf16", 2)] {
        let (to, run) = (place.path("changed"), place.path("run"));
        match name {
            "bf16" => rewrite(&folder, &to, Dtype::BF16, files, |x| {
                as_bf16(x).to_le_bytes().to_vec()
            }),
            "f16" => rewrite(&folder, &to, Dtype::F16, files, |x| {
                as_f16(x).to_le_bytes().to_vec()
            }),
            _ => rewrite(&folder, &to, Dtype::F32, files, |x| {
                x.to_le_bytes().to_vec()
            }),
        }
        let back = place.path("back");
        said(&["import", &to, "-o", &run]);
        said(&["export", &run, "-o", &back]);
        let found = values(&back);
        assert_eq!(found.len(), wanted.len());
        for (variable, wanted) in &wanted {
            let wanted: Vec<f32> = match name {
                "bf16" => wanted.iter().map(|x| as_bf16(*x).to_f32()).collect(),
                "f16" => wanted.iter().map(|x| as_f16(*x).to_f32()).collect(),
                _ => wanted.clone(),
            };
            assert_eq!(found[variable], wanted, "{name} {files} {variable}");
        }
        for folder in [to, run, back] {
            fs::remove_dir_all(folder).unwrap();
        }
    }
}

#[test]
fn what_is_no_t5_is_refused_in_one_line() {
    let place = Place::new();
    let (run, folder) = exported(&place, "good", &[]);
    let out = place.path("out");
    let import = ["import", &folder, "-o", &out];
    let file = |name: &str| Path::new(&folder).join(name);
    let config = fs::read_to_string(file("config.json")).unwrap();
    let with = |from: &str, to: &str| {
        assert!(config.contains(from), "{from} in {config}");
        fs::write(file("config.json"), config.replace(from, to)).unwrap();
    };
    with("\"model_type\": \"t5\"", "\"model_type\": \"bart\"");
    refused(&import, &["config.json", "`bart`", "T5"]);
    with(
        "\"feed_forward_proj\": \"relu\"",
        "\"feed_forward_proj\": \"silu\"",
    );
    refused(&import, &["config.json", "silu", "gated-gelu"]);
    with("\"eos_token_id\": 1", "\"eos_token_id\": 2");
    refused(&import, &["config.json", "eos_token_id is 2"]);
    with("\"d_ff\": 64", "\"d_ff\": 80");
    refused(
        &import,
        &[
            "model.safetensors",
            "decoder.block.0.layer.2.DenseReluDense.wi.weight",
            "[64, 32]",
            "[80, 32]",
        ],
    );
    with("\"num_decoder_layers\": 1", "\"num_decoder_layers\": 2");
    refused(
        &import,
        &["model.safetensors", "decoder.block.1.layer.0", "missing"],
    );
    with("\"num_layers\": 1,\n", "");
    refused(&import, &["config.json", "num_layers"]);
    fs::remove_file(file("config.json")).unwrap();
    refused(&import, &["config.json", "missing", "save_pretrained"]);
    fs::write(file("config.json"), &config).unwrap();

    // Weights that are cut, pickled, or not there.
    let weights = fs::read(file("model.safetensors")).unwrap();
    fs::write(file("model.safetensors"), &weights[..weights.len() / 2]).unwrap();
    refused(&import, &["model.safetensors"]);
    fs::remove_file(file("model.safetensors")).unwrap();
    refused(&import, &["model.safetensors", "missing"]);
    fs::write(file("pytorch_model.bin"), &weights).unwrap();
    refused(&import, &["pytorch_model.bin", "save_pretrained"]);
    let index = r#"{"weight_map": {"shared.weight": "part-1.safetensors"}}"#;
    fs::write(file("model.safetensors.index.json"), index).unwrap();
    refused(&import, &["part-1.safetensors"]);
    fs::remove_file(file("model.safetensors.index.json")).unwrap();
    fs::write(file("model.safetensors"), &weights).unwrap();

    // No vocabulary; one that is too large; settings of another model; a folder that holds a run.
    fs::rename(file("spiece.model"), file("other.model")).unwrap();
    refused(&import, &["spiece.model", "--vocab"]);
    let large = place.path("large.model");
    said(&[
        "vocab",
        "train",
        &place.corpus,
        "--size",
        "450",
        "-o",
        &large,
    ]);
    refused(
        &[&import[..], &["--vocab", &large]].concat(),
        &["large.model", "550 ids", "512 rows"],
    );
    refused(
        &[
            &import[..],
            &["--vocab", &place.vocab, "--set", "model.d_ff=96"],
        ]
        .concat(),
        &["another shape"],
    );
    refused(
        &["import", &folder, "-o", &run, "--vocab", &place.vocab],
        &["holds a run"],
    );
    assert!(!Path::new(&out).join("checkpoints").exists());

    // With all in place it works; what is missing then is a corpus.
    said(&[&import[..], &["--vocab", &place.vocab]].concat());
    refused(&["eval", &out], &["no corpus", "--corpus"]);
    refused(&["pretrain", "-o", &out, "--resume"], &["no corpus"]);
}
