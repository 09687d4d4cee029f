//! The memory budget of a build or a verification, and the share of each pass in it.
//!
//! A pass holds pieces of work that are cut so that all of them fit; what does not fit is in work files. Where pieces
//! are cut has no influence on the corpus. The shares add up to some two thirds, since the allocator and the program
//! itself ([`BASE`]) need the rest.

use std::fs;
use std::sync::{Condvar, Mutex, PoisonError};

/// The bytes that the program itself takes: code, language profiles, word lists. Measured.
pub(crate) const BASE: u64 = 64 << 20;
/// The bytes of each thread's batches while it reads, compressed and not.
const READING_PER_THREAD: u64 = 24 << 20;
/// The least bytes that a thread holds: batches, their text, and what is written of it. Measured.
const LEAST_PER_THREAD: u64 = 12 << 20;
/// The bytes of the default budget where the system does not give the machine's memory.
const UNKNOWN: u64 = 4 << 30;
/// The least budget of a build, in bytes; a smaller one is refused.
pub const LEAST: u64 = 128 << 20;

/// The memory budget of the whole process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    bytes: u64,
    threads: u64,
}

impl Memory {
    /// A budget of `bytes` for `threads` threads.
    pub(crate) fn new(bytes: u64, threads: usize) -> Memory {
        Memory {
            bytes,
            threads: threads.max(1) as u64,
        }
    }

    /// The budget of each of `n` builds that run at once.
    pub(crate) fn shared_by(self, n: usize) -> Memory {
        Memory {
            threads: self.threads * n.max(1) as u64,
            ..self
        }
    }

    /// The bytes that all threads together have for their work.
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

    /// The bytes of a segment's keys in pass 1, where as many segments as threads are open.
    pub(crate) fn segment_keys(self) -> u64 {
        (self.piece() / 3).clamp(1 << 20, 64 << 20)
    }

    /// The bytes of a segment's text in pass 1. None of it is in memory until pass 4, where all that is kept of it is,
    /// encoded.
    pub(crate) fn segment_text(self) -> u64 {
        (self.piece() / 4).clamp(1 << 20, 256 << 20)
    }

    /// The bytes of one partition's keys in passes 2 and 3.
    pub(crate) fn dedup(self) -> u64 {
        self.piece()
    }

    /// The bytes of the rows, of all threads, that wait to be written together in pass 4; a small part of `all`, so
    /// that a stop loses little. Twice as much may be in memory.
    pub(crate) fn group(self, all: u64) -> u64 {
        let most = (self.piece() / 4 * self.threads).clamp(1 << 20, 1 << 30);
        (all / 64).clamp(4 << 20, most.max(4 << 20))
    }

    /// The bytes of a bucket's text in pass 5, where a thread holds one, reads another, and encodes.
    pub(crate) fn bucket(self) -> u64 {
        (self.piece() / 6).clamp(1 << 20, 64 << 20)
    }
}

/// The size in bytes from which a record and its text are large, so that one thread at a time holds such.
pub const LARGE_BYTES: usize = 4 << 20;

/// The size in unpacked bytes from which a frame of a work file is large: it has a large page. Usual frames end soon
/// after [`LARGE_BYTES`] of text.
pub(crate) const LARGE_FRAME_BYTES: usize = LARGE_BYTES / 2 * 3;

/// The permit to hold something large (a record of megabytes, and its text), which one thread of the process has at a
/// time, so that it adds to the budget once and not once a thread. A thread that has it waits for no other.
#[derive(Debug)]
pub(crate) struct Large(());

static LARGE_IS_HELD: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());

impl Large {
    /// Waits until no other thread has the permit, and takes it.
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

/// The default budget in bytes: half of the machine's memory, or of the control group's limit where that is less; 4 GiB
/// where the system gives neither. At least [`LEAST`].
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
