//! What is small in an archive and large when it is unpacked, and what is large: cut off at a limit, counted, and
//! nothing else is lost.

use crate::common::c4_command;
use c4_data::{Document, Format, Manifest, ShardMeta, ShardReader, ShardWriter};
use c4_pipeline::build::BuildOptions;
use c4_tests::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// The memory of the build, in bytes.
const MEMORY: u64 = 256 << 20;
/// The length of a record that is too large: twice the memory of the build.
const LARGE: u64 = 512 << 20;
/// What is said of such a record.
const TOO_LARGE: &str = "the record is larger than";

/// `<p>` and 256 MiB of spaces, by brotli at its best.
const BROTLI_BOMB: &str = "\
     cfffff7ff8a541787ce0c4698180edfdbf07ffffffe1970088c30200ddfb7ffeffffc32f0110874500baf7fffcffff87\
     5f02200e0b0074effff9ffff0fbf04401c1600e8defff3ffff1f7e0980382c00d0bdffe7ffff3ffc1200715800a07bff\
     cfffff7ff82500e2b00040f7fe9ffffffff04b00c4610180eefd3fffffffe1970088c30200ddfb7ffeffffc32f011087\
     0500baf7fffcffff875f02200e0b0074effff9ffff0fbf04401c1600e8defff3ffff1f7e0980382c00d0bdffe7ffff3f\
     fc1200715800a07bffcfffff7ff82500e2b00040f7fe1f02000120202003";

fn unhex(hex: &str) -> Vec<u8> {
    let digits = (0..hex.len()).step_by(2);
    digits
        .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
        .collect()
}

fn response(i: usize, coding: &str, body: &[u8]) -> Vec<u8> {
    let url = format!("https://a{i}.example/");
    let mut block = format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n{coding}\r\n\r\n").into_bytes();
    block.extend_from_slice(body);
    let kind = "application/http; msgtype=response";
    record("response", &url, "2019-04-18T10:12:43Z", kind, &block)
}

/// Zeros, packed as well as gzip can.
fn packed_zeros(before: &[u8], zeros: u64, after: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(before).unwrap();
    let piece = vec![0; 1 << 20];
    for _ in 0..zeros >> 20 {
        encoder.write_all(&piece).unwrap();
    }
    encoder.write_all(after).unwrap();
    encoder.finish().unwrap()
}

/// Builds, checks what was said and counted, and how much memory it took.
fn check(archive: &Path, cause: &str, too_large: u64, kept: usize) {
    let out = archive.with_extension("out");
    let mut command = c4_command();
    command.args(["build", "-r", "c4", "--memory", &MEMORY.to_string(), "-o"]);
    let built = command.arg(&out).arg(archive).output().unwrap();
    let said = String::from_utf8(built.stderr).unwrap();
    // Done, but something was left out.
    assert_eq!(built.status.code(), Some(1), "{said}");
    assert!(said.contains(cause), "{said}");
    let counters = counters(&out).into_iter();
    let counted = counters.filter(|(name, _)| name.ends_with("filtered:record_too_large"));
    assert_eq!(counted.map(|(_, n)| n).sum::<u64>(), too_large, "{said}");
    assert_eq!(documents(&out).len(), kept, "{said}");
    let run = fs::read(out.join("run.json")).unwrap();
    let run: serde_json::Value = serde_json::from_slice(&run).unwrap();
    let peak = run["peak_memory_bytes"].as_u64().unwrap();
    assert!(
        peak < MEMORY * 6 / 5,
        "{} MB for {}",
        peak / 1_000_000,
        archive.display()
    );
}

/// The header of a record that promises `length` bytes.
fn header(length: u64) -> Vec<u8> {
    format!(
        "WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Target-URI: https://huge.example/\r\n         WARC-Date: 2019-04-18T10:12:43Z\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n"
    )
    .into_bytes()
}

fn good(i: usize) -> Vec<u8> {
    conversion(&format!("https://good{i}.example/"), &good_text(i))
}

#[test]
fn bombs_in_bodies() {
    let dir = tempfile::tempdir().unwrap();
    let page = format!("<p>{}</p>", good_text(1).replace('\n', "<p>"));
    let gzip_bomb = packed_zeros(page.as_bytes(), 256 << 20, b"");
    let bombs = [
        response(1, "Content-Encoding: gzip", &gzip_bomb),
        response(2, "Content-Encoding: br", &unhex(BROTLI_BOMB)),
        // A bomb in a bomb.
        response(3, "Content-Encoding: gzip, gzip", &gzip(&gzip_bomb)),
        response(4, "", page.as_bytes()),
    ];
    let archive = dir.path().join("bodies.warc.gz");
    fs::write(&archive, bombs.map(|record| gzip(&record)).concat()).unwrap();
    check(&archive, "unpacks to more than 16 MiB", 3, 1);
}

