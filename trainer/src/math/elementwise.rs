//! What is done to single values and rows, compiled for the vectors of each CPU.
//!
//! The compiler makes vectors of these loops: no call in them, slices of one length, sums in `LANES` partial sums that
//! are added in one fixed order. Operations and their order are the same on every CPU, so are the bits. One file,
//! though long: what is here is compiled for every CPU, and what must not call out of it.
//!
//! Above 500 lines: with the tests of each function and its slope.

use super::dropout::Site;

/// Partial sums of a row.
const LANES: usize = 16;

/// Runs `$body` compiled for this CPU.
macro_rules! vectorized {
    ($body:expr) => {
        fearless_simd::dispatch!(
            fearless_simd::Level::new(),
            simd => fearless_simd::Simd::vectorize(simd, #[inline(always)] || $body)
        )
    };
}
pub(super) use vectorized;

/// `e^x`, within 2 ulp; 0 below -87.3 (where it is 1e-38), at most `e^88`.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const LOWEST: f32 = -87.3;
    const HIGHEST: f32 = 88.0;
    // Adding 1.5 * 2^23 rounds to an integer, which is then in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let clamped = if x < LOWEST { LOWEST } else { x };
    let clamped = if clamped > HIGHEST { HIGHEST } else { clamped };
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    // ln 2 in two parts (Cody and Waite), so that the remainder is exact to the last bit.
    let r = clamped - n * 0.693_359_4 + n * 2.121_944_4e-4;
    // Minimax polynomial of (e^r - 1 - r) / r^2 on [-ln 2 / 2, ln 2 / 2] (Cephes, expf).
    let p = 1.987_569_1e-4 * r + 1.398_2e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let p = p * r * r + r + 1.0;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    if x < LOWEST { 0.0 } else { p * power }
}

/// `tanh(x)`, from `e^2x`.
#[inline(always)]
fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (exp(2.0 * x) + 1.0)
}

const SQRT_2_PI: f32 = 0.797_884_6;
const CUBIC: f32 = 0.044_715;

/// `gelu(x)` by its tanh formula (Hendrycks and Gimpel 2016), and its derivative.
#[inline(always)]
fn gelu(x: f32) -> (f32, f32) {
    let t = tanh(SQRT_2_PI * (x + CUBIC * x * x * x));
    let inner = SQRT_2_PI * (1.0 + 3.0 * CUBIC * x * x);
    let half = 0.5 * (1.0 + t);
    (x * half, half + 0.5 * x * (1.0 - t * t) * inner)
}

/// `silu(x) = x / (1 + e^-x)`, and its derivative.
#[inline(always)]
fn silu(x: f32) -> (f32, f32) {
    let sigmoid = 1.0 / (1.0 + exp(-x));
    (x * sigmoid, sigmoid * (1.0 + x * (1.0 - sigmoid)))
}

/// Sum of `term(index)`, in a fixed order: `LANES` sums over whole groups, then the rest.
#[inline(always)]
fn sum(len: usize, chunks: impl Fn(usize, &mut [f32; LANES]), rest: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let groups = len / LANES;
    for group in 0..groups {
        chunks(group, &mut lanes);
    }
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
    }
    let mut total = lanes[0];
    for index in groups * LANES..len {
        total += rest(index);
    }
    total
}

#[inline(always)]
fn sum1(a: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    sum(
        a.len(),
        #[inline(always)]
        |group, lanes| {
            let a = &a[group * LANES..][..LANES];
            for lane in 0..LANES {
                lanes[lane] += term(a[lane]);
            }
        },
        #[inline(always)]
        |index| term(a[index]),
    )
}

#[inline(always)]
pub(super) fn sum2(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let b = &b[..a.len()];
    sum(
        a.len(),
        #[inline(always)]
        |group, lanes| {
            let a = &a[group * LANES..][..LANES];
            let b = &b[group * LANES..][..LANES];
            for lane in 0..LANES {
                lanes[lane] += term(a[lane], b[lane]);
            }
        },
        #[inline(always)]
        |index| term(a[index], b[index]),
    )
}

