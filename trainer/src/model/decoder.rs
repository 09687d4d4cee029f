//! The decoder, one position a step, keys and values of earlier positions kept. Of a model without an encoder, the
//! first step takes all of the prompt.

use super::arranged::{Arranged, RowMemory, Weights};
use super::config::Architecture;
use super::embedding;
use super::passes::head_scale;
use super::t5::T5;
use crate::Error;
use crate::base::{Sequences, memory};
use crate::math::kept::{EncodedKeys, attend_rows};
use crate::math::matrix::Into;
use rayon::prelude::*;
use std::ops::Range;

/// Multiplications below which attention stays on its thread, some 50 microseconds.
const SERIAL: usize = 1 << 19;

/// Sequences that grow by a token a step: at first one for each row of the input.
pub trait Decoder {
    /// Takes each sequence's last token (0 at the start, before the prompt), gives the logits of its next one,
    /// `[sequences, vocab]`.
    ///
    /// # Errors
    /// The device fails.
    fn step(&mut self, last: &[u32]) -> Result<&[f32], Error>;

    /// The sequences from now on: sequence `i` goes on from what sequence `places[i]` has. One that is not in `places`
    /// is dropped, one that is there several times goes on in several ways.
    fn reorder(&mut self, places: &[usize]);
}

/// A sequence: of which row of the input it is, and which of the kept positions are its own, in order.
#[derive(Debug, Clone)]
struct Sequence {
    row: usize,
    history: Vec<u32>,
}

/// The decoder of the CPU, which keeps keys and values. A sequence's logits are the same to the bit whatever sequences
/// are beside it.
#[derive(Debug)]
pub struct CachedDecoder<'m> {
    weights: Weights<'m>,
    sequences: Vec<Sequence>,
    /// Positions so far, of each sequence.
    length: usize,
    max_length: usize,
    /// What is read with the first token, `[rows, prompt_length]`; nothing where there is an encoder.
    prompt: Vec<u32>,
    prompt_length: usize,
    /// Whether positions of the prompt see later ones of it, and distances have signs.
    bidirectional: bool,
    /// By layer: keys and values of positions, `[positions, 2, width]`. Sequences that have a past in common share it.
    kept: Vec<Vec<f32>>,
    /// By layer and row: keys and values of the encoder's output.
    encoded: Vec<Vec<EncodedKeys>>,
    /// By layer: which of `biases` is the layer's.
    tables: Vec<usize>,
    /// Biases of distances `1 - max_length ..= prompt_length`, `[heads, distances]`.
    biases: Vec<Vec<f32>>,
    memory: RowMemory,
    x: Vec<f32>,
    logits: Vec<f32>,
}

impl T5 {
    /// The model's matrices, arranged for [`decoder`](T5::decoder).
    ///
    /// # Errors
    /// More than the machine's memory holds.
    pub(crate) fn arrange(&self) -> Result<Arranged, Error> {
        Arranged::new(self.config(), self.layout(), self.parameters())
    }

