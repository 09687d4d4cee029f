//! Where a model computes: a [`DeviceModel`] is a model there, whose passes are those of `model/` over a backend.
//!
//! | folder or file | what |
//! |---|---|
//! | `cpu.rs` | the CPU, whose operations are written by hand in `model/` |
//! | `candle.rs`, `candle_ops.rs` | the library candle, on the CPU, with its automatic backward pass |
//! | `cuda/` | an NVIDIA GPU; for tests the host, which runs the same kernels |
//! | `recompute.rs` | a decoder for backends that keep no keys and values |
//!
//! The loop, `t5 eval` and `t5 generate` see the trait alone. Layout, attention masks, distances, targets and the
//! counters of dropout are the same everywhere, so all backends draw the same elements, and a checkpoint is of none of
//! them.

#[cfg(feature = "candle")]
mod candle;
#[cfg(feature = "candle")]
mod candle_ops;
mod cpu;
#[cfg(devices)]
mod cuda;
#[cfg(any(devices, feature = "candle"))]
mod recompute;

use crate::Error;
use crate::base::{Batch, Sequences};
use crate::math::elementwise::RowLoss;
use crate::model::{self, Decoder, Layout, Loss, ModelConfig, T5};
use crate::optimizer::Optimizer;
use crate::processes::Communicator;
use cpu::Cpu;
use std::fmt;
use std::str::FromStr;

/// Where a model computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Device {
    /// On the CPU.
    #[default]
    Cpu,
    /// On the NVIDIA GPU with this number.
    Cuda(usize),
    /// On the CPU, with gradients by candle's automatic backward pass.
    Candle,
    /// On the CPU by the GPU's kernels, for tests; a kernel's block is `threads`.
    Emulated(Emulation),
}

/// What an emulated block of threads is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Emulation {
    /// One thread: fast.
    #[default]
    OneThread,
    /// All threads, which take turns at barriers, the first one first.
    Rising,
    /// All threads, the last one first. Bits that differ from those of `Rising` tell of a barrier that is missing.
    Falling,
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Device, String> {
        match text.split_once(':') {
            None if text == "cpu" => Ok(Device::Cpu),
            None if text == "cuda" => Ok(Device::Cuda(0)),
            None if text == "candle" => Ok(Device::Candle),
            None if text == "emulated" && cfg!(feature = "cuda-emulated") => Ok(Device::Emulated(Emulation::default())),
            Some(("cuda", number)) if number.parse::<u16>().is_ok() => {
                let number: u16 = number.parse().unwrap_or_default();
                Ok(Device::Cuda(number.into()))
            }
            _ => Err(format!(
                "`{text}` is no device; write cpu, cuda, cuda:N for GPU N, or candle"
            )),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda(number) => write!(f, "cuda:{number}"),
            Device::Candle => f.write_str("candle"),
            Device::Emulated(_) => f.write_str("emulated"),
        }
    }
}

impl Device {
    /// Whether the model lies in a memory of the device's own.
    pub(crate) fn has_own_memory(self) -> bool {
        !matches!(self, Device::Cpu | Device::Candle)
    }
}

/// The type of what matrix products read on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// 8 bits of mantissa: what tensor cores are made for, and what T5 was trained with.
    #[default]
    Bf16,
    /// As on the CPU.
    F32,
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Precision, String> {
        match text {
            "bf16" => Ok(Precision::Bf16),
            "f32" => Ok(Precision::F32),
            _ => Err(format!("`{text}` is no precision; write bf16 or f32")),
        }
    }
}

/// A model with its gradients and, where it is to be trained, its optimiser, on some device.
///
/// Sums have a fixed order on every backend: the same calls give the same bits. Every method fails where the device
/// does.
pub trait DeviceModel: Send {
    /// What the device is, for people: a GPU's name and memory. `None` for the CPU, which goes without saying.
    fn name(&self) -> Option<&str>;

    /// The most bytes of the device's own memory that were allocated at a time, by all that was opened with it. `None`
    /// for a device in the host's memory.
    fn memory(&self) -> Option<u64> {
        None
    }

    /// The bytes of the device's own memory that are free. `None` for a device in the host's memory.
    ///
    /// # Errors
    /// The device fails.
    fn free_memory(&self) -> Result<Option<u64>, Error> {
        Ok(None)
    }

    /// The settings of the model.
    fn config(&self) -> &ModelConfig;

    /// Trains from here on what `layout` says, which is one of this model; all else keeps its bits. What the optimiser
    /// remembers of variables that were trained before stays. Gradients are 0 then.
    ///
    /// # Errors
    /// The device fails.
    fn train(&mut self, layout: &Layout) -> Result<(), Error>;

