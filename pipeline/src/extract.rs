//! From the block of a `response` record to the text of its page.

use std::borrow::Cow;

use crate::charset::{self, Charset};
use crate::html;
use crate::http;

pub use crate::charset::CharsetSource;

/// Why a response gives no text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejected {
    /// The status code is not 200.
    Status(u16),
    /// The `Content-Type` is none of HTML, XHTML and plain text (the first value, as sent).
    ContentType(String),
    /// The body is a binary format, whatever the header says.
    Binary,
    /// The block does not begin with an HTTP status line.
    Malformed,
    /// There is no body, or no text in it.
    Empty,
    /// The body unpacks to more than [`http::MAX_DECODED_BYTES`].
    TooLarge,
}

impl std::fmt::Display for Rejected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(code) => write!(f, "HTTP status {code}"),
            Self::ContentType(value) => write!(f, "content type {value:?} is not a page"),
            Self::Binary => f.write_str("binary content"),
            Self::Malformed => f.write_str("not an HTTP response"),
            Self::Empty => f.write_str("no text"),
            Self::TooLarge => write!(
                f,
                "unpacks to more than {} MiB",
                http::MAX_DECODED_BYTES >> 20
            ),
        }
    }
}

impl std::error::Error for Rejected {}

/// The text of a page and how it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extracted {
    /// The page's text, one block a line, lines separated by `\n`, no blank at either end.
    pub text: String,
    /// The HTTP `Content-Type` that was used, as sent; empty without one.
    pub content_type: String,
    /// The Encoding Standard's name of the encoding used.
    pub charset: &'static str,
    /// What decided the encoding.
    pub charset_source: CharsetSource,
    /// Whether part of the body is missing (see [`http::Body::truncated`]).
    pub truncated: bool,
}

/// What a body is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Html,
    Plain,
}

/// The text of the page in `payload`, the whole block of a `response` record: status line, header
/// fields, blank line and body.
///
/// # Errors
///
/// [`Rejected`] says why there is no text. Any bytes are accepted; nothing panics.
///
/// # Cost
///
/// One pass over the body per coding and per charset conversion, and one for the markup; UTF-8
/// bodies without codings are read in place. Memory is that of the decoded body (bounded by
/// [`http::MAX_DECODED_BYTES`], or the payload's length without codings) and its text.
pub fn page_text(payload: &[u8]) -> Result<Extracted, Rejected> {
    let head = http::parse_head(payload).ok_or(Rejected::Malformed)?;
    if head.status != 200 {
        return Err(Rejected::Status(head.status));
    }
    let (content_type, declared) = content_kind(&head)?;
    let body = http::decode_body(&head);
    if body.too_large {
        return Err(Rejected::TooLarge);
    }
    let bytes = body.bytes.as_ref();
    if bytes.trim_ascii().is_empty() {
        return Err(Rejected::Empty);
    }
    if is_binary(bytes) {
        return Err(Rejected::Binary);
    }
    let kind = match declared {
        Some(kind) => kind,
        None => sniff(bytes).ok_or_else(|| Rejected::ContentType(String::new()))?,
    };
    let found = charset::detect(bytes, content_type, kind == Kind::Html);
    let utf16 = [encoding_rs::UTF_16LE, encoding_rs::UTF_16BE].contains(&found.encoding);
    if !utf16 && has_zeros(bytes) {
        return Err(Rejected::Binary);
    }
    let text = match kind {
        Kind::Html => markup_text(bytes, &found),
        Kind::Plain => plain_text(&charset::decode(bytes, &found)),
    };
    if text.is_empty() {
        return Err(Rejected::Empty);
    }
    Ok(Extracted {
        text,
        content_type: String::from_utf8_lossy(content_type).into_owned(),
        charset: found.encoding.name(),
        charset_source: found.source,
        truncated: body.truncated,
    })
}

