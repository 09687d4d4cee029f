//! The arrows between crates, and between the rooms of a crate, are those of `ARCHITECTURE.md`, and no others.

use cargo_metadata::{DependencyKind, MetadataCommand};
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Rooms by name, each with the rooms that it uses.
type Arrows = BTreeMap<String, BTreeSet<String>>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What a package may depend on, of the workspace's members: in its program, and in its tests besides.
const CRATES: [(&str, &[&str], &[&str]); 6] = [
    ("c4-data", &[], &[]),
    ("c4-filters", &["c4-data"], &[]),
    ("c4-pipeline", &["c4-data", "c4-filters"], &["c4-tests"]),
    ("c4-python", &["c4-data", "c4-filters", "c4-pipeline"], &[]),
    ("t5-trainer", &["c4-data"], &[]),
    (
        "c4-tests",
        &["c4-data", "c4-filters", "c4-pipeline", "t5-trainer"],
        &["c4-tests"],
    ),
];

#[test]
fn crates_depend_downwards_only() {
    let manifest = root().join("Cargo.toml");
    let metadata = MetadataCommand::new().manifest_path(manifest).no_deps().exec().unwrap();
    let members: BTreeSet<&str> = metadata.packages.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(members, CRATES.iter().map(|(name, ..)| *name).collect());
    for package in &metadata.packages {
        let (_, program, tests) = CRATES.iter().find(|(name, ..)| *name == package.name.as_str()).unwrap();
        for dependency in &package.dependencies {
            let name = dependency.name.as_str();
            let of_tests = dependency.kind == DependencyKind::Development && tests.contains(&name);
            let fine = !members.contains(name) || program.contains(&name) || of_tests;
            assert!(fine, "{} must not depend on {name}", package.name);
        }
    }
}

/// The Rust files below a folder.
fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, files),
            false if path.extension().is_some_and(|ext| ext == "rs") => files.push(path),
            false => {}
        }
    }
}

/// The arrows that the sources of a crate have: a room is a folder below `src`. The file `error.rs` counts as one for
/// circles; the tables leave it out.
fn arrows_of_sources(folder: &str) -> Arrows {
    let src = root().join(folder).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let comment = Regex::new(r"(?m)^\s*//.*$").unwrap();
    let list = Regex::new(r"\bcrate::\{([^;]*)\};").unwrap();
    let inner = Regex::new(r"\{[^{}]*\}").unwrap();
    let path = Regex::new(r"\bcrate::(\w+)").unwrap();
    let mut arrows = Arrows::new();
    for file in files {
        let name = file.strip_prefix(&src).unwrap();
        let mut parts = name.iter().map(|part| part.to_str().unwrap());
        let room = match (parts.next().unwrap(), parts.next()) {
            ("lib.rs" | "main.rs", None) => continue,
            ("error.rs", None) => "error",
            (file, None) => panic!("{folder}/src/{file} is in no room: move it into a folder"),
            (room, Some(_)) => room,
        };
        let code = comment
            .replace_all(&fs::read_to_string(&file).unwrap(), "")
            .into_owned();
        let mut used: BTreeSet<String> = path.captures_iter(&code).map(|found| found[1].to_owned()).collect();
        for found in list.captures_iter(&code) {
            let mut names = found[1].to_owned();
            while inner.is_match(&names) {
                names = inner.replace_all(&names, "").into_owned();
            }
            let first = |name: &str| name.trim().split("::").next().unwrap_or_default().to_owned();
            used.extend(names.split(',').map(first).filter(|name| !name.is_empty()));
        }
        let mine = arrows.entry(room.to_owned()).or_default();
        for other in used.iter().map(|name| match name.as_str() {
            "Error" => "error",
            name => name,
        }) {
            let is_room = src.join(other).is_dir() || src.join(format!("{other}.rs")).is_file();
            assert!(
                is_room,
                "{}: `crate::{other}` names no room: use the path through its room",
                file.display()
            );
            if other != room {
                mine.insert(other.to_owned());
            }
        }
    }
    arrows
}

/// The arrows in the table of `ARCHITECTURE.md` below the heading of a crate's folder.
fn arrows_of_document(document: &str, folder: &str) -> Arrows {
    let tables = document.split("<!-- rooms:begin -->").nth(1).unwrap();
    let tables = tables.split("<!-- rooms:end -->").next().unwrap();
    let table = tables.split(&format!("### {folder}\n")).nth(1).unwrap_or_default();
    let table = table.split("\n### ").next().unwrap();
    let names = |cell: &str| -> BTreeSet<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let mut arrows = Arrows::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        let room = names(cells[0]).into_iter().next().unwrap();
        arrows.insert(room, names(cells[cells.len() - 1]));
    }
    arrows
}

