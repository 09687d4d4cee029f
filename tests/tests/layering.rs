//! The arrows between crates are those of `ARCHITECTURE.md`, and no others.

#![allow(clippy::unwrap_used)]

use cargo_metadata::{DependencyKind, MetadataCommand};
use std::collections::{BTreeMap, BTreeSet};

#[test]
fn crates_depend_downwards_only() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let metadata = MetadataCommand::new().manifest_path(manifest).no_deps().exec().unwrap();
    let members: BTreeSet<&str> = metadata.packages.iter().map(|p| p.name.as_str()).collect();
    let allowed = BTreeMap::from([
        ("c4-data", vec![]),
        ("c4-filters", vec!["c4-data"]),
        ("c4-pipeline", vec!["c4-data", "c4-filters"]),
        ("c4-python", vec!["c4-data", "c4-filters", "c4-pipeline"]),
        ("t5-trainer", vec!["c4-data"]),
        ("c4-tests", vec!["c4-data", "c4-filters", "c4-pipeline", "t5-trainer"]),
    ]);
    for package in &metadata.packages {
        let allowed = &allowed[package.name.as_str()];
        let dependencies = package.dependencies.iter();
        for dependency in dependencies.filter(|d| d.kind == DependencyKind::Normal) {
            let name = dependency.name.as_str();
            let fine = !members.contains(name) || allowed.contains(&name);
            assert!(fine, "{} must not depend on {name}", package.name);
        }
    }
}

/// The rules are pure: the list of what they may not call is in the crate's `clippy.toml`.
#[test]
fn rules_know_no_io() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../filters/clippy.toml");
    let text = std::fs::read_to_string(path).unwrap();
    for forbidden in ["std::fs::read", "std::time::SystemTime::now", "std::env::var"] {
        assert!(text.contains(forbidden), "{forbidden}");
    }
}
