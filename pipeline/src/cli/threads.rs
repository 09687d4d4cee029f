//! An option of several commands.

use clap::Args;

#[derive(Debug, Args)]
pub(super) struct ThreadsArg {
    /// Threads [default: one a core].
    #[arg(short, long, default_value_t = 0, hide_default_value = true, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u16).range(0..=512))]
    threads: u16,
}

impl ThreadsArg {
    /// The number of threads as it was given; 0: one a core.
    pub(super) fn number(&self) -> usize {
        self.threads.into()
    }
}
