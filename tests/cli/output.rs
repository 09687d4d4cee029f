//! What `c4` prints where nobody reads it, and where names and texts would act on a terminal.

use crate::common::{C4, c4, c4_command};
use c4_tests::program::{Arguments, printed, refused, stderr};
use c4_tests::*;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A terminal would act on each of them, if not all in the same way.
const HOSTILE: &str = "\u{1b}[31m\u{9b}31m\u{9d}0;title\u{7}\u{7f}\r\u{202e}\u{2066}\u{200f}";

fn acts_on_a_terminal(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Nothing on standard output or error that would act on a terminal.
fn harmless(output: &Output, what: &str) {
    for (stream, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        let text = String::from_utf8(bytes.clone()).unwrap();
        let found = text.lines().find(|line| line.chars().any(acts_on_a_terminal));
        assert_eq!(found, None, "{what}: {stream}");
    }
}

/// A line ends at a carriage return.
fn url(i: usize) -> String {
    format!("https://a{i}.example/{}", HOSTILE.replace('\r', ""))
}

/// A corpus of an archive with hostile URLs and texts, with the archive.
fn hostile_corpus(dir: &Path) -> (PathBuf, PathBuf) {
    let page = |i: usize| {
        // A page of one domain each, and lines that go by themselves.
        let url = url(i);
        let text = match i % 3 {
            0 => good_text(i).replace("morning", HOSTILE),
            1 => format!("{}A line without an end {HOSTILE}\n", good_text(i)),
            _ => format!("Too short {HOSTILE}.\n"),
        };
        let mut head = conversion(&url, &text);
        if i == 8 {
            // It is named with its URL where it cannot be read.
            let at = head.len() - 6;
            head[at] = 0xff;
        }
        head
    };
    let archive = dir.join("a\u{202e}b.warc.wet");
    fs::write(&archive, (0..9).flat_map(page).collect::<Vec<u8>>()).unwrap();
    let corpus = dir.join("corpus");
    let built = c4(&[&"build", &"-r", &"en", &"--ledger", &"all", &"-o", &corpus, &archive]);
    assert_eq!(built.status.code(), Some(1), "{}", stderr(&built));
    harmless(&built, "build");
    (archive, corpus)
}

#[test]
fn names_with_control_characters_are_refused_before_work() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a\nb", "a\u{1b}[31mb", "a\u{9b}31mb", "a\u{7f}b", "a\tb"] {
        let folder = dir.path().join(format!("in-{}", name.len()));
        fs::create_dir_all(&folder).unwrap();
        let archive = folder.join(format!("{name}.warc.wet"));
        fs::write(&archive, conversion("https://a.example/", &good_text(1))).unwrap();
        let corpus = dir.path().join("corpus");
        for input in [&archive, &folder] {
            for command in ["build", "plan"] {
                let result = c4(&[&command, &"-o", &corpus, input]);
                refused(&result, &["control character", "rename"]);
                harmless(&result, command);
            }
        }
        assert!(!corpus.exists());
        fs::remove_dir_all(&folder).unwrap();
    }
    // Where only the folder has such a name, no manifest holds it.
    let folder = dir.path().join("b\u{1b}[31m");
    fs::create_dir(&folder).unwrap();
    let archive = folder.join("a.warc.wet");
    fs::write(&archive, conversion("https://a.example/", &good_text(1))).unwrap();
    let corpus = folder.join("corpus");
    let built = c4(&[&"build", &"-o", &corpus, &archive]);
    assert!(built.status.success(), "{}", stderr(&built));
    for command in ["verify", "stats", "report", "card"] {
        let result = c4(&[&command, &corpus]);
        harmless(&result, command);
        printed(&result);
    }
    refused(&c4(&[&"stats", &folder]), &["holds no finished corpus"]);
}

#[test]
fn nothing_that_is_printed_acts_on_a_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let (archive, corpus) = hostile_corpus(dir.path());
    let url = url(1);
    let commands: [Arguments<'_>; 20] = [
        &[&"stats", &corpus],
        &[&"stats", &"--json", &corpus],
        &[&"cat", &corpus],
        &[&"cat", &"--full", &corpus],
        &[&"ledger", &corpus],
        &[&"ledger", &"--json", &corpus],
        &[&"verify", &corpus],
        &[&"verify", &"--json", &corpus],
        &[&"diff", &corpus, &corpus],
        &[&"diff", &"--json", &corpus, &corpus],
        &[&"diff", &"-o", &"-", &corpus, &corpus],
        &[&"explain", &"--build", &corpus, &"--url", &url],
        &[&"explain", &"--build", &corpus, &"--url", &url, &"--json"],
        &[&"explain", &"--record", &"2", &archive],
        &[&"report", &"-o", &"-", &corpus],
        &[&"card", &"-o", &"-", &corpus],
        &[&"card", &"-o", &"-", &"--pretty-name", &HOSTILE, &corpus],
        &[&"sweep", &"-s", &"clean.min_words=3,5", &archive],
        &[&"sweep", &"-s", &"clean.min_words=3,5", &"--json", &archive],
        &[&"plan", &archive],
    ];
    for command in commands {
        let words: Vec<&OsStr> = command.iter().map(|word| (*word).as_ref()).collect();
        let result = c4(command);
        harmless(&result, &format!("{words:?}"));
        assert!(!result.stdout.is_empty(), "{words:?}: {}", stderr(&result));
        assert_ne!(result.status.code(), Some(2), "{words:?}: {}", stderr(&result));
    }
    for (command, code) in [
        (&[&"cat" as &dyn AsRef<OsStr>, &HOSTILE] as Arguments<'_>, 2),
        (&[&HOSTILE], 2),
        (&[&"cat", &format!("--{HOSTILE}"), &corpus], 2),
        (&[&"build", &"-r", &HOSTILE, &"-o", &corpus, &archive], 2),
        (&[&"diff", &corpus, &HOSTILE], 2),
        (&[&"explain", &"--build", &corpus, &"--url", &HOSTILE], 2),
    ] {
        let result = c4(command);
        assert_eq!(result.status.code(), Some(code), "{}", stderr(&result));
        harmless(&result, &stderr(&result));
    }
    // The JSON has all that was there.
    let line = printed(&c4(&[&"cat", &corpus]));
    let documents = documents(&corpus);
    let found = line.lines().map(|line| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        row["url"].as_str().unwrap().to_owned()
    });
    let mut found: Vec<String> = found.collect();
    found.sort();
    assert!(found.iter().eq(documents.keys()) && found.len() == 3, "{found:?}");
    assert!(found[0].contains('\u{202e}') && found[0].contains('\u{9b}'));
}

