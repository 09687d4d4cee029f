//! Keeps pages of listed URLs (the reference's `filter_by_webtextlike`).

use crate::text::url;

/// A set of listed URLs, as the MD5s of their normalised forms. Takes 16 bytes a URL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UrlSet {
    /// The MD5s, sorted, each once.
    keys: Vec<u128>,
}

impl UrlSet {
    /// The key of a listed URL: the MD5 of its normalised form.
    pub fn key(listed: &str) -> u128 {
        url::md5(&url::normalize(listed))
    }

    /// Makes the set of these keys, which are sorted in place.
    ///
    /// ```
    /// use c4_filters::rules::urls::UrlSet;
    /// let urls = ["http://a.com/", "https://www.a.com?utm_source=x", "http://b.org/é"];
    /// let set = UrlSet::new(urls.iter().map(|url| UrlSet::key(url)).collect());
    /// assert_eq!(set.len(), 2);
    /// assert!(set.contains(UrlSet::key("http://www.b.org/é/")));
    /// ```
    pub fn new(mut keys: Vec<u128>) -> UrlSet {
        keys.sort_unstable();
        keys.dedup();
        UrlSet { keys }
    }

    /// Whether the URL with this key is listed.
    pub fn contains(&self, key: u128) -> bool {
        self.keys.binary_search(&key).is_ok()
    }

    /// The number of different normalised URLs.
    pub fn len(&self) -> u64 {
        self.keys.len() as u64
    }

    /// Whether no URL is listed.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}
