//! The commands: what the user types, and what is printed. What they do is in the library.

pub(crate) mod tokenize;
pub(crate) mod vocab;
