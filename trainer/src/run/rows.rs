//! How many rows a device with memory of its own takes at a time: as many of a step's as fit, since few rows leave a
//! GPU idle.

use super::Run;
use super::settings::RunConfig;
use crate::Error;
use crate::base::{Batch, Sequences};
use crate::model::EOS;

/// Rows of the two passes that tell what a row takes.
const TRIED: [usize; 2] = [1, 3];
/// Of the memory that is free, the part that is counted on; the rest is for libraries, and for holes between
/// allocations.
const COUNTED_ON: f64 = 0.9;
/// Values of a buffer at most: kernels count with 32 bits.
const VALUES: usize = 1 << 31;

impl Run {
    /// Makes batches of as many of a step's rows as fit into the device's memory (`feed.rows`), and fewer of them
    /// (`batches_per_step`): a step has the same rows. `evaluate_batches` becomes as many as have the same rows, one at
    /// least. Two small passes on the device say what a row takes; what a pass allocates grows with rows at most as
    /// from the first to the second.
    ///
    /// Nothing changes on a device in the host's memory.
    ///
    /// # Errors
    /// The device fails; a row does not fit.
    pub fn fit_rows(&mut self) -> Result<(), Error> {
        let Some(free) = self.backend.free_memory()? else {
            return Ok(());
        };
        // Whatever a step trains, there is memory for all that the run does.
        self.backend.train(&self.config.last_layout()?)?;
        let before = self.backend.memory().unwrap_or(0);
        let mut taken = [0; 2];
        for (rows, taken) in TRIED.into_iter().zip(&mut taken) {
            self.backend.accumulate(&full_batch(&self.config, rows)?, 0.0, 0)?;
            *taken = self.backend.memory().unwrap_or(0) - before;
        }
        self.backend.train(&self.layout)?;
        self.backend.zero_gradients()?;
        let config = &mut self.config;
        let total = config.feed.rows * config.batches_per_step;
        let most = most_rows((free as f64 * COUNTED_ON) as u64, taken).min(VALUES / widest(config)?);
        let old = config.feed.rows;
        config.feed.rows = (1..=total.min(most))
            .rev()
            .find(|rows| total.is_multiple_of(*rows))
            .unwrap_or(1);
        config.batches_per_step = total / config.feed.rows;
        if config.evaluate_batches > 0 {
            let rows = config.evaluate_batches.saturating_mul(old as u64);
            config.evaluate_batches = (rows / config.feed.rows as u64).max(1);
        }
        Ok(())
    }
}

/// Rows for which there is memory, of which those of [`TRIED`] have taken so much; 1 at least, which has run.
fn most_rows(free: u64, taken: [u64; 2]) -> usize {
    let each = (taken[1] - taken[0]) / (TRIED[1] - TRIED[0]) as u64;
    let more = free.saturating_sub(taken[0]) / each.max(1);
    usize::try_from(more).map_or(usize::MAX, |more| more.saturating_add(TRIED[0]))
}

/// Values of a row in the widest buffer of a pass.
fn widest(config: &RunConfig) -> Result<usize, Error> {
    let (inputs, targets) = config.row_lengths()?;
    let model = &config.model;
    let wide = (2 * model.d_ff)
        .max(3 * model.heads_width())
        .max(model.d_model)
        .max(model.adapter);
    Ok(inputs.max(targets) * wide)
}

/// Rows without padding, of which all targets count that can.
fn full_batch(config: &RunConfig, rows: usize) -> Result<Batch, Error> {
    /// Any token that is neither padding nor EOS.
    const OTHER: u32 = 2;
    let full = |length: usize, first: u32| Sequences {
        length,
        tokens: (0..rows * length)
            .map(|i| if i % length == 0 { first } else { OTHER })
            .collect(),
        segments: vec![1; rows * length],
        positions: (0..rows).flat_map(|_| 0..length as u32).collect(),
    };
    let (inputs, targets) = config.row_lengths()?;
    Ok(Batch {
        rows,
        inputs: full(inputs, OTHER),
        // Behind an EOS, targets count in every kind of model.
        targets: full(targets, EOS),
        decoder_inputs: vec![OTHER; rows * targets],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_as_many_as_there_is_memory_for() {
        // 10 for the first row, 5 for each one more.
        let taken = [10, 20];
        assert_eq!(most_rows(0, taken), 1);
        assert_eq!(most_rows(14, taken), 1);
        assert_eq!(most_rows(15, taken), 2);
        assert_eq!(most_rows(100, taken), 19);
        assert!(most_rows(u64::MAX, [10, 10]) > 1 << 60);
    }

    #[test]
    fn full_batches_are_for_every_kind_of_model() {
        use crate::run::settings::RunConfig;
        for architecture in ["encoder_decoder", "shared", "language_model", "prefix_lm"] {
            let objective = match architecture {
                "language_model" => "lm",
                _ => "prefix_lm",
            };
            let settings = [
                format!("model.architecture={architecture}"),
                format!("feed.objective.name={objective}"),
            ];
            let config = RunConfig::resolve("tiny", None, &settings, None).unwrap();
            let batch = full_batch(&config, 3).unwrap();
            crate::model::denominator(&config.model, &batch).unwrap();
        }
    }
}
