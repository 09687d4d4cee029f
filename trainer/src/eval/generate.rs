//! What a model says to an input: greedy, by beam search, or by drawing; one position a step, with keys and values
//! kept.

use super::ensemble::{self, Ensemble};
use super::predict::Answering;
use crate::Error;
use crate::backend::DeviceModel;
use crate::base::Sequences;
use crate::math::logits::{argmax, largest, log_sum_exp};
use crate::model::{Decoder, EOS};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How the next token is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Decoding {
    /// The likeliest token.
    Greedy,
    /// The likeliest sequence that a search over `beams` of them finds: log probability over `((5 + length) / 6)^alpha`
    /// (Wu et al. 2016), as in Mesh TensorFlow. T5 takes 4 beams and alpha 0.6 (§3.7).
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

/// What a model says to each row of `inputs`, of `max_length` tokens at most. A row is one example; padding has segment
/// 0. A model without an encoder goes on after its inputs, as [`DeviceModel::decoder`] says.
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
    let mut decoders = Vec::new();
    for model in models.iter_mut() {
        decoders.push(model.decoder(rows, inputs, beams, max_length)?);
    }
    let mut decoder = ensemble::join(decoders, answering.ensemble);
    match decoding {
        Decoding::Beam { beams, alpha } => beam(&mut *decoder, rows, beams, alpha, max_length),
        _ => one_by_one(&mut *decoder, numbers, decoding, max_length),
    }
}

/// What `look` finds in each sequence's logits, on several threads where there are many.
fn each_row<T: Send>(logits: &[f32], sequences: usize, look: impl Fn(usize, &[f32]) -> T + Sync) -> Vec<T> {
    /// Logits for which another thread is worth waking: some 50 microseconds' work.
    const SERIAL: usize = 1 << 17;
    let vocab = logits.len() / sequences;
    let look = |(sequence, logits)| look(sequence, logits);
    match logits.len() < SERIAL || rayon::current_num_threads() == 1 {
        true => logits.chunks_exact(vocab).enumerate().map(look).collect(),
        false => logits.par_chunks_exact(vocab).enumerate().map(look).collect(),
    }
}

fn one_by_one(
    decoder: &mut dyn Decoder,
    numbers: &[usize],
    decoding: Decoding,
    max_length: usize,
) -> Result<Vec<Generated>, Error> {
    let nothing = Generated {
        tokens: Vec::new(),
        log_probability: 0.0,
    };
    let mut all = vec![nothing; numbers.len()];
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
    // Rows that have not ended, and the last token of each.
    let mut going: Vec<usize> = (0..numbers.len()).collect();
    let mut last = vec![0; numbers.len()];
    for _ in 0..max_length {
        if going.is_empty() {
            break;
        }
        let logits = decoder.step(&last)?;
        let found = match decoding {
            Decoding::Sample {
                temperature,
                top_k,
                top_p,
                ..
            } => {
                let rows = logits.chunks_exact(logits.len() / going.len()).zip(&going);
                rows.map(|(logits, &row)| {
                    let token = draw(logits, temperature, top_k, top_p, &mut random[row]);
                    (token, log_sum_exp(logits), logits[token])
                })
                .collect()
            }
            _ => each_row(logits, going.len(), |_, logits| {
                let token = argmax(logits);
                (token, log_sum_exp(logits), logits[token])
            }),
        };
        last.clear();
        let mut places = Vec::new();
        for (place, (row, (token, log_sum, logit))) in going.iter().zip(found).enumerate() {
            let token = token as u32;
            all[*row].tokens.push(token);
            all[*row].log_probability += f64::from(logit) - log_sum;
            if token != EOS {
                places.push(place);
                last.push(token);
            }
        }
        going = places.iter().map(|&place| going[place]).collect();
        decoder.reorder(&places);
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
    let log_sum = log_sum_exp(&scaled);
    let probabilities: Vec<f64> = scaled.iter().map(|&x| (f64::from(x) - log_sum).exp()).collect();
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
        .map(|place| Search {
            alive: vec![Beam {
                place,
                tokens: Vec::new(),
                log_probability: 0.0,
            }],
            ..Search::default()
        })
        .collect();
    let mut last = vec![0; rows];
    for length in 1..=max_length {
        if last.is_empty() {
            break;
        }
        let logits = decoder.step(&last)?;
        let found = each_row(logits, last.len(), |_, logits| {
            (log_sum_exp(logits), largest(logits, 2 * beams))
        });
        // Sequences of searches that go on, and what each goes on from.
        let mut places = Vec::new();
        last.clear();
        for search in searches.iter_mut().filter(|search| !search.done) {
            let mut candidates = Vec::new();
            for (from, beam) in search.alive.iter().enumerate() {
                let (log_sum, largest) = &found[beam.place];
                let next = largest
                    .iter()
                    .map(|&(logit, token)| (f64::from(logit) - log_sum, token));
                candidates.extend(next.map(|(p, token)| (beam.log_probability + p, from, token)));
            }
            candidates.sort_by(|a: &(f64, usize, u32), b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
            candidates.truncate(2 * beams);
            let mut alive = Vec::new();
            for (log_probability, from, token) in candidates {
                if token != EOS && alive.len() == beams {
                    continue;
                }
                let mut tokens = search.alive[from].tokens.clone();
                tokens.push(token);
                if token == EOS {
                    let found = Generated {
                        tokens,
                        log_probability,
                    };
                    search.finished.push((log_probability / penalty(length), found));
                } else {
                    alive.push(Beam {
                        // So far, of the sequence that it goes on from.
                        place: search.alive[from].place,
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
            if search.done {
                continue;
            }
            for beam in &mut search.alive {
                last.push(beam.tokens.last().copied().unwrap_or_default());
                places.push(beam.place);
                beam.place = places.len() - 1;
            }
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
