//! The learning rate of a step.

use crate::Error;
use crate::base::limits;
use serde::{Deserialize, Serialize};

/// A learning rate by step. Steps count from 0; what needs the length of the run has it as `total_steps`.
///
/// ```
/// use t5_trainer::Schedule;
/// assert_eq!(Schedule::t5().rate(5_000), 0.01);
/// assert_eq!(Schedule::t5().rate(40_000), 0.005);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// `scale / sqrt(max(step, warmup_steps))`: T5's pre-training (§3.1.2), constant in the first 10,000 steps, not rising. With
    /// `linear_decay_fraction` above 0 it falls to 0 over that part at the end: Mesh's `learning_rate_schedule_noam`,
    /// whose default is 0.1; T5 was trained with 0.
    InverseSquareRoot {
        /// Steps of the constant part.
        #[serde(default = "warmup_steps")]
        warmup_steps: u64,
        /// Factor.
        #[serde(default = "one")]
        scale: f64,
        /// Part of the run over which the rate falls to 0.
        #[serde(default)]
        linear_decay_fraction: f64,
        /// Steps of the run; read only with a fraction.
        #[serde(default)]
        total_steps: u64,
    },
    /// `rate`: T5's fine-tuning has 0.001.
    Constant {
        /// The rate.
        rate: f64,
    },
    /// Up to `rate` over `warmup_steps`, then down to 0 at `total_steps`.
    Linear {
        /// The highest rate.
        rate: f64,
        /// Steps of the rise.
        warmup_steps: u64,
        /// Steps of the run.
        total_steps: u64,
    },
    /// Up to `rate` over `warmup_steps`, then down to `final_rate` at `total_steps` along half a cosine.
    Cosine {
        /// The highest rate.
        rate: f64,
        /// Steps of the rise.
        warmup_steps: u64,
        /// Steps of the run.
        total_steps: u64,
        /// The last rate.
        #[serde(default)]
        final_rate: f64,
    },
    /// Up and down in straight lines (Howard and Ruder 2018), Mesh's `slanted_triangular`.
    SlantedTriangular {
        /// The highest rate.
        rate: f64,
        /// Steps of the run.
        total_steps: u64,
        /// Part of the run in which the rate rises.
        #[serde(default = "cut_fraction")]
        cut_fraction: f64,
        /// The highest rate over the lowest.
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

    /// Refuses what cannot be.
    ///
    /// # Errors
    /// Says which setting, and what to do.
    pub fn validate(&self) -> Result<(), Error> {
        let rate = |key, rate: f64| limits::real(key, rate, |rate| rate >= 0.0, "not negative");
        let part = |key, part: f64| limits::real(key, part, |part| (0.0..=1.0).contains(&part), "from 0 to 1");
        let steps = |key, steps: u64| limits::whole(key, steps, 0..=limits::COUNT);
        let (total, warmup) = match *self {
            Schedule::InverseSquareRoot {
                warmup_steps,
                scale,
                linear_decay_fraction,
                total_steps,
            } => {
                rate("scale", scale)?;
                part("linear_decay_fraction", linear_decay_fraction)?;
                limits::whole("warmup_steps", warmup_steps, 1..=limits::COUNT)?;
                steps("total_steps", total_steps)?;
                match linear_decay_fraction > 0.0 {
                    true => (total_steps, 0),
                    false => (1, 0),
                }
            }
            Schedule::Constant { rate: value } => {
                rate("rate", value)?;
                (1, 0)
            }
            Schedule::Linear {
                rate: value,
                warmup_steps,
                total_steps,
            } => {
                rate("rate", value)?;
                (total_steps, warmup_steps)
            }
            Schedule::Cosine {
                rate: value,
                warmup_steps,
                total_steps,
                final_rate,
            } => {
                rate("rate", value)?;
                rate("final_rate", final_rate)?;
                (total_steps, warmup_steps)
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
                (total_steps, 0)
            }
        };
        steps("total_steps", total)?;
        if warmup >= total {
            let problem = format!("must be more than warmup_steps, which is {warmup}");
            return Err(limits::refuse("total_steps", total, problem));
        }
        Ok(())
    }

    /// The learning rate of `step`.
    pub fn rate(&self, step: u64) -> f64 {
        let now = step as f64;
        // Part of the way from the warm-up's end to the run's.
        let rise = |warmup: u64| (now + 1.0).min(warmup as f64) / (warmup.max(1) as f64);
        let done = |warmup: u64, total: u64| ((now - warmup as f64) / (total as f64 - warmup as f64)).clamp(0.0, 1.0);
        match *self {
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
            Schedule::Linear { rate, warmup_steps, .. } if step < warmup_steps => rate * rise(warmup_steps),
            Schedule::Linear {
                rate,
                warmup_steps,
                total_steps,
            } => rate * (1.0 - done(warmup_steps, total_steps)),
            Schedule::Cosine { rate, warmup_steps, .. } if step < warmup_steps => rate * rise(warmup_steps),
            Schedule::Cosine {
                rate,
                warmup_steps,
                total_steps,
                final_rate,
            } => {
                let angle = std::f64::consts::PI * done(warmup_steps, total_steps);
                final_rate + (rate - final_rate) * 0.5 * (1.0 + angle.cos())
            }
            Schedule::SlantedTriangular {
                rate,
                total_steps,
                cut_fraction,
                ratio,
            } => {
                let cut = (total_steps as f64 * cut_fraction).floor();
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
