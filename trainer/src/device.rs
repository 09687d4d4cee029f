//! Training on a GPU: the same T5 as `model/`, its passes and optimisers on a device.
//!
//! | file | what |
//! |---|---|
//! | `driver.rs` | what a device must be able to do: memory, kernels, matrix products |
//! | `cuda.rs`, `emulated.rs` | the two that can: an NVIDIA GPU; for tests the host, which runs the same kernels (`kernels/emulate.h`) |
//! | `buffer.rs`, `kernels.rs`, `product.rs` | memory with bounds, kernels as functions, matrix products row by row |
//! | `attention.rs`, `feed_forward.rs`, `head.rs`, `stack.rs`, `t5.rs` | as in `model/` |
//! | `candle.rs` | the passes of the library candle, on the CPU |
//! | `optimizer.rs` | as in `optimizer/`, on state that is laid out as there |
//!
//! What matrix products read (activations, and a copy of the matrices) is bf16 or f32; the residual stream, scores, logits, gradients,
//! parameters and the optimiser's state are f32; sums of products are f32, sums over a variable f64. Layout, visibility, distances,
//! targets, and the counters of dropout are the CPU's, so both draw the same elements and a checkpoint is of neither.
//! All sums have a fixed order.

#[cfg(devices)]
mod attention;
#[cfg(devices)]
mod buffer;
#[cfg(feature = "candle")]
mod candle;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(devices)]
mod driver;
#[cfg(feature = "cuda-emulated")]
mod emulated;
#[cfg(devices)]
mod feed_forward;
#[cfg(devices)]
mod head;
#[cfg(devices)]
mod kernels;
#[cfg(devices)]
mod optimizer;
#[cfg(devices)]
mod product;
#[cfg(devices)]
mod stack;
#[cfg(devices)]
mod t5;

use crate::model::{Loss, T5};
use crate::optimizer::Optimizer;
use crate::{Batch, Error};
use std::fmt;
use std::str::FromStr;

/// Where a model is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Place {
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

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        match text.split_once(':') {
            None if text == "cpu" => Ok(Place::Cpu),
            None if text == "cuda" => Ok(Place::Cuda(0)),
            None if text == "candle" => Ok(Place::Candle),
            None if text == "emulated" && cfg!(feature = "cuda-emulated") => Ok(Place::Emulated(Emulation::default())),
            Some(("cuda", number)) if number.parse::<u16>().is_ok() => {
                let number: u16 = number.parse().unwrap_or_default();
                Ok(Place::Cuda(number.into()))
            }
            _ => Err(format!(
                "`{text}` is no device; write cpu, cuda, cuda:N for GPU N, or candle"
            )),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Cpu => f.write_str("cpu"),
            Place::Cuda(number) => write!(f, "cuda:{number}"),
            Place::Candle => f.write_str("candle"),
            Place::Emulated(_) => f.write_str("emulated"),
        }
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

/// A model with its gradients and its optimiser's state on a device. What `T5` and `Optimizer` do on the CPU, with the same meaning of
/// arguments.
pub trait Accelerator: Send {
    /// What it is, for people: a GPU's name and memory.
    fn name(&self) -> &str;

    /// See [`T5::zero_gradients`].
    ///
    /// # Errors
    /// The device fails, here and below.
    fn zero_gradients(&mut self) -> Result<(), Error>;

    /// See [`T5::accumulate`].
    ///
    /// # Errors
    /// A batch that is not for this model.
    fn accumulate(&mut self, batch: &Batch, weight: f32, dropout_seed: u64) -> Result<Loss, Error>;

    /// See [`T5::evaluate`].
    ///
    /// # Errors
    /// A batch that is not for this model.
    fn evaluate(&mut self, batch: &Batch) -> Result<Loss, Error>;

    /// See [`T5::logits`].
    ///
    /// # Errors
    /// A batch that is not for this model.
    fn logits(&mut self, batch: &Batch) -> Result<Vec<f32>, Error>;

    /// See [`global_norm`](crate::optimizer::global_norm).
    ///
    /// # Errors
    /// See above.
    fn gradient_norm(&mut self) -> Result<f64, Error>;

    /// See [`clip_global_norm`](crate::optimizer::clip_global_norm).
    ///
    /// # Errors
    /// See above.
    fn clip_gradients(&mut self, norm: f64, limit: f64) -> Result<(), Error>;

    /// See [`Optimizer::update`].
    ///
    /// # Errors
    /// See above.
    fn update(&mut self, rate: f64, step: u64) -> Result<(), Error>;

    /// Gradients, in the order of the layout.
    ///
    /// # Errors
    /// See above.
    fn gradients(&self) -> Result<Vec<f32>, Error>;

    /// Brings parameters and the optimiser's state back to the host's, which are those it was made of.
    ///
    /// # Errors
    /// See above.
    fn download(&self, model: &mut T5, optimizer: Option<&mut Optimizer>) -> Result<(), Error>;
}

/// Refuses a place that is not there, before there is a model to take to it.
///
/// # Errors
/// This program was built without that device; no driver, library, or GPU with that number.
pub fn find(place: Place) -> Result<(), Error> {
    match place {
        Place::Cpu => Ok(()),
        #[cfg(feature = "cuda")]
        Place::Cuda(number) => cuda::find(number),
        #[cfg(feature = "candle")]
        Place::Candle => Ok(()),
        #[cfg(feature = "cuda-emulated")]
        Place::Emulated(_) => Ok(()),
        #[allow(unreachable_patterns)]
        place => {
            let how = match place {
                Place::Candle => "cargo build --release --workspace --features t5-trainer/candle`",
                _ => "make cuda` (which needs no GPU)",
            };
            Err(Error::Device(format!(
                "--device {place}: this program was built without it; build it with `{how}, or train by --device cpu"
            )))
        }
    }
}

/// Takes a model to a device, with its optimiser where it is to be trained; `None` for the CPU.
///
/// # Errors
/// This program was built without that device; no driver, library, or GPU with that number; too little memory.
#[allow(unused_variables)]
pub fn open(
    place: Place,
    precision: Precision,
    model: &T5,
    optimizer: Option<&Optimizer>,
) -> Result<Option<Box<dyn Accelerator>>, Error> {
    match place {
        #[cfg(feature = "cuda")]
        Place::Cuda(number) => {
            let driver = std::sync::Arc::new(cuda::Cuda::open(number)?);
            let opened = t5::DeviceT5::new(driver, precision, model, optimizer)?;
            Ok(Some(Box::new(opened)))
        }
        #[cfg(feature = "candle")]
        Place::Candle => Ok(Some(Box::new(candle::Candle::new(model, optimizer)?))),
        #[cfg(feature = "cuda-emulated")]
        Place::Emulated(emulation) => {
            let driver = std::sync::Arc::new(emulated::Emulated::new(emulation));
            let opened = t5::DeviceT5::new(driver, precision, model, optimizer)?;
            Ok(Some(Box::new(opened)))
        }
        #[allow(unreachable_patterns)]
        place => find(place).map(|()| None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_have_names() {
        for (text, place) in [
            ("cpu", Place::Cpu),
            ("cuda", Place::Cuda(0)),
            ("cuda:3", Place::Cuda(3)),
            ("candle", Place::Candle),
        ] {
            assert_eq!(text.parse(), Ok(place));
        }
        for text in ["gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "CUDA", ""] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
        assert_eq!("bf16".parse(), Ok(Precision::Bf16));
        assert!("fp16".parse::<Precision>().is_err());
    }
}