/// The first usable `Content-Type` and what it means; no kind where the header is absent or says
/// nothing.
fn content_kind<'h>(head: &'h http::Head<'_>) -> Result<(&'h [u8], Option<Kind>), Rejected> {
    let mut first: Option<&[u8]> = None;
    for value in head.values("content-type") {
        let essence = value
            .split(|b| matches!(b, b';' | b',') || b.is_ascii_whitespace())
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        let kind = match essence.as_slice() {
            b"text/html" | b"application/xhtml+xml" | b"application/vnd.wap.xhtml+xml" => {
                Kind::Html
            }
            b"text/plain" => Kind::Plain,
            b"" | b"*/*" => continue,
            // Not a media type at all ("html", "utf-8"): as if absent.
            other if !other.contains(&b'/') => continue,
            _ => {
                first = first.or(Some(value));
                continue;
            }
        };
        return Ok((value, Some(kind)));
    }
    match first {
        Some(value) => Err(Rejected::ContentType(
            String::from_utf8_lossy(value).into_owned(),
        )),
        None => Ok((b"", None)),
    }
}

/// Whether `body` begins like a format that servers mislabel as a page.
fn is_binary(body: &[u8]) -> bool {
    const MAGIC: [&[u8]; 15] = [
        // UTF-32, which no browser reads; before UTF-16's mark, which is its first half.
        b"\xff\xfe\0\0",
        b"\0\0\xfe\xff",
        b"%PDF-",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff",
        b"GIF87a",
        b"GIF89a",
        b"PK\x03\x04",
        b"Rar!\x1a\x07",
        b"RIFF",
        b"\x1f\x8b\x08",
        b"BZh9",
        b"\x28\xb5\x2f\xfd",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        b"\x7fELF",
    ];
    MAGIC.iter().any(|magic| body.starts_with(magic))
}

/// Whether zero bytes are spread over the first KiB as in binary formats and in UTF-32, not in
/// one stretch of padding: a run of them in every ten bytes.
fn has_zeros(body: &[u8]) -> bool {
    let sample = &body[..body.len().min(1024)];
    let runs = sample.windows(2).filter(|w| w[0] != 0 && w[1] == 0).count();
    runs * 10 > sample.len()
}

/// Guesses the kind of a body without a content type: markup, other text, or neither.
fn sniff(body: &[u8]) -> Option<Kind> {
    let sample = &body[..body.len().min(1024)];
    let utf16 = matches!(sample.get(..2), Some(b"\xff\xfe" | b"\xfe\xff"));
    // The "binary data bytes" of the MIME Sniffing Standard.
    let binary = |b: &u8| matches!(b, 0..=8 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f);
    if !utf16 && sample.iter().any(binary) {
        return None;
    }
    let start = sample.strip_prefix(b"\xef\xbb\xbf").unwrap_or(sample);
    let tagged = start.trim_ascii_start().starts_with(b"<")
        || sample
            .windows(2)
            .any(|w| w[0] == b'<' && (w[1].is_ascii_alphabetic() || matches!(w[1], b'!' | b'/')));
    Some(if tagged || utf16 {
        Kind::Html
    } else {
        Kind::Plain
    })
}

/// The text of markup in the encoding found.
fn markup_text(bytes: &[u8], found: &Charset) -> String {
    if found.encoding == encoding_rs::UTF_8 {
        let text = html::html_bytes_to_text(bytes.get(found.bom..).unwrap_or_default());
        // No byte of a UTF-8 character is ASCII, so markup can be found before validation, and
        // only the text has to be validated. Malformed text takes the longer way.
        if let Ok(text) = String::from_utf8(text) {
            return html::trimmed(text);
        }
    }
    html::html_to_text(&charset::decode(bytes, found))
}

