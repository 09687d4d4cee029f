//! What a trained model can do: the text it generates, its answers to many inputs, its loss by domain.

pub mod domain_loss;
pub mod ensemble;
pub mod exam;
pub mod generate;
pub mod predict;
