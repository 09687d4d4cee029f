//! `c4 verify` and `c4 card` as a user meets them: what they print, how they exit, what they leave.

use crate::common::c4;
use c4_tests::*;
use std::fs;
use std::path::Path;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn corpus(dir: &Path) {
    let wet = dir.with_extension("warc.wet");
    let record = |i: usize| conversion(&format!("https://a.example/{i}"), &good_text(i));
    fs::write(&wet, (0..30).flat_map(record).collect::<Vec<u8>>()).unwrap();
    built(&options("en", &[&wet], dir)).unwrap();
}

#[test]
fn verify_says_what_it_found_and_exits_by_it() {
    let dir = tempfile::tempdir().unwrap();
    let corpus_dir = dir.path().join("corpus");
    let refused = c4(&[&"verify", &dir.path()]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("holds no finished corpus"));

    corpus(&corpus_dir);
    let right = c4(&[&"verify", &corpus_dir]);
    let out = text(&right.stdout);
    assert_eq!(right.status.code(), Some(0), "{out}");
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with("shard files       ok "), "{out}");
    assert!(lines.last().unwrap().ends_with("checks: nothing is wrong"), "{out}");

    let shard = corpus_dir.join("train-00000-of-00001.arrow");
    let mut bytes = fs::read(&shard).unwrap();
    let last = bytes.len() - 100;
    bytes[last] ^= 0x10;
    fs::write(&shard, bytes).unwrap();
    let wrong = c4(&[&"verify", &corpus_dir]);
    let out = text(&wrong.stdout);
    assert_eq!(wrong.status.code(), Some(1), "{out}");
    for part in [
        "shard files       FAILED",
        "train-00000-of-00001.arrow: has another SHA-256",
        "stats and shards  not checked: not all shards could be read",
        "1 check failed",
    ] {
        assert!(out.contains(part), "no {part} in {out}");
    }
    let json = c4(&[&"verify", &"--json", &"--memory", &"128M", &corpus_dir]);
    assert_eq!(json.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&report["holds"], &report["documents"]), (&false.into(), &30.into()));
    assert_eq!(report["checks"][0]["status"], "failed");
    assert_eq!(report["checks"][0]["examples"][0]["file"], "train-00000-of-00001.arrow");
}

#[test]
fn card_replaces_its_own_files_only() {
    let dir = tempfile::tempdir().unwrap();
    let corpus_dir = dir.path().join("corpus");
    corpus(&corpus_dir);
    let card = corpus_dir.join("README.md");
    let run = |arguments: &[&str]| {
        let mut all: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"card", &corpus_dir];
        all.extend(arguments.iter().map(|a| a as &dyn AsRef<std::ffi::OsStr>));
        c4(&all)
    };
    let shown = run(&["--output", "-"]);
    assert_eq!(shown.status.code(), Some(0));
    assert!(!card.exists());
    for _ in 0..2 {
        assert_eq!(run(&[]).status.code(), Some(0));
        assert_eq!(fs::read(&card).unwrap(), shown.stdout);
    }
    fs::write(&card, "# My own words\n").unwrap();
    let refused = run(&[]);
    assert_eq!(refused.status.code(), Some(2));
    let message = text(&refused.stderr);
    for word in ["README.md", "--force", "--output"] {
        assert!(message.contains(word), "{message}");
    }
    assert_eq!(fs::read(&card).unwrap(), b"# My own words\n");
    assert_eq!(run(&["--force", "--license", "cc0-1.0"]).status.code(), Some(0));
    assert!(fs::read_to_string(&card).unwrap().contains("cc0-1.0"));
    // The card is none of the corpus's files.
    assert_eq!(c4(&[&"verify", &corpus_dir]).status.code(), Some(0));
}
