//! HTTP response messages as a WARC `response` record holds them.
//!
//! [`parse_head`] splits a record block into status, header fields and body; [`decode_body`]
//! undoes the transfer and content codings. Both follow RFC 9112 and RFC 9110 and read leniently
//! what servers and crawlers write in practice: bare LF line ends, folded fields, wrong lengths,
//! and codings that are announced but were already removed by the crawler.
//!
//! Above 500 lines with its tests.

use std::borrow::Cow;
use std::io::{ErrorKind, Read};

use flate2::bufread::{DeflateDecoder, GzDecoder, ZlibDecoder};
use memchr::memchr;

/// The most bytes one coding may expand a body to. What a decompression bomb holds beyond it is
/// cut off, and [`Body::too_large`] says so. A thread has a few of these in memory while it makes text
/// of one; the pages that Common Crawl keeps are a sixteenth of it.
pub const MAX_DECODED_BYTES: usize = 16 << 20;

/// The most codings undone on one body. Real messages have at most two (gzip inside chunked).
const MAX_CODINGS: usize = 4;

/// How a gzip member begins: its magic number and the only compression method there is.
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b, 8];

/// How many bytes decide whether a body that should be compressed is plain text.
const PLAIN_SAMPLE: usize = 256;

/// Status line and header fields of one response, with the body still encoded.
#[derive(Debug, Clone)]
pub struct Head<'a> {
    /// The status code, 100 to 999.
    pub status: u16,
    /// Field names and values in the order they came, values trimmed and unfolded.
    pub fields: Vec<(&'a [u8], Cow<'a, [u8]>)>,
    /// Every byte after the blank line. `Content-Length` is not consulted: the record's own
    /// length says where the body ends, and crawlers keep the server's number after decoding.
    pub body: &'a [u8],
}

impl Head<'_> {
    /// The values of all fields called `name` (ASCII case does not matter), in order.
    pub fn values<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s [u8]> {
        self.fields
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, v)| v.as_ref())
    }

    /// The list members of all fields called `name`, trimmed and in lower case.
    fn list(&self, name: &str) -> Vec<String> {
        self.values(name)
            .flat_map(|v| v.split(|&b| b == b','))
            .map(|t| {
                let t = t.split(|&b| b == b';').next().unwrap_or_default();
                String::from_utf8_lossy(t.trim_ascii()).to_ascii_lowercase()
            })
            .filter(|t| !t.is_empty())
            .collect()
    }
}

/// A body with all its codings undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body<'a> {
    /// The content; borrowed where no coding had to be undone.
    pub bytes: Cow<'a, [u8]>,
    /// Whether something is missing: the coded data stopped early, was damaged, or expanded
    /// beyond the limit.
    pub truncated: bool,
    /// Whether it expanded beyond the limit.
    pub too_large: bool,
}

/// Parses the status line and header fields of `block`, the whole block of a `response` record.
///
/// Interim (1xx) responses are skipped. Returns `None` when there is no status line. Costs one
/// pass over the head.
pub fn parse_head(block: &[u8]) -> Option<Head<'_>> {
    let mut head = parse_one(block)?;
    for _ in 0..MAX_CODINGS {
        if !(100..200).contains(&head.status) {
            break;
        }
        match parse_one(head.body) {
            Some(next) => head = next,
            None => break,
        }
    }
    Some(head)
}

/// The line at the start of `rest` without its line end, and what follows it.
fn split_line(rest: &[u8]) -> (&[u8], &[u8]) {
    let (line, after) = match memchr(b'\n', rest) {
        Some(i) => (&rest[..i], &rest[i + 1..]),
        None => (rest, &rest[rest.len()..]),
    };
    (line.strip_suffix(b"\r").unwrap_or(line), after)
}

fn parse_one(block: &[u8]) -> Option<Head<'_>> {
    let (line, mut rest) = split_line(block.trim_ascii_start());
    let status = parse_status(line)?;
    let mut fields: Vec<(&[u8], Cow<'_, [u8]>)> = Vec::with_capacity(16);
    loop {
        // A head without its blank line: the markup itself says where the body starts.
        if rest.first() == Some(&b'<') {
            break;
        }
        let (line, after) = split_line(rest);
        let ended = line.is_empty();
        if ended {
            rest = after;
            break;
        }
        rest = after;
        if matches!(line[0], b' ' | b'\t') {
            // obs-fold, RFC 9112 section 5.2.
            if let Some((_, value)) = fields.last_mut() {
                let value = value.to_mut();
                value.push(b' ');
                value.extend_from_slice(line.trim_ascii());
            }
        } else if let Some(colon) = memchr(b':', line) {
            let value = Cow::Borrowed(line[colon + 1..].trim_ascii());
            fields.push((line[..colon].trim_ascii(), value));
        }
    }
    Some(Head {
        status,
        fields,
        body: rest,
    })
}

