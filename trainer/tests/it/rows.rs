//! Corpora that `c4 build` did not write: every kind of file gives the same training, and what is wrong with one is
//! said. (Above 500 lines: writers of all kinds of files serve all of it.)

use crate::common::corpus::{Shard, pages, write};
use crate::common::program::{Place, SMALL, checkpoints, losses, refused, said, state, stderr, t5};
use crate::common::shared;
use arrow::array::{ArrayRef, DictionaryArray, Int64Array, RecordBatch, StringArray, StringViewArray};
use arrow::datatypes::Int32Type;
use arrow::ipc::writer::{FileWriter, StreamWriter};
use c4_data::{Format, Split};
use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::arrow::ArrowWriter;
use serde_json::json;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use t5_trainer::internals::examples;
use t5_trainer::{FeedConfig, Source};

type Pages = [(String, String)];

/// Prose on one line, so that a line of text can hold it.
fn prose(numbers: std::ops::Range<u64>) -> Vec<(String, String)> {
    let pages = pages(numbers).into_iter();
    pages.map(|(url, text)| (url, text.replace('\n', " "))).collect()
}

fn json_lines(pages: &Pages) -> String {
    let line = |(url, text): &(String, String)| format!("{}\n", json!({"id": 7, "text": text, "url": url}));
    pages.iter().map(line).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

fn batch(pages: &Pages, text: ArrayRef) -> RecordBatch {
    let urls = StringArray::from_iter_values(pages.iter().map(|(url, _)| url));
    let numbers = Int64Array::from_iter_values(0..pages.len() as i64);
    RecordBatch::try_from_iter([
        ("number", Arc::new(numbers) as ArrayRef),
        ("text", text),
        ("url", Arc::new(urls)),
    ])
    .unwrap()
}

fn texts(pages: &Pages) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(pages.iter().map(|(_, text)| text)))
}

/// Batches of some rows each, written by `write`.
fn batches(pages: &Pages) -> impl Iterator<Item = RecordBatch> {
    pages.chunks(7).map(|pages| batch(pages, texts(pages)))
}

fn arrow_file(path: &Path, pages: &Pages) {
    let schema = batch(pages, texts(pages)).schema();
    let mut writer = FileWriter::try_new(File::create(path).unwrap(), &schema).unwrap();
    batches(pages).for_each(|batch| writer.write(&batch).unwrap());
    writer.finish().unwrap();
}

fn arrow_stream(path: &Path, pages: &Pages) {
    let schema = batch(pages, texts(pages)).schema();
    let mut writer = StreamWriter::try_new(File::create(path).unwrap(), &schema).unwrap();
    batches(pages).for_each(|batch| writer.write(&batch).unwrap());
    writer.finish().unwrap();
}

