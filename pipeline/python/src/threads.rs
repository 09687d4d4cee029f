//! Rows over cores.

use crate::error::invalid;
use pyo3::prelude::*;
use rayon::prelude::*;
use std::ops::Range;

/// More are a mistake.
const MOST: usize = 512;
/// Rows of a piece of work: enough to be worth a thread, few enough for all threads to have some.
const ROWS: usize = 64;

/// Refuses a number of threads that nobody wants.
pub fn check(threads: usize) -> PyResult<()> {
    match threads {
        0..=MOST => Ok(()),
        n => Err(invalid(format!(
            "threads={n}: at most {MOST}; 0: one a core"
        ))),
    }
}

/// `work` on all of `rows`, in pieces; the results are in order. One thread: this one; 0: one a core. Releases the GIL.
pub fn each<T: Send>(
    py: Python<'_>,
    threads: usize,
    rows: usize,
    work: impl Fn(Range<usize>) -> PyResult<T> + Sync,
) -> PyResult<Vec<T>> {
    check(threads)?;
    if threads == 1 {
        return py.detach(|| Ok(vec![work(0..rows)?]));
    }
    let pieces = rows.div_ceil(ROWS).max(1);
    py.detach(|| {
        on(threads, || {
            let piece = |i: usize| work(i * ROWS..((i + 1) * ROWS).min(rows));
            (0..pieces).into_par_iter().map(piece).collect()
        })?
    })
}

/// Runs `work` on a pool of `threads`, or on one of all cores.
pub fn on<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> PyResult<T> {
    if threads == 0 {
        return Ok(work());
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|e| invalid(format!("threads={threads}: {e}")))?;
    Ok(pool.install(work))
}
