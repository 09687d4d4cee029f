//! What `verify` finds, and that it finds nothing where nothing is.
//!
//! Above 500 lines: one test a kind of defect.

use c4_data::ledger::{DroppedPage, KEPT, LEDGER_FOLDER, LedgerReader, LedgerWriter, Table, UrlVerdict};
use c4_data::{
    DedupStep, Document, Format, LedgerMode, Lists, Manifest, Recipe, ShardMeta, ShardReader, ShardWriter, Split,
};
use c4_filters::url;
use c4_pipeline::build::{BuildOptions, TargetOptions};
use c4_pipeline::input;
use c4_pipeline::inspect::verify::report::{Check, Report, Status};
use c4_pipeline::inspect::verify::{VerifyOptions, verify};
use c4_tests::*;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

fn verified_with(dir: &Path, memory_bytes: usize, lists: Option<&Path>) -> Report {
    let options = VerifyOptions {
        dir: dir.to_owned(),
        lists: lists.map(Path::to_owned),
        key_bytes: memory_bytes,
        threads: 2,
    };
    verify(&options, &Manifest::read(dir).unwrap().unwrap()).unwrap()
}

fn verified(dir: &Path) -> Report {
    verified_with(dir, 1 << 20, None)
}

fn check<'r>(report: &'r Report, name: &str) -> &'r Check {
    let check = report.checks.iter().find(|check| check.name == name);
    check.unwrap_or_else(|| panic!("no check {name} in {report:#?}"))
}

fn named(report: &Report, status: Status) -> Vec<&'static str> {
    let of_status = report.checks.iter().filter(|check| check.status == status);
    of_status.map(|check| check.name).collect()
}

fn holds(report: &Report) {
    assert!(report.holds(), "{report:#?}");
}

/// The samples as a corpus of several shards.
fn sample_corpus(recipe: &str, dir: &Path, format: Format, ledger: LedgerMode) {
    built(&BuildOptions {
        format,
        ledger,
        shard_size_bytes: 8 << 10,
        ..options(recipe, &[&samples()], dir)
    })
    .unwrap();
}

/// Changes the rows of a shard; the manifest follows, so that no checksum or count tells.
fn rewrite(dir: &Path, shard: usize, change: impl FnOnce(&mut Vec<Document>)) {
    let mut manifest = Manifest::read(dir).unwrap().unwrap();
    let entry = manifest.shards[shard].clone();
    let path = dir.join(&entry.file);
    let rows = ShardReader::open(&path).unwrap();
    let mut rows: Vec<Document> = rows.map(|row| row.unwrap()).collect();
    change(&mut rows);
    let meta = ShardMeta {
        recipe: manifest.recipe.name.clone(),
        recipe_hash: manifest.recipe_hash.clone(),
    };
    let scratch = tempfile::tempdir_in(dir).unwrap();
    let mut writer = ShardWriter::create(&path, scratch.path(), manifest.format, entry.split, &meta).unwrap();
    writer.write(rows).unwrap();
    manifest.shards[shard] = writer.finish().unwrap();
    manifest.write(dir).unwrap();
}

fn change_stats(dir: &Path, change: impl FnOnce(&mut Value)) {
    let path = dir.join("stats.json");
    let mut stats: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut stats);
    write_stats(dir, &serde_json::to_vec(&stats).unwrap());
}

