//! How pages flow from a crawl to shards: the library behind the `c4` program.
//!
//! [`build`](run::build) takes archives and a recipe and leaves a corpus; the passes are described
//! in [`run`].

#![warn(missing_docs)]

pub mod admission;
pub mod arc;
pub mod archive;
pub mod card;
pub mod charset;
pub mod claim;
pub mod clean_pass;
pub mod cli;
pub mod diff;
pub mod digest;
pub mod election;
mod error;
pub mod explain;
pub mod extract;
pub mod finish_pass;
pub mod frame;
pub mod group;
pub mod html;
pub mod http;
pub mod input;
pub mod ledger;
mod member;
pub mod members;
pub mod memory;
pub mod output;
pub mod parallel;
pub mod plan;
pub mod progress;
pub mod reading;
pub mod remote;
pub mod report;
pub mod rows;
pub mod run;
pub mod sample;
pub mod segment;
pub mod sets;
pub mod source;
pub mod spool;
pub mod stop;
pub mod sweep;
pub mod table;
pub mod terminal;
pub mod usage;
pub mod verify;
pub mod warc;
pub mod wet;
pub mod work;

pub use error::Error;
