//! Answers to many inputs: the same to the bit in every batch and on any number of threads, and those of ensembles.

use crate::common::program::{Place, program, refused, said, stderr};
use crate::common::small;
use crate::finetune::Tasks;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;
use t5_trainer::internals::{Activation, Architecture, EOS, Head};
use t5_trainer::{Answering, Decoding, Device, DeviceModel, Ensemble, Generated, Precision, T5, open, predict};
use t5_trainer::{ModelConfig, Sequences};

fn on_cpu(config: ModelConfig, seed: u64) -> Box<dyn DeviceModel> {
    open(Device::Cpu, Precision::F32, T5::new(config, seed).unwrap(), None).unwrap()
}

/// Inputs of many lengths, 0 among them.
fn inputs(count: usize, vocab: usize) -> Vec<Vec<u32>> {
    let row = |row: usize| -> Vec<u32> {
        let tokens = (0..(row * 5) % 23).map(|i| (2 + (i * 7 + row * 11) % (vocab - 2)) as u32);
        tokens.chain([EOS]).collect()
    };
    (0..count).map(row).chain([Vec::new()]).collect()
}

fn answering(decoding: Decoding, rows: usize) -> Answering {
    Answering {
        decoding,
        max_length: 12,
        rows,
        ensemble: Ensemble::MeanLogit,
    }
}

const DECODINGS: [Decoding; 3] = [
    Decoding::Greedy,
    Decoding::Beam { beams: 4, alpha: 0.6 },
    Decoding::Sample {
        seed: 3,
        temperature: 1.0,
        top_k: 0,
        top_p: 1.0,
    },
];

/// Tokens and the bits of their log probability.
fn bits(found: &[Generated]) -> Vec<(Vec<u32>, u64)> {
    let of = |found: &Generated| (found.tokens.clone(), found.log_probability.to_bits());
    found.iter().map(of).collect()
}

fn on_threads<T: Send>(threads: usize, run: impl FnOnce() -> T + Send) -> T {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(run)
}

#[test]
fn answers_are_the_same_in_every_batch_and_on_any_number_of_threads() {
    let gated = ModelConfig {
        activation: Activation::GatedGelu,
        head: Head::Untied,
        ..small(Architecture::EncoderDecoder)
    };
    // Wide enough that products and attention go to several threads.
    let wide = ModelConfig {
        vocab_size: 2100,
        d_model: 128,
        ..small(Architecture::EncoderDecoder)
    };
    let configs = [
        small(Architecture::EncoderDecoder),
        small(Architecture::Shared),
        gated,
        wide,
        small(Architecture::LanguageModel),
        small(Architecture::PrefixLm),
    ];
    for config in configs {
        let mut inputs = inputs(33, config.vocab_size);
        if config.architecture == Architecture::PrefixLm {
            inputs.retain(|input| !input.is_empty());
        }
        let (architecture, wide) = (config.architecture, config.vocab_size > 2000);
        let mut model = on_cpu(config, 5);
        for decoding in DECODINGS {
            if wide && decoding != Decoding::Greedy {
                continue;
            }
            let mut expected = None;
            let all = [1, 2, 3, 8, 32, 33];
            for rows in all
                .into_iter()
                .filter(|rows| decoding == Decoding::Greedy || rows % 2 == 1)
            {
                for threads in [1, 2] {
                    let answering = Answering {
                        max_length: if wide { 4 } else { 8 },
                        ..answering(decoding, rows)
                    };
                    let mut done = Vec::new();
                    let found = on_threads(threads, || {
                        predict(&mut [&mut *model], &inputs, &answering, |n| done.push(n)).unwrap()
                    });
                    assert_eq!(done.last(), Some(&inputs.len()));
                    let expected = expected.get_or_insert_with(|| bits(&found));
                    assert_eq!(
                        &bits(&found),
                        expected,
                        "{architecture:?} {decoding:?} {rows} {threads}"
                    );
                }
            }
            // The answers differ, so that an order that is lost is seen.
            let mut answers = expected.unwrap();
            let all = answers.len();
            answers.sort();
            answers.dedup();
            assert!(
                answers.len() > all / 2,
                "{architecture:?} {decoding:?}: {} of {all}",
                answers.len()
            );
        }
    }
}

