//! `t5`: pre-train T5 on a corpus.

use std::process::ExitCode;

fn main() -> ExitCode {
    t5_trainer::main()
}
