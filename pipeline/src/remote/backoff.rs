//! How long to wait before the next attempt, and when to give up.

use super::Address;
use super::error::{FetchError, FetchFailure, Passing, Trouble};
use crate::runtime::parallel::lock;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// So many failures in a row, and the user should know what the program waits for.
const WORTH_A_LINE: u32 = 4;

/// Patience with a server.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// Attempts in a row that bring nothing new, until a download has failed for good.
    pub attempts: u32,
    /// How long a server is waited for that says that one asks too fast (403, 429, 503), or that served before
    /// and now does not serve anybody; only attempts after that count.
    pub outage: Duration,
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
    /// Seven waits, a minute in all on average. Common Crawl blocks those who ask too fast for minutes; ten
    /// were seen. The cap keeps their requests in that time few.
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

/// When each host last served a file, and since when it has not.
#[derive(Debug, Default)]
pub(super) struct Hosts(Mutex<BTreeMap<String, Host>>);

#[derive(Debug, Clone, Copy, Default)]
struct Host {
    served: Option<Instant>,
    /// The first failure after that.
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

/// The attempts at one file.
pub(super) struct Tries<'a> {
    address: &'a Address,
    policy: &'a RetryPolicy,
    /// In a row, without anything new.
    fruitless: u32,
    /// When the first of these failed.
    since: Option<Instant>,
    /// Those of them that do not count, since nobody was served.
    excused: u32,
    all: u32,
}

impl<'a> Tries<'a> {
    pub(super) fn new(address: &'a Address, policy: &'a RetryPolicy) -> Tries<'a> {
        Tries {
            address,
            policy,
            fruitless: 0,
            since: None,
            excused: 0,
            all: 0,
        }
    }

    /// Notes a failed attempt at `now`. The wait before the next one, if there is to be one.
    pub(super) fn failed(
        &mut self,
        trouble: Trouble,
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
        let (failure, cause, advice) = match trouble {
            Trouble::Final { failure, cause, advice } => (failure, cause, advice),
            Trouble::Passing {
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

    /// Whether the failure is the server's state and not the file's, for no longer than that is borne.
    fn is_outage(&self, kind: Passing, hosts: &Hosts, now: Instant) -> bool {
        let host = hosts.failed(self.address, now);
        let since = self.since.unwrap_or(now);
        // Others get their files meanwhile, so it may be this very file.
        let serves = host.served.is_some_and(|served| served > since);
        let since = match (kind, serves) {
            (Passing::Throttled, true) => since,
            (_, true) => return false,
            (Passing::Broken, false) if host.served.is_none() => return false,
            // All who wait give up together.
            (_, false) => host.silent.unwrap_or(now),
        };
        now.saturating_duration_since(since) < self.policy.outage
    }

    fn wait(&self, cause: &str, after: Option<Duration>) -> Duration {
        let wait = self.policy.wait(self.fruitless.saturating_sub(1));
        let asked = after.unwrap_or_default().min(self.policy.longest_asked);
        let wait = wait + asked;
        if self.fruitless >= WORTH_A_LINE {
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

    fn trouble(kind: Passing, seconds: Option<u64>) -> Trouble {
        Trouble::Passing {
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
        let mut tries = Tries::new(&address, &policy);
        let passing = || trouble(Passing::Broken, None);
        for progressed in [false, false, true, false, false] {
            tries.failed(passing(), progressed, (&hosts, now)).unwrap();
        }
        let error = tries.failed(passing(), false, (&hosts, now)).unwrap_err();
        assert_eq!((error.failure, error.attempts), (FetchFailure::GaveUp, 6));
        for absurd in [1_000_000, u64::MAX] {
            let asked = trouble(Passing::Throttled, Some(absurd));
            let mut tries = Tries::new(&address, &policy);
            let wait = tries.failed(asked, false, (&hosts, now)).unwrap();
            assert!((300..=301).contains(&wait.as_secs()));
        }
    }

    /// Seconds until a file is given up, at an attempt a minute; its host served `served` seconds before.
    fn given_up(kind: Passing, served: Option<u64>, serves_others: bool) -> u64 {
        let address: Address = "https://h/x".parse().unwrap();
        let policy = RetryPolicy::default();
        let (hosts, start) = (Hosts::default(), Instant::now());
        if served.is_some() {
            hosts.served(&address, start);
        }
        let mut tries = Tries::new(&address, &policy);
        let begin = start + Duration::from_secs(served.unwrap_or(0));
        for minute in 0.. {
            let now = begin + Duration::from_secs(60 * minute);
            if tries.failed(trouble(kind, None), false, (&hosts, now)).is_err() {
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
            (Passing::Throttled, None, false, long),
            (Passing::Throttled, Some(3600), true, long),
            (Passing::PerhapsThrottled, None, false, long),
            // It is this file alone.
            (Passing::PerhapsThrottled, Some(3600), true, few + 60),
            // A port where there is no server, and a server that went away.
            (Passing::Broken, None, false, few),
            (Passing::Broken, Some(3600), false, long),
            (Passing::Broken, Some(3600), true, few + 60),
        ] {
            let seconds = given_up(kind, served, others);
            assert_eq!(seconds, expected, "{kind:?} {served:?} {others}");
        }
    }

    /// Those that begin while nothing comes do not wait from the start.
    #[test]
    fn all_give_up_together() {
        let address: Address = "https://h/x".parse().unwrap();
        let policy = RetryPolicy::default();
        let (hosts, start) = (Hosts::default(), Instant::now());
        let failures = |minutes: u64| {
            let mut tries = Tries::new(&address, &policy);
            let now = start + Duration::from_secs(60 * minutes);
            let mut failed = || tries.failed(trouble(Passing::Throttled, None), false, (&hosts, now));
            (1..100).find(|_| failed().is_err())
        };
        assert_eq!(failures(0), None);
        assert_eq!(failures(19), None);
        assert_eq!(failures(20), Some(8));
    }
}
