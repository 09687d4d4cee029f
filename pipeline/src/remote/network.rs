//! The client: its threads and its requests.

use super::backoff::{Attempts, Hosts, RetryPolicy};
use super::clock::Clock;
use super::error::{AttemptError, FetchError, FetchFailure};
use super::pace::{Gate, Pace};
use super::redirect::Route;
use super::refusal::Refusal;
use super::s3::{S3, S3Options};
use super::{Address, transfer};
use crate::runtime::parallel::lock;
use crate::runtime::stop;
use http::Method;
use http::header::{self, HeaderMap, HeaderValue};
use reqwest::Url;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// The number of the client's threads. They do little but move bytes, so two are enough for any connection.
const THREADS: usize = 2;
/// The time between two checks whether the build should stop.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The options of a [`Network`].
#[derive(Debug, Clone, Default)]
pub struct NetworkOptions {
    /// How failed requests are retried.
    pub retry: RetryPolicy,
    /// The most bytes a second of all downloads together; `None`: no limit.
    pub rate: Option<u64>,
    /// The configuration of S3: region, server and credentials.
    pub s3: S3Options,
    /// The clock of waits between attempts.
    pub clock: Clock,
}

/// A client for HTTP and S3 with threads of its own, started by the first request.
///
/// Proxies are taken from the environment, certificates from the system. Clones share the client and its counters.
#[derive(Clone)]
pub struct Network(Arc<Inner>);

struct Inner {
    options: NetworkOptions,
    counters: Arc<Counters>,
    started: Mutex<Option<Arc<Started>>>,
}

/// The client and its threads, once they are started.
pub(super) struct Started {
    pub(super) session: Arc<Session>,
    pub(super) runtime: Runtime,
}

/// The state that all requests share. Tasks hold this and not the runtime, which must not be dropped in one of its own
/// threads.
pub(super) struct Session {
    pub(super) policy: RetryPolicy,
    pub(super) pace: Option<Pace>,
    pub(super) counters: Arc<Counters>,
    pub(super) clock: Clock,
    hosts: Hosts,
    pub(super) gate: Gate,
    client: reqwest::Client,
    pub(super) s3: Result<S3, String>,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) bytes: AtomicU64,
    pub(super) requests: AtomicU64,
    pub(super) failed_requests: AtomicU64,
    pub(super) restarts: AtomicU64,
    pub(super) files: AtomicU64,
    pub(super) reused: AtomicU64,
}

/// The counters of what a [`Network`] has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    /// The number of bytes received in bodies, repeated ones included.
    pub bytes: u64,
    /// The number of requests, failed ones included.
    pub requests: u64,
    /// The number of requests that failed, whether or not they were retried.
    pub failed_requests: u64,
    /// The number of times that a download had to start over.
    pub restarts: u64,
    /// The number of files that were downloaded completely.
    pub files: u64,
    /// The number of files that an earlier run had downloaded and that have not changed.
    pub reused: u64,
}

/// What a request for a file says besides the address.
#[derive(Debug, Default)]
pub(super) struct FileRequest<'a> {
    /// The offsets of the first and the last byte that are requested; without a last one, all that follow.
    pub(super) range: Option<(u64, Option<u64>)>,
    /// The ETag that the file must still have.
    pub(super) if_match: Option<&'a str>,
    /// The ETag that the file must no longer have.
    pub(super) if_none_match: Option<&'a str>,
}

/// The response to a [`FileRequest`].
pub(super) struct FileResponse {
    pub(super) http: reqwest::Response,
    /// The URL to which redirects have led; without its query, which may be a new signature each time.
    pub(super) at: Option<String>,
}

impl Network {
    /// A client that starts nothing before its first request.
    pub fn new(options: NetworkOptions) -> Network {
        Network(Arc::new(Inner {
            options,
            counters: Arc::default(),
            started: Mutex::default(),
        }))
    }

