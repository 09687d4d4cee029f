//! The `c4` program as a user meets it: what it prints, how it exits, what it leaves behind.
//!
//! Above 500 lines: one test a promise.

use crate::common::{c4, c4_command};
use c4_data::{InputState, Manifest};
use c4_tests::program::{refused, stderr};
use c4_tests::*;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A WET of `n` pages that are kept.
fn wet(path: &Path, n: usize) {
    let record = |i: usize| gzip(&conversion(&format!("https://a{}.example/{i}", i % 7), &good_text(i)));
    fs::write(path, (0..n).flat_map(record).collect::<Vec<u8>>()).unwrap();
}

#[test]
fn the_same_bytes_on_any_number_of_threads_and_in_any_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut inputs: Vec<PathBuf> = fs::read_dir(samples())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "gz"))
        .collect();
    // The same name in two folders, and enough pages for several batches.
    for (i, folder) in ["x", "y"].iter().enumerate() {
        fs::create_dir(dir.path().join(folder)).unwrap();
        let path = dir.path().join(folder).join("same.warc.wet.gz");
        wet(&path, 4000 + i * 500);
        inputs.push(path);
    }
    inputs.sort();
    for format in ["arrow", "parquet", "jsonl"] {
        let mut trees = Vec::new();
        for (run, threads) in ["1", "2", "5"].iter().enumerate() {
            let output = dir.path().join(format!("out-{format}-{run}"));
            let mut command = c4_command();
            command.args([
                "build",
                "--threads",
                threads,
                "--shard-size",
                "300K",
                "--format",
                format,
            ]);
            command.arg("--output").arg(&output).args(&inputs);
            let result = command.output().unwrap();
            assert_eq!(result.status.code(), Some(1), "{}", stderr(&result));
            let mut tree = tree(&output);
            assert!(tree.remove(Path::new("run.json")).is_some());
            trees.push(tree);
            inputs.rotate_left(2);
        }
        assert!(trees[0].len() > 4, "{:?}", trees[0].keys());
        for tree in &trees[1..] {
            assert!(tree.keys().eq(trees[0].keys()));
            for (name, bytes) in tree {
                assert!(*bytes == trees[0][name], "{format}: {} differs", name.display());
            }
        }
        let manifest: Manifest = serde_json::from_slice(&trees[0][Path::new("manifest.json")]).unwrap();
        let labels: Vec<&str> = manifest.inputs.iter().map(|i| i.archive.as_str()).collect();
        assert_eq!(labels[..2], ["x/same.warc.wet.gz", "y/same.warc.wet.gz"]);
        assert_eq!(labels[2], "sample-00000.warc.gz");
    }
}

#[test]
fn formats_hold_the_same_documents_in_the_same_order() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("a.wet.gz");
    wet(&input, 300);
    let mut texts = Vec::new();
    for (format, first) in [
        ("arrow", "train-00000-of-00001.arrow"),
        ("parquet", "train-00000-of-00001.parquet"),
        ("jsonl", "c4-train.00000-of-00001.json.gz"),
    ] {
        let output = dir.path().join(format);
        let result = c4(&[&"build", &"--format", &format, &"-o", &output, &input]);
        assert!(result.status.success(), "{}", stderr(&result));
        assert!(output.join(first).is_file());
        let cat = c4(&[&"cat", &output]);
        assert!(cat.status.success());
        texts.push(String::from_utf8(cat.stdout).unwrap());
    }
    assert_eq!(texts[0].lines().count(), 300);
    assert!(texts.iter().all(|text| *text == texts[0]));
}

