//! What a newcomer gets wrong and what somebody may do on purpose: numbers that cannot be, damaged files, closed pipes,
//! signals, folders that hold something else. Each is told in one line, before work is lost. (Above 500 lines: many
//! small things, a test for each kind.)

use crate::common::corpus::{Shard, pages, write};
use crate::common::program::{Place, SMALL, checkpoints, losses, refused, said, state, stderr, t5};
use c4_data::{Document, Format, Manifest, ShardMeta, ShardReader, ShardWriter, Split};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// The shards of a corpus.
fn shards(corpus: &str) -> Vec<PathBuf> {
    let manifest = c4_data::Manifest::read(Path::new(corpus)).unwrap().unwrap();
    let files = manifest.shards.iter().filter(|shard| shard.rows > 0);
    files.map(|shard| Path::new(corpus).join(&shard.file)).collect()
}

/// Turns one bit in the middle of a file, and gives what it was.
fn damage(path: &Path) -> Vec<u8> {
    let good = fs::read(path).unwrap();
    let mut bytes = good.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
    good
}

fn checkpoint(run: &str, step: u64) -> PathBuf {
    Path::new(run).join(format!("checkpoints/step-{step:08}"))
}

#[test]
fn numbers_that_cannot_be_are_refused_before_anything_is_made() {
    let place = Place::new();
    let out = place.path("run");
    for (setting, words) in [
        (
            "optimizer.clip_threshold=inf",
            ["optimizer.clip_threshold = inf", "finite"],
        ),
        ("optimizer.decay_exponent=nan", ["optimizer.decay_exponent", "finite"]),
        ("clip_norm=inf", ["clip_norm", "finite"]),
        ("model.d_model=9223372036854775807", ["model.d_model", "must be 1 to"]),
        (
            "model.decoder_layers=1000000000000",
            ["model.decoder_layers", "must be 1 to"],
        ),
        (
            "batches_per_step=9223372036854775807",
            ["batches_per_step", "must be 1 to"],
        ),
        ("feed.objective.name=lm", ["objective lm", "encoder"]),
    ] {
        let arguments = place.begin(&out, &["--set", setting]);
        refused(&arguments, &words);
        assert!(!Path::new(&out).exists(), "{setting}");
    }
    // Sizes that are in range, and more than any machine has.
    let huge = [
        "--set",
        "model.d_ff=1048576",
        "--set",
        "model.d_model=65536",
        "--set",
        "model.decoder_layers=1000",
    ];
    refused(&place.begin(&out, &huge), &["GB of memory", "this machine has"]);
    let wide = ["--set", "feed.rows=1048576", "--set", "model.d_ff=1048576"];
    refused(&place.begin(&out, &wide), &["feed.rows", "GB of memory"]);
    // By the file that says so.
    let file = place.path("t.toml");
    fs::write(&file, "[optimizer]\nkind = 'adamw'\nbeta2 = 1.0\n").unwrap();
    refused(
        &place.begin(&out, &["--config", &file]),
        &["optimizer.beta2 = 1 (", "t.toml", "below 1"],
    );
    fs::write(&file, "[feed]\nthreads = -3\n").unwrap();
    refused(
        &place.begin(&out, &["--config", &file]),
        &["feed.threads = -3 (", "t.toml"],
    );
    assert!(!Path::new(&out).exists());
    // As many threads as nobody has.
    let other = place.path("other.model");
    let train = ["vocab", "train", &place.corpus, "-o", &other];
    let output = t5(&[&train[..], &["-t", "9999999"]].concat());
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("9999999"), "{}", stderr(&output));

    // A checkpoint's own numbers; a cause is told once.
    said(&place.begin(&out, &["--steps", "2"]));
    let note = checkpoint(&out, 2).join("checkpoint.json");
    let good = fs::read_to_string(&note).unwrap();
    for (from, to, word) in [
        (
            "\"d_model\": 32",
            "\"d_model\": 18446744073709551615",
            "config.model.d_model",
        ),
        ("\"heads\": 2", "\"heads\": 4000", "GB of memory"),
        ("\"rows\": 2", "\"rows\": 0", "config.feed.rows"),
        ("\"step\": 2", "\"step\": 18446744073709551615", "step"),
        ("\"group\": ", "\"group\": 99999999999999", "cursor.corpora.group"),
        ("\"clip_threshold\": 1.0", "\"clip_threshold\": null", "checkpoint.json"),
    ] {
        assert!(good.contains(from), "{from} in {good}");
        let mut changed = good.replacen(from, to, 1);
        if word == "GB of memory" {
            changed = changed.replacen("\"d_kv\": 16", "\"d_kv\": 65536", 1);
            changed = changed.replacen("\"d_model\": 32", "\"d_model\": 65536", 1);
        }
        fs::write(&note, changed).unwrap();
        refused(&["eval", &out], &[word]);
        refused(&["pretrain", "-o", &out, "--resume"], &["no good checkpoint", word]);
    }
    fs::write(&note, good).unwrap();
    let nowhere = stderr(&t5(&["eval", &place.path("nowhere")]));
    assert_eq!(nowhere.matches("os error 2").count(), 1, "{nowhere}");

    // What is asked of a model.
    let blanks = "___ ".repeat(101);
    refused(&["generate", &out, &blanks], &["101 blanks", "100"]);
    for (option, value, named) in [
        ("--max-tokens", "0", "--max-tokens"),
        ("--max-tokens", "99999999999", "--max-tokens"),
        ("--beams", "0", "--beams"),
        ("--beams", "1000000", "--beams"),
        ("--seed", "3", "--sample"),
        ("--temperature", "0.5", "--sample"),
        ("--top-k", "4", "--sample"),
    ] {
        let output = t5(&["generate", &out, "a ___", option, value]);
        assert_eq!(output.status.code(), Some(2), "{option} {value}");
        assert!(stderr(&output).contains(named), "{option}: {}", stderr(&output));
    }

    // Another program's model.
    let exported = place.path("exported");
    said(&["export", &out, "-o", &exported]);
    let config = Path::new(&exported).join("config.json");
    let good = fs::read_to_string(&config).unwrap();
    let imported = place.path("imported");
    let import = ["import", &exported, "-o", &imported];
    for (from, to, word) in [
        ("\"num_layers\": 1", "\"num_layers\": 9999999999", "encoder_layers"),
        ("\"d_ff\": 64", "\"d_ff\": 18446744073709551615", "d_ff"),
        ("\"vocab_size\": 512", "\"vocab_size\": 0", "vocab_size"),
    ] {
        fs::write(&config, good.replacen(from, to, 1)).unwrap();
        refused(&import, &["config.json", word]);
    }
    fs::write(&config, good).unwrap();
    let weights = Path::new(&exported).join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let end = bytes.len();
    bytes[end - 64..].copy_from_slice(&f32::NAN.to_le_bytes().repeat(16));
    fs::write(&weights, bytes).unwrap();
    refused(&import, &["model.safetensors", "not finite"]);
    assert!(!Path::new(&imported).exists());
}

