//! The address of a file or folder on a server.

use c4_data::printable;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;
use std::fmt;
use std::str::FromStr;

/// The characters that S3 encodes in the path of a signed request: all but these.
/// Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>, UriEncode.
const S3_PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// The address of a file, or of a folder of files, on a server.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// The URL of a file or folder on HTTP or HTTPS, without a fragment.
    Http(Box<Url>),
    /// An object, or a prefix of objects, in a bucket with the S3 API.
    S3 {
        /// The name of the bucket.
        bucket: String,
        /// The key of the object in the bucket, without a slash at its start; empty for the bucket itself.
        key: String,
    },
}

/// The error for a text that cannot be read as an [`Address`].
///
/// Its message shows the text without user, password and query, as [`Address`] is shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}: {reason}")]
pub struct AddressError {
    text: String,
    reason: String,
}

impl AddressError {
    fn new(text: &str, reason: impl Into<String>) -> AddressError {
        let (text, query) = match text.split_once('?') {
            Some((text, _)) => (text, "?…"),
            None => (text, ""),
        };
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let shown = match authority.rsplit_once('@') {
            Some((_, host)) if !scheme.is_empty() => format!("{scheme}://{host}{path}"),
            _ => text.to_owned(),
        };
        AddressError {
            text: printable(&(shown + query)),
            reason: reason.into(),
        }
    }
}

/// Whether `text` has the form of a URL, of any scheme.
pub(crate) fn is_url(text: &str) -> bool {
    text.split_once("://")
        .is_some_and(|(scheme, _)| !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric()))
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Address, AddressError> {
        let error = |reason: &str| AddressError::new(text, reason);
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(error("not a URL"));
        };
        match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" => {
                let mut url = Url::parse(text).map_err(|e| error(&e.to_string()))?;
                url.set_fragment(None);
                Ok(Address::Http(Box::new(url)))
            }
            "s3" => {
                let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
                // The name becomes part of paths, here and on the server.
                // Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
                let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
                if !bucket.starts_with(|c: char| c.is_ascii_alphanumeric()) || !bucket.bytes().all(plain) {
                    return Err(error("not a bucket name; write s3://bucket/key"));
                }
                check_key(key).map_err(error)?;
                Ok(Address::S3 {
                    bucket: bucket.to_owned(),
                    key: key.to_owned(),
                })
            }
            _ => Err(error("only http, https and s3 URLs can be read")),
        }
    }
}

impl Address {
    /// The address of the file `path` in this folder.
    pub(crate) fn join(&self, path: &str) -> Address {
        let below = |folder: &str| {
            let slash = if folder.is_empty() || folder.ends_with('/') {
                ""
            } else {
                "/"
            };
            format!("{folder}{slash}{}", path.trim_start_matches('/'))
        };
        match self {
            Address::Http(url) => {
                let mut url = url.clone();
                url.set_path(&below(url.path()));
                Address::Http(url)
            }
            Address::S3 { bucket, key } => Address::S3 {
                bucket: bucket.clone(),
                key: below(key),
            },
        }
    }

    /// The root folder of this address's host or bucket.
    pub(crate) fn root(&self) -> Address {
        match self {
            Address::Http(url) => {
                let mut url = url.clone();
                url.set_path("/");
                url.set_query(None);
                Address::Http(url)
            }
            Address::S3 { bucket, .. } => Address::S3 {
                bucket: bucket.clone(),
                key: String::new(),
            },
        }
    }

    /// Whether this address is in the folder `folder`, at any depth.
    pub(crate) fn is_below(&self, folder: &Address) -> bool {
        let below = folder.join("x").path().to_owned();
        let below = &below[..below.len() - 1];
        self.root() == folder.root() && self.path().starts_with(below)
    }

    /// The host (with its port, if it is not the scheme's), or the bucket.
    pub(crate) fn host(&self) -> String {
        match self {
            Address::Http(url) => {
                let host = url.host_str().unwrap_or_default();
                match url.port() {
                    Some(port) => format!("{host}:{port}"),
                    None => host.to_owned(),
                }
            }
            Address::S3 { bucket, .. } => bucket.clone(),
        }
    }

    /// The path below the host (percent-encoded) or the bucket (as it is), without a slash at its start.
    pub(crate) fn path(&self) -> &str {
        match self {
            Address::Http(url) => url.path().trim_start_matches('/'),
            Address::S3 { key, .. } => key,
        }
    }

    /// The query of an HTTP URL.
    pub(super) fn query(&self) -> Option<&str> {
        match self {
            Address::Http(url) => url.query(),
            Address::S3 { .. } => None,
        }
    }

    /// The whole address as text, with what may be secret.
    pub(super) fn in_full(&self) -> String {
        match self {
            Address::Http(url) => url.to_string(),
            Address::S3 { bucket, key } => format!("s3://{bucket}/{key}"),
        }
    }

