//! Where a run is and how fast, as text: the line of its progress; and, as soon as something was measured, what a step
//! costs, when the run will be done, and what to set where that is long.

use super::output::count;
use super::pretrain::thousands;
use crate::run::plot::WAITED_TOO_MUCH;
use crate::run::train::{BatchReport, StepReport};
use chrono::DateTime;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Share that a step keeps of the mean of those before it: a mean of some 20 steps.
const KEPT: f64 = 0.95;
/// A step of more seconds is worth a warning; one of so many is advised.
const LONG_STEP: f64 = 60.0;
const GOOD_STEP: f64 = 10.0;
/// Of what takes so long at least it is said by the clock when it will be done.
const WORTH_A_CLOCK: Duration = Duration::from_secs(600);

/// Parts of the line that matter more than a bar, and characters of this.
const MATTERS: usize = 4;
const LEAST_BAR: usize = 6;
const MOST_BAR: usize = 30;

/// A mean that forgets; of few values it is their plain mean, nearly (Adam's correction).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Smoothed {
    sum: f64,
    weight: f64,
}

impl Smoothed {
    fn add(&mut self, value: f64) {
        self.sum = KEPT * self.sum + (1.0 - KEPT) * value;
        self.weight = KEPT * self.weight + (1.0 - KEPT);
    }

    pub fn mean(self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / self.weight)
    }
}

/// Where a run is, and how fast.
#[derive(Debug, Clone, Default)]
pub(super) struct Status {
    /// Steps that were done when this process began, that are done, and in all.
    pub first: u64,
    pub step: u64,
    pub steps: u64,
    /// Batches of the step in hand that are done, and of a step.
    batch: u64,
    batches: u64,
    rows: u64,
    pub loss: Smoothed,
    /// The average over the tasks when it was last validated.
    pub score: Option<f64>,
    seconds: Smoothed,
    /// Seconds of a step by its first batches, until one is done.
    guess: Option<f64>,
    last: Option<StepReport>,
    /// Seconds of all steps but the first, which always waits for data, and how many of them were waited.
    all_seconds: f64,
    waited: f64,
}

impl Status {
    /// After `step` steps of `steps`, each of so many batches of so many rows.
    pub fn new(step: u64, steps: u64, (batches, rows): (u64, u64)) -> Status {
        Status {
            first: step,
            step,
            steps,
            batches,
            rows,
            ..Status::default()
        }
    }

    /// Seconds of a step, as far as is known.
    fn step_seconds(&self) -> Option<f64> {
        self.seconds.mean().or(self.guess)
    }

    /// What is left of the run, by the steps alone.
    fn left(&self) -> Option<Duration> {
        let in_hand = self.batch as f64 / self.batches.max(1) as f64;
        let steps = self.steps.saturating_sub(self.step) as f64 - in_hand;
        Duration::try_from_secs_f64(self.step_seconds()? * steps).ok()
    }

    /// What there is to tell beside the loss, from what matters most: the line of a narrow terminal ends early.
    pub fn parts(&self, elapsed: Duration) -> Vec<String> {
        let mut parts = Vec::new();
        parts.extend(self.score.map(|score| format!("score {score:.2}")));
        if let Some(left) = self.left() {
            parts.push(format!("{} left", span(left)));
        }
        if let Some(seconds) = self.step_seconds() {
            parts.push(format!("{}/step", seconds_text(seconds)));
        }
        parts.push(format!("{} gone", span(elapsed)));
        parts.extend(self.waiting());
        if let Some(last) = &self.last {
            parts.push(format!("{:.0} tokens/s", last.tokens_per_second()));
            parts.push(format!("lr {:.2e}", last.learning_rate));
            parts.push(format!("gradient {:.3}", last.gradient_norm));
        }
        parts
    }

    fn waiting(&self) -> Option<String> {
        let share = 100.0 * self.waited / self.all_seconds.max(1e-9);
        (share >= WAITED_TOO_MUCH).then(|| format!("{share:.0} % waiting for data"))
    }

