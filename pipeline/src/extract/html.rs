//! The text of HTML, as Common Crawl's WET files have it.
//!
//! A streaming tokenizer after the WHATWG HTML standard (section 13.2.5) with one output rule per element and no tree:
//! it holds the text in memory, and takes time linear in the input, whatever its nesting.
//!
//! The output rules are those of `ia-web-commons` (Common Crawl, Apache-2.0), the program that writes the WET files:
//! its lists of elements are used, its code is not. Some elements break the line, some put a space, all others vanish;
//! only `script` and `style` content is left out, so the text of `noscript`, `textarea`, `template`, `select` and
//! `iframe` is kept; `pre` keeps its line breaks; everywhere else white space, control characters and no-break spaces
//! fold to one blank.

mod elements;
mod reference;

use memchr::{memchr, memchr2, memmem};

use elements::{Effect, effect};
use reference::Referent;

/// Extracts the text of `html`. Lines are separated by `\n`, no line is empty, and neither end has white space.
///
/// Any input is accepted; malformed markup is read as the standard's tokenizer reads it. Takes time linear in the
/// length of `html`.
pub fn html_to_text(html: &str) -> String {
    let text = html_bytes_to_text(html.as_bytes());
    // The tokenizer cuts only at ASCII bytes and adds only whole characters.
    let text = String::from_utf8(text).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
    trimmed(text)
}

/// `text` without white space at its ends; not copied when there is none at the start.
pub(crate) fn trimmed(mut text: String) -> String {
    text.truncate(text.trim_end().len());
    let blank = text.len() - text.trim_start().len();
    if blank > 0 {
        text.drain(..blank);
    }
    text
}

/// Extracts text as [`html_to_text`] does, from bytes in UTF-8 or any encoding whose multi-byte characters have no
/// ASCII bytes. Text bytes are copied as they are, so the output is as well-formed as the input. White space may be
/// left at its ends.
pub(crate) fn html_bytes_to_text(html: &[u8]) -> Vec<u8> {
    let mut sink = TextSink {
        out: Vec::with_capacity(html.len() / 8 + 64),
        blank: true,
        pre: false,
        raw: RawText::default(),
    };
    let mut pos = 0;
    while pos < html.len() {
        if html[pos] == b'<' {
            pos = markup(html, pos, &mut sink);
        } else if sink.pre {
            pos = sink.pre_text(html, pos);
        } else {
            pos = sink.text(html, pos);
        }
    }
    sink.out
}

/// Reads the markup that starts with the `<` at `lt`, and gives the position after it.
fn markup(html: &[u8], lt: usize, sink: &mut TextSink) -> usize {
    let start = lt + 1;
    let Some(&next) = html.get(start) else {
        sink.push(b"<");
        return start;
    };
    match next {
        b'!' => declaration(html, start + 1),
        b'?' => past(html, start, b'>'),
        b'/' => match html.get(start + 1) {
            Some(b) if b.is_ascii_alphabetic() => {
                let name = name_end(html, start + 1);
                let (end, _) = tag_end(html, name);
                match effect(&html[start + 1..name]) {
                    Effect::Break | Effect::Title => sink.line_break(),
                    Effect::Space => sink.space(),
                    Effect::Pre => {
                        sink.line_break();
                        sink.pre = false;
                    }
                    Effect::None | Effect::Raw(_) => {}
                }
                end
            }
            Some(_) => past(html, start + 1, b'>'),
            None => {
                sink.push(b"</");
                html.len()
            }
        },
        b if b.is_ascii_alphabetic() => {
            let name = name_end(html, start);
            let (end, closed) = tag_end(html, name);
            match effect(&html[start..name]) {
                Effect::Break => sink.line_break(),
                Effect::Space => sink.space(),
                Effect::Pre => {
                    sink.line_break();
                    sink.pre = !closed;
                }
                Effect::Raw(name) if !closed => return sink.raw.end(html, end, name),
                Effect::None | Effect::Title | Effect::Raw(_) => {}
            }
            end
        }
        _ => {
            sink.push(b"<");
            start
        }
    }
}

/// The position after the next `byte` from `pos` on, or the end.
fn past(html: &[u8], pos: usize, byte: u8) -> usize {
    memchr(byte, &html[pos..]).map_or(html.len(), |i| pos + i + 1)
}

/// The position after a comment or another `<!` construct whose content starts at `pos`.
fn declaration(html: &[u8], pos: usize) -> usize {
    let rest = &html[pos..];
    if !rest.starts_with(b"--") {
        return past(html, pos, b'>');
    }
    // "<!-->" and "<!--->" are whole comments: their dashes count for both ends.
    let mut end = 0;
    while let Some(i) = memchr(b'>', &rest[end..]) {
        end += i;
        let comment = &rest[..end];
        if comment.ends_with(b"--") || (end > 4 && comment.ends_with(b"--!")) {
            return pos + end + 1;
        }
        end += 1;
    }
    html.len()
}

/// Bytes that end a tag or attribute name.
fn ends_name(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 0x0c | b'/' | b'>')
}

