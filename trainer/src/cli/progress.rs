//! What `t5 pretrain` tells while it trains: a line that is drawn anew at the bottom of a terminal, now and then a line
//! elsewhere.

use super::output::{count, tell};
use super::pretrain::thousands;
use super::status::Status;
use crate::feed::RefusedRow;
use crate::run::Run;
use crate::run::train::{AnswersReport, BatchReport, Evaluation, Event, StepReport};
use console::Term;
use std::collections::BTreeMap;
use std::io::{IsTerminal, stderr};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Between two lines where there is no terminal: of steps, and of batches of a long step.
const LINE_EVERY: Duration = Duration::from_secs(10);
const BATCH_LINE_EVERY: Duration = Duration::from_secs(60);
/// Between two drawings at least, so that a fast run does not spend its time on them; and at most, so that a clock is
/// seen to go.
const DRAW_EVERY: Duration = Duration::from_millis(50);
/// Rows of each task that are told of when they give no example.
const TOLD_ROWS: u64 = 3;
const TICK: Duration = Duration::from_secs(1);

/// The line at the bottom of a terminal, if there is one. Whoever else writes there does it by [`Bar::line`].
#[derive(Clone)]
pub(super) struct Bar(Arc<Mutex<Shown>>);

struct Shown {
    /// `None` where there is no terminal, and when the line has been removed for good.
    terminal: Option<Term>,
    status: Status,
    started: Instant,
    drawn: Option<Instant>,
}

impl Shown {
    fn draw(&mut self) {
        if let Some(terminal) = &self.terminal {
            let columns = usize::from(terminal.size().1);
            let line = self.status.line(columns, self.started.elapsed());
            // Nobody may be there to read it.
            let _ = terminal.write_str(&format!("\r{line}{CLEAR_REST}"));
            self.drawn = Some(Instant::now());
        }
    }

    fn clear(&self) {
        if let Some(terminal) = &self.terminal {
            let _ = terminal.write_str(&format!("\r{CLEAR_REST}"));
        }
    }
}

/// What clears a terminal's line from the cursor on (ECMA-48, `EL`).
const CLEAR_REST: &str = "\u{1b}[K";

impl Bar {
    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells a line, above the bar if there is one.
    pub(super) fn line(&self, text: &str) {
        let mut shown = self.shown();
        shown.clear();
        tell(text);
        shown.draw();
    }

    /// Removes the bar for good.
    pub(super) fn close(&self) {
        let mut shown = self.shown();
        shown.clear();
        shown.terminal = None;
    }
}

/// Tells what happens in a run.
pub(super) struct Progress {
    pub(super) bar: Bar,
    told_cost: bool,
    /// [`RunConfig::patience`](crate::run::settings::RunConfig::patience).
    patience: u64,
    /// Rows of each task that gave no example.
    refused: BTreeMap<String, u64>,
    last_line: Instant,
    /// Until the first event.
    waiting: Option<Sender<()>>,
    /// As long as this is there, the bar's clock goes.
    _ticking: Sender<()>,
}

impl Progress {
    pub(super) fn new(run: &Run) -> anyhow::Result<Progress> {
        let config = &run.config;
        let batches = (config.batches_per_step as u64, config.feed.rows as u64);
        let status = Status::new(run.step, config.steps, batches);
        let bar = Bar(Arc::new(Mutex::new(Shown {
            terminal: stderr().is_terminal().then(Term::stderr),
            status,
            started: Instant::now(),
            drawn: None,
        })));
        let shown = bar.clone();
        let ticking = later("clock", TICK, move || {
            shown.shown().draw();
            true
        })?;
        let (inputs, targets) = config.row_lengths()?;
        let rows = (config.feed.rows * config.batches_per_step) as u64;
        let tokens = rows * (inputs + targets) as u64;
        let text = format!(
            "step {}/{}: still computing its first batch; a step is {rows} rows, up to {} tokens (fewer by batches_per_step or \
             feed.rows)",
            run.step + 1,
            config.steps,
            thousands(tokens)
        );
        let shown = bar.clone();
        let waiting = later("first batch", LINE_EVERY, move || {
            // On a terminal the bar's clock goes.
            if shown.shown().terminal.is_none() {
                tell(&text);
            }
            false
        })?;
        Ok(Progress {
            bar,
            told_cost: false,
            patience: config.patience,
            refused: BTreeMap::new(),
            last_line: Instant::now(),
            waiting: Some(waiting),
            _ticking: ticking,
        })
    }

    pub(super) fn tell(&mut self, event: &Event) {
        self.waiting = None;
        match event {
            Event::Batch(report) => self.batch(report),
            Event::Step(report) => self.step(report),
            Event::Evaluation(e) => {
                self.tasks(e);
                let Some(loss) = &e.loss else { return };
                for of in &loss.corpora {
                    self.bar.line(&format!(
                        "step {}: validation loss {:.4} nats on {} ({:.0} % of the mean, {} targets)",
                        e.step,
                        of.loss,
                        of.corpus,
                        100.0 * of.share,
                        thousands(of.targets)
                    ));
                }
                self.bar.line(&format!(
                    "step {}: validation loss {:.4} nats, perplexity {:.1}, accuracy {:.1} %",
                    e.step,
                    loss.validation_loss,
                    loss.perplexity,
                    100.0 * loss.validation_accuracy
                ));
            }
            Event::Epoch(start) => {
                if let Some(rows) = self.refused.remove(&start.corpus) {
                    self.bar
                        .line(&format!("{}: {} in all not used", start.corpus, count(rows, "row")));
                }
                if is_told(start.epoch + 1) {
                    self.bar
                        .line(&format!("{}: epoch {} begins", start.corpus, start.epoch + 1));
                }
            }
            Event::Answers(report) => self.answers(report),
            Event::Refused(row) => self.refused(row),
            Event::OutOfPatience(best) => self.bar.line(&format!(
                "The average over the tasks was best after step {best}, {} validations ago (patience): the run ends here",
                self.patience
            )),
            Event::Checkpoint(step) => self.bar.line(&format!("step {step}: checkpoint written")),
        }
    }

