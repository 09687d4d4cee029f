//! The top of the page: a sentence, what made most of the difference, and how the two overlap.

use super::{Side, title};
use crate::inspect::diff::Cause;
use crate::inspect::diff::facts::Diff;
use crate::view::number;
use crate::view::table::{Cell, Column, Table};
use crate::view::text::Crawl;
use maud::{Markup, html};

pub(super) fn head(diff: &Diff) -> Markup {
    html! {
        (headline(diff))
        p.sub { (sentence(diff)) }
        @if diff.pages.a + diff.pages.b > 0 {
            (overlap(diff))
            (page_table(diff).render("page-table"))
        }
    }
}

fn pages(n: u64) -> String {
    number::of(n, "page", "pages")
}

/// The number of pages that are not the same in both.
fn differing(diff: &Diff) -> u64 {
    diff.pages.only_a + diff.pages.only_b + diff.pages.changed
}

fn headline(diff: &Diff) -> Markup {
    let n = &diff.pages;
    html! {
        h1 {
            @if n.a + n.b == 0 {
                "Neither corpus has a page" @if diff.domain.is_some() { " of this domain" } "."
            } @else if diff.is_empty() {
                "The same " b { (pages(n.same)) } " with the same texts."
            } @else {
                b { (pages(n.same + n.changed)) } " in both, " b { (number::thousands(n.changed)) }
                " with other text; " b { (number::thousands(n.only_a)) } " only in A, "
                b { (number::thousands(n.only_b)) } " only in B"
            }
        }
    }
}

fn sentence(diff: &Diff) -> Markup {
    html! {
        "A is " strong { bdi { (Crawl(&diff.a.recipe)) } } ", B is " strong { bdi { (Crawl(&diff.b.recipe)) } } "."
        @if let Some(domain) = &diff.domain {
            " Only pages of " strong { bdi { (Crawl(domain)) } } " were compared."
        }
        @if let Some(reason) = diff.reason {
            " Below the next table is only what has the cause " strong { (title(reason)) } "."
        } @else if let Some(largest) = largest(diff) {
            @let all = differing(diff);
            @if 2 * largest.pages > all { " Most of the difference is from " } @else { " The largest cause is " }
            strong { (title(largest.cause)) } ": "
            @if largest.lines {
                (pages(largest.pages)) " with lines that only " (largest.side.name(diff)) " has"
            } @else {
                (pages(largest.pages)) " that only " (largest.side.name(diff)) " has"
            }
            ", " (number::percent(largest.pages, all)) " of all that differ. " (largest.doc)
        }
        @if diff.unknown() > 0 {
            " For " strong.alert { (pages(diff.unknown())) } " that differ the cause is not known"
            @if diff.notes.is_empty() { "." } @else { "; the " a href="#notes" { "notes" } " say why." }
        }
    }
}

struct Largest {
    side: Side,
    /// Whether it is a cause of lines, not of pages.
    lines: bool,
    cause: Cause,
    doc: &'static str,
    pages: u64,
}

/// The cause that the most pages differ for; of equal ones that of whole pages, then that of A.
fn largest(diff: &Diff) -> Option<Largest> {
    let of_pages = Side::BOTH.into_iter().flat_map(|side| {
        let causes = side.page_causes(diff).iter();
        causes.map(move |c| (side, false, c.cause, c.doc, c.pages))
    });
    let of_lines = Side::BOTH.into_iter().flat_map(|side| {
        let causes = side.line_causes(diff).iter();
        causes.map(move |c| (side, true, c.cause, c.doc, c.pages))
    });
    let causes = of_pages.chain(of_lines).filter(|cause| cause.4 > 0);
    let largest = causes.reduce(|best, next| if next.4 > best.4 { next } else { best });
    largest.map(|(side, lines, cause, doc, pages)| Largest {
        side,
        lines,
        cause,
        doc,
        pages,
    })
}

/// The parts of both corpora in one order, so that those of A stand together, and those of B.
fn parts(diff: &Diff) -> [(&'static str, &'static str, u64); 4] {
    let n = &diff.pages;
    [
        ("Only in A", Side::A.class(), n.only_a),
        ("In both, same text", "read", n.same),
        ("In both, other text", "trim", n.changed),
        ("Only in B", Side::B.class(), n.only_b),
    ]
}

/// A drawing of two corpora on top of each other: A spans the first three parts, B the last three. The table that
/// follows has the numbers.
fn overlap(diff: &Diff) -> Markup {
    let parts = parts(diff).map(|(_, class, n)| (class, n));
    let seen: Vec<_> = parts.into_iter().filter(|(_, n)| *n > 0).collect();
    // A part that is there is seen, however small it is.
    let columns: Vec<String> = seen.iter().map(|(_, n)| format!("minmax(4px,{n}fr)")).collect();
    let first_of_b = 1 + usize::from(diff.pages.only_a > 0);
    let after_a = seen.len() + 1 - usize::from(diff.pages.only_b > 0);
    html! {
        figure.overlap aria-hidden="true" style={ "grid-template-columns:" (columns.join(" ")) } {
            @if diff.pages.a > 0 {
                span.a style={ "grid-column:1/" (after_a) } { span { "A: " (pages(diff.pages.a)) } }
            }
            @for (class, _) in &seen { i.(class) {} }
            @if diff.pages.b > 0 {
                span.b style={ "grid-column:" (first_of_b) "/-1" } { span { "B: " (pages(diff.pages.b)) } }
            }
        }
    }
}

fn page_table(diff: &Diff) -> Table {
    let n = &diff.pages;
    let mut table = Table::new(
        html! { "Pages of the two corpora" },
        vec![
            Column::text("Pages"),
            Column::number("Number"),
            Column::number("Of A"),
            Column::number("Of B"),
        ],
    );
    let share = |part: u64, whole: u64| Cell::text(html! { (number::percent(part, whole)) });
    let shares = |part: u64, of_a: bool, of_b: bool| {
        let cell = |said: bool, whole| {
            if said { share(part, whole) } else { Cell::none() }
        };
        [cell(of_a, n.a), cell(of_b, n.b)]
    };
    for (i, (name, class, count)) in parts(diff).into_iter().enumerate() {
        let name = Cell::text(html! { i.sw.(class) {} (name) });
        let row = [name, Cell::count(count)];
        let row = row.into_iter().chain(shares(count, i != 3, i != 0));
        table.rows.push(row.collect());
    }
    for (name, count) in [
        ("In both, other language", n.other_language),
        ("In both, other split", n.other_split),
    ] {
        if count > 0 {
            let row = [Cell::text(html! { (name) }), Cell::count(count)];
            let row = row.into_iter().chain(shares(count, true, true));
            table.rows.push(row.collect());
        }
    }
    table.fixed = true;
    table
}