    /// The line at the bottom of a terminal: 3 columns short of its width, which is room for the `^C` that a terminal
    /// writes itself.
    pub fn line(&self, columns: usize, elapsed: Duration) -> String {
        let room = columns.saturating_sub(3);
        let mut text = format!("{}/{}", thousands(self.step), thousands(self.steps));
        if self.batches > 1 && self.step < self.steps {
            text += &format!(" +{}/{}", self.batch, self.batches);
        }
        let loss = self.loss.mean().map(|loss| format!("loss {loss:.3}"));
        for (place, part) in loss.into_iter().chain(self.parts(elapsed)).enumerate() {
            let rest = if place < MATTERS { 0 } else { LEAST_BAR + 3 };
            if text.len() + 2 + part.len() + rest > room {
                break;
            }
            text += &format!(", {part}");
        }
        text.truncate(room);
        let bar = room.saturating_sub(text.len() + 3).min(MOST_BAR);
        if bar < LEAST_BAR {
            return text;
        }
        let whole = self.steps as f64 * self.batches.max(1) as f64;
        let done = self.step as f64 * self.batches.max(1) as f64 + self.batch as f64;
        let done = (done / whole.max(1.0) * bar as f64) as usize;
        format!(
            "[{}{}] {text}",
            "=".repeat(done.min(bar)),
            " ".repeat(bar - done.min(bar))
        )
    }

    /// Takes note of a batch of the step in hand.
    pub fn take_batch(&mut self, report: &BatchReport) {
        self.batch = report.batch;
        if self.seconds.mean().is_none() {
            self.guess = Some(report.seconds * report.batches as f64 / report.batch as f64);
        }
    }

    /// Takes note of a step that is done.
    pub fn take(&mut self, report: &StepReport) {
        if report.step > self.first + 1 {
            self.all_seconds += report.seconds;
            self.waited += report.waited;
            self.seconds.add(report.seconds);
        } else {
            self.guess = Some(report.seconds - report.waited);
        }
        self.loss.add(report.loss);
        self.step = report.step;
        self.batch = 0;
        self.last = Some(report.clone());
    }

    /// What a step costs, when the run will be done, and what to do where that is long.
    pub fn cost(&self) -> Option<(String, Option<String>)> {
        let seconds = self.step_seconds()?;
        let left = self.steps.checked_sub(self.step).filter(|left| *left > 0)?;
        let whole = Duration::try_from_secs_f64(seconds * left as f64).ok()?;
        let rows = self.rows * self.batches;
        let parts = match self.batches {
            1 => String::new(),
            _ => format!(" in batches of {}", self.rows),
        };
        let mut text = format!(
            "A step takes about {} here ({}{parts}), {} {}",
            seconds_text(seconds),
            count(rows, "row"),
            if left == 1 {
                "1 step".to_owned()
            } else {
                format!("{} steps", thousands(left))
            },
            span(whole),
        );
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let end = now.checked_add(whole).and_then(|end| i64::try_from(end.as_secs()).ok());
        if whole >= WORTH_A_CLOCK
            && let Some(time) = end.and_then(|end| DateTime::from_timestamp(end, 0))
        {
            // To the minute.
            let time = time.to_string();
            text += &format!(": until about {} UTC", time.get(..16).unwrap_or(&time));
        }
        let advice = (seconds > LONG_STEP).then(|| {
            let batch = seconds / self.batches as f64;
            if rows == 1 {
                return "warning: that is a model for a larger machine; take a smaller --size, or shorter rows by \
                        feed.objective.inputs_length"
                    .to_owned();
            }
            let batches = ((GOOD_STEP / batch) as u64).max(1);
            let fewer = ((self.rows as f64 * GOOD_STEP / batch) as u64).max(1);
            let (rows, settings) = match batch <= 2.0 * GOOD_STEP {
                true => (self.rows * batches, format!("--set batches_per_step={batches}")),
                false => (fewer, format!("--set batches_per_step=1 --set feed.rows={fewer}")),
            };
            let shorter = seconds * rows as f64 / (self.rows * self.batches) as f64;
            format!(
                "warning: that is a batch for a larger machine; {settings} makes a step of about {} ({}). Such steps see less text \
                 each, so that more are needed, but the loss falls sooner",
                seconds_text(shorter),
                count(rows, "row"),
            )
        });
        Some((text, advice))
    }
}

/// `9.3 s`, `36 s`, `3m20s`.
fn seconds_text(seconds: f64) -> String {
    match seconds {
        s if s < 0.0995 => format!("{:.1} ms", 1000.0 * s),
        s if s < 9.95 => format!("{s:.2} s"),
        s if s < 60.0 => format!("{s:.1} s"),
        s => span(Duration::from_secs_f64(s)),
    }
}

