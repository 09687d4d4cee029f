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
pub(crate) const MAX_DECODED_BYTES: usize = 16 << 20;

/// The most codings undone on one body. Real messages have at most two (gzip inside chunked).
const MAX_CODINGS: usize = 4;

/// The most bytes of header fields that are read. Browsers take 256 KiB, pages of real crawls have some 2.
pub(crate) const MAX_HEAD_BYTES: usize = 1 << 20;

/// The most gzip members of one body. Beginning one costs as much as some ten thousand bytes.
const MAX_MEMBERS: usize = 1 << 12;

/// The largest window of a zstd body, as a power of two: that of [`MAX_DECODED_BYTES`], twice what a server
/// may ask of a browser (RFC 9659).
const ZSTD_WINDOW_LOG: u32 = MAX_DECODED_BYTES.trailing_zeros();

/// How a gzip member begins: its magic number and the only compression method there is.
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b, 8];

/// How many bytes decide whether a body that should be compressed is plain text.
const PLAIN_SAMPLE: usize = 256;

/// Why a block has no HTTP head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoHead {
    /// It does not begin with a status line.
    Malformed,
    /// Its header fields are more than [`MAX_HEAD_BYTES`].
    TooLarge,
}

/// Status line and header fields of one response, with the body still encoded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head<'a> {
    /// The status code, 100 to 999.
    pub status: u16,
    /// The lines of the header fields. They are read when a field is asked for and collected nowhere, so a
    /// head of a million fields takes no memory.
    lines: &'a [u8],
    /// Every byte after the blank line. `Content-Length` is not consulted: the record's own
    /// length says where the body ends, and crawlers keep the server's number after decoding.
    pub body: &'a [u8],
}

impl<'a> Head<'a> {
    /// The values of all fields called `name` (ASCII case does not matter), in order, trimmed and unfolded.
    /// Costs one pass over the head.
    pub(crate) fn values<'s>(&self, name: &'s str) -> impl Iterator<Item = Cow<'a, [u8]>> + use<'a, 's> {
        let mut rest = self.lines;
        std::iter::from_fn(move || {
            while !rest.is_empty() {
                let (line, after) = split_line(rest);
                rest = after;
                let Some(value) = value_of(line, name.as_bytes()) else {
                    continue;
                };
                let mut value = Cow::Borrowed(value);
                // obs-fold, RFC 9112 section 5.2.
                while let Some(b' ' | b'\t') = rest.first() {
                    let (more, after) = split_line(rest);
                    rest = after;
                    let value = value.to_mut();
                    value.push(b' ');
                    value.extend_from_slice(more.trim_ascii());
                }
                return Some(value);
            }
            None
        })
    }

    /// The codings of the body in the order they were applied, the transfer's last, in lower case; only
    /// the last few of them if there are many.
    fn codings(&self) -> Vec<String> {
        let mut codings = Vec::with_capacity(MAX_CODINGS);
        for name in ["content-encoding", "transfer-encoding"] {
            for value in self.values(name) {
                for coding in value.split(|&b| b == b',') {
                    let coding = coding.split(|&b| b == b';').next().unwrap_or_default();
                    let coding = coding.trim_ascii();
                    if coding.is_empty() {
                        continue;
                    }
                    if codings.len() == MAX_CODINGS {
                        codings.remove(0);
                    }
                    codings.push(String::from_utf8_lossy(coding).to_ascii_lowercase());
                }
            }
        }
        codings
    }
}

/// The value in `line` if it is a field called `name`.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    if !line.get(..name.len())?.eq_ignore_ascii_case(name) {
        return None;
    }
    let value = line[name.len()..].trim_ascii_start().strip_prefix(b":")?;
    Some(value.trim_ascii())
}

/// A body with all its codings undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Body<'a> {
    /// The content; borrowed where no coding had to be undone.
    pub bytes: Cow<'a, [u8]>,
    /// Whether something is missing: the coded data stopped early, was damaged, or expanded
    /// beyond the limit.
    pub truncated: bool,
    /// Whether it expanded beyond the limit.
    pub too_large: bool,
    /// The first coding that was announced and could not be undone: not known, refused, or not there.
    pub still_coded: Option<String>,
}

