//! The rules of length, domain and URL, with their lists read.

use crate::error::Error;
use c4_data::{Lists, Recipe};
use c4_filters::Admission;
use c4_filters::rules::urls::UrlSet;

/// Those of `recipe`. Reads its list of URLs, if it has one: 16 bytes of memory a line, and about a
/// second a million lines.
///
/// # Errors
/// The list cannot be read, or is another one than [`Lists::load`] found.
pub fn load(recipe: &Recipe, lists: &Lists) -> Result<Admission, Error> {
    let urls = match recipe.urls.as_ref().and(lists.urls.as_ref()) {
        None => None,
        Some(list) => {
            let mut keys = Vec::with_capacity(usize::try_from(list.lines).unwrap_or(0));
            list.each(|line| keys.push(UrlSet::key(line)))?;
            Some(UrlSet::new(keys))
        }
    };
    Ok(Admission::new(recipe, lists, urls))
}
