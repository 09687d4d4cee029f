//! Makes system calls of a program fail, one after the other, and plays power cuts.
//!
//! A small C library ([`Library`]), compiled when a test starts, is loaded before all others into the program under
//! test. It counts calls of a kind whose file is below one folder, makes the n-th fail, and logs what changes files.
//! [`Scenario::each_call_fails_once`] goes through all n; [`Scenario::power_fails`] plays the log up to some places,
//! without what was not synced ([`disk`]).
//!
//! Calls that go around the C library are not seen; our programs make none on files of theirs.
//!
//! Above 500 lines: the library, what it is asked, and how a run is judged.

// By its path: the trainer's tests take this file in by its own.
#[path = "faults/disk.rs"]
pub mod disk;

use super::{skipped, tree};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What a program has to leave: files by name.
pub type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Longer takes no run of a test.
const LONGEST: Duration = Duration::from_secs(120);

/// A kind of call, in the order of `library.c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Call {
    Open,
    Read,
    Write,
    Sync,
    Rename,
    MakeFolder,
    Remove,
    Map,
    Truncate,
    Stat,
    List,
    Lock,
    Chmod,
}

/// How it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// With this error, once: its number, and its words in a message.
    Once(i32, &'static str),
    /// With this error, from then on.
    FromThenOn(i32, &'static str),
    /// Nothing is wrong: a call that was interrupted and is to be made again.
    Interrupted,
    /// Nothing is wrong: half of what was asked for.
    Short,
}

const EINTR: i32 = 4;
const EIO: How = How::Once(5, "Input/output error");
const ENOMEM: How = How::Once(12, "Cannot allocate memory");
const ENOSPC: How = How::Once(28, "No space left on device");
const FULL: How = How::FromThenOn(28, "No space left on device");
const ENOLCK: How = How::Once(37, "No locks available");
const EPERM: How = How::Once(1, "Operation not permitted");

/// All that is made to fail.
pub const FAULTS: [(Call, How); 23] = [
    (Call::Open, EIO),
    (Call::Open, How::Once(24, "Too many open files")),
    (Call::Open, How::Interrupted),
    (Call::Read, EIO),
    (Call::Read, How::Interrupted),
    (Call::Read, How::Short),
    (Call::Write, ENOSPC),
    (Call::Write, FULL),
    (Call::Write, EIO),
    (Call::Write, How::Interrupted),
    (Call::Write, How::Short),
    (Call::Sync, EIO),
    (Call::Sync, FULL),
    (Call::Rename, EIO),
    (Call::Rename, FULL),
    (Call::MakeFolder, ENOSPC),
    (Call::Remove, EIO),
    (Call::Map, ENOMEM),
    (Call::Truncate, ENOSPC),
    (Call::Stat, EIO),
    (Call::List, EIO),
    (Call::Lock, ENOLCK),
    (Call::Chmod, EPERM),
];

impl How {
    fn number(self) -> i32 {
        match self {
            How::Once(number, _) | How::FromThenOn(number, _) => number,
            How::Interrupted => EINTR,
            How::Short => 0,
        }
    }

    /// What a message has to say of it; `None`: nothing may be noticed.
    fn words(self) -> Option<&'static str> {
        match self {
            How::Once(_, words) | How::FromThenOn(_, words) => Some(words),
            How::Interrupted | How::Short => None,
        }
    }
}

/// The library that makes calls fail.
pub struct Library {
    dir: TempDir,
}

/// What a run under the library was.
struct Ended {
    /// `None`: by a signal, or it did not end.
    status: Option<i32>,
    stderr: String,
    counts: [u64; 13],
    /// The file of the first call that failed.
    struck: Option<PathBuf>,
}

