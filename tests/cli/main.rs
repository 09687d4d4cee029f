//! The `c4` program as a user meets it: one module a part of what it promises. It is a test of `c4-pipeline`, because
//! only a package's own tests can run its programs.
//!
//! Memory and time are measured on the program, a process of its own, so that tests can run side by side. What takes
//! longest is in [`slow`]; `make quick` leaves it out.

#![allow(clippy::unwrap_used)]

mod build;
mod changed;
mod common;
mod languages;
mod lists;
mod output;
mod plan;
mod remote;
mod slow;
mod verify;
