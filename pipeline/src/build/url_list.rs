//! The rules that need lists of domains, URLs or words, made ready from their files.

use crate::error::Error;
use c4_data::{Lists, Recipe};
use c4_filters::Admission;
use c4_filters::rules::bad_words::BadWords;
use c4_filters::rules::urls::UrlSet;

/// How many keys are read before those that occur twice are removed for the first time.
const FIRST_KEYS: usize = 1 << 20;

/// The rules of `recipe` on domains and URLs. Reads its list of URLs, if it has one: 16 bytes of memory a URL (up to
/// twice as much while the list is read, however often URLs are repeated), and about a second a million lines.
///
/// # Errors
/// The list cannot be read, or is not the one that [`Lists::load`] found.
pub fn load(recipe: &Recipe, lists: &Lists) -> Result<Admission, Error> {
    load_within(recipe, lists, u64::MAX)
}

/// The compiled bad-word lists of `recipe`, if it has any.
///
/// # Errors
/// The regex engine cannot compile them.
pub(crate) fn bad_words(recipe: &Recipe, lists: &Lists) -> Result<Option<BadWords>, Error> {
    let compiled = recipe.bad_words.as_ref().map(|step| BadWords::new(step, lists));
    compiled.transpose().map_err(|e| Error::WordLists {
        recipe: recipe.name.clone(),
        reason: e.to_string(),
    })
}

/// [`load`], where the list of URLs may take at most `bytes` bytes of memory.
///
/// # Errors
/// The list cannot be read, is not the one that [`Lists::load`] found, or takes more memory.
pub(crate) fn load_within(recipe: &Recipe, lists: &Lists, bytes: u64) -> Result<Admission, Error> {
    let urls = match recipe.urls.as_ref().and(lists.urls.as_ref()) {
        None => None,
        Some(list) => {
            let most = usize::try_from(bytes / 16).unwrap_or(usize::MAX);
            let mut keys: Vec<u128> = Vec::new();
            let mut next = FIRST_KEYS.min(most);
            let mut too_many = false;
            list.each(|line| {
                if too_many {
                    return;
                }
                keys.push(UrlSet::key(line));
                if keys.len() > next {
                    keys.sort_unstable();
                    keys.dedup();
                    too_many = keys.len() > most;
                    next = (2 * keys.len()).max(FIRST_KEYS).min(most.saturating_add(FIRST_KEYS));
                }
            })?;
            let urls = UrlSet::new(keys);
            if too_many || urls.len() > most as u64 {
                let reason = format!(
                    "the list of {} URLs takes up to {} MiB of memory, where it may have {}, a quarter of what the \
                     build has; give that more (--memory)",
                    list.lines,
                    list.lines.saturating_mul(16) >> 20,
                    bytes >> 20
                );
                let name = recipe.name.clone();
                return Err(c4_data::Error::Recipe { name, reason }.into());
            }
            Some(urls)
        }
    };
    Ok(Admission::new(recipe, lists, urls))
}