#[test]
fn a_refused_run_leaves_nothing() {
    let place = Place::new();
    let large = place.path("large.model");
    said(&["vocab", "train", &place.corpus, "--size", "450", "-o", &large]);
    let refusals = |run: &str, is_left: &dyn Fn() -> Vec<String>, before: &[String]| {
        // A vocabulary with more ids than the model; one that is none; a corpus that is damaged; a step that cannot be.
        let with_vocab = |vocab: &str| -> Vec<String> {
            let arguments = place.begin(run, &["--steps", "2"]);
            let given = |argument: &&str| match *argument == place.vocab {
                true => vocab.to_owned(),
                false => (*argument).to_owned(),
            };
            arguments.iter().map(given).collect()
        };
        let shard = &shards(&place.corpus)[0];
        let large = with_vocab(&large);
        let arguments: Vec<&str> = large.iter().map(String::as_str).collect();
        refused(&arguments, &["550 ids", "512 rows"]);
        assert_eq!(is_left(), before);
        let good = damage(shard);
        refused(&place.begin(run, &["--steps", "2"]), &["damaged"]);
        fs::write(shard, good).unwrap();
        assert_eq!(is_left(), before);
        let rate = ["--set", "schedule={kind='constant', rate=1e30}", "--steps", "9"];
        let diverged = [&rate[..], &["--set", "optimizer={kind='adamw'}"]].concat();
        let output = t5(&place.begin(run, &diverged));
        assert_eq!(output.status.code(), Some(2));
        // What was measured is worth a look.
        assert!(stderr(&output).contains("step "), "{}", stderr(&output));
        assert!(Path::new(run).join("metrics.jsonl").exists());
    };
    let names = |folder: &Path| -> Vec<String> {
        let mut all = Vec::new();
        if let Ok(entries) = fs::read_dir(folder) {
            all.extend(entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()));
        }
        all.sort_unstable();
        all
    };
    // A folder that was not there, and whose parent was not; one with somebody's files.
    let parent = place.path("parent");
    let run = Path::new(&parent).join("deeper/run");
    let left = || names(place.dir.path());
    let before = left();
    refusals(run.to_str().unwrap(), &left, &before);
    let kept = place.path("kept");
    fs::create_dir(&kept).unwrap();
    fs::write(Path::new(&kept).join("notes.txt"), "mine").unwrap();
    // A vocabulary where the run's will be is the user's.
    fs::copy(&place.vocab, Path::new(&kept).join("vocab.model")).unwrap();
    let left = || names(Path::new(&kept));
    refusals(&kept, &left, &["notes.txt".to_owned(), "vocab.model".to_owned()]);

    // A run that is there stays as it is.
    let run = place.path("run");
    said(&place.begin(&run, &["--steps", "2"]));
    let before = names(Path::new(&run));
    assert!(before.iter().any(|name| name.starts_with("events.")), "{before:?}");
    refused(&place.begin(&run, &[]), &["holds a run"]);
    let exported = place.path("exported");
    said(&["export", &run, "-o", &exported]);
    refused(&["import", &exported, "-o", &run], &["holds a run"]);
    assert_eq!(names(Path::new(&run)), before);
    let other = place.path("other");
    refused(
        &["import", &exported, "-o", &other, "--set", "model.d_ff=96"],
        &["another shape"],
    );
    assert!(!Path::new(&other).exists());
}

