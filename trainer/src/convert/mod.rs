//! Models of other programs.
//!
//! | question | place |
//! |---|---|
//! | Which model does a folder of Hugging Face's say? | [`huggingface`] |
//! | How is a model of ours said there? | `save.rs`, its card `card.rs` |
//! | What is a model asked for each task? | [`tasks`] |
//! | Which files hold the weights? | `weights.rs` |
//! | What is in a `pytorch_model.bin`, and why does nothing of it run? | `pytorch.rs`, `pickle.rs` |

pub mod card;
pub mod huggingface;
mod pickle;
mod pytorch;
pub mod save;
pub mod tasks;
mod weights;
