//! How shards become a model: T5 pre-training on the corpora that `c4 build` writes.

mod batch;
mod error;
pub mod generate;
pub mod huggingface;
pub mod model;
pub mod optimizer;
mod schedule;

pub use batch::{Batch, Sequences};
pub use error::Error;
pub use schedule::Schedule;
