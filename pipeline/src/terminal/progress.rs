//! Progress on stderr: a bar with rate and time left on a terminal, plain lines elsewhere.

use crate::runtime::parallel::lock;
use crate::terminal::tell;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, stderr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The time between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Whether a [`ProgressWatch`] is there, so that nothing is printed.
static WATCHED: AtomicBool = AtomicBool::new(false);
static CURRENT: Mutex<Option<(&str, ProgressBar)>> = Mutex::new(None);

/// Takes the place of the bar as long as it lives: whoever has it asks for the progress.
pub struct ProgressWatch(());

/// Starts watching: no progress is printed until the [`ProgressWatch`] is dropped.
pub fn watch() -> ProgressWatch {
    WATCHED.store(true, Ordering::Relaxed);
    ProgressWatch(())
}

impl ProgressWatch {
    /// The pass that began last: its name, how much is done, and of how much.
    pub fn now(&self) -> Option<(&'static str, u64, u64)> {
        let current = lock(&CURRENT);
        let (name, bar) = current.as_ref()?;
        Some((name, bar.position(), bar.length().unwrap_or(0)))
    }
}

impl Drop for ProgressWatch {
    fn drop(&mut self) {
        WATCHED.store(false, Ordering::Relaxed);
        *lock(&CURRENT) = None;
    }
}

/// The unit of a progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Bytes,
    Items,
}

/// The progress of one pass.
pub(crate) struct Progress {
    bar: ProgressBar,
    name: &'static str,
    unit: Unit,
    started: Instant,
    last_line: Option<Mutex<Instant>>,
    sizes: Mutex<UnknownSizes>,
}

/// Files whose sizes are not known before they come.
#[derive(Debug, Default)]
struct UnknownSizes {
    files: u64,
    come: u64,
    /// The bytes of the files that have come.
    bytes: u64,
}

impl UnknownSizes {
    /// The bytes of the files that have not come, taken for as large as the mean of those that have.
    fn guess(&self) -> u64 {
        (self.bytes / self.come.max(1)) * self.files.saturating_sub(self.come)
    }
}

impl Progress {
    pub(crate) fn new(name: &'static str, unit: Unit, total: u64) -> Progress {
        let watched = WATCHED.load(Ordering::Relaxed);
        let terminal = !watched && stderr().is_terminal();
        let target = if terminal {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        let template = match unit {
            Unit::Bytes => {
                "{prefix} [{bar:16}] {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta} left"
            }
            Unit::Items => "{prefix} [{bar:16}] {pos}/{len} {per_sec} {eta} left",
        };
        let style = ProgressStyle::with_template(template).unwrap_or(ProgressStyle::default_bar());
        bar.set_style(style.progress_chars("=> "));
        bar.set_prefix(name);
        if watched {
            *lock(&CURRENT) = Some((name, bar.clone()));
        }
        Progress {
            bar,
            name,
            unit,
            started: Instant::now(),
            last_line: (!terminal && !watched).then(|| Mutex::new(Instant::now())),
            sizes: Mutex::default(),
        }
    }

    /// A bar for a pass over `total` and over `files` more of unknown sizes, of each of which [`Progress::come`] will
    /// tell.
    pub(crate) fn with_unknown(name: &'static str, unit: Unit, total: u64, files: u64) -> Progress {
        let progress = Progress::new(name, unit, total);
        lock(&progress.sizes).files = files;
        progress
    }

    /// Counts a file of unknown size, which turned out to have `n` bytes or items.
    pub(crate) fn come(&self, n: u64) {
        let mut sizes = lock(&self.sizes);
        let before = sizes.guess();
        sizes.come += 1;
        sizes.bytes += n;
        let total = self.bar.length().unwrap_or(0).saturating_sub(before);
        self.bar.set_length(total + n + sizes.guess());
    }

    /// Counts `n` more bytes or items as done.
    pub(crate) fn add(&self, n: u64) {
        self.bar.inc(n);
        let Some(last) = &self.last_line else {
            return;
        };
        let mut last = lock(last);
        if last.elapsed() >= LINE_EVERY {
            *last = Instant::now();
            self.line();
        }
    }

    fn line(&self) {
        let (done, total) = (self.bar.position(), self.bar.length().unwrap_or(0));
        let seconds = self.started.elapsed().as_secs_f64().max(1e-3);
        let percent = 100.0 * done as f64 / total.max(1) as f64;
        let left = seconds * (total.saturating_sub(done)) as f64 / done.max(1) as f64;
        match self.unit {
            Unit::Bytes => tell(format_args!(
                "{}: {percent:.0} % of {:.1} MB, {:.1} MB/s, {left:.0} s left",
                self.name,
                total as f64 / 1e6,
                done as f64 / 1e6 / seconds,
            )),
            Unit::Items => tell(format_args!(
                "{}: {done} of {total}, {:.0}/s, {left:.0} s left",
                self.name,
                done as f64 / seconds,
            )),
        }
    }

    /// Takes the bar off the screen, so that what follows has the terminal for itself.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_have_not_come_count_as_the_mean_of_those_that_have() {
        let progress = Progress::with_unknown("x", Unit::Bytes, 1000, 4);
        let total = || progress.bar.length().unwrap_or(0);
        assert_eq!(total(), 1000);
        progress.come(100);
        assert_eq!(total(), 1000 + 4 * 100);
        progress.come(300);
        assert_eq!(total(), 1000 + 100 + 300 + 2 * 200);
        progress.come(200);
        progress.come(200);
        assert_eq!(total(), 1000 + 800);
    }
}
