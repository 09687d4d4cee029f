//! Training on a GPU: the same T5 as `model/`, its passes and optimisers on a device.
//!
//! | file | what |
//! |---|---|
//! | `driver.rs` | what a device must be able to do: memory, kernels, matrix products |
//! | `gpu.rs`, `emulated.rs` | the two that can: an NVIDIA GPU; for tests the host, which runs the same kernels (`kernels/emulate.h`) |
//! | `buffer.rs`, `kernels.rs`, `product.rs` | memory with bounds, kernels as functions, matrix products row by row |
//! | `attention.rs`, `feed_forward.rs`, `head.rs`, `stack.rs`, `t5.rs` | as in `model/` |
//! | `optimizer.rs` | as in `optimizer/`, on state that is laid out as there |
//!
//! What matrix products read (activations, and a copy of the matrices) is bf16 or f32; the residual stream, scores, logits, gradients,
//! parameters and the optimiser's state are f32; sums of products are f32, sums over a variable f64.

mod attention;
mod buffer;
mod driver;
#[cfg(feature = "cuda-emulated")]
mod emulated;
mod feed_forward;
#[cfg(feature = "cuda")]
mod gpu;
mod head;
mod kernels;
mod optimizer;
mod product;
mod stack;
mod t5;

#[cfg(feature = "cuda-emulated")]
pub(super) use emulated::Emulated;
#[cfg(feature = "cuda")]
pub(super) use gpu::{Cuda, find};
pub(super) use t5::DeviceT5;
