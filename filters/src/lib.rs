//! Which lines and pages are kept or dropped, and why.
//!
//! Pure functions: no I/O, no clock, no unseeded randomness. A rule returns a [`Verdict`] with a [`Reason`] and counts
//! nothing; [`Tally`] adds reasons up under a conservation law; [`counters`] says the same in the reference's words.
//!
//! | room | what it does | may use |
//! |---|---|---|
//! | `judge` | whole pages: [`PageRules`] alone, [`Finisher`] when copies are known, [`Sweeper`] for many recipes | all below |
//! | `count` | [`Tally`], [`Statistics`], [`counters`], [`expectations`] | `rules`, `text` |
//! | [`rules`] | one rule a file; [`Reason`], the closed list | `detect`, `text` |
//! | `detect` | the language detectors [`langdetect`] and [`cld3`] | `text` |
//! | `text` | [`pystr`], [`punkt`], [`url`], sizes, lower case, hashes | nothing |
//!
//! "The reference" is TensorFlow Datasets 4.9.10, `text/c4.py` and `text/c4_utils.py`, on Python 3.11 and NLTK 3.8.1.
//! Where Python's strings and Rust's disagree, [`pystr`] has Python's way.

mod count;
mod detect;
mod judge;
pub mod rules;
mod text;

pub use count::domains::{DomainCounts, DomainTable, Reached};
pub use count::statistics::{Histogram, Side, Statistics};
pub use count::tally::{ArchiveKind, LineCounts, Tally};
pub use count::{counters, expectations};
pub use detect::{cld3, langdetect};
pub use judge::admission::Admission;
pub use judge::cleaner::{Cleaned, CleanedPage, Cleaner, LineOutcome, SeenLine};
pub use judge::finisher::{DroppedText, FinishedText, Finisher};
pub use judge::page_rules::{JudgedPage, PageRules};
pub use judge::sweep::{SweepOutcome, Sweeper};
pub use rules::reason::{Reason, STAGES, Scope, Stage, Verdict};
pub use rules::{dedup, language_rule, newest_page};
pub use text::lower::{Lowered, lower};
pub use text::text_size::TextSize;
pub use text::{punkt, pystr, url};
