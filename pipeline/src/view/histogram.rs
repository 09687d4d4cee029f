//! Histograms as SVG: what was read behind, what is kept in front. The style sheet gives the colours, so that dark mode
//! works.

use super::number::{px, tick};
use super::text::Crawl;
use maud::{Markup, html};

/// The size of a histogram in its own units: about what it has on a phone in pixels, so that its letters stay readable
/// there.
const SIZE: (f64, f64) = (352.0, 196.0);
/// The sides of the area of the bars. To the left of it and below it is room for labels.
const LEFT: f64 = 46.0;
const RIGHT: f64 = 334.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 172.0;
/// The length of a tick.
const TICK: f64 = 3.0;
/// The gap on each side of a bar, as a share of the room that the bar has.
const GAP: f64 = 0.06;
/// The free room above the highest bar is one part in so many of its height.
const HEADROOM: u64 = 25;
/// Labels below the bars, at most.
const X_LABELS: usize = 7;
/// Labels beside the bars, at most, with that of 0.
const Y_LABELS: u64 = 4;

/// Bars to draw, of one width each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bars<'a> {
    /// The histogram in a few sentences, for those who cannot see it.
    pub description: &'a str,
    /// Counts of what was read, if known.
    pub read: Option<&'a [u64]>,
    /// Counts of what is kept.
    pub kept: &'a [u64],
    /// Labels below the bars.
    pub labels: Labels<'a>,
}

/// What the labels below bars are of.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Labels<'a> {
    /// One label a bar, below its middle.
    Bars(&'a [String]),
    /// One label a side of a bar, below it: one more than there are bars.
    Sides(&'a [String]),
}

/// The bars as an SVG element.
pub(crate) fn histogram(bars: &Bars<'_>) -> Markup {
    let read = bars.read.unwrap_or_default();
    let highest = read.iter().chain(bars.kept).copied().max().unwrap_or(0).max(1);
    let room = (RIGHT - LEFT) / bars.kept.len().max(1) as f64;
    let height = |n: u64| (BOTTOM - TOP) * n as f64 / (highest as f64 * (1.0 + 1.0 / HEADROOM as f64));
    let (labels, shift) = match bars.labels {
        Labels::Bars(labels) => (labels, 0.5),
        Labels::Sides(labels) => (labels, 0.0),
    };
    let every = labels.len().div_ceil(X_LABELS).max(1);
    let top = highest.saturating_add(highest / HEADROOM);
    let step = step(top);
    html! {
        svg.hist viewBox={ "0 0 " (px(SIZE.0)) " " (px(SIZE.1)) } role="img" aria-label=(Crawl(bars.description)) {
            path.grid d={ "M" (px(LEFT)) " " (px(TOP)) "V" (px(BOTTOM)) "H" (px(RIGHT)) } {}
            @for n in (0..=top).step_by(usize::try_from(step).unwrap_or(usize::MAX)) {
                @let y = BOTTOM - height(n);
                path.grid d={ "M" (px(LEFT - TICK)) " " (px(y)) "H" (px(RIGHT)) } {}
                text.ink x=(px(LEFT - 2.0 * TICK)) y=(px(y)) dy="0.5ex" text-anchor="end" { (tick(n as f64)) }
            }
            @for (i, label) in labels.iter().enumerate().step_by(every) {
                @let x = LEFT + (i as f64 + shift) * room;
                path.grid d={ "M" (px(x)) " " (px(BOTTOM)) "v" (px(TICK)) } {}
                text.ink x=(px(x)) y=(px(BOTTOM + 2.0 * TICK)) dy="0.76em" text-anchor="middle" { (Crawl(label)) }
            }
            @for (counts, class) in [(read, "read"), (bars.kept, "kept")] {
                @for (i, n) in counts.iter().enumerate().filter(|(_, n)| **n > 0) {
                    // A bar that is there is seen, however small it is.
                    @let height = height(*n).max(1.0);
                    rect.(class) x=(px(LEFT + (i as f64 + GAP) * room)) y=(px(BOTTOM - height))
                        width=(px((1.0 - 2.0 * GAP) * room)) height=(px(height)) {}
                }
            }
        }
    }
}

/// The distance of the labels beside bars: 1, 2 or 5 times a power of ten, the smallest that gives no more labels than
/// there may be up to `top`.
fn step(top: u64) -> u64 {
    let powers = std::iter::successors(Some(1_u64), |power| power.checked_mul(10));
    let mut steps = powers.flat_map(|power| [1, 2, 5].map(|n| power.saturating_mul(n)));
    steps.find(|step| top / step < Y_LABELS).unwrap_or(top)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_have_their_height_and_labels_are_those_given() {
        let labels: Vec<String> = ["0", "10", "<20>"].map(String::from).to_vec();
        let bars = Bars {
            description: "Most are \"short\".",
            read: Some(&[5, 10]),
            kept: &[0, 6],
            labels: Labels::Sides(&labels),
        };
        let out = histogram(&bars).into_string();
        assert!(out.starts_with("<svg class=\"hist\" viewBox=\"0 0 352 196\""), "{out}");
        assert!(out.contains("Most are &quot;short&quot;.") && out.contains(">&lt;20&gt;</text>"));
        assert_eq!(out.matches("class=\"read\"").count(), 2);
        assert_eq!(out.matches("class=\"kept\"").count(), 1);
        let height = (BOTTOM - TOP) / 1.04;
        assert!(out.contains(&format!("height=\"{}\"", px(height))), "{out}");
        assert!(out.contains(&format!("height=\"{}\"", px(height * 0.6))), "{out}");
    }

    #[test]
    fn steps_are_round_and_few() {
        for (top, expected) in [
            (1, 1),
            (3, 1),
            (4, 2),
            (65, 20),
            (106, 50),
            (319, 100),
            (u64::MAX, 5 * 10_u64.pow(18)),
        ] {
            assert_eq!(step(top), expected, "{top}");
        }
    }

    #[test]
    fn nothing_to_draw_is_an_empty_drawing() {
        let bars = Bars {
            description: "",
            read: None,
            kept: &[],
            labels: Labels::Bars(&[]),
        };
        for kept in [&[][..], &[0, 0]] {
            assert!(!histogram(&Bars { kept, ..bars }).into_string().contains("<rect"));
        }
    }
}
