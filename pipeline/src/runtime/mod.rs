//! The program's surroundings: its memory budget, its threads, its resource usage, and requests to stop.

pub mod memory;
pub(crate) mod parallel;
pub mod stop;
pub(crate) mod usage;
