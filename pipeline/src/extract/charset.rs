//! Character encodings: finding the one of a page, and decoding it.
//!
//! The order is the one of the WHATWG HTML standard ("determining the character encoding"):
//! byte order mark, HTTP header, `<meta>` or XML declaration, and then a guess from the bytes.

use std::borrow::Cow;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{
    EUC_KR, Encoding, GBK, ISO_2022_JP, MACINTOSH, SHIFT_JIS, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252, X_MAC_CYRILLIC,
};
use memchr::{memchr, memchr_iter, memmem};

use crate::extract::html::RawText;

/// The number of bytes that are searched for `<meta charset>`.
///
/// The standard asks for 1,024. Of 827 crawled pages with a declaration 89 % had it within that,
/// 98.4 % within 16 KiB and 99.6 % within 64 KiB: scripts and styles come before it.
pub(crate) const PRESCAN_BYTES: usize = 64 << 10;

/// The number of bytes that the statistical detector reads, from the first non-ASCII byte on.
///
/// The detector reads some 30 MB/s, slower than everything else in this file together.
pub(crate) const DETECT_BYTES: usize = 64 << 10;

/// The most bytes of a label, blanks within its quotes included. The longest known label has 19.
const MAX_LABEL_BYTES: usize = 64;

/// The number of non-ASCII characters that make valid UTF-8 stronger evidence than a declaration.
const SURE_CHARACTERS: usize = 16;

/// The evidence by which an encoding was chosen, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CharsetSource {
    /// A byte order mark at the start of the body.
    Bom,
    /// The parameter `charset` in the HTTP header `Content-Type`.
    Http,
    /// A declaration in the page: `<meta charset>`, `<meta http-equiv>` or `<?xml encoding?>`.
    Meta,
    /// The bytes: valid UTF-8 without a declaration, or nothing but UTF-8 in spite of another declaration.
    Utf8Valid,
    /// A guess from the bytes, without a declaration.
    Detected,
}

/// The encoding of a body, and the evidence for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charset {
    /// The encoding that was chosen.
    pub encoding: &'static Encoding,
    /// The evidence for the encoding.
    pub source: CharsetSource,
    /// The length of the byte order mark in bytes; 0 without one.
    pub bom: usize,
}

/// Finds the encoding of `body`.
///
/// `content_type` is the HTTP `Content-Type` value; `markup` says whether the body may declare
/// its encoding itself (false for plain text). Labels that no browser knows are ignored, as are labels that
/// the Encoding Standard maps to its "replacement" decoder. Costs at most a scan
/// of [`PRESCAN_BYTES`], a UTF-8 validation, and the detector on [`DETECT_BYTES`].
pub(crate) fn detect(body: &[u8], content_type: &[u8], markup: bool) -> Charset {
    let of = |encoding, source| Charset {
        encoding,
        source,
        bom: 0,
    };
    if let Some((encoding, bom)) = Encoding::for_bom(body) {
        return Charset {
            encoding,
            source: CharsetSource::Bom,
            bom,
        };
    }
    let (encoding, source) = if let Some(encoding) = charset_param(content_type) {
        (encoding, CharsetSource::Http)
    } else if markup && let Some(encoding) = prescan(&body[..body.len().min(PRESCAN_BYTES)]) {
        (encoding, CharsetSource::Meta)
    } else {
        return detect_undeclared(body);
    };
    if encoding != UTF_8 && surely_utf8(body, encoding) {
        return of(UTF_8, CharsetSource::Utf8Valid);
    }
    of(encoding, source)
}

/// Whether `body` is UTF-8 although `declared` says something else: valid, with more non-ASCII
/// characters than text in another encoding can have in this form by chance. Servers with a fixed default charset and
/// pages that were converted without their `<meta>` have such declarations.
///
/// Against UTF-16 no count is needed: in UTF-16, markup has zero bytes.
fn surely_utf8(body: &[u8], declared: &'static Encoding) -> bool {
    if std::str::from_utf8(body).is_err_and(|e| e.error_len().is_some()) {
        return false;
    }
    if declared == UTF_16LE || declared == UTF_16BE {
        return memchr(0, body).is_none();
    }
    let lead_bytes = body.iter().filter(|&&b| b >= 0xc0);
    lead_bytes.take(SURE_CHARACTERS).count() == SURE_CHARACTERS
}

/// Decodes `body` without its byte order mark; malformed sequences become U+FFFD. Borrows where nothing changes.
pub fn decode<'a>(body: &'a [u8], charset: &Charset) -> Cow<'a, str> {
    let bytes = body.get(charset.bom..).unwrap_or_default();
    charset.encoding.decode_without_bom_handling(bytes).0
}