#[test]
fn every_reason_appears_in_the_sample_and_damage_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for recipe in ["c4", "en"] {
        let output = dir.path().join(recipe);
        let result = c4(&[&"build", &"-r", &recipe, &"-o", &output, &samples()]);
        assert_eq!(result.status.code(), Some(1), "{}", stderr(&result));
        let message = stderr(&result);
        for (file, offset, cause) in [
            ("sample-00002-damaged.warc.wet.gz", "byte 741", "corrupt_member"),
            ("sample-00002-damaged.warc.wet.gz", "byte 1130", "bad_utf8"),
            ("sample-00003-damaged.warc.gz", "byte 975", "malformed_record"),
            ("sample-00003-damaged.warc.gz", "byte 2357", "truncated"),
        ] {
            let named = |line: &str| [file, offset, cause].iter().all(|word| line.contains(word));
            assert!(message.lines().any(named), "{file} {offset}: {message}");
        }
        let stats = c4(&[&"stats", &"--json", &output]);
        let stats: serde_json::Value = serde_json::from_slice(&stats.stdout).unwrap();
        for scope in ["records", "pages", "lines"] {
            for (reason, n) in numbers(&stats["tally"][scope]["dropped"]) {
                *seen.entry(reason).or_default() += n;
            }
        }
    }
    // These need records of a size that no sample should have, bodies that are no text, other recipes, and a text
    // without a probable language; `extract`, `boundaries` and others test them.
    let elsewhere = [
        "record_too_large",
        "url_too_long",
        "http_head_too_large",
        "content_coding",
        "other_format",
        "wrong_digest",
        "bad_domain",
        "bad_subdomain",
        "not_listed",
        "short_paragraphs",
        "no_language",
    ];
    for (reason, n) in seen {
        assert_eq!(n == 0, elsewhere.contains(&reason.as_str()), "{reason}: {n}");
    }
}

#[test]
fn building_again_says_so_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (input, output) = (dir.path().join("a.wet.gz"), dir.path().join("out"));
    wet(&input, 20);
    assert!(c4(&[&"build", &"-o", &output, &input]).status.success());
    let before = tree(&output);
    let again = c4(&[&"build", &"-o", &output, &input]);
    assert!(again.status.success());
    assert!(stderr(&again).contains("already"), "{}", stderr(&again));
    assert_eq!(tree(&output), before);

    let other = c4(&[&"build", &"-r", &"en", &"-o", &output, &input]);
    refused(&other, &["recipe `c4`", "--overwrite"]);
    wet(&input, 21);
    refused(
        &c4(&[&"build", &"-o", &output, &input]),
        &["other inputs", "--overwrite"],
    );
    assert_eq!(tree(&output), before);

    fs::write(output.join("notes.txt"), "mine").unwrap();
    let replaced = c4(&[&"build", &"-r", &"en", &"--overwrite", &"-o", &output, &input]);
    assert!(replaced.status.success(), "{}", stderr(&replaced));
    assert_eq!(documents(&output).len(), 21);
    assert_eq!(fs::read(output.join("notes.txt")).unwrap(), b"mine");
}

/// `--overwrite` replaces a corpus and nothing else, and only when its successor is whole.
#[test]
fn overwriting_takes_nothing_but_the_old_corpus() {
    let dir = tempfile::tempdir().unwrap();
    let (input, output) = (dir.path().join("a.wet.gz"), dir.path().join("out"));
    wet(&input, 30);
    fs::create_dir_all(output.join("work/mine")).unwrap();
    let foreign = ["work/mine/thesis.tex", "train-00000-of-00010.parquet", "train.arrow"];
    for name in foreign {
        fs::write(output.join(name), "mine").unwrap();
    }
    let small = c4(&[&"build", &"--shard-size", &"2K", &"--overwrite", &"-o", &output, &input]);
    assert!(small.status.success(), "{}", stderr(&small));
    let many = tree(&output).len();
    // A work folder that cannot be made stops the build before it has touched the corpus.
    let before = tree(&output);
    let bad: [&dyn AsRef<std::ffi::OsStr>; 7] = [
        &"build",
        &"--overwrite",
        &"--work-dir",
        &input.join("below"),
        &"-o",
        &output,
        &input,
    ];
    refused(&c4(&bad), &["below"]);
    assert_eq!(tree(&output), before);
    assert!(c4(&[&"build", &"--overwrite", &"-o", &output, &input]).status.success());
    assert!(tree(&output).len() < many, "the small shards are gone");
    for name in foreign {
        assert_eq!(fs::read(output.join(name)).unwrap(), b"mine", "{name}");
    }
    // What another program calls a manifest, or a mark, is not ours to replace.
    let other = dir.path().join("other");
    fs::create_dir_all(other.join("_c4_work")).unwrap();
    fs::write(other.join("_c4_work/notes"), "mine").unwrap();
    refused(&c4(&[&"build", &"--overwrite", &"-o", &other, &input]), &["notes"]);
    fs::remove_dir_all(other.join("_c4_work")).unwrap();
    fs::write(other.join("manifest.json"), "{\"name\": \"an app\"}").unwrap();
    refused(
        &c4(&[&"build", &"--overwrite", &"-o", &other, &input]),
        &["manifest.json"],
    );
}

