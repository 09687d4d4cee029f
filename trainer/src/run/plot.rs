//! What a run has measured, as a picture: each measure as it is, faint, and over it what is left when single steps are
//! smoothed away; names and last values in a line above the curves, so that they never lie on one. (How the axes are
//! cut: `axis.rs`.)

use super::axis::{Axis, Extent};
use crate::Error;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use serde_json::Value;
use std::collections::BTreeMap;
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
    /// Score of each task, by name.
    pub tasks: BTreeMap<String, Series>,
    /// Mean of the tasks' scores, where there are several.
    pub average: Series,
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
            // JSON has no NaN: what is not finite was written as null.
            let number = |name: &str| match line.get(name)? {
                Value::Null => Some(f64::NAN),
                value => value.as_f64(),
            };
            let Some(step) = number("step") else {
                continue;
            };
            let add = |series: &mut Series, value: Option<f64>| {
                series.extend(value.map(|value| (step, value)));
            };
            add(&mut metrics.loss, number("loss"));
            add(&mut metrics.validation, number("validation_loss"));
            add(&mut metrics.rate, number("learning_rate"));
            let tasks = line["tasks"].as_array().map_or(&[][..], Vec::as_slice);
            for task in tasks {
                if let Some((name, score)) = task["task"].as_str().zip(task["headline"].as_f64()) {
                    metrics.tasks.entry(name.to_owned()).or_default().push((step, score));
                }
            }
            if tasks.len() > 1 {
                add(&mut metrics.average, number("average"));
            }
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

/// Width of the picture in pixels.
const WIDTH: i32 = 960;
/// Height of the chart of losses, and of each other one.
const HEIGHTS: (i32, i32) = (420, 220);
/// Around the curves: above (title and names), to the right, and for the labels of both axes.
const MARGINS: (i32, i32, i32, i32) = (40, 34, 40, 76);
const TRAINING: RGBColor = RGBColor(31, 119, 180);
const VALIDATION: RGBColor = RGBColor(214, 39, 40);
/// Of tasks, beside their average; of more tasks than these, the average alone is drawn.
const TASKS: [RGBColor; 5] = [
    RGBColor(31, 119, 180),
    RGBColor(44, 160, 44),
    RGBColor(255, 127, 14),
    RGBColor(148, 103, 189),
    RGBColor(140, 86, 75),
];
const INK: RGBColor = RGBColor(51, 51, 51);
const GRID: RGBColor = RGBColor(221, 221, 221);
/// Opacity of a measure as it is, below its smoothed curve.
const FAINT: f64 = 0.3;
/// Points of a curve at most, which is one a pixel.
const POINTS: usize = 850;
/// Part of a run's steps that a point of the smoothed curve is the mean of, and how many these are at least.
const SMOOTHED: (usize, usize) = (40, 9);

/// One measure in a chart.
struct Curve<'c> {
    /// What it is, where a chart has several.
    name: String,
    color: RGBColor,
    /// The measure as it is, drawn faint; empty where it is not one of every step.
    raw: &'c [(f64, f64)],
    /// What is drawn.
    smooth: Series,
}

impl<'c> Curve<'c> {
    fn every_step(name: &str, raw: &'c [(f64, f64)]) -> Curve<'c> {
        Curve::means_of(name, raw, (raw.len() / SMOOTHED.0).max(SMOOTHED.1))
    }

    fn means_of(name: &str, raw: &'c [(f64, f64)], window: usize) -> Curve<'c> {
        Curve {
            name: name.to_owned(),
            color: TRAINING,
            raw,
            smooth: smoothed(raw, window),
        }
    }

    /// A measure of some steps alone.
    fn points_of(name: &str, color: RGBColor, points: &[(f64, f64)]) -> Curve<'c> {
        Curve {
            name: name.to_owned(),
            color,
            raw: &[],
            smooth: points.to_vec(),
        }
    }

    /// All points, drawn or faint.
    fn points(&self) -> impl Iterator<Item = &(f64, f64)> {
        let raw = if self.raw.is_empty() { &self.smooth } else { self.raw };
        raw.iter()
    }
}

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
type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn draw<'a>(metrics: &PlottedMetrics, out: &'a mut String) -> Result<(), Failure<'a>> {
    let validation = Curve::points_of("validation", VALIDATION, &metrics.validation);
    let alone = |title: &str, series| (title.to_owned(), vec![Curve::every_step("", series)]);
    // What is set is no matter of chance.
    let rate = vec![Curve::means_of("", &metrics.rate, 1)];
    let losses = vec![Curve::every_step("training", &metrics.loss), validation];
    let mut charts = vec![
        ("loss, nats a target".to_owned(), losses),
        ("learning rate".to_owned(), rate),
        alone("tokens a second", &metrics.speed),
    ];
    let scores = scores(metrics);
    if !scores.is_empty() {
        charts.insert(1, ("score of tasks in validation".to_owned(), scores));
    }
    if metrics.waited_share >= WAITED_TOO_MUCH {
        let title = format!(
            "waiting for data, % of the time ({:.1} % in all; more `feed.threads` may help)",
            metrics.waited_share
        );
        charts.push(alone(&title, &metrics.waited));
    }
    let height = HEIGHTS.0 + HEIGHTS.1 * (charts.len() as i32 - 1);
    let area = SVGBackend::with_string(out, (WIDTH as u32, height as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut rest = area.clone();
    for (number, (title, curves)) in charts.iter().enumerate() {
        let (height, labels) = if number == 0 { (HEIGHTS.0, 8) } else { (HEIGHTS.1, 4) };
        let (own, below) = rest.split_vertically(height);
        chart(&own, title, curves, labels)?;
        rest = below;
    }
    area.present()
}

/// The curves of tasks, and of their average.
fn scores(metrics: &PlottedMetrics) -> Vec<Curve<'static>> {
    let few = metrics.tasks.iter().filter(|_| metrics.tasks.len() <= TASKS.len());
    let tasks = few
        .zip(TASKS)
        .map(|((name, points), color)| Curve::points_of(name, color, points));
    let average = (!metrics.average.is_empty()).then(|| Curve::points_of("average", VALIDATION, &metrics.average));
    tasks.chain(average).collect()
}

