//! What the program runs on: its memory budget, its threads, and the wish that it stops.

pub mod memory;
pub(crate) mod parallel;
pub mod stop;
pub(crate) mod usage;
