//! What TensorBoard would show of a run, by a reader of our own: records with their checksums, messages, and what goes
//! when a session starts (the rules of `event_accumulator.py` for files of version 2).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// By name of a scalar: steps and values.
pub type Scalars = BTreeMap<String, Vec<(u64, f32)>>;

pub fn files(run: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(run).unwrap().map(|entry| entry.unwrap().path());
    let is_events = |path: &PathBuf| path.to_string_lossy().contains("tfevents");
    let mut files: Vec<PathBuf> = entries.filter(is_events).collect();
    files.sort();
    files
}

/// What is shown of all files of a run.
pub fn shown(run: &str) -> Scalars {
    let mut scalars = Scalars::new();
    for file in files(run) {
        let mut version = false;
        let bytes = fs::read(file).unwrap();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (length, tail) = framed(rest, 8);
            let length = u64::from_le_bytes(length.try_into().unwrap());
            let (event, tail) = framed(tail, length as usize);
            rest = tail;
            let event = fields(event);
            let step = event.get(&2).map_or(0, |step| number(&step[0]));
            assert!(number(&event[&1][0]) > 0, "a time");
            if let Some(what) = event.get(&3) {
                assert_eq!(what[0], b"brain.Event:2");
                version = true;
            }
            assert!(version, "the first event tells the version");
            if event.contains_key(&7) {
                assert_eq!(number(&fields(&event[&7][0])[&1][0]), 1, "START");
                scalars.values_mut().for_each(|points| points.retain(|p| p.0 < step));
            }
            for summary in event.get(&5).into_iter().flatten() {
                for value in &fields(summary)[&1] {
                    let value = fields(value);
                    let name = String::from_utf8(value[&1][0].clone()).unwrap();
                    let bits = value[&2][0].clone().try_into().unwrap();
                    let points = scalars.entry(name).or_default();
                    points.push((step, f32::from_le_bytes(bits)));
                }
            }
        }
    }
    scalars.retain(|_, points| !points.is_empty());
    scalars
}

/// What `metrics.jsonl` has, by the names of TensorBoard.
pub fn measured(run: &str) -> Scalars {
    let mut scalars = Scalars::new();
    let text = fs::read_to_string(Path::new(run).join("metrics.jsonl")).unwrap();
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let step = line["step"].as_u64().unwrap();
        let number = |key: &str| line[key].as_f64().unwrap();
        let mut add = |name: String, value: f64| {
            let points = scalars.entry(name).or_default();
            points.push((step, value as f32));
        };
        let section = match line.get("loss") {
            Some(_) => "train",
            None => "validation",
        };
        let list = |key: &str| line[key].as_array().cloned().unwrap_or_default();
        for corpus in list("corpora") {
            let name = corpus["corpus"].as_str().unwrap();
            add(format!("validation/loss of {name}"), corpus["loss"].as_f64().unwrap());
        }
        for task in list("tasks") {
            let name = task["task"].as_str().unwrap();
            add(format!("validation/{name}"), task["headline"].as_f64().unwrap());
            for (metric, score) in task["scores"].as_object().unwrap() {
                add(format!("validation/{name} {metric}"), score.as_f64().unwrap());
            }
        }
        let lists = ["step", "corpora", "tasks"];
        for key in line
            .as_object()
            .unwrap()
            .keys()
            .filter(|key| !lists.contains(&&key[..]))
        {
            let name = key.trim_start_matches("validation_");
            add(format!("{section}/{name}"), number(key));
        }
        if section == "train" {
            let speed = number("tokens") / number("seconds").max(1e-9);
            add("train/tokens_per_second".to_owned(), speed);
            let waited = number("waited") / number("seconds").max(1e-9);
            add("train/waited_share".to_owned(), waited);
        }
    }
    scalars
}

/// Data of this length, its checksum tested, and what is behind.
fn framed(bytes: &[u8], length: usize) -> (&[u8], &[u8]) {
    let (data, rest) = bytes.split_at(length);
    let (sum, rest) = rest.split_at(4);
    let crc = crc32c(data);
    let masked = crc.rotate_right(15).wrapping_add(0xa282_ead8);
    assert_eq!(sum, masked.to_le_bytes());
    (data, rest)
}

/// Bit by bit (Castagnoli's polynomial, reflected).
fn crc32c(data: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in data {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ (0x82f6_3b78 * (crc & 1));
        }
    }
    !crc
}

/// A message's fields by number: bytes, or numbers in eight of them.
fn fields(mut message: &[u8]) -> BTreeMap<u64, Vec<Vec<u8>>> {
    let mut found: BTreeMap<u64, Vec<Vec<u8>>> = BTreeMap::new();
    let varint = |message: &mut &[u8]| {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = message[0];
            *message = &message[1..];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    };
    while !message.is_empty() {
        let tag = varint(&mut message);
        let value = match tag & 7 {
            0 => varint(&mut message).to_le_bytes().to_vec(),
            kind => {
                let length = match kind {
                    1 => 8,
                    2 => varint(&mut message) as usize,
                    5 => 4,
                    _ => panic!("wire type {kind}"),
                };
                let (value, rest) = message.split_at(length);
                message = rest;
                value.to_vec()
            }
        };
        found.entry(tag >> 3).or_default().push(value);
    }
    found
}

fn number(value: &[u8]) -> u64 {
    u64::from_le_bytes(value.try_into().unwrap())
}
