//! Examples of pages and lines that only one corpus has: `-` is A's and `+` is B's.

use super::causes::anchor;
use super::{Side, title};
use crate::inspect::diff::Cause;
use crate::inspect::diff::facts::{Diff, LineCause, LineExample, PageCause, PageExample};
use crate::inspect::diff::sums::SHOWN_CHARS;
use crate::view::language_names::language_name;
use crate::view::number;
use crate::view::page::{self, Section};
use crate::view::text::{self, Crawl};
use c4_filters::Reason;
use maud::{Markup, html};

/// The number of lines of a page that are shown: many pages start with menus of short ones.
const SHOWN_LINES: usize = 8;

/// The section with the examples of each cause, in the order of the tables.
pub(crate) fn section(diff: &Diff) -> Option<Section> {
    let pages = |side: Side| side.page_causes(diff).iter().filter(|c| !c.examples.is_empty());
    let lines = |side: Side| side.line_causes(diff).iter().filter(|c| !c.examples.is_empty());
    let any = |side: &Side| pages(*side).next().is_some() || lines(*side).next().is_some();
    if !Side::BOTH.iter().any(any) {
        return None;
    }
    let mut unfold = Unfold(false);
    let body = html! {
        @for side in Side::BOTH {
            @if pages(side).next().is_some() {
                h3 { "Pages only in " (side.name(diff)) }
                @for cause in pages(side) { (page_cause(cause, side, unfold.now(cause.cause))) }
            }
        }
        @for side in Side::BOTH {
            @if lines(side).next().is_some() {
                h3 { "Lines only in " (side.name(diff)) }
                @for cause in lines(side) { (line_cause(cause, side, unfold.now(cause.cause))) }
            }
        }
    };
    Some(Section {
        id: "examples",
        title: "Examples",
        lead: html! {
            span.sign-key.was { "-" } " is in A, " span.sign-key.now { "+" } " is in B. Where a part of a line is "
            "left, what is missing is " mark { "marked" } ". Texts are cut; addresses are text, not links."
        },
        body,
    })
}

/// Unfolds the first cause, but nobody should meet the blocklist's finds without asking.
struct Unfold(bool);

impl Unfold {
    fn now(&mut self, cause: Cause) -> bool {
        let now = !self.0 && cause != Cause::Rule(Reason::BadWords);
        self.0 |= now;
        now
    }
}

fn page_cause(cause: &PageCause, side: Side, open: bool) -> Markup {
    let items = html! { ul role="list" { @for page in &cause.examples { li { (page_example(page, side)) } } } };
    let (id, count) = (
        anchor(false, side, cause.cause),
        number::of(cause.pages, "page", "pages"),
    );
    page::examples(&id, open, &title(cause.cause), Some(&count), cause.doc, &items)
}

fn page_example(page: &PageExample, side: Side) -> Markup {
    let lines: Vec<&str> = page.text.trim().lines().collect();
    let shown = lines.iter().take(SHOWN_LINES).copied().collect::<Vec<&str>>();
    let (text, cut) = (shown.join("\n"), lines.len() > SHOWN_LINES || is_cut(&page.text));
    let language = language_name(&page.language).unwrap_or(&page.language);
    html! {
        p.from { (text::url(&page.url)) }
        div.delta { (changed(side, &html! { (Crawl(&text)) @if cut { "…" } })) }
        p.from {
            (number::of(page.lines, "line", "lines")) ", " (number::of(page.chars, "character", "characters"))
            @if !language.is_empty() { ", " bdi { (Crawl(language)) } }
            @if !page.timestamp.is_empty() { ", crawled " bdi { (Crawl(&page.timestamp)) } }
        }
    }
}

fn line_cause(cause: &LineCause, side: Side, open: bool) -> Markup {
    let items = html! { ul role="list" { @for line in &cause.examples { li { (line_example(line, side)) } } } };
    let (id, count) = (
        anchor(true, side, cause.cause),
        number::of(cause.pages, "page", "pages"),
    );
    page::examples(&id, open, &title(cause.cause), Some(&count), cause.doc, &items)
}

