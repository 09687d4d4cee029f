//! Where a record ends and the next one starts: members and frames anywhere, archives in archives, ARC, segments,
//! lengths that are wrong, and bytes made to be taken for what they are not.
//!
//! Above 500 lines: one test a kind of framing.

use c4_data::Page;
use c4_data::{Recipe, WetReading};
use c4_filters::Reason;
use c4_pipeline::read::archive::{Archive, RecordFormat};
use c4_pipeline::read::outcome::Split;
use c4_pipeline::read::pieces::PieceReader;
use c4_pipeline::read::warc::{Item, RecordReader};
use c4_pipeline::read::{self, Source};
use c4_tests::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

const DATE: &str = "2019-04-20T10:00:00Z";

/// A response whose block is an HTTP response with `body`.
fn response(url: &str, body: &[u8]) -> Vec<u8> {
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n";
    let block = [&head[..], body].concat();
    // The crate `warc` wants an ID.
    let kind = "application/http; msgtype=response\r\nWARC-Record-ID: <urn:test:1>";
    record("response", url, DATE, kind, &block)
}

fn html(i: usize) -> String {
    format!(
        "<html><body><p>{}</p></body></html>",
        good_text(i).replace('\n', "</p><p>")
    )
}

fn gzip_at(bytes: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, 3).unwrap()
}

fn archive(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

/// URLs of pages, and reasons of damage, of an archive.
fn outcome(path: &Path) -> (Vec<String>, Vec<Reason>) {
    let (mut urls, mut damaged) = (Vec::new(), Vec::new());
    for split in read(path, WetReading::Lines) {
        match split {
            Split::Page(page) => urls.push(page.url),
            Split::Damage(damage) => damaged.push(damage.reason),
            Split::Dropped(_) => {}
        }
    }
    (urls, damaged)
}

fn shared_case(name: &str) -> Option<PathBuf> {
    shared(&format!("../cases/reading/{name}"))
}

/// URL and block of a record.
type Bare = (String, Vec<u8>);

fn bare(item: Item) -> Bare {
    match item {
        Item::Record(record) => (record.url(), record.block().to_vec()),
        Item::Damage(damage) => panic!("{damage:?}"),
    }
}

/// The records that a plain sequential reader finds.
fn sequential(path: &Path) -> Vec<Bare> {
    let mut reader = RecordReader::new(Archive::open(path).unwrap().unwrap(), 1 << 30);
    std::iter::from_fn(|| reader.next_item().unwrap().map(bare)).collect()
}

/// The records of pieces, each read on one of `threads` threads.
fn by_pieces(path: &Path, threads: usize) -> Vec<Bare> {
    let mut reader = PieceReader::open(path, RecordFormat::Warc, 1 << 30).unwrap().unwrap();
    let pieces = std::iter::from_fn(|| reader.next_piece().unwrap());
    let mut lanes: Vec<Vec<_>> = (0..threads).map(|_| Vec::new()).collect();
    for (i, piece) in pieces.enumerate() {
        lanes[i % threads].push((i, piece));
    }
    let found = std::thread::scope(|scope| {
        let work = |lane: Vec<(usize, _)>| {
            let records = |(i, piece): (usize, c4_pipeline::read::pieces::MemberPiece)| {
                (i, piece.records().flatten().map(bare).collect::<Vec<_>>())
            };
            lane.into_iter().map(records).collect::<Vec<_>>()
        };
        let lanes: Vec<_> = lanes.into_iter().map(|lane| scope.spawn(move || work(lane))).collect();
        let found = lanes.into_iter().flat_map(|lane| lane.join().unwrap());
        found.collect::<BTreeMap<usize, Vec<Bare>>>()
    });
    found.into_values().flatten().collect()
}

/// Bytes that no compression makes smaller.
fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(byte).take(size).collect()
}

