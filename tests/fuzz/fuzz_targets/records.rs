//! Records that are sound but for what is in them: ARC, and WARC in segments, plain and in gzip. The first byte says
//! which; a byte 0xff ends a record's content. Every record comes out as it went in.
#![no_main]

use c4_pipeline::read::archive::Archive;
use c4_pipeline::read::warc::{Item, RecordReader};
use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use std::io::Write;

thread_local! {
    static FILE: RefCell<tempfile::NamedTempFile> = RefCell::new(tempfile::NamedTempFile::new().expect("a folder for temporary files"));
}

fn arc(content: &[u8]) -> Vec<u8> {
    let line = format!("http://a.example/ 192.0.2.7 20190420100000 text/html {}\n", content.len());
    [line.as_bytes(), content, b"\n"].concat()
}

fn segment(number: usize, last: bool, total: usize, content: &[u8]) -> Vec<u8> {
    let kind = if number == 1 { "response" } else { "continuation" };
    let mut head = format!("WARC/1.1\r\nWARC-Type: {kind}\r\nWARC-Segment-Number: {number}\r\n");
    head += match number {
        1 => "WARC-Record-ID: <urn:x:1>\r\nWARC-Target-URI: http://a.example/\r\n",
        _ => "WARC-Segment-Origin-ID: <urn:x:1>\r\n",
    };
    if last {
        head += &format!("WARC-Segment-Total-Length: {total}\r\n");
    }
    head += &format!("Content-Length: {}\r\n\r\n", content.len());
    [head.as_bytes(), content, b"\r\n\r\n"].concat()
}

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, content)) = bytes.split_first() else {
        return;
    };
    let parts: Vec<&[u8]> = content.split(|byte| *byte == 0xff).collect();
    let (records, expected): (Vec<Vec<u8>>, Vec<Vec<u8>>) = match kind & 1 {
        0 => (parts.iter().map(|part| arc(part)).collect(), parts.iter().map(|part| part.to_vec()).collect()),
        // One segment alone is no record.
        _ if parts.len() < 2 => return,
        _ => {
            let (all, n) = (parts.concat(), parts.len());
            let records = (1..).zip(&parts).map(|(i, part)| segment(i, i == n, all.len(), part));
            (records.collect(), vec![all])
        }
    };
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory")
    };
    let archive = match kind & 2 {
        0 => records.concat(),
        _ => records.iter().flat_map(|record| gzip(record)).collect(),
    };
    FILE.with_borrow_mut(|file| {
        file.as_file_mut().set_len(0).expect("a file of our own");
        file.reopen().and_then(|mut file| file.write_all(&archive)).expect("a file of our own");
        let archive = Archive::open(file.path()).expect("a file of our own").expect("an archive");
        let mut reader = RecordReader::new(archive, 1 << 24);
        let mut found = Vec::new();
        while let Some(item) = reader.next_item().expect("a file of our own") {
            match item {
                Item::Record(record) => found.push(record.block().to_vec()),
                Item::Damage(damage) => panic!("{damage:?}"),
            }
        }
        assert_eq!(found, expected);
    });
});
