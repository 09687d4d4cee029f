//! Which state of a file an answer is of, and which part.

use super::encoding;
use super::network::Answer;
use http::header::{self, HeaderMap};
use serde::{Deserialize, Serialize};

/// Which state of a file on a server it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Version {
    pub(super) etag: Option<String>,
    /// `Last-Modified`.
    pub(super) modified: Option<String>,
    /// Bytes in all.
    pub(super) size: Option<u64>,
    /// Where it was, if not at the address: another server's marks are another's.
    #[serde(default)]
    pub(super) at: Option<String>,
    /// `Content-Encoding`, which was not asked for.
    #[serde(default)]
    pub(super) encoding: Option<String>,
}

impl Version {
    /// Of an answer; the size is that of the whole file.
    pub(super) fn of(answer: &Answer, size: Option<u64>) -> Version {
        let headers = answer.response.headers();
        let text = |name| Some(headers.get(name)?.to_str().ok()?.trim().to_owned());
        Version {
            etag: text(header::ETAG),
            modified: text(header::LAST_MODIFIED),
            size,
            at: answer.at.clone(),
            encoding: text(header::CONTENT_ENCODING),
        }
    }

    /// Whether a whole file of this version need not be fetched again: something that both tell is the same. Of a
    /// file that tells nothing, because somebody else has put it there, the size decides.
    pub(super) fn is_current(&self, other: &Version) -> bool {
        let weakly = |etag: &'_ str| etag.trim_start_matches("W/").to_owned();
        let same = match (&self.etag, &other.etag, &self.modified, &other.modified) {
            (Some(a), Some(b), _, _) => weakly(a) == weakly(b),
            (_, _, Some(a), Some(b)) => a == b,
            (None, _, None, _) => true,
            _ => false,
        };
        same && self.size.is_some() && self.size == other.size
    }

    /// Whether bytes of both are bytes of one file. A strong ETag alone says so: the others may be the same for
    /// two states within a second, or for two that only look alike.
    pub(super) fn is_to_the_byte(&self, other: &Version) -> bool {
        let same = |a: &Option<u64>, b: &Option<u64>| a.is_none() || b.is_none() || a == b;
        self.strong_etag().is_some()
            && self.strong_etag() == other.strong_etag()
            && same(&self.size, &other.size)
            && self.at == other.at
            && self.encoding == other.encoding
    }

    /// Whether it came in gzip, by its header.
    pub(super) fn is_in_gzip(&self) -> bool {
        self.encoding.as_deref().is_some_and(encoding::is_gzip)
    }

    /// For a condition of a request; weak ones never match there.
    pub(super) fn strong_etag(&self) -> Option<&str> {
        let strong = |etag: &&str| etag.len() > 2 && etag.starts_with('"') && etag.ends_with('"');
        self.etag.as_deref().filter(strong)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ContentRange {
    pub(super) first: u64,
    /// The byte after the last.
    pub(super) end: u64,
    /// Of the whole file, if the server knows.
    pub(super) size: Option<u64>,
}

/// `bytes FIRST-LAST/SIZE`.
pub(super) fn content_range(headers: &HeaderMap) -> Option<ContentRange> {
    let value = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (range, size) = value.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let first: u64 = first.trim().parse().ok()?;
    let end = last.trim().parse::<u64>().ok()?.checked_add(1)?;
    let size: Option<u64> = match size.trim() {
        "*" => None,
        size => Some(size.parse().ok()?),
    };
    let sound = first < end && size.is_none_or(|size| end <= size);
    sound.then_some(ContentRange { first, end, size })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(etag: &str, modified: &str, size: u64) -> Version {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Version {
            etag: given(etag),
            modified: given(modified),
            size: Some(size),
            ..Version::default()
        }
    }

    #[test]
    fn bytes_are_of_one_file_by_a_strong_etag_alone() {
        let strong = version("\"a\"", "Mon", 9);
        assert!(strong.is_to_the_byte(&version("\"a\"", "Tue", 9)));
        for (a, b) in [
            (("\"a\"", "Mon", 9), ("\"b\"", "Mon", 9)),
            (("\"a\"", "Mon", 9), ("\"a\"", "Mon", 8)),
            (("\"a\"", "Mon", 9), ("", "Mon", 9)),
            (("\"a\"", "Mon", 9), ("W/\"a\"", "Mon", 9)),
            (("W/\"a\"", "Mon", 9), ("W/\"a\"", "Mon", 9)),
            (("", "Mon", 9), ("", "Mon", 9)),
            (("", "", 9), ("", "", 9)),
            (("\"\"", "", 9), ("\"\"", "", 9)),
            (("a", "", 9), ("a", "", 9)),
        ] {
            let [a, b] = [a, b].map(|(etag, modified, size)| version(etag, modified, size));
            assert!(!a.is_to_the_byte(&b), "{a:?} {b:?}");
        }
        // Of another server, the same mark means another file.
        let elsewhere = Version {
            at: Some("https://mirror/a".to_owned()),
            ..strong.clone()
        };
        assert!(!strong.is_to_the_byte(&elsewhere));
    }

    #[test]
    fn a_whole_file_is_current_if_something_says_so() {
        for (known, now, same) in [
            (("\"a\"", "Mon", 9), ("\"a\"", "Tue", 9), true),
            (("\"a\"", "Mon", 9), ("W/\"a\"", "Mon", 9), true),
            (("\"a\"", "Mon", 9), ("\"b\"", "Mon", 9), false),
            (("\"a\"", "Mon", 9), ("", "Mon", 9), true),
            (("\"a\"", "", 9), ("", "", 9), false),
            (("", "Mon", 9), ("", "Tue", 9), false),
            (("", "Mon", 9), ("\"a\"", "", 9), false),
            (("", "", 9), ("\"a\"", "Mon", 9), true),
            (("", "", 9), ("", "", 8), false),
        ] {
            let [a, b] = [known, now].map(|(etag, modified, size)| version(etag, modified, size));
            assert_eq!(a.is_current(&b), same, "{a:?} {b:?}");
        }
    }

    #[test]
    fn ranges_that_make_no_sense_are_none() {
        let range = |value: &str| {
            let value = value.parse().unwrap();
            content_range(&HeaderMap::from_iter([(header::CONTENT_RANGE, value)]))
        };
        let found = |first, end, size| Some(ContentRange { first, end, size });
        assert_eq!(range("bytes 2-4/9"), found(2, 5, Some(9)));
        assert_eq!(range("bytes 2-4/*"), found(2, 5, None));
        for no in [
            "bytes 4-2/9",
            "bytes 2-9/9",
            "bytes 2-4/x",
            "bytes */9",
            "bytes -1-4/9",
            "items 2-4/9",
            "bytes 0-18446744073709551615/*",
            "bytes 0-18446744073709551616/*",
            "",
        ] {
            assert_eq!(range(no), None, "{no}");
        }
    }
}