/// The largest value; minus infinity of none.
#[inline(always)]
pub(super) fn maximum(a: &[f32]) -> f32 {
    #[inline(always)]
    fn larger(x: f32, y: f32) -> f32 {
        if x > y { x } else { y }
    }
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (groups, rest) = a.as_chunks::<LANES>();
    for group in groups {
        for lane in 0..LANES {
            lanes[lane] = larger(group[lane], lanes[lane]);
        }
    }
    let all = lanes.into_iter().chain(rest.iter().copied());
    all.fold(f32::NEG_INFINITY, |x, y| larger(y, x))
}

/// `sum(a^2)`.
pub(crate) fn square_sum(a: &[f32]) -> f32 {
    vectorized!(sum1(
        a,
        #[inline(always)]
        |x| x * x
    ))
}

/// `sum(a b)`.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    vectorized!(sum2(
        a,
        b,
        #[inline(always)]
        |x, y| x * y
    ))
}

/// `out += a`.
pub(crate) fn add(out: &mut [f32], a: &[f32]) {
    vectorized!({
        for (out, a) in out.iter_mut().zip(a) {
            *out += a;
        }
    });
}

/// `out *= factor`.
pub(crate) fn scale(out: &mut [f32], factor: f32) {
    vectorized!({
        for out in out.iter_mut() {
            *out *= factor;
        }
    });
}

/// Rows of `x` normed by their root mean square, times `weight`; each row's factor is kept in `inverse`.
pub(crate) fn norm_rows(x: &[f32], weight: &[f32], epsilon: f32, y: &mut [f32], inverse: &mut [f32]) {
    let d = weight.len();
    vectorized!({
        let rows = x.chunks_exact(d).zip(y.chunks_exact_mut(d)).zip(inverse);
        for ((x, y), inverse) in rows {
            let square = sum1(
                x,
                #[inline(always)]
                |x| x * x,
            );
            let factor = 1.0 / (square / d as f32 + epsilon).sqrt();
            *inverse = factor;
            for ((y, x), w) in y.iter_mut().zip(x).zip(weight) {
                *y = x * factor * w;
            }
        }
    });
}

/// [`norm_rows`] with factors that are known.
pub(crate) fn norm_rows_again(x: &[f32], weight: &[f32], y: &mut [f32], inverse: &[f32]) {
    let d = weight.len();
    vectorized!({
        let rows = x.chunks_exact(d).zip(y.chunks_exact_mut(d)).zip(inverse);
        for ((x, y), factor) in rows {
            for ((y, x), w) in y.iter_mut().zip(x).zip(weight) {
                *y = x * factor * w;
            }
        }
    });
}

/// Backward of [`norm_rows`]: `dx` is added to (or set, where `into_zero`), `dweight` is added to.
pub(crate) fn norm_rows_backward(
    dy: &[f32],
    x: &[f32],
    weight: &[f32],
    inverse: &[f32],
    dx: &mut [f32],
    into_zero: bool,
    dweight: &mut [f32],
) {
    let d = weight.len();
    let dweight = &mut dweight[..d];
    vectorized!({
        let rows = dy.chunks_exact(d).zip(x.chunks_exact(d)).zip(dx.chunks_exact_mut(d));
        for (((dy, x), dx), &factor) in rows.zip(inverse) {
            let lanes = sum(
                d,
                #[inline(always)]
                |group, lanes| {
                    let range = group * LANES..group * LANES + LANES;
                    let (dy, x, w) = (&dy[range.clone()], &x[range.clone()], &weight[range]);
                    for lane in 0..LANES {
                        lanes[lane] += dy[lane] * x[lane] * w[lane];
                    }
                },
                #[inline(always)]
                |index| dy[index] * x[index] * weight[index],
            );
            let mean = lanes * factor * factor * factor / d as f32;
            let base = if into_zero { 0.0 } else { 1.0 };
            let all = dy.iter().zip(x).zip(weight).zip(dx.iter_mut().zip(dweight.iter_mut()));
            for (((dy, x), w), (dx, dw)) in all {
                *dw += dy * x * factor;
                let old = *dx;
                let kept = if base == 0.0 { 0.0 } else { old };
                *dx = kept + (dy * w * factor - x * mean);
            }
        }
    });
}

