//! Whatever only looks at builds, and at what a build would do.

pub mod card;
pub mod diff;
pub mod explain;
pub(crate) mod plan;
pub mod report;
pub mod sweep;
pub mod verify;

use crate::error::Error;

/// A pool of `threads` threads; 0: one a core.
///
/// # Errors
/// The threads cannot be started.
fn thread_pool(threads: usize) -> Result<rayon::ThreadPool, Error> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map_err(|e| Error::Threads {
        threads,
        reason: e.to_string(),
    })
}
