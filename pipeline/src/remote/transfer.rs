//! The download of one file, from its first byte to its last, over as many requests as it takes.

use super::Address;
use super::backoff::Attempts;
use super::encoding;
use super::error::{AttemptError, FetchError};
use super::network::{FileRequest, Session};
use super::version::{Version, content_range};
use bytes::Bytes;
use http::StatusCode;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// The largest size in bytes of a file that is downloaded into memory.
const MEMORY_BYTES: usize = 256 << 20;
/// The number of new bytes from which a failed attempt counts as progress.
const PROGRESS_BYTES: u64 = 64 << 10;
/// The time to wait for the end of a body of which all bytes have come.
const END_TIMEOUT: Duration = Duration::from_secs(1);
/// The delay of a timer that says that this machine was busy or asleep.
const LATE: Duration = Duration::from_secs(1);
/// The number of late timers in a row, without a byte, after which the server counts as silent, too.
const MAX_LATE_TIMERS: u32 = 10;

/// The target of a download.
pub(super) trait DownloadSink: Send {
    /// The number of bytes it holds.
    fn len(&self) -> u64;
    /// Appends bytes.
    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()>;
    /// Truncates it to `len` bytes.
    fn cut(&mut self, len: u64) -> std::io::Result<()>;
    /// Records that its bytes are of this version from now on.
    fn note(&mut self, version: &Version) -> std::io::Result<()>;
    /// The path for messages.
    fn path(&self) -> &Path;
}

/// A [`DownloadSink`] in memory, for listings.
#[derive(Default)]
pub(super) struct MemorySink(Vec<u8>);

impl MemorySink {
    /// The bytes of a file of this version, without an outer gzip that was not requested.
    pub(super) fn unpacked(self, version: &Version) -> std::io::Result<Vec<u8>> {
        let MemorySink(bytes) = self;
        if !version.is_in_gzip() || !encoding::is_twice(&bytes[..])? {
            return Ok(bytes);
        }
        let mut unpacked = Vec::new();
        encoding::unpack(&bytes[..], bytes.len() as u64, &mut unpacked)?;
        Ok(unpacked)
    }
}

impl DownloadSink for MemorySink {
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

/// Downloads what `sink` does not hold yet, and gives the file's version; `known` is the version of what it holds.
pub(super) async fn fetch(
    session: &Session,
    address: &Address,
    sink: &mut impl DownloadSink,
    known: Option<Version>,
) -> Result<Version, FetchError> {
    let mut attempts = Attempts::new(address, &session.policy);
    let mut download = Download {
        session,
        address,
        version: known,
        whole: false,
    };
    let mut reached = sink.len();
    loop {
        let error = match download.attempt(sink).await {
            Ok(version) => {
                session.counters.files.fetch_add(1, Ordering::Relaxed);
                return Ok(version);
            }
            Err(error) if sink.len() > 0 && download.cannot_resume() => {
                error.with_detail("; it has no strong ETag, so each attempt starts over")
            }
            Err(error) => error,
        };
        let progressed = sink.len() >= reached + PROGRESS_BYTES;
        if progressed {
            reached = sink.len();
        }
        session.retry(&mut attempts, error, progressed).await?;
    }
}

/// Downloads the first `most` bytes of a file, or all of it, and gives its size if the server tells it.
pub(super) async fn first(
    session: &Session,
    address: &Address,
    most: u64,
) -> Result<(Vec<u8>, Option<u64>), FetchError> {
    let mut attempts = Attempts::new(address, &session.policy);
    loop {
        let error = match attempt_first(session, address, most).await {
            Ok(found) => return Ok(found),
            Err(error) => error,
        };
        session.retry(&mut attempts, error, false).await?;
    }
}

async fn attempt_first(
    session: &Session,
    address: &Address,
    most: u64,
) -> Result<(Vec<u8>, Option<u64>), AttemptError> {
    let ask = FileRequest {
        range: Some((0, Some(most.saturating_sub(1)))),
        ..FileRequest::default()
    };
    let mut response = session.ask(address, &ask).await?.http;
    let size = match response.status() {
        StatusCode::OK => response.content_length(),
        StatusCode::PARTIAL_CONTENT => match content_range(response.headers()) {
            Some(range) if range.first == 0 => range.size,
            _ => return Err(AttemptError::temporary("the server sent another range")),
        },
        status => {
            return Err(AttemptError::temporary(format!("unexpected status {status}")));
        }
    };
    let mut bytes = Vec::new();
    let mut reader = BodyReader::new(session);
    while (bytes.len() as u64) < most {
        let Some(chunk) = reader.next(&mut response).await?.map_err(AttemptError::of_client)? else {
            break;
        };
        bytes.extend_from_slice(&chunk);
        reader.pace(chunk.len()).await;
    }
    let (got, wanted) = (bytes.len() as u64, size.unwrap_or(0).min(most));
    if got < wanted {
        return Err(AttemptError::temporary(format!("ended after {got} of {wanted} bytes")));
    }
    bytes.truncate(usize::try_from(most).unwrap_or(usize::MAX));
    Ok((bytes, size))
}

/// Asks whether the file on the server is still of the version `known`, without downloading it; gives the version if it
/// is.
pub(super) async fn unchanged(
    session: &Session,
    address: &Address,
    known: &Version,
) -> Result<Option<Version>, FetchError> {
    let mut attempts = Attempts::new(address, &session.policy);
    // A range of one byte tells the size where the server ignores conditions.
    let ask = FileRequest {
        range: Some((0, Some(0))),
        if_none_match: known.etag.as_deref(),
        ..FileRequest::default()
    };
    loop {
        let error = match session.ask(address, &ask).await {
            Ok(response) if response.http.status() == StatusCode::NOT_MODIFIED && known.etag.is_some() => {
                return Ok(Some(known.clone()));
            }
            Ok(response) => {
                let size = match response.http.status() {
                    StatusCode::OK => response.http.content_length(),
                    _ => content_range(response.http.headers()).and_then(|range| range.size),
                };
                let version = Version::of(&response, size);
                return Ok(known.is_current(&version).then_some(version));
            }
            Err(error) => error,
        };
        session.retry(&mut attempts, error, false).await?;
    }
}

struct Download<'a> {
    session: &'a Session,
    address: &'a Address,
    /// The version of the bytes in the sink.
    version: Option<Version>,
    /// Whether the whole file is requested, since ranges have failed.
    whole: bool,
}