/// A build that was killed before it had even left its mark, or while it cleared up.
#[test]
fn traces_of_a_killed_build_do_not_block_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let (input, output) = (dir.path().join("a.wet.gz"), dir.path().join("out"));
    wet(&input, 5);
    fs::create_dir_all(output.join("_c4_work")).unwrap();
    fs::write(output.join("_c4_work/.build.json.4242.tmp"), "{").unwrap();
    assert!(c4(&[&"build", &"-o", &output, &input]).status.success());
    let whole = tree(&output);
    fs::create_dir_all(output.join("_c4_work/shards")).unwrap();
    let again = c4(&[&"build", &"-o", &output, &input]);
    assert!(stderr(&again).contains("already"), "{}", stderr(&again));
    assert!(!output.join("_c4_work").exists());
    assert_eq!(tree(&output), whole);
    // A corpus with a shard missing is not finished.
    fs::remove_file(output.join("train-00000-of-00001.arrow")).unwrap();
    assert!(c4(&[&"build", &"-o", &output, &input]).status.success());
    assert_eq!(documents(&output).len(), 5);
}

#[test]
fn paths_need_not_be_unicode() {
    use std::os::unix::ffi::OsStrExt;
    let dir = tempfile::tempdir().unwrap();
    let name = |bytes: &'static [u8]| dir.path().join(std::ffi::OsStr::from_bytes(bytes));
    let (input, output) = (name(b"a\xff.wet.gz"), name(b"out\xfe"));
    wet(&input, 5);
    let result = c4(&[&"build", &"-o", &output, &input]);
    assert!(result.status.success(), "{}", stderr(&result));
}

#[test]
fn a_flipped_byte_in_a_shard_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let (input, output) = (dir.path().join("a.wet.gz"), dir.path().join("out"));
    wet(&input, 50);
    assert!(c4(&[&"build", &"-o", &output, &input]).status.success());
    let shard = output.join("train-00000-of-00001.arrow");
    let mut bytes = fs::read(&shard).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&shard, bytes).unwrap();
    refused(&c4(&[&"cat", &output]), &["train-00000-of-00001.arrow", "checksum"]);
}

#[test]
fn folders_are_searched_for_archives_and_the_rest_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, output) = (dir.path().join("crawl"), dir.path().join("out"));
    fs::create_dir(&folder).unwrap();
    wet(&folder.join("a.wet.gz"), 5);
    fs::write(folder.join("page.warc.gz"), "<html>not an archive</html>").unwrap();
    fs::write(folder.join("notes.txt"), "notes").unwrap();
    std::os::unix::fs::symlink("nowhere", folder.join("dangling.warc.gz")).unwrap();
    let fifo = Command::new("mkfifo").arg(folder.join("pipe.warc.gz")).status();
    assert!(fifo.unwrap().success());
    fs::write(folder.join("half.warc.gz.part"), "<html>").unwrap();
    let result = c4(&[&"build", &"-o", &output, &folder]);
    let message = stderr(&result);
    // What has the name of an archive and is none was lost.
    assert_eq!(result.status.code(), Some(1), "{message}");
    let failed = Manifest::read(&output).unwrap().unwrap();
    let failed = failed.inputs.iter().map(|i| (&*i.archive, i.state));
    assert!(failed.eq([("a.wet.gz", InputState::Read), ("page.warc.gz", InputState::Failed)]));
    assert!(message.contains("page.warc.gz"), "{message}");
    for name in ["half.warc.gz.part", "dangling.warc.gz"] {
        let named = |line: &str| line.contains(name) && line.contains("left out");
        assert!(message.lines().any(named), "{name}: {message}");
    }
    let pipe = folder.join("pipe.warc.gz");
    refused(
        &c4(&[&"build", &"-o", &dir.path().join("no"), &pipe]),
        &["pipe.warc.gz", "neither a file nor a folder"],
    );
    let elsewhere = c4(&[&"build", &"-o", &"s3://bucket/c4", &folder]);
    assert_eq!(elsewhere.status.code(), Some(2));
    assert!(stderr(&elsewhere).contains("s3://bucket/c4: is a URL"));
    assert_eq!(documents(&output).len(), 5);
}

