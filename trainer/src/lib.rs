//! How shards become a model: T5 pre-training on the corpora that `c4 build` writes.

mod batch;
pub mod by_domain;
pub mod checkpoint;
pub mod config;
pub mod device;
mod error;
pub mod feed;
pub mod generate;
pub mod huggingface;
mod limits;
pub mod memory;
mod metrics;
pub mod model;
pub mod objective;
pub mod optimizer;
pub mod plot;
mod protobuf;
pub mod run;
mod schedule;
mod tensorboard;
pub mod train;
pub mod vocab;

pub use batch::{Batch, Sequences};
pub use error::Error;
pub use schedule::Schedule;
pub use vocab::Vocab;
