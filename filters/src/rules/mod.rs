//! The rules, one a file. Each says what it takes away, why, and where it comes from.
//!
//! [`Cleaner`](crate::Cleaner) runs the line rules in this order (the order is part of C4: a line
//! counts under the first rule that takes it, and a page rule only sees lines that got so far):
//!
//! 1. [`long_word`] 2. [`citation`] (changes the line, never drops it) 3. [`end_mark`]
//! 4. [`word_count`] 5. [`phrases`]: page phrases, script phrases, code marks, policy phrases.

pub mod bad_words;
pub mod citation;
pub mod domains;
pub mod end_mark;
pub mod length;
pub mod long_word;
pub mod paragraphs;
pub mod phrases;
pub mod urls;
pub mod word_count;
