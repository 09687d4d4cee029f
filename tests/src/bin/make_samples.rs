//! Writes the sample crawl of `data/samples`: reads `src/crawl.toml` and the pages it names, and makes one
//! gzip archive for each `[[archive]]` in it.
//!
//! The bytes depend on those files alone: no clock, no random numbers, no directory order. Record ids are hashes
//! of what they name. The records are put together here, not by the `warc` crate, which keeps the fields of a
//! record in a hash map: their order would change from run to run.
//!
//! ```text
//! make-samples            writes the archives
//! make-samples --check    writes nothing; exits with 1 and names each archive that differs
//! ```

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use flate2::{Compression, GzBuilder};
use serde::Deserialize;

/// The folder with the archives; the sources are in its `src`.
const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/samples");
/// Body bytes in one chunk of a chunked reply: small, so that a short page has several.
const CHUNK_BYTES: usize = 700;
/// The operating system field of a gzip header that says nothing (RFC 1952, 2.3.1).
const GZIP_OS_UNKNOWN: u8 = 255;
/// The checksum and the length at the end of a gzip member (RFC 1952, 2.2).
const GZIP_TRAILER_BYTES: usize = 8;

/// `crawl.toml`; its head explains each key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Crawl {
    archive: Vec<Archive>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Archive {
    file: String,
    kind: Kind,
    date: String,
    #[serde(default)]
    exchange: bool,
    record: Vec<Record>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Warc,
    Wet,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    /// What the page is there for: read by people only.
    #[serde(rename = "shows")]
    _shows: Option<String>,
    url: String,
    date: String,
    file: PathBuf,
    #[serde(rename = "type")]
    record_type: Option<RecordType>,
    status: Option<String>,
    content_type: Option<String>,
    #[serde(default)]
    headers: Vec<String>,
    charset: Option<String>,
    #[serde(default)]
    bom: bool,
    content_encoding: Option<ContentEncoding>,
    #[serde(default)]
    chunked: bool,
    repeat_last_line: Option<usize>,
    damage: Option<Damage>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum RecordType {
    Warcinfo,
    Request,
    Response,
    Metadata,
    Revisit,
    Conversion,
}

impl RecordType {
    fn name(self) -> &'static str {
        match self {
            Self::Warcinfo => "warcinfo",
            Self::Request => "request",
            Self::Response => "response",
            Self::Metadata => "metadata",
            Self::Revisit => "revisit",
            Self::Conversion => "conversion",
        }
    }

    /// The Content-Type of the block, which is not that of the page inside it.
    fn block_type(self) -> &'static str {
        match self {
            Self::Warcinfo | Self::Metadata => "application/warc-fields",
            Self::Request => "application/http; msgtype=request",
            Self::Response | Self::Revisit => "application/http; msgtype=response",
            Self::Conversion => "text/plain",
        }
    }
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum ContentEncoding {
    Gzip,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Damage {
    BadUtf8,
    NoUrl,
    NoDate,
    NoHttp,
    NoHeader,
    FlipByte,
    FlipCrc,
    Cut,
}

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("make-samples: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(mut arguments: impl Iterator<Item = String>) -> Result<ExitCode> {
    let check = match (arguments.next().as_deref(), arguments.next()) {
        (None, None) => false,
        (Some("--check"), None) => true,
        _ => bail!("usage: make-samples [--check]"),
    };
    let samples = Path::new(SAMPLES);
    let sources = samples.join("src");
    let list = sources.join("crawl.toml");
    let text = fs::read_to_string(&list).with_context(|| list.display().to_string())?;
    let crawl: Crawl = toml::from_str(&text).with_context(|| list.display().to_string())?;

    let mut differing = 0;
    for archive in &crawl.archive {
        let path = samples.join(&archive.file);
        let bytes = archive_bytes(archive, &sources).with_context(|| archive.file.clone())?;
        if !check {
            fs::write(&path, &bytes).with_context(|| path.display().to_string())?;
            eprintln!(
                "{}: {} records listed, {} bytes",
                archive.file,
                archive.record.len(),
                bytes.len()
            );
        } else if fs::read(&path).ok().as_ref() != Some(&bytes) {
            eprintln!("{}: not what its sources give; run make-samples", archive.file);
            differing += 1;
        }
    }
    Ok(if differing == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The warcinfo record and then every listed one, each a gzip member of its own.
fn archive_bytes(archive: &Archive, sources: &Path) -> Result<Vec<u8>> {
    let info_id = record_id(&[&archive.file]);
    let info = "software: make-samples\r\nformat: WARC File Format 1.0\r\n\
                description: made-up pages at reserved addresses\r\n";
    let fields = [
        ("WARC-Date", archive.date.as_str()),
        ("WARC-Record-ID", &info_id),
        ("WARC-Filename", &archive.file),
    ];
    let mut bytes = gzip(&record_bytes(RecordType::Warcinfo, &fields, info.as_bytes()))?;
    for record in &archive.record {
        let members =
            record_members(archive, record, &info_id, sources).with_context(|| record.file.display().to_string())?;
        bytes.extend_from_slice(&members);
    }
    Ok(bytes)
}

/// The members of one listed record: itself, and its request and metadata if the archive keeps them.
fn record_members(archive: &Archive, record: &Record, info_id: &str, sources: &Path) -> Result<Vec<u8>> {
    let body = body_bytes(record, &sources.join(&record.file))?;
    let record_type = record.record_type.unwrap_or(match archive.kind {
        Kind::Warc => RecordType::Response,
        Kind::Wet => RecordType::Conversion,
    });
    let block = match record_type {
        RecordType::Response if record.damage == Some(Damage::NoHttp) => body.clone(),
        RecordType::Response => http_reply(record, &body)?,
        RecordType::Revisit => http_reply(record, b"")?,
        RecordType::Conversion => body.clone(),
        other => bail!("a {} record cannot be listed", other.name()),
    };

    let id = |part: RecordType| record_id(&[&archive.file, &record.url, &record.date, part.name()]);
    let own_id = id(record_type);
    let mut fields = vec![("WARC-Record-ID", own_id.as_str()), ("WARC-Warcinfo-ID", info_id)];
    if record.damage != Some(Damage::NoUrl) {
        fields.push(("WARC-Target-URI", &record.url));
    }
    if record.damage != Some(Damage::NoDate) {
        fields.push(("WARC-Date", &record.date));
    }
    if record_type == RecordType::Revisit {
        fields.push((
            "WARC-Profile",
            "http://netpreserve.org/warc/1.0/revisit/server-not-modified",
        ));
    }
    let member = match record.damage {
        Some(Damage::NoHeader) => gzip(&body)?,
        _ => gzip(&record_bytes(record_type, &fields, &block))?,
    };
    let member = damaged(member, record.damage);
    if !archive.exchange {
        return Ok(member);
    }

    let around = |part: RecordType, block: &str| {
        let id = id(part);
        let fields = [
            ("WARC-Date", record.date.as_str()),
            ("WARC-Record-ID", &id),
            ("WARC-Warcinfo-ID", info_id),
            ("WARC-Concurrent-To", &own_id),
            ("WARC-Target-URI", &record.url),
        ];
        gzip(&record_bytes(part, &fields, block.as_bytes()))
    };
    let mut members = around(RecordType::Request, &http_request(&record.url)?)?;
    members.extend_from_slice(&member);
    members.extend_from_slice(&around(RecordType::Metadata, "via: a made-up link\r\n")?);
    Ok(members)
}

/// The file of a record as it goes over the wire, but for content and transfer encodings.
fn body_bytes(record: &Record, path: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(path).with_context(|| path.display().to_string())?;
    let needs_text = record.charset.is_some() || record.repeat_last_line.is_some();
    let mut body = if needs_text {
        let mut text = String::from_utf8(bytes).with_context(|| path.display().to_string())?;
        if let Some(count) = record.repeat_last_line {
            text = last_line_repeated(&text, count);
        }
        encoded(&text, record.charset.as_deref().unwrap_or("utf-8"))?
    } else {
        bytes
    };
    if record.bom {
        body.splice(0..0, "\u{feff}".bytes());
    }
    if record.damage == Some(Damage::BadUtf8) {
        for byte in body.iter_mut().filter(|byte| **byte == b'~') {
            *byte = 0xff;
        }
    }
    Ok(body)
}

fn last_line_repeated(text: &str, count: usize) -> String {
    let text = text.trim_end();
    let (head, line) = text.rsplit_once('\n').unwrap_or(("", text));
    let mut repeated = format!("{head}\n");
    for number in 1..=count {
        repeated.push_str(&line.replace("%n", &number.to_string()));
        repeated.push('\n');
    }
    repeated
}

fn encoded(text: &str, charset: &str) -> Result<Vec<u8>> {
    let Some(encoding) = encoding_rs::Encoding::for_label(charset.as_bytes()) else {
        bail!("no charset is called {charset}");
    };
    let (bytes, _, unmappable) = encoding.encode(text);
    if unmappable {
        bail!("has characters that {charset} lacks");
    }
    Ok(bytes.into_owned())
}

fn http_request(url: &str) -> Result<String> {
    let after_scheme = url.split_once("://").map(|(_, rest)| rest);
    let Some((host, path)) = after_scheme.and_then(|rest| rest.split_once('/')) else {
        bail!("{url} has no scheme or no path");
    };
    Ok(format!(
        "GET /{path} HTTP/1.1\r\nUser-Agent: sample-crawler/1.0\r\nAccept: text/html\r\nHost: {host}\r\n\
         Connection: close\r\n\r\n"
    ))
}

fn http_reply(record: &Record, body: &[u8]) -> Result<Vec<u8>> {
    let mut head = format!("HTTP/1.1 {}\r\n", record.status.as_deref().unwrap_or("200 OK"));
    if let Some(content_type) = &record.content_type {
        head.push_str(&format!("Content-Type: {content_type}\r\n"));
    }
    for header in &record.headers {
        head.push_str(&format!("{header}\r\n"));
    }
    let mut body = match record.content_encoding {
        None => body.to_vec(),
        Some(ContentEncoding::Gzip) => {
            head.push_str("Content-Encoding: gzip\r\n");
            gzip(body)?
        }
    };
    if record.chunked {
        head.push_str("Transfer-Encoding: chunked\r\n");
        body = chunked(&body);
    } else {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    Ok([head.into_bytes(), body].concat())
}

fn chunked(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in body.chunks(CHUNK_BYTES) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

fn record_bytes(record_type: RecordType, fields: &[(&str, &str)], block: &[u8]) -> Vec<u8> {
    let mut head = format!("WARC/1.0\r\nWARC-Type: {}\r\n", record_type.name());
    for (name, value) in fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!(
        "Content-Type: {}\r\nContent-Length: {}\r\n\r\n",
        record_type.block_type(),
        block.len()
    ));
    [head.as_bytes(), block, b"\r\n\r\n"].concat()
}

/// A gzip member without a name or a time.
fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzBuilder::new()
        .mtime(0)
        .operating_system(GZIP_OS_UNKNOWN)
        .write(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

/// What the way did to a member; most kinds of damage were done earlier, to the record inside it.
fn damaged(mut member: Vec<u8>, damage: Option<Damage>) -> Vec<u8> {
    let middle = member.len() / 2;
    match damage {
        Some(Damage::FlipByte) => member[middle] ^= 1,
        Some(Damage::FlipCrc) => {
            let checksum = member.len() - GZIP_TRAILER_BYTES;
            member[checksum] ^= 1;
        }
        Some(Damage::Cut) => member.truncate(middle),
        Some(Damage::BadUtf8 | Damage::NoUrl | Damage::NoDate | Damage::NoHttp | Damage::NoHeader) | None => {}
    }
    member
}

/// An id in the shape of a UUID (version 8: made of anything), from the 128-bit FNV-1a hash of the parts.
fn record_id(parts: &[&str]) -> String {
    const OFFSET_BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = (1 << 88) + (1 << 8) + 0x3b;
    let mut hash = OFFSET_BASIS;
    for part in parts {
        for byte in part.bytes().chain([0]) {
            hash = (hash ^ u128::from(byte)).wrapping_mul(PRIME);
        }
    }
    let variant = (hash >> 48) & 0x3fff | 0x8000;
    format!(
        "<urn:uuid:{:08x}-{:04x}-8{:03x}-{variant:04x}-{:012x}>",
        hash >> 96,
        (hash >> 80) & 0xffff,
        (hash >> 64) & 0xfff,
        hash & 0xffff_ffff_ffff
    )
}
