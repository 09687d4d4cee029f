//! How shards become a model: T5 pre-training on the corpora that `c4 build` writes.

mod batch;
mod error;
pub mod feed;
pub mod objective;
pub mod vocab;

pub use batch::{Batch, Sequences};
pub use error::Error;
pub use vocab::Vocab;
