//! Rows over cores.

use crate::error::{invalid, system, whole};
use pyo3::prelude::*;
use rayon::ThreadPool;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// More are a mistake.
const MOST: u64 = 512;
/// Rows of a piece of work: enough to be worth a thread, few enough for all threads to have some.
const ROWS: usize = 16;

/// Python's argument `threads`: 1 is this thread, 0 one a core.
pub fn of(threads: &Bound<'_, PyAny>) -> PyResult<usize> {
    match whole("threads", threads)? {
        n if n <= MOST => Ok(n as usize),
        n => Err(invalid(format!("threads={n}: at most {MOST}; 0: one a core"))),
    }
}

/// `work` on all of `rows`, in pieces, whose results `join` gets in order. One thread: this one, in one piece; 0: one a
/// core. Releases the GIL.
pub fn each<T: Send, J: Send>(
    py: Python<'_>,
    threads: usize,
    rows: usize,
    work: impl Fn(Range<usize>) -> PyResult<T> + Sync,
    join: impl FnOnce(Vec<T>) -> PyResult<J> + Send,
) -> PyResult<J> {
    if threads == 1 {
        return py.detach(|| join(vec![work(0..rows)?]));
    }
    let pieces = rows.div_ceil(ROWS).max(1);
    let piece = |i: usize| work(i * ROWS..((i + 1) * ROWS).min(rows));
    py.detach(|| {
        on(threads, || {
            let pieces: PyResult<Vec<T>> = (0..pieces).into_par_iter().map(piece).collect();
            join(pieces?)
        })?
    })
}

/// Runs `work` on a pool of `threads`, 0: one a core.
pub fn on<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> PyResult<T> {
    Ok(pool(threads)?.install(work))
}

/// The pool of that many threads, which is kept: a call is mostly a few milliseconds. A fork has none of its parent's
/// threads, so pools are a process's own.
fn pool(threads: usize) -> PyResult<Arc<ThreadPool>> {
    static POOLS: Mutex<BTreeMap<(u32, usize), Arc<ThreadPool>>> = Mutex::new(BTreeMap::new());
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    let entry = match pools.entry((std::process::id(), threads)) {
        Entry::Occupied(there) => return Ok(there.get().clone()),
        Entry::Vacant(entry) => entry,
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|e| system(format!("threads={threads}: {e}")))?;
    Ok(entry.insert(Arc::new(pool)).clone())
}