/// `row = softmax(row + bias)`; gives `ln(sum(exp))`. Without a bias, `bias` is empty.
pub(crate) fn softmax_row(row: &mut [f32], bias: &[f32]) -> f32 {
    vectorized!(softmax(row, bias))
}

/// [`softmax_row`], to be compiled with what calls it.
#[inline(always)]
pub(super) fn softmax(row: &mut [f32], bias: &[f32]) -> f32 {
    for (value, bias) in row.iter_mut().zip(bias) {
        *value += bias;
    }
    let max = maximum(row);
    for value in row.iter_mut() {
        *value = exp(*value - max);
    }
    let total = sum1(
        row,
        #[inline(always)]
        |x| x,
    );
    let inverse = 1.0 / total;
    for value in row.iter_mut() {
        *value *= inverse;
    }
    max + total.ln()
}

/// [`softmax_row`] where its result is known.
pub(crate) fn softmax_row_again(row: &mut [f32], bias: &[f32], log_sum: f32) {
    vectorized!({
        if bias.is_empty() {
            for value in row.iter_mut() {
                *value = exp(*value - log_sum);
            }
        } else {
            for (value, bias) in row.iter_mut().zip(bias) {
                *value = exp(*value + bias - log_sum);
            }
        }
    });
}

/// Gradient of softmax's input: `dp = p * (dp - mean)`, where `mean` is `sum(p dp)`.
pub(crate) fn softmax_row_backward(dp: &mut [f32], p: &[f32], mean: f32) {
    vectorized!({
        for (dp, p) in dp.iter_mut().zip(p) {
            *dp = p * (*dp - mean);
        }
    });
}

/// What a row of logits says about its target.
#[derive(Debug, Clone, Copy, Default)]
pub struct RowLoss {
    /// `ln(Z)`.
    pub log_z: f32,
    /// `ln(Z)` less the target's logit.
    pub cross_entropy: f32,
    /// Whether no logit is larger than the target's.
    pub correct: bool,
}

/// Cross entropy of a row of logits.
pub(crate) fn cross_entropy_row(row: &[f32], target: usize) -> RowLoss {
    vectorized!({
        let max = maximum(row);
        let total = sum1(
            row,
            #[inline(always)]
            |x| exp(x - max),
        );
        let log_z = max + total.ln();
        RowLoss {
            log_z,
            cross_entropy: log_z - row[target],
            correct: row[target] >= max,
        }
    })
}

/// [`cross_entropy_row`], and the row becomes the gradient of
/// `weight * (cross entropy + z_loss * ln(Z)^2)` by it.
pub(crate) fn cross_entropy_row_backward(row: &mut [f32], target: usize, weight: f32, z_loss: f32) -> RowLoss {
    vectorized!({
        let max = maximum(row);
        let value = row[target];
        for value in row.iter_mut() {
            *value = exp(*value - max);
        }
        let total = sum1(
            row,
            #[inline(always)]
            |x| x,
        );
        let log_z = max + total.ln();
        let factor = weight * (1.0 + 2.0 * z_loss * log_z) / total;
        for value in row.iter_mut() {
            *value *= factor;
        }
        row[target] -= weight;
        RowLoss {
            log_z,
            cross_entropy: log_z - value,
            correct: value >= max,
        }
    })
}

/// `max(0, x)`.
pub(crate) fn relu(x: &mut [f32]) {
    vectorized!({
        for x in x.iter_mut() {
            *x = if *x > 0.0 { *x } else { 0.0 };
        }
    });
}

