//! Builds whose language detector is CLD3, and where its data are from. `tests/rules` compares its answers.

use c4_data::Manifest;
use c4_filters::cld3::MC4_LANGUAGES;
use c4_pipeline::inspect::verify::{VerifyOptions, verify};
use c4_tests::{built, conversion, counters, documents, golden, gzip, options};
use flate2::read::GzDecoder;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;

fn golden_rows() -> Vec<Value> {
    let file = BufReader::new(GzDecoder::new(File::open(golden("golden_cld3.jsonl.gz")).unwrap()));
    file.lines()
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect()
}

fn text(row: &Value) -> &str {
    row["text"].as_str().unwrap()
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

    let rows = golden_rows();
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
