//! The client: its threads, requests, and what answers mean.
//!
//! Above 500 lines: a request and the meaning of its answer are read together.

use super::backoff::{self, Hosts, RetryPolicy, Tries};
use super::clock::Clock;
use super::error::{FetchError, FetchFailure, Passing, Trouble};
use super::pace::{Gate, Pace};
use super::redirect::Route;
use super::s3::{self, S3, S3Options};
use super::{Address, crawl, transfer};
use crate::runtime::parallel::lock;
use crate::runtime::stop;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use reqwest::Url;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// Of the client. They do little but move bytes, so two are enough for any line.
const THREADS: usize = 2;
/// Of the body of an answer that is no file; it may say why.
const EXPLANATION_BYTES: usize = 4096;
/// For it.
const EXPLANATION_TIMEOUT: Duration = Duration::from_secs(5);
/// How often to look whether one is asked to stop.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The header in which S3 says where a bucket is.
const BUCKET_REGION: &str = "x-amz-bucket-region";

/// How to talk to servers.
#[derive(Debug, Clone, Default)]
pub struct NetworkOptions {
    /// Patience.
    pub retry: RetryPolicy,
    /// Bytes a second, of all downloads together; `None`: as fast as it goes.
    pub rate: Option<u64>,
    /// S3.
    pub s3: S3Options,
    /// What waits between attempts go by.
    pub clock: Clock,
}

/// A client for HTTP and S3 with threads of its own, started by the first request. Proxies are
/// taken from the environment, certificates from the system.
#[derive(Clone)]
pub struct Network(Arc<Inner>);

struct Inner {
    options: NetworkOptions,
    counters: Arc<Counters>,
    started: Mutex<Option<Arc<Started>>>,
}

/// What is there once there was a request.
pub(super) struct Started {
    pub(super) session: Arc<Session>,
    pub(super) runtime: Runtime,
}

/// What requests share. Tasks hold this and not the runtime, which must not end in one of its own
/// threads.
pub(super) struct Session {
    pub(super) policy: RetryPolicy,
    pub(super) pace: Option<Pace>,
    pub(super) counters: Arc<Counters>,
    clock: Clock,
    hosts: Hosts,
    gate: Gate,
    client: reqwest::Client,
    s3: Result<S3, String>,
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

/// What a [`Network`] has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    /// Bytes of bodies that have come, also those that had to come again.
    pub bytes: u64,
    /// Requests.
    pub requests: u64,
    /// Those of them that failed, and were followed by another or not.
    pub failed_requests: u64,
    /// Downloads that had to start over.
    pub restarts: u64,
    /// Files that came whole.
    pub files: u64,
    /// Files that were there from an earlier run.
    pub reused: u64,
}

/// What is asked of a server besides the address.
#[derive(Debug, Default)]
pub(super) struct Ask<'a> {
    /// First and last byte.
    pub(super) range: Option<(u64, Option<u64>)>,
    /// Only if this is still the ETag.
    pub(super) if_match: Option<&'a str>,
    /// Only if this is no longer the ETag.
    pub(super) if_none_match: Option<&'a str>,
}

/// An answer to [`Session::ask`].
pub(super) struct Answer {
    pub(super) response: reqwest::Response,
    /// Where redirects have led to, if they have; without its query, which may be a new signature each time.
    pub(super) at: Option<String>,
}

impl Network {
    /// One that has not started anything yet.
    pub fn new(options: NetworkOptions) -> Network {
        Network(Arc::new(Inner {
            options,
            counters: Arc::default(),
            started: Mutex::default(),
        }))
    }

    /// A small file, into memory. Not to be called from the client's own threads.
    ///
    /// # Errors
    /// It could not be fetched, for good.
    pub fn get(&self, address: &Address) -> Result<Vec<u8>, FetchError> {
        self.wait_for(address, async |session| {
            let mut bytes = transfer::Memory::default();
            let version = transfer::fetch(session, address, &mut bytes, None).await?;
            bytes
                .unpacked(&version)
                .map_err(|e| transfer::unasked(address, FetchFailure::Refused, e.to_string()))
        })
    }

    /// The first `most` bytes of a file, or all of it, and its size if the server tells it. Not to be
    /// called from the client's own threads.
    ///
    /// # Errors
    /// It could not be fetched, for good.
    pub(crate) fn first(&self, address: &Address, most: u64) -> Result<(Vec<u8>, Option<u64>), FetchError> {
        self.wait_for(address, async |session| transfer::first(session, address, most).await)
    }