impl Download<'_> {
    /// Makes one request and reads its body into `sink`.
    async fn attempt(&mut self, sink: &mut impl DownloadSink) -> Result<Version, AttemptError> {
        let path: PathBuf = sink.path().to_owned();
        let disk = |e| AttemptError::disk(&path, &e);
        self.cut_to_resumable(sink).map_err(disk)?;
        let from = sink.len();
        // The first request has a range, too: then two headers of the response say the size, and a wrong one shows.
        let known = self.version.as_ref().filter(|_| from > 0);
        let ask = FileRequest {
            range: (!self.whole).then_some((from, None)),
            if_match: known.and_then(Version::strong_etag),
            if_none_match: None,
        };
        let response = self.session.ask(self.address, &ask).await?;
        let status = response.http.status();
        let (range, size) = match status {
            StatusCode::OK => (None, response.http.content_length()),
            StatusCode::PARTIAL_CONTENT => match content_range(response.http.headers()) {
                // A server may say the size in its first response only.
                Some(range) => (Some(range), range.size.or(known.and_then(|known| known.size))),
                None => {
                    self.restart(true);
                    return Err(AttemptError::temporary("206 without a Content-Range"));
                }
            },
            StatusCode::PRECONDITION_FAILED => {
                self.restart(false);
                return Err(AttemptError::temporary("changed while it was being fetched"));
            }
            // Servers also send this for an empty file.
            StatusCode::RANGE_NOT_SATISFIABLE => {
                self.restart(true);
                return Err(AttemptError::temporary("the server has no such range"));
            }
            status => {
                return Err(AttemptError::temporary(format!("unexpected status {status}")));
            }
        };
        let version = Version::of(&response, size);
        match range {
            Some(range) if range.first != from || size.is_some_and(|size| range.end > size) => {
                self.restart(true);
                return Err(AttemptError::temporary("the server sent another range"));
            }
            Some(_) => {
                if let Some(known) = known
                    && !known.is_to_the_byte(&version)
                {
                    self.restart(false);
                    return Err(AttemptError::temporary("changed while it was being fetched"));
                }
            }
            // The server ignores ranges, so the body begins at the start.
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
        let body = self.body(response.http, sink, (end, size), agreed).await;
        if end.is_some_and(|end| sink.len() > end) {
            self.restart(false);
        }
        body.map(|()| version)
    }

    /// Whether no mark can say that the rest of the file, requested later, is of the same version.
    fn cannot_resume(&self) -> bool {
        let version = self.version.as_ref();
        version.is_some_and(|version| version.strong_etag().is_none())
    }

    /// Truncates the sink to what another request can append to.
    fn cut_to_resumable(&mut self, sink: &mut impl DownloadSink) -> std::io::Result<()> {
        let Some(version) = &self.version else {
            return sink.cut(0);
        };
        let size = version.size;
        if sink.len() > 0 && self.cannot_resume() {
            // The next bytes might be of another version of the file, and nothing would say so.
            self.restart(false);
            return sink.cut(0);
        }
        match size {
            Some(size) if sink.len() > size => sink.cut(0),
            // The file is complete; its last byte is requested again, to learn whether the version is still current.
            Some(size) if sink.len() == size => sink.cut(size.saturating_sub(1)),
            _ => Ok(()),
        }
    }

    /// Reads the body of a response into `sink`, up to byte `end` of a file of `size` bytes. With `agreed` both come
    /// from the response's range, so they are certain.
    async fn body(
        &self,
        mut response: reqwest::Response,
        sink: &mut impl DownloadSink,
        (end, size): (Option<u64>, Option<u64>),
        agreed: bool,
    ) -> Result<(), AttemptError> {
        let path: PathBuf = sink.path().to_owned();
        let mut reader = BodyReader::new(self.session);
        loop {
            let all_is_there = agreed && end == Some(sink.len());
            let next = if all_is_there {
                // The range may be wrong, or the connection held open.
                let end = timeout(END_TIMEOUT, response.chunk()).await;
                Ok(end.ok().and_then(Result::ok).flatten())
            } else {
                reader.next(&mut response).await?
            };
            let Some(chunk) = next.map_err(AttemptError::of_client)? else {
                break;
            };
            sink.append(&chunk).map_err(|e| AttemptError::disk(&path, &e))?;
            if end.is_some_and(|end| sink.len() > end) {
                return Err(AttemptError::temporary("more bytes than the server announced"));
            }
            reader.pace(chunk.len()).await;
        }
        match size {
            _ if sink.len() == 0 => Err(AttemptError::temporary("an empty body")),
            Some(size) if sink.len() < size => {
                let got = sink.len();
                Err(AttemptError::temporary(format!("ended after {got} of {size} bytes")))
            }
            _ => Ok(()),
        }
    }

    /// Makes the next attempt start over; with `whole`, without a range.
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

/// Reads a body and refuses one that comes too slowly. Only time spent waiting for the server counts.
struct BodyReader<'a> {
    session: &'a Session,
    /// The time waited so far in this window.
    waited: Duration,
    /// The bytes that have come in this window.
    bytes: f64,
    /// The number of late timers in a row.
    late: u32,
}