/// Two builds into one folder: the second is refused while the first runs.
#[test]
fn a_folder_that_is_being_built_is_locked() {
    let dir = tempfile::tempdir().unwrap();
    let (input, output) = (dir.path().join("a.wet.gz"), dir.path().join("out"));
    wet(&input, 5);
    fs::create_dir_all(output.join("_c4_work")).unwrap();
    let lock = fs::File::create(output.join("_c4_work/lock")).unwrap();
    lock.lock().unwrap();
    refused(&c4(&[&"build", &"-o", &output, &input]), &["out", "another build"]);
    drop(lock);
    assert!(c4(&[&"build", &"-o", &output, &input]).status.success());
    assert!(!output.join("_c4_work").exists());
}

/// A link is named by its own name, and a file that is named twice is read once.
#[test]
fn links_keep_their_names() {
    let dir = tempfile::tempdir().unwrap();
    let (blob, link) = (dir.path().join("9f86d081"), dir.path().join("CC-1.wet.gz"));
    wet(&blob, 5);
    std::os::unix::fs::symlink(&blob, &link).unwrap();
    let output = dir.path().join("out");
    assert!(c4(&[&"build", &"-o", &output, &link]).status.success());
    let (_, document) = documents(&output).into_values().next().unwrap();
    assert_eq!(&*document.archive, "CC-1.wet.gz");
    let twice = dir.path().join("twice");
    let result = c4(&[&"build", &"-o", &twice, &link, &blob]);
    assert!(result.status.success() && stderr(&result).contains("read once"));
    assert_eq!(documents(&twice).len(), 5);
}

#[test]
fn foreign_folders_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (input, output) = (dir.path().join("a.wet.gz"), dir.path().join("out"));
    wet(&input, 5);
    fs::create_dir(&output).unwrap();
    fs::write(output.join("photo.jpg"), "a photo").unwrap();
    refused(
        &c4(&[&"build", &"-o", &output, &input]),
        &["out", "not empty", "--overwrite"],
    );
    assert_eq!(tree(&output).len(), 1);
    refused(&c4(&[&"build", &"-o", &input, &input]), &["a.wet.gz", "not a folder"]);
}

#[test]
fn bad_arguments_stop_with_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let input = path("a.wet.gz");
    wet(&input, 5);
    let out = path("out");
    refused(
        &c4(&[&"build", &"-o", &out, &path("missing.gz")]),
        &["missing.gz", "No such file"],
    );
    fs::write(path("text.gz"), "not an archive").unwrap();
    refused(
        &c4(&[&"build", &"-o", &out, &path("text.gz")]),
        &["text.gz", "not a crawl archive"],
    );
    fs::write(path("zipped.gz"), gzip(b"{\"not\": \"an archive\"}")).unwrap();
    refused(
        &c4(&[&"build", &"-o", &out, &path("zipped.gz")]),
        &["not a crawl archive"],
    );
    fs::write(path("empty.warc"), "").unwrap();
    refused(
        &c4(&[&"build", &"-o", &out, &path("empty.warc")]),
        &["not a crawl archive"],
    );
    refused(
        &c4(&[&"build", &"-r", &"nope", &"-o", &out, &input]),
        &["nope", "en.noblocklist"],
    );
    let recipe = c4(&[&"recipes", &"en"]).stdout;
    let recipe = String::from_utf8(recipe).unwrap();
    fs::write(path("mine.toml"), recipe.replace("min_words", "minwords")).unwrap();
    let result = c4(&[&"build", &"-r", &path("mine.toml"), &"-o", &out, &input]);
    refused(&result, &["mine.toml", "minwords", "line"]);
    fs::write(path("a.paths"), "a.wet.gz\ngone.wet.gz\n").unwrap();
    let result = c4(&[&"build", &"-o", &out, &path("a.paths")]);
    refused(&result, &["a.paths", "line 2", "gone.wet.gz", "--base"]);
    let result = c4(&[&"build", &"-o", &out, &"ftp://data.example/a.warc.gz"]);
    refused(&result, &["ftp://data.example/a.warc.gz", "https"]);
    for (flag, value) in [
        ("--shard-size", "0"),
        ("--threads", "two"),
        ("--format", "csv"),
        ("--sample", "0"),
        ("--store", "data.example"),
    ] {
        let result = c4(&[&"build", &flag, &value, &"-o", &out, &input]);
        assert_eq!(result.status.code(), Some(2), "{flag}");
        let message = stderr(&result);
        let named = [flag, value].iter().all(|word| message.contains(word));
        assert!(named, "{flag} {value}: {message}");
    }
    refused(&c4(&[&"cat", &path("nowhere")]), &["nowhere", "no finished corpus"]);
    refused(&c4(&[&"stats", &dir.path()]), &["no finished corpus"]);
    refused(&c4(&[&"recipes", &"nope"]), &["nope"]);
    assert!(!out.exists(), "nothing is left of refused builds");
}

