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
    /// Pre-train a model.
    Pretrain(cli::pretrain::Pretrain),
    /// Measure a model on validation documents.
    Eval(cli::eval::Eval),
    /// Let a model fill the blanks of a text.
    Generate(cli::generate::Generate),
    /// Show what a run is, and what the model sees.
    Inspect(cli::inspect::Inspect),
    /// Draw a run's loss, learning rate and speed.
    Plot(cli::plot::Plot),
    /// Write a model for Hugging Face's transformers.
    Export(cli::export::Export),
    /// Take over a model of Hugging Face's transformers.
    Import(cli::import::Import),
    /// Make a vocabulary, or look into one.
    Vocab(cli::vocab::Vocab),
    /// Show how a vocabulary cuts a text into pieces.
    Tokenize(cli::tokenize::Tokenize),
    /// Print the licences of this program and of all that is in it.
    #[command(long_flag = "licenses")]
    Licenses,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Pretrain(args) => return ended(cli::pretrain::run(args)),
        Command::Eval(args) => cli::eval::run(args),
        Command::Generate(args) => cli::generate::run(args),
        Command::Inspect(args) => cli::inspect::run(args),
        Command::Plot(args) => cli::plot::run(&args),
        Command::Export(args) => cli::export::run(args),
        Command::Import(args) => cli::import::run(args),
        Command::Vocab(args) => cli::vocab::run(args),
        Command::Tokenize(args) => cli::tokenize::run(&args),
        Command::Licenses => {
            let text = c4_data::LICENSES.join("\n");
            cli::output::print(format_args!("{}", text.trim_end())).map_err(Into::into)
        }
    };
    ended(result.map(|()| ExitCode::SUCCESS))
}

fn ended(result: anyhow::Result<ExitCode>) -> ExitCode {
    match result {
        Ok(code) => code,
        // Whoever reads our output has had enough (`t5 vocab show … | head`).
        Err(e) if is_broken_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => {
            // An error of a file names it.
            let is_bare = e.chain().len() == 1 && e.is::<io::Error>();
            let what = if is_bare { "standard output: " } else { "" };
            cli::output::tell(format_args!("t5: {what}{e:#}"));
            ExitCode::from(2)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>());
    io.is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
        assert!(Cli::try_parse_from(["t5", "--licenses"]).is_ok());
    }
}
