//! Archives that are elsewhere: every way in which a download can fail, and what comes of it.
//!
//! Above 500 lines: one test a promise, on helpers that all share.

use c4_pipeline::input::{self, InputError, Location, Places};
use c4_pipeline::remote::crawl::{self, CrawlFiles, Sample};
use c4_pipeline::remote::{
    Address, FetchError, FetchFailure, FetchOptions, Fetcher, Network, NetworkOptions, RetryPolicy,
};
use c4_tests::server::{Fault, Plan, Server, Validator, noise};
use c4_tests::{conversion, gzip, tree};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// So impatient that a test takes seconds.
fn impatient() -> RetryPolicy {
    RetryPolicy {
        outage: Duration::ZERO,
        base: Duration::from_millis(2),
        cap: Duration::from_millis(20),
        slow_window: Duration::from_millis(300),
        slowest_bytes_per_second: 1000,
        ..RetryPolicy::default()
    }
}

fn network() -> Network {
    Network::new(NetworkOptions {
        retry: impatient(),
        ..NetworkOptions::default()
    })
}

fn options(folder: &Path, keep: bool) -> FetchOptions {
    FetchOptions {
        folder: folder.to_owned(),
        keep,
        read_ahead: 6,
        connections: 4,
    }
}

fn addresses(server: &Server, paths: &[impl AsRef<str>]) -> Vec<(usize, Address)> {
    let address = |path: &str| server.url(path).parse().unwrap();
    (0..).zip(paths.iter().map(|path| address(path.as_ref()))).collect()
}

/// Fetches files one after the other; gives their bytes.
fn fetch(
    network: &Network,
    server: &Server,
    paths: &[impl AsRef<str>],
    options: &FetchOptions,
) -> Vec<Result<Vec<u8>, FetchError>> {
    let list = addresses(server, paths);
    let fetcher = Fetcher::start(network, list, options).unwrap();
    (0..paths.len())
        .map(|i| {
            let file = fetcher.take(i)?;
            let bytes = fs::read(file.path()).unwrap();
            assert_eq!(bytes.len() as u64, file.bytes());
            Ok(bytes)
        })
        .collect()
}

fn failed(result: &Result<Vec<u8>, FetchError>) -> &FetchError {
    match result {
        Ok(bytes) => panic!("{} bytes came", bytes.len()),
        Err(error) => error,
    }
}

/// Files below a folder, notes and parts aside.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = tree(folder);
    files.retain(|path, _| !path.starts_with(".c4_downloads"));
    files
}

/// A thousand requests and more, of which a fifth fails, in every way: nothing is lost, nothing
/// comes twice, nothing is mixed of two states of a file.
#[test]
fn nothing_is_lost_and_nothing_comes_twice() {
    let server = Server::start(Plan::Percent(20, 1));
    let marks = [Validator::Strong, Validator::Weak, Validator::Modified];
    let paths: Vec<String> = (0..900).map(|i| format!("/crawl/{}/{i:03}.gz", i % 7)).collect();
    for (i, path) in paths.iter().enumerate() {
        // From 1 byte to 300 kB, small ones more often.
        let len = 1 + (i * 7919 % 548).pow(2);
        server.put_with(path, noise(path, len), marks[i % 3], i % 50 == 49);
    }
    let dir = tempfile::tempdir().unwrap();
    let network = network();
    let fetch = FetchOptions {
        read_ahead: 10,
        connections: 8,
        ..options(dir.path(), false)
    };
    let fetcher = Fetcher::start(&network, addresses(&server, &paths), &fetch).unwrap();
    let next = AtomicUsize::new(0);
    let read = |_| loop {
        let i = next.fetch_add(1, Ordering::Relaxed);
        let Some(path) = paths.get(i) else { return };
        let file = fetcher.take(i).unwrap();
        assert!(fs::read(file.path()).unwrap() == **server.get(path), "{path}");
        drop(file);
        let again = fetcher.take(i).unwrap_err();
        assert_eq!(again.failure, FetchFailure::Stopped);
    };
    thread::scope(|scope| {
        (0..4).for_each(|i| {
            scope.spawn(move || read(i));
        });
    });
    assert!(tree(dir.path()).is_empty(), "all files and notes are gone");

    let (requests, faults) = (server.requests(), server.faults());
    let done = network.transfer();
    println!("{done:?}\n{faults:?}");
    assert!(requests.len() >= 1000, "{} requests", requests.len());
    assert_eq!(done.requests, requests.len() as u64);
    assert_eq!(done.files, paths.len() as u64);
    for fault in Fault::ALL {
        assert!(faults.contains_key(&fault), "{fault:?} never happened");
    }
    let resumed = requests.iter().filter(|r| r.from > Some(0) && r.status == 206);
    assert!(resumed.count() >= 10, "cut downloads go on where they were");
    let refused = requests.iter().filter(|r| r.status == 412);
    assert!(refused.count() > 0, "a changed file shows by its ETag");
}

