//! URLs as keys of pages: normalisation, hash, split, domain.

pub use c4_data::domain;
use c4_data::{Split, SplitStep};
use md5::{Digest, Md5};
use regex::Regex;
use std::borrow::Cow;
use std::sync::LazyLock;

static SCHEME: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"https?://(www\.)?").expect("a valid pattern"));
static TRACKING: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\?(utm_|ref|feed).*").expect("a valid pattern"));

/// The normalised form of a URL, by which pages are the same: the reference's `normalize_url`. Scheme and `www.` are
/// removed wherever they stand, as is a query that starts with `utm_`, `ref` or `feed`, then slashes at the end. Case
/// and fragments are kept.
///
/// ```
/// use c4_filters::url::normalize;
/// assert_eq!(normalize("https://www.example.com/a/?utm_source=x"), "example.com/a");
/// assert_eq!(normalize("https://example.com/?u=https://www.foo.com/x"), "example.com/?u=foo.com/x");
/// ```
pub fn normalize(url: &str) -> String {
    let url = SCHEME.replace_all(url, "");
    let url = TRACKING.replace_all(&url, "");
    let url = match &url {
        Cow::Borrowed(url) => url.trim_end_matches('/'),
        Cow::Owned(url) => url.trim_end_matches('/'),
    };
    url.to_owned()
}

/// The top-level domain: the last label of a domain, `ip` for an address, the domain itself where it has no dot.
///
/// ```
/// use c4_filters::url::top_level_domain;
/// assert_eq!(top_level_domain("example.co.uk"), "uk");
/// assert_eq!(top_level_domain("10.0.0.1"), "ip");
/// ```
pub fn top_level_domain(domain: &str) -> &str {
    let last = domain.rsplit('.').next().unwrap_or_default();
    let address = domain.starts_with('[') || last.bytes().all(|b| b.is_ascii_digit());
    if address && !domain.is_empty() { "ip" } else { last }
}

/// The MD5 of a text as a number: the digest's bytes in big-endian order, so that numbers compare as the reference's
/// hexadecimal digests do.
pub fn md5(text: &str) -> u128 {
    u128::from_be_bytes(Md5::digest(text.as_bytes()).into())
}

/// The split that a page belongs to, by the MD5 of its normalised URL.
pub fn split(normalized_md5: u128, step: &SplitStep) -> Split {
    match step.validation_one_in {
        0 => Split::Train,
        n if normalized_md5.is_multiple_of(u128::from(n)) => Split::Validation,
        _ => Split::Train,
    }
}
