//! The option `--memory` of several commands.

use super::parse_size;
use crate::runtime::memory;
use clap::Args;
use indicatif::BinaryBytes;

#[derive(Debug, Args)]
pub(super) struct MemoryArg {
    /// Memory of the whole process, in bytes (K, M, G) [default: half of what is there].
    #[arg(short, long, value_parser = parse_size, value_name = "SIZE")]
    memory: Option<u64>,
}

impl MemoryArg {
    /// The budget in bytes, and the number of threads: `threads`, or for 0 as many as there are cores and memory for.
    ///
    /// # Errors
    /// `what` needs more memory.
    pub(super) fn budget(&self, what: &str, threads: usize) -> anyhow::Result<(u64, usize)> {
        let bytes = self.memory.unwrap_or_else(memory::default_budget);
        anyhow::ensure!(
            bytes >= memory::LEAST,
            "--memory: {what} needs at least {}",
            BinaryBytes(memory::LEAST)
        );
        let threads = match threads {
            0 => {
                let cores = std::thread::available_parallelism().map_or(1, usize::from);
                let fits = |n: &usize| memory::least(*n) <= bytes;
                (2..=cores).rev().find(fits).unwrap_or(1)
            }
            threads => threads,
        };
        anyhow::ensure!(
            bytes >= memory::least(threads),
            "--memory: {threads} threads need at least {}; give as much, or fewer threads (--threads)",
            BinaryBytes(memory::least(threads))
        );
        Ok((bytes, threads))
    }
}
