//! How pages flow from a crawl to shards: the library behind the `c4` program.
//!
//! [`build`](build::build) takes archives and a recipe and leaves a corpus; the passes are described
//! in [`build`].

#![warn(missing_docs, unreachable_pub)]

pub mod build;
pub mod cli;
pub mod corpus;
mod error;
pub mod extract;
pub mod input;
pub mod inspect;
pub mod read;
pub mod remote;
pub mod runtime;
pub mod terminal;
mod view;
pub mod work;

pub use error::Error;
