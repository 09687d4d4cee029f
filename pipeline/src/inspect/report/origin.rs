//! Where text is from and what it is: languages, domains, years, duplicates, bad words.

use super::flow::step_title;
use crate::view::bars::{self, BarPiece};
use crate::view::histogram::{Bars, Labels, histogram};
use crate::view::language_names::language;
use crate::view::number;
use crate::view::page::Section;
use crate::view::table::{Cell, Column, Table};
use crate::view::text::{self, crawl, masked};
use c4_data::{DomainRow, DomainStats, InOut, Stats};
use maud::{Markup, html};

/// The class for what a step drops, so that a colour means the same in every row.
fn loss_class(stage: Option<&String>) -> &'static str {
    match stage.map(String::as_str) {
        Some("bad_words") => "drop",
        Some("language") => "with-page",
        Some("dedup") => "trim",
        _ => "record",
    }
}

pub(super) fn languages(stats: &Stats) -> Option<Section> {
    if stats.languages.is_empty() {
        return None;
    }
    let mut table = Table::new(
        html! { "Pages that reached the language step, by language" },
        vec![
            Column::text("Language"),
            Column::number("Pages"),
            Column::number("Kept"),
            Column::bar("Share"),
        ],
    );
    let total: u64 = stats.languages.values().map(|n| n.read).sum();
    for (code, n) in by_size(&stats.languages) {
        table.rows.push(vec![
            Cell::text(language(code)),
            Cell::keyed(
                html! { (number::thousands(n.read)) " " span.muted.of { (number::percent(n.read, total)) } },
                n.read as f64,
            ),
            Cell::count(n.kept),
            Cell::share(n.kept, n.read, "kept"),
        ]);
    }
    table.sorted_by = Some(1);
    table.search = Some("languages");
    table.boxed = table.rows.len() > 15;
    let lead = html! { "What the detector found in pages that came this far, and how many of them stayed." };
    Some(Section {
        id: "languages",
        title: "Languages",
        lead,
        body: table.render("language-table"),
    })
}

pub(super) fn domains(stats: &Stats) -> Option<Section> {
    let parts = [
        ("domain-table", "Domain", "domains", stats.domains.as_ref()),
        (
            "tld-table",
            "Top-level domain",
            "top-level domains",
            stats.top_level_domains.as_ref(),
        ),
    ];
    let parts: Vec<Markup> = parts
        .into_iter()
        .filter_map(|(id, one, many, survival)| {
            let survival = survival.filter(|survival| !survival.top.is_empty())?;
            Some(html! {
                h3 { (capital(many)) }
                (survival_table(survival, one, many).render(id))
            })
        })
        .collect();
    if parts.is_empty() {
        return None;
    }
    let lead = html! {
        "The largest by pages read and by pages kept. A bar is all pages of a name; below it stands "
        "the step that dropped most. "
        span.legend {
            i.sw.kept {} "kept " i.sw.drop {} "lost to bad words " i.sw.with-page {} "to language "
            i.sw.trim {} "to duplicates " i.sw.record {} "earlier"
        }
    };
    let body = html! { div.pair { @for part in parts { div { (part) } } } };
    Some(Section {
        id: "domains",
        title: "Domains",
        lead,
        body,
    })
}

fn capital(name: &str) -> String {
    let (first, rest) = name.split_at(name.char_indices().nth(1).map_or(name.len(), |(i, _)| i));
    first.to_uppercase() + rest
}

fn survival_table(survival: &DomainStats, one: &'static str, many: &'static str) -> Table {
    let shown = survival.top.len() as u64;
    let caption = html! {
        (number::thousands(shown)) " of " (number::thousands(survival.distinct.max(shown))) " " (many)
        ", with pages read and kept"
    };
    let columns = vec![
        Column::text(one),
        Column::number("Read"),
        Column::number("Kept"),
        Column::bar("Share kept"),
    ];
    let mut table = Table::new(caption, columns);
    let mut top: Vec<&DomainRow> = survival.top.iter().collect();
    top.sort_by_key(|row| std::cmp::Reverse(row.pages.first().copied()));
    for row in top {
        let read = row.pages.first().copied().unwrap_or(0);
        let kept = row.pages.last().copied().unwrap_or(0);
        let share = html! { (survival_bar(survival, row)) (worst(survival, row)) };
        table.rows.push(vec![
            Cell::text(text::name_or_none(&row.name)),
            Cell::count(read),
            Cell::count(kept),
            Cell::keyed(share, number::ratio(kept, read)),
        ]);
    }
    table.show_caption = true;
    table.sorted_by = Some(1);
    table.search = Some(many);
    table.boxed = table.rows.len() > 15;
    table
}

fn losses(pages: &[u64]) -> impl Iterator<Item = (usize, u64)> {
    let pairs = pages.windows(2).enumerate();
    pairs.map(|(i, pair)| (i + 1, pair[0].saturating_sub(pair[1])))
}

