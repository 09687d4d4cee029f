//! Finds whether a text holds a listed word as a word: the answer of the pattern, without running it.
//!
//! A listed word starts where the text does or after a character that is no word character. Few such places go on with
//! the first three bytes of a listed word, which a table knows; only those are compared.

use super::NOT_WORD;
use ahash::AHashMap;
use fearless_simd::prelude::*;
use fearless_simd::{Level, dispatch, u8x64};
use regex::Regex;

/// The number of bytes handled at a time.
const BLOCK: usize = 64;
/// The number of a word's first bytes that are looked up.
const HEAD: usize = 3;
/// The number of bits that index the table: some hundreds of its 32,768 are set.
const TABLE_BITS: u32 = 15;

#[derive(Debug)]
pub(super) struct Spotter {
    /// A set of the hashes of the words' first bytes.
    table: Box<[u64; 1 << (TABLE_BITS - 6)]>,
    /// The words by their first bytes.
    words: AHashMap<u32, Vec<Box<[u8]>>>,
    /// The words that are one byte shorter than what is looked up.
    short: Vec<Box<[u8]>>,
    not_word: Regex,
}

/// The first three bytes as a number.
fn head(bytes: [u8; HEAD]) -> u32 {
    let [a, b, c] = bytes;
    u32::from_le_bytes([a, b, c, 0])
}

/// Knuth's multiplicative hash: the index of the word of the table, and the bit.
#[inline(always)]
fn hash(head: u32) -> (usize, u32) {
    let place = head.wrapping_mul(0x9e37_79b1) >> (32 - TABLE_BITS);
    (place as usize / 64, place % 64)
}

impl Spotter {
    /// Makes the table of some words; `None` if one is too short for it.
    pub(super) fn new<'w>(words: impl Iterator<Item = &'w str>) -> Option<Spotter> {
        let mut spotter = Spotter {
            table: Box::new([0; 1 << (TABLE_BITS - 6)]),
            words: AHashMap::new(),
            short: Vec::new(),
            not_word: Regex::new(&format!("^{NOT_WORD}$")).ok()?,
        };
        for word in words {
            let word = word.as_bytes();
            if let Some(first) = word.first_chunk() {
                spotter.mark(head(*first));
                let same = spotter.words.entry(head(*first)).or_default();
                same.push(word.into());
            } else {
                let [a, b] = *word.first_chunk()?;
                (0..=u8::MAX).for_each(|any| spotter.mark(head([a, b, any])));
                spotter.short.push(word.into());
            }
        }
        Some(spotter)
    }

    fn mark(&mut self, head: u32) {
        let (place, bit) = hash(head);
        self.table[place] |= 1 << bit;
    }

    /// Whether `text` holds one of the words between characters that are no word characters, or the text's ends. Reads
    /// some GB/s.
    pub(super) fn is_in(&self, text: &str) -> bool {
        self.is_in_at(Level::new(), text)
    }

    /// Runs [`is_in`](Self::is_in) with the vector instructions of a level.
    pub(super) fn is_in_at(&self, level: Level, text: &str) -> bool {
        dispatch!(level, simd => self.search(simd, text))
    }

    #[inline(always)]
    fn search<S: Simd>(&self, simd: S, text: &str) -> bool {
        let bytes = text.as_bytes();
        let mut padded = [0; BLOCK];
        let mut at = 0;
        // Whether a word may start at the block's first byte.
        let mut carried = 1;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let block = match rest.first_chunk::<BLOCK>() {
                Some(block) => block,
                None => {
                    padded[..rest.len()].copy_from_slice(rest);
                    &padded
                }
            };
            // Bytes that are certainly no end of a character before a word.
            let inside = word_bytes(simd, block);
            let mut starts = !inside << 1 | carried;
            carried = !inside >> (BLOCK - 1);
            while starts != 0 {
                let place = starts.trailing_zeros() as usize;
                starts &= starts - 1;
                let head = match rest.get(place..).map(|rest| (rest.first_chunk(), rest)) {
                    Some((Some(first), _)) => head(*first),
                    Some((None, &[a, b])) => head([a, b, 0]),
                    // No listed word is that short.
                    _ => return false,
                };
                let (word, bit) = hash(head);
                if self.table[word] >> bit & 1 == 1 && self.starts_at(text, at + place, head) {
                    return true;
                }
            }
            at += BLOCK;
        }
        false
    }

    /// Whether a listed word that starts with `head` is at this place.
    #[inline(never)]
    fn starts_at(&self, text: &str, at: usize, head: u32) -> bool {
        let Some((before, after)) = text.split_at_checked(at) else {
            // In the middle of a character, where no word starts.
            return false;
        };
        let words = self.words.get(&head).map_or(&[][..], Vec::as_slice);
        words.iter().chain(&self.short).any(|word| {
            after.as_bytes().strip_prefix(&word[..]).is_some()
                && self.is_no_word(before.chars().next_back())
                && self.is_no_word(after[word.len()..].chars().next())
        })
    }

    /// Whether the character is no word character, or there is none.
    fn is_no_word(&self, c: Option<char>) -> bool {
        match c {
            None => true,
            Some(c) if c.is_ascii() => !(c.is_ascii_alphanumeric() || c == '_'),
            Some(c) => self.not_word.is_match(c.encode_utf8(&mut [0; 4])),
        }
    }
}

/// The ASCII letters, digits and `_` of a block, as bits.
#[inline(always)]
fn word_bytes<S: Simd>(simd: S, block: &[u8; BLOCK]) -> u64 {
    let bytes = u8x64::from_slice(simd, block);
    let splat = |byte| u8x64::splat(simd, byte);
    let letters = ((bytes | splat(0x20)) - splat(b'a')).simd_le(splat(25));
    let digits = (bytes - splat(b'0')).simd_le(splat(9));
    letters.to_bitmask() | digits.to_bitmask() | bytes.simd_eq(splat(b'_')).to_bitmask()
}
