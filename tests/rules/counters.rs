//! Verdicts and counters of the rules on made-up texts, against those of the reference.

use crate::rows;
use c4_data::{BadWordsStep, DetectorKind, Lists, Recipe, Split, SplitStep, WordList};
use c4_filters::language_rule::{self, Detection};
use c4_filters::rules::bad_words::{BadWords, BadWordsVerdict, base_language};
use c4_filters::rules::{length, paragraphs};
use c4_filters::{Cleaned, Cleaner, LineCounts, Reason, Scope, TextSize, Verdict, newest_page, url};
use serde_json::Value;
use std::collections::BTreeMap;

fn text<'v>(row: &'v Value, key: &str) -> &'v str {
    row[key].as_str().unwrap_or_else(|| panic!("{key} in {row}"))
}

fn counter_map(row: &Value) -> BTreeMap<String, u64> {
    let counters = row["counters"].as_object().unwrap().iter();
    counters
        .map(|(k, v)| (k.clone(), v.as_u64().unwrap()))
        .filter(|(_, n)| *n > 0)
        .collect()
}

#[test]
fn clean_page() {
    let (recipe, _) = Recipe::load("en").unwrap();
    let cleaner = Cleaner::new(&recipe);
    let rows: Vec<Value> = rows("golden_clean_page.jsonl.gz");
    assert_eq!(rows.len(), 217);
    for row in &rows {
        let (out, reason, lines) = match cleaner.clean(text(row, "text")) {
            Cleaned::Keep(page) => (Some(page.text), None, page.lines),
            Cleaned::Drop { reason, lines } => (None, Some(reason), lines),
        };
        assert_eq!(out.as_deref(), row["out"].as_str(), "{row}");
        let suffix = |reason: Reason| reason.counter().strip_prefix("clean-page/").unwrap();
        assert_eq!(reason.map(suffix), row["reason"].as_str(), "{row}");
        let mut counters = BTreeMap::from([("line-passed".to_owned(), u64::from(lines.passed))]);
        counters.insert(reason.map_or("passed", suffix).to_owned(), 1);
        for &line_reason in Reason::of(Scope::Line) {
            if let Some(name) = line_reason.counter().strip_prefix("clean-page/") {
                let n = lines.dropped[line_reason.index()].lines;
                counters.insert(name.to_owned(), n);
            }
        }
        counters.retain(|_, n| *n > 0);
        assert_eq!(counters, counter_map(row), "{row}");
    }
}

#[test]
fn cleaning_counts_every_line_once() {
    let (recipe, _) = Recipe::load("en").unwrap();
    let cleaner = Cleaner::new(&recipe);
    for row in rows::<Value>("golden_clean_page.jsonl.gz") {
        let text = text(&row, "text");
        let lines: LineCounts = match cleaner.clean(text) {
            Cleaned::Keep(page) => {
                assert_eq!(page.lines.left(), TextSize::of_text(&page.text));
                page.lines
            }
            Cleaned::Drop { lines, .. } => lines,
        };
        assert_eq!(lines.total, cleaner.measure(text, |_| {}), "{row}");
    }
}

#[test]
fn normalized_urls() {
    let rows: Vec<Value> = rows("golden_normalize_url.jsonl");
    assert_eq!(rows.len(), 40);
    let step = SplitStep {
        validation_one_in: 1000,
        by_language: false,
    };
    for row in &rows {
        let normalized = url::normalize(text(row, "url"));
        assert_eq!(normalized, text(row, "normalized"));
        let md5 = url::md5(&normalized);
        assert_eq!(format!("{md5:032x}"), text(row, "md5"));
        assert_eq!(md5 % 1000, row["mod1000"].as_u64().unwrap().into());
        assert_eq!(url::split(md5, &step).name(), text(row, "split"));
    }
    assert_eq!(
        url::split(
            0,
            &SplitStep {
                validation_one_in: 0,
                by_language: false,
            }
        ),
        Split::Train
    );
}

#[test]
fn newest_page() {
    let rows: Vec<Value> = rows("golden_newest.jsonl");
    assert_eq!(rows.len(), 4);
    for row in &rows {
        let timestamps = row["timestamps"].as_array().unwrap();
        let kept = newest_page::newest(timestamps.iter().map(|t| t.as_str().unwrap()));
        assert_eq!(kept.map(|i| i as u64), row["selected"].as_u64(), "{row}");
    }
}