#[test]
fn a_record_of_half_a_gigabyte_in_a_member() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("member.warc.wet.gz");
    let huge = packed_zeros(&header(LARGE), LARGE, b"\r\n\r\n");
    fs::write(&archive, [gzip(&good(1)), huge, gzip(&good(2))].concat()).unwrap();
    check(&archive, TOO_LARGE, 1, 2);
}

/// Without compression, as lines and as records. The file takes no room: its zeros are a hole.
#[test]
fn a_record_of_half_a_gigabyte_in_a_plain_archive() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, huge: &[u8], good: [Vec<u8>; 2]| -> PathBuf {
        let path = dir.path().join(name);
        let mut file = File::create(&path).unwrap();
        file.write_all(&good[0]).unwrap();
        file.write_all(huge).unwrap();
        file.seek(SeekFrom::Current(LARGE as i64)).unwrap();
        file.write_all(b"\r\n\r\n").unwrap();
        file.write_all(&good[1]).unwrap();
        path
    };
    check(
        &write("plain.warc.wet", &header(LARGE), [good(1), good(2)]),
        TOO_LARGE,
        1,
        2,
    );
    let page = |i| {
        let page = format!("<p>{}</p>", good_text(i).replace('\n', "<p>"));
        response(i, "", page.as_bytes())
    };
    let huge = String::from_utf8(header(LARGE)).unwrap();
    let huge = huge
        .replace("conversion", "response")
        .replace("text/plain", "application/http");
    check(
        &write("plain.warc", huge.as_bytes(), [page(1), page(2)]),
        TOO_LARGE,
        1,
        2,
    );
}

/// Runs a command to its end; gives also the most memory it had, in bytes.
fn watched(command: &mut Command) -> (Output, u64) {
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let status = fs::read_to_string(&status).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        peak = peak.max(kilobytes.unwrap_or(0) << 10);
        std::thread::sleep(Duration::from_millis(2));
    }
    (child.wait_with_output().unwrap(), peak)
}

/// What reads a corpus, on a shard that is small and unpacks to much.
fn refuses_shard(corpus: &Path, words: &[&str]) {
    let commands: [(&[&str], i32); 5] = [
        (&["cat"], 2),
        (&["cat", "--full"], 2),
        (&["verify"], 1),
        (&["verify", "--memory", "128M", "--threads", "1"], 1),
        (&["diff"], 2),
    ];
    let jsonl = Manifest::read(corpus).unwrap().unwrap().format == Format::Jsonl;
    for (arguments, code) in commands {
        if jsonl && arguments.contains(&"--full") {
            continue;
        }
        let mut command = c4_command();
        command.args(arguments).arg(corpus);
        if arguments == ["diff"] {
            command.arg(corpus);
        }
        let (output, peak) = watched(&mut command);
        let said = program::stderr(&output);
        let verify = arguments[0] == "verify";
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        if !verify {
            for word in words {
                assert!(said.contains(word), "{arguments:?}: no {word} in {said}");
            }
        }
        assert!(peak < 150 << 20, "{arguments:?}: {} MB", peak / 1_000_000);
    }
}

#[test]
fn a_row_of_hundreds_of_megabytes_in_a_shard() {
    let dir = tempfile::tempdir().unwrap();
    let wet = dir.path().join("a.warc.wet");
    fs::write(&wet, [good(1), good(2)].concat()).unwrap();
    for (format, words) in [
        (
            Format::Arrow,
            ["train-00000-of-00001.arrow: batch 0 ", "bytes, at most"],
        ),
        (
            Format::Parquet,
            ["train-00000-of-00001.parquet: the page at ", "bytes, at most"],
        ),
        (Format::Jsonl, ["c4-train.00000-of-00001.json.gz: line 1 ", "more than"]),
    ] {
        let corpus = dir.path().join(format!("{format:?}"));
        built(&BuildOptions {
            format,
            ..options("en", &[&wet], &corpus)
        })
        .unwrap();
        let mut manifest = Manifest::read(&corpus).unwrap().unwrap();
        let shard = corpus.join(&manifest.shards[0].file);
        let mut rows: Vec<Document> = ShardReader::open(&shard).unwrap().map(|row| row.unwrap()).collect();
        if format == Format::Jsonl {
            let text = b"{\"text\":\"";
            let end = b"\",\"timestamp\":\"2019\",\"url\":\"https://a.example/\"}\n";
            fs::write(&shard, packed_zeros(text, LARGE, end)).unwrap();
            let bytes = fs::read(&shard).unwrap();
            manifest.shards[0].bytes = bytes.len() as u64;
            manifest.shards[0].sha256 = c4_data::atomic_file::sha256_hex(&bytes);
        } else {
            rows[0].page.text = "a".repeat(120 << 20);
            let meta = ShardMeta {
                recipe: manifest.recipe.name.clone(),
                recipe_hash: manifest.recipe_hash.clone(),
            };
            let split = manifest.shards[0].split;
            let mut writer = ShardWriter::create(&shard, dir.path(), format, split, &meta).unwrap();
            writer.write(rows).unwrap();
            manifest.shards[0] = writer.finish().unwrap();
        }
        manifest.write(&corpus).unwrap();
        let bytes = fs::metadata(&shard).unwrap().len();
        assert!(bytes < 32 << 20, "{format:?}: {bytes}");
        refuses_shard(&corpus, &words);
    }
}

