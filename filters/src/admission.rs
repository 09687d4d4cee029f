//! The rules that look at a page as a whole, before any of its lines: length, domain, URL.

use crate::Reason;
use crate::rules::{domains::Domains, length, urls::UrlSet};
use c4_data::{Lists, Recipe};

/// Which pages get in.
#[derive(Debug, Default)]
pub struct Admission {
    max_page_chars: Option<usize>,
    domains: Option<Domains>,
    urls: Option<UrlSet>,
}

impl Admission {
    /// The rules of `recipe`. `urls` are those of its list, if it has one.
    pub fn new(recipe: &Recipe, lists: &Lists, urls: Option<UrlSet>) -> Admission {
        let step = recipe.domains.as_ref().and(lists.domains.as_ref());
        Admission {
            max_page_chars: recipe.length.as_ref().map(|step| step.max_page_chars),
            domains: step.map(Domains::new),
            urls: recipe.urls.as_ref().and(urls),
        }
    }

    /// Why a page goes without a look at its lines, by the first rule that refuses it; `None` if it
    /// gets in. `normalized_md5` is that of the normalised URL.
    ///
    /// The rule of URLs comes after the choice of one page per URL: a page that it refuses has
    /// taken part there ([`Reason::competes`]). As all pages of one URL have the same hash, they meet
    /// the same answer, so it may be asked before.
    pub fn refuse(&self, text: &str, normalized: &str, normalized_md5: u128) -> Option<Reason> {
        match self.max_page_chars {
            Some(most) if length::too_long(text, most) => Some(Reason::TooLong),
            _ => self
                .refuse_domain(normalized)
                .or_else(|| self.refuse_url(normalized_md5)),
        }
    }

    /// By its domain.
    pub fn refuse_domain(&self, normalized: &str) -> Option<Reason> {
        self.domains.as_ref()?.refuse(normalized)
    }

    /// By its URL.
    pub fn refuse_url(&self, normalized_md5: u128) -> Option<Reason> {
        let listed = self.urls.as_ref()?.contains(normalized_md5);
        (!listed).then_some(Reason::NotListed)
    }

    /// Different normalised URLs that are listed; 0 without a list.
    pub fn listed_urls(&self) -> u64 {
        self.urls.as_ref().map_or(0, UrlSet::len)
    }
}
