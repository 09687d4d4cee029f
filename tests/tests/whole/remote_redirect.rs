//! Redirects: where they may lead, and that no credential goes along to another host.

use c4_pipeline::remote::{
    Address, FetchError, FetchFailure, FetchOptions, Fetcher, Network, NetworkOptions, RetryPolicy, S3Options,
};
use c4_tests::server::{Heard, noise, reply, serve};
use c4_tests::tree;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a server and the test look at.
type Shared<T> = Arc<Mutex<T>>;

const STATUSES: [&str; 5] = [
    "301 Moved Permanently",
    "302 Found",
    "303 See Other",
    "307 Temporary Redirect",
    "308 Permanent Redirect",
];
/// All that another host may get to know.
const HARMLESS: [&str; 4] = ["accept", "accept-encoding", "host", "range"];

fn network(endpoint: Option<SocketAddr>) -> Network {
    let mut variables = vec![
        ("AWS_ACCESS_KEY_ID", "secret-id".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret-key".to_owned()),
        ("AWS_SESSION_TOKEN", "secret-token".to_owned()),
        ("AWS_REQUEST_PAYER", "requester".to_owned()),
    ];
    let endpoint = endpoint.map(|endpoint| ("AWS_ENDPOINT_URL", format!("http://{endpoint}")));
    variables.extend(endpoint);
    let variables = variables.into_iter();
    Network::new(NetworkOptions {
        retry: RetryPolicy {
            attempts: 3,
            outage: Duration::ZERO,
            base: Duration::from_millis(2),
            cap: Duration::from_millis(20),
            ..RetryPolicy::default()
        },
        s3: S3Options::from_variables(variables.map(|(name, value)| (name.to_owned(), value))),
        ..NetworkOptions::default()
    })
}

fn get(network: &Network, address: &str) -> Result<Vec<u8>, FetchError> {
    network.get(&address.parse().unwrap())
}

fn last(heard: &Mutex<Vec<Heard>>) -> Heard {
    heard.lock().unwrap().last().unwrap().clone()
}

/// A server that sends `/a…` (`s3://archive/…`, too) on to what is set, and has a file everywhere else.
fn sender(ip: &str, status: &'static str) -> (SocketAddr, Shared<Vec<Heard>>, Shared<String>) {
    let to: Arc<Mutex<String>> = Arc::default();
    let location = to.clone();
    let (address, heard) = serve(ip, move |request, stream| {
        if request.path.starts_with("/a") {
            let to = location.lock().unwrap().clone();
            let cookie = "Set-Cookie: session=secret-cookie".to_owned();
            reply(stream, status, &[format!("Location: {to}"), cookie], b"moved");
        } else {
            reply(stream, "200 OK", &[], b"the file");
        }
    });
    (address, heard, to)
}

#[test]
fn no_credential_leaves_its_host() {
    for status in STATUSES {
        let (home, at_home, to) = sender("127.0.0.1", status);
        let (port, at_port, _) = sender("127.0.0.1", status);
        let (host, at_host, _) = sender("127.0.0.2", status);
        let network = network(Some(home));
        for (address, credential) in [
            ("s3://archive/a.gz".to_owned(), "x-amz-security-token"),
            (
                format!("http://secret-user:secret-password@{home}/a.gz"),
                "authorization",
            ),
            (format!("http://{home}/a.gz?X-Amz-Signature=secret-signature"), ""),
        ] {
            for (place, heard) in [(port, &at_port), (host, &at_host)] {
                *to.lock().unwrap() = format!("http://{place}/file?x=1");
                assert_eq!(get(&network, &address).unwrap(), b"the file", "{status}");
                let first = last(&at_home);
                assert_eq!(first.headers.contains_key(credential), !credential.is_empty());
                let Heard { path, headers } = last(heard);
                assert_eq!(path, "/file?x=1");
                let extra: Vec<_> = headers
                    .keys()
                    .filter(|name| !HARMLESS.contains(&name.as_str()) && *name != "user-agent")
                    .collect();
                assert!(extra.is_empty(), "{status} {address}: {extra:?}");
                assert!(!format!("{headers:?}").contains("secret"), "{headers:?}");
            }
            // At home they are wanted.
            *to.lock().unwrap() = format!("http://{home}/file");
            assert_eq!(get(&network, &address).unwrap(), b"the file", "{status}");
            let second = last(&at_home);
            assert_eq!(second.path, "/file");
            assert_eq!(second.headers.contains_key(credential), !credential.is_empty());
            assert!(!second.headers.contains_key("cookie"));
            assert!(!second.headers.contains_key("referer"));
            if address.starts_with("s3:") {
                let before = last_but_one(&at_home);
                let signatures = [&before, &second].map(|heard| &heard.headers["authorization"]);
                assert_ne!(signatures[0], signatures[1], "each URL is signed by itself");
            }
        }
    }
}

fn last_but_one(heard: &Mutex<Vec<Heard>>) -> Heard {
    let heard = heard.lock().unwrap();
    heard[heard.len() - 2].clone()
}

/// Who has been sent to another host is not trusted with a way back.
#[test]
fn on_the_way_back_there_are_none_either() {
    let (home, at_home, to_other) = sender("127.0.0.1", "302 Found");
    let (other, _, back) = sender("127.0.0.2", "302 Found");
    *to_other.lock().unwrap() = format!("http://{other}/a");
    *back.lock().unwrap() = format!("http://{home}/private");
    get(&network(None), &format!("http://user:secret@{home}/a.gz")).unwrap();
    let Heard { path, headers } = last(&at_home);
    assert_eq!(path, "/private");
    assert!(!headers.contains_key("authorization"), "{headers:?}");
}

#[test]
fn circles_and_what_has_no_end() {
    let (circle, heard) = serve("127.0.0.1", |request, stream| {
        let to = if request.path == "/x" { "/y" } else { "/x" };
        reply(stream, "301 Moved Permanently", &[format!("Location: {to}")], b"");
    });
    let error = get(&network(None), &format!("http://{circle}/x")).unwrap_err();
    let said = error.to_string();
    assert_eq!((error.failure, error.attempts), (FetchFailure::Refused, 1));
    assert!(said.contains("in a circle"), "{said}");
    assert_eq!(heard.lock().unwrap().len(), 2);

    let (endless, heard) = serve("127.0.0.1", |request, stream| {
        reply(stream, "302 Found", &[format!("Location: {}x", request.path)], b"");
    });
    let error = get(&network(None), &format!("http://{endless}/x")).unwrap_err();
    let said = error.to_string();
    assert_eq!((error.failure, error.attempts), (FetchFailure::Refused, 1));
    assert!(said.contains("more than 10 redirects"), "{said}");
    assert_eq!(heard.lock().unwrap().len(), 11);

    // Without a place to go to it is an answer as any other.
    let (nowhere, _) = serve("127.0.0.1", |_, stream| reply(stream, "302 Found", &[], b""));
    let said = get(&network(None), &format!("http://{nowhere}/x")).unwrap_err();
    assert!(said.to_string().contains("302 Found"), "{said}");
}

/// A signature in a URL is for its host: it is not handed on, shown, or kept.
#[test]
fn signed_queries_are_handed_to_nobody() {
    const SIGNATURE: &str = "0123456789abcdef0123456789abcdef";
    let (host, at_host, _) = sender("127.0.0.2", "302 Found");
    let (home, _) = serve("127.0.0.1", move |request, stream| {
        let to = format!("Location: http://{host}{}", request.path);
        reply(stream, "302 Found", &[to], b"");
    });
    let url = format!("http://{home}/b.gz?X-Amz-Signature={SIGNATURE}");
    let error = get(&network(None), &url).unwrap_err();
    let said = format!("{error} {error:?}");
    assert!(said.contains("may be a signature"), "{said}");
    assert!(!said.contains(SIGNATURE), "{said}");
    assert!(at_host.lock().unwrap().is_empty());

    // What does not look like one is.
    get(&network(None), &format!("http://{home}/b.gz?download=1")).unwrap();
    assert_eq!(last(&at_host).path, "/b.gz?download=1");

    let dir = tempfile::tempdir().unwrap();
    let options = FetchOptions {
        folder: dir.path().to_owned(),
        keep: true,
        read_ahead: 1,
        connections: 1,
    };
    let (open, _) = serve("127.0.0.1", |_, stream| {
        reply(stream, "200 OK", &["ETag: \"1\"".to_owned()], b"the file");
    });
    let address: Address = format!("http://secret-user:secret-password@{open}/b.gz?sig={SIGNATURE}")
        .parse()
        .unwrap();
    let fetcher = Fetcher::start(&network(None), vec![(0, address.clone())], &options).unwrap();
    fetcher.take(0).unwrap();
    let kept = tree(dir.path());
    assert_eq!(kept.len(), 2);
    for (path, bytes) in kept {
        let all = format!("{} {}", path.display(), String::from_utf8_lossy(&bytes));
        assert!(!all.contains(SIGNATURE) && !all.contains("secret"), "{all}");
    }
    let shown = format!("{address} {address:?}");
    assert!(!shown.contains(SIGNATURE) && !shown.contains("secret"), "{shown}");
}

/// Two servers may mark different files alike: what is on its way from one does not go on from another.
#[test]
fn a_part_goes_on_from_the_server_that_it_came_from() {
    let size = 400_000;
    let mirror = |seed: &'static str| {
        serve("127.0.0.1", move |request, stream| {
            let bytes = noise(seed, size);
            let from = request.from().unwrap_or(0);
            let range = format!("Content-Range: bytes {from}-{}/{size}", size - 1);
            // The first one breaks off.
            let end = if seed == "first" { size / 2 } else { size };
            let head = format!(
                "HTTP/1.1 206 Partial Content\r\nETag: \"1\"\r\n{range}\r\nContent-Length: {}\r\n\r\n",
                size - from
            );
            let _ = stream.write_all(&[head.as_bytes(), &bytes[from.min(end)..end]].concat());
        })
    };
    let ((first, _), (second, at_second)) = (mirror("first"), mirror("second"));
    let count = Mutex::new(0);
    let (home, _) = serve("127.0.0.1", move |_, stream| {
        let mut count = count.lock().unwrap();
        let to = if *count == 0 { first } else { second };
        *count += 1;
        reply(stream, "302 Found", &[format!("Location: http://{to}/f.gz")], b"");
    });
    let bytes = get(&network(None), &format!("http://{home}/f.gz")).unwrap();
    assert!(bytes == noise("second", size), "two servers' files are mixed");
    assert_eq!(last(&at_second).from(), Some(0));
}
