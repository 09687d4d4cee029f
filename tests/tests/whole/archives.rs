//! Archives as they are found: every compression and framing, damaged in every way.
//!
//! Above 500 lines: one test a kind of damage.

use c4_data::Page;
use c4_data::WetReading;
use c4_filters::Reason;
use c4_pipeline::read::archive::Archive;
use c4_pipeline::read::outcome::Split;
use c4_pipeline::read::warc::{Item, RecordReader};
use c4_tests::*;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use warc::WarcHeader;

/// `n` records of a WET, one gzip member each, after a warcinfo.
fn members(n: usize) -> Vec<Vec<u8>> {
    let warcinfo = b"WARC/1.0\r\nWARC-Type: warcinfo\r\nContent-Length: 3\r\n\r\na: \r\n\r\n";
    let records = (0..n).map(|i| conversion(&format!("https://a.example/{i}"), &good_text(i)));
    std::iter::once(warcinfo.to_vec()).chain(records).collect()
}

fn write(path: &Path, parts: &[Vec<u8>]) {
    fs::write(path, parts.concat()).unwrap();
}

fn urls(splits: &[Split]) -> Vec<String> {
    let url = |split: &Split| match split {
        Split::Page(page) => Some(page.url.clone()),
        _ => None,
    };
    splits.iter().filter_map(url).collect()
}

fn damage(splits: &[Split]) -> Vec<(Reason, u64)> {
    let damage = |split: &Split| match split {
        Split::Damage(damage) => Some((damage.reason, damage.offset)),
        _ => None,
    };
    splits.iter().filter_map(damage).collect()
}

const BOTH: [WetReading; 2] = [WetReading::Lines, WetReading::Records];

#[test]
fn every_compression_and_framing_gives_the_same_pages() {
    let dir = tempfile::tempdir().unwrap();
    // More than a piece of reading, so that pages lie at its borders.
    let plain = members(9000);
    let dictionary = plain[1].repeat(20);
    let zstd = |bytes: &[u8]| zstd::bulk::compress(bytes, 3).unwrap();
    let with_dictionary = |bytes: &[u8]| {
        let mut compressor = zstd::bulk::Compressor::with_dictionary(3, &dictionary).unwrap();
        compressor.compress(bytes).unwrap()
    };
    let frame = |dictionary: &[u8]| {
        let mut frame = vec![0x5d, 0x2a, 0x4d, 0x18];
        frame.extend_from_slice(&u32::try_from(dictionary.len()).unwrap().to_le_bytes());
        frame.extend_from_slice(dictionary);
        frame
    };
    let each = |pack: &dyn Fn(&[u8]) -> Vec<u8>| -> Vec<Vec<u8>> { plain.iter().map(|record| pack(record)).collect() };
    let mut dictionary_first = vec![frame(&dictionary)];
    dictionary_first.extend(each(&with_dictionary));
    let mut packed_dictionary = vec![frame(&zstd(&dictionary))];
    packed_dictionary.extend(each(&with_dictionary));
    let trailing = |mut parts: Vec<Vec<u8>>, rest: &[u8]| {
        parts.push(rest.to_vec());
        parts
    };
    let variants: Vec<(&str, Vec<Vec<u8>>)> = vec![
        ("plain", plain.clone()),
        ("gzip by record", each(&gzip)),
        ("gzip as one", vec![gzip(&plain.concat())]),
        ("gzip, zeros behind", trailing(each(&gzip), &[0; 700])),
        ("gzip, rubbish behind", trailing(each(&gzip), b"and so on and on")),
        ("zstd by record", each(&zstd)),
        ("zstd as one", vec![zstd(&plain.concat())]),
        ("zstd, dictionary", dictionary_first),
        ("zstd, packed dictionary", packed_dictionary),
    ];
    for reading in BOTH {
        let mut expected: Option<Vec<Page>> = None;
        for (name, parts) in &variants {
            let path = dir.path().join("archive");
            write(&path, parts);
            let splits = read(&path, reading);
            assert_eq!(damage(&splits), [], "{name}");
            let found = pages(splits);
            assert_eq!(found.len(), 9000, "{name}");
            // Offsets are where a reader finds the record again.
            let offsets = offsets(name, parts);
            let of_pages: Vec<u64> = found.iter().map(|page| page.record_offset).collect();
            assert_eq!(of_pages, offsets[offsets.len() - 9000..], "{name} {reading:?}");
            let mut bare = found;
            bare.iter_mut().for_each(|page| page.record_offset = 0);
            assert_eq!(*expected.get_or_insert(bare.clone()), bare, "{name}");
        }
    }
}