/// What a web server sends, named by its length.
#[derive(Clone)]
struct Payload(Vec<u8>);

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// What a web server may send: text, bytes that no compression makes smaller, and whole archives.
fn payload() -> impl Strategy<Value = Payload> {
    let inner = (0..1000_usize).prop_map(|i| response(&format!("https://forged.example/{i}"), html(i).as_bytes()));
    let noise = (any::<u64>(), 1..60_000_usize).prop_map(|(seed, size)| noise(seed, size));
    let part = prop_oneof![
        noise,
        inner.clone().prop_map(|record| gzip_at(&record, 6)),
        inner.clone().prop_map(|record| gzip_at(&record, 0)),
        inner.clone().prop_map(|record| zstd(&record)),
        inner.prop_map(|record| [b"\r\n\r\n".to_vec(), record].concat()),
        Just(vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]),
        Just(b"\nWARC/1.0\r\n\r\n".to_vec()),
    ];
    prop::collection::vec(part, 0..8).prop_map(|parts| Payload(parts.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Sound archives are never cut within a record, whatever their bytes, on any number of threads.
    #[test]
    fn pieces_give_what_a_sequential_reader_gives(
        payloads in prop::collection::vec((payload(), 0..10_u32), 20..60),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 6),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let url = |i: usize| format!("https://a.example/{i}");
        let records: Vec<Vec<u8>> = payloads.iter().enumerate().map(|(i, (payload, _))| response(&url(i), &payload.0)).collect();
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n".to_vec();
        let expected: Vec<Bare> = payloads.iter().enumerate().map(|(i, (payload, _))| (url(i), [head.clone(), payload.0.clone()].concat())).collect();
        let members: Vec<Vec<u8>> = records.iter().zip(&payloads).map(|(record, (_, level))| gzip_at(record, *level)).collect();
        let path = archive(dir.path(), "a.warc.gz", &members.concat());
        prop_assert!(sequential(&path) == expected, "sequential");
        for threads in [1, 3] {
            prop_assert!(by_pieces(&path, threads) == expected, "{threads} threads");
        }
        let whole = records.concat();
        let theirs = warc::WarcReader::new(std::io::Cursor::new(&whole[..]));
        let theirs = theirs.iter_records().map(|record| record.unwrap().body().to_vec());
        prop_assert!(theirs.eq(expected.iter().map(|(_, block)| block.clone())), "the crate warc");
        prop_assert!(sequential(&archive(dir.path(), "a.warc", &whole)) == expected, "plain");
        // Members and frames that end anywhere, also within a record, behind a first record of their own.
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(whole.len())).chain([records[0].len(), whole.len()]).collect();
        ends.sort_unstable();
        let parts = || ends.iter().scan(0, |start, end| Some(&whole[std::mem::replace(start, *end)..*end])).filter(|part| !part.is_empty());
        let spread: Vec<u8> = parts().flat_map(|part| gzip_at(part, 6)).collect();
        let path = archive(dir.path(), "b.warc.gz", &spread);
        prop_assert!(sequential(&path) == expected, "members that end anywhere");
        prop_assert!(by_pieces(&path, 3) == expected, "members that end anywhere, in pieces");
        let spread: Vec<u8> = parts().flat_map(zstd).collect();
        prop_assert!(sequential(&archive(dir.path(), "b.warc.zst", &spread)) == expected, "frames that end anywhere");
    }
}

#[test]
fn archives_and_bodies_in_payloads_are_no_records() {
    let dir = tempfile::tempdir().unwrap();
    // Over 256 KiB of an inner archive, stored as it came, between pages.
    let inner: Vec<u8> = (0..4000)
        .flat_map(|i| gzip(&response(&format!("https://forged.example/{i}"), html(i).as_bytes())))
        .collect();
    let mut members: Vec<Vec<u8>> = (0..40)
        .map(|i| gzip(&response(&format!("https://a.example/{i}"), html(i).as_bytes())))
        .collect();
    members.insert(20, gzip(&response("https://a.example/inner.warc.gz", &inner)));
    let path = archive(dir.path(), "a.warc.gz", &members.concat());
    let (urls, damaged) = outcome(&path);
    assert_eq!(damaged, []);
    assert!(urls.iter().all(|url| url.starts_with("https://a.example/")), "{urls:?}");
    assert_eq!(urls.iter().filter(|url| !url.ends_with("inner.warc.gz")).count(), 40);
    for (name, pages) in [("archive-inside-archive", 120), ("bodies-in-gzip", 60)] {
        if let Some(path) = shared_case(&format!("{name}.warc.gz")) {
            let (urls, damaged) = outcome(&path);
            assert_eq!((urls.len(), damaged), (pages, vec![]), "{name}");
        }
    }
}

