//! The format of a body, found from its bytes.
//!
//! Servers send images, archives, feeds and code as `text/html`. As pages these would be letters between U+FFFD, so
//! they are recognized by what no page has: a magic number with binary data behind it, control bytes in the first KiB,
//! the root element of another XML format, or text that is data or code from start to end. A body that begins as markup
//! is read no further than its root element; text without markup counts as a page unless it is surely something else.

use serde::de::IgnoredAny;

/// The number of bytes that are searched for binary data; the MIME Sniffing Standard reads 1,445.
const SAMPLE_BYTES: usize = 1024;

/// Whether `body` begins with the byte order mark of UTF-32, which no browser reads.
pub(super) fn is_utf32(body: &[u8]) -> bool {
    // To be asked before UTF-16: its mark is the first half of one of these.
    body.starts_with(b"\xff\xfe\0\0") || body.starts_with(b"\0\0\xfe\xff")
}

/// Whether `body` is binary data or begins as another format. Not for UTF-16.
pub(super) fn is_binary(body: &[u8]) -> bool {
    let start = start(body);
    if begins_as_markup(start) {
        return has_zeros(body);
    }
    const TEXTUAL: [&[u8]; 4] = [b"%PDF-", b"%!PS", b"{\\rtf", b"#!/"];
    if TEXTUAL.iter().any(|magic| start.starts_with(magic)) {
        return true;
    }
    let sample = &body[..body.len().min(SAMPLE_BYTES)];
    let controls = sample.iter().filter(|b| is_binary_byte(**b)).count();
    if controls == 0 {
        return false;
    }
    // Runs are counted, since padding is a single one. Of random bytes one in nine begins a run.
    let begins = |w: &&[u8]| !is_binary_byte(w[0]) && is_binary_byte(w[1]);
    let runs = sample.windows(2).filter(begins).count() + usize::from(is_binary_byte(sample[0]));
    if runs > 1 && runs * 32 > sample.len() {
        return true;
    }
    // Some magic numbers are two letters, so there must be a control byte as well.
    let known = infer::get(body);
    known.is_some_and(|kind| kind.matcher_type() != infer::MatcherType::Text)
}

/// Whether zero bytes are spread over the first KiB as in binary formats and in UTF-32, not in
/// one stretch of padding: a run of them in every ten bytes.
fn has_zeros(body: &[u8]) -> bool {
    let sample = &body[..body.len().min(SAMPLE_BYTES)];
    if memchr::memchr(0, sample).is_none() {
        return false;
    }
    let runs = sample.windows(2).filter(|w| w[0] != 0 && w[1] == 0).count();
    runs * 10 > sample.len()
}

/// Whether `b` is a "binary data byte" of the MIME Sniffing Standard.
fn is_binary_byte(b: u8) -> bool {
    matches!(b, 0..=8 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f)
}

/// The body after a byte order mark of UTF-8 and white space.
fn start(body: &[u8]) -> &[u8] {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    body.trim_ascii_start()
}

/// Whether `bytes` begin with a tag, a comment or a declaration.
fn begins_as_markup(bytes: &[u8]) -> bool {
    matches!(bytes, [b'<', b'!' | b'?' | b'/', ..]) || matches!(bytes, [b'<', b, ..] if b.is_ascii_alphabetic())
}

/// Whether there is markup anywhere in `body`.
fn has_markup(body: &[u8]) -> bool {
    memchr::memchr_iter(b'<', body).any(|i| begins_as_markup(&body[i..]))
}

/// Whether a body without a media type is HTML: a tag, a comment or a declaration is in its first KiB.
pub(super) fn looks_like_html(body: &[u8]) -> bool {
    let utf16 = matches!(body.get(..2), Some(b"\xff\xfe" | b"\xfe\xff"));
    utf16 || has_markup(&body[..body.len().min(SAMPLE_BYTES)])
}

/// Whether `body`, which is text, is surely in another format than HTML: another XML format, JSON,
/// a style sheet, a script, a table, or a calendar, a contact or a key. Linear in the body.
pub(super) fn is_other_text(body: &[u8]) -> bool {
    let start = start(body);
    if begins_as_markup(start) {
        return is_other_xml(start);
    }
    let begins = |with: &&[u8]| start.starts_with(with);
    const ARMOURED: [&[u8]; 3] = [b"-----BEGIN ", b"BEGIN:VCALENDAR", b"BEGIN:VCARD"];
    ARMOURED.iter().any(begins)
        || is_json(start)
        || is_script(start)
        || !has_markup(start) && (is_style_sheet(start) || is_table(start))
}

