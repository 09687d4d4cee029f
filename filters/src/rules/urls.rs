//! Keeps pages of listed URLs (the reference's `filter_by_webtextlike`).

use crate::url;

/// A list of URLs as the hashes of what they are normalised to, which is how pages are told apart.
/// 16 bytes a URL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UrlSet {
    /// Sorted, each once.
    keys: Vec<u128>,
}

impl UrlSet {
    /// The key of a listed URL: MD5 of the normalised one.
    pub fn key(listed: &str) -> u128 {
        url::md5(&url::normalize(listed))
    }

    /// The set of these keys. Time: a sort; memory: the vector given.
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

    /// Different normalised URLs.
    pub fn len(&self) -> u64 {
        self.keys.len() as u64
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}
