//! The rules, one a file: each says what it drops, why, and where it comes from.
//!
//! [`Cleaner`](crate::Cleaner) runs the line rules in this order (the order is part of C4: a line counts under the
//! first rule that drops it, and a page rule sees only the lines that passed the rules before it):
//!
//! 1. `long_word` 2. `citation` (changes the line, never drops it) 3. `end_mark`
//! 4. `word_count` 5. `phrases`: page phrases, script phrases, code marks, policy phrases.
//!
//! A rule gives a [`Verdict`](crate::Verdict) with a [`Reason`](crate::Reason), or an `Option<Reason>` where it can
//! only drop the page.

pub mod bad_words;
pub(crate) mod citation;
pub mod dedup;
pub mod domains;
pub(crate) mod end_mark;
pub mod language_rule;
pub mod length;
pub(crate) mod long_word;
pub mod newest_page;
pub mod paragraphs;
pub(crate) mod phrases;
pub(crate) mod reason;
pub mod urls;
pub(crate) mod word_count;
