//! Folders that others open: what `t5 export` writes beside the weights, and what happens where one of Hugging Face's
//! is taken for a run. That others read them alike is proved by `benches/export.sh`.

use crate::common::program::{Place, refused, said, stderr, t5};
use half::bf16;
use safetensors::tensor::{Dtype, SafeTensors};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use t5_trainer::Vocab;
use t5_trainer::internals::huggingface;

fn read(folder: &str, file: &str) -> Vec<u8> {
    fs::read(Path::new(folder).join(file)).unwrap()
}

fn read_json(folder: &str, file: &str) -> Value {
    serde_json::from_slice(&read(folder, file)).unwrap()
}

fn names(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    names
}

/// A run of a few steps, with a validation, exported.
fn exported(place: &Place, more: &[&str]) -> (String, String) {
    let (run, folder) = (place.path("run"), place.path("exported"));
    let settings = ["--steps", "10", "--set", "feed.threads=1"];
    said(&place.begin(&run, &settings));
    said(&[&["export", &run, "-o", &folder], more].concat());
    (run, folder)
}

#[test]
fn a_folder_has_all_that_the_hub_wants() {
    let place = Place::new();
    let (run, folder) = exported(&place, &["--license", "apache-2.0"]);
    let files = [
        "README.md",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "special_tokens_map.json",
        "spiece.model",
        "tokenizer.json",
        "tokenizer_config.json",
    ];
    assert_eq!(names(&folder), files);
    assert_eq!(read(&folder, "spiece.model"), fs::read(&place.vocab).unwrap());
    let generation = json!({"decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0});
    assert_eq!(read_json(&folder, "generation_config.json"), generation);
    let config = read_json(&folder, "tokenizer_config.json");
    for (key, value) in [
        ("tokenizer_class", json!("T5Tokenizer")),
        ("model_max_length", json!(512)),
        ("extra_ids", json!(100)),
        ("eos_token", json!("</s>")),
        ("pad_token", json!("<pad>")),
        ("unk_token", json!("<unk>")),
    ] {
        assert_eq!(config[key], value, "{key}");
    }
    let special = read_json(&folder, "special_tokens_map.json");
    for file in [&config, &special] {
        let tokens = file["additional_special_tokens"].as_array().unwrap();
        assert_eq!(
            (tokens.len(), &tokens[0], &tokens[99]),
            (100, &json!("<extra_id_0>"), &json!("<extra_id_99>"))
        );
    }

    // The vocabulary by either file is the same.
    let (model, json) = (
        Vocab::open(Path::new(&place.vocab)).unwrap(),
        Path::new(&folder).join("tokenizer.json"),
    );
    let opened = Vocab::open(&json).unwrap();
    assert_eq!(opened.pieces(), model.pieces());
    for text in [
        "The river \t runs <extra_id_3>  on.",
        "ﬁ Å ½ ①  x\t\n\u{3000}y",
        "",
        "wörld!!!!!!",
    ] {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        model.encode_with_sentinels(text, &mut a);
        opened.encode_with_sentinels(text, &mut b);
        assert_eq!(a, b, "{text:?}");
    }

    // The card: its head, and what the run says.
    let card = String::from_utf8(read(&folder, "README.md")).unwrap();
    let head = card.strip_prefix("---\n").unwrap().split_once("\n---\n").unwrap().0;
    for line in [
        "license: apache-2.0",
        "library_name: transformers",
        "pipeline_tag: text2text-generation",
    ] {
        assert!(head.lines().any(|is| is == line), "{line} in {head}");
    }
    let metrics = fs::read_to_string(Path::new(&run).join("metrics.jsonl")).unwrap();
    let lines: Vec<Value> = metrics
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let tokens: u64 = lines.iter().filter_map(|line| line["tokens"].as_u64()).sum();
    let loss = lines.iter().find_map(|line| line["validation_loss"].as_f64()).unwrap();
    let manifest = c4_data::Manifest::read(Path::new(&place.corpus)).unwrap().unwrap();
    for part in [
        format!("| tokens seen, without padding | {tokens} |"),
        format!(
            "| validation loss | {loss:.4} nats a target (perplexity {:.2}), after step 10 |",
            loss.exp()
        ),
        "| steps | 10, of 4 rows each |".to_owned(),
        format!("| {} | `{}` |", manifest.recipe.name, manifest.recipe_hash),
        "T5ForConditionalGeneration.from_pretrained(folder)".to_owned(),
        "d_model = 32".to_owned(),
    ] {
        assert!(card.contains(&part), "{part} in {card}");
    }
    // Nothing of where it was trained.
    assert!(!card.contains(place.dir.path().to_str().unwrap()), "{card}");

    // Again it is written anew, unless somebody else wrote it.
    said(&["export", &run, "-o", &folder, "--license", "mit"]);
    assert!(
        String::from_utf8(read(&folder, "README.md"))
            .unwrap()
            .contains("license: mit\n")
    );
    fs::write(Path::new(&folder).join("README.md"), "# Mine\n").unwrap();
    let again = t5(&["export", &run, "-o", &folder]);
    assert!(
        again.status.success() && stderr(&again).contains("README.md is kept"),
        "{}",
        stderr(&again)
    );
    assert!(stderr(&again).contains("--license"), "{}", stderr(&again));
    assert_eq!(read(&folder, "README.md"), b"# Mine\n");
    let hostile = t5(&["export", &run, "-o", &folder, "--license", "mit\nlibrary_name: x"]);
    assert_eq!(hostile.status.code(), Some(2));
}

#[test]
fn weights_may_be_bf16_and_in_parts() {
    let place = Place::new();
    let (run, folder) = exported(&place, &[]);
    let whole = read(&folder, "model.safetensors");
    let whole = SafeTensors::deserialize(&whole).unwrap();
    let values = |tensor: &safetensors::tensor::TensorView<'_>| -> Vec<f32> {
        let quads = tensor.data().as_chunks().0.iter();
        quads.map(|quad| f32::from_le_bytes(*quad)).collect()
    };
    let wanted: BTreeMap<String, Vec<f32>> = whole
        .iter()
        .map(|(name, tensor)| (name.to_owned(), values(&tensor)))
        .collect();
    for (name, arguments, dtype) in [
        ("halves", &["--dtype", "bf16"][..], Dtype::BF16),
        ("parts", &["--shard-size", "20KB"], Dtype::F32),
        (
            "halves-parts",
            &["--shard-size", "20000", "--dtype", "bf16"],
            Dtype::BF16,
        ),
    ] {
        let to = place.path(name);
        said(&[&["export", &run, "-o", &to], arguments].concat());
        let named = if dtype == Dtype::BF16 { "bfloat16" } else { "float32" };
        assert_eq!(read_json(&to, "config.json")["dtype"], named);
        let parts: Vec<String> = names(&to)
            .into_iter()
            .filter(|name| name.ends_with(".safetensors"))
            .collect();
        let mut found = BTreeMap::new();
        for part in &parts {
            let bytes = read(&to, part);
            let tensors = SafeTensors::deserialize(&bytes).unwrap();
            let size: usize = tensors.iter().map(|(_, tensor)| tensor.data().len()).sum();
            assert!(
                parts.len() == 1 || size <= 20_000 || tensors.len() == 1,
                "{part}: {size}"
            );
            for (name, tensor) in tensors.iter() {
                assert_eq!(tensor.dtype(), dtype);
                let pairs = tensor.data().as_chunks().0.iter();
                let values = match dtype {
                    Dtype::BF16 => pairs.map(|pair| bf16::from_le_bytes(*pair).to_f32()).collect(),
                    _ => values(&tensor),
                };
                assert!(found.insert(name.to_owned(), values).is_none());
            }
            if parts.len() > 1 {
                let map = &read_json(&to, "model.safetensors.index.json")["weight_map"];
                assert!(tensors.names().iter().all(|name| map[*name] == **part));
            }
        }
        let rounded = |values: &Vec<f32>| values.iter().map(|value| bf16::from_f32(*value).to_f32()).collect();
        let wanted = wanted.iter().map(|(name, values)| match dtype {
            Dtype::BF16 => (name.clone(), rounded(values)),
            _ => (name.clone(), values.clone()),
        });
        assert!(found == wanted.collect(), "{name}");
        if parts.len() > 1 {
            let size = read_json(&to, "model.safetensors.index.json")["metadata"]["total_size"]
                .as_u64()
                .unwrap();
            let all: usize = found.values().map(Vec::len).sum();
            assert_eq!(size, all as u64 * if dtype == Dtype::BF16 { 2 } else { 4 });
            assert_eq!(parts[0], format!("model-00001-of-{:05}.safetensors", parts.len()));
            refused(&["export", &run, "-o", &to], &["holds a model in several files"]);
        }
        // And we read it as well.
        let model = huggingface::load(Path::new(&to)).unwrap();
        assert_eq!(model.layout().variables().len(), found.len());
        said(&["import", &to, "-o", &place.path(&format!("{name}-run"))]);
    }
    // A reader would take the one file that is there.
    let before = names(&folder);
    refused(
        &["export", &run, "-o", &folder, "--shard-size", "20KB"],
        &["holds a model in one file"],
    );
    assert_eq!(names(&folder), before);
    for size in ["0", "5TB", "-1"] {
        let output = t5(&["export", &run, "-o", &folder, &format!("--shard-size={size}")]);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains("--shard-size"), "{}", stderr(&output));
    }
}

