//! Backoff: how long to wait before the next attempt at a download, and when to give up.

use super::Address;
use super::error::{AttemptError, FetchError, FetchFailure, TemporaryKind};
use crate::runtime::parallel::lock;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The number of failures in a row from which each one is a warning: the user should know what the program waits for.
const WARN_AFTER_FAILURES: u32 = 4;

/// How often, how long and how patiently a server is asked before a download fails for good.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// The number of attempts in a row that bring nothing new after which a download has failed for good.
    pub attempts: u32,
    /// How long failures do not count as attempts while a server throttles (403, 429, 503), or serves nobody though
    /// it did before.
    pub outage: Duration,
    /// The upper bound of the random wait after the first failure; it doubles with every further failure.
    pub base: Duration,
    /// The largest upper bound of a random wait.
    pub cap: Duration,
    /// The longest wait that a server gets that asks for one (`Retry-After`).
    pub longest_asked: Duration,
    /// The time in which a connection must be made.
    pub connect_timeout: Duration,
    /// The time in which the head of a response must have come.
    pub answer_timeout: Duration,
    /// The least number of bytes a second; a slower connection is dropped, and the next one resumes where it was.
    pub slowest_bytes_per_second: u64,
    /// The time over which the bytes a second are measured.
    pub slow_window: Duration,
}

impl Default for RetryPolicy {
    /// A policy for Common Crawl: seven waits, a minute in all on average.
    ///
    /// Common Crawl blocks whoever asks too fast for minutes (up to ten were observed), so `outage` is twice that, and
    /// the cap keeps requests rare meanwhile.
    fn default() -> RetryPolicy {
        RetryPolicy {
            attempts: 8,
            outage: Duration::from_secs(20 * 60),
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
    /// The wait after `failures` earlier failures: "full jitter", a random time up to the bound, so that downloads
    /// that failed together do not retry together.
    /// Source: <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>
    fn wait(&self, failures: u32) -> Duration {
        let doubled = self.base.saturating_mul(1 << failures.min(20));
        doubled.min(self.cap).mul_f64(random())
    }
}

/// A random number from 0 to 1. Nothing but waits depends on it, so it needs no seed.
fn random() -> f64 {
    RandomState::new().hash_one(0) as f64 / u64::MAX as f64
}

/// The wait that the value of a header `Retry-After` asks for, in seconds or as a date.
pub(super) fn retry_after(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = DateTime::parse_from_rfc2822(value).ok()?;
    Some((until.to_utc() - now).to_std().unwrap_or_default())
}

/// When each host last served a file, and since when it has not; shared by all downloads.
#[derive(Debug, Default)]
pub(super) struct Hosts(Mutex<BTreeMap<String, Host>>);

#[derive(Debug, Clone, Copy, Default)]
struct Host {
    served: Option<Instant>,
    /// The first failure since the host last served a file.
    silent: Option<Instant>,
}

impl Hosts {
    pub(super) fn served(&self, address: &Address, now: Instant) {
        let served = Host {
            served: Some(now),
            silent: None,
        };
        lock(&self.0).insert(address.host(), served);
    }

    fn failed(&self, address: &Address, now: Instant) -> Host {
        let mut hosts = lock(&self.0);
        let host = hosts.entry(address.host()).or_default();
        host.silent.get_or_insert(now);
        *host
    }
}

/// The attempts at downloading one file.
pub(super) struct Attempts<'a> {
    address: &'a Address,
    policy: &'a RetryPolicy,
    /// Failures in a row that brought nothing new.
    fruitless: u32,
    /// When the first of the fruitless attempts failed.
    since: Option<Instant>,
    /// Fruitless attempts that do not count, since the server was out.
    excused: u32,
    all: u32,
}

impl<'a> Attempts<'a> {
    pub(super) fn new(address: &'a Address, policy: &'a RetryPolicy) -> Attempts<'a> {
        Attempts {
            address,
            policy,
            fruitless: 0,
            since: None,
            excused: 0,
            all: 0,
        }
    }

