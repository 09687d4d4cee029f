//! Keeps one page per normalised URL, the newest (the reference's `select_newest_page`).

use std::cmp::Reverse;

/// The index of the page to keep among pages with the same normalised URL: the one with the largest timestamp, compared
/// as a string; of several, the first. `None` if there is no page.
///
/// "First" is the caller's order; the pipeline's is (archive name, record offset).
///
/// ```
/// use c4_filters::newest_page::newest;
/// assert_eq!(newest(["2019-04-20T00:00:00Z", "2019-04-22T00:00:00Z"]), Some(1));
/// assert_eq!(newest(["2019-04-20T00:00:00Z", "2019-04-20T00:00:00.5Z"]), Some(0));
/// ```
pub fn newest<'t>(timestamps: impl IntoIterator<Item = &'t str>) -> Option<usize> {
    let pages = timestamps.into_iter().enumerate();
    let newest = pages.min_by_key(|(i, timestamp)| rank(timestamp, *i));
    newest.map(|(i, _)| i)
}

/// The rank of a page among pages with the same normalised URL: the one with the least is kept. `order` is the page's
/// place in the caller's order.
pub fn rank<O: Ord>(timestamp: &str, order: O) -> (Reverse<&str>, O) {
    (Reverse(timestamp), order)
}
