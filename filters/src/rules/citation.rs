//! Removes citation markers, as Wikipedia has them.

use memchr::memchr;
use regex::Regex;
use std::borrow::Cow;
use std::sync::LazyLock;

/// The reference's `_CITATION_REGEX`; `\d` is any decimal digit of Unicode, as in Python.
static MARKER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\[\d*\]|\[edit\]|\[citation needed\]").expect("a valid pattern"));

/// `line` without `[1]`, `[]`, `[edit]`, `[citation needed]`. The line is not stripped again, so that spaces around a
/// marker remain. Takes one pass.
pub(crate) fn remove(line: &str) -> Cow<'_, str> {
    match memchr(b'[', line.as_bytes()) {
        Some(_) => MARKER.replace_all(line, ""),
        None => Cow::Borrowed(line),
    }
}

#[cfg(test)]
mod tests {
    use super::remove;

    #[test]
    fn only_markers_are_removed() {
        assert_eq!(remove("So it is said.[12] Not [a]."), "So it is said. Not [a].");
        assert_eq!(remove("[edit] History [] [citation needed]"), " History  ");
    }
}
