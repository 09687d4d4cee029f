//! Parallel work on the batches of many sources, or of one.
//!
//! A source (an archive, a work file) is read one batch after the other; any thread works on its batches. A thread
//! takes a source of its own while there are any, and shares those of others at the end, so that a single large archive
//! is as fast as many small ones. A thread that reads leaves a batch for the next thread that finds the source taken,
//! so that none waits. At most two batches a thread are in memory.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// The sources that [`drain`] works through, and the work on their batches.
pub(crate) trait Job: Sync {
    /// An open source.
    type Source: Send;
    /// A batch of a source.
    type Batch: Send;
    /// An error that stops the whole job.
    type Error: Send;

    /// Whether no other source should be opened; open ones are finished.
    fn stopped(&self) -> bool {
        false
    }
    /// Opens source `index`; `None` if it is empty.
    fn open(&self, index: usize) -> Result<Option<Self::Source>, Self::Error>;
    /// The next batch of source `index`; `None` at its end.
    fn next(&self, index: usize, source: &mut Self::Source) -> Result<Option<Self::Batch>, Self::Error>;
    /// Whether a batch is so large that no other is to be read ahead while it waits.
    fn is_large(_batch: &Self::Batch) -> bool {
        false
    }
    /// Works on a batch. `sequence` numbers a source's batches in order, from 0.
    fn work(&self, index: usize, sequence: u64, batch: Self::Batch) -> Result<(), Self::Error>;
    /// Finishes source `index`, all of whose batches are done.
    fn finish(&self, index: usize) -> Result<(), Self::Error>;
}

struct SourceSlot<J: Job + ?Sized> {
    index: usize,
    /// The source and the number of the next batch; `None` once it is at its end.
    source: Mutex<Option<(J::Source, u64)>>,
    /// Batches that have been read and not taken.
    ready: Mutex<VecDeque<(u64, J::Batch)>>,
    /// Batches that have been read and are not done, and one for the source itself.
    open: AtomicUsize,
}

struct Board<J: Job + ?Sized> {
    state: Mutex<BoardState<J>>,
    /// Signalled when `opening` falls.
    opened: Condvar,
}

struct BoardState<J: Job + ?Sized> {
    next: usize,
    /// Sources that a thread is about to add.
    opening: usize,
    slots: Vec<Arc<SourceSlot<J>>>,
}

/// Locks a mutex, poisoned or not: a panic ends the program anyway, and data behind a lock is never left half-changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Works through the sources `0..count` on all threads of the current rayon pool.
///
/// # Errors
/// The first error of any call; batches in work are finished, no other is started.
pub(crate) fn drain<J: Job>(job: &J, count: usize) -> Result<(), J::Error> {
    let board = Board {
        state: Mutex::new(BoardState {
            next: 0,
            opening: 0,
            slots: Vec::new(),
        }),
        opened: Condvar::new(),
    };
    let stop = AtomicBool::new(false);
    let error = Mutex::new(None);
    rayon::broadcast(|context| {
        let run = || -> Result<(), J::Error> {
            while !stop.load(Ordering::Relaxed) {
                let Some((slot, ahead)) = pick(job, &board, count, context.index(), context.num_threads())? else {
                    return Ok(());
                };
                step(job, &board, &slot, ahead)?;
            }
            Ok(())
        };
        if let Err(e) = run() {
            stop.store(true, Ordering::Relaxed);
            lock(&error).get_or_insert(e);
        }
    });
    let first = lock(&error).take();
    first.map_or(Ok(()), Err)
}

/// Calls `each` for `0..count`, one call at a time on each thread of the current rayon pool, and gives the results in
/// order. (An iterator of rayon's would start other calls whenever one waits for a part of itself.)
///
/// # Errors
/// An error of `each`, after which no other call is started.
pub(crate) fn each<T: Send, E: Send>(count: usize, each: impl Fn(usize) -> Result<T, E> + Sync) -> Result<Vec<T>, E> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(count));
    let error = Mutex::new(None);
    rayon::broadcast(|_| {
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= count || lock(&error).is_some() {
                return;
            }
            match each(i) {
                Ok(result) => lock(&results).push((i, result)),
                Err(e) => {
                    lock(&error).get_or_insert(e);
                }
            }
        }
    });
    let first = lock(&error).take();
    if let Some(e) = first {
        return Err(e);
    }
    let mut results = std::mem::take(&mut *lock(&results));
    results.sort_unstable_by_key(|(i, _)| *i);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

/// The source on which a thread works next, if any is left, and the number of batches to read ahead in it.
type Picked<J> = Option<(Arc<SourceSlot<J>>, usize)>;