/// A member that cannot be read in the midst of pieces, and one that only a sequential reader can tell.
#[test]
fn damage_in_pieces_costs_what_it_costs_a_sequential_reader() {
    let dir = tempfile::tempdir().unwrap();
    let body = |i: usize| [html(i).into_bytes(), b"<!--".to_vec(), noise(i as u64, 30_000)].concat();
    let good: Vec<Vec<u8>> = (0..60)
        .map(|i| gzip(&response(&format!("https://a.example/{i}"), &body(i))))
        .collect();
    let damages: [fn(&mut Vec<u8>); 4] = [
        |m| m[0] ^= 0xff,
        |m| m.truncate(m.len() / 2),
        |m| {
            let at = m.len() - 8;
            m[at] ^= 1;
        },
        |m| m.iter_mut().skip(200).take(9).for_each(|b| *b ^= 0x55),
    ];
    for member in [0, 7, 8, 9, 10, 30, 59] {
        for damage in damages {
            let mut members = good.clone();
            damage(&mut members[member]);
            let path = archive(dir.path(), "a.warc.gz", &members.concat());
            let (urls, damaged) = outcome(&path);
            let lost = format!("https://a.example/{member}");
            assert!(!urls.contains(&lost) && urls.len() == 59, "{member}: {}", urls.len());
            assert_eq!(damaged.len(), 1, "{member}");
        }
    }
}

#[test]
fn arc_gives_the_pages_of_the_same_crawl_as_warc() {
    let dir = tempfile::tempdir().unwrap();
    let pages = 300;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n";
    let url = |i: usize| format!("http://a.example/{i}");
    let warcs: Vec<Vec<u8>> = (0..pages).map(|i| response(&url(i), html(i).as_bytes())).collect();
    let version = "1 0 CommonCrawl\nURL IP-address Archive-date Content-type Archive-length\n\n";
    let arc = |second: bool| -> Vec<Vec<u8>> {
        let first = format!(
            "filedesc://a.arc.gz 0.0.0.0 20190420100000 text/plain {}\n{version}",
            version.len()
        );
        let record = |i: usize| {
            let block = format!("{head}{}", html(i));
            let more = if second { "200 - - 0 a.arc.gz " } else { "" };
            let line = format!("{} 192.0.2.7 20190420100000 text/html {more}{}\n", url(i), block.len());
            format!("{line}{block}\n").into_bytes()
        };
        [first.into_bytes()].into_iter().chain((0..pages).map(record)).collect()
    };
    let bare = |path: &Path| -> Vec<Page> {
        let mut found = self::pages(read(path, WetReading::Lines));
        found.iter_mut().for_each(|page| page.record_offset = 0);
        found
    };
    let expected = bare(&archive(dir.path(), "a.warc", &warcs.concat()));
    assert_eq!(expected.len(), pages);
    for second in [false, true] {
        let records = arc(second);
        let members: Vec<Vec<u8>> = records.iter().map(|record| gzip(record)).collect();
        let plain = archive(dir.path(), "a.arc", &records.concat());
        let packed = archive(dir.path(), "a.arc.gz", &members.concat());
        let one = archive(dir.path(), "one.arc.gz", &gzip(&records.concat()));
        let frames = archive(
            dir.path(),
            "a.arc.zst",
            &records.iter().flat_map(|record| zstd(record)).collect::<Vec<u8>>(),
        );
        for path in [plain, packed, one, frames] {
            assert!(bare(&path) == expected, "{}", path.display());
        }
        // A damaged member costs itself; a length that is wrong costs nothing.
        let mut damaged = members.clone();
        damaged[100][50] ^= 0xff;
        let path = archive(dir.path(), "damaged.arc.gz", &damaged.concat());
        let (urls, reasons) = outcome(&path);
        assert_eq!((urls.len(), reasons), (pages - 1, vec![Reason::CorruptMember]));
        let mut short = records;
        let text = String::from_utf8(short[5].clone()).unwrap();
        let (line, rest) = text.split_once('\n').unwrap();
        let (line, _) = line.rsplit_once(' ').unwrap();
        short[5] = format!("{line} 20\n{rest}").into_bytes();
        assert!(bare(&archive(dir.path(), "short.arc", &short.concat())) == expected);
    }
    // In a folder, too, where whatever looks like a crawl file and is none gets a line (and exit status 1).
    let folder = dir.path().join("folder");
    fs::create_dir(&folder).unwrap();
    archive(&folder, "a.arc", &arc(false).concat());
    archive(&folder, "b.arc.gz", b"nothing");
    let recipe = Recipe::load("c4").unwrap().0;
    let inputs = c4_pipeline::input::resolve(&[folder], None, &recipe.read).unwrap();
    assert_eq!(
        inputs.iter().map(|input| &*input.label).collect::<Vec<_>>(),
        ["a.arc", "b.arc.gz"]
    );
    let real = [
        (
            "crawl-002_2010_02_16_114_1266352769711_14-7060652",
            "2010-02-08T23:02:31Z",
        ),
        (
            "crawl-2012_1341690165832_1341699469441_1478-7224105",
            "2012-05-24T06:11:38Z",
        ),
    ];
    for (name, date) in real {
        if let Some(path) = shared_case(&format!("{name}.arc.gz")) {
            let found = self::pages(read(&path, WetReading::Lines));
            assert_eq!(found.iter().map(|page| &*page.timestamp).collect::<Vec<_>>(), [date]);
            assert!(found[0].text.len() > 500, "{name}");
        }
    }
}

