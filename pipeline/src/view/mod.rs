//! How figures are written, and the parts of the HTML pages of reports and comparisons.

pub(crate) mod bars;
pub(crate) mod histogram;
pub(crate) mod language_names;
pub(crate) mod number;
pub(crate) mod page;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod value;