/// The encoding that `label` names: one of the Encoding Standard's labels, or of a few other names in use.
pub fn for_label(label: &[u8]) -> Option<&'static Encoding> {
    if let Some(encoding) = Encoding::for_label_no_replacement(label) {
        return Some(encoding);
    }
    let label = label.trim_ascii().to_ascii_lowercase();
    Some(match label.as_slice() {
        b"utf-8-sig" | b"utf8mb4" | b"utf_8" | b"u8" => UTF_8,
        b"cp949" | b"ms949" | b"uhc" => EUC_KR,
        b"cp932" => SHIFT_JIS,
        b"cp936" | b"ms936" => GBK,
        b"maccyrillic" | b"mac-cyrillic" | b"x-mac-ukraine" => X_MAC_CYRILLIC,
        b"macroman" | b"mac-roman" => MACINTOSH,
        _ => return None,
    })
}

/// The first known `charset=` in a `Content-Type` value ("extracting a character encoding from a
/// meta element" in the HTML standard, which reads HTTP values as well).
fn charset_param(value: &[u8]) -> Option<&'static Encoding> {
    let mut rest = value;
    while let Some(i) = find_ignore_case(rest, b"charset") {
        rest = &rest[i + 7..];
        let Some(after) = rest.trim_ascii_start().strip_prefix(b"=") else {
            continue;
        };
        let after = after.trim_ascii_start();
        // Without this bound, a value of many `charset=` takes quadratic time.
        let after = &after[..after.len().min(MAX_LABEL_BYTES)];
        let label = match after.first() {
            Some(&q @ (b'"' | b'\'')) => {
                let inner = &after[1..];
                let end = memchr(q, inner).or_else(|| memchr(b';', inner));
                &inner[..end.unwrap_or(inner.len())]
            }
            _ => {
                let end = after
                    .iter()
                    .position(|b| b.is_ascii_whitespace() || matches!(b, b';' | b',' | b'"'));
                &after[..end.unwrap_or(after.len())]
            }
        };
        if let Some(encoding) = for_label(label) {
            return Some(encoding);
        }
    }
    None
}

fn find_ignore_case(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len()).position(|w| w.eq_ignore_ascii_case(needle))
}

/// The encoding that a page's own declaration means: UTF-16 is impossible where the declaration is ASCII.
fn declared(encoding: &'static Encoding) -> &'static Encoding {
    if encoding == UTF_16LE || encoding == UTF_16BE {
        UTF_8
    } else if encoding.name() == "x-user-defined" {
        WINDOWS_1252
    } else {
        encoding
    }
}

/// "Prescan a byte stream to determine its encoding" of the HTML standard, over all of `head`.
pub(crate) fn prescan(head: &[u8]) -> Option<&'static Encoding> {
    if head.starts_with(b"<\0?\0x\0") {
        return Some(UTF_16LE);
    }
    if head.starts_with(b"\0<\0?\0x") {
        return Some(UTF_16BE);
    }
    let mut raw_text = RawText::default();
    let mut pos = 0;
    while let Some(i) = memchr(b'<', head.get(pos..)?) {
        pos += i + 1;
        let rest = &head[pos..];
        if rest.starts_with(b"!--") {
            // The two dashes may be those of the end as well: "<!-->".
            pos += 1 + memmem::find(&rest[1..], b"-->")? + 3;
            continue;
        }
        if rest.len() > 4
            && rest[..4].eq_ignore_ascii_case(b"meta")
            && (rest[4].is_ascii_whitespace() || rest[4] == b'/')
        {
            pos += 4;
            let found;
            (found, pos) = meta(head, pos);
            if found.is_some() {
                return found;
            }
            continue;
        }
        let name = rest.strip_prefix(b"/").unwrap_or(rest);
        if name.first().is_some_and(u8::is_ascii_alphabetic) {
            let end = |b: &u8| b.is_ascii_whitespace() || *b == b'>';
            let tag = &rest[..rest.iter().position(end)?];
            pos += tag.len();
            while let Some((_, _, next)) = attribute(head, pos) {
                pos = next;
            }
            // Beyond the standard, which stops before it matters: code is full of "<" and quotes.
            for raw in [b"script".as_slice(), b"style"] {
                if tag.eq_ignore_ascii_case(raw) {
                    pos = raw_text.end(head, pos, raw);
                }
            }
        }
    }
    xml_declaration(head)
}

/// Reads the attributes of a `<meta>` from `pos`, and gives its encoding and the position after them.
fn meta(head: &[u8], mut pos: usize) -> (Option<&'static Encoding>, usize) {
    let mut pragma = false;
    let mut charset = None;
    let mut content = None;
    while let Some((name, value, next)) = attribute(head, pos) {
        pos = next;
        if name.eq_ignore_ascii_case(b"http-equiv") {
            pragma |= value.eq_ignore_ascii_case(b"content-type");
        } else if name.eq_ignore_ascii_case(b"charset") {
            charset = charset.or_else(|| for_label(value));
        } else if name.eq_ignore_ascii_case(b"content") {
            content = content.or_else(|| charset_param(value));
        }
    }
    let found = charset.or(if pragma { content } else { None });
    (found.map(declared), pos)
}