fn parquet_file(path: &Path, pages: &Pages) {
    let batch = batch(pages, texts(pages));
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// The same documents as files of every kind, each kind in its folder with `train` and `validation` files; and as a
/// build.
fn corpora(dir: &Path, train: &Pages, validation: &Pages) -> Vec<String> {
    type Write = fn(&Path, &Pages);
    let kinds: [(&str, Write); 9] = [
        ("json.gz", |path, pages| {
            fs::write(path, gzip(json_lines(pages).as_bytes())).unwrap()
        }),
        ("jsonl", |path, pages| {
            // Blank lines, ends of another system, and a byte order mark are no rows.
            let lines = json_lines(pages).replace('\n', "\r\n\r\n");
            fs::write(path, format!("\u{feff}{lines}")).unwrap();
        }),
        ("jsonl.zst", |path, pages| {
            fs::write(path, zstd::encode_all(json_lines(pages).as_bytes(), 1).unwrap()).unwrap();
        }),
        ("json", |path, pages| {
            let rows: Vec<_> = pages
                .iter()
                .map(|(url, text)| json!({"url": url, "text": text}))
                .collect();
            fs::write(path, serde_json::to_string_pretty(&rows).unwrap()).unwrap();
        }),
        ("txt", |path, pages| {
            let lines: Vec<&str> = pages.iter().map(|(_, text)| &**text).collect();
            fs::write(path, lines.join("\n")).unwrap();
        }),
        ("txt.gz", |path, pages| {
            let lines: String = pages.iter().map(|(_, text)| format!("{text}\n")).collect();
            fs::write(path, gzip(lines.as_bytes())).unwrap();
        }),
        ("parquet", parquet_file),
        ("arrow", arrow_file),
        ("stream.arrow", arrow_stream),
    ];
    let mut found = Vec::new();
    for (end, write) in kinds {
        let folder = dir.join(end.replace('.', "-"));
        fs::create_dir(&folder).unwrap();
        // In two files, the second of which is in a folder of its own.
        let (first, second) = train.split_at(23);
        write(&folder.join(format!("train-00000-of-00002.{end}")), first);
        fs::create_dir(folder.join("train-2")).unwrap();
        write(&folder.join(format!("train-2/data.{end}")), second);
        write(&folder.join(format!("validation-00000-of-00001.{end}")), validation);
        write(&folder.join(format!("test-00000-of-00001.{end}")), &train[..3]);
        fs::write(folder.join("README.md"), "About these files.").unwrap();
        fs::write(folder.join("dataset_info.json"), "{\n  \"description\": \"\"\n}").unwrap();
        found.push(folder);
    }
    let shard = |split, pages: &Pages| Shard {
        language: None,
        split,
        documents: pages.to_vec(),
    };
    let shards = [
        shard(Split::Train, &train[..11]),
        shard(Split::Train, &train[11..]),
        shard(Split::Validation, validation),
    ];
    found.push(write(&dir.join("build"), Format::Arrow, &shards));
    // A pattern, which names no test set.
    found.push(dir.join("json-gz/*[n-]*"));
    // A document a file, in the order of their names.
    let files = dir.join("files");
    for (split, pages) in [("train", train), ("validation", validation)] {
        fs::create_dir_all(files.join(split)).unwrap();
        for (i, (_, text)) in pages.iter().enumerate() {
            fs::write(files.join(format!("{split}/{i:04}.txt")), text).unwrap();
        }
    }
    found.push(files);
    found.iter().map(|path| path.to_str().unwrap().to_owned()).collect()
}

fn settings() -> Vec<&'static str> {
    let mut settings: Vec<&str> = SMALL.iter().flat_map(|setting| ["--set", *setting]).collect();
    settings.extend([
        "--set",
        "evaluate_every=4",
        "--set",
        "feed.documents_per_group=8",
        "--set",
    ]);
    settings.push("feed.shuffle_groups=2");
    settings
}

#[test]
fn every_kind_of_file_gives_the_same_vocabulary_and_the_same_training() {
    let dir = tempfile::tempdir().unwrap();
    let (train, validation) = (prose(0..60), prose(1000..1004));
    let mut wanted: Option<(Vec<u8>, String, Vec<u8>)> = None;
    for (i, corpus) in corpora(dir.path(), &train, &validation).iter().enumerate() {
        let path = |name: &str| dir.path().join(format!("{name}-{i}")).to_str().unwrap().to_owned();
        let (vocab, run) = (path("vocab"), path("run"));
        let document: &[&str] = match corpus.ends_with("files") {
            true => &["--document", "file"],
            false => &[],
        };
        // Less than all of the text, so that documents are drawn.
        let vocabulary = [
            "vocab",
            "train",
            corpus,
            "--size",
            "300",
            "--megabytes",
            "1",
            "-o",
            &vocab,
        ];
        said(&[&vocabulary[..], document].concat());
        let threads = ["-t", ["1", "2"][i % 2]];
        let begin = [
            "pretrain", "--size", "tiny", "--corpus", corpus, "--vocab", &vocab, "-o", &run,
        ];
        said(&[&begin[..], &settings(), document, &threads, &["--steps", "8"]].concat());
        let metrics = fs::read_to_string(Path::new(&run).join("metrics.jsonl")).unwrap();
        let measured = metrics.lines().map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            format!("{} {} {}\n", line["step"], line["loss"], line["validation_loss"])
        });
        let [model, _] = state(&run, 8);
        let found = (fs::read(&vocab).unwrap(), measured.collect(), model);
        let wanted = wanted.get_or_insert_with(|| found.clone());
        assert!(*wanted == found, "{corpus}: {}", found.1);
        // Measured again, without training.
        let line = said(&[&["eval", &run, "--json"][..], &["--corpus", corpus], document].concat());
        assert!(line.contains("\"targets\""), "{line}");
    }
}