#[test]
fn a_run_that_is_a_model_of_hugging_face_s_is_to_be_imported() {
    let place = Place::new();
    let (_, folder) = exported(&place, &[]);
    let out = place.path("out");
    let asked: [&[&str]; 4] = [
        &["eval", &folder],
        &["inspect", &folder],
        &["plot", &folder],
        &["export", &folder, "-o", &out],
    ];
    for arguments in asked {
        let command = format!("import it first: t5 import {folder} -o RUN");
        refused(arguments, &[&folder, "Hugging Face", &command]);
    }
    assert!(!Path::new(&out).exists());
}

#[test]
fn a_line_without_text_has_nothing_to_fill() {
    let place = Place::new();
    let (run, _) = exported(&place, &[]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_t5"));
    command
        .args(["generate", &run, "--max-tokens", "3"])
        .stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = b"The ___ is\n\n  \t\nThe <extra_id_0> and ___\n";
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), lines).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let answers = String::from_utf8(output.stdout.clone()).unwrap();
    let answers: Vec<&str> = answers.lines().collect();
    assert_eq!(answers.len(), 4, "{answers:?}");
    assert!(answers[0].starts_with("The [") && answers[1].is_empty() && answers[2].is_empty());
    // Each blank was filled, by a sentinel of its own.
    assert_eq!(answers[3].matches('[').count(), 2, "{answers:?}");
    assert!(
        stderr(&output).contains("2 lines without text: there was nothing to fill"),
        "{}",
        stderr(&output)
    );
    for text in ["", "  ", "\u{200b}"] {
        refused(&["generate", &run, text], &["the text is empty", "nothing to fill"]);
    }
}

