//! One file, from its first byte to its last, over as many requests as it takes.

use super::Address;
use super::backoff::Tries;
use super::error::{FetchError, FetchFailure, Trouble};
use super::network::{Ask, Session};
use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderMap};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use tokio::time::{Instant, sleep, timeout_at};

/// Of a file that is fetched into memory, at most.
const MEMORY_BYTES: usize = 256 << 20;
/// An attempt that brings this much beyond all before it is no failure in vain.
const PROGRESS_BYTES: u64 = 64 << 10;

/// Which state of a file on a server it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Version {
    pub(super) etag: Option<String>,
    /// `Last-Modified`.
    pub(super) modified: Option<String>,
    /// Bytes in all.
    pub(super) size: Option<u64>,
}

impl Version {
    /// Of an answer; the size is that of the whole file.
    fn of(headers: &HeaderMap, size: Option<u64>) -> Version {
        let text = |name| Some(headers.get(name)?.to_str().ok()?.trim().to_owned());
        Version {
            etag: text(header::ETAG),
            modified: text(header::LAST_MODIFIED),
            size,
        }
    }

    /// Whether both are the same state, as far as they tell.
    pub(super) fn is(&self, other: &Version) -> bool {
        let mark = match (&self.etag, &other.etag) {
            (Some(a), Some(b)) => a == b,
            _ => match (&self.modified, &other.modified) {
                (Some(a), Some(b)) => a == b,
                _ => true,
            },
        };
        mark && self.size.is_some() && self.size == other.size
    }

    /// For a condition of a request; weak ones never match there.
    fn strong_etag(&self) -> Option<&str> {
        self.etag.as_deref().filter(|etag| !etag.starts_with("W/"))
    }
}

/// Where bytes go.
pub(super) trait Sink: Send {
    /// Bytes that are there.
    fn len(&self) -> u64;
    /// Adds to them.
    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()>;
    /// Takes the end off.
    fn cut(&mut self, len: u64) -> std::io::Result<()>;
    /// What is there is, from now on, of this version.
    fn note(&mut self, version: &Version) -> std::io::Result<()>;
    /// The file, for messages.
    fn path(&self) -> &Path;
}

/// Memory as a [`Sink`], for listings.
#[derive(Default)]
pub(super) struct Memory(pub(super) Vec<u8>);

impl Sink for Memory {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        if self.0.len() + bytes.len() > MEMORY_BYTES {
            return Err(std::io::Error::other("larger than any listing"));
        }
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn cut(&mut self, len: u64) -> std::io::Result<()> {
        self.0.truncate(usize::try_from(len).unwrap_or(usize::MAX));
        Ok(())
    }

    fn note(&mut self, _: &Version) -> std::io::Result<()> {
        Ok(())
    }

    fn path(&self) -> &Path {
        Path::new("memory")
    }
}

/// Fetches what `sink` does not hold yet; `known` is the version of what it does.
pub(super) async fn fetch(
    session: &Session,
    address: &Address,
    sink: &mut impl Sink,
    known: Option<Version>,
) -> Result<Version, FetchError> {
    let mut tries = Tries::new(address, &session.policy);
    let mut download = Download {
        session,
        address,
        version: known,
        whole: false,
    };
    let mut reached = sink.len();
    loop {
        let trouble = match download.attempt(sink).await {
            Ok(version) => {
                session.counters.files.fetch_add(1, Ordering::Relaxed);
                return Ok(version);
            }
            Err(trouble) => trouble,
        };
        let counters = &session.counters;
        counters.failed_requests.fetch_add(1, Ordering::Relaxed);
        let progressed = sink.len() >= reached + PROGRESS_BYTES;
        if progressed {
            reached = sink.len();
        }
        sleep(tries.failed(trouble, progressed)?).await;
    }
}

/// The first `most` bytes of a file, or all of it, and its size if the server tells it.
pub(super) async fn first(
    session: &Session,
    address: &Address,
    most: u64,
) -> Result<(Vec<u8>, Option<u64>), FetchError> {
    let mut tries = Tries::new(address, &session.policy);
    loop {
        let trouble = match attempt_first(session, address, most).await {
            Ok(found) => return Ok(found),
            Err(trouble) => trouble,
        };
        let counters = &session.counters;
        counters.failed_requests.fetch_add(1, Ordering::Relaxed);
        sleep(tries.failed(trouble, false)?).await;
    }
}