#[test]
fn the_published_c4_and_data_sets_of_the_hub_train_as_they_are() {
    let (Some(c4), Some(hub)) = (
        shared("data/c4/c4-en-500.json.gz"),
        shared("data/sup/hf-arrow/glue/rte"),
    ) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (c4, hub) = (c4.to_str().unwrap(), hub.to_str().unwrap());
    let vocab = path("vocab");
    said(&["vocab", "train", c4, "--size", "500", "-o", &vocab]);
    for (corpus, column, documents) in [(c4, "text", "500 documents"), (hub, "sentence1", "277 documents")] {
        let run = path(column);
        let begin = [
            "pretrain", "--size", "tiny", "--vocab", &vocab, "-o", &run, "--corpus", corpus,
        ];
        let set = ["--set", "model.vocab_size=640", "--column", column, "--steps", "3"];
        let output = t5(&[&begin[..], &settings(), &set].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(stderr(&output).contains(documents), "{}", stderr(&output));
        assert_eq!(losses(&run).len(), 3);
    }
}

#[test]
fn a_broken_run_over_other_files_ends_as_one_that_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new();
    let corpus = &corpora(dir.path(), &prose(0..60), &prose(1000..1004))[0];
    let run = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (whole, broken) = (run("whole"), run("broken"));
    let every = ["--set", "checkpoint_every=1", "--steps", "100"];
    let begin = |run: &str| -> Vec<String> {
        let vocab = &place.vocab;
        let named = [
            "pretrain", "--size", "tiny", "--corpus", corpus, "--vocab", vocab, "-o", run,
        ];
        [&named[..], &settings(), &every]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect()
    };
    let command = |arguments: &[String]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_t5"));
        command.args(arguments).stderr(Stdio::null());
        command
    };
    assert!(command(&begin(&whole)).status().unwrap().success());
    let mut arguments = begin(&broken);
    let mut kills = 0;
    loop {
        let mut child = command(&arguments).spawn().unwrap();
        // After twenty kills it may end.
        let patience = Duration::from_millis(30 + 15 * kills);
        let begun = Instant::now();
        while child.try_wait().unwrap().is_none() && (kills >= 20 || begun.elapsed() < patience) {
            std::thread::sleep(Duration::from_millis(2));
        }
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success());
            break;
        }
        let _ = child.kill();
        child.wait().unwrap();
        kills += 1;
        if Path::new(&broken).join("checkpoints").is_dir() && !checkpoints(&broken).is_empty() {
            arguments = ["pretrain", "-o", &broken, "--resume"].map(str::to_owned).to_vec();
        }
    }
    assert!(kills > 3, "{kills}");
    println!("killed {kills} times");
    assert_eq!(state(&broken, 100), state(&whole, 100));
    assert_eq!(losses(&broken), losses(&whole));
}

#[test]
fn a_file_that_changed_is_named_and_data_can_begin_anew() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new();
    let corpora = corpora(dir.path(), &prose(0..60), &prose(1000..1004));
    let run = dir.path().join("run").to_str().unwrap().to_owned();
    let begin = [
        "pretrain",
        "--size",
        "tiny",
        "--corpus",
        &corpora[0],
        "--vocab",
        &place.vocab,
        "-o",
        &run,
    ];
    said(&[&begin[..], &settings(), &["--steps", "4"]].concat());
    let resume = ["pretrain", "-o", &run, "--resume", "--steps", "6"];
    let file = Path::new(&corpora[0]).join("train-2/data.json.gz");
    let good = fs::read(&file).unwrap();
    fs::write(&file, gzip(json_lines(&prose(23..59)).as_bytes())).unwrap();
    refused(
        &resume,
        &["train-2/data.json.gz", "has changed since the run began", "--new-data"],
    );
    let more = file.with_file_name("more.json.gz");
    fs::write(&file, &good).unwrap();
    fs::write(&more, &good).unwrap();
    refused(&resume, &["train-2/more.json.gz", "has come to the corpus"]);
    fs::remove_file(&more).unwrap();
    fs::remove_file(&file).unwrap();
    refused(
        &resume,
        &["train-2/data.json.gz", "is not among the corpus's files any more"],
    );

    // A second stage: another corpus, objective, seed and optimiser, on the same model.
    let other = [
        "--corpus",
        &corpora[6],
        "--set",
        "feed.seed=9",
        "--set",
        "feed.objective.density=0.3",
    ];
    refused(&[&resume[..], &other].concat(), &["--new-data"]);
    let adamw = ["--set", "optimizer.kind=adamw"];
    let anew = t5(&[&resume[..], &other, &["--new-data"]].concat());
    assert!(anew.status.success(), "{}", stderr(&anew));
    assert!(stderr(&anew).contains("read from their start"), "{}", stderr(&anew));
    let steps: Vec<u64> = losses(&run).iter().map(|(step, _)| *step).collect();
    assert_eq!(steps, [1, 2, 3, 4, 5, 6]);
    let resume = ["pretrain", "-o", &run, "--resume", "--steps", "8"];
    refused(&[&resume[..], &adamw].concat(), &["--new-optimizer"]);
    let anew = t5(&[&resume[..], &adamw, &["--new-optimizer"]].concat());
    assert!(anew.status.success(), "{}", stderr(&anew));
    assert!(stderr(&anew).contains("state begins anew"), "{}", stderr(&anew));
    // What began anew is noted: the run goes on, and is the same as one that was not stopped in between.
    said(&["pretrain", "-o", &run, "--resume", "--steps", "9"]);
    assert_eq!(losses(&run).len(), 9);
    let note = fs::read_to_string(Path::new(&run).join("checkpoints/step-00000009/checkpoint.json")).unwrap();
    let note: serde_json::Value = serde_json::from_str(&note).unwrap();
    assert_eq!(note["optimizer_began"], 6);
}

