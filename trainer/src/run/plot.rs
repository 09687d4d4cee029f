//! What a run has measured, as a picture.

use crate::Error;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use serde_json::Value;
use std::path::Path;

/// A measure by step.
pub type Series = Vec<(f64, f64)>;

/// The content of `metrics.jsonl`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PlottedMetrics {
    /// Loss of training steps, nats a target.
    pub loss: Series,
    /// Loss over validation documents, the same.
    pub validation: Series,
    /// Learning rate.
    pub rate: Series,
    /// Tokens a second.
    pub speed: Series,
    /// Share of the time, in percent, that a step waited for data.
    pub waited: Series,
    /// The same of all steps together, but for the first, which always waits.
    pub waited_share: f64,
}

/// From this share on, in percent, waiting for data is worth a warning.
pub const WAITED_TOO_MUCH: f64 = 1.0;

impl PlottedMetrics {
    /// Reads them.
    ///
    /// # Errors
    /// The file cannot be read, or has no step in it.
    pub fn read(path: &Path) -> Result<PlottedMetrics, Error> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
        let mut metrics = PlottedMetrics::default();
        let (mut waited, mut all) = (0.0, 0.0);
        for (number, text_of_line) in text.lines().enumerate() {
            let line: Value = match serde_json::from_str(text_of_line) {
                Ok(line) => line,
                // The last line may be cut while a run is going on.
                Err(_) if number + 1 == text.lines().count() => continue,
                Err(e) => {
                    let problem = format!("line {} is damaged ({e}); remove it to draw the others", number + 1);
                    return Err(Error::format(path, problem));
                }
            };
            let number = |name: &str| line[name].as_f64();
            let Some(step) = number("step") else {
                continue;
            };
            let add = |series: &mut Series, value: Option<f64>| {
                series.extend(value.map(|value| (step, value)));
            };
            add(&mut metrics.loss, number("loss"));
            add(&mut metrics.validation, number("validation_loss"));
            add(&mut metrics.rate, number("learning_rate"));
            let speed = number("tokens").zip(number("seconds"));
            add(
                &mut metrics.speed,
                speed.map(|(tokens, seconds)| tokens / seconds.max(1e-9)),
            );
            if let Some((wait, seconds)) = number("waited").zip(number("seconds")) {
                metrics.waited.push((step, 100.0 * wait / seconds.max(1e-9)));
                // The first batch is always waited for.
                if metrics.waited.len() > 1 {
                    waited += wait;
                    all += seconds;
                }
            }
        }
        metrics.waited_share = 100.0 * waited / f64::max(all, 1e-9);
        if metrics.loss.is_empty() {
            return Err(Error::format(path, "holds no step yet; wait for one"));
        }
        Ok(metrics)
    }
}

const WIDTH: u32 = 960;
/// Of the picture without and with a chart of what was waited for data.
const HEIGHTS: (u32, u32) = (860, 1080);
const TRAINING: RGBColor = RGBColor(31, 119, 180);
const VALIDATION: RGBColor = RGBColor(214, 39, 40);
/// Points of a line at most; more are drawn as means of neighbours.
const POINTS: usize = 1000;

/// The picture.
///
/// # Errors
/// The chart library refuses.
pub fn svg(metrics: &PlottedMetrics) -> Result<String, Error> {
    let mut out = String::new();
    draw(metrics, &mut out).map_err(|e| Error::Setting(format!("cannot draw: {e}")))?;
    Ok(out)
}

type Failure<'a> = DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>;

fn draw<'a>(metrics: &PlottedMetrics, out: &'a mut String) -> Result<(), Failure<'a>> {
    let waits = metrics.waited_share >= WAITED_TOO_MUCH;
    let height = if waits { HEIGHTS.1 } else { HEIGHTS.0 };
    let area = SVGBackend::with_string(out, (WIDTH, height)).into_drawing_area();
    area.fill(&WHITE)?;
    let (top, rest) = area.split_vertically(420);
    let (middle, rest) = rest.split_vertically(220);
    let (bottom, last) = rest.split_vertically(220);
    let loss = [
        ("training", TRAINING, thinned(&metrics.loss)),
        ("validation", VALIDATION, metrics.validation.clone()),
    ];
    chart(&top, "loss, nats a target", &loss)?;
    chart(&middle, "learning rate", &[("", TRAINING, thinned(&metrics.rate))])?;
    chart(&bottom, "tokens a second", &[("", TRAINING, thinned(&metrics.speed))])?;
    if waits {
        let title = format!(
            "waiting for data, % of the time ({:.1} % in all; more `feed.threads` may help)",
            metrics.waited_share
        );
        chart(&last, &title, &[("", TRAINING, thinned(&metrics.waited))])?;
    }
    area.present()
}

