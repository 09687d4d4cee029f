//! How long each pass took.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds by pass.
pub(super) struct Clock {
    started: Instant,
    pub(super) started_unix: u64,
    pub(super) laps: Vec<(&'static str, f64)>,
}

impl Clock {
    pub(super) fn start() -> Clock {
        Clock {
            started: Instant::now(),
            started_unix: unix_seconds(),
            laps: Vec::new(),
        }
    }

    pub(super) fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// What went by since the last lap was another target's.
    pub(super) fn leave_out_the_wait(&mut self) {
        let laps: f64 = self.laps.iter().map(|(_, seconds)| seconds).sum();
        self.started += Duration::from_secs_f64((self.seconds() - laps).max(0.0));
    }

    pub(super) fn lap(&mut self, name: &'static str) {
        let before: f64 = self.laps.iter().map(|(_, seconds)| seconds).sum();
        self.laps.push((name, self.seconds() - before));
    }
}

pub(super) fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs())
}
