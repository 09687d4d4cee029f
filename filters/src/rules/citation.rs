//! Removes citation markers, as Wikipedia has them.

use memchr::memchr;
use regex::Regex;
use std::borrow::Cow;
use std::sync::LazyLock;

/// The reference's `_CITATION_REGEX`; `\d` is any decimal digit of Unicode, as in Python.
static MARKER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\[\d*\]|\[edit\]|\[citation needed\]").expect("a valid pattern"));

/// `line` without `[1]`, `[]`, `[edit]`, `[citation needed]`; one pass, and the line is not
/// stripped again, so spaces that stood around a marker stay.
///
/// ```
/// use c4_filters::rules::citation::remove;
/// assert_eq!(remove("So it is said.[12] Not [a]."), "So it is said. Not [a].");
/// ```
pub fn remove(line: &str) -> Cow<'_, str> {
    match memchr(b'[', line.as_bytes()) {
        Some(_) => MARKER.replace_all(line, ""),
        None => Cow::Borrowed(line),
    }
}