/// A record with more header fields.
fn with(record: Vec<u8>, fields: &str) -> Vec<u8> {
    let text = String::from_utf8(record).unwrap();
    text.replacen("\r\nWARC-Date", &format!("\r\n{fields}\r\nWARC-Date"), 1)
        .into_bytes()
}

#[test]
fn segments_are_joined_where_they_follow_and_counted_where_they_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let whole = response("https://a.example/long", html(7).as_bytes());
    let block = &whole[whole.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4..whole.len() - 4];
    let parts: Vec<&[u8]> = block.chunks(block.len() / 3 + 1).collect();
    let segments: Vec<Vec<u8>> = (1..)
        .zip(&parts)
        .map(|(number, part)| {
            let kind = if number == 1 { "response" } else { "continuation" };
            let record = record(kind, "https://a.example/long", DATE, "application/http", part);
            let mut fields = format!("WARC-Segment-Number: {number}");
            fields += match number {
                1 => "\r\nWARC-Record-ID: <urn:uuid:1>".to_owned(),
                n if n == parts.len() => format!(
                    "\r\nWARC-Segment-Origin-ID: <urn:uuid:1>\r\nWARC-Segment-Total-Length: {}",
                    block.len()
                ),
                _ => "\r\nWARC-Segment-Origin-ID: <urn:uuid:1>".to_owned(),
            }
            .as_str();
            with(record, &fields)
        })
        .collect();
    let others: Vec<Vec<u8>> = (0..2)
        .map(|i| response(&format!("https://a.example/{i}"), html(i).as_bytes()))
        .collect();
    let text = |path: &Path| {
        let found = self::pages(read(path, WetReading::Lines));
        found
            .into_iter()
            .find(|page| page.url.ends_with("long"))
            .map(|page| page.text)
    };
    let expected = text(&archive(dir.path(), "whole.warc", &whole)).unwrap();
    let gzipped = |parts: &[Vec<u8>]| parts.iter().flat_map(|part| gzip(part)).collect::<Vec<u8>>();
    let all = [&others[..1], &segments, &others[1..]].concat();
    for (name, bytes) in [("all.warc", all.concat()), ("all.warc.gz", gzipped(&all))] {
        let path = archive(dir.path(), name, &bytes);
        assert_eq!(text(&path).as_ref(), Some(&expected), "{name}");
        let (urls, damaged) = outcome(&path);
        assert_eq!((urls.len(), damaged), (3, vec![]), "{name}");
    }
    // Without the last one, or with another record between: counted, and the rest is no page of its own.
    for lost in [1, 2] {
        let mut some = all.clone();
        some.remove(1 + lost);
        for (name, bytes) in [("some.warc", some.concat()), ("some.warc.gz", gzipped(&some))] {
            let (urls, damaged) = outcome(&archive(dir.path(), name, &bytes));
            assert_eq!(urls, ["https://a.example/0", "https://a.example/1"], "{name} {lost}");
            assert_eq!(damaged, [Reason::Truncated], "{name} {lost}");
        }
    }
    // A continuation alone is no text, though nothing else says what the archive is.
    let (urls, damaged) = outcome(&archive(dir.path(), "lone.warc", &segments[1]));
    assert_eq!((urls, damaged), (vec![], vec![]));
    if let Some(path) = shared_case("lone-continuation.warc") {
        assert_eq!(outcome(&path), (vec![], vec![]));
    }
}

