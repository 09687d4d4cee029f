//! Keeps pages of listed domains (the reference's `is_realnews_domain`).
//!
//! The domain of a URL is found as the reference does it, by Python's `tldextract` (here: 5.4.0) with its defaults: of
//! the Public Suffix List only the part "ICANN domains" counts, so `x.blogspot.com` is a subdomain of `blogspot.com`; a
//! host under no known suffix has none.

use super::reason::Reason;
use crate::text::pystr;
use c4_data::DomainList;
use publicsuffix::{List, Psl};
use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::sync::{Arc, LazyLock};

/// The public suffixes (`data/publicsuffix/README.md` says from where).
static SUFFIXES: LazyLock<List> = LazyLock::new(|| {
    include_str!("../../../data/publicsuffix/icann.txt")
        .parse()
        .expect("a list that a test has read")
});

/// A URL's host in three parts, which are as in the URL, not lower-cased.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Host {
    /// All labels before the domain, joined by dots.
    pub subdomain: String,
    /// The label before the suffix; of an address the whole, of a host without a known suffix the last label.
    pub domain: String,
    /// The public suffix; empty if the host has none.
    pub suffix: String,
}

impl Host {
    /// Finds the host of a URL, whether the URL has a scheme or not.
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

    /// The domain with its suffix, as lists of domains have it.
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

/// Whether `name` is an IPv6 address in brackets; a zone after `%` is allowed, as in Python.
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

/// The number of labels that are public suffix; 0 if the last one is unknown.
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

/// A list of domains as a rule: keeps pages of these domains.
#[derive(Debug)]
pub struct DomainRule {
    domains: Arc<BTreeMap<String, Option<Vec<String>>>>,
}

impl DomainRule {
    /// Makes the rule of a list; shares the list's memory.
    pub fn new(list: &DomainList) -> DomainRule {
        DomainRule {
            domains: list.domains.clone(),
        }
    }

    /// The reason for which a page is dropped; `None` if it is kept. `normalized` is the page's
    /// [normalised](crate::url::normalize) URL. Case counts. Both are as in the reference.
    pub fn refuse(&self, normalized: &str) -> Option<Reason> {
        let host = Host::of(normalized);
        match self.domains.get(&host.main_domain()) {
            None => Some(Reason::BadDomain),
            Some(Some(subdomains)) if !subdomains.contains(&host.subdomain) => Some(Reason::BadSubdomain),
            Some(_) => None,
        }
    }
}
