//! Requests to stop, and crashes for tests.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::{io, thread};

static ASKED: AtomicBool = AtomicBool::new(false);

/// Lets SIGINT (Ctrl-C) and SIGTERM ask to stop from now on; a second signal ends the process at once, which loses no
/// finished work either. `notify` shows the user which of the two happens.
///
/// # Errors
/// The operating system refuses to install the handlers.
pub(crate) fn listen(notify: impl Fn(&str) + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in &mut signals {
            if asked() {
                notify("Stopped. Run the same command again to resume.");
                // The status that a shell gives for a signal.
                std::process::exit(128 + signal);
            }
            ask();
            notify("Stopping when the current work is done; press Ctrl-C again to stop at once.");
        }
    })?;
    Ok(())
}

/// Asks the build to stop: work in hand is finished, no other is started.
pub fn ask() {
    ASKED.store(true, Ordering::Relaxed);
}

/// Withdraws the request to stop, for a process that builds again.
pub fn forget() {
    ASKED.store(false, Ordering::Relaxed);
}

/// Whether the build has been asked to stop.
pub(crate) fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// The environment variable `PLACE:N` that makes the process abort the Nth time (from 1) that it reaches the crash
/// point `PLACE`, for tests of what a crash leaves.
pub(crate) const CRASH_VARIABLE: &str = "C4_CRASH";

/// Aborts the process here if [`CRASH_VARIABLE`] says so.
pub(crate) fn crash_point(place: &str) {
    static CRASH: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static REACHED: AtomicU64 = AtomicU64::new(0);
    let crash = CRASH.get_or_init(|| {
        let value = std::env::var(CRASH_VARIABLE).ok()?;
        let (place, n) = value.split_once(':')?;
        Some((place.to_owned(), n.parse().ok()?))
    });
    if let Some((name, n)) = crash
        && name == place
        && REACHED.fetch_add(1, Ordering::Relaxed) + 1 == *n
    {
        // As a kill does, this runs no destructors and flushes no buffers.
        std::process::abort();
    }
}