/// The end of the tag name at `pos`.
fn name_end(html: &[u8], pos: usize) -> usize {
    let len = html[pos..].iter().position(|&b| ends_name(b));
    len.map_or(html.len(), |n| pos + n)
}

/// Skips the attributes from the end of a tag name; gives the position after the `>` and whether the tag closes itself.
/// A tag that the input cuts off ends with the input.
fn tag_end(html: &[u8], mut pos: usize) -> (usize, bool) {
    let mut slash = false;
    loop {
        // Before an attribute name.
        match html.get(pos) {
            None => return (html.len(), false),
            Some(b'>') => return (pos + 1, slash),
            Some(b'/') => {
                slash = true;
                pos += 1;
                continue;
            }
            Some(b' ' | b'\t' | b'\n' | b'\r' | 0x0c) => {
                pos += 1;
                continue;
            }
            Some(_) => slash = false,
        }
        // The name; a "=" in first place belongs to it.
        pos += 1;
        while html.get(pos).is_some_and(|&b| b != b'=' && !ends_name(b)) {
            pos += 1;
        }
        let mut value = pos;
        while html.get(value).is_some_and(u8::is_ascii_whitespace) {
            value += 1;
        }
        if html.get(value) != Some(&b'=') {
            continue;
        }
        value += 1;
        while html.get(value).is_some_and(u8::is_ascii_whitespace) {
            value += 1;
        }
        pos = match html.get(value) {
            Some(&quote @ (b'"' | b'\'')) => past(html, value + 1, quote),
            _ => {
                let rest = &html[value.min(html.len())..];
                let len = rest.iter().position(|b| b.is_ascii_whitespace() || *b == b'>');
                len.map_or(html.len(), |n| value + n)
            }
        };
    }
}

/// Finds the ends of the raw text elements of a page.
#[derive(Default)]
pub(crate) struct RawText {
    /// Whether a script was found that an escape keeps open to the end of the page.
    open_to_the_end: bool,
}

impl RawText {
    /// The start of the end tag that closes the raw text element `name`, whose content begins at
    /// `pos`; the end of the input without one. For all elements of a page together it makes a bounded number of passes
    /// over it.
    pub(crate) fn end(&mut self, html: &[u8], pos: usize, name: &[u8]) -> usize {
        let mut from = pos;
        let first = loop {
            let Some(i) = memmem::find(&html[from..], b"</") else {
                return html.len();
            };
            from += i + 2;
            if is_tag(html, from, name) {
                break from - 2;
            }
        };
        let escaped = || memmem::find(&html[pos..first], b"<!--").is_some();
        // After a script that an escape keeps open to the end, every later one ends at its first end tag: from the next
        // comment or inner script on, both are in the same state.
        if name != b"script" || self.open_to_the_end || !escaped() {
            return first;
        }
        let end = escaped_script_end(html, pos);
        self.open_to_the_end = end.is_none();
        // Without an end the standard would drop the rest of the page; ending at the first end tag keeps it.
        end.unwrap_or(first)
    }
}

/// Whether the tag name at `at` is `name`.
fn is_tag(html: &[u8], at: usize, name: &[u8]) -> bool {
    html.get(at..at + name.len())
        .is_some_and(|n| n.eq_ignore_ascii_case(name))
        && html.get(at + name.len()).is_none_or(|&b| ends_name(b))
}

/// The start of the end tag that closes a script with a comment in it, by the "script data double
/// escaped" states: inside "<!-- <script", the next end tag closes only the inner script.
fn escaped_script_end(html: &[u8], pos: usize) -> Option<usize> {
    let (mut comment, mut inner) = (false, false);
    let mut at = pos;
    while let Some(i) = memchr2(b'<', b'-', &html[at..]) {
        at += i;
        let rest = &html[at..];
        if rest.starts_with(b"<!--") {
            comment = true;
            // Its dashes may end it as well: "<!-->".
            at += 2;
        } else if comment && rest.starts_with(b"-->") {
            (comment, inner) = (false, false);
            at += 3;
        } else if comment && is_tag(html, at + 1, b"script") && rest[0] == b'<' {
            inner = true;
            at += 1;
        } else if rest.starts_with(b"</") && is_tag(html, at + 2, b"script") {
            if !inner {
                return Some(at);
            }
            inner = false;
            at += 2;
        } else {
            at += 1;
        }
    }
    None
}

/// The class of bytes that the text loop copies as they are.
const ORDINARY: u8 = 0;
const BLANK: u8 = 1;
const ENTITY: u8 = 2;
const TAG: u8 = 3;
/// May begin a white space character outside ASCII.
const LEAD: u8 = 4;

static CLASS: [u8; 256] = {
    let mut class = [ORDINARY; 256];
    let mut b = 0;
    while b <= 0x20 {
        class[b] = BLANK;
        b += 1;
    }
    class[0x7f] = BLANK;
    class[b'&' as usize] = ENTITY;
    class[b'<' as usize] = TAG;
    class[0xc2] = LEAD;
    class[0xe1] = LEAD;
    class[0xe2] = LEAD;
    class[0xe3] = LEAD;
    class
};

