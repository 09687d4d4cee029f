//! The `c4` program.

use c4_pipeline::cli::{self, Cli};
use c4_pipeline::table::printable;
use clap::Parser;
use std::io::IsTerminal;
use std::process::ExitCode;

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .without_time()
        .init();
    match cli::run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("c4: {}", printable(&format!("{error:#}")));
            ExitCode::from(2)
        }
    }
}