#[test]
fn validation_is_by_corpus_and_its_mean_by_weight() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new();
    let file = |name: &str, pages: &Pages| -> String {
        let path = dir.path().join(name);
        fs::write(&path, json_lines(pages)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (a, b) = (file("a.jsonl", &prose(0..50)), file("b.jsonl", &prose(200..320)));
    let one = file("one.jsonl", &prose(7..8));
    let run = dir.path().join("run").to_str().unwrap().to_owned();
    let weighted = [format!("{a}=1"), format!("{b}=3"), format!("{one}=1")];
    let corpora = [
        "--corpus",
        &weighted[0],
        "--corpus",
        &weighted[1],
        "--corpus",
        &weighted[2],
    ];
    let begin = ["pretrain", "--size", "tiny", "--vocab", &place.vocab, "-o", &run];
    said(&[&begin[..], &corpora, &settings(), &["--steps", "8"]].concat());
    let metrics = fs::read_to_string(Path::new(&run).join("metrics.jsonl")).unwrap();
    let last: serde_json::Value = serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
    let of: Vec<&serde_json::Value> = last["corpora"].as_array().unwrap().iter().collect();
    let names: Vec<&str> = of.iter().map(|of| of["corpus"].as_str().unwrap()).collect();
    assert_eq!(names, [&a, &b], "a corpus of one document has none to validate with");
    let loss = |of: &serde_json::Value| of["loss"].as_f64().unwrap();
    let mean = 0.25 * loss(of[0]) + 0.75 * loss(of[1]);
    assert!(
        (last["validation_loss"].as_f64().unwrap() - mean).abs() < 1e-12,
        "{last}"
    );
    let note = fs::read_to_string(Path::new(&run).join("checkpoints/step-00000008/checkpoint.json")).unwrap();
    let note: serde_json::Value = serde_json::from_str(&note).unwrap();
    assert_eq!(
        note["validation_loss"], last["validation_loss"],
        "the best checkpoint is chosen by the mean"
    );

    // Either order gives the same, and each corpus has its own limit.
    let eval = |corpora: [&str; 4]| {
        let lines = said(&[&["eval", &run, "--json", "--batches", "2"][..], &corpora].concat());
        let lines = lines
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.collect::<Vec<_>>()
    };
    let (forth, back) = (
        eval(["--corpus", &weighted[0], "--corpus", &weighted[1]]),
        eval(["--corpus", &weighted[1], "--corpus", &weighted[0]]),
    );
    assert_eq!(forth[2]["validation_loss"], back[2]["validation_loss"]);
    assert_eq!((&forth[0], &forth[1]), (&back[1], &back[0]));
    assert_eq!(forth[0]["corpus"], a.as_str());

    // Nothing to validate with, anywhere.
    let alone = ["--corpus", &weighted[2]];
    let other = dir.path().join("alone").to_str().unwrap().to_owned();
    let begin = ["pretrain", "--size", "tiny", "--vocab", &place.vocab, "-o", &other];
    refused(
        &[&begin[..], &alone, &settings(), &["--steps", "2"]].concat(),
        &["evaluate_every=0"],
    );
    said(
        &[
            &begin[..],
            &alone,
            &settings(),
            &["--steps", "2", "--set", "evaluate_every=0"],
        ]
        .concat(),
    );
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new();
    let good = json_lines(&prose(0..20));
    let file = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let cut = {
        let whole = gzip(good.as_bytes());
        whole[..whole.len() / 2].to_vec()
    };
    let parquet = |name: &str, damage: fn(&mut Vec<u8>)| {
        let path = dir.path().join(name);
        parquet_file(&path, &prose(0..20));
        let mut bytes = fs::read(&path).unwrap();
        damage(&mut bytes);
        fs::write(&path, bytes).unwrap();
        path
    };
    let stream = |name: &str, damage: fn(&mut Vec<u8>)| {
        let path = dir.path().join(name);
        arrow_stream(&path, &prose(0..20));
        let mut bytes = fs::read(&path).unwrap();
        damage(&mut bytes);
        fs::write(&path, bytes).unwrap();
        path
    };
    let numbers = good.replace("\"text\":\"", "\"text\":5,\"body\":\"");
    let bodies = good.replace("\"text\":", "\"body\":");
    let empty_folder = dir.path().join("folder");
    fs::create_dir(&empty_folder).unwrap();
    fs::write(empty_folder.join("README.md"), "Nothing.").unwrap();
    for (path, words) in [
        (file("cut.jsonl.gz", &cut), &["cut.jsonl.gz", "line"][..]),
        (
            file("broken.jsonl", format!("{good}{{\"text\": \"a\"").as_bytes()),
            &["line 21", "not a JSON object"],
        ),
        (
            file("list.jsonl", format!("{good}[1, 2]\n").as_bytes()),
            &["line 21", "not a JSON object"],
        ),
        (
            file("array.json", b"[{\"text\": \"a\"}, {\"text\": \"b\""),
            &["object 2"],
        ),
        (file("open.json", b"[{\"text\": \"a\"}"), &["the array does not end"]),
        (
            file("numbers.jsonl", numbers.as_bytes()),
            &["line 1", "column `text` holds a number", "--column"],
        ),
        (
            file("bodies.jsonl", bodies.as_bytes()),
            &["no row has a column `text`", "id, body, url", "--column"],
        ),
        (
            file("latin.txt", b"good\nna\xefve\n"),
            &["line 2 is not UTF-8", "iconv"],
        ),
        (file("empty.jsonl", b""), &["the corpus is empty"]),
        (file("binary", b"\0\x01\x02"), &["nothing to read"]),
        (
            parquet("cut.parquet", |bytes| bytes.truncate(bytes.len() / 2)),
            &["cut.parquet"],
        ),
        (
            parquet("zeros.parquet", |bytes| bytes[8..200].fill(0)),
            &["zeros.parquet"],
        ),
        (
            stream("cut.arrow", |bytes| bytes.truncate(bytes.len() / 2)),
            &["no whole Arrow stream"],
        ),
        (
            stream("huge.arrow", |bytes| bytes[4..8].fill(0x7f)),
            &["no whole Arrow stream"],
        ),
        (empty_folder, &["nothing to read", "README.md"]),
        (dir.path().join("*.csv"), &["no file has a name of this pattern"]),
        (dir.path().join("missing"), &["is not there"]),
    ] {
        let path = path.to_str().unwrap();
        let run = dir.path().join("run").to_str().unwrap().to_owned();
        refused(
            &["pretrain", "--vocab", &place.vocab, "--corpus", path, "-o", &run],
            words,
        );
        refused(&["vocab", "train", path, "-o", &run], &[]);
    }
    // The column that was meant.
    let bodies = dir.path().join("bodies.jsonl");
    let source = Source {
        column: Some("body".into()),
        ..Source::at(&bodies)
    };
    assert_eq!(shown(source), shown(Source::at(file("good.jsonl", good.as_bytes()))));
}

/// The first segments of a corpus, a token a byte.
fn shown(source: Source) -> Vec<Vec<u32>> {
    let bytes = |text: &str, out: &mut Vec<u32>| out.extend(text.bytes().map(|byte| 3 + u32::from(byte)));
    let ids = t5_trainer::internals::Ids::T5;
    let found = examples(&[source], &FeedConfig::default(), ids, Arc::new(bytes), 5).unwrap();
    found.into_iter().map(|shown| shown.segment).collect()
}

#[test]
fn columns_of_text_have_many_types() {
    let dir = tempfile::tempdir().unwrap();
    let pages = prose(0..20);
    let texts = || pages.iter().map(|(_, text)| text.as_str());
    let path = dir.path().join("plain.arrow");
    arrow_file(&path, &pages);
    let wanted = shown(Source::at(path));
    let arrays: [ArrayRef; 3] = [
        Arc::new(arrow::array::LargeStringArray::from_iter_values(texts())),
        Arc::new(StringViewArray::from_iter_values(texts())),
        Arc::new(texts().collect::<DictionaryArray<Int32Type>>()),
    ];
    for (i, array) in arrays.into_iter().enumerate() {
        let batch = batch(&pages, array);
        let arrow = dir.path().join(format!("{i}.arrow"));
        let mut writer = FileWriter::try_new(File::create(&arrow).unwrap(), &batch.schema()).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        assert_eq!(shown(Source::at(&arrow)), wanted, "{i} of an Arrow file");
        let parquet = dir.path().join(format!("{i}.parquet"));
        let mut writer = ArrowWriter::try_new(File::create(&parquet).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        assert_eq!(shown(Source::at(&parquet)), wanted, "{i} of a Parquet file");
    }
}
