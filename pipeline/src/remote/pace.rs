//! Limits on the pace of downloads: the user's (bytes a second) and the servers' (`Retry-After`).

use crate::runtime::parallel::lock;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The time whose bytes may come at once after a pause.
const BURST: Duration = Duration::from_millis(250);

/// A limit on the bytes a second of all downloads together: a token bucket.
#[derive(Debug)]
pub(super) struct Pace {
    bytes_per_second: f64,
    /// The time at which all bytes so far are within the limit.
    paid: Mutex<Instant>,
}

impl Pace {
    pub(super) fn new(bytes_per_second: u64) -> Pace {
        Pace {
            bytes_per_second: bytes_per_second.max(1) as f64,
            paid: Mutex::new(Instant::now()),
        }
    }

    /// Counts `bytes` that have come at `now`, and gives the time to wait before more are read.
    pub(super) fn spend(&self, bytes: usize, now: Instant) -> Duration {
        let mut paid = lock(&self.paid);
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let cost = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second);
        *paid = (*paid).max(earliest) + cost;
        paid.saturating_duration_since(now)
    }
}

/// The time until which no request is made, because a server asked for that; shared by all downloads.
#[derive(Debug, Default)]
pub(super) struct Gate(Mutex<Option<Instant>>);

impl Gate {
    pub(super) fn close(&self, until: Instant) {
        let mut closed = lock(&self.0);
        *closed = Some(closed.map_or(until, |before| before.max(until)));
    }

    /// The time left at `now` until requests may be made again.
    pub(super) fn left(&self, now: Instant) -> Duration {
        lock(&self.0).map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_holds_whatever_the_pieces() {
        for piece in [100, 8_192, 1 << 20] {
            let start = Instant::now();
            let pace = Pace::new(1 << 20);
            let mut now = start;
            for _ in 0..(10 << 20) / piece {
                now += pace.spend(piece, now);
            }
            let seconds = (now - start).as_secs_f64();
            assert!((9.7..=10.3).contains(&seconds), "{piece}: {seconds}");
        }
    }
}
