//! Which tests were skipped, and why. The trainer's tests use this file, too.

#![allow(clippy::unwrap_used)]

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

/// Notes that a test, or a part of it, cannot run here, and why: on stdout, and in the file `target/skipped-tests`,
/// which `make test` prints at its end.
#[track_caller]
pub fn skipped(why: &str) {
    let place = std::panic::Location::caller();
    let test = std::thread::current();
    let line = format!("{} ({}): {why}\n", test.name().unwrap_or("a test"), place.file());
    print!("skipped: {line}");
    // A test program that was taken to another machine has a folder there that stands for its crate's.
    let folder = std::env::var("T5_TEST_FOLDER");
    let target = Path::new(folder.as_deref().unwrap_or(env!("CARGO_MANIFEST_DIR"))).join("../target");
    std::fs::create_dir_all(&target).unwrap();
    let notes = OpenOptions::new()
        .create(true)
        .append(true)
        .open(target.join("skipped-tests"));
    // One write, so that lines of other processes do not get into it.
    notes.unwrap().write_all(line.as_bytes()).unwrap();
}
