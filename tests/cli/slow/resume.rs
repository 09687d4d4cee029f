//! A build that is stopped, by whatever and wherever, goes on when the same command is given again, and
//! gives the same bytes.

use crate::common::c4_command;
use c4_tests::*;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Numbers in no order, the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        let next = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = next.wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn share(&mut self) -> f64 {
        (self.next() % 10_000) as f64 / 10_000.0
    }
}

/// Archives with pages of one URL, lines of many pages, and pages that go.
fn archives(dir: &Path, archives: usize, pages: usize) -> Vec<PathBuf> {
    let archive = |a: usize| {
        let path = dir.join(format!("{a}.warc.wet.gz"));
        let record = |p: usize| {
            let i = a * pages + p;
            let text = match i % 11 {
                0 => "No end mark here\n".to_owned(),
                1 => good_text(i / 22),
                _ => good_text(i) + "This line is on many of the pages of this crawl.\n",
            };
            let url = format!("https://a{}.example/{}", i % 7, i % (archives * pages * 9 / 10));
            gzip(&conversion(&url, &text))
        };
        fs::write(&path, (0..pages).flat_map(record).collect::<Vec<u8>>()).unwrap();
        path
    };
    (0..archives).map(archive).collect()
}

struct Build<'a> {
    inputs: &'a [PathBuf],
    arguments: &'a [&'a str],
}

impl Build<'_> {
    fn command(&self, output: &Path) -> Command {
        let mut command = c4_command();
        command.arg("build").args(self.arguments);
        command.arg("-o").arg(output).args(self.inputs);
        command.stderr(Stdio::piped());
        command
    }

    /// Runs it to its end; gives what it said.
    fn finish(&self, output: &Path) -> String {
        let ended = self.command(output).output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(ended.status.success(), "{said}");
        said
    }

    /// Runs it until `stop` says so, and kills it; false if it ended before.
    fn kill_when(&self, output: &Path, stop: impl Fn(&Child) -> bool) -> bool {
        let mut child = self.command(output).spawn().unwrap();
        while child.try_wait().unwrap().is_none() && !stop(&child) {
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        !child.wait().unwrap().success()
    }
}

/// Panics with the names of the files that differ.
fn assert_same(found: &Path, expected: &BTreeMap<PathBuf, Vec<u8>>, when: &str) {
    let found = corpus_files(found);
    assert!(found.keys().eq(expected.keys()), "{when}: {:?}", found.keys());
    for (name, bytes) in &found {
        assert!(*bytes == expected[name], "{when}: {}", name.display());
    }
}

fn cpu_seconds(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.filter_map(|n| n.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// A hundred kills at moments of all kinds: of the first try, and of those that go on.
#[test]
fn killed_at_a_hundred_moments_it_gives_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let inputs = archives(dir.path(), 6, 400);
    // Little memory, so that claims spill and archives are cut; several shards; everything noted.
    let arguments = "--memory 128M --shard-size 100K --ledger all --recipe en --recipe c4";
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let build = Build {
        inputs: &inputs,
        arguments: &arguments,
    };
    let whole = dir.path().join("whole");
    let started = Instant::now();
    build.finish(&whole);
    let mut took = started.elapsed();
    let expected = corpus_files(&whole);
    assert!(expected.len() > 20);

    let mut random = Random(1);
    let (mut kills, mut outputs, mut begun) = (0, 0, 0);
    while kills < 100 {
        let output = dir.path().join(format!("killed-{outputs}"));
        outputs += 1;
        for attempt in 0..5 {
            let moment = took.mul_f64(random.share() * 0.8);
            let started = Instant::now();
            if !build.kill_when(&output, |_| started.elapsed() >= moment) {
                // The machine is less busy than it was.
                if attempt == 0 {
                    took = took.min(started.elapsed());
                }
                break;
            }
            kills += 1;
            let done = output.join("en/_c4_work/spools/archive-00000.done");
            begun += usize::from(done.exists());
            // Nothing stands in its place that is not whole.
            let there = if output.exists() {
                tree(&output)
            } else {
                BTreeMap::new()
            };
            for (name, bytes) in there.iter().filter(|(name, _)| expected.contains_key(*name)) {
                assert!(*bytes == expected[name], "{} is not whole", name.display());
            }
        }
        build.finish(&output);
        assert_same(&output, &expected, &format!("output {outputs}"));
        fs::remove_dir_all(&output).unwrap();
        assert!(outputs < 100, "builds end before they are killed");
    }
    assert!(begun >= 5, "only {begun} of {kills} kills came after a unit was done");
}

/// Where a crash could hurt: between a file and its name, in the middle of a spill, between the first
/// and the last file that takes the place of an older corpus.
#[test]
fn crashes_at_every_weak_point_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let inputs = archives(dir.path(), 3, 300);
    let arguments = "--memory 128M --shard-size 50K --overwrite".split(' ');
    let arguments: Vec<&str> = arguments.collect();
    let build = Build {
        inputs: &inputs,
        arguments: &arguments,
    };
    let whole = dir.path().join("whole");
    build.finish(&whole);
    let expected = corpus_files(&whole);
    let mut crashes = 0;
    for place in ["work-file", "archive", "spill", "shard", "replace"] {
        for n in [1, 2, 3, 5, 8] {
            let output = dir.path().join(format!("{place}-{n}"));
            // An older corpus is there, of which the new one takes the place.
            let old = Build {
                inputs: &inputs[..1],
                arguments: &["--shard-size", "50K"],
            };
            old.finish(&output);
            let mut command = build.command(&output);
            command.env("C4_CRASH", format!("{place}:{n}"));
            if command.output().unwrap().status.success() {
                // It does not come there so often.
                assert!(n > 1, "{place}");
                continue;
            }
            crashes += 1;
            build.finish(&output);
            assert_same(&output, &expected, &format!("{place} {n}"));
            fs::remove_dir_all(&output).unwrap();
        }
    }
    assert!(crashes >= 15, "{crashes}");
}