async fn attempt_first(
    session: &Session,
    address: &Address,
    most: u64,
) -> Result<(Vec<u8>, Option<u64>), Trouble> {
    let ask = Ask {
        range: Some((0, Some(most.saturating_sub(1)))),
        ..Ask::default()
    };
    let mut answer = session.ask(address, &ask).await?;
    let size = match answer.status() {
        StatusCode::OK => answer.content_length(),
        StatusCode::PARTIAL_CONTENT => content_range(answer.headers()).and_then(|range| range.size),
        status => {
            return Err(Trouble::passing(format!(
                "{status}, which was not asked for"
            )));
        }
    };
    let mut bytes = Vec::new();
    let mut flow = Flow::new(session);
    while (bytes.len() as u64) < most {
        let Some(chunk) = flow.next(&mut answer).await?.map_err(Trouble::of_client)? else {
            break;
        };
        bytes.extend_from_slice(&chunk);
        flow.pace(chunk.len()).await;
    }
    let (got, wanted) = (bytes.len() as u64, size.unwrap_or(0).min(most));
    if got < wanted {
        return Err(Trouble::passing(format!(
            "ended after {got} of {wanted} bytes"
        )));
    }
    bytes.truncate(usize::try_from(most).unwrap_or(usize::MAX));
    Ok((bytes, size))
}

/// Whether the file on the server is still `known`, without fetching it; the version if it is.
pub(super) async fn unchanged(
    session: &Session,
    address: &Address,
    known: &Version,
) -> Result<Option<Version>, FetchError> {
    let mut tries = Tries::new(address, &session.policy);
    // A byte tells the size, also where the server knows no conditions.
    let ask = Ask {
        range: Some((0, Some(0))),
        if_none_match: known.etag.as_deref(),
        ..Ask::default()
    };
    loop {
        let trouble = match session.ask(address, &ask).await {
            Ok(answer) if answer.status() == StatusCode::NOT_MODIFIED => {
                return Ok(Some(known.clone()));
            }
            Ok(answer) => {
                let size = match answer.status() {
                    StatusCode::OK => answer.content_length(),
                    _ => content_range(answer.headers()).and_then(|range| range.size),
                };
                let version = Version::of(answer.headers(), size);
                return Ok(known.is(&version).then_some(version));
            }
            Err(trouble) => trouble,
        };
        let counters = &session.counters;
        counters.failed_requests.fetch_add(1, Ordering::Relaxed);
        sleep(tries.failed(trouble, false)?).await;
    }
}

struct Download<'a> {
    session: &'a Session,
    address: &'a Address,
    /// Of what the sink holds.
    version: Option<Version>,
    /// Ask for the whole file: ranges have led nowhere.
    whole: bool,
}