#[test]
fn a_record_that_is_shorter_than_it_says_is_cut_or_ends_as_a_whole_one() {
    let dir = tempfile::tempdir().unwrap();
    let longer = |record: Vec<u8>| {
        let text = String::from_utf8(record).unwrap();
        let (head, rest) = text.split_once("\r\n\r\n").unwrap();
        let (head, length) = head.rsplit_once(' ').unwrap();
        let length: usize = length.parse().unwrap();
        format!("{head} {}\r\n\r\n{rest}", length + 100).into_bytes()
    };
    let good = |i: usize| response(&format!("https://a.example/{i}"), html(i).as_bytes());
    // A page cut in the midst, of which another archive may hold all.
    let mut half = longer(good(1));
    half.truncate(half.len() - 150);
    let members = [gzip(&good(0)), gzip(&half), gzip(&good(2))].concat();
    let (urls, damaged) = outcome(&archive(dir.path(), "half.warc.gz", &members));
    assert_eq!(urls, ["https://a.example/0", "https://a.example/2"]);
    assert_eq!(damaged, [Reason::Truncated]);
    // Whole, and its length is wrong: by its end as HTML, or by the empty line that ends a record.
    let open = longer(response(
        "https://a.example/1",
        html(1).replace("</body></html>", "").as_bytes(),
    ));
    let mut bare = longer(good(1));
    bare.truncate(bare.len() - 4);
    for one in [open, bare] {
        for (name, bytes) in [
            ("a.warc.gz", [gzip(&good(0)), gzip(&one)].concat()),
            ("b.warc.gz", [gzip(&good(0)), gzip(&one), gzip(&good(2))].concat()),
            ("a.warc", [good(0), one.clone()].concat()),
        ] {
            let (urls, damaged) = outcome(&archive(dir.path(), name, &bytes));
            assert!(urls.contains(&"https://a.example/1".to_owned()), "{name}: {urls:?}");
            assert_eq!(damaged, [], "{name}");
        }
    }
    // Cut at any place: the last record comes whole or not at all, and then it is counted.
    let two = [good(0), good(1)].concat();
    for end in (good(0).len() + 5..two.len()).step_by(7) {
        let path = archive(dir.path(), "cut.warc", &two[..end]);
        let found = self::pages(read(&path, WetReading::Lines));
        let (_, damaged) = outcome(&path);
        let whole = end >= two.len() - 4;
        assert_eq!(
            (found.len(), damaged.len()),
            (1 + usize::from(whole), usize::from(!whole)),
            "at {end} of {}",
            two.len()
        );
    }
    let cases = [
        ("member-shorter-than-length.warc.gz", 1, vec![Reason::Truncated]),
        ("last-length-too-large.warc", 1, vec![]),
    ];
    for (name, pages, reasons) in cases {
        if let Some(path) = shared_case(name) {
            let (urls, damaged) = outcome(&path);
            assert_eq!((urls.len(), damaged), (pages, reasons), "{name}");
        }
    }
}

#[test]
fn a_right_length_is_trusted_whatever_follows() {
    let dir = tempfile::tempdir().unwrap();
    let good = |i: usize| response(&format!("https://a.example/{i}"), html(i).as_bytes());
    for (padding, damage) in [(&b"\0"[..], 0), (b"\0\0\0\r\n", 0), (b"  \n", 0), (b"rubbish\r\n", 1)] {
        let bytes: Vec<u8> = (0..3).flat_map(|i| [good(i), padding.to_vec()].concat()).collect();
        let path = archive(dir.path(), "a.warc", &bytes);
        let found = self::pages(read(&path, WetReading::Lines));
        assert_eq!(found.len(), 3, "{padding:?}");
        assert!(found.iter().all(|page| !page.text.contains("WARC")), "{padding:?}");
        assert_eq!(outcome(&path).1.len(), 3 * damage, "{padding:?}");
    }
    // A body that holds records, uncompressed.
    let nested = response(
        "https://a.example/nested",
        &[b"<p>See:\n".to_vec(), good(8), good(9)].concat(),
    );
    let (urls, damaged) = outcome(&archive(
        dir.path(),
        "nested.warc",
        &[good(0), nested, good(1)].concat(),
    ));
    assert_eq!(
        urls,
        ["https://a.example/0", "https://a.example/nested", "https://a.example/1"]
    );
    assert_eq!(damaged, []);
    for (name, pages) in [
        ("zero-byte-between-records.warc", 3),
        ("record-over-several-frames.warc.zst", 6),
    ] {
        if let Some(path) = shared_case(name) {
            let (urls, damaged) = outcome(&path);
            assert_eq!((urls.len(), damaged), (pages, vec![]), "{name}");
        }
    }
}