/// The manifest follows, so that no checksum tells.
fn write_stats(dir: &Path, bytes: &[u8]) {
    fs::write(dir.join("stats.json"), bytes).unwrap();
    let mut manifest = Manifest::read(dir).unwrap().unwrap();
    manifest.stats_sha256 = c4_data::atomic_file::sha256_hex(bytes);
    manifest.write(dir).unwrap();
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn nothing_is_wrong_with_what_a_build_makes() {
    let dir = tempfile::tempdir().unwrap();
    for format in [Format::Arrow, Format::Parquet, Format::Jsonl] {
        for recipe in ["c4", "en", "en.noblocklist", "en.noclean"] {
            for ledger in [LedgerMode::All, LedgerMode::Sample(3), LedgerMode::None] {
                let name = format!("{format:?}-{recipe}-{ledger}").replace(':', "-");
                let dir = dir.path().join(name);
                sample_corpus(recipe, &dir, format, ledger);
                let report = verified(&dir);
                holds(&report);
                let mut expected = Vec::new();
                let spans = recipe == "c4";
                if format == Format::Jsonl {
                    expected.push("schema");
                }
                if ledger == LedgerMode::None {
                    expected.extend(["ledger rows", "ledger fates"]);
                }
                if spans && (format == Format::Jsonl || ledger == LedgerMode::None) {
                    expected.push("rule sentences");
                }
                if format == Format::Jsonl {
                    expected.push("language");
                }
                assert_eq!(named(&report, Status::NotChecked), expected, "{report:#?}");
            }
        }
    }
}

#[test]
fn little_memory_takes_longer_and_finds_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (en, c4) = (dir.path().join("en"), dir.path().join("c4"));
    sample_corpus("en", &en, Format::Arrow, LedgerMode::All);
    sample_corpus("c4", &c4, Format::Arrow, LedgerMode::All);
    let line = documents(&en).into_values().next().unwrap().1.page.text;
    rewrite(&en, 0, |rows| {
        let line = line.lines().next().unwrap();
        rows.iter_mut().for_each(|row| row.page.text += &format!("\n{line}"));
    });
    for dir in [&en, &c4] {
        let (much, little) = (verified(dir), verified_with(dir, 2048, None));
        for (a, b) in much.checks.iter().zip(&little.checks) {
            let same = (a.name, a.status, a.offences, &a.examples);
            assert_eq!(same, (b.name, b.status, b.offences, &b.examples));
        }
        let counted = &little.checks.last().unwrap().counted;
        assert!(counted.contains(" passes)"), "{counted}");
    }
    let report = verified(&en);
    let lines = check(&report, "duplicate lines");
    assert_eq!((lines.status, lines.offences), (Status::Failed, 1));
}

#[test]
fn flipped_byte() {
    let dir = tempfile::tempdir().unwrap();
    sample_corpus("c4", dir.path(), Format::Arrow, LedgerMode::All);
    let manifest = Manifest::read(dir.path()).unwrap().unwrap();
    assert!(manifest.shards.len() > 4);
    let shards = manifest.shards.iter().map(|shard| (&shard.file, "shard files"));
    let ledger = manifest.ledger.files.iter().map(|file| (&file.file, "ledger files"));
    for (file, name) in shards.chain(ledger) {
        let path = dir.path().join(file);
        let sound = fs::read(&path).unwrap();
        flip(&path);
        let report = verified(dir.path());
        assert_eq!(named(&report, Status::Failed), [name]);
        let check = check(&report, name);
        assert_eq!((check.offences, &check.examples[0].file), (1, file));
        // What needs all shards, or the ledger, is not said to be right.
        let left = named(&report, Status::NotChecked);
        let expected = match name {
            "shard files" => "stats and shards",
            _ => "ledger rows",
        };
        assert!(left.contains(&expected), "{left:?}");
        fs::write(&path, sound).unwrap();
    }
    holds(&verified(dir.path()));
}

#[test]
fn missing_cut_and_stray_files() {
    let dir = tempfile::tempdir().unwrap();
    sample_corpus("en", dir.path(), Format::Arrow, LedgerMode::All);
    let manifest = Manifest::read(dir.path()).unwrap().unwrap();
    let path = dir.path().join(&manifest.shards[1].file);
    let sound = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let report = verified(dir.path());
    let what = &check(&report, "shard files").examples[0].what;
    assert_eq!(what, "is missing");
    fs::write(&path, &sound[..sound.len() / 2]).unwrap();
    let report = verified(dir.path());
    let what = &check(&report, "shard files").examples[0].what;
    assert!(what.contains("bytes, the manifest says"), "{what}");
    fs::write(&path, &sound).unwrap();

    let stray = dir.path().join("train-00000-of-00077.arrow");
    fs::write(&stray, &sound).unwrap();
    let report = verified(dir.path());
    assert_eq!(named(&report, Status::Failed), ["other files"]);
    fs::remove_file(&stray).unwrap();
    let stray = dir.path().join(LEDGER_FOLDER).join("lines-00042.arrow");
    fs::write(&stray, &sound).unwrap();
    let report = verified(dir.path());
    assert_eq!(named(&report, Status::Failed), ["other files"]);
    fs::remove_file(&stray).unwrap();

    fs::remove_file(dir.path().join("stats.json")).unwrap();
    let report = verified(dir.path());
    assert_eq!(named(&report, Status::Failed), ["stats.json"]);
}