#[test]
fn a_batch_with_more_elements_than_are_counted_is_refused() {
    let place = Place::new();
    let out = place.path("run");
    // Weights of attention: 2^7 rows, 2 heads, 2^12 positions that see as many.
    let large = [
        "--set",
        "feed.rows=128",
        "--set",
        "feed.objective.inputs_length=4096",
        "--set",
        "model.dropout=0.1",
        "--set",
        "model.dropout_shape=elementwise",
    ];
    refused(
        &place.begin(&out, &large),
        &[
            "feed.rows = 128: ",
            "fewer than 2^32",
            "at most 127 rows",
            "batches_per_step",
        ],
    );
    assert!(!Path::new(&out).exists());
}

#[cfg(unix)]
#[test]
fn nobody_needs_to_listen() {
    let place = Place::new();
    let run = place.path("run");
    let arguments = place.begin(&run, &["--steps", "12"]);
    let piped = |arguments: &[&str], out: Stdio, err: Stdio| -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_t5"));
        let child = command.args(arguments).stdout(out).stderr(err).spawn();
        child.unwrap().wait_with_output().unwrap()
    };
    // A pipe that nobody reads.
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        Stdio::from(writer)
    };
    let full = || Stdio::from(fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    let output = piped(&arguments, Stdio::null(), closed());
    assert!(output.status.success(), "{output:?}");
    assert_eq!(losses(&run).len(), 12);
    let resume = ["pretrain", "-o", &run, "--resume", "--steps", "14"];
    assert!(piped(&resume, Stdio::null(), full()).status.success());
    assert_eq!(losses(&run).len(), 14);
    let asked: [&[&str]; 6] = [
        &["vocab", "show", &place.vocab],
        &["tokenize", "--vocab", &place.vocab, "A text."],
        &["inspect", &run],
        &["eval", &run],
        &["generate", &run, "A ___."],
        &["inspect", "--size", "11b"],
    ];
    for arguments in asked {
        let output = piped(arguments, closed(), Stdio::piped());
        let told = stderr(&output);
        assert!(output.status.success(), "{arguments:?}: {told}");
        assert!(!told.contains("t5: "), "{told}");
        let output = piped(arguments, full(), Stdio::piped());
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {told}");
        assert_eq!(told.matches("t5: ").count(), 1, "{told}");
        let what = "standard output cannot be written: No space left";
        assert!(told.contains(what), "{told}");
    }
    // A name that a terminal would take for a command.
    refused(&["inspect", "no\u{1b}[31m\u{202e}run"], &["no\u{fffd}[31m\u{fffd}run"]);
}

