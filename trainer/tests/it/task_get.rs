//! `t5 task get` against a server on this machine that speaks as the Hugging Face Hub does.

use crate::common::program::{program, stderr};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::thread;

/// A request: its path, its range, its authorization.
#[derive(Debug, Clone, PartialEq)]
struct Request {
    path: String,
    range: Option<String>,
    authorization: Option<String>,
}

/// An answer: status, headers, body; and how many bytes of the body come before the connection ends.
#[derive(Clone)]
struct Answer {
    status: &'static str,
    headers: Vec<String>,
    body: Vec<u8>,
    sent: usize,
}

impl Answer {
    fn of(status: &'static str, body: &[u8]) -> Answer {
        Answer {
            status,
            headers: Vec::new(),
            body: body.to_vec(),
            sent: body.len(),
        }
    }

    fn with(mut self, header: String) -> Answer {
        self.headers.push(header);
        self
    }
}

struct Server {
    address: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers each request by `answer`, which knows how many of this path came before.
    fn start(answer: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let seen = requests.clone();
        let answer = Arc::new(answer);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (seen, answer) = (seen.clone(), answer.clone());
                thread::spawn(move || serve(stream, &seen, &*answer));
            }
        });
        Server { address, requests }
    }

    fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, seen: &Mutex<Vec<Request>>, answer: &dyn Fn(&Request, usize) -> Answer) {
    let mut lines = BufReader::new(stream.try_clone().unwrap())
        .lines()
        .map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    let headers: BTreeMap<String, String> = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_lowercase(), value.trim().to_owned()))
        })
        .collect();
    let request = Request {
        path: first.split(' ').nth(1).unwrap().to_owned(),
        range: headers.get("range").cloned(),
        authorization: headers.get("authorization").cloned(),
    };
    let before = {
        let mut seen = seen.lock().unwrap();
        let before = seen.iter().filter(|other| other.path == request.path).count();
        seen.push(request.clone());
        before
    };
    let answer = answer(&request, before);
    let mut head = format!(
        "HTTP/1.1 {}\r\nContent-Length: {}\r\nConnection: close\r\n",
        answer.status,
        answer.body.len()
    );
    for header in &answer.headers {
        head += &format!("{header}\r\n");
    }
    let mut stream = stream;
    let _ = stream.write_all(format!("{head}\r\n").as_bytes());
    let _ = stream.write_all(&answer.body[..answer.sent]);
}

