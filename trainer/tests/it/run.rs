//! The program `t5` as a user meets it: from a corpus through a vocabulary to a trained model. (Above 500 lines: all of
//! it stands on the same corpus.)

use crate::common::corpus::write_two;
use crate::common::events::{files, measured, shown};
use crate::common::program::{
    Place, SMALL, checkpoints, kill_until_done, losses, program, refused, said, state, stderr, t5,
};
use safetensors::SafeTensors;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

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
    said(&["pretrain", "-o", &halves, "--resume", "--steps", "40", "-t", "1"]);
    assert_eq!(state(&halves, 40), state(&whole, 40));
    assert_eq!(losses(&halves), found);
    assert_eq!(shown(&halves), measured(&halves));

    // Killed again and again, with a checkpoint after every step.
    let killed = place.path("killed");
    let every = ["--steps", "40", "--set", "checkpoint_every=1"];
    kill_until_done(&killed, &place.begin(&killed, &every));
    assert_eq!(state(&killed, 40), state(&whole, 40));
    assert_eq!(losses(&killed), found);
    assert_eq!(shown(&killed), measured(&killed));
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
    for word in ["steps = 40", "[model]", "parameters", "inputs (", "<extra_id_0>"] {
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

/// A run on another backend than the CPU's (see `backend.rs`).
#[test]
fn a_run_on_a_device_ends_as_on_the_cpu() {
    let device = match std::env::var("T5_TEST_DEVICE") {
        Ok(name) => name,
        Err(_) if cfg!(feature = "cuda-emulated") => "emulated".to_owned(),
        Err(_) if cfg!(feature = "candle") => "candle".to_owned(),
        Err(_) => {
            println!("skipped: built without another backend than the CPU's");
            return;
        }
    };
    let place = Place::new();
    let steps = ["--steps", "12", "--set", "checkpoint_every=6"];
    let cpu = place.path("cpu");
    said(&place.begin(&cpu, &steps));
    let on = ["--device", &device, "--precision", "f32"];
    let there = place.path("there");
    said(&place.begin(&there, &[&steps[..], &on].concat()));
    // The same loss, but for sums in another order.
    let (ours, theirs) = (losses(&there), losses(&cpu));
    assert_eq!(ours.len(), 12);
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert!((ours.1 - theirs.1).abs() < 1e-3, "{ours:?}, {theirs:?}");
    }
    // Broken and gone on with, on the device.
    let halves = place.path("halves");
    said(&place.begin(&halves, &[&["--steps", "6"][..], &on].concat()));
    let resume = ["pretrain", "-o", &halves, "--resume", "--steps", "12"];
    said(&[&resume[..], &on].concat());
    assert_eq!(state(&halves, 12), state(&there, 12));
    // What was trained there is looked at here, and what was trained here goes on there, in bf16.
    let loss = |arguments: &[&str]| {
        let eval: serde_json::Value = serde_json::from_str(&said(arguments)).unwrap();
        eval["validation_loss"].as_f64().unwrap()
    };
    let eval = ["eval", &there, "--json"];
    let (here, there) = (loss(&eval), loss(&[&eval[..], &on].concat()));
    assert!((here - there).abs() < 1e-4, "{here}, {there}");
    let by = |more: &[&str]| {
        let line = said(&[&["eval", &halves, "--by", "domain", "--json"][..], more].concat());
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        line["domains"][0]["loss"].as_f64().unwrap()
    };
    let (here, there) = (by(&[]), by(&on));
    assert!((here - there).abs() < 1e-4, "{here}, {there}");
    let ask = |more: &[&str]| said(&[&["generate", &halves, "The ___ is", "--max-tokens", "5"][..], more].concat());
    assert_eq!(ask(&on), ask(&[]));
    let mut resume = vec!["pretrain", "-o", &cpu, "--resume", "--steps", "14"];
    resume.extend(["--device", &device]);
    said(&resume);
    assert_eq!(losses(&cpu).len(), 14);
}

