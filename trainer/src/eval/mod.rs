//! What a trained model can do: the text it generates, its loss by domain.

pub mod domain_loss;
pub mod generate;