    /// Records an attempt that failed at `now`, and gives the wait before the next one.
    ///
    /// # Errors
    /// There is to be no other attempt: the error is permanent, or patience is at its end.
    pub(super) fn failed(
        &mut self,
        error: AttemptError,
        progressed: bool,
        (hosts, now): (&Hosts, Instant),
    ) -> Result<Duration, FetchError> {
        self.all += 1;
        if progressed {
            (self.fruitless, self.since, self.excused) = (0, None, 0);
        } else {
            self.fruitless += 1;
            self.since.get_or_insert(now);
        }
        let (failure, cause, advice) = match error {
            AttemptError::Permanent { failure, cause, advice } => (failure, cause, advice),
            AttemptError::Temporary {
                cause,
                after,
                kind,
                advice,
            } => {
                if self.is_outage(kind, hosts, now) {
                    self.excused += 1;
                }
                if self.fruitless - self.excused < self.policy.attempts {
                    return Ok(self.wait(&cause, after));
                }
                (FetchFailure::GaveUp, cause, advice)
            }
        };
        Err(FetchError {
            address: self.address.clone(),
            failure,
            attempts: self.all,
            cause,
            advice,
        })
    }

    /// Whether the failure is due to the server and not to the file, and the outage is shorter than the policy allows.
    fn is_outage(&self, kind: TemporaryKind, hosts: &Hosts, now: Instant) -> bool {
        let host = hosts.failed(self.address, now);
        let since = self.since.unwrap_or(now);
        // The server serves other files meanwhile, so the failure may be this file's.
        let serves = host.served.is_some_and(|served| served > since);
        let since = match (kind, serves) {
            (TemporaryKind::Throttled, true) => since,
            (_, true) => return false,
            (TemporaryKind::Broken, false) if host.served.is_none() => return false,
            // All downloads that wait for this host give up together.
            (_, false) => host.silent.unwrap_or(now),
        };
        now.saturating_duration_since(since) < self.policy.outage
    }

