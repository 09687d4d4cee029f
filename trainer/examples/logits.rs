//! For benches/export.sh: the logits of a checkpoint's model, as f32 in the machine's order.
//!
//! Usage: logits CHECKPOINT < BATCH, where BATCH is JSON with `inputs` and `targets`, rows of ids of one length each; 0
//! at the end of a row is padding

use serde::Deserialize;
use std::io::{Write, stdin, stdout};
use std::path::PathBuf;
use t5_trainer::Checkpoint;
use t5_trainer::{Batch, Sequences};

#[derive(Deserialize)]
struct Rows {
    inputs: Vec<Vec<u32>>,
    targets: Vec<Vec<u32>>,
}

fn main() -> anyhow::Result<()> {
    let checkpoint = std::env::args().nth(1).map(PathBuf::from);
    let checkpoint = checkpoint.ok_or(anyhow::anyhow!("give a checkpoint"))?;
    let rows: Rows = serde_json::from_reader(stdin().lock())?;
    let mut model = Checkpoint::read(&checkpoint)?.model(&checkpoint)?;
    let before = |row: &Vec<u32>| -> Vec<u32> {
        let rest = &row[..row.len().saturating_sub(1)];
        [&[0], rest].concat()
    };
    let batch = Batch {
        rows: rows.targets.len(),
        decoder_inputs: rows.targets.iter().flat_map(before).collect(),
        inputs: sequences(&rows.inputs),
        targets: sequences(&rows.targets),
    };
    let mut out = stdout().lock();
    for logit in model.logits(&batch)? {
        out.write_all(&logit.to_ne_bytes())?;
    }
    Ok(out.flush()?)
}

fn sequences(rows: &[Vec<u32>]) -> Sequences {
    let length = rows.first().map_or(0, Vec::len);
    let tokens = rows.concat();
    Sequences {
        length,
        segments: tokens.iter().map(|token| u32::from(*token != 0)).collect(),
        positions: (0..tokens.len()).map(|i| (i % length) as u32).collect(),
        tokens,
    }
}