    /// A decoder of `inputs`, one example a row, of `max_length` tokens at most and with at most `beams` sequences for
    /// each row. Of a model without an encoder the inputs are what its sequences begin with (an EOS included where
    /// examples have one there), all of one length, which may be 0. `arranged` is of this model, as it is now.
    ///
    /// # Errors
    /// Inputs that are not for this model; padding in them where there is no encoder.
    pub(crate) fn decoder<'m>(
        &'m self,
        arranged: &'m Arranged,
        rows: usize,
        inputs: &Sequences,
        beams: usize,
        max_length: usize,
    ) -> Result<CachedDecoder<'m>, Error> {
        let config = self.config();
        let weights = Weights {
            config,
            layout: self.layout(),
            parameters: self.parameters(),
            arranged,
        };
        let len = rows * inputs.length;
        if [&inputs.tokens, &inputs.segments].iter().any(|part| part.len() != len) {
            let found = inputs.tokens.len();
            return Err(Error::Setting(format!(
                "inputs of {rows} rows of {} tokens are {len}, not {found}; give a token and a segment for each position",
                inputs.length
            )));
        }
        embedding::check(&inputs.tokens, config.vocab_size)?;
        let has_encoder = config.architecture.has_encoder();
        if !has_encoder && inputs.segments.contains(&0) {
            return Err(Error::Setting(
                "texts for a language model to go on with must be of one length; give them one by one".into(),
            ));
        }
        let prompt_length = if has_encoder { 0 } else { inputs.length };
        let longest = prompt_length.saturating_add(max_length);
        let examples = examples(rows, inputs)?;
        let layers = &self.layout().decoder.layers;
        let kept = [rows, beams, longest, 2 * config.heads_width(), size_of::<f32>()];
        let kept = kept
            .into_iter()
            .fold(1_u64, |bytes, factor| bytes.saturating_mul(factor as u64));
        let of_inputs = examples
            .iter()
            .map(|example| EncodedKeys::bytes(example.len(), config.heads, config.d_kv));
        let of_inputs = if has_encoder { of_inputs.sum() } else { 0 };
        let bytes = kept.saturating_add(of_inputs).saturating_mul(layers.len() as u64);
        let what = format!("an answer of {longest} tokens with {beams} beams");
        memory::refuse_too_much(&what, bytes)?;
        let bidirectional = config.architecture == Architecture::PrefixLm;
        let mut ranges: Vec<&Range<usize>> = Vec::new();
        let mut tables = Vec::new();
        for layer in layers {
            let known = ranges.iter().position(|range| **range == layer.relative_bias);
            tables.push(known.unwrap_or(ranges.len()));
            if known.is_none() {
                ranges.push(&layer.relative_bias);
            }
        }
        let distances = 1 - longest as i64..prompt_length as i64 + 1;
        let biases = ranges
            .iter()
            .map(|range| weights.biases(range, distances.clone(), bidirectional));
        let sequence = |row| Sequence {
            row,
            history: Vec::new(),
        };
        Ok(CachedDecoder {
            sequences: (0..rows).map(sequence).collect(),
            length: 0,
            max_length: longest,
            prompt: if has_encoder { Vec::new() } else { inputs.tokens.clone() },
            prompt_length,
            bidirectional,
            kept: vec![Vec::new(); layers.len()],
            encoded: match has_encoder {
                true => weights.encode(&examples)?,
                false => Vec::new(),
            },
            tables,
            biases: biases.collect(),
            memory: RowMemory::default(),
            x: Vec::new(),
            logits: Vec::new(),
            weights,
        })
    }
}

/// The tokens of each row that are not padding.
fn examples(rows: usize, inputs: &Sequences) -> Result<Vec<&[u32]>, Error> {
    let example = |row: usize| {
        let positions = row * inputs.length..(row + 1) * inputs.length;
        let segments = &inputs.segments[positions.clone()];
        let start = segments.iter().take_while(|&&segment| segment == 0).count();
        let len = segments[start..].iter().take_while(|&&segment| segment > 0).count();
        match segments[start + len..].iter().any(|&segment| segment > 0) {
            true => Err(Error::Setting(format!(
                "the input of row {row} is in two pieces; give its tokens next to each other"
            ))),
            false => Ok(&inputs.tokens[positions][start..start + len]),
        }
    };
    (0..rows).map(example).collect()
}