#[test]
fn doubled_row() {
    let dir = tempfile::tempdir().unwrap();
    for (recipe, text) in [("en", "duplicate lines"), ("c4", "duplicate spans")] {
        // Beside the first, at the end of its shard, and in another shard.
        for place in 0..3 {
            let dir = dir.path().join(format!("{recipe}-{place}"));
            sample_corpus(recipe, &dir, Format::Arrow, LedgerMode::All);
            let mut doubled = None;
            rewrite(&dir, 0, |rows| {
                let row = rows[0].clone();
                match place {
                    0 => rows.insert(1, row.clone()),
                    1 => rows.push(row.clone()),
                    _ => {}
                }
                doubled = Some(row);
            });
            let row = doubled.unwrap();
            if place == 2 {
                rewrite(&dir, 2, |rows| rows.push(row.clone()));
            }
            let report = verified(&dir);
            let failed = named(&report, Status::Failed);
            for name in ["one row a URL", "stats and shards", "ledger fates", text] {
                assert!(failed.contains(&name), "{place}: no {name} in {failed:?}");
            }
            assert!(!failed.contains(&"shard files") && !failed.contains(&"rows and text"));
            assert_eq!(failed.contains(&"order"), place > 0);
            assert_eq!(failed.contains(&"shard range"), place == 2);
            let check = check(&report, "one row a URL");
            assert_eq!(check.offences, 1);
            let example = check.examples.last().unwrap();
            assert_eq!(example.url.as_ref(), Some(&row.page.url));
            assert_eq!(check.examples.len(), if place == 0 { 1 } else { 2 });
        }
    }
}

#[test]
fn foreign_line() {
    let dir = tempfile::tempdir().unwrap();
    for (recipe, ledger) in [
        ("en", LedgerMode::default()),
        ("c4", LedgerMode::default()),
        ("c4", LedgerMode::None),
    ] {
        for format in [Format::Arrow, Format::Parquet, Format::Jsonl] {
            let dir = dir
                .path()
                .join(format!("{recipe}-{format:?}-{ledger}").replace(':', "-"));
            sample_corpus(recipe, &dir, format, ledger);
            let mut url = String::new();
            // One that the ledger knows to be untouched, as most are.
            rewrite(&dir, 1, |rows| {
                rows[1].page.text += "\nClick here for more";
                url = rows[1].page.url.clone();
            });
            let report = verified(&dir);
            let failed = named(&report, Status::Failed);
            assert!(failed.contains(&"stats and shards"), "{failed:?}");
            let check = check(&report, "line rules");
            let known = recipe == "en" || (format != Format::Jsonl && ledger != LedgerMode::None);
            let expected = if known { Status::Failed } else { Status::NotChecked };
            assert_eq!((check.status, check.offences), (expected, 1), "{report:#?}");
            let example = &check.examples[0];
            assert_eq!((example.row, example.url.as_ref()), (Some(1), Some(&url)));
            assert_eq!(example.line.as_deref(), Some("Click here for more"));
            assert!(example.what.contains("no_end_mark"), "{}", example.what);
        }
    }
}

