//! Python's notions of white space, lines and words, where Rust's differ.
//!
//! Python 3.11 counts U+001C to U+001F as white space and Rust does not; all else is equal. Lines are cut in two ways:
//! `str.splitlines` (ten kinds of boundary) and text files with universal newlines (three).

/// Whether `c` is white space: Python's `str.isspace` for one character.
#[inline]
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// `text` without white space at both ends: Python's `str.strip()`.
#[inline]
pub fn strip(text: &str) -> &str {
    match text.as_bytes() {
        // Most text has nothing to strip.
        [b'!'..=b'~'] | [b'!'..=b'~', .., b'!'..=b'~'] => text,
        _ => text.trim_matches(is_space),
    }
}

/// The words of a text: Python's `str.split()`. Lazy, in one pass.
#[inline]
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

/// Whether a text has at least `n` words as Python's `str.split()` cuts them; stops at the `n`th.
#[inline]
pub fn has_words(text: &str, n: usize) -> bool {
    n == 0 || words(text).nth(n - 1).is_some()
}

/// The lines of a text: Python's `str.splitlines()`. Lines end at `\n`, `\r`, `\r\n`, U+000B, U+000C, U+001C to U+001E,
/// U+0085, U+2028 and U+2029; no empty line after a final boundary.
pub fn split_lines(text: &str) -> SplitLines<'_> {
    SplitLines { rest: text }
}

/// The iterator of [`split_lines`].
#[derive(Debug, Clone)]
pub struct SplitLines<'t> {
    rest: &'t str,
}

/// The byte length of the line boundary at the start of `bytes`; 0 if there is none.
#[inline]
fn boundary(bytes: &[u8]) -> usize {
    match bytes {
        [b'\r', b'\n', ..] => 2,
        [b'\n' | b'\r' | 0x0b | 0x0c | 0x1c..=0x1e, ..] => 1,
        [0xc2, 0x85, ..] => 2,
        [0xe2, 0x80, 0xa8 | 0xa9, ..] => 3,
        _ => 0,
    }
}

impl<'t> Iterator for SplitLines<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        if self.rest.is_empty() {
            return None;
        }
        let bytes = self.rest.as_bytes();
        let mut i = 0;
        while i < bytes.len() {
            // Boundaries start with a control byte or with the lead byte of U+0085 or U+2028.
            if bytes[i] < 0x20 || bytes[i] == 0xc2 || bytes[i] == 0xe2 {
                let n = boundary(&bytes[i..]);
                if n > 0 {
                    let line = &self.rest[..i];
                    self.rest = &self.rest[i + n..];
                    return Some(line);
                }
            }
            i += 1;
        }
        let line = self.rest;
        self.rest = "";
        Some(line)
    }
}

/// The number of lines that Python's `str.splitlines()` gives.
pub fn count_lines(text: &str) -> usize {
    split_lines(text).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_python_boundaries_only() {
        let text = "a\nb\rc\r\nd\x0be\x0cf\x1cg\x1dh\x1ei\u{85}j\u{2028}k\u{2029}l\x1fm\u{a0}n\n";
        let lines: Vec<&str> = split_lines(text).collect();
        let expected = "a b c d e f g h i j k l\x1fm\u{a0}n";
        assert_eq!(lines, expected.split(' ').collect::<Vec<_>>());
        assert_eq!(split_lines("").count(), 0);
        assert_eq!(split_lines("\n\n").collect::<Vec<_>>(), ["", ""]);
    }

    #[test]
    fn white_space_is_pythons() {
        assert_eq!(strip("\x1c \u{a0}\u{3000}x\u{85}\x1f"), "x");
        assert_eq!(strip("\u{200b}x\u{feff}"), "\u{200b}x\u{feff}");
        assert_eq!(words(" a\x1fb  c\u{2003}").collect::<Vec<_>>(), ["a", "b", "c"]);
        assert!(has_words("a b c", 3) && !has_words("a b c ", 4) && has_words("", 0));
    }
}
