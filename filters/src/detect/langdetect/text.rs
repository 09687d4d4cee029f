//! The preparation of a text before n-grams are cut out of it.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter, memmem};

use super::profiles::{OTHER, Profiles, SPACE};

/// `Detector.max_text_length`: code points that are read.
const MAX_LENGTH: usize = 10_000;
/// Bytes after the last code point read that can still change it: up to 64 letters of an address and its `@`, or `http`
/// and what follows, or a combining mark.
const REACH: usize = 65;
/// Lengths in `URL_RE` and `MAIL_RE`.
const MAX_URL: usize = 2076;
const MAX_MAILBOX: usize = 64;
const MAX_HOST: usize = 255;

/// `Detector.append`: the text without addresses of pages and mailboxes, Vietnamese letters composed, cut. Runs of
/// spaces are left in: they do not change the n-grams.
pub(super) fn prepare(text: &str) -> Cow<'_, str> {
    let end = cut(text);
    let bytes = text.as_bytes();
    let seen = &bytes[..bytes.len().min(end + REACH)];
    // The marks of the three replacements. U+0300 to U+033F start with byte CC.
    let url = memmem::find(seen, b"://").is_some();
    let mail = memchr(b'@', seen).is_some();
    let mark = memchr(0xcc, seen).is_some();
    if !(url || mail || mark) {
        return Cow::Borrowed(&text[..end]);
    }
    let mut text = Cow::Borrowed(text);
    for (found, replace) in [
        (url, without_urls as fn(&str) -> String),
        (mail, without_mailboxes),
        (mark, composed),
    ] {
        if found {
            text = Cow::Owned(replace(&text));
        }
    }
    let end = cut(&text);
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..end]),
        Cow::Owned(mut text) => {
            text.truncate(end);
            Cow::Owned(text)
        }
    }
}

/// The end of the first [`MAX_LENGTH`] code points.
fn cut(text: &str) -> usize {
    if text.len() <= MAX_LENGTH {
        return text.len();
    }
    let mut left = MAX_LENGTH;
    let mut at = 0;
    for block in text.as_bytes().chunks(64) {
        let starts: u8 = block.iter().map(|&byte| u8::from(starts(byte))).sum();
        if usize::from(starts) > left {
            break;
        }
        left -= usize::from(starts);
        at += block.len();
    }
    let rest = &text.as_bytes()[at..];
    let more = rest.iter().enumerate().filter(|&(_, &byte)| starts(byte)).nth(left);
    more.map_or(text.len(), |(more, _)| at + more)
}

/// Is it the first byte of a code point?
fn starts(byte: u8) -> bool {
    byte & 0xc0 != 0x80
}

/// `URL_RE.sub(' ', text)`: `https?://[-_.?&~;+=/#0-9A-Za-z]{1,2076}`.
fn without_urls(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for colon in memmem::find_iter(bytes, b"://") {
        let before = &bytes[..colon];
        let start = if before.ends_with(b"https") {
            colon - 5
        } else if before.ends_with(b"http") {
            colon - 4
        } else {
            continue;
        };
        let path = &bytes[colon + 3..];
        let length = run(path, MAX_URL, |byte| {
            byte.is_ascii_alphanumeric() || b"-_.?&~;+=/#".contains(&byte)
        });
        if start >= done && length > 0 {
            out.push_str(&text[done..start]);
            out.push(' ');
            done = colon + 3 + length;
        }
    }
    out.push_str(&text[done..]);
    out
}

/// `MAIL_RE.sub(' ', text)`: `[-_.0-9A-Za-z]{1,64}@[-_0-9A-Za-z]{1,255}[-_.0-9A-Za-z]{1,255}`.
fn without_mailboxes(text: &str) -> String {
    let label = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let dotted = |byte: u8| label(byte) || byte == b'.';
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for at in memchr_iter(b'@', bytes) {
        if at < done {
            continue;
        }
        let mailbox = bytes[done..at]
            .iter()
            .rev()
            .take(MAX_MAILBOX)
            .take_while(|&&byte| dotted(byte))
            .count();
        let host = &bytes[at + 1..];
        let first = run(host, MAX_HOST, label);
        let second = run(&host[first..], MAX_HOST, dotted);
        // A host of labels only gives its last letter to the second part.
        if mailbox > 0 && (first > 0 && second > 0 || first > 1) {
            out.push_str(&text[done..at - mailbox]);
            out.push(' ');
            done = at + 1 + first + second;
        }
    }
    out.push_str(&text[done..]);
    out
}

/// The number of first bytes that are in the set, `most` at most.
fn run(bytes: &[u8], most: usize, set: impl Fn(u8) -> bool) -> usize {
    bytes.iter().take(most).take_while(|&&byte| set(byte)).count()
}

