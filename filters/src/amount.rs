//! How much text: lines, characters, words.

use crate::scan;
use serde::{Deserialize, Serialize};
use std::ops::{AddAssign, Sub};

/// Lines, their characters (code points, without line ends) and their words (what Python's
/// `split()` gives).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Amount {
    /// Lines.
    pub lines: u64,
    /// Code points.
    pub chars: u64,
    /// Words.
    pub words: u64,
}

impl Amount {
    /// That of one line. One pass, at several GB/s.
    pub fn of_line(line: &str) -> Amount {
        scan::line(line)
    }

    /// That of a text whose lines are separated by `\n`; none if the text is empty.
    pub fn of_text(text: &str) -> Amount {
        let mut sum = Amount::default();
        if !text.is_empty() {
            text.split('\n').for_each(|line| sum += Amount::of_line(line));
        }
        sum
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Amount) {
        self.lines += other.lines;
        self.chars += other.chars;
        self.words += other.words;
    }
}

impl Sub for Amount {
    type Output = Amount;

    /// What is left of `self`, which `other` is a part of.
    fn sub(self, other: Amount) -> Amount {
        Amount {
            lines: self.lines - other.lines,
            chars: self.chars - other.chars,
            words: self.words - other.words,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pystr;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counts_as_python_does(line in r"[a-c \t\x1c-\x1f\x85\u{a0}é\u{1680}\u{2003}\u{200b}\u{2028}\u{205f}\u{3000}’猫]{0,600}") {
            let amount = Amount::of_line(&line);
            prop_assert_eq!(amount.chars, line.chars().count() as u64);
            prop_assert_eq!(amount.words, pystr::words(&line).count() as u64);
        }
    }

    #[test]
    fn texts_are_sums_of_lines() {
        let amount = Amount::of_text("one two\n\nthree");
        assert_eq!((amount.lines, amount.chars, amount.words), (3, 12, 3));
        assert_eq!(Amount::of_text(""), Amount::default());
    }
}
