//! First values, as Mesh TensorFlow draws them (distributions, not bits).
//!
//! Every block of a variable has a stream of its own, so values depend on seed, name and place alone: not on the
//! order of variables, nor on threads.

use super::layout::{Init, Layout};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;

/// Elements drawn from one stream.
const BLOCK: usize = 1 << 16;

/// First values of all variables into `values` `[layout.len()]`.
pub fn fill_parameters(layout: &Layout, seed: u64, values: &mut [f32]) {
    for variable in layout.variables() {
        let key = key(seed, &variable.name);
        let blocks = values[variable.range.clone()].par_chunks_mut(BLOCK);
        blocks.enumerate().for_each(|(number, block)| {
            let mut rng = ChaCha8Rng::from_seed(key);
            rng.set_stream(number as u64);
            fill(block, variable.init, &mut rng);
        });
    }
}

/// A stream's key: the seed, and the name by FNV-1a, twice with other starts.
fn key(seed: u64, name: &str) -> [u8; 32] {
    let hash = |start: u64| {
        let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        name.as_bytes().iter().fold(start, step)
    };
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&hash(0xcbf2_9ce4_8422_2325).to_le_bytes());
    key[16..24].copy_from_slice(&hash(0x8422_2325_cbf2_9ce4).to_le_bytes());
    key
}

fn fill(values: &mut [f32], init: Init, rng: &mut impl Rng) {
    match init {
        Init::One => values.fill(1.0),
        Init::Uniform(bound) => values
            .iter_mut()
            .for_each(|value| *value = ((2.0 * uniform(rng) - 1.0) * bound) as f32),
        Init::Normal(std) => {
            for pair in values.chunks_mut(2) {
                let drawn = normals(rng);
                for (value, drawn) in pair.iter_mut().zip(drawn) {
                    *value = (drawn * std) as f32;
                }
            }
        }
        Init::TruncatedNormal(std) => {
            let mut second = None;
            for value in values {
                *value = loop {
                    let drawn = second.take().unwrap_or_else(|| {
                        let [one, other] = normals(rng);
                        second = Some(other);
                        one
                    });
                    if f64::abs(drawn) <= 2.0 {
                        break (drawn * std) as f32;
                    }
                };
            }
        }
    }
}

/// In [0, 1), 53 bits.
pub(crate) fn uniform(rng: &mut impl Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 * (-53f64).exp2()
}

/// Two standard normal draws (Box and Muller 1958).
fn normals(rng: &mut impl Rng) -> [f64; 2] {
    let radius = (-2.0 * (1.0 - uniform(rng)).ln()).sqrt();
    let (sin, cos) = (std::f64::consts::TAU * uniform(rng)).sin_cos();
    [radius * cos, radius * sin]
}
