//! From the block of a `response` record to the text of its page.
//!
//! Above 500 lines with its tests.

pub mod charset;
pub mod html;
pub mod http;

mod format;

use std::borrow::Cow;

use c4_data::MediaTypes;

use crate::extract::charset::Charset;
use crate::extract::http::NoHead;
use crate::runtime::memory::{LARGE_BYTES, Large};

pub use crate::extract::charset::CharsetSource;

/// Why a response gives no text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejected {
    /// The status code is not 200.
    Status(u16),
    /// The media type is none that is asked for: the one that the archive's writer identified, or the first
    /// value of `Content-Type`.
    ContentType(String),
    /// The body is of another format than its type says.
    OtherFormat,
    /// The body is in this content coding, which is not known or cannot be undone.
    Coding(String),
    /// The block does not begin with an HTTP status line.
    Malformed,
    /// The HTTP head is larger than [`http::MAX_HEAD_BYTES`].
    HeadTooLarge,
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
            Self::OtherFormat => f.write_str("another format than its type says"),
            Self::Coding(coding) => write!(f, "content coding {coding:?} cannot be undone"),
            Self::Malformed => f.write_str("not an HTTP response"),
            Self::HeadTooLarge => write!(f, "HTTP head of more than {} MiB", http::MAX_HEAD_BYTES >> 20),
            Self::Empty => f.write_str("no text"),
            Self::TooLarge => write!(f, "unpacks to more than {} MiB", http::MAX_DECODED_BYTES >> 20),
        }
    }
}

impl std::error::Error for Rejected {}

impl From<NoHead> for Rejected {
    fn from(why: NoHead) -> Rejected {
        match why {
            NoHead::Malformed => Rejected::Malformed,
            NoHead::TooLarge => Rejected::HeadTooLarge,
        }
    }
}

/// The text of a page and how it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extracted {
    /// The page's text, one block a line, lines separated by `\n`, no blank at either end.
    pub text: String,
    /// The HTTP `Content-Type` that was used, as sent; empty without one.
    pub content_type: String,
    /// The HTTP `Content-Length` as sent; empty without one.
    pub content_length: String,
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
/// fields, blank line and body. `identified` is the record's `WARC-Identified-Payload-Type`; where it is
/// given, it decides what is HTML.
///
/// # Errors
///
/// [`Rejected`] says why there is no text. Any bytes are accepted; nothing panics.
///
/// # Cost
///
/// One pass over the body per coding and per charset conversion, and one for the markup; UTF-8
/// bodies without codings are read in place. Memory is that of the decoded body (bounded by
/// [`http::MAX_DECODED_BYTES`], or the payload's length without codings) and its text. Where a body unpacks to
/// something large, this waits until no other thread holds anything large.
pub fn page_text(payload: &[u8], identified: Option<&str>, media_types: MediaTypes) -> Result<Extracted, Rejected> {
    page_text_holding(payload, identified, media_types, &mut None)
}

