//! Servers, proxies and lines at their worst: what a file is made of stays of one version, patience ends where it is
//! pointless and lasts where it helps, and nothing waits for ever.
//!
//! Above 500 lines: one test a kind of failure, on helpers that all share.

use c4_pipeline::input::{self, Places};
use c4_pipeline::remote::{
    Address, Clock, FetchError, FetchFailure, FetchOptions, Fetcher, Network, NetworkOptions, RetryPolicy,
};
use c4_tests::server::{Heard, noise, reply, serve};
use c4_tests::{gzip, skipped, tree};
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// So impatient that a test takes seconds.
fn impatient() -> RetryPolicy {
    RetryPolicy {
        outage: Duration::ZERO,
        base: Duration::from_millis(2),
        cap: Duration::from_millis(20),
        answer_timeout: Duration::from_secs(2),
        slow_window: Duration::from_millis(500),
        slowest_bytes_per_second: 1000,
        ..RetryPolicy::default()
    }
}

fn network(retry: RetryPolicy) -> Network {
    Network::new(NetworkOptions {
        retry,
        ..NetworkOptions::default()
    })
}

fn address(server: SocketAddr, path: &str) -> Address {
    format!("http://{server}{path}").parse().unwrap()
}

fn get(network: &Network, server: SocketAddr) -> Result<Vec<u8>, FetchError> {
    network.get(&address(server, "/a.gz"))
}

/// Files `/0` to `/count`, kept in the folder.
fn fetch(network: &Network, server: SocketAddr, count: usize, folder: &Path) -> Vec<Result<Vec<u8>, FetchError>> {
    let list = (0..count).map(|i| (i, address(server, &format!("/{i}"))));
    let options = FetchOptions {
        folder: folder.to_owned(),
        keep: true,
        read_ahead: count,
        connections: 4,
    };
    let fetcher = Fetcher::start(network, list.collect(), &options).unwrap();
    let take = |i| Ok(fs::read(fetcher.take(i)?.path()).unwrap());
    (0..count).map(take).collect()
}

/// A part of `bytes` with a head that is right, and with `headers`; cut after `most` bytes.
fn partial(stream: &mut TcpStream, request: &Heard, bytes: &[u8], headers: &str, most: usize) {
    let from = request.from().unwrap_or(0);
    let rest = &bytes[from..];
    let (last, size) = (bytes.len() - 1, bytes.len());
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\nConnection: close\r\n{headers}Content-Range: bytes {from}-{last}/{size}\r\nContent-Length: {}\r\n\r\n",
        rest.len()
    );
    let sent = [head.as_bytes(), &rest[..most.min(rest.len())]].concat();
    let _ = stream.write_all(&sent);
}

/// A file changes while it is fetched, and keeps its length. Its marks tell nothing, or too little: what comes is the
/// new one and no mixture.
#[test]
fn two_versions_are_never_spliced() {
    // Half of it is no progress, so that one attempt is the only one.
    let size = 120_000;
    let modified = "Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n";
    for (before, after) in [
        ("", ""),
        (modified, modified),
        ("ETag: W/\"1\"\r\n", "ETag: W/\"1\"\r\n"),
        ("ETag: \"1\"\r\n", ""),
        ("ETag: \"1\"\r\n", modified),
        ("ETag: \"1\"\r\n", "ETag: W/\"1\"\r\n"),
        ("ETag: \"1\"\r\n", "ETag: \"2\"\r\n"),
        ("ETag: \"\"\r\n", "ETag: \"\"\r\n"),
        ("ETag: 1\r\n", "ETag: 1\r\n"),
        ("", "ETag: \"1\"\r\n"),
    ] {
        for kept in [false, true] {
            let count = Arc::new(AtomicUsize::new(0));
            let asked = count.clone();
            let (server, _) = serve("127.0.0.1", move |request, stream| {
                match asked.fetch_add(1, Ordering::Relaxed) {
                    0 => partial(stream, request, &noise("old", size), before, size / 2),
                    _ => partial(stream, request, &noise("new", size), after, size),
                }
            });
            let bytes = if kept {
                // A part of another process.
                let dir = tempfile::tempdir().unwrap();
                let once = network(RetryPolicy {
                    attempts: 1,
                    ..impatient()
                });
                assert!(fetch(&once, server, 1, dir.path())[0].is_err());
                let part = tree(dir.path()).remove(Path::new(".c4_downloads/0.part"));
                assert_eq!(part.unwrap().len(), size / 2);
                fetch(&network(impatient()), server, 1, dir.path()).remove(0)
            } else {
                get(&network(impatient()), server)
            };
            assert!(bytes.unwrap() == noise("new", size), "{before:?} {after:?} {kept}");
        }
    }
}