#[test]
fn no_more_is_on_disk_than_is_read_ahead() {
    let server = Server::start(Plan::None);
    let paths: Vec<String> = (0..30).map(|i| format!("/{i:02}.gz")).collect();
    paths.iter().for_each(|path| server.put(path, noise(path, 1000)));
    let dir = tempfile::tempdir().unwrap();
    let network = network();
    let list = addresses(&server, &paths);
    let fetcher = Fetcher::start(&network, list, &options(dir.path(), false)).unwrap();
    // Long enough for all of them, if nothing held them back.
    let settled = |whole: u64| {
        let deadline = Instant::now() + Duration::from_secs(20);
        while network.transfer().files < whole && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        thread::sleep(Duration::from_millis(200));
        assert_eq!(network.transfer().files, whole);
    };
    settled(6);
    assert_eq!(files(dir.path()).len(), 6);
    // Taken ones count until they are dropped.
    let mut taken: Vec<_> = (0..3).map(|i| fetcher.take(i).unwrap()).collect();
    settled(6);
    taken.truncate(1);
    settled(8);
    let there = files(dir.path());
    let there: Vec<_> = there.keys().map(|path| path.to_str().unwrap()).collect();
    assert_eq!(there, ["00.gz", "03.gz", "04.gz", "05.gz", "06.gz", "07.gz"]);
    drop(fetcher);
    assert_eq!(files(dir.path()).len(), 1);
    drop(taken);
    assert!(tree(dir.path()).is_empty(), "untaken ones go, too");
}

#[test]
fn what_fails_for_good_says_so_and_the_rest_comes() {
    let server = Server::start(Plan::None);
    server.put("/a.gz", noise("a", 1000));
    server.put("/c.gz", noise("c", 1000));
    let dir = tempfile::tempdir().unwrap();
    let paths = ["/a.gz", "/b.gz", "/c.gz"];
    let results = fetch(&network(), &server, &paths, &options(dir.path(), false));
    assert!(results[0].is_ok() && results[2].is_ok());
    let missing = failed(&results[1]);
    assert_eq!((missing.failure, missing.attempts), (FetchFailure::Missing, 1));
    let said = missing.to_string();
    assert!(said.contains(&server.url("b.gz")) && said.contains("404"), "{said}");

    for (fault, cause) in [
        (Fault::Forbidden, "403"),
        (Fault::Unavailable, "SlowDown"),
        (Fault::Closed, "closed"),
        (Fault::EmptyBody, "empty"),
        (Fault::Stall, "slower than 1000 bytes a second"),
        (Fault::IgnoresRange, ""),
    ] {
        server.set_plan(Plan::Always(fault));
        server.requests();
        let results = fetch(&network(), &server, &["/a.gz"], &options(dir.path(), false));
        if fault == Fault::IgnoresRange {
            assert!(results[0].is_ok(), "a server without ranges is fine");
            continue;
        }
        let error = failed(&results[0]);
        let said = error.to_string();
        assert_eq!(error.failure, FetchFailure::GaveUp, "{said}");
        assert!(said.contains(cause) && said.contains("8 attempts"), "{said}");
        assert_eq!(server.requests().len(), 8, "{said}");
    }
}

/// Bytes come with every attempt, but never more than before: no reason to go on for ever.
#[test]
fn bytes_that_do_not_last_are_no_progress() {
    let server = Server::start(Plan::Always(Fault::CutBody));
    // Without a length and ranges each attempt starts over.
    server.put_with("/a.gz", noise("a", 300_000), Validator::None, true);
    server.put_with("/b.gz", noise("b", 300_000), Validator::Strong, false);
    let dir = tempfile::tempdir().unwrap();
    let results = fetch(&network(), &server, &["/a.gz", "/b.gz"], &options(dir.path(), false));
    let error = failed(&results[0]);
    assert_eq!(error.failure, FetchFailure::GaveUp);
    assert!(error.attempts <= 10, "{error}");
    // Halves of what is left: progress at first, then less than counts.
    let error = failed(&results[1]);
    assert!((9..=14).contains(&error.attempts), "{error}");
}

