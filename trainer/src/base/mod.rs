//! What every room may use: a batch, limits of settings, the machine's memory, files of tensors.

mod batch;
pub(crate) mod limits;
pub(crate) mod memory;
pub(crate) mod protobuf;
pub(crate) mod tensor_file;

pub use batch::{Batch, Sequences};