/// Parses the status line and header fields of `block`, the whole block of a `response` record.
///
/// Interim (1xx) responses are skipped. Costs one pass over the head.
///
/// # Errors
///
/// There is no status line, or no end of the head within [`MAX_HEAD_BYTES`].
pub(crate) fn parse_head(block: &[u8]) -> Result<Head<'_>, NoHead> {
    let mut head = parse_one(block)?;
    for _ in 0..MAX_CODINGS {
        if !(100..200).contains(&head.status) {
            break;
        }
        match parse_one(head.body) {
            Ok(next) => head = next,
            Err(NoHead::Malformed) => break,
            Err(NoHead::TooLarge) => return Err(NoHead::TooLarge),
        }
    }
    Ok(head)
}

/// The line at the start of `rest` without its line end, and what follows it.
fn split_line(rest: &[u8]) -> (&[u8], &[u8]) {
    let (line, after) = match memchr(b'\n', rest) {
        Some(i) => (&rest[..i], &rest[i + 1..]),
        None => (rest, &rest[rest.len()..]),
    };
    (line.strip_suffix(b"\r").unwrap_or(line), after)
}

fn parse_one(block: &[u8]) -> Result<Head<'_>, NoHead> {
    let (line, lines) = split_line(block.trim_ascii_start());
    let status = parse_status(line).ok_or(NoHead::Malformed)?;
    let mut rest = lines;
    let mut markup_seen = false;
    let (end, body) = loop {
        let at = lines.len() - rest.len();
        if at > MAX_HEAD_BYTES {
            return Err(NoHead::TooLarge);
        }
        if rest.first() == Some(&b'<') && !markup_seen {
            if begins_body(rest) {
                break (at, rest);
            }
            markup_seen = true;
        }
        let (line, after) = split_line(rest);
        if line.is_empty() {
            break (at, after);
        }
        rest = after;
    };
    Ok(Head {
        status,
        lines: &lines[..end],
        body,
    })
}

/// Whether `rest`, which begins with a `<` where a header field should, is the body of a head without its
/// blank line. Else a program has printed markup among its header fields, and the blank line is still to
/// come: field lines follow, or at least the line is not how a document begins.
fn begins_body(rest: &[u8]) -> bool {
    let document = [
        "<!", "<?", "<html", "<head", "<body", "<title", "<meta", "<script", "<style",
    ];
    let document = document.iter().any(|tag| {
        let start = rest.get(..tag.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(tag.as_bytes()))
    });
    let mut fields = false;
    let mut lines = &rest[..rest.len().min(MAX_HEAD_BYTES)];
    while !lines.is_empty() {
        let (line, after) = split_line(lines);
        lines = after;
        match line.first() {
            None => return document && !fields,
            Some(b'<' | b' ' | b'\t') => {}
            Some(_) => {
                let Some(colon) = memchr(b':', line) else {
                    return true;
                };
                // Before a colon the code in a page may have what a field name may have.
                let name = line[..colon].trim_ascii_end();
                if name.is_empty() || !name.iter().all(|&b| is_token(b)) {
                    return true;
                }
                let content = name.get(..8).is_some_and(|n| n.eq_ignore_ascii_case(b"content-"));
                fields |= content || !document;
            }
        }
    }
    true
}

/// A byte that a field name may hold (`tchar` of RFC 9110 section 5.6.2).
fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// The code in `HTTP[/<version>] <code>[ <reason>]`; servers before HTTP/1.0 and those of ICY streams name
/// no version.
fn parse_status(line: &[u8]) -> Option<u16> {
    let protocol_end = line.iter().position(u8::is_ascii_whitespace)?;
    let (protocol, rest) = line.split_at(protocol_end);
    let http = protocol.get(..4).is_some_and(|p| p.eq_ignore_ascii_case(b"HTTP"));
    if !http && !protocol.eq_ignore_ascii_case(b"ICY") {
        return None;
    }
    let rest = rest.trim_ascii_start();
    let code = rest.get(..3)?;
    if !code.iter().all(u8::is_ascii_digit) || rest.get(3).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let code = code.iter().fold(0, |n, &d| n * 10 + u16::from(d.wrapping_sub(b'0')));
    (code >= 100).then_some(code)
}