/// Where a dead line would make each of thousands of files wait its minute.
#[test]
fn when_nothing_comes_the_others_are_not_tried() {
    let server = Server::start(Plan::Always(Fault::Forbidden));
    let paths: Vec<String> = (0..100).map(|i| format!("/{i}.gz")).collect();
    paths.iter().for_each(|path| server.put(path, vec![1]));
    let dir = tempfile::tempdir().unwrap();
    let results = fetch(&network(), &server, &paths, &options(dir.path(), false));
    let count = |failure| {
        let failed = results.iter().map(failed);
        failed.filter(|error| error.failure == failure).count()
    };
    // Those under way when the sixteenth fails are finished.
    assert!((16..20).contains(&count(FetchFailure::GaveUp)));
    assert_eq!(count(FetchFailure::GaveUp) + count(FetchFailure::Stopped), 100);
}

#[test]
fn a_wrong_length_in_the_head_does_no_harm() {
    for fault in [Fault::LongLength, Fault::ShortLength] {
        let server = Server::start(Plan::First(3, fault));
        server.put("/a.gz", noise("a", 200_000));
        let dir = tempfile::tempdir().unwrap();
        let results = fetch(&network(), &server, &["/a.gz"], &options(dir.path(), false));
        assert!(results[0].as_ref().unwrap() == &**server.get("/a.gz"), "{fault:?}");
    }
}

/// A part that another process has left is gone on with if a strong ETag says that the file is the same.
#[test]
fn a_later_process_goes_on_with_a_part() {
    let bytes = noise("a", 1_000_000);
    for mark in [Validator::Strong, Validator::Weak, Validator::Modified, Validator::None] {
        for changes in [false, true] {
            let server = Server::start(Plan::Always(Fault::Stall));
            server.put_with("/x/a.gz", bytes.clone(), mark, false);
            let dir = tempfile::tempdir().unwrap();
            let part = dir.path().join(".c4_downloads/x/a.gz.part");
            let list = addresses(&server, &["/x/a.gz"]);
            let patient = Network::new(NetworkOptions::default());
            let fetcher = Fetcher::start(&patient, list, &options(dir.path(), true)).unwrap();
            while fs::metadata(&part).map_or(0, |m| m.len()) < 500_000 {
                thread::sleep(Duration::from_millis(5));
            }
            // The process ends.
            drop((fetcher, patient));
            assert!(files(dir.path()).is_empty());
            if changes {
                server.put_with("/x/a.gz", noise("b", 1_000_000), mark, false);
            }
            server.set_plan(Plan::None);
            let (sent, _) = (server.sent(), server.requests());
            let results = fetch(&network(), &server, &["/x/a.gz"], &options(dir.path(), true));
            assert!(results[0].as_ref().unwrap() == &**server.get("/x/a.gz"));
            let requests = server.requests();
            let strong = mark == Validator::Strong;
            assert_eq!(requests[0].from, Some(if strong { 500_000 } else { 0 }));
            let expected = match (strong, changes) {
                (true, false) => (1, 500_000),
                (true, true) => (2, 1_000_000),
                (false, _) => (1, 1_000_000),
            };
            assert_eq!((requests.len(), server.sent() - sent), expected);
            assert!(!part.exists());
        }
    }
}

#[test]
fn kept_downloads_are_taken_from_disk_while_they_are_the_same() {
    let server = Server::start(Plan::None);
    let paths = ["/x/a.gz", "/x/b.gz", "/y/c.gz"];
    let marks = [Validator::Strong, Validator::Modified, Validator::None];
    for (path, mark) in paths.iter().zip(marks) {
        server.put_with(path, noise(path, 50_000), mark, false);
    }
    let dir = tempfile::tempdir().unwrap();
    let keep = options(dir.path(), true);
    let get = || {
        let network = network();
        let results = fetch(&network, &server, &paths, &keep);
        for (path, result) in paths.iter().zip(results) {
            assert!(result.unwrap() == **server.get(path), "{path}");
        }
        let done = network.transfer();
        (done.files, done.reused)
    };
    assert_eq!(get(), (3, 0));
    // In their paths, so that `--base` finds them.
    let on_disk = files(dir.path());
    let expected = paths.map(|path| PathBuf::from(&path[1..]));
    assert_eq!(on_disk.keys().cloned().collect::<Vec<_>>(), expected);
    let sent = server.sent();
    assert_eq!(get(), (0, 3));
    assert!(server.sent() - sent <= 2, "a byte of each that has no ETag");

    // Another state; a file that is cut; a file that somebody else has put there; a note that was
    // being written when the machine went down.
    server.put("/x/a.gz", noise("new", 50_000));
    assert_eq!(get(), (1, 2));
    fs::write(dir.path().join("x/a.gz"), noise("new", 49_999)).unwrap();
    assert_eq!(get(), (1, 2));
    fs::remove_dir_all(dir.path().join(".c4_downloads")).unwrap();
    assert_eq!(get(), (0, 3));
    fs::write(dir.path().join(".c4_downloads/x/a.gz.json"), "{\"url\":").unwrap();
    assert_eq!(get(), (0, 3));
}

