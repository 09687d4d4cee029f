//! Drops lines with a word that is too long: base64, minified code, text without spaces.

use crate::text::pystr;

/// Whether a word of `line` has more than `max_chars` code points (the reference's `_MAX_WORD_LENGTH`; not in the
/// paper). Runs before citation markers are removed.
pub(crate) fn has_long_word(line: &str, max_chars: usize) -> bool {
    may_have(line.as_bytes(), max_chars)
        && pystr::words(line).any(|word| word.len() > max_chars && word.chars().count() > max_chars)
}

/// Whether more than `max_bytes` bytes stand between two spaces. Reads few bytes: from each place that such a run would
/// reach, back to the last space.
pub(crate) fn may_have(line: &[u8], max_bytes: usize) -> bool {
    let mut start = 0;
    while line.len() - start > max_bytes {
        match memchr::memrchr(b' ', &line[start..=start + max_bytes]) {
            Some(space) => start += space + 1,
            None => return true,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::has_long_word;

    #[test]
    fn counts_code_points() {
        assert!(!has_long_word(&format!("a {}", "é".repeat(10)), 10));
        assert!(has_long_word(&format!("a {}", "é".repeat(11)), 10));
        for before in 0..40 {
            let line = |n| format!("{}{} b", "ab ".repeat(before), "é".repeat(n));
            assert!(!has_long_word(&line(10), 10));
            assert!(has_long_word(&line(11), 10));
        }
        assert!(!has_long_word(&"a\u{3000}".repeat(20), 10));
        assert!(has_long_word("ab", 1) && !has_long_word("", 0) && has_long_word("a", 0));
    }
}
