//! T5, forward and backward, written once over a [`Backend`]: `passes.rs` runs two stacks (`stack.rs`) of sublayers
//! (`attention.rs`, `feed_forward.rs`), an embedding and a head. `config.rs` says what a model is, `layout.rs` where
//! its variables are, `trained.rs` which of them are trained, `init.rs` how they start, `batch.rs` what a batch is for
//! it. [`T5`] (`t5.rs`) is the model in the host's memory, on the CPU (`cpu.rs`, with `scores.rs`, `norm.rs`,
//! `embedding.rs`), `decoder.rs` how it answers there, with its matrices `arranged.rs`; other backends are in
//! `backend/`.

mod arranged;
mod attention;
mod attention_mask;
mod backend;
mod batch;
mod config;
mod cpu;
mod decoder;
mod embedding;
mod feed_forward;
mod head;
mod init;
mod layout;
mod norm;
mod passes;
mod relative_position;
mod scores;
mod stack;
mod t5;
mod trained;

pub(crate) use arranged::Arranged;
pub(crate) use batch::{denominator, each_example, total};
pub use config::{Activation, Architecture, Denominator, EOS, Head, LossOn, ModelConfig, RelativeBias};
pub use decoder::Decoder;
pub use head::Loss;
pub(crate) use init::uniform;
pub use layout::{Layout, Variable};
pub use relative_position::bucket;
pub use t5::T5;
pub(crate) use trained::Reach;

// What the other backends take from here.
#[cfg(feature = "candle")]
pub(crate) use self::cpu::{CpuBackend, CpuHeads, CpuTargets};
#[cfg(devices)]
pub(crate) use self::passes::BatchLosses;
#[cfg(any(devices, feature = "candle"))]
pub(crate) use self::{
    attention_mask::AttentionMask,
    backend::{Attention, Backend, Kind, Operand, Projection},
    norm::Gradient,
    passes::{Passes, Weights},
    relative_position::Distances,
};
