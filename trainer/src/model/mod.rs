//! T5, forward and backward: [`T5`] (`t5.rs`) is two stacks (`stack.rs`) of sublayers (`attention.rs`, `feed_forward.rs`), an
//! embedding and a head. `config.rs` says what a model is, `layout.rs` where its variables are, `init.rs` how they start.

mod attention;
mod attention_mask;
mod config;
mod decoder;
mod embedding;
mod feed_forward;
mod head;
mod init;
mod layout;
mod norm;
mod relative_position;
mod scores;
mod stack;
mod t5;

pub use config::{Activation, Architecture, Denominator, EOS, Head, LossOn, ModelConfig};
pub use decoder::Decoder;
pub use head::Loss;
pub(crate) use init::uniform;
pub use layout::{Layout, Variable};
pub use relative_position::bucket;
pub use t5::T5;
pub(crate) use t5::{denominator, each_example, total};

// What the other backends take from here.
#[cfg(devices)]
pub(crate) use self::stack::{Keep, Part, parts, site};
#[cfg(any(devices, feature = "candle"))]
pub(crate) use self::{
    attention_mask::AttentionMask,
    layout::{AttentionLayout, FeedForwardLayout, StackLayout},
    relative_position::Distances,
    t5::{check, head_scale, sight, targets},
};
