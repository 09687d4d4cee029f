//! The rules that judge a page as a whole, before any of its lines: length, domain, URL.

use crate::rules::domains::DomainRule;
use crate::rules::reason::Reason;
use crate::rules::{length, urls::UrlSet};
use c4_data::{Lists, Recipe};

/// The rules of a recipe that judge a page as a whole: the length limit, the list of domains, the list of URLs.
///
/// ```
/// use c4_data::{Lists, Recipe};
/// use c4_filters::{Admission, Reason, url};
///
/// let (recipe, _) = Recipe::load("en")?;
/// let admission = Admission::new(&recipe, &Lists::default(), None);
/// let url = url::normalize("https://www.example.com/");
/// let refuse = |text: &str| admission.refuse(text, &url, url::md5(&url));
/// assert_eq!(refuse("A page of the usual length."), None);
/// assert_eq!(refuse(&"a ".repeat(600_000)), Some(Reason::TooLong));
/// # Ok::<(), c4_data::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Admission {
    max_page_chars: Option<usize>,
    domains: Option<DomainRule>,
    urls: Option<UrlSet>,
}

impl Admission {
    /// Compiles the page rules of `recipe`; `urls` is the set that its list of URLs was read into, if it has one.
    pub fn new(recipe: &Recipe, lists: &Lists, urls: Option<UrlSet>) -> Admission {
        let step = recipe.domains.as_ref().and(lists.domains.as_ref());
        Admission {
            max_page_chars: recipe.length.as_ref().map(|step| step.max_page_chars),
            domains: step.map(DomainRule::new),
            urls: recipe.urls.as_ref().and(urls),
        }
    }

    /// The reason of the first rule that drops a page before its lines are judged; `None` if the page passes.
    /// `normalized` is the page's normalised URL, `normalized_md5` the MD5 of it.
    ///
    /// The list of URLs comes after the choice of one page per URL: a page that it drops has competed there
    /// ([`Reason::competes`]). All pages of one URL have the same hash and thus the same verdict, so the list may be
    /// consulted before.
    pub fn refuse(&self, text: &str, normalized: &str, normalized_md5: u128) -> Option<Reason> {
        match self.max_page_chars {
            Some(most) if length::too_long(text, most) => Some(Reason::TooLong),
            _ => self
                .refuse_domain(normalized)
                .or_else(|| self.refuse_url(normalized_md5)),
        }
    }

    /// The reason for which the list of domains drops a page of this normalised URL; `None` if the page passes.
    pub fn refuse_domain(&self, normalized: &str) -> Option<Reason> {
        self.domains.as_ref()?.refuse(normalized)
    }

    /// The reason for which the list of URLs drops a page whose normalised URL has this MD5; `None` if the page passes.
    pub fn refuse_url(&self, normalized_md5: u128) -> Option<Reason> {
        let listed = self.urls.as_ref()?.contains(normalized_md5);
        (!listed).then_some(Reason::NotListed)
    }

    /// The number of different normalised URLs in the list of URLs; 0 without a list.
    pub fn listed_urls(&self) -> u64 {
        self.urls.as_ref().map_or(0, UrlSet::len)
    }
}
