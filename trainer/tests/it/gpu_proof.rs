//! The scripts of `make gpu-proof`, on a machine without a GPU: with programs of a pack that hang, fail, or are
//! missing.

use crate::common::skipped;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// A pack whose program `t5` is this shell script.
fn pack(folder: &Path, t5: &str) {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/gpu_proof");
    for entry in fs::read_dir(scripts).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_file() {
            fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
        }
    }
    let programs = folder.join("programs");
    fs::create_dir(&programs).unwrap();
    for (name, script) in [("t5", t5), ("device_step", "exit 7")] {
        let path = programs.join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

fn prove(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(folder.join("prove.sh"));
    command.arg("--emulated").args(arguments).output().unwrap()
}

fn proof(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("out/proof.json")).unwrap()).unwrap()
}

fn there_is_python() -> bool {
    let found = Command::new("python3")
        .args(["-c", "import sys; sys.exit(sys.version_info < (3, 10))"])
        .status();
    let there = found.is_ok_and(|status| status.success());
    if !there {
        skipped("no Python 3.10 or later");
    }
    there
}

/// Parts that hang are killed with all that they have started, those after them run, and the file is whole after each.
#[test]
fn a_part_that_hangs_stops_no_other() {
    if !there_is_python() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // It notes what the file holds while it runs, and starts a process that would outlive it.
    let note = "cp \"$PROOF_OUT/proof.json\" \"$PROOF_OUT/seen.json\"; sleep 600 & echo $! >\"$PROOF_OUT/child\"; wait";
    pack(
        dir.path(),
        &format!("case $1 in pretrain) {note} ;; *) echo t5 0.0 ;; esac"),
    );
    let parts = ["--parts", "versions,bits,sanitizer,steps,kernels", "--limit", "bits=1"];
    let output = prove(dir.path(), &parts);
    assert_eq!(output.status.code(), Some(1), "{output:?}");

    let proof = proof(dir.path());
    assert_eq!(proof["emulated"], true);
    let parts = proof["parts"].as_array().unwrap();
    let status: Vec<_> = parts.iter().map(|part| part["status"].as_str().unwrap()).collect();
    assert_eq!(status, ["passed", "killed", "skipped", "failed", "failed"], "{proof:#}");
    assert_eq!(parts[0]["result"]["t5"], "t5 0.0");
    assert!(parts[1]["why"].as_str().unwrap().contains("limit of 1 s"), "{proof:#}");
    assert!(parts[1]["seconds"].as_f64().unwrap() < 10.0, "{proof:#}");
    assert_eq!(parts[2]["why"], "the device is emulated");
    assert!(parts[3]["why"].as_str().unwrap().contains("status 7"), "{proof:#}");
    for part in parts {
        assert!(dir.path().join("out").join(part["log"].as_str().unwrap()).is_file());
    }
    // What was there while the second part ran.
    let seen: Value = serde_json::from_slice(&fs::read(dir.path().join("out/seen.json")).unwrap()).unwrap();
    assert_eq!(seen["parts"][0]["status"], "passed");
    assert_eq!(seen["parts"][1]["status"], "not reached");
    // A process that is gone, or waits for nobody to ask for its status.
    let child = fs::read_to_string(dir.path().join("out/child")).unwrap();
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.trim()));
    assert!(
        stat.is_err() || stat.is_ok_and(|stat| stat.contains(") Z ")),
        "{child} lives"
    );
}

#[test]
fn what_cannot_be_is_refused_and_what_is_late_is_said() {
    if !there_is_python() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    pack(dir.path(), "echo t5 0.0");
    for (arguments, word) in [
        (["--parts", "verses"], "verses"),
        (["--limit", "bits=soon"], "NAME=SECONDS"),
        (["--limit", "verses=1"], "goldens"),
    ] {
        let output = prove(dir.path(), &arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains(word), "{output:?}");
    }
    let output = prove(dir.path(), &["--parts", "versions,bits", "--total", "0.5"]);
    assert_eq!(output.status.code(), Some(1));
    let proof = proof(dir.path());
    for part in proof["parts"].as_array().unwrap() {
        assert_eq!(part["status"], "not reached");
        assert!(part["why"].as_str().unwrap().contains("all parts"), "{proof:#}");
    }
}