#[test]
fn an_output_that_cannot_be_written_stops_the_build() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("a.wet.gz");
    wet(&input, 5);
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    refused(&c4(&[&"build", &"-o", &file.join("below"), &input]), &["below"]);
    let locked = dir.path().join("locked");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(locked.join("probe"), "").is_ok() {
        skipped("this user may write into folders without permission");
    } else {
        refused(&c4(&[&"build", &"-o", &locked.join("out"), &input]), &["out", "denied"]);
    }
    // A device that is always full.
    if Path::new("/dev/full").exists() {
        let out = dir.path().join("full");
        assert!(c4(&[&"build", &"-o", &out, &input]).status.success());
        let cat = c4_command()
            .args(["cat".as_ref(), out.as_os_str()])
            .stdout(fs::OpenOptions::new().write(true).open("/dev/full").unwrap())
            .output()
            .unwrap();
        refused(&cat, &["No space left"]);
    }
}

#[test]
fn cat_prints_what_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out");
    assert_eq!(c4(&[&"build", &"-o", &output, &samples()]).status.code(), Some(1));
    let lines = |arguments: &[&str]| -> Vec<serde_json::Value> {
        let mut all: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"cat", &output];
        all.extend(arguments.iter().map(|a| a as &dyn AsRef<std::ffi::OsStr>));
        let result = c4(&all);
        assert!(result.status.success(), "{}", stderr(&result));
        let text = String::from_utf8(result.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let keys = |row: &serde_json::Value| -> Vec<String> { row.as_object().unwrap().keys().cloned().collect() };
    let all = lines(&[]);
    let (train, validation) = (lines(&["--split", "train"]), lines(&["--split", "validation"]));
    assert_eq!(all.len(), train.len() + validation.len());
    assert!(!validation.is_empty());
    assert_eq!(keys(&all[0]), ["text", "timestamp", "url"]);
    assert_eq!(lines(&["-n", "3"]), all[..3]);
    let full = lines(&["--full"]);
    assert_eq!(keys(&full[0]).len(), 10);
    assert_eq!(full[0]["language"], "en");
    assert!(full.iter().all(|row| row["language_score"].as_f64().unwrap() >= 0.99));

    // Whoever reads may stop early.
    let mut child = c4_command()
        .args(["cat".as_ref(), output.as_os_str()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success());
    assert_eq!(String::from_utf8(ended.stderr).unwrap(), "");
}

#[test]
fn an_empty_split_is_a_shard_without_rows() {
    let dir = tempfile::tempdir().unwrap();
    let (input, output) = (dir.path().join("a.wet.gz"), dir.path().join("out"));
    fs::write(&input, gzip(&conversion("https://a.example/", "Too short.\n"))).unwrap();
    assert!(c4(&[&"build", &"-o", &output, &input]).status.success());
    for split in ["train", "validation"] {
        assert!(output.join(format!("{split}-00000-of-00001.arrow")).is_file());
        let cat = c4(&[&"cat", &output, &"--split", &split]);
        assert!(cat.status.success() && cat.stdout.is_empty());
    }
}

#[test]
fn a_work_folder_elsewhere_is_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (input, output) = (dir.path().join("a.wet.gz"), dir.path().join("out"));
    let work = dir.path().join("work");
    wet(&input, 50);
    fs::create_dir(&work).unwrap();
    fs::write(work.join("other.txt"), "other").unwrap();
    let result = c4(&[&"build", &"--work-dir", &work, &"-o", &output, &input]);
    assert!(result.status.success(), "{}", stderr(&result));
    assert_eq!(tree(&work).len(), 1);
}