fn line_example(line: &LineExample, side: Side) -> Markup {
    let left = line.left.as_deref();
    let whole = html! { (marked(&line.line, left)) @if is_cut(&line.line) { "…" } };
    let whole = changed(side, &whole);
    let left = left.map(|left| {
        let text = html! { (Crawl(left)) @if is_cut(left) { "…" } };
        changed(side.other(), &text)
    });
    html! {
        p.from { (text::url(&line.url)) }
        @if line.line.is_empty() {
            p.muted { "The lines differ in nothing but their order." }
        } @else {
            div.delta {
                @match side {
                    Side::A => { (whole) @if let Some(left) = left { (left) } },
                    Side::B => { @if let Some(left) = left { (left) } (whole) },
                }
            }
        }
        p.from {
            @if line.lines > 1 { (number::thousands(line.lines)) " lines of this page have this cause. " }
            @if line.timestamp_a == line.timestamp_b {
                "Crawled " bdi { (Crawl(&line.timestamp_a)) } "."
            } @else {
                "Crawled " bdi { (Crawl(&line.timestamp_a)) } " in A, " bdi { (Crawl(&line.timestamp_b)) } " in B."
            }
        }
    }
}

/// A line of one side, with its mark for those who see no colour, and words for those who see nothing.
fn changed(side: Side, text: &Markup) -> Markup {
    let body = html! {
        span.sign aria-hidden="true" { @match side { Side::A => "-", Side::B => "+" } }
        span.said { span.hidden { "In " (side.letter()) ": " } bdi { (text) } }
    };
    html! {
        @match side {
            Side::A => del { (body) },
            Side::B => ins { (body) },
        }
    }
}

fn is_cut(text: &str) -> bool {
    text.chars().count() >= SHOWN_CHARS
}

/// `line` with the words marked that are not in what is left of it.
fn marked(line: &str, left: Option<&str>) -> Markup {
    let gone = left.map_or_else(Vec::new, |left| gone(line, left));
    let starts = std::iter::once(0).chain(gone.iter().map(|(_, end)| *end));
    let rest = gone.last().map_or(0, |(_, end)| *end);
    html! {
        @for (from, (start, end)) in starts.zip(&gone) {
            (Crawl(&line[from..*start])) mark { (Crawl(&line[*start..*end])) }
        }
        (Crawl(&line[rest..]))
    }
}

/// Where the words of `line` are that `left` lacks. Nothing if `left` is not a part of it: then it
/// was changed in another way than by leaving words out.
fn gone(line: &str, left: &str) -> Vec<(usize, usize)> {
    let place = |word: &str| word.as_ptr() as usize - line.as_ptr() as usize;
    let mut words: Vec<&str> = line.split_whitespace().collect();
    let mut rest: Vec<&str> = left.split_whitespace().collect();
    let (line_cut, left_cut) = (is_cut(line), is_cut(left));
    if left_cut {
        // Its last word may be half of one.
        rest.pop();
    }
    if !line_cut && !left_cut {
        // Both ends are here, so that words at the end are not taken for the same ones before.
        while words.last().is_some_and(|word| rest.last() == Some(word)) {
            words.pop();
            rest.pop();
        }
    }
    let mut rest = rest.into_iter().peekable();
    let mut gone: Vec<(usize, usize)> = Vec::new();
    let mut together = false;
    // What is known to be gone: up to the last word that is left.
    let mut certain = 0;
    for word in words {
        if left_cut && rest.peek().is_none() {
            break;
        }
        if rest.next_if_eq(&word).is_some() {
            together = false;
            certain = gone.len();
            continue;
        }
        let (start, end) = (place(word), place(word) + word.len());
        match gone.last_mut() {
            Some(last) if together => last.1 = end,
            _ => gone.push((start, end)),
        }
        together = true;
    }
    match rest.peek() {
        Some(_) if !line_cut => return Vec::new(),
        // They may stand where the line is cut off.
        Some(_) => gone.truncate(certain),
        None => {}
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone_words<'t>(line: &'t str, left: &str) -> Vec<&'t str> {
        let places = gone(line, left);
        places.into_iter().map(|(a, b)| &line[a..b]).collect()
    }

    #[test]
    fn what_is_gone_is_found() {
        let line = "One is. The two  are. The three am.";
        assert_eq!(gone_words(line, "The three am."), ["One is. The two  are."]);
        assert_eq!(gone_words(line, "One is. The three am."), ["The two  are."]);
        assert_eq!(gone_words(line, "One is."), ["The two  are. The three am."]);
        assert_eq!(gone_words(line, line), [""; 0]);
        assert_eq!(gone_words(line, "Another line."), [""; 0]);
        assert_eq!(gone_words("", ""), [""; 0]);
    }

    #[test]
    fn of_cut_texts_only_what_is_there_is_marked() {
        let long: String = "word ".repeat(60);
        let line = format!("Gone. {}", &long[..294]);
        assert_eq!(gone_words(&line, &long), ["Gone."]);
        assert_eq!(gone_words(&line, "word and more"), ["Gone."]);
        assert_eq!(gone_words(&line, "and more"), [""; 0]);
    }
}