/// Of a step's rows, as many at a time as there is memory for; a device says how much that is.
#[test]
fn a_device_takes_as_many_rows_as_fit() {
    let device = match std::env::var("T5_TEST_DEVICE") {
        Ok(name) if name.starts_with("cuda") => name,
        Err(_) if cfg!(feature = "cuda-emulated") => "emulated".to_owned(),
        _ => {
            println!("skipped: built without a device that has memory of its own");
            return;
        }
    };
    let place = Place::new();
    let begin = |out: &str, memory: &str, more: &[&str]| -> (u64, u64, u64) {
        let mut arguments = vec![
            "pretrain",
            "--size",
            "tiny",
            "--corpus",
            &place.corpus,
            "--vocab",
            &place.vocab,
        ];
        arguments.extend(["-o", out, "--steps", "1", "--device", &device]);
        let rows = |setting: &str| {
            ["feed.rows", "batches_per_step", "evaluate_batches"]
                .iter()
                .any(|key| setting.starts_with(key))
        };
        for setting in SMALL.iter().filter(|setting| !rows(setting)).chain(more) {
            arguments.extend(["--set", setting]);
        }
        let output = program()
            .args(&arguments)
            .env("FAKE_CUDA_MEMORY", memory)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let note = fs::read(Path::new(out).join("checkpoints/step-00000001/checkpoint.json")).unwrap();
        let config = &serde_json::from_slice::<serde_json::Value>(&note).unwrap()["config"];
        let number = |value: &serde_json::Value| value.as_u64().unwrap();
        (
            number(&config["feed"]["rows"]),
            number(&config["batches_per_step"]),
            number(&config["evaluate_batches"]),
        )
    };
    let much = place.path("much");
    assert_eq!(begin(&much, "1024", &[]), (128, 1, 2));
    // Gone on with as it was begun.
    said(&["pretrain", "-o", &much, "--resume", "--steps", "2", "--device", &device]);
    assert_eq!(losses(&much).len(), 2);
    // What is said stays.
    assert_eq!(begin(&place.path("said"), "1024", &["feed.rows=4"]), (4, 16, 32));
    assert_eq!(
        begin(&place.path("batches"), "1024", &["batches_per_step=2"]),
        (8, 2, 32)
    );
    if std::env::var_os("T5_FAKE_DRIVER").is_some() {
        let (rows, batches, evaluated) = begin(&place.path("little"), "8", &[]);
        assert!(rows < 128 && rows > 1 && rows * batches == 128, "{rows}");
        assert_eq!(evaluated, 256 / rows);
    }
}

