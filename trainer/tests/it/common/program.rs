//! The program `t5` as a process, a corpus for it, and what it left.

use super::corpus::{pages, write_two};
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// A model that learns something in seconds.
pub const SMALL: [&str; 12] = [
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

/// The program; of tests that were taken to another machine (`make gpu-proof`), the one beside them.
pub fn program() -> Command {
    match std::env::var_os("T5_TEST_PROGRAM") {
        Some(program) => Command::new(program),
        None => Command::new(env!("CARGO_BIN_EXE_t5")),
    }
}

pub fn t5(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn said(arguments: &[&str]) -> String {
    let output = t5(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Refused in one line that holds all of these.
pub fn refused(arguments: &[&str], words: &[&str]) {
    let output = t5(arguments);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    let line = said.lines().last().unwrap_or_default();
    assert!(line.starts_with("t5: "), "{said}");
    for word in words {
        assert!(line.contains(word), "{word} in {said}");
    }
}

pub struct Place {
    pub dir: tempfile::TempDir,
    pub corpus: String,
    pub vocab: String,
}

impl Place {
    /// A corpus of prose, and a vocabulary of it.
    pub fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let corpus = write_two(&dir.path().join("corpus"), pages(0..60), pages(1000..1004));
        let corpus = corpus.to_str().unwrap().to_owned();
        let vocab = dir.path().join("vocab.model");
        let vocab = vocab.to_str().unwrap().to_owned();
        said(&["vocab", "train", &corpus, "--size", "300", "-o", &vocab]);
        Place { dir, corpus, vocab }
    }

    pub fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    pub fn begin<'a>(&'a self, output: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
        let mut arguments = vec!["pretrain", "--size", "tiny", "--corpus", &self.corpus];
        arguments.extend(["--vocab", &self.vocab, "-o", output, "-t", "2"]);
        // A language model has no encoder, its objective no inputs.
        let has = |wanted: &str| rest.iter().any(|setting| setting.ends_with(wanted));
        let no_encoder = has("=language_model") || has("=prefix_lm");
        let useless = |setting: &str| {
            has("objective.name=lm") && setting.contains("inputs_length")
                || no_encoder && !has("=shared") && setting.contains("encoder_layers")
        };
        for setting in SMALL.into_iter().filter(|setting| !useless(setting)) {
            arguments.extend(["--set", setting]);
        }
        arguments.extend(rest);
        arguments
    }
}

/// All of a run's last checkpoint that is the same every time.
pub fn state(run: &str, step: u64) -> [Vec<u8>; 2] {
    let folder = Path::new(run).join(format!("checkpoints/step-{step:08}"));
    ["model.safetensors", "optimizer.safetensors"].map(|file| fs::read(folder.join(file)).unwrap())
}

pub fn losses(run: &str) -> Vec<(u64, f64)> {
    let text = fs::read_to_string(Path::new(run).join("metrics.jsonl")).unwrap();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines
        .filter_map(|line| Some((line["step"].as_u64()?, line["loss"].as_f64()?)))
        .collect()
}

pub fn checkpoints(run: &str) -> Vec<String> {
    let entries = fs::read_dir(Path::new(run).join("checkpoints")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names
        .filter(|name| name.starts_with("step-") && !name.contains('.'))
        .collect()
}

/// Kills a run again and again, each time a little later, and resumes it where it has a checkpoint, until it ends by
/// itself. `begin` are the arguments of its first start, the command first.
pub fn kill_until_done(run: &str, begin: &[&str]) {
    let resume = [begin[0], "-o", run, "--resume"];
    let mut arguments = begin;
    let (mut kills, mut moment) = (0, 60.0);
    loop {
        // Sooner or later, whatever the machine, it gets a little further.
        moment *= 1.04;
        let mut child = program().args(arguments).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_secs_f64(moment / 1000.0));
        let ended = child.try_wait().unwrap();
        let _ = child.kill();
        child.wait().unwrap();
        if let Some(status) = ended {
            assert!(status.success());
            break;
        }
        kills += 1;
        if Path::new(run).join("checkpoints").is_dir() && !checkpoints(run).is_empty() {
            arguments = &resume;
        }
    }
    assert!(kills > 1, "{run}: {kills}");
}
