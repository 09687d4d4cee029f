//! Small bars that stand in a table beside their number.

use super::number;
use maud::{Markup, html};

/// One piece of a bar.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece {
    /// How much.
    pub n: u64,
    /// Its look, a class of the style sheet.
    pub class: &'static str,
}

/// A bar whose full width is `whole`. The number must stand beside it: a screen reader skips it.
pub(crate) fn bar(pieces: &[Piece], whole: u64) -> Markup {
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

/// A share as a bar with its number.
pub(crate) fn share(part: u64, whole: u64, class: &'static str) -> Markup {
    html! {
        span.share {
            (bar(&[Piece { n: part, class }], whole))
            span.pct { (number::percent(part, whole)) }
        }
    }
}

/// A time's share of another as a bar with its number.
pub(crate) fn share_of_time(part: f64, whole: f64) -> Markup {
    let micros = |s: f64| (s.max(0.0) * 1e6).round() as u64;
    share(micros(part), micros(whole), "time")
}

/// Width in percent, with no more digits than a screen can show.
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
            Piece { n: 25, class: "kept" },
            Piece { n: 0, class: "l1" },
            Piece { n: 75, class: "l2" },
        ];
        let out = bar(&pieces, 100).into_string();
        assert!(out.contains("width:25%") && out.contains("width:75%") && !out.contains("l1"));
        assert!(share(1, 0, "kept").into_string().contains("width:0%"));
    }
}
