//! What a run measures, as it goes: `metrics.jsonl`, and the same for TensorBoard.

use super::METRICS;
use super::tensorboard::EventFile;
use super::train::{Evaluation, StepReport};
use crate::Error;
use serde::Serialize;
use serde_json::Value;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Writes both, each line and event at once. What could not be written waits for another try.
pub(crate) struct Metrics {
    path: PathBuf,
    lines: File,
    waiting: Vec<u8>,
    events: EventFile,
}

/// Writes what waits; what cannot be written waits on.
pub(crate) fn write_waiting(file: &mut File, waiting: &mut Vec<u8>) -> io::Result<()> {
    while !waiting.is_empty() {
        match file.write(waiting) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => drop(waiting.drain(..written)),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

impl Metrics {
    /// Goes on with `metrics.jsonl` in a run's folder, and begins an event file; the next step is `step`.
    pub fn open(folder: &Path, step: u64) -> Result<Metrics, Error> {
        let path = folder.join(METRICS);
        let lines = OpenOptions::new().append(true).create(true).open(&path);
        Ok(Metrics {
            lines: lines.map_err(|e| Error::io(&path, e))?,
            waiting: Vec::new(),
            events: EventFile::create(folder, step)?,
            path,
        })
    }

    /// Makes what is noted outlive a power cut; before a checkpoint, so that a run that goes on there lacks nothing.
    pub fn sync(&mut self) -> Result<(), Error> {
        self.flush()?;
        let synced = self.lines.sync_data();
        synced.map_err(|e| Error::io(&self.path, e))
    }

    /// Notes a step, in TensorBoard's section `train`.
    pub fn step(&mut self, report: &StepReport) -> Result<(), Error> {
        let more = [
            ("train/tokens_per_second", report.tokens_per_second()),
            ("train/waited_share", report.waited_share()),
        ];
        self.write("train/", report.step, report, &more)
    }

    /// Notes a validation, in TensorBoard's section `validation`.
    pub fn evaluation(&mut self, found: &Evaluation) -> Result<(), Error> {
        let corpora = found.loss.iter().flat_map(|loss| &loss.corpora);
        let mut more: Vec<(String, f64)> = corpora
            .map(|of| (format!("validation/loss of {}", of.corpus), of.loss))
            .collect();
        for of in &found.tasks {
            more.push((format!("validation/{}", of.task), of.headline));
            let scores = of.scores.iter();
            more.extend(scores.map(|score| (format!("validation/{} {}", of.task, score.metric), score.value)));
        }
        let more: Vec<(&str, f64)> = more.iter().map(|(name, value)| (&**name, *value)).collect();
        self.write("validation/", found.step, found, &more)
    }

    fn write(
        &mut self,
        section: &str,
        step: u64,
        measured: &impl Serialize,
        more: &[(&str, f64)],
    ) -> Result<(), Error> {
        let measured = serde_json::to_value(measured);
        let measured = measured.map_err(|e| Error::format(&self.path, e.to_string()))?;
        let fields = measured.as_object().into_iter().flatten();
        let scalar = |(name, value): (&String, &Value)| {
            let name = name.strip_prefix("validation_").unwrap_or(name);
            let value = value.as_f64().filter(|_| name != "step")?;
            Some((format!("{section}{name}"), value))
        };
        let scalars: Vec<(String, f64)> = fields.filter_map(scalar).collect();
        let scalars = scalars.iter().map(|(name, value)| (&name[..], *value));
        self.waiting.extend(format!("{measured}\n").into_bytes());
        self.events.scalars(step, scalars.chain(more.iter().copied()))?;
        self.flush()
    }

    /// Events first: a line says that its events are there, too (see `Run::lacks_evaluation`).
    fn flush(&mut self) -> Result<(), Error> {
        self.events.flush()?;
        let written = write_waiting(&mut self.lines, &mut self.waiting);
        written.map_err(|e| Error::io(&self.path, e))
    }
}

/// The averages over tasks of a run's first `step` steps, each with its step.
///
/// # Errors
/// The metrics are there and cannot be read.
pub(crate) fn averages(folder: &Path, step: u64) -> Result<Vec<(u64, f64)>, Error> {
    let text = read(&folder.join(METRICS))?;
    // Most lines are steps: they need not be parsed.
    let lines = text.lines().filter(|line| line.contains("\"average\""));
    let lines = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let averages = lines.filter_map(|line| Some((line["step"].as_u64()?, line["average"].as_f64()?)));
    Ok(averages.filter(|(at, _)| *at <= step).collect())
}

/// A run's metrics; one that is missing has none.
fn read(path: &Path) -> Result<String, Error> {
    match fs::read_to_string(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(String::new()),
        text => text.map_err(|e| Error::io(path, e)),
    }
}

/// Tokens that were seen, and the last validation loss with its step.
pub(crate) type Measured = (Option<u64>, Option<(f64, u64)>);

/// What the metrics in a run's folder say of its first `step` steps; of tokens nothing where a step is missing.
///
/// # Errors
/// They are there and cannot be read.
pub(crate) fn measured(folder: &Path, step: u64) -> Result<Measured, Error> {
    let text = read(&folder.join(METRICS))?;
    let (mut steps, mut tokens, mut validation) = (0, 0, None);
    for line in text.lines() {
        let Ok(line) = serde_json::from_str::<serde_json::Value>(line) else {
            continue;
        };
        let Some(at) = line["step"].as_u64().filter(|at| *at <= step) else {
            continue;
        };
        if let Some(seen) = line["tokens"].as_u64() {
            steps += 1;
            tokens += seen;
        }
        if let Some(loss) = line["validation_loss"].as_f64() {
            validation = Some((loss, at));
        }
    }
    Ok(((steps == step && step > 0).then_some(tokens), validation))
}