/// Lines of text, packed.
fn packed_lines(path: &Path, lines: impl Iterator<Item = String>) {
    let file = std::io::BufWriter::new(File::create(path).unwrap());
    let mut encoder = GzEncoder::new(file, Compression::fast());
    lines.for_each(|line| encoder.write_all(line.as_bytes()).unwrap());
    encoder.finish().unwrap();
}

#[test]
fn lists_that_unpack_to_much() {
    let dir = tempfile::tempdir().unwrap();
    let (list, wet) = (dir.path().join("list.gz"), dir.path().join("a.warc.wet"));
    fs::write(&wet, good(1)).unwrap();
    let out = dir.path().join("out");
    let build = |recipe: &str, option: &str| {
        let mut command = c4_command();
        command.args(["build", "-r", recipe, "--memory", "128M", "--overwrite", option]);
        watched(command.arg(&list).arg("-o").arg(&out).arg(&wet))
    };
    let refuses = |(output, peak): (Output, u64), most: u64, words: &[&str]| {
        program::refused(&output, words);
        assert!(peak < most, "{words:?}: {} MB", peak / 1_000_000);
    };
    fs::write(&list, packed_zeros(b"http://a.example/\n", LARGE, b"")).unwrap();
    for (recipe, option) in [("realnewslike", "--domains"), ("webtextlike", "--urls")] {
        let list = ["list.gz", "16 MiB", "line 2 has more than 1 MiB"];
        let words = match option {
            "--urls" => [list[0], list[2]],
            _ => [list[0], list[1]],
        };
        refuses(build(recipe, option), 120 << 20, &words);
    }
    // URLs of which each is another, and what a quarter of the memory holds of them.
    let url = |i: u32| format!("http://a{i}.example/\n");
    packed_lines(&list, (0..2_200_000).map(url));
    refuses(build("webtextlike", "--urls"), 160 << 20, &["2200000 URLs", "--memory"]);
    // The same few, over and over.
    packed_lines(&list, (0..4_000_000).map(|i| url(i % 10)));
    let (output, peak) = build("webtextlike", "--urls");
    assert!(output.status.success(), "{}", program::stderr(&output));
    assert!(peak < 120 << 20, "{} MB", peak / 1_000_000);
}

/// Thirty pages of 15 MiB of text each, in a few kB of gzip in gzip, with the least memory: one at a time, on any
/// number of threads.
#[test]
fn pages_of_megabytes_are_held_one_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("texts.warc.gz");
    let line = "<p>The people of this house walked down to the river in the morning of every day.\n";
    let body = gzip(&gzip(line.repeat((15 << 20) / line.len()).as_bytes()));
    let records = (0..30).map(|i| gzip(&response(i, "Content-Encoding: gzip, gzip", &body)));
    fs::write(&archive, records.collect::<Vec<_>>().concat()).unwrap();
    let out = dir.path().join("out");
    // It keeps them all, so they go through every pass.
    let keeps_all = dir.path().join("all.toml");
    let recipe = "name = \"all\"\ndescription = \"all\"\n[read]\nwet_reading = \"records\"\nmax_record_bytes = 33_554_432\n\
                  [split]\nvalidation_one_in = 1_000\n";
    fs::write(&keeps_all, recipe).unwrap();
    let build = |recipe: &Path, memory: &str, threads: &str| {
        let mut command = c4_command();
        command
            .arg("build")
            .arg("-r")
            .arg(recipe)
            .args(["--no-plan", "--overwrite", "--memory", memory]);
        command.args(["--threads", threads, "-o"]).arg(&out).arg(&archive);
        command.output().unwrap()
    };
    let cases = [("c4", "2"), ("c4", "5"), ("all", "2"), ("all", "5")];
    for (recipe, threads) in cases {
        let path = match recipe {
            "all" => &keeps_all,
            built_in => Path::new(built_in),
        };
        let built = build(path, "128M", threads);
        let said = String::from_utf8(built.stderr).unwrap();
        assert_eq!(built.status.code(), Some(0), "{said}");
        let run: serde_json::Value = serde_json::from_slice(&fs::read(out.join("run.json")).unwrap()).unwrap();
        let peak = run["peak_memory_bytes"].as_u64().unwrap();
        assert!(peak < 128 << 20, "{recipe}, {threads}: {} MB", peak / 1_000_000);
        assert_eq!(said.contains("30 kept"), recipe == "all", "{said}");
    }
    // What threads need is said, not exceeded.
    let refused = build(Path::new("c4"), "128M", "64");
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("64 threads need at least 832.00 MiB"), "{said}");
}
