//! Attention of one query to keys and values that are kept, all heads: what decoding does at every position.
//!
//! Sums run in an order that depends on the number of keys alone, so a sequence's result does not depend on its
//! neighbours.

use super::elementwise::{softmax, sum2, vectorized};
use fearless_simd::prelude::*;
use fearless_simd::{Level, Simd, dispatch, f32x16};

/// Lanes of a group of keys.
const LANES: usize = 16;

/// `out = softmax(q k^T + bias) v` for each head of a query `[heads, d_kv]`: keys and values are rows `keys` of `kept`,
/// each `[2, heads, d_kv]`, biases `bias(head)`, one a key. `scores` is scratch.
pub(crate) fn attend_rows<'b>(
    q: &[f32],
    (kept, keys): (&[f32], &[u32]),
    d_kv: usize,
    bias: impl Fn(usize) -> &'b [f32],
    scores: &mut Vec<f32>,
    out: &mut [f32],
) {
    let (width, count) = (q.len(), keys.len());
    let heads = width / d_kv;
    scores.resize(heads * count, 0.0);
    out.fill(0.0);
    if count == 0 {
        return;
    }
    let scores = &mut scores[..];
    vectorized!({
        for (number, row) in keys.iter().enumerate() {
            let key = &kept[*row as usize * 2 * width..][..width];
            for head in 0..heads {
                let (q, key) = (&q[head * d_kv..][..d_kv], &key[head * d_kv..][..d_kv]);
                scores[head * count + number] = sum2(
                    q,
                    key,
                    #[inline(always)]
                    |x, y| x * y,
                );
            }
        }
        for (head, scores) in scores.chunks_exact_mut(count).enumerate() {
            softmax(scores, bias(head));
        }
        for (number, row) in keys.iter().enumerate() {
            let value = &kept[(*row as usize * 2 + 1) * width..][..width];
            for head in 0..heads {
                let factor = scores[head * count + number];
                let (out, value) = (&mut out[head * d_kv..][..d_kv], &value[head * d_kv..][..d_kv]);
                for (out, value) in out.iter_mut().zip(value) {
                    *out += factor * value;
                }
            }
        }
    });
}

/// Keys and values of one row's input, arranged for many queries.
#[derive(Debug, Clone, Default)]
pub(crate) struct EncodedKeys {
    count: usize,
    /// `[heads, groups, d_kv, 16]`: groups of 16 positions, the last one filled up with zeros.
    keys: Vec<[f32; LANES]>,
    /// `[heads, groups of d_kv, positions, 16]`, the last group filled up with zeros.
    values: Vec<[f32; LANES]>,
}

impl EncodedKeys {
    /// From rows `[positions, 2, heads, d_kv]`.
    pub fn new(kv: &[f32], heads: usize, d_kv: usize) -> EncodedKeys {
        let width = heads * d_kv;
        let count = kv.len() / (2 * width);
        let (groups, parts) = (count.div_ceil(LANES), d_kv.div_ceil(LANES));
        let mut keys = vec![[0.0; LANES]; heads * groups * d_kv];
        let mut values = vec![[0.0; LANES]; heads * parts * count];
        for (position, kv) in kv.chunks_exact(2 * width).enumerate() {
            let (key, value) = kv.split_at(width);
            for head in 0..heads {
                let to = &mut keys[(head * groups + position / LANES) * d_kv..][..d_kv];
                for (to, key) in to.iter_mut().zip(&key[head * d_kv..]) {
                    to[position % LANES] = *key;
                }
                for (part, value) in value[head * d_kv..][..d_kv].chunks(LANES).enumerate() {
                    values[(head * parts + part) * count + position][..value.len()].copy_from_slice(value);
                }
            }
        }
        EncodedKeys { count, keys, values }
    }

    /// Positions.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The bytes of so many positions.
    pub fn bytes(count: usize, heads: usize, d_kv: usize) -> u64 {
        let (groups, parts) = (count.div_ceil(LANES), d_kv.div_ceil(LANES));
        let vectors = heads as u64 * (groups as u64 * d_kv as u64 + parts as u64 * count as u64);
        vectors.saturating_mul(LANES as u64 * size_of::<f32>() as u64)
    }