/// A vocabulary with byte fallback goes out as it is.
#[test]
fn byte_fallback_is_in_the_tokenizer_json() {
    let place = Place::new();
    // Its pieces, and one for each byte: number, length and content of the fields of the file
    // (`sentencepiece_model.proto`).
    let field = |number: u8, bytes: &[u8]| [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()][..], bytes].concat();
    let mut file = fs::read(&place.vocab).unwrap();
    for byte in 0..=255 {
        let piece = [field(1, format!("<0x{byte:02X}>").as_bytes()), vec![3 << 3, 6]].concat();
        file.extend(field(1, &piece));
    }
    file.extend(field(2, &[0x98, 2, 1]));
    let vocab = place.path("bytes.model");
    fs::write(&vocab, file).unwrap();
    let (run, folder) = (place.path("run"), place.path("exported"));
    let begin = place.begin(&run, &["--steps", "2", "--set", "model.vocab_size=768"]);
    let begin: Vec<&str> = begin
        .into_iter()
        .map(|argument| if argument == place.vocab { &vocab } else { argument })
        .collect();
    said(&begin);
    said(&["export", &run, "-o", &folder]);
    let config = read_json(&folder, "tokenizer_config.json");
    assert_eq!(config["tokenizer_class"], "PreTrainedTokenizerFast");
    assert_eq!(config["model_input_names"], json!(["input_ids", "attention_mask"]));
    let tokenizer = read_json(&folder, "tokenizer.json");
    assert_eq!(tokenizer["model"]["byte_fallback"], true);
    let decoders: Vec<&Value> = tokenizer["decoder"]["decoders"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| &step["type"])
        .collect();
    assert_eq!(decoders, ["ByteFallback", "Metaspace"]);
    let (model, json) = (
        Vocab::open(Path::new(&vocab)).unwrap(),
        Vocab::open(&Path::new(&folder).join("tokenizer.json")).unwrap(),
    );
    assert_eq!(json.pieces(), model.pieces());
    let mut ids = Vec::new();
    json.encode("日 river", &mut ids);
    assert_eq!(json.decode(&ids), "日 river");
    // As transformers saves mT5's, without a word of it.
    let mut silent = tokenizer;
    silent["model"]["byte_fallback"] = false.into();
    let path = Path::new(&folder).join("tokenizer.json");
    fs::write(&path, silent.to_string()).unwrap();
    assert_eq!(Vocab::open(&path).unwrap().pieces(), model.pieces());
}