impl Decoder for CachedDecoder<'_> {
    /// Panics when sequences are at their greatest length.
    fn step(&mut self, last: &[u32]) -> Result<&[f32], Error> {
        assert!(self.length < self.max_length, "a decoder can go no further");
        assert_eq!(last.len(), self.sequences.len(), "a token for each sequence");
        let Weights { config, layout, .. } = self.weights;
        // New positions of each sequence: one, or with the first token all of the prompt.
        let now = self.length;
        let new = match now {
            0 => 1 + self.prompt_length,
            _ => 1,
        };
        let end = now + new;
        let mut tokens = Vec::with_capacity(last.len() * new);
        let width = config.heads_width();
        let mut next = self.kept.first().map_or(0, |kept| kept.len() / (2 * width)) as u32;
        for (sequence, last) in self.sequences.iter_mut().zip(last) {
            tokens.push(*last);
            let prompt = &self.prompt[sequence.row * self.prompt_length..][..new - 1];
            tokens.extend_from_slice(prompt);
            sequence.history.extend(next..next + new as u32);
            next += new as u32;
        }
        let (d, d_kv, memory) = (config.d_model, config.d_kv, &mut self.memory);
        self.weights.embed(&tokens, &mut self.x);
        let distances = self.max_length + self.prompt_length;
        let layers = layout.decoder.layers.iter().zip(&self.weights.arranged.decoder);
        for (number, (layer, arranged)) in layers.enumerate() {
            let attention = &arranged.attention;
            self.weights
                .normed_product(&self.x, &layer.attention.norm, &attention.first, memory);
            let kept = &mut self.kept[number];
            let qkv = memory.wide.chunks_exact(3 * width);
            qkv.for_each(|qkv| kept.extend_from_slice(&qkv[width..]));
            let biases = &self.biases[self.tables[number]];
            memory.context.resize(tokens.len() * width, 0.0);
            let own = |scores: &mut Vec<f32>, sequence: usize, context: &mut [f32]| {
                let history = &self.sequences[sequence].history;
                let qkv = memory.wide[sequence * new * 3 * width..].chunks_exact(3 * width);
                for (i, (qkv, context)) in qkv.zip(context.chunks_exact_mut(width)).enumerate() {
                    let seen = match self.bidirectional && now == 0 {
                        true => end,
                        false => now + i + 1,
                    };
                    // The first key is `now + i` before the query.
                    let first = self.max_length - 1 - (now + i);
                    let bias = |head: usize| &biases[head * distances + first..][..seen];
                    attend_rows(&qkv[..width], (kept, &history[..seen]), d_kv, bias, scores, context);
                }
            };
            each_sequence(&mut memory.context, new * width, end * width, own);
            attention.o.multiply(&mut self.x, Into::Add, 1.0, &memory.context);
            if let (Some(cross), Some(arranged)) = (&layer.cross, &arranged.cross) {
                self.weights
                    .normed_product(&self.x, &cross.norm, &arranged.first, memory);
                let encoded = &self.encoded[number];
                let to_inputs = |scores: &mut Vec<f32>, sequence: usize, context: &mut [f32]| {
                    let q = &memory.wide[sequence * width..][..width];
                    encoded[self.sequences[sequence].row].attend(q, d_kv, scores, context);
                };
                let positions = encoded.iter().map(EncodedKeys::count).max().unwrap_or_default();
                each_sequence(&mut memory.context, width, positions * width, to_inputs);
                arranged.o.multiply(&mut self.x, Into::Add, 1.0, &memory.context);
            }
            self.weights.feed_forward(layer, arranged, &mut self.x, memory);
        }
        // Only the last position of each sequence says something new.
        for sequence in 0..last.len() {
            let from = ((sequence + 1) * new - 1) * d;
            self.x.copy_within(from..from + d, sequence * d);
        }
        self.weights
            .norm(&self.x[..last.len() * d], &layout.decoder.norm, memory);
        let head = &self.weights.arranged.head;
        self.logits.resize(last.len() * head.columns(), 0.0);
        head.multiply(&mut self.logits, Into::Set, head_scale(config), &memory.y);
        self.length = end;
        Ok(&self.logits)
    }

    fn reorder(&mut self, places: &[usize]) {
        if places.iter().copied().eq(0..self.sequences.len()) {
            return;
        }
        self.sequences = places.iter().map(|&place| self.sequences[place].clone()).collect();
    }
}

/// Runs `attend(scratch, sequence, context)` for each sequence's piece of `context`, on several threads where there is
/// enough to do: `work` multiplications each, twice.
fn each_sequence(
    context: &mut [f32],
    piece: usize,
    work: usize,
    attend: impl Fn(&mut Vec<f32>, usize, &mut [f32]) + Sync,
) {
    let sequences = context.len() / piece;
    if rayon::current_num_threads() == 1 || context.len() / piece * work < SERIAL {
        let mut scores = Vec::new();
        let pieces = context.chunks_exact_mut(piece).enumerate();
        return pieces.for_each(|(sequence, context)| attend(&mut scores, sequence, context));
    }
    let some = sequences.div_ceil(2 * rayon::current_num_threads());
    let tasks = context.par_chunks_exact_mut(piece).enumerate().with_min_len(some);
    tasks.for_each_init(Vec::new, |scores, (sequence, context)| {
        attend(scores, sequence, context)
    });
}
