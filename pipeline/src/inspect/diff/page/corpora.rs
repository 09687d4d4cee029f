//! The two corpora side by side: what they are, their recipes, their inputs.

use super::Side;
use crate::inspect::diff::facts::{CorpusFacts, Diff, InputFacts};
use crate::view::number;
use crate::view::page::Section;
use crate::view::table::{Cell, Column, Table};
use crate::view::text::Crawl;
use crate::view::value::value;
use c4_data::{Format, InputState};
use maud::{Markup, html};

/// The number of archives of one corpus that are listed at most.
const LISTED: usize = 300;

pub(crate) fn section(diff: &Diff) -> Option<Section> {
    let body = html! {
        (facts(diff).render("corpora-table"))
        h3 { "Recipes" }
        @if diff.recipe.is_empty() {
            p.lead { "No key differs." }
        } @else {
            p.lead { "Keys that differ; of lists, the items that only one has." }
            (recipes(diff).render("recipe-table"))
        }
        h3 { "Archives" }
        p.lead {
            (number::of(diff.inputs.both, "archive", "archives")) " in both"
            @for side in Side::BOTH {
                ", " (number::thousands(side.inputs(diff).len() as u64)) " only in " (side.letter())
            }
            "."
        }
        @if Side::BOTH.iter().any(|side| !side.inputs(diff).is_empty()) { (inputs(diff).render("input-table")) }
    };
    Some(Section {
        id: "corpora",
        title: "The two corpora",
        lead: html! { "What was compared, and how the two were built differently." },
        body,
    })
}

/// A fixed table with a column for each side.
pub(crate) fn side_by_side(caption: &'static str, first: &'static str) -> Table {
    let columns = vec![Column::text(first), Column::text("A"), Column::text("B")];
    let mut table = Table::new(html! { (caption) }, columns);
    table.fixed = true;
    table
}

fn facts(diff: &Diff) -> Table {
    let mut table = side_by_side("The two corpora side by side", "Corpus");
    let mut row = |name: &'static str, of: fn(&CorpusFacts) -> Markup| {
        let cells = [html! { (name) }, of(&diff.a), of(&diff.b)];
        table.rows.push(cells.map(Cell::text).into());
    };
    row("Folder", |c| html! { bdi.url { (Crawl(&c.dir)) } });
    row("Recipe", |c| html! { strong { bdi { (Crawl(&c.recipe)) } } });
    row("Recipe's hash", |c| html! { code { bdi { (Crawl(&c.recipe_hash)) } } });
    row("Program", |c| html! { "c4 " bdi { (Crawl(&c.program)) } });
    row("Pages", |c| html! { (number::thousands(c.pages)) });
    row(
        "Text",
        |c| html! { (number::bytes(c.text_bytes)) " " span.note { (exact(c.text_bytes)) } },
    );
    row("Format", |c| html! { (format(c.format)) });
    row("Ledger", |c| html! { (c.ledger) });
    table
}

fn exact(bytes: u64) -> String {
    number::of(bytes, "byte", "bytes")
}

const fn format(format: Format) -> &'static str {
    match format {
        Format::Arrow => "Arrow",
        Format::Parquet => "Parquet",
        Format::Jsonl => "JSON lines",
    }
}

fn recipes(diff: &Diff) -> Table {
    let mut table = side_by_side("Keys of the recipes that differ", "Key");
    for key in &diff.recipe {
        let name = html! { code { bdi { (Crawl(&key.key)) } } };
        let cells = [name, value(&key.a), value(&key.b)];
        table.rows.push(cells.map(Cell::text).into());
    }
    table
}

fn inputs(diff: &Diff) -> Table {
    let columns = vec![
        Column::text("Archive"),
        Column::text("Only in"),
        // Not rounded: an archive of another size is another archive.
        Column::number("Bytes"),
        Column::text("State"),
    ];
    let mut table = Table::new(html! { "Archives that only one was made from" }, columns);
    for side in Side::BOTH {
        let inputs = side.inputs(diff);
        let row = |input: &InputFacts| {
            vec![
                Cell::text(html! { bdi.url { (Crawl(&input.archive)) } }),
                Cell::text(html! { (side.letter()) }),
                Cell::count(input.bytes),
                Cell::text(state(input.state)),
            ]
        };
        table.rows.extend(inputs.iter().take(LISTED).map(row));
        if inputs.len() > LISTED {
            table.caption = html! { (table.caption) ", at most " (LISTED) " of each" };
            table.show_caption = true;
        }
    }
    table.search = (table.rows.len() > 12).then_some("archives");
    table.boxed = table.rows.len() > 12;
    table
}

fn state(state: InputState) -> Markup {
    match state {
        InputState::Read => html! { "read" },
        InputState::Damaged => html! { strong.alert { "damaged" } },
        InputState::Failed => html! { strong.alert { "failed" } },
    }
}
