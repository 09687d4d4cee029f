//! T5, forward and backward: [`T5`] (`t5.rs`) is two stacks (`stack.rs`) of sublayers (`attention.rs`, `feed_forward.rs`), an
//! embedding and a head. `config.rs` says what a model is, `layout.rs` where its variables are, `init.rs` how they start.

mod attention;
#[cfg(feature = "candle")]
mod candle;
mod config;
mod decoder;
mod dropout;
pub(crate) mod elementwise;
mod embedding;
mod feed_forward;
mod head;
mod init;
mod layout;
mod matrix;
mod norm;
mod relative;
mod scores;
mod stack;
mod t5;
mod visibility;

pub use config::{Activation, Architecture, Denominator, DropoutShape, EOS, Head, LossOn, ModelConfig, VOCAB_SIZE};
pub use decoder::Decoder;
pub use head::Loss;
pub(crate) use init::uniform;
pub use layout::{Init, Layout, Variable};
pub use matrix::{Into, Matrix, Threads, multiply};
pub use relative::bucket;
pub use t5::T5;

// What a pass on a device takes from here.
#[cfg(devices)]
pub(crate) use self::{
    dropout::{Dropout, Site},
    elementwise::Gated,
    layout::{AttentionLayout, FeedForwardLayout, StackLayout},
    relative::Distances,
    stack::{Keep, Part, parts, site},
    t5::{check, head_scale, sight, targets},
    visibility::Visibility,
};
