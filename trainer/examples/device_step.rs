//! Tokens a second of training steps on a device: `device_step DEVICE SIZE ROWS STEPS [DROPOUT] [bf16|f32] [adafactor|adamw]`, with 512
//! inputs and 114 targets a row.
//!
//! One line a step on stdout: tokens a second, milliseconds, loss. The first steps load libraries and
//! choose kernels: whoever measures leaves them out. `benches/cuda_step.sh` runs it beside PyTorch.

use std::time::Instant;
use t5_trainer::{Batch, Device, ModelConfig, Optimizer, OptimizerConfig, Precision, Sequences, T5, open};

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

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [device, size, rows, steps, rest @ ..] = &arguments[..] else {
        anyhow::bail!("usage: device_step DEVICE SIZE ROWS STEPS [DROPOUT] [bf16|f32] [adafactor|adamw]");
    };
    let device: Device = device.parse().map_err(anyhow::Error::msg)?;
    let rows: usize = rows.parse()?;
    let config = ModelConfig {
        dropout: rest.first().map_or(Ok(0.0), |rate| rate.parse())?,
        ..ModelConfig::named(size)?
    };
    let precision = rest.get(1).map_or(Ok(Precision::Bf16), |text| text.parse());
    let precision = precision.map_err(anyhow::Error::msg)?;
    let settings = match rest.get(2).map(String::as_str) {
        Some("adamw") => OptimizerConfig::AdamW(Default::default()),
        _ => OptimizerConfig::Adafactor(Default::default()),
    };
    let model = T5::new(config, 0)?;
    let optimizer = Optimizer::new(settings, model.layout());
    let mut device = open(device, precision, model, Some(optimizer))?;
    eprintln!("on {}", device.name().unwrap_or("the CPU"));
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
    // Of all positions, as Mesh TensorFlow has it.
    let denominator = (rows * 114) as f64;
    for step in 0..steps.parse()? {
        let started = Instant::now();
        device.zero_gradients()?;
        let loss = device.accumulate(&batch, (1.0 / denominator) as f32, step)?;
        device.update(1e-3, step)?;
        // Waits for all of it, as a training step does.
        device.gradient_norm()?;
        let seconds = started.elapsed().as_secs_f64();
        println!(
            "{:.0} {:.2} {:.4}",
            (rows * (512 + 114)) as f64 / seconds,
            1e3 * seconds,
            loss.mean()
        );
    }
    Ok(())
}
