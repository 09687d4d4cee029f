//! The lines of a text with their sizes, in one pass: 64 bytes at a time become bit masks (where white space is, where
//! a line ends, where a character continues), and counting is counting bits.
//!
//! Lines are those of Python's `splitlines`, words those of its `split`, characters code points.

use super::text_size::TextSize;
use fearless_simd::prelude::*;
use fearless_simd::{Level, dispatch, u8x64};

/// The number of bytes handled at a time.
const BLOCK: usize = 64;

/// The place and size of a line in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScannedLine {
    /// The line's first byte in the text.
    pub start: usize,
    /// The end of the line in the text, without its line end.
    pub end: usize,
    /// The number of code points.
    pub chars: usize,
    /// The number of words.
    pub words: usize,
}

impl ScannedLine {
    /// The line's size.
    pub fn size(&self) -> TextSize {
        TextSize {
            lines: 1,
            chars: self.chars as u64,
            words: self.words as u64,
        }
    }
}

/// The lines of `text` as [`pystr::split_lines`](super::pystr::split_lines) cuts them, with their sizes. Reads several
/// GB/s.
pub(crate) fn lines(text: &str) -> Vec<ScannedLine> {
    lines_at(Level::new(), text)
}

fn lines_at(level: Level, text: &str) -> Vec<ScannedLine> {
    // Web pages have some 50 bytes a line.
    let mut lines = Vec::with_capacity(text.len() / 32 + 1);
    dispatch!(level, simd => scan(simd, text.as_bytes(), true, #[inline(always)] |line| lines.push(line)));
    lines
}

/// The size of `line`, which counts as one line whatever it holds.
pub(crate) fn line(line: &str) -> TextSize {
    let mut size = TextSize {
        lines: 1,
        ..TextSize::default()
    };
    dispatch!(Level::new(), simd => scan(simd, line.as_bytes(), false, #[inline(always)] |line| size = line.size()));
    size
}

/// Properties of 64 bytes, a bit for each byte.
struct Masks {
    /// White space of one byte.
    space: u64,
    /// A line's end of one byte.
    end: u64,
    /// Bytes of a character after its first.
    inner: u64,
    /// First bytes of what may be white space of two or three bytes.
    wide: u64,
}

#[inline(always)]
fn masks<S: Simd>(simd: S, block: &[u8; BLOCK]) -> Masks {
    let bytes = u8x64::from_slice(simd, block);
    let range = |first: u8, last: u8| {
        let moved = bytes - u8x64::splat(simd, first);
        moved.simd_le(u8x64::splat(simd, last - first)).to_bitmask()
    };
    let is = |byte: u8| bytes.simd_eq(u8x64::splat(simd, byte)).to_bitmask();
    // The usual text has no control characters but `\n`.
    let low = bytes.simd_lt(u8x64::splat(simd, b' ')).to_bitmask();
    let newline = is(b'\n');
    let (controls, end) = if low == newline {
        (newline, newline)
    } else {
        (
            range(b'\t', b'\r') | range(0x1c, 0x1f),
            range(b'\n', b'\r') | range(0x1c, 0x1e),
        )
    };
    let mut masks = Masks {
        space: controls | is(b' '),
        end,
        inner: 0,
        wide: 0,
    };
    if bytes.simd_ge(u8x64::splat(simd, 0x80)).to_bitmask() != 0 {
        masks.inner = range(0x80, 0xbf);
        // U+0085, U+00A0; U+1680; U+2000 to U+205F, of which some; U+3000. The bytes behind the block's end may be any.
        let then = |next: u64| next >> 1 | 1 << 63;
        masks.wide = is(0xc2) & then(is(0x85) | is(0xa0))
            | is(0xe1) & then(is(0x9a))
            | is(0xe2) & then(range(0x80, 0x81))
            | is(0xe3) & then(is(0x80));
    }
    masks
}

/// The number of bytes of the white space of several bytes at the start of `bytes`, and whether it ends a line.
#[inline]
fn wide_space(bytes: &[u8]) -> (usize, bool) {
    match bytes {
        [0xc2, 0x85, ..] => (2, true),
        [0xc2, 0xa0, ..] => (2, false),
        [0xe2, 0x80, 0xa8 | 0xa9, ..] => (3, true),
        [0xe1, 0x9a, 0x80, ..]
        | [0xe2, 0x80, 0x80..=0x8a | 0xaf, ..]
        | [0xe2, 0x81, 0x9f, ..]
        | [0xe3, 0x80, 0x80, ..] => (3, false),
        _ => (0, false),
    }
}

/// Gives each line to `found`; the whole text as one line unless `cut`.
#[inline(always)]
fn scan<S: Simd>(simd: S, text: &[u8], cut: bool, mut found: impl FnMut(ScannedLine)) {
    // A closure cannot be marked to be inlined where it is called, and this must be.
    simd.vectorize(
        #[inline(always)]
        || {
            let mut line = ScannedLine {
                start: 0,
                end: 0,
                chars: 0,
                words: 0,
            };
            // Characters and words before the block; `line` holds those before its start.
            let (mut chars, mut words) = (0, 0);
            // White space that reaches into the block, and whether a word may start at its first byte.
            let (mut carried, mut after_space) = (0_u64, 1_u64);
            let mut padded = [b' '; BLOCK];
            let mut at = 0;
            while at < text.len() {
                let rest = &text[at..];
                let block = match rest.first_chunk::<BLOCK>() {
                    Some(block) => block,
                    None => {
                        padded[..rest.len()].copy_from_slice(rest);
                        &padded
                    }
                };
                let Masks {
                    space,
                    mut end,
                    inner,
                    mut wide,
                } = masks(simd, block);
                let mut space = space | std::mem::take(&mut carried);
                while wide != 0 {
                    let place = wide.trailing_zeros() as usize;
                    wide &= wide - 1;
                    let (length, ends) = wide_space(&rest[place..]);
                    let bits = ((1_u128 << length) - 1) << place;
                    space |= bits as u64;
                    carried |= (bits >> BLOCK) as u64;
                    end |= u64::from(ends) << place;
                }
                let starts = !space & (space << 1 | after_space);
                after_space = space >> (BLOCK - 1);
                let first = !inner;
                if !cut {
                    end = 0;
                }
                while end != 0 {
                    let place = end.trailing_zeros() as usize;
                    end &= end - 1;
                    if at + place < line.start {
                        // The `\n` of `\r\n`.
                        continue;
                    }
                    let before = (1 << place) - 1;
                    let chars_here = chars + (first & before).count_ones() as usize;
                    let words_here = words + (starts & before).count_ones() as usize;
                    let (length, ends) = match rest[place..] {
                        [b'\r', b'\n', ..] => (2, 2),
                        [..0x80, ..] => (1, 1),
                        [0xc2, ..] => (2, 1),
                        _ => (3, 1),
                    };
                    found(ScannedLine {
                        start: line.start,
                        end: at + place,
                        chars: chars_here - line.chars,
                        words: words_here - line.words,
                    });
                    line.start = at + place + length;
                    line.chars = chars_here + ends;
                    line.words = words_here;
                }
                let here = match rest.len() {
                    BLOCK.. => u64::MAX,
                    length => (1 << length) - 1,
                };
                chars += (first & here).count_ones() as usize;
                words += starts.count_ones() as usize;
                at += BLOCK;
            }
            if line.start < text.len() {
                found(ScannedLine {
                    start: line.start,
                    end: text.len(),
                    chars: chars - line.chars,
                    words: words - line.words,
                });
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::pystr;
    use proptest::prelude::*;

    fn check(text: &str) {
        let found = lines(text);
        for level in crate::text::levels() {
            assert_eq!(lines_at(level, text), found, "{level:?}");
        }
        let expected: Vec<&str> = pystr::split_lines(text).collect();
        let cut: Vec<&str> = found.iter().map(|l| &text[l.start..l.end]).collect();
        assert_eq!(cut, expected);
        for (found, expected) in found.iter().zip(expected) {
            assert_eq!(found.chars, expected.chars().count(), "{expected:?}");
            assert_eq!(found.words, pystr::words(expected).count(), "{expected:?}");
        }
        let whole = line(text);
        assert_eq!(whole.chars, text.chars().count() as u64);
        assert_eq!(whole.words, pystr::words(text).count() as u64);
    }

    proptest! {
        #[test]
        fn lines_and_sizes_are_pythons(text in r"([a-c]{0,70}|[\t\n\r\x0b\x0c\x1b-\x20\x7f\x85\u{a0}éÀ\u{1680}\u{1681}\u{2000}\u{200a}\u{200b}\u{2028}\u{2029}\u{202f}\u{205f}\u{2060}\u{3000}、’…猫😀]|\r\n){0,80}") {
            check(&text);
        }
    }

    #[test]
    fn every_place_in_a_block_is_alike() {
        for mark in ["\n", "\r\n", "\r", "\u{85}", "\u{2028}", "\u{3000}", "\u{a0}", " "] {
            for before in 0..140 {
                for after in [0, 1, 2, 3, 61, 62, 63, 64, 65] {
                    check(&format!("{}{mark}{}", "x".repeat(before), "y".repeat(after)));
                }
            }
        }
    }

    #[test]
    fn every_character_is_counted_as_python_does() {
        for c in '\0'..=char::MAX {
            let text = format!("a{c}b");
            let found: Vec<_> = lines(&text).iter().map(|l| (l.chars, l.words)).collect();
            let expected: Vec<_> = pystr::split_lines(&text)
                .map(|l| (l.chars().count(), pystr::words(l).count()))
                .collect();
            assert_eq!(found, expected, "{c:?}");
        }
    }
}
