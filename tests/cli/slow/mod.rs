//! What takes minutes: faults, kills, and inputs that are much larger than they look.

mod bombs;
mod faults;
mod resume;
