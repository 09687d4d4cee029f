//! The memory of the machine.

use crate::Error;
use std::fs;

/// The machine's memory in bytes, or that of the process's group where that is less; `None` where the system does not
/// say.
pub fn total() -> Option<u64> {
    let group = ["memory.max", "memory/memory.limit_in_bytes"]
        .into_iter()
        .find_map(|file| fs::read_to_string(format!("/sys/fs/cgroup/{file}")).ok())
        .and_then(|text| text.trim().parse::<u64>().ok());
    [meminfo("MemTotal:"), group].into_iter().flatten().min()
}

/// The machine's memory in bytes that is not in use; `None` where the system does not say.
pub fn available() -> Option<u64> {
    let available = meminfo("MemAvailable:");
    [available, total()].into_iter().flatten().min()
}

fn meminfo(key: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// Refuses what is clearly too much for this machine: more than all of its memory.
///
/// # Errors
/// Says what needs how much.
pub(crate) fn refuse_too_much(what: &str, bytes: u64) -> Result<(), Error> {
    match total() {
        Some(total) if bytes > total => Err(Error::Setting(format!(
            "{what} needs {} of memory, and this machine has {}; take smaller sizes or a larger machine",
            gigabytes(bytes),
            gigabytes(total)
        ))),
        _ => Ok(()),
    }
}

pub(crate) fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_free_is_part_of_the_total() {
        let Some(total) = total() else { return };
        assert!(available().is_some_and(|free| free > 0 && free <= total));
    }
}
