//! The language detector CLD3 against what the original, PyPI `gcld3` 3.0.13, answered on x86-64 Linux, and
//! builds with it. `make detector` asks the original itself, of far more texts.

#![allow(clippy::unwrap_used)]

use c4_data::{DetectorKind, Manifest};
use c4_filters::cld3::{LANGUAGES, MC4_LANGUAGES, detect};
use c4_filters::language_rule;
use c4_pipeline::inspect::verify::{VerifyOptions, verify};
use c4_tests::{built, conversion, counters, documents, golden, gzip, options};
use flate2::read::GzDecoder;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;

fn rows(name: &str) -> Vec<Value> {
    let file = BufReader::new(GzDecoder::new(File::open(golden(name)).unwrap()));
    file.lines()
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect()
}

fn text(row: &Value) -> &str {
    row["text"].as_str().unwrap()
}

fn assert_same(rows: &[Value]) {
    for row in rows {
        let guess = detect(text(row));
        let Some(guess) = guess else {
            assert_eq!(row["language"], "und", "{row}");
            continue;
        };
        assert_eq!(row["language"], guess.language, "{row}");
        assert_eq!(row["reliable"], guess.reliable, "{row}");
        let expected = row["probability"].as_f64().unwrap() as f32;
        if cfg!(all(target_os = "linux", target_env = "gnu")) {
            assert_eq!(guess.probability, expected, "{row}");
        } else {
            // `exp` and `ln` are the system's.
            assert!((guess.probability - expected).abs() < 1e-5, "{row}");
        }
    }
}

#[test]
fn texts_in_a_hundred_languages() {
    let rows = rows("golden_cld3.jsonl.gz");
    assert_eq!(rows.len(), 149);
    assert_same(&rows);
    let known: BTreeSet<&str> = LANGUAGES.into();
    let mut found: BTreeSet<&str> = rows.iter().map(|r| r["language"].as_str().unwrap()).collect();
    assert!(found.remove("und"));
    assert!(found.is_subset(&known));
    assert!(found.len() >= 105, "{}", found.len());
}

#[test]
fn fuzzed_texts() {
    let rows = rows("fuzz_cld3.jsonl.gz");
    assert_eq!(rows.len(), 300);
    let answered = rows.iter().filter(|row| row["language"] != "und").count();
    assert!((150..300).contains(&answered), "{answered}");
    assert_same(&rows);
}

#[test]
fn languages_are_those_of_mc4_and_two_more() {
    let known: BTreeSet<&str> = LANGUAGES.into();
    let mc4: BTreeSet<&str> = MC4_LANGUAGES.into();
    assert_eq!((known.len(), mc4.len()), (109, 107));
    assert!(mc4.is_subset(&known));
    assert!(known.difference(&mc4).eq(&["bs", "hr"]));
}

#[test]
fn limits_are_those_of_the_original() {
    let sentence = "The quick answer would have been simpler though nobody in our village had found it ";
    // What is left of 99 and 100 bytes: a space at both ends counts.
    let letters = |n: usize| sentence.repeat(2)[..n].to_owned() + "y";
    assert_eq!(detect(&letters(96)), None);
    assert!(detect(&letters(97)).is_some());
    // Only the first 10,000 bytes count, and nothing behind a control character.
    let rows = rows("golden_cld3.jsonl.gz");
    let (english, german) = (text(&rows[0]), text(&rows[1]));
    let german_later = |gap: &str| detect(&(english.to_owned() + gap + &german.repeat(5)));
    assert_eq!(german_later("\x0b"), detect(english));
    assert_eq!(german_later(&" ".repeat(10_000)), detect(english));
    let mixed = german_later("\n");
    assert!(mixed.is_some() && mixed != detect(english), "{mixed:?}");
}

#[test]
fn data_are_those_that_the_readme_names() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/cld3");
    let readme = fs::read_to_string(folder.join("README.md")).unwrap();
    for name in ["network.bin", "letters.bin"] {
        let data = fs::read(folder.join(name)).unwrap();
        let digest: String = Sha256::digest(&data).iter().map(|b| format!("{b:02x}")).collect();
        assert!(readme.contains(&digest), "{name}: {digest}");
    }
}