#[test]
fn padding_on_either_side_is_no_part_of_an_input() {
    let mut model = on_cpu(small(Architecture::EncoderDecoder), 5);
    let alone = Sequences {
        length: 3,
        tokens: vec![5, 9, 1],
        segments: vec![1; 3],
        positions: vec![0, 1, 2],
    };
    let padded = Sequences {
        length: 6,
        tokens: vec![0, 0, 5, 9, 1, 0],
        segments: vec![0, 0, 1, 1, 1, 0],
        positions: vec![0, 0, 0, 1, 2, 0],
    };
    let mut logits = |inputs: &Sequences| model.decoder(1, inputs, 1, 1).unwrap().step(&[0]).unwrap().to_vec();
    assert_eq!(logits(&alone), logits(&padded));
    let mut parts = padded.clone();
    parts.segments[3] = 0;
    let refused = model.decoder(1, &parts, 1, 1).err().unwrap().to_string();
    assert!(refused.contains("in two pieces"), "{refused}");
}

/// The logits of both models of an ensemble for the sequence so far.
fn both(models: &mut [Box<dyn DeviceModel>; 2], input: &[u32], tokens: &[u32]) -> [Vec<f64>; 2] {
    let inputs = Sequences {
        length: input.len(),
        tokens: input.to_vec(),
        segments: vec![1; input.len()],
        positions: (0..input.len() as u32).collect(),
    };
    models.each_mut().map(|model| {
        let mut decoder = model.decoder(1, &inputs, 1, 20).unwrap();
        let mut logits = Vec::new();
        for last in [&[0], tokens].concat() {
            logits = decoder.step(&[last]).unwrap().to_vec();
        }
        logits.into_iter().map(f64::from).collect()
    })
}

/// Logarithms of an ensemble's probabilities, by the formula.
fn joined(ensemble: Ensemble, [a, b]: [Vec<f64>; 2]) -> Vec<f64> {
    let log_softmax = |logits: &[f64]| -> Vec<f64> {
        let total: f64 = logits.iter().map(|x| x.exp()).sum();
        logits.iter().map(|x| x - total.ln()).collect()
    };
    let pairs = |a: &[f64], b: &[f64], f: fn(f64, f64) -> f64| -> Vec<f64> {
        a.iter().zip(b).map(|(a, b)| f(*a, *b)).collect()
    };
    match ensemble {
        Ensemble::MeanLogit => log_softmax(&pairs(&a, &b, |a, b| (a + b) / 2.0)),
        Ensemble::MeanProbability => {
            let (a, b) = (log_softmax(&a), log_softmax(&b));
            pairs(&a, &b, |a, b| ((a.exp() + b.exp()) / 2.0).ln())
        }
    }
}

