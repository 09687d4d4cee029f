//! Helpers of the tests across crates: made-up archives, builds, and what came of them.
//!
//! They panic where a test should fail.

#![allow(clippy::unwrap_used)]

pub mod faults;
pub mod program;
pub mod python;
pub mod server;
mod skipped;

use c4_data::{Document, Format, LedgerMode, Lists, Manifest, Page, Recipe, ShardReader, Split, WetReading};
use c4_pipeline::Error;
use c4_pipeline::build::{BuildOptions, Built, Outcome, TargetOptions, build};
use c4_pipeline::input;
use c4_pipeline::read;
use c4_pipeline::read::outcome;
use c4_pipeline::remote::RemoteOptions;
use flate2::Compression;
use flate2::write::GzEncoder;
pub use skipped::skipped;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The path of a real input that is not part of the project, `name` below `../shared/data`; `None`, with the test
/// noted as [`skipped`], where `../shared` is missing.
///
/// # Panics
/// Where `../shared` is there and the file is not; or where it is missing, and the variable `CI` is set.
#[track_caller]
pub fn shared(name: &str) -> Option<PathBuf> {
    let folder = root().join("../shared");
    let path = folder.join("data").join(name);
    if !folder.exists() {
        let ci = std::env::var_os("CI").is_some_and(|ci| !ci.is_empty());
        assert!(!ci, "CI is set, and {} is missing", folder.display());
        skipped(&format!("no {name} in ../shared/data"));
        return None;
    }
    assert!(path.exists(), "{} is missing, but ../shared is there", path.display());
    Some(path)
}

/// The folder of the project.
fn root() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap()
}

/// The folder of the sample crawl.
pub fn samples() -> PathBuf {
    root().join("data/samples")
}

/// A golden file.
pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
}

/// One gzip member.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A record with its line ends.
pub fn record(kind: &str, url: &str, date: &str, content_type: &str, block: &[u8]) -> Vec<u8> {
    let mut record = format!(
        "WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {url}\r\nWARC-Date: {date}\r\n\
         Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        block.len()
    )
    .into_bytes();
    record.extend_from_slice(block);
    record.extend_from_slice(b"\r\n\r\n");
    record
}

/// A WET's record.
pub fn conversion(url: &str, text: &str) -> Vec<u8> {
    record("conversion", url, "2019-04-18T10:12:43Z", "text/plain", text.as_bytes())
}

/// A text that every recipe keeps: three English sentences of its own.
pub fn good_text(i: usize) -> String {
    format!(
        "The people of house number {i} walked down to the river in the morning.\n\
         They carried {i} baskets of apples, and nobody asked them where they went.\n\
         In the evening all {i} of them came home again, tired and happy as they were.\n"
    )
}

/// Options for a build of `inputs` with the built-in recipe `recipe`.
pub fn options(recipe: &str, inputs: &[&Path], output: &Path) -> BuildOptions {
    let (recipe, base) = Recipe::load(recipe).unwrap();
    options_of(recipe, &base, inputs, output)
}

/// Options for a build of `inputs` with `recipe`, whose lists are looked up from `base`.
pub fn options_of(recipe: Recipe, base: &Path, inputs: &[&Path], output: &Path) -> BuildOptions {
    let lists = Lists::load(&recipe, base).unwrap();
    let inputs: Vec<PathBuf> = inputs.iter().map(|path| path.to_path_buf()).collect();
    BuildOptions {
        inputs: input::resolve(&inputs, None, &recipe.read).unwrap(),
        targets: vec![TargetOptions {
            recipe,
            lists,
            output: output.to_owned(),
        }],
        format: Format::Arrow,
        shard_size_bytes: 256 << 20,
        threads: 2,
        memory_bytes: 1 << 30,
        work_dir: None,
        overwrite: false,
        ledger: LedgerMode::default(),
        remote: RemoteOptions::default(),
        allow_missing: false,
    }
}

/// Runs a build that must not be there yet.
pub fn built(options: &BuildOptions) -> Result<Built, Error> {
    match build(options)?.pop() {
        Some(Outcome::Built(built)) => Ok(*built),
        _ => panic!("the corpus was there already"),
    }
}

/// All documents of a corpus by URL, with their split.
pub fn documents(dir: &Path) -> BTreeMap<String, (Split, Document)> {
    let mut documents = BTreeMap::new();
    let manifest = Manifest::read(dir).unwrap().unwrap();
    let arrow = manifest.format != Format::Jsonl;
    for shard in manifest.shards {
        for document in ShardReader::open(&dir.join(&shard.file)).unwrap() {
            let document: Document = document.unwrap();
            if let Some(language) = shard.language.as_ref().filter(|_| arrow) {
                assert_eq!(*language, document.language);
            }
            let url = document.page.url.clone();
            let twice = documents.insert(url, (shard.split, document));
            assert!(twice.is_none(), "{twice:?} is in the corpus twice");
        }
    }
    documents
}

/// The object `counters` of `stats.json`.
pub fn counters(dir: &Path) -> BTreeMap<String, u64> {
    let text = std::fs::read(dir.join("stats.json")).unwrap();
    let stats: serde_json::Value = serde_json::from_slice(&text).unwrap();
    numbers(&stats["counters"])
}

/// An object of numbers.
pub fn numbers(object: &serde_json::Value) -> BTreeMap<String, u64> {
    let pairs = object.as_object().unwrap().iter();
    pairs.map(|(k, v)| (k.clone(), v.as_u64().unwrap())).collect()
}

/// What reading an archive gives, in order.
pub fn read(path: &Path, wet_reading: WetReading) -> Vec<outcome::Split> {
    let (mut recipe, _) = Recipe::load("en").unwrap();
    recipe.read.wet_reading = wet_reading;
    let mut source = read::Source::open(path, &recipe.read).unwrap().expect("an archive");
    let mut splits = Vec::new();
    while let Some(batch) = source.next_batch().unwrap() {
        splits.extend(read::split(batch).flatten());
    }
    splits
}

/// The pages among what was read.
pub fn pages(splits: Vec<outcome::Split>) -> Vec<Page> {
    let page = |split| match split {
        outcome::Split::Page(page) => Some(page),
        _ => None,
    };
    splits.into_iter().filter_map(page).collect()
}

/// The files of a corpus, or of several, by name: all but `run.json`, which differs from build to build.
pub fn corpus_files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = tree(dir);
    files.retain(|name, _| !name.ends_with("run.json"));
    files
}

/// Every file of a folder, at any depth, with its content.
pub fn tree(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_owned();
                files.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    files
}
