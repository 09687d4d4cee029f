//! What may have changed between two tries of a build: inputs, disks, folders, what a server has. Nothing of it
//! gets into a corpus unseen.

use crate::common::c4_command;
use c4_tests::program::stderr;
use c4_tests::server::{Fault, Plan, Server};
use c4_tests::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Runs the program on words, and has it die at the place `crash`, if that is none of "".
fn crashing(arguments: &[&str], crash: &str) -> Output {
    c4_command().args(arguments).env("C4_CRASH", crash).output().unwrap()
}

/// An archive of 40 pages, which differ with `seed` and not in length.
fn archive(path: &Path, seed: usize) {
    let record = |page: usize| {
        let text = good_text(1000 + 100 * seed + page);
        conversion(&format!("https://a{seed}.example/{:03}", page), &text)
    };
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, (0..40).flat_map(record).collect::<Vec<u8>>()).unwrap();
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = tree(folder).into_keys().map(|f| folder.join(f)).collect();
    files.sort();
    files
}

/// Another archive of the same name and size is another input, whether the build is done or only begun.
#[test]
fn an_archive_that_has_changed_is_not_taken_for_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let input = |i| dir.path().join("in").join(format!("{i}.wet"));
    (0..3).for_each(|i| archive(&input(i), i));
    let out = dir.path().join("out");
    let (source, target) = (dir.path().join("in"), out.to_str().unwrap());
    let build = ["build", "-t", "1", "-o", target, source.to_str().unwrap()];
    assert!(!crashing(&build, "archive:2").status.success());
    let before = fs::metadata(input(2)).unwrap().len();
    archive(&input(2), 7);
    assert_eq!(fs::metadata(input(2)).unwrap().len(), before);
    let refused = crashing(&build, "");
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("2.wet has changed"), "{}", stderr(&refused));
    let again = crashing(&[&build[..], &["--overwrite"]].concat(), "");
    assert!(again.status.success(), "{}", stderr(&again));
    let same = crashing(&build, "");
    assert!(stderr(&same).contains("holds this corpus already"), "{}", stderr(&same));
    archive(&input(1), 8);
    let refused = crashing(&build, "");
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("1.wet has changed"), "{}", stderr(&refused));
}

/// A bit that a disk has lost between two tries is an error that names the file, or does no harm.
#[test]
fn damage_in_the_work_folder_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let input = |i| dir.path().join("in").join(format!("{i}.wet"));
    (0..3).for_each(|i| archive(&input(i), i));
    let source = dir.path().join("in");
    let arguments = ["build", "--no-plan", "-t", "1", "--recipe", "en", "--ledger", "all"];
    let build = |out: &Path, crash: &str| {
        let places = ["-o", out.to_str().unwrap(), source.to_str().unwrap()];
        crashing(&[&arguments[..], &places].concat(), crash)
    };
    let whole = dir.path().join("whole");
    assert!(build(&whole, "").status.success());
    let expected = corpus_files(&whole);
    let (mut found, mut tries) = (0, 0);
    for crash in ["spill:1", "replace:1"] {
        let stopped = dir.path().join(format!("stopped-{tries}"));
        assert!(!build(&stopped, crash).status.success());
        let work = stopped.join("_c4_work");
        for file in files(&work.join("spools")) {
            for at in [0.1, 0.5, 0.9] {
                let out = dir.path().join("out");
                let copied = Command::new("cp").arg("-a").arg(&stopped).arg(&out).status();
                assert!(copied.unwrap().success());
                let file = out.join(file.strip_prefix(&stopped).unwrap());
                let mut bytes = fs::read(&file).unwrap();
                let at = (bytes.len() as f64 * at) as usize;
                bytes[at] ^= 4;
                fs::write(&file, &bytes).unwrap();
                let ended = build(&out, "");
                let name = file.file_name().unwrap().to_str().unwrap();
                tries += 1;
                if ended.status.success() {
                    assert!(corpus_files(&out) == expected, "{name}, byte {at}, after {crash}");
                } else {
                    let said = stderr(&ended);
                    assert_eq!(ended.status.code(), Some(2), "{said}");
                    assert!(said.contains("damaged") && said.contains(name), "{said}");
                    found += 1;
                }
                fs::remove_dir_all(&out).unwrap();
            }
        }
        // A shard that is cut is not put into its place, but written again.
        let shards = files(&work.join("whole"));
        let shard = shards
            .iter()
            .find(|shard| shard.extension().is_some_and(|e| e == "arrow"));
        if let Some(shard) = shard {
            fs::write(shard, b"").unwrap();
            let ended = build(&stopped, "");
            assert!(ended.status.success(), "{}", stderr(&ended));
            assert!(corpus_files(&stopped) == expected);
        }
    }
    // What shows when a file is opened is done again.
    assert!(found > 0, "{found} of {tries}");
}