/// Two processes with one folder, here two clients: each file is fetched once.
#[test]
fn two_at_one_folder_share_the_work() {
    let server = Server::start(Plan::None);
    let paths: Vec<String> = (0..40).map(|i| format!("/{i}.gz")).collect();
    paths.iter().for_each(|path| server.put(path, noise(path, 100_000)));
    let dir = tempfile::tempdir().unwrap();
    let networks = [network(), network()];
    thread::scope(|scope| {
        for network in &networks {
            let (server, paths, dir) = (&server, &paths, dir.path());
            scope.spawn(move || {
                let results = fetch(network, server, paths, &options(dir, true));
                for (path, result) in paths.iter().zip(results) {
                    assert!(result.unwrap() == **server.get(path), "{path}");
                }
            });
        }
    });
    let done = networks.map(|network| network.transfer());
    assert_eq!(done[0].files + done[1].files, 40);
    assert_eq!(done[0].reused + done[1].reused, 40);
}

#[test]
fn a_server_that_asks_for_a_wait_gets_it_from_all() {
    let server = Server::start(Plan::First(1, Fault::TooMany));
    server.set_retry_after("1");
    server.put("/a.gz", noise("a", 1000));
    let dir = tempfile::tempdir().unwrap();
    fetch(&network(), &server, &["/a.gz"], &options(dir.path(), false))[0]
        .as_ref()
        .unwrap();
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests[1].at - requests[0].at >= Duration::from_secs(1));

    // Of one download, but meant for the client.
    server.set_plan(Plan::None);
    for path in ["/b.gz", "/c.gz", "/d.gz"] {
        server.put(path, noise(path, 1000));
    }
    let network = network();
    server.set_plan(Plan::First(1, Fault::Forbidden));
    let paths = ["/b.gz", "/c.gz", "/d.gz"];
    let one_at_a_time = FetchOptions {
        connections: 1,
        ..options(dir.path(), false)
    };
    for result in fetch(&network, &server, &paths, &one_at_a_time) {
        result.unwrap();
    }
    let at: Vec<Instant> = server.requests().iter().map(|request| request.at).collect();
    assert_eq!(at.len(), 6);
    assert!(at[5] - at[0] >= Duration::from_secs(3));
}

#[test]
fn the_rate_is_that_of_all_downloads_together() {
    let server = Server::start(Plan::None);
    let paths = ["/a.gz", "/b.gz", "/c.gz", "/d.gz"];
    paths.iter().for_each(|path| server.put(path, noise(path, 250_000)));
    let network = Network::new(NetworkOptions {
        retry: impatient(),
        rate: Some(500_000),
        ..NetworkOptions::default()
    });
    let dir = tempfile::tempdir().unwrap();
    let started = Instant::now();
    for result in fetch(&network, &server, &paths, &options(dir.path(), false)) {
        result.unwrap();
    }
    // A megabyte, less what may pass at once.
    let seconds = started.elapsed().as_secs_f64();
    assert!(seconds >= 1.7, "{seconds}");
    assert_eq!(
        network.transfer().failed_requests,
        0,
        "our own waits make no server slow"
    );
}

#[test]
fn a_host_that_is_not_there_is_named() {
    let address: Address = "http://127.0.0.1:9/x.gz".parse().unwrap();
    let error = network().get(&address).unwrap_err();
    assert_eq!((error.failure, error.attempts), (FetchFailure::GaveUp, 8));
    let said = error.to_string();
    assert!(said.contains("127.0.0.1:9") && said.contains("refused"), "{said}");
    let error = network()
        .get(&"https://name.invalid/x.gz".parse().unwrap())
        .unwrap_err();
    assert!(error.to_string().contains("name.invalid"), "{error}");
}