/// The range, or the whole of which it is one, is another than what was asked for.
#[test]
fn ranges_that_were_not_asked_for_begin_the_file_anew() {
    let size = 400_000_usize;
    let strong = "ETag: \"1\"\r\n";
    for wrong in [
        format!("HTTP/1.1 206 X\r\n{strong}Content-Range: bytes 0-{}/{size}", size - 1),
        format!(
            "HTTP/1.1 206 X\r\n{strong}Content-Range: bytes 200001-{}/{size}",
            size - 1
        ),
        format!(
            "HTTP/1.1 206 X\r\n{strong}Content-Range: bytes 200000-{}/{}",
            size,
            size + 1
        ),
        format!("HTTP/1.1 206 X\r\n{strong}Content-Range: bytes 200000-18446744073709551615/*"),
        format!("HTTP/1.1 206 X\r\n{strong}Content-Range: bytes 300000-200000/{size}"),
        format!("HTTP/1.1 206 X\r\n{strong}Content-Range: nonsense"),
        format!("HTTP/1.1 206 X\r\n{strong}"),
        format!("HTTP/1.1 206 X\r\n{strong}Content-Type: multipart/byteranges; boundary=x"),
        format!(
            "HTTP/1.1 206 X\r\n{strong}Content-Encoding: br\r\nContent-Range: bytes 200000-{}/{size}",
            size - 1
        ),
        "HTTP/1.1 416 X\r\nContent-Range: bytes */7".to_owned(),
        "HTTP/1.1 412 X".to_owned(),
        "HTTP/1.1 304 X".to_owned(),
    ] {
        let (head, count) = (wrong.clone(), AtomicUsize::new(0));
        let (server, _) = serve("127.0.0.1", move |request, stream| {
            let bytes = noise("file", size);
            match count.fetch_add(1, Ordering::Relaxed) {
                0 => partial(stream, request, &bytes, strong, size / 2),
                1 => {
                    let body = noise("wrong", size / 2);
                    let head = format!("{head}\r\nContent-Length: {}\r\n\r\n", body.len());
                    let _ = stream.write_all(&[head.as_bytes(), &body].concat());
                }
                // A server that knows no ranges sends all.
                _ if request.from().is_none() => {
                    reply(stream, "200 OK", &["ETag: \"1\"".to_owned()], &bytes);
                }
                _ => partial(stream, request, &bytes, strong, size),
            }
        });
        let bytes = get(&network(impatient()), server).unwrap();
        assert!(bytes == noise("file", size), "{wrong}");
    }
}

#[test]
fn a_line_that_is_cut_at_each_mebibyte_brings_a_file_with_a_strong_etag() {
    let (size, cut) = ((12 << 20) + 12_345, 1 << 20);
    let bytes = Arc::new(noise("large", size));
    for (mark, comes) in [("ETag: \"1\"\r\n", true), ("ETag: W/\"1\"\r\n", false)] {
        let served = bytes.clone();
        let (server, heard) = serve("127.0.0.1", move |request, stream| {
            partial(stream, request, &served, mark, cut);
        });
        let dir = tempfile::tempdir().unwrap();
        let network = network(impatient());
        let result = fetch(&network, server, 1, dir.path()).remove(0);
        let done = network.transfer();
        if comes {
            assert!(result.unwrap() == *bytes);
            assert_eq!((done.bytes, done.restarts), (size as u64, 0), "nothing comes twice");
            assert_eq!(heard.lock().unwrap().len(), 13);
        } else {
            let said = result.unwrap_err().to_string();
            assert!(said.contains("no strong ETag, so each attempt starts over"), "{said}");
        }
    }
}

