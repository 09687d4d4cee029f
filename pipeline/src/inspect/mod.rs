//! Whatever only looks at builds, and at what a build would do.

pub mod card;
pub mod diff;
pub mod explain;
pub(crate) mod plan;
pub mod report;
pub mod sweep;
pub mod verify;
