//! A decoder for backends that keep no keys and values: each step runs the whole model over all tokens so far, so `n`
//! tokens cost `n` forward passes.

use super::DeviceModel;
use crate::Error;
use crate::base::{Batch, Sequences};
use crate::model::{Architecture, Decoder, EOS};

/// Any token that is neither padding nor EOS.
const OTHER: u32 = 2;

/// Sequences that grow by a token a step.
pub(super) struct Recompute<'b> {
    backend: &'b mut dyn DeviceModel,
    /// The input of each sequence, `[sequences, inputs.length]`; nothing where there is no encoder.
    inputs: Sequences,
    prompt_length: usize,
    /// What the decoder reads, by sequence; empty before the first step.
    read: Vec<Vec<u32>>,
    /// The prompt of each sequence.
    prompts: Vec<Vec<u32>>,
    logits: Vec<f32>,
}

impl<'b> Recompute<'b> {
    /// See [`DeviceModel::decoder`].
    pub fn open(backend: &'b mut dyn DeviceModel, rows: usize, inputs: &Sequences) -> Result<Recompute<'b>, Error> {
        let architecture = backend.config().architecture;
        let length = inputs.length;
        let mut decoder = Recompute {
            backend,
            inputs: Sequences::default(),
            prompt_length: 0,
            read: vec![Vec::new(); rows],
            prompts: vec![Vec::new(); rows],
            logits: Vec::new(),
        };
        if architecture.has_encoder() {
            decoder.inputs = inputs.clone();
            return Ok(decoder);
        }
        if inputs.tokens.len() != rows * length || inputs.segments != vec![1; rows * length] {
            return Err(Error::Setting(
                "texts for a language model to go on with must be of one length; give them one by one".into(),
            ));
        }
        if architecture == Architecture::PrefixLm && length == 0 {
            return Err(Error::Setting("a prefix LM goes on with a text; give it one".into()));
        }
        decoder.prompt_length = length;
        if length > 0 {
            decoder.prompts = inputs.tokens.chunks_exact(length).map(<[u32]>::to_vec).collect();
        }
        Ok(decoder)
    }
}

impl Decoder for Recompute<'_> {
    fn step(&mut self, last: &[u32]) -> Result<&[f32], Error> {
        let is_first = self.read.first().is_some_and(Vec::is_empty);
        for ((read, prompt), last) in self.read.iter_mut().zip(&self.prompts).zip(last) {
            read.push(*last);
            if is_first {
                read.extend_from_slice(prompt);
            }
        }
        let rows = self.read.len();
        let length = self.read.first().map_or(0, Vec::len);
        // Of the targets, the attention mask reads one thing: the EOS of the prompt, up to which a prefix LM sees
        // everything.
        let mut targets = vec![OTHER; rows * length];
        if let Some(end) = self.prompt_length.checked_sub(1) {
            targets.chunks_exact_mut(length).for_each(|row| row[end] = EOS);
        }
        let batch = Batch {
            rows,
            inputs: self.inputs.clone(),
            targets: Sequences {
                length,
                tokens: targets,
                segments: vec![1; rows * length],
                positions: (0..rows).flat_map(|_| 0..length as u32).collect(),
            },
            decoder_inputs: self.read.concat(),
        };
        let all = self.backend.logits(&batch)?;
        let vocab = self.backend.config().vocab_size;
        self.logits.clear();
        for row in all.chunks_exact(length * vocab) {
            self.logits.extend_from_slice(&row[(length - 1) * vocab..]);
        }
        Ok(&self.logits)
    }

    fn reorder(&mut self, places: &[usize]) {
        if places.iter().copied().eq(0..self.read.len()) {
            return;
        }
        let of = |all: &[Vec<u32>]| places.iter().map(|&place| all[place].clone()).collect();
        (self.read, self.prompts) = (of(&self.read), of(&self.prompts));
        let length = self.inputs.length;
        let of = |all: &[u32]| -> Vec<u32> {
            let rows = places.iter().map(|&place| &all[place * length..(place + 1) * length]);
            rows.flatten().copied().collect()
        };
        let Sequences {
            tokens,
            segments,
            positions,
            ..
        } = &mut self.inputs;
        for part in [tokens, segments, positions] {
            *part = of(part);
        }
    }
}
