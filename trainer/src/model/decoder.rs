//! The decoder, one position a step, keys and values of earlier positions kept. Of a model without an encoder, the first step
//! takes all of the prompt.

use super::config::Architecture;
use super::embedding;
use super::layout::AttentionLayout;
use super::norm;
use super::passes::head_scale;
use super::relative_position::bucket;
use super::scores::resize;
use super::t5::T5;
use crate::Error;
use crate::base::Sequences;
use crate::base::memory;
use crate::math::elementwise;
use crate::math::matrix::{Into, Matrix, Threads, multiply};
use std::ops::Range;

/// Sequences that grow by a token a step: `beams` for each row of the input.
pub trait Decoder {
    /// Takes each sequence's last token (0 at the start, before the prompt), gives the logits of its next one,
    /// `[rows * beams, vocab]`.
    ///
    /// # Errors
    /// The device fails.
    fn step(&mut self, last: &[u32]) -> Result<&[f32], Error>;

    /// Sequence `i` goes on from what sequence `places[i]` has; both belong to the same row.
    fn reorder(&mut self, places: &[usize]);
}

/// The decoder of the CPU, which keeps keys and values.
#[derive(Debug)]
pub struct CachedDecoder<'m> {
    model: &'m T5,
    /// Sequences.
    count: usize,
    beams: usize,
    /// Positions so far.
    length: usize,
    max_length: usize,
    /// What is read with the first token, `[count, prompt_length]`; nothing where there is an encoder.
    prompt: Vec<u32>,
    prompt_length: usize,
    /// Whether positions of the prompt see later ones of it, and distances have signs.
    bidirectional: bool,
    /// By layer: keys and values of own positions, `[count, max_length, 2, width]`.
    own: Vec<Vec<f32>>,
    /// By layer: keys and values of the encoder's output, `[rows, inputs, 2, width]`.
    encoded: Vec<Vec<f32>>,
    /// Positions of the input that are not padding, by row.
    inputs: Vec<Range<usize>>,
    input_length: usize,
    logits: Vec<f32>,
}

impl T5 {
    /// A decoder of `inputs`, one example a row, with `beams` sequences for each, of `max_length` tokens at most. Of a model without
    /// an encoder the inputs are what its sequences begin with (an EOS included where examples have one there), all of one
    /// length, which may be 0.
    ///
    /// # Errors
    /// Inputs that are not for this model; padding in them where there is no encoder.
    pub fn decoder(
        &mut self,
        rows: usize,
        inputs: &Sequences,
        beams: usize,
        max_length: usize,
    ) -> Result<CachedDecoder<'_>, Error> {
        let architecture = self.config().architecture;
        let (mut prompt, mut prompt_length) = (Vec::new(), 0);
        let encoded = match architecture.has_encoder() {
            true => self.encode(rows, inputs)?.to_vec(),
            false => {
                let len = rows * inputs.length;
                if inputs.tokens.len() != len || inputs.segments != vec![1; len] {
                    return Err(Error::Setting(
                        "texts for a language model to go on with must be of one length; give them one by one".into(),
                    ));
                }
                embedding::check(&inputs.tokens, self.config().vocab_size)?;
                prompt_length = inputs.length;
                for row in 0..rows {
                    let row = &inputs.tokens[row * inputs.length..(row + 1) * inputs.length];
                    (0..beams).for_each(|_| prompt.extend_from_slice(row));
                }
                Vec::new()
            }
        };
        let max_length = prompt_length.saturating_add(max_length);
        let config = self.config();
        let (d, width) = (config.d_model, config.heads_width());
        let layers = &self.layout().decoder.layers;
        let kept = [rows, beams, max_length, 2 * width, layers.len(), size_of::<f32>()];
        let bytes = kept
            .into_iter()
            .fold(1_u64, |bytes, factor| bytes.saturating_mul(factor as u64));
        let what = format!("an answer of {max_length} tokens with {beams} beams");
        memory::refuse_too_much(&what, bytes)?;
        let project = |layout: &AttentionLayout| {
            let n = encoded.len() / d;
            let mut kv = vec![0.0; n * 2 * width];
            let weight = Matrix::new(&self.parameters()[layout.kv.clone()], 2 * width, d).t();
            multiply(
                &mut kv,
                Into::Set,
                1.0,
                Matrix::new(&encoded, n, d),
                weight,
                Threads::All,
            );
            kv
        };
        let encoded = layers
            .iter()
            .filter_map(|layer| layer.cross.as_ref().map(project))
            .collect();
        let own = layers
            .iter()
            .map(|_| vec![0.0; rows * beams * max_length * 2 * width])
            .collect();
        let spans = inputs.segments.chunks_exact(inputs.length.max(1));
        let spans = spans.map(|segments| {
            let start = segments.iter().take_while(|&&segment| segment == 0).count();
            let len = segments[start..].iter().take_while(|&&segment| segment > 0).count();
            start..start + len
        });
        Ok(CachedDecoder {
            inputs: spans.collect(),
            input_length: inputs.length,
            model: self,
            count: rows * beams,
            beams,
            length: 0,
            max_length,
            prompt,
            prompt_length,
            bidirectional: architecture == Architecture::PrefixLm,
            own,
            encoded,
            logits: Vec::new(),
        })
    }
}