#[test]
fn an_ensemble_answers_by_the_mean_of_its_models() {
    let config = small(Architecture::EncoderDecoder);
    let mut models = [on_cpu(config.clone(), 11), on_cpu(config.clone(), 12)];
    let inputs = inputs(12, config.vocab_size);
    let mut greedy_of_each = Vec::new();
    for ensemble in [Ensemble::MeanLogit, Ensemble::MeanProbability] {
        for decoding in [Decoding::Greedy, Decoding::Beam { beams: 3, alpha: 0.6 }] {
            let answering = Answering {
                ensemble,
                ..answering(decoding, 5)
            };
            let [first, second] = &mut models;
            let found = predict(&mut [&mut **first, &mut **second], &inputs, &answering, |_| ()).unwrap();
            for (input, found) in inputs.iter().zip(&found) {
                let mut sum = 0.0;
                for (at, token) in found.tokens.iter().enumerate() {
                    let all = joined(ensemble, both(&mut models, input, &found.tokens[..at]));
                    let largest = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    let p = all[*token as usize];
                    assert!(decoding != Decoding::Greedy || p > largest - 1e-5);
                    sum += p;
                }
                assert!((sum - found.log_probability).abs() < 1e-4, "{ensemble:?} {decoding:?}");
            }
            if decoding == Decoding::Greedy {
                greedy_of_each.push(found);
            }
        }
    }
    // Neither the other ensemble's answers nor one model's.
    let alone = predict(&mut [&mut *models[0]], &inputs, &answering(Decoding::Greedy, 5), |_| ()).unwrap();
    assert!(greedy_of_each.iter().all(|found| *found != alone));
    assert_ne!(greedy_of_each[0], greedy_of_each[1]);
    // Of a model and itself, the model's.
    let mut again = on_cpu(config.clone(), 11);
    let twice = predict(
        &mut [&mut *models[0], &mut *again],
        &inputs,
        &answering(Decoding::Greedy, 5),
        |_| (),
    );
    assert_eq!(bits(&twice.unwrap()), bits(&alone));
    let mut other = on_cpu(
        ModelConfig {
            vocab_size: config.vocab_size + 1,
            ..config
        },
        1,
    );
    let settings = answering(Decoding::Greedy, 5);
    let refused = predict(&mut [&mut *models[0], &mut *other], &inputs, &settings, |_| ());
    assert!(refused.unwrap_err().to_string().contains("one vocabulary"));
    let refused = predict(&mut [&mut *models[0]], &inputs, &answering(Decoding::Greedy, 0), |_| ());
    assert!(refused.unwrap_err().to_string().contains("a batch of 0 inputs"));
}

#[test]
fn what_is_too_much_for_the_memory_is_refused_before_it_is_begun() {
    let mut model = on_cpu(small(Architecture::EncoderDecoder), 5);
    let answering = Answering {
        max_length: 1 << 40,
        ..answering(Decoding::Beam { beams: 256, alpha: 0.6 }, 32)
    };
    let refused = predict(&mut [&mut *model], &inputs(32, 48), &answering, |_| ());
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("of memory, and this machine has"), "{message}");
}

/// What `t5 generate` prints for lines of standard input.
fn lines(arguments: &[&str], text: &str) -> (String, String) {
    let mut command = program();
    let command = command.arg("generate").args(arguments).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    (String::from_utf8(output.stdout.clone()).unwrap(), stderr(&output))
}