/// Where the records of a variant start: members, or places in the uncompressed stream.
fn offsets(name: &str, parts: &[Vec<u8>]) -> Vec<u64> {
    let sizes: Vec<usize> = if name.ends_with("as one") {
        members(9000).iter().map(Vec::len).collect()
    } else {
        let behind = usize::from(name.ends_with("behind"));
        parts[..parts.len() - behind].iter().map(Vec::len).collect()
    };
    let place = |at: &mut u64, size: &usize| {
        let start = *at;
        *at += *size as u64;
        Some(start)
    };
    sizes.iter().scan(0, place).collect()
}

#[test]
fn offsets_in_one_member_are_places_in_the_stream() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.wet.gz");
    // No warcinfo: the first record is a page.
    let records = &members(3)[1..];
    fs::write(&path, gzip(&records.concat())).unwrap();
    let (first, second) = (records[0].len() as u64, records[1].len() as u64);
    for reading in BOTH {
        let found = pages(read(&path, reading));
        let offsets: Vec<u64> = found.iter().map(|page| page.record_offset).collect();
        assert_eq!(offsets, [0, first, first + second], "{reading:?}");
    }
}

/// Damages a member.
type Flip = fn(&mut Vec<u8>);

#[test]
fn one_corrupt_member_of_200_loses_that_record_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.warc.wet.gz");
    let good: Vec<Vec<u8>> = members(200).iter().map(|record| gzip(record)).collect();
    let start = |member: usize| good[..member].iter().map(Vec::len).sum::<usize>() as u64;
    let flips: [(&str, Flip); 6] = [
        ("magic", |m| m[0] ^= 0xff),
        ("method", |m| m[2] ^= 0xff),
        ("deflate data", |m| {
            m.iter_mut().skip(14).take(9).for_each(|b| *b ^= 0x55)
        }),
        ("middle", |m| {
            let at = m.len() / 2;
            m[at] ^= 0x10;
        }),
        ("checksum", |m| {
            let at = m.len() - 8;
            m[at] ^= 1;
        }),
        ("cut short", |m| m.truncate(m.len() / 2)),
    ];
    for reading in BOTH {
        for member in [1, 77, 200] {
            for (what, flip) in &flips {
                let mut parts = good.clone();
                flip(&mut parts[member]);
                write(&path, &parts);
                let splits = read(&path, reading);
                let lost = format!("https://a.example/{}", member - 1);
                let found = urls(&splits);
                assert_eq!(found.len(), 199, "{what} of {member}");
                assert!(!found.contains(&lost), "{what} of {member}");
                let damage = damage(&splits);
                assert_eq!(damage.len(), 1, "{what} of {member}: {damage:?}");
                assert_eq!(damage[0].1, start(member), "{what} of {member}");
            }
        }
    }
}

/// Damage at the very start of an archive costs its first member, not the archive.
#[test]
fn a_damaged_first_member_costs_itself() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.warc.wet.gz");
    let good: Vec<Vec<u8>> = members(20)[1..].iter().map(|record| gzip(record)).collect();
    for at in [0, 1, 2, 30] {
        let mut parts = good.clone();
        parts[0][at] ^= 0xff;
        write(&path, &parts);
        for reading in BOTH {
            let splits = read(&path, reading);
            assert_eq!(urls(&splits).len(), 19, "byte {at} {reading:?}");
            assert_eq!(damage(&splits), [(Reason::CorruptMember, 0)], "byte {at} {reading:?}");
        }
    }
    // Empty and blank members before the first record are nothing.
    let mut parts = vec![gzip(b""), gzip(b"\r\n")];
    parts.extend(good);
    write(&path, &parts);
    for reading in BOTH {
        assert_eq!(urls(&read(&path, reading)).len(), 20, "{reading:?}");
    }
}