#[test]
fn text_that_stands_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    for (recipe, name) in [("en", "duplicate lines"), ("c4", "duplicate spans")] {
        let dir = dir.path().join(recipe);
        sample_corpus(recipe, &dir, Format::Arrow, LedgerMode::All);
        let mut lines = String::new();
        rewrite(&dir, 0, |rows| lines = rows[0].page.text.to_uppercase());
        rewrite(&dir, 1, |rows| {
            let last = rows.last_mut().unwrap();
            last.page.text += "\n";
            last.page.text += &lines;
        });
        let report = verified(&dir);
        let check = check(&report, name);
        assert_eq!(check.status, Status::Failed, "{report:#?}");
        let files: Vec<&str> = check.examples.iter().map(|o| &*o.file).collect();
        assert!(files[0].starts_with("train-00000") && files.len() > 1, "{files:?}");
    }
}

#[test]
fn rows_that_the_recipe_does_not_keep() {
    let dir = tempfile::tempdir().unwrap();
    type Change = fn(&mut Document);
    let changes: [(&str, Change); 9] = [
        ("language", |row| row.language = "de".into()),
        ("language", |row| row.language_score = 0.989_999),
        ("language", |row| row.language_score = f32::NAN),
        ("columns", |row| row.archive = "other.warc.gz".into()),
        ("columns", |row| row.page.timestamp.clear()),
        ("bad words", |row| {
            row.page.text += "\nThat is a TIED  up, tied up matter."
        }),
        ("sentences", |row| {
            row.page.text = "Only one sentence is left here.".into()
        }),
        ("page length", |row| {
            row.page.text += &"\nYet another line of it is here.".repeat(7000)
        }),
        ("line rules", |row| {
            row.page.text += "\nLorem IPSUM is what it says here."
        }),
    ];
    for (i, (name, change)) in changes.into_iter().enumerate() {
        let dir = dir.path().join(i.to_string());
        sample_corpus("en", &dir, Format::Arrow, LedgerMode::default());
        rewrite(&dir, 0, |rows| change(&mut rows[2]));
        let report = verified(&dir);
        let check = check(&report, name);
        assert_eq!((check.status, check.offences), (Status::Failed, 1), "{report:#?}");
        assert_eq!(check.examples[0].row, Some(2));
    }
    // The least probability there is, rounded as the column is.
    let dir = dir.path().join("least");
    sample_corpus("en", &dir, Format::Arrow, LedgerMode::default());
    rewrite(&dir, 0, |rows| rows[2].language_score = 0.99_f64 as f32);
    holds(&verified(&dir));
}

#[test]
fn rows_in_the_wrong_place() {
    let dir = tempfile::tempdir().unwrap();
    let order = dir.path().join("order");
    sample_corpus("en", &order, Format::Arrow, LedgerMode::All);
    rewrite(&order, 0, |rows| rows.swap(0, 1));
    let report = verified(&order);
    assert_eq!(named(&report, Status::Failed), ["order"]);
    assert_eq!(check(&report, "order").examples[0].row, Some(1));

    let split = dir.path().join("split");
    sample_corpus("en", &split, Format::Arrow, LedgerMode::All);
    let manifest = Manifest::read(&split).unwrap().unwrap();
    let last = manifest.shards.len() - 1;
    assert_eq!(manifest.shards[last].split, Split::Validation);
    let mut moved = None;
    rewrite(&split, 0, |rows| moved = Some(rows.remove(0)));
    rewrite(&split, last, |rows| {
        let key = |row: &Document| url::md5(&url::normalize(&row.page.url));
        rows.extend(moved);
        rows.sort_by_key(key);
    });
    let report = verified(&split);
    let failed = named(&report, Status::Failed);
    assert_eq!(failed, ["split", "stats and shards"], "{report:#?}");
}

#[test]
fn manifest_that_says_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    sample_corpus("en", dir.path(), Format::Parquet, LedgerMode::All);
    let sound = Manifest::read(dir.path()).unwrap().unwrap();
    type Change = fn(&mut Manifest);
    let changes: [(&[&str], Change); 6] = [
        (&["recipe hash"], |m| m.recipe.clean.as_mut().unwrap().min_words = 4),
        (&["recipe hash", "schema", "stats.json"], |m| {
            let other = if m.recipe_hash.starts_with('0') { "1" } else { "0" };
            m.recipe_hash.replace_range(..1, other);
        }),
        (&["schema"], |m| m.versions.schema += 1),
        (&["rows and text"], |m| m.shards[0].rows += 1),
        (&["rows and text"], |m| m.shards[0].text_bytes += 1),
        (&["ledger rows"], |m| m.ledger.files[1].rows += 1),
    ];
    for (names, change) in changes {
        let mut manifest = sound.clone();
        change(&mut manifest);
        manifest.write(dir.path()).unwrap();
        assert_eq!(named(&verified(dir.path()), Status::Failed), names);
    }
    let mut manifest = sound;
    manifest.versions.program = "0.0.1".into();
    manifest.write(dir.path()).unwrap();
    let report = verified(dir.path());
    holds(&report);
    assert_eq!(named(&report, Status::Note), ["program"]);
}

