//! WordSplitter as Punkt cuts them, and the marks that their spelling gives.

use super::chars::{
    COMMA, MULTI, NON_WORD, NOT_START, SPACE, WIDE, class, class_at, is_digit, is_letter, is_lower, is_upper,
    skip_space, space_len,
};

/// The type that all numbers share (`PunktToken._get_type`).
pub(super) const NUMBER: &[u8] = b"##number##";
/// The length in bytes of the longest word that the tables may hold.
pub(super) const MAX_KEY: usize = 64;

/// The mark of a word: it ends a sentence, or has a period for another reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    None,
    Break,
    Abbreviation,
    Ellipsis,
}

/// A word with the mark of the first pass (`PunktToken`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'t> {
    pub(super) text: &'t str,
    pub(super) mark: Mark,
}

impl Token<'_> {
    /// The key of the word in the tables: lower case, numbers all alike, without its final period if `bare`
    /// (`type_no_period`, `type_no_sentperiod`). `None` if no table can hold it.
    pub(super) fn type_of<'b>(&self, bare: bool, buffer: &'b mut [u8; MAX_KEY]) -> Option<&'b [u8]> {
        if is_number(self.text) {
            return Some(NUMBER);
        }
        match self.text.as_bytes() {
            [stem @ .., b'.'] if bare && !stem.is_empty() => lower(stem, buffer),
            bytes => lower(bytes, buffer),
        }
    }

    /// `PunktToken.is_initial`: one letter and a period.
    pub(super) fn is_initial(&self) -> bool {
        self.text.strip_suffix('.').is_some_and(|stem| {
            let mut chars = stem.chars();
            chars.next().is_some_and(is_letter) && chars.next().is_none()
        })
    }

    /// Whether the first character is upper case.
    pub(super) fn first_upper(&self) -> bool {
        self.text.chars().next().is_some_and(is_upper)
    }

    /// Whether the first character is lower case.
    pub(super) fn first_lower(&self) -> bool {
        self.text.chars().next().is_some_and(is_lower)
    }
}

/// `PunktToken._RE_NUMERIC`: `^-?[.,]?\d[\d,.-]*\.?$`.
fn is_number(word: &str) -> bool {
    let digits = word.strip_prefix('-').unwrap_or(word);
    let digits = digits.strip_prefix(['.', ',']).unwrap_or(digits);
    digits.chars().next().is_some_and(is_digit) && digits.chars().all(|c| matches!(c, ',' | '.' | '-') || is_digit(c))
}

/// The lower-case form of `word` if it is short enough for the tables and plain ASCII, as all their keys are. Beyond
/// ASCII only the Kelvin sign has an ASCII lower-case form.
pub(super) fn lower<'b>(word: &[u8], buffer: &'b mut [u8; MAX_KEY]) -> Option<&'b [u8]> {
    let mut rest = word;
    let mut len = 0;
    while let Some((&byte, tail)) = rest.split_first() {
        let (byte, tail) = if byte.is_ascii() {
            (byte.to_ascii_lowercase(), tail)
        } else {
            (b'k', rest.strip_prefix("\u{212a}".as_bytes())?)
        };
        *buffer.get_mut(len)? = byte;
        len += 1;
        rest = tail;
    }
    Some(&buffer[..len])
}

/// Splits a text into words (`PunktLanguageVars.word_tokenize`, on each line by itself).
pub(super) struct WordSplitter<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> WordSplitter<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }
}

impl<'t> Iterator for WordSplitter<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        let bytes = self.text.as_bytes();
        let start = skip_space(bytes, self.at);
        if start == bytes.len() {
            return None;
        }
        self.at = multi_char_end(bytes, start).unwrap_or_else(|| {
            if class_at(bytes, start) & NOT_START != 0 {
                start + 1
            } else {
                word_end(bytes, start)
            }
        });
        Some(&self.text[start..self.at])
    }
}

/// The end of the word that starts at `start`.
fn word_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        let class = class(bytes[at]);
        if class != 0 {
            let comma = class & COMMA != 0;
            if ends_word(bytes, at) || comma && (at + 1 == bytes.len() || ends_word(bytes, at + 1)) {
                break;
            }
        }
        at += 1;
    }
    at
}

/// Whether white space, punctuation or a multi-character mark is at `at`.
fn ends_word(bytes: &[u8], at: usize) -> bool {
    let class = class_at(bytes, at);
    class & (SPACE | NON_WORD) != 0
        || class & WIDE != 0 && space_len(bytes, at) > 0
        || class & MULTI != 0 && multi_char_end(bytes, at).is_some()
}

/// The end of the dash, the ellipsis or the spaced ellipsis that starts at `at` (`_re_multi_char_punct`). A spaced
/// ellipsis does not cross the end of a line.
fn multi_char_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mark = *bytes.get(at)?;
    if !matches!(mark, b'.' | b'-') {
        return None;
    }
    let run = bytes[at..].iter().take_while(|&&byte| byte == mark).count();
    if run > 1 {
        return Some(at + run);
    }
    if mark == b'-' {
        return None;
    }
    let mut end = at + 1;
    let mut dots = 1;
    loop {
        let space = space_len(bytes, end);
        if space == 0 || bytes[end] == b'\n' || bytes.get(end + space) != Some(&b'.') {
            return (dots > 2).then_some(end);
        }
        end += space + 1;
        dots += 1;
    }
}
