//! Models of other programs.
//!
//! | question | place |
//! |---|---|
//! | Which model does a folder of Hugging Face's say? | [`huggingface`] |
//! | How is a model of ours said there? | `save.rs`, its card `card.rs` |
//! | Which files hold the weights? | `weights.rs` |
//! | What is in a `pytorch_model.bin`, and why does nothing of it run? | `pytorch.rs`, `pickle.rs` |

pub mod card;
pub mod huggingface;
mod pickle;
mod pytorch;
pub mod save;
mod weights;
