//! MD5 (RFC 1321) of many short texts: eight side by side, one in each lane of a vector.
//!
//! One MD5 is a chain of steps that wait for one another, so eight take little longer than one. `md-5` is the oracle of
//! the tests, and does the single ones.

use super::url;
use fearless_simd::prelude::*;
use fearless_simd::{Level, dispatch, u32x8};

const LANES: usize = 8;
const BLOCK: usize = 64;

/// The state before the first block: A, B, C, D.
const START: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// `floor(abs(sin(i + 1)) * 2^32)`, by round.
const SINES: [[u32; 16]; 4] = [
    [
        0xd76a_a478,
        0xe8c7_b756,
        0x2420_70db,
        0xc1bd_ceee,
        0xf57c_0faf,
        0x4787_c62a,
        0xa830_4613,
        0xfd46_9501,
        0x6980_98d8,
        0x8b44_f7af,
        0xffff_5bb1,
        0x895c_d7be,
        0x6b90_1122,
        0xfd98_7193,
        0xa679_438e,
        0x49b4_0821,
    ],
    [
        0xf61e_2562,
        0xc040_b340,
        0x265e_5a51,
        0xe9b6_c7aa,
        0xd62f_105d,
        0x0244_1453,
        0xd8a1_e681,
        0xe7d3_fbc8,
        0x21e1_cde6,
        0xc337_07d6,
        0xf4d5_0d87,
        0x455a_14ed,
        0xa9e3_e905,
        0xfcef_a3f8,
        0x676f_02d9,
        0x8d2a_4c8a,
    ],
    [
        0xfffa_3942,
        0x8771_f681,
        0x6d9d_6122,
        0xfde5_380c,
        0xa4be_ea44,
        0x4bde_cfa9,
        0xf6bb_4b60,
        0xbebf_bc70,
        0x289b_7ec6,
        0xeaa1_27fa,
        0xd4ef_3085,
        0x0488_1d05,
        0xd9d4_d039,
        0xe6db_99e5,
        0x1fa2_7cf8,
        0xc4ac_5665,
    ],
    [
        0xf429_2244,
        0x432a_ff97,
        0xab94_23a7,
        0xfc93_a039,
        0x655b_59c3,
        0x8f0c_cc92,
        0xffef_f47d,
        0x8584_5dd1,
        0x6fa8_7e4f,
        0xfe2c_e6e0,
        0xa301_4314,
        0x4e08_11a1,
        0xf753_7e82,
        0xbd3a_f235,
        0x2ad7_d2bb,
        0xeb86_d391,
    ],
];

/// The number of texts from which on vectors are used.
const FEW: usize = 3;

/// The MD5s of texts, as [`url::md5`] gives them.
pub(crate) fn digests(texts: &[&str]) -> Vec<u128> {
    if texts.len() < FEW {
        return texts.iter().map(|text| url::md5(text)).collect();
    }
    digests_at(Level::new(), texts)
}

fn digests_at(level: Level, texts: &[&str]) -> Vec<u128> {
    dispatch!(level, simd => side_by_side(simd, texts))
}

/// A text that is hashed in a lane.
struct Lane<'t> {
    text: &'t [u8],
    /// The text's index among the texts.
    place: usize,
    /// The number of blocks that were hashed.
    done: usize,
}