/// [`page_text`], which leaves in `large` what is to be held as long as the text is, if it is large.
pub(crate) fn page_text_holding(
    payload: &[u8],
    identified: Option<&str>,
    media_types: MediaTypes,
    large: &mut Option<Large>,
) -> Result<Extracted, Rejected> {
    let head = http::parse_head(payload)?;
    if head.status != 200 {
        return Err(Rejected::Status(head.status));
    }
    let (content_type, declared) = content_type(&head);
    // What is not among the types asked for is not unpacked.
    let identified = identified.map(|value| essence(value.as_bytes()));
    // Some writers leave it empty (ClueWeb), or say in words that they do not know.
    let identified = identified.filter(|value| value.contains(&b'/'));
    let is_identified = identified.is_some();
    let declared = match identified {
        Some(value) => {
            let kind = kind_of(&value).filter(|kind| takes(media_types, *kind));
            Some(kind.ok_or_else(|| Rejected::ContentType(lossy(&value)))?)
        }
        None => match declared {
            Declared::Kind(kind) if takes(media_types, kind) => Some(kind),
            Declared::Nothing => None,
            _ => return Err(Rejected::ContentType(lossy(&content_type))),
        },
    };
    let mut body = http::decode_body_limited(&head, LARGE_BYTES);
    if body.too_large {
        large.get_or_insert_with(Large::wait);
        body = http::decode_body(&head);
    }
    if body.too_large {
        return Err(Rejected::TooLarge);
    }
    let bytes = http::without_line_ends(&body.bytes);
    if bytes.trim_ascii().is_empty() {
        return Err(Rejected::Empty);
    }
    let binary = || match &body.still_coded {
        Some(coding) => Rejected::Coding(coding.clone()),
        None => Rejected::OtherFormat,
    };
    if format::is_utf32(bytes) {
        return Err(binary());
    }
    let kind = declared.unwrap_or_else(|| match format::looks_like_html(bytes) {
        true => Kind::Html,
        false => Kind::Plain,
    });
    let found = charset::detect(bytes, &content_type, kind == Kind::Html);
    let utf16 = [encoding_rs::UTF_16LE, encoding_rs::UTF_16BE].contains(&found.encoding);
    if !utf16 && format::is_binary(bytes) {
        return Err(binary());
    }
    if !takes(media_types, kind) {
        return Err(Rejected::ContentType(lossy(&content_type)));
    }
    if kind == Kind::Html && !is_identified && !utf16 && format::is_other_text(bytes) {
        return Err(Rejected::OtherFormat);
    }
    let text = match kind {
        Kind::Html => markup_text(bytes, &found),
        Kind::Plain => plain_text(&charset::decode(bytes, &found)),
    };
    if text.is_empty() {
        return Err(Rejected::Empty);
    }
    let content_length = head.values("content-length").next();
    Ok(Extracted {
        text,
        content_type: lossy(&content_type),
        content_length: content_length.map_or_else(String::new, |value| lossy(&value)),
        charset: found.encoding.name(),
        charset_source: found.source,
        truncated: body.truncated,
    })
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether the recipe asks for bodies of this kind.
fn takes(media_types: MediaTypes, kind: Kind) -> bool {
    kind == Kind::Html || media_types == MediaTypes::Text
}

/// What a response says of its body.
enum Declared {
    Kind(Kind),
    /// A media type that is read as nothing here.
    Other,
    /// No media type at all.
    Nothing,
}

/// A media type without its parameters, in lower case.
fn essence(value: &[u8]) -> Vec<u8> {
    let ends = |b: &u8| matches!(b, b';' | b',') || b.is_ascii_whitespace();
    let essence = value.trim_ascii_start().split(ends).next();
    essence.unwrap_or_default().to_ascii_lowercase()
}

/// What a body of this media type is read as.
fn kind_of(essence: &[u8]) -> Option<Kind> {
    match essence {
        b"text/html" | b"application/xhtml+xml" | b"application/vnd.wap.xhtml+xml" => Some(Kind::Html),
        b"text/plain" => Some(Kind::Plain),
        _ => None,
    }
}

/// The first usable `Content-Type` and what it means; empty where the header is absent or says nothing.
fn content_type<'h>(head: &http::Head<'h>) -> (Cow<'h, [u8]>, Declared) {
    let mut other = None;
    for value in head.values("content-type") {
        let essence = essence(&value);
        if let Some(kind) = kind_of(&essence) {
            return (value, Declared::Kind(kind));
        }
        // "text/htmlcharset=utf-8": Common Crawl's WET has whatever says "html" somewhere.
        if memchr::memmem::find(&essence, b"html").is_some() {
            return (value, Declared::Kind(Kind::Html));
        }
        // Not a media type at all ("utf-8", "*/*"): as if absent.
        if essence.contains(&b'/') && essence != b"*/*" {
            other = other.or(Some(value));
        }
    }
    match other {
        Some(value) => (value, Declared::Other),
        None => (Cow::Borrowed(b""), Declared::Nothing),
    }
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
        html(&payload)
    }

    /// What the default recipe reads of `payload`.
    fn html(payload: &[u8]) -> Result<Extracted, Rejected> {
        page_text(payload, None, MediaTypes::Html)
    }

    /// What a recipe that reads plain text makes of it.
    fn any_text(fields: &str, body: &str) -> Result<String, Rejected> {
        let payload = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{body}");
        page_text(payload.as_bytes(), None, MediaTypes::Text).map(|x| x.text)
    }

    /// What is read of a body whose type the archive's writer identified.
    fn identified(as_type: &str, fields: &str, body: &str) -> Result<String, Rejected> {
        let payload = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{body}");
        page_text(payload.as_bytes(), Some(as_type), MediaTypes::Html).map(|x| x.text)
    }

    fn text(fields: &str, body: &str) -> Result<String, Rejected> {
        page(fields, body.as_bytes()).map(|x| x.text)
    }

    #[test]
    fn a_page() {
        let got = page(
            "Content-Type: text/html; charset=UTF-8\r\nContent-Length: 45",
            "<title>Rain</title><p>The river <b>rose</b>.".as_bytes(),
        );
        let want = Extracted {
            text: "Rain\nThe river rose.".to_owned(),
            content_type: "text/html; charset=UTF-8".to_owned(),
            content_length: "45".to_owned(),
            charset: "UTF-8",
            charset_source: CharsetSource::Http,
            truncated: false,
        };
        assert_eq!(got, Ok(want));
    }

    #[test]
    fn rejections() {
        let fields = "Content-Type: text/html";
        assert_eq!(html(b""), Err(Rejected::Malformed));
        assert_eq!(html(b"<p>x"), Err(Rejected::Malformed));
        assert_eq!(html(b"HTTP/1.1 404 No\n\n<p>x"), Err(Rejected::Status(404)));
        assert_eq!(text(fields, ""), Err(Rejected::Empty));
        assert_eq!(text(fields, " \n"), Err(Rejected::Empty));
        assert_eq!(text(fields, "<script>let x;</script>"), Err(Rejected::Empty));
        let css = "text/css; charset=utf-8";
        let got = text(&format!("Content-Type: {css}"), "p {}");
        assert_eq!(got, Err(Rejected::ContentType(css.to_owned())));
        let head = "X: y\r\n".repeat(200_000);
        assert_eq!(text(&head, "<p>x"), Err(Rejected::HeadTooLarge));
    }

    #[test]
    fn other_formats_than_the_type_says() {
        let fields = "Content-Type: text/html; charset=utf-8";
        let bodies: [&[u8]; 12] = [
            b"%PDF-1.4",
            b"\0\0\0<\0\0\0p\0\0\0>\0\0\0a",
            b"\x89PNG\r\n\x1a\nabc def abc def abc def abc def abc def",
            b"\xff\xd8\xff\xe1abc\x01def",
            b"GIF89a\x01\x01\x80\x01abc",
            b"\n\nII*\x01abc \x05",
            b"\x01\x02x\x03y\x04\x7f\xff\x05",
            b"{\"a\": [1, 2]}",
            b".a{color:red}\n",
            b"<?xml version='1.0'?><rss><title>x</title></rss>",
            b"BEGIN:VCALENDAR\r\nEND:VCALENDAR",
            b"{\\rtf1\\ansi Hello.}",
        ];
        for body in bodies {
            let shown = String::from_utf8_lossy(body);
            assert_eq!(page(fields, body), Err(Rejected::OtherFormat), "{shown}");
        }
        // UTF-16 has zeros, and its other bytes are whatever the text wants.
        let utf16: Vec<u8> = "\u{feff}\u{101}\u{102}\u{203}"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        assert_eq!(page(fields, &utf16).map(|x| x.charset), Ok("UTF-16LE"));
    }

    #[test]
    fn codings_that_cannot_be_undone() {
        let fields = |coding: &str| format!("Content-Type: text/html\r\nContent-Encoding: {coding}");
        let coded = b"\x1f\x9d\x90\x3c\x01\x02\x03\xff\x10\x04\x05\x06";
        let unknown = |coding: &str| Err(Rejected::Coding(coding.to_owned()));
        for coding in ["compress", "br", "dcz", "x-own"] {
            assert_eq!(page(&fields(coding), coded), unknown(coding));
            assert_eq!(text(&fields(coding), "<p>rain").as_deref(), Ok("rain"));
        }
        assert_eq!(page(&fields("identity"), coded), Err(Rejected::OtherFormat));
        // A frame that wants dictionary 1: nothing is there to decode it with.
        let mut wants = zstd::bulk::compress(b"<p>rain", 3).expect("memory");
        assert_eq!(page(&fields("zstd"), &wants).map(|x| x.text).as_deref(), Ok("rain"));
        wants[4] |= 1;
        wants.insert(5, 1);
        assert_eq!(page(&fields("zstd"), &wants), unknown("zstd"));
    }

    #[test]
    fn content_types() {
        let rain = Ok("rain".to_owned());
        for value in [
            "text/html",
            "TEXT/HTML;charset=x",
            "text/html,text/html",
            "application/xhtml+xml; q=1",
            "image/png\r\nContent-Type: text/html",
            "html",
            "text/htmlcharset=utf-8",
            "",
            "*/*",
        ] {
            let got = text(&format!("content-type: {value}"), "<p>rain</p>");
            assert_eq!(got, rain, "{value}");
        }
        assert_eq!(text("X: y", "<!doctype html><p>rain"), rain);
        let none = Err(Rejected::ContentType(String::new()));
        assert_eq!(text("X: y", "rain & 1 < 2"), none);
        assert_eq!(text("X: y", "p { color: red }"), none);
        assert_eq!(page("X: y", b"\x01\x02a\x03"), Err(Rejected::OtherFormat));
        for value in ["text/plain", "text/plain; charset=utf-8", "image/png"] {
            let got = text(&format!("content-type: {value}"), "<p>rain");
            assert_eq!(got, Err(Rejected::ContentType(value.to_owned())));
        }
    }

    #[test]
    fn a_recipe_may_read_plain_text() {
        let got = any_text("Content-Type: text/plain", " a <b> &amp; \r\n\r\n\tc\x01d \n");
        assert_eq!(got, Ok("a <b> &amp;\n\tc d".to_owned()));
        assert_eq!(any_text("X: y", "rain & 1 < 2").as_deref(), Ok("rain & 1 < 2"));
        assert_eq!(any_text("Content-Type: utf-8", "rain").as_deref(), Ok("rain"));
        assert_eq!(any_text("X: y", "<p>rain").as_deref(), Ok("rain"));
        let css = Err(Rejected::ContentType("text/css".to_owned()));
        assert_eq!(any_text("Content-Type: text/css", "rain"), css);
    }

    #[test]
    fn an_identified_type_decides() {
        let rain = Ok("rain".to_owned());
        for fields in [
            "X: y",
            "Content-Type: application/octet-stream",
            "Content-Type: text/plain",
        ] {
            assert_eq!(identified("text/html", fields, "<p>rain"), rain, "{fields}");
            assert_eq!(identified("application/xhtml+xml; x=y", fields, "<p>rain"), rain);
        }
        // Whoever identified it has seen that it is no table.
        assert_eq!(
            identified("text/html", "X: y", "a,b,c\n1,2,3").as_deref(),
            Ok("a,b,c 1,2,3")
        );
        for other in ["text/calendar", "application/rss+xml", "text/plain"] {
            let got = identified(other, "Content-Type: text/html", "<p>rain");
            assert_eq!(got, Err(Rejected::ContentType(other.to_owned())));
        }
        for none in ["", " ", "no-type", "unknown"] {
            let got = identified(none, "Content-Type: text/html", "<p>rain");
            assert_eq!(got, rain, "{none:?}");
            let got = identified(none, "Content-Type: image/gif", "<p>rain");
            assert_eq!(got, Err(Rejected::ContentType("image/gif".to_owned())));
        }
    }

    #[test]
    fn one_blank_line_too_many() {
        let fields = "Content-Type: text/html";
        for ends in ["", "\n", "\r\n", "\r\n\r\n"] {
            let got = text(fields, &format!("{ends}\u{feff}<p>Café")).expect("a page");
            assert_eq!(got, "Café");
            for mark in [[0xff, 0xfe], [0xfe, 0xff]] {
                let unit = if mark[0] == 0xff {
                    u16::to_le_bytes
                } else {
                    u16::to_be_bytes
                };
                let wide = "<p>Café".encode_utf16().flat_map(unit);
                let body: Vec<u8> = ends.bytes().chain(mark).chain(wide).collect();
                let got = page(fields, &body).expect("a page");
                assert_eq!((got.text.as_str(), got.charset_source), ("Café", CharsetSource::Bom));
            }
        }
        // A line end of UTF-16 without its mark is none of the head's.
        let wide = "\n<p>rain and rivers</p>".encode_utf16();
        let body: Vec<u8> = wide.flat_map(u16::to_le_bytes).collect();
        assert_eq!(page(fields, &body).map(|x| x.text).as_deref(), Ok("rain and rivers"));
    }

    /// What ended other people's extractions of whole crawls.
    #[test]
    fn characters_that_break_parsers() {
        let fields = "Content-Type: text/html; charset=utf-8";
        let got = text(fields, "<p>a&#1;b\x01c\0d&#0;e&#x1f;f\x0bg\u{7f}h");
        assert_eq!(got.as_deref(), Ok("a b c d\u{fffd}e f g h"));
        assert_eq!(text(fields, "<pre>a&#1;b\x02c</pre>").as_deref(), Ok("a b c"));
        assert_eq!(
            text(
                fields,
                "a<button>b<form>c</form>d</button>e<form><button></form></button>f"
            )
            .as_deref(),
            Ok("a\nb\nc\nd\ne\nf")
        );
        // Digits to Unicode, none to any of these formats.
        assert_eq!(html("HTTP/1.1 ②00 OK\r\n\r\n<p>x".as_bytes()), Err(Rejected::Malformed));
        assert_eq!(html("HTTP/1.1 20٠ OK\r\n\r\n<p>x".as_bytes()), Err(Rejected::Malformed));
        let length = format!("{fields}\r\nContent-Length: ①");
        assert_eq!(text(&length, "<p>x").as_deref(), Ok("x"));
        let chunked = format!("{fields}\r\nTransfer-Encoding: chunked");
        assert_eq!(text(&chunked, "①\r\n<p>x\r\n").as_deref(), Ok("①\nx"));
        assert_eq!(text(fields, "&#①;&#x①;&#1①;").as_deref(), Ok("&#①;&#x①; ①;"));
        assert_eq!(
            text("Content-Type: text/html; charset=iso-8859-①", "<p>é").as_deref(),
            Ok("é")
        );
        assert_eq!(
            text("Content-Type: text/html", "<meta charset=windows-125①><p>é").as_deref(),
            Ok("é")
        );
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
            if let Ok(got) = page_text(&payload, None, MediaTypes::Text) {
                assert_eq!(got.text, got.text.trim());
                assert!(!got.text.contains("\n\n"));
            }
        }
    }
}
