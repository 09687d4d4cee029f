//! One file, from its first byte to its last, over as many requests as it takes.

use super::Address;
use super::backoff::Tries;
use super::encoding;
use super::error::{FetchError, FetchFailure, Trouble};
use super::network::{Ask, Session};
use super::version::{Version, content_range};
use bytes::Bytes;
use http::StatusCode;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// Of a file that is fetched into memory, at most.
const MEMORY_BYTES: usize = 256 << 20;
/// An attempt that brings this much beyond all before it is no failure in vain.
const PROGRESS_BYTES: u64 = 64 << 10;
/// For the end of a body of which all bytes have come.
const END_TIMEOUT: Duration = Duration::from_secs(1);
/// A timer that rings so much too late says that this machine was busy or asleep.
const LATE: Duration = Duration::from_secs(1);
/// So many in a row without a byte, and the server is silent, too.
const MOST_LATE: u32 = 10;

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
pub(super) struct Memory(Vec<u8>);

impl Memory {
    /// Its bytes, of a file of this version, without a packing that was not asked for.
    pub(super) fn unpacked(self, version: &Version) -> std::io::Result<Vec<u8>> {
        let Memory(bytes) = self;
        if !version.is_in_gzip() || !encoding::is_twice(&bytes[..])? {
            return Ok(bytes);
        }
        let mut unpacked = Vec::new();
        encoding::unpack(&bytes[..], bytes.len() as u64, &mut unpacked)?;
        Ok(unpacked)
    }
}

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
            Err(trouble) if sink.len() > 0 && download.begins_anew() => {
                trouble.with("; it has no strong ETag, so each attempt begins anew")
            }
            Err(trouble) => trouble,
        };
        let progressed = sink.len() >= reached + PROGRESS_BYTES;
        if progressed {
            reached = sink.len();
        }
        session.retry(&mut tries, trouble, progressed).await?;
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
        session.retry(&mut tries, trouble, false).await?;
    }
}

