//! Drops lines with too few words.

use crate::text::pystr;

/// Whether `line` has fewer than `min_words` words (Python's `len(line.split())`), after citation markers are removed.
/// The released code and paper v4 say 5; earlier versions of the paper said 3.
pub(crate) fn too_few(line: &str, min_words: usize) -> bool {
    !pystr::has_words(line, min_words)
}
