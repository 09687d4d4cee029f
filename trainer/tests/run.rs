//! The program `t5` as a user meets it: from a corpus that `c4` built through a vocabulary to a trained model.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

/// A model that learns something in seconds.
const SMALL: [&str; 12] = [
    "model.vocab_size=512",
    "model.d_model=32",
    "model.d_ff=64",
    "model.d_kv=16",
    "model.heads=2",
    "model.encoder_layers=1",
    "model.decoder_layers=1",
    "feed.objective.inputs_length=64",
    "feed.rows=2",
    "batches_per_step=2",
    "evaluate_batches=2",
    "evaluate_every=10",
];

fn t5(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_t5"));
    command.args(arguments).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn said(arguments: &[&str]) -> String {
    let output = t5(arguments);
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        stderr(&output)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Refused in one line that holds all of these.
fn refused(arguments: &[&str], words: &[&str]) {
    let output = t5(arguments);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    let line = said.lines().last().unwrap_or_default();
    assert!(line.starts_with("t5: "), "{said}");
    for word in words {
        assert!(line.contains(word), "{word} in {said}");
    }
}

struct Place {
    dir: tempfile::TempDir,
    corpus: String,
    vocab: String,
}

impl Place {
    /// The corpus of the sample crawl, and a vocabulary of it.
    fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/samples");
        let mut archives: Vec<PathBuf> = fs::read_dir(samples)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "gz"))
            .collect();
        archives.sort();
        let archives: Vec<&Path> = archives.iter().map(PathBuf::as_path).collect();
        let corpus = dir.path().join("corpus");
        c4_tests::built(&c4_tests::options("en.noclean", &archives, &corpus)).unwrap();
        let corpus = corpus.to_str().unwrap().to_owned();
        let vocab = dir.path().join("vocab.model");
        let vocab = vocab.to_str().unwrap().to_owned();
        said(&["vocab", "train", &corpus, "--size", "300", "-o", &vocab]);
        Place { dir, corpus, vocab }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn begin<'a>(&'a self, output: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
        let mut arguments = vec!["pretrain", "--size", "tiny", "--corpus", &self.corpus];
        arguments.extend(["--vocab", &self.vocab, "-o", output, "-t", "2"]);
        for setting in SMALL {
            arguments.extend(["--set", setting]);
        }
        arguments.extend(rest);
        arguments
    }
}

/// All of a run's last checkpoint that is the same every time.
fn state(run: &str, step: u64) -> [Vec<u8>; 2] {
    let folder = Path::new(run).join(format!("checkpoints/step-{step:08}"));
    ["model.safetensors", "optimizer.safetensors"].map(|file| fs::read(folder.join(file)).unwrap())
}

fn losses(run: &str) -> Vec<(u64, f64)> {
    let text = fs::read_to_string(Path::new(run).join("metrics.jsonl")).unwrap();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines
        .filter_map(|line| Some((line["step"].as_u64()?, line["loss"].as_f64()?)))
        .collect()
}

