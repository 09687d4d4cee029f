//! Whatever is in the programs and in the wheel is named in `data/licenses`, with its licence.
//!
//! With `WRITE_DATA=1` in the environment (`make licenses`) the list of crates is written, too.

use cargo_metadata::{DependencyKind, MetadataCommand, Package};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// What is shipped; all of it, since the text is the same for all.
const PROGRAMS: [&str; 3] = ["c4-pipeline", "t5-trainer", "c4-python"];
/// The GPL: zstd may be taken by it or by its LICENSE.
const NOT_CHOSEN: &str = "zstd/COPYING";

const HEAD: &str = "\
Crates in c4, t5 and the Python module on Linux (each has most of them), and their licences. Made by `make licenses`.

The Rust standard library: https://www.rust-lang.org. Apache License 2.0 or MIT, at your option; copyright The Rust Project
contributors.

Of crates that offer several licences the Apache License 2.0 is chosen where it is one of them.
";

const MIT: &str = "\
Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation
files (the \"Software\"), to deal in the Software without restriction, including without limitation the rights to use, copy,
modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software
is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED \"AS IS\", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT
HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.";

/// The crates whose code is in the programs.
fn crates() -> Vec<Package> {
    // One platform, so that the list is the same wherever it is made; it has the crates of Linux on ARM, too.
    let options = [
        "--locked",
        "--filter-platform",
        "x86_64-unknown-linux-gnu",
        "--features",
        "t5-trainer/cuda",
    ];
    let metadata = MetadataCommand::new()
        .manifest_path(Path::new(ROOT).join("Cargo.toml"))
        .other_options(options.map(str::to_owned))
        .exec()
        .unwrap();
    let resolve = metadata.resolve.as_ref().unwrap();
    let nodes: BTreeMap<_, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let programs = metadata.packages.iter();
    let programs = programs.filter(|package| PROGRAMS.contains(&package.name.as_str()));
    let mut open: Vec<_> = programs.map(|package| &package.id).collect();
    assert_eq!(open.len(), PROGRAMS.len());
    let mut found = BTreeSet::new();
    while let Some(id) = open.pop() {
        if found.insert(id) {
            let linked = nodes[id].deps.iter().filter(|dependency| {
                let kinds = &dependency.dep_kinds;
                kinds.iter().any(|k| k.kind == DependencyKind::Normal)
            });
            open.extend(linked.map(|dependency| &dependency.pkg));
        }
    }
    let mut crates: Vec<Package> = metadata.packages.clone();
    crates.retain(|package| found.contains(&package.id) && package.source.is_some());
    crates.sort_by_cached_key(|package| (package.name.to_string(), package.version.clone()));
    crates
}

/// Files of licences and notices below a folder, in the order of their names.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            files(&path, found);
        } else if is_license(&path) {
            found.push(path);
        }
    }
}

fn is_license(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_string_lossy().to_uppercase();
    let names = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];
    names.iter().any(|start| name.starts_with(start)) && !name.ends_with(".RS") && !path.ends_with(NOT_CHOSEN)
}

/// A text without the Apache License in it, which `LICENSE` has; lines end as ours do.
fn text(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let text = lines.join("\n");
    let ends = ["END OF TERMS AND CONDITIONS", "limitations under the License."];
    let ends = ends.map(|end| text.rfind(end).map(|at| at + end.len()));
    let (before, after) = match (text.find("Apache License\n"), ends.into_iter().max().flatten()) {
        (Some(from), Some(to)) if from < to => (&text[..from], &text[to..]),
        _ => return text.trim_matches('\n').to_owned(),
    };
    match (before.trim(), after.trim()) {
        ("", "") => String::new(),
        (before, after) => format!("{before}\n\n[the Apache License]\n\n{after}").trim().to_owned(),
    }
}

/// The texts that go with a crate beside the Apache License; `None` if its package holds no licence.
fn texts(package: &Package) -> Option<Vec<String>> {
    let folder = package.manifest_path.parent().unwrap().as_std_path();
    let mut found = Vec::new();
    files(folder, &mut found);
    let is_there = !found.is_empty();
    let license = package.license.as_deref().unwrap_or_default();
    let mut offered = license.split(['(', ')', '/']).flat_map(|part| part.split(" OR "));
    let chosen = offered.any(|name| name.trim() == "Apache-2.0") && !license.contains(" AND ");
    if chosen {
        // The other licences on offer: LICENSE-MIT and so on. What a folder within holds is other people's.
        let name = |path: &Path| path.file_name().unwrap().to_string_lossy().to_uppercase();
        found.retain(|path| path.parent() != Some(folder) || !name(path).contains('-'));
    }
    let mut texts: Vec<String> = found.iter().map(|path| text(path)).collect();
    texts.retain(|text| !text.is_empty());
    (is_there || chosen).then_some(texts)
}

