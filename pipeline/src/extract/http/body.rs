//! Response bodies: transfer and content codings undone.

use super::{Head, split_line};
use flate2::bufread::{DeflateDecoder, GzDecoder, ZlibDecoder};
use std::borrow::Cow;
use std::io::{ErrorKind, Read};

/// The most bytes to which one coding may expand a body. What a decompression bomb holds beyond it is cut off, and
/// [`Body::too_large`] says so.
///
/// A thread has a few such bodies in memory while it extracts the text of one. Common Crawl cuts pages at 1 MiB, a
/// sixteenth of it.
pub(crate) const MAX_DECODED_BYTES: usize = 16 << 20;

/// The most codings that are undone on one body. Real messages have at most two (gzip inside chunked).
const MAX_CODINGS: usize = 4;

/// The most gzip members that are read of one body. Starting one costs as much as some ten thousand bytes.
const MAX_MEMBERS: usize = 1 << 12;

/// The base-2 logarithm of the largest window of a zstd body: that of [`MAX_DECODED_BYTES`], twice the window that a
/// browser must accept (RFC 9659).
const ZSTD_WINDOW_LOG: u32 = MAX_DECODED_BYTES.trailing_zeros();

/// The bytes that begin a gzip member: the magic number and the only compression method (RFC 1952, 2.3.1).
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b, 8];

/// The number of bytes that decide whether a body that should be compressed is plain text.
const PLAIN_SAMPLE: usize = 256;

/// A body with all its codings undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Body<'a> {
    /// The decoded content; borrowed where no coding had to be undone.
    pub bytes: Cow<'a, [u8]>,
    /// Whether something is missing: the coded data ended early, was damaged, or expanded beyond the limit.
    pub truncated: bool,
    /// Whether the body expanded beyond the limit.
    pub too_large: bool,
    /// The first announced coding that could not be undone: unknown, refused, or not there.
    pub still_coded: Option<String>,
}

impl Head<'_> {
    /// The codings of the body in the order in which they were applied, the transfer's last, in lower case; of many
    /// only the last [`MAX_CODINGS`].
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

/// Undoes `Transfer-Encoding` and `Content-Encoding` (chunked, gzip, deflate, br, zstd, stacked in any
/// order) on the body of `head`.
///
/// Never fails: a coding that the bytes are not in counts as already removed, a cut or damaged
/// body gives what came before the damage. Content that is still gzip after all announced codings
/// is inflated once more. Line ends before a coded body are skipped. Costs one pass per coding; a
/// body without codings is borrowed.
pub(crate) fn decode_body<'a>(head: &Head<'a>) -> Body<'a> {
    decode_body_limited(head, MAX_DECODED_BYTES)
}

/// Undoes codings as [`decode_body`] does, up to `limit` bytes in place of [`MAX_DECODED_BYTES`].
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
        // One blank line too many leaves a line end before the coded bytes.
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
        && let Some(decoded) = inflate(behind, ContentCoding::Gzip, limit)
    {
        take(&mut body, decoded);
    }
    body
}

/// `body` without line ends at its start, which one blank line too many after the head leaves. They are part of no
/// format that is read here. A line end in UTF-16 is kept.
pub(crate) fn without_line_ends(mut body: &[u8]) -> &[u8] {
    loop {
        body = match body {
            [b'\r', b'\n', rest @ ..] => rest,
            [b'\r' | b'\n', next, ..] if *next != 0 => &body[1..],
            _ => return body,
        };
    }
}

/// Undoes one coding; `None` if it is unknown or the bytes are not in it. The flag says that the body was cut, damaged
/// or larger than `limit` bytes.
fn undo(coding: &str, coded: &[u8], limit: usize) -> Option<(Vec<u8>, bool)> {
    match coding {
        "chunked" => dechunk(coded),
        "gzip" | "x-gzip" => inflate(coded, ContentCoding::Gzip, limit),
        "deflate" => inflate(coded, ContentCoding::Deflate, limit),
        "br" => inflate(coded, ContentCoding::Brotli, limit),
        "zstd" => inflate(coded, ContentCoding::Zstd, limit),
        _ => None,
    }
}

/// Joins the chunks of a chunked body (RFC 9112 section 7.1); the flag says that it was cut. `None` if the bytes are
/// not chunked at all.
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

/// A content coding that compresses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ContentCoding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// Decompresses `coded`; `None` if it is not in that coding. The flag says that it was cut, damaged or larger than
/// `limit` bytes.
fn inflate(coded: &[u8], coding: ContentCoding, limit: usize) -> Option<(Vec<u8>, bool)> {
    let mut out = Unpacked::default();
    let cut = match coding {
        ContentCoding::Gzip if !coded.starts_with(GZIP_MAGIC) => return None,
        ContentCoding::Gzip => gunzip(coded, &mut out, limit),
        _ if is_plain(coded) => return None,
        ContentCoding::Deflate => {
            // RFC 1950 says zlib; servers send raw RFC 1951 data as often.
            let cut = out.read(ZlibDecoder::new(coded), limit);
            if out.len == 0 && cut {
                out.read(DeflateDecoder::new(coded), limit)
            } else {
                cut
            }
        }
        ContentCoding::Brotli => {
            let buffer = coded.len().clamp(1, 1 << 16);
            let brotli = brotli_decompressor::Decompressor::new(coded, buffer);
            out.read(brotli, limit)
        }
        ContentCoding::Zstd => {
            // There is no dictionary, so a frame that needs one is refused.
            let mut zstd = zstd::Decoder::with_buffer(coded).ok()?;
            zstd.window_log_max(ZSTD_WINDOW_LOG).ok()?;
            out.read(zstd, limit)
        }
    };
    // An error before any output says that the body was not compressed.
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

/// Decompressed bytes, in a buffer that only grows, so that it is filled with zeros once.
#[derive(Default)]
struct Unpacked {
    buffer: Vec<u8>,
    len: usize,
}

impl Unpacked {
    /// Reads until the end, an error, or `limit` bytes; true unless the end was reached.
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

/// Whether `bytes` begin like text: without control bytes, which every compressed stream of this length has. Of shorter
/// data the decoder decides.
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

    use super::super::parse_head;
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