/// Bytes that are read in vain stay a small multiple of the archive's: members and frames that look like some and are
/// none, empty ones, and ones within each other whose checksums are wrong.
#[test]
fn hostile_archives_cost_no_more_than_their_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let good = |i: usize| gzip(&response(&format!("https://a.example/{i}"), html(i).as_bytes()));
    let frame = |i: usize| zstd(&response(&format!("https://a.example/{i}"), html(i).as_bytes()));
    let nested = |depth: usize| {
        let mut inner = b"WARC/1.0\r\n\r\n".to_vec();
        for _ in 0..depth {
            let mut outer = gzip_at(&[b"WARC/1.0\r\n\r\n", &inner[..]].concat(), 0);
            let at = outer.len() - 8;
            outer[at] ^= 1;
            inner = outer;
        }
        inner
    };
    let empty = zstd(b"");
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0];
    let headless = gzip(&b"WARC/1.0\r\n".repeat(1 << 20));
    let lengths: Vec<u8> = (0..20_000)
        .flat_map(|i| {
            let head = b"WARC/1.0\r\nWARC-Type: metadata\r\nContent-Length: 99999999\r\n\r\n";
            gzip(&[&head[..], if i % 2 == 0 { b"\nWARC" } else { b"" }].concat())
        })
        .collect();
    let shapes: [(&str, Vec<u8>, Vec<u8>); 8] = [
        ("headless.warc.gz", headless, good(1)),
        ("lengths.warc.gz", lengths, good(1)),
        ("magics.warc.gz", [0x1f, 0x8b, 8].repeat(1 << 20), good(1)),
        (
            "heads.warc.gz",
            [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3].repeat(200_000),
            good(1),
        ),
        ("nested.warc.gz", nested(3000), good(1)),
        ("magics.warc.zst", [0x28, 0xb5, 0x2f, 0xfd].repeat(1 << 20), frame(1)),
        ("empty.warc.zst", empty.repeat(300_000), frame(1)),
        ("skippable.warc.zst", skippable.repeat(300_000), frame(1)),
    ];
    for (name, hostile, last) in shapes {
        let first = if name.ends_with("gz") { good(0) } else { frame(0) };
        let size = hostile.len();
        let path = archive(dir.path(), name, &[first, hostile, last].concat());
        let start = cpu();
        let (urls, _) = outcome(&path);
        let took = cpu() - start;
        assert!(urls.contains(&"https://a.example/0".to_owned()), "{name}: {urls:?}");
        // 2 MB a second and four seconds for a slow machine: each of these took ten and more while it was quadratic.
        assert!(
            took < 4.0 + size as f64 / 2e6,
            "{name}: {took:.1} s of CPU for {size} bytes"
        );
    }
    for name in ["zstd-magics.warc.zst", "zstd-skippable.warc.zst"] {
        if let Some(path) = shared_case(name) {
            let start = cpu();
            outcome(&path);
            assert!(cpu() - start < 1.0, "{name}");
        }
    }
}

/// CPU seconds of this process so far.
fn cpu() -> f64 {
    let stat = fs::read_to_string("/proc/thread-self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

/// URLs of megabytes make no pages, and what is said of them is short.
#[test]
fn long_urls_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let long = format!("https://a.example/{}", "x".repeat(100 << 10));
    let wet = [
        conversion("https://a.example/1", &good_text(1)),
        conversion(&long, &good_text(2)),
    ];
    let warc = [
        response("https://a.example/1", html(1).as_bytes()),
        response(&long, html(2).as_bytes()),
    ];
    for (name, records) in [("a.warc.wet", wet), ("a.warc", warc)] {
        let path = archive(dir.path(), name, &records.concat());
        let splits = read(&path, WetReading::Lines);
        let reasons: Vec<Reason> = splits
            .iter()
            .filter_map(|split| match split {
                Split::Dropped(dropped) => Some(dropped.reason),
                _ => None,
            })
            .collect();
        assert_eq!(reasons, [Reason::UrlTooLong], "{name}");
        assert_eq!(self::pages(splits).len(), 1, "{name}");
    }
}

/// Pieces are worked on in any order as long as each is begun after those before it; dropping some hangs nobody.
#[test]
fn pieces_that_nobody_reads_hold_up_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let members: Vec<u8> = (0..100)
        .flat_map(|i| gzip(&response(&format!("https://a.example/{i}"), &noise(i, 20_000))))
        .collect();
    let path = archive(dir.path(), "a.warc.gz", &members);
    let recipe = Recipe::load("c4").unwrap().0;
    let mut source = Source::open(&path, &recipe.read).unwrap().unwrap();
    let mut batches = Vec::new();
    while let Some(batch) = source.next_batch().unwrap() {
        batches.push(batch);
    }
    assert!(batches.len() > 4, "{}", batches.len());
    batches.remove(1);
    let read: usize = batches
        .into_iter()
        .map(|batch| read::split(batch).flatten().count())
        .sum();
    assert!((70..100).contains(&read), "{read}");
}