    fn wait(&self, cause: &str, after: Option<Duration>) -> Duration {
        let wait = self.policy.wait(self.fruitless.saturating_sub(1));
        let asked = after.unwrap_or_default().min(self.policy.longest_asked);
        let wait = wait + asked;
        if self.fruitless >= WARN_AFTER_FAILURES {
            let seconds = wait.as_secs();
            tracing::warn!("{}: {cause}; next attempt in {seconds} s", self.address);
        } else {
            tracing::debug!("{}: {cause}; next attempt in {wait:?}", self.address);
        }
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_are_spread() {
        let policy = RetryPolicy::default();
        for (failures, bound) in [(0, 1), (1, 2), (4, 16), (6, 60), (u32::MAX, 60)] {
            let waits: Vec<f64> = (0..400).map(|_| policy.wait(failures).as_secs_f64()).collect();
            let bound = f64::from(bound);
            let mean = waits.iter().sum::<f64>() / 400.0 / bound;
            assert!(waits.iter().all(|w| *w <= bound));
            // Ten standard errors of the mean of 400 uniform numbers.
            assert!((mean - 0.5).abs() < 0.15, "{mean}");
        }
    }

    #[test]
    fn retry_after_in_both_forms() {
        let now = DateTime::parse_from_rfc3339("2015-10-21T07:27:00Z").unwrap().to_utc();
        let seconds = |text| retry_after(text, now).map(|wait| wait.as_secs());
        assert_eq!(seconds(" 120 "), Some(120));
        assert_eq!(seconds("Wed, 21 Oct 2015 07:28:00 GMT"), Some(60));
        assert_eq!(seconds("Wed, 21 Oct 2015 07:26:00 GMT"), Some(0));
        for no in ["soon", "", "-1", "1e9", "99999999999999999999", "+ 1", "\t\0"] {
            assert_eq!(seconds(no), None, "{no:?}");
        }
        assert_eq!(seconds("18446744073709551615"), Some(u64::MAX));
        assert!(seconds("Fri, 31 Dec 9999 23:59:59 GMT") > Some(200_000_000_000));
    }

    fn temporary(kind: TemporaryKind, seconds: Option<u64>) -> AttemptError {
        AttemptError::Temporary {
            cause: "cut".into(),
            after: seconds.map(Duration::from_secs),
            kind,
            advice: None,
        }
    }

    #[test]
    fn what_comes_in_resets_the_count() {
        let address = "https://h/x".parse().unwrap();
        let policy = RetryPolicy {
            attempts: 3,
            ..RetryPolicy::default()
        };
        let (hosts, now) = (Hosts::default(), Instant::now());
        let mut attempts = Attempts::new(&address, &policy);
        let broken = || temporary(TemporaryKind::Broken, None);
        for progressed in [false, false, true, false, false] {
            attempts.failed(broken(), progressed, (&hosts, now)).unwrap();
        }
        let error = attempts.failed(broken(), false, (&hosts, now)).unwrap_err();
        assert_eq!((error.failure, error.attempts), (FetchFailure::GaveUp, 6));
        for absurd in [1_000_000, u64::MAX] {
            let asked = temporary(TemporaryKind::Throttled, Some(absurd));
            let mut attempts = Attempts::new(&address, &policy);
            let wait = attempts.failed(asked, false, (&hosts, now)).unwrap();
            assert!((300..=301).contains(&wait.as_secs()));
        }
    }

    /// Seconds until a file is given up, at an attempt a minute; its host served `served` seconds before.
    fn given_up(kind: TemporaryKind, served: Option<u64>, serves_others: bool) -> u64 {
        let address: Address = "https://h/x".parse().unwrap();
        let policy = RetryPolicy::default();
        let (hosts, start) = (Hosts::default(), Instant::now());
        if served.is_some() {
            hosts.served(&address, start);
        }
        let mut attempts = Attempts::new(&address, &policy);
        let begin = start + Duration::from_secs(served.unwrap_or(0));
        for minute in 0.. {
            let now = begin + Duration::from_secs(60 * minute);
            if attempts.failed(temporary(kind, None), false, (&hosts, now)).is_err() {
                return 60 * minute;
            }
            if serves_others {
                hosts.served(&"https://h/y".parse().unwrap(), now + Duration::from_secs(1));
            }
        }
        unreachable!()
    }

    #[test]
    fn a_server_that_serves_nobody_is_waited_for() {
        let (few, long) = (7 * 60, 27 * 60);
        for (kind, served, others, expected) in [
            (TemporaryKind::Throttled, None, false, long),
            (TemporaryKind::Throttled, Some(3600), true, long),
            (TemporaryKind::PerhapsThrottled, None, false, long),
            // Only this file fails.
            (TemporaryKind::PerhapsThrottled, Some(3600), true, few + 60),
            // A port where there is no server, and a server that went away.
            (TemporaryKind::Broken, None, false, few),
            (TemporaryKind::Broken, Some(3600), false, long),
            (TemporaryKind::Broken, Some(3600), true, few + 60),
        ] {
            let seconds = given_up(kind, served, others);
            assert_eq!(seconds, expected, "{kind:?} {served:?} {others}");
        }
    }

    /// A download that begins during an outage does not wait the whole outage time again.
    #[test]
    fn all_give_up_together() {
        let address: Address = "https://h/x".parse().unwrap();
        let policy = RetryPolicy::default();
        let (hosts, start) = (Hosts::default(), Instant::now());
        let failures = |minutes: u64| {
            let mut attempts = Attempts::new(&address, &policy);
            let now = start + Duration::from_secs(60 * minutes);
            let mut failed = || attempts.failed(temporary(TemporaryKind::Throttled, None), false, (&hosts, now));
            (1..100).find(|_| failed().is_err())
        };
        assert_eq!(failures(0), None);
        assert_eq!(failures(19), None);
        assert_eq!(failures(20), Some(8));
    }
}