fn survival_bar(survival: &DomainStats, row: &DomainRow) -> Markup {
    let read = row.pages.first().copied().unwrap_or(0);
    let kept = row.pages.last().copied().unwrap_or(0);
    let mut pieces = vec![BarPiece { n: kept, class: "kept" }];
    // What was dropped last stands beside what is kept.
    let mut lost: Vec<(usize, u64)> = losses(&row.pages).filter(|(_, n)| *n > 0).collect();
    lost.reverse();
    pieces.extend(lost.into_iter().map(|(stage, n)| BarPiece {
        n,
        class: loss_class(survival.stages.get(stage)),
    }));
    bars::labelled(&pieces, kept, read)
}

/// The step that dropped most, if any dropped something.
fn worst(survival: &DomainStats, row: &DomainRow) -> Markup {
    let worst = losses(&row.pages).filter(|(_, n)| *n > 0).max_by_key(|(_, n)| *n);
    let read = row.pages.first().copied().unwrap_or(0);
    html! {
        @if let Some((stage, n)) = worst {
            @let name = survival.stages.get(stage).map_or("later", |name| step_title(name));
            span.note { (name) " −" (number::percent(n, read)) }
        }
    }
}

/// The section on the years of crawling, with a histogram from three years on.
pub(super) fn years(stats: &Stats) -> Option<Section> {
    if stats.years.is_empty() {
        return None;
    }
    let mut table = Table::new(
        html! { "Pages by the year of their crawl" },
        vec![
            Column::text("Year"),
            Column::number("Read"),
            Column::number("Kept"),
            Column::bar("Share kept"),
        ],
    );
    for (year, n) in &stats.years {
        let key = year.parse().unwrap_or(0.0);
        let row = [Cell::keyed(crawl(year), key), Cell::count(n.read), Cell::count(n.kept)];
        table
            .rows
            .push(row.into_iter().chain([Cell::share(n.kept, n.read, "kept")]).collect());
    }
    let labels: Vec<String> = stats.years.keys().map(|y| text::head(y, 6).0.to_owned()).collect();
    let column = |pick: fn(&InOut) -> u64| stats.years.values().map(pick).collect::<Vec<u64>>();
    let chart = (labels.len() >= 3).then(|| {
        histogram(&Bars {
            description: "Pages read and kept by year. All numbers are in the table that follows.",
            read: Some(&column(|n| n.read)),
            kept: &column(|n| n.kept),
            labels: Labels::Bars(&labels),
        })
    });
    let body = html! {
        div.pair {
            @if let Some(chart) = chart { figure.chart { (chart) } }
            (table.render("year-table"))
        }
    };
    let lead = html! { "When the pages were crawled." };
    Some(Section {
        id: "years",
        title: "Years",
        lead,
        body,
    })
}

pub(super) fn duplicates(stats: &Stats) -> Option<Section> {
    if stats.duplicates.is_empty() {
        return None;
    }
    let columns = vec![Column::text("Text"), Column::number("Copies")];
    let mut table = Table::new(html! { "Most frequent duplicates" }, columns);
    for duplicate in &stats.duplicates {
        let cell = html! {
            span.quote { (text::cut(&duplicate.text, 220)) }
            @if !duplicate.url.is_empty() { span.note { "kept on " (text::url(&duplicate.url)) } }
        };
        table.rows.push(vec![Cell::text(cell), Cell::count(duplicate.copies)]);
    }
    table.sorted_by = Some(1);
    table.search = Some("duplicates");
    table.boxed = table.rows.len() > 8;
    let lead = html! { "The lines or spans that occur most often. One copy of each is kept." };
    Some(Section {
        id: "duplicates",
        title: "Duplicates",
        lead,
        body: table.render("duplicate-table"),
    })
}

/// The section on the words of the blocklist that were found, masked until the reader asks for them.
pub(super) fn bad_words(stats: &Stats) -> Option<Section> {
    if stats.bad_words.is_empty() {
        return None;
    }
    let columns = vec![
        Column::text("Word"),
        Column::number("Pages"),
        Column::bar("Of pages with one"),
    ];
    let mut table = Table::new(html! { "Words of the blocklist, by pages that hold them" }, columns);
    let dropped = stats.tally.pages.dropped.get("bad_words").copied().unwrap_or(0);
    for word in &stats.bad_words {
        table.rows.push(vec![
            Cell::text(masked(&word.word)),
            Cell::count(word.pages),
            Cell::share(word.pages, dropped, "drop"),
        ]);
    }
    table.sorted_by = Some(1);
    table.boxed = table.rows.len() > 15;
    let lead = html! {
        "The words of the blocklist that dropped pages. A page counts once for each word that it holds."
    };
    let body = html! {
        label.reveal { input #reveal type="checkbox"; span { "Show the words" } }
        (table.render("bad-word-table"))
    };
    Some(Section {
        id: "bad-words",
        title: "Bad words",
        lead,
        body,
    })
}

fn by_size(counts: &std::collections::BTreeMap<String, InOut>) -> Vec<(&str, InOut)> {
    let mut all: Vec<(&str, InOut)> = counts.iter().map(|(k, n)| (k.as_str(), *n)).collect();
    all.sort_by_key(|(code, n)| (std::cmp::Reverse(n.read), *code));
    all
}
