//! The `c4` program.

use c4_pipeline::cli::{self, Cli};
use c4_pipeline::runtime::memory::LARGE_BYTES;
use c4_pipeline::terminal::{Notices, parsed, tell};
use std::process::ExitCode;

/// Makes glibc give every block of twice [`LARGE_BYTES`] and more back to the system when it is freed, as it does with
/// large blocks until the first of them is freed: from then on it keeps up to 64 MiB a thread, which no budget knows
/// of. A smaller threshold would cost CPU time: buffers of usual batches have up to [`LARGE_BYTES`].
///
/// With it goes how much a heap keeps at its end: where the first is set, the second stays at 128 KiB, and pages are
/// given back and asked for again all the time (a build of web pages: 55,000 page faults in place of 6,000, a seventh
/// of its CPU time).
fn give_large_blocks_back() {
    #[cfg(target_env = "gnu")]
    #[allow(unsafe_code)]
    // SAFETY: no other thread runs yet, and a value that glibc does not take changes nothing.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 2 * LARGE_BYTES as libc::c_int);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 2 * LARGE_BYTES as libc::c_int);
    }
}

fn main() -> ExitCode {
    give_large_blocks_back();
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
