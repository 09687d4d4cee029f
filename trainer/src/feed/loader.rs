//! Threads that read and tokenise ahead, and the one that packs.
//!
//! Workers take groups: whoever is free reads the next group of the corpus that has the least in store, under a ticket,
//! and makes its examples. The packer takes groups by ticket, so no order of threads shows. A bounded number of
//! groups a corpus and of whole batches is in store.

use super::chain::{Chain, Group};
use super::group::{GroupReader, Window};
use super::task::{RowGroup, TaskReader};
use crate::Error;
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Reads a corpus or a task.
pub(super) enum Reader {
    Corpus(GroupReader),
    Task(TaskReader),
}

/// What was read, to be made examples of.
enum Work {
    Documents(Window),
    Rows(RowGroup),
}

impl Reader {
    fn next(&mut self) -> Result<Option<Work>, Error> {
        match self {
            Reader::Corpus(reader) => Ok(reader.next()?.map(Work::Documents)),
            Reader::Task(reader) => Ok(Some(Work::Rows(reader.next()?))),
        }
    }
}

impl Work {
    fn examples(&self, chain: &Chain, number: u32) -> Result<Group, Error> {
        match self {
            Work::Documents(window) => chain.examples(window, number),
            Work::Rows(rows) => rows.examples(chain),
        }
    }
}

/// What workers and packer share.
pub(super) struct Store {
    state: Mutex<State>,
    /// A worker may have something to do.
    work: Condvar,
    /// A group was finished.
    ready: Condvar,
    chain: Chain,
}

struct State {
    stop: bool,
    corpora: Vec<Shelf>,
}

/// A corpus's groups.
struct Shelf {
    /// Absent while a worker reads.
    reader: Option<Reader>,
    /// Groups that may be in store or being made.
    most: u64,
    /// Tickets given out.
    read: u64,
    /// Groups that the packer has taken.
    taken: u64,
    done: BTreeMap<u64, Result<Option<Group>, Error>>,
    ended: bool,
}

impl Shelf {
    fn wants(&self) -> bool {
        !self.ended && self.reader.is_some() && self.read - self.taken < self.most
    }
}

impl Store {
    /// Each corpus with the number of groups that may be in store.
    pub fn new(corpora: Vec<(Reader, u64)>, chain: Chain) -> Store {
        let shelf = |(reader, most)| Shelf {
            reader: Some(reader),
            most,
            read: 0,
            taken: 0,
            done: BTreeMap::new(),
            ended: false,
        };
        Store {
            state: Mutex::new(State {
                stop: false,
                corpora: corpora.into_iter().map(shelf).collect(),
            }),
            work: Condvar::new(),
            ready: Condvar::new(),
            chain,
        }
    }

    /// A worker that panics sets `stop`, so a poisoned lock is seen by nobody who relies on what it guards.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all threads that work on this store.
    pub fn stop(&self) {
        self.lock().stop = true;
        self.work.notify_all();
        self.ready.notify_all();
    }

    /// Reads and tokenises until the store is stopped or all corpora ended.
    pub fn work(self: &Arc<Self>) {
        let _stop = StopOnPanic(self);
        while let Some((corpus, mut reader)) = self.reader() {
            let work = reader.next();
            let ticket = {
                let mut state = self.lock();
                let shelf = &mut state.corpora[corpus];
                shelf.reader = Some(reader);
                shelf.ended |= !matches!(work, Ok(Some(_)));
                let ticket = shelf.read;
                shelf.read += 1;
                ticket
            };
            self.work.notify_all();
            let number = u32::try_from(corpus).expect("checked when the feed was opened");
            let group = work.and_then(|work| work.map(|work| work.examples(&self.chain, number)).transpose());
            self.lock().corpora[corpus].done.insert(ticket, group);
            self.ready.notify_all();
        }
    }

    /// Waits for something to read; `None` if there will be nothing.
    fn reader(&self) -> Option<(usize, Reader)> {
        let mut state = self.lock();
        loop {
            if state.stop || state.corpora.iter().all(|shelf| shelf.ended) {
                return None;
            }
            let shelves = state.corpora.iter_mut().enumerate();
            let next = shelves
                .filter(|(_, shelf)| shelf.wants())
                // By how full it is; products keep it in integers.
                .min_by(|(_, a), (_, b)| {
                    let (a_in, b_in) = (a.read - a.taken, b.read - b.taken);
                    (a_in * b.most).cmp(&(b_in * a.most))
                })
                .and_then(|(i, shelf)| Some((i, shelf.reader.take()?)));
            if next.is_some() {
                return next;
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The next group of a corpus, waited for; `Ok(None)` at its end, `None` if the store was stopped.
    pub fn take(&self, corpus: usize) -> Option<Result<Option<Group>, Error>> {
        let mut state = self.lock();
        loop {
            if state.stop {
                return None;
            }
            let shelf = &mut state.corpora[corpus];
            if let Some(group) = shelf.done.remove(&shelf.taken) {
                shelf.taken += 1;
                drop(state);
                self.work.notify_all();
                return Some(group);
            }
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Lets nobody wait for a worker that is gone.
struct StopOnPanic<'a>(&'a Store);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}
