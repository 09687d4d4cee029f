//! How figures and pages of HTML are shown: the parts of the report and of the page of a comparison.

pub mod bars;
pub mod language_names;
pub mod number;
pub mod page;
pub mod table;
pub mod text;
pub mod value;
