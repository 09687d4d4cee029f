//! How often an example is of which source: rates as seqio has them (paper, section 3.5.2).

use crate::Error;
use crate::base::limits;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A task to train on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskSource {
    /// A built-in task (`t5 task list`), or the path of a card in TOML.
    ///
    /// Source: ours.
    pub name: String,
    /// The folder of the task's rows, or of several tasks, each in a folder of its name; left out, that of `--data`.
    ///
    /// Source: ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// How often an example is of this task, relative to the other sources, in place of what `mixing` says.
    ///
    /// Unit: examples, as the rates of the other sources. Source: seqio's constant rates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
    /// Examples that the task counts as having, in place of the rows of its training split.
    ///
    /// Unit: examples. Source: the artificial sizes of the paper's final models (section 3.7).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub examples: Option<u64>,
}

/// How rates follow from numbers of examples; a source's own `weight` is its rate, whatever this says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Mixing {
    /// By the `weight` of each source. Where none has one, by examples; corpora alone, by bytes of text.
    #[default]
    Given,
    /// The same for all.
    Equal,
    /// By examples, up to a limit.
    Proportional {
        /// Examples that a source counts as having at most: the paper's K.
        ///
        /// Unit: examples. Source: 2^19, the best of table 11, with which section 3.5.3 pre-trains.
        #[serde(default = "proportional_limit")]
        limit: u64,
    },
    /// By the T-th root of examples, up to a limit.
    Temperature {
        /// The root that is taken: 1 is by examples, and the larger, the closer to equal.
        ///
        /// Unit: none. Source: 2, the best of the paper's table 11.
        #[serde(default = "temperature")]
        temperature: f64,
        /// Examples that a source counts as having at most, before the root is taken.
        ///
        /// Unit: examples. Source: 2^21 (paper, section 3.5.2).
        #[serde(default = "temperature_limit")]
        limit: u64,
    },
}

fn proportional_limit() -> u64 {
    1 << 19
}

fn temperature() -> f64 {
    2.0
}

fn temperature_limit() -> u64 {
    1 << 21
}

impl Mixing {
    /// Whether nothing else than weights is asked for.
    pub(crate) fn is_given(&self) -> bool {
        *self == Mixing::Given
    }

    /// Refuses numbers that cannot be.
    pub(crate) fn validate(self) -> Result<(), Error> {
        match self {
            Mixing::Given | Mixing::Equal => Ok(()),
            Mixing::Proportional { limit } => limits::whole("limit", limit, 1..=limits::COUNT),
            Mixing::Temperature { temperature, limit } => {
                limits::real("temperature", temperature, |t| t >= 1.0, "1 or more")?;
                limits::whole("limit", limit, 1..=limits::COUNT)
            }
        }
    }

    /// The rate of a source without a weight (`mixing_rate_num_examples` of seqio), before it is divided by the sum of
    /// all.
    pub(super) fn rate(self, examples: u64) -> f64 {
        match self {
            Mixing::Given => examples as f64,
            Mixing::Equal => 1.0,
            Mixing::Proportional { limit } => examples.min(limit) as f64,
            Mixing::Temperature { temperature, limit } => (examples.min(limit) as f64).powf(temperature.recip()),
        }
    }
}

/// A source of a mixture.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MixtureShare {
    /// Name of the corpus or the task.
    pub name: String,
    /// Examples that count: documents of a corpus, rows of a task's training split, or what the configuration says in
    /// their place.
    pub examples: u64,
    /// The rate, before it is divided by the sum of all.
    pub rate: f64,
    /// Share of all examples that are drawn.
    pub share: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_seqios() {
        assert_eq!(Mixing::Given.rate(17), 17.0);
        assert_eq!(Mixing::Equal.rate(17), 1.0);
        let capped = Mixing::Proportional { limit: 1 << 16 };
        assert_eq!((capped.rate(2490), capped.rate(1 << 20)), (2490.0, 65_536.0));
        let warm = Mixing::Temperature {
            temperature: 4.0,
            limit: 1 << 21,
        };
        assert_eq!(warm.rate(81), 3.0);
        assert!((warm.rate(1 << 30) - 2f64.powf(21.0 / 4.0)).abs() < 1e-12);
        for wrong in [
            Mixing::Proportional { limit: 0 },
            Mixing::Temperature {
                temperature: 0.5,
                limit: 1,
            },
            Mixing::Temperature {
                temperature: f64::NAN,
                limit: 1,
            },
        ] {
            assert!(wrong.validate().is_err(), "{wrong:?}");
        }
    }
}