/// Undoes `Transfer-Encoding` and `Content-Encoding` (chunked, gzip, deflate, br, zstd, stacked in any
/// order) on the body of `head`.
///
/// Never fails: a coding that the bytes do not bear is taken as already removed, a cut or damaged
/// body gives what came before the damage. Content that is still gzip after all announced codings
/// is inflated once more. Line ends before a coded body are passed over. Costs one pass per coding; a
/// body without codings is borrowed.
pub(crate) fn decode_body<'a>(head: &Head<'a>) -> Body<'a> {
    decode_body_limited(head, MAX_DECODED_BYTES)
}

/// [`decode_body`] with another limit than [`MAX_DECODED_BYTES`].
pub(crate) fn decode_body_limited<'a>(head: &Head<'a>, limit: usize) -> Body<'a> {
    let mut body = Body {
        bytes: Cow::Borrowed(head.body),
        truncated: false,
        too_large: false,
        still_coded: None,
    };
    let take = |body: &mut Body<'_>, (plain, cut): (Vec<u8>, bool)| {
        body.truncated |= cut;
        body.too_large |= cut && plain.len() >= limit;
        body.bytes = Cow::Owned(plain);
    };
    for coding in head.codings().iter().rev() {
        let bytes = &body.bytes;
        // The line end of one blank line too many may stand before what is coded.
        let behind = without_line_ends(bytes);
        let decoded = undo(coding, bytes, limit).or_else(|| {
            let more = behind.len() < bytes.len();
            more.then(|| undo(coding, behind, limit)).flatten()
        });
        match decoded {
            Some(decoded) => take(&mut body, decoded),
            None if matches!(coding.as_str(), "identity" | "chunked" | "none" | "binary") => {}
            None => drop(body.still_coded.get_or_insert_with(|| coding.clone())),
        }
    }
    let behind = without_line_ends(&body.bytes);
    if behind.starts_with(GZIP_MAGIC)
        && let Some(decoded) = inflate(behind, Format::Gzip, limit)
    {
        take(&mut body, decoded);
    }
    body
}

/// `body` without line ends at its start, as one blank line too many after the head leaves them. They are
/// no part of any format that is read here. A line end of UTF-16 is left alone.
pub(crate) fn without_line_ends(mut body: &[u8]) -> &[u8] {
    loop {
        body = match body {
            [b'\r', b'\n', rest @ ..] => rest,
            [b'\r' | b'\n', next, ..] if *next != 0 => &body[1..],
            _ => return body,
        };
    }
}

/// Undoes one coding; `None` when it is not known or the bytes do not bear it. The flag says that it was
/// cut, damaged or larger than `limit`.
fn undo(coding: &str, coded: &[u8], limit: usize) -> Option<(Vec<u8>, bool)> {
    match coding {
        "chunked" => dechunk(coded),
        "gzip" | "x-gzip" => inflate(coded, Format::Gzip, limit),
        "deflate" => inflate(coded, Format::Deflate, limit),
        "br" => inflate(coded, Format::Brotli, limit),
        "zstd" => inflate(coded, Format::Zstd, limit),
        _ => None,
    }
}

/// Joins the chunks of a chunked body (RFC 9112 section 7.1); the flag says that it was cut.
/// `None` when the bytes are not chunked at all.
pub(crate) fn dechunk(coded: &[u8]) -> Option<(Vec<u8>, bool)> {
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
        let next = rest.strip_prefix(b"\r\n").or_else(|| rest.strip_prefix(b"\n"));
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
    Zstd,
}

/// Decompresses `coded`; `None` when it is not in that format. The flag says that it was cut,
/// damaged or larger than `limit`.
fn inflate(coded: &[u8], format: Format, limit: usize) -> Option<(Vec<u8>, bool)> {
    let mut out = Unpacked::default();
    let cut = match format {
        Format::Gzip if !coded.starts_with(GZIP_MAGIC) => return None,
        Format::Gzip => gunzip(coded, &mut out, limit),
        _ if is_plain(coded) => return None,
        Format::Deflate => {
            // RFC 1950 says zlib; servers send raw RFC 1951 data as often.
            let cut = out.read(ZlibDecoder::new(coded), limit);
            if out.len == 0 && cut {
                out.read(DeflateDecoder::new(coded), limit)
            } else {
                cut
            }
        }
        Format::Brotli => {
            let buffer = coded.len().clamp(1, 1 << 16);
            let brotli = brotli_decompressor::Decompressor::new(coded, buffer);
            out.read(brotli, limit)
        }
        Format::Zstd => {
            // No dictionary is there, so a frame that wants one is refused.
            let mut zstd = zstd::Decoder::with_buffer(coded).ok()?;
            zstd.window_log_max(ZSTD_WINDOW_LOG).ok()?;
            out.read(zstd, limit)
        }
    };
    // Nothing came out of something: it was not compressed.
    if out.len == 0 && cut {
        return None;
    }
    out.buffer.truncate(out.len);
    Some((out.buffer, cut))
}

