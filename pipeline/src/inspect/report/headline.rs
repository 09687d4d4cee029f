//! The top of the report: warnings, one sentence, a few figures; and its foot.

use super::flow::{Measure, reason_title};
use super::model::{Manifest, Run, recipe_name};
use crate::view::bars::{BarPiece, bar};
use crate::view::number;
use crate::view::text::{Crawl, crawl};
use c4_data::{Account, Stats};
use maud::{Markup, html};

/// The box with what must not be overlooked: the build's own warnings, and sums that are not right.
pub(super) fn warnings(stats: &Stats) -> Markup {
    let wrong: Vec<String> = wrong_sums(stats);
    html! {
        @if !stats.warnings.is_empty() || !wrong.is_empty() {
            aside.warnings aria-labelledby="warnings-title" {
                h2 #warnings-title { "Look at this first" }
                ul {
                    @for warning in &stats.warnings { li { (crawl(warning)) } }
                    @for sum in &wrong { li { (sum) } }
                }
            }
        }
    }
}

fn wrong_sums(stats: &Stats) -> Vec<String> {
    let tally = &stats.tally;
    let accounts = [
        ("records", &tally.records),
        ("pages", &tally.pages),
        ("lines", &tally.lines),
        ("characters", &tally.chars),
        ("words", &tally.words),
    ];
    let wrong = accounts.into_iter().filter(|(_, account)| account.missing() != 0);
    wrong
        .map(|(name, account)| {
            format!(
                "The {name} do not add up: {} are neither kept nor dropped for a reason.",
                account.missing()
            )
        })
        .collect()
}

/// The headline of the page with a sentence and a few figures.
pub(crate) fn headline(stats: &Stats, manifest: &Manifest, run: Option<&Run>) -> Markup {
    let tally = &stats.tally;
    let (pages, lines) = (&tally.pages, &tally.lines);
    html! {
        h1 {
            @if pages.read == 0 {
                "No page was read."
            } @else if pages.kept == 0 {
                "None of " b { (number::of(pages.read, "page", "pages")) } " was kept."
            } @else {
                b { (number::thousands(pages.kept)) } " of " (number::of(pages.read, "page", "pages"))
                " kept: " b.share { (number::percent(pages.kept, pages.read)) }
            }
        }
        p.sub {
            "Recipe " strong { (Crawl(&recipe_name(stats, manifest))) } "."
            @if let Some((code, n)) = largest(pages) {
                " Most pages were dropped for " strong { (reason_title(code)) }
                " (" (number::percent(n, pages.read)) ")"
                @if let Some((code, n)) = largest(lines) {
                    ", most single lines for " strong { (reason_title(code)) }
                    " (" (number::percent(n, lines.read)) ")"
                }
                "."
            }
        }
        dl.figures {
            @for unit in [Measure::Pages, Measure::Lines, Measure::Words] {
                (figure(unit, unit.account(stats)))
            }
            @let text = &tally.text_bytes;
            @if text.read > 0 {
                (tile("text", &number::bytes(text.kept), &format!("of {}", number::bytes(text.read)), Some((text.kept, text.read))))
            } @else if manifest.shards.iter().any(|shard| shard.text_bytes > 0) {
                @let bytes = manifest.shards.iter().map(|shard| shard.text_bytes).sum();
                (tile("text", &number::bytes(bytes), "in the shards", None))
            }
            @if let Some(run) = run {
                @let archives: u64 = manifest.inputs.iter().map(|input| input.bytes).sum();
                @let rate = (run.wall_seconds > 0.0 && archives > 0).then(|| (archives as f64 / run.wall_seconds) as u64);
                @let rate = rate.map_or_else(String::new, |rate| format!("{}/s of archives", number::bytes(rate)));
                (tile("time", &number::seconds(run.wall_seconds), &rate, None))
            }
        }
    }
}

fn figure(unit: Measure, account: &Account) -> Markup {
    html! {
        @if account.read > 0 {
            (tile(
                unit.name(),
                &number::percent(account.kept, account.read),
                &format!("{} of {}", number::short(account.kept), number::short(account.read)),
                Some((account.kept, account.read)),
            ))
        }
    }
}

fn tile(name: &str, value: &str, sub: &str, share: Option<(u64, u64)>) -> Markup {
    html! {
        div {
            dt { (name) @if share.is_some() { " kept" } }
            dd {
                strong { (value) }
                @if let Some((part, whole)) = share { (bar(&[BarPiece { n: part, class: "kept" }], whole)) }
                span.muted { (sub) }
            }
        }
    }
}

/// The reason that dropped most.
fn largest(account: &Account) -> Option<(&str, u64)> {
    let all = account.dropped.iter().filter(|(_, n)| **n > 0);
    all.max_by_key(|(code, n)| (**n, *code))
        .map(|(code, n)| (code.as_str(), *n))
}

/// The foot of the page: the recipe, and the program that built the corpus.
pub(crate) fn foot(stats: &Stats, manifest: &Manifest) -> Markup {
    let hash = [&stats.recipe_hash, &manifest.recipe_hash];
    html! {
        p {
            "Recipe " (Crawl(&recipe_name(stats, manifest)))
            @if let Some(hash) = hash.into_iter().find(|hash| !hash.is_empty()) {
                ", hash " code.hash { (Crawl(hash)) }
            }
            @if !manifest.versions.program.is_empty() {
                "; built by c4 " (Crawl(&manifest.versions.program))
                ", schema " (manifest.versions.schema)
            }
            ". This file stands alone: it loads nothing and sends nothing."
        }
    }
}
