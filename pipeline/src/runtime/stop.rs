//! Being asked to stop, and being stopped for tests.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::{io, thread};

static ASKED: AtomicBool = AtomicBool::new(false);

/// From now on SIGINT (Ctrl-C) and SIGTERM ask to stop; a second one ends the process at once, which
/// loses nothing that is done either. `notify` tells the user which of the two comes.
///
/// # Errors
/// The operating system refuses.
pub(crate) fn listen(notify: impl Fn(&str) + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in &mut signals {
            if asked() {
                notify("Stopped. The same command goes on with what is done.");
                // As a shell would say it.
                std::process::exit(128 + signal);
            }
            ask();
            notify("Stopping when the work in hand is done; once more to stop at once.");
        }
    })?;
    Ok(())
}

/// Notes that the build should stop: units in work are finished, no other is begun.
pub fn ask() {
    ASKED.store(true, Ordering::Relaxed);
}

/// Forgets that it was asked, for a process that builds again.
pub fn forget() {
    ASKED.store(false, Ordering::Relaxed);
}

/// Whether it should.
pub(crate) fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// The environment variable that names a place where the process dies as if it had been killed:
/// `PLACE:N` for the Nth time (from 1) that it comes there. For tests of what a crash leaves.
pub(crate) const CRASH_VARIABLE: &str = "C4_CRASH";

/// Dies here if [`CRASH_VARIABLE`] says so.
pub(crate) fn crash_point(place: &str) {
    static CRASH: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static COME: AtomicU64 = AtomicU64::new(0);
    let crash = CRASH.get_or_init(|| {
        let value = std::env::var(CRASH_VARIABLE).ok()?;
        let (place, n) = value.split_once(':')?;
        Some((place.to_owned(), n.parse().ok()?))
    });
    if let Some((name, n)) = crash
        && name == place
        && COME.fetch_add(1, Ordering::Relaxed) + 1 == *n
    {
        // Nothing is run at exit, no buffer is flushed.
        std::process::abort();
    }
}
