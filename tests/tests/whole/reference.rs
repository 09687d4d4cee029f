//! Whole builds against what the reference made of the same input, made-up and real.

use c4_data::Page;
use c4_data::{DedupStep, Manifest, Recipe, Split, WetReading, WordList};
use c4_filters::rules::domains::Host;
use c4_filters::{Reason, url};
use c4_pipeline::read::outcome::Split as Read;
use c4_tests::*;
use flate2::read::MultiGzDecoder;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn json_lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.split('\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn base64(text: &str) -> Vec<u8> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|c| *c != b'=').map(digit).collect();
    let mut bytes = Vec::new();
    for group in digits.chunks(4) {
        let bits = group.iter().fold(0_u32, |bits, d| bits << 6 | u32::from(*d));
        let bits = bits << (6 * (4 - group.len()));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    bytes
}

#[test]
fn wet_splitting() {
    let dir = tempfile::tempdir().unwrap();
    let rows = json_lines(&golden("golden_wet.jsonl"));
    assert_eq!(rows.len(), 13);
    for (i, row) in rows.iter().enumerate() {
        let path = dir.path().join(format!("{i}.wet"));
        fs::write(&path, base64(row["wet_b64"].as_str().unwrap())).unwrap();
        let splits = read(&path, WetReading::Lines);
        if row["error"].is_string() {
            // The reference fails the whole file; here the record is dropped and counted.
            let damaged = splits.iter().filter(|s| matches!(s, Read::Damage(_))).count();
            assert_eq!(damaged, 1, "{row}");
            continue;
        }
        let mut counters = BTreeMap::from([("split-wet-file/wet-file".to_owned(), 1)]);
        let mut count = |name: &str| *counters.entry(name.to_owned()).or_insert(0_u64) += 1;
        for split in &splits {
            match split {
                Read::Page(_) => count("split-wet-file/passed"),
                Read::Dropped(dropped) => count(dropped.reason.counter()),
                Read::Damage(damage) => panic!("{damage:?}"),
            }
        }
        assert_eq!(counters, numbers(&row["counters"]), "{row}");
        let expected = row["pages"].as_array().unwrap().iter().map(|page| Page {
            url: page["url"].as_str().unwrap().into(),
            text: page["text"].as_str().unwrap().into(),
            timestamp: page["timestamp"].as_str().unwrap().into(),
            content_type: page["content_type"].as_str().unwrap().into(),
            content_length: page["content_length"].as_str().unwrap().into(),
            record_offset: 0,
        });
        let mut found = pages(splits);
        found.iter_mut().for_each(|page| page.record_offset = 0);
        assert_eq!(found, expected.collect::<Vec<_>>(), "{row}");
    }
}

#[test]
fn line_dedup() {
    let dir = tempfile::tempdir().unwrap();
    let golden = json(&golden("golden_dedupe.json"));
    let input = dir.path().join("a.wet");
    let records = golden["pages"].as_array().unwrap().iter();
    let records = records.flat_map(|page| conversion(page["url"].as_str().unwrap(), page["text"].as_str().unwrap()));
    fs::write(&input, records.collect::<Vec<u8>>()).unwrap();
    for min_sentences in [3, 0] {
        let output = dir.path().join(min_sentences.to_string());
        let mut options = options("en.noclean", &[&input], &output);
        options.targets[0].recipe.read.wet_reading = WetReading::Records;
        options.targets[0].recipe.language = None;
        options.targets[0].recipe.dedup = Some(DedupStep::Lines { min_sentences });
        built(&options).unwrap();
        let expected = golden["result"][min_sentences.to_string()].as_array().unwrap();
        let expected: BTreeMap<&str, &str> = expected
            .iter()
            .map(|page| (page["url"].as_str().unwrap(), page["text"].as_str().unwrap()))
            .collect();
        let found = documents(&output);
        let found: BTreeMap<&str, &str> = found
            .iter()
            .map(|(url, (_, d))| (url.as_str(), d.page.text.as_str()))
            .collect();
        assert_eq!(found, expected);
        let mut counters = counters(&output);
        counters.retain(|name, _| name.starts_with("dedupe-lines/"));
        let expected = &golden["result"][format!("{min_sentences}_counters")];
        assert_eq!(counters, numbers(expected));
    }
}

/// Counters that the expected files hold: those of the reference's stages.
fn comparable(mut counters: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let left_out = ["duplicate-url-filter/", "stage/", "train/", "validation/"];
    counters.retain(|name, _| !left_out.iter().any(|prefix| name.starts_with(prefix)));
    counters
}

#[test]
fn whole_graph() {
    let dir = tempfile::tempdir().unwrap();
    let expected = json(&golden("golden_pipeline.json"));
    let output = dir.path().join("out");
    let mut options = options("en", &[&golden("golden_pipeline.wet.gz")], &output);
    let list = WordList::from_text("flurb\nzonk\n");
    options.targets[0].lists.words.insert("en".into(), list);
    built(&options).unwrap();
    let found = documents(&output);
    let pages = expected["final"].as_array().unwrap();
    assert_eq!(found.len(), pages.len());
    for page in pages {
        let (split, document) = &found[page["url"].as_str().unwrap()];
        assert_eq!(document.page.text, page["text"].as_str().unwrap());
        assert_eq!(document.page.timestamp, page["timestamp"].as_str().unwrap());
        assert_eq!(document.page.content_length, page["content_length"].as_str().unwrap());
        assert_eq!(split.name(), page["split"].as_str().unwrap());
    }
    assert_eq!(
        comparable(counters(&output)),
        comparable(numbers(&expected["counters"]))
    );
}

/// Builds `inputs` and compares with `expected` (`.jsonl` and `.counters.json`).
fn compare(recipe: &str, inputs: &[&str], expected: &str) {
    let inputs: Option<Vec<PathBuf>> = inputs.iter().map(|name| shared(name)).collect();
    let Some(inputs) = inputs else {
        return;
    };
    let pages = shared(&format!("{expected}.jsonl")).unwrap();
    let stats = shared(&format!("{expected}.counters.json")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let inputs: Vec<&Path> = inputs.iter().map(PathBuf::as_path).collect();
    let built = built(&options(recipe, &inputs, dir.path())).unwrap();
    built.tally.check().unwrap();
    assert!(!built.damaged());

    let mut found = documents(dir.path());
    for row in json_lines(&pages) {
        let url = row["url"].as_str().unwrap();
        let (split, document) = found.remove(url).unwrap_or_else(|| panic!("{url} is missing"));
        let text = &document.page.text;
        let digest = c4_data::atomic_file::hex(&Sha256::digest(text.as_bytes()));
        assert_eq!(digest, row["sha256"].as_str().unwrap(), "{url}: {text}");
        assert_eq!(text.chars().count() as u64, row["chars"].as_u64().unwrap());
        assert_eq!(split.name(), row["split"].as_str().unwrap(), "{url}");
        assert_eq!(document.page.timestamp, row["timestamp"].as_str().unwrap(), "{url}");
    }
    assert!(found.is_empty(), "not in the reference's output: {:?}", found.keys());
    assert_eq!(
        comparable(counters(dir.path())),
        comparable(numbers(&json(&stats)["counters"]))
    );
    let urls = counters(dir.path());
    let (passed, too_long) = (&urls["duplicate-url-filter/passed"], "too-long-filter/passed");
    let filtered = urls.get("duplicate-url-filter/filtered").unwrap_or(&0);
    assert_eq!(passed + filtered, urls[too_long]);
}

const REAL_WETS: [&str; 2] = [
    "wet/whatsinthebox-restored.warc.wet.gz",
    "wet/ccc-learning-restored.warc.wet.gz",
];
const BENCH_WET: &str = "bench/CC-MAIN-20190418101243-20190418122311-00000.warc.wet.gz";
const BOOKS_WET: &str = "bench/CC-MAIN-20190418101243-20190418122311-00100.warc.wet.gz";

#[test]
fn real_wets_en() {
    compare("en", &REAL_WETS, "wet/real.expected-en");
}

#[test]
fn real_wets_c4() {
    compare("c4", &REAL_WETS, "wet/real.expected-c4");
}

#[test]
fn bench_wet_en() {
    compare("en", &[BENCH_WET], "bench/00000.wet.expected-en");
}

#[test]
fn bench_wet_c4() {
    compare("c4", &[BENCH_WET], "bench/00000.wet.expected-c4");
}

#[test]
fn books_wet_en() {
    compare("en", &[BOOKS_WET], "bench/00100.wet.expected-en");
}

/// What the other recipes keep follows from the rules that they leave out.
#[test]
fn other_recipes_are_supersets() {
    let inputs: Option<Vec<PathBuf>> = REAL_WETS.iter().map(|name| shared(name)).collect();
    let Some(inputs) = inputs else {
        return;
    };
    let inputs: Vec<&Path> = inputs.iter().map(PathBuf::as_path).collect();
    let dir = tempfile::tempdir().unwrap();
    let mut kept = Vec::new();
    for recipe in ["en", "en.noblocklist", "en.noclean"] {
        let output = dir.path().join(recipe);
        let built = built(&options(recipe, &inputs, &output)).unwrap();
        built.tally.check().unwrap();
        kept.push((built, documents(&output)));
    }
    let urls = |i: usize| kept[i].1.keys().cloned().collect::<BTreeSet<String>>();
    assert!(urls(0).is_subset(&urls(1)));
    let bad_words = c4_filters::Reason::BadWords;
    let dropped = kept[0].0.tally.dropped_pages(bad_words);
    assert_eq!(urls(1).len() as u64, urls(0).len() as u64 + dropped);
    assert!(urls(2).len() > urls(1).len());
    // Without cleaning, texts are as they were read.
    let read: BTreeMap<String, String> = inputs
        .iter()
        .flat_map(|input| pages(read(input, WetReading::Lines)))
        .map(|page| (page.url, page.text))
        .collect();
    for (url, (_, document)) in &kept[2].1 {
        assert_eq!(document.page.text, read[url]);
    }
}

/// Cleaning the published corpus again changes nothing.
#[test]
fn published_c4_comes_out_unchanged() {
    let Some(path) = shared("c4/c4-en-500.json.gz") else {
        return;
    };
    let mut text = String::new();
    MultiGzDecoder::new(fs::File::open(&path).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    let published: Vec<Value> = text
        .split('\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(published.len(), 500);
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("c4.warc.wet.gz");
    let text = |row: &Value| row["text"].as_str().unwrap().to_owned();
    let url = |row: &Value| row["url"].as_str().unwrap().to_owned();
    let members = published
        .iter()
        .flat_map(|row| gzip(&conversion(&url(row), &text(row))));
    fs::write(&input, members.collect::<Vec<u8>>()).unwrap();
    let output = dir.path().join("out");
    built(&options("en", &[&input], &output)).unwrap();
    let found = documents(&output);
    assert_eq!(found.len(), 500);
    let mut changed = Vec::new();
    for row in &published {
        let (_, document) = &found[&url(row)];
        if document.page.text != text(row) {
            // Spaces that a removed citation left at the start of a line, as in the reference.
            let trimmed: Vec<String> = text(row).split('\n').map(|line| line.trim_start().to_owned()).collect();
            assert_eq!(document.page.text, trimmed.join("\n"));
            changed.push(url(row));
        }
    }
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert!(changed[0].contains("axonmedchem.com"), "{changed:?}");
}

/// The law of conservation, from the file that users read, for pages and lines of real input.
#[test]
fn tally_is_conserved() {
    let names = [
        REAL_WETS[0],
        "quirks/quirks.warc.gz",
        "wet/hostile-resaved-crlf.warc.wet.gz",
    ];
    let inputs: Option<Vec<PathBuf>> = names.iter().map(|name| shared(name)).collect();
    let Some(inputs) = inputs else {
        return;
    };
    let inputs: Vec<&Path> = inputs.iter().map(PathBuf::as_path).collect();
    // Every second domain and URL.
    let lists = tempfile::tempdir().unwrap();
    let all: BTreeSet<String> = inputs
        .iter()
        .flat_map(|input| pages(read(input, WetReading::Lines)))
        .map(|page| page.url)
        .collect();
    let half = || all.iter().step_by(2);
    let domains = half().map(|url| Host::of(&url::normalize(url)).main_domain());
    let text: String = domains.map(|domain| domain + "\n").collect();
    fs::write(lists.path().join("domains"), text).unwrap();
    let text: String = half().map(|url| format!("{url}\n")).collect();
    fs::write(lists.path().join("urls"), text).unwrap();
    for (name, _) in c4_data::BUILTIN_RECIPES {
        let dir = tempfile::tempdir().unwrap();
        let (mut recipe, _) = Recipe::load(name).unwrap();
        if let Some(step) = &mut recipe.domains {
            step.file = Some("domains".into());
        }
        if let Some(step) = &mut recipe.urls {
            step.files = vec!["urls".into()];
        }
        let options = options_of(recipe.clone(), lists.path(), &inputs, dir.path());
        let done = built(&options).unwrap();
        for (taken, reason) in [
            (recipe.domains.is_some(), Reason::BadDomain),
            (recipe.urls.is_some(), Reason::NotListed),
            (recipe.paragraphs.is_some(), Reason::ShortParagraphs),
        ] {
            assert_eq!(done.tally.dropped_pages(reason) > 20, taken, "{reason:?}");
        }
        let stats = json(&dir.path().join("stats.json"));
        let sum = |value: &Value| numbers(value).values().sum::<u64>();
        let number = |value: &Value| value.as_u64().unwrap();
        let cleaner = c4_filters::Cleaner::new(&recipe);
        let read: Vec<Page> = inputs
            .iter()
            .flat_map(|input| pages(read(input, recipe.read.wet_reading)))
            .collect();
        let lines: u64 = read.iter().map(|page| cleaner.measure(&page.text, |_| {}).lines).sum();
        let tally = &stats["tally"];
        assert_eq!(number(&tally["pages"]["in"]), read.len() as u64);
        assert_eq!(number(&tally["lines"]["in"]), lines);
        for scope in ["records", "pages", "lines"] {
            let tally = &tally[scope];
            let mut parts = number(&tally["out"]) + sum(&tally["dropped"]);
            if scope == "lines" {
                parts += sum(&tally["gone_with_page"]);
            }
            assert_eq!(number(&tally["in"]), parts, "{name}: {scope}");
        }
        // The corpus itself has as many.
        let documents = documents(dir.path());
        assert_eq!(number(&tally["pages"]["out"]), documents.len() as u64);
        let lines = documents
            .values()
            .map(|(_, d)| cleaner.measure(&d.page.text, |_| {}).lines);
        assert_eq!(number(&tally["lines"]["out"]), lines.sum::<u64>(), "{name}");
        let manifest = Manifest::read(dir.path()).unwrap().unwrap();
        assert!(manifest.shards.iter().any(|shard| shard.split == Split::Validation));
    }
}
