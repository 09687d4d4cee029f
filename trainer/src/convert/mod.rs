//! Models of other programs.

pub mod huggingface;
