//! How long kernels and products take on a GPU, by an event before and after each, where the variable `T5_KERNEL_TIMES`
//! names a file. When the device is closed, the file gets a line of JSON for each: its name, launches, milliseconds;
//! what takes most first.
//!
//! Events cost some microseconds, and a GPU that waits for its host counts as busy with the next kernel: times are
//! those of a step where the host is ahead, as with large batches.

use cudarc::driver::result::DriverError;
use cudarc::driver::sys::CUevent_flags;
use cudarc::driver::{CudaEvent, CudaStream};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

/// Times so far, and where they go.
#[derive(Debug)]
pub(super) struct KernelTimes {
    path: PathBuf,
    times: Mutex<Times>,
}

#[derive(Debug, Default)]
struct Times {
    /// Asked for, and perhaps not done.
    pending: Vec<(String, CudaEvent, CudaEvent)>,
    /// Launches and milliseconds by name.
    sums: BTreeMap<String, (u64, f64)>,
}

impl KernelTimes {
    pub fn asked_for() -> Option<KernelTimes> {
        let path = std::env::var_os("T5_KERNEL_TIMES")?.into();
        Some(KernelTimes {
            path,
            times: Mutex::default(),
        })
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().expect("no thread panics with the lock")
    }

    /// Does work on a stream. Without events, which a driver that has failed doesn't give, it is not timed.
    pub fn around<T, E>(
        &self,
        stream: &Arc<CudaStream>,
        name: impl FnOnce() -> String,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let event = || stream.record_event(Some(CUevent_flags::CU_EVENT_DEFAULT)).ok();
        let start = event();
        let done = work()?;
        if let (Some(start), Some(end)) = (start, event()) {
            self.times().pending.push((name(), start, end));
        }
        Ok(done)
    }

    /// Adds up what was asked for; waits for it.
    pub fn settle(&self) -> Result<(), DriverError> {
        let mut times = self.times();
        for (name, start, end) in std::mem::take(&mut times.pending) {
            let milliseconds = f64::from(start.elapsed_ms(&end)?);
            let sum = times.sums.entry(name).or_default();
            *sum = (sum.0 + 1, sum.1 + milliseconds);
        }
        Ok(())
    }
}

impl Drop for KernelTimes {
    fn drop(&mut self) {
        // What fails here has failed before, and was said.
        let _ = self.settle();
        let mut rows: Vec<_> = std::mem::take(&mut self.times().sums).into_iter().collect();
        rows.sort_by(|a, b| b.1.1.total_cmp(&a.1.1));
        let line = |(kernel, (launches, milliseconds))| {
            format!(
                "{}\n",
                json!({ "kernel": kernel, "launches": launches, "milliseconds": milliseconds })
            )
        };
        let lines: String = rows.into_iter().map(line).collect();
        if let Err(e) = std::fs::write(&self.path, lines) {
            eprintln!("T5_KERNEL_TIMES: {}: {e}", self.path.display());
        }
    }
}