/// Whether the root element is that of a feed, a drawing or another XML format, as in "sniffing a
/// mislabeled feed" of the MIME Sniffing Standard. `start` is markup.
fn is_other_xml(start: &[u8]) -> bool {
    /// Roots that are not HTML's even without an XML declaration.
    const OTHERS: [&[u8]; 9] = [
        b"rss",
        b"feed",
        b"RDF",
        b"svg",
        b"urlset",
        b"sitemapindex",
        b"opml",
        b"kml",
        b"wml",
    ];
    /// The elements with which a fragment of HTML may begin after an XML declaration.
    const HTML: &str = "html head body frameset title meta link base script style noscript div span p \
        a b i u em strong br hr h1 h2 h3 h4 h5 h6 table tr td ul ol li dl center font form iframe img \
        section article header footer main nav pre blockquote";
    let declared = start.starts_with(b"<?xml");
    let mut rest = start;
    loop {
        rest = rest.trim_ascii_start();
        let doctype = rest.get(..10);
        if doctype.is_some_and(|d| d.eq_ignore_ascii_case(b"<!DOCTYPE ")) {
            let name = rest[10..].trim_ascii_start();
            // "html" is not among them.
            return OTHERS.iter().any(|other| name.starts_with(other));
        }
        let end: &[u8] = match rest {
            [b'<', b'!', b'-', b'-', ..] => b"-->",
            [b'<', b'!' | b'?', ..] => b">",
            _ => break,
        };
        let Some(at) = memchr::memmem::find(rest, end) else {
            return false;
        };
        rest = &rest[at + end.len()..];
    }
    let Some(name) = rest.strip_prefix(b"<") else {
        return false;
    };
    let end = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'>' | b'/');
    let name = &name[..name.iter().position(end).unwrap_or(name.len())];
    // A prefix is the document's own choice.
    let local = name.rsplit(|&b| b == b':').next().unwrap_or(name);
    if OTHERS.contains(&local) {
        return true;
    }
    let html = |known: &str| local.eq_ignore_ascii_case(known.as_bytes());
    declared && name.first().is_some_and(u8::is_ascii_alphabetic) && !HTML.split(' ').any(html)
}

/// Whether the whole body is one JSON object or array.
fn is_json(start: &[u8]) -> bool {
    matches!(start.first(), Some(b'{' | b'['))
        && matches!(start.trim_ascii_end().last(), Some(b'}' | b']'))
        && serde_json::from_slice::<IgnoredAny>(start).is_ok()
}

/// Whether the body begins (after comments) and ends as a script does.
fn is_script(start: &[u8]) -> bool {
    const BEGINNINGS: [&[u8]; 16] = [
        b"var ",
        b"let ",
        b"const ",
        b"function ",
        b"function(",
        b"(function",
        b"!function",
        b";(function",
        b"\"use strict\"",
        b"'use strict'",
        b"window.",
        b"document.",
        b"$(",
        b"jQuery(",
        b"import ",
        b"export ",
    ];
    let ends = matches!(start.trim_ascii_end().last(), Some(b';' | b'}' | b')'));
    let code = without_comments(start);
    ends && BEGINNINGS.iter().any(|with| code.starts_with(with))
}

/// The code after the comments at the start of a script or a style sheet.
fn without_comments(mut code: &[u8]) -> &[u8] {
    loop {
        code = code.trim_ascii_start();
        let end: &[u8] = match code {
            [b'/', b'*', ..] => b"*/",
            [b'/', b'/', ..] => b"\n",
            _ => return code,
        };
        let Some(at) = memchr::memmem::find(code, end) else {
            return b"";
        };
        code = &code[at + end.len()..];
    }
}

/// Whether the whole body is the rules of a style sheet: selectors with blocks of declarations.
fn is_style_sheet(start: &[u8]) -> bool {
    let mut rest = without_comments(start);
    let (mut depth, mut blocks) = (0_u32, 0_u32);
    while let Some(at) = memchr::memchr3(b'{', b'}', b';', rest) {
        let part = without_comments(&rest[..at]).trim_ascii();
        match rest[at] {
            b'{' if part.is_empty() => return false,
            b'{' => depth += 1,
            // `@import "x";` and the like stand outside of blocks.
            _ if depth == 0 && !part.starts_with(b"@") => return false,
            _ if depth > 0 && !part.is_empty() && !part.contains(&b':') => return false,
            b'}' if depth == 0 => return false,
            b'}' => {
                depth -= 1;
                blocks += 1;
            }
            _ => {}
        }
        rest = &rest[at + 1..];
    }
    depth == 0 && blocks > 0 && without_comments(rest).is_empty()
}

