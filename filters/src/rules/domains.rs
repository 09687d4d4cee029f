//! Keeps pages of listed domains (the reference's `is_realnews_domain`).
//!
//! What of a URL is its domain is decided as the reference does, by Python's `tldextract` (here:
//! 5.4.0) with its defaults: of the Public Suffix List only the part "ICANN domains" counts, so
//! `x.blogspot.com` is a subdomain of `blogspot.com`; a host under no known suffix has none.

use crate::{Reason, pystr};
use c4_data::DomainList;
use publicsuffix::{List, Psl};
use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::sync::{Arc, LazyLock};

/// Public suffixes (`data/publicsuffix/README.md`).
static SUFFIXES: LazyLock<List> = LazyLock::new(|| {
    include_str!("../../../data/publicsuffix/icann.txt")
        .parse()
        .expect("a list that a test has read")
});

/// A host in its three parts; as they are in the URL, not lower-cased.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Host {
    /// All that stands before the domain.
    pub subdomain: String,
    /// The label before the suffix; of an address, and of a host without a known suffix, its name.
    pub domain: String,
    /// The public suffix; empty if there is none.
    pub suffix: String,
}

impl Host {
    /// The host of a URL, whether it has a scheme or not.
    ///
    /// ```
    /// use c4_filters::rules::domains::Host;
    /// let host = Host::of("http://forums.news.example.co.uk:8080/a");
    /// assert_eq!((&*host.subdomain, &*host.domain, &*host.suffix), ("forums.news", "example", "co.uk"));
    /// assert_eq!(Host::of("10.0.0.1/").domain, "10.0.0.1");
    /// ```
    pub fn of(url: &str) -> Host {
        let name = host_name(url).replace(OTHER_DOTS, ".");
        if is_bracketed_ipv6(&name) {
            return Host::without_suffix("", &name);
        }
        let labels: Vec<&str> = name.split('.').collect();
        match suffix_labels(&labels) {
            0 if is_ipv4(&name) => Host::without_suffix("", &name),
            0 => match name.rsplit_once('.') {
                Some((subdomain, domain)) => Host::without_suffix(subdomain, domain),
                None => Host::without_suffix("", &name),
            },
            n => {
                let (rest, suffix) = labels.split_at(labels.len() - n);
                let (domain, subdomain) = rest.split_last().unwrap_or((&"", &[]));
                Host {
                    subdomain: subdomain.join("."),
                    domain: (*domain).to_owned(),
                    suffix: suffix.join("."),
                }
            }
        }
    }

    fn without_suffix(subdomain: &str, domain: &str) -> Host {
        Host {
            subdomain: subdomain.to_owned(),
            domain: domain.to_owned(),
            suffix: String::new(),
        }
    }

    /// Domain and suffix, as lists have them.
    pub fn main_domain(&self) -> String {
        format!("{}.{}", self.domain, self.suffix)
    }
}

/// Dots of other scripts that count as dots.
const OTHER_DOTS: [char; 3] = ['\u{3002}', '\u{ff0e}', '\u{ff61}'];

/// tldextract's `lenient_netloc`.
fn host_name(url: &str) -> &str {
    let rest = match url.find("//") {
        Some(0) => &url[2..],
        Some(at) => match url[..at].strip_suffix(':') {
            Some(scheme) if !scheme.is_empty() && scheme.bytes().all(is_of_scheme) => &url[at + 2..],
            _ => url,
        },
        None => url,
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    if host.starts_with('[')
        && let Some(end) = host.find(']')
    {
        return &host[..=end];
    }
    let name = pystr::strip(host.split(':').next().unwrap_or_default());
    name.trim_end_matches(|c| c == '.' || OTHER_DOTS.contains(&c))
}

fn is_of_scheme(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)
}

/// With a zone after `%`, as Python takes them.
fn is_bracketed_ipv6(name: &str) -> bool {
    let inner = name.strip_prefix('[').and_then(|n| n.strip_suffix(']'));
    inner.is_some_and(|address| {
        let (address, zone) = match address.split_once('%') {
            Some((address, zone)) => (address, Some(zone)),
            None => (address, None),
        };
        zone.is_none_or(|zone| !zone.is_empty() && !zone.contains('%')) && address.parse::<Ipv6Addr>().is_ok()
    })
}

fn is_ipv4(name: &str) -> bool {
    let parts: Vec<&str> = name.split('.').collect();
    let part = |part: &&str| {
        let digits = part.bytes().all(|b| b.is_ascii_digit());
        let short = *part == "0" || !part.starts_with('0');
        digits && short && part.parse::<u8>().is_ok()
    };
    parts.len() == 4 && parts.iter().all(part)
}

/// How many labels are public suffix; 0 if the last one is unknown.
fn suffix_labels(labels: &[&str]) -> usize {
    let lower: Vec<String> = labels.iter().map(|label| label.to_lowercase()).collect();
    let info = SUFFIXES.find(lower.iter().rev().map(|label| label.as_bytes()));
    if info.typ.is_none() {
        return 0;
    }
    let mut length = 0;
    for (n, label) in lower.iter().rev().enumerate() {
        length += label.len() + usize::from(n > 0);
        if length >= info.len {
            return n + 1;
        }
    }
    labels.len()
}

/// The rule with its list.
#[derive(Debug)]
pub struct Domains {
    domains: Arc<BTreeMap<String, Option<Vec<String>>>>,
}

impl Domains {
    /// The rule of a list.
    pub fn new(list: &DomainList) -> Domains {
        Domains {
            domains: list.domains.clone(),
        }
    }

    /// Why a page goes; `None` if it stays. Upper and lower case differ, and `normalized` is the
    /// [normalised](crate::url::normalize) URL, both as in the reference.
    pub fn refuse(&self, normalized: &str) -> Option<Reason> {
        let host = Host::of(normalized);
        match self.domains.get(&host.main_domain()) {
            None => Some(Reason::BadDomain),
            Some(Some(subdomains)) if !subdomains.contains(&host.subdomain) => Some(Reason::BadSubdomain),
            Some(_) => None,
        }
    }
}
