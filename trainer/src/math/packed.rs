//! Products of activations by a weight matrix that stays the same over many of them, as in decoding.
//!
//! `gemm` arranges its operands anew in every product, and chooses how a sum is cut by the number of rows. Here the
//! matrix is arranged once, and every sum runs over its terms in order: a row's result is the same to the bit whatever
//! rows stand beside it, and for any number of threads. As in `gemm`, bits depend on whether the CPU adds and
//! multiplies in one rounding.

use super::matrix::Into;
use fearless_simd::prelude::*;
use fearless_simd::{Level, Simd, dispatch, f32x16};
use rayon::prelude::*;
use std::ops::Range;

/// Columns of a panel: two of the widest vectors.
const PANEL: usize = 32;
const HALF: usize = PANEL / 2;
/// Rows handled at a time: their values stay in the second-level cache while all panels pass.
const BLOCK: usize = 128;
/// Multiplications below which a product stays on its thread: some 50 microseconds, ten times what it takes to wake
/// another.
const SERIAL: usize = 1 << 21;

/// A matrix `[columns, depth]`, arranged as `[panels, depth, 32]`; the last panel is filled up with zeros.
#[derive(Debug, Clone)]
pub(crate) struct Packed {
    columns: usize,
    depth: usize,
    panels: Vec<[f32; PANEL]>,
}

impl Packed {
    /// Arranges a matrix `[weight.len() / depth, depth]`, row after row.
    pub fn new(weight: &[f32], depth: usize) -> Packed {
        let columns = weight.len() / depth;
        let mut panels = vec![[0.0; PANEL]; columns.div_ceil(PANEL) * depth];
        let tasks = panels
            .par_chunks_mut(depth.max(1))
            .zip(weight.par_chunks(PANEL * depth.max(1)));
        tasks.for_each(|(panel, rows)| {
            for (column, row) in rows.chunks_exact(depth).enumerate() {
                for (to, from) in panel.iter_mut().zip(row) {
                    to[column] = *from;
                }
            }
        });
        Packed { columns, depth, panels }
    }

    /// Columns of a product.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// `out = alpha * a w^T` or `out += alpha * a w^T`: `a` is `[rows, depth]`, `out` `[rows, columns]`. Panics if
    /// lengths do not fit.
    pub fn multiply(&self, out: &mut [f32], into: Into, alpha: f32, a: &[f32]) {
        let rows = a.len() / self.depth;
        assert_eq!(a.len(), rows * self.depth, "rows of the depth");
        assert_eq!(out.len(), rows * self.columns, "rows of the result");
        let threads = match rows * self.columns * self.depth < SERIAL {
            true => 1,
            false => rayon::current_num_threads(),
        };
        let panels = self.columns.div_ceil(PANEL);
        if threads == 1 || rows >= threads * BLOCK {
            // Whole rows a task: results lie where they belong.
            let block = |(out, a): (&mut [f32], &[f32])| {
                let mut to = Target {
                    out,
                    stride: self.columns,
                    into,
                    alpha,
                };
                self.some(&Rows::new(a, self.depth), 0..panels, &mut to);
            };
            let (out_len, a_len) = (BLOCK * self.columns, BLOCK * self.depth);
            return match threads {
                1 => out.chunks_mut(out_len).zip(a.chunks(a_len)).for_each(block),
                _ => out.par_chunks_mut(out_len).zip(a.par_chunks(a_len)).for_each(block),
            };
        }
        // Some panels a task, so that each is read once.
        let rows = Rows::new(a, self.depth);
        let some = panels.div_ceil(threads);
        let stripes: Vec<Vec<f32>> = (0..panels.div_ceil(some))
            .into_par_iter()
            .map(|stripe| {
                let panels = stripe * some..panels.min((stripe + 1) * some);
                let stride = panels.len() * PANEL;
                let mut out = vec![0.0; rows.count * stride];
                let mut to = Target {
                    out: &mut out,
                    stride,
                    into: Into::Set,
                    alpha,
                };
                self.some(&rows, panels, &mut to);
                out
            })
            .collect();
        for (row, out) in out.chunks_exact_mut(self.columns).enumerate() {
            for (out, stripe) in out.chunks_mut(some * PANEL).zip(&stripes) {
                let stride = stripe.len() / rows.count;
                put(out, &stripe[row * stride..][..stride], into, 1.0);
            }
        }
    }

    /// Results of some panels; column 0 of the target is the first panel's.
    fn some(&self, rows: &Rows, panels: Range<usize>, to: &mut Target<'_>) {
        dispatch!(Level::new(), simd => simd.vectorize(#[inline(always)] || {
            for (number, panel) in panels.clone().enumerate() {
                let all = &self.panels[panel * self.depth..][..self.depth];
                let columns = PANEL.min(self.columns - panel * PANEL);
                let at = (number * PANEL, columns);
                for group in &rows.groups {
                    let a = &rows.values[group.start * self.depth..][..group.len() * self.depth];
                    match group.len() {
                        8 => tile::<_, 8>(simd, a, all, group.start, at, to),
                        4 => tile::<_, 4>(simd, a, all, group.start, at, to),
                        3 => tile::<_, 3>(simd, a, all, group.start, at, to),
                        2 => tile::<_, 2>(simd, a, all, group.start, at, to),
                        _ => tile::<_, 1>(simd, a, all, group.start, at, to),
                    }
                }
            }
        }));
    }
}