/// Digests in SHA-1, SHA-256 and MD5, in base32 and hexadecimal, of block and payload, chunked or not. They were made
/// with Python's hashlib.
#[test]
fn digests_are_verified_on_request() {
    let dir = tempfile::tempdir().unwrap();
    let text = "The river rises in the hills above the town and runs south for forty miles.";
    let body = format!("<p>{text}</p>");
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n";
    let plain = format!("{head}\r\n{body}");
    let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let in_chunks = format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}");
    let fields = [
        (false, "WARC-Block-Digest: sha1:G2Y5GQMONB44MLCOWPDHMM5KA5LHBTRY"),
        (
            false,
            "WARC-Block-Digest: SHA-256:86E9DD66A063BE980C0B4ED86290E967AE1DE3C21E8EDFAA2CEBD63477B2586A",
        ),
        (false, "WARC-Payload-Digest: md5:708d698e9efc420699401189910d2d4c"),
        (
            false,
            "WARC-Payload-Digest: sha256:3zceg4l4umwgotftaymkyzsdoh7whuytmiq4wdrzw74tkyyc5ijq====",
        ),
        (true, "WARC-Block-Digest: md5:KCMU6TIL32X3YOLNAPLM5E6VHU"),
        (true, "WARC-Payload-Digest: sha1:ZHGZXZJLM4IXRV2VF46TVPIAYMEEU3E5"),
        (
            true,
            "WARC-Payload-Digest: sha1:0b1f202d9b794f03dc36cc4cfd6b362772b3c0f9",
        ),
        (true, "WARC-Block-Digest: xxh3:0123"),
    ];
    let of = |host: &str, block: &str, field: &str| {
        let url = format!("https://{host}.example/");
        with(
            record("response", &url, DATE, "application/http", block.as_bytes()),
            field,
        )
    };
    let mut records = Vec::new();
    for (chunked, field) in fields {
        let block = if chunked { &in_chunks } else { &plain };
        records.push(of("right", block, field));
        if !field.contains("xxh3") {
            records.push(of("wrong", &block.replace("river", "rivet"), field));
        }
    }
    // A request has a payload digest as well, of nothing.
    let block = b"GET / HTTP/1.1\r\nHost: right.example\r\n\r\n";
    let request = record("request", "https://right.example/", DATE, "application/http", block);
    let field = "WARC-Payload-Digest: sha1:3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ";
    records.push(with(request, field));
    let members: Vec<u8> = records.iter().flat_map(|record| gzip(record)).collect();
    let warc = archive(dir.path(), "a.warc.gz", &members);
    let field = "WARC-Block-Digest: sha1:IBN77X27SPOJBM7ENOYCIUQJ4LFWBJVS";
    let wet = [("right", text), ("wrong", &text.replace("river", "rivet"))]
        .map(|(host, text)| with(conversion(&format!("https://{host}.example/"), text), field));
    let wet = archive(dir.path(), "a.warc.wet", &wet.concat());
    let (plain_recipe, base) = Recipe::load("c4").unwrap();
    let mut recipe = plain_recipe.clone();
    recipe.read.verify_digests = true;
    for (path, kept, differ) in [(&warc, 8, 7), (&wet, 1, 1)] {
        assert_eq!(outcome(path).1, [], "not asked for");
        let mut source = Source::open(path, &recipe.read).unwrap().unwrap();
        let (mut urls, mut reasons) = (Vec::new(), Vec::new());
        while let Some(batch) = source.next_batch().unwrap() {
            for split in read::split(batch).flatten() {
                match split {
                    Split::Page(page) => urls.push(page.url),
                    Split::Damage(damage) => reasons.push(damage.reason),
                    Split::Dropped(_) => {}
                }
            }
        }
        assert_eq!(urls, vec!["https://right.example/"; kept]);
        assert_eq!(reasons, vec![Reason::WrongDigest; differ]);
        let inputs = c4_pipeline::input::resolve(std::slice::from_ref(path), None, &recipe.read).unwrap();
        let found = c4_pipeline::inspect::verify::archives::archives(&inputs, 1 << 30, 2).unwrap();
        let (counted, listed) = (found.differ as usize, found.listed.len());
        assert_eq!((counted, found.damaged, listed), (differ, 0, differ));
        assert!(found.right > 0 && !found.holds());
    }
    // It is a choice of the recipe, and gives another corpus.
    let lists = c4_data::Lists::load(&recipe, &base).unwrap();
    assert_ne!(recipe.hash(&lists), plain_recipe.hash(&lists));
}

