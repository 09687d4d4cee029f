//! How pages flow from a crawl to shards: the library behind the `c4` program.
//!
//! [`build`](run::build) takes archives and a recipe and leaves a corpus; the passes are described
//! in [`run`].

#![warn(missing_docs)]

pub mod archive;
pub mod card;
pub mod charset;
pub mod clean_pass;
pub mod cli;
pub mod diff;
mod error;
pub mod explain;
pub mod extract;
pub mod finish_pass;
pub mod html;
pub mod http;
pub mod input;
pub mod keys;
pub mod ledger;
pub mod members;
pub mod output;
pub mod parallel;
pub mod progress;
pub mod reading;
pub mod remote;
pub mod report;
pub mod rows;
pub mod run;
pub mod sample;
pub mod source;
pub mod spool;
pub mod sweep;
pub mod table;
pub mod url_pass;
pub mod usage;
pub mod verify;
pub mod warc;
pub mod wet;

pub use error::Error;