#[cfg(unix)]
#[test]
fn a_signal_saves_and_stops() {
    let place = Place::new();
    for (signal, status) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let run = place.path(signal);
        let rest = ["--steps", "1000000", "--set", "evaluate_every=0"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_t5"));
        command.args(place.begin(&run, &rest));
        let child = command.stderr(Stdio::piped()).spawn().unwrap();
        let metrics = Path::new(&run).join("metrics.jsonl");
        while fs::read_to_string(&metrics).map_or(0, |text| text.lines().count()) < 3 {
            std::thread::sleep(Duration::from_millis(10));
        }
        let pid = child.id().to_string();
        let flag = format!("-{signal}");
        assert!(Command::new("kill").args([&flag, &pid]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(status), "{told}");
        assert!(told.contains("Stopping after this step (once more"), "{told}");
        assert!(told.contains("Stopped after step"), "{told}");
        // What it would have cost was said when the first of its batches was done, before the first step.
        let cost = told.find("A step takes about ").unwrap();
        assert!(cost < told.find("step 1/1000000: loss ").unwrap(), "{told}");
        // Not a step is lost.
        let steps = losses(&run).len() as u64;
        assert!(steps >= 3);
        assert_eq!(checkpoints(&run), [format!("step-{steps:08}")]);
    }
}

#[test]
fn damage_of_the_data_is_told_and_no_step_lost() {
    let place = Place::new();
    let (run, whole) = (place.path("run"), place.path("whole"));
    let shards = shards(&place.corpus);
    // One bit, the size as it was.
    let good: Vec<Vec<u8>> = shards.iter().map(|shard| damage(shard)).collect();
    let words = ["damaged", "checksum", "manifest.json", "c4 verify"];
    refused(&place.begin(&run, &[]), &words);
    for (shard, good) in shards.iter().zip(&good) {
        fs::write(shard, good).unwrap();
    }
    let settings = ["--steps", "6", "--set", "evaluate_every=2"];
    said(&place.begin(&whole, &settings));
    // Only those of training are whole: the first look fails.
    let of_validation = |path: &&PathBuf| path.to_string_lossy().contains("validation");
    let validation = shards.iter().find(of_validation).expect("validation shards");
    let good = damage(validation);
    refused(
        &place.begin(&run, &settings),
        &["damaged", "checksum", "--resume goes on after step 2"],
    );
    assert_eq!(checkpoints(&run), ["step-00000002"]);
    refused(&["eval", &run], &["damaged", "checksum"]);
    fs::write(validation, good).unwrap();
    said(&["pretrain", "-o", &run, "--resume"]);
    assert_eq!(state(&run, 6), state(&whole, 6));
    let lines = |run: &str| {
        let text = fs::read_to_string(Path::new(run).join("metrics.jsonl")).unwrap();
        let seen = text.lines().map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            (
                line["step"].clone(),
                line["loss"].clone(),
                line["validation_loss"].clone(),
            )
        });
        seen.collect::<Vec<_>>()
    };
    assert_eq!(lines(&run), lines(&whole));
    let best = |run: &str| {
        let note = fs::read_to_string(checkpoint(run, 6).join("checkpoint.json")).unwrap();
        let note: serde_json::Value = serde_json::from_str(&note).unwrap();
        note["validation_loss"].as_f64().unwrap()
    };
    assert_eq!(best(&run), best(&whole));

    // A line in the middle of the metrics.
    let metrics = Path::new(&run).join("metrics.jsonl");
    let text = fs::read_to_string(&metrics).unwrap();
    fs::write(&metrics, text.replacen("\n{", "\nx{", 1)).unwrap();
    refused(&["plot", &run], &["metrics.jsonl", "line 2"]);
    // The last one may be in the writing.
    fs::write(&metrics, &text[..text.len() - 5]).unwrap();
    said(&["plot", &run]);
}

