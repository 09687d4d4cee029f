//! Axes of a chart: how far they go, and where they have labels, no two of which are the same.

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use std::ops::Range;

/// What of its values a chart shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Extent {
    pub low: f64,
    pub high: f64,
    /// The largest value, where it is so far above the others that these would be a flat line below it.
    pub cut: Option<f64>,
}

/// Share of values that an axis shows in any case, and how many times as far as these the largest may be.
const SHOWN: (f64, f64) = (0.98, 20.0);

impl Extent {
    /// The extent of values, those of `always` in any case; what is not finite does not count.
    pub fn of(values: &[f64], always: &[f64]) -> Extent {
        let mut values: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let (Some(&low), Some(&largest)) = (values.first(), values.last()) else {
            return Extent {
                low: 0.0,
                high: 1.0,
                cut: None,
            };
        };
        let usual = values[((values.len() - 1) as f64 * SHOWN.0) as usize];
        let always = always.iter().copied().filter(|v| v.is_finite());
        let usual = always.fold(usual, f64::max);
        let cut = (usual > low && largest - low > SHOWN.1 * (usual - low)).then_some(largest);
        let high = match cut {
            Some(_) => usual,
            None => largest,
        };
        // From 0 where that hides nothing, or where there is nothing to see but a straight line.
        let is_flat = high - low <= 1e-3 * high.abs();
        let (low, high) = match low >= 0.0 && (low < 0.5 * high || is_flat) {
            true if high == 0.0 => (0.0, 1.0),
            true => (0.0, high + 0.05 * high),
            false => {
                let room = (0.05 * (high - low)).max(1e-3 * high.abs());
                (low - room, high + room)
            }
        };
        Extent { low, high, cut }
    }
}

/// An axis with labels at equal distances of 1, 2 or 5 times a power of 10.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    pub low: f64,
    pub high: f64,
    /// Where the labels are.
    pub ticks: Vec<f64>,
    /// The power of 10 that labels are written in: 0 but for very small and very large numbers.
    power: i32,
    /// Digits of a label behind its point: as many as the distance of two labels needs.
    digits: usize,
}

impl Axis {
    /// An axis from `low` to `high` with `count` labels at most.
    pub fn new(low: f64, high: f64, count: usize) -> Axis {
        Axis::with_distance(low, high, round_up((high - low) / count as f64))
    }

    /// An axis of steps, from 0 to `last`.
    pub fn of_steps(last: f64, count: usize) -> Axis {
        Axis::with_distance(0.0, last, round_up(last / count as f64).max(1.0))
    }

    fn with_distance(low: f64, high: f64, distance: f64) -> Axis {
        let first = (low / distance).ceil() as i64;
        // A last label that the division has missed by rounding is one of the axis's end.
        let last = (high / distance * (1.0 + 1e-12)).floor() as i64;
        let exponent = |x: f64| x.log10().floor() as i32;
        let largest = low.abs().max(high.abs());
        let power = match exponent(largest) {
            -3..=8 => 0,
            power => power,
        };
        Axis {
            low,
            high,
            ticks: (first..=last).map(|n| n as f64 * distance).collect(),
            power,
            // A distance of 1, 2 or 5 at this place, whatever rounding made of it.
            digits: usize::try_from(power - exponent(distance * (1.0 + 1e-9))).unwrap_or(0),
        }
    }

    /// The label at a value: `0.05`, `1,000`, `2.5e-4`.
    pub fn label(&self, value: f64) -> String {
        let digits = self.digits;
        if self.power != 0 {
            return match value == 0.0 {
                true => "0".to_owned(),
                false => format!("{:.digits$}e{}", value / 10f64.powi(self.power), self.power),
            };
        }
        let text = format!("{:.digits$}", value.abs());
        let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
        let mut out = String::new();
        for (place, digit) in whole.chars().enumerate() {
            if place > 0 && (whole.len() - place).is_multiple_of(3) {
                out.push(',');
            }
            out.push(digit);
        }
        let sign = if value < 0.0 { "-" } else { "" };
        format!("{sign}{out}{fraction}")
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    /// The pixel of a value; that of the axis's end for one beyond it.
    fn map(&self, value: &f64, (first, last): (i32, i32)) -> i32 {
        let part = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        first + (part * f64::from(last - first)).round() as i32
    }

    /// Lines only where there are labels.
    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        match hint.weight().allow_light_points() {
            true => Vec::new(),
            false => self.ticks.clone(),
        }
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        self.label(*value)
    }
}

