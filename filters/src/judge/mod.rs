//! Judging whole pages: the rules in a recipe's order, for a page alone and for a page whose copies are known.

pub(crate) mod admission;
pub(crate) mod cleaner;
pub(crate) mod finisher;
pub(crate) mod page_rules;
pub(crate) mod sweep;