/// A store with two crawls of `count` archives each, in the layout of Common Crawl.
fn crawls(server: &Server, below: &str, count: usize) {
    for crawl in ["CC-MAIN-2018-34", "CC-MAIN-2018-39"] {
        let mut listing = String::new();
        for i in 0..count {
            let path = format!("crawl-data/{crawl}/segments/1.{}/wet/{i:05}.warc.wet.gz", i % 3);
            let url = format!("http://{crawl}.example/{i}");
            server.put(&format!("{below}/{path}"), gzip(&conversion(&url, "A text.")));
            listing += &format!("{path}\n");
        }
        let path = format!("{below}/crawl-data/{crawl}/wet.paths.gz");
        server.put(&path, gzip(listing.as_bytes()));
    }
}

fn places<'a>(store: &str, sample: Option<usize>, network: &'a Network) -> Places<'a> {
    Places {
        base: None,
        store: store.parse().unwrap(),
        crawl_files: CrawlFiles::Wet,
        sample: sample.map(|files| Sample { files, seed: 0 }),
        network: Some(network),
        any_file: false,
    }
}

fn resolve(arguments: &[&str], places: &Places<'_>) -> Result<Vec<String>, InputError> {
    let arguments: Vec<PathBuf> = arguments.iter().map(PathBuf::from).collect();
    let (recipe, _) = c4_data::Recipe::load("en").unwrap();
    let inputs = input::resolve_in(&arguments, places, &recipe.read)?;
    Ok(inputs.iter().map(|input| input.location.to_string()).collect())
}

#[test]
fn crawls_resolve_by_name_to_samples_that_are_nested() {
    let server = Server::start(Plan::First(1, Fault::CutBody));
    crawls(&server, "/mirror", 200);
    let network = network();
    let store = server.url("mirror");
    let names = ["CC-MAIN-2018-34", "CC-MAIN-2018-39"];
    let all = resolve(&names, &places(&store, None, &network)).unwrap();
    assert_eq!(all.len(), 400);
    assert!(
        all.iter()
            .all(|url| url.starts_with(&format!("{store}/crawl-data/CC-MAIN-2018-3")))
    );
    let small = resolve(&names, &places(&store, Some(20), &network)).unwrap();
    let large = resolve(&names, &places(&store, Some(40), &network)).unwrap();
    assert_eq!((small.len(), large.len()), (40, 80));
    for name in names {
        let of = |urls: &[String]| urls.iter().filter(|url| url.contains(name)).count();
        assert_eq!((of(&small), of(&large)), (20, 40), "so many of each crawl");
    }
    assert!(small.iter().all(|url| large.contains(url)));
    let again = resolve(&[names[1], names[0]], &places(&store, Some(20), &network)).unwrap();
    assert_eq!(again, small);

    // The listing itself, from the store or from this machine, gives the same sample.
    let listing = "crawl-data/CC-MAIN-2018-34/wet.paths.gz";
    let expected: Vec<String> = small.iter().filter(|url| url.contains(names[0])).cloned().collect();
    let url = format!("{store}/{listing}");
    let by_url = resolve(&[&url], &places(&store, Some(20), &network)).unwrap();
    assert_eq!(by_url, expected);
    let dir = tempfile::tempdir().unwrap();
    let local = dir.path().join("wet.paths.gz");
    fs::write(&local, &**server.get(&format!("/mirror/{listing}"))).unwrap();
    let here = Places {
        base: Some(Location::Remote(store.parse().unwrap())),
        ..places(crawl::STORE, Some(20), &network)
    };
    let by_file = resolve(&[local.to_str().unwrap()], &here).unwrap();
    assert_eq!(by_file, expected);

    let missing = resolve(&["CC-MAIN-2031-01"], &places(&store, None, &network)).unwrap_err();
    let said = missing.to_string();
    assert!(said.contains("CC-MAIN-2031-01/wet.paths.gz: 404"), "{said}");
    let warc = Places {
        crawl_files: CrawlFiles::Warc,
        ..places(&store, None, &network)
    };
    let missing = resolve(&[names[0]], &warc).unwrap_err().to_string();
    assert!(missing.contains("warc.paths.gz: 404"), "{missing}");
}