/// `TO_NORMALIZE_VI_CHARS`, `DMARK_CLASS` and `NORMALIZED_VI_CHARS_*` of `utils/messages.properties`: letters,
/// combining marks, and for each mark the letters with it.
const PLAIN: &str = "AEIOUYaeiouyÂÊÔâêôĂăƠơƯư";
const MARKED: [(char, &str); 5] = [
    ('\u{300}', "ÀÈÌÒÙỲàèìòùỳẦỀỒầềồẰằỜờỪừ"),
    ('\u{301}', "ÁÉÍÓÚÝáéíóúýẤẾỐấếốẮắỚớỨứ"),
    ('\u{303}', "ÃẼĨÕŨỸãẽĩõũỹẪỄỖẫễỗẴẵỠỡỮữ"),
    ('\u{309}', "ẢẺỈỎỦỶảẻỉỏủỷẨỂỔẩểổẲẳỞởỬử"),
    ('\u{323}', "ẠẸỊỌỤỴạẹịọụỵẬỆỘậệộẶặỢợỰự"),
];

/// `NGram.normalize_vi`: composes letters with the marks after them.
fn composed(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let marked = MARKED
            .iter()
            .find(|(mark, _)| chars.peek() == Some(mark))
            .and_then(|(_, marked)| {
                let place = PLAIN.chars().position(|plain| plain == c)?;
                marked.chars().nth(place)
            });
        if marked.is_some() {
            chars.next();
        }
        out.push(marked.unwrap_or(c));
    }
    out
}

/// The classes of a text's characters, after two spaces and before what fills the last block.
pub(super) fn classes(profiles: &Profiles, text: &str) -> Vec<u16> {
    let mut classes = Vec::with_capacity(text.len() + 2 + BLOCK);
    classes.extend([SPACE; 2]);
    let foreign = append_classes(profiles, text, &mut classes);
    // `Detector.cleaning_text`: Latin letters are dropped from a text that is written in another script. Its `A` to `z`
    // holds six marks, too, and its "other script" all above U+0300.
    let latin = |c: char| ('A'..='z').contains(&c);
    if foreign > 0 {
        let latins = text.bytes().filter(|&byte| latin(char::from(byte))).count();
        if latins * 2 < foreign {
            classes.truncate(2);
            let rest = text.chars().filter(|&c| !latin(c));
            classes.extend(rest.map(|c| profiles.class(c)));
        }
    }
    let length = (classes.len() - 2).next_multiple_of(BLOCK) + 2;
    classes.resize(length, OTHER);
    classes
}

/// Characters handled at a time.
pub(super) const BLOCK: usize = 16;

/// Appends the classes of `text` and returns how many of its characters are at or above U+0300.
fn append_classes(profiles: &Profiles, text: &str, classes: &mut Vec<u16>) -> usize {
    let mut foreign = 0;
    let mut chars = text.chars();
    loop {
        let rest = chars.as_str();
        if let Some(block) = rest.as_bytes().first_chunk::<BLOCK>()
            && block.is_ascii()
        {
            classes.extend(block.map(|byte| profiles.ascii_class(byte)));
            chars = rest[BLOCK..].chars();
            continue;
        }
        if rest.is_empty() {
            return foreign;
        }
        for c in chars.by_ref().take(BLOCK) {
            foreign += usize::from(c >= '\u{300}');
            classes.push(profiles.class(c));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_become_a_space() {
        assert_eq!(prepare("see https://x.org/a b http:// c"), "see   b http:// c");
        assert_eq!(prepare("http://ahttp://b"), " ://b");
        assert_eq!(prepare("mail a.b@c.de, or a@b, a@bc"), "mail  , or a@b,  ");
        assert_eq!(prepare("a@b@c.de a@bc@d.ef"), "a@   @d.ef");
        let long = format!("{}@x.org", "a".repeat(70));
        assert_eq!(prepare(&long), "aaaaaa ");
        let long = format!("a@{}", "b".repeat(600));
        assert_eq!(prepare(&long), format!(" {}", "b".repeat(90)));
        let long = format!("http://{}", "b".repeat(2_080));
        assert_eq!(prepare(&long), " bbbb");
    }

    #[test]
    fn the_first_10_000_code_points_are_read() {
        for c in ["a", "é", "あ", "😀"] {
            assert_eq!(prepare(&c.repeat(10_001)), c.repeat(10_000));
            assert_eq!(prepare(&c.repeat(10_000)), c.repeat(10_000));
        }
        // What crosses the end is replaced first.
        let text = format!("{}foo@x.org bar", "é".repeat(9_998));
        assert_eq!(prepare(&text), format!("{}  ", "é".repeat(9_998)));
        let text = format!("{}e\u{301}", "x".repeat(9_999));
        assert_eq!(prepare(&text), format!("{}é", "x".repeat(9_999)));
    }

    #[test]
    fn vietnamese_letters_are_composed() {
        assert_eq!(prepare("a\u{301} x\u{301} ơ\u{323}\u{301}"), "á x\u{301} ợ\u{301}");
        for (_, marked) in MARKED {
            assert_eq!(marked.chars().count(), PLAIN.chars().count());
        }
    }
}
