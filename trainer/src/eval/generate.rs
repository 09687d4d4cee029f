//! What a model says to an input: greedy, by beam search, or by drawing; one position a step, with keys and values kept.

use super::predict::{Answering, Ensemble};
use crate::Error;
use crate::backend::DeviceModel;
use crate::base::Sequences;
use crate::model::{Decoder, EOS};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

/// How the next token is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Decoding {
    /// The likeliest token.
    Greedy,
    /// The likeliest sequence that a search over `beams` of them finds: log probability over `((5 + length) / 6)^alpha` (Wu et
    /// al. 2016), as in Mesh TensorFlow. T5 takes 4 beams and alpha 0.6 (§3.7).
    Beam {
        /// Sequences that are followed.
        beams: usize,
        /// How much long sequences are favoured.
        alpha: f64,
    },
    /// Drawn from `softmax(logits / temperature)`, restricted first to the `top_k` likeliest tokens, then to the
    /// likeliest that together have probability `top_p`.
    Sample {
        /// The seed of the draws; another one gives another text.
        seed: u64,
        /// Below 1: closer to the likeliest.
        temperature: f32,
        /// All tokens where it is 0.
        top_k: usize,
        /// All tokens where it is 1.
        top_p: f32,
    },
}

impl Decoding {
    /// Refuses what cannot be.
    ///
    /// # Errors
    /// Says which setting, and what to do.
    pub fn validate(&self) -> Result<(), Error> {
        let problem = match *self {
            Decoding::Beam { beams: 0, .. } => "beams is 0; give 1 at least",
            Decoding::Beam { alpha, .. } if !alpha.is_finite() => "alpha must be finite",
            Decoding::Sample { temperature, .. } if !temperature.is_finite() || temperature <= 0.0 => {
                "temperature must be finite and above 0; take greedy decoding for the likeliest token"
            }
            Decoding::Sample { top_p, .. } if top_p.is_nan() || top_p <= 0.0 || top_p > 1.0 => {
                "top_p must be above 0 and at most 1"
            }
            _ => return Ok(()),
        };
        Err(Error::Setting(problem.into()))
    }
}

/// A sequence that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Generated {
    /// The tokens of the sequence, with the EOS where it came to one.
    pub tokens: Vec<u32>,
    /// Sum of the logarithms of their probabilities (of the model, at temperature 1).
    pub log_probability: f64,
}

/// What a model says to each row of `inputs`, of `max_length` tokens at most. A row is one example; padding has segment 0. A model
/// without an encoder goes on after its inputs, as [`DeviceModel::decoder`] says.
///
/// # Errors
/// Settings that cannot be, or inputs that are not for this model.
///
/// ```
/// use t5_trainer::{Decoding, Device, ModelConfig, Precision, Sequences, T5, generate, open};
/// let config = ModelConfig { vocab_size: 128, encoder_layers: 1, decoder_layers: 1, ..ModelConfig::named("tiny")? };
/// let mut model = open(Device::Cpu, Precision::F32, T5::new(config, 7)?, None)?;
/// let inputs = Sequences { length: 3, tokens: vec![5, 9, 1], segments: vec![1; 3], positions: vec![0, 1, 2] };
/// let found = generate(&mut *model, 1, &inputs, Decoding::Greedy, 4)?;
/// assert!(found[0].tokens.len() <= 4);
/// # Ok::<(), t5_trainer::Error>(())
/// ```
pub fn generate(
    backend: &mut dyn DeviceModel,
    rows: usize,
    inputs: &Sequences,
    decoding: Decoding,
    max_length: usize,
) -> Result<Vec<Generated>, Error> {
    decoding.validate()?;
    let answering = Answering {
        decoding,
        max_length,
        rows,
        ensemble: Ensemble::default(),
    };
    let numbers: Vec<usize> = (0..rows).collect();
    answer_rows(&mut [backend], &numbers, inputs, &answering)
}

/// What models say to each row of `inputs`, together. `numbers` says which input a row is: of draws, each has its own.
pub(super) fn answer_rows(
    models: &mut [&mut dyn DeviceModel],
    numbers: &[usize],
    inputs: &Sequences,
    answering: &Answering,
) -> Result<Vec<Generated>, Error> {
    let (rows, decoding, max_length) = (numbers.len(), answering.decoding, answering.max_length);
    if inputs.segments.iter().any(|&segment| segment > 1) {
        return Err(Error::Setting(
            "a row to answer holds several segments; give one example a row".into(),
        ));
    }
    let beams = match decoding {
        Decoding::Beam { beams, .. } => beams,
        _ => 1,
    };
    let mut decoder = models[0].decoder(rows, inputs, beams, max_length)?;
    match decoding {
        Decoding::Beam { beams, alpha } => beam(&mut *decoder, rows, beams, alpha, max_length),
        _ => one_by_one(&mut *decoder, numbers, decoding, max_length),
    }
}

/// Logarithms of probabilities from a row of logits.
fn log_probabilities(logits: &[f32]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = logits.iter().map(|&x| f64::from(x - max).exp()).sum();
    let log_z = f64::from(max) + total.ln();
    logits.iter().map(|&x| f64::from(x) - log_z).collect()
}

/// The first of the largest.
fn argmax(values: &[f32]) -> usize {
    let first = |best: usize, index: usize| {
        if values[index] > values[best] { index } else { best }
    };
    (0..values.len()).fold(0, first)
}

