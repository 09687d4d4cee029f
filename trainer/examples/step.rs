//! CPU seconds of a training step: `step SIZE ROWS STEPS [DROPOUT] [KEY=VALUE]...`, with 512 inputs and 114 targets a
//! row and Adafactor; settings as of a run, so that `transfer` decides what is trained.
//!
//! One line a step on stdout: CPU seconds (user and system, all threads), wall seconds, loss; at the end the
//! largest resident memory in MB. `benches/step.sh` runs it beside Hugging Face's T5.

use std::time::Instant;
use t5_trainer::{Batch, Optimizer, RunConfig, Sequences, T5};

/// Tokens without structure, the same on every run.
fn tokens(count: usize, seed: u32) -> Vec<u32> {
    let mix = |i: u32| (i.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 8) % 31_990 + 2;
    (0..count as u32).map(mix).collect()
}

fn sequences(rows: usize, length: usize, seed: u32) -> Sequences {
    Sequences {
        length,
        tokens: tokens(rows * length, seed),
        segments: vec![1; rows * length],
        positions: (0..rows).flat_map(|_| 0..length as u32).collect(),
    }
}

/// User and system seconds of this process, and its largest resident set in MB (Linux).
fn usage() -> anyhow::Result<(f64, f64)> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|line| line.split_whitespace().next()).unwrap_or("0");
    Ok((ticks / 100.0, peak.parse::<f64>()? / 1024.0))
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [size, rows, steps, rest @ ..] = &arguments[..] else {
        anyhow::bail!("usage: step SIZE ROWS STEPS [DROPOUT] [KEY=VALUE]...");
    };
    let rows: usize = rows.parse()?;
    let mut settings = rest.to_vec();
    let dropout = match settings.first() {
        Some(first) if !first.contains('=') => settings.remove(0),
        _ => "0".to_owned(),
    };
    settings.push(format!("model.dropout={}", dropout.parse::<f32>()?));
    let config = RunConfig::resolve(size, None, &settings, None)?;
    let mut model = T5::new(config.model.clone(), 0)?;
    let layout = config.layout_at(0, 0)?;
    model.set_layout(&layout);
    let mut optimizer = Optimizer::new(config.optimizer, &layout);
    let targets = sequences(rows, 114, 7);
    let decoder_inputs = targets
        .tokens
        .chunks(114)
        .flat_map(|row| std::iter::once(0).chain(row[..113].iter().copied()));
    let batch = Batch {
        rows,
        inputs: sequences(rows, 512, 1),
        decoder_inputs: decoder_inputs.collect(),
        targets,
    };
    let denominator = model.denominator(&batch)?;
    for step in 0..steps.parse()? {
        let (cpu, wall) = (usage()?.0, Instant::now());
        model.zero_gradients();
        let loss = model.accumulate(&batch, (1.0 / denominator) as f32, step)?;
        let (layout, parameters, gradients) = model.buffers();
        optimizer.update(layout, parameters, gradients, 1e-3, step);
        println!(
            "{:.2} {:.2} {:.4}",
            usage()?.0 - cpu,
            wall.elapsed().as_secs_f64(),
            loss.mean()
        );
    }
    println!("memory {:.0}", usage()?.1);
    Ok(())
}