/// The bytes from where a request wants them.
fn ranged(request: &Request, bytes: &[u8]) -> Answer {
    match &request.range {
        None => Answer::of("200 OK", bytes),
        Some(range) => {
            let from: usize = range
                .strip_prefix("bytes=")
                .unwrap()
                .strip_suffix('-')
                .unwrap()
                .parse()
                .unwrap();
            let place = format!("Content-Range: bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
            Answer::of("206 Partial Content", &bytes[from..]).with(place)
        }
    }
}

fn sha256(bytes: &[u8]) -> String {
    c4_data::atomic_file::sha256_hex(bytes)
}

/// An entry of the Hub's list of a file that Git keeps elsewhere.
fn large(path: &str, bytes: &[u8]) -> Value {
    json!({"type": "file", "path": path, "oid": "0f", "size": bytes.len(), "lfs": {"oid": sha256(bytes), "size": bytes.len(), "pointerSize": 130}})
}

fn get(server: &Server, task: &str, output: &Path) -> Output {
    let mut command = program();
    command.args(["task", "get", task, "-o", output.to_str().unwrap()]);
    command.env("HF_ENDPOINT", &server.address).env("HF_TOKEN", "hf_secret");
    command
        .env("NO_PROXY", "127.0.0.1")
        .env_remove("HTTP_PROXY")
        .env_remove("http_proxy");
    command.output().unwrap()
}

const LIST: &str = "/api/datasets/nyu-mll/glue/tree/main/rte?recursive=true";
const FILES: &str = "/datasets/nyu-mll/glue/resolve/main/rte/";

#[test]
fn files_are_fetched_and_gone_on_with() {
    let rows = b"{\"sentence1\": \"A\", \"sentence2\": \"B\", \"label\": 1}\n".repeat(1000);
    let dev = b"{\"sentence1\": \"C\", \"sentence2\": \"D\", \"label\": 0}\n".to_vec();
    let (train, validation) = (rows.clone(), dev.clone());
    let server = Server::start(move |request, before| match request.path.strip_prefix(FILES) {
        // A server in trouble; a connection that ends; the rest.
        Some("train.jsonl") => match before {
            0 => Answer::of("503 Service Unavailable", b"").with("Retry-After: 0".to_owned()),
            1 => Answer {
                sent: 1000,
                ..ranged(request, &train)
            },
            _ => ranged(request, &train),
        },
        // By another address, as the Hub sends to where the bytes are.
        Some("validation.jsonl") => Answer::of("302 Found", b"").with("Location: /cdn/validation?x=1".to_owned()),
        None if request.path == "/cdn/validation?x=1" => ranged(request, &validation),
        None if request.path == LIST => {
            let page = json!([{"type": "directory", "path": "rte/x", "oid": "1", "size": 0}, large("rte/train.jsonl", &train)]);
            Answer::of("200 OK", page.to_string().as_bytes()).with(format!("Link: <{LIST}&cursor=2>; rel=\"next\""))
        }
        None if request.path == format!("{LIST}&cursor=2") => {
            // Git's own checksum: `git hash-object` of the file.
            let blob = json!({"type": "file", "path": "rte/validation.jsonl", "oid": "902b83d93964a7d1e58b55bed11abe2d411ee4fb", "size": validation.len()});
            let page = json!([blob, {"type": "file", "path": "rte/README.md", "oid": "1", "size": 3}]);
            Answer::of("200 OK", page.to_string().as_bytes())
        }
        _ => Answer::of("404 Not Found", b""),
    });
    let dir = tempfile::tempdir().unwrap();
    let output = get(&server, "glue/rte", dir.path());
    assert!(output.status.success(), "{}", stderr(&output));
    let folder = dir.path().join("glue/rte");
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        format!("{}\n", folder.display())
    );
    assert_eq!(fs::read(folder.join("train.jsonl")).unwrap(), rows);
    assert_eq!(fs::read(folder.join("validation.jsonl")).unwrap(), dev);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    let requests = server.requests();
    let of_train: Vec<_> = requests.iter().filter(|r| r.path.ends_with("train.jsonl")).collect();
    let ranges: Vec<_> = of_train.iter().map(|r| r.range.as_deref()).collect();
    assert_eq!(ranges, [None, None, Some("bytes=1000-")]);
    assert!(
        requests
            .iter()
            .all(|r| r.authorization.as_deref() == Some("Bearer hf_secret"))
    );
    // All is there: nothing but the list is asked for.
    let output = get(&server, "glue/rte", dir.path());
    assert!(
        stderr(&output).contains("train.jsonl: there already, 49,000 bytes"),
        "{}",
        stderr(&output)
    );
    assert_eq!(server.requests().len(), requests.len() + 2);
    // The next command reads it.
    let shown = crate::common::program::said(&["task", "preview", "glue/rte", "--data", dir.path().to_str().unwrap()]);
    assert!(shown.contains("rows      1,000: 1,000 examples"), "{shown}");
}

/// What an earlier command has left is gone on with; a server that knows no ranges begins again.
#[test]
fn the_next_command_goes_on() {
    let rows = b"{\"sentence1\": \"A\"}\n".repeat(500);
    for knows_ranges in [true, false] {
        let served = rows.clone();
        let server = Server::start(move |request, _| match request.path.as_str() {
            LIST => Answer::of(
                "200 OK",
                json!([large("rte/train.jsonl", &served)]).to_string().as_bytes(),
            ),
            _ if knows_ranges => ranged(request, &served),
            _ => Answer::of("200 OK", &served),
        });
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("glue/rte");
        fs::create_dir_all(&folder).unwrap();
        let part = format!(".train.jsonl.{}.part", &sha256(&rows)[..12]);
        fs::write(folder.join(part), &rows[..777]).unwrap();
        let output = get(&server, "glue/rte", dir.path());
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(fs::read(folder.join("train.jsonl")).unwrap(), rows);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        let ranges: Vec<_> = server.requests().into_iter().map(|request| request.range).collect();
        assert_eq!(ranges, [None, Some("bytes=777-".to_owned())]);
    }
}

