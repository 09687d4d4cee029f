//! Makes a longer WET with the stage shares of short ones: a bench of real pages that is long enough for
//! a process's start not to count.
//!
//! Each page is repeated under another URL. So that copies are no duplicates of one another, the
//! first four words of each line of five and more (no other line passes the rules) take another order
//! in each copy; bytes, words, and how a line ends stay. Duplicates that the pages hold stay ones,
//! within each copy.
//! Usage: multiply COPIES OUT.warc.wet.gz IN.warc.wet.gz...

use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use memchr::memmem;
use std::error::Error;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};

/// Words that change places.
const MOVED: usize = 4;
/// Orders that they can stand in.
const ORDERS: usize = 24;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: multiply COPIES OUT.warc.wet.gz IN.warc.wet.gz...";
    let copies: usize = arguments.next().ok_or(usage)?.parse()?;
    let out = arguments.next().ok_or(usage)?;
    if copies > ORDERS {
        return Err(format!("at most {ORDERS} copies can differ").into());
    }
    let mut archives = Vec::new();
    for path in arguments {
        let mut bytes = Vec::new();
        MultiGzDecoder::new(BufReader::new(File::open(&path)?)).read_to_end(&mut bytes)?;
        archives.push(bytes);
    }
    let mut out = BufWriter::new(File::create(out)?);
    for copy in 0..copies {
        for record in archives.iter().flat_map(|archive| records(archive)) {
            // One member a record, as Common Crawl writes it.
            let mut gzip = GzEncoder::new(&mut out, flate2::Compression::default());
            for line in record.split_inclusive(|&byte| byte == b'\n') {
                gzip.write_all(&changed(line, copy))?;
            }
            gzip.finish()?;
        }
    }
    out.flush()?;
    Ok(())
}

/// The records of an archive, cut where a line `WARC/1.0` starts.
fn records(archive: &[u8]) -> Vec<&[u8]> {
    let starts = memmem::find_iter(archive, b"WARC/1.0\r\n");
    let mut cuts: Vec<usize> = starts.filter(|&at| at == 0 || archive[at - 1] == b'\n').collect();
    cuts.push(archive.len());
    cuts.windows(2).map(|cut| &archive[cut[0]..cut[1]]).collect()
}

/// A line as it stands in a copy.
fn changed(line: &[u8], copy: usize) -> Vec<u8> {
    if let Some(url) = line.strip_prefix(b"WARC-Target-URI:") {
        let end = url.trim_ascii_end().len();
        let mark = format!("#{copy}");
        return [b"WARC-Target-URI:", &url[..end], mark.as_bytes(), b"\r\n"].concat();
    }
    let mut words: Vec<&[u8]> = line.splitn(MOVED + 1, |&byte| byte == b' ').collect();
    let header = line.starts_with(b"WARC") || line.starts_with(b"Content-");
    let moves = words.len() > MOVED && words.iter().all(|word| !word.is_empty());
    if header || !moves {
        return line.to_vec();
    }
    // The digits of `copy` in the factorial number system say which word comes next.
    let mut code = copy;
    for place in 0..MOVED {
        let left = MOVED - place;
        words[place..MOVED].rotate_left(code % left);
        code /= left;
    }
    words.join(&b' ')
}
