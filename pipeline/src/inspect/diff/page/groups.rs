//! Where the difference is: by language and by domain.

use super::Side;
use crate::inspect::diff::facts::{Diff, GroupDiff};
use crate::view::bars::{BarPiece, bar};
use crate::view::language_names::language;
use crate::view::number;
use crate::view::page::Section;
use crate::view::table::{Cell, Column, Table};
use crate::view::text::name_or_none;
use maud::{Markup, html};

pub(super) fn languages(diff: &Diff) -> Option<Section> {
    let mut table = table(&diff.languages, "Language", language)?;
    table.search = (table.rows.len() > 1).then_some("languages");
    Some(Section {
        id: "languages",
        title: "Languages",
        lead: html! { "Pages that differ, by language; that of A if both have the page. " (legend()) },
        body: html! { div.groups { (table.render("language-table")) } },
    })
}

pub(super) fn domains(diff: &Diff) -> Option<Section> {
    let mut table = table(&diff.domains, "Domain", name_or_none)?;
    table.search = Some("domains");
    let shown = diff.domains.len() as u64;
    Some(Section {
        id: "domains",
        title: "Domains",
        lead: html! {
            "Pages that differ, by domain: " (number::thousands(shown)) " of "
            (number::of(diff.domains_in_all.max(shown), "domain", "domains")) ". " (legend())
        },
        body: html! { div.groups { (table.render("domain-table")) } },
    })
}

fn legend() -> Markup {
    html! {
        span.legend {
            i.sw.(Side::A.class()) {} "only in A " i.sw.trim {} "other text " i.sw.(Side::B.class()) {} "only in B"
        }
    }
}

fn table(groups: &[GroupDiff], head: &'static str, name: fn(&str) -> Markup) -> Option<Table> {
    if groups.is_empty() {
        return None;
    }
    let columns = vec![
        Column::text(head),
        Column::number("Pages"),
        Column::number("Only in A"),
        Column::number("Other text"),
        Column::number("Only in B"),
        Column::bar("Parts"),
    ];
    let mut table = Table::new(html! { "Pages that differ" }, columns);
    for group in groups {
        let all = group.only_a + group.changed + group.only_b;
        let piece = |n, class| BarPiece { n, class };
        let pieces = [
            piece(group.only_a, Side::A.class()),
            piece(group.changed, "trim"),
            piece(group.only_b, Side::B.class()),
        ];
        // From what is only in A to what is only in B.
        let balance = number::ratio(group.only_a, all) - number::ratio(group.only_b, all);
        table.rows.push(vec![
            Cell::text(name(&group.name)),
            Cell::count(all),
            Cell::count(group.only_a),
            Cell::count(group.changed),
            Cell::count(group.only_b),
            Cell::keyed(bar(&pieces, all), balance),
        ]);
    }
    table.sorted_by = Some(1);
    table.boxed = table.rows.len() > 15;
    Some(table)
}