    fn answers(&mut self, report: &AnswersReport) {
        if self.last_line.elapsed() >= BATCH_LINE_EVERY {
            let AnswersReport { task, done, rows } = report;
            self.bar
                .line(&format!("{task}: {done} of {} answered", count(*rows as u64, "row")));
            self.last_line = Instant::now();
        }
    }

    /// Tells what is still to be told at the end, and removes the bar.
    pub(super) fn finish(&mut self) {
        for (task, rows) in std::mem::take(&mut self.refused) {
            self.bar
                .line(&format!("{task}: {} not used so far", count(rows, "row")));
        }
        self.bar.close();
    }

    /// What the model is worth on each task.
    fn tasks(&mut self, found: &Evaluation) {
        for of in &found.tasks {
            let scores: Vec<String> = of
                .scores
                .iter()
                .map(|score| format!("{} {:.2}", score.metric, score.value))
                .collect();
            self.bar.line(&format!(
                "step {}: {} {:.2} ({}; {})",
                found.step,
                of.task,
                of.headline,
                scores.join(", "),
                count(of.examples, "example")
            ));
        }
        let Some(average) = found.average else { return };
        if found.tasks.len() > 1 {
            self.bar.line(&format!(
                "step {}: average {average:.2} over {} tasks",
                found.step,
                found.tasks.len()
            ));
        }
        self.bar.shown().status.score = Some(average);
    }

    /// The first rows of a task that give no example are told; of the others, how many there are when its next epoch
    /// begins.
    fn refused(&mut self, row: &RefusedRow) {
        let number = self.refused.entry(row.task.clone()).or_default();
        *number += 1;
        if *number <= TOLD_ROWS {
            self.bar
                .line(&format!("{}: {}; the row is not used", row.place, row.reason));
        }
    }

    fn batch(&mut self, report: &BatchReport) {
        let line = {
            let mut shown = self.bar.shown();
            let status = &mut shown.status;
            status.take_batch(report);
            let due = self.last_line.elapsed() >= BATCH_LINE_EVERY && report.batch < report.batches;
            let step = format!("step {}/{}", status.step + 1, status.steps);
            let line = due.then(|| format!("{step}: {} of {} batches", report.batch, report.batches));
            line.filter(|_| shown.terminal.is_none())
        };
        self.tell_cost();
        if let Some(line) = line {
            self.bar.line(&line);
            self.last_line = Instant::now();
        }
        self.draw();
    }

    fn step(&mut self, report: &StepReport) {
        self.bar.shown().status.take(report);
        self.tell_cost();
        let (is_first, is_last, line) = {
            let shown = self.bar.shown();
            let status = &shown.status;
            let is_first = status.step == status.first + 1;
            let parts = status.parts(shown.started.elapsed());
            let smoothed = status.loss.mean().unwrap_or(report.loss);
            let mut line = format!(
                "step {}/{}: loss {:.4} nats ({smoothed:.3} smoothed)",
                status.step, status.steps, report.loss
            );
            parts.iter().for_each(|part| line += &format!(", {part}"));
            let line = shown.terminal.is_none().then_some(line);
            (is_first, status.step == status.steps, line)
        };
        let due = is_first || is_last || self.last_line.elapsed() >= LINE_EVERY;
        if let Some(line) = line.filter(|_| due) {
            self.bar.line(&line);
            self.last_line = Instant::now();
        }
        self.draw();
    }

    /// Once, when something was measured: what a step costs.
    fn tell_cost(&mut self) {
        if self.told_cost {
            return;
        }
        let cost = self.bar.shown().status.cost();
        if let Some((text, advice)) = cost {
            self.told_cost = true;
            self.bar.line(&text);
            advice.iter().for_each(|advice| self.bar.line(advice));
        }
    }

    fn draw(&self) {
        let mut shown = self.bar.shown();
        if shown.drawn.is_none_or(|drawn| drawn.elapsed() >= DRAW_EVERY) {
            shown.draw();
        }
    }
}

/// Whether the beginning of an epoch is told: of a small task they follow each other fast. All up to the tenth; then
/// 20, 50, 100, 200 and so on.
fn is_told(epoch: u64) -> bool {
    let mut power = 10;
    while epoch >= 10 * power {
        power *= 10;
    }
    epoch <= 10 || [power, 2 * power, 5 * power].contains(&epoch)
}

/// Does something after a while, and again as long as it says so by `true`, unless what is returned is dropped before.
fn later(name: &str, after: Duration, mut what: impl FnMut() -> bool + Send + 'static) -> anyhow::Result<Sender<()>> {
    let (sender, receiver) = channel();
    let wait = move || while receiver.recv_timeout(after) == Err(RecvTimeoutError::Timeout) && what() {};
    std::thread::Builder::new().name(name.to_owned()).spawn(wait)?;
    Ok(sender)
}
