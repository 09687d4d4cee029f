//! Extraction: from the block of a `response` record to the text of its page.

pub mod charset;
pub mod html;
pub mod http;

mod format;

use self::charset::Charset;
use self::http::HeadError;
use crate::runtime::memory::{LARGE_BYTES, Large};
use c4_data::MediaTypes;
use std::borrow::Cow;

pub use self::charset::CharsetSource;

/// The reason why a response gives no text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejected {
    /// The status code is not 200.
    Status(u16),
    /// The media type, which the recipe does not read: the one that the archive's writer identified, or the first value
    /// of `Content-Type`.
    ContentType(String),
    /// The body is not in the format that its type says.
    OtherFormat,
    /// The content coding of the body, which is unknown or cannot be undone.
    Coding(String),
    /// The block does not begin with an HTTP status line.
    Malformed,
    /// The HTTP head is larger than 1 MiB.
    HeadTooLarge,
    /// The body is missing or has no text.
    Empty,
    /// The body decompresses to more than 16 MiB.
    TooLarge,
}

impl std::fmt::Display for Rejected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(code) => write!(f, "HTTP status {code}"),
            Self::ContentType(value) => write!(f, "content type {value:?} is not a page"),
            Self::OtherFormat => f.write_str("not in the format that its type says"),
            Self::Coding(coding) => write!(f, "content coding {coding:?} cannot be undone"),
            Self::Malformed => f.write_str("not an HTTP response"),
            Self::HeadTooLarge => write!(f, "HTTP head of more than {} MiB", http::MAX_HEAD_BYTES >> 20),
            Self::Empty => f.write_str("no text"),
            Self::TooLarge => write!(f, "unpacks to more than {} MiB", http::MAX_DECODED_BYTES >> 20),
        }
    }
}

impl std::error::Error for Rejected {}

impl From<HeadError> for Rejected {
    fn from(why: HeadError) -> Rejected {
        match why {
            HeadError::Malformed => Rejected::Malformed,
            HeadError::TooLarge => Rejected::HeadTooLarge,
        }
    }
}

/// The text of a page, and how it was extracted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extracted {
    /// The page's text: a line for each block, lines separated by `\n`, no white space at either end.
    pub text: String,
    /// The value of `Content-Type` that was used, as sent; empty without one.
    pub content_type: String,
    /// The value of `Content-Length`, as sent; empty without one.
    pub content_length: String,
    /// The name of the encoding that was used, in the Encoding Standard.
    pub charset: &'static str,
    /// The evidence by which the encoding was chosen.
    pub charset_source: CharsetSource,
    /// Whether part of the body is missing: its coded data ended early, was damaged, or expanded beyond the limit.
    pub truncated: bool,
}

/// The kind of text as which a body is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyKind {
    Html,
    Plain,
}

/// Extracts the text of the page in `payload`, the whole block of a `response` record: status line, header fields,
/// blank line and body. `identified` is the record's `WARC-Identified-Payload-Type`; where it is given, it decides what
/// is HTML.
///
/// # Errors
/// [`Rejected`] says why there is no text. Any bytes are accepted; nothing panics.
///
/// # Cost
/// One pass over the body for each coding and for a charset conversion, and one for the markup; UTF-8 bodies without
/// codings are read in place. Memory is that of the decoded body (at most 16 MiB, or the payload's length without
/// codings) and its text. Where a body decompresses to more than [`LARGE_BYTES`], this waits until no other thread
/// holds anything large.
pub fn page_text(payload: &[u8], identified: Option<&str>, media_types: MediaTypes) -> Result<Extracted, Rejected> {
    page_text_holding(payload, identified, media_types, &mut None)
}

/// Extracts text as [`page_text`] does, and puts into `large` the permit to be held as long as a large text is.
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
    // A body of a type that the recipe does not read is not decompressed.
    let identified = identified.map(|value| essence(value.as_bytes()));
    // Some writers leave the identified type empty (ClueWeb), or write a word for "unknown".
    let identified = identified.filter(|value| value.contains(&b'/'));
    let is_identified = identified.is_some();
    let declared = match identified {
        Some(value) => {
            let kind = kind_of(&value).filter(|kind| accepts(media_types, *kind));
            Some(kind.ok_or_else(|| Rejected::ContentType(lossy(&value)))?)
        }
        None => match declared {
            Declared::BodyKind(kind) if accepts(media_types, kind) => Some(kind),
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
        true => BodyKind::Html,
        false => BodyKind::Plain,
    });
    let found = charset::detect(bytes, &content_type, kind == BodyKind::Html);
    let utf16 = [encoding_rs::UTF_16LE, encoding_rs::UTF_16BE].contains(&found.encoding);
    if !utf16 && format::is_binary(bytes) {
        return Err(binary());
    }
    if !accepts(media_types, kind) {
        return Err(Rejected::ContentType(lossy(&content_type)));
    }
    if kind == BodyKind::Html && !is_identified && !utf16 && format::is_other_text(bytes) {
        return Err(Rejected::OtherFormat);
    }
    let text = match kind {
        BodyKind::Html => markup_text(bytes, &found),
        BodyKind::Plain => plain_text(&charset::decode(bytes, &found)),
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

/// Whether the recipe reads bodies of this kind.
fn accepts(media_types: MediaTypes, kind: BodyKind) -> bool {
    kind == BodyKind::Html || media_types == MediaTypes::Text
}

/// What the header of a response says of its body.
enum Declared {
    BodyKind(BodyKind),
    /// A media type that is not read.
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

/// The kind as which a body of this media type is read; `None` if it is not.
fn kind_of(essence: &[u8]) -> Option<BodyKind> {
    match essence {
        b"text/html" | b"application/xhtml+xml" | b"application/vnd.wap.xhtml+xml" => Some(BodyKind::Html),
        b"text/plain" => Some(BodyKind::Plain),
        _ => None,
    }
}

/// The first usable value of `Content-Type` and its meaning; empty where the header is absent or names no media type.
fn content_type<'h>(head: &http::Head<'h>) -> (Cow<'h, [u8]>, Declared) {
    let mut other = None;
    for value in head.values("content-type") {
        let essence = essence(&value);
        if let Some(kind) = kind_of(&essence) {
            return (value, Declared::BodyKind(kind));
        }
        // "text/htmlcharset=utf-8": Common Crawl's WET has every page whose type contains "html".
        if memchr::memmem::find(&essence, b"html").is_some() {
            return (value, Declared::BodyKind(BodyKind::Html));
        }
        // A value that is no media type ("utf-8", "*/*") counts as absent.
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
        // No byte of a longer UTF-8 character is ASCII, so markup can be found before validation, and only the text has
        // to be validated. Malformed text is decoded first, below.
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
mod tests;