/// A room that can be reached from itself, if there is one.
fn circle(arrows: &Arrows) -> Option<&String> {
    arrows.keys().find(|start| {
        let mut open: Vec<&String> = arrows[*start].iter().collect();
        let mut seen = BTreeSet::new();
        while let Some(room) = open.pop() {
            if room == *start {
                return true;
            }
            if seen.insert(room) {
                open.extend(arrows.get(room).into_iter().flatten());
            }
        }
        false
    })
}

#[test]
fn rooms_use_what_the_architecture_says() {
    let document = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for folder in ["filters", "pipeline", "trainer"] {
        let (there, told) = (arrows_of_sources(folder), arrows_of_document(&document, folder));
        let is_error = |room: &String| room == "error";
        for (room, used) in there.iter().filter(|(room, _)| !is_error(room)) {
            let used: BTreeSet<String> = used.iter().filter(|room| !is_error(room)).cloned().collect();
            let uses: Vec<String> = used.iter().map(|room| format!("`{room}`")).collect();
            let told = told.get(room);
            assert!(
                told == Some(&used),
                "ARCHITECTURE.md, rooms of {folder}: `{room}` uses {}, and the table says {told:?}: take the new \
                 arrow out, or change the table if the arrow should be there",
                uses.join(", ")
            );
        }
        let gone: Vec<&String> = told.keys().filter(|room| !there.contains_key(*room)).collect();
        assert!(
            gone.is_empty(),
            "ARCHITECTURE.md, rooms of {folder}: {gone:?} are not there"
        );
        assert_eq!(circle(&there), None, "a circle between rooms of {folder}");
    }
}

#[test]
fn circles_are_found() {
    let arrows = |list: &[(&str, &[&str])]| -> Arrows {
        let of = |(room, used): &(&str, &[&str])| {
            let used = used.iter().map(|used| (*used).to_owned()).collect();
            ((*room).to_owned(), used)
        };
        list.iter().map(of).collect()
    };
    assert_eq!(circle(&arrows(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &[])])), None);
    assert!(circle(&arrows(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"])])).is_some());
}

/// The rules are pure: the list of what they may not call is in the crate's `clippy.toml`.
#[test]
fn rules_know_no_io() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../filters/clippy.toml");
    let text = fs::read_to_string(path).unwrap();
    for forbidden in ["std::fs::read", "std::time::SystemTime::now", "std::env::var"] {
        assert!(text.contains(forbidden), "{forbidden}");
    }
}

/// Crates from elsewhere with their features, as `cargo tree` lists them.
fn features(edges: &str, package: &[&str]) -> BTreeSet<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let tree = [
        "tree",
        "--locked",
        "--edges",
        edges,
        "--prefix",
        "none",
        "--format",
        "{p} [{f}]",
    ];
    let found = Command::new(cargo)
        .current_dir(root())
        .args(tree)
        .args(package)
        .output()
        .unwrap();
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    let lines = String::from_utf8(found.stdout).unwrap();
    let lines = lines.lines().map(|line| line.trim_end_matches(" (*)"));
    lines.filter(|line| !line.contains(" (/")).map(str::to_owned).collect()
}

/// Else `make test` compiles Arrow and all that is on it twice. The list of features is in
/// `pipeline/python/Cargo.toml`.
#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn the_wheel_is_made_of_crates_that_are_compiled_already() {
    let compiled = features("normal,build,dev", &[]);
    let names: BTreeSet<&str> = compiled.iter().filter_map(|line| line.split(' ').next()).collect();
    let wheel = features("normal,build", &["-p", "c4-python"]);
    let again = wheel.difference(&compiled);
    let again = again.filter(|line| line.split(' ').next().is_some_and(|name| names.contains(name)));
    // What the build script of one small crate has.
    let again: Vec<&String> = again
        .filter(|line| !line.starts_with("serde_core v") && !line.starts_with("serde_json v"))
        .collect();
    assert_eq!(
        again,
        Vec::<&String>::new(),
        "left: crates with the features that the wheel has, and the programs' tests have not"
    );
}