/// Without the feature, or with it on a machine without a driver; or with a driver of which `kernels/fake_driver.cpp`
/// says what it shows.
#[test]
fn a_device_that_is_not_there_is_said_in_one_line() {
    let place = Place::new();
    let out = place.path("run");
    let arguments = |device| place.begin(&out, &["--device", device]);
    if std::env::var_os("T5_FAKE_DRIVER").is_some() {
        for (devices, memory, device, words) in [
            ("0", "9", "cuda", ["no GPU", "--device cpu"]),
            ("1", "9", "cuda:1", ["one GPU", "cuda:0"]),
            ("4", "9", "cuda:7", ["4 GPUs", "cuda:0 to cuda:3"]),
            ("1", "1", "cuda", ["out of memory", "feed.rows"]),
        ] {
            let mut command = program();
            command.args(arguments(device));
            command.env("FAKE_CUDA_DEVICES", devices);
            command.env("FAKE_CUDA_MEMORY", memory);
            let output = command.output().unwrap();
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(2), "{said}");
            let line = said.lines().last().unwrap_or_default();
            for word in words {
                assert!(line.starts_with("t5: ") && line.contains(word), "{said}");
            }
        }
    } else {
        let driver = Path::new("/dev/nvidiactl").exists() || std::env::var_os("T5_TEST_DEVICE").is_some();
        match cfg!(feature = "cuda") {
            false => refused(&arguments("cuda:77"), &["cuda:77", "make cuda", "--device cpu"]),
            true if driver => refused(&arguments("cuda:77"), &["--device cuda"]),
            true => refused(&arguments("cuda:77"), &["no NVIDIA driver", "--device cpu"]),
        }
        // Nothing was begun.
        assert!(!Path::new(&out).exists());
    }
    let wrong = t5(&arguments("gpu"));
    assert!(stderr(&wrong).contains("cuda:N"), "{}", stderr(&wrong));
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
    let missing = ["pretrain", "-o", &out, "--vocab", &place.vocab, "--corpus", &nowhere];
    refused(&missing, &["nowhere"]);
    refused(&["pretrain", "-o", &out, "--vocab", &place.vocab], &["--corpus"]);
    refused(&["generate", &nowhere, "x"], &["nowhere"]);

    // A rate that tears the model apart: the last good checkpoint is told, and stays.
    let torn = place.path("torn");
    said(&place.begin(&torn, &["--steps", "2"]));
    let mut on = vec!["pretrain", "-o", &torn, "--resume", "--steps", "60"];
    on.extend(["--set", "schedule={kind='constant', rate=1e18}"]);
    refused(&on, &["not finite", "checkpoint of step 2"]);
    assert_eq!(checkpoints(&torn), ["step-00000002"]);

    // A value that is none is told by its variable.
    let model = Path::new(&torn).join("checkpoints/step-00000002/model.safetensors");
    let good = fs::read(&model).unwrap();
    let mut bytes = good.clone();
    let tensors = SafeTensors::deserialize(&good).unwrap();
    let name = "decoder.block.0.layer.1.EncDecAttention.v.weight";
    let values = tensors.tensor(name).unwrap().data();
    let at = values.as_ptr() as usize - good.as_ptr() as usize;
    bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&model, bytes).unwrap();
    let on = ["pretrain", "-o", &torn, "--resume", "--steps", "3"];
    refused(&on, &["no good checkpoint", "model.safetensors", "checksum"]);
    // As a checkpoint that is older than checksums.
    let note = model.with_file_name("checkpoint.json");
    let summed = fs::read(&note).unwrap();
    let mut old: serde_json::Value = serde_json::from_slice(&summed).unwrap();
    old.as_object_mut().unwrap().remove("xxh3").unwrap();
    fs::write(&note, old.to_string()).unwrap();
    refused(&on, &["step 3", &format!("parameter {name} is not finite")]);
    fs::write(&model, good).unwrap();
    fs::write(&note, summed).unwrap();

    // Another vocabulary, under the run's name; back in place, it goes on.
    let vocab = Path::new(&torn).join("vocab.model");
    let own = fs::read(&vocab).unwrap();
    let other = place.path("other.model");
    said(&["vocab", "train", &place.corpus, "--size", "310", "-o", &other]);
    fs::copy(&other, &vocab).unwrap();
    refused(&on, &["vocab.model", "is not the vocabulary", "put that back"]);
    fs::write(&vocab, own).unwrap();

    // A corpus without a page; one with a shard that is cut.
    let empty = place.path("empty");
    write_two(Path::new(&empty), Vec::new(), Vec::new());
    let begin = |corpus| {
        let mut arguments = place.begin(&out, &[]);
        let at = arguments.iter().position(|a| *a == "--corpus").unwrap();
        arguments[at + 1] = corpus;
        arguments
    };
    refused(&begin(&empty), &["empty", "the corpus is empty", "c4 stats"]);
    let manifest = c4_data::Manifest::read(Path::new(&place.corpus)).unwrap();
    let mut shards = manifest.unwrap().shards.into_iter();
    let shard = shards.find(|s| s.split == c4_data::Split::Train);
    let file = shard.unwrap().file;
    let shard = Path::new(&place.corpus).join(&file);
    let whole = fs::read(&shard).unwrap();
    fs::write(&shard, &whole[..whole.len() - 9]).unwrap();
    refused(&begin(&place.corpus), &[&file, "cut short", "c4 verify"]);
    fs::write(&shard, whole).unwrap();
    said(&on);

    // A checkpoint that was cut.
    let model = Path::new(&torn).join("checkpoints/step-00000003/model.safetensors");
    let bytes = fs::read(&model).unwrap();
    fs::write(&model, &bytes[..bytes.len() / 2]).unwrap();
    refused(&["eval", &torn], &["model.safetensors", "earlier checkpoint"]);
    fs::remove_file(&model).unwrap();
    refused(&["eval", &torn], &["model.safetensors"]);
}

