//! The build itself: how it ran, its recipe, what it was made from.

use super::model::{Manifest, ReportInput, Run};
use crate::view::bars::share_of_time;
use crate::view::number;
use crate::view::page::{Section, fold};
use crate::view::table::{Cell, Column, Table};
use crate::view::text::{Crawl, crawl, cut};
use maud::{Markup, html};
use serde_json::Value;

/// The number of archives that are listed at most; those with damage come first.
const LISTED: usize = 300;
/// The order of the passes of a build.
const PASSES: [&str; 5] = ["clean", "newest page per URL", "duplicates", "finish", "shards"];
/// The order of the sections of a recipe.
const PARTS: [&str; 10] = [
    "read",
    "length",
    "domains",
    "urls",
    "paragraphs",
    "clean",
    "dedup",
    "language",
    "bad_words",
    "split",
];

/// The section on the run of the build; `None` without `run.json`.
pub(crate) fn run(manifest: &Manifest, run: Option<&Run>) -> Option<Section> {
    let run = run?;
    let archives: u64 = manifest.inputs.iter().map(|input| input.bytes).sum();
    let rate = |n: u64| number::bytes((n as f64 / run.wall_seconds) as u64) + "/s";
    let mut facts: Vec<(&str, String)> = vec![("Time", number::seconds(run.wall_seconds))];
    if archives > 0 && run.wall_seconds > 0.0 {
        facts.push((
            "Archives read",
            format!("{}, {}", number::bytes(archives), rate(archives)),
        ));
    }
    if let Some(cpu) = run.cpu_seconds {
        let cores = if run.wall_seconds > 0.0 {
            cpu / run.wall_seconds
        } else {
            0.0
        };
        let threads = run
            .threads
            .map_or_else(String::new, |n| format!(" of {}", number::of(n, "thread", "threads")));
        facts.push((
            "CPU time",
            format!("{}, {cores:.1} cores busy{threads}", number::seconds(cpu)),
        ));
    }
    if let Some(memory) = run.peak_memory_bytes {
        facts.push(("Peak memory", number::bytes(memory)));
    }
    let columns = vec![Column::text("Pass"), Column::number("Time"), Column::bar("Share")];
    let mut table = Table::new(html! { "Time by pass" }, columns);
    let place = |name: &str| PASSES.iter().position(|pass| *pass == name).unwrap_or(PASSES.len());
    let mut passes: Vec<(&String, &f64)> = run.wall_seconds_by_pass.iter().collect();
    passes.sort_by_key(|(name, _)| place(name));
    for (name, s) in passes {
        table.rows.push(vec![
            Cell::text(crawl(name)),
            Cell::keyed(html! { (number::seconds(*s)) }, *s),
            Cell::keyed(share_of_time(*s, run.wall_seconds), *s),
        ]);
    }
    let body = html! {
        div.pair {
            (facts_list(&facts))
            @if !table.rows.is_empty() { (table.render("passes")) }
        }
    };
    let lead = html! { "Time, memory and passes of the run that wrote the corpus." };
    Some(Section {
        id: "run",
        title: "The run",
        lead,
        body,
    })
}

fn facts_list(facts: &[(&str, String)]) -> Markup {
    html! { dl.facts { @for (name, value) in facts { div { dt { (name) } dd { (value) } } } } }
}

/// The section on the recipe's constants.
pub(super) fn recipe(manifest: &Manifest) -> Option<Section> {
    let recipe = &manifest.recipe;
    if recipe.is_empty() {
        return None;
    }
    let place = |name: &str| PARTS.iter().position(|part| *part == name).unwrap_or(PARTS.len());
    let mut parts: Vec<(&String, &Value)> = recipe.iter().filter(|(_, v)| v.is_object()).collect();
    parts.sort_by_key(|(name, _)| place(name));
    let columns = || vec![Column::text("Constant"), Column::text("Value")];
    let mut table = Table::new(html! { "Constants of the recipe" }, columns());
    for (part, value) in parts {
        for (key, value) in value.as_object().into_iter().flatten() {
            let name = html! { code { span.muted { (Crawl(part)) "." } (Crawl(key)) } };
            table
                .rows
                .push(vec![Cell::text(name), Cell::text(crate::view::value::value(value))]);
        }
    }
    let field = |name: &str| recipe.get(name).and_then(Value::as_str).unwrap_or_default();
    let lead = html! {
        strong { (Crawl(field("name"))) } @if !field("description").is_empty() { ": " (Crawl(field("description"))) }
    };
    Some(Section {
        id: "recipe",
        title: "The recipe",
        lead,
        body: table.render("recipe-table"),
    })
}