#[test]
fn what_looks_wrong_is_said_loudly() {
    let dir = tempfile::tempdir().unwrap();
    let (input, empty) = (dir.path().join("a.warc.wet.gz"), dir.path().join("b.warc.wet.gz"));
    wet(&input, 1100);
    let info = record("warcinfo", "", "2019-04-18T10:12:43Z", "text/plain", b"software: x");
    fs::write(&empty, gzip(&info)).unwrap();
    let recipe = dir.path().join("mine.toml");
    let en = String::from_utf8(c4(&[&"recipes", &"en"]).stdout).unwrap();
    let text = en.replace("no_end_mark = [0.05, 0.95]", "no_end_mark = [0.5, 0.95]");
    assert_ne!(text, en);
    fs::write(&recipe, text).unwrap();
    let output = dir.path().join("out");
    let built = c4(&[&"build", &"-r", &recipe, &"-o", &output, &input, &empty]);
    let message = stderr(&built);
    assert_eq!(built.status.code(), Some(0), "{message}");
    let early = "pages: no_end_mark took 0.0 % of the lines that came to it, the recipe expects 50.0 %";
    assert!(message.contains(early), "{message}");
    for warning in [
        "WARNING: b.warc.wet.gz: gave no page",
        "WARNING: no_end_mark took 0.0 %",
        "WARNING: step rules (line and page rules) dropped nothing",
        "WARNING: step bad_words (blocklist) dropped nothing",
    ] {
        assert!(message.contains(warning), "no {warning} in: {message}");
    }
    let stats = fs::read(output.join("stats.json")).unwrap();
    let stats: serde_json::Value = serde_json::from_slice(&stats).unwrap();
    assert!(stats["warnings"].as_array().unwrap().len() >= 4, "{stats}");

    // A band decides nothing about the corpus, so it is the same corpus without it.
    let again = c4(&[&"build", &"-r", &"en", &"-o", &output, &input, &empty]);
    assert!(stderr(&again).contains("holds this corpus already"));

    let bad = en.replace("no_end_mark = [0.05, 0.95]", "no_mark = [0.05, 0.95]");
    fs::write(&recipe, bad).unwrap();
    let built = c4(&[&"build", &"-r", &recipe, &"-o", &dir.path().join("x"), &input]);
    refused(&built, &["expect.no_mark", "no such reason", "no_end_mark"]);
}

