//! The network: embeddings of the features, one hidden layer, and a softmax.

use super::LANGUAGES;
use super::letters::SCRIPTS;

/// `data/cld3/README.md` has the source and the layout.
static DATA: &[u8] = include_bytes!("../../../../data/cld3/network.bin");

const INPUTS: usize = 80;
const HIDDEN: usize = 208;
const OUTPUTS: usize = LANGUAGES.len();
/// `kNumRelevantScripts`.
pub(super) const RELEVANT_SCRIPTS: usize = 12;

/// The first layer: the embeddings side by side.
pub(super) type Layer = [f32; INPUTS];

pub(super) struct Network {
    pub(super) bigrams: Embedding<16>,
    pub(super) quadgrams: Embedding<16>,
    pub(super) relevant_scripts: Embedding<8>,
    pub(super) script: Embedding<8>,
    pub(super) trigrams: Embedding<16>,
    pub(super) unigrams: Embedding<16>,
    hidden: Dense<HIDDEN>,
    softmax: Dense<OUTPUTS>,
}

/// Vectors of `N` numbers for features, in 8 bits with a factor each.
pub(super) struct Embedding<const N: usize> {
    factors: Vec<f32>,
    weights: Vec<[i8; N]>,
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
        let network = Network {
            bigrams: Embedding::load(&mut data, 1000)?,
            quadgrams: Embedding::load(&mut data, 5000)?,
            relevant_scripts: Embedding::load(&mut data, RELEVANT_SCRIPTS)?,
            script: Embedding::load(&mut data, usize::from(SCRIPTS) + 1)?,
            trigrams: Embedding::load(&mut data, 5000)?,
            unigrams: Embedding::load(&mut data, 100)?,
            hidden: Dense::load(&mut data, INPUTS)?,
            softmax: Dense::load(&mut data, HIDDEN)?,
        };
        data.is_empty().then_some(network)
    }

    /// The most probable language, as its place in [`LANGUAGES`], and its probability, with the original's operations
    /// in their order.
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

impl<const N: usize> Embedding<N> {
    fn load(data: &mut &'static [u8], rows: usize) -> Option<Embedding<N>> {
        if usize::from(half(data)?) != rows || usize::from(byte(data)?) != N {
            return None;
        }
        let factors = data.split_off(..2 * rows)?.as_chunks().0;
        let weights = data.split_off(..rows * N)?.as_chunks().0;
        Some(Embedding {
            // `Float16To32`: the upper half of a 32-bit float.
            factors: factors
                .iter()
                .map(|half| f32::from_bits(u32::from(u16::from_le_bytes(*half)) << 16))
                .collect(),
            // 128 stands for 0.
            weights: weights
                .iter()
                .map(|row: &[u8; N]| row.map(|w| (w ^ 0x80).cast_signed()))
                .collect(),
        })
    }

    pub(super) fn rows(&self) -> usize {
        self.factors.len()
    }

    /// The sum of rows, each as often as its weight says, in the order in which they come.
    #[inline]
    pub(super) fn sum(&self, features: impl Iterator<Item = (usize, f32)>) -> [f32; N] {
        let mut sum = [0.0; N];
        for (row, weight) in features {
            let factor = self.factors[row] * weight;
            for (sum, weight) in sum.iter_mut().zip(&self.weights[row]) {
                *sum += f32::from(*weight) * factor;
            }
        }
        sum
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
