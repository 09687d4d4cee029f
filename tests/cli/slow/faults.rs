//! Every call of a build that can fail fails once; the power is cut; files of the work folder go. Each run ends with
//! exit status 2 and a line that names file and cause, and the next one gives the bytes of an unbroken build.

use crate::common::c4_command;
use c4_tests::faults::{Extent, Files, Library, Scenario, state_of, write_all};
use c4_tests::program::stderr;
use c4_tests::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A few pages in every kind of file: WET in gzip and plain, WARC. Pages of one URL, lines of many pages, pages that
/// go.
fn archives(dir: &Path) -> Vec<PathBuf> {
    let record = |i: usize| {
        let text = match i % 5 {
            0 => "No end mark here\n".to_owned(),
            1 => good_text(i / 10),
            _ => good_text(i) + "This line is on many of the pages of this crawl.\n",
        };
        conversion(&format!("https://a{}.example/{}", i % 3, i % 20), &text)
    };
    fs::create_dir_all(dir).unwrap();
    let packed: Vec<u8> = (0..12).flat_map(|i| gzip(&record(i))).collect();
    fs::write(dir.join("0.warc.wet.gz"), packed).unwrap();
    let plain: Vec<u8> = (12..24).flat_map(record).collect();
    fs::write(dir.join("1.warc.wet"), plain).unwrap();
    let page = |i: usize| {
        let text = good_text(i).replace('\n', "<p>");
        let html = format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>{text}");
        let url = format!("https://b.example/{i}");
        let date = "2019-04-18T10:12:43Z";
        let kind = "application/http; msgtype=response";
        gzip(&response(&url, date, kind, html.as_bytes()))
    };
    let warc: Vec<u8> = (30..34).flat_map(page).collect();
    fs::write(dir.join("2.warc.gz"), warc).unwrap();
    ["0.warc.wet.gz", "1.warc.wet", "2.warc.gz"]
        .map(|name| dir.join(name))
        .to_vec()
}

fn response(url: &str, date: &str, kind: &str, block: &[u8]) -> Vec<u8> {
    record("response", url, date, kind, block)
}

/// A folder with archives, and a build of them.
struct Place {
    dir: tempfile::TempDir,
    inputs: Vec<PathBuf>,
    arguments: Vec<&'static str>,
}

/// Little memory, several shards and recipes, everything noted; one thread, so that calls come in one order.
const ARGUMENTS: &str = "--no-plan --threads 1 --memory 128M --shard-size 1K --ledger all --recipe en --recipe c4";

impl Place {
    fn new(arguments: &'static str) -> Place {
        let dir = tempfile::tempdir().unwrap();
        Place {
            inputs: archives(&dir.path().join("in")),
            arguments: arguments.split(' ').collect(),
            dir,
        }
    }