impl Library {
    /// Compiles it; `None`, said on stdout, where programs cannot be given a library.
    pub fn new() -> Option<Library> {
        if !cfg!(all(target_os = "linux", target_env = "gnu")) {
            skipped("calls are made to fail on Linux with glibc alone");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("library.c");
        fs::write(&source, include_str!("faults/library.c")).unwrap();
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"]);
        cc.arg(dir.path().join("library.so")).arg(source).arg("-ldl");
        assert!(cc.status().unwrap().success(), "{cc:?}");
        Some(Library { dir })
    }

    /// Runs a command with it.
    fn run(&self, mut command: Command, root: &Path, fault: Option<(Call, How, u64)>, log: Option<&Path>) -> Ended {
        // A scenario a thread, each with files of its own.
        let own = |name: &str| {
            let thread = std::thread::current().id();
            self.dir.path().join(format!("{name}-{thread:?}"))
        };
        let (counts, said) = (own("counts"), own("stderr"));
        fs::write(&counts, vec![0; 8192]).unwrap();
        command.env("LD_PRELOAD", self.dir.path().join("library.so"));
        command.env("FAULTS_ROOT", root).env("FAULTS_COUNTS", &counts);
        if let Some((call, how, at)) = fault {
            let forever = i32::from(matches!(how, How::FromThenOn(..)));
            command.env("FAULTS_CALL", (call as usize).to_string());
            command.env("FAULTS_AT", at.to_string());
            command.env("FAULTS_ERRNO", how.number().to_string());
            command.env("FAULTS_FOREVER", forever.to_string());
        }
        if let Some(log) = log {
            command.env("FAULTS_LOG", log);
        }
        command.stdout(Stdio::null()).stdin(Stdio::null());
        command.stderr(File::create(&said).unwrap());
        let mut child = command.spawn().unwrap();
        let begun = Instant::now();
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status.code(),
                None if begun.elapsed() > LONGEST => {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    break None;
                }
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        let bytes = fs::read(&counts).unwrap();
        let (numbers, rest) = bytes.split_at(14 * 8);
        let (numbers, _) = numbers.as_chunks::<8>();
        let path: Vec<u8> = rest.iter().copied().take_while(|b| *b != 0).collect();
        let path = String::from_utf8(path).unwrap();
        Ended {
            status,
            stderr: String::from_utf8_lossy(&fs::read(&said).unwrap()).into_owned(),
            counts: std::array::from_fn(|i| u64::from_le_bytes(numbers[i])),
            struck: (!path.is_empty()).then(|| path.into()),
        }
    }
}

/// A command whose calls fail.
pub struct Scenario<'a> {
    /// What it is called in tables.
    pub name: &'a str,
    /// The folder below which calls count; absolute.
    pub root: &'a Path,
    /// What of it the command writes.
    pub output: &'a Path,
    /// What is there before the command; nothing of it is changed but the output.
    pub before: Files,
    /// The command.
    pub command: &'a dyn Fn() -> Command,
    /// What is given after it has failed, with its exit status.
    pub again: &'a dyn Fn(i32) -> Command,
    /// What it has made.
    pub result: &'a dyn Fn() -> Files,
}

/// How much is tried.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// Places of a kind at most, drawn with a seed.
    pub places: usize,
    /// Power cuts.
    pub cuts: usize,
}

impl Extent {
    /// All where `C4_FAULTS=all` is set (`make faults`), else what takes seconds.
    pub fn of_environment(places: usize, cuts: usize) -> Extent {
        match std::env::var("C4_FAULTS") {
            Ok(all) if all == "all" => Extent { places: 300, cuts: 200 },
            // Something between, while a fault is looked for.
            Ok(number) => Extent {
                places: number.parse().unwrap(),
                cuts: number.parse().unwrap(),
            },
            Err(_) => Extent { places, cuts },
        }
    }
}

impl Extent {
    /// As many of a list as [`places`](Extent::places), in order.
    pub fn sample<T>(self, mut list: Vec<T>) -> Vec<T> {
        let places = Random(3).places(list.len() as u64, self.places);
        let mut place = 0;
        list.retain(|_| {
            place += 1;
            places.binary_search(&place).is_ok()
        });
        list
    }
}

/// Numbers in no order, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        let next = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = next.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end.max(1)
    }

    /// So many of `1..=all`, in order.
    fn places(&mut self, all: u64, most: usize) -> Vec<u64> {
        let mut places: Vec<u64> = (1..=all).collect();
        while places.len() > most {
            places.swap_remove(self.below(places.len()));
        }
        places.sort_unstable();
        places
    }
}

