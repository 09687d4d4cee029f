//! The learning rate of a step.

use crate::Error;
use crate::base::limits;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A learning rate by step. Steps count from 0. What is left out follows the length of the run, which is said with the
/// step.
///
/// ```
/// use t5_trainer::Schedule;
/// let run = 1 << 19;
/// assert_eq!(Schedule::t5().rate(5_000, run), 0.01);
/// assert_eq!(Schedule::t5().rate(40_000, run), 0.005);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// `scale / sqrt(max(step, warmup_steps))`: constant in the first steps, not rising. With `linear_decay_fraction`
    /// above 0 it falls to 0 over that part at the end: Mesh's `learning_rate_schedule_noam`.
    InverseSquareRoot {
        /// Steps of the constant part.
        ///
        /// Unit: steps. Source: 10,000 in T5's pre-training (paper, section 3.1.2).
        #[serde(default = "warmup_steps")]
        warmup_steps: u64,
        /// Factor of the rate.
        ///
        /// Unit: none. Source: 1 in T5's pre-training (paper, section 3.1.2).
        #[serde(default = "one")]
        scale: f64,
        /// Part of the run, at its end, over which the rate falls to 0 in a line.
        ///
        /// Unit: share of total_steps. Source: T5 was trained with 0; Mesh's own default is 0.1.
        #[serde(default)]
        linear_decay_fraction: f64,
        /// Step at which the rate has fallen to 0; 0: the run's `steps`. Read only with a `linear_decay_fraction`.
        ///
        /// Unit: steps. Source: Mesh's `train_steps`.
        #[serde(default)]
        total_steps: u64,
    },
    /// `rate` in every step.
    Constant {
        /// The learning rate.
        ///
        /// Unit: none. Source: 0.001 in T5's fine-tuning (paper, section 3.1.3).
        #[serde(default = "fine_tuning_rate")]
        rate: f64,
    },
    /// Up to `rate` over `warmup_steps`, then down in a line to 0 at `total_steps`.
    Linear {
        /// The highest learning rate. Where an optimiser's steps are absolute (AdamW without `min_parameter_scale`) the
        /// default is 0.001.
        ///
        /// Unit: none. Source: 0.01 in the first steps of T5's pre-training (paper, section 3.1.2); 0.001, PyTorch's
        /// AdamW.
        #[serde(default = "rate")]
        rate: f64,
        /// Steps of the rise; left out, a tenth of `total_steps`, 10,000 at most.
        ///
        /// Unit: steps. Source: 10,000 in T5 (paper, section 3.1.2); a tenth so that it fits into any run, ours.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        warmup_steps: Option<u64>,
        /// Step at which the rate has fallen to 0; 0: the run's `steps`.
        ///
        /// Unit: steps. Source: ours.
        #[serde(default)]
        total_steps: u64,
    },
    /// Up to `rate` over `warmup_steps`, then down to `final_rate` at `total_steps` along half a cosine.
    Cosine {
        /// The highest learning rate. Where an optimiser's steps are absolute (AdamW without `min_parameter_scale`) the
        /// default is 0.001.
        ///
        /// Unit: none. Source: 0.01 in the first steps of T5's pre-training (paper, section 3.1.2); 0.001, PyTorch's
        /// AdamW.
        #[serde(default = "rate")]
        rate: f64,
        /// Steps of the rise; left out, a tenth of `total_steps`, 10,000 at most.
        ///
        /// Unit: steps. Source: 10,000 in T5 (paper, section 3.1.2); a tenth so that it fits into any run, ours.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        warmup_steps: Option<u64>,
        /// Step at which the rate has fallen to `final_rate`; 0: the run's `steps`.
        ///
        /// Unit: steps. Source: Loshchilov and Hutter 2017, without restarts.
        #[serde(default)]
        total_steps: u64,
        /// The last learning rate.
        ///
        /// Unit: none. Source: Loshchilov and Hutter 2017, equation 5, with 0.
        #[serde(default)]
        final_rate: f64,
    },
    /// Up and down in straight lines: Mesh's `slanted_triangular`.
    SlantedTriangular {
        /// The highest learning rate. Where an optimiser's steps are absolute (AdamW without `min_parameter_scale`) the
        /// default is 0.001.
        ///
        /// Unit: none. Source: 0.01 in the first steps of T5's pre-training (paper, section 3.1.2); 0.001, PyTorch's
        /// AdamW.
        #[serde(default = "rate")]
        rate: f64,
        /// Step at which the rate is back at its lowest; 0: the run's `steps`.
        ///
        /// Unit: steps. Source: Howard and Ruder 2018, equation 3.
        #[serde(default)]
        total_steps: u64,
        /// Part of the run in which the rate rises.
        ///
        /// Unit: share of total_steps. Source: Howard and Ruder 2018, section 3.2.
        #[serde(default = "cut_fraction")]
        cut_fraction: f64,
        /// The highest rate over the lowest.
        ///
        /// Unit: none. Source: Howard and Ruder 2018, section 3.2.
        #[serde(default = "ratio")]
        ratio: f64,
    },
}