    /// Sets all gradients to 0, and forgets losses that were not taken.
    ///
    /// # Errors
    /// The device fails.
    fn zero_gradients(&mut self) -> Result<(), Error>;

    /// Forward and backward: adds to the gradients of trained variables `weight` times those of the batch's summed
    /// training loss (cross entropy and z-loss). `dropout_seed` is to be another for every batch.
    ///
    /// # Errors
    /// A batch that is not for this model; on a device with memory of its own, a model that was opened without an
    /// optimiser, for which it holds no gradients.
    fn accumulate(&mut self, batch: &Batch, weight: f32, dropout_seed: u64) -> Result<Loss, Error> {
        self.accumulate_ahead(batch, weight, dropout_seed)?;
        let mut sum = Loss::default();
        self.take_losses()?.into_iter().for_each(|loss| sum += loss);
        Ok(sum)
    }

    /// As [`accumulate`](DeviceModel::accumulate), but the device may still be at it when this returns: the host goes
    /// on with the next batch. The loss is the last of those that [`take_losses`](DeviceModel::take_losses) gives next.
    ///
    /// # Errors
    /// As [`accumulate`](DeviceModel::accumulate).
    fn accumulate_ahead(&mut self, batch: &Batch, weight: f32, dropout_seed: u64) -> Result<(), Error>;

    /// The losses of the batches that were accumulated since the last call, or since gradients were set to 0, in order.
    /// Waits for the device.
    ///
    /// # Errors
    /// The device fails.
    fn take_losses(&mut self) -> Result<Vec<Loss>, Error>;

    /// The losses of the targets that count, row after row, without dropout.
    ///
    /// # Errors
    /// A batch that is not for this model.
    fn target_losses(&mut self, batch: &Batch) -> Result<Vec<RowLoss>, Error>;

    /// The loss of a batch, without dropout.
    ///
    /// # Errors
    /// A batch that is not for this model.
    fn evaluate(&mut self, batch: &Batch) -> Result<Loss, Error> {
        Ok(model::total(batch.targets.tokens.len(), &self.target_losses(batch)?))
    }

    /// The loss of each example of a batch, row after row, without dropout. Their sum is that of
    /// [`evaluate`](DeviceModel::evaluate), to rounding, but that padding is no position of theirs.
    ///
    /// # Errors
    /// A batch that is not for this model.
    fn evaluate_each(&mut self, batch: &Batch) -> Result<Vec<Loss>, Error> {
        let losses = self.target_losses(batch)?;
        Ok(model::each_example(self.config(), batch, &losses))
    }

    /// The logits of all target positions, `[rows, targets.length, vocab]`, without dropout.
    ///
    /// # Errors
    /// A batch that is not for this model.
    fn logits(&mut self, batch: &Batch) -> Result<Vec<f32>, Error>;

    /// A decoder of `inputs`, one example a row, of `max_length` tokens at most and with at most `beams` sequences for
    /// each row (at first, one). For a model without an encoder the inputs are what its sequences begin with (an EOS
    /// included where examples have one there), all of one length.
    ///
    /// # Errors
    /// Inputs that are not for this model; padding in them where there is no encoder.
    fn decoder(
        &mut self,
        rows: usize,
        inputs: &Sequences,
        beams: usize,
        max_length: usize,
    ) -> Result<Box<dyn Decoder + '_>, Error>;

    /// Replaces the gradients by their sums over all processes, which call this at the same time.
    ///
    /// # Errors
    /// The device fails, or another process has ended.
    fn sum_gradients(&mut self, over: &mut Communicator) -> Result<(), Error>;

    /// The global norm of the gradients.
    ///
    /// # Errors
    /// The device fails.
    fn gradient_norm(&mut self) -> Result<f64, Error>;

    /// Scales gradients so that their global norm (given) is `limit` at most.
    ///
    /// # Errors
    /// The device fails.
    fn clip_gradients(&mut self, norm: f64, limit: f64) -> Result<(), Error>;

    /// Changes the trained parameters by the gradients. `step` counts from 0. Without an optimiser it does nothing.
    ///
    /// # Errors
    /// The device fails.
    fn update(&mut self, rate: f64, step: u64) -> Result<(), Error>;

    /// The gradients, where the layout says ([`Variable::gradient`](crate::model::Variable)).
    ///
    /// # Errors
    /// The device fails.
    fn gradients(&self) -> Result<Vec<f32>, Error>;