/// The list of all crates, those with the same texts together.
fn list() -> String {
    let crates = crates();
    let known: Vec<_> = crates.iter().map(|package| (package, texts(package))).collect();
    let mut groups: BTreeMap<Vec<String>, Vec<&Package>> = BTreeMap::new();
    for (package, texts) in &known {
        let license = package.license.as_deref();
        // Some packages leave the text out, which another of the same repository has.
        let sibling = || {
            let mut others = known
                .iter()
                .filter(|(other, _)| other.repository == package.repository && other.license == package.license);
            others.find_map(|(_, texts)| texts.clone())
        };
        let by_authors = || {
            let authors = package.authors.join(", ");
            (license == Some("MIT")).then(|| vec![format!("Copyright (c) {authors}\n\n{MIT}")])
        };
        let texts = texts.clone().or_else(sibling).or_else(by_authors);
        let texts = texts.unwrap_or_else(|| panic!("{}: no licence in its package", package.id));
        groups.entry(texts).or_default().push(package);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(texts, crates)| (!texts.is_empty(), crates[0].name.to_string()));
    let mut list = HEAD.to_owned();
    for (texts, crates) in groups {
        writeln!(list, "\n{}", "=".repeat(100)).unwrap();
        for package in crates {
            let license = package.license.as_deref().unwrap_or("?");
            writeln!(list, "{} {} ({license})", package.name, package.version).unwrap();
        }
        for text in texts {
            writeln!(list, "{}\n{text}", "-".repeat(100)).unwrap();
        }
    }
    list
}

#[test]
fn data_of_others_is_named_with_its_licence() {
    let named = fs::read_to_string(Path::new(ROOT).join("data/licenses/data.txt")).unwrap();
    for entry in fs::read_dir(Path::new(ROOT).join("data")).unwrap() {
        let folder = entry.unwrap().path();
        let Ok(readme) = fs::read_to_string(folder.join("README.md")) else {
            continue;
        };
        let name = folder.file_name().unwrap().to_string_lossy();
        let theirs = readme.contains("Licence of");
        assert_eq!(theirs, named.contains(&format!("(data/{name})")), "{name}");
    }
}

/// Whether a licence expression can be met by the `allowed` ones: all of its `AND`, one of each `OR` (once written
/// `/`).
fn is_allowed(license: &str, allowed: &[&str]) -> bool {
    license.split(" AND ").all(|part| {
        let part = part.replace(['(', ')'], "");
        let mut offered = part.split(" OR ").flat_map(|names| names.split('/'));
        offered.any(|name| allowed.contains(&name.trim()))
    })
}

/// `make deny` asks the same of crates that only build or test, and for advisories.
#[test]
fn licences_are_those_that_deny_toml_allows() {
    let text = fs::read_to_string(Path::new(ROOT).join("deny.toml")).unwrap();
    let deny: toml::Table = toml::from_str(&text).unwrap();
    let allowed = deny["licenses"]["allow"].as_array().unwrap();
    let allowed: Vec<&str> = allowed.iter().map(|name| name.as_str().unwrap()).collect();
    assert!(is_allowed("(MIT OR GPL-3.0) AND ISC", &allowed) && !is_allowed("MIT AND GPL-3.0", &allowed));
    for package in crates() {
        let license = package.license.as_deref().unwrap_or_default();
        assert!(is_allowed(license, &allowed), "{}: {license}", package.name);
    }
}

#[test]
fn every_crate_in_the_programs_is_named_with_its_licence() {
    let path = Path::new(ROOT).join("data/licenses/crates.txt");
    let list = list();
    if std::env::var_os("WRITE_DATA").is_some() {
        fs::write(&path, &list).unwrap();
    }
    let there = fs::read_to_string(&path).unwrap();
    let name = |line: &str| line.ends_with(')').then(|| line.to_owned());
    let [ours, wanted] = [&there, &list].map(|text| text.lines().filter_map(name).collect::<BTreeSet<_>>());
    let differ: Vec<_> = ours.symmetric_difference(&wanted).collect();
    assert!(
        there == list,
        "the crates have changed: run `make licenses` ({differ:?})"
    );
}
