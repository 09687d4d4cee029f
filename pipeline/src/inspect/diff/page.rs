//! A comparison as a page of HTML, of the parts of a [`report`](crate::inspect::report).
//!
//! A stands for what was (`-`, the first colour), B for what is (`+`, the second); texts of the two
//! corpora are text from the crawl, and so are the names that their files give.

mod causes;
mod corpora;
mod examples;
mod groups;
mod head;

use super::Cause;
use super::facts::{Diff, InputFacts, LineCause, PageCause};
use crate::corpus::REPORT_GENERATOR;
use crate::view::page;
use crate::view::text::{Crawl, head as start};
use maud::{Markup, html};

/// A side of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    A,
    B,
}

impl Side {
    const BOTH: [Side; 2] = [Side::A, Side::B];

    const fn other(self) -> Side {
        match self {
            Side::A => Side::B,
            Side::B => Side::A,
        }
    }

    const fn letter(self) -> &'static str {
        match self {
            Side::A => "A",
            Side::B => "B",
        }
    }

    /// The part of an anchor that stands for the side.
    const fn anchor(self) -> &'static str {
        match self {
            Side::A => "a",
            Side::B => "b",
        }
    }

    /// The class of the style sheet that colours the side.
    const fn class(self) -> &'static str {
        match self {
            Side::A => "drop",
            Side::B => "kept",
        }
    }

    fn pages(self, diff: &Diff) -> u64 {
        match self {
            Side::A => diff.pages.only_a,
            Side::B => diff.pages.only_b,
        }
    }

    fn page_causes(self, diff: &Diff) -> &[PageCause] {
        match self {
            Side::A => &diff.only_a,
            Side::B => &diff.only_b,
        }
    }

    fn line_causes(self, diff: &Diff) -> &[LineCause] {
        match self {
            Side::A => &diff.changed.only_a,
            Side::B => &diff.changed.only_b,
        }
    }

    fn inputs(self, diff: &Diff) -> &[InputFacts] {
        match self {
            Side::A => &diff.inputs.only_a,
            Side::B => &diff.inputs.only_b,
        }
    }

    /// The letter of the side, with the name of its recipe if that tells the two apart.
    fn name(self, diff: &Diff) -> Markup {
        let recipe = match self {
            Side::A => &diff.a.recipe,
            Side::B => &diff.b.recipe,
        };
        html! {
            (self.letter())
            @if diff.a.recipe != diff.b.recipe { " (" bdi { (Crawl(start(recipe, 40).0)) } ")" }
        }
    }
}

/// The comparison as one HTML file.
pub fn page(diff: &Diff) -> String {
    let sections = [
        corpora::section(diff),
        causes::only(diff, Side::A),
        causes::only(diff, Side::B),
        causes::changed(diff),
        groups::languages(diff),
        groups::domains(diff),
        examples::section(diff),
        notes(diff),
    ];
    page::page(&page::HtmlPage {
        generator: REPORT_GENERATOR,
        title: &format!("C4 comparison: {} and {}", diff.a.recipe, diff.b.recipe),
        kind: "Comparison",
        head: head::head(diff),
        sections: sections.into_iter().flatten().collect(),
        foot: html! {
            p {
                "A is " span.hash { (Crawl(&diff.a.dir)) } ", B is " span.hash { (Crawl(&diff.b.dir)) }
                "; compared by c4 " (env!("CARGO_PKG_VERSION"))
                ". This file stands alone: it loads nothing and sends nothing."
            }
        },
    })
}

fn title(cause: Cause) -> String {
    cause.code().replace('_', " ")
}

fn notes(diff: &Diff) -> Option<page::Section> {
    if diff.notes.is_empty() {
        return None;
    }
    Some(page::Section {
        id: "notes",
        title: "Notes",
        lead: html! { "What could not be found out and why, and what else is worth knowing." },
        body: html! { ul.notes { @for note in &diff.notes { li { bdi { (Crawl(note)) } } } } },
    })
}