/// Standard error or output that is full, or that nobody reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nobody {
    Full,
    Gone,
}

impl Nobody {
    fn stdio(self) -> Stdio {
        match self {
            Nobody::Full => OpenOptions::new().write(true).open("/dev/full").unwrap().into(),
            Nobody::Gone => std::io::pipe().unwrap().1.into(),
        }
    }
}

fn command(words: &[&str]) -> Command {
    let mut command = c4_command();
    command.args(words).stdin(Stdio::null());
    command
}

/// A corpus with all there is to say of it: some of its archives are damaged.
fn sample_corpus(dir: &Path) -> (String, String) {
    let samples = samples();
    let corpus = dir.join("corpus");
    let built = c4(&[&"build", &"-o", &corpus, &samples]);
    assert_eq!(built.status.code(), Some(1), "{}", stderr(&built));
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    (text(&corpus), text(&samples))
}

#[test]
fn nobody_needs_to_read_standard_error() {
    let dir = tempfile::tempdir().unwrap();
    let (corpus, samples) = sample_corpus(dir.path());
    let out = dir.path().join("out");
    let out = out.to_str().unwrap();
    for (words, code) in [
        (vec!["build", "--overwrite", "-o", out, &samples], 1),
        (vec!["build", "-o", &corpus, &samples], 1),
        (vec!["build", "-o", out, "nothing.warc"], 2),
        (vec!["plan", &samples], 0),
        (vec!["sweep", "-s", "clean.min_words=3,5", &samples], 1),
        (vec!["ledger", &corpus], 0),
        (vec!["report", &corpus], 0),
        (vec!["card", &corpus], 0),
        (vec!["verify", &corpus], 0),
        (vec!["verify", "nothing"], 2),
        (vec!["no-command"], 2),
    ] {
        for nobody in [Nobody::Full, Nobody::Gone] {
            let run = command(&words).stderr(nobody.stdio()).output().unwrap();
            assert_eq!(run.status.code(), Some(code), "{words:?}, {nobody:?}");
        }
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec \"$@\" 2>&-", "sh", C4]);
        let run = shell.args(&words).output().unwrap();
        assert_eq!(run.status.code(), Some(code), "{words:?}, closed");
    }
}

#[test]
fn standard_output_that_cannot_be_written_is_an_error_but_for_a_reader_who_has_enough() {
    let dir = tempfile::tempdir().unwrap();
    let (corpus, samples) = sample_corpus(dir.path());
    let few = vec!["explain", "--build", &corpus, "--random", "1", &samples];
    for (words, code) in [
        (vec!["stats", &corpus], 0),
        (vec!["stats", "--json", &corpus], 0),
        (vec!["cat", &corpus], 0),
        (vec!["ledger", &corpus], 0),
        (vec!["ledger", "--json", &corpus], 0),
        (vec!["diff", &corpus, &corpus], 0),
        (vec!["diff", "--json", &corpus, &corpus], 0),
        (vec!["verify", &corpus], 0),
        (vec!["plan", &samples], 0),
        (vec!["sweep", "-s", "clean.min_words=3,5", &samples], 1),
        (vec!["card", "-o", "-", &corpus], 0),
        (vec!["report", "-o", "-", &corpus], 0),
        (vec!["recipes"], 0),
        (vec!["recipes", "en"], 0),
        (few, 0),
        (vec!["--help"], 0),
        (vec!["build", "--help"], 0),
        (vec!["--version"], 0),
    ] {
        let gone = command(&words).stdout(Nobody::Gone.stdio()).output().unwrap();
        assert_eq!(gone.status.code(), Some(code), "{words:?}: {}", stderr(&gone));
        let full = command(&words).stdout(Nobody::Full.stdio()).output().unwrap();
        assert_eq!(full.status.code(), Some(2), "{words:?}: {}", stderr(&full));
        let said = stderr(&full);
        let last = said.lines().last().unwrap();
        assert!(
            last.starts_with("c4: standard output cannot be written: No space left"),
            "{words:?}: {said}"
        );
        let both = command(&words)
            .stdout(Nobody::Full.stdio())
            .stderr(Nobody::Full.stdio())
            .output()
            .unwrap();
        assert_eq!(both.status.code(), Some(2), "{words:?}");
    }
}
