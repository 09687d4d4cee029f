//! An HTTP server for tests: files in memory, ranges and conditions, and faults by a seeded plan.
//!
//! Above 500 lines: servers that behave, and servers that do not.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// 403, as Common Crawl answers when one asks too fast.
    Forbidden,
    /// 429 with `Retry-After: 0`.
    TooMany,
    /// 500.
    ServerError,
    /// 503 with an S3 error as body.
    Unavailable,
    /// No answer.
    Closed,
    /// The connection ends within the body.
    CutBody,
    /// The body stops, the connection stays.
    Stall,
    /// The body comes a few bytes at a time.
    Drip,
    /// `Content-Length` is larger than the body.
    LongLength,
    /// `Content-Length` is smaller than the body.
    ShortLength,
    /// 200 and nothing.
    EmptyBody,
    /// 200 and everything, whatever the range.
    IgnoresRange,
    /// From now on the file is another one.
    Changes,
}

impl Fault {
    /// All.
    pub const ALL: [Fault; 13] = [
        Fault::Forbidden,
        Fault::TooMany,
        Fault::ServerError,
        Fault::Unavailable,
        Fault::Closed,
        Fault::CutBody,
        Fault::Stall,
        Fault::Drip,
        Fault::LongLength,
        Fault::ShortLength,
        Fault::EmptyBody,
        Fault::IgnoresRange,
        Fault::Changes,
    ];
    /// Those that need a request for the rest of a file, to be any.
    const OF_RESTS: [Fault; 2] = [Fault::IgnoresRange, Fault::Changes];
}

/// What fails when.
#[derive(Debug, Clone, Copy)]
pub enum Plan {
    /// Nothing.
    None,
    /// So many requests of a hundred, of all kinds, drawn with the seed.
    Percent(u64, u64),
    /// Every request.
    Always(Fault),
    /// The first so many requests of every file.
    First(u64, Fault),
}

/// What identifies a state of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validator {
    /// A strong ETag.
    Strong,
    /// A weak ETag.
    Weak,
    /// `Last-Modified` alone.
    Modified,
    /// Nothing.
    None,
}

/// A file that is served.
#[derive(Debug, Clone)]
struct Served {
    bytes: Arc<Vec<u8>>,
    version: u64,
    requests: u64,
    validator: Validator,
    chunked: bool,
}

/// A request that was made.
#[derive(Debug, Clone)]
pub struct Request {
    /// The path, with its slash.
    pub path: String,
    /// First byte asked for; `None`: no range.
    pub from: Option<u64>,
    /// Status of the answer; 0: none.
    pub status: u16,
    /// When it came.
    pub at: Instant,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Served>,
    faults: BTreeMap<Fault, u64>,
    requests: Vec<Request>,
    /// Bytes of bodies that were sent.
    sent: u64,
    retry_after: Option<String>,
}

/// A server on a free port of this machine, until the process ends.
pub struct Server {
    state: Arc<Mutex<State>>,
    plan: Arc<Mutex<Plan>>,
    address: SocketAddr,
}

/// Bytes that look like nothing else: of a seed, reproducible.
pub fn noise(seed: impl Hash, len: usize) -> Vec<u8> {
    let mut hasher = DefaultHasher::new();
    seed.hash(&mut hasher);
    let mut x = hasher.finish() | 1;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}

impl Server {
    /// Starts it.
    pub fn start(plan: Plan) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server {
            state: Arc::default(),
            plan: Arc::new(Mutex::new(plan)),
            address: listener.local_addr().unwrap(),
        };
        let (state, plan) = (server.state.clone(), server.plan.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, plan) = (state.clone(), plan.clone());
                // A client that goes away is no failure of the server.
                thread::spawn(move || while let Some(true) = answer(&stream, &state, &plan) {});
            }
        });
        server
    }

    /// `http://127.0.0.1:PORT/` and the path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{}", self.address, path.trim_start_matches('/'))
    }

    /// Host and port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves a file, or another in its place.
    pub fn put(&self, path: &str, bytes: Vec<u8>) {
        self.put_with(path, bytes, Validator::Strong, false);
    }

    /// The same, with other marks of its state, and perhaps without a length.
    pub fn put_with(&self, path: &str, bytes: Vec<u8>, validator: Validator, chunked: bool) {
        let mut state = self.state.lock().unwrap();
        let version = state.files.get(path).map_or(0, |file| file.version + 1);
        let file = Served {
            bytes: Arc::new(bytes),
            version,
            requests: 0,
            validator,
            chunked,
        };
        state.files.insert(path.to_owned(), file);
    }

    /// What is served at a path now.
    pub fn get(&self, path: &str) -> Arc<Vec<u8>> {
        self.state.lock().unwrap().files[path].bytes.clone()
    }

    /// From now on.
    pub fn set_plan(&self, plan: Plan) {
        *self.plan.lock().unwrap() = plan;
    }

    /// What 403, 429 and 503 say from now on.
    pub fn set_retry_after(&self, value: &str) {
        self.state.lock().unwrap().retry_after = Some(value.to_owned());
    }

    /// All requests so far; forgets them.
    pub fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }

    /// How often what went wrong.
    pub fn faults(&self) -> BTreeMap<Fault, u64> {
        self.state.lock().unwrap().faults.clone()
    }

    /// Bytes of bodies sent so far.
    pub fn sent(&self) -> u64 {
        self.state.lock().unwrap().sent
    }
}

