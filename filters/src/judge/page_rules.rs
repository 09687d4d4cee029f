//! Judging a page alone, before its copies are known: pass 1 of a build, whoever runs it.

use super::admission::Admission;
use super::cleaner::{Cleaned, CleanedPage, Cleaner, SeenLine};
use crate::count::statistics::{Side, Statistics};
use crate::count::tally::LineCounts;
use crate::text::url;

/// The rules that judge one page alone: length, domain, URL, then lines.
///
/// ```
/// use c4_data::{Lists, Recipe};
/// use c4_filters::{Admission, Cleaned, Cleaner, PageRules, Reason, Statistics};
///
/// let (recipe, _) = Recipe::load("en")?;
/// let admission = Admission::new(&recipe, &Lists::default(), None);
/// let rules = PageRules { admission: &admission, cleaner: &Cleaner::new(&recipe) };
/// let mut statistics = Statistics::default();
/// let page = ("https://example.com/", "Only one sentence is on this page.", "2019-04-18T10:12:43Z");
/// let judged = rules.judge(page, &mut statistics, |_line| {});
/// let Cleaned::Drop { reason, .. } = judged.cleaned else { panic!("one sentence is too few") };
/// assert_eq!(reason, Reason::TooFewSentences);
/// assert_eq!(statistics.tally.lines.words, 7);
/// # Ok::<(), c4_data::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct PageRules<'a> {
    /// The rules for a page as a whole, which are asked first.
    pub admission: &'a Admission,
    /// The line and page rules, for pages that were admitted.
    pub cleaner: &'a Cleaner,
}

/// What [`PageRules::judge`] makes of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgedPage {
    /// The MD5 of the page's normalised URL: pages with the same one compete for it.
    pub normalized: u128,
    /// The verdict, with the cleaned text of a page that passed.
    pub cleaned: Cleaned,
}

impl PageRules<'_> {
    /// Judges a page (its URL, text and timestamp), counts it as read, and shows every line, in order, to `seen`. Takes
    /// time linear in the text.
    pub fn judge<'t>(
        &self,
        (page_url, text, timestamp): (&str, &'t str, &str),
        statistics: &mut Statistics,
        mut seen: impl FnMut(SeenLine<'t, '_>),
    ) -> JudgedPage {
        let line_words = &mut statistics.line_words;
        let seen = |line: SeenLine<'t, '_>| {
            line_words.add(Side::In, line.size.words);
            seen(line);
        };
        let normalized_url = url::normalize(page_url);
        let normalized = url::md5(&normalized_url);
        let cleaned = match self.admission.refuse(text, &normalized_url, normalized) {
            Some(reason) => Cleaned::Drop {
                reason,
                lines: LineCounts::untouched(self.cleaner.measure(text, seen)),
            },
            None => self.cleaner.clean_seen(text, seen),
        };
        let (Cleaned::Keep(CleanedPage { lines, .. }) | Cleaned::Drop { lines, .. }) = &cleaned;
        statistics.tally.text_bytes_in += text.len() as u64;
        statistics.tally.lines += lines.total;
        statistics.page_chars.add(Side::In, lines.total.chars);
        statistics.page_lines.add(Side::In, lines.total.lines);
        statistics.year(Side::In, timestamp);
        JudgedPage { normalized, cleaned }
    }
}