    /// The last part of the path: the file's name.
    pub(crate) fn name(&self) -> &str {
        self.path().rsplit('/').next().unwrap_or_default()
    }

    /// The URL of the object `key` in `bucket` on the server whose URL is `endpoint`.
    pub(super) fn object_url(bucket: &str, key: &str, endpoint: &str) -> Result<Url, AddressError> {
        // A key that comes from a listing has not been checked yet.
        check_key(key).map_err(|reason| AddressError::new(&format!("s3://{bucket}/{key}"), reason))?;
        let endpoint = endpoint.trim_end_matches('/');
        let key = utf8_percent_encode(key, S3_PATH);
        let text = format!("{endpoint}/{bucket}/{key}");
        Url::parse(&text).map_err(|e| AddressError::new(&text, e.to_string()))
    }
}

/// Refuses a key that cannot be part of a URL as it is; the error is the reason.
fn check_key(key: &str) -> Result<(), &'static str> {
    // A URL resolves these parts, so it would name another key, perhaps in another bucket.
    if key.split('/').any(|part| part == "." || part == "..") {
        return Err("keys with . or .. as a part cannot be read");
    }
    match key.chars().any(char::is_control) {
        true => Err("keys with control characters cannot be read"),
        false => Ok(()),
    }
}

/// Shows the address without what may be secret: user and password, and a query, which may hold a signature.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Http(url) => {
                let query = if url.query().is_some() { "?…" } else { "" };
                write!(f, "{}://{}{}{query}", url.scheme(), self.host(), url.path())
            }
            Address::S3 { bucket, key } => write!(f, "s3://{bucket}/{}", printable(key)),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    #[test]
    fn parts_of_addresses() {
        let http = address("HTTPS://user:secret@Data.Example:8080/a%20b/c.warc.gz?key=secret#x");
        assert_eq!(http.host(), "data.example:8080");
        assert_eq!(http.path(), "a%20b/c.warc.gz");
        assert_eq!(http.name(), "c.warc.gz");
        assert_eq!(http.to_string(), "https://data.example:8080/a%20b/c.warc.gz?…");
        let s3 = address("s3://bucket/a b/c.warc.gz");
        assert_eq!((s3.host(), s3.path()), ("bucket".into(), "a b/c.warc.gz"));
        for bad in [
            "ftp://host/x",
            "s3:///key",
            "s3://../x",
            "s3://b\\c/x",
            "s3://.b/x",
            "s3://u:p@b/x",
            "s3://b/../x",
            "s3://b/a\nb",
            "https://",
            "x",
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_may_be_secret_is_not_shown() {
        for (text, shown) in [
            ("https://u:p@h o/x?sig=abc", "https://h o/x?…: "),
            ("ftp://u:p@h/x", "ftp://h/x: "),
            ("ftp://h/\u{1b}[2J", "ftp://h/\u{fffd}[2J: "),
        ] {
            let said = text.parse::<Address>().unwrap_err().to_string();
            assert!(said.starts_with(shown), "{said}");
        }
    }

    #[test]
    fn folders_and_what_is_in_them() {
        for (folder, path, file) in [
            ("https://h", "a/b", "https://h/a/b"),
            ("https://h/x", "/a/b", "https://h/x/a/b"),
            ("https://h/x/", "a?b", "https://h/x/a%3Fb"),
            ("s3://b", "a/b", "s3://b/a/b"),
            ("s3://b/x/", "a/b", "s3://b/x/a/b"),
        ] {
            let (folder, file) = (address(folder), address(file));
            assert_eq!(folder.join(path), file);
            assert!(file.is_below(&folder) && file.is_below(&file.root()));
        }
        assert!(!address("https://h/xy/a").is_below(&address("https://h/x")));
        assert!(!address("https://g/x/a").is_below(&address("https://h/x")));
    }

    #[test]
    fn keys_are_encoded_as_s3_signs_them() {
        let key = "a b+c=é~(1),'x'/*&$@:;!.gz";
        let url = Address::object_url("crawl", key, "http://h:1/").unwrap();
        // What boto3 1.44.5 makes of it.
        let expected = "a%20b%2Bc%3D%C3%A9~%281%29%2C%27x%27/%2A%26%24%40%3A%3B%21.gz";
        assert_eq!(url.as_str(), format!("http://h:1/crawl/{expected}"));
        // Keys that a listing may have.
        for no in ["../other/x", "x\u{1b}[2J"] {
            let Address::S3 { bucket, key } = address("s3://crawl/").join(no) else {
                panic!("{no}")
            };
            let said = Address::object_url(&bucket, &key, "http://h:1/").unwrap_err();
            assert!(!said.to_string().contains(char::is_control), "{said}");
        }
    }
}
