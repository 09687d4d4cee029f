//! Drops lines with a word that is too long: base64, minified code, text without spaces.

use crate::pystr;

/// Whether a word of `line` has more than `max_chars` code points (the reference's
/// `_MAX_WORD_LENGTH`; not in the paper). Runs before citation markers are removed.
pub fn has_long_word(line: &str, max_chars: usize) -> bool {
    line.len() > max_chars
        && pystr::words(line).any(|word| word.len() > max_chars && word.chars().count() > max_chars)
}

#[cfg(test)]
mod tests {
    use super::has_long_word;

    #[test]
    fn counts_code_points() {
        assert!(!has_long_word(&format!("a {}", "é".repeat(10)), 10));
        assert!(has_long_word(&format!("a {}", "é".repeat(11)), 10));
    }
}
