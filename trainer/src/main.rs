//! `t5`: pre-train T5 on a corpus.

mod cli;

use clap::{Parser, Subcommand};
use std::io;
use std::process::ExitCode;

/// Pre-train T5 on a corpus that `c4 build` has written.
#[derive(Debug, Parser)]
#[command(name = "t5", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a vocabulary, or look into one.
    Vocab(cli::vocab::Vocab),
    /// Show how a vocabulary cuts a text into pieces.
    Tokenize(cli::tokenize::Tokenize),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Vocab(args) => cli::vocab::run(args),
        Command::Tokenize(args) => cli::tokenize::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads our output has had enough (`t5 vocab show … | head`).
        Err(e) if is_broken_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("t5: {e:#}");
            ExitCode::from(2)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<io::Error>());
    io.is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
