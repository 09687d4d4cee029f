//! Common Crawl's crawls by name, and samples of the files in a listing.

use super::Address;
use sha2::{Digest, Sha256};

/// The URL of the server from which Common Crawl serves its crawls.
pub const STORE: &str = "https://data.commoncrawl.org/";

/// The kind of a crawl's archives that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CrawlFiles {
    /// WET archives: extracted text, from which C4 was made.
    #[default]
    Wet,
    /// WARC archives: HTTP responses as servers sent them.
    Warc,
}

/// Whether `text` has the form of a crawl's name: `CC-MAIN-2019-18`, or `CC-MAIN-2012` of an old crawl.
pub(crate) fn is_name(text: &str) -> bool {
    text.strip_prefix("CC-MAIN-").is_some_and(|rest| {
        rest.split('-')
            .all(|part| matches!(part.len(), 2 | 4) && part.bytes().all(|b| b.is_ascii_digit()))
    })
}

/// The address of the listing of the crawl `name` below `store`.
pub fn listing(store: &Address, name: &str, files: CrawlFiles) -> Address {
    let file = match files {
        CrawlFiles::Wet => "wet.paths.gz",
        CrawlFiles::Warc => "warc.paths.gz",
    };
    store.join(&format!("crawl-data/{name}/{file}"))
}

/// A random sample of the files of a listing or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// The number of files that are taken of each listing or folder.
    pub files: usize,
    /// The seed of the sample: another seed gives another sample.
    pub seed: u64,
}

impl Sample {
    /// The entries whose hashes are smallest, of `entries` whose paths or URLs `entry` gives, each once.
    ///
    /// So a sample is part of every larger one with the same seed, and does not depend on the order of the listing, nor
    /// on the host of its URLs: only their paths are hashed.
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