/// The section on the archives that were read, with their damage, and on the shards that were written.
pub(super) fn inputs(manifest: &Manifest) -> Option<Section> {
    if manifest.inputs.is_empty() && manifest.shards.is_empty() {
        return None;
    }
    let mut inputs: Vec<&ReportInput> = manifest.inputs.iter().collect();
    inputs.sort_by_key(|input| input.state == "read");
    let damaged = inputs.iter().filter(|input| input.state != "read").count() as u64;
    let bytes = inputs.iter().map(|input| input.bytes).sum();
    let columns = vec![Column::text("Archive"), Column::number("Size"), Column::text("State")];
    let mut table = Table::new(
        html! { "Archives read" @if inputs.len() > LISTED { ": " (LISTED) " of " (number::thousands(inputs.len() as u64)) } },
        columns,
    );
    for input in inputs.iter().take(LISTED) {
        table.rows.push(vec![
            Cell::text(html! { bdi.url { (Crawl(&input.archive)) } }),
            Cell::keyed(html! { (number::bytes(input.bytes)) }, input.bytes as f64),
            Cell::text(state(input)),
        ]);
    }
    table.show_caption = inputs.len() > LISTED;
    table.search = (inputs.len() > 12).then_some("archives");
    table.boxed = inputs.len() > 12;
    let lead = html! {
        (number::of(inputs.len() as u64, "archive", "archives")) ", " (number::bytes(bytes)) "; "
        @if damaged == 0 { "all could be read in full." }
        @else { strong.alert { (number::of(damaged, "archive", "archives")) " with damage." } " All else was read." }
    };
    let body = html! {
        @if !table.rows.is_empty() { (table.render("input-table")) }
        @if !manifest.shards.is_empty() {
            @let rows = manifest.shards.iter().map(|shard| shard.rows).sum();
            @let summary = format!("{} with {}", number::of(manifest.shards.len() as u64, "shard", "shards"), number::of(rows, "document", "documents"));
            (fold(&summary, &shard_table(manifest).render("shard-table")))
        }
    };
    Some(Section {
        id: "inputs",
        title: "Archives and shards",
        lead,
        body,
    })
}

fn state(input: &ReportInput) -> Markup {
    html! {
        @if input.state == "read" { "read" } @else {
            strong.alert { (Crawl(&input.state)) }
            @if input.damaged_records > 0 { ", " (number::of(input.damaged_records, "place", "places")) }
            @if !input.damage.is_empty() {
                ul.damage { @for place in &input.damage { li {
                    "byte " (number::thousands(place.offset)) ": " (cut(&place.cause, 200))
                } } }
            }
        }
    }
}

fn shard_table(manifest: &Manifest) -> Table {
    let columns = vec![
        Column::text("File"),
        Column::number("Documents"),
        Column::number("Text"),
        Column::number("Size"),
    ];
    let mut table = Table::new(html! { "Shards" }, columns);
    for shard in manifest.shards.iter().take(LISTED) {
        table.rows.push(vec![
            Cell::text(html! { bdi.url { (Crawl(&shard.file)) } }),
            Cell::count(shard.rows),
            Cell::keyed(html! { (number::bytes(shard.text_bytes)) }, shard.text_bytes as f64),
            Cell::keyed(html! { (number::bytes(shard.bytes)) }, shard.bytes as f64),
        ]);
    }
    table.boxed = table.rows.len() > 12;
    table
}
