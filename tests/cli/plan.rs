//! `c4 plan`: what it foretells is what a build takes, wherever the archives are.

use crate::common::c4_command;
use c4_tests::server::{Fault, Plan, Server};
use c4_tests::*;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

fn said(arguments: &[&str]) -> String {
    let output = c4_command().args(arguments).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {message}");
    String::from_utf8(output.stdout).unwrap()
}

/// What a row of the table says.
fn text<'p>(plan: &'p str, name: &str) -> &'p str {
    let row = plan.lines().find_map(|line| line.trim().strip_prefix(name));
    row.unwrap_or_else(|| panic!("{name} in {plan}")).trim()
}

/// The value of a row of the table, in the unit that it is in.
fn value(plan: &str, name: &str) -> f64 {
    let mut words = text(plan, name).split_whitespace();
    let number: f64 = words.next().unwrap().replace(',', "").parse().unwrap();
    number
        * match words.next() {
            None | Some("s") => 1.0,
            Some("min") => 60.0,
            Some("kB") => 1e3,
            Some("MB") => 1e6,
            Some("GB") => 1e9,
            Some(unit) => panic!("{unit} in {plan}"),
        }
}

/// A number of a corpus's JSON file.
fn number(file: &Path, pointer: &str) -> f64 {
    let json: serde_json::Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    json.pointer(pointer).and_then(|n| n.as_f64()).unwrap()
}

/// Pages and bytes within a third, time within a factor of two: machines have other things to do.
#[test]
fn what_is_foretold_of_a_real_archive_comes_about() {
    let Some(archive) = shared("bench/CC-MAIN-20190418101243-20190418122311-00100.warc.wet.gz") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let arguments = ["-r", "en", "-t", "1", archive.to_str().unwrap()];
    let output = ["-o", out.to_str().unwrap()];
    let plan = said(&[&["plan", "--ledger", "all"], &arguments[..], &output].concat());
    let whole_ledger = value(&plan, "ledger");
    // Without --output, too.
    let plan = said(&[&["plan"], &arguments[..]].concat());
    assert!(!out.exists(), "a plan writes nothing");
    said(&[&["build", "--no-plan"], &arguments[..], &output].concat());

    let near = |name: &str, measured: f64, least: f64, most: f64| {
        let ratio = value(&plan, name) / measured;
        assert!((least..most).contains(&ratio), "{name}: {ratio} of {measured}\n{plan}");
    };
    near("pages", number(&out.join("stats.json"), "/tally/pages/in"), 0.9, 1.1);
    near("CPU time", number(&out.join("run.json"), "/cpu_seconds"), 0.5, 2.0);
    let bytes = || {
        let files = tree(&out).into_iter();
        let (ledger, rest): (Vec<_>, _) = files.partition(|(name, _)| name.starts_with("ledger"));
        let sum = |files: Vec<(_, Vec<u8>)>| files.iter().map(|(_, b)| b.len()).sum::<usize>();
        (sum(rest) as f64, sum(ledger) as f64)
    };
    let (rest, ledger) = bytes();
    near("shards", rest, 0.75, 1.33);
    near("ledger", ledger, 0.5, 2.0);
    let all = ["build", "--no-plan", "--overwrite", "--ledger", "all"];
    said(&[&all[..], &arguments, &output].concat());
    // A plan knows nothing of pages that go for duplicates or listed words. Here these are a sixth of the pages, and
    // most of the whole ledger.
    let ratio = whole_ledger / bytes().1;
    assert!((0.3..2.0).contains(&ratio), "the whole ledger: {ratio}");
}

/// Archives of 40 pages each.
fn archives(server: &Server, dir: &Path, count: usize) -> (Vec<String>, Vec<String>) {
    let archive = |i: usize| {
        let page = |page: usize| {
            let url = format!("https://a{i}.example/{page}");
            gzip(&conversion(&url, &good_text(100 * i + page)))
        };
        let bytes: Vec<u8> = (0..40).flat_map(page).collect();
        let path = dir.join(format!("{i:02}.warc.wet.gz"));
        fs::write(&path, &bytes).unwrap();
        server.put(&format!("/{i:02}.warc.wet.gz"), bytes);
        let url = server.url(&format!("{i:02}.warc.wet.gz"));
        (path.to_str().unwrap().to_owned(), url)
    };
    (0..count).map(archive).unzip()
}

#[test]
fn remote_archives_are_judged_by_the_beginnings_of_a_few() {
    let dir = tempfile::tempdir().unwrap();
    // Every file fails at first; the estimate has the patience of a build.
    let server = Server::start(Plan::First(1, Fault::ServerError));
    let (_, urls) = archives(&server, dir.path(), 50);
    let out = dir.path().join("out");
    let mut arguments = vec!["plan", "-o", out.to_str().unwrap()];
    arguments.extend(urls.iter().map(String::as_str));
    let plan = said(&arguments);
    let ratio = value(&plan, "pages") / 2000.0;
    assert!((0.9..1.1).contains(&ratio), "{plan}");
    // Eight archives, each asked twice.
    assert_eq!(server.requests().len(), 16);
    assert!(!out.exists());

    // The first line of a build says the same.
    arguments[0] = "build";
    let built = c4_command().args(&arguments).output().unwrap();
    let message = String::from_utf8_lossy(&built.stderr);
    assert_eq!(built.status.code(), Some(0), "{message}");
    let pages = text(&plan, "pages");
    assert!(message.contains(&format!("c4: about {pages} pages")), "{message}");
}

/// Whoever stops a build does not wait for a server that has fallen silent.
#[test]
fn a_build_that_waits_for_a_download_can_be_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(Plan::Always(Fault::Stall));
    let (_, urls) = archives(&server, dir.path(), 2);
    let mut command = c4_command();
    command.arg("build").args(&urls).arg("-o");
    let mut child = command
        .arg(dir.path().join("out"))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let asked = Instant::now();
    while server.requests().is_empty() && asked.elapsed() < Duration::from_secs(20) {
        sleep(Duration::from_millis(20));
    }
    assert!(child.try_wait().unwrap().is_none(), "it waits");
    let kill = Command::new("kill").arg("-INT").arg(child.id().to_string()).status();
    assert!(kill.unwrap().success());
    let stopped = Instant::now();
    let ended = child.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(2), "{message}");
    assert!(message.contains("the same command goes on"), "{message}");
    // The server's silence is noticed after half a minute only.
    assert!(stopped.elapsed() < Duration::from_secs(10), "{:?}", stopped.elapsed());
}
