//! Which lines and pages stay, and why.
//!
//! Pure functions: no I/O, no clock, no unseeded randomness, no counting. A rule returns a
//! [`Verdict`] with a [`Reason`]; [`Tally`] adds reasons up and keeps a conservation law;
//! [`counters`] says the same in the reference's words. [`Cleaner`] runs the line and page rules in
//! the recipe's order.
//!
//! "The reference" is TensorFlow Datasets 4.9.10, `text/c4.py` and `text/c4_utils.py`, on Python
//! 3.11 and NLTK 3.8.1. Where Python's strings and Rust's disagree, [`pystr`] has Python's way.

#![warn(missing_docs)]

mod admission;
mod amount;
pub mod cld3;
mod cleaner;
pub mod counters;
pub mod dedup;
mod domains;
mod finisher;
pub mod guard;
pub mod langdetect;
pub mod language;
mod lower;
mod md5;
pub mod newest;
mod page_rules;
pub mod punkt;
pub mod pystr;
mod reason;
pub mod rules;
mod scan;
mod statistics;
mod sweep;
mod tally;
pub mod url;

pub use admission::Admission;
pub use amount::Amount;
pub use cleaner::{Cleaned, CleanedPage, Cleaner, LineOutcome, SeenLine};
pub use domains::{DomainTable, Domains, Reached};
pub use finisher::{Finisher, Gone, Judged};
pub use lower::{Lowered, lower, lower_into};
pub use page_rules::{JudgedPage, PageRules};
pub use reason::{LINE_REASONS, PAGE_REASONS, RECORD_REASONS, Reason, STAGES, Scope, Stage, Verdict};
pub use statistics::{Histogram, Side, Statistics};
pub use sweep::{SweepOutcome, Sweeper};
pub use tally::{ArchiveKind, LineCounts, Tally};

/// All vectors that this CPU has: what must give the same results.
#[cfg(test)]
fn levels() -> Vec<fearless_simd::Level> {
    use fearless_simd::Level;
    let best = Level::new();
    #[cfg(target_arch = "x86_64")]
    let others = [
        best.as_sse2().map(Level::Sse2),
        best.as_sse4_2().map(Level::Sse4_2),
        best.as_avx2().map(Level::Avx2),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let others = [None];
    others.into_iter().flatten().chain([best]).collect()
}