fn warmup_steps() -> u64 {
    10_000
}
fn one() -> f64 {
    1.0
}
fn fine_tuning_rate() -> f64 {
    1e-3
}
fn rate() -> f64 {
    1e-2
}
/// Of an optimiser whose steps are absolute: PyTorch's default.
const ABSOLUTE_RATE: f64 = 1e-3;
fn cut_fraction() -> f64 {
    0.1
}
fn ratio() -> f64 {
    32.0
}

impl Schedule {
    /// T5's pre-training: `1 / sqrt(max(step, 10,000))`.
    pub fn t5() -> Schedule {
        Schedule::InverseSquareRoot {
            warmup_steps: warmup_steps(),
            scale: 1.0,
            linear_decay_fraction: 0.0,
            total_steps: 0,
        }
    }

    /// The schedule with the rate that it has by default for an optimiser whose steps are absolute.
    pub(crate) fn with_absolute_rate(mut self) -> Schedule {
        match &mut self {
            Schedule::Linear { rate, .. }
            | Schedule::Cosine { rate, .. }
            | Schedule::SlantedTriangular { rate, .. } => *rate = ABSOLUTE_RATE,
            Schedule::InverseSquareRoot { .. } | Schedule::Constant { .. } => {}
        }
        self
    }

    /// The steps of the rise in a run of `steps` steps, where they are left out; `None` where they are not.
    pub(crate) fn default_warmup(self, steps: u64) -> Option<u64> {
        match self {
            Schedule::Linear {
                warmup_steps: None,
                total_steps,
                ..
            }
            | Schedule::Cosine {
                warmup_steps: None,
                total_steps,
                ..
            } => {
                let total = if total_steps == 0 { steps } else { total_steps };
                Some((total / 10).min(warmup_steps()))
            }
            _ => None,
        }
    }

    /// The schedule with all that is left out, of a run of `steps` steps.
    fn filled(mut self, steps: u64) -> Schedule {
        let default_warmup = self.default_warmup(steps);
        match &mut self {
            Schedule::Linear {
                warmup_steps,
                total_steps,
                ..
            }
            | Schedule::Cosine {
                warmup_steps,
                total_steps,
                ..
            } => {
                *warmup_steps = warmup_steps.or(default_warmup);
                if *total_steps == 0 {
                    *total_steps = steps;
                }
            }
            Schedule::InverseSquareRoot { total_steps, .. } | Schedule::SlantedTriangular { total_steps, .. } => {
                if *total_steps == 0 {
                    *total_steps = steps;
                }
            }
            Schedule::Constant { .. } => {}
        }
        self
    }