#[test]
fn page_length() {
    let rows: Vec<Value> = rows("golden_length.jsonl");
    assert_eq!(rows.len(), 5);
    for row in &rows {
        let page = text(row, "char").repeat(row["n"].as_u64().unwrap() as usize);
        assert_eq!(!length::too_long(&page, 190_000), row["valid"].as_bool().unwrap());
    }
}

#[test]
fn paragraph_filter() {
    let rows: Vec<Value> = rows("golden_paragraph.jsonl");
    assert_eq!(rows.len(), 6);
    for row in &rows {
        let dropped = paragraphs::too_few_long_lines(text(row, "text"), 3, 200);
        assert_eq!(!dropped, row["kept"].as_bool().unwrap(), "{}", row["note"]);
    }
}

fn bad_words(lists: impl IntoIterator<Item = (String, WordList)>, fraction: f64) -> BadWords {
    let lists = Lists {
        words: lists.into_iter().collect(),
        ..Lists::default()
    };
    let step = BadWordsStep {
        lists: BTreeMap::new(),
        allow: BTreeMap::new(),
        fraction,
    };
    BadWords::new(&step, &lists).unwrap()
}

#[test]
fn bad_words_filter() {
    let rows: Vec<Value> = rows("golden_badwords.jsonl");
    assert_eq!(rows.len(), 61);
    let lists = rows[0]["badwords"].as_object().unwrap();
    let lists = lists.iter().map(|(language, words)| {
        let words = words.as_array().unwrap().iter();
        let words = words.map(|w| w.as_str().unwrap().to_owned()).collect();
        (
            language.clone(),
            WordList {
                words,
                sha256: String::new(),
            },
        )
    });
    let lists: Vec<(String, WordList)> = lists.collect();
    for row in &rows[1..] {
        let rule = bad_words(lists.clone(), row["fraction"].as_f64().unwrap());
        let url = row["normalized_url"].as_str().unwrap_or_default();
        let language = text(row, "lang");
        let verdict = rule.check(language, &text(row, "text").to_lowercase(), url::md5(url));
        let kept = verdict.verdict() == Verdict::Keep;
        assert_eq!(kept, row["kept"].as_bool().unwrap(), "{row}");
        if row["counters"].is_object() {
            let name = if kept { "passed" } else { "filtered" };
            let mut expected = BTreeMap::from([(format!("badwords-filter/{name}"), 1)]);
            if verdict != BadWordsVerdict::NoList {
                let language = base_language(language);
                expected.insert(format!("badwords-filter-{language}/{name}"), 1);
            }
            assert_eq!(expected, counter_map(row), "{row}");
        }
    }
}

#[test]
fn bad_words_fuzzed() {
    let rows: Vec<Value> = rows("fuzz_badwords.jsonl.gz");
    assert_eq!(rows.len(), 22_500);
    let list = WordList::ldnoobw_25e679f_en().unwrap();
    let rule = bad_words([("en".to_owned(), list)], 1.0);
    for row in &rows {
        let verdict = rule.check("en", &text(row, "text").to_lowercase(), 0);
        let hit = verdict == BadWordsVerdict::Dropped;
        assert_eq!(hit, row["hit"].as_bool().unwrap(), "{row}");
    }
}

#[test]
fn english_filter() {
    let rows: Vec<Value> = rows("golden_langdetect.jsonl.gz");
    assert_eq!(rows.len(), 37);
    let (recipe, _) = Recipe::load("en").unwrap();
    let step = recipe.language.unwrap();
    for row in &rows {
        let detection = language_rule::detect(DetectorKind::Langdetect, text(row, "text"));
        let best = row["probs"].as_array().and_then(|probs| probs.first());
        match (&detection, best) {
            (Detection::Best { language, probability }, Some(best)) => {
                assert_eq!(language, best[0].as_str().unwrap(), "{row}");
                // The order of the profiles on the reference's disk decides over the last bits.
                let difference = (probability - best[1].as_f64().unwrap()).abs();
                assert!(difference < 1e-9, "{row}: {probability}");
            }
            (Detection::Undetectable, None) => assert!(row["exception"].is_string(), "{row}"),
            (Detection::Nothing, None) => assert!(row["exception"].is_null(), "{row}"),
            _ => panic!("{row}: {detection:?}"),
        }
        let verdict = language_rule::judge(&step, &detection);
        assert_eq!(verdict == Verdict::Keep, row["kept"].as_bool().unwrap(), "{row}");
        let counters: Vec<String> = counter_map(row).into_keys().collect();
        match verdict {
            Verdict::DropPage(reason) => assert!(counters.contains(&reason.counter().to_owned())),
            _ => assert_eq!(counters, ["english-filter/passed"]),
        }
    }
}
