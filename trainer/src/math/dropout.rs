//! Dropout: which elements, as a function of seed, place and index alone.
//!
//! A draw is a hash, so masks are not stored: the backward pass (and a sublayer that is computed again) hashes
//! again, on any number of threads.

use super::elementwise;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which elements share a draw of dropout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DropoutShape {
    /// All positions of a row (for attention weights: all queries), as in Mesh TensorFlow, with which T5 was trained.
    #[default]
    AcrossLength,
    /// No two elements, as in Hugging Face.
    Elementwise,
}

/// Dropout of one forward and backward pass.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dropout {
    pub rate: f32,
    pub shape: DropoutShape,
    /// Of the step.
    pub seed: u64,
}

/// A place of the model where elements are dropped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Site {
    pub key: [u32; 2],
    /// Of draws below it elements are dropped.
    pub threshold: u32,
    /// What elements that stay are multiplied with.
    pub scale: f32,
    pub shape: DropoutShape,
}

impl Dropout {
    /// A place of a sublayer: 0, in its middle; 1, at its end. Behind the last sublayer come the embedding (0) and the
    /// output (1) of the stack.
    pub fn of(&self, stack: u64, sublayer: usize, place: u64) -> Site {
        self.site((stack << 32) + ((sublayer as u64) << 2) + place)
    }

    /// The place with this number.
    fn site(&self, number: u64) -> Site {
        // SplitMix64 (Steele et al. 2014), which makes neighbouring seeds and numbers unlike each other.
        let mut z = self.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        Site {
            key: [z as u32, (z >> 32) as u32],
            threshold: (f64::from(self.rate) * f64::from(u32::MAX)) as u32,
            scale: 1.0 / (1.0 - self.rate),
            shape: self.shape,
        }
    }
}

impl Site {
    /// 0, or what keeps the mean.
    #[inline(always)]
    pub fn factor(self, index: u32) -> f32 {
        // Two rounds of a 32-bit mix (constants of C. Wellons' search for low bias, `lowbias32`), each keyed.
        let mut x = index ^ self.key[0];
        x ^= x >> 16;
        x = x.wrapping_mul(0x21f0_aaad);
        x ^= x >> 15;
        x = x.wrapping_add(self.key[1]).wrapping_mul(0xd35a_2d97);
        x ^= x >> 15;
        if x >= self.threshold { self.scale } else { 0.0 }
    }

    /// Drops of `x`, `[rows, length, width]`.
    pub fn apply(self, x: &mut [f32], length: usize, width: usize) {
        match self.shape {
            DropoutShape::Elementwise => {
                let blocks = x.par_chunks_mut(BLOCK).enumerate();
                blocks.for_each(|(block, x)| elementwise::drop_elements(x, self, block * BLOCK));
            }
            DropoutShape::AcrossLength => {
                let rows = x.par_chunks_exact_mut(length * width).enumerate();
                rows.for_each(|(row, x)| {
                    let factors = self.factors(row * width, width);
                    for x in x.chunks_exact_mut(width) {
                        elementwise::multiply(x, &factors);
                    }
                });
            }
        }
    }

    /// Factors of `first..first + len`.
    pub fn factors(self, first: usize, len: usize) -> Vec<f32> {
        let mut factors = vec![1.0; len];
        elementwise::drop_elements(&mut factors, self, first);
        factors
    }
}

/// Elements of a task.
const BLOCK: usize = 1 << 16;
