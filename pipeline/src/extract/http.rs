//! HTTP responses as a WARC `response` record holds them.
//!
//! [`parse_head`] splits a record's block into status, header fields and body; [`decode_body`] undoes the transfer and
//! content codings. Both follow RFC 9112 and RFC 9110 and read leniently what servers and crawlers write in practice:
//! bare LF line ends, folded fields, markup among the fields, wrong lengths, and codings that are announced but were
//! already removed by the crawler. (`DECISIONS.md` says why heads are not read by `httparse`.)

mod body;

use memchr::memchr;
use std::borrow::Cow;

pub(crate) use body::{MAX_DECODED_BYTES, dechunk, decode_body, decode_body_limited, without_line_ends};

/// The most interim (1xx) responses that are skipped before the final one.
const MAX_INTERIM: usize = 4;

/// The most bytes of header fields that are read. Browsers accept 256 KiB; pages of real crawls have some 2 KiB.
pub(crate) const MAX_HEAD_BYTES: usize = 1 << 20;

/// Why a block has no HTTP head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeadError {
    /// The block does not begin with a status line.
    Malformed,
    /// The header fields have more than [`MAX_HEAD_BYTES`].
    TooLarge,
}

/// The head of one response, with the body still encoded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head<'a> {
    /// The status code, 100 to 999.
    pub status: u16,
    /// The lines of the header fields. They are searched for each field and collected nowhere, so a head of a million
    /// fields takes no memory.
    lines: &'a [u8],
    /// The bytes after the blank line. `Content-Length` is ignored: the record's own length says where the body ends,
    /// and crawlers keep the server's number after decoding.
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
}

/// The value in `line` if it is a field called `name`.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    if !line.get(..name.len())?.eq_ignore_ascii_case(name) {
        return None;
    }
    let value = line[name.len()..].trim_ascii_start().strip_prefix(b":")?;
    Some(value.trim_ascii())
}

/// Parses the status line and header fields of `block`, the whole block of a `response` record.
///
/// Interim (1xx) responses are skipped. Costs one pass over the head.
///
/// # Errors
///
/// There is no status line, or no end of the head within [`MAX_HEAD_BYTES`].
pub(crate) fn parse_head(block: &[u8]) -> Result<Head<'_>, HeadError> {
    let mut head = parse_one(block)?;
    for _ in 0..MAX_INTERIM {
        if !(100..200).contains(&head.status) {
            break;
        }
        match parse_one(head.body) {
            Ok(next) => head = next,
            Err(HeadError::Malformed) => break,
            Err(HeadError::TooLarge) => return Err(HeadError::TooLarge),
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

fn parse_one(block: &[u8]) -> Result<Head<'_>, HeadError> {
    let (line, lines) = split_line(block.trim_ascii_start());
    let status = parse_status(line).ok_or(HeadError::Malformed)?;
    let mut rest = lines;
    let mut markup_seen = false;
    let (end, body) = loop {
        let at = lines.len() - rest.len();
        if at > MAX_HEAD_BYTES {
            return Err(HeadError::TooLarge);
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

/// Whether `rest`, which begins with a `<` where a header field should, is the body of a head without its blank line.
/// Otherwise a program has printed markup among its header fields, and the blank line is still to come: field lines
/// follow, or at least the line is not how a document begins.
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
                // Code in a page may have the characters of a field name before a colon, too.
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

/// Whether a field name may have this byte (`tchar` of RFC 9110 section 5.6.2).
fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// The code in `HTTP[/<version>] <code>[ <reason>]`. Servers before HTTP/1.0 and servers of ICY streams give no
/// version.
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

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(parse_head(&block).err(), Some(HeadError::TooLarge));
        let within = [b"HTTP/1.1 200 OK\n", b"a:\n".repeat(1 << 18).as_slice(), b"\n<p>x"].concat();
        let head = parse_head(&within).expect("a head");
        assert_eq!((head.values("a").count(), head.body), (1 << 18, &b"<p>x"[..]));
        let line = [b"HTTP/1.1 200 OK\na:".as_slice(), &vec![b'b'; 2 << 20]].concat();
        assert_eq!(parse_head(&line).err(), Some(HeadError::TooLarge));
    }
}