/// Whatever has come whole is there, also if the server does not let go of the connection; and what has no end is
/// given up.
#[test]
fn responses_that_are_held_open() {
    let bytes = noise("open", 100_000);
    let range = "HTTP/1.1 206 Partial Content\r\nETag: \"1\"\r\nContent-Range: bytes 0-99999/100000\r\n";
    for (head, whole) in [
        (format!("{range}Content-Length: 100000\r\n\r\n"), true),
        // All bytes of the range, without an end of the body.
        (format!("{range}\r\n"), true),
        (format!("{range}Content-Length: 100001\r\n\r\n"), true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n".to_owned(), true),
        // Nobody knows whether more is to come.
        ("HTTP/1.1 200 OK\r\n\r\n".to_owned(), false),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n".to_owned(),
            false,
        ),
        // A head without an end.
        ("HTTP/1.1 200 OK\r\nX: ".to_owned(), false),
    ] {
        let (text, body) = (head.clone(), bytes.clone());
        let (server, _) = serve("127.0.0.1", move |_, stream| {
            let _ = stream.write_all(&[text.as_bytes(), &body].concat());
            thread::sleep(Duration::from_secs(30));
        });
        let started = Instant::now();
        let network = network(RetryPolicy {
            attempts: 2,
            ..impatient()
        });
        match get(&network, server) {
            Ok(came) => assert!(whole && came == bytes, "{head}"),
            Err(error) => assert!(!whole, "{head}: {error}"),
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{head}");
    }
}

/// A build keeps all cores busy while it downloads. That makes no server slow, and none waits for us: bodies go to disk
/// and not to whoever is busy.
#[test]
fn a_busy_machine_makes_no_server_slow() {
    let size = 8 << 20;
    let bytes = Arc::new(noise("busy", size));
    let (served, gave_up) = (bytes.clone(), Arc::new(AtomicUsize::new(0)));
    let lost = gave_up.clone();
    let (server, _) = serve("127.0.0.1", move |_, stream| {
        // As S3 does after a while: it hangs up on who does not read.
        let _ = stream.set_write_timeout(Some(Duration::from_secs(10)));
        let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nETag: \"1\"\r\nContent-Length: {size}\r\n\r\n");
        if stream.write_all(&[head.as_bytes(), &served].concat()).is_err() {
            lost.fetch_add(1, Ordering::Relaxed);
        }
    });
    let done = AtomicBool::new(false);
    let cores = thread::available_parallelism().map_or(2, |n| n.get());
    let network = network(RetryPolicy {
        slow_window: Duration::from_secs(5),
        answer_timeout: Duration::from_secs(60),
        ..impatient()
    });
    let dir = tempfile::tempdir().unwrap();
    thread::scope(|scope| {
        for _ in 0..4 * cores {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    std::hint::black_box(noise("work", 10_000));
                }
            });
        }
        let results = fetch(&network, server, 6, dir.path());
        done.store(true, Ordering::Relaxed);
        for result in results {
            assert!(result.unwrap() == *bytes);
        }
    });
    assert_eq!(gave_up.load(Ordering::Relaxed), 0);
    assert_eq!(network.transfer().failed_requests, 0);
}

#[test]
fn a_server_that_drips_is_left() {
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-",
    ] {
        let (server, heard) = serve("127.0.0.1", move |_, stream| {
            let _ = stream.write_all(head.as_bytes());
            while stream.write_all(b"x").is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        });
        let started = Instant::now();
        let network = network(RetryPolicy {
            attempts: 3,
            ..impatient()
        });
        let error = get(&network, server).unwrap_err();
        assert_eq!((error.failure, error.attempts), (FetchFailure::GaveUp, 3));
        assert_eq!(heard.lock().unwrap().len(), 3);
        assert!(started.elapsed() < Duration::from_secs(20), "{error}");
    }
}

/// On a clock whose waits take no time.
fn simulated(retry: RetryPolicy) -> (Network, Clock) {
    let clock = Clock::simulated();
    let options = NetworkOptions {
        retry,
        clock: clock.clone(),
        ..NetworkOptions::default()
    };
    (Network::new(options), clock)
}