/// Each layer of a umT5 has a table of relative positions of its own.
#[test]
fn a_umt5_comes_back_as_it_was() {
    let place = Place::new();
    let (run, folder) = (place.path("run"), place.path("exported"));
    let settings = [
        "--set",
        "model.relative_bias=each_layer",
        "--set",
        "model.decoder_layers=2",
        "--set",
        "model.activation=gated_gelu",
        "--set",
        "model.head=untied",
    ];
    said(&place.begin(&run, &[&settings[..], &["--steps", "3"]].concat()));
    said(&["export", &run, "-o", &folder]);
    let config = read_json(&folder, "config.json");
    assert_eq!(
        (&config["model_type"], &config["architectures"][0]),
        (&json!("umt5"), &json!("UMT5ForConditionalGeneration"))
    );
    let weights = read(&folder, "model.safetensors");
    let weights = SafeTensors::deserialize(&weights).unwrap();
    let tables = weights
        .names()
        .into_iter()
        .filter(|name| name.contains("relative_attention_bias"));
    assert_eq!(tables.count(), 3);
    let (again, back) = (place.path("again"), place.path("back"));
    said(&["import", &folder, "-o", &again]);
    said(&["export", &again, "-o", &back]);
    for file in ["model.safetensors", "config.json"] {
        assert_eq!(read(&back, file), read(&folder, file), "{file}");
    }
    let ask = |run: &str| said(&["generate", run, "The ___ is", "--max-tokens", "5"]);
    assert_eq!(ask(&folder), ask(&run));
    let shown = said(&["inspect", &again]);
    assert!(shown.contains("relative_bias = \"each_layer\""), "{shown}");
    // One that is missing is named.
    let table = "decoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight";
    let left = weights.iter().filter(|(name, _)| *name != table);
    let left: Vec<(String, _)> = left.map(|(name, tensor)| (name.to_owned(), tensor)).collect();
    safetensors::serialize_to_file(left, None, &Path::new(&folder).join("model.safetensors")).unwrap();
    refused(&["import", &folder, "-o", &place.path("out")], &[table, "missing"]);
}
