//! Models of Hugging Face's transformers as runs of ours, and back. (Above 500 lines: what can be refused is listed
//! here.)

use crate::common::corpus::prose;
use crate::common::program::{Place, refused, said};
use crate::common::shared;
use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::HashMap;
use std::fs;
use std::path::Path;

const GATED: [&str; 4] = ["--set", "model.activation=gated_gelu", "--set", "model.head=untied"];
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
            let tied = config.replace("\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true");
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
        assert!(Path::new(&imported).join("checkpoints/step-00000020").is_dir());
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
        fs::write(Path::new(to).join("model.safetensors.index.json"), index.to_string()).unwrap();
    }
}

/// All values by name.
fn values(folder: &str) -> HashMap<String, Vec<f32>> {
    let bytes = read(folder, "model.safetensors");
    let tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
    let of = |(name, tensor): (String, TensorView<'_>)| {
        let quads = tensor.data().as_chunks().0.iter();
        (name, quads.map(|bytes| f32::from_le_bytes(*bytes)).collect())
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
            "bf16" => rewrite(&folder, &to, Dtype::BF16, files, |x| as_bf16(x).to_le_bytes().to_vec()),
            "f16" => rewrite(&folder, &to, Dtype::F16, files, |x| as_f16(x).to_le_bytes().to_vec()),
            _ => rewrite(&folder, &to, Dtype::F32, files, |x| x.to_le_bytes().to_vec()),
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

/// Rewrites a folder's tensors: of each name other names, or none.
fn renamed(folder: &str, names: impl Fn(&str) -> Vec<String>) {
    let path = Path::new(folder).join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
    let renamed: HashMap<String, TensorView<'_>> = tensors
        .into_iter()
        .flat_map(|(name, view)| names(&name).into_iter().map(move |name| (name, view.clone())))
        .collect();
    safetensors::serialize_to_file(renamed, None, &path).unwrap();
}

#[test]
fn the_embedding_is_found_by_any_of_its_names() {
    let place = Place::new();
    let silu = ["--set", "model.activation=gated_silu"];
    let (_, folder) = exported(&place, "tied", &silu);
    let config = fs::read_to_string(Path::new(&folder).join("config.json")).unwrap();
    for part in ["\"gated-silu\"", "\"dense_act_fn\": \"silu\"", "\"is_gated_act\": true"] {
        assert!(config.contains(part), "{part} in {config}");
    }
    let weights = read(&folder, "model.safetensors");
    let ask = |folder: &str| said(&["generate", folder, "The ___ is", "--max-tokens", "8"]);
    let wanted = ask(&folder);
    let (shared, encoder) = ("shared.weight", "encoder.embed_tokens.weight");
    let (decoder, head) = ("decoder.embed_tokens.weight", "lm_head.weight");
    for names in [
        &[encoder][..],
        &[decoder],
        &[head],
        &[shared, encoder, decoder, head],
        &[decoder, head],
    ] {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        fs::write(Path::new(&folder).join("model.safetensors"), &weights).unwrap();
        renamed(&folder, |name| match name == shared {
            true => names.clone(),
            false => vec![name.to_owned()],
        });
        let (run, back) = (place.path("run"), place.path("back"));
        said(&["import", &folder, "-o", &run]);
        said(&["export", &run, "-o", &back]);
        assert_eq!(read(&back, "model.safetensors"), weights, "{names:?}");
        assert_eq!(ask(&folder), wanted, "{names:?}");
        fs::remove_dir_all(run).unwrap();
        fs::remove_dir_all(back).unwrap();
    }
    // By none; by two with different values; of another shape.
    let run = place.path("refused");
    let import = ["import", &folder, "-o", &run];
    let norm = "decoder.final_layer_norm.weight";
    for (other, copies, words) in [
        ("", "", &["shared.weight", "missing"][..]),
        (norm, encoder, &[encoder, "by config.json it should be"]),
    ] {
        fs::write(Path::new(&folder).join("model.safetensors"), &weights).unwrap();
        renamed(&folder, |name| match name {
            name if name == shared => vec![],
            name if name == other => vec![name.to_owned(), copies.to_owned()],
            name => vec![name.to_owned()],
        });
        refused(&import, words);
    }
    let (_, other) = exported(
        &place,
        "other",
        &["--set", "model.activation=gated_silu", "--set", "seed=9"],
    );
    let theirs = read(&other, "model.safetensors");
    let theirs = SafeTensors::deserialize(&theirs).unwrap();
    let ours = SafeTensors::deserialize(&weights).unwrap();
    for (name, words) in [
        (
            decoder,
            &["`decoder.embed_tokens.weight`", "`shared.weight`", "differ"][..],
        ),
        (head, &["config.json", "tie_word_embeddings", "lm_head.weight"]),
    ] {
        let mut tensors: HashMap<String, TensorView<'_>> = ours.tensors().into_iter().collect();
        tensors.insert(name.to_owned(), theirs.tensor(shared).unwrap());
        let path = Path::new(&folder).join("model.safetensors");
        safetensors::serialize_to_file(tensors, None, &path).unwrap();
        refused(&import, words);
    }
}

/// A `tokenizer.json` as transformers writes it, of a vocabulary of ours: with what comes of T5's rules, or without
/// rules.
fn tokenizer_json(vocab: &t5_trainer::Vocab) -> serde_json::Value {
    let name = |id: u32| {
        let text = vocab.piece(id).unwrap().text.clone();
        match text.contains("<extra_id_") {
            true => text.trim_start_matches('\u{2581}').to_owned(),
            false => text,
        }
    };
    let pieces: Vec<_> = (0..vocab.size())
        .map(|id| serde_json::json!([name(id), vocab.piece(id).unwrap().score]))
        .collect();
    let first = vocab.size() - vocab.sentinels();
    let added: Vec<_> = (first..vocab.size())
        .chain([1, 0, 2])
        .map(|id| {
            serde_json::json!({"id": id, "content": name(id), "single_word": false, "lstrip": true, "rstrip": true,
            "normalized": false, "special": true})
        })
        .collect();
    serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"},
            {"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "always", "split": true}]},
        "decoder": {"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "always", "split": true},
        "model": {"type": "Unigram", "unk_id": 2, "vocab": pieces, "byte_fallback": false},
    })
}

#[test]
fn a_tokenizer_json_is_the_vocabulary_that_it_says() {
    let place = Place::new();
    let (_, folder) = exported(&place, "json", &[]);
    let vocab = t5_trainer::Vocab::open(Path::new(&place.vocab)).unwrap();
    let ask = |folder: &str| said(&["generate", folder, "The river \t___ is", "--max-tokens", "8"]);
    let wanted = ask(&folder);
    let json = tokenizer_json(&vocab);
    let path = Path::new(&folder).join("tokenizer.json");
    let put = |json: &serde_json::Value| fs::write(&path, json.to_string()).unwrap();
    put(&json);
    // Beside a spiece.model that is what counts.
    assert_eq!(ask(&folder), wanted);
    fs::remove_file(Path::new(&folder).join("spiece.model")).unwrap();
    assert_eq!(ask(&folder), wanted);
    let texts = [
        "a  b\t c\nd\u{a0}e",
        " The river <extra_id_0> runs. ",
        "wörld!!!!!!!! ........",
        "",
    ];
    let opened = t5_trainer::Vocab::open(&path).unwrap();
    assert_eq!((opened.size(), opened.sentinels()), (vocab.size(), 100));
    for text in texts {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        vocab.encode_with_sentinels(text, &mut ours);
        opened.encode_with_sentinels(text, &mut theirs);
        assert_eq!(ours, theirs, "{text:?}");
    }
    // A run has it as a SentencePiece model, and gives that on; as --vocab the same.
    let (run, back) = (place.path("run"), place.path("back"));
    said(&["import", &folder, "-o", &run]);
    said(&["export", &run, "-o", &back]);
    assert_eq!(ask(&run), wanted);
    assert_eq!(ask(&back), wanted);
    let again = place.path("again");
    let file = path.to_str().unwrap();
    said(&["import", &folder, "-o", &again, "--vocab", file]);
    assert_eq!(read(&again, "vocab.model"), read(&run, "vocab.model"));

    // Without a word of the sentinels in the vocabulary, and with those alone that are added.
    let mut few = json.clone();
    few["model"]["vocab"]
        .as_array_mut()
        .unwrap()
        .truncate(vocab.size() as usize - 100);
    put(&few);
    assert_eq!(ask(&folder), wanted);
    few["added_tokens"] = serde_json::json!([]);
    put(&few);
    assert_eq!(ask(&folder), wanted);

    // What is refused is said by its name.
    let out = place.path("out");
    let import = ["import", &folder, "-o", &out];
    let change = |pointer: &str, value: serde_json::Value, words: &[&str]| {
        let mut changed = json.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        put(&changed);
        refused(&import, &[&["tokenizer.json: "], words].concat());
    };
    use serde_json::json;
    change("/model/type", json!("BPE"), &["model.type", "`BPE`"]);
    change(
        "/model/byte_fallback",
        json!(true),
        &["falls back to bytes", "all of them"],
    );
    change("/model/unk_id", json!(null), &["model.unk_id"]);
    change("/model/vocab/1/0", json!("<end>"), &["`</s>` has the id 1", "`<end>`"]);
    change(
        "/normalizer",
        json!({"type": "NFKC"}),
        &["normalizer: `NFKC`", "precompiled"],
    );
    change(
        "/normalizer",
        json!({"type": "Precompiled", "precompiled_charsmap": "!"}),
        &["precompiled_charsmap is damaged"],
    );
    change(
        "/normalizer",
        json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
        &["rules are damaged"],
    );
    change(
        "/pre_tokenizer",
        json!({"type": "ByteLevel"}),
        &["pre_tokenizer: `ByteLevel`"],
    );
    change("/pre_tokenizer", json!(null), &["pre_tokenizer", "Metaspace"]);
    change(
        "/pre_tokenizer/pretokenizers/1/prepend_scheme",
        json!("first"),
        &["prepend_scheme", "`first`"],
    );
    change(
        "/pre_tokenizer",
        json!({"type": "Metaspace", "replacement": "\u{2581}"}),
        &["runs of spaces"],
    );
    change(
        "/added_tokens/0",
        json!({"id": 999, "content": "<x>"}),
        &["no token has the id", "`<x>` 999"],
    );
    change(
        "/added_tokens/0",
        json!({"id": vocab.size(), "content": "<x>"}),
        &["`<x>`", "<extra_id_…>"],
    );
    let last = vocab.size() - 1;
    change(
        &format!("/model/vocab/{last}/0"),
        json!("x!x"),
        &["`<extra_id_0>`", "x!x"],
    );
    put(&json!({"model": {}}));
    refused(&import, &["tokenizer.json: ", "model.type"]);
    fs::write(&path, "{").unwrap();
    refused(&import, &["tokenizer.json: ", "is no tokenizer.json"]);
    fs::remove_file(&path).unwrap();
    refused(&import, &["neither spiece.model nor tokenizer.json", "--vocab"]);
}

/// T5's own: both files give the same ids.
#[test]
fn t5_s_tokenizer_json_has_the_ids_of_its_spiece_model() {
    let files = ["spm/t5_spiece.model", "spm/t5_tokenizer.json"].map(|name| shared(&format!("data/{name}")));
    let [Some(model), Some(json)] = files else {
        return;
    };
    let (model, json) = (
        t5_trainer::Vocab::open(&model).unwrap(),
        t5_trainer::Vocab::open(&json).unwrap(),
    );
    assert_eq!(model.pieces(), json.pieces());
    let mut texts: Vec<String> = prose(1, 500).lines().map(str::to_owned).collect();
    texts.push(prose(2, 500));
    texts.extend([
        "ﬁ Å ½ ①  x\t\n\u{3000}y \u{1} \u{200b}z".to_owned(),
        "!".repeat(77),
        "The <extra_id_0> of <extra_id_99>.".to_owned(),
    ]);
    for text in texts {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        model.encode_with_sentinels(&text, &mut a);
        json.encode_with_sentinels(&text, &mut b);
        assert_eq!(a, b, "{text:?}");
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
    with("\"feed_forward_proj\": \"relu\"", "\"feed_forward_proj\": \"silu\"");
    refused(&import, &["config.json", "feed_forward_proj", "`silu`", "gated-silu"]);
    with("\"eos_token_id\": 1", "\"eos_token_id\": 2");
    refused(&import, &["config.json", "eos_token_id is 2"]);
    with("\"eos_token_id\": 1", "\"eos_token_id\": [1, 5]");
    refused(&import, &["config.json", "eos_token_id is 5"]);
    with("\"model_type\": \"t5\"", "\"model_type\": \"longt5\"");
    refused(&import, &["config.json", "model_type is `longt5`", "LongT5"]);
    // Its config.json has none of T5's keys.
    let gemma = r#"{"model_type": "t5gemma", "encoder": {"hidden_size": 8}, "decoder": {"hidden_size": 8}}"#;
    fs::write(file("config.json"), gemma).unwrap();
    refused(&import, &["config.json", "`t5gemma`", "T5Gemma"]);
    refused(&["generate", &folder, "a"], &["config.json", "`t5gemma`", "T5Gemma"]);
    with("\"model_type\": \"t5\"", "\"kind\": \"t5\"");
    refused(&import, &["config.json", "model_type"]);
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
    refused(&import, &["model.safetensors", "decoder.block.1.layer.0", "missing"]);
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
    fs::write(file("flax_model.msgpack"), &weights).unwrap();
    refused(
        &import,
        &["model.safetensors: missing", "flax_model.msgpack", "save_pretrained"],
    );
    fs::write(file("pytorch_model.bin"), &weights).unwrap();
    refused(&import, &["pytorch_model.bin", "torch.save"]);
    fs::remove_file(file("pytorch_model.bin")).unwrap();
    let index = r#"{"weight_map": {"shared.weight": "part-1.safetensors", "x": "part-2.safetensors"}}"#;
    fs::write(file("model.safetensors.index.json"), index).unwrap();
    fs::write(file("part-2.safetensors"), &weights).unwrap();
    refused(
        &import,
        &[
            "part-1.safetensors: missing",
            "one of 2 files",
            "index.json",
            "1 of them",
        ],
    );
    fs::remove_file(file("model.safetensors.index.json")).unwrap();
    fs::write(file("model-00001-of-00002.safetensors"), &weights).unwrap();
    refused(
        &import,
        &[
            "model.safetensors: missing",
            "model-00001-of-00002.safetensors",
            "index.json",
        ],
    );
    fs::write(file("model.safetensors"), &weights).unwrap();

    // No vocabulary; one that is too large; settings of another model; a folder that holds a run.
    fs::rename(file("spiece.model"), file("other.model")).unwrap();
    fs::remove_file(file("tokenizer.json")).unwrap();
    refused(&import, &["spiece.model", "--vocab"]);
    let large = place.path("large.model");
    said(&["vocab", "train", &place.corpus, "--size", "450", "-o", &large]);
    refused(
        &[&import[..], &["--vocab", &large]].concat(),
        &["large.model", "550 ids", "512 rows"],
    );
    refused(
        &[&import[..], &["--vocab", &place.vocab, "--set", "model.d_ff=96"]].concat(),
        &["another shape"],
    );
    refused(
        &["import", &folder, "-o", &run, "--vocab", &place.vocab],
        &["holds a run"],
    );
    assert!(!Path::new(&out).exists());

    // With all in place it works; what is missing then is a corpus.
    said(&[&import[..], &["--vocab", &place.vocab]].concat());
    refused(&["eval", &out], &["no corpus", "--corpus"]);
    refused(&["pretrain", "-o", &out, "--resume"], &["no corpus"]);
}