#[test]
fn tensorboard_shows_every_step_once() {
    let place = Place::new();
    let run = place.path("run");
    let steps = ["--steps", "20", "--set", "checkpoint_every=10"];
    said(&place.begin(&run, &steps));
    let before = shown(&run);
    assert_eq!(before, measured(&run));
    assert!(before["train/loss"].iter().map(|p| p.0).eq(1..=20));
    assert!(before["validation/loss"].iter().map(|p| p.0).eq([10, 20]));
    // As if it had been killed before its last checkpoint; it goes on otherwise than before.
    fs::remove_dir_all(Path::new(&run).join("checkpoints/step-00000020")).unwrap();
    let resume = ["pretrain", "-o", &run, "--resume", "--steps", "15"];
    let other = ["--set", "schedule={kind='constant', rate=0.002}"];
    said(&[&resume[..], &other].concat());
    let after = shown(&run);
    assert_eq!(after, measured(&run));
    assert_eq!(files(&run).len(), 2);
    assert_eq!(
        after["train/loss"][..11],
        before["train/loss"][..11],
        "until the rate shows"
    );
    assert!(after["train/loss"].iter().map(|p| p.0).eq(1..=15));
    assert!(after["validation/loss"].iter().map(|p| p.0).eq([10]));
    assert_ne!(after["train/learning_rate"][14], before["train/learning_rate"][14]);

    // A run that begins anew in the folder leaves nothing of the old one.
    fs::remove_dir_all(Path::new(&run).join("checkpoints")).unwrap();
    said(&place.begin(&run, &["--steps", "3"]));
    assert_eq!(files(&run).len(), 1);
    assert_eq!(shown(&run), measured(&run));
}

#[test]
fn models_without_an_encoder_go_on_with_a_text() {
    let place = Place::new();
    let lm = [
        "--set",
        "model.architecture=language_model",
        "--set",
        "feed.objective.name=lm",
        "--set",
        "feed.objective.targets_length=64",
    ];
    let prefix_lm = [
        "--set",
        "model.architecture=prefix_lm",
        "--set",
        "model.loss_on=after_inputs",
        "--set",
        "feed.objective.name=prefix_lm",
    ];
    let shared = [
        "--set",
        "model.architecture=shared",
        "--set",
        "feed.objective.name=prefix_lm",
    ];
    for (name, settings) in [("language_model", lm), ("prefix_lm", prefix_lm)] {
        let run = place.path(name);
        said(&place.begin(&run, &[&settings[..], &["--steps", "30"]].concat()));
        let typed = "The  river, \u{263a}";
        let ask = |more: &[&str]| {
            let arguments = ["generate", &run, typed, "--max-tokens", "6"];
            said(&[&arguments[..], more].concat())
        };
        let answer = ask(&[]);
        assert!(answer.starts_with(typed), "{answer}");
        assert_eq!(ask(&["-t", "1"]), answer);
        assert!(ask(&["--beams", "3"]).starts_with(typed));
        let draw = |seed| ask(&["--sample", "--seed", seed]);
        assert!(draw("1").starts_with(typed));
        assert_eq!(draw("1"), draw("1"));
        assert_ne!(draw("1"), draw("2"));
        // Of nothing, too.
        said(&["generate", &run, "", "--max-tokens", "3"]);
        // Hugging Face has no class for it.
        let out = place.path("exported");
        refused(&["export", &run, "-o", &out], &[name, "encoder_decoder", "shared"]);
    }
    let run = place.path("shared");
    said(&place.begin(&run, &[&shared[..], &["--steps", "30"]].concat()));
    let answer = said(&["generate", &run, "The river", "--max-tokens", "6"]);
    assert!(answer.starts_with("The river"), "{answer:?}");
    said(&["export", &run, "-o", &place.path("shared-exported")]);
}

