//! A program as its user meets it: what it prints, how it exits.

use std::ffi::OsStr;
use std::process::{Command, Output};

/// What a program is called with: words and paths.
pub type Arguments<'a> = &'a [&'a dyn AsRef<OsStr>];

/// Runs a program to its end.
pub fn run(program: &str, arguments: Arguments<'_>) -> Output {
    let mut command = Command::new(program);
    for argument in arguments {
        command.arg(argument);
    }
    command.output().unwrap()
}

/// What it said on stderr.
pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// What it printed, and that it succeeded.
pub fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Refused: exit status 2 and one line that says all of `words`.
pub fn refused(output: &Output, words: &[&str]) {
    let message = stderr(output);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert_eq!(message.trim_end().lines().count(), 1, "{message}");
    for word in words {
        assert!(message.contains(word), "no {word} in: {message}");
    }
}
