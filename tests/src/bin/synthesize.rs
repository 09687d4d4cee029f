//! `synthesize`: a made-up crawl of any size, for measuring how a build grows.
//!
//! Pages are short and English enough to pass every rule, so that a page costs a build little and its
//! keys much. A share of them repeats what others have: URLs, lines of a few sites, one line that is on
//! a fiftieth of all pages. The same arguments give the same bytes.

use anyhow::{Context, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Pages of an archive.
const ARCHIVE_PAGES: u64 = 50_000;
/// Members of an archive hold as many pages: a stream of its own for each would cost more than all else.
const MEMBER_PAGES: u64 = 100;
/// Lines of a page.
const LINES: u64 = 6;
/// One line in so many is one that other pages have, too.
const REPEATED_IN: u64 = 4;
/// One page in so many has the URL of another.
const OLDER_IN: u64 = 20;
/// One page in so many has the most frequent line.
const FREQUENT_IN: u64 = 50;

const WHO: [&str; 12] = [
    "The gardener",
    "My old neighbour",
    "A young teacher",
    "The baker next door",
    "Our quiet librarian",
    "The ferry captain",
    "A travelling painter",
    "The village doctor",
    "Her younger brother",
    "The night watchman",
    "A retired sailor",
    "The clock maker",
];
const DID: [&str; 12] = [
    "carried",
    "repaired",
    "forgot about",
    "painted",
    "described",
    "counted",
    "sold",
    "borrowed",
    "wrapped up",
    "looked after",
    "found",
    "gave away",
];
const WHAT: [&str; 12] = [
    "wooden chairs",
    "baskets of apples",
    "letters from the coast",
    "copper kettles",
    "woollen blankets",
    "jars of honey",
    "maps of the valley",
    "bicycles",
    "brass lamps",
    "loaves of bread",
    "picture frames",
    "bundles of firewood",
];
const WHERE: [&str; 12] = [
    "behind the old mill",
    "near the harbour",
    "at the end of the lane",
    "in the town hall",
    "under the stone bridge",
    "beside the railway",
    "on the market square",
    "across the river",
    "at the edge of the forest",
    "in the small chapel",
    "close to the lighthouse",
    "by the school gate",
];

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014).
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn sentence(number: u64, text: &mut String) {
    let of = |list: &[&'static str; 12], shift: u32| list[(mix(number) >> shift) as usize % 12];
    let (who, did, what, place) = (of(&WHO, 0), of(&DID, 16), of(&WHAT, 32), of(&WHERE, 48));
    // Writing to a string does not fail.
    let _ = writeln!(text, "{who} {did} {number} {what} {place}.");
}

/// Appends page `page` of `pages` as a WET record.
fn record(page: u64, pages: u64, record: &mut String) {
    let hash = mix(page ^ 0xc4);
    // Pages of one URL are in archives far from each other, and their timestamps in no order.
    let of = match hash % OLDER_IN {
        0 => mix(hash) % pages,
        _ => page,
    };
    let mut text = String::new();
    for line in 0..LINES {
        let hash = mix(hash ^ line);
        let number = match hash % REPEATED_IN {
            // Some thousands of lines, that a site has on all its pages.
            0 => mix(hash) % (pages / 50 + 10),
            _ => 1_000_000_000 + page * LINES + line,
        };
        sentence(number, &mut text);
    }
    if mix(hash).is_multiple_of(FREQUENT_IN) {
        text += "Subscribe to our weekly letter and never miss a story again.\n";
    }
    let site = mix(of / 40) % (pages / 40 + 1);
    let (day, second) = (1 + hash % 28, hash / 28 % 60);
    let _ = write!(
        record,
        "WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Target-URI: https://site-{site}.example/{of}\r\n\
         WARC-Date: 2019-04-{day:02}T10:12:{second:02}Z\r\nContent-Type: text/plain\r\n\
         Content-Length: {}\r\n\r\n{text}\r\n\r\n",
        text.len()
    );
}

fn archive(path: &Path, first: u64, pages: u64) -> anyhow::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let end = (first + ARCHIVE_PAGES).min(pages);
    let mut start = first;
    while start < end {
        let next = (start + MEMBER_PAGES).min(end);
        let mut text = String::new();
        (start..next).for_each(|page| record(page, pages, &mut text));
        let mut gzip = GzEncoder::new(&mut file, Compression::fast());
        gzip.write_all(text.as_bytes())?;
        gzip.finish()?;
        start = next;
    }
    Ok(file.flush()?)
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, pages] = &arguments[..] else {
        bail!("usage: synthesize FOLDER PAGES");
    };
    let folder = PathBuf::from(folder);
    let pages: u64 = pages.parse().context("PAGES is a number")?;
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let next = AtomicUsize::new(0);
    let work = || -> anyhow::Result<()> {
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed) as u64;
            if i * ARCHIVE_PAGES >= pages {
                return Ok(());
            }
            let path = folder.join(format!("synthetic-{i:05}.warc.wet.gz"));
            archive(&path, i * ARCHIVE_PAGES, pages).with_context(|| path.display().to_string())?;
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let joined = all.into_iter().map(|thread| thread.join());
        joined.flatten().collect::<anyhow::Result<()>>()
    })
}