/// The least of 1, 2 and 5 times a power of 10 that is not below `x`.
fn round_up(x: f64) -> f64 {
    let power = 10f64.powf(x.log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0];
    let factor = factors.iter().find(|factor| x <= **factor * power * (1.0 + 1e-9));
    factor.unwrap_or(&10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_differ_and_there_are_a_few_of_them() {
        let ranges = [
            (0.0, 1.0),
            (4.001, 4.009),
            (9.999_9, 10.000_1),
            (0.0, 30.0),
            (0.0, 524_288.0),
            (0.0, 0.01),
            (0.000_1, 0.000_3),
            (3.2e-7, 9.9e-7),
            (-2.0, 3.0),
            (0.0, 99_999.0),
            (1.0e6, 1.1e6),
            (0.0, 3e12),
        ];
        for (low, high) in ranges {
            for count in [4, 8, 10] {
                let axis = Axis::new(low, high, count);
                let labels: Vec<String> = axis.ticks.iter().map(|tick| axis.label(*tick)).collect();
                assert!((2..=count + 1).contains(&labels.len()), "{low} to {high}: {labels:?}");
                for (label, next) in labels.iter().zip(&labels[1..]) {
                    assert_ne!(label, next, "{low} to {high}: {labels:?}");
                }
                for (label, tick) in labels.iter().zip(&axis.ticks) {
                    let read: f64 = label.replace(',', "").parse().unwrap();
                    assert!((read - tick).abs() <= 1e-9 * high.abs(), "{label} at {tick}");
                }
                assert!(
                    axis.ticks
                        .iter()
                        .all(|tick| *tick >= low - 1e-9 && *tick <= high * (1.0 + 1e-9))
                );
            }
        }
        let labels = |axis: Axis| {
            axis.ticks
                .iter()
                .map(|tick| axis.label(*tick))
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(labels(Axis::of_steps(3.0, 10)), "0 1 2 3");
        assert_eq!(labels(Axis::of_steps(30.0, 10)), "0 5 10 15 20 25 30");
        assert_eq!(labels(Axis::of_steps(1.0, 10)), "0 1");
        assert_eq!(labels(Axis::new(0.0, 0.01, 4)), "0.000 0.005 0.010");
        assert_eq!(labels(Axis::new(0.0, 3.5e-4, 4)), "0 1e-4 2e-4 3e-4");
        assert_eq!(labels(Axis::new(0.0, 4_000.0, 4)), "0 1,000 2,000 3,000 4,000");
    }

    #[test]
    fn an_extent_shows_what_there_is_to_see() {
        let of = |values: &[f64]| Extent::of(values, &[]);
        let plain = of(&[10.0, 5.0, 4.0, 3.0]);
        assert_eq!((plain.low, plain.high, plain.cut), (0.0, 10.5, None));
        // A constant is a line inside of the chart.
        let constant = of(&[0.01; 9]);
        assert!(constant.low == 0.0 && constant.high > 0.01, "{constant:?}");
        assert_eq!((of(&[0.0; 3]).low, of(&[0.0; 3]).high), (0.0, 1.0));
        assert_eq!((of(&[f64::NAN]).low, of(&[]).high), (0.0, 1.0));
        let near = of(&[4.1, 4.2, 4.15]);
        assert!(near.low > 4.0 && near.low < 4.1 && near.high > 4.2, "{near:?}");
        let mut spiked: Vec<f64> = (0..200).map(|i| 3.0 + f64::from(i % 10) / 10.0).collect();
        spiked[100] = 1e5;
        assert!(
            of(&spiked).cut == Some(1e5) && of(&spiked).high < 5.0,
            "{:?}",
            of(&spiked)
        );
        let shown = Extent::of(&spiked, &[10.0]);
        assert!(
            shown.cut == Some(1e5) && (10.0..11.0).contains(&shown.high),
            "{shown:?}"
        );
    }
}