/// An archive that is one large member is read piece by piece; when damage shows, what was whole
/// before it stays, and no page is cut.
#[test]
fn damage_in_one_large_member_cuts_no_page() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.warc.wet.gz");
    let text = |i: usize| format!("{}The end of page {i}.\n", good_text(i).repeat(30_000));
    let records = (0..6).map(|i| conversion(&format!("https://a.example/{i}"), &text(i)));
    let records: Vec<Vec<u8>> = records.collect();
    let whole = gzip(&records.concat());
    assert!(records.concat().len() > 2 * c4_pipeline::read::outcome::MEMBER_BYTES);
    let damages: [fn(&mut Vec<u8>); 3] = [
        |bytes| bytes.truncate(bytes.len() * 9 / 10),
        |bytes| {
            let at = bytes.len() - 6;
            bytes[at] ^= 1;
        },
        |bytes| {
            let at = bytes.len() * 9 / 10;
            bytes[at..at + 20].iter_mut().for_each(|b| *b ^= 0x5a);
        },
    ];
    for damaged in damages {
        let mut bytes = whole.clone();
        damaged(&mut bytes);
        fs::write(&path, bytes).unwrap();
        for reading in BOTH {
            let splits = read(&path, reading);
            assert_eq!(damage(&splits).len(), 1, "{reading:?}");
            let found = pages(splits);
            assert!((2..6).contains(&found.len()), "{reading:?}: {}", found.len());
            for page in found {
                let end = format!("The end of page {}.", page.url.rsplit('/').next().unwrap());
                assert!(page.text.ends_with(&end), "{reading:?}: {} is cut", page.url);
            }
        }
    }
}

#[test]
fn lengths_that_overflow_or_stand_close_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.warc");
    let close: Vec<u8> = (0..5)
        .flat_map(|i| {
            let record = conversion(&format!("https://a.example/{i}"), "No line end.");
            record[..record.len() - 4].to_vec()
        })
        .collect();
    fs::write(&path, &close).unwrap();
    assert_eq!(urls(&read(&path, WetReading::Records)).len(), 5);
    let head = "WARC/1.0\r\nWARC-Type: conversion\r\nContent-Length: 18446744073709551615\r\n\r\n";
    fs::write(&path, [&close[..], b"\r\n\r\n", head.as_bytes(), b"text"].concat()).unwrap();
    let splits = read(&path, WetReading::Records);
    assert_eq!((urls(&splits).len(), damage(&splits).len()), (5, 1));
}

/// A cut WARC is no WET, though no whole record says so.
#[test]
fn a_cut_response_is_no_text() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.warc");
    let date = "2019-04-18T10:12:43Z";
    let body = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>A page that is cut here.";
    let response = record("response", "https://a.example/", date, "application/http", body);
    let bytes = [&members(0)[0][..], &response[..response.len() - 10]].concat();
    fs::write(&path, bytes).unwrap();
    let splits = read(&path, WetReading::Lines);
    assert_eq!(urls(&splits), Vec::<String>::new());
    assert_eq!(damage(&splits).len(), 1);
}

#[test]
fn a_cut_archive_gives_all_but_its_last_record() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.warc.wet");
    let records = members(20);
    let by_member: Vec<u8> = records.iter().flat_map(|record| gzip(record)).collect();
    let last = records.last().unwrap();
    let cuts = [
        (
            "by member",
            by_member[..by_member.len() - gzip(last).len() / 2].to_vec(),
        ),
        ("as one", {
            let whole = gzip(&records.concat());
            whole[..whole.len() - 12].to_vec()
        }),
    ];
    for reading in BOTH {
        for (name, bytes) in &cuts {
            fs::write(&path, bytes).unwrap();
            let splits = read(&path, reading);
            assert_eq!(urls(&splits).len(), 19, "{name} {reading:?}");
            let reasons: Vec<Reason> = damage(&splits).into_iter().map(|(r, _)| r).collect();
            assert_eq!(reasons, [Reason::Truncated], "{name}");
        }
    }
    // Of an uncompressed archive nothing tells but the lengths, which lines do not look at.
    let plain = records.concat();
    fs::write(&path, &plain[..plain.len() - 40]).unwrap();
    let splits = read(&path, WetReading::Records);
    assert_eq!((urls(&splits).len(), damage(&splits).len()), (19, 1));
}

