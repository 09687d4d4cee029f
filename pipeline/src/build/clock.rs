//! How long each pass took, and how much work it was.

use crate::runtime::usage;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Measures the passes of a build.
#[derive(Clone)]
pub(super) struct PassClock {
    started: Instant,
    pub(super) started_unix: u64,
    /// Seconds by the clock, by pass.
    pub(super) laps: Vec<(&'static str, f64)>,
    /// CPU seconds of all threads, by pass; empty where the system does not say.
    pub(super) cpu_laps: Vec<(&'static str, f64)>,
    cpu: Option<f64>,
}

impl PassClock {
    pub(super) fn start() -> PassClock {
        PassClock {
            started: Instant::now(),
            started_unix: unix_seconds(),
            laps: Vec::new(),
            cpu_laps: Vec::new(),
            cpu: usage::cpu_seconds(),
        }
    }

    pub(super) fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Leaves out the time since the last lap, which was spent on another target.
    pub(super) fn leave_out_the_wait(&mut self) {
        let laps: f64 = self.laps.iter().map(|(_, seconds)| seconds).sum();
        self.started += Duration::from_secs_f64((self.seconds() - laps).max(0.0));
        self.cpu = usage::cpu_seconds();
    }

    pub(super) fn lap(&mut self, name: &'static str) {
        let before: f64 = self.laps.iter().map(|(_, seconds)| seconds).sum();
        self.laps.push((name, self.seconds() - before));
        let cpu = usage::cpu_seconds();
        if let (Some(before), Some(now)) = (self.cpu, cpu) {
            // To the hundredth, which is what the system counts.
            let spent = ((now - before) * 100.0).round() / 100.0;
            self.cpu_laps.push((name, spent));
        }
        self.cpu = cpu;
    }
}

pub(super) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
