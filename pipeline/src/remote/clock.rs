//! The clock that waits between attempts go by.

use crate::runtime::parallel::lock;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Time as the waits between attempts see it. What a server takes for an answer is measured in real time.
#[derive(Debug, Clone, Default)]
pub struct Clock(Option<Arc<Mutex<Instant>>>);

impl Clock {
    /// A clock on which every wait is over at once, and its time has passed: for tests of patience.
    pub fn simulated() -> Clock {
        Clock(Some(Arc::new(Mutex::new(Instant::now()))))
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.0.as_ref().map_or_else(Instant::now, |simulated| *lock(simulated))
    }

    pub(super) async fn sleep(&self, wait: Duration) {
        match &self.0 {
            None => tokio::time::sleep(wait).await,
            Some(simulated) => {
                // Several who wait at a time do so side by side.
                let until = *lock(simulated) + wait;
                tokio::task::yield_now().await;
                let mut now = lock(simulated);
                *now = until.max(*now);
            }
        }
    }
}