/// Plain text with its line ends made `\n`, control characters blanked, blank lines and blanks at
/// line ends removed.
fn plain_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split(['\n', '\r', '\x0c']) {
        let line = line.trim_end();
        if line.trim_start().is_empty() {
            continue;
        }
        if !out.is_empty() {
            out.push('\n');
        }
        let clean: Cow<'_, str> = if line.bytes().any(|b| b < 0x20 && b != b'\t') {
            let blank = |c| if c < ' ' && c != '\t' { ' ' } else { c };
            Cow::Owned(line.chars().map(blank).collect())
        } else {
            Cow::Borrowed(line)
        };
        out.push_str(&clean);
    }
    html::trimmed(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(fields: &str, body: &[u8]) -> Result<Extracted, Rejected> {
        let mut payload = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n").into_bytes();
        payload.extend_from_slice(body);
        page_text(&payload)
    }

    fn text(fields: &str, body: &str) -> Result<String, Rejected> {
        page(fields, body.as_bytes()).map(|x| x.text)
    }

    #[test]
    fn a_page() {
        let got = page(
            "Content-Type: text/html; charset=UTF-8",
            "<title>Rain</title><p>The river <b>rose</b>.".as_bytes(),
        );
        let want = Extracted {
            text: "Rain\nThe river rose.".to_owned(),
            content_type: "text/html; charset=UTF-8".to_owned(),
            charset: "UTF-8",
            charset_source: CharsetSource::Http,
            truncated: false,
        };
        assert_eq!(got, Ok(want));
    }

    #[test]
    fn rejections() {
        let html = "Content-Type: text/html";
        assert_eq!(page_text(b""), Err(Rejected::Malformed));
        assert_eq!(page_text(b"<p>x"), Err(Rejected::Malformed));
        assert_eq!(
            page_text(b"HTTP/1.1 404 No\n\n<p>x"),
            Err(Rejected::Status(404))
        );
        assert_eq!(text(html, ""), Err(Rejected::Empty));
        assert_eq!(text(html, " \n"), Err(Rejected::Empty));
        assert_eq!(text(html, "<script>let x;</script>"), Err(Rejected::Empty));
        assert_eq!(text(html, "%PDF-1.4"), Err(Rejected::Binary));
        assert_eq!(
            page(html, b"\0\0\0<\0\0\0p\0\0\0>\0\0\0a"),
            Err(Rejected::Binary)
        );
        let css = "text/css; charset=utf-8";
        let got = text(&format!("Content-Type: {css}"), "p {}");
        assert_eq!(got, Err(Rejected::ContentType(css.to_owned())));
        assert_eq!(
            page("X: y", b"\x01\x02\x03"),
            Err(Rejected::ContentType(String::new()))
        );
    }

    #[test]
    fn content_types() {
        let html = Ok("rain".to_owned());
        for value in [
            "text/html",
            "TEXT/HTML;charset=x",
            "text/html,text/html",
            "application/xhtml+xml; q=1",
            "image/png\r\nContent-Type: text/html",
            "html",
            "",
            "*/*",
        ] {
            let got = text(&format!("content-type: {value}"), "<p>rain</p>");
            assert_eq!(got, html, "{value}");
        }
        assert_eq!(text("X: y", "<!doctype html><p>rain"), html);
        assert_eq!(text("X: y", "rain & 1 < 2"), Ok("rain & 1 < 2".to_owned()));
    }

    #[test]
    fn plain_text_is_not_markup() {
        let got = text(
            "Content-Type: text/plain",
            " a <b> &amp; \r\n\r\n\tc\x01d \n",
        );
        assert_eq!(got, Ok("a <b> &amp;\n\tc d".to_owned()));
    }

    #[test]
    fn malformed_utf8_is_replaced() {
        let fields = "Content-Type: text/html; charset=utf-8";
        let got = page(fields, b"<p>a\xc3<i>\xc3</i>b\xe3\x80").map(|x| x.text);
        assert_eq!(got, Ok("a\u{fffd}\u{fffd}b\u{fffd}".to_owned()));
    }

    #[test]
    fn legacy_encodings() {
        let fields = "Content-Type: text/html; charset=Shift_JIS";
        // The second byte of the first character is a backslash, of the second an "@".
        let got = page(fields, b"<p>\x83\x5c\x83\x40&nbsp;x</p>").map(|x| x.text);
        assert_eq!(got, Ok("ソァ x".to_owned()));
    }

    #[test]
    fn nothing_panics() {
        let seed = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\
            Content-Encoding: gzip\r\n\r\n2f\r\n<meta charset=gbk><!--a--><pre>&#x80;&ampx\xe3\x80\x80\
            </pre><script><!--<script></script>--></script><td a='b' c=\"d\">\xc2\xa0x\r\n0\r\n\r\n";
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = move |n: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % n as u64) as usize
        };
        for _ in 0..3_000 {
            let mut payload = seed.to_vec();
            for _ in 0..=random(6) {
                let (at, other) = (random(payload.len()), random(payload.len()));
                match random(4) {
                    0 => payload[at] = random(256) as u8,
                    1 => payload[at] = seed[other],
                    2 => drop(payload.drain(at..payload.len().min(at + 9))),
                    _ => payload.truncate(at + 9),
                }
            }
            if let Ok(got) = page_text(&payload) {
                assert_eq!(got.text, got.text.trim());
                assert!(!got.text.contains("\n\n"));
            }
        }
    }
}