/// Every number of the tally and the steps is held to something.
#[test]
fn numbers_that_do_not_add_up() {
    fn leaves(at: &str, value: &Value, paths: &mut Vec<String>) {
        match value {
            Value::Object(object) => {
                for (key, value) in object {
                    leaves(&format!("{at}/{key}"), value, paths);
                }
            }
            Value::Array(list) => {
                for (i, value) in list.iter().enumerate() {
                    leaves(&format!("{at}/{i}"), value, paths);
                }
            }
            Value::Number(_) => paths.push(at.to_owned()),
            _ => {}
        }
    }
    let dir = tempfile::tempdir().unwrap();
    sample_corpus("en", dir.path(), Format::Arrow, LedgerMode::All);
    let path = dir.path().join("stats.json");
    let sound = fs::read(&path).unwrap();
    let stats: Value = serde_json::from_slice(&sound).unwrap();
    let mut paths = Vec::new();
    leaves("/tally", &stats["tally"], &mut paths);
    leaves("/stages", &stats["stages"], &mut paths);
    assert!(paths.len() > 150, "{}", paths.len());
    // Bytes of the pages as they were read stand nowhere else.
    paths.retain(|path| path != "/tally/text_bytes/in");
    for leaf in paths {
        change_stats(dir.path(), |stats| {
            let number = stats.pointer_mut(&leaf).unwrap();
            *number = json!(number.as_u64().unwrap() + 1);
        });
        let report = verified(dir.path());
        assert!(!report.holds(), "{leaf}");
        write_stats(dir.path(), &sound);
    }
    let mut touched = sound.clone();
    touched.push(b' ');
    fs::write(&path, &touched).unwrap();
    assert_eq!(named(&verified(dir.path()), Status::Failed), ["stats.json"]);
    change_stats(dir.path(), |stats| {
        stats["stages"].as_array_mut().unwrap().remove(2);
    });
    assert_eq!(named(&verified(dir.path()), Status::Failed), ["stages"]);
    write_stats(dir.path(), b"{}");
    let failed = named(&verified(dir.path()), Status::Failed);
    assert!(
        failed.starts_with(&["stats.json", "conservation", "stages"]),
        "{failed:?}"
    );
    fs::write(&path, "no JSON").unwrap();
    assert_eq!(named(&verified(dir.path()), Status::Failed), ["stats.json"]);
}

#[test]
fn ledger_of_other_documents() {
    let dir = tempfile::tempdir().unwrap();
    sample_corpus("c4", dir.path(), Format::Arrow, LedgerMode::All);
    let mut manifest = Manifest::read(dir.path()).unwrap().unwrap();
    let verdicts = LedgerReader::<UrlVerdict>::new(dir.path(), &manifest.ledger);
    let mut verdicts: Vec<UrlVerdict> = verdicts.map(|row| row.unwrap()).collect();
    // Another URL, not another number of them.
    verdicts.iter_mut().find(|row| row.verdict == KEPT).unwrap().url_key ^= 1;
    let mut writer = LedgerWriter::new(&dir.path().join(LEDGER_FOLDER), u64::MAX);
    verdicts.into_iter().for_each(|row| writer.write(row).unwrap());
    manifest.ledger.files.retain(|file| file.table != Table::UrlVerdicts);
    manifest.ledger.files.extend(writer.finish().unwrap());
    manifest.write(dir.path()).unwrap();
    assert_eq!(named(&verified(dir.path()), Status::Failed), ["ledger fates"]);
}

