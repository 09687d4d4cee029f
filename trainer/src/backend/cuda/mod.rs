//! A GPU: the passes of `model/` on a device, and optimisers there.
//!
//! | file | what |
//! |---|---|
//! | `driver.rs` | what a device must be able to do: memory, kernels, matrix products |
//! | `gpu.rs`, `emulated.rs` | the two that can: an NVIDIA GPU; for tests the host, which runs the same kernels (`kernels/emulate.h`) |
//! | `staging.rs` | what is copied to a GPU without waiting for it |
//! | `kernel_times.rs` | how long each kernel takes on a GPU, where that is asked for |
//! | `nccl.rs` | sums over the GPUs of several processes |
//! | `buffer.rs`, `kernels.rs`, `product.rs` | memory with bounds, kernels as functions, matrix products row by row |
//! | `ops.rs`, `t5.rs` | the device as a backend, and a model there |
//! | `optimizer.rs` | as in `optimizer/`, on state that is laid out as there |
//!
//! What matrix products read (activations, and a copy of the matrices) is bf16 or f32; the residual stream, scores,
//! logits, gradients, parameters and the optimiser's state are f32; sums of products are f32, sums over a variable f64.

mod buffer;
mod driver;
#[cfg(feature = "cuda-emulated")]
mod emulated;
#[cfg(feature = "cuda")]
mod gpu;
#[cfg(feature = "cuda")]
mod kernel_times;
mod kernels;
#[cfg(feature = "cuda")]
mod nccl;
mod ops;
mod optimizer;
mod product;
#[cfg(feature = "cuda")]
mod staging;
mod t5;

#[cfg(feature = "cuda-emulated")]
use super::Emulation;
use super::{DeviceModel, Precision};
use crate::Error;
use crate::model::T5;
use crate::optimizer::Optimizer;
use std::sync::Arc;

#[cfg(feature = "cuda")]
pub(super) use gpu::find;

/// Takes a model to the GPU with this number.
#[cfg(feature = "cuda")]
pub(super) fn open(
    number: usize,
    precision: Precision,
    model: T5,
    optimizer: Option<Optimizer>,
) -> Result<Box<dyn DeviceModel>, Error> {
    let driver = Arc::new(gpu::Cuda::open(number)?);
    Ok(Box::new(t5::DeviceT5::new(driver, precision, model, optimizer)?))
}

/// Takes a model to an emulated device.
#[cfg(feature = "cuda-emulated")]
pub(super) fn emulate(
    emulation: Emulation,
    precision: Precision,
    model: T5,
    optimizer: Option<Optimizer>,
) -> Result<Box<dyn DeviceModel>, Error> {
    let driver = Arc::new(emulated::Emulated::new(emulation));
    Ok(Box::new(t5::DeviceT5::new(driver, precision, model, optimizer)?))
}