/// "Get an attribute" of the HTML standard: name, value and the position after them.
fn attribute(head: &[u8], mut pos: usize) -> Option<(&[u8], &[u8], usize)> {
    let skip = |mut p: usize| {
        while head.get(p).is_some_and(u8::is_ascii_whitespace) {
            p += 1;
        }
        p
    };
    while head.get(pos).is_some_and(|b| b.is_ascii_whitespace() || *b == b'/') {
        pos += 1;
    }
    if *head.get(pos)? == b'>' {
        return None;
    }
    let start = pos;
    let ends = |b: u8| b.is_ascii_whitespace() || matches!(b, b'/' | b'>');
    pos += 1;
    while head.get(pos).is_some_and(|&b| !ends(b) && b != b'=') {
        pos += 1;
    }
    let name = &head[start..pos];
    let after = skip(pos);
    if head.get(after) != Some(&b'=') {
        return Some((name, b"", pos));
    }
    pos = skip(after + 1);
    match head.get(pos) {
        Some(&q @ (b'"' | b'\'')) => {
            let value = &head[pos + 1..];
            let end = memchr(q, value)?;
            Some((name, &value[..end], pos + end + 2))
        }
        _ => {
            let start = pos;
            while head.get(pos).is_some_and(|b| !b.is_ascii_whitespace() && *b != b'>') {
                pos += 1;
            }
            Some((name, &head[start..pos], pos))
        }
    }
}

/// "Get an XML encoding" of the HTML standard.
fn xml_declaration(head: &[u8]) -> Option<&'static Encoding> {
    let head = head.trim_ascii_start();
    if !head.starts_with(b"<?xml") {
        return None;
    }
    let line = &head[..memchr(b'>', head)?];
    let after = line[memmem::find(line, b"encoding")? + 8..].trim_ascii_start();
    let after = after.strip_prefix(b"=")?.trim_ascii_start();
    let (&quote, value) = after.split_first()?;
    let end = memchr(quote, value)?;
    for_label(&value[..end]).map(declared)
}

/// The encoding of bytes that declare none.
fn detect_undeclared(body: &[u8]) -> Charset {
    let detected = |encoding| Charset {
        encoding,
        source: CharsetSource::Detected,
        bom: 0,
    };
    if let Some(encoding) = utf16_by_zeros(body) {
        return detected(encoding);
    }
    let (valid, cut) = match std::str::from_utf8(body) {
        Ok(_) => (body.len(), true),
        // A body cut inside a character is still UTF-8.
        Err(e) => (e.valid_up_to(), e.error_len().is_none()),
    };
    if cut {
        // ISO-2022-JP is made of ASCII bytes alone; its escape sequences give it away.
        if iso_2022_jp_escape(body) && guess(body) == ISO_2022_JP {
            return detected(ISO_2022_JP);
        }
        return Charset {
            encoding: UTF_8,
            source: CharsetSource::Utf8Valid,
            bom: 0,
        };
    }
    if mostly_utf8(body, valid) {
        return detected(UTF_8);
    }
    let start = body.iter().position(|b| !b.is_ascii()).unwrap_or(0);
    detected(guess(&body[start..]))
}

fn guess(from: &[u8]) -> &'static Encoding {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    let sample = &from[..from.len().min(DETECT_BYTES)];
    detector.feed(sample, sample.len() == from.len());
    detector.guess(None, Utf8Detection::Deny)
}

fn iso_2022_jp_escape(body: &[u8]) -> bool {
    memchr_iter(0x1b, body).any(|i| matches!(body.get(i + 1..i + 3), Some(b"$B" | b"$@")))
}

/// UTF-16 without a byte order mark: markup and spaces put a zero byte into every other place.
fn utf16_by_zeros(body: &[u8]) -> Option<&'static Encoding> {
    let sample = &body[..body.len().min(1024)];
    let pairs = sample.len() / 2;
    if pairs < 4 || memchr(0, sample).is_none() {
        return None;
    }
    let (mut even, mut odd) = (0, 0);
    for pair in sample.chunks_exact(2) {
        even += usize::from(pair[0] == 0);
        odd += usize::from(pair[1] == 0);
    }
    if odd * 4 > pairs && even * 50 < pairs {
        Some(UTF_16LE)
    } else if even * 4 > pairs && odd * 50 < pairs {
        Some(UTF_16BE)
    } else {
        None
    }
}

/// UTF-8 with a few damaged places, as pages have that were put together from several sources:
/// at least twenty well-formed non-ASCII characters for each malformed sequence.
fn mostly_utf8(body: &[u8], first_error: usize) -> bool {
    let start = first_error.saturating_sub(DETECT_BYTES / 2);
    let mut rest = &body[start..body.len().min(start + DETECT_BYTES)];
    let (mut good, mut bad) = (0_usize, 0_usize);
    while !rest.is_empty() {
        let (text, next) = match std::str::from_utf8(rest) {
            Ok(_) => (rest, rest.len()),
            Err(e) => {
                let Some(len) = e.error_len() else { break };
                bad += 1;
                (&rest[..e.valid_up_to()], e.valid_up_to() + len)
            }
        };
        // Count lead bytes: every non-ASCII character has one.
        good += text.iter().filter(|&&b| b >= 0xc0).count();
        rest = &rest[next..];
    }
    good >= 20 * bad
}

#[cfg(test)]
mod tests;