/// As Common Crawl answers those who ask too fast.
#[test]
fn ten_minutes_of_403_are_survived() {
    const BLOCK: Duration = Duration::from_secs(600);
    for (status, headers) in [
        ("403 Forbidden", vec![]),
        ("503 Slow Down", vec![]),
        ("429 Too Many Requests", vec!["Retry-After: 99999999".to_owned()]),
        ("503 Slow Down", vec!["Retry-After: 7".to_owned()]),
    ] {
        // From the start, or in the middle.
        for served in [0, 10] {
            let (network, clock) = simulated(RetryPolicy::default());
            let (count, blocked, headers) = (AtomicUsize::new(0), Mutex::new(None), headers.clone());
            let now = clock.clone();
            let (server, heard) = serve("127.0.0.1", move |request, stream| {
                if count.fetch_add(1, Ordering::Relaxed) >= served {
                    let mut blocked = blocked.lock().unwrap();
                    let since = *blocked.get_or_insert_with(|| now.now());
                    if now.now() - since < BLOCK {
                        return reply(stream, status, &headers, b"<html>Request blocked.</html>");
                    }
                }
                reply(stream, "200 OK", &["ETag: \"1\"".to_owned()], request.path.as_bytes());
            });
            let dir = tempfile::tempdir().unwrap();
            let start = clock.now();
            let results = fetch(&network, server, 40, dir.path());
            for (i, result) in results.into_iter().enumerate() {
                assert_eq!(result.unwrap(), format!("/{i}").into_bytes(), "{status} {served}");
            }
            let (waited, requests) = (clock.now() - start, heard.lock().unwrap().len());
            assert!(waited >= BLOCK && waited < 3 * BLOCK, "{status}: {waited:?}");
            // Those who are blocked and go on asking stay blocked.
            assert!(requests < 40 + 4 * 60, "{status}: {requests} requests");
        }
    }
}

/// Of a file that alone is refused, and of a server that never lets anybody in, the end is said in bounded time.
#[test]
fn what_is_forbidden_for_good_is_given_up() {
    let (network, clock) = simulated(RetryPolicy::default());
    let (server, _) = serve("127.0.0.1", |request, stream| match request.path.as_str() {
        "/3" => reply(stream, "403 Forbidden", &[], b"no"),
        path => reply(stream, "200 OK", &[], path.as_bytes()),
    });
    let dir = tempfile::tempdir().unwrap();
    let mut results = fetch(&network, server, 40, dir.path());
    let error = results.remove(3).unwrap_err();
    assert_eq!(error.failure, FetchFailure::GaveUp, "{error}");
    assert!(results.iter().all(Result::is_ok));

    let start = clock.now();
    let (server, _) = serve("127.0.0.2", |_, stream| reply(stream, "403 Forbidden", &[], b"no"));
    let dir = tempfile::tempdir().unwrap();
    let results = fetch(&network, server, 200, dir.path());
    assert!(results.iter().all(Result::is_err));
    let waited = clock.now() - start;
    assert!(waited < Duration::from_secs(3600), "{waited:?}");
}

/// The body of S3's errors says that it is no matter of pace.
#[test]
fn denials_are_final() {
    for code in ["AccessDenied", "AllAccessDisabled", "InvalidAccessKeyId"] {
        let (server, heard) = serve("127.0.0.1", move |_, stream| {
            let body = format!("<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code></Error>");
            reply(stream, "403 Forbidden", &[], body.as_bytes());
        });
        let error = get(&network(impatient()), server).unwrap_err();
        assert_eq!((error.failure, error.attempts), (FetchFailure::Denied, 1));
        let said = error.to_string();
        assert!(said.contains(code) && said.contains("credentials"), "{said}");
        heard.lock().unwrap().clear();
        let dir = tempfile::tempdir().unwrap();
        let results = fetch(&network(impatient()), server, 100, dir.path());
        assert!(results.iter().all(Result::is_err));
        assert!(heard.lock().unwrap().len() < 25, "the others are not tried");
    }
}

/// What a server says is shown to the user only as far as it is plain.
#[test]
fn nothing_of_a_server_commands_the_terminal() {
    for (status, headers, body) in [
        ("403 \u{1b}[2Jboo", vec![], "<Code>\u{1b}[31m</Code>"),
        (
            "400 \u{1b}]0;x\u{7}",
            vec!["x-amz-bucket-region: \t\u{1b}[1m".to_owned()],
            "<Region>\u{1b}[2J</Region>",
        ),
        ("302 \u{9b}2J", vec!["Location: http://\u{1b}[2J/".to_owned()], ""),
        ("302 Found", vec!["Location: \u{1b}[2J:x".to_owned()], ""),
        ("302 Found", vec!["Location: e\u{202e}vil:x".to_owned()], ""),
        (
            "200 OK",
            vec!["Content-Encoding: \u{1b}[2J".to_owned(), "ETag: \u{1b}".to_owned()],
            "",
        ),
        ("\u{1b}[2J", vec![], ""),
    ] {
        let (server, _) = serve("127.0.0.1", move |_, stream| {
            reply(stream, status, &headers, body.as_bytes());
        });
        let error = get(&network(impatient()), server).unwrap_err();
        let said = format!("{error} {}", error.reason());
        let plain = |c: char| !c.is_control() && !('\u{202a}'..='\u{202e}').contains(&c);
        assert!(said.chars().all(plain), "{said:?}");
    }
}

