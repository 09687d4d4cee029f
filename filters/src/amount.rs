//! How much text: lines, characters, words.

use crate::pystr;
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
    /// That of one line. One pass, at over 1 GB/s.
    pub fn of_line(line: &str) -> Amount {
        let (chars, words) = count_by_eights(line.as_bytes())
            .unwrap_or_else(|| (line.chars().count(), pystr::words(line).count()));
        Amount {
            lines: 1,
            chars: chars as u64,
            words: words as u64,
        }
    }

    /// That of a text whose lines are separated by `\n`; none if the text is empty.
    pub fn of_text(text: &str) -> Amount {
        let mut sum = Amount::default();
        if !text.is_empty() {
            text.split('\n')
                .for_each(|line| sum += Amount::of_line(line));
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

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x80 * ONES;

/// Code points and words of UTF-8 text, eight bytes at a time; `None` if it holds white space other
/// than U+0020, or control characters.
fn count_by_eights(bytes: &[u8]) -> Option<(usize, usize)> {
    let (eights, rest) = bytes.as_chunks::<8>();
    // Spaces at the end change nothing.
    let mut last = [b' '; 8];
    last[..rest.len()].copy_from_slice(rest);
    let (mut words, mut continuations) = (0_u32, 0_u32);
    let mut after_space = 0x80;
    for eight in eights.iter().chain([&last]) {
        let x = u64::from_le_bytes(*eight);
        // In the high bit of each byte: whether it is at most U+0020, and whether it is that.
        let low = !((x & !HIGH).wrapping_add(0x5f * ONES) | x) & HIGH;
        let other = x ^ (0x20 * ONES);
        let space = !((other & !HIGH).wrapping_add(0x7f * ONES) | other) & HIGH;
        if low != space {
            return None;
        }
        words = words.wrapping_add((!space & (space << 8 | after_space) & HIGH).count_ones());
        continuations = continuations.wrapping_add((x & !(x << 1) & HIGH).count_ones());
        after_space = space >> 56;
    }
    let (words, continuations) = (words as usize, continuations as usize);
    let wide = continuations > 0 && has_wide_space(bytes);
    (!wide).then_some((bytes.len() - continuations, words))
}

/// Whether UTF-8 text holds white space outside of ASCII: U+0085, U+00A0, U+1680, U+2000 to
/// U+200A, U+2028, U+2029, U+202F, U+205F, U+3000.
fn has_wide_space(bytes: &[u8]) -> bool {
    let space = |i: usize| {
        matches!(
            bytes[i..],
            [0xc2, 0x85 | 0xa0, ..]
                | [0xe1, 0x9a, 0x80, ..]
                | [0xe2, 0x80, 0x80..=0x8a | 0xa8 | 0xa9 | 0xaf, ..]
                | [0xe2, 0x81, 0x9f, ..]
                | [0xe3, 0x80, 0x80, ..]
        )
    };
    (0..bytes.len()).any(|i| matches!(bytes[i], 0xc2 | 0xe1 | 0xe2 | 0xe3) && space(i))
}

#[cfg(test)]
mod tests {
    use super::*;
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