#[test]
fn what_was_trained_before_a_damaged_shard_is_saved() {
    let place = Place::new();
    let corpus = place.path("in-shards");
    let shard = |split, documents| Shard {
        language: None,
        split,
        documents,
    };
    let mut parts: Vec<Shard> = (0..6)
        .map(|i| shard(Split::Train, pages(10 * i..10 * i + 10)))
        .collect();
    parts.push(shard(Split::Validation, pages(1000..1004)));
    write(Path::new(&corpus), Format::Arrow, &parts);
    let of_train = |path: &PathBuf| path.to_string_lossy().contains("train");
    let train: Vec<PathBuf> = shards(&corpus).into_iter().filter(of_train).collect();
    assert!(train.len() > 3, "{train:?}");
    // Small steps of several batches, so that the damage is met within one.
    let small = [
        "--set",
        "feed.documents_per_group=2",
        "--set",
        "batches_per_step=3",
        "--set",
        "evaluate_every=0",
        "--steps",
    ];
    let begin = |run, steps| {
        let rest = [&small[..], &[steps]].concat();
        let arguments = place.begin(run, &rest);
        let given = |argument: &str| match argument == place.corpus {
            true => corpus.clone(),
            false => argument.to_owned(),
        };
        arguments.into_iter().map(given).collect::<Vec<_>>()
    };
    let (whole, run) = (place.path("whole"), place.path("run"));
    let good = damage(&train[2]);
    let arguments = begin(&run, "40");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let name = train[2].file_name().unwrap().to_string_lossy().into_owned();
    refused(&arguments, &[&name, "damaged", "--resume goes on after step"]);
    let done = losses(&run).len() as u64;
    assert!(done > 0 && done < 40);
    assert_eq!(checkpoints(&run), [format!("step-{done:08}")]);
    fs::write(&train[2], good).unwrap();
    said(&["pretrain", "-o", &run, "--resume"]);
    let arguments = begin(&whole, "40");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    said(&arguments);
    assert_eq!(state(&run, 40), state(&whole, 40));
    assert_eq!(losses(&run), losses(&whole));
}

#[test]
fn a_damaged_checkpoint_is_passed_over() {
    let place = Place::new();
    let (run, whole) = (place.path("run"), place.path("whole"));
    let every = ["--steps", "6", "--set", "checkpoint_every=2"];
    said(&place.begin(&whole, &every));
    said(&place.begin(&run, &every));
    // One bit of a value; a folder that is empty; remains of a write.
    damage(&checkpoint(&run, 6).join("model.safetensors"));
    fs::create_dir(checkpoint(&run, 8)).unwrap();
    fs::create_dir(Path::new(&run).join("checkpoints/step-00000010.partial")).unwrap();
    for command in ["eval", "inspect", "generate"] {
        let output = t5(&[command, &checkpoint(&run, 8).to_string_lossy(), "x"]);
        assert_eq!(output.status.code(), Some(2));
    }
    let at_6 = checkpoint(&run, 6);
    refused(
        &["eval", &at_6.to_string_lossy()],
        &["model.safetensors", "checksum", "earlier checkpoint"],
    );
    let resume = ["pretrain", "-o", &run, "--resume"];
    // Settings that cannot be are not a checkpoint's damage.
    refused(&[&resume[..], &["--set", "model.d_ff=8"]].concat(), &["another shape"]);
    refused(
        &[&resume[..], &["--set", "optimizer={kind='adamw'}"]].concat(),
        &["optimiser's state"],
    );
    assert!(checkpoint(&run, 6).is_dir() && checkpoint(&run, 8).is_dir());
    let output = t5(&resume);
    let told = stderr(&output);
    assert!(output.status.success(), "{told}");
    for (step, what) in [(8, "checkpoint.json"), (6, "model.safetensors")] {
        let name = format!("step-{step:08}");
        let line = told.lines().find(|line| line.contains(&name) && line.contains(what));
        assert!(line.is_some_and(|line| line.contains("passed over")), "{told}");
        let aside = format!("checkpoints/{name}.damaged");
        assert!(Path::new(&run).join(aside).is_dir());
    }
    assert!(told.contains("goes on after step 4"), "{told}");
    assert_eq!(state(&run, 6), state(&whole, 6));
    assert_eq!(losses(&run), losses(&whole));

    // An older checkpoint has no checksums.
    let note = checkpoint(&run, 6).join("checkpoint.json");
    let mut old: serde_json::Value = serde_json::from_slice(&fs::read(&note).unwrap()).unwrap();
    assert_eq!(old["xxh3"].as_object().unwrap().len(), 2);
    old.as_object_mut().unwrap().remove("xxh3");
    fs::write(&note, old.to_string()).unwrap();
    said(&["eval", &run]);

    // None is good.
    for step in [2, 4, 6] {
        fs::write(checkpoint(&run, step).join("optimizer.safetensors"), "x").unwrap();
    }
    refused(
        &resume,
        &["no good checkpoint", "step-00000002", "step-00000004", "step-00000006"],
    );
    assert!(checkpoint(&run, 6).is_dir(), "nothing was moved");
}