#[test]
#[cfg(unix)]
fn a_full_disk_leaves_the_last_checkpoint() {
    let place = Place::new();
    let (whole, full) = (place.path("whole"), place.path("full"));
    said(&place.begin(&whole, &["--steps", "6"]));
    said(&place.begin(&full, &["--steps", "3"]));
    let model = Path::new(&full).join("checkpoints/step-00000003/model.safetensors");
    let size = fs::metadata(&model).unwrap().len();
    let on = ["pretrain", "-o", &full, "--resume", "--steps", "6"];
    // No file may grow beyond a part of the model's; shells count in blocks of 512 or 1024 bytes.
    let limit = (size / 2048).to_string();
    let script = "trap '' XFSZ; ulimit -f \"$0\" && exec \"$@\"";
    let mut shell = Command::new("sh");
    shell.args(["-c", script, &limit, env!("CARGO_BIN_EXE_t5")]);
    let output = shell.args(on).output().unwrap();
    let said_of_it = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said_of_it}");
    let line = said_of_it.lines().last().unwrap();
    for word in [
        "t5: ",
        "step-00000006",
        "model.safetensors",
        "too large",
        "make room",
        "--resume",
    ] {
        assert!(line.contains(word), "{word} in {said_of_it}");
    }
    assert_eq!(checkpoints(&full), ["step-00000003"]);
    let left = fs::read_dir(Path::new(&full).join("checkpoints")).unwrap();
    assert_eq!(left.count(), 1, "no remains");
    said(&["eval", &full]);
    // An export over an earlier one leaves that; with room it is written.
    let out = place.path("exported");
    said(&["export", &full, "-o", &out]);
    let there = || {
        let entries = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = entries.map(|path| (fs::read(&path).unwrap(), path)).collect();
        files.sort();
        files
    };
    let before = there();
    let export = ["export", &whole, "-o", &out];
    let mut shell = Command::new("sh");
    shell.args(["-c", script, &limit, env!("CARGO_BIN_EXE_t5")]);
    let output = shell.args(export).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let line = stderr(&output);
    for word in ["t5: ", "model.safetensors: ", "too large", "make room"] {
        assert!(line.contains(word), "{word} in {line}");
    }
    assert!(there() == before);
    said(&export);
    assert!(there() != before && there().len() == before.len());

    // With room it goes on as if nothing had been.
    said(&on);
    assert_eq!(state(&full, 6), state(&whole, 6));
    assert_eq!(losses(&full), losses(&whole));
    let left = fs::read_dir(Path::new(&full).join("checkpoints")).unwrap();
    assert_eq!(left.count(), 2, "no remains");
}

/// A run whose folder another run has by now leaves that alone, whatever ends it.
#[cfg(unix)]
#[test]
fn a_run_whose_folder_was_made_anew_writes_nothing_there() {
    let place = Place::new();
    for made_anew in [true, false] {
        let run = place.path("run");
        let begin = place.begin(&run, &["--steps", "1000000", "--set", "evaluate_every=0"]);
        let mut command = Command::new(env!("CARGO_BIN_EXE_t5"));
        let command = command.args(&begin).stderr(std::process::Stdio::piped());
        let mut first = command.spawn().unwrap();
        let metrics = Path::new(&run).join("metrics.jsonl");
        while !fs::metadata(&metrics).is_ok_and(|file| file.len() > 0) {
            assert!(first.try_wait().unwrap().is_none());
            std::thread::sleep(Duration::from_millis(10));
        }
        fs::remove_dir_all(&run).unwrap();
        let seen = || {
            let entries = fs::read_dir(&run).into_iter().flatten();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        if made_anew {
            said(&place.begin(&run, &["--steps", "3", "--set", "seed=7"]));
        }
        let before = (seen(), made_anew.then(|| (state(&run, 3), checkpoints(&run))));
        let kill = Command::new("kill").arg(first.id().to_string()).status();
        assert!(kill.unwrap().success());
        let output = first.wait_with_output().unwrap();
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{told}");
        let line = told.lines().last().unwrap();
        assert!(line.starts_with("t5: ") && line.contains("run/lock"), "{told}");
        assert!(line.contains("made anew by another run"), "{told}");
        let after = (seen(), made_anew.then(|| (state(&run, 3), checkpoints(&run))));
        assert!(before == after);
        if made_anew {
            fs::remove_dir_all(&run).unwrap();
        }
    }
}

#[test]
fn more_spans_than_sentinels_are_told_before_training() {
    let place = Place::new();
    let told = |name: &str, length: &str| {
        let run = place.path(name);
        let length = format!("feed.objective.inputs_length={length}");
        let begin = place.begin(&run, &["--steps", "1", "--set", &length]);
        let output = t5(&begin);
        assert!(output.status.success(), "{}", stderr(&output));
        stderr(&output)
    };
    // 15 % of the tokens, 3 a span: a hundredth of some 2,000.
    let warning = told("long", "2100");
    let line = warning
        .lines()
        .find(|line| line.starts_with("warning: an example has "));
    let line = line.unwrap();
    assert!(
        line.contains("100 sentinels") && line.contains("feed.objective.inputs_length"),
        "{line}"
    );
    let first_step = warning.find("step 1/1").unwrap();
    assert!(warning.find(line).unwrap() < first_step);
    assert!(!told("short", "1024").contains("warning"));
}
