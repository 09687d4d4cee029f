//! Python's rules for strings, where the score of a reference implementation depends on them.

use regex::Regex;
use std::sync::LazyLock;

/// Whether `str.isspace` says so; `\s` of Python's `re` is the same.
pub(super) fn is_space(c: char) -> bool {
    // Python counts the four separators of information as white space, Unicode (and Rust) doesn't.
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// The words of a text, as `str.split()` gives them.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

/// Whether `\w` of Python's `re` matches: a letter, a number or `_`. Unlike in Rust's `regex`, a combining mark
/// doesn't.
pub(super) fn is_word(c: char) -> bool {
    static LETTER_OR_NUMBER: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^[\p{L}\p{N}]$").expect("a valid expression"));
    if c.is_ascii() {
        c.is_ascii_alphanumeric() || c == '_'
    } else {
        LETTER_OR_NUMBER.is_match(c.encode_utf8(&mut [0; 4]))
    }
}

/// The value of a decimal digit of any script (category Nd).
fn digit(c: char) -> Option<u8> {
    static DECIMAL: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^\p{Nd}$").expect("a valid expression"));
    let is_decimal = |c: char| DECIMAL.is_match(c.encode_utf8(&mut [0; 4]));
    if let Some(value) = c.to_digit(10) {
        return u8::try_from(value).ok();
    }
    if !is_decimal(c) {
        return None;
    }
    // The digits of a script are ten neighbours from its zero (Unicode Standard, 4.6); some runs of ten touch.
    let before = (0..u32::from(c)).rev().map_while(char::from_u32);
    u8::try_from(before.take_while(|&c| is_decimal(c)).count() % 10).ok()
}

/// The number that `float(text)` of Python gives, or none where that raises an error.
pub(super) fn float(text: &str) -> Option<f64> {
    let mut plain = String::with_capacity(text.len());
    // `float` strips Unicode's white space alone, without Python's four separators.
    let mut rest = text.trim().chars().peekable();
    while let Some(c) = rest.next() {
        match (c, digit(c)) {
            (_, Some(value)) => plain.push(char::from(b'0' + value)),
            // An underscore stands between two digits.
            ('_', _) => {
                let between =
                    plain.ends_with(|c: char| c.is_ascii_digit()) && rest.peek().copied().and_then(digit).is_some();
                if !between {
                    return None;
                }
            }
            (c, None) => plain.push(c),
        }
    }
    plain.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_python() {
        let cases = [
            (" 3.2\n", Some(3.2)),
            ("1_000.5", Some(1000.5)),
            ("٣.٥", Some(3.5)),
            ("𝟙𝟚", Some(12.0)),
            ("\u{a0}1\u{3000}", Some(1.0)),
            ("+.5e1", Some(5.0)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("1e999", Some(f64::INFINITY)),
        ];
        for (text, number) in cases {
            assert_eq!(float(text), number, "{text:?}");
        }
        assert!(float("NaN").unwrap().is_nan());
        for text in ["", "_1", "1_", "1__0", "0x10", "1 2", "\u{1c}1", "½", "1,5", "in_f"] {
            assert_eq!(float(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_mark_is_no_part_of_a_word() {
        let word: Vec<bool> = "aé_9²Ⅷ\u{301}-\u{93e}".chars().map(is_word).collect();
        assert_eq!(word, [true, true, true, true, true, true, false, false, false]);
    }
}