#[test]
fn nothing_is_mixed_up() {
    let place = Place::new();
    let run = place.path("run");
    said(&place.begin(&run, &["--steps", "2"]));
    let exported = place.path("exported");
    said(&["export", &run, "-o", &exported]);
    // Again into the same folder.
    said(&["export", &run, "-o", &exported]);
    refused(&place.begin(&place.corpus, &[]), &["holds a corpus"]);
    refused(&place.begin(&exported, &[]), &["holds a model"]);
    refused(&place.begin(&run, &[]), &["holds a run", "--resume"]);
    refused(&["import", &exported, "-o", &place.corpus], &["holds a corpus"]);
    refused(&["import", &exported, "-o", &run], &["holds a run"]);
    refused(&["export", &run, "-o", &place.corpus], &["holds a corpus"]);
    refused(&["export", &run, "-o", &run], &["holds a run"]);
    let at_2 = checkpoint(&run, 2).to_string_lossy().into_owned();
    refused(&["export", &run, "-o", &at_2], &["holds a checkpoint"]);
    let before = fs::read(&place.vocab).unwrap();
    refused(&["plot", &run, "-o", &place.vocab], &["vocab.model", "no SVG"]);
    let train = ["vocab", "train", &place.corpus, "--size", "310", "-o", &place.vocab];
    refused(&train, &["vocab.model", "--overwrite"]);
    assert_eq!(fs::read(&place.vocab).unwrap(), before);
    let picture = place.path("picture.svg");
    said(&["plot", &run, "-o", &picture]);
    said(&["plot", &run, "-o", &picture]);

    // Another vocabulary.
    said(&[&train[..], &["--overwrite", "-t", "2"]].concat());
    assert_ne!(fs::read(&place.vocab).unwrap(), before);
    let resume = ["pretrain", "-o", &run, "--resume", "--vocab", &place.vocab];
    refused(&resume, &["vocab.model", "is not the vocabulary", "leave out --vocab"]);
    let own = Path::new(&run).join("vocab.model");
    fs::copy(&place.vocab, &own).unwrap();
    let other = place.path("other");
    let asked: [&[&str]; 5] = [
        &["eval", &run],
        &["inspect", &run],
        &["generate", &run, "x"],
        &["export", &run, "-o", &other],
        &["pretrain", "-o", &run, "--resume"],
    ];
    for arguments in asked {
        refused(arguments, &["vocab.model", "is not the vocabulary"]);
    }
    fs::write(&own, &before).unwrap();
    fs::write(&place.vocab, &before).unwrap();
    said(&[&resume[..], &["--steps", "3"]].concat());

    // From another folder, and of a corpus that is elsewhere.
    let relative = place.path("relative");
    let mut arguments = place.begin(&relative, &["--steps", "2"]);
    let at = arguments.iter().position(|a| *a == "--corpus").unwrap();
    arguments[at + 1] = "corpus";
    let mut command = Command::new(env!("CARGO_BIN_EXE_t5"));
    let output = command.args(&arguments).current_dir(place.dir.path()).output();
    assert!(output.unwrap().status.success());
    let resume = ["pretrain", "-o", &relative, "--resume"];
    said(&[&resume[..], &["--steps", "3"]].concat());
    let moved = place.path("moved");
    fs::rename(&place.corpus, &moved).unwrap();
    let on = [&resume[..], &["--steps", "4"]].concat();
    refused(&on, &["is not there", "--corpus PATH"]);
    said(&[&on[..], &["--corpus", &moved]].concat());
}