async fn attempt_first(session: &Session, address: &Address, most: u64) -> Result<(Vec<u8>, Option<u64>), Trouble> {
    let ask = Ask {
        range: Some((0, Some(most.saturating_sub(1)))),
        ..Ask::default()
    };
    let mut answer = session.ask(address, &ask).await?.response;
    let size = match answer.status() {
        StatusCode::OK => answer.content_length(),
        StatusCode::PARTIAL_CONTENT => match content_range(answer.headers()) {
            Some(range) if range.first == 0 => range.size,
            _ => return Err(Trouble::passing("the server sends another range")),
        },
        status => {
            return Err(Trouble::passing(format!("{status}, which was not asked for")));
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
        return Err(Trouble::passing(format!("ended after {got} of {wanted} bytes")));
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
            Ok(answer) if answer.response.status() == StatusCode::NOT_MODIFIED && known.etag.is_some() => {
                return Ok(Some(known.clone()));
            }
            Ok(answer) => {
                let size = match answer.response.status() {
                    StatusCode::OK => answer.response.content_length(),
                    _ => content_range(answer.response.headers()).and_then(|range| range.size),
                };
                let version = Version::of(&answer, size);
                return Ok(known.is_current(&version).then_some(version));
            }
            Err(trouble) => trouble,
        };
        session.retry(&mut tries, trouble, false).await?;
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
        self.keep_what_counts(sink).map_err(disk)?;
        let from = sink.len();
        // A range from the first byte on: the answer says the size twice then, in two headers, so
        // that a wrong one shows.
        let known = self.version.as_ref().filter(|_| from > 0);
        let ask = Ask {
            range: (!self.whole).then_some((from, None)),
            if_match: known.and_then(Version::strong_etag),
            if_none_match: None,
        };
        let answer = self.session.ask(self.address, &ask).await?;
        let status = answer.response.status();
        let (range, size) = match status {
            StatusCode::OK => (None, answer.response.content_length()),
            StatusCode::PARTIAL_CONTENT => match content_range(answer.response.headers()) {
                // Who does not say the size again has said it before.
                Some(range) => (Some(range), range.size.or(known.and_then(|known| known.size))),
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
                return Err(Trouble::passing(format!("{status}, which was not asked for")));
            }
        };
        let version = Version::of(&answer, size);
        match range {
            Some(range) if range.first != from || size.is_some_and(|size| range.end > size) => {
                self.restart(true);
                return Err(Trouble::passing("the server sends another range"));
            }
            Some(_) => {
                if let Some(known) = known
                    && !known.is_to_the_byte(&version)
                {
                    self.restart(false);
                    return Err(Trouble::passing("has changed while it was fetched"));
                }
            }
            // It ignores ranges: from the start.
            None if from > 0 => {
                self.count_restart();
                sink.cut(0).map_err(disk)?;
            }
            None => {}
        }
        if self.version.as_ref() != Some(&version) {
            sink.note(&version).map_err(disk)?;
            self.version = Some(version.clone());
        }
        let end = match range {
            Some(range) => Some(range.end),
            None => size,
        };
        let agreed = range.is_some();
        let body = self.body(answer.response, sink, (end, size), agreed).await;
        if end.is_some_and(|end| sink.len() > end) {
            self.restart(false);
        }
        body.map(|()| version)
    }

    /// Whether nothing says that the rest of the file, fetched later, is of the same state of it.
    fn begins_anew(&self) -> bool {
        let version = self.version.as_ref();
        version.is_some_and(|version| version.strong_etag().is_none())
    }

    /// Cuts what another request cannot add to.
    fn keep_what_counts(&mut self, sink: &mut impl Sink) -> std::io::Result<()> {
        let Some(version) = &self.version else {
            return sink.cut(0);
        };
        let size = version.size;
        if sink.len() > 0 && self.begins_anew() {
            // What comes next might be of another state of the file, and nothing would say so.
            self.restart(false);
            return sink.cut(0);
        }
        match size {
            Some(size) if sink.len() > size => sink.cut(0),
            // All is there; the last byte is asked for once more, to hear if it still counts.
            Some(size) if sink.len() == size => sink.cut(size.saturating_sub(1)),
            _ => Ok(()),
        }
    }

    /// Reads the answer's body, which goes on to byte `end` of a file of `size`. `agreed`: they are the range's, so
    /// they are known for sure.
    async fn body(
        &self,
        mut answer: reqwest::Response,
        sink: &mut impl Sink,
        (end, size): (Option<u64>, Option<u64>),
        agreed: bool,
    ) -> Result<(), Trouble> {
        let path: PathBuf = sink.path().to_owned();
        let mut flow = Flow::new(self.session);
        loop {
            let all_is_there = agreed && end == Some(sink.len());
            let next = if all_is_there {
                // The head may be wrong, or the connection be held open.
                let end = timeout(END_TIMEOUT, answer.chunk()).await;
                Ok(end.ok().and_then(Result::ok).flatten())
            } else {
                flow.next(&mut answer).await?
            };
            let Some(chunk) = next.map_err(Trouble::of_client)? else {
                break;
            };
            sink.append(&chunk).map_err(|e| Trouble::disk(&path, &e))?;
            if end.is_some_and(|end| sink.len() > end) {
                return Err(Trouble::passing("more bytes than the server said"));
            }
            flow.pace(chunk.len()).await;
        }
        match size {
            _ if sink.len() == 0 => Err(Trouble::passing("an empty body")),
            Some(size) if sink.len() < size => {
                let got = sink.len();
                Err(Trouble::passing(format!("ended after {got} of {size} bytes")))
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

/// What of a body comes in which time. Only time spent waiting for the server counts.
struct Flow<'a> {
    session: &'a Session,
    /// Waited so far in this window, and what has come in it.
    waited: Duration,
    bytes: f64,
    /// Timers in a row that rang late.
    late: u32,
}

impl Flow<'_> {
    fn new(session: &Session) -> Flow<'_> {
        Flow {
            session,
            waited: Duration::ZERO,
            bytes: 0.0,
            late: 0,
        }
    }

    /// What comes next, or the client's error; a server that is too slow is [`Trouble`].
    async fn next(&mut self, answer: &mut reqwest::Response) -> Result<reqwest::Result<Option<Bytes>>, Trouble> {
        let policy = &self.session.policy;
        let slow = policy.slowest_bytes_per_second;
        loop {
            let begin = Instant::now();
            let until = begin + policy.slow_window.saturating_sub(self.waited);
            if let Ok(chunk) = timeout_at(until, answer.chunk()).await {
                let come = chunk.as_ref().ok().and_then(Option::as_ref);
                let bytes = come.map_or(0, |chunk| chunk.len());
                let counters = &self.session.counters;
                counters.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
                self.waited += begin.elapsed();
                self.bytes += bytes as f64;
                self.late = 0;
                return Ok(chunk);
            }
            // Then bytes may lie here that nobody has had time to take.
            let is_late = until.elapsed() > LATE && self.late < MOST_LATE;
            if !is_late && self.bytes < slow as f64 * policy.slow_window.as_secs_f64() {
                return Err(Trouble::passing(format!("slower than {slow} bytes a second")));
            }
            self.late += u32::from(is_late);
            (self.waited, self.bytes) = (Duration::ZERO, 0.0);
        }
    }

    /// Keeps to the rate.
    async fn pace(&mut self, bytes: usize) {
        if let Some(pace) = &self.session.pace {
            let wait = pace.spend(bytes, std::time::Instant::now());
            if !wait.is_zero() {
                sleep(wait).await;
            }
        }
    }
}

/// A failure that no request was made for.
pub(super) fn unasked(address: &Address, failure: FetchFailure, cause: String) -> FetchError {
    FetchError {
        address: address.clone(),
        failure,
        attempts: 0,
        cause,
        advice: None,
    }
}