    /// Refuses what cannot be in a run of `steps` steps.
    ///
    /// # Errors
    /// Says which setting, and what to do.
    pub fn validate(&self, steps: u64) -> Result<(), Error> {
        let rate = |key, rate: f64| limits::real(key, rate, |rate| rate >= 0.0, "not negative");
        let part = |key, part: f64| limits::real(key, part, |part| (0.0..=1.0).contains(&part), "from 0 to 1");
        let count = |key, steps: u64| limits::whole(key, steps, 0..=limits::COUNT);
        let rise = |warmup: Option<u64>, total: u64| {
            count("total_steps", total)?;
            match warmup {
                Some(warmup) if warmup >= total => {
                    let problem = format!("must be less than total_steps, which is {total}");
                    Err(limits::refuse("warmup_steps", warmup, problem))
                }
                _ => Ok(()),
            }
        };
        match self.filled(steps) {
            Schedule::InverseSquareRoot {
                warmup_steps,
                scale,
                linear_decay_fraction,
                total_steps,
            } => {
                rate("scale", scale)?;
                part("linear_decay_fraction", linear_decay_fraction)?;
                limits::whole("warmup_steps", warmup_steps, 1..=limits::COUNT)?;
                count("total_steps", total_steps)
            }
            Schedule::Constant { rate: value } => rate("rate", value),
            Schedule::Linear {
                rate: value,
                warmup_steps,
                total_steps,
            } => {
                rate("rate", value)?;
                rise(warmup_steps, total_steps)
            }
            Schedule::Cosine {
                rate: value,
                warmup_steps,
                total_steps,
                final_rate,
            } => {
                rate("rate", value)?;
                rate("final_rate", final_rate)?;
                rise(warmup_steps, total_steps)
            }
            Schedule::SlantedTriangular {
                rate: value,
                total_steps,
                cut_fraction,
                ratio,
            } => {
                rate("rate", value)?;
                let inside = |part| part > 0.0 && part < 1.0;
                limits::real("cut_fraction", cut_fraction, inside, "between 0 and 1")?;
                limits::real("ratio", ratio, |ratio| ratio >= 1.0, "1 at least")?;
                count("total_steps", total_steps)
            }
        }
    }

    /// The learning rate of `step` in a run of `steps` steps.
    pub fn rate(&self, step: u64, steps: u64) -> f64 {
        let now = step as f64;
        // Part of the way from the warm-up's end to the run's.
        let rise = |warmup: u64| (now + 1.0).min(warmup as f64) / (warmup.max(1) as f64);
        let done = |warmup: u64, total: u64| ((now - warmup as f64) / (total as f64 - warmup as f64)).clamp(0.0, 1.0);
        match self.filled(steps) {
            Schedule::InverseSquareRoot {
                warmup_steps,
                scale,
                linear_decay_fraction,
                total_steps,
            } => {
                let rate = scale / now.max(warmup_steps as f64).sqrt();
                if linear_decay_fraction == 0.0 {
                    return rate;
                }
                let total = total_steps as f64;
                rate * ((total - now) / (total * linear_decay_fraction)).clamp(0.0, 1.0)
            }
            Schedule::Constant { rate } => rate,
            Schedule::Linear {
                rate,
                warmup_steps,
                total_steps,
            } => match warmup_steps.unwrap_or(0) {
                warmup if step < warmup => rate * rise(warmup),
                warmup => rate * (1.0 - done(warmup, total_steps)),
            },
            Schedule::Cosine {
                rate,
                warmup_steps,
                total_steps,
                final_rate,
            } => match warmup_steps.unwrap_or(0) {
                warmup if step < warmup => rate * rise(warmup),
                warmup => {
                    let angle = std::f64::consts::PI * done(warmup, total_steps);
                    final_rate + (rate - final_rate) * 0.5 * (1.0 + angle.cos())
                }
            },
            Schedule::SlantedTriangular {
                rate,
                total_steps,
                cut_fraction,
                ratio,
            } => {
                // A run of so few steps that none would be left for the rise has one.
                let cut = (total_steps as f64 * cut_fraction).floor().max(1.0);
                let part = if now < cut {
                    now / cut
                } else {
                    1.0 - (now - cut) / (cut * (1.0 / cut_fraction - 1.0))
                };
                rate * (1.0 + part * (ratio - 1.0)) / ratio
            }
        }
    }
}
