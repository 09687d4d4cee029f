//! The river as HTML: an SVG of the bands, and labels that are text of the page.

use super::flow::{self, Band, DrawingSizes, Exit, ExitKind, Measure, River};
use crate::view::number;
use crate::view::page::Section;
use crate::view::text::crawl;
use c4_data::Stats;
use maud::{Markup, html};
use std::collections::BTreeSet;

/// The section with the rivers of all quantities, of which a switch shows one.
pub(crate) fn section(stats: &Stats, linked: &BTreeSet<&str>) -> Option<Section> {
    let units = Measure::ALL.into_iter().filter_map(|unit| flow::flow(stats, unit));
    let flows: Vec<River> = units.collect();
    if flows.iter().all(|flow| flow.source == 0) {
        return None;
    }
    let lead = html! {
        "Each band is one reason, as wide as its share. It leaves at the step that dropped it; what is "
        "kept runs through to the bottom."
        @if !linked.is_empty() { " A name leads to examples." }
    };
    let body = html! {
        div.units {
            @if flows.len() > 1 {
                fieldset.switch {
                    legend { "Count" }
                    @for (i, flow) in flows.iter().enumerate() {
                        label {
                            input type="radio" name="unit" value=(flow.unit.name()) checked[i == 0];
                            span { (flow.unit.name()) }
                        }
                    }
                }
            }
            @for flow in &flows { (river(flow, linked)) }
        }
    };
    Some(Section {
        id: "flow",
        title: "Where it went",
        lead,
        body,
    })
}

fn river(flow: &River, linked: &BTreeSet<&str>) -> Markup {
    let kinds = flow.steps.iter().flat_map(|step| &step.exits).map(|exit| exit.kind);
    let kinds: Vec<ExitKind> = kinds.collect();
    html! {
        figure.river.(flow.unit.name()) {
            (drawing(flow, DrawingSizes::WIDE, linked))
            (drawing(flow, DrawingSizes::NARROW, linked))
            figcaption {
                ul.legend {
                    li { i.sw.kept {} "kept" }
                    @for (kind, text) in [
                        (ExitKind::Record, "record that is no page"),
                        (ExitKind::Page, "page dropped"),
                        (ExitKind::Line, "line dropped"),
                        (ExitKind::WithPage, "dropped with its page"),
                        (ExitKind::Trimmed, "trimmed off kept lines"),
                    ] {
                        @if kinds.contains(&kind) { li { i.sw.(class(kind)) {} (text) } }
                    }
                }
                p.muted { (summary(flow)) }
            }
        }
    }
}

/// The river in a sentence.
fn summary(flow: &River) -> Markup {
    let mut exits: Vec<&Exit> = flow.steps.iter().flat_map(|step| &step.exits).collect();
    exits.retain(|exit| exit.kind != ExitKind::Record);
    exits.sort_by_key(|exit| std::cmp::Reverse(exit.n));
    html! {
        (number::thousands(flow.kept)) " of " (number::thousands(flow.whole)) " " (flow.unit.name()) " are kept ("
        (number::percent(flow.kept, flow.whole)) ")."
        @if let Some(first) = exits.first() {
            " The largest loss is " (label(first)) ": " (number::percent(first.n, flow.whole)) "."
        }
        " The tables below have all numbers."
    }
}

fn drawing(flow: &River, sizes: DrawingSizes, linked: &BTreeSet<&str>) -> Markup {
    let drawing = flow::draw(flow, sizes);
    let wide = sizes == DrawingSizes::WIDE;
    let variant = if wide { "wide" } else { "narrow" };
    let (width, height) = (sizes.mouth, drawing.height);
    html! {
        div.drawing.(variant) style={ "height:" (rem(height)) } {
            svg viewBox={ "0 0 " (width) " " (format!("{height:.0}")) } aria-hidden="true" focusable="false"
                style={ "width:" (rem(width)) ";height:" (rem(height)) } {
                @for (step, (_, bands)) in flow.steps.iter().zip(&drawing.steps) {
                    @for (exit, band) in step.exits.iter().zip(bands) {
                        path.(class(exit.kind)) d=(band.path) {
                            title { (label(exit)) ": " (number::thousands(exit.n)) }
                        }
                    }
                }
                @if !drawing.kept.path.is_empty() {
                    path.kept d=(drawing.kept.path) {
                        title { "kept: " (number::thousands(flow.kept)) }
                    }
                }
            }
            ol role="list" style={ "left:" (rem(width + 10.0)) ";--mouth:" (rem(width + 10.0)) } {
                @for (i, (step, (head, bands))) in flow.steps.iter().zip(&drawing.steps).enumerate() {
                    li.step style=(height_of(*head)) {
                        b { (step.title) }
                        @if !step.doc.eq_ignore_ascii_case(step.title) { span.doc.muted { (crawl(&step.doc)) } }
                        span.reach.muted { (amount(flow, step.reaches)) " " (reaching(flow, i)) }
                    }
                    @for (exit, band) in step.exits.iter().zip(bands) {
                        (row(flow, exit, band, wide, linked))
                    }
                }
                li.end style=(height_of(drawing.kept.height)) {
                    span.count { (amount(flow, flow.kept)) }
                    span.pct { (number::percent(flow.kept, flow.whole)) }
                    span.name { "kept" }
                    span.doc.muted { "of " (amount(flow, flow.whole)) " " (flow.unit.name()) " read" }
                }
            }
        }
    }
}

fn row(flow: &River, exit: &Exit, band: &Band, wide: bool, linked: &BTreeSet<&str>) -> Markup {
    let whole = if exit.kind == ExitKind::Record {
        flow.source
    } else {
        flow.whole
    };
    html! {
        li.exit style=(height_of(band.height)) {
            span.count { (amount(flow, exit.n)) }
            span.pct { (number::percent(exit.n, whole)) }
            span.name {
                @if linked.contains(exit.code.as_str()) {
                    a href={ "#ex-" (exit.code) } { (label(exit)) }
                } @else { (label(exit)) }
            }
            @if wide { span.doc.muted title=(exit.doc) { (exit.doc) } }
        }
    }
}

/// The name of a branch: that of its reason.
fn label(exit: &Exit) -> Markup {
    crawl(&flow::exit_title(exit))
}

/// A count in full, or short where the full one would be longer than its column; the tables have
/// it in full.
fn amount(flow: &River, n: u64) -> String {
    if flow.source < 1_000_000_000 {
        number::thousands(n)
    } else {
        number::short(n)
    }
}

/// The noun for what reaches a step.
fn reaching(flow: &River, step: usize) -> &'static str {
    match flow.unit {
        Measure::Pages if step == 0 && flow.source > flow.whole => "records",
        unit => unit.name(),
    }
}

const fn class(kind: ExitKind) -> &'static str {
    match kind {
        ExitKind::Record => "record",
        ExitKind::Page | ExitKind::Line => "drop",
        ExitKind::WithPage => "with-page",
        ExitKind::Trimmed => "trim",
    }
}

fn height_of(height: f64) -> String {
    format!("height:{}", rem(height))
}

/// Pixels as a multiple of the reader's font size, so that drawing and labels grow together.
fn rem(px: f64) -> String {
    let digits = format!("{:.3}", px / 16.0);
    format!("{}rem", digits.trim_end_matches('0').trim_end_matches('.'))
}