/// mC4's language step.
const STEP: &str = r#"
[language]
detector = "cld3"
keep = [LANGUAGES]
min_probability = 0.95
undetermined = "keep"
"#;

#[test]
fn build_keeps_undetermined_pages() {
    let dir = tempfile::tempdir().unwrap();
    // All but German.
    let keep = MC4_LANGUAGES.into_iter().filter(|code| *code != "de");
    let keep: Vec<String> = keep.map(|code| format!("\"{code}\"")).collect();
    let keep = keep.join(", ");
    let step = STEP.replace("LANGUAGES", &keep);
    let recipe = format!(
        "name = \"many\"\ndescription = \"Many languages.\"\n[read]\nwet_reading = \"lines\"\n\
         max_record_bytes = 1000000\n{step}[split]\nvalidation_one_in = 0\n"
    );
    let file = dir.path().join("many.toml");
    fs::write(&file, recipe).unwrap();

    let rows = rows("golden_cld3.jsonl.gz");
    let by_start = |start: &str| {
        let row = rows.iter().find(|row| text(row).starts_with(start)).unwrap();
        text(row).to_owned()
    };
    let pages = [
        ("en", by_start("The old miller")),
        ("zh", by_start("年老的磨坊主每天")),
        ("short", "Too short to say.".to_owned()),
        ("de", by_start("Der alte Müller")),
        // Probable, but not enough; that of Bosnian is enough to be reliable.
        ("ms", by_start("Pengisar tua")),
        ("bs", by_start("Stari mlinar svakog")),
        ("mixed", by_start("Stariyat melnichar")),
    ];
    let archive: Vec<u8> = pages
        .iter()
        .flat_map(|(name, text)| gzip(&conversion(&format!("http://{name}.example/"), text)))
        .collect();
    let input = dir.path().join("a.warc.wet.gz");
    fs::write(&input, archive).unwrap();
    let output = dir.path().join("out");
    built(&options(file.to_str().unwrap(), &[&input], &output)).unwrap();

    let documents = documents(&output);
    let found: Vec<(&str, &str)> = documents.values().map(|(_, d)| (&*d.page.url, &*d.language)).collect();
    let expected = [
        ("http://bs.example/", "und"),
        ("http://en.example/", "en"),
        ("http://mixed.example/", "und"),
        ("http://ms.example/", "und"),
        ("http://short.example/", "und"),
        ("http://zh.example/", "zh"),
    ];
    assert_eq!(found, expected);
    let score = |name: &str| documents[&format!("http://{name}.example/")].1.language_score;
    assert_eq!(score("short"), 0.0);
    assert_eq!(score("mixed"), 0.0);
    assert!((0.5..0.7).contains(&score("bs")));
    assert!((0.7..0.95).contains(&score("ms")) && score("en") >= 0.95);
    let counters = counters(&output);
    let counters: Vec<(&str, u64)> = counters
        .iter()
        .filter_map(|(name, n)| Some((name.strip_prefix("language-filter/")?, *n)))
        .collect();
    let expected = [
        ("filtered:ignored_language", 1),
        ("filtered:low_confidence", 2),
        ("filtered:no_predictions", 2),
        ("passed", 6),
        ("passed:en", 1),
        ("passed:und", 4),
        ("passed:zh", 1),
    ];
    assert_eq!(counters, expected);

    let options = VerifyOptions {
        dir: output.clone(),
        lists: None,
        key_bytes: 1 << 20,
        threads: 1,
    };
    let report = verify(&options, &Manifest::read(&output).unwrap().unwrap()).unwrap();
    assert!(report.holds(), "{report:#?}");
}

#[test]
fn detection_of_the_step_hides_what_is_not_reliable() {
    let rows = rows("golden_cld3.jsonl.gz");
    for row in &rows {
        let detection = language_rule::detect(DetectorKind::Cld3, text(row));
        let reliable = row["reliable"].as_bool().unwrap();
        match detection {
            language_rule::Detection::Best { language, .. } => {
                assert!(reliable && row["language"] == *language, "{row}");
            }
            _ => assert!(!reliable, "{row}"),
        }
    }
}
