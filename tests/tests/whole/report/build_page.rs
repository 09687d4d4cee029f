//! A build's report, made of hostile text.

use super::EVIL;
use c4_data::Stats;
use c4_pipeline::inspect::report::{self, ExampleLine, ExamplePage, Examples, Sources};
use serde_json::{Value, json};

/// `manifest.json`.
pub fn manifest() -> Value {
    json!({
        "versions": {"program": "0.1.0", "schema": 2},
        "recipe_hash": "bdf290909d4a4c55b5309719d3435415ed094709e85bf7ea16052f2e9e8e7107",
        "recipe": {
            "name": "en", "description": "The released corpus.",
            "length": {"max_page_chars": 190_000},
            "clean": {"end_marks": [".", "\""], "min_words": 5, "nothing": null},
            "language": {"keep": ["en"], "min_probability": 0.99}
        },
        "format": "arrow",
        "inputs": [
            {"archive": "a.warc.wet.gz", "bytes": 41_804_735, "state": "read"},
            {"archive": EVIL[0], "bytes": 3103, "state": "damaged", "damaged_records": 2,
             "damage": [{"offset": 741, "cause": format!("bad_utf8: {}", EVIL[3])}]}
        ],
        "shards": [{"file": "train-00000-of-00001.arrow", "split": "train", "rows": 600, "bytes": 1000, "text_bytes": 5000}]
    })
}

/// `run.json`.
pub fn run() -> Value {
    json!({
        "wall_seconds": 2.16, "cpu_seconds": 4.15, "peak_memory_bytes": 79_806_464_u64, "threads": 2,
        "wall_seconds_by_pass": {"clean": 0.98, "duplicates": 0.007, "finish": 0.72}
    })
}

/// `stats.json`.
pub fn stats() -> Value {
    let mut domains: Vec<Value> = vec![
        json!({"name": "example.com", "pages": [400, 390, 200]}),
        json!({"name": "example.org", "pages": [300, 290, 299]}),
        json!({"name": "b10.example", "pages": [20, 20, 10]}),
        json!({"name": "b9.example", "pages": [20, 20, 0]}),
        json!({"name": "x".repeat(400), "pages": [3, 3, 3]}),
    ];
    domains.extend(EVIL.iter().map(|name| json!({"name": name, "pages": [2, 1, 1]})));
    let duplicates = EVIL.map(|text| json!({"copies": 20, "text": text, "url": text}));
    let years: Value = (2013..2021)
        .map(|y| (y.to_string(), json!({"in": y, "out": y - 2000})))
        .collect::<serde_json::Map<_, _>>()
        .into();
    json!({
        "recipe": "en",
        "tally": {
            "records": {"in": 1100, "out": 1000, "dropped": {"record_type": 99, "truncated": 1}},
            "pages": {"in": 1000, "out": 600, "dropped": {"older_copy": 1, "too_few_sentences_after_dedup": 9, "other_language": 380, "bad_words": 10}},
            "lines": {"in": 9000, "out": 3000, "dropped": {"no_end_mark": 2900, "local_duplicate": 100}, "gone_with_page": {"other_language": 2990, "bad_words": 10}},
            "chars": {"in": 9_000_000_000_u64, "out": 3_000_000_000_u64, "trimmed": 5_999_999_000_u64, "dropped": {"no_end_mark": 900}, "gone_with_page": {"too_few_sentences_after_dedup": 100}},
            "words": {"in": 90_000, "out": 90_000},
            "text_bytes": {"in": 9_100_000, "out": 3_100_000}
        },
        "stages": [
            {"stage": "read", "doc": "pages in the archives"},
            {"stage": "newest", "doc": "the newest page of each URL", "dropped": {"pages": {"older_copy": 1}}},
            {"stage": "rules", "doc": "line and page rules", "dropped": {"lines": {"no_end_mark": 2900}}},
            {"stage": "dedup", "doc": "duplicate lines"},
            {"stage": "language", "doc": "language"},
            {"stage": "bad_words", "doc": "blocklist"}
        ],
        "histograms": {
            "page_chars": {"unit": "characters", "edges": [0, 100, 1000, 10_000, null], "in": [10, 500, 400, 90], "out": [0, 300, 250, 50]},
            "language_probability": {"edges": [0, 50, 99, null], "out": [0, 0, 600], "sample": {"pages": 600, "of": 1000}},
            "unsound": {"edges": [1], "out": [1, 2, 3]}
        },
        "years": years,
        "languages": {"en": {"in": 620, "out": 600}, "de": {"in": 300, "out": 0}, "xx": {"in": 80, "out": 0}},
        "domains": {"stages": ["read", "language", "bad_words"], "distinct": 900, "top": domains},
        "top_level_domains": {"stages": ["read", "language", "bad_words"], "distinct": 1, "top": [{"name": "example", "pages": [1000, 620, 600]}]},
        "duplicates": duplicates,
        "bad_words": [{"word": "heck", "pages": 9}, {"word": EVIL[0], "pages": 1}],
        "warnings": [format!("Look: {}", EVIL[1])]
    })
}

/// Examples of hostile text.
pub fn examples() -> Examples {
    let mut examples = Examples::default();
    for text in EVIL {
        for reason in ["bad_words", "other_language"] {
            examples.pages.push(ExamplePage {
                reason: reason.to_owned(),
                url: text.to_owned(),
                text: format!("  {text} {}", "long ".repeat(500)),
                matched: Some(3..7),
            });
        }
        examples.lines.push(ExampleLine {
            reason: "no_end_mark".to_owned(),
            url: text.to_owned(),
            line: 3,
            text: text.repeat(30),
            matched: Some(10..4000),
            page_verdict: "kept".to_owned(),
        });
    }
    examples
}

/// The page.
pub fn report() -> String {
    let stats: Stats = serde_json::from_value(stats()).unwrap();
    let (manifest, run, examples) = (manifest(), run(), examples());
    report::render(&Sources {
        manifest: &manifest,
        stats: &stats,
        run: Some(&run),
        examples: &examples,
    })
    .unwrap()
}