#[test]
fn word_lists_that_are_files_and_a_soft_share() {
    let dir = tempfile::tempdir().unwrap();
    let (lists, output) = (dir.path().join("lists"), dir.path().join("out"));
    fs::create_dir(&lists).unwrap();
    fs::write(lists.join("mine.txt"), "river\n").unwrap();
    let (mut recipe, _) = Recipe::load("en").unwrap();
    recipe.name = "mine".into();
    let step = recipe.bad_words.as_mut().unwrap();
    step.fraction = 0.5;
    step.lists = [("en".to_owned(), "mine.txt".to_owned())].into();
    let wet = dir.path().join("a.warc.wet.gz");
    let record = |i: usize| gzip(&conversion(&format!("https://a.example/{i}"), &good_text(i)));
    fs::write(&wet, (0..40).flat_map(record).collect::<Vec<u8>>()).unwrap();
    built(&BuildOptions {
        inputs: input::resolve(&[wet], None, &recipe.read).unwrap(),
        targets: vec![TargetOptions {
            lists: Lists::load(&recipe, &lists).unwrap(),
            recipe,
            output: output.clone(),
        }],
        ..options("en", &[&samples()], &output)
    })
    .unwrap();
    let kept = documents(&output).len();
    assert!((5..35).contains(&kept), "{kept}");
    let report = verified(&output);
    holds(&report);
    assert_eq!(named(&report, Status::NotChecked), ["recipe hash", "bad words"]);
    let report = verified_with(&output, 1 << 20, Some(&lists));
    holds(&report);
    assert_eq!(named(&report, Status::NotChecked), [""; 0]);
    let counted = &check(&report, "bad words").counted;
    assert!(counted.contains(&format!("{kept} hold one")), "{counted}");
    fs::write(lists.join("mine.txt"), "river\nbaskets\n").unwrap();
    let report = verified_with(&output, 1 << 20, Some(&lists));
    assert_eq!(named(&report, Status::Failed), ["recipe hash"]);
}

/// Pages of few sentences in all orders: what removal makes is not taken for a defect, wherever
/// Punkt sees a sentence's end otherwise than before.
#[test]
fn no_false_alarm_where_pages_share_most_of_their_text() {
    const PARTS: [&str; 14] = [
        "The cat sat down on the mat.",
        "Nobody knew what it was for.",
        "he said that it was No. 5.",
        "They came at 10 a.m.",
        "we met the man called Mr.",
        "Smith was not at home today.",
        "It belongs to J. R. R.",
        "\"Is that so, my dear friend?\"",
        "and nobody said a single word.",
        "See the list of things etc.",
        "So it was written [[1]] in it.",
        "[2] This line starts with a mark.",
        "Wait for it, will you?! Yes!",
        "12. Then there were none left...  But one.",
    ];
    let dir = tempfile::tempdir().unwrap();
    let mut state = 7_u64;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut made_by_removal = 0;
    for round in 0..24 {
        let wet = dir.path().join(format!("{round}.warc.wet"));
        let mut archive = Vec::new();
        for page in 0..60 {
            let mut text = String::new();
            let own = random(10);
            for i in 0..2 + random(20) {
                text += &match random(10) < own {
                    true => format!("This is line {i} of page {page} alone."),
                    false => PARTS[random(PARTS.len())].to_owned(),
                };
                text += [" ", " ", "\n"][random(3)];
            }
            archive.extend(conversion(&format!("https://{page}.example/"), &text));
        }
        fs::write(&wet, archive).unwrap();
        for unit in ["spans", "lines"] {
            let (mut recipe, _) = Recipe::load("c4").unwrap();
            recipe.language = None;
            recipe.bad_words = None;
            recipe.dedup = Some(match (unit, round % 3) {
                ("lines", n) => DedupStep::Lines { min_sentences: n },
                (_, n) => DedupStep::Spans {
                    span_sentences: n + 1,
                    min_sentences: 1,
                },
            });
            if round % 4 == 3 {
                recipe.clean = None;
            }
            let output = dir.path().join(format!("{round}-{unit}"));
            built(&BuildOptions {
                targets: vec![TargetOptions {
                    recipe,
                    lists: Lists::default(),
                    output: output.clone(),
                }],
                ledger: LedgerMode::All,
                ..options("en", &[&wet], &output)
            })
            .unwrap();
            let report = verified(&output);
            holds(&report);
            let notes = named(&report, Status::Note);
            made_by_removal += usize::from(notes.contains(&"duplicate spans"));
        }
    }
    assert!(made_by_removal > 1, "{made_by_removal}");
}

