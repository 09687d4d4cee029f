//! Examples of pages and lines that were dropped.

use super::flow::{is_page_reason, reason_doc, reason_title};
use crate::view::number;
use crate::view::page::{self, Section};
use crate::view::text::{self, crawl};
use c4_data::Stats;
use maud::{Markup, html};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::ops::Range;

/// The number of characters of an example that are shown around its match.
const SHOWN: usize = 420;

/// Examples of pages and lines that were dropped; some of each reason are enough.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Examples {
    /// Pages that were dropped.
    pub pages: Vec<ExamplePage>,
    /// Lines that were dropped.
    pub lines: Vec<ExampleLine>,
}

/// A page that was dropped.
#[derive(Debug, Clone, Deserialize)]
pub struct ExamplePage {
    /// The code of the reason why the page was dropped.
    pub reason: String,
    /// The URL of the page.
    pub url: String,
    /// The text of the page, or what earlier steps left of it.
    pub text: String,
    /// The part of the text that decided, in bytes.
    pub matched: Option<Range<usize>>,
}

/// A line that was dropped.
#[derive(Debug, Clone, Deserialize)]
pub struct ExampleLine {
    /// The code of the reason why the line was dropped.
    pub reason: String,
    /// The URL of the page that holds the line.
    pub url: String,
    /// The number of the line in its page, from 0.
    pub line: u64,
    /// The text of the line.
    pub text: String,
    /// The part of the text that decided, in bytes.
    pub matched: Option<Range<usize>>,
    /// The verdict on the line's page: `kept`, or the code of a reason.
    pub page_verdict: String,
}

impl Examples {
    /// The codes of the reasons that there are examples of.
    pub(crate) fn codes(&self) -> BTreeSet<&str> {
        let pages = self.pages.iter().map(|page| page.reason.as_str());
        pages
            .chain(self.lines.iter().map(|line| line.reason.as_str()))
            .collect()
    }
}

/// The section with the examples of each reason, the largest reason first.
pub(crate) fn section(examples: &Examples, stats: &Stats) -> Option<Section> {
    let (mut of_pages, mut of_lines): (Vec<&str>, Vec<&str>) =
        examples.codes().into_iter().partition(|code| is_page_reason(code));
    if of_pages.is_empty() && of_lines.is_empty() {
        return None;
    }
    let tally = &stats.tally;
    let count = |code: &str| {
        let counts = [&tally.pages.dropped, &tally.lines.dropped, &tally.records.dropped];
        counts
            .into_iter()
            .find_map(|counts| counts.get(code))
            .copied()
            .unwrap_or(0)
    };
    of_pages.sort_by_key(|code| std::cmp::Reverse(count(code)));
    of_lines.sort_by_key(|code| std::cmp::Reverse(count(code)));
    let body = html! {
        @for (title, codes, unit) in [("Pages", &of_pages, ("page", "pages")), ("Lines", &of_lines, ("line", "lines"))] {
            @if !codes.is_empty() {
                h3 { (title) }
                // Nobody should meet the blocklist's finds without asking.
                @let first = codes.iter().position(|code| *code != "bad_words");
                @for (i, code) in codes.iter().enumerate() {
                    (reason(examples, code, count(code), unit, first == Some(i)))
                }
            }
        }
    };
    let lead = html! {
        "What decided is " mark { "marked" } ". Texts are cut around it; addresses are text, not links."
    };
    Some(Section {
        id: "examples",
        title: "Examples",
        lead,
        body,
    })
}

fn reason(examples: &Examples, code: &str, n: u64, unit: (&str, &str), open: bool) -> Markup {
    let mask = code == "bad_words";
    let count = (n > 0).then(|| number::of(n, unit.0, unit.1));
    let items = html! {
        @if mask { p.muted { "Matches are masked; the text around them is not. The switch under “Bad words” shows them." } }
        ul role="list" {
            @for page in examples.pages.iter().filter(|page| page.reason == code) { li {
                p.from { (text::url(&page.url)) }
                blockquote { (text::excerpt(page.text.trim(), moved(page).as_ref(), SHOWN, mask)) }
            } }
            @for line in examples.lines.iter().filter(|line| line.reason == code) { li {
                blockquote { (text::excerpt(&line.text, line.matched.as_ref(), SHOWN, mask)) }
                p.from {
                    "line " (number::thousands(line.line)) " of " (text::url(&line.url)) ", "
                    @if line.page_verdict == "kept" { "a page that is kept" }
                    @else { "whose page is dropped for " (crawl(&reason_title(&line.page_verdict))) }
                }
            } }
        }
    };
    let (id, title) = (format!("ex-{code}"), reason_title(code));
    page::examples(&id, open, &title, count.as_deref(), reason_doc(code), &items)
}

/// The match of a page whose text lost the white space at its start.
fn moved(page: &ExamplePage) -> Option<Range<usize>> {
    let off = page.text.len() - page.text.trim_start().len();
    let matched = page.matched.as_ref()?;
    Some(matched.start.checked_sub(off)?..matched.end.checked_sub(off)?)
}