impl Decoder for CachedDecoder<'_> {
    /// Panics when sequences are at their greatest length.
    fn step(&mut self, last: &[u32]) -> Result<&[f32], Error> {
        assert!(self.length < self.max_length, "a decoder can go no further");
        assert_eq!(last.len(), self.count, "a token for each sequence");
        let (config, p) = (self.model.config(), self.model.parameters());
        let layout = self.model.layout();
        // New positions of each sequence: one, or with the first token all of the prompt.
        let now = self.length;
        let new = match now {
            0 => 1 + self.prompt_length,
            _ => 1,
        };
        let mut tokens = Vec::with_capacity(self.count * new);
        for (sequence, last) in last.iter().enumerate() {
            tokens.push(*last);
            let prompt = &self.prompt[sequence * self.prompt_length..][..new - 1];
            tokens.extend_from_slice(prompt);
        }
        let (d, d_ff, width, n) = (config.d_model, config.d_ff, config.heads_width(), tokens.len());
        let stack = &layout.decoder;
        let mut x = vec![0.0; n * d];
        embedding::forward(&tokens, &p[layout.embedding.clone()], d, &mut x);
        let (mut y, mut inverse) = (vec![0.0; n * d], vec![0.0; n]);
        let mut norm = |x: &[f32], weight: &Range<usize>, y: &mut [f32]| {
            let inverse = &mut inverse[..x.len() / d];
            norm::forward(x, &p[weight.clone()], config.norm_epsilon, y, inverse);
        };
        // `a w^T`, where `w` is `[columns, depth]`.
        let product = |out: &mut [f32], into: Into, a: &[f32], weight: Range<usize>, depth: usize| {
            let (rows, columns) = (a.len() / depth, weight.len() / depth);
            let weight = Matrix::new(&p[weight], columns, depth).t();
            multiply(out, into, 1.0, Matrix::new(a, rows, depth), weight, Threads::All);
        };
        // The bias by distance, from the last new position to key 0 up to the first new one to the last key, `[heads, …]`.
        let buckets = (config.relative_buckets, config.relative_max_distance);
        let end = now + new;
        let biases_of = |table: &[f32]| -> Vec<Vec<f32>> {
            let distances = 1 - end as i64..new as i64;
            let bucket = |distance| bucket(distance, self.bidirectional, buckets.0, buckets.1);
            let bias = |head: usize| {
                let places = distances.clone().map(|distance| bucket(distance) * config.heads + head);
                places.map(|place| table[place]).collect()
            };
            (0..config.heads).map(bias).collect()
        };
        let mut biases = Vec::new();
        // The table that they are of.
        let mut table = &(0..0);
        let mut context = vec![0.0; n * width];
        for (number, layer) in stack.layers.iter().enumerate() {
            if *table != layer.relative_bias {
                table = &layer.relative_bias;
                biases = biases_of(&p[table.clone()]);
            }
            let own = &mut self.own[number];
            let mut qkv = vec![0.0; n * 3 * width];
            norm(&x, &layer.attention.norm, &mut y);
            product(&mut qkv, Into::Set, &y, layer.attention.qkv.clone(), d);
            let row = 2 * width;
            for (sequence, qkv) in qkv.chunks_exact(new * 3 * width).enumerate() {
                let own = &mut own[sequence * self.max_length * row..][..end * row];
                let positions = qkv.chunks_exact(3 * width);
                for (qkv, own) in positions.clone().zip(own[now * row..].chunks_exact_mut(row)) {
                    own.copy_from_slice(&qkv[width..]);
                }
                let context = context[sequence * new * width..].chunks_exact_mut(width);
                for ((i, qkv), context) in positions.enumerate().zip(context) {
                    let seen = match self.bidirectional && now == 0 {
                        true => end,
                        false => now + i + 1,
                    };
                    // Key 0 is `now + i` before the query.
                    let first = new - 1 - i;
                    let bias = |head: usize| &biases[head][first..first + seen];
                    let kv = &own[..seen * row];
                    attend(&qkv[..width], kv, config.d_kv, bias, context);
                }
            }
            product(&mut x, Into::Add, &context, layer.attention.o.clone(), width);
            if let Some(cross) = &layer.cross {
                let mut q = vec![0.0; n * width];
                norm(&x, &cross.norm, &mut y);
                product(&mut q, Into::Set, &y, cross.q.clone(), d);
                for (sequence, q) in q.chunks_exact(width).enumerate() {
                    let row_number = sequence / self.beams;
                    let seen = &self.inputs[row_number];
                    let start = row_number * self.input_length;
                    let kv = &self.encoded[number][(start + seen.start) * row..(start + seen.end) * row];
                    attend(q, kv, config.d_kv, |_| &[], &mut context[sequence * width..][..width]);
                }
                product(&mut x, Into::Add, &context, cross.o.clone(), width);
            }
            norm(&x, &layer.feed_forward.norm, &mut y);
            let columns = layer.feed_forward.wi.len() / d;
            let mut hidden = vec![0.0; n * columns];
            product(&mut hidden, Into::Set, &y, layer.feed_forward.wi.clone(), d);
            match config.activation.gated() {
                None => elementwise::relu(&mut hidden),
                Some(f) => {
                    let mut gated = vec![0.0; n * d_ff];
                    let rows = hidden.chunks_exact(columns).zip(gated.chunks_exact_mut(d_ff));
                    rows.for_each(|(pre, gated)| elementwise::gated_row(f, pre, gated));
                    hidden = gated;
                }
            }
            product(&mut x, Into::Add, &hidden, layer.feed_forward.wo.clone(), d_ff);
            if let Some(adapter) = &layer.adapter {
                norm(&x, &adapter.norm, &mut y);
                let mut hidden = vec![0.0; n * config.adapter];
                product(&mut hidden, Into::Set, &y, adapter.wi.clone(), d);
                elementwise::relu(&mut hidden);
                product(&mut x, Into::Add, &hidden, adapter.wo.clone(), config.adapter);
            }
        }
        // Only the last position of each sequence says something new.
        let last = x.chunks_exact(new * d).flat_map(|x| &x[(new - 1) * d..]);
        let last: Vec<f32> = last.copied().collect();
        let y = &mut y[..last.len()];
        norm(&last, &stack.norm, y);
        let rows = y.len() / d;
        resize(&mut self.logits, rows * (layout.head.len() / d));
        let table = Matrix::new(&p[layout.head.clone()], layout.head.len() / d, d).t();
        let y = Matrix::new(y, rows, d);
        multiply(&mut self.logits, Into::Set, head_scale(config), y, table, Threads::All);
        self.length = end;
        Ok(&self.logits)
    }

    fn reorder(&mut self, places: &[usize]) {
        if places.iter().enumerate().all(|(to, from)| to == *from) {
            return;
        }
        let row = 2 * self.model.config().heads_width();
        let (size, used) = (self.max_length * row, self.length * row);
        for own in &mut self.own {
            let before = own.clone();
            for (to, from) in places.iter().enumerate() {
                own[to * size..][..used].copy_from_slice(&before[from * size..][..used]);
            }
        }
    }
}

/// One query, all heads, to keys and values `[keys, 2, width]`.
fn attend<'b>(q: &[f32], kv: &[f32], d_kv: usize, bias: impl Fn(usize) -> &'b [f32], out: &mut [f32]) {
    let width = q.len();
    let heads = q.chunks_exact(d_kv).zip(out.chunks_exact_mut(d_kv)).enumerate();
    for (head, (q, out)) in heads {
        out.fill(0.0);
        let keys = kv.chunks_exact(2 * width).map(|kv| &kv[head * d_kv..][..d_kv]);
        let mut scores: Vec<f32> = keys.map(|key| elementwise::dot(q, key)).collect();
        if scores.is_empty() {
            continue;
        }
        elementwise::softmax_row(&mut scores, bias(head));
        for (score, kv) in scores.iter().zip(kv.chunks_exact(2 * width)) {
            elementwise::add_scaled(out, &kv[width + head * d_kv..][..d_kv], *score);
        }
    }
}