/// A decision as of a draw, by what it is about.
fn draw(about: impl Hash, of: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    about.hash(&mut hasher);
    hasher.finish() % of
}

fn fault(plan: Plan, path: &str, request: u64, from: u64) -> Option<Fault> {
    match plan {
        Plan::None => None,
        Plan::Always(fault) => Some(fault),
        Plan::First(n, fault) => (request < n).then_some(fault),
        Plan::Percent(percent, seed) => {
            let about = (seed, path, request);
            if draw((about, 0), 100) >= percent {
                return None;
            }
            let rests = Fault::OF_RESTS;
            let all = Fault::ALL.len() as u64;
            // Requests for rests are few, so every other fault of theirs is one that only they have.
            Some(match (from, draw((about, 1), 2)) {
                (0, _) => Fault::ALL[draw((about, 2), all - rests.len() as u64) as usize],
                (_, 0) => rests[draw((about, 3), 2) as usize],
                _ => Fault::ALL[draw((about, 4), all) as usize],
            })
        }
    }
}

/// Answers one request; `Some(true)`: the connection can be used again.
fn answer(mut stream: &TcpStream, state: &Mutex<State>, plan: &Mutex<Plan>) -> Option<bool> {
    let mut reader = BufReader::new(stream);
    let mut headers = BTreeMap::new();
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim().split_once(": ") {
            Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.to_owned()),
            None => break,
        };
    }
    let range = headers.get("range").map(|range| {
        let (from, to) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
        (from.parse::<u64>().unwrap(), to.parse::<u64>().ok())
    });
    let from = range.map_or(0, |(from, _)| from);

    let mut locked = state.lock().unwrap();
    let retry_after = locked.retry_after.clone();
    locked.requests.push(Request {
        path: path.clone(),
        from: range.map(|(from, _)| from),
        status: 0,
        at: Instant::now(),
    });
    let number = locked.requests.len() - 1;
    let (fault, file) = match locked.files.get_mut(&path) {
        None => (None, None),
        Some(file) => {
            let fault = fault(*plan.lock().unwrap(), &path, file.requests, from);
            file.requests += 1;
            if fault == Some(Fault::Changes) {
                file.version += 1;
                let len = file.bytes.len() + file.version as usize;
                file.bytes = Arc::new(noise((&path, file.version), len));
            }
            (fault, Some(file.clone()))
        }
    };
    if let Some(fault) = fault {
        *locked.faults.entry(fault).or_default() += 1;
    }
    drop(locked);

    // What a faultless server would say.
    let mut head: Vec<(&str, String)> = Vec::new();
    let mut status = (200, "OK");
    let mut body: &[u8] = b"";
    let mut chunked = false;
    if let Some(file) = &file {
        let size = file.bytes.len() as u64;
        let etag = match file.validator {
            Validator::Strong => Some(format!("\"{}\"", file.version)),
            Validator::Weak => Some(format!("W/\"{}\"", file.version)),
            _ => None,
        };
        if file.validator == Validator::Modified {
            let at = format!("Mon, 01 Jan 2024 00:00:{:02} GMT", file.version % 60);
            head.push(("Last-Modified", at));
        }
        head.extend(etag.iter().map(|etag| ("ETag", etag.clone())));
        let etag = etag.unwrap_or_default();
        let is = |header: &str| headers.get(header).map(|value| *value == etag);
        if is("if-none-match") == Some(true) {
            status = (304, "Not Modified");
        } else if is("if-match").is_some_and(|same| !same || etag.starts_with('W')) {
            status = (412, "Precondition Failed");
        } else if range.is_some_and(|(from, _)| from >= size) {
            status = (416, "Range Not Satisfiable");
            head.push(("Content-Range", format!("bytes */{size}")));
        } else if let Some((from, to)) = range
            && fault != Some(Fault::IgnoresRange)
            && !file.chunked
        {
            status = (206, "Partial Content");
            let last = to.unwrap_or(u64::MAX).min(size - 1);
            head.push(("Content-Range", format!("bytes {from}-{last}/{size}")));
            body = &file.bytes[from as usize..=last as usize];
        } else {
            body = &file.bytes[..];
            chunked = file.chunked;
        }
    } else {
        status = (404, "Not Found");
    }

    let mut length = body.len();
    let mut send = body.len();
    let mut keep = true;
    let asked = |default: &str| ("Retry-After", retry_after.clone().unwrap_or(default.into()));
    match fault {
        Some(Fault::Forbidden) => {
            status = (403, "Forbidden");
            head.extend(retry_after.clone().map(|value| ("Retry-After", value)));
        }
        Some(Fault::TooMany) => {
            status = (429, "Too Many Requests");
            head.push(asked("0"));
        }
        Some(Fault::ServerError) => status = (500, "Internal Server Error"),
        Some(Fault::Unavailable) => {
            status = (503, "Slow Down");
            body = b"<?xml version=\"1.0\"?><Error><Code>SlowDown</Code></Error>";
            (length, send) = (body.len(), body.len());
        }
        Some(Fault::Closed) => return Some(false),
        Some(Fault::CutBody) => (send, keep) = (length / 2, false),
        Some(Fault::LongLength) => (length, keep) = (length + 10, false),
        Some(Fault::ShortLength) => (length, keep) = (length / 2, false),
        Some(Fault::EmptyBody) => {
            status = (200, "OK");
            (body, chunked) = (b"", false);
            (length, send) = (0, 0);
        }
        _ => {}
    }
    if matches!(status.0, 403 | 429 | 500) {
        (length, send) = (0, 0);
    }
    {
        let mut state = state.lock().unwrap();
        if let Some(request) = state.requests.get_mut(number) {
            request.status = status.0;
        }
    }
    let mut text = format!("HTTP/1.1 {} {}\r\n", status.0, status.1);
    for (name, value) in head {
        text += &format!("{name}: {value}\r\n");
    }
    text += &match (status.0, chunked) {
        (304, _) => String::new(),
        (_, true) => "Transfer-Encoding: chunked\r\n".to_owned(),
        _ => format!("Content-Length: {length}\r\n"),
    };
    stream.write_all(format!("{text}\r\n").as_bytes()).ok()?;
    let mut write = |bytes: &[u8]| -> Option<()> {
        stream.write_all(bytes).ok()?;
        state.lock().unwrap().sent += bytes.len() as u64;
        Some(())
    };
    match fault {
        Some(Fault::Stall) => {
            write(&body[..send / 2])?;
            wait_for_the_end(stream);
            return Some(false);
        }
        Some(Fault::Drip) => {
            for piece in body.chunks(5) {
                write(piece)?;
                thread::sleep(Duration::from_millis(50));
            }
        }
        _ if chunked => {
            for piece in body[..send].chunks(10_000) {
                write(format!("{:x}\r\n", piece.len()).as_bytes())?;
                write(piece)?;
                write(b"\r\n")?;
            }
            // Without its end, the body is cut.
            if send == body.len() {
                write(b"0\r\n\r\n")?;
            }
        }
        _ => write(&body[..send])?,
    }
    Some(keep)
}