#[test]
fn lines_are_answered_together_as_one_by_one() {
    let place = Place::new();
    let (run, other) = (place.path("run"), place.path("other"));
    said(&place.begin(&run, &["--steps", "10"]));
    said(&place.begin(&other, &["--steps", "10", "--set", "seed=9"]));
    let text: String = (0..40)
        .map(|i| format!("The {} ___ is\n", "river ".repeat(i % 7)))
        .collect();
    for more in [
        &["--max-tokens", "6"][..],
        &["--max-tokens", "6", "--beams", "3"],
        &["--max-tokens", "6", "--sample"],
        &["--max-tokens", "6", "--with", &other],
    ] {
        let (together, _) = lines(&[&[&run[..]], more].concat(), &text);
        let together: Vec<&str> = together.lines().collect();
        assert_eq!(together.len(), 40);
        for (line, answer) in text.lines().zip(&together).step_by(13) {
            let alone = said(&[&["generate", &run, line], more].concat());
            assert_eq!(alone.trim_end_matches('\n'), *answer, "{more:?} {line}");
        }
    }
    let joined = |how| said(&["generate", &run, "The ___ is", "--with", &other, "--ensemble", how]);
    assert_eq!(
        joined("mean-logit"),
        said(&["generate", &run, "The ___ is", "--with", &other])
    );
    joined("mean-probability");
    refused(
        &["generate", &run, "a ___", "--alpha", "0.5"],
        &["--alpha", "--beams N"],
    );
    // A process at the other end of a pipe gets its answer before it gives the next line.
    let mut command = program();
    let command = command
        .args(["generate", &run, "--max-tokens", "3"])
        .stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let (mut asks, said) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut said = BufReader::new(said);
    for _ in 0..2 {
        asks.write_all(b"The ___ is\n").unwrap();
        let mut answer = String::new();
        said.read_line(&mut answer).unwrap();
        assert!(answer.starts_with("The ["), "{answer}");
    }
    drop(asks);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_task_says_prefix_length_and_search_and_survives_import_and_export() {
    let place = Place::new();
    let (run, folder) = (place.path("run"), place.path("exported"));
    said(&place.begin(&run, &["--steps", "10"]));
    said(&["export", &run, "-o", &folder]);
    let config = Path::new(&folder).join("config.json");
    let mut settings: Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    let tasks = json!({
        "summarization": {
            "early_stopping": true, "length_penalty": 2.0, "max_length": 8, "min_length": 3, "no_repeat_ngram_size": 3,
            "num_beams": 4, "prefix": "summarize: "
        },
        "cola": {"max_length": 5, "prefix": "cola sentence: "}
    });
    settings["task_specific_params"] = tasks.clone();
    fs::write(&config, settings.to_string()).unwrap();
    let (imported, again) = (place.path("imported"), place.path("again"));
    said(&["import", &folder, "-o", &imported]);
    said(&["export", &imported, "-o", &again]);
    let back: Value = serde_json::from_slice(&fs::read(Path::new(&again).join("config.json")).unwrap()).unwrap();
    assert_eq!(back["task_specific_params"], tasks);
    let text = "The river ___ the town\n";
    for model in [&folder, &imported] {
        let (answer, told) = lines(&[model, "--task", "summarization"], text);
        assert!(told.contains("min_length, no_repeat_ngram_size"), "{told}");
        let (by_hand, _) = lines(
            &[
                model,
                "--prefix",
                "summarize: ",
                "--beams",
                "4",
                "--alpha",
                "2",
                "--max-tokens",
                "7",
            ],
            text,
        );
        assert_eq!(answer, by_hand);
        let (answer, _) = lines(&[model, "--task", "cola", "--max-tokens", "9"], text);
        let (by_hand, _) = lines(&[model, "--prefix", "cola sentence: ", "--max-tokens", "9"], text);
        assert_eq!(answer, by_hand);
        let missing = ["has no task `wsc`", "cola, summarization"];
        refused(&["generate", model, "a ___", "--task", "wsc"], &missing);
    }
    refused(
        &["generate", &run, "a ___", "--task", "cola"],
        &["names none", "--prefix"],
    );
}

#[test]
fn an_export_says_how_the_tasks_are_answered_that_a_model_was_trained_on() {
    let tasks = Tasks::new();
    let (run, folder) = (tasks.path("tuned"), tasks.path("exported"));
    said(&tasks.finetune(&run, &["--task", &tasks.kinds, "--steps", "2"]));
    said(&["export", &run, "-o", &folder]);
    let read =
        |file: &str| -> Value { serde_json::from_slice(&fs::read(Path::new(&folder).join(file)).unwrap()).unwrap() };
    // One more than the card's: the decoder's first token.
    let kinds = json!({"kinds": {"prefix": "kinds: ", "max_length": 9, "num_beams": 1}});
    assert_eq!(read("config.json")["task_specific_params"], kinds);
    let generation = read("generation_config.json");
    assert_eq!(
        (&generation["max_length"], &generation["num_beams"]),
        (&json!(9), &json!(1))
    );
    let text = "the old cat of new\n";
    let (answer, _) = lines(&[&folder, "--task", "kinds"], text);
    let (by_hand, _) = lines(&[&run, "--prefix", "kinds: ", "--max-tokens", "8"], text);
    assert_eq!(answer, by_hand);
}