/// One chart, with so many labels at its upright axis at most.
fn chart<'a>(area: &Area<'a>, title: &str, curves: &[Curve<'_>], labels: usize) -> Result<(), Failure<'a>> {
    let (above, right, x_labels, y_labels) = MARGINS;
    let values = |points: &mut dyn Iterator<Item = &(f64, f64)>| points.map(|p| p.1).collect::<Vec<f64>>();
    let extent = Extent::of(
        &values(&mut curves.iter().flat_map(Curve::points)),
        &values(&mut curves.iter().flat_map(|curve| &curve.smooth)),
    );
    let last = curves.iter().flat_map(Curve::points).map(|p| p.0).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .margin_top(above)
        .margin_right(right)
        .margin_bottom(6)
        .x_label_area_size(x_labels)
        .y_label_area_size(y_labels)
        .build_cartesian_2d(Axis::of_steps(last, 10), Axis::new(extent.low, extent.high, labels))?;
    chart
        .configure_mesh()
        .x_desc("step")
        .bold_line_style(GRID)
        .label_style(("sans-serif", 15, &INK))
        .draw()?;
    for curve in curves {
        let faint = curve.color.mix(FAINT);
        match bands(curve.raw) {
            Some(bands) => chart.draw_series(bands.into_iter().map(|band| Polygon::new(band, faint)))?,
            None => {
                let lines = unbroken(curve.raw).into_iter();
                chart.draw_series(lines.map(|line| PathElement::new(line, faint.stroke_width(1))))?
            }
        };
        // Of two curves that lie on each other the first is the broader one.
        let style = curve.color.stroke_width(if curve.raw.is_empty() { 1 } else { 2 });
        let lines = unbroken(&curve.smooth).into_iter();
        chart.draw_series(lines.map(|line| PathElement::new(line, style)))?;
        // Few points are each to be seen; a single one would be no line at all.
        if curve.raw.is_empty() && curve.smooth.len() <= POINTS / 10 || curve.smooth.len() == 1 {
            let points = unbroken(&curve.smooth).into_iter().flatten();
            chart.draw_series(points.map(|point| Circle::new(point, 3, curve.color.filled())))?;
        }
    }
    names(area, &headline(title, &extent, curves), curves)
}

/// The title, with what the curves cannot show.
fn headline(title: &str, extent: &Extent, curves: &[Curve<'_>]) -> String {
    let mut title = title.to_owned();
    if let Some(largest) = extent.cut {
        title += &format!(" (spikes up to {largest:.3e} are cut off)");
    }
    let mut bad = curves.iter().flat_map(Curve::points).filter(|p| !p.1.is_finite());
    if let Some((step, _)) = bad.next() {
        title += &match bad.count() {
            0 => format!(" (not finite at step {step})"),
            more => format!(" (not finite at step {step} and {more} more)"),
        };
    }
    title
}

/// The line above a chart: its title to the left, names with the last values to the right, in the colours of their
/// curves.
fn names<'a>(area: &Area<'a>, title: &str, curves: &[Curve<'_>]) -> Result<(), Failure<'a>> {
    let text = |text: String, x: i32, size: i32, color: RGBColor, side: HPos| {
        let style = ("sans-serif", size).into_font().color(&color);
        area.draw(&Text::new(text, (x, 12), style.pos(Pos::new(side, VPos::Top))))
    };
    text(title.to_owned(), MARGINS.3, 18, INK, HPos::Left)?;
    let mut x = WIDTH - MARGINS.1;
    for curve in curves.iter().rev().filter(|curve| !curve.name.is_empty()) {
        let Some((_, last)) = curve.smooth.last() else { continue };
        let name = format!("{} {last:.3}", curve.name);
        // Letters of this size are 8 pixels wide at most, in the mean.
        let width = 8 * name.chars().count() as i32;
        text(name, x, 16, curve.color, HPos::Right)?;
        x -= width;
    }
    Ok(())
}

/// A series in parts, between values that are not finite.
fn unbroken(series: &[(f64, f64)]) -> Vec<Series> {
    let parts = series.split(|point| !point.1.is_finite());
    parts.filter(|part| !part.is_empty()).map(<[_]>::to_vec).collect()
}

/// Of a series with more points than the picture: the areas between the least and the largest of each group of
/// neighbours. `None` where it has fewer.
fn bands(series: &[(f64, f64)]) -> Option<Vec<Series>> {
    let group = series.len().div_ceil(POINTS);
    let band = |part: &Series| {
        let edge = |better: fn(f64, f64) -> f64| {
            let of = move |points: &[(f64, f64)]| (points[0].0, points.iter().map(|p| p.1).fold(points[0].1, better));
            part.chunks(group).map(of).collect::<Series>()
        };
        let (low, mut high) = (edge(f64::min), edge(f64::max));
        high.reverse();
        [low, high].concat()
    };
    (group > 1).then(|| unbroken(series).iter().map(band).collect())
}

/// Means of `window` neighbours without the quarter of them that is least and the quarter that is largest, so that a
/// spike moves none. At the start, where most happens, there are as many on both sides. Where the series breaks off, so
/// do they.
fn smoothed(series: &[(f64, f64)], window: usize) -> Series {
    let group = series.len().div_ceil(POINTS).max(1);
    let mean = |at: usize| {
        let (step, own) = series[at];
        let around = (window / 2).min(at);
        let last = (at + around).min(series.len() - 1);
        let values = series[at - around..=last].iter().map(|p| p.1);
        let mut values: Vec<f64> = values.filter(|v| v.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let quarter = values.len() / 4;
        let middle = &values[quarter..values.len() - quarter];
        let mean = middle.iter().sum::<f64>() / middle.len() as f64;
        (step, if own.is_finite() { mean } else { f64::NAN })
    };
    let last = series.len().checked_sub(1);
    let places = (0..series.len()).step_by(group);
    places.chain(last.filter(|last| last % group != 0)).map(mean).collect()
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
        for word in [
            "<svg",
            "loss, nats a target",
            "learning rate",
            "training 0.183",
            "validation 1.500",
        ] {
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
    fn long_runs_are_thinned_and_a_spike_stays() {
        let mut series: Series = (0..100_000).map(|i| (f64::from(i), f64::from(i % 4))).collect();
        series[777].1 = 1e6;
        let (bands, smooth) = (bands(&series).unwrap(), smoothed(&series, 2500));
        assert!(bands.len() == 1 && bands[0].len() <= 2 * POINTS && smooth.len() <= POINTS + 1);
        assert_eq!(bands[0].iter().filter(|p| p.1 == 1e6).count(), 1);
        assert_eq!(smooth.last().unwrap().0, 99_999.0);
        assert!(smooth[1..].iter().all(|p| (1.4..=1.6).contains(&p.1)), "{smooth:?}");
        let short: Series = (0..7).map(|i| (f64::from(i), f64::from(i))).collect();
        assert!(super::bands(&short).is_none() && super::bands(&[]).is_none());
        assert_eq!(smoothed(&short, 9)[..4], short[..4]);
        assert_eq!(smoothed(&short, 1), short);
        assert!(smoothed(&[], 9).is_empty());
    }

    #[test]
    fn a_run_that_diverged_is_drawn() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        let line = |step: u32| {
            let loss = match step {
                40 => "null".to_owned(),
                50 => "123456.0".to_owned(),
                _ => (3.0 + f64::from(step % 5) / 10.0).to_string(),
            };
            format!("{{\"step\":{step},\"loss\":{loss},\"learning_rate\":0.001}}\n")
        };
        std::fs::write(&path, (1..=60).map(line).collect::<String>()).unwrap();
        let metrics = PlottedMetrics::read(&path).unwrap();
        let picture = svg(&metrics).unwrap();
        for words in ["spikes up to 1.235e5 are cut off", "not finite at step 40"] {
            assert!(picture.contains(words), "{words}");
        }
        assert!(!picture.contains("NaN") && !picture.contains("inf"));
        assert_eq!(unbroken(&metrics.loss).len(), 2);
    }
}
