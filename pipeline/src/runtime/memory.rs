//! How much memory a build or a verification may take, and what each pass may take of it.
//!
//! A pass holds pieces of work whose size is cut so that all of them fit; what does not fit is in work
//! files. Where pieces are cut has no influence on the corpus. The fractions add up to some two thirds,
//! since the allocator and the program itself need the rest ([`BASE`]).

use std::fs;
use std::sync::{Condvar, Mutex, PoisonError};

/// What the program takes by itself: code, language profiles, word lists. Measured.
pub(crate) const BASE: u64 = 64 << 20;
/// Reading: batches of each thread, compressed and not.
const READING_PER_THREAD: u64 = 24 << 20;
/// What a thread holds at least: batches, their text, and what is written of it. Measured.
const LEAST_PER_THREAD: u64 = 12 << 20;
/// Without any other word, and where the system does not tell.
const UNKNOWN: u64 = 4 << 30;
/// Below this a build is refused.
pub const LEAST: u64 = 128 << 20;

/// A budget for the whole process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    bytes: u64,
    threads: u64,
}

impl Memory {
    /// `bytes` for `threads` threads.
    pub(crate) fn new(bytes: u64, threads: usize) -> Memory {
        Memory {
            bytes,
            threads: threads.max(1) as u64,
        }
    }

    /// What each of `n` things that are done at once has.
    pub(crate) fn shared_by(self, n: usize) -> Memory {
        Memory {
            threads: self.threads * n.max(1) as u64,
            ..self
        }
    }

    /// What all threads together have for their work.
    fn work(self) -> u64 {
        let fixed = BASE + self.threads * READING_PER_THREAD;
        let free = self.bytes.saturating_sub(fixed).max(self.bytes / 4);
        free.saturating_mul(2) / 3
    }

    /// What one thread has for its piece of work.
    fn piece(self) -> u64 {
        self.work() / self.threads
    }

    /// `c4 verify`: keys of lines or spans, of all threads, with what a ledger says of spans.
    pub(crate) fn verified_keys(self) -> u64 {
        self.work()
    }

    /// Pass 1: keys of a segment, in bytes of memory. As many segments as threads are open.
    pub(crate) fn segment_keys(self) -> u64 {
        (self.piece() / 3).clamp(1 << 20, 64 << 20)
    }

    /// Pass 1: text of a segment, in bytes. Nothing of it is in memory until pass 4, where all that is
    /// kept of it is, encoded.
    pub(crate) fn segment_text(self) -> u64 {
        (self.piece() / 4).clamp(1 << 20, 256 << 20)
    }

    /// Passes 2 and 3: keys of one part, in bytes of memory.
    pub(crate) fn dedup(self) -> u64 {
        self.piece()
    }

    /// Pass 4: rows that wait to be written together, of all threads; a small part of `all`, so that
    /// little is lost by a stop. Twice as much may be in memory.
    pub(crate) fn group(self, all: u64) -> u64 {
        let most = (self.piece() / 4 * self.threads).clamp(1 << 20, 1 << 30);
        (all / 64).clamp(4 << 20, most.max(4 << 20))
    }

    /// Pass 5: text of a bucket. A thread holds one, reads another, and encodes.
    pub(crate) fn bucket(self) -> u64 {
        (self.piece() / 6).clamp(1 << 20, 64 << 20)
    }
}

/// What is read of an archive is large from so many bytes on.
pub const LARGE_BYTES: usize = 4 << 20;

/// A frame of a work file is large from so many unpacked bytes on: one that holds a large page. Usual frames end soon
/// after [`LARGE_BYTES`] of text.
pub(crate) const LARGE_FRAME_BYTES: usize = LARGE_BYTES / 2 * 3;

/// One thread of the process at a time holds what is large (a record of megabytes, and the text that comes of it),
/// so that this adds to the budget once, not once a thread. Whoever has it waits for nobody else.
#[derive(Debug)]
pub(crate) struct Large(());

static LARGE_IS_HELD: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());

impl Large {
    /// Waits until nobody else has it.
    pub(crate) fn wait() -> Large {
        let (held, freed) = &LARGE_IS_HELD;
        let held = held.lock().unwrap_or_else(PoisonError::into_inner);
        let held = freed.wait_while(held, |held| *held);
        *held.unwrap_or_else(PoisonError::into_inner) = true;
        Large(())
    }
}

impl Drop for Large {
    fn drop(&mut self) {
        let (held, freed) = &LARGE_IS_HELD;
        *held.lock().unwrap_or_else(PoisonError::into_inner) = false;
        freed.notify_one();
    }
}

/// The least budget for a build on `threads` threads, in bytes.
pub(crate) fn least(threads: usize) -> u64 {
    LEAST.max(BASE + threads as u64 * LEAST_PER_THREAD)
}

/// Half of the memory that is there: the machine's or, where that is less, the process's group's.
pub fn default_budget() -> u64 {
    let read = |path: &str| fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo").and_then(|text| {
        let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
        let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kilobytes * 1024)
    });
    let group = ["memory.max", "memory/memory.limit_in_bytes"]
        .into_iter()
        .find_map(|file| read(&format!("/sys/fs/cgroup/{file}")))
        .and_then(|text| text.trim().parse::<u64>().ok());
    match (machine, group) {
        (Some(machine), Some(group)) => machine.min(group) / 2,
        (Some(bytes), None) | (None, Some(bytes)) => bytes / 2,
        (None, None) => UNKNOWN,
    }
    .max(LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_all_threads_fit_into_the_budget() {
        for bytes in [LEAST, 512 << 20, 8 << 30, 64 << 30] {
            for threads in [1, 2, 16, 64] {
                let memory = Memory::new(bytes, threads);
                let all = |piece: u64| piece * threads as u64;
                let least = bytes.max(all(32 << 20));
                assert!(all(memory.dedup()) < least);
                assert!(memory.verified_keys() < least);
                assert!(all(memory.segment_keys()) < least);
                assert!(all(memory.bucket() * 4) < least);
                assert!(all(memory.segment_text()) + 2 * memory.group(1 << 50) < least);
            }
        }
        assert!(default_budget() >= LEAST);
    }
}
