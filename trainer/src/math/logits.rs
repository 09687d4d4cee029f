//! What a search reads of a row of logits: its largest, and the logarithm of the sum of their exponentials.

use super::elementwise::{exp, maximum, vectorized};

/// Logits looked at together.
const GROUP: usize = 64;

/// `ln(sum(exp(logits)))`, its sum in f64.
pub(crate) fn log_sum_exp(logits: &[f32]) -> f64 {
    const LANES: usize = 16;
    let (max, total) = vectorized!({
        let max = maximum(logits);
        let mut lanes = [0.0_f64; LANES];
        let (groups, rest) = logits.as_chunks::<LANES>();
        for group in groups {
            for lane in 0..LANES {
                lanes[lane] += f64::from(exp(group[lane] - max));
            }
        }
        for (lane, x) in lanes.iter_mut().zip(rest) {
            *lane += f64::from(exp(x - max));
        }
        let mut total = 0.0;
        for lane in lanes {
            total += lane;
        }
        (max, total)
    });
    f64::from(max) + total.ln()
}

/// The first of the largest.
pub(crate) fn argmax(logits: &[f32]) -> usize {
    let max = vectorized!(maximum(logits));
    logits.iter().position(|&x| x == max).unwrap_or_default()
}

/// The `count` largest with their numbers, the largest first, of equal ones the first.
pub(crate) fn largest(logits: &[f32], count: usize) -> Vec<(f32, u32)> {
    let mut best: Vec<(f32, u32)> = Vec::with_capacity(count + 1);
    let mut least = f32::NEG_INFINITY;
    for (number, group) in logits.chunks(GROUP).enumerate() {
        // Nearly all groups have nothing.
        if best.len() == count && vectorized!(maximum(group)) <= least {
            continue;
        }
        for (index, &x) in group.iter().enumerate() {
            if best.len() == count && x <= least {
                continue;
            }
            let at = best.partition_point(|&(other, _)| other >= x);
            best.insert(at, (x, (number * GROUP + index) as u32));
            best.truncate(count);
            least = best.last().map_or(least, |last| last.0);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_is_what_sorting_finds() {
        for len in [1, 2, 63, 64, 65, 1000] {
            // With equal ones.
            let logits: Vec<f32> = (0..len).map(|i| ((i * 7919) % 211) as f32 * 0.1 - 9.0).collect();
            let mut sorted: Vec<(f32, u32)> = logits.iter().copied().zip(0..).collect();
            sorted.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            assert_eq!(argmax(&logits), sorted[0].1 as usize);
            for count in [1, 2, 8, 2000] {
                assert_eq!(largest(&logits, count), sorted[..count.min(len)], "{count} of {len}");
            }
            let exact: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum();
            assert!((log_sum_exp(&logits) - exact.ln()).abs() < 1e-6);
        }
    }
}
