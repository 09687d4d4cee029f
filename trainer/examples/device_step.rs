//! Milliseconds of training steps on a device:
//! `device_step DEVICE SIZE [INPUTS+TARGETS] [DROPOUT] [bf16|f32] [adafactor|adamw] [ROWSxSTEPS]...`
//!
//! Without `ROWSxSTEPS` it reads lines `ROWS STEPS` until its standard input ends. For each it prints a line of JSON:
//! `rows`, `milliseconds` of each step, the last `loss`, and `memory_mib`, the most memory of the device that it has
//! had allocated so far. The first steps load libraries and choose kernels: whoever measures leaves them out.
//! `benches/gpu_proof` runs it beside PyTorch.

use anyhow::Context;
use serde_json::json;
use std::io::{Write, stdin, stdout};
use std::time::Instant;
use t5_trainer::{Batch, Device, DeviceModel, ModelConfig, Optimizer, OptimizerConfig, Precision, Sequences, T5, open};

const USAGE: &str =
    "usage: device_step DEVICE SIZE [INPUTS+TARGETS] [DROPOUT] [bf16|f32] [adafactor|adamw] [ROWSxSTEPS]...";

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

fn batch(rows: usize, inputs: usize, targets: usize) -> Batch {
    let targets = sequences(rows, targets, 7);
    let shifted = |row: &[u32]| [&[0], &row[..row.len() - 1]].concat();
    Batch {
        rows,
        inputs: sequences(rows, inputs, 1),
        decoder_inputs: targets.tokens.chunks(targets.length).flat_map(shifted).collect(),
        targets,
    }
}

/// Two numbers above 0 with a sign between them.
fn pair(text: &str, sign: char) -> anyhow::Result<(usize, usize)> {
    let numbers = text.trim().split_once(sign);
    let numbers = numbers.and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    numbers
        .filter(|&(a, b)| a > 0 && b > 0)
        .with_context(|| format!("`{text}` is not two numbers with `{sign}` between them; {USAGE}"))
}

struct Steps {
    device: Box<dyn DeviceModel>,
    lengths: (usize, usize),
    done: u64,
}

impl Steps {
    fn run(&mut self, rows: usize, count: usize) -> anyhow::Result<()> {
        let (inputs, targets) = self.lengths;
        let batch = batch(rows, inputs, targets);
        // Of all positions, as Mesh TensorFlow has it.
        let weight = 1.0 / (rows * targets) as f32;
        let (mut milliseconds, mut loss) = (Vec::new(), 0.0);
        for _ in 0..count {
            let started = Instant::now();
            self.device.zero_gradients()?;
            self.device.accumulate_ahead(&batch, weight, self.done)?;
            // Waits, as a training step does: from one step's norm to the next's.
            self.device.gradient_norm()?;
            // Of one batch.
            loss = self.device.take_losses()?.iter().map(|loss| loss.mean()).sum();
            self.device.update(1e-3, self.done)?;
            milliseconds.push(1e3 * started.elapsed().as_secs_f64());
            self.done += 1;
        }
        let memory = self.device.memory().map(|bytes| bytes >> 20);
        let line = json!({ "rows": rows, "milliseconds": milliseconds, "loss": loss, "memory_mib": memory });
        let mut out = stdout().lock();
        writeln!(out, "{line}")?;
        Ok(out.flush()?)
    }
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |at: usize, default: &'static str| arguments.get(at).map_or(default, String::as_str);
    anyhow::ensure!(arguments.len() >= 2, USAGE);
    let device: Device = argument(0, "").parse().map_err(anyhow::Error::msg)?;
    let lengths = pair(argument(2, "512+114"), '+')?;
    let config = ModelConfig {
        dropout: argument(3, "0").parse()?,
        ..ModelConfig::named(argument(1, ""))?
    };
    let precision: Precision = argument(4, "bf16").parse().map_err(anyhow::Error::msg)?;
    let settings = match argument(5, "adafactor") {
        "adafactor" => OptimizerConfig::Adafactor(Default::default()),
        "adamw" => OptimizerConfig::AdamW(Default::default()),
        other => anyhow::bail!("`{other}` is no optimiser; {USAGE}"),
    };
    let model = T5::new(config, 0)?;
    let optimizer = Optimizer::new(settings, model.layout());
    let device = open(device, precision, model, Some(optimizer))?;
    eprintln!("on {}", device.name().unwrap_or("the CPU"));
    let mut steps = Steps {
        device,
        lengths,
        done: 0,
    };
    let (asked, to_ask) = match arguments.get(6..) {
        Some(asked @ [_, ..]) => (asked, false),
        _ => (&[][..], true),
    };
    for work in asked {
        let (rows, count) = pair(work, 'x')?;
        steps.run(rows, count)?;
    }
    if to_ask {
        for line in stdin().lines() {
            let (rows, count) = pair(&line?, ' ')?;
            steps.run(rows, count)?;
        }
    }
    Ok(())
}