    /// What `fetch` gives, unless the user asks to stop before.
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
                match timeout(LOOK_EVERY, &mut fetched).await {
                    Ok(fetched) => return fetched,
                    Err(_) if stop::asked() => {
                        let cause = "stopped".to_owned();
                        return Err(transfer::unasked(address, FetchFailure::Stopped, cause));
                    }
                    Err(_) => {}
                }
            }
        })
    }

    /// Bytes a second that all downloads keep to.
    pub(crate) fn rate(&self) -> Option<u64> {
        self.0.options.rate
    }

    /// What has been done so far, also while it goes on.
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

    /// Starts, if it has not; the error blames `address`.
    pub(super) fn started(&self, address: &Address) -> Result<Arc<Started>, FetchError> {
        let mut started = lock(&self.0.started);
        if let Some(started) = &*started {
            return Ok(started.clone());
        }
        let new = self.start().map_err(|cause| FetchError {
            address: address.clone(),
            failure: FetchFailure::Refused,
            attempts: 0,
            advice: None,
            cause: format!("cannot start the client: {cause}"),
        })?;
        Ok(started.insert(Arc::new(new)).clone())
    }

    fn start(&self) -> Result<Started, String> {
        let NetworkOptions { retry, rate, s3, clock } = &self.0.options;
        // Ours is the only one in the program; if somebody else's is there already, it will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .user_agent(concat!("c4/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(retry.connect_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| match Trouble::of_client(e) {
                Trouble::Final { cause, .. } | Trouble::Passing { cause, .. } => cause,
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
    /// Notes a failed request and waits for the next attempt, if there is to be one.
    pub(super) async fn retry(
        &self,
        tries: &mut Tries<'_>,
        trouble: Trouble,
        progressed: bool,
    ) -> Result<(), FetchError> {
        self.counters.failed_requests.fetch_add(1, Ordering::Relaxed);
        let now = self.clock.now();
        let wait = tries.failed(trouble, progressed, (&self.hosts, now))?;
        self.clock.sleep(wait).await;
        Ok(())
    }

    /// Makes a request, over redirects and in the region that S3 names. The answer's status is 200, 206, 304, 412
    /// or 416; the body is not read.
    pub(super) async fn ask(&self, address: &Address, ask: &Ask<'_>) -> Result<Answer, Trouble> {
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
            let answer = timeout(self.policy.answer_timeout, self.client.execute(request)).await;
            let answer = answer
                .map_err(|_| Trouble::passing("no answer in time"))
                .and_then(|answer| answer.map_err(Trouble::of_client));
            let moved = route.has_moved();
            let host = || Address::Http(Box::new(route.here().clone())).host();
            let answer = answer.map_err(|trouble| match moved {
                true => trouble.at(&host()),
                false => trouble,
            })?;
            let status = answer.status();
            if matches!(status.as_u16(), 200 | 206 | 304 | 412 | 416) {
                self.hosts.served(address, self.clock.now());
                let at = || Address::Http(Box::new(route.here().clone())).to_string();
                let at = moved.then(at);
                return Ok(Answer { response: answer, at });
            }
            let location = answer.headers().get(header::LOCATION).cloned();
            let location = location.filter(|_| Route::is_redirect(status));
            let refusal = Refusal::read(answer, location.is_none()).await;
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
                let trouble = self.refused(address, &route, refusal);
                return Err(match moved {
                    true => trouble.at(&host()),
                    false => trouble,
                });
            }
        }
    }

    /// The URL of a file, and of S3 the region that it is asked for in.
    fn start_of(&self, address: &Address) -> Result<(String, Url), Trouble> {
        match (address, &self.s3) {
            (Address::Http(url), _) => Ok((String::new(), Url::clone(url))),
            (Address::S3 { bucket, key }, Ok(s3)) => {
                let region = s3.region(bucket);
                let url = s3.url(bucket, key, &region)?;
                Ok((region, url))
            }
            (_, Err(cause)) => Err(Trouble::last(FetchFailure::Refused, cause)),
        }
    }

    /// The request for the place that the route has come to; with the address's credentials as long as it is at home.
    async fn request(
        &self,
        address: &Address,
        route: &Route,
        headers: HeaderMap,
        region: &str,
    ) -> Result<reqwest::Request, Trouble> {
        let mut url = route.here().clone();
        match (address, &self.s3) {
            (Address::S3 { .. }, Ok(s3)) if route.is_at_home() => {
                return s3.request(url, headers, region).await;
            }
            (Address::Http(start), _) if route.is_at_home() => {
                // The client makes a header of them. An address with a host can have both.
                let _ = url.set_username(start.username());
                let _ = url.set_password(start.password());
            }
            _ => {}
        }
        let request = self.client.request(Method::GET, url);
        request.headers(headers).build().map_err(Trouble::of_client)
    }

    /// What an answer that brings nothing means.
    fn refused(&self, address: &Address, route: &Route, refusal: Refusal) -> Trouble {
        let Refusal {
            status,
            code,
            region,
            after,
        } = refusal;
        let cause = match &code {
            Some(code) => format!("{status} ({code})"),
            None => status.to_string(),
        };
        let code = code.as_deref().unwrap_or_default();
        let passing = |kind, advice| {
            if let Some(after) = after {
                // Meant for all of us.
                let wait = after.min(self.policy.longest_asked);
                self.gate.close(self.clock.now() + wait);
            }
            Trouble::Passing {
                cause: cause.clone(),
                after,
                kind,
                advice,
            }
        };
        let failure = match status {
            _ if s3::is_denial(code) => FetchFailure::Denied,
            _ if s3::is_of_region(code) || s3::is_final(code) => FetchFailure::Refused,
            _ if s3::is_busy(code) => return passing(Passing::Throttled, None),
            StatusCode::NOT_FOUND | StatusCode::GONE => FetchFailure::Missing,
            StatusCode::UNAUTHORIZED => FetchFailure::Denied,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                return passing(Passing::Throttled, None);
            }
            // What Common Crawl answers, when one asks too fast; all its files are public.
            StatusCode::FORBIDDEN if is_common_crawl(address) => {
                return passing(Passing::Throttled, None);
            }
            StatusCode::FORBIDDEN => {
                return match (address, &self.s3) {
                    // Of S3's own, 503 says so.
                    (Address::S3 { bucket, .. }, Ok(s3)) => {
                        passing(Passing::Broken, s3.advice(bucket, "AccessDenied", None))
                    }
                    _ => passing(Passing::PerhapsThrottled, None),
                };
            }
            StatusCode::NOT_IMPLEMENTED | StatusCode::HTTP_VERSION_NOT_SUPPORTED => FetchFailure::Refused,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => {
                return passing(Passing::Broken, None);
            }
            status if status.is_server_error() => return passing(Passing::Broken, None),
            _ => FetchFailure::Refused,
        };
        let advice = match (address, &self.s3) {
            (Address::S3 { bucket, .. }, Ok(s3)) => {
                let code = if route.is_at_home() { code } else { "TemporaryRedirect" };
                s3.advice(bucket, code, region.as_deref())
            }
            _ if failure == FetchFailure::Denied => Some(
                "it wants credentials: user and password in the URL, or a signature in it that has not expired; \
                 of a bucket, its s3:// address and AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                    .to_owned(),
            ),
            _ => None,
        };
        Trouble::Final { failure, cause, advice }
    }
}