#[test]
fn explain_and_ledger_tell_and_refuse() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out");
    let built = c4(&[&"build", &"-r", &"en", &"-o", &output, &samples()]);
    assert_eq!(built.status.code(), Some(1));
    let text = |output: Output| {
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };

    // With a corpus its inputs are known, and without a terminal there are no colours.
    let url = "https://millbrook-gazette.example/2024/03/meeting";
    let explained = text(c4(&[&"explain", &"--build", &output, &"--url", &url]));
    assert!(explained.starts_with(&format!("{url} kept\n")), "{explained}");
    let clock = "kept by https://millbrook-gazette.example/2024/03/clock";
    assert!(explained.contains(clock), "{explained}");
    assert!(!explained.contains('\x1b'), "{explained}");
    let many = text(c4(&[&"explain", &"--json", &"--random", &"5", &samples()]));
    assert_eq!(many.lines().count(), 5);
    for line in many.lines() {
        let page: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(["keep", "drop"].contains(&page["verdict"].as_str().unwrap()));
    }
    let hostile = dir.path().join("hostile.txt");
    fs::write(&hostile, "Clear \x1b[2J the screen and ring the bell \x07.\n").unwrap();
    let shown = text(c4(&[&"explain", &"--text", &hostile]));
    assert!(!shown.contains(['\x1b', '\x07']), "{shown:?}");

    let archive = samples().join("sample-00001.warc.wet.gz");
    refused(
        &c4(&[&"explain", &archive, &"--record", &"99999"]),
        &["no record 99999"],
    );
    refused(
        &c4(&[&"explain", &archive, &"--url", &"http://no.example/"]),
        &["no.example"],
    );
    refused(&c4(&[&"explain", &samples(), &"--record", &"1"]), &["--record", "4"]);
    refused(&c4(&[&"explain", &"--random", &"1"]), &["INPUT"]);
    refused(
        &c4(&[&"explain", &"--build", &dir.path(), &"--random", &"1"]),
        &["no finished corpus"],
    );
    let other = dir.path().join("other.warc.wet.gz");
    wet(&other, 3);
    let foreign = c4(&[&"explain", &"--build", &output, &"--random", &"1", &other]);
    refused(&foreign, &["was not built of", "other.warc.wet.gz"]);

    let policy = text(c4(&[&"ledger", &output, &"--reason", &"policy"]));
    assert!(policy.contains("cookie policy"), "{policy}");
    assert!(
        policy.lines().filter(|l| l.starts_with("policy  ")).count() >= 3,
        "{policy}"
    );
    let grep = c4(&[
        &"ledger",
        &output,
        &"--json",
        &"--grep",
        &"(?i)cookie POLICY",
        &"--domain",
        &"millbrook-gazette.example",
    ]);
    for line in text(grep).lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(row["url"].as_str().unwrap().contains("millbrook-gazette.example"));
        assert!(row["text"].as_str().unwrap().to_lowercase().contains("cookie policy"));
    }
    let none = dir.path().join("none");
    c4(&[&"build", &"--ledger", &"none", &"-o", &none, &samples()]);
    refused(&c4(&[&"ledger", &none]), &["--ledger none", "--ledger all"]);
    let open = text(c4(&[&"explain", &"--build", &none, &"--url", &url]));
    assert!(open.contains("as far as is known here"), "{open}");
    // What was told of a corpus goes with it, and nothing else.
    text(c4(&[&"report", &none]));
    text(c4(&[&"card", &none]));
    fs::write(none.join("notes.html"), "mine").unwrap();
    // Another ledger is another build.
    let all = c4(&[&"build", &"--ledger", &"all", &"-o", &none, &samples()]);
    refused(&all, &["ledger none", "--overwrite"]);
    let all = c4(&[&"build", &"--ledger", &"all", &"--overwrite", &"-o", &none, &samples()]);
    assert_eq!(all.status.code(), Some(1));
    let none_again = c4(&[&"build", &"--ledger", &"none", &"--overwrite", &"-o", &none, &samples()]);
    assert_eq!(none_again.status.code(), Some(1));
    assert!(!none.join("ledger").exists());
    assert!(!none.join("report.html").exists() && !none.join("README.md").exists());
    assert!(none.join("notes.html").exists());
}