/// `dh`, times `factor` where `h` (what came of [`relu`] and dropout) is not 0, else 0.
pub(crate) fn relu_backward(dh: &mut [f32], h: &[f32], factor: f32) {
    vectorized!({
        for (dh, h) in dh.iter_mut().zip(h) {
            *dh = if *h > 0.0 { *dh * factor } else { 0.0 };
        }
    });
}

/// What a gated feed-forward layer makes of the half that is not the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gated {
    Gelu,
    Silu,
}

/// A row `[u, g]` becomes `f(u) * g`.
pub(crate) fn gated_row(f: Gated, pre: &[f32], h: &mut [f32]) {
    match f {
        Gated::Gelu => gated_row_of(gelu, pre, h),
        Gated::Silu => gated_row_of(silu, pre, h),
    }
}

/// Backward of [`gated_row`]: `pre` `[u, g]` becomes its gradient, `dh` becomes `h`.
pub(crate) fn gated_row_backward(f: Gated, pre: &mut [f32], dh: &mut [f32]) {
    match f {
        Gated::Gelu => gated_row_backward_of(gelu, pre, dh),
        Gated::Silu => gated_row_backward_of(silu, pre, dh),
    }
}

#[inline(always)]
fn gated_row_of(f: impl Fn(f32) -> (f32, f32), pre: &[f32], h: &mut [f32]) {
    let (u, g) = pre.split_at(h.len());
    vectorized!({
        for ((h, u), g) in h.iter_mut().zip(u).zip(g) {
            *h = f(*u).0 * g;
        }
    });
}

#[inline(always)]
fn gated_row_backward_of(f: impl Fn(f32) -> (f32, f32), pre: &mut [f32], dh: &mut [f32]) {
    let (u, g) = pre.split_at_mut(dh.len());
    vectorized!({
        for ((dh, u), g) in dh.iter_mut().zip(u).zip(g) {
            let (value, slope) = f(*u);
            let h = value * *g;
            *u = *dh * *g * slope;
            *g = *dh * value;
            *dh = h;
        }
    });
}

/// Dropout on elements `first..` of what `site` covers.
pub(crate) fn drop_elements(x: &mut [f32], site: Site, first: usize) {
    let first = first as u32;
    vectorized!({
        for (index, x) in x.iter_mut().enumerate() {
            *x *= site.factor(first.wrapping_add(index as u32));
        }
    });
}

/// `x *= factors`.
pub(crate) fn multiply(x: &mut [f32], factors: &[f32]) {
    vectorized!({
        for (x, factor) in x.iter_mut().zip(factors) {
            *x *= factor;
        }
    });
}

/// `v` becomes `decay * v + (1 - decay) * (g^2 + epsilon)`; gives the sum of `g^2 / v`.
pub(crate) fn moments(v: &mut [f32], g: &[f32], decay: f32, epsilon: f32) -> f32 {
    vectorized!({
        for (v, g) in v.iter_mut().zip(g) {
            *v = decay * *v + (1.0 - decay) * (g * g + epsilon);
        }
        sum2(
            g,
            v,
            #[inline(always)]
            |g, v| g * g / v,
        )
    })
}

/// `w -= factor * g / sqrt(v)`.
pub(crate) fn step_by_moments(w: &mut [f32], g: &[f32], v: &[f32], factor: f32) {
    vectorized!({
        for ((w, g), v) in w.iter_mut().zip(g).zip(v) {
            *w -= factor * (g / v.sqrt());
        }
    });
}

/// `sums += g^2`; gives the sum of `g^2`.
pub(crate) fn add_squares(sums: &mut [f32], g: &[f32]) -> f32 {
    vectorized!({
        for (sum, g) in sums.iter_mut().zip(g) {
            *sum += g * g;
        }
        sum1(
            g,
            #[inline(always)]
            |g| g * g,
        )
    })
}

