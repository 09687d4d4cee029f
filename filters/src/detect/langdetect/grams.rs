//! The n-grams of a text: not a list, but a bit for each that could be, and how many come before.
//!
//! The random walk draws a few hundred of them by number, out of up to 30,000.

use std::hint::select_unpredictable;

use super::profiles::{FREQUENT, Gram, Profiles};
use super::text::BLOCK;

/// Bits for each character: one for each length, and one free.
const WIDTH: usize = 4;

/// The n-grams of a text, in order: by the character they end with, then by length.
pub(super) struct Grams {
    classes: Vec<u16>,
    /// The masks of [`BLOCK`] characters each.
    masks: Vec<u64>,
    /// N-grams in earlier masks.
    before: Vec<u32>,
    total: u32,
}

impl Grams {
    /// `Detector._extract_ngrams` of a text that starts with two spaces; blocks follow.
    #[inline(always)]
    pub(super) fn new(profiles: &Profiles, classes: Vec<u16>) -> Self {
        let blocks = classes.len() / BLOCK;
        let mut masks = Vec::with_capacity(blocks);
        let mut before = Vec::with_capacity(blocks);
        let mut total = 0;
        let mut at = 0;
        while let Some(block) = classes[at..].first_chunk::<{ BLOCK + 2 }>() {
            let seen = block.iter().fold(0, |seen, &class| seen | class);
            let mask = if usize::from(seen) < FREQUENT {
                frequent_masks(profiles, block)
            } else {
                all_masks(profiles, block)
            };
            masks.push(mask);
            before.push(total);
            total += mask.count_ones();
            at += BLOCK;
        }
        Grams {
            classes,
            masks,
            before,
            total,
        }
    }

    /// The number of n-grams.
    pub(super) fn len(&self) -> u32 {
        self.total
    }

    /// The n-grams of some numbers.
    ///
    /// Each takes a chain of loads that wait for one another, so all go through it side by side; and `meanwhile` is
    /// called [`STAGES`] times, once in each stage.
    #[inline(always)]
    pub(super) fn find<const COUNT: usize>(
        &self,
        profiles: &Profiles,
        numbers: [u32; COUNT],
        mut meanwhile: impl FnMut(usize),
    ) -> [Gram; COUNT] {
        // The last block that no more than the number come before.
        meanwhile(0);
        let mut blocks = [0; COUNT];
        let mut size = self.before.len();
        while size > 1 {
            let half = size / 2;
            for (block, number) in blocks.iter_mut().zip(numbers) {
                let middle = *block + half;
                *block = select_unpredictable(self.before[middle] <= number, middle, *block);
            }
            size -= half;
        }
        meanwhile(1);
        let bits: [usize; COUNT] = each(
            #[inline(always)]
            |i| {
                let block: usize = blocks[i];
                select(self.masks[block], numbers[i].wrapping_sub(self.before[block]))
            },
        );
        meanwhile(2);
        let classes: [[u16; 3]; COUNT] = each(
            #[inline(always)]
            |i| {
                let at = blocks[i] * BLOCK + bits[i] / WIDTH;
                [self.classes[at], self.classes[at + 1], self.classes[at + 2]]
            },
        );
        let lengths = bits.map(|bit| bit % WIDTH + 1);
        meanwhile(3);
        let pairs: [u16; COUNT] = each(
            #[inline(always)]
            |i| profiles.pair_of(classes[i], lengths[i]),
        );
        meanwhile(4);
        each(
            #[inline(always)]
            |i| profiles.gram(classes[i], lengths[i], pairs[i]),
        )
    }
}

/// Stages of [`Grams::find`].
pub(super) const STAGES: usize = 5;

/// `std::array::from_fn`, inlined.
#[inline(always)]
fn each<T: Copy + Default, const COUNT: usize>(mut f: impl FnMut(usize) -> T) -> [T; COUNT] {
    let mut all = [T::default(); COUNT];
    for (i, one) in all.iter_mut().enumerate() {
        *one = f(i);
    }
    all
}

/// The place of the set bit that `rank` others are below.
///
/// Without branches: the sums of bits up to each byte say which byte has it (Vigna 2008, "Broadword implementation of
/// rank/select queries").
#[inline(always)]
fn select(bits: u64, rank: u32) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let pairs = bits - ((bits >> 1) & (0x55 * ONES));
    let fours = (pairs & (0x33 * ONES)) + ((pairs >> 2) & (0x33 * ONES));
    let sums = ((fours + (fours >> 4)) & (0x0f * ONES)).wrapping_mul(ONES);
    let below = (((u64::from(rank) * ONES) | (0x80 * ONES)) - sums) >> 7 & ONES;
    let byte = below.wrapping_mul(ONES) >> 56;
    let rank = u64::from(rank) - (sums << 8 >> (byte * 8) & 0xff);
    let bits = bits >> (byte * 8) & 0xff;
    (byte * 8) as usize + usize::from(SELECT[(bits << 3 | rank & 7) as usize])
}

/// [`select`] by byte and rank.
static SELECT: [u8; 2048] = {
    let mut table = [0; 2048];
    let mut byte = 0;
    while byte < 256 {
        let mut rank = 0;
        let mut bit = 0;
        while bit < 8 {
            if byte >> bit & 1 == 1 {
                table[byte << 3 | rank] = bit as u8;
                rank += 1;
            }
            bit += 1;
        }
        byte += 1;
    }
    table
};

/// The masks of a block of frequent characters, after two of them.
#[inline(always)]
fn frequent_masks(profiles: &Profiles, block: &[u16; BLOCK + 2]) -> u64 {
    const LOW: usize = FREQUENT * FREQUENT - 1;
    let frequent = &profiles.frequent;
    let mut pair = (usize::from(block[0]) * FREQUENT + usize::from(block[1])) & LOW;
    let mut masks = 0;
    for (i, &class) in block[2..].iter().enumerate() {
        let triple = frequent.triples[pair] >> (class & 63) & 1;
        pair = (pair * FREQUENT + usize::from(class)) & LOW;
        let mask = u64::from(frequent.pairs[pair]) | triple << 2;
        masks |= mask << (i * WIDTH);
    }
    masks
}

/// The masks of a block of any characters, after two.
#[inline(always)]
fn all_masks(profiles: &Profiles, block: &[u16; BLOCK + 2]) -> u64 {
    let mut before = profiles.pair(block[0], block[1]);
    let mut masks = 0;
    for (i, &third) in block[2..].iter().enumerate() {
        let second = block[i + 1];
        let pair = profiles.pair(second, third);
        masks |= profiles.mask(second, third, before, pair) << (i * WIDTH);
        before = pair;
    }
    masks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selects_each_bit() {
        let mut bits = 0x0123_4567_89ab_cdefu64;
        for _ in 0..1000 {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let masked = bits & 0x7777_7777_7777_7777;
            let set = (0..64).filter(|&bit| masked >> bit & 1 == 1);
            for (rank, bit) in set.enumerate() {
                assert_eq!(select(masked, rank as u32), bit);
            }
        }
    }
}
