//! Common Crawl's crawls by name, and samples of what their listings list.

use super::Address;
use sha2::{Digest, Sha256};

/// Where Common Crawl is served from.
pub const STORE: &str = "https://data.commoncrawl.org/";

/// The archives of a crawl to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CrawlFiles {
    /// WET: extracted text, as C4 was made of.
    #[default]
    Wet,
    /// WARC: responses as they came.
    Warc,
}

/// Whether this is the form of a crawl's name: `CC-MAIN-2019-18`, of old ones `CC-MAIN-2012`.
pub(crate) fn is_name(text: &str) -> bool {
    text.strip_prefix("CC-MAIN-").is_some_and(|rest| {
        rest.split('-')
            .all(|part| matches!(part.len(), 2 | 4) && part.bytes().all(|b| b.is_ascii_digit()))
    })
}

/// A crawl's listing.
pub fn listing(store: &Address, name: &str, files: CrawlFiles) -> Address {
    let file = match files {
        CrawlFiles::Wet => "wet.paths.gz",
        CrawlFiles::Warc => "warc.paths.gz",
    };
    store.join(&format!("crawl-data/{name}/{file}"))
}

/// A part of what a listing lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Files of each listing.
    pub files: usize,
    /// Another seed, another sample.
    pub seed: u64,
}

impl Sample {
    /// Those of `entries` (paths or URLs, each once) whose hashes are smallest; so a sample is part of
    /// every larger one with its seed, and the same whatever the order of the listing, and
    /// wherever its files are: of a URL the path counts.
    pub(crate) fn take<T>(&self, mut entries: Vec<T>, entry: impl Fn(&T) -> &str) -> Vec<T> {
        let seed = self.seed;
        entries.sort_by_cached_key(|item| {
            let entry = entry(item);
            let path = match entry.split_once("://") {
                Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
                None => entry,
            };
            let path = path.trim_start_matches('/');
            <[u8; 32]>::from(Sha256::digest(format!("{seed}\n{path}").as_bytes()))
        });
        entries.truncate(self.files);
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_listings() {
        for name in ["CC-MAIN-2019-18", "CC-MAIN-2012", "CC-MAIN-2008-2009"] {
            assert!(is_name(name), "{name}");
        }
        for no in ["CC-MAIN-", "CC-MAIN-2019-18/", "CC-NEWS", "CC-MAIN-2019-18.paths"] {
            assert!(!is_name(no), "{no}");
        }
        let store = STORE.parse().unwrap();
        assert_eq!(
            listing(&store, "CC-MAIN-2019-18", CrawlFiles::Wet).to_string(),
            "https://data.commoncrawl.org/crawl-data/CC-MAIN-2019-18/wet.paths.gz"
        );
        let store = "s3://commoncrawl".parse().unwrap();
        assert_eq!(
            listing(&store, "CC-MAIN-2019-18", CrawlFiles::Warc).to_string(),
            "s3://commoncrawl/crawl-data/CC-MAIN-2019-18/warc.paths.gz"
        );
    }

    #[test]
    fn samples_are_nested_spread_and_blind_to_order_and_host() {
        let paths: Vec<String> = (0..1000).map(|i| format!("crawl-data/{i:05}.wet.gz")).collect();
        let take = |files, seed, paths: Vec<String>| Sample { files, seed }.take(paths, |p| p);
        let small = take(20, 0, paths.clone());
        let large = take(40, 0, paths.clone());
        assert_eq!(large[..20], small);
        assert_eq!(take(20, 0, paths.iter().rev().cloned().collect()), small);
        let urls = paths.iter().map(|path| format!("https://h/{path}")).collect();
        let of_urls = take(20, 0, urls);
        assert!(of_urls.iter().zip(&small).all(|(url, path)| url.ends_with(path)));
        let other = take(20, 1, paths.clone());
        assert!(small.iter().filter(|path| other.contains(path)).count() < 5);
        let first_half = large.iter().filter(|path| **path < paths[500]).count();
        assert!((8..=32).contains(&first_half), "{first_half}");
        assert_eq!(take(2000, 0, paths.clone()).len(), 1000);
    }
}
