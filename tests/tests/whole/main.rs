//! Tests across crates: what the whole path does, one module a part of it. They run side by side in one process, so
//! they leave the process alone (its folder, its variables) and measure only what is their thread's own.

#![allow(clippy::unwrap_used)]

mod archives;
mod boundaries;
mod card;
mod cld3;
mod damaged_shards;
mod diff;
mod extract;
mod inspect;
mod langdetect;
mod langdetect_data;
mod layering;
mod licenses;
mod linear;
mod listed;
mod multilingual;
mod reference;
mod remote;
mod remote_hostile;
mod remote_redirect;
mod remote_s3;
mod report;
mod sweep;
mod verify;