/// Whether `c` is white space outside ASCII that folds: that of Java's `Character.isWhitespace`, and the no-break
/// space.
fn folds(c: char) -> bool {
    matches!(c, '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{2006}' | '\u{2008}'..='\u{200a}'
        | '\u{2028}' | '\u{2029}' | '\u{205f}' | '\u{3000}')
}

/// The length in bytes of the white space character that the lead byte at `pos` begins, or 0.
fn wide_blank(html: &[u8], pos: usize) -> usize {
    match &html[pos..] {
        [0xc2, 0xa0, ..] => 2,
        [0xe1, 0x9a, 0x80, ..]
        | [0xe2, 0x80, 0x80..=0x86 | 0x88..=0x8a | 0xa8 | 0xa9, ..]
        | [0xe2, 0x81, 0x9f, ..]
        | [0xe3, 0x80, 0x80, ..] => 3,
        _ => 0,
    }
}

/// The text that has been extracted so far.
struct TextSink {
    out: Vec<u8>,
    /// Whether a further blank would be folded away: at the start and after white space.
    blank: bool,
    /// Whether the position is inside `pre`.
    pre: bool,
    raw: RawText,
}

impl TextSink {
    fn push(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
        self.blank = false;
    }

    fn space(&mut self) {
        if !matches!(self.out.last(), None | Some(b' ' | b'\n')) {
            self.out.push(b' ');
        }
        self.blank = true;
    }

    fn line_break(&mut self) {
        while matches!(self.out.last(), Some(b' ' | b'\t')) {
            self.out.pop();
        }
        if !matches!(self.out.last(), None | Some(b'\n')) {
            self.out.push(b'\n');
        }
        self.blank = true;
    }

    /// Adds the text from `pos` up to the next `<` or the end, and gives that position.
    fn text(&mut self, html: &[u8], mut pos: usize) -> usize {
        loop {
            let start = pos;
            // A run of bytes that are taken as they are, single spaces inside it included.
            let class = loop {
                let Some(&b) = html.get(pos) else { break TAG };
                match CLASS[usize::from(b)] {
                    ORDINARY => pos += 1,
                    LEAD if wide_blank(html, pos) == 0 => pos += 1,
                    BLANK
                        if b == b' '
                            && pos > start
                            && html.get(pos + 1).is_some_and(|&n| CLASS[usize::from(n)] == ORDINARY) =>
                    {
                        pos += 2;
                    }
                    class => break class,
                }
            };
            if pos > start {
                self.push(&html[start..pos]);
            }
            match class {
                BLANK => {
                    pos += 1;
                    while html.get(pos).is_some_and(|&b| CLASS[usize::from(b)] == BLANK) {
                        pos += 1;
                    }
                    if !self.blank {
                        self.out.push(b' ');
                        self.blank = true;
                    }
                }
                LEAD => {
                    let len = wide_blank(html, pos);
                    if !self.blank {
                        // The no-break space becomes a space, the others are kept.
                        if len == 2 {
                            self.out.push(b' ');
                        } else {
                            self.out.extend_from_slice(&html[pos..pos + len]);
                        }
                        self.blank = true;
                    }
                    pos += len;
                }
                ENTITY => pos = self.reference(html, pos),
                _ => return pos,
            }
        }
    }

    /// Adds text as [`TextSink::text`] does, but inside `pre`: line breaks count and blanks are kept.
    fn pre_text(&mut self, html: &[u8], mut pos: usize) -> usize {
        while let Some(&b) = html.get(pos) {
            match b {
                b'<' => break,
                b'&' => pos = self.reference(html, pos),
                _ => {
                    self.pre_byte(b);
                    pos += 1;
                }
            }
        }
        pos
    }

    fn pre_byte(&mut self, b: u8) {
        match b {
            b'\n' | b'\r' | 0x0c => self.line_break(),
            b'\t' => {
                self.out.push(b);
                self.blank = true;
            }
            0..=0x20 | 0x7f => {
                self.out.push(b' ');
                self.blank = true;
            }
            _ => self.push(&[b]),
        }
    }

    fn character(&mut self, c: char) {
        if c <= ' ' || c == '\x7f' || c == '\u{a0}' {
            match (self.pre, c) {
                (true, '\u{a0}') => self.pre_byte(b' '),
                // All others here are ASCII.
                (true, _) => self.pre_byte(c as u8),
                (false, _) if !self.blank => {
                    self.out.push(b' ');
                    self.blank = true;
                }
                (false, _) => {}
            }
            return;
        }
        let blank = folds(c);
        if !(blank && self.blank && !self.pre) {
            self.out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            self.blank = blank;
        }
    }

    /// Adds the character reference at the `&` at `pos`, or the `&` itself, and gives the position after it.
    fn reference(&mut self, html: &[u8], pos: usize) -> usize {
        let rest = &html[pos..];
        if let Some((referent, len)) = reference::read(rest) {
            match referent {
                Referent::One(c) => self.character(c),
                Referent::Text(text) => text.chars().for_each(|c| self.character(c)),
            }
            return pos + len;
        }
        self.push(b"&");
        pos + 1
    }
}

#[cfg(test)]
mod tests;
