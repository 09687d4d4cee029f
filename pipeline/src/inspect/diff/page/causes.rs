//! What made the difference: tables by cause, of pages and of lines.

use super::corpora::side_by_side;
use super::{Side, title};
use crate::inspect::diff::Cause;
use crate::inspect::diff::facts::{Diff, LineCause, PageCause};
use crate::view::number;
use crate::view::page::Section;
use crate::view::table::{Cell, Column, Table};
use crate::view::value::recipe_key;
use maud::html;

/// The anchor of a cause's examples.
pub(crate) fn anchor(lines: bool, side: Side, cause: Cause) -> String {
    let what = if lines { "lines" } else { "pages" };
    format!("ex-{what}-{}-{}", side.anchor(), cause.code())
}

/// The section on pages that only `side` has.
pub(super) fn only(diff: &Diff, side: Side) -> Option<Section> {
    let causes = side.page_causes(diff);
    if causes.is_empty() {
        return None;
    }
    let columns = vec![
        Column::text("Cause"),
        Column::number("Pages"),
        Column::bar("Of these pages"),
        Column::number("Lines"),
        Column::number("Characters"),
    ];
    let caption = html! { "Pages only in " (side.letter()) ", by cause" };
    let mut table = Table::new(caption, columns);
    let all = side.pages(diff);
    let row = |cause: &PageCause| {
        let link = (!cause.examples.is_empty()).then(|| anchor(false, side, cause.cause));
        vec![
            name(cause.cause, cause.rule, cause.doc, link),
            Cell::count(cause.pages),
            Cell::share(cause.pages, all, side.class()),
            Cell::count(cause.lines),
            Cell::count(cause.chars),
        ]
    };
    table.rows = causes.iter().map(row).collect();
    table.sorted_by = Some(1);
    let (id, title, table_id) = match side {
        Side::A => ("only-a", "Only in A", "only-a-table"),
        Side::B => ("only-b", "Only in B", "only-b-table"),
    };
    Some(Section {
        id,
        title,
        lead: html! {
            (number::of(all, "page", "pages")) " that only " (side.name(diff)) " has, by what "
            (side.other().name(diff)) " did with them."
        },
        body: html! { div.causes { (table.render(table_id)) } },
    })
}

/// The section on pages that both have, with other text.
pub(super) fn changed(diff: &Diff) -> Option<Section> {
    let changed = &diff.changed;
    if changed.pages == 0 {
        return None;
    }
    let body = html! {
        (sizes(diff).render("changed-table"))
        @for side in Side::BOTH {
            @if !side.line_causes(diff).is_empty() {
                h3 { "Lines only in " (side.name(diff)) ", by what " (side.other().name(diff)) " did with them" }
                div.causes { (lines(diff, side).render(&format!("lines-{}-table", side.anchor()))) }
            }
        }
    };
    Some(Section {
        id: "changed",
        title: "Other text",
        lead: html! {
            (number::of(changed.pages, "page", "pages")) " that both have, with other text. A page with lines of "
            "several causes counts for each."
            @if changed.pages_reordered > 0 {
                " On " (number::of(changed.pages_reordered, "page", "pages"))
                " the lines differ in nothing but their order."
            }
            @if changed.pages_unknown > 0 {
                " On " (number::of(changed.pages_unknown, "page", "pages"))
                " the cause of some line is not known."
            }
        },
        body,
    })
}

fn sizes(diff: &Diff) -> Table {
    let changed = &diff.changed;
    let mut table = side_by_side("Size of the pages with other text", "These pages");
    for (name, a, b) in [
        ("Lines", changed.lines_a, changed.lines_b),
        ("Characters", changed.chars_a, changed.chars_b),
    ] {
        let name = Cell::text(html! { (name) });
        table.rows.push(vec![name, Cell::count(a), Cell::count(b)]);
    }
    for column in &mut table.columns[1..] {
        *column = Column::number(column.head);
    }
    table
}

fn lines(diff: &Diff, side: Side) -> Table {
    let columns = vec![
        Column::text("Cause"),
        Column::number("Pages"),
        Column::bar("Of these pages"),
        Column::number("Lines gone"),
        Column::number("Lines cut"),
        Column::number("Characters"),
    ];
    let caption = html! { "Lines only in " (side.letter()) ", by cause" };
    let mut table = Table::new(caption, columns);
    let row = |cause: &LineCause| {
        let link = (!cause.examples.is_empty()).then(|| anchor(true, side, cause.cause));
        vec![
            name(cause.cause, cause.rule, cause.doc, link),
            Cell::count(cause.pages),
            Cell::share(cause.pages, diff.changed.pages, side.class()),
            Cell::count(cause.lines),
            Cell::count(cause.cut_lines),
            Cell::count(cause.chars),
        ]
    };
    table.rows = side.line_causes(diff).iter().map(row).collect();
    table.sorted_by = Some(1);
    table
}

/// The cell of a cause, with what decides and its sentence; `link` leads to its examples.
fn name(cause: Cause, rule: &str, doc: &str, link: Option<String>) -> Cell {
    Cell::text(html! {
        @if let Some(link) = link { a href={ "#" (link) } { (title(cause)) } } @else { (title(cause)) }
        @if !rule.is_empty() { " " (recipe_key(rule)) }
        span.note { (doc) }
    })
}
