//! The language detector CLD3 against what the original, PyPI `gcld3` 3.0.13, answered on x86-64 Linux. `make detector`
//! asks the original itself, of far more texts.

use crate::rows;
use c4_data::DetectorKind;
use c4_filters::cld3::{LANGUAGES, MC4_LANGUAGES, detect};
use c4_filters::language_rule;
use serde_json::Value;
use std::collections::BTreeSet;

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
    let rows: Vec<Value> = rows("golden_cld3.jsonl.gz");
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
    let rows: Vec<Value> = rows("fuzz_cld3.jsonl.gz");
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
    let rows: Vec<Value> = rows("golden_cld3.jsonl.gz");
    let (english, german) = (text(&rows[0]), text(&rows[1]));
    let german_later = |gap: &str| detect(&(english.to_owned() + gap + &german.repeat(5)));
    assert_eq!(german_later("\x0b"), detect(english));
    assert_eq!(german_later(&" ".repeat(10_000)), detect(english));
    let mixed = german_later("\n");
    assert!(mixed.is_some() && mixed != detect(english), "{mixed:?}");
}

#[test]
fn detection_of_the_step_hides_what_is_not_reliable() {
    let rows: Vec<Value> = rows("golden_cld3.jsonl.gz");
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