impl<'t> Lane<'t> {
    fn new((place, text): (usize, &&'t str)) -> Self {
        Lane {
            text: text.as_bytes(),
            place,
            done: 0,
        }
    }

    /// The number of blocks, with a byte for the end mark and eight for the length.
    fn blocks(&self) -> usize {
        (self.text.len() + 8) / BLOCK + 1
    }

    /// The next block to hash.
    #[inline(always)]
    fn block(&self) -> [u8; BLOCK] {
        let start = self.done * BLOCK;
        let rest = self.text.get(start..).unwrap_or_default();
        if let Some(block) = rest.first_chunk() {
            return *block;
        }
        let mut block = [0; BLOCK];
        block[..rest.len()].copy_from_slice(rest);
        if start <= self.text.len() {
            block[rest.len()] = 0x80;
        }
        if self.done + 1 == self.blocks() {
            let bits = self.text.len() as u64 * 8;
            block[BLOCK - 8..].copy_from_slice(&bits.to_le_bytes());
        }
        block
    }
}

/// A state, or a word, for each lane.
type Words = [u32; LANES];

#[inline(always)]
fn side_by_side<S: Simd>(simd: S, texts: &[&str]) -> Vec<u128> {
    let mut digests = vec![0; texts.len()];
    let mut waiting = texts.iter().enumerate();
    let mut lanes: [Option<Lane<'_>>; LANES] = std::array::from_fn(|_| waiting.next().map(Lane::new));
    let mut state = START.map(|word| [word; LANES]);
    let mut words = [[0; LANES]; BLOCK / 4];
    while lanes.iter().any(Option::is_some) {
        for (i, lane) in lanes.iter().enumerate() {
            let Some(lane) = lane else { continue };
            let block = lane.block();
            for (word, bytes) in words.iter_mut().zip(block.as_chunks::<4>().0) {
                word[i] = u32::from_le_bytes(*bytes);
            }
        }
        compress(simd, &mut state, &words);
        for (i, slot) in lanes.iter_mut().enumerate() {
            let Some(lane) = slot else { continue };
            lane.done += 1;
            if lane.done == lane.blocks() {
                let mut digest = [0; 16];
                for (bytes, word) in digest.as_chunks_mut::<4>().0.iter_mut().zip(&state) {
                    *bytes = word[i].to_le_bytes();
                }
                digests[lane.place] = u128::from_be_bytes(digest);
                *slot = waiting.next().map(Lane::new);
                for (word, start) in state.iter_mut().zip(START) {
                    word[i] = start;
                }
            }
        }
    }
    digests
}

/// Hashes a block of each lane.
#[inline(always)]
fn compress<S: Simd>(simd: S, state: &mut [Words; 4], words: &[Words; BLOCK / 4]) {
    let mut after = [0, 1, 2, 3].map(
        #[inline(always)]
        |i: usize| u32x8::from_slice(simd, &state[i]),
    );
    round::<S, 0, 7, 12, 17, 22>(simd, &mut after, words);
    round::<S, 1, 5, 9, 14, 20>(simd, &mut after, words);
    round::<S, 2, 4, 11, 16, 23>(simd, &mut after, words);
    round::<S, 3, 6, 10, 15, 21>(simd, &mut after, words);
    for (words, after) in state.iter_mut().zip(after) {
        (u32x8::from_slice(simd, words) + after).store_slice(words);
    }
}

/// A round: sixteen steps, which rotate to the left by four numbers in turn.
#[inline(always)]
fn round<S: Simd, const ROUND: usize, const I: u32, const J: u32, const K: u32, const L: u32>(
    simd: S,
    state: &mut [u32x8<S>; 4],
    words: &[Words; BLOCK / 4],
) {
    let [mut a, mut b, mut c, mut d] = *state;
    for i in [0, 4, 8, 12] {
        a = step::<S, ROUND, I>(simd, [a, b, c, d], words, i);
        d = step::<S, ROUND, J>(simd, [d, a, b, c], words, i + 1);
        c = step::<S, ROUND, K>(simd, [c, d, a, b], words, i + 2);
        b = step::<S, ROUND, L>(simd, [b, c, d, a], words, i + 3);
    }
    *state = [a, b, c, d];
}

/// The new first word of the state after step `i` of a round.
#[inline(always)]
fn step<S: Simd, const ROUND: usize, const TURN: u32>(
    simd: S,
    [a, b, c, d]: [u32x8<S>; 4],
    words: &[Words; BLOCK / 4],
    i: usize,
) -> u32x8<S> {
    let (mixed, word) = match ROUND {
        0 => (d ^ (b & (c ^ d)), i),
        1 => (c ^ (d & (b ^ c)), 5 * i + 1),
        2 => (b ^ c ^ d, 3 * i + 5),
        _ => (c ^ (b | !d), 7 * i),
    };
    let word = u32x8::from_slice(simd, &words[word % words.len()]);
    let sum = a + mixed + word + u32x8::splat(simd, SINES[ROUND][i]);
    b + ((sum << TURN) | (sum >> (32 - TURN)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(texts: &[String]) {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let expected: Vec<u128> = texts.iter().map(|text| url::md5(text)).collect();
        assert_eq!(digests(&texts), expected);
        for level in crate::text::levels() {
            assert_eq!(digests_at(level, &texts), expected, "{level:?}");
        }
    }

    #[test]
    fn every_length_is_padded_as_it_should_be() {
        let texts: Vec<String> = (0..300).map(|n| "x\u{e9}".repeat(n)).collect();
        check(&texts);
        let texts: Vec<String> = (0..300).map(|n| "y".repeat(n)).collect();
        check(&texts);
        (0..20).for_each(|n| check(&texts[100..100 + n]));
    }

    proptest! {
        #[test]
        fn digests_are_those_of_md_5(texts in prop::collection::vec(r"([a-z .]{0,90}|.{0,200}|(abc){0,300})", 0..40)) {
            check(&texts);
        }
    }
}