/// What became of the runs of one kind.
#[derive(Default)]
struct Outcomes {
    calls: u64,
    runs: u64,
    unnoticed: u64,
    archive: u64,
    refused: u64,
}

impl Scenario<'_> {
    fn reset(&self) {
        self.reset_to(&self.before);
    }

    fn reset_to(&self, files: &Files) {
        if self.output.is_dir() {
            fs::remove_dir_all(self.output).unwrap();
        } else if self.output.exists() {
            fs::remove_file(self.output).unwrap();
        }
        write_all(self.output, files);
    }

    /// The unbroken run: what it gives, and how many calls it makes.
    fn unbroken(&self, library: &Library) -> (Files, [u64; 13]) {
        self.reset();
        let ended = library.run((self.command)(), self.root, None, None);
        assert_eq!(ended.status, Some(0), "{}: {}", self.name, ended.stderr);
        let result = (self.result)();
        assert!(!result.is_empty(), "{}: nothing is compared", self.name);
        (result, ended.counts)
    }

    /// Makes every call fail once, or a sample of those of a kind. Prints a table of what came of it.
    ///
    /// # Panics
    /// Where a run ends otherwise than it should; all that did are listed.
    pub fn each_call_fails_once(&self, library: &Library, extent: Extent) {
        let (expected, counts) = self.unbroken(library);
        let mut random = Random(1);
        let mut wrong = Vec::new();
        let mut table = format!(
            "\n| {} | calls | runs | as if nothing was | archive told, 1 | refused, 2 |\n|---|---|---|---|---|---|\n",
            self.name
        );
        for (call, how) in FAULTS {
            let mut outcomes = Outcomes {
                calls: counts[call as usize],
                ..Outcomes::default()
            };
            for at in random.places(outcomes.calls, extent.places) {
                let found = self.fail(library, (call, how, at), &expected, &mut outcomes);
                if let Err(what) = found {
                    wrong.push(format!("{call:?} {at} {how:?}: {what}"));
                }
            }
            let Outcomes {
                calls,
                runs,
                unnoticed,
                archive,
                refused,
            } = outcomes;
            if calls > 0 {
                let how = match how {
                    How::Once(_, words) => words.to_owned(),
                    How::FromThenOn(_, words) => format!("{words}, from then on"),
                    other => format!("{other:?}").to_lowercase(),
                };
                writeln!(
                    table,
                    "| {call:?}: {how} | {calls} | {runs} | {unnoticed} | {archive} | {refused} |"
                )
                .unwrap();
            }
        }
        println!("{table}");
        let list = wrong.join("\n");
        assert!(wrong.is_empty(), "{}: {}\n{list}", self.name, wrong.len());
    }

    fn fail(
        &self,
        library: &Library,
        fault: (Call, How, u64),
        expected: &Files,
        outcomes: &mut Outcomes,
    ) -> Result<(), String> {
        self.reset();
        let ended = library.run((self.command)(), self.root, Some(fault), None);
        let Some(struck) = ended.struck else {
            return Ok(());
        };
        outcomes.runs += 1;
        let (_, how, _) = fault;
        let said = &ended.stderr;
        let told = format!("{}: {said}", struck.display());
        match (ended.status, how.words()) {
            (Some(0), _) => outcomes.unnoticed += 1,
            (Some(1), Some(_)) => outcomes.archive += 1,
            (Some(2), Some(_)) => outcomes.refused += 1,
            (status, _) => return Err(format!("status {status:?}: {told}")),
        }
        let status = ended.status.unwrap_or_default();
        if status > 0 {
            let words = how.words().unwrap_or_default();
            // The last line, unless archives are listed at the end.
            let lines: Vec<&str> = said.lines().collect();
            let lines = match status {
                2 => &lines[lines.len().saturating_sub(1)..],
                _ => &lines[..],
            };
            // Who asks whether a file is there may take an error for no.
            let says = |line: &&str| line.contains(words) || fault.0 == Call::Stat;
            let names = |line: &&str| says(line) && names(line, &struck);
            if !lines.iter().any(names) {
                return Err(format!("names not both file and cause: {told}"));
            }
            let again = library.run((self.again)(status), self.root, None, None);
            if again.status != Some(0) {
                return Err(format!("after {told}\nthe next run: {}", again.stderr));
            }
        }
        match difference(&(self.result)(), expected) {
            Some(name) => Err(format!("{name} differs after status {status}: {told}")),
            None => Ok(()),
        }
    }

    /// Cuts the power at some places of the run, drops what was not synced, and runs the command again.
    ///
    /// # Panics
    /// Where a run gives anything but the same bytes or a refusal; all that did are listed.
    pub fn power_fails(&self, library: &Library, extent: Extent) {
        let expected = self.unbroken(library).0;
        self.reset();
        let log = library.dir.path().join(self.name.replace(' ', "-"));
        let ended = library.run((self.command)(), self.root, None, Some(&log));
        assert_eq!(ended.status, Some(0), "{}: {}", self.name, ended.stderr);
        let changes = disk::read_log(&log, self.output);
        let mut random = Random(2);
        let (mut wrong, mut same, mut refused) = (Vec::new(), 0, 0);
        let places = random.places(changes.len() as u64, extent.cuts);
        for place in &places {
            let kept = disk::Kept::ALL[random.below(disk::Kept::ALL.len())];
            let seed = random.below(1 << 30);
            let left = disk::after(&self.before, &changes[..*place as usize], kept, seed);
            self.reset_to(&left);
            // What a run that was broken wants, which is the same command where it has not begun.
            let again = library.run((self.again)(2), self.root, None, None);
            let at = format!("after change {place} ({:?}), {kept:?}", changes[*place as usize - 1]);
            match again.status {
                Some(0) => match difference(&(self.result)(), &expected) {
                    Some(name) => wrong.push(format!("{at}: {name} differs")),
                    None => same += 1,
                },
                Some(2) if again.stderr.lines().count() >= 1 => {
                    refused += 1;
                    println!("{at}: {}", again.stderr.trim());
                }
                status => wrong.push(format!("{at}: status {status:?}: {}", again.stderr)),
            }
        }
        println!(
            "\n{}: {} changes, {} power cuts: {same} with the same bytes, {refused} refused",
            self.name,
            changes.len(),
            places.len()
        );
        let list = wrong.join("\n");
        assert!(wrong.is_empty(), "{}: {}\n{list}", self.name, wrong.len());
    }
}

