//! The network: embeddings of the features, one hidden layer, and a softmax.

use super::LANGUAGES;

/// `data/cld3/README.md` has the source and the layout.
static DATA: &[u8] = include_bytes!("../../../data/cld3/network.bin");

const INPUTS: usize = 80;
const HIDDEN: usize = 208;
const OUTPUTS: usize = LANGUAGES.len();

/// The first layer: the embeddings side by side.
pub(super) type Layer = [f32; INPUTS];

pub(super) struct Network {
    /// Of bigrams, quadgrams, relevant scripts, the text's script, trigrams and unigrams.
    pub(super) embeddings: [Embedding; 6],
    hidden: Dense<HIDDEN>,
    softmax: Dense<OUTPUTS>,
}

/// Vectors for features, in 8 bits with a factor each.
pub(super) struct Embedding {
    /// Where its part of the first layer starts.
    offset: usize,
    columns: usize,
    factors: Vec<f32>,
    weights: Vec<i8>,
}

/// A layer of `N` neurons.
struct Dense<const N: usize> {
    bias: [f32; N],
    /// From each neuron of the layer before.
    weights: Vec<[f32; N]>,
}

impl Network {
    /// Reads the network; `None` if it is not whole.
    pub(super) fn load() -> Option<Network> {
        let mut data = DATA;
        if usize::from(byte(&mut data)?) != OUTPUTS {
            return None;
        }
        for language in LANGUAGES {
            let length = byte(&mut data)?;
            if data.split_off(..length.into())? != language.as_bytes() {
                return None;
            }
        }
        let mut embeddings = Vec::new();
        let mut offset = 0;
        for _ in 0..6 {
            let embedding = Embedding::load(&mut data, offset)?;
            offset += embedding.columns;
            embeddings.push(embedding);
        }
        let network = Network {
            embeddings: embeddings.try_into().ok()?,
            hidden: Dense::load(&mut data, INPUTS)?,
            softmax: Dense::load(&mut data, HIDDEN)?,
        };
        (data.is_empty() && offset == INPUTS).then_some(network)
    }

    /// The most probable language, as its place in [`LANGUAGES`], and its probability, with the
    /// original's operations in their order.
    pub(super) fn best(&self, layer: &Layer) -> (usize, f32) {
        let hidden = self.hidden.apply(layer, |_| true);
        let scores = self.softmax.apply(&hidden, |x| x > 0.0);
        let mut best = 0;
        for (language, score) in scores.iter().enumerate() {
            // Of equals, the first.
            if *score > scores[best] {
                best = language;
            }
        }
        let most = scores[best];
        let mut sum = 0.0;
        for score in scores {
            sum += (score - most).exp();
        }
        let log_sum = most + sum.ln();
        (best, (most - log_sum).exp())
    }
}

impl Embedding {
    fn load(data: &mut &'static [u8], offset: usize) -> Option<Embedding> {
        let rows = usize::from(half(data)?);
        let columns = usize::from(byte(data)?);
        let factors = data.split_off(..2 * rows)?.as_chunks().0;
        let weights = data.split_off(..rows * columns)?;
        Some(Embedding {
            offset,
            columns,
            // `Float16To32`: the upper half of a 32-bit float.
            factors: factors
                .iter()
                .map(|half| f32::from_bits(u32::from(u16::from_le_bytes(*half)) << 16))
                .collect(),
            // 128 stands for 0.
            weights: weights.iter().map(|w| (w ^ 0x80).cast_signed()).collect(),
        })
    }

    pub(super) fn rows(&self) -> usize {
        self.factors.len()
    }

    /// Adds a row to the layer, `weight` times.
    #[inline]
    pub(super) fn add(&self, row: usize, weight: f32, layer: &mut Layer) {
        let factor = self.factors[row] * weight;
        let weights = &self.weights[row * self.columns..][..self.columns];
        let places = &mut layer[self.offset..][..self.columns];
        for (place, weight) in places.iter_mut().zip(weights) {
            *place += f32::from(*weight) * factor;
        }
    }
}

impl<const N: usize> Dense<N> {
    fn load(data: &mut &'static [u8], inputs: usize) -> Option<Dense<N>> {
        if usize::from(half(data)?) != inputs || usize::from(half(data)?) != N {
            return None;
        }
        let mut row = || -> Option<[f32; N]> {
            let numbers = data.split_off(..4 * N)?.as_chunks().0;
            Some(std::array::from_fn(|i| f32::from_le_bytes(numbers[i])))
        };
        Some(Dense {
            bias: row()?,
            weights: (0..inputs).map(|_| row()).collect::<Option<_>>()?,
        })
    }

    /// `SparseReluProductPlusBias`, of the inputs that are to be used.
    fn apply(&self, inputs: &[f32], used: fn(f32) -> bool) -> [f32; N] {
        let mut out = self.bias;
        for (x, weights) in inputs.iter().zip(&self.weights) {
            if used(*x) {
                for (out, weight) in out.iter_mut().zip(weights) {
                    *out += weight * x;
                }
            }
        }
        out
    }
}

fn byte(data: &mut &'static [u8]) -> Option<u8> {
    data.split_off_first().copied()
}

fn half(data: &mut &'static [u8]) -> Option<u16> {
    Some(u16::from_le_bytes(*data.split_off(..2)?.first_chunk()?))
}
