//! Every call of `t5` that can fail fails once, and the power is cut: each run ends with exit status 2 and a line that
//! names file and cause, and the next one gives what an unbroken one gives.

//!
//! A program of its own: `make faults` runs it alone, for half an hour.

#![allow(clippy::unwrap_used)]

#[path = "it/common/mod.rs"]
mod common;
/// What makes calls fail, by its source: a dependency on its crate would compile the pipeline.
#[allow(dead_code)]
#[path = "../../tests/src/faults.rs"]
mod injector;

use common::program::{Place, SMALL, losses, said};
use common::{skipped, tree};
use injector::{Extent, Files, Library, Scenario, state_of};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn t5(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_t5"));
    command.args(arguments);
    command
}

/// A run of a few steps, with everything that a run does on disk.
fn settings(steps: &str) -> Vec<&str> {
    let mut arguments = vec!["--steps", steps, "-t", "1"];
    for setting in SMALL {
        // More shards are read the longer it goes; a look at half of them.
        if !setting.starts_with("evaluate_every") && !setting.starts_with("model.d_") {
            arguments.extend(["--set", setting]);
        }
    }
    for setting in [
        "model.d_model=8",
        "model.d_ff=8",
        "model.d_kv=4",
        "checkpoint_every=1",
        "checkpoints_kept=2",
        "evaluate_every=2",
    ] {
        arguments.extend(["--set", setting]);
    }
    arguments
}

/// What a run has to be the same in: its checkpoints and its metrics but for their times.
fn run_of(folder: &Path) -> Files {
    let mut files = tree(folder);
    let checkpoints = folder.join("checkpoints");
    files.retain(|name, _| {
        // What a power cut leaves of a file that was being written does no harm.
        let is_temporary = name.extension().is_some_and(|end| end == "tmp");
        // One that could not be read is told, and kept beside the others.
        let is_aside = name.to_string_lossy().contains(".damaged/");
        let is_checkpoint = folder.join(name).starts_with(&checkpoints);
        (is_checkpoint && !is_temporary && !is_aside) || name == Path::new("vocab.model")
    });
    let losses = losses(folder.to_str().unwrap());
    files.insert("losses".into(), format!("{losses:?}").into_bytes());
    files
}

fn with_scenario(
    place: &Place,
    name: &str,
    (output, before): (&Path, Files),
    command: &dyn Fn() -> Command,
    again: &dyn Fn(i32) -> Command,
    result: &dyn Fn() -> Files,
    then: impl FnOnce(&Scenario<'_>),
) {
    then(&Scenario {
        name,
        root: place.dir.path(),
        output,
        before,
        command,
        again,
        result,
    });
}

/// Begins a run, or goes on with it where it has a checkpoint.
fn pretrain(place: &Place, output: &Path, steps: &str) -> Command {
    let run = output.to_str().unwrap();
    let begun = fs::read_dir(output.join("checkpoints")).is_ok_and(|entries| {
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.into_iter().any(|name| !name.contains('.'))
    });
    if begun {
        return t5(&["pretrain", "-o", run, "--resume", "--steps", steps, "-t", "1"]);
    }
    let corpus = ["--corpus", &place.corpus, "--vocab", &place.vocab, "-o", run];
    let mut command = t5(&["pretrain", "--size", "tiny"]);
    command.args(corpus).args(settings(steps));
    command
}

fn with_pretraining(place: &Place, name: &str, before: Files, then: impl FnOnce(&Scenario<'_>)) {
    let output = PathBuf::from(place.path("run"));
    let command = || pretrain(place, &output, "4");
    let result = || run_of(&output);
    with_scenario(place, name, (&output, before), &command, &|_| command(), &result, then);
}

#[test]
fn each_call_of_a_run_fails_once() {
    let Some(library) = Library::new() else {
        return;
    };
    let place = Place::new();
    with_pretraining(&place, "pretraining", Files::new(), |run| {
        run.each_call_fails_once(&library, Extent::of_environment(2, 0));
    });
}

#[test]
fn each_call_of_a_resumed_run_fails_once() {
    let Some(library) = Library::new() else {
        return;
    };
    let place = Place::new();
    let output = PathBuf::from(place.path("run"));
    assert!(pretrain(&place, &output, "2").status().unwrap().success());
    let before = state_of(&output);
    with_pretraining(&place, "resumed pretraining", before, |run| {
        run.each_call_fails_once(&library, Extent::of_environment(1, 0));
    });
}

#[test]
fn after_a_power_cut_a_run_goes_on() {
    let Some(library) = Library::new() else {
        return;
    };
    let place = Place::new();
    with_pretraining(&place, "pretraining", Files::new(), |run| {
        run.power_fails(&library, Extent::of_environment(0, 20));
    });
}

#[test]
fn each_call_of_vocab_train_and_export_fails_once() {
    let Some(library) = Library::new() else {
        return;
    };
    let place = Place::new();
    let output = PathBuf::from(place.path("made"));
    let result = || tree(&output);
    let before = Files::from([("there/".into(), Vec::new())]);
    let vocab = output.join("vocab.model");
    let vocab = vocab.to_str().unwrap();
    let train = || t5(&["vocab", "train", &place.corpus, "--size", "300", "-o", vocab, "-t", "1"]);
    let extent = Extent::of_environment(2, 0);
    let at = (&*output, before);
    // What has its name and could not be made sure of is not written over without being told to.
    let again = |_| {
        let mut command = train();
        command.arg("--overwrite");
        command
    };
    with_scenario(&place, "vocab train", at, &train, &again, &result, |train| {
        train.each_call_fails_once(&library, extent);
    });
    let run = place.path("run");
    assert!(pretrain(&place, Path::new(&run), "1").status().unwrap().success());
    said(&["inspect", &run]);
    let folder = output.to_str().unwrap();
    let export = || t5(&["export", &run, "-o", folder]);
    let at = (&*output, Files::new());
    with_scenario(&place, "export", at, &export, &|_| export(), &result, |export| {
        export.each_call_fails_once(&library, extent);
    });
}