fn is_common_crawl(address: &Address) -> bool {
    let store: Result<Address, _> = crawl::STORE.parse();
    store.is_ok_and(|store| address.root() == store)
}

/// An answer that brings nothing.
struct Refusal {
    status: StatusCode,
    /// The `Code` of an S3 error.
    code: Option<String>,
    /// Where S3 says that the bucket is.
    region: Option<String>,
    /// The wait that the server asks for.
    after: Option<Duration>,
}

impl Refusal {
    async fn read(mut answer: reqwest::Response, says_why: bool) -> Refusal {
        let text = |name: &str| answer.headers().get(name)?.to_str().ok();
        let after = text(header::RETRY_AFTER.as_str());
        let after = after.and_then(|value| backoff::retry_after(value, chrono::Utc::now()));
        let region = text(BUCKET_REGION).map(str::to_owned);
        let body = match says_why {
            true => explanation(&mut answer).await,
            false => String::new(),
        };
        Refusal {
            status: answer.status(),
            code: element(&body, "Code"),
            region: region.or_else(|| element(&body, "Region")),
            after,
        }
    }
}

fn headers(ask: &Ask<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    // Sizes and ranges are of the file as it is.
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

/// The first bytes of the body of a refusal.
async fn explanation(answer: &mut reqwest::Response) -> String {
    let mut body = Vec::new();
    let read = async {
        while let Ok(Some(chunk)) = answer.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() >= EXPLANATION_BYTES {
                break;
            }
        }
    };
    // What has come until then will do.
    let _ = timeout(EXPLANATION_TIMEOUT, read).await;
    String::from_utf8_lossy(&body).into_owned()
}

/// An element of an S3 error, if it is a word: it is shown to the user.
fn element(body: &str, name: &str) -> Option<String> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (word, _) = rest.split_once(&format!("</{name}>"))?;
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    (word.len() < 64 && word.bytes().all(is_word)).then(|| word.to_owned())
}
