//! How long to wait before the next attempt, and when to give up.

use super::Address;
use super::error::{FetchError, FetchFailure, Trouble};
use chrono::{DateTime, Utc};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// So many failures in a row, and the user should know what the program waits for.
const WORTH_A_LINE: u32 = 4;

/// Patience with a server.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// Attempts in a row that bring nothing new, until a download has failed for good.
    pub attempts: u32,
    /// The wait after the first failure is a random part of this; it doubles with every failure.
    pub base: Duration,
    /// The wait is a random part of this at most.
    pub cap: Duration,
    /// A server that asks for a longer wait (`Retry-After`) gets this.
    pub longest_asked: Duration,
    /// For a connection.
    pub connect_timeout: Duration,
    /// For the head of an answer.
    pub answer_timeout: Duration,
    /// A connection that brings less a second is dropped; the next goes on where it was.
    pub slowest_bytes_per_second: u64,
    /// Over how long that is measured.
    pub slow_window: Duration,
}

impl Default for RetryPolicy {
    /// Seven waits, a minute in all on average. The cap is the order of what Common Crawl blocks
    /// those for who ask too fast.
    fn default() -> RetryPolicy {
        RetryPolicy {
            attempts: 8,
            base: Duration::from_secs(1),
            cap: Duration::from_secs(60),
            longest_asked: Duration::from_secs(300),
            connect_timeout: Duration::from_secs(30),
            answer_timeout: Duration::from_secs(60),
            slowest_bytes_per_second: 16 << 10,
            slow_window: Duration::from_secs(30),
        }
    }
}

impl RetryPolicy {
    /// "Full jitter": anything up to the bound, so that those who failed together do not come back
    /// together. Source: <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>
    fn wait(&self, failures: u32) -> Duration {
        let doubled = self.base.saturating_mul(1 << failures.min(20));
        doubled.min(self.cap).mul_f64(random())
    }
}

/// From 0 to 1. Only waits depend on it.
fn random() -> f64 {
    RandomState::new().hash_one(0) as f64 / u64::MAX as f64
}

/// The wait that a header `Retry-After` asks for, in seconds or as a date.
pub(super) fn retry_after(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = DateTime::parse_from_rfc2822(value).ok()?;
    Some((until.to_utc() - now).to_std().unwrap_or_default())
}

/// The attempts at one file.
pub(super) struct Tries<'a> {
    address: &'a Address,
    policy: &'a RetryPolicy,
    /// In a row, without anything new.
    fruitless: u32,
    all: u32,
}

impl<'a> Tries<'a> {
    pub(super) fn new(address: &'a Address, policy: &'a RetryPolicy) -> Tries<'a> {
        Tries {
            address,
            policy,
            fruitless: 0,
            all: 0,
        }
    }

    /// Notes a failed attempt. The wait before the next one, if there is to be one.
    pub(super) fn failed(
        &mut self,
        trouble: Trouble,
        progressed: bool,
    ) -> Result<Duration, FetchError> {
        self.all += 1;
        self.fruitless = if progressed { 0 } else { self.fruitless + 1 };
        let (failure, cause) = match trouble {
            Trouble::Final(failure, cause) => (failure, cause),
            Trouble::Passing { cause, after } if self.fruitless < self.policy.attempts => {
                let wait = self.policy.wait(self.fruitless.saturating_sub(1));
                let asked = after.unwrap_or_default().min(self.policy.longest_asked);
                let wait = wait + asked;
                if self.fruitless >= WORTH_A_LINE {
                    let seconds = wait.as_secs();
                    tracing::warn!("{}: {cause}; next attempt in {seconds} s", self.address);
                } else {
                    tracing::debug!("{}: {cause}; next attempt in {wait:?}", self.address);
                }
                return Ok(wait);
            }
            Trouble::Passing { cause, .. } => (FetchFailure::GaveUp, cause),
        };
        Err(FetchError {
            address: self.address.clone(),
            failure,
            attempts: self.all,
            cause,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_are_spread() {
        let policy = RetryPolicy::default();
        for (failures, bound) in [(0, 1), (1, 2), (4, 16), (6, 60), (u32::MAX, 60)] {
            let waits: Vec<f64> = (0..400)
                .map(|_| policy.wait(failures).as_secs_f64())
                .collect();
            let bound = f64::from(bound);
            let mean = waits.iter().sum::<f64>() / 400.0 / bound;
            assert!(waits.iter().all(|w| *w <= bound));
            // Ten standard errors of the mean of 400 uniform numbers.
            assert!((mean - 0.5).abs() < 0.15, "{mean}");
        }
    }

    #[test]
    fn retry_after_in_both_forms() {
        let now = DateTime::parse_from_rfc3339("2015-10-21T07:27:00Z")
            .unwrap()
            .to_utc();
        let seconds = |text| retry_after(text, now).map(|wait| wait.as_secs());
        assert_eq!(seconds(" 120 "), Some(120));
        assert_eq!(seconds("Wed, 21 Oct 2015 07:28:00 GMT"), Some(60));
        assert_eq!(seconds("Wed, 21 Oct 2015 07:26:00 GMT"), Some(0));
        assert_eq!(seconds("soon"), None);
    }

    #[test]
    fn what_comes_in_resets_the_count() {
        let address = "https://h/x".parse().unwrap();
        let policy = RetryPolicy {
            attempts: 3,
            ..RetryPolicy::default()
        };
        let mut tries = Tries::new(&address, &policy);
        let passing = || Trouble::Passing {
            cause: "cut".into(),
            after: None,
        };
        for progressed in [false, false, true, false, false] {
            tries.failed(passing(), progressed).unwrap();
        }
        let error = tries.failed(passing(), false).unwrap_err();
        assert_eq!((error.failure, error.attempts), (FetchFailure::GaveUp, 6));
        let wait = Tries::new(&address, &policy).failed(
            Trouble::Passing {
                cause: "busy".into(),
                after: Some(Duration::from_secs(1_000_000)),
            },
            false,
        );
        assert!((300..=301).contains(&wait.unwrap().as_secs()));
    }
}
