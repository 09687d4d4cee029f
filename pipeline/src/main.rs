//! The `c4` program.

use c4_pipeline::cli::{self, Cli};
use c4_pipeline::terminal::{Notices, parsed, tell};
use std::process::ExitCode;

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(|| Notices)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .init();
    let result = match parsed::<Cli>() {
        Ok(cli) => cli::run(cli),
        Err(answered) => answered.map_err(anyhow::Error::from),
    };
    result.unwrap_or_else(|error| {
        tell(format_args!("c4: {error:#}"));
        ExitCode::from(2)
    })
}