fn one_by_one(
    decoder: &mut dyn Decoder,
    numbers: &[usize],
    decoding: Decoding,
    max_length: usize,
) -> Result<Vec<Generated>, Error> {
    let rows = numbers.len();
    let mut all = vec![
        Generated {
            tokens: Vec::new(),
            log_probability: 0.0
        };
        rows
    ];
    let mut last = vec![0; rows];
    // A generator a row: what a row draws does not depend on its neighbours.
    let seed = if let Decoding::Sample { seed, .. } = decoding {
        seed
    } else {
        0
    };
    let random = |number: &usize| {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(*number as u64);
        random
    };
    let mut random: Vec<_> = numbers.iter().map(random).collect();
    for _ in 0..max_length {
        if all.iter().all(|row| row.tokens.last() == Some(&EOS)) {
            break;
        }
        let logits = decoder.step(&last)?;
        for (row, logits) in logits.chunks_exact(logits.len() / rows).enumerate() {
            if all[row].tokens.last() == Some(&EOS) {
                continue;
            }
            let token = match decoding {
                Decoding::Sample {
                    temperature,
                    top_k,
                    top_p,
                    ..
                } => draw(logits, temperature, top_k, top_p, &mut random[row]),
                _ => argmax(logits),
            };
            last[row] = token as u32;
            all[row].tokens.push(token as u32);
            all[row].log_probability += log_probabilities(logits)[token];
        }
    }
    Ok(all)
}

fn draw(logits: &[f32], temperature: f32, top_k: usize, top_p: f32, random: &mut ChaCha8Rng) -> usize {
    let mut tokens: Vec<usize> = (0..logits.len()).collect();
    tokens.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
    if top_k > 0 {
        tokens.truncate(top_k);
    }
    let scaled: Vec<f32> = tokens.iter().map(|&token| logits[token] / temperature).collect();
    let probabilities: Vec<f64> = log_probabilities(&scaled).into_iter().map(f64::exp).collect();
    let mut total = 0.0;
    let mut kept = 0;
    while kept < probabilities.len() && (kept == 0 || total < f64::from(top_p)) {
        total += probabilities[kept];
        kept += 1;
    }
    let mut left = crate::model::uniform(random) * total;
    for (token, probability) in tokens[..kept].iter().zip(&probabilities) {
        left -= probability;
        if left < 0.0 {
            return *token;
        }
    }
    tokens[kept - 1]
}

/// A sequence of a beam search.
#[derive(Debug, Clone)]
struct Beam {
    /// Which of the decoder's sequences it goes on from.
    place: usize,
    tokens: Vec<u32>,
    log_probability: f64,
}

/// A row's search.
#[derive(Debug, Clone, Default)]
struct Search {
    alive: Vec<Beam>,
    /// With their scores, best first.
    finished: Vec<(f64, Generated)>,
    done: bool,
}

/// Mesh TensorFlow's beam search: `2 * beams` candidates a step, of which those that end are finished; it stops when no
/// sequence alive can become better than the worst finished one.
fn beam(
    decoder: &mut dyn Decoder,
    rows: usize,
    beams: usize,
    alpha: f64,
    max_length: usize,
) -> Result<Vec<Generated>, Error> {
    let penalty = |length: usize| ((5.0 + length as f64) / 6.0).powf(alpha);
    let mut searches: Vec<Search> = (0..rows)
        .map(|row| Search {
            alive: vec![Beam {
                place: row * beams,
                tokens: Vec::new(),
                log_probability: 0.0,
            }],
            ..Search::default()
        })
        .collect();
    let mut last = vec![0; rows * beams];
    for length in 1..=max_length {
        if searches.iter().all(|search| search.done) {
            break;
        }
        let logits = decoder.step(&last)?;
        let vocab = logits.len() / last.len();
        let mut places: Vec<usize> = (0..rows * beams).collect();
        for (row, search) in searches.iter_mut().enumerate().filter(|(_, search)| !search.done) {
            let mut candidates = Vec::new();
            for (from, beam) in search.alive.iter().enumerate() {
                let logits = &logits[beam.place * vocab..][..vocab];
                let next = log_probabilities(logits).into_iter().enumerate();
                candidates.extend(next.map(|(token, p)| (beam.log_probability + p, from, token as u32)));
            }
            let better =
                |a: &(f64, usize, u32), b: &(f64, usize, u32)| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2)));
            let wanted = 2 * beams;
            if candidates.len() > wanted {
                candidates.select_nth_unstable_by(wanted - 1, better);
                candidates.truncate(wanted);
            }
            candidates.sort_by(better);
            let mut alive = Vec::new();
            for (log_probability, from, token) in candidates {
                let mut tokens = search.alive[from].tokens.clone();
                tokens.push(token);
                if token == EOS {
                    let found = Generated {
                        tokens,
                        log_probability,
                    };
                    search.finished.push((log_probability / penalty(length), found));
                } else if alive.len() < beams {
                    let place = row * beams + alive.len();
                    places[place] = search.alive[from].place;
                    last[place] = token;
                    alive.push(Beam {
                        place,
                        tokens,
                        log_probability,
                    });
                }
            }
            search.alive = alive;
            search.finished.sort_by(|a, b| b.0.total_cmp(&a.0));
            search.finished.truncate(beams);
            let hope = search
                .alive
                .first()
                .map_or(f64::NEG_INFINITY, |best| best.log_probability / penalty(max_length));
            let worst = search.finished.last().map_or(f64::NEG_INFINITY, |worst| worst.0);
            search.done = search.finished.len() == beams && hope <= worst;
        }
        decoder.reorder(&places);
    }
    let best = searches.into_iter().map(|search| {
        // Where nothing ended, what is alive is all there is.
        let alive = search.alive.into_iter().map(|beam| Generated {
            tokens: beam.tokens,
            log_probability: beam.log_probability,
        });
        let finished = search.finished.into_iter().map(|found| found.1);
        finished.chain(alive).next().unwrap_or(Generated {
            tokens: Vec::new(),
            log_probability: 0.0,
        })
    });
    Ok(best.collect())
}
