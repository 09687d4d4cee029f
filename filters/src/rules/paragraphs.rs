//! Drops pages without enough long lines (mC4).

/// Whether fewer than `min_lines` lines of `text` (cut at `\n`) have at least `min_line_chars` code points: the
/// reference's `paragraph_filter`, which measures the `min_lines`-th longest line.
///
/// ```
/// use c4_filters::rules::paragraphs::too_few_long_lines;
/// assert!(too_few_long_lines("abc\nabcd", 2, 4));
/// assert!(!too_few_long_lines("abcd\nx\nabcd", 2, 4));
/// ```
pub fn too_few_long_lines(text: &str, min_lines: usize, min_line_chars: usize) -> bool {
    let long = |line: &&str| line.len() >= min_line_chars && line.chars().count() >= min_line_chars;
    min_lines > 0 && text.split('\n').filter(long).nth(min_lines - 1).is_none()
}