#[test]
fn two_corpora_are_compared() {
    let dir = tempfile::tempdir().unwrap();
    let input = samples().join("sample-00001.warc.wet.gz");
    let build = |recipe: &str| {
        let output = dir.path().join(recipe);
        let built = c4(&[&"build", &"--recipe", &recipe, &"--output", &output, &input]);
        assert_eq!(built.status.code(), Some(0), "{}", stderr(&built));
        output
    };
    let (a, b) = (build("en"), build("en.noclean"));
    let output = c4(&[&"diff", &a, &b, &"-n", &"1"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    for part in ["Recipes: keys that differ", "clean.end_marks", "no_end_mark"] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    let output = c4(&[&"diff", &"--json", &"--reason", &"no_end_mark", &a, &b]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["a"]["recipe"], "en");
    assert_eq!(json["reason"], "no_end_mark");
    let causes = json["changed"]["only_b"].as_array().unwrap();
    assert_eq!(causes.len(), 1);
    assert_eq!(causes[0]["cause"], "no_end_mark");

    let nothing = dir.path().join("nothing");
    let output = c4(&[&"diff", &a, &nothing]);
    refused(&output, &["nothing", "holds no finished corpus"]);
    let output = c4(&[&"diff", &a, &b, &"--reason", &"no_endmark"]);
    assert_eq!(output.status.code(), Some(2));
    let message = stderr(&output);
    for word in ["--reason", "no_endmark", "no_end_mark"] {
        assert!(message.contains(word), "no {word} in: {message}");
    }
}

#[test]
fn hostile_corpora_and_archives_do_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out");
    c4(&[&"build", &"-o", &output, &samples()]);
    let manifest = output.join("manifest.json");
    let sound = fs::read_to_string(&manifest).unwrap();
    for (from, to) in [
        ("\"span_sentences\": 3", "\"span_sentences\": 0"),
        ("\"span_sentences\": 3", "\"span_sentences\": 9223372036854775808"),
        ("\"program\": \"", "\"program\": \"\\u001b[2J"),
        ("\"file\": \"train", "\"file\": \"../train"),
        ("\"rows\": ", "\"rows\": 1844674407370955"),
    ] {
        let changed = sound.replacen(from, to, 1);
        assert_ne!(changed, sound);
        fs::write(&manifest, changed).unwrap();
        for command in ["verify", "report", "card", "stats", "ledger", "cat"] {
            let result = c4(&[&command, &output]);
            refused(&result, &["manifest.json"]);
            assert!(!stderr(&result).contains('\x1b'));
        }
    }
    fs::write(&manifest, &sound).unwrap();
    let stats = output.join("stats.json");
    fs::write(&stats, "{}").unwrap();
    refused(&c4(&[&"report", &output]), &["stats.json", "checksum"]);
    assert_eq!(c4(&[&"verify", &output]).status.code(), Some(1));
    // Counts that are sealed: too large to be added up, or of another shape.
    let large = format!(r#"{{"tally": {{"pages": {{"in": {0}, "out": {0}}}}}}}"#, u64::MAX);
    let shape = "is not what a build of this program writes: invalid type: integer `7`, expected a map";
    for (counts, word) in [(&*large, "2^53"), (r#"{"years": 7}"#, shape)] {
        let sealed = c4_data::atomic_file::sha256_hex(counts.as_bytes());
        let known: serde_json::Value = serde_json::from_str(&sound).unwrap();
        let changed = sound.replace(known["stats_sha256"].as_str().unwrap(), &sealed);
        fs::write(&stats, counts).unwrap();
        fs::write(&manifest, changed).unwrap();
        for command in ["report", "card", "stats"] {
            refused(&c4(&[&command, &output]), &["stats.json", word]);
        }
    }
    fs::write(&manifest, &sound).unwrap();

    // A report goes to no file of others, and through no link.
    let other = dir.path().join("other");
    c4(&[&"build", &"-o", &other, &samples()]);
    refused(&c4(&[&"report", &other, &"-o", &manifest]), &["no report"]);
    assert_eq!(fs::read_to_string(&manifest).unwrap(), sound);
    let precious = dir.path().join("precious");
    fs::write(&precious, "mine").unwrap();
    std::os::unix::fs::symlink(&precious, other.join("report.html.tmp")).unwrap();
    assert_eq!(c4(&[&"report", &other]).status.code(), Some(0));
    assert_eq!(fs::read_to_string(&precious).unwrap(), "mine");

    // A host as long as a page, a record that is no UTF-8 with a URL that speaks to terminals, and
    // pages without a line that stays.
    let host = format!("http://{}.example/", "a".repeat(70_000));
    let menu = |i: usize| gzip(&conversion(&format!("http://menu.example/{i}"), "Home\nAbout"));
    let mut archive = gzip(&conversion(&host, &good_text(1)));
    let evil = "http://e.example/\x1b]0;x\x07";
    archive.extend(gzip(&record(
        "conversion",
        evil,
        "2019-04-18T10:12:43Z",
        "text/plain",
        b"\xff\xfe x",
    )));
    archive.extend((0..3).flat_map(menu));
    let input = dir.path().join("a.warc.wet.gz");
    fs::write(&input, archive).unwrap();
    let swept = c4(&[&"sweep", &"--set", &"line.min_words=3,5", &input]);
    assert_eq!(swept.status.code(), Some(1), "{}", stderr(&swept));
    let recipe = dir.path().join("mine.toml");
    let en = String::from_utf8(c4(&[&"recipes", &"en"]).stdout).unwrap();
    fs::write(
        &recipe,
        en.replace("min_sentences = 3 ", "min_sentences = 0 ")
            .replace("name = \"en\"", "name = \"mine\""),
    )
    .unwrap();
    let built = c4(&[&"build", &"-r", &recipe, &"-o", &dir.path().join("x"), &input]);
    assert_eq!(built.status.code(), Some(1), "{}", stderr(&built));
    assert!(!stderr(&built).contains(['\x1b', '\x07']), "{:?}", stderr(&built));
}

#[test]
fn licences_are_printed() {
    let output = c4(&[&"--licenses"]);
    assert!(output.status.success());
    let printed = String::from_utf8(output.stdout).unwrap();
    for part in ["Apache License", "LDNOOBW", "Mozilla Public License", "\nring "] {
        assert!(printed.contains(part), "{part}");
    }
}
