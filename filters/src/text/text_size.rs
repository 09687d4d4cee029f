//! The size of a text: lines, characters, words.

use super::scan;
use serde::{Deserialize, Serialize};
use std::ops::{AddAssign, Sub};

/// The size of a text: lines, their characters (code points, without line ends) and their words (what Python's
/// `split()` gives).
///
/// ```
/// use c4_filters::TextSize;
///
/// let size = TextSize::of_text("Two words.\nÉté.");
/// assert_eq!(size, TextSize { lines: 2, chars: 14, words: 3 });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TextSize {
    /// The number of lines.
    pub lines: u64,
    /// The number of code points, without line ends.
    pub chars: u64,
    /// The number of words.
    pub words: u64,
}

impl TextSize {
    /// The size of one line. Takes one pass, at several GB/s.
    pub fn of_line(line: &str) -> TextSize {
        scan::line(line)
    }

    /// The size of a text whose lines are separated by `\n`; an empty text has no lines.
    pub fn of_text(text: &str) -> TextSize {
        let mut sum = TextSize::default();
        if !text.is_empty() {
            text.split('\n').for_each(|line| sum += TextSize::of_line(line));
        }
        sum
    }
}

impl AddAssign for TextSize {
    fn add_assign(&mut self, other: TextSize) {
        self.lines += other.lines;
        self.chars += other.chars;
        self.words += other.words;
    }
}

impl Sub for TextSize {
    type Output = TextSize;

    /// The size of `self` without its part `other`.
    fn sub(self, other: TextSize) -> TextSize {
        TextSize {
            lines: self.lines - other.lines,
            chars: self.chars - other.chars,
            words: self.words - other.words,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::pystr;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counts_as_python_does(line in r"[a-c \t\x1c-\x1f\x85\u{a0}é\u{1680}\u{2003}\u{200b}\u{2028}\u{205f}\u{3000}’猫]{0,600}") {
            let size = TextSize::of_line(&line);
            prop_assert_eq!(size.chars, line.chars().count() as u64);
            prop_assert_eq!(size.words, pystr::words(&line).count() as u64);
        }
    }

    #[test]
    fn texts_are_sums_of_lines() {
        let size = TextSize::of_text("one two\n\nthree");
        assert_eq!((size.lines, size.chars, size.words), (3, 12, 3));
        assert_eq!(TextSize::of_text(""), TextSize::default());
    }
}