    fn output(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    fn command(&self) -> Command {
        let mut command = c4_command();
        command.arg("build").args(&self.arguments);
        command.arg("-o").arg(self.output()).args(&self.inputs);
        command
    }

    fn succeed(&self, more: &[&str]) {
        let ended = self.command().args(more).output().unwrap();
        assert!(ended.status.success(), "{}", stderr(&ended));
    }

    /// What is there when the build dies at a place.
    fn crashed(&self, place: &str) -> Files {
        let mut command = self.command();
        command.env("C4_CRASH", place).stderr(Stdio::null());
        assert!(!command.status().unwrap().success(), "{place}");
        let state = state_of(&self.output());
        fs::remove_dir_all(self.output()).unwrap();
        state
    }

    fn corpus(&self) -> Files {
        corpus_files(&self.output())
    }

    fn scenario<R>(&self, name: &str, before: Files, with: impl FnOnce(&Scenario<'_>) -> R) -> R {
        let output = self.output();
        with(&Scenario {
            name,
            root: self.dir.path(),
            output: &output,
            before,
            command: &|| self.command(),
            again: &|status| {
                let mut command = self.command();
                // A finished corpus without an archive that could not be read.
                let again = status == 1 && !self.arguments.contains(&"--overwrite");
                command.args(again.then_some("--overwrite"));
                command
            },
            result: &|| self.corpus(),
        })
    }
}

#[test]
fn each_call_of_a_build_fails_once() {
    let Some(library) = Library::new() else {
        return;
    };
    let place = Place::new(ARGUMENTS);
    place.scenario("build", Files::new(), |build| {
        build.each_call_fails_once(&library, Extent::of_environment(4, 0));
    });
}

#[test]
fn each_call_of_a_resumed_build_fails_once() {
    let Some(library) = Library::new() else {
        return;
    };
    let place = Place::new(ARGUMENTS);
    let before = place.crashed("shard:2");
    place.scenario("resumed build", before, |build| {
        build.each_call_fails_once(&library, Extent::of_environment(2, 0));
    });
}

/// One that takes the place of an older corpus.
#[test]
fn each_call_of_a_replacing_build_fails_once() {
    let Some(library) = Library::new() else {
        return;
    };
    let mut place = Place::new(ARGUMENTS);
    place.succeed(&[]);
    let before = state_of(&place.output());
    place.arguments.extend(["--overwrite", "--format", "jsonl"]);
    place.scenario("replacing build", before, |build| {
        build.each_call_fails_once(&library, Extent::of_environment(2, 0));
    });
}

#[test]
fn after_a_power_cut_a_build_goes_on() {
    let Some(library) = Library::new() else {
        return;
    };
    let mut place = Place::new(ARGUMENTS);
    place.scenario("build", Files::new(), |build| {
        build.power_fails(&library, Extent::of_environment(0, 40));
    });
    place.succeed(&[]);
    let before = state_of(&place.output());
    place.arguments.extend(["--overwrite", "--format", "jsonl"]);
    place.scenario("replacing build", before, |build| {
        build.power_fails(&library, Extent::of_environment(0, 20));
    });
}

/// What may have become of a file of the work folder between two tries.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Gone,
    Half,
    /// One of an earlier version of the archives.
    Older,
    /// Gone with every third file.
    GoneWithOthers,
}

/// A cleaner of temporary files takes some, a disk loses a part, somebody puts an older copy back.
#[test]
fn a_work_folder_that_has_lost_files_gives_the_same_bytes_or_is_refused() {
    const STOPS: [&str; 8] = [
        "archive:3",
        "spill:1",
        "spill:3",
        "work-file:11",
        "shard:1",
        "shard:5",
        "replace:1",
        "replace:6",
    ];
    const DAMAGES: [Damage; 4] = [Damage::Gone, Damage::Half, Damage::Older, Damage::GoneWithOthers];
    let place = Place::new(ARGUMENTS);
    place.succeed(&[]);
    let expected = place.corpus();
    let other = Place::new(ARGUMENTS);
    let mut archive = fs::read(&other.inputs[1]).unwrap();
    archive.extend(conversion("https://new.example/", &good_text(77)));
    fs::write(&other.inputs[1], archive).unwrap();
    let states = |place: &Place| STOPS.map(|stop| place.crashed(stop));
    fs::remove_dir_all(place.output()).unwrap();
    let older: Files = states(&other).into_iter().flatten().collect();

    let extent = Extent::of_environment(4, 0);
    let (mut wrong, mut same, mut refused) = (Vec::new(), 0, 0);
    for (stop, state) in STOPS.into_iter().zip(states(&place)) {
        let is_work = |name: &PathBuf| {
            let text = name.to_string_lossy();
            text.contains("_c4_work/") && !text.ends_with('/') && !text.ends_with("lock")
        };
        let work: Vec<&PathBuf> = state.keys().filter(|name| is_work(name)).collect();
        let cases = work.iter().flat_map(|name| DAMAGES.map(|damage| (*name, damage)));
        let cases: Vec<(&PathBuf, Damage)> = cases.collect();
        for (name, damage) in extent.sample(cases) {
            let mut left = state.clone();
            match damage {
                Damage::Gone => drop(left.remove(name)),
                Damage::Half => left.get_mut(name).map(|bytes| bytes.truncate(bytes.len() / 2)).unwrap(),
                Damage::Older => match older.get(name) {
                    Some(older) => drop(left.insert(name.clone(), older.clone())),
                    None => continue,
                },
                Damage::GoneWithOthers => {
                    let first = work.iter().position(|other| *other == name).unwrap();
                    let others = work.iter().skip(first % 3).step_by(3);
                    others.for_each(|name| drop(left.remove(*name)));
                }
            }
            write_all(&place.output(), &left);
            let ended = place.command().output().unwrap();
            let said = stderr(&ended);
            let at = format!("{stop}, {damage:?} {}: {said}", name.display());
            let why = match damage {
                Damage::Older => "holds an unfinished build of other inputs",
                Damage::Half => "is damaged; remove the folder",
                Damage::Gone | Damage::GoneWithOthers => "is not empty and holds no corpus",
            };
            match ended.status.code() {
                Some(0) => same += 1,
                Some(2) if said.contains(why) => {
                    refused += 1;
                    println!("{at}");
                    fs::remove_dir_all(place.output()).unwrap();
                    place.succeed(&[]);
                }
                status => wrong.push(format!("{status:?} {at}")),
            }
            if ended.status.success() && place.corpus() != expected {
                wrong.push(format!("another corpus: {at}"));
            }
            fs::remove_dir_all(place.output()).unwrap();
        }
    }
    println!("\n{same} with the same bytes, {refused} refused");
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}
