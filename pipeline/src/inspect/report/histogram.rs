//! Histograms as SVG: what was read behind, what is kept in front.
//!
//! The chart library lays the axes out and writes the SVG; its colours are stand-ins that become
//! classes here, so that the style sheet decides and dark mode works.

use super::Error;
use crate::view::number;
use maud::{Markup, PreEscaped};
use plotters::coord::ranged1d::{KeyPointHint, Ranged, ValueFormatter};
use plotters::prelude::*;

/// The stand-ins and the classes that take their place.
const READ: RGBColor = RGBColor(1, 0, 1);
const KEPT: RGBColor = RGBColor(2, 0, 2);
const GRID: RGBColor = RGBColor(3, 0, 3);
const INK: RGBColor = RGBColor(4, 0, 4);
const CLASSES: [(&str, &str); 4] = [
    ("#010001", "read"),
    ("#020002", "kept"),
    ("#030003", "grid"),
    ("#040004", "ink"),
];

/// Drawn at about the size that it has on a phone, so that its letters stay readable there.
const SIZE: (u32, u32) = (352, 196);

/// Bars to draw.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bars<'a> {
    /// What it is about, for a message and for those who cannot see it.
    pub of: &'a str,
    /// The same in a few sentences.
    pub description: &'a str,
    /// Counts of what was read, if known.
    pub read: Option<&'a [u64]>,
    /// Counts of what is kept.
    pub kept: &'a [u64],
    /// Labels: one a bar if `between` is false, else one a side of a bar.
    pub labels: &'a [String],
    /// Whether labels stand between the bars.
    pub between: bool,
}

/// The bars as an SVG element.
///
/// # Errors
/// Whatever the chart library refuses.
pub(crate) fn svg(bars: &Bars<'_>) -> Result<Markup, Error> {
    let mut out = String::new();
    draw(bars, &mut out).map_err(|e| Error::Histogram {
        of: bars.of.to_owned(),
        reason: e.to_string(),
    })?;
    Ok(PreEscaped(adapt(&out, bars)))
}

type Failure<'a> = DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>;

fn draw<'a>(bars: &Bars<'_>, out: &'a mut String) -> Result<(), Failure<'a>> {
    let count = bars.kept.len();
    let both = bars.read.unwrap_or_default().iter().chain(bars.kept);
    let highest = both.copied().max().unwrap_or(0).max(1);
    let area = SVGBackend::with_string(out, SIZE).into_drawing_area();
    let mut chart = ChartBuilder::on(&area)
        .margin_top(8)
        .margin_right(18)
        .x_label_area_size(24)
        .y_label_area_size(46)
        .build_cartesian_2d(
            Slots {
                count,
                labels: bars.labels,
                between: bars.between,
            },
            0.0..highest as f64 * 1.04,
        )?;
    let font = ("sans-serif", 12).into_font().color(&INK);
    chart
        .configure_mesh()
        .disable_x_mesh()
        .max_light_lines(0)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .set_all_tick_mark_size(3)
        .x_labels(7)
        .y_labels(4)
        .y_label_formatter(&|y| number::tick(*y))
        .label_style(font)
        .draw()?;
    for (counts, color, inset) in [(bars.read.unwrap_or_default(), READ, 0.06), (bars.kept, KEPT, 0.06)] {
        chart.draw_series(counts.iter().enumerate().filter(|(_, n)| **n > 0).map(|(i, n)| {
            let (left, right) = (i as f64 + inset, (i + 1) as f64 - inset);
            Rectangle::new([(left, 0.0), (right, *n as f64)], color.filled())
        }))?;
    }
    area.present()?;
    drop(chart);
    Ok(())
}

/// Classes in place of colours, and a description; no name space, which HTML does not need.
fn adapt(svg: &str, bars: &Bars<'_>) -> String {
    let mut out = svg.to_owned();
    for (color, class) in CLASSES {
        out = out
            .replace(&format!("fill=\"{color}\""), &format!("class=\"{class}\""))
            .replace(&format!("stroke=\"{color}\""), &format!("class=\"{class}\""));
    }
    for noise in [
        " opacity=\"1\"",
        " stroke=\"none\"",
        " font-family=\"sans-serif\"",
        "\n",
    ] {
        out = out.replace(noise, "");
    }
    let inside = out.find('>').map_or("", |end| &out[end + 1..]);
    let (width, height) = SIZE;
    let label = crate::view::text::Crawl(bars.description);
    let open = maud::html! { (label) }.into_string();
    format!("<svg class=\"hist\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{open}\">{inside}")
}

/// An axis of bars of one width each, whose labels are given.
struct Slots<'a> {
    count: usize,
    labels: &'a [String],
    between: bool,
}

impl Ranged for Slots<'_> {
    type FormatOption = plotters::coord::ranged1d::NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let share = value / self.count.max(1) as f64;
        limit.0 + (share * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        let every = self.labels.len().div_ceil(hint.max_num_points().max(1)).max(1);
        let shift = if self.between { 0.0 } else { 0.5 };
        (0..self.labels.len())
            .step_by(every)
            .map(|i| i as f64 + shift)
            .collect()
    }

    fn range(&self) -> std::ops::Range<f64> {
        0.0..self.count as f64
    }
}

impl ValueFormatter<f64> for Slots<'_> {
    fn format(value: &f64) -> String {
        value.to_string()
    }

    fn format_ext(&self, value: &f64) -> String {
        self.labels.get(*value as usize).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_become_classes_and_labels_are_those_given() {
        let labels: Vec<String> = ["0", "10", "20"].map(String::from).to_vec();
        let bars = Bars {
            of: "lengths",
            description: "Most are \"short\".",
            read: Some(&[5, 7]),
            kept: &[1, 6],
            labels: &labels,
            between: true,
        };
        let out = svg(&bars).unwrap().into_string();
        assert!(out.starts_with("<svg class=\"hist\" viewBox="));
        assert!(out.contains("Most are &quot;short&quot;."));
        for class in ["read", "kept", "ink"] {
            assert!(out.contains(&format!("class=\"{class}\"")), "{class}: {out}");
        }
        assert!(!out.contains("#0") && !out.contains("http"), "{out}");
        assert!(out.contains("10"));
    }

    #[test]
    fn nothing_to_draw_is_no_error() {
        let bars = Bars {
            of: "x",
            description: "",
            read: None,
            kept: &[],
            labels: &[],
            between: true,
        };
        assert!(svg(&bars).is_ok());
        assert!(svg(&Bars { kept: &[0, 0], ..bars }).is_ok());
    }
}