/// Inflates gzip members into `out`; what follows the last one is ignored.
fn gunzip(coded: &[u8], out: &mut Unpacked, limit: usize) -> bool {
    let mut rest = coded;
    for _ in 0..MAX_MEMBERS {
        let mut member = GzDecoder::new(rest);
        let cut = out.read(&mut member, limit);
        rest = member.into_inner();
        if cut || !rest.starts_with(GZIP_MAGIC) {
            return cut;
        }
    }
    true
}

/// What has been unpacked, in a buffer that only grows, so that it is filled with zeros once.
#[derive(Default)]
struct Unpacked {
    buffer: Vec<u8>,
    len: usize,
}

impl Unpacked {
    /// Reads until the end, an error or until there are `limit` bytes; says true of the last two.
    fn read(&mut self, mut from: impl Read, limit: usize) -> bool {
        loop {
            if self.len == limit {
                // Cut only if there is more.
                return from.read(&mut [0]).is_ok_and(|n| n > 0);
            }
            if self.len == self.buffer.len() {
                let more = self.len.saturating_mul(2).max(1 << 16);
                self.buffer.resize(more.min(limit), 0);
            }
            match from.read(&mut self.buffer[self.len..]) {
                Ok(0) => return false,
                Ok(n) => self.len += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return true,
            }
        }
    }
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

    const PAGE: &str = "<html><body><p>The rain began at noon, and the river rose.</p></body></html>";

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

    fn zstd(data: &[u8]) -> Vec<u8> {
        ::zstd::bulk::compress(data, 3).expect("memory")
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
        (String::from_utf8_lossy(&body.bytes).into_owned(), body.truncated)
    }

