//! The decoder, one position a step, keys and values of earlier positions kept.

use super::config::Activation;
use super::elementwise;
use super::embedding;
use super::layout::AttentionLayout;
use super::matrix::{Into, Matrix, Threads, multiply};
use super::norm;
use super::relative::bucket;
use super::t5::{T5, head};
use crate::{Error, Sequences};
use std::ops::Range;

/// Sequences that grow by a token a step: `beams` for each row of the input.
#[derive(Debug)]
pub struct Decoder<'m> {
    model: &'m T5,
    /// Sequences.
    count: usize,
    beams: usize,
    /// Tokens so far.
    length: usize,
    max_length: usize,
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
    /// A decoder of `inputs`, one example a row, with `beams` sequences for each.
    ///
    /// # Errors
    /// A language model, or inputs that are not for this model.
    pub fn decoder(
        &mut self,
        rows: usize,
        inputs: &Sequences,
        beams: usize,
        max_length: usize,
    ) -> Result<Decoder<'_>, Error> {
        let encoded = self.encode(rows, inputs)?.to_vec();
        let config = self.config();
        let (d, width) = (config.d_model, config.heads_width());
        let layers = &self.layout().decoder.layers;
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
        let spans = inputs.segments.chunks_exact(inputs.length).map(|segments| {
            let start = segments.iter().take_while(|&&segment| segment == 0).count();
            let len = segments[start..]
                .iter()
                .take_while(|&&segment| segment > 0)
                .count();
            start..start + len
        });
        Ok(Decoder {
            inputs: spans.collect(),
            input_length: inputs.length,
            model: self,
            count: rows * beams,
            beams,
            length: 0,
            max_length,
            own,
            encoded,
            logits: Vec::new(),
        })
    }
}

impl Decoder<'_> {
    /// Takes each sequence's last token (0 at the start), gives the logits of its next one, `[count, vocab]`. Panics when
    /// sequences are at their greatest length.
    pub fn step(&mut self, last: &[u32]) -> &[f32] {
        assert!(self.length < self.max_length, "a decoder can go no further");
        assert_eq!(last.len(), self.count, "a token for each sequence");
        let (config, p) = (self.model.config(), self.model.parameters());
        let layout = self.model.layout();
        let (d, d_ff, width, n) = (
            config.d_model,
            config.d_ff,
            config.heads_width(),
            self.count,
        );
        let stack = &layout.decoder;
        let mut x = vec![0.0; n * d];
        embedding::forward(last, &p[layout.embedding.clone()], d, &mut x);
        let (mut y, mut inverse) = (vec![0.0; n * d], vec![0.0; n]);
        let mut norm = |x: &[f32], weight: &Range<usize>, y: &mut [f32]| {
            norm::forward(x, &p[weight.clone()], config.norm_epsilon, y, &mut inverse);
        };
        // `a w^T`, where `w` is `[columns, depth]`.
        let product =
            |out: &mut [f32], into: Into, a: &[f32], weight: Range<usize>, depth: usize| {
                let (rows, columns) = (a.len() / depth, weight.len() / depth);
                let weight = Matrix::new(&p[weight], columns, depth).t();
                multiply(
                    out,
                    into,
                    1.0,
                    Matrix::new(a, rows, depth),
                    weight,
                    Threads::All,
                );
            };
        // The bias of each earlier position, `[heads, length + 1]`.
        let table = &p[stack.relative_bias.clone()];
        let now = self.length;
        let buckets = (config.relative_buckets, config.relative_max_distance);
        let bias = |head: usize| -> Vec<f32> {
            let bucket = |key: usize| bucket(key as i64 - now as i64, false, buckets.0, buckets.1);
            (0..=now)
                .map(|key| table[bucket(key) * config.heads + head])
                .collect()
        };
        let biases: Vec<Vec<f32>> = (0..config.heads).map(bias).collect();
        let mut context = vec![0.0; n * width];
        for (number, layer) in stack.layers.iter().enumerate() {
            let own = &mut self.own[number];
            let mut qkv = vec![0.0; n * 3 * width];
            norm(&x, &layer.attention.norm, &mut y);
            product(&mut qkv, Into::Set, &y, layer.attention.qkv.clone(), d);
            let row = 2 * width;
            for (sequence, qkv) in qkv.chunks_exact(3 * width).enumerate() {
                let start = (sequence * self.max_length + now) * row;
                own[start..start + row].copy_from_slice(&qkv[width..]);
                let kv = &own[sequence * self.max_length * row..][..(now + 1) * row];
                let context = &mut context[sequence * width..][..width];
                attend(&qkv[..width], kv, config.d_kv, &biases, context);
            }
            product(
                &mut x,
                Into::Add,
                &context,
                layer.attention.o.clone(),
                width,
            );
            if let Some(cross) = &layer.cross {
                let mut q = vec![0.0; n * width];
                norm(&x, &cross.norm, &mut y);
                product(&mut q, Into::Set, &y, cross.q.clone(), d);
                for (sequence, q) in q.chunks_exact(width).enumerate() {
                    let row_number = sequence / self.beams;
                    let seen = &self.inputs[row_number];
                    let start = row_number * self.input_length;
                    let kv =
                        &self.encoded[number][(start + seen.start) * row..(start + seen.end) * row];
                    attend(
                        q,
                        kv,
                        config.d_kv,
                        &[],
                        &mut context[sequence * width..][..width],
                    );
                }
                product(&mut x, Into::Add, &context, cross.o.clone(), width);
            }
            norm(&x, &layer.feed_forward.norm, &mut y);
            let columns = layer.feed_forward.wi.len() / d;
            let mut hidden = vec![0.0; n * columns];
            product(&mut hidden, Into::Set, &y, layer.feed_forward.wi.clone(), d);
            match config.activation {
                Activation::Relu => elementwise::relu(&mut hidden),
                Activation::GatedGelu => {
                    let mut gated = vec![0.0; n * d_ff];
                    let rows = hidden
                        .chunks_exact(columns)
                        .zip(gated.chunks_exact_mut(d_ff));
                    rows.for_each(|(pre, gated)| elementwise::gated_gelu_row(pre, gated));
                    hidden = gated;
                }
            }
            product(
                &mut x,
                Into::Add,
                &hidden,
                layer.feed_forward.wo.clone(),
                d_ff,
            );
        }
        norm(&x, &stack.norm, &mut y);
        head(config, layout, p).logits(&y, &mut self.logits);
        self.length += 1;
        &self.logits
    }

    /// Sequence `i` goes on from what sequence `places[i]` has; both belong to the same row.
    pub fn reorder(&mut self, places: &[usize]) {
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
fn attend(q: &[f32], kv: &[f32], d_kv: usize, biases: &[Vec<f32>], out: &mut [f32]) {
    let width = q.len();
    let heads = q
        .chunks_exact(d_kv)
        .zip(out.chunks_exact_mut(d_kv))
        .enumerate();
    for (head, (q, out)) in heads {
        out.fill(0.0);
        let keys = kv
            .chunks_exact(2 * width)
            .map(|kv| &kv[head * d_kv..][..d_kv]);
        let mut scores: Vec<f32> = keys.map(|key| elementwise::dot(q, key)).collect();
        if scores.is_empty() {
            continue;
        }
        let bias: &[f32] = biases.get(head).map_or(&[], |bias| bias);
        elementwise::softmax_row(&mut scores, bias);
        for (score, kv) in scores.iter().zip(kv.chunks_exact(2 * width)) {
            elementwise::add_scaled(out, &kv[width + head * d_kv..][..d_kv], *score);
        }
    }
}
