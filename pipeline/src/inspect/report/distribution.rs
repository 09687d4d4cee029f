//! How long, how sure: histograms of what was read and what is kept.

use crate::view::histogram::{Bars, Labels, histogram};
use crate::view::number;
use crate::view::page::{Section, fold};
use crate::view::table::{Cell, Column, Table};
use crate::view::text::Crawl;
use c4_data::{HistogramStats, Stats};
use maud::{Markup, html};

/// The titles of known histograms, in the order of the page; others follow.
const TITLES: [(&str, &str); 5] = [
    ("page_chars", "Characters a page"),
    ("page_lines", "Lines a page"),
    ("page_sentences", "Sentences a page"),
    ("line_words", "Words a line"),
    ("language_probability", "Probability of the page’s language"),
];

pub(crate) fn section(stats: &Stats) -> Option<Section> {
    let known = TITLES.iter().map(|(name, _)| *name);
    let others = stats.histograms.iter().map(|(name, _)| name.as_str());
    let others = others.filter(|name| TITLES.iter().all(|(known, _)| known != name));
    let mut figures = Vec::new();
    for name in known.chain(others) {
        if let Some(histogram) = stats.histograms.get(name).filter(|h| is_sound(h)) {
            figures.push(figure(name, histogram));
        }
    }
    if figures.is_empty() {
        return None;
    }
    let lead = html! {
        "All that was read, and in front of it what is kept. Bars are one bin each, whatever the "
        "bin’s width, so that short and long both show. "
        span.legend { i.sw.read {} "read " i.sw.kept {} "kept" }
    };
    let body = html! { div.grid { @for figure in figures { (figure) } } };
    Some(Section {
        id: "distribution",
        title: "Lengths and probabilities",
        lead,
        body,
    })
}

/// Whether there is a count for each pair of edges, and something was counted.
fn is_sound(histogram: &HistogramStats) -> bool {
    let bins = histogram.edges.len().saturating_sub(1);
    let read = histogram.read.as_ref();
    bins > 0
        && histogram.kept.len() == bins
        && read.is_none_or(|read| read.len() == bins)
        && read.unwrap_or(&histogram.kept).iter().any(|n| *n > 0)
}

fn figure(name: &str, counts: &HistogramStats) -> Markup {
    let title = TITLES.iter().find(|(known, _)| *known == name);
    let title = title.map_or_else(|| name.replace('_', " "), |(_, title)| (*title).to_owned());
    let edge = |edge: &Option<u64>| edge.map_or_else(|| "∞".to_owned(), |edge| number::tick(edge as f64));
    let labels: Vec<String> = counts.edges.iter().map(edge).collect();
    let medians = medians(counts);
    let bars = Bars {
        description: &format!("{title}: histogram. {medians} All numbers are in the table that follows."),
        read: counts.read.as_deref(),
        kept: &counts.kept,
        labels: Labels::Sides(&labels),
    };
    html! {
        figure.chart {
            figcaption {
                h3 { (Crawl(&title)) }
                p.muted {
                    (medians)
                    @if let Some(sample) = &counts.sample {
                        " From a sample of " (number::thousands(sample.pages)) " of "
                        (number::thousands(sample.of)) " pages."
                    }
                }
            }
            (histogram(&bars))
            (fold("Numbers", &table(name, &title, counts).render(&format!("hist-{name}"))))
        }
    }
}

/// The bins of the medians, in a sentence.
fn medians(histogram: &HistogramStats) -> String {
    let kept = median_bin(&histogram.kept).map(|bin| bin_name(histogram, bin));
    let read = histogram.read.as_deref().and_then(median_bin);
    match (read.map(|bin| bin_name(histogram, bin)), kept) {
        (Some(read), Some(kept)) if read == kept => format!("Median {read}, read and kept."),
        (Some(read), Some(kept)) => format!("Median {read} read, {kept} kept."),
        (Some(read), None) => format!("Median {read} read; nothing kept."),
        (None, Some(kept)) => format!("Median {kept} kept."),
        (None, None) => String::new(),
    }
}

fn median_bin(counts: &[u64]) -> Option<usize> {
    let total: u64 = counts.iter().sum();
    let mut below = 0;
    let reached = |n: &u64| {
        below += n;
        below * 2 >= total
    };
    counts.iter().position(reached).filter(|_| total > 0)
}

/// The name of a bin: `200 to 499`, or `5` for a bin of one whole number.
fn bin_name(histogram: &HistogramStats, bin: usize) -> String {
    let side = |i: usize| histogram.edges.get(i).copied().flatten();
    let plain = |edge: u64| number::plain(edge as f64);
    match (side(bin), side(bin + 1)) {
        (Some(from), Some(to)) if to.saturating_sub(from) <= 1 => plain(from),
        (Some(from), Some(to)) => format!("{} to {}", plain(from), plain(to - 1)),
        (Some(from), None) => format!("{} or more", plain(from)),
        (None, Some(to)) => format!("below {}", plain(to)),
        (None, None) => "any".to_owned(),
    }
}

fn table(name: &str, title: &str, histogram: &HistogramStats) -> Table {
    let read = histogram.read.as_deref();
    let unit = if histogram.unit.is_empty() {
        name
    } else {
        &histogram.unit
    };
    let mut columns = vec![Column::text("From to")];
    columns.extend(read.map(|_| Column::number("Read")));
    columns.push(Column::number("Kept"));
    let mut table = Table::new(html! { (Crawl(title)) ", in " (Crawl(unit)) }, columns);
    for (bin, kept) in histogram.kept.iter().enumerate() {
        let from = histogram.edges[bin].map_or(f64::MIN, |edge| edge as f64);
        let mut row = vec![Cell::keyed(html! { (bin_name(histogram, bin)) }, from)];
        row.extend(read.map(|read| Cell::count(read[bin])));
        row.push(Cell::count(*kept));
        table.rows.push(row);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn histogram(value: serde_json::Value) -> HistogramStats {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn bins_are_named_by_what_is_in_them() {
        let whole = histogram(json!({"edges": [0, 1, 5, null], "out": [1, 5, 1], "in": [9, 1, 1]}));
        assert_eq!(medians(&whole), "Median 0 read, 1 to 4 kept.");
        assert_eq!(bin_name(&whole, 2), "5 or more");
        let shares = histogram(json!({"edges": [0, 50, 99, null], "out": [0, 0, 7]}));
        assert_eq!(medians(&shares), "Median 99 or more kept.");
    }

    #[test]
    fn a_histogram_that_is_not_sound_is_left_out() {
        for bad in [
            json!({"edges": [], "out": []}),
            json!({"edges": [0, 1], "out": [1, 2]}),
            json!({"edges": [0, 1], "out": [1], "in": []}),
            json!({"edges": [0, 1], "out": [0], "in": [0]}),
        ] {
            assert!(!is_sound(&histogram(bad.clone())), "{bad}");
        }
    }
}
