//! The clock of waits between attempts.

use crate::runtime::parallel::lock;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The clock that measures waits between attempts: the system's, or a simulated one.
///
/// The time that a server takes to respond is real time in either case.
#[derive(Debug, Clone, Default)]
pub struct Clock(Option<Arc<Mutex<Instant>>>);

impl Clock {
    /// A clock on which a wait ends at once and advances the time by its length, for tests.
    pub fn simulated() -> Clock {
        Clock(Some(Arc::new(Mutex::new(Instant::now()))))
    }

    /// The current time of this clock.
    pub fn now(&self) -> Instant {
        self.0.as_ref().map_or_else(Instant::now, |simulated| *lock(simulated))
    }

    pub(super) async fn sleep(&self, wait: Duration) {
        match &self.0 {
            None => tokio::time::sleep(wait).await,
            Some(simulated) => {
                // Several waits that begin together end together.
                let until = *lock(simulated) + wait;
                tokio::task::yield_now().await;
                let mut now = lock(simulated);
                *now = until.max(*now);
            }
        }
    }
}
