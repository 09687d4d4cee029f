//! The dataset card. That `datasets` reads it is proven by `make hub`.

use c4_data::{Format, Lists, Manifest, Recipe, Stats};
use c4_pipeline::build::{BuildOptions, TargetOptions};
use c4_pipeline::corpus::CARD_MARK;
use c4_pipeline::inspect::card::{CardOptions, card, is_card};
use c4_tests::*;
use std::path::Path;

fn written(dir: &Path, options: &CardOptions) -> String {
    let manifest = Manifest::read(dir).unwrap().unwrap();
    let stats: Stats = serde_json::from_slice(&std::fs::read(dir.join("stats.json")).unwrap()).unwrap();
    card(&manifest, &stats, options)
}

/// The YAML between the marks, and the rest.
fn parts(card: &str) -> (&str, &str) {
    let rest = card.strip_prefix("---\n").unwrap();
    rest.split_once("---\n").unwrap()
}

#[test]
fn head_and_body_say_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    for (format, path) in [
        (Format::Arrow, "train-*.arrow"),
        (Format::Parquet, "train-*.parquet"),
        (Format::Jsonl, "c4-train.*.json.gz"),
    ] {
        let output = dir.path().join(path.replace('*', "x"));
        let options = BuildOptions {
            format,
            ..options("c4", &[&samples()], &output)
        };
        built(&options).unwrap();
        let manifest = Manifest::read(&output).unwrap().unwrap();
        let text = written(&output, &CardOptions::default());
        let (head, body) = parts(&text);
        let rows: u64 = manifest.shards[..1].iter().map(|shard| shard.rows).sum();
        for wanted in [
            "language:\n- \"en\"\n",
            "license: \"odc-by\"\n",
            "- n<1K\n",
            &format!("  - split: train\n    path: \"{path}\"\n"),
            &format!("    num_examples: {rows}\n"),
            "  - name: text\n    dtype: string\n",
        ] {
            assert!(head.contains(wanted), "no {wanted:?} in\n{head}");
        }
        assert_eq!(head.contains("float32"), format != Format::Jsonl);
        let flag = match format {
            Format::Arrow => "--recipe c4 --shard-size 256M",
            Format::Parquet => "--recipe c4 --format parquet --shard-size 256M",
            Format::Jsonl => "--recipe c4 --format jsonl --shard-size 256M",
        };
        for wanted in [
            CARD_MARK,
            &manifest.recipe_hash,
            flag,
            "sample-00002-damaged.warc.wet.gz",
            "`clean.min_words` | 5 |",
            "duplicate spans of sentences",
            "`other_language`",
            "2 of 4 archives could not be read",
            "commoncrawl.org/terms-of-use",
        ] {
            assert!(body.contains(wanted), "no {wanted:?} in\n{body}");
        }
        assert!(is_card(text.as_bytes()) && !is_card(b"# Mine\n"));
        // Nothing of this machine or this moment.
        let folder = dir.path().to_string_lossy();
        assert!(!text.contains(&*folder));
        assert_eq!(text, written(&output, &CardOptions::default()));
    }
}

#[test]
fn splits_without_rows_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let wet = dir.path().join("a.warc.wet");
    let output = dir.path().join("out");
    std::fs::write(&wet, conversion("https://a.example/", &good_text(1))).unwrap();
    built(&options("en", &[&wet], &output)).unwrap();
    let text = written(&output, &CardOptions::default());
    let (head, body) = parts(&text);
    assert!(head.contains("split: train") && !head.contains("validation"), "{head}");
    assert!(body.contains("corpus[\"train\"]"));

    // Nothing at all is in it.
    let output = dir.path().join("none");
    std::fs::write(&wet, conversion("https://a.example/", "Too short.\n")).unwrap();
    built(&options("en", &[&wet], &output)).unwrap();
    let text = written(&output, &CardOptions::default());
    let (head, body) = parts(&text);
    assert!(!head.contains("configs:") && !head.contains("splits:"), "{head}");
    assert!(body.contains("There are no documents in it."));
}

#[test]
fn what_is_given_is_stated_and_does_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let wet = dir.path().join("a.warc.wet");
    let output = dir.path().join("out");
    std::fs::write(&wet, conversion("https://a.example/", &good_text(1))).unwrap();
    let (mut recipe, _) = Recipe::load("en").unwrap();
    recipe.name = "mine".into();
    recipe.clean.as_mut().unwrap().page_phrases.push("a | b `c`".into());
    recipe.language = None;
    recipe.bad_words = None;
    let options = BuildOptions {
        targets: vec![TargetOptions {
            lists: Lists::load(&recipe, Path::new("")).unwrap(),
            recipe,
            output: output.clone(),
        }],
        shard_size_bytes: 1000,
        ledger: c4_data::LedgerMode::All,
        ..options("en", &[&wet], &output)
    };
    built(&options).unwrap();
    let options = CardOptions {
        license: "cc0-1.0".into(),
        pretty_name: Some("Mine: \"a\" # <b>".into()),
    };
    let text = written(&output, &options);
    let (head, body) = parts(&text);
    assert!(head.contains("license: \"cc0-1.0\"\n"), "{head}");
    assert!(head.contains(r##"pretty_name: "Mine: \"a\" # <b>""##), "{head}");
    assert!(!head.contains("language:"), "{head}");
    assert!(body.contains("# Mine: \"a\" \\# \\<b\\>\n"), "{body}");
    assert!(body.contains("`cc0-1.0` in the head of this card was chosen"), "{body}");
    assert!(
        body.contains("--recipe mine.toml --shard-size 1000 --ledger all"),
        "{body}"
    );
    assert!(!body.contains("blocklist goes by words"), "{body}");
}