#[test]
fn wrong_headers_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.warc");
    let record = |head: &str, body: &str| format!("{head}\r\n\r\n{body}\r\n\r\n");
    let head = "WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Target-URI: http://a.example/";
    let date = "WARC-Date: 2019-04-18T10:12:43Z";
    let records = [
        record(&format!("{head}short\r\n{date}\r\nContent-Length: 3"), "A body, cut."),
        record(
            &format!("{head}long\r\n{date}\r\nContent-Length: 4000"),
            "A body, long.",
        ),
        record(&format!("{head}none\r\n{date}"), "A body without length."),
        record(&format!("{head}space\r\n{date}\r\nContent-Length: 7 "), "A body."),
        record(
            "WARC/0.18\nwarc-type: conversion\nwarc-target-uri:\n http://a.example/folded\n\
             warc-date: 2008\ncontent-length: 7",
            "A body.",
        ),
        record(&format!("{head}last\r\n{date}\r\nContent-Length: 7"), "A body."),
    ];
    let lf_only = records[5].replace("\r\n", "\n").replace("/last", "/lf");
    let all: String = records.iter().cloned().chain([lf_only]).collect();
    fs::write(&path, all.as_bytes()).unwrap();
    let splits = read(&path, WetReading::Records);
    assert_eq!(damage(&splits), []);
    let found = pages(splits);
    let texts: BTreeMap<&str, &str> = found
        .iter()
        .map(|page| (page.url.rsplit('/').next().unwrap(), page.text.as_str()))
        .collect();
    let expected = [
        ("folded", "A body."),
        ("last", "A body."),
        ("lf", "A body."),
        ("long", "A body, long."),
        ("none", "A body without length."),
        ("short", "A body, cut."),
        ("space", "A body."),
    ];
    assert_eq!(texts, BTreeMap::from(expected));
}

#[test]
fn too_large_records_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.warc");
    let large = conversion("https://a.example/large", &"A line of a large text.\n".repeat(90_000));
    let small = |name: &str| conversion(&format!("https://a.example/{name}"), &good_text(1));
    for pack in [
        |parts: &[Vec<u8>]| parts.concat(),
        |parts: &[Vec<u8>]| gzip(&parts.concat()),
    ] {
        fs::write(&path, pack(&[small("before"), large.clone(), small("after")])).unwrap();
        for reading in BOTH {
            let (mut recipe, _) = c4_data::Recipe::load("en").unwrap();
            recipe.read.wet_reading = reading;
            recipe.read.max_record_bytes = 1 << 20;
            let step = &recipe.read;
            let mut source = c4_pipeline::read::Source::open(&path, step).unwrap().unwrap();
            let mut splits = Vec::new();
            while let Some(batch) = source.next_batch().unwrap() {
                splits.extend(c4_pipeline::read::split(batch).flatten());
            }
            let names = ["https://a.example/before", "https://a.example/after"];
            assert_eq!(urls(&splits), names, "{reading:?}");
            let damage = damage(&splits);
            assert_eq!(damage.len(), 1, "{reading:?}: {damage:?}");
            assert_eq!(damage[0].0, Reason::RecordTooLarge);
        }
    }
}

/// Pieces of a WET are cut at delimiter lines only, wherever they lie and whatever ends them.
#[test]
fn pieces_of_a_wet_do_not_change_its_pages() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.wet");
    for end in ["\n", "\r\n", "\r"] {
        let mut text = String::new();
        let mut expected = Vec::new();
        let mut i = 0;
        while text.len() < 3 << 20 {
            let filler = "x".repeat((i * 7919) % 5000);
            let body = format!("See WARC/1.0 here{end} WARC/1.0x{end}line {i} {filler}{end}");
            text += &format!("WARC/1.0{end}WARC-Target-URI: u{i}{end}WARC-Date: d{end}{end}{body}");
            expected.push((format!("u{i}"), format!("See WARC/1.0 here\nline {i} {filler}")));
            i += 1;
        }
        fs::write(&path, &text).unwrap();
        let found = pages(read(&path, WetReading::Lines));
        let found: Vec<(String, String)> = found
            .into_iter()
            .map(|page| (page.url, page.text.trim_end().to_owned()))
            .collect();
        let expected: Vec<(String, String)> = expected
            .into_iter()
            .map(|(url, text)| (url, text.trim_end().to_owned()))
            .collect();
        assert!(found == expected, "{end:?}: {} of {}", found.len(), expected.len());
    }
}