/// Its files are taken away, or gone on with, whatever the later command says.
#[test]
fn a_work_folder_elsewhere_is_not_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in/a.wet");
    archive(&input, 1);
    let (out, work) = (dir.path().join("out"), dir.path().join("work"));
    let build = ["build", "-o", out.to_str().unwrap(), input.to_str().unwrap()];
    let elsewhere = ["--work-dir", work.to_str().unwrap()];
    let stop = || assert!(!crashing(&[&build[..], &elsewhere].concat(), "spill:1").status.success());
    stop();
    assert!(!files(&work).is_empty());
    let goes_on = crashing(&build, "");
    assert!(goes_on.status.success(), "{}", stderr(&goes_on));
    assert!(stderr(&goes_on).contains("where it began"), "{}", stderr(&goes_on));
    assert_eq!(fs::read_dir(&work).unwrap().count(), 0);
    fs::remove_dir_all(&out).unwrap();
    stop();
    let other = [&build[..], &["-r", "en", "--overwrite"], &elsewhere].concat();
    assert!(crashing(&other, "").status.success());
    assert_eq!(fs::read_dir(&work).unwrap().count(), 0);
}

/// What a build went on without is asked for again by the command without `--allow-missing`.
#[test]
fn what_was_missing_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(Plan::None);
    let bytes = |seed| {
        let path = dir.path().join("x.wet");
        archive(&path, seed);
        fs::read(path).unwrap()
    };
    server.put("/a.wet", bytes(1));
    let urls = ["a.wet", "b.wet"].map(|path| server.url(path));
    let out = dir.path().join("out");
    let build = ["build", "--no-plan", "-o", out.to_str().unwrap(), &urls[0], &urls[1]];
    let without = [&build[..], &["--allow-missing"]].concat();
    for crash in ["spill:1", "replace:1"] {
        let stopped = crashing(&without, crash);
        assert!(!stopped.status.success());
        let refused = crashing(&build, "");
        assert_eq!(refused.status.code(), Some(1), "{}", stderr(&refused));
        assert!(stderr(&refused).contains("1 of 2 archives could not be fetched"));
    }
    assert!(!crashing(&without, "shard:1").status.success());
    server.put("/b.wet", bytes(2));
    let whole = crashing(&build, "");
    assert!(whole.status.success(), "{}", stderr(&whole));
    assert!(stderr(&whole).contains("80 pages in"), "{}", stderr(&whole));
}

/// Asked to stop while a server gives a few bytes a second for the estimate, it stops.
#[test]
fn a_slow_server_does_not_hold_up_a_stop() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(Plan::Always(Fault::Drip));
    archive(&dir.path().join("x.wet"), 1);
    let bytes = fs::read(dir.path().join("x.wet")).unwrap();
    let paths: Vec<String> = (0..40).map(|i| format!("/{i}.wet")).collect();
    paths.iter().for_each(|path| server.put(path, bytes.repeat(50)));
    let listing = dir.path().join("all.paths");
    let urls: Vec<String> = paths.iter().map(|path| server.url(path)).collect();
    fs::write(&listing, urls.join("\n")).unwrap();
    let mut command = c4_command();
    command.args(["build", "-o"]).arg(dir.path().join("out")).arg(&listing);
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let asked = Instant::now();
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(2), "{}", stderr(&ended));
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
}

/// A name is that of a folder below the output.
#[test]
fn recipes_are_not_called_after_other_folders() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in/a.wet");
    archive(&input, 1);
    let shown = crashing(&["recipes", "en"], "");
    let toml = String::from_utf8(shown.stdout).unwrap();
    for name in ["..", ".", "_c4_work", "ledger", "-x", ".hidden"] {
        let recipe = dir.path().join("mine.toml");
        fs::write(&recipe, toml.replace("name = \"en\"", &format!("name = \"{name}\""))).unwrap();
        let out = dir.path().join("out");
        let build = ["build", "-o", out.to_str().unwrap(), input.to_str().unwrap()];
        let recipes = ["-r", recipe.to_str().unwrap(), "-r", "en"];
        let refused = crashing(&[&build[..], &recipes].concat(), "");
        assert_eq!(refused.status.code(), Some(2), "{name}");
        assert!(stderr(&refused).contains("name: must start"), "{}", stderr(&refused));
        assert!(!out.exists());
    }
}

