//! Small bars that stand in a table beside their number.

use super::number;
use maud::{Markup, html};

#[derive(Debug, Clone, Copy)]
pub(crate) struct BarPiece {
    pub n: u64,
    /// The class of the style sheet that colours the piece.
    pub class: &'static str,
}

/// A bar whose full width is `whole`. Its number must stand beside it, since a screen reader skips the bar.
pub(crate) fn bar(pieces: &[BarPiece], whole: u64) -> Markup {
    html! {
        span.bar aria-hidden="true" {
            @for piece in pieces {
                @if piece.n > 0 {
                    i.(piece.class) style={ "width:" (width(piece.n, whole)) } {}
                }
            }
        }
    }
}

/// The share of `part` in `whole`, as a bar and in percent.
pub(crate) fn share(part: u64, whole: u64, class: &'static str) -> Markup {
    labelled(&[BarPiece { n: part, class }], part, whole)
}

/// A bar of several pieces, with the share of `part` in `whole` in percent.
pub(crate) fn labelled(pieces: &[BarPiece], part: u64, whole: u64) -> Markup {
    html! { span.share { (bar(pieces, whole)) span.pct { (number::percent(part, whole)) } } }
}

/// The share of the time `part` in the time `whole`, both in seconds, as a bar and in percent.
pub(crate) fn share_of_time(part: f64, whole: f64) -> Markup {
    let micros = |s: f64| (s.max(0.0) * 1e6).round() as u64;
    share(micros(part), micros(whole), "time")
}

/// The width of a piece in percent, with no more digits than a screen can show.
fn width(n: u64, whole: u64) -> String {
    let percent = (number::ratio(n, whole) * 100.0).min(100.0);
    let digits = format!("{percent:.1}");
    format!("{}%", digits.trim_end_matches(".0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_have_their_share_of_the_width() {
        let pieces = [
            BarPiece { n: 25, class: "kept" },
            BarPiece { n: 0, class: "l1" },
            BarPiece { n: 75, class: "l2" },
        ];
        let out = bar(&pieces, 100).into_string();
        assert!(out.contains("width:25%") && out.contains("width:75%") && !out.contains("l1"));
        assert!(share(1, 0, "kept").into_string().contains("width:0%"));
    }
}