/// What was done is not done again.
#[test]
fn after_a_kill_at_nine_tenths_the_rest_costs_little() {
    let dir = tempfile::tempdir().unwrap();
    // So many that the two archives in hand at the kill, which are read again, are a small part.
    let inputs = archives(dir.path(), 30, 4000);
    let build = Build {
        inputs: &inputs,
        arguments: &["--shard-size", "1M", "--threads", "2"],
    };
    let cpu_of = |output: &Path| {
        let run = fs::read(output.join("run.json")).unwrap();
        let run: serde_json::Value = serde_json::from_slice(&run).unwrap();
        run["cpu_seconds"].as_f64().unwrap()
    };
    let whole = dir.path().join("whole");
    build.finish(&whole);
    let cpu = cpu_of(&whole);
    let output = dir.path().join("killed");
    let killed = build.kill_when(&output, |child| cpu_seconds(child.id()) >= 0.9 * cpu);
    assert!(killed, "it ended before");
    let said = build.finish(&output);
    assert!(said.contains("resumed: "), "{said}");
    let rest = cpu_of(&output);
    assert!(rest < 0.4 * cpu, "{rest} of {cpu} CPU seconds");
    assert_same(&output, &corpus_files(&whole), "at nine tenths");
}

/// Ctrl-C ends it between two units, and it says how to go on.
#[test]
fn asked_to_stop_it_finishes_what_it_has_in_hand() {
    let dir = tempfile::tempdir().unwrap();
    let inputs = archives(dir.path(), 12, 1500);
    let build = Build {
        inputs: &inputs,
        arguments: &["--threads", "1"],
    };
    let whole = dir.path().join("whole");
    build.finish(&whole);
    for signal in ["-INT", "-TERM"] {
        let output = dir.path().join(signal);
        let child = build.command(&output).spawn().unwrap();
        let work = output.join("_c4_work/spools");
        let begun = Instant::now();
        while !work.join("archive-00001.done").exists() {
            assert!(begun.elapsed() < Duration::from_secs(120));
            std::thread::sleep(Duration::from_millis(2));
        }
        let id = child.id().to_string();
        let kill = Command::new("kill").args([signal, &id]).status();
        assert!(kill.unwrap().success());
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(2), "{said}");
        assert!(said.contains("the same command goes on"), "{said}");
        assert!(work.join("archive-00001.done").exists());
        let files = fs::read_dir(&work).unwrap().map(|file| file.unwrap().path());
        let partial = |path: &PathBuf| path.extension().is_some_and(|end| end == "partial");
        let left: Vec<PathBuf> = files.filter(partial).collect();
        assert!(left.is_empty(), "{left:?}");
        let mut stats = c4_command();
        let stats = stats.arg("stats").arg(&output).output().unwrap();
        let said = String::from_utf8(stats.stderr).unwrap();
        assert!(said.contains("of 12 archives are read"), "{said}");
        assert!(build.finish(&output).contains("resumed: "));
        assert_same(&output, &corpus_files(&whole), signal);
    }
}

/// Other memory, threads or a place of its own for the work folder do not show.
#[test]
fn memory_and_work_folder_do_not_show() {
    let dir = tempfile::tempdir().unwrap();
    let inputs = archives(dir.path(), 4, 500);
    let build = |name: &str, arguments: &[&str]| {
        let output = dir.path().join(name);
        let build = Build {
            inputs: &inputs,
            arguments,
        };
        build.finish(&output);
        corpus_files(&output)
    };
    let elsewhere = dir.path().join("elsewhere");
    let elsewhere = elsewhere.to_str().unwrap();
    let expected = build("a", &["--ledger", "all"]);
    for (name, arguments) in [
        ("b", ["--memory", "128M", "--threads", "1"]),
        ("c", ["--memory", "8G", "--threads", "3"]),
        ("d", ["--memory", "256M", "--work-dir", elsewhere]),
    ] {
        let arguments = [&["--ledger", "all"][..], &arguments].concat();
        assert!(build(name, &arguments) == expected, "{name}");
    }
    // Killed with much memory, taken up with little.
    let output = dir.path().join("e");
    let with = |memory| ["--ledger", "all", "--memory", memory];
    let [much, little] = [with("8G"), with("128M")];
    let mut much = Build {
        inputs: &inputs,
        arguments: &much,
    }
    .command(&output);
    much.env("C4_CRASH", "spill:1");
    assert!(!much.output().unwrap().status.success());
    let little = Build {
        inputs: &inputs,
        arguments: &little,
    };
    assert!(little.finish(&output).contains("resumed: "));
    assert_same(&output, &expected, "with less memory");
}

/// Two recipes at once give what each gives alone.
#[test]
fn several_recipes_at_once_give_what_each_gives_alone() {
    let dir = tempfile::tempdir().unwrap();
    let inputs = archives(dir.path(), 3, 300);
    let both = dir.path().join("both");
    let recipes = ["en", "en.noblocklist", "c4"];
    let arguments: Vec<&str> = recipes.iter().flat_map(|r| ["--recipe", r]).collect();
    Build {
        inputs: &inputs,
        arguments: &arguments,
    }
    .finish(&both);
    for recipe in recipes {
        let alone = dir.path().join(recipe);
        Build {
            inputs: &inputs,
            arguments: &["--recipe", recipe],
        }
        .finish(&alone);
        assert_same(&both.join(recipe), &corpus_files(&alone), recipe);
    }
}