/// Where results are written: row `i` starts at `i * stride`.
struct Target<'o> {
    out: &'o mut [f32],
    stride: usize,
    into: Into,
    alpha: f32,
}

/// Rows in groups, each arranged as `[depth, rows of the group]`.
struct Rows {
    count: usize,
    groups: Vec<Range<usize>>,
    values: Vec<f32>,
}

impl Rows {
    fn new(a: &[f32], depth: usize) -> Rows {
        let count = a.len() / depth;
        // As many sums as the vectors of this CPU hold.
        let most = dispatch!(Level::new(), simd => most_rows(simd));
        let mut groups = Vec::new();
        let mut values = vec![0.0; a.len()];
        let mut start = 0;
        while start < count {
            let fits = |size: &&usize| **size <= most && start + **size <= count;
            let size = [8, 4, 3, 2].iter().find(fits).copied().unwrap_or(1);
            let group = start..start + size;
            let to = &mut values[start * depth..][..size * depth];
            for (row, from) in a[start * depth..][..size * depth].chunks_exact(depth).enumerate() {
                for (to, from) in to.chunks_exact_mut(size).zip(from) {
                    to[row] = *from;
                }
            }
            start = group.end;
            groups.push(group);
        }
        Rows { count, groups, values }
    }
}

#[inline(always)]
fn most_rows<S: Simd>(_: S) -> usize {
    match <S::f32s as SimdBase<S>>::LEN {
        16 => 8,
        8 => 3,
        _ => 1,
    }
}

/// `R` rows by one panel: each sum in a lane of its own, from the first term to the last.
#[inline(always)]
fn tile<S: Simd, const R: usize>(
    simd: S,
    a: &[f32],
    panel: &[[f32; PANEL]],
    first: usize,
    (column, columns): (usize, usize),
    to: &mut Target<'_>,
) {
    let mut sums = [[f32x16::splat(simd, 0.0); 2]; R];
    for (a, panel) in a.as_chunks::<R>().0.iter().zip(panel) {
        let low = f32x16::from_slice(simd, &panel[..HALF]);
        let high = f32x16::from_slice(simd, &panel[HALF..]);
        for row in 0..R {
            let a = f32x16::splat(simd, a[row]);
            sums[row][0] = a.mul_add(low, sums[row][0]);
            sums[row][1] = a.mul_add(high, sums[row][1]);
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        let mut values = [0.0; PANEL];
        sums[0].store_slice(&mut values[..HALF]);
        sums[1].store_slice(&mut values[HALF..]);
        let out = &mut to.out[(first + row) * to.stride + column..][..columns];
        put(out, &values[..columns], to.into, to.alpha);
    }
}

#[inline(always)]
fn put(out: &mut [f32], values: &[f32], into: Into, alpha: f32) {
    match into {
        Into::Set => out.iter_mut().zip(values).for_each(|(out, value)| *out = alpha * value),
        Into::Add => out
            .iter_mut()
            .zip(values)
            .for_each(|(out, value)| *out += alpha * value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 37 + seed * 101) as f32 * 0.7).sin()).collect()
    }

    #[test]
    fn products_are_those_of_sums_in_f64() {
        for (rows, columns, depth) in [(1, 1, 1), (3, 33, 5), (8, 64, 40), (13, 70, 129), (300, 96, 64)] {
            let (a, w) = (values(rows * depth, 1), values(columns * depth, 2));
            let packed = Packed::new(&w, depth);
            assert_eq!(packed.columns(), columns);
            for (into, before) in [(Into::Set, 0.0), (Into::Add, 1.0)] {
                let mut out = vec![1.0; rows * columns];
                packed.multiply(&mut out, into, 0.5, &a);
                for (i, out) in out.iter().enumerate() {
                    let (row, column) = (i / columns, i % columns);
                    let terms = a[row * depth..][..depth].iter().zip(&w[column * depth..][..depth]);
                    let sum: f64 = terms.map(|(a, w)| f64::from(*a) * f64::from(*w)).sum();
                    assert!(
                        (f64::from(*out) - before - 0.5 * sum).abs() < 1e-4,
                        "{rows} {columns} {depth}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_row_is_the_same_whatever_stands_beside_it_and_on_any_number_of_threads() {
        let (columns, depth) = (515, 512);
        let (a, w) = (values(300 * depth, 3), values(columns * depth, 4));
        let packed = Packed::new(&w, depth);
        let mut alone = vec![0.0; 300 * columns];
        for (out, a) in alone.chunks_exact_mut(columns).zip(a.chunks_exact(depth)) {
            packed.multiply(out, Into::Set, 1.0, a);
        }
        for threads in [1, 2, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            for rows in [1, 2, 3, 5, 8, 9, 31, 32, 33, 129, 300] {
                let mut out = vec![0.0; rows * columns];
                pool.install(|| packed.multiply(&mut out, Into::Set, 1.0, &a[..rows * depth]));
                let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
                assert_eq!(
                    bits(&out),
                    bits(&alone[..rows * columns]),
                    "{rows} rows, {threads} threads"
                );
            }
        }
    }
}