#[test]
fn a_run_that_is_broken_ends_as_one_that_is_not() {
    let place = Place::new();
    let whole = place.path("whole");
    let steps = ["--steps", "40", "--set", "checkpoint_every=20"];
    said(&place.begin(&whole, &steps));
    let found = losses(&whole);
    assert!(found.iter().map(|(step, _)| *step).eq(1..=40), "{found:?}");
    // It learns.
    let mean = |part: &[(u64, f64)]| part.iter().map(|p| p.1).sum::<f64>() / part.len() as f64;
    assert!(mean(&found[30..]) < mean(&found[..10]) - 0.3, "{found:?}");

    // 20 steps, and 20 more.
    let halves = place.path("halves");
    said(&place.begin(&halves, &["--steps", "20"]));
    assert_eq!(state(&halves, 20), state(&whole, 20));
    said(&[
        "pretrain", "-o", &halves, "--resume", "--steps", "40", "-t", "1",
    ]);
    assert_eq!(state(&halves, 40), state(&whole, 40));
    assert_eq!(losses(&halves), found);

    // Killed again and again, with a checkpoint after every step.
    let killed = place.path("killed");
    let every = ["--steps", "40", "--set", "checkpoint_every=1"];
    let mut arguments: Vec<String> = place
        .begin(&killed, &every)
        .iter()
        .map(|a| (*a).to_owned())
        .collect();
    let mut kills = 0;
    for moment in (60..).step_by(37) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_t5"));
        let mut child = command
            .args(&arguments)
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(moment));
        let ended = child.try_wait().unwrap();
        let _ = child.kill();
        child.wait().unwrap();
        if let Some(status) = ended {
            assert!(status.success());
            break;
        }
        kills += 1;
        if Path::new(&killed).join("checkpoints").is_dir() && !checkpoints(&killed).is_empty() {
            arguments = ["pretrain", "-o", &killed, "--resume"]
                .map(str::to_owned)
                .into();
        }
    }
    assert!(kills > 1, "{kills}");
    assert_eq!(state(&killed, 40), state(&whole, 40));
    assert_eq!(losses(&killed), found);
    // Three are kept, and the best.
    let kept = checkpoints(&killed);
    assert!((3..=4).contains(&kept.len()), "{kept:?}");

    // Who trains holds the folder; who has trained leaves it.
    refused(&place.begin(&whole, &[]), &["holds a run", "--resume"]);

    // What can be done with it.
    let eval = said(&["eval", &whole, "--json"]);
    let eval: serde_json::Value = serde_json::from_str(&eval).unwrap();
    let loss = eval["validation_loss"].as_f64().unwrap();
    assert!((2.0..7.0).contains(&loss), "{eval}");
    let text = said(&[
        "generate",
        &whole,
        "Thank you ___ me to your party ___ week.",
        "--max-tokens",
        "9",
    ]);
    assert!(
        text.starts_with("Thank you [") && text.trim_end().ends_with("week."),
        "{text}"
    );
    let seen = said(&["inspect", &whole, "-n", "2"]);
    for word in [
        "steps = 40",
        "[model]",
        "parameters",
        "inputs (",
        "<extra_id_0>",
    ] {
        assert!(seen.contains(word), "{word} in {seen}");
    }
    said(&["plot", &whole]);
    let plot = fs::read_to_string(Path::new(&whole).join("plot.svg")).unwrap();
    assert!(plot.contains("learning rate"));
    let exported = place.path("exported");
    said(&["export", &whole, "-o", &exported]);
    let again = said(&[
        "generate",
        &exported,
        "Thank you ___ me to your party ___ week.",
        "--max-tokens",
        "9",
    ]);
    assert_eq!(again, text);
}

fn checkpoints(run: &str) -> Vec<String> {
    let entries = fs::read_dir(Path::new(run).join("checkpoints")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names
        .filter(|name| name.starts_with("step-") && !name.contains('.'))
        .collect()
}

#[test]
fn what_cannot_be_is_said_in_one_line() {
    let place = Place::new();
    let out = place.path("out");
    refused(
        &place.begin(&out, &["--set", "model.vocab_size=256"]),
        &["vocab.model", "model.vocab_size"],
    );
    refused(&place.begin(&out, &["--set", "feed.row=3"]), &["row"]);
    refused(&["pretrain", "-o", &out, "--resume"], &["no checkpoint"]);
    let nowhere = place.path("nowhere");
    let missing = [
        "pretrain",
        "-o",
        &out,
        "--vocab",
        &place.vocab,
        "--corpus",
        &nowhere,
    ];
    refused(&missing, &["nowhere"]);
    refused(
        &["pretrain", "-o", &out, "--vocab", &place.vocab],
        &["--corpus"],
    );
    refused(&["generate", &nowhere, "x"], &["nowhere"]);

    // A rate that tears the model apart: the last good checkpoint is told, and stays.
    let torn = place.path("torn");
    said(&place.begin(&torn, &["--steps", "2"]));
    let mut on = vec!["pretrain", "-o", &torn, "--resume", "--steps", "60"];
    on.extend(["--set", "schedule={kind='constant', rate=1e18}"]);
    refused(&on, &["not finite", "checkpoint of step 2"]);
    assert_eq!(checkpoints(&torn), ["step-00000002"]);

    // A checkpoint that was cut.
    let model = Path::new(&torn).join("checkpoints/step-00000002/model.safetensors");
    let bytes = fs::read(&model).unwrap();
    fs::write(&model, &bytes[..bytes.len() / 2]).unwrap();
    refused(
        &["pretrain", "-o", &torn, "--resume"],
        &["model.safetensors", "earlier checkpoint"],
    );
    fs::remove_file(&model).unwrap();
    refused(&["eval", &torn], &["model.safetensors"]);
}