    /// Downloads a small file (at most 256 MiB) into memory. Not to be called from the client's own threads.
    ///
    /// # Errors
    /// The download has failed for good, or the build is asked to stop meanwhile.
    pub fn get(&self, address: &Address) -> Result<Vec<u8>, FetchError> {
        self.wait_for(address, async |session| {
            let mut bytes = transfer::MemorySink::default();
            let version = transfer::fetch(session, address, &mut bytes, None).await?;
            bytes
                .unpacked(&version)
                .map_err(|e| FetchError::unsent(address, FetchFailure::Refused, e.to_string()))
        })
    }

    /// Downloads the first `most` bytes of a file, or all of it, and gives its size if the server tells it. Not to be
    /// called from the client's own threads.
    ///
    /// # Errors
    /// The download has failed for good, or the build is asked to stop meanwhile.
    pub(crate) fn first(&self, address: &Address, most: u64) -> Result<(Vec<u8>, Option<u64>), FetchError> {
        self.wait_for(address, async |session| transfer::first(session, address, most).await)
    }

    /// Runs `fetch` to its end, unless the user asks to stop before.
    fn wait_for<T>(
        &self,
        address: &Address,
        fetch: impl AsyncFnOnce(&Session) -> Result<T, FetchError>,
    ) -> Result<T, FetchError> {
        let started = self.started(address)?;
        let fetched = fetch(&started.session);
        started.runtime.block_on(async {
            let mut fetched = pin!(fetched);
            loop {
                match timeout(POLL_INTERVAL, &mut fetched).await {
                    Ok(fetched) => return fetched,
                    Err(_) if stop::asked() => {
                        return Err(FetchError::unsent(address, FetchFailure::Stopped, "stopped"));
                    }
                    Err(_) => {}
                }
            }
        })
    }

    /// The limit on the bytes a second of all downloads together.
    pub(crate) fn rate(&self) -> Option<u64> {
        self.0.options.rate
    }

    /// The counters so far, also while downloads run.
    pub fn transfer(&self) -> Transfer {
        let counters = &self.0.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Transfer {
            bytes: read(&counters.bytes),
            requests: read(&counters.requests),
            failed_requests: read(&counters.failed_requests),
            restarts: read(&counters.restarts),
            files: read(&counters.files),
            reused: read(&counters.reused),
        }
    }

    /// The running client, started if it is not yet; an error names `address`.
    pub(super) fn started(&self, address: &Address) -> Result<Arc<Started>, FetchError> {
        let mut started = lock(&self.0.started);
        if let Some(started) = &*started {
            return Ok(started.clone());
        }
        let new = self.start().map_err(|cause| {
            let cause = format!("cannot start the client: {cause}");
            FetchError::unsent(address, FetchFailure::Refused, cause)
        })?;
        Ok(started.insert(Arc::new(new)).clone())
    }

    fn start(&self) -> Result<Started, String> {
        let NetworkOptions { retry, rate, s3, clock } = &self.0.options;
        // This is the only one in the program; one that a caller has installed serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .user_agent(concat!("c4/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(retry.connect_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| match AttemptError::of_client(e) {
                AttemptError::Permanent { cause, .. } | AttemptError::Temporary { cause, .. } => cause,
            })?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("c4-fetch")
            .enable_all()
            .build()
            .map_err(|e| e.to_string())?;
        let session = Session {
            policy: retry.clone(),
            pace: rate.map(Pace::new),
            counters: self.0.counters.clone(),
            clock: clock.clone(),
            hosts: Hosts::default(),
            gate: Gate::default(),
            s3: S3::new(s3, &client),
            client,
        };
        Ok(Started {
            session: Arc::new(session),
            runtime,
        })
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Network").field(&self.0.options).finish()
    }
}

impl Session {
    /// Records a failed request and waits until the next attempt.
    ///
    /// # Errors
    /// There is to be no other attempt.
    pub(super) async fn retry(
        &self,
        attempts: &mut Attempts<'_>,
        error: AttemptError,
        progressed: bool,
    ) -> Result<(), FetchError> {
        self.counters.failed_requests.fetch_add(1, Ordering::Relaxed);
        let now = self.clock.now();
        let wait = attempts.failed(error, progressed, (&self.hosts, now))?;
        self.clock.sleep(wait).await;
        Ok(())
    }