/// Until the client hangs up.
fn wait_for_the_end(mut stream: &TcpStream) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
    let _ = stream.read(&mut [0]);
}

/// A way to another server that breaks: every other connection ends after so many bytes of answers.
pub fn breaking_proxy(to: SocketAddr, after: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for (i, client) in listener.incoming().flatten().enumerate() {
            let Ok(server) = TcpStream::connect(to) else {
                continue;
            };
            let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut from_client, &mut to_server));
            thread::spawn(move || {
                let left = if i % 2 == 0 { after as u64 } else { u64::MAX };
                let _ = std::io::copy(&mut (&server).take(left), &mut (&client));
                let _ = client.shutdown(std::net::Shutdown::Both);
                let _ = server.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    address
}

/// A request that a [`serve`]d function gets.
#[derive(Debug, Clone)]
pub struct Heard {
    /// The path, with its slash and query.
    pub path: String,
    /// The headers, their names in lower case.
    pub headers: BTreeMap<String, String>,
}

impl Heard {
    /// The first byte asked for.
    pub fn from(&self) -> Option<usize> {
        let range = self.headers.get("range")?.strip_prefix("bytes=")?;
        range.split_once('-')?.0.parse().ok()
    }
}

/// A server that answers by a function, a connection a request, at a free port of `ip`; and what it has heard.
pub fn serve(
    ip: &str,
    answer: impl Fn(&Heard, &mut TcpStream) + Send + Sync + 'static,
) -> (SocketAddr, Arc<Mutex<Vec<Heard>>>) {
    let listener = TcpListener::bind((ip, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
    let (all, answer) = (heard.clone(), Arc::new(answer));
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (all, answer) = (all.clone(), answer.clone());
            thread::spawn(move || {
                let Some(request) = hear(&stream) else { return };
                all.lock().unwrap().push(request.clone());
                answer(&request, &mut stream);
            });
        }
    });
    (address, heard)
}

fn hear(stream: &TcpStream) -> Option<Heard> {
    let mut lines = BufReader::new(stream).lines();
    let path = lines.next()?.ok()?.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    for line in lines {
        match line.ok()?.split_once(": ") {
            Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.to_owned()),
            None => break,
        };
    }
    Some(Heard { path, headers })
}

/// Writes an answer: the status with its reason, header lines, and a body with its length.
pub fn reply(stream: &mut TcpStream, status: &str, headers: &[String], body: &[u8]) {
    let mut head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
    headers.iter().for_each(|line| head += &format!("{line}\r\n"));
    head += &format!("Content-Length: {}\r\n\r\n", body.len());
    // A client that goes away is no failure of the server.
    let _ = stream.write_all(&[head.as_bytes(), body].concat());
}