    #[test]
    fn status_lines() {
        let status = |line: &str| parse_head(line.as_bytes()).ok().map(|h| h.status);
        assert_eq!(status("HTTP/1.1 200 OK\r\n\r\n"), Some(200));
        assert_eq!(status("HTTP/1.1 404"), Some(404));
        assert_eq!(status("HTTP/2 200\n\n"), Some(200));
        assert_eq!(status("http/1.0  301 Moved\r\n\r\n"), Some(301));
        // NCSA and stream servers name no version; a reason may be folded.
        assert_eq!(status("HTTP 200 Document follows\n\n"), Some(200));
        assert_eq!(status("ICY 200 OK\n\n"), Some(200));
        assert_eq!(status("HTTP/1.1 200 a\r\n b\r\n\r\n"), Some(200));
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
            "HTTP/1.1 ２００ OK",
            "HTML 200",
            "<html>",
        ] {
            assert_eq!(status(bad), None, "{bad}");
        }
    }

    #[test]
    fn fields() {
        let head = parse_head(b"HTTP/1.1 200 OK\nX-Long: a\n\t folded \nCONTENT-type :text/html\nno colon\n\nbody\n")
            .expect("a head");
        let values = |name| -> Vec<String> {
            let text = |v: Cow<'_, [u8]>| String::from_utf8_lossy(&v).into_owned();
            head.values(name).map(text).collect()
        };
        assert_eq!(values("content-TYPE"), ["text/html"]);
        assert_eq!(values("x-long"), ["a folded"]);
        assert_eq!(head.body, b"body\n");
        let open = parse_head(b"HTTP/1.1 200 OK\r\nA: b\r\n<html>").expect("a head");
        assert_eq!(open.body, b"<html>");
        let bare = parse_head(b"HTTP/1.1 200 OK\r\nA: b").expect("a head");
        assert_eq!((bare.values("a").count(), bare.body.len()), (1, 0));
    }

    #[test]
    fn markup_among_the_fields() {
        let body = |head: &str| {
            let block = format!("HTTP/1.1 200 OK\r\nServer: x\r\n{head}");
            let head = parse_head(block.as_bytes()).expect("a head");
            let found = head.values("content-type").next().is_some();
            (String::from_utf8_lossy(head.body).into_owned(), found)
        };
        let rest = "Content-Type: text/html\r\n\r\n<html>\n\n<p>x";
        let page = ("<html>\n\n<p>x".to_owned(), true);
        for line in [
            "<strong class=\"why\">header</strong>: other",
            "<br />",
            "<br />\r\n<b>Warning</b>: Cannot modify header in /x.php on line 3",
            "<!-- x -->",
            "<br />\r\n folded\r\nX-Y: z",
            "<",
        ] {
            assert_eq!(body(&format!("{line}\r\n{rest}")), page, "{line}");
        }
        // Last among the fields.
        assert_eq!(body("Content-Type: a\n<br />\n\n<p>x"), ("<p>x".to_owned(), true));
        // No blank line: the body has come, whatever stands in it.
        for html in [
            "<html>\n<p>x\n\n<p>y",
            "<p>x\n: y\n\n<p>z",
            "<!DOCTYPE html>\n<style>\na:hover {}\n\n</style>",
            "<div>text\nContent-Type is what a server says\n\n",
            "<p>x",
        ] {
            assert_eq!(body(html), (html.to_owned(), false), "{html}");
        }
    }

    #[test]
    fn a_head_of_a_million_fields() {
        let mut block = b"HTTP/1.1 200 OK\r\n".to_vec();
        block.extend_from_slice(&b"a:\n".repeat(1 << 20));
        block.extend_from_slice(b"\n<p>x");
        assert_eq!(parse_head(&block).err(), Some(NoHead::TooLarge));
        let within = [b"HTTP/1.1 200 OK\n", b"a:\n".repeat(1 << 18).as_slice(), b"\n<p>x"].concat();
        let head = parse_head(&within).expect("a head");
        assert_eq!((head.values("a").count(), head.body), (1 << 18, &b"<p>x"[..]));
        let line = [b"HTTP/1.1 200 OK\na:".as_slice(), &vec![b'b'; 2 << 20]].concat();
        assert_eq!(parse_head(&line).err(), Some(NoHead::TooLarge));
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
        assert_eq!(decoded("Content-Encoding: zstd", &zstd(page)), whole);
        let frames = [zstd(&page[..9]), zstd(&page[9..])].concat();
        assert_eq!(decoded("Content-Encoding: zstd", &frames), whole);
        let both = "Content-Encoding: zstd\r\nTransfer-Encoding: chunked";
        assert_eq!(decoded(both, &chunked(&zstd(page))), whole);
        // One blank line too many before what is coded.
        let behind = |coded: &[u8]| [b"\r\n", coded].concat();
        assert_eq!(decoded("Content-Encoding: gzip", &behind(&gzip(page))), whole);
        assert_eq!(decoded("X: y", &behind(&gzip(page))), whole);
        assert_eq!(decoded(both, &behind(&chunked(&zstd(page)))), whole);
        let both = "Content-Encoding: gzip\r\nTransfer-Encoding: chunked";
        assert_eq!(decoded(both, &chunked(&gzip(page))), whole);
        assert_eq!(
            decoded("Transfer-Encoding: gzip, chunked", &chunked(&gzip(page))),
            whole
        );
        assert_eq!(decoded("Content-Encoding: br, gzip", &gzip(&brotli(page))), whole);
        // Two members, then padding.
        let mut members = [gzip(&page[..9]), gzip(&page[9..])].concat();
        members.extend_from_slice(&[0; 40]);
        assert_eq!(decoded("Content-Encoding: gzip", &members), whole);
    }

    #[test]
    fn announced_codings_that_are_not_there() {
        let whole = (PAGE.to_owned(), false);
        for coding in ["gzip", "deflate", "br", "zstd", "identity", "utf-8"] {
            let field = format!("Content-Encoding: {coding}");
            assert_eq!(decoded(&field, PAGE.as_bytes()), whole, "{coding}");
        }
        assert_eq!(decoded("Transfer-Encoding: chunked", PAGE.as_bytes()), whole);
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
            assert!(truncated && !got.is_empty() && long.starts_with(&got), "{field}");
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
        let mut block = b"HTTP/1.1 200 OK\nContent-Encoding: zstd\n\n".to_vec();
        block.extend_from_slice(&zstd(&vec![b'a'; 20 << 20]));
        let head = parse_head(&block).expect("a head");
        let body = decode_body(&head);
        assert_eq!(sizes(&body), (MAX_DECODED_BYTES, true, true));
    }
}