impl BodyReader<'_> {
    fn new(session: &Session) -> BodyReader<'_> {
        BodyReader {
            session,
            waited: Duration::ZERO,
            bytes: 0.0,
            late: 0,
        }
    }

    /// The next chunk of the body, or the client's error; [`AttemptError`] where the server is too slow.
    async fn next(&mut self, response: &mut reqwest::Response) -> Result<reqwest::Result<Option<Bytes>>, AttemptError> {
        let policy = &self.session.policy;
        let slow = policy.slowest_bytes_per_second;
        loop {
            let begin = Instant::now();
            let until = begin + policy.slow_window.saturating_sub(self.waited);
            if let Ok(chunk) = timeout_at(until, response.chunk()).await {
                let come = chunk.as_ref().ok().and_then(Option::as_ref);
                let bytes = come.map_or(0, |chunk| chunk.len());
                let counters = &self.session.counters;
                counters.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
                self.waited += begin.elapsed();
                self.bytes += bytes as f64;
                self.late = 0;
                return Ok(chunk);
            }
            // After a late timer bytes may have come that nobody has had time to read.
            let is_late = until.elapsed() > LATE && self.late < MAX_LATE_TIMERS;
            if !is_late && self.bytes < slow as f64 * policy.slow_window.as_secs_f64() {
                return Err(AttemptError::temporary(format!("slower than {slow} bytes a second")));
            }
            self.late += u32::from(is_late);
            (self.waited, self.bytes) = (Duration::ZERO, 0.0);
        }
    }

    /// Waits as long as the limit on bytes a second asks.
    async fn pace(&mut self, bytes: usize) {
        if let Some(pace) = &self.session.pace {
            let wait = pace.spend(bytes, std::time::Instant::now());
            if !wait.is_zero() {
                sleep(wait).await;
            }
        }
    }
}
