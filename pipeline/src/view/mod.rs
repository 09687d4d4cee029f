//! How figures and pages of HTML are shown: the parts of the report and of the page of a comparison.

pub(crate) mod bars;
pub(crate) mod histogram;
pub(crate) mod language_names;
pub(crate) mod number;
pub(crate) mod page;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod value;