    /// `out = softmax(q k^T) v` for each head of a query `[heads, d_kv]`; zeros where there are no positions. `scores`
    /// is scratch.
    pub fn attend(&self, q: &[f32], d_kv: usize, scores: &mut Vec<f32>, out: &mut [f32]) {
        if self.count == 0 {
            return out.fill(0.0);
        }
        scores.resize(self.count.next_multiple_of(LANES), 0.0);
        let scores = &mut scores[..];
        dispatch!(Level::new(), simd => simd.vectorize(#[inline(always)] || {
            self.attend_by(simd, q, d_kv, scores, out);
        }));
    }

    #[inline(always)]
    fn attend_by<S: Simd>(&self, simd: S, q: &[f32], d_kv: usize, scores: &mut [f32], out: &mut [f32]) {
        let (groups, parts) = (scores.len() / LANES, d_kv.div_ceil(LANES));
        let heads = q.chunks_exact(d_kv).zip(out.chunks_exact_mut(d_kv)).enumerate();
        for (head, (q, out)) in heads {
            let keys = &self.keys[head * groups * d_kv..][..groups * d_kv];
            for (keys, scores) in keys.chunks_exact(d_kv).zip(scores.chunks_exact_mut(LANES)) {
                // Two sums, since each waits for its last term.
                let mut sums = [f32x16::splat(simd, 0.0); 2];
                let mut pairs = keys.chunks_exact(2).zip(q.chunks_exact(2));
                for (keys, q) in &mut pairs {
                    for (sum, (key, q)) in sums.iter_mut().zip(keys.iter().zip(q)) {
                        *sum = f32x16::splat(simd, *q).mul_add(f32x16::from_slice(simd, key), *sum);
                    }
                }
                if d_kv % 2 == 1 {
                    let (key, q) = (&keys[d_kv - 1], q[d_kv - 1]);
                    sums[0] = f32x16::splat(simd, q).mul_add(f32x16::from_slice(simd, key), sums[0]);
                }
                (sums[0] + sums[1]).store_slice(scores);
            }
            let scores = &mut scores[..self.count];
            softmax(scores, &[]);
            let values = &self.values[head * parts * self.count..][..parts * self.count];
            for (values, out) in values.chunks_exact(self.count).zip(out.chunks_mut(LANES)) {
                let mut sums = [f32x16::splat(simd, 0.0); 2];
                let mut pairs = values.chunks_exact(2).zip(scores.chunks_exact(2));
                for (values, scores) in &mut pairs {
                    for (sum, (value, score)) in sums.iter_mut().zip(values.iter().zip(scores)) {
                        *sum = f32x16::splat(simd, *score).mul_add(f32x16::from_slice(simd, value), *sum);
                    }
                }
                if self.count % 2 == 1 {
                    let (value, score) = (&values[self.count - 1], scores[self.count - 1]);
                    sums[0] = f32x16::splat(simd, score).mul_add(f32x16::from_slice(simd, value), sums[0]);
                }
                let sum = (sums[0] + sums[1]).to_array();
                out.copy_from_slice(&sum[..out.len()]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the formula, in f64.
    fn expected(q: &[f32], kv: &[f32], d_kv: usize, bias: &[f32]) -> Vec<f64> {
        let width = q.len();
        let mut out = vec![0.0; width];
        for (head, q) in q.chunks_exact(d_kv).enumerate() {
            let rows: Vec<&[f32]> = kv.chunks_exact(2 * width).collect();
            let score = |(j, row): (usize, &&[f32])| {
                let terms = q.iter().zip(&row[head * d_kv..]);
                let sum: f64 = terms.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                (sum + bias.get(head * rows.len() + j).map_or(0.0, |bias| f64::from(*bias))).exp()
            };
            let scores: Vec<f64> = rows.iter().enumerate().map(score).collect();
            let total: f64 = scores.iter().sum();
            for (score, row) in scores.iter().zip(&rows) {
                for (out, value) in out[head * d_kv..][..d_kv].iter_mut().zip(&row[width + head * d_kv..]) {
                    *out += score / total * f64::from(*value);
                }
            }
        }
        out
    }

    #[test]
    fn both_attentions_follow_the_formula() {
        for (heads, d_kv, count) in [(1, 1, 1), (2, 3, 5), (3, 16, 16), (2, 64, 17), (4, 20, 100)] {
            let width = heads * d_kv;
            let value = |i: usize| (i as f32 * 0.61).sin();
            let q: Vec<f32> = (0..width).map(|i| value(i + 7)).collect();
            let kv: Vec<f32> = (0..count * 2 * width).map(value).collect();
            let bias: Vec<f32> = (0..heads * count).map(|i| value(3 * i)).collect();
            let (mut scores, mut out) = (Vec::new(), vec![0.0; width]);
            let rows: Vec<u32> = (0..count as u32).collect();
            let of = |head: usize| &bias[head * count..][..count];
            attend_rows(&q, (&kv, &rows), d_kv, of, &mut scores, &mut out);
            let close = |out: &[f32], expected: &[f64]| {
                let far = |(a, b): (&f32, &f64)| (f64::from(*a) - b).abs() > 1e-5;
                assert!(!out.iter().zip(expected).any(far), "{heads} {d_kv} {count}");
            };
            close(&out, &expected(&q, &kv, d_kv, &bias));
            let keys = EncodedKeys::new(&kv, heads, d_kv);
            let vectors = size_of_val(&keys.keys[..]) + size_of_val(&keys.values[..]);
            assert_eq!(EncodedKeys::bytes(count, heads, d_kv), vectors as u64);
            keys.attend(&q, d_kv, &mut scores, &mut out);
            close(&out, &expected(&q, &kv, d_kv, &[]));
        }
        let (mut scores, mut out) = (Vec::new(), vec![1.0; 4]);
        EncodedKeys::new(&[], 2, 2).attend(&[1.0; 4], 2, &mut scores, &mut out);
        assert_eq!(out, [0.0; 4]);
    }
}