/// Picks the source on which thread `thread` of `threads` works next; `None` if none is left.
fn pick<J: Job>(job: &J, board: &Board<J>, count: usize, thread: usize, threads: usize) -> Result<Picked<J>, J::Error> {
    loop {
        let index = {
            let mut state = lock(&board.state);
            loop {
                let n = state.slots.len();
                if state.next < count && n + state.opening < threads && !job.stopped() {
                    break;
                }
                if n > 0 {
                    return Ok(Some((state.slots[thread % n].clone(), threads.div_ceil(n))));
                }
                if state.opening == 0 {
                    return Ok(None);
                }
                state = board.opened.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.next += 1;
            state.opening += 1;
            state.next - 1
        };
        let source = job.open(index);
        let mut state = lock(&board.state);
        state.opening -= 1;
        board.opened.notify_all();
        if let Some(source) = source? {
            let slot = Arc::new(SourceSlot {
                index,
                source: Mutex::new(Some((source, 0))),
                ready: Mutex::default(),
                open: AtomicUsize::new(1),
            });
            state.slots.push(slot.clone());
            return Ok(Some((slot, threads.div_ceil(state.slots.len()))));
        }
        drop(state);
        job.finish(index)?;
    }
}

/// Takes one batch of the source and works on it; the thread that reads it keeps `ahead` batches ready.
fn step<J: Job>(job: &J, board: &Board<J>, slot: &Arc<SourceSlot<J>>, ahead: usize) -> Result<(), J::Error> {
    let taken = match slot.source.try_lock() {
        Ok(source) => read(job, board, slot, source, ahead)?,
        Err(_) => {
            // Another thread is reading: take a ready batch, or wait.
            let ready = lock(&slot.ready).pop_front();
            match ready {
                Some(batch) => Some(batch),
                None => read(job, board, slot, lock(&slot.source), ahead)?,
            }
        }
    };
    let Some((sequence, batch)) = taken else {
        return Ok(());
    };
    job.work(slot.index, sequence, batch)?;
    done(job, slot)
}

/// Reads until there are `ahead` batches for other threads, and gives one to work on.
fn read<J: Job>(
    job: &J,
    board: &Board<J>,
    slot: &Arc<SourceSlot<J>>,
    mut source: MutexGuard<'_, Option<(J::Source, u64)>>,
    ahead: usize,
) -> Result<Option<(u64, J::Batch)>, J::Error> {
    loop {
        let waiting = lock(&slot.ready).len();
        let Some((open, sequence)) = source.as_mut() else {
            return Ok(last_ready(board, slot));
        };
        if waiting >= ahead {
            return Ok(lock(&slot.ready).pop_front());
        }
        match job.next(slot.index, open)? {
            Some(batch) => {
                slot.open.fetch_add(1, Ordering::AcqRel);
                let numbered = (*sequence, batch);
                *sequence += 1;
                if J::is_large(&numbered.1) {
                    return Ok(Some(numbered));
                }
                lock(&slot.ready).push_back(numbered);
            }
            None => {
                *source = None;
                drop(source);
                let ready = last_ready(board, slot);
                done(job, slot)?;
                return Ok(ready);
            }
        }
    }
}

/// A batch that is left of a source at its end; removes the source's slot from the board if there is none.
fn last_ready<J: Job>(board: &Board<J>, slot: &Arc<SourceSlot<J>>) -> Option<(u64, J::Batch)> {
    let ready = lock(&slot.ready).pop_front();
    if ready.is_none() {
        lock(&board.state).slots.retain(|other| !Arc::ptr_eq(other, slot));
    }
    ready
}

/// Counts a batch, or the source itself, as done; the last one finishes the source.
fn done<J: Job>(job: &J, slot: &SourceSlot<J>) -> Result<(), J::Error> {
    if slot.open.fetch_sub(1, Ordering::AcqRel) == 1 {
        job.finish(slot.index)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source `i` gives the numbers below `i * 10`.
    struct Sum {
        sums: Vec<Mutex<(u64, bool)>>,
        fail_at: Option<u64>,
    }

    impl Job for Sum {
        type Source = u64;
        type Batch = u64;
        type Error = String;

        fn open(&self, index: usize) -> Result<Option<u64>, String> {
            Ok((index > 0).then_some(0))
        }

        fn next(&self, index: usize, source: &mut u64) -> Result<Option<u64>, String> {
            let n = *source;
            *source += 1;
            Ok((n < index as u64 * 10).then_some(n))
        }

        fn work(&self, index: usize, sequence: u64, batch: u64) -> Result<(), String> {
            assert_eq!(sequence, batch);
            if Some(batch) == self.fail_at {
                return Err(format!("at {batch}"));
            }
            let mut sum = lock(&self.sums[index]);
            assert!(!sum.1, "no batch after the end");
            sum.0 += batch;
            Ok(())
        }

        fn finish(&self, index: usize) -> Result<(), String> {
            let mut sum = lock(&self.sums[index]);
            assert!(!std::mem::replace(&mut sum.1, true), "finished once");
            Ok(())
        }
    }

    fn run(threads: usize, fail_at: Option<u64>) -> (Result<(), String>, Vec<(u64, bool)>) {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let job = Sum {
            sums: (0..20).map(|_| Mutex::new((0, false))).collect(),
            fail_at,
        };
        let result = pool.install(|| drain(&job, 20));
        (result, job.sums.into_iter().map(|m| m.into_inner().unwrap()).collect())
    }

    #[test]
    fn every_batch_is_worked_on_once_and_every_source_finished_once() {
        for threads in [1, 2, 5, 30] {
            let (result, sums) = run(threads, None);
            result.unwrap();
            for (i, (sum, finished)) in sums.into_iter().enumerate() {
                let n = i as u64 * 10;
                assert_eq!((sum, finished), (n * n.saturating_sub(1) / 2, true));
            }
        }
    }

    #[test]
    fn each_gives_results_in_order_or_an_error() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3);
        pool.build().unwrap().install(|| {
            let all = each(100, |i| Ok::<_, usize>(i * i)).unwrap();
            assert!(all.into_iter().eq((0..100).map(|i| i * i)));
            let failed = each(100, |i| if i == 50 { Err(i) } else { Ok(()) });
            assert_eq!(failed, Err(50));
        });
    }

    #[test]
    fn an_error_stops_the_rest() {
        let (result, sums) = run(2, Some(55));
        assert_eq!(result, Err("at 55".to_owned()));
        assert!(sums.iter().any(|(_, finished)| !finished));
    }
}