/// An archive that is written to, or replaced, while it is read is told, whoever wrote how much of it when.
#[test]
fn an_archive_that_changes_while_it_is_read_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("in/1.wet"), dir.path().join("in/2.wet"));
    archive(&second, 1);
    // Long enough to be changed while it is read.
    let record = |page: usize| conversion(&format!("https://a.example/{page}"), &good_text(page));
    let bytes: Vec<u8> = (0..20_000).flat_map(record).collect();
    type Change = fn(&Path);
    let changes: [(&str, Change); 3] = [
        ("grown", |path| {
            let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
            std::io::Write::write_all(&mut file, &conversion("https://b.example/", &good_text(1))).unwrap();
        }),
        ("cut", |path| {
            let file = fs::OpenOptions::new().write(true).open(path).unwrap();
            file.set_len(file.metadata().unwrap().len() - 1).unwrap();
        }),
        // With the size and the time of the other.
        ("replaced", |path| {
            let time = fs::metadata(path).unwrap().modified().unwrap();
            let copy = path.with_extension("copy");
            fs::copy(path, &copy).unwrap();
            fs::File::open(&copy).unwrap().set_modified(time).unwrap();
            fs::rename(&copy, path).unwrap();
        }),
    ];
    for (name, change) in changes {
        fs::write(&first, &bytes).unwrap();
        let out = dir.path().join(name);
        let mut command = c4_command();
        command
            .args(["build", "-t", "1", "--no-plan", "-o"])
            .arg(&out)
            .arg(dir.path().join("in"));
        let child = command.stderr(Stdio::piped()).spawn().unwrap();
        let work = out.join("_c4_work/spools");
        let begun = Instant::now();
        let is_read = || {
            let names = fs::read_dir(&work).into_iter().flatten().flatten();
            let mut names = names.map(|entry| entry.file_name().into_string().unwrap());
            names.any(|name| name.starts_with("segment-00000"))
        };
        while !is_read() {
            assert!(begun.elapsed() < Duration::from_secs(120));
            std::thread::sleep(Duration::from_millis(1));
        }
        change(&first);
        let ended = child.wait_with_output().unwrap();
        let said = stderr(&ended);
        assert_eq!(ended.status.code(), Some(1), "{name}: {said}");
        assert!(said.contains("1.wet: has changed or was replaced"), "{name}: {said}");
        assert!(!said.contains("2.wet: has changed"), "{name}: {said}");
        let entry = &c4_data::Manifest::read(&out).unwrap().unwrap().inputs[0];
        assert_eq!(entry.state, c4_data::InputState::Failed, "{name}");
        // What changes its size or time is not taken for what was read, afterwards either.
        let again = command.output().unwrap();
        let expected = if name == "replaced" { 1 } else { 2 };
        assert_eq!(again.status.code(), Some(expected), "{name}");
    }
}

/// A folder that was removed and made anew is another build's, though it has the same name.
#[test]
fn a_build_whose_folder_was_removed_and_made_anew_leaves_it_alone() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in/1.wet");
    archive(&input, 1);
    let large = dir.path().join("large.wet");
    let record = |page: usize| conversion(&format!("https://a.example/{page}"), &good_text(page));
    fs::write(&large, (0..20_000).flat_map(record).collect::<Vec<u8>>()).unwrap();
    let build = |name: &str, input: &Path| {
        let mut command = c4_command();
        command
            .args(["build", "-t", "1", "--no-plan", "-o"])
            .arg(dir.path().join(name))
            .arg(input);
        command.stderr(Stdio::piped());
        command
    };
    assert!(build("whole", &input).status().unwrap().success());
    let child = build("out", &large).spawn().unwrap();
    let lock = dir.path().join("out/_c4_work/build.json");
    let begun = Instant::now();
    while !lock.exists() {
        assert!(begun.elapsed() < Duration::from_secs(120));
        std::thread::sleep(Duration::from_millis(1));
    }
    // Moved away, as whoever removes it would; so the first build may go on.
    fs::rename(dir.path().join("out"), dir.path().join("gone")).unwrap();
    let second = build("out", &input).output().unwrap();
    assert!(second.status.success(), "{}", stderr(&second));
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(2), "{}", stderr(&ended));
    assert!(corpus_files(&dir.path().join("out")) == corpus_files(&dir.path().join("whole")));
}