#[test]
fn the_token_goes_to_no_other_host() {
    let elsewhere = Server::start(|request, _| ranged(request, b"rows"));
    let address = elsewhere.address.clone();
    let server = Server::start(move |request, _| match request.path.as_str() {
        LIST => Answer::of(
            "200 OK",
            json!([large("rte/train.jsonl", b"rows")]).to_string().as_bytes(),
        ),
        _ => Answer::of("302 Found", b"").with(format!("Location: {address}/rows")),
    });
    let dir = tempfile::tempdir().unwrap();
    let output = get(&server, "glue/rte", dir.path());
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(server.requests().iter().all(|request| request.authorization.is_some()));
    let there = elsewhere.requests();
    assert_eq!(
        there
            .iter()
            .map(|request| request.authorization.as_deref())
            .collect::<Vec<_>>(),
        [None]
    );
}

#[test]
fn other_bytes_than_the_hub_states_are_refused() {
    let server = Server::start(|request, _| match request.path.as_str() {
        LIST => Answer::of(
            "200 OK",
            json!([large("rte/train.jsonl", b"right")]).to_string().as_bytes(),
        ),
        _ => Answer::of("200 OK", b"wrong"),
    });
    let dir = tempfile::tempdir().unwrap();
    let output = get(&server, "glue/rte", dir.path());
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("another checksum than the Hub states"),
        "{}",
        stderr(&output)
    );
    assert_eq!(fs::read_dir(dir.path().join("glue/rte")).unwrap().count(), 0);
}

#[test]
fn what_the_hub_has_converted_is_taken() {
    let bytes = b"PAR1".to_vec();
    let server = Server::start(move |request, _| match request.path.as_str() {
        LIST => Answer::of("404 Not Found", b""),
        "/api/datasets/nyu-mll/glue/tree/refs%2Fconvert%2Fparquet/rte?recursive=true" => Answer::of(
            "200 OK",
            json!([large("rte/train/0000.parquet", &bytes)]).to_string().as_bytes(),
        ),
        "/datasets/nyu-mll/glue/resolve/refs%2Fconvert%2Fparquet/rte/train/0000.parquet" => {
            Answer::of("200 OK", &bytes)
        }
        _ => Answer::of("500 Internal Server Error", b""),
    });
    let dir = tempfile::tempdir().unwrap();
    let output = get(&server, "glue/rte", dir.path());
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(dir.path().join("glue/rte/train/0000.parquet").is_file());
}

#[test]
fn what_cannot_be_had_is_said() {
    for (list, words) in [
        (
            Answer::of("401 Unauthorized", b""),
            "set HF_TOKEN to a token that may read it",
        ),
        (Answer::of("404 Not Found", b""), "there is no such data set or file"),
        (Answer::of("200 OK", b"<html>"), "the answer is no list of files"),
        (
            Answer::of("200 OK", b"[]"),
            "has no Parquet, JSON or CSV files below `rte`",
        ),
        (
            Answer::of(
                "200 OK",
                json!([large("rte/../../x.jsonl", b"x")]).to_string().as_bytes(),
            ),
            "is no path of a file",
        ),
    ] {
        let server = Server::start(move |_, _| list.clone());
        let dir = tempfile::tempdir().unwrap();
        let output = get(&server, "glue/rte", dir.path());
        assert_eq!(output.status.code(), Some(2));
        let said = stderr(&output);
        assert!(
            said.contains(words) && said.contains(&server.address),
            "{words} in {said}"
        );
    }
}
