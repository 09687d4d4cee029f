//! Counting what the rules did: a tally that adds up, the reference's counters, statistics, and what a recipe expects.

pub mod counters;
pub(crate) mod domains;
pub mod expectations;
pub(crate) mod statistics;
pub(crate) mod tally;
