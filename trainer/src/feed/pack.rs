//! Packing of examples into the rows of a batch.

use super::Packing;
use crate::base::Batch;
use crate::base::Sequences;
use crate::objective::Example;

/// Fills rows with examples in order: an example goes into the current row if all of it fits, else it begins the next
/// row; nobody looks back (seqio's packing, but without its row that ends early after every 512 examples, an artefact
/// of how it works through a dataset).
#[derive(Debug, Clone)]
pub struct Packer {
    packing: Packing,
    rows: usize,
    batch: Batch,
    /// Positions used in the last row.
    used: (usize, usize),
    /// Examples in the last row.
    segment: u32,
}

impl Packer {
    /// For batches of `rows` rows with `inputs` and `targets` positions; `inputs` is 0 for a decoder-only model.
    pub fn new(rows: usize, inputs: usize, targets: usize, packing: Packing) -> Packer {
        let mut packer = Packer {
            packing,
            rows,
            batch: Batch::default(),
            used: (0, 0),
            segment: 0,
        };
        packer.batch.inputs.length = inputs;
        packer.batch.targets.length = targets;
        packer
    }

    /// Adds an example, trimmed to the row's lengths. False, and nothing done, if the batch is full: then take it with
    /// [`finish`](Packer::finish) and add the example again.
    pub fn add(&mut self, example: &Example) -> bool {
        let inputs = trim(&example.inputs, self.batch.inputs.length);
        let targets = trim(&example.targets, self.batch.targets.length);
        let fits = self.used.0 + inputs.len() <= self.batch.inputs.length
            && self.used.1 + targets.len() <= self.batch.targets.length;
        let same_row = self.batch.rows > 0 && fits && self.packing == Packing::Packed;
        if !same_row {
            if self.batch.rows == self.rows {
                return false;
            }
            self.begin_row();
        }
        self.segment += 1;
        let before = self.batch.targets.tokens.len() - self.batch.targets.length + self.used.1;
        put(&mut self.batch.inputs, self.used.0, inputs, self.segment);
        put(&mut self.batch.targets, self.used.1, targets, self.segment);
        // Shifted by one: the segment begins with padding.
        let shifted = &targets[..targets.len().saturating_sub(1)];
        for (i, &token) in shifted.iter().enumerate() {
            self.batch.decoder_inputs[before + 1 + i] = token;
        }
        self.used.0 += inputs.len();
        self.used.1 += targets.len();
        true
    }

    fn begin_row(&mut self) {
        self.batch.rows += 1;
        for side in [&mut self.batch.inputs, &mut self.batch.targets] {
            let positions = self.batch.rows * side.length;
            side.tokens.resize(positions, 0);
            side.segments.resize(positions, 0);
            side.positions.resize(positions, 0);
        }
        let positions = self.batch.rows * self.batch.targets.length;
        self.batch.decoder_inputs.resize(positions, 0);
        self.used = (0, 0);
        self.segment = 0;
    }

    /// The batch so far, which has as many rows as were begun; `None` if that is none. The next begins empty.
    pub fn finish(&mut self) -> Option<Batch> {
        if self.batch.rows == 0 {
            return None;
        }
        let (inputs, targets) = (self.batch.inputs.length, self.batch.targets.length);
        let empty = Packer::new(self.rows, inputs, targets, self.packing);
        Some(std::mem::replace(self, empty).batch)
    }
}

/// Trimmed to `length`, then to as many tokens as are not 0: the reference counts those to know where an example ends,
/// so that a 0 inside costs a token of its end. The feed's examples have none.
fn trim(tokens: &[u32], length: usize) -> &[u32] {
    let tokens = &tokens[..tokens.len().min(length)];
    let used = tokens.iter().filter(|token| **token != 0).count();
    &tokens[..used]
}

fn put(side: &mut Sequences, used: usize, tokens: &[u32], segment: u32) {
    let start = side.tokens.len() - side.length + used;
    for ((i, &token), position) in tokens.iter().enumerate().zip(0..) {
        side.tokens[start + i] = token;
        side.positions[start + i] = position;
        side.segments[start + i] = if token == 0 { 0 } else { segment };
    }
}
