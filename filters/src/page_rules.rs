//! What a recipe says of a page alone: pass 1, whoever runs it.

use crate::{Admission, Cleaned, Cleaner, LineCounts, SeenLine, Side, Statistics, url};

/// The rules that look at one page alone: length, domain, URL, then lines.
#[derive(Debug, Clone, Copy)]
pub struct PageRules<'a> {
    /// Which pages get in.
    pub admission: &'a Admission,
    /// Line and page rules.
    pub cleaner: &'a Cleaner,
}

/// A page of which the rules have been asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgedPage {
    /// MD5 of the normalised URL: pages that have it in common are copies.
    pub normalized: u128,
    /// What has become of it.
    pub cleaned: Cleaned,
}

impl PageRules<'_> {
    /// Judges a page, counts it as read, and shows every line, in order, to `seen`. Linear in the text.
    pub fn judge<'t>(
        &self,
        (page_url, text, timestamp): (&str, &'t str, &str),
        statistics: &mut Statistics,
        mut seen: impl FnMut(SeenLine<'t, '_>),
    ) -> JudgedPage {
        let line_words = &mut statistics.line_words;
        let seen = |line: SeenLine<'t, '_>| {
            line_words.add(Side::In, line.amount.words);
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
        let (Cleaned::Keep(crate::CleanedPage { lines, .. }) | Cleaned::Drop { lines, .. }) = &cleaned;
        statistics.tally.text_bytes_in += text.len() as u64;
        statistics.tally.lines += lines.total;
        statistics.page_chars.add(Side::In, lines.total.chars);
        statistics.page_lines.add(Side::In, lines.total.lines);
        statistics.year(Side::In, timestamp);
        JudgedPage { normalized, cleaned }
    }
}
