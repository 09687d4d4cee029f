//! How these tests run the program.

use c4_tests::program::{Arguments, run};
use std::process::{Command, Output};

/// The path of the program.
pub const C4: &str = env!("CARGO_BIN_EXE_c4");

/// The program, without arguments.
pub fn c4_command() -> Command {
    Command::new(C4)
}

/// Runs the program to its end.
pub fn c4(arguments: Arguments<'_>) -> Output {
    run(C4, arguments)
}
