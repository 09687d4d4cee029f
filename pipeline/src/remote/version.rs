//! The version of a file that a response is of, and the part of it.

use super::encoding;
use super::network::FileResponse;
use http::header::{self, HeaderMap};
use serde::{Deserialize, Serialize};

/// The marks by which versions of a file on a server are told apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Version {
    pub(super) etag: Option<String>,
    /// The value of `Last-Modified`.
    pub(super) modified: Option<String>,
    /// The size of the whole file in bytes.
    pub(super) size: Option<u64>,
    /// The URL to which redirects led, since marks of different servers cannot be compared.
    #[serde(default)]
    pub(super) at: Option<String>,
    /// The value of `Content-Encoding`, which was not requested.
    #[serde(default)]
    pub(super) encoding: Option<String>,
}

impl Version {
    /// The version that a response is of; `size` is that of the whole file.
    pub(super) fn of(response: &FileResponse, size: Option<u64>) -> Version {
        let headers = response.http.headers();
        let text = |name| Some(headers.get(name)?.to_str().ok()?.trim().to_owned());
        Version {
            etag: text(header::ETAG),
            modified: text(header::LAST_MODIFIED),
            size,
            at: response.at.clone(),
            encoding: text(header::CONTENT_ENCODING),
        }
    }

    /// Whether a complete file of this version need not be downloaded again: a mark that both have is the same. Of a
    /// file without marks, because somebody else has put it there, the size decides.
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

    /// Whether bytes of both versions are bytes of the same file. Only a strong ETag says so: other marks may be the
    /// same for two versions within a second, or for two that are merely equivalent.
    pub(super) fn is_to_the_byte(&self, other: &Version) -> bool {
        let same = |a: &Option<u64>, b: &Option<u64>| a.is_none() || b.is_none() || a == b;
        self.strong_etag().is_some()
            && self.strong_etag() == other.strong_etag()
            && same(&self.size, &other.size)
            && self.at == other.at
            && self.encoding == other.encoding
    }

    /// Whether the response's header says that it is in gzip.
    pub(super) fn is_in_gzip(&self) -> bool {
        self.encoding.as_deref().is_some_and(encoding::is_gzip)
    }

    /// The ETag for a condition of a request, if it is strong; weak ones never match there.
    pub(super) fn strong_etag(&self) -> Option<&str> {
        let strong = |etag: &&str| etag.len() > 2 && etag.starts_with('"') && etag.ends_with('"');
        self.etag.as_deref().filter(strong)
    }
}

/// The part of a file that a response brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ContentRange {
    /// The offset of the first byte.
    pub(super) first: u64,
    /// The offset after the last byte.
    pub(super) end: u64,
    /// The size of the whole file in bytes, if the server knows it.
    pub(super) size: Option<u64>,
}

/// The range in the header `Content-Range: bytes FIRST-LAST/SIZE`; `None` if it makes no sense.
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
        // The same mark of another server means another file.
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