#[test]
fn what_inspect_prints_is_a_configuration() {
    let place = Place::new();
    let mut arguments = vec!["inspect", "--size", "tiny"];
    // All but the rows of the embedding, which are the vocabulary's.
    for setting in SMALL.iter().filter(|setting| !setting.contains("vocab_size")) {
        arguments.extend(["--set", setting]);
    }
    let plain = said(&arguments);
    for line in [
        "# clip_norm = 1.0",
        "# density = 0.15",
        "# mean_span_length = 3.0",
        "# spans = \"random\"",
        "# targets_length = ",
        "inputs_length = 64",
        "rows = 2",
        "# vocab_size",
    ] {
        assert!(plain.lines().any(|l| l.starts_with(line)), "{line} in {plain}");
    }
    let table: toml::Table = toml::from_str(&plain).unwrap();
    assert!(!table["model"].as_table().unwrap().contains_key("vocab_size"));
    // With examples, too.
    let mut shown = arguments.clone();
    shown.extend(["--vocab", &place.vocab, "--corpus", &place.corpus, "-n", "2"]);
    let shown = said(&shown);
    assert!(shown.contains("#   inputs ("), "{shown}");
    toml::from_str::<toml::Table>(&shown).unwrap();

    let file = place.path("m.toml");
    fs::write(&file, &plain).unwrap();
    let (by_file, by_settings) = (place.path("by-file"), place.path("by-settings"));
    let pretrain = ["pretrain", "--corpus", &place.corpus, "--vocab", &place.vocab];
    said(&[&pretrain[..], &["--config", &file, "--steps", "2", "-o", &by_file]].concat());
    said(&place.begin(&by_settings, &["--steps", "2"]));
    assert_eq!(state(&by_file, 2), state(&by_settings, 2));
    // The rows where they were said, and of a run.
    let said_rows = said(&["inspect", "--size", "tiny", "--set", "model.vocab_size=640"]);
    assert!(said_rows.contains("vocab_size = 640"), "{said_rows}");
    let of_run = said(&["inspect", &by_file]);
    assert!(of_run.contains("vocab_size = 512"), "{of_run}");
    for objective in ["lm", "prefix_lm", "deshuffling", "iid_denoising"] {
        let setting = format!("feed.objective.name={objective}");
        let mut arguments = vec!["inspect", "--size", "tiny", "--set", &setting];
        arguments.extend(["--set", "optimizer.kind=adamw"]);
        if objective == "lm" {
            arguments.extend(["--set", "model.architecture=language_model"]);
        }
        let printed = said(&arguments);
        let table: toml::Table = toml::from_str(&printed).unwrap();
        assert!(table.contains_key("optimizer"), "{printed}");
        assert!(printed.contains("# min_parameter_scale"), "{printed}");
        assert_eq!(printed.contains("# inputs_length"), objective != "lm");
        assert_eq!(printed.contains("# density"), objective == "iid_denoising");
    }
}

#[test]
fn a_row_that_no_build_writes_is_refused_before_it_is_unpacked() {
    let place = Place::new();
    let corpus = Path::new(&place.corpus);
    let mut manifest = Manifest::read(corpus).unwrap().unwrap();
    let entry = manifest.shards[0].clone();
    let shard = corpus.join(&entry.file);
    let rows = ShardReader::open(&shard).unwrap();
    let mut rows: Vec<Document> = rows.map(|row| row.unwrap()).collect();
    rows[0].page.text = "a".repeat(80 << 20);
    let meta = ShardMeta {
        recipe: manifest.recipe.name.clone(),
        recipe_hash: manifest.recipe_hash.clone(),
    };
    let split = entry.split;
    let mut writer = ShardWriter::create(&shard, place.dir.path(), manifest.format, split, &meta).unwrap();
    writer.write(rows).unwrap();
    manifest.shards[0] = writer.finish().unwrap();
    manifest.write(corpus).unwrap();
    assert!(manifest.shards[0].bytes < 1 << 20);
    let words = [&*entry.file, "batch 0 holds ", "bytes, at most "];
    let vocab = place.path("other.model");
    refused(
        &["vocab", "train", &place.corpus, "--size", "300", "-o", &vocab],
        &words,
    );
    let run = place.path("run");
    refused(&place.begin(&run, &["--steps", "2"]), &words);
}
