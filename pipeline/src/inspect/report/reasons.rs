//! Every reason with its numbers, and every step with its own: the tables behind the river.

use super::flow::{reason_doc, reason_title, step_title};
use crate::view::page::{Section, fold};
use crate::view::table::{Cell, Column, Table};
use crate::view::text::{Crawl, crawl};
use crate::view::value::recipe_key;
use c4_data::{Account, Named, Stats};
use c4_filters::{Reason, Scope};
use maud::html;
use std::collections::BTreeSet;

pub(crate) fn section(stats: &Stats, linked: &BTreeSet<&str>) -> Option<Section> {
    let pages = page_table(stats, linked);
    let lines = line_table(stats, linked);
    let records = record_table(stats);
    if pages.rows.is_empty() && lines.rows.is_empty() && records.rows.is_empty() {
        return None;
    }
    let body = html! {
        @for (id, table) in [("page-reasons", &pages), ("line-reasons", &lines), ("record-reasons", &records)] {
            @if !table.rows.is_empty() { (table.render(id)) }
        }
        @if !stats.stages.is_empty() { (fold("Numbers by step", &step_table(stats).render("steps"))) }
    };
    let lead = html! {
        "Everything counts once, under the first reason that removed it. A dropped page "
        "counts with what the line rules had left of it."
    };
    Some(Section {
        id: "reasons",
        title: "Every reason",
        lead,
        body,
    })
}

fn page_table(stats: &Stats, linked: &BTreeSet<&str>) -> Table {
    let tally = &stats.tally;
    let mut table = Table::new(
        html! { "Pages dropped, with their text" },
        vec![
            Column::text("Reason"),
            Column::number("Pages"),
            Column::bar("Of pages"),
            Column::number("Lines"),
            Column::number("Characters"),
            Column::number("Words"),
            Column::bar("Of words"),
        ],
    );
    for (code, n) in sorted(&tally.pages.dropped) {
        let gone = |account: &Account| account.gone_with_page.as_ref()?.get(code).copied();
        let (lines, words) = (gone(&tally.lines), gone(&tally.words));
        table.rows.push(vec![
            reason(code, linked),
            Cell::count(n),
            Cell::share(n, tally.pages.read, "drop"),
            lines.map_or_else(Cell::none, Cell::count),
            gone(&tally.chars).map_or_else(Cell::none, Cell::count),
            words.map_or_else(Cell::none, Cell::count),
            words.map_or_else(Cell::none, |n| Cell::share(n, tally.words.read, "drop")),
        ]);
    }
    table.show_caption = true;
    table.sorted_by = Some(1);
    table
}

fn line_table(stats: &Stats, linked: &BTreeSet<&str>) -> Table {
    let tally = &stats.tally;
    let mut table = Table::new(
        html! { "Lines dropped by themselves" },
        vec![
            Column::text("Reason"),
            Column::number("Lines"),
            Column::bar("Of lines"),
            Column::number("Characters"),
            Column::number("Words"),
            Column::bar("Of words"),
        ],
    );
    for (code, n) in sorted(&tally.lines.dropped) {
        let words = tally.words.dropped.get(code).copied();
        let chars = tally.chars.dropped.get(code).copied();
        table.rows.push(vec![
            reason(code, linked),
            Cell::count(n),
            Cell::share(n, tally.lines.read, "drop"),
            chars.map_or_else(Cell::none, Cell::count),
            words.map_or_else(Cell::none, Cell::count),
            words.map_or_else(Cell::none, |n| Cell::share(n, tally.words.read, "drop")),
        ]);
    }
    table.show_caption = true;
    table.sorted_by = Some(1);
    table
}

fn record_table(stats: &Stats) -> Table {
    let records = &stats.tally.records;
    let columns = vec![
        Column::text("Reason"),
        Column::number("Records"),
        Column::bar("Of records"),
    ];
    let mut table = Table::new(html! { "Records that became no page" }, columns);
    for (code, n) in sorted(&records.dropped) {
        let cells = [Cell::count(n), Cell::share(n, records.read, "drop")];
        table
            .rows
            .push([reason(code, &BTreeSet::new())].into_iter().chain(cells).collect());
    }
    table.show_caption = true;
    table.sorted_by = Some(1);
    table
}

fn step_table(stats: &Stats) -> Table {
    let mut table = Table::new(
        html! { "What reaches each step and what leaves it" },
        vec![
            Column::text("Step"),
            Column::number("Pages in"),
            Column::number("Pages out"),
            Column::number("Lines in"),
            Column::number("Lines out"),
            Column::number("Characters in"),
            Column::number("Characters out"),
            Column::number("Words in"),
            Column::number("Words out"),
        ],
    );
    for stage in &stats.stages {
        let name = html! { (step_title(&stage.stage)) " " span.muted { (Crawl(&stage.doc)) } };
        let mut row = vec![Cell::text(name)];
        for amount in [stage.pages, stage.lines, stage.chars, stage.words] {
            row.extend([Cell::count(amount.read), Cell::count(amount.kept)]);
        }
        table.rows.push(row);
    }
    table
}

/// The counts that are not 0, the largest first.
fn sorted(counts: &Named<u64>) -> Vec<(&str, u64)> {
    let counts = counts.iter().filter(|(_, n)| **n > 0);
    let mut counts: Vec<(&str, u64)> = counts.map(|(code, n)| (code.as_str(), *n)).collect();
    counts.sort_by_key(|(code, n)| (std::cmp::Reverse(*n), *code));
    counts
}

fn reason(code: &str, linked: &BTreeSet<&str>) -> Cell {
    Cell::text(html! {
        @if linked.contains(code) {
            a href={ "#ex-" (code) } { (reason_title(code)) }
        } @else { (crawl(&reason_title(code))) }
        @if let Some(rule) = rule(code) { " " (recipe_key(rule)) }
        span.note { (reason_doc(code)) }
    })
}

/// The key of the recipe that decides.
fn rule(code: &str) -> Option<&'static str> {
    let reason = Reason::from_code(code).filter(|reason| reason.scope() != Scope::Record);
    reason.map(Reason::rule)
}