/// The code in `HTTP/<version> <code>[ <reason>]`.
fn parse_status(line: &[u8]) -> Option<u16> {
    if !line.get(..5)?.eq_ignore_ascii_case(b"HTTP/") {
        return None;
    }
    let version_end = line.iter().position(u8::is_ascii_whitespace)?;
    let rest = line[version_end..].trim_ascii_start();
    let code = rest.get(..3)?;
    if !code.iter().all(u8::is_ascii_digit) || rest.get(3).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let code = code
        .iter()
        .fold(0, |n, &d| n * 10 + u16::from(d.wrapping_sub(b'0')));
    (code >= 100).then_some(code)
}

/// Undoes `Transfer-Encoding` and `Content-Encoding` (chunked, gzip, deflate, br, stacked in any
/// order) on the body of `head`.
///
/// Never fails: a coding that the bytes do not bear is taken as already removed, a cut or damaged
/// body gives what came before the damage. Content that is still gzip after all announced codings
/// is inflated once more. Costs one pass per coding; a body without codings is borrowed.
pub fn decode_body<'a>(head: &Head<'a>) -> Body<'a> {
    decode_body_limited(head, MAX_DECODED_BYTES)
}

/// [`decode_body`] with another limit than [`MAX_DECODED_BYTES`].
pub fn decode_body_limited<'a>(head: &Head<'a>, limit: usize) -> Body<'a> {
    let mut bytes = Cow::Borrowed(head.body);
    let (mut truncated, mut too_large) = (false, false);
    // Codings are listed in the order they were applied, the transfer's last.
    let mut codings = head.list("content-encoding");
    codings.extend(head.list("transfer-encoding"));
    for coding in codings.iter().rev().take(MAX_CODINGS) {
        let decoded = match coding.as_str() {
            "chunked" => dechunk(&bytes),
            "gzip" | "x-gzip" => inflate(&bytes, Format::Gzip, limit),
            "deflate" => inflate(&bytes, Format::Deflate, limit),
            "br" => inflate(&bytes, Format::Brotli, limit),
            _ => None,
        };
        if let Some((plain, cut)) = decoded {
            truncated |= cut;
            too_large |= cut && plain.len() >= limit;
            bytes = Cow::Owned(plain);
        }
    }
    if bytes.starts_with(GZIP_MAGIC)
        && let Some((plain, cut)) = inflate(&bytes, Format::Gzip, limit)
    {
        truncated |= cut;
        too_large |= cut && plain.len() >= limit;
        bytes = Cow::Owned(plain);
    }
    Body {
        bytes,
        truncated,
        too_large,
    }
}