    /// Makes a request, over redirects and in the region that S3 names. The status of the response is 200, 206, 304,
    /// 412 or 416; the body is not read.
    pub(super) async fn ask(&self, address: &Address, ask: &FileRequest<'_>) -> Result<FileResponse, AttemptError> {
        loop {
            match self.gate.left(self.clock.now()) {
                Duration::ZERO => break,
                left => self.clock.sleep(left).await,
            }
        }
        let (mut region, mut start) = self.start_of(address)?;
        let mut route = Route::new(&start);
        let mut moved_region = false;
        loop {
            let request = self.request(address, &route, headers(ask), &region).await?;
            self.counters.requests.fetch_add(1, Ordering::Relaxed);
            let response = timeout(self.policy.answer_timeout, self.client.execute(request)).await;
            let response = response
                .map_err(|_| AttemptError::temporary("no response in time"))
                .and_then(|response| response.map_err(AttemptError::of_client));
            let moved = route.has_moved();
            let host = || Address::Http(Box::new(route.here().clone())).host();
            let response = response.map_err(|error| match moved {
                true => error.at(&host()),
                false => error,
            })?;
            let status = response.status();
            if matches!(status.as_u16(), 200 | 206 | 304 | 412 | 416) {
                self.hosts.served(address, self.clock.now());
                let at = || Address::Http(Box::new(route.here().clone())).to_string();
                let at = moved.then(at);
                return Ok(FileResponse { http: response, at });
            }
            let location = response.headers().get(header::LOCATION).cloned();
            let location = location.filter(|_| Route::is_redirect(status));
            let refusal = Refusal::read(response, location.is_none()).await;
            if let (Address::S3 { bucket, .. }, Ok(s3)) = (address, &self.s3)
                && !moved
                && let Some(named) = &refusal.region
                && *named != region
                && !std::mem::replace(&mut moved_region, true)
                && s3.learn(bucket, named)
            {
                tracing::info!("{address}: the bucket is in {named}");
                (region, start) = self.start_of(address)?;
                route = Route::new(&start);
            } else if let Some(location) = location {
                route.follow(&location)?;
            } else {
                let error = self.refused(address, &route, refusal);
                return Err(match moved {
                    true => error.at(&host()),
                    false => error,
                });
            }
        }
    }

    /// The region in which an object of S3 is requested (empty for HTTP), and the file's URL.
    fn start_of(&self, address: &Address) -> Result<(String, Url), AttemptError> {
        match (address, &self.s3) {
            (Address::Http(url), _) => Ok((String::new(), Url::clone(url))),
            (Address::S3 { bucket, key }, Ok(s3)) => {
                let region = s3.region(bucket);
                let url = s3.url(bucket, key, &region)?;
                Ok((region, url))
            }
            (_, Err(cause)) => Err(AttemptError::permanent(FetchFailure::Refused, cause)),
        }
    }

    /// The request for the URL to which the route has come, with the address's credentials as long as it is at home.
    async fn request(
        &self,
        address: &Address,
        route: &Route,
        headers: HeaderMap,
        region: &str,
    ) -> Result<reqwest::Request, AttemptError> {
        let mut url = route.here().clone();
        match (address, &self.s3) {
            (Address::S3 { .. }, Ok(s3)) if route.is_at_home() => {
                return s3.request(url, headers, region).await;
            }
            (Address::Http(start), _) if route.is_at_home() => {
                // The client makes a header of both. They cannot fail: an address has a host.
                let _ = url.set_username(start.username());
                let _ = url.set_password(start.password());
            }
            _ => {}
        }
        let request = self.client.request(Method::GET, url);
        request.headers(headers).build().map_err(AttemptError::of_client)
    }
}

fn headers(ask: &FileRequest<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    // Sizes and ranges are those of the file as it is.
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let mut add = |name, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    if let Some((first, last)) = ask.range {
        let last = last.map(|last| last.to_string()).unwrap_or_default();
        add(header::RANGE, &format!("bytes={first}-{last}"));
    }
    if let Some(etag) = ask.if_match {
        add(header::IF_MATCH, etag);
    }
    if let Some(etag) = ask.if_none_match {
        add(header::IF_NONE_MATCH, etag);
    }
    headers
}