/// Files that an editor or a transfer in text mode has rewritten: lines end in `\r\r\n`, or an ARC does not say how
/// long its records are.
#[test]
fn rewritten_line_ends_and_missing_lengths_lose_no_page() {
    let dir = tempfile::tempdir().unwrap();
    let records: Vec<u8> = (0..3)
        .flat_map(|i| response(&format!("https://a.example/{i}"), html(i).as_bytes()))
        .collect();
    let rewritten = String::from_utf8(records).unwrap().replace("\r\n", "\r\r\n");
    let block = |i: usize| format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n{}\n", html(i));
    let line = |i: usize| format!("http://a.example/{i} 192.0.2.7 20190420100000 text/html -1\n");
    let arc: String = (0..3).map(|i| line(i) + &block(i)).collect();
    let arc = format!("filedesc://a.arc 0.0.0.0 20190420100000 text/plain -1\n1 0 X\nURL\n\n{arc}");
    for (name, bytes) in [("a.warc", rewritten), ("a.arc", arc)] {
        let (urls, damaged) = outcome(&archive(dir.path(), name, bytes.as_bytes()));
        assert_eq!((urls.len(), damaged), (3, vec![]), "{name}: {urls:?}");
    }
}

/// The right length of an ARC record is trusted although the next header line is damaged, and that costs one record.
#[test]
fn a_damaged_header_line_of_an_arc_costs_its_record() {
    let dir = tempfile::tempdir().unwrap();
    let record = |i: usize, ip: &str| {
        let block = format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n{}", html(i));
        let length = block.len();
        format!("http://a.example/{i} {ip} 20190420100000 text/html {length}\n{block}\n")
    };
    let arc = record(0, "192.0.2.7") + &record(1, "\u{1}") + &record(2, "www.example.org");
    let arc = archive(dir.path(), "a.arc", arc.as_bytes());
    let found = self::pages(read(&arc, WetReading::Lines));
    let urls: Vec<&str> = found.iter().map(|page| &*page.url).collect();
    assert_eq!(urls, ["http://a.example/0", "http://a.example/2"]);
    assert!(found.iter().all(|page| !page.text.contains("HTTP")));
    assert_eq!(outcome(&arc).1, [Reason::MalformedRecord]);
}

/// Padding between members is none of anybody's, and a folder that links to itself ends.
#[test]
fn padding_and_circles_are_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let good = |i: usize| gzip(&response(&format!("https://a.example/{i}"), html(i).as_bytes()));
    let padded: Vec<u8> = (0..3).flat_map(|i| [good(i), vec![0; 600]].concat()).collect();
    let folder = dir.path().join("folder");
    fs::create_dir(&folder).unwrap();
    let path = archive(&folder, "a.warc.gz", &padded);
    let (urls, damaged) = outcome(&path);
    assert_eq!((urls.len(), damaged), (3, vec![]));
    #[cfg(unix)]
    for link in ["b", "c"] {
        std::os::unix::fs::symlink(".", folder.join(link)).unwrap();
    }
    let recipe = Recipe::load("c4").unwrap().0;
    let inputs = c4_pipeline::input::resolve(&[folder], None, &recipe.read).unwrap();
    assert_eq!(
        inputs.iter().map(|input| &*input.label).collect::<Vec<_>>(),
        ["a.warc.gz"]
    );
}