/// Means of neighbours, where there are many.
fn thinned(series: &[(f64, f64)]) -> Series {
    let group = series.len().div_ceil(POINTS).max(1);
    let mean = |points: &[(f64, f64)]| {
        let n = points.len() as f64;
        let sum = points.iter().fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
        (sum.0 / n, sum.1 / n)
    };
    series.chunks(group).map(mean).collect()
}

fn chart<'a>(
    area: &DrawingArea<SVGBackend<'a>, plotters::coord::Shift>,
    title: &str,
    lines: &[(&str, RGBColor, Series)],
) -> Result<(), Failure<'a>> {
    let points = || {
        lines
            .iter()
            .flat_map(|(_, _, series)| series)
            .filter(|p| p.1.is_finite())
    };
    let last = points().map(|p| p.0).fold(1.0, f64::max);
    let high = points().map(|p| p.1).fold(f64::MIN_POSITIVE, f64::max);
    let low = points().map(|p| p.1).fold(high, f64::min);
    // From 0, unless that would hide what there is to see.
    let low = if low < 0.5 * high {
        0.0
    } else {
        low - 0.05 * (high - low).max(1e-9 * high)
    };
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 16))
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..last, low..high + 0.05 * (high - low))?;
    let label = |x: &f64| format!("{x:.0}");
    let number = |y: &f64| match y.abs() {
        y if y >= 1000.0 => format!("{y:.0}"),
        y if y >= 0.1 || y == 0.0 => format!("{y:.2}"),
        y => format!("{y:.1e}"),
    };
    chart
        .configure_mesh()
        .x_desc("step")
        .x_label_formatter(&label)
        .y_label_formatter(&number)
        .light_line_style(WHITE)
        .label_style(("sans-serif", 13))
        .draw()?;
    for (name, color, series) in lines {
        chart.draw_series(LineSeries::new(series.iter().copied(), color.stroke_width(2)))?;
        if let Some(&(x, y)) = series.last().filter(|_| !name.is_empty()) {
            let style = ("sans-serif", 13).into_font().color(color);
            let anchor = Pos::new(HPos::Right, VPos::Bottom);
            let text = format!("{name} {y:.3}");
            chart.draw_series([Text::new(text, (x, y), style.pos(anchor))])?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_read_and_drawn() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        std::fs::write(&path, "").unwrap();
        assert!(PlottedMetrics::read(&path).is_err());
        let mut text = String::new();
        for step in 1..=3000 {
            let loss = 10.0 / f64::from(step).sqrt();
            text +=
                &format!("{{\"step\":{step},\"loss\":{loss},\"learning_rate\":0.01,\"tokens\":100,\"seconds\":0.5}}\n");
        }
        text += "{\"step\":3000,\"validation_loss\":1.5}\n{\"step\":30";
        std::fs::write(&path, text).unwrap();
        let metrics = PlottedMetrics::read(&path).unwrap();
        assert_eq!((metrics.loss.len(), metrics.validation.len()), (3000, 1));
        assert_eq!(metrics.speed[0], (1.0, 200.0));
        let picture = svg(&metrics).unwrap();
        for word in ["<svg", "loss, nats a target", "learning rate", "validation 1.500"] {
            assert!(picture.contains(word), "{word}");
        }
        assert!(!picture.contains("waiting for data"));
    }

    #[test]
    fn waiting_for_data_shows_where_there_is_much_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        let drawn = |waited: f64| {
            let line = |step: u32| {
                // The first step waits most, and does not count.
                let waited = if step == 1 { 0.5 } else { waited };
                format!("{{\"step\":{step},\"loss\":1.0,\"seconds\":0.5,\"waited\":{waited}}}\n")
            };
            let text: String = (1..=50).map(line).collect();
            std::fs::write(&path, text).unwrap();
            svg(&PlottedMetrics::read(&path).unwrap()).unwrap()
        };
        assert!(!drawn(0.004).contains("waiting for data"));
        assert!(drawn(0.01).contains("waiting for data, % of the time (2.0 % in all"));
    }

    #[test]
    fn long_runs_are_thinned_to_means() {
        let series: Series = (0..4000).map(|i| (f64::from(i), f64::from(i % 4))).collect();
        let thin = thinned(&series);
        assert_eq!(thin.len(), 1000);
        assert!(thin.iter().all(|p| p.1 == 1.5));
    }
}
