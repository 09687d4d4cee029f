//! The client: its threads, requests, and what answers mean.

use super::backoff::{self, RetryPolicy};
use super::error::{FetchError, FetchFailure, Trouble};
use super::pace::{Gate, Pace};
use super::s3::{self, S3, S3Options};
use super::{Address, transfer};
use crate::parallel::lock;
use crate::stop;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use reqwest::Url;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

/// Of the client. They do little but move bytes, so two are enough for any line.
const THREADS: usize = 2;
/// Of the body of an answer that is no file; it may say why.
const EXPLANATION_BYTES: usize = 4096;
/// How often to look whether one is asked to stop.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How to talk to servers.
#[derive(Debug, Clone, Default)]
pub struct NetworkOptions {
    /// Patience.
    pub retry: RetryPolicy,
    /// Bytes a second, of all downloads together; `None`: as fast as it goes.
    pub rate: Option<u64>,
    /// S3.
    pub s3: S3Options,
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
        let started = self.started(address)?;
        let session = &*started.session;
        started.runtime.block_on(async {
            let mut bytes = transfer::Memory::default();
            transfer::fetch(session, address, &mut bytes, None).await?;
            Ok(bytes.0)
        })
    }

    /// The first `most` bytes of a file, or all of it, and its size if the server tells it. Not to be
    /// called from the client's own threads.
    ///
    /// # Errors
    /// It could not be fetched, for good.
    pub fn first(
        &self,
        address: &Address,
        most: u64,
    ) -> Result<(Vec<u8>, Option<u64>), FetchError> {
        let started = self.started(address)?;
        let fetched = transfer::first(&started.session, address, most);
        started.runtime.block_on(async {
            let mut fetched = pin!(fetched);
            loop {
                match timeout(LOOK_EVERY, &mut fetched).await {
                    Ok(fetched) => return fetched,
                    Err(_) if stop::asked() => {
                        let cause = "stopped".to_owned();
                        return Err(transfer::unasked(address, FetchFailure::Refused, cause));
                    }
                    Err(_) => {}
                }
            }
        })
    }

    /// Bytes a second that all downloads keep to.
    pub fn rate(&self) -> Option<u64> {
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
            cause: format!("cannot start the client: {cause}"),
        })?;
        Ok(started.insert(Arc::new(new)).clone())
    }

    fn start(&self) -> Result<Started, String> {
        let NetworkOptions { retry, rate, s3 } = &self.0.options;
        // Ours is the only one in the program; if somebody else's is there already, it will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .user_agent(concat!("c4/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(retry.connect_timeout)
            .referer(false)
            .build()
            .map_err(|e| match Trouble::of_client(e) {
                Trouble::Final(_, cause) | Trouble::Passing { cause, .. } => cause,
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
    /// Makes a request. The answer's status is 200, 206, 304, 412 or 416; the body is not read.
    pub(super) async fn ask(
        &self,
        address: &Address,
        ask: &Ask<'_>,
    ) -> Result<reqwest::Response, Trouble> {
        loop {
            match self.gate.left() {
                Duration::ZERO => break,
                left => sleep(left).await,
            }
        }
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        let request = self.request(address, headers(ask)).await?;
        let answer = timeout(self.policy.answer_timeout, self.client.execute(request)).await;
        let answer = answer
            .map_err(|_| Trouble::passing("no answer in time"))?
            .map_err(Trouble::of_client)?;
        match answer.status() {
            StatusCode::OK
            | StatusCode::PARTIAL_CONTENT
            | StatusCode::NOT_MODIFIED
            | StatusCode::PRECONDITION_FAILED
            | StatusCode::RANGE_NOT_SATISFIABLE => Ok(answer),
            _ => Err(self.refusal(answer).await),
        }
    }

    async fn request(
        &self,
        address: &Address,
        headers: HeaderMap,
    ) -> Result<reqwest::Request, Trouble> {
        match address {
            Address::Http(url) => {
                // The client makes user and password of a URL a header.
                let request = self.client.request(Method::GET, Url::clone(url));
                request.headers(headers).build().map_err(Trouble::of_client)
            }
            Address::S3 { bucket, key } => match &self.s3 {
                Ok(s3) => s3.request(bucket, key, headers).await,
                Err(cause) => Err(Trouble::Final(FetchFailure::Refused, cause.clone())),
            },
        }
    }

    /// What an answer that brings nothing means.
    async fn refusal(&self, mut answer: reqwest::Response) -> Trouble {
        let status = answer.status();
        let after = answer.headers().get(header::RETRY_AFTER);
        let after =
            after.and_then(|value| backoff::retry_after(value.to_str().ok()?, chrono::Utc::now()));
        let code = explanation(&mut answer).await;
        let cause = match &code {
            Some(code) => format!("{status} ({code})"),
            None => status.to_string(),
        };
        let code = code.as_deref().unwrap_or_default();
        match status {
            _ if s3::is_final(code) => Trouble::Final(FetchFailure::Refused, cause),
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                Trouble::Final(FetchFailure::Missing, cause)
            }
            // What Common Crawl answers, when one asks too fast.
            StatusCode::FORBIDDEN
            | StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => {
                if let Some(after) = after {
                    // Meant for all of us.
                    let wait = after.min(self.policy.longest_asked);
                    self.gate.close(Instant::now() + wait);
                }
                Trouble::Passing { cause, after }
            }
            _ => Trouble::Final(FetchFailure::Refused, cause),
        }
    }
}

fn headers(ask: &Ask<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    // Sizes and ranges are of the file as it is.
    headers.insert(
        header::ACCEPT_ENCODING,
        HeaderValue::from_static("identity"),
    );
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

/// The `Code` of an S3 error.
async fn explanation(answer: &mut reqwest::Response) -> Option<String> {
    let read = async {
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = answer.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() >= EXPLANATION_BYTES {
                break;
            }
        }
        body
    };
    let body = timeout(Duration::from_secs(5), read).await.ok()?;
    let text = String::from_utf8_lossy(&body);
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    let plain = code.len() < 64 && code.bytes().all(|b| b.is_ascii_alphanumeric());
    plain.then(|| code.to_owned())
}