/// Joins the chunks of a chunked body (RFC 9112 section 7.1); the flag says that it was cut.
/// `None` when the bytes are not chunked at all.
fn dechunk(coded: &[u8]) -> Option<(Vec<u8>, bool)> {
    let mut out = Vec::with_capacity(coded.len());
    let mut rest = coded;
    loop {
        let (line, after) = split_line(rest);
        let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        let tail = line[digits..].trim_ascii_start();
        let size = std::str::from_utf8(&line[..digits])
            .ok()
            .and_then(|d| usize::from_str_radix(d, 16).ok());
        let size = match size {
            Some(size) if tail.is_empty() || tail[0] == b';' => size,
            _ if out.is_empty() => return None,
            _ => return Some((out, true)),
        };
        if size == 0 {
            // A body that merely starts with a line "0" is not an empty chunked one.
            let empty = !out.is_empty() || after.trim_ascii().is_empty();
            return empty.then_some((out, false));
        }
        let Some(data) = after.get(..size) else {
            if out.is_empty() && after.is_empty() {
                return None;
            }
            out.extend_from_slice(after);
            return Some((out, true));
        };
        rest = &after[size..];
        let next = rest
            .strip_prefix(b"\r\n")
            .or_else(|| rest.strip_prefix(b"\n"));
        match next {
            Some(next) => rest = next,
            None if rest.is_empty() => {}
            None if out.is_empty() => return None,
            None => {
                out.extend_from_slice(data);
                return Some((out, true));
            }
        }
        out.extend_from_slice(data);
        if rest.is_empty() {
            return Some((out, true));
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Gzip,
    Deflate,
    Brotli,
}

/// Decompresses `coded`; `None` when it is not in that format. The flag says that it was cut,
/// damaged or larger than `limit`.
fn inflate(coded: &[u8], format: Format, limit: usize) -> Option<(Vec<u8>, bool)> {
    let decoded = match format {
        Format::Gzip if !coded.starts_with(GZIP_MAGIC) => return None,
        Format::Gzip => gunzip(coded, limit),
        _ if is_plain(coded) => return None,
        Format::Deflate => {
            // RFC 1950 says zlib; servers send raw RFC 1951 data as often.
            let zlib = read_some(ZlibDecoder::new(coded), limit);
            if zlib.0.is_empty() && zlib.1 {
                read_some(DeflateDecoder::new(coded), limit)
            } else {
                zlib
            }
        }
        Format::Brotli => {
            let buffer = coded.len().clamp(1, 1 << 16);
            read_some(brotli_decompressor::Decompressor::new(coded, buffer), limit)
        }
    };
    // Nothing came out of something: it was not compressed.
    (!decoded.0.is_empty() || !decoded.1).then_some(decoded)
}

/// Inflates all gzip members; what follows the last one is ignored.
fn gunzip(coded: &[u8], limit: usize) -> (Vec<u8>, bool) {
    let mut out = Vec::new();
    let mut rest = coded;
    loop {
        let mut member = GzDecoder::new(rest);
        let (part, cut) = read_some(&mut member, limit - out.len());
        rest = member.into_inner();
        if out.is_empty() {
            out = part;
        } else {
            out.extend_from_slice(&part);
        }
        if cut || !rest.starts_with(GZIP_MAGIC) {
            return (out, cut);
        }
    }
}

/// Reads until the end, an error or `limit` bytes; the flag tells the last two from the first.
fn read_some(mut from: impl Read, limit: usize) -> (Vec<u8>, bool) {
    let mut out = Vec::new();
    let mut filled = 0;
    let cut = loop {
        if filled == limit {
            // Cut only if there is more.
            break from.read(&mut [0]).is_ok_and(|n| n > 0);
        }
        if filled == out.len() {
            out.resize(filled.saturating_mul(2).max(1 << 16).min(limit), 0);
        }
        match from.read(&mut out[filled..]) {
            Ok(0) => break false,
            Ok(n) => filled += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_) => break true,
        }
    };
    out.truncate(filled);
    (out, cut)
}

/// Whether `bytes` start like text: no control bytes, which every compressed stream of this
/// length has. Shorter data is left to the decoder to judge.
fn is_plain(bytes: &[u8]) -> bool {
    let sample = &bytes[..bytes.len().min(PLAIN_SAMPLE)];
    sample.len() >= 64
        && sample
            .iter()
            .all(|&b| b >= 0x20 || matches!(b, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    const PAGE: &str =
        "<html><body><p>The rain began at noon, and the river rose.</p></body></html>";

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut e = GzEncoder::new(Vec::new(), Compression::default());
        e.write_all(data).and_then(|()| e.finish()).expect("memory")
    }

    /// `data` as brotli: uncompressed meta-blocks (RFC 7932 section 9.2) and an empty last one.
    fn brotli(data: &[u8]) -> Vec<u8> {
        // WBITS 16 is the bit 0; then ISLAST 0, MNIBBLES 4 (00), MLEN - 1 (16 bits),
        // ISUNCOMPRESSED 1, padding to the byte.
        let bits = (data.len() as u32 - 1) << 4 | 1 << 20;
        let mut out = bits.to_le_bytes()[..3].to_vec();
        out.extend_from_slice(data);
        out.push(3);
        out
    }

    fn chunked(data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for chunk in data.chunks(10) {
            out.extend_from_slice(format!("{:X};ext=1\r\n", chunk.len()).as_bytes());
            out.extend_from_slice(chunk);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"0\r\nTrailer: x\r\n\r\n");
        out
    }

    fn decoded(fields: &str, body: &[u8]) -> (String, bool) {
        let mut block = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n").into_bytes();
        block.extend_from_slice(body);
        let head = parse_head(&block).expect("a head");
        let body = decode_body(&head);
        (
            String::from_utf8_lossy(&body.bytes).into_owned(),
            body.truncated,
        )
    }

    #[test]
    fn status_lines() {
        let status = |line: &str| parse_head(line.as_bytes()).map(|h| h.status);
        assert_eq!(status("HTTP/1.1 200 OK\r\n\r\n"), Some(200));
        assert_eq!(status("HTTP/1.1 404"), Some(404));
        assert_eq!(status("HTTP/2 200\n\n"), Some(200));
        assert_eq!(status("http/1.0  301 Moved\r\n\r\n"), Some(301));
        assert_eq!(
            status("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
            Some(200)
        );
        for bad in [
            "",
            "HTTP/1.1",
            "HTTP/1.1 20",
            "HTTP/1.1 2000 OK",
            "GET / HTTP/1.1",
            "<html>",
        ] {
            assert_eq!(status(bad), None, "{bad}");
        }
    }

    #[test]
    fn fields() {
        let head = parse_head(
            b"HTTP/1.1 200 OK\nX-Long: a\n\t folded \nCONTENT-type :text/html\nno colon\n\nbody\n",
        )
        .expect("a head");
        assert_eq!(
            head.values("content-TYPE").collect::<Vec<_>>(),
            [b"text/html"]
        );
        assert_eq!(head.values("x-long").collect::<Vec<_>>(), [b"a folded"]);
        assert_eq!(head.body, b"body\n");
        let open = parse_head(b"HTTP/1.1 200 OK\r\nA: b\r\n<html>").expect("a head");
        assert_eq!(open.body, b"<html>");
        let bare = parse_head(b"HTTP/1.1 200 OK\r\nA: b").expect("a head");
        assert_eq!((bare.fields.len(), bare.body.len()), (1, 0));
    }

    #[test]
    fn codings() {
        let page = PAGE.as_bytes();
        let zlib = {
            let mut e = ZlibEncoder::new(Vec::new(), Compression::default());
            e.write_all(page).and_then(|()| e.finish()).expect("memory")
        };
        let raw = {
            let mut e = DeflateEncoder::new(Vec::new(), Compression::default());
            e.write_all(page).and_then(|()| e.finish()).expect("memory")
        };
        let whole = (PAGE.to_owned(), false);
        assert_eq!(decoded("Content-Length: 3", page), whole);
        assert_eq!(decoded("Transfer-Encoding: Chunked", &chunked(page)), whole);
        assert_eq!(decoded("Content-Encoding: GZIP", &gzip(page)), whole);
        assert_eq!(decoded("Content-Encoding: x-gzip", &gzip(page)), whole);
        assert_eq!(decoded("Content-Encoding: deflate", &zlib), whole);
        assert_eq!(decoded("Content-Encoding: deflate", &raw), whole);
        assert_eq!(decoded("Content-Encoding: br", &brotli(page)), whole);
        let both = "Content-Encoding: gzip\r\nTransfer-Encoding: chunked";
        assert_eq!(decoded(both, &chunked(&gzip(page))), whole);
        assert_eq!(
            decoded("Transfer-Encoding: gzip, chunked", &chunked(&gzip(page))),
            whole
        );
        assert_eq!(
            decoded("Content-Encoding: br, gzip", &gzip(&brotli(page))),
            whole
        );
        // Two members, then padding.
        let mut members = [gzip(&page[..9]), gzip(&page[9..])].concat();
        members.extend_from_slice(&[0; 40]);
        assert_eq!(decoded("Content-Encoding: gzip", &members), whole);
    }

    #[test]
    fn announced_codings_that_are_not_there() {
        let whole = (PAGE.to_owned(), false);
        for coding in ["gzip", "deflate", "br", "identity", "utf-8"] {
            let field = format!("Content-Encoding: {coding}");
            assert_eq!(decoded(&field, PAGE.as_bytes()), whole, "{coding}");
        }
        assert_eq!(
            decoded("Transfer-Encoding: chunked", PAGE.as_bytes()),
            whole
        );
        assert_eq!(decoded("X: y", &gzip(PAGE.as_bytes())), whole);
        for text in ["0\nis a number", "add\nmore", "c0ffee; please"] {
            let got = decoded("Transfer-Encoding: chunked", text.as_bytes());
            assert!(got.0.contains(&text[5..]), "{got:?}");
        }
    }

    #[test]
    fn cut_bodies_give_what_came_before() {
        let long = PAGE.repeat(500);
        let coded = gzip(long.as_bytes());
        let cases = [
            ("Transfer-Encoding: chunked", chunked(long.as_bytes())),
            ("Content-Encoding: gzip", coded.clone()),
            ("Content-Encoding: br", brotli(long.as_bytes())),
        ];
        for (field, coded) in cases {
            let (got, truncated) = decoded(field, &coded[..coded.len() / 2]);
            assert!(
                truncated && !got.is_empty() && long.starts_with(&got),
                "{field}"
            );
        }
        let mut damaged = coded;
        let middle = damaged.len() / 2;
        damaged[middle..middle + 8].fill(0xff);
        assert!(decoded("Content-Encoding: gzip", &damaged).1);
    }

    #[test]
    fn a_bomb_is_cut_at_the_limit() {
        let mut block = b"HTTP/1.1 200 OK\nContent-Encoding: gzip\n\n".to_vec();
        block.extend_from_slice(&gzip(&vec![b'a'; 1 << 20]));
        let head = parse_head(&block).expect("a head");
        let body = decode_body_limited(&head, 1000);
        let sizes = |body: &Body<'_>| (body.bytes.len(), body.truncated, body.too_large);
        assert_eq!(sizes(&body), (1000, true, true));
        let body = decode_body_limited(&head, 1 << 20);
        assert_eq!(sizes(&body), (1 << 20, false, false));
    }
}