    /// The model and the optimiser as they are now, in the host's memory.
    ///
    /// # Errors
    /// The device fails.
    fn host(&mut self) -> Result<(&T5, Option<&Optimizer>), Error>;

    /// The model and the optimiser as they are now, given up by the device.
    ///
    /// # Errors
    /// The device fails.
    fn into_host(self: Box<Self>) -> Result<(T5, Option<Optimizer>), Error>;
}

/// Refuses a device that is not there, before there is a model to take to it. `processes`: how many train on devices of
/// its kind.
///
/// # Errors
/// This program was built without that device; no driver, library, or GPU with that number.
#[allow(unused_variables)]
pub fn find(device: Device, processes: usize) -> Result<(), Error> {
    match device {
        Device::Cpu => Ok(()),
        #[cfg(feature = "cuda")]
        Device::Cuda(number) => cuda::find(number, processes),
        #[cfg(feature = "candle")]
        Device::Candle => Ok(()),
        #[cfg(feature = "cuda-emulated")]
        Device::Emulated(_) => Ok(()),
        #[allow(unreachable_patterns)]
        device => Err(missing(device)),
    }
}

/// A model on the CPU, with its optimiser where it is to be trained.
pub(crate) fn on_cpu(model: T5, optimizer: Option<Optimizer>) -> Box<dyn DeviceModel> {
    Box::new(Cpu::new(model, optimizer))
}

/// Takes a model to a device, with its optimiser where it is to be trained.
///
/// # Errors
/// This program was built without that device; no driver, library, or GPU with that number; too little memory.
///
/// ```
/// use t5_trainer::{Batch, Device, ModelConfig, Optimizer, OptimizerConfig, Precision, Sequences, T5, open};
/// let config = ModelConfig { vocab_size: 128, encoder_layers: 1, decoder_layers: 1, ..ModelConfig::named("tiny")? };
/// let model = T5::new(config, 7)?;
/// let optimizer = Optimizer::new(OptimizerConfig::Adafactor(Default::default()), model.layout());
/// let mut model = open(Device::Cpu, Precision::F32, model, Some(optimizer))?;
/// let row = |tokens: Vec<u32>| Sequences { length: 3, tokens, segments: vec![1; 3], positions: vec![0, 1, 2] };
/// let (inputs, targets) = (row(vec![5, 9, 1]), row(vec![7, 8, 1]));
/// let batch = Batch { rows: 1, inputs, targets, decoder_inputs: vec![0, 7, 8] };
/// let before = model.evaluate(&batch)?.mean();
/// for step in 0..5 {
///     model.zero_gradients()?;
///     model.accumulate(&batch, 1.0 / 3.0, step)?;
///     model.update(0.01, step)?;
/// }
/// assert!(model.evaluate(&batch)?.mean() < before);
/// # Ok::<(), t5_trainer::Error>(())
/// ```
#[allow(unused_variables)]
pub fn open(
    device: Device,
    precision: Precision,
    model: T5,
    optimizer: Option<Optimizer>,
) -> Result<Box<dyn DeviceModel>, Error> {
    match device {
        Device::Cpu => Ok(on_cpu(model, optimizer)),
        #[cfg(feature = "cuda")]
        Device::Cuda(number) => cuda::open(number, precision, model, optimizer),
        #[cfg(feature = "candle")]
        Device::Candle => Ok(Box::new(candle::Candle::new(Cpu::new(model, optimizer)))),
        #[cfg(feature = "cuda-emulated")]
        Device::Emulated(emulation) => cuda::emulate(emulation, precision, model, optimizer),
        #[allow(unreachable_patterns)]
        device => Err(missing(device)),
    }
}

/// The error for a device that this program was built without.
#[allow(dead_code)]
fn missing(device: Device) -> Error {
    let how = match device {
        Device::Candle => "cargo build --release`",
        _ => "make cuda` (which needs no GPU)",
    };
    Error::Device(format!(
        "--device {device}: this program was built without it; build it with `{how}, or train by --device cpu"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_names() {
        for (text, place) in [
            ("cpu", Device::Cpu),
            ("cuda", Device::Cuda(0)),
            ("cuda:3", Device::Cuda(3)),
            ("candle", Device::Candle),
        ] {
            assert_eq!(text.parse(), Ok(place));
        }
        for text in ["gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "CUDA", ""] {
            assert!(text.parse::<Device>().is_err(), "{text}");
        }
        assert_eq!("bf16".parse(), Ok(Precision::Bf16));
        assert!("fp16".parse::<Precision>().is_err());
    }
}