impl Download<'_> {
    /// One request.
    async fn attempt(&mut self, sink: &mut impl Sink) -> Result<Version, Trouble> {
        let path: PathBuf = sink.path().to_owned();
        let disk = |e| Trouble::disk(&path, &e);
        let size = self.version.as_ref().and_then(|version| version.size);
        if self.version.is_none() {
            sink.cut(0).map_err(disk)?;
        } else if let Some(size) = size.filter(|size| sink.len() >= *size) {
            // All is there; the last byte is asked for once more, to hear if it still counts.
            let keep = if sink.len() > size {
                0
            } else {
                size.saturating_sub(1)
            };
            sink.cut(keep).map_err(disk)?;
        }
        let from = sink.len();
        // A range from the first byte on: the answer says the size twice then, in two headers, so
        // that a wrong one shows.
        let version = self.version.as_ref().filter(|_| from > 0);
        let ask = Ask {
            range: (!self.whole).then_some((from, None)),
            if_match: version.and_then(Version::strong_etag),
            if_none_match: None,
        };
        let answer = self.session.ask(self.address, &ask).await?;
        let headers = answer.headers();
        let (starts, version) = match answer.status() {
            StatusCode::OK => (0, Version::of(headers, answer.content_length())),
            StatusCode::PARTIAL_CONTENT => match content_range(headers) {
                Some(range) => (range.first, Version::of(headers, range.size)),
                None => {
                    self.restart(true);
                    return Err(Trouble::passing("206 without a Content-Range"));
                }
            },
            StatusCode::PRECONDITION_FAILED => {
                self.restart(false);
                return Err(Trouble::passing("has changed while it was fetched"));
            }
            // Also the answer for an empty file.
            StatusCode::RANGE_NOT_SATISFIABLE => {
                self.restart(true);
                return Err(Trouble::passing("the server has no such range"));
            }
            status => {
                return Err(Trouble::passing(format!(
                    "{status}, which was not asked for"
                )));
            }
        };
        if starts != from {
            if starts != 0 || answer.status() != StatusCode::OK {
                self.restart(true);
                return Err(Trouble::passing("the server sends another range"));
            }
            // It ignores ranges: from the start.
            self.count_restart();
            sink.cut(0).map_err(disk)?;
        } else if let Some(known) = self.version.as_ref().filter(|_| from > 0)
            && !known.is(&version)
        {
            self.restart(false);
            return Err(Trouble::passing("has changed while it was fetched"));
        }
        if self.version.as_ref() != Some(&version) {
            sink.note(&version).map_err(disk)?;
            self.version = Some(version.clone());
        }
        let agreed = answer.status() == StatusCode::PARTIAL_CONTENT;
        let body = self.body(answer, sink, version.size, agreed).await;
        if sink.len() > version.size.unwrap_or(u64::MAX) {
            self.restart(false);
        }
        body.map(|()| version)
    }

    /// Reads the answer's body. `agreed`: the size is the range's, so it is known for sure.
    async fn body(
        &self,
        mut answer: reqwest::Response,
        sink: &mut impl Sink,
        size: Option<u64>,
        agreed: bool,
    ) -> Result<(), Trouble> {
        let path: PathBuf = sink.path().to_owned();
        let mut flow = Flow::new(self.session);
        loop {
            let chunk = match flow.next(&mut answer).await? {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                // The head was wrong, but all is there.
                Err(_) if agreed && Some(sink.len()) == size => break,
                Err(e) => return Err(Trouble::of_client(e)),
            };
            sink.append(&chunk).map_err(|e| Trouble::disk(&path, &e))?;
            if size.is_some_and(|size| sink.len() > size) {
                return Err(Trouble::passing("more bytes than the server said"));
            }
            flow.pace(chunk.len()).await;
        }
        match size {
            _ if sink.len() == 0 => Err(Trouble::passing("an empty body")),
            Some(size) if sink.len() < size => {
                let got = sink.len();
                Err(Trouble::passing(format!(
                    "ended after {got} of {size} bytes"
                )))
            }
            _ => Ok(()),
        }
    }

    /// The next attempt starts over.
    fn restart(&mut self, whole: bool) {
        self.version = None;
        self.whole |= whole;
        self.count_restart();
    }

    fn count_restart(&self) {
        let counters = &self.session.counters;
        counters.restarts.fetch_add(1, Ordering::Relaxed);
    }
}

/// What of a body comes in which time.
struct Flow<'a> {
    session: &'a Session,
    /// Until when, and what has come so far of what has to.
    window: (Instant, f64),
}

impl Flow<'_> {
    fn new(session: &Session) -> Flow<'_> {
        Flow {
            session,
            window: (Instant::now() + session.policy.slow_window, 0.0),
        }
    }

    /// What comes next, or the client's error; a server that is too slow is [`Trouble`].
    async fn next(
        &mut self,
        answer: &mut reqwest::Response,
    ) -> Result<reqwest::Result<Option<Bytes>>, Trouble> {
        let policy = &self.session.policy;
        let slow = policy.slowest_bytes_per_second;
        loop {
            match timeout_at(self.window.0, answer.chunk()).await {
                Ok(chunk) => {
                    let come = chunk.as_ref().ok().and_then(Option::as_ref);
                    let bytes = come.map_or(0, |chunk| chunk.len());
                    let counters = &self.session.counters;
                    counters.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
                    self.window.1 += bytes as f64;
                    return Ok(chunk);
                }
                Err(_) if self.window.1 < slow as f64 * policy.slow_window.as_secs_f64() => {
                    return Err(Trouble::passing(format!(
                        "slower than {slow} bytes a second"
                    )));
                }
                Err(_) => self.window = (Instant::now() + policy.slow_window, 0.0),
            }
        }
    }

    /// Keeps to the rate.
    async fn pace(&mut self, bytes: usize) {
        if let Some(pace) = &self.session.pace {
            let wait = pace.spend(bytes, std::time::Instant::now());
            if !wait.is_zero() {
                sleep(wait).await;
                // Our own doing, so it does not make the server slow.
                self.window.0 += wait;
            }
        }
    }
}

struct ContentRange {
    first: u64,
    /// Of the whole file, if the server knows.
    size: Option<u64>,
}

/// `bytes FIRST-LAST/SIZE`.
fn content_range(headers: &HeaderMap) -> Option<ContentRange> {
    let value = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (range, size) = value.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some(ContentRange {
        first: first.trim().parse().ok()?,
        size: size.trim().parse().ok(),
    })
}

/// A failure that no request was made for.
pub(super) fn unasked(address: &Address, failure: FetchFailure, cause: String) -> FetchError {
    FetchError {
        address: address.clone(),
        failure,
        attempts: 0,
        cause,
    }
}