/// Sum of `(g c)^2`.
pub(crate) fn weighted_squares(g: &[f32], c: &[f32]) -> f32 {
    vectorized!(sum2(
        g,
        c,
        #[inline(always)]
        |g, c| (g * c) * (g * c)
    ))
}

/// `w -= factor * g * c`.
pub(crate) fn step_by_columns(w: &mut [f32], g: &[f32], c: &[f32], factor: f32) {
    vectorized!({
        for ((w, g), c) in w.iter_mut().zip(g).zip(c) {
            *w -= factor * (g * c);
        }
    });
}

/// Numbers of an Adam step, bias corrections and weight decay in them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AdamStep {
    pub beta1: f32,
    pub beta2: f32,
    /// What weight decay leaves of a parameter.
    pub keep: f32,
    pub rate: f32,
    /// Of the second moment's root.
    pub root: f32,
    pub epsilon: f32,
}

/// One step of Adam.
pub(crate) fn adam_step(w: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], step: AdamStep) {
    vectorized!({
        for (((w, g), m), v) in w.iter_mut().zip(g).zip(m.iter_mut()).zip(v.iter_mut()) {
            *m = step.beta1 * *m + (1.0 - step.beta1) * g;
            *v = step.beta2 * *v + (1.0 - step.beta2) * (g * g);
            *w = *w * step.keep - step.rate * (*m / (v.sqrt() * step.root + step.epsilon));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use fearless_simd::{Level, Simd, dispatch};

    #[test]
    fn exp_is_exact_to_two_units() {
        let mut worst = 0.0f64;
        for i in -870_000..880_000 {
            let x = i as f32 * 1e-4;
            let exact = f64::from(x).exp();
            let unit = (exact.log2().floor() - 23.0).exp2();
            worst = worst.max((f64::from(exp(x)) - exact).abs() / unit);
        }
        assert!(worst < 2.0, "{worst} units");
        assert_eq!((exp(-100.0), exp(f32::NEG_INFINITY), exp(0.0)), (0.0, 0.0, 1.0));
    }

    #[test]
    fn gelu_and_its_slope() {
        for i in -1000..1000 {
            let x = i as f32 * 0.01;
            let f =
                |x: f64| x * 0.5 * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh());
            let slope = (f(f64::from(x) + 1e-5) - f(f64::from(x) - 1e-5)) / 2e-5;
            let (value, ours) = gelu(x);
            assert!((f64::from(value) - f(f64::from(x))).abs() < 2e-6, "gelu({x})");
            assert!((f64::from(ours) - slope).abs() < 2e-6, "slope at {x}");
        }
    }

    #[test]
    fn silu_and_its_slope() {
        for i in -1000..1000 {
            let x = i as f32 * 0.01;
            let f = |x: f64| x / (1.0 + (-x).exp());
            let slope = (f(f64::from(x) + 1e-5) - f(f64::from(x) - 1e-5)) / 2e-5;
            let (value, ours) = silu(x);
            assert!((f64::from(value) - f(f64::from(x))).abs() < 2e-6, "silu({x})");
            assert!((f64::from(ours) - slope).abs() < 2e-6, "slope at {x}");
        }
        // Where `e^-x` is cut off.
        let (value, slope) = silu(-100.0);
        assert!(value.abs() < 1e-35 && slope.abs() < 1e-35);
    }

    #[test]
    fn every_level_gives_the_same_bits() {
        let row: Vec<f32> = (0..77).map(|i| (i as f32 * 0.37).sin() * 9.0).collect();
        let run = |level: Level| {
            let mut row = row.clone();
            let sum = dispatch!(level, simd => simd.vectorize(#[inline(always)] || {
                let max = maximum(&row);
                row.iter_mut().for_each(#[inline(always)] |x| *x = exp(*x - max));
                sum1(&row, #[inline(always)] |x| x)
            }));
            (sum.to_bits(), row.iter().map(|x| x.to_bits()).collect::<Vec<_>>())
        };
        assert_eq!(run(Level::new()), run(Level::baseline()));
    }
}