/// Our reader against the `warc` crate, over archives that the crate can read.
#[test]
fn records_are_those_of_the_warc_crate() {
    let names = [
        "wet/whatsinthebox-restored.warc.wet.gz",
        "wet/ccc-learning-restored.warc.wet.gz",
        "warc/whirlwind/whirlwind.warc.gz",
        "warc/pywb/iana.warc.gz",
        "bench/CC-MAIN-20190418101243-20190418122311-00000.warc.wet.gz",
    ];
    for path in names.iter().filter_map(|name| shared(name)) {
        let mut bytes = Vec::new();
        let file = fs::File::open(&path).unwrap();
        std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(file), &mut bytes).unwrap();
        let theirs = warc::WarcReader::new(std::io::Cursor::new(&bytes[..]));
        let theirs: Vec<(String, Vec<u8>)> = theirs
            .iter_records()
            .map(|record| {
                let record = record.unwrap();
                let url = record.header(WarcHeader::TargetURI);
                (url.unwrap_or_default().into_owned(), record.body().to_vec())
            })
            .collect();
        let mut reader = RecordReader::new(Archive::open(&path).unwrap().unwrap(), 1 << 30);
        let mut ours = Vec::new();
        while let Some(item) = reader.next_item().unwrap() {
            match item {
                Item::Record(record) => ours.push((record.url(), record.block().to_vec())),
                Item::Damage(damage) => panic!("{}: {damage:?}", path.display()),
            }
        }
        assert_eq!(ours.len(), theirs.len(), "{}", path.display());
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours.0.trim_matches(['<', '>']), theirs.0.trim_matches(['<', '>']));
            assert!(ours.1 == theirs.1, "{}: block of {}", path.display(), ours.0);
        }
    }
}

/// 29 real pages under 29 awkward framings. Six are no pages; of one (`body-cut-chunked`) all that
/// came before the cut is an unclosed script, so it has no text.
#[test]
fn awkward_framings() {
    let Some(truth) = shared("quirks/quirks.json") else {
        return;
    };
    let truth: serde_json::Value = serde_json::from_slice(&fs::read(truth).unwrap()).unwrap();
    let kinds: HashMap<&str, &str> = truth
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["url"].as_str().unwrap(), row["kind"].as_str().unwrap()))
        .collect();
    let none = [
        "404",
        "301-empty",
        "revisit",
        "empty-body",
        "arc-ish-unknown-type",
        "body-cut-chunked",
        "text/plain",
    ];
    for name in ["quirks", "single-member", "trailing-garbage"] {
        let path = shared(&format!("quirks/{name}.warc.gz")).unwrap();
        let splits = read(&path, WetReading::Lines);
        assert_eq!(damage(&splits), [], "{name}");
        let found = urls(&splits);
        for (url, kind) in &kinds {
            let expected = usize::from(!none.contains(kind));
            let times = found.iter().filter(|found| found == url).count();
            assert_eq!(times, expected, "{name}: {kind} {url}");
        }
    }
}

/// File, pages by lines and by records, damage.
type Expected = (&'static str, [usize; 2], &'static [(Reason, usize)]);

/// The other real archives: how many pages each way of reading gives, and what is damaged.
#[test]
fn archives_of_many_tools() {
    const CUT: &[(Reason, usize)] = &[(Reason::Truncated, 1)];
    let expected: [Expected; 6] = [
        ("wet/cc_0.warc.wet.gz", [6, 6], &[]),
        ("wet/cc_1.warc.wet.gz", [3, 3], &[]),
        ("wet/handmade-3-records.warc.wet", [3, 3], &[]),
        ("wet/hostile-resaved-crlf.warc.wet.gz", [318, 318], &[]),
        ("wet/cut-CC-MAIN-20170720121902-00000.warc.wet.gz", [43, 43], CUT),
        // WARC/0.18 with lines in LF, and with an identified type that is empty.
        ("warc/pywarc/sample.warc.gz", [100, 100], &[]),
    ];
    for (name, counts, damaged) in expected {
        let Some(path) = shared(name) else {
            continue;
        };
        for (reading, count) in BOTH.into_iter().zip(counts) {
            let splits = read(&path, reading);
            assert_eq!(urls(&splits).len(), count, "{name} {reading:?}");
            let mut reasons = BTreeMap::new();
            for (reason, _) in damage(&splits) {
                *reasons.entry(reason).or_insert(0) += 1;
            }
            assert_eq!(reasons, damaged.iter().copied().collect(), "{name} {reading:?}");
        }
    }
}