/// `42s`, `7m12s`, `9h53m`, `12d4h`.
fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{:02}s", seconds % 60),
        3600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(step: u64, loss: f64, seconds: f64) -> StepReport {
        StepReport {
            step,
            loss,
            log_z_square: 0.0,
            accuracy: 0.1,
            learning_rate: 0.01,
            gradient_norm: 0.123,
            tokens: 1000,
            seconds,
            waited: 0.0,
        }
    }

    fn status(steps: u64, batches: u64, done: u64, seconds: f64) -> Status {
        let mut status = Status::new(0, steps, (batches, 8));
        (1..=done).for_each(|step| status.take(&report(step, 4.5, seconds)));
        status
    }

    #[test]
    fn a_line_fits_into_its_terminal() {
        let elapsed = Duration::from_secs(432);
        for status in [
            status(1000, 16, 12, 36.0),
            status(524_288, 16, 0, 0.0),
            status(9, 1, 9, 0.001),
        ] {
            for columns in 0..250 {
                let line = status.line(columns, elapsed);
                assert!(line.len() <= columns.saturating_sub(3), "{columns}: {line}");
            }
        }
        // A run that goes on with fewer steps than it has.
        let beyond = Status::new(9, 3, (1, 8));
        assert!(beyond.line(80, elapsed).contains("9/3"));
        let mut status = status(1000, 16, 12, 36.0);
        status.batch = 8;
        assert_eq!(status.line(40, elapsed), "[        ] 12/1,000 +8/16, loss 4.500");
        let line = status.line(80, elapsed);
        for words in [
            "] 12/1,000 +8/16, ",
            "loss 4.500",
            "9h52m left",
            "36.0 s/step",
            "7m12s gone",
        ] {
            assert!(line.contains(words), "{words} in {line}");
        }
        let line = status.line(200, elapsed);
        assert!(
            line.starts_with("[                              ] 12/1,000 +"),
            "{line}"
        );
        assert!(line.contains("28 tokens/s, lr 1.00e-2, gradient 0.123"), "{line}");
        // Half a step of two is a quarter of the bar.
        let mut half = super::tests::status(2, 2, 0, 1.0);
        half.batch = 1;
        assert!(
            half.line(200, elapsed)
                .starts_with("[=======                       ] 0/2 +1/2")
        );
    }

    #[test]
    fn a_smoothed_mean_follows_without_the_zero_it_began_at() {
        let mut mean = Smoothed::default();
        assert_eq!(mean.mean(), None);
        mean.add(8.0);
        assert!((mean.mean().unwrap() - 8.0).abs() < 1e-12);
        (0..200).for_each(|_| mean.add(2.0));
        assert!((mean.mean().unwrap() - 2.0).abs() < 1e-3);
    }

    #[test]
    fn a_step_of_minutes_is_warned_of_with_what_to_set() {
        let cost = |rows, batches, seconds| {
            let mut status = status(1000, batches, 0, 0.0);
            status.rows = rows;
            status.guess = Some(seconds);
            status.cost().unwrap()
        };
        let (text, advice) = cost(8, 16, 36.0);
        assert!(
            text.starts_with(
                "A step takes about 36.0 s here (128 rows in batches of 8), 1,000 steps 10h00m: until about 2"
            ),
            "{text}"
        );
        assert!(text.ends_with(" UTC") && advice.is_none(), "{text}");
        let (text, advice) = cost(8, 1, 0.5);
        assert_eq!(
            (&text[..], advice),
            ("A step takes about 0.50 s here (8 rows), 1,000 steps 8m20s", None)
        );
        for (rows, batches, seconds, words) in [
            (
                8,
                16,
                128.0,
                "--set batches_per_step=1 makes a step of about 8.00 s (8 rows)",
            ),
            (
                2,
                64,
                128.0,
                "--set batches_per_step=5 makes a step of about 10.0 s (10 rows)",
            ),
            (
                128,
                1,
                640.0,
                "--set batches_per_step=1 --set feed.rows=2 makes a step of about 10.0 s (2 rows)",
            ),
            (1, 1, 90.0, "a smaller --size"),
        ] {
            let advice = cost(rows, batches, seconds).1.unwrap();
            assert!(advice.starts_with("warning: ") && advice.contains(words), "{advice}");
        }
    }

    #[test]
    fn times_are_short() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (432, "7m12s"),
            (35_580, "9h53m"),
            (1_051_200, "12d4h"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
        for (seconds, text) in [
            (0.0042, "4.2 ms"),
            (0.35, "0.35 s"),
            (12.34, "12.3 s"),
            (200.0, "3m20s"),
        ] {
            assert_eq!(seconds_text(seconds), text);
        }
    }
}