/// A proxy may pack what is packed; the archive is what is inside.
#[test]
fn gzip_around_gzip_is_taken_off() {
    let archive = gzip(&noise("archive", 200_000));
    let twice = gzip(&archive);
    for (header, sent, expected) in [
        ("Content-Encoding: gzip", &twice, &archive),
        ("Content-Encoding: X-Gzip", &twice, &archive),
        // The header means the file's own packing.
        ("Content-Encoding: gzip", &archive, &archive),
        ("Content-Encoding: aws-chunked", &archive, &archive),
        // It is what is on the server.
        ("X-Nothing: said", &twice, &twice),
    ] {
        let (head, body) = (format!("{header}\r\nETag: \"1\"\r\n"), sent.clone());
        let (server, heard) = serve("127.0.0.1", move |request, stream| {
            match request.headers.contains_key("if-none-match") {
                true => reply(stream, "304 Not Modified", &[], b""),
                false => partial(stream, request, &body, &head, usize::MAX),
            }
        });
        assert!(get(&network(impatient()), server).unwrap() == *expected, "{header}");
        let dir = tempfile::tempdir().unwrap();
        for again in [false, true] {
            heard.lock().unwrap().clear();
            let came = fetch(&network(impatient()), server, 1, dir.path()).remove(0);
            assert!(came.unwrap() == *expected, "{header}");
            let heard = heard.lock().unwrap();
            let asked = heard.iter().any(|heard| heard.headers.contains_key("if-none-match"));
            assert_eq!((heard.len(), asked), (1, again), "{header}: it is kept");
        }
    }
}

#[test]
fn an_error_page_is_no_listing() {
    let (server, _) = serve("127.0.0.1", |_, stream| {
        reply(
            stream,
            "200 OK",
            &[],
            b"\n<!DOCTYPE html><title>Sign in</title>\n<p>x.warc.gz\n",
        );
    });
    let network = network(impatient());
    let places = Places {
        network: Some(&network),
        ..Places::here().unwrap()
    };
    let (recipe, _) = c4_data::Recipe::load("en").unwrap();
    let listing = format!("http://{server}/wet.paths.gz");
    let error = input::resolve_in(&[listing.clone().into()], &places, &recipe.read).unwrap_err();
    let said = error.to_string();
    assert!(
        said.contains(&listing) && said.contains("is an HTML or XML page"),
        "{said}"
    );
}

/// What a machine that went down has left may have holes: only what was synced counts.
#[test]
fn parts_of_before_a_restart_of_the_machine_are_not_gone_on_with() {
    let bytes = noise("boot", 120_000);
    let served = bytes.clone();
    let count = AtomicUsize::new(0);
    let (server, heard) = serve("127.0.0.1", move |request, stream| {
        let most = if count.fetch_add(1, Ordering::Relaxed) == 0 {
            60_000
        } else {
            120_000
        };
        partial(stream, request, &served, "ETag: \"1\"\r\n", most);
    });
    let dir = tempfile::tempdir().unwrap();
    let once = network(RetryPolicy {
        attempts: 1,
        ..impatient()
    });
    assert!(fetch(&once, server, 1, dir.path())[0].is_err());
    let note = dir.path().join(".c4_downloads/0.json");
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&note).unwrap()).unwrap();
    if json["boot"].is_null() {
        skipped("this system does not say which start of the machine it is");
        return;
    }
    json["boot"] = "another".into();
    fs::write(&note, json.to_string()).unwrap();
    fs::write(dir.path().join(".c4_downloads/0.part"), vec![0; 60_000]).unwrap();
    let came = fetch(&network(impatient()), server, 1, dir.path()).remove(0);
    assert!(came.unwrap() == bytes);
    assert_eq!(heard.lock().unwrap()[1].from(), Some(0));
}