/// What older copies take of the ledger's sample is no defect, nor are records with the same place in the draw.
#[test]
fn no_false_alarm_where_pages_were_crawled_several_times() {
    let dir = tempfile::tempdir().unwrap();
    let crawl = |year: usize| -> Vec<u8> {
        let page = |i: usize| {
            let text = match (i + year) % 3 {
                0 => good_text(i),
                1 => format!(
                    "Only one line of page {i} ends.\nNone of these\nlines does\n{}",
                    good_text(i)
                ),
                _ => format!("A page of {i} words without an end\n"),
            };
            let (url, date) = (format!("https://a.example/{i}"), format!("20{year}-04-18T10:12:43Z"));
            record("conversion", &url, &date, "text/plain", text.as_bytes())
        };
        (0..90).flat_map(page).collect()
    };
    for (case, years) in [
        ("five", [11, 12, 13, 14, 15]),
        // One archive, several times over.
        ("same", [11, 11, 11, 11, 11]),
    ] {
        let inputs = dir.path().join(case);
        for (i, year) in years.into_iter().enumerate() {
            let folder = inputs.join(i.to_string());
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("crawl.warc.wet"), crawl(year)).unwrap();
        }
        let inputs: Vec<PathBuf> = (0..5).map(|i| inputs.join(i.to_string())).collect();
        let inputs: Vec<&Path> = inputs.iter().map(PathBuf::as_path).collect();
        for n in [1, 10, 20, 80, 1000] {
            let dir = dir.path().join(format!("{case}-{n}"));
            built(&BuildOptions {
                ledger: LedgerMode::Sample(n),
                ..options("en", &inputs, &dir)
            })
            .unwrap();
            let report = verified(&dir);
            holds(&report);
            let manifest = Manifest::read(&dir).unwrap().unwrap();
            let pages = LedgerReader::<DroppedPage>::new(&dir, &manifest.ledger);
            let older = pages.filter(|page| page.as_ref().unwrap().reason == "older_copy");
            assert_eq!(older.count() as u64, n.min(4 * 90), "{case}, {n}");
        }
    }
    // With few older copies a row too few is still found.
    let few = dir.path().join("few");
    let input = dir.path().join("few.warc.wet");
    fs::write(&input, crawl(11)).unwrap();
    built(&options("en", &[&input], &few)).unwrap();
    let mut manifest = Manifest::read(&few).unwrap().unwrap();
    let pages = LedgerReader::<DroppedPage>::new(&few, &manifest.ledger);
    let mut pages: Vec<DroppedPage> = pages.map(|page| page.unwrap()).collect();
    pages.pop().unwrap();
    let mut writer = LedgerWriter::new(&few.join(LEDGER_FOLDER), u64::MAX);
    pages.into_iter().for_each(|page| writer.write(page).unwrap());
    let files = &mut manifest.ledger.files;
    files.retain(|file| file.table != Table::Pages);
    files.extend(writer.finish().unwrap());
    manifest.write(&few).unwrap();
    assert_eq!(named(&verified(&few), Status::Failed), ["ledger rows"]);
}

#[test]
fn real_crawls_of_the_same_pages_verify() {
    for name in ["verify-ledger-rows", "verify-ledger-rows2"] {
        let Some(input) = shared(&format!("../cases/reading/{name}.warc.wet.gz")) else {
            return;
        };
        let dir = tempfile::tempdir().unwrap();
        built(&options("en", &[&input], dir.path())).unwrap();
        holds(&verified(dir.path()));
    }
}