/// Whether the whole body is rows of the same number of fields, at least three, of which none ends as a sentence does.
fn is_table(start: &[u8]) -> bool {
    let of = |separator: u8| {
        let mut rows = start.split(|&b| b == b'\n').map(<[u8]>::trim_ascii);
        let mut rows = rows.by_ref().filter(|row| !row.is_empty());
        let fields = |row: &[u8]| row.iter().filter(|b| **b == separator).count();
        let Some(first) = rows.next().map(fields) else {
            return false;
        };
        let (mut more, mut alike) = (0, first >= 2);
        for row in rows {
            alike = alike && fields(row) == first && !matches!(row.last(), Some(b'.' | b'!' | b'?'));
            if !alike {
                return false;
            }
            more += 1;
        }
        alike && more > 0
    };
    of(b',') || of(b';') || of(b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_formats() {
        for body in [
            "<?xml version='1.0'?><feed><entry><title>T</title></entry></feed>",
            "\u{feff} <?xml version='1.0'?>\n<!-- a > b -->\n<catalog><x>y</x></catalog>",
            "<!-- made by x --><rss version='2.0'><channel/></rss>",
            "<rdf:RDF xmlns:rdf='x'></rdf:RDF>",
            "<!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN'><svg></svg>",
            "<svg xmlns='http://www.w3.org/2000/svg'><text>Label</text></svg>",
            "{\"a\": [1, 2], \"html\": \"<p>Hello.</p>\"}\r\n",
            "[\"a\", null]",
            "/* x */ .a{color:red}\n.b { margin: 0; }\n@media print { p { x: y } }",
            "@charset \"utf-8\"; p{}",
            "// x\nvar a = '<p>hello</p>'; function f() { return 1; }",
            "(function(){ document.write('<b>x</b>') })()",
            "a,b,c\n1,2,3\n4,5,6\n",
            "BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n",
            "-----BEGIN PGP MESSAGE-----\n\nhQEMAAbC\n",
        ] {
            assert!(is_other_text(body.as_bytes()), "{body}");
        }
    }

    #[test]
    fn pages() {
        for body in [
            "",
            "hello",
            "<p>x",
            "</p>x",
            "<!DOCTYPE html><svg></svg>",
            "<!doctype HTML>",
            "<?xml version='1.0'?><!DOCTYPE html PUBLIC 'x'><html>",
            "<?xml version='1.0' encoding='utf-8'?>\n<HTML xmlns='x'><p>y",
            "<?xml version='1.0'?><xhtml:html>",
            "<?xml version='1.0'?><br /><b>Warning</b>: x",
            "<?xml version='1.0'?>text <feed>",
            "<!-- open",
            "<custom-element>x</custom-element>",
            "{% include x %}<p>text</p>",
            "[Home] [News] <p>text</p> [End]",
            "{ a smile }",
            "var x; <p>The rain began.</p>",
            "Red, green, blue.\nOne, two, three.\n",
            "Roses are red,\nviolets are blue,\n",
            "a { b",
            "Use {name} in place of {}; it is shorter.",
            "MZ is the name of a band.",
            "BM, the museum, opens at ten.",
        ] {
            assert!(!is_other_text(body.as_bytes()), "{body}");
            assert!(!is_binary(body.as_bytes()), "{body}");
        }
        // Stray control characters and padding do not make a page binary.
        for body in [
            b"a\x01b and some more text, enough for a line".as_slice(),
            &[0; 500],
            b"\0\0\0<p>x",
        ] {
            assert!(!is_binary(body), "{body:?}");
        }
    }

    #[test]
    fn binary_data() {
        let mut state = 0x2545_f491_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 8) as u8
        })
        .filter(|b| *b != 0)
        .take(3000)
        .collect();
        assert!(is_binary(&noise));
        for len in [100, 200] {
            let all = noise.chunks(len).filter(|part| is_binary(part)).count();
            assert!(all * len * 10 > 9 * noise.len(), "{len}: {all}");
        }
        for magic in [
            &b"\x89PNG\r\n\x1a\n"[..],
            b"PK\x03\x04",
            b"7z\xbc\xaf\x27\x1c",
            b"%PDF-1.4\n",
            b"%!PS-Adobe",
        ] {
            assert!(is_binary(
                &[magic, b" text that is like a page's text, for long".as_slice()].concat()
            ));
        }
    }
}