/// Whether a message names the file of a call, or the folder that it is in, or what it is a temporary name of.
fn names(line: &str, struck: &Path) -> bool {
    let name = struck.file_name().unwrap_or_default().to_string_lossy();
    let name = name.strip_suffix(" (deleted)").unwrap_or(&name);
    let plain = name.strip_prefix('.').unwrap_or(name);
    let plain = plain
        .strip_suffix(".tmp")
        .map_or(name, |plain| plain.rsplit_once('.').map_or(plain, |(plain, _)| plain));
    let plain = plain.strip_suffix(".partial").unwrap_or(plain);
    let folder = struck.parent().unwrap_or(struck).to_string_lossy();
    line.contains(plain) || line.contains(&*folder)
}

/// The first file that is not the same.
fn difference(found: &Files, expected: &Files) -> Option<String> {
    let all = found.keys().chain(expected.keys());
    let mut different = all.filter(|name| found.get(*name) != expected.get(*name));
    different.next().map(|name| name.display().to_string())
}

/// Writes files into a folder; folders are names that end with a slash.
pub fn write_all(dir: &Path, files: &Files) {
    for (name, bytes) in files {
        let path = dir.join(name);
        if name.to_string_lossy().ends_with('/') {
            fs::create_dir_all(&path).unwrap();
            continue;
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// What is in a folder, empty folders too.
pub fn state_of(dir: &Path) -> Files {
    let mut files = tree(dir);
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                let mut name = path.strip_prefix(dir).unwrap().as_os_str().to_owned();
                name.push("/");
                files.insert(name.into(), Vec::new());
                folders.push(path);
            }
        }
    }
    files
}
