//! `t5 eval --task`: a table of what a model is worth on tasks.

use super::Named;
use super::answering::{AnswerArgs, Opened};
use super::output::{print, tell};
use super::pretrain::thousands;
use super::tasks::{TaskArgs, tell_of_refused};
use crate::backend::{Device, Precision};
use crate::eval::ensemble::Ensemble;
use crate::eval::exam::{Exam, TaskEvaluation};
use crate::feed::TaskSource;
use crate::task::{self, Bootstrap, Task, TaskData, TaskSplit};
use anyhow::ensure;
use clap::Args;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

#[derive(Debug, Args)]
pub(super) struct ScoreArgs {
    #[command(flatten)]
    pub tasks: TaskArgs,
    /// Measure on all tasks: those built-in ones that have rows in --data, or without --data those of the run.
    #[arg(long, conflicts_with = "tasks")]
    pub all: bool,
    /// With --task or --all: the rows that are answered: train, validation or test.
    #[arg(long, default_value = "validation", value_name = "SPLIT")]
    split: TaskSplit,
    /// With --task or --all: rows of each task at most, spread evenly over the split [default: all].
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    examples: u64,
    #[command(flatten)]
    answers: AnswerArgs,
}

/// A task, and the checkpoint that was measured.
struct Measured {
    step: u64,
    found: TaskEvaluation,
}

impl ScoreArgs {
    /// Whether tasks are asked for.
    pub(super) fn is_wanted(&self) -> bool {
        self.all || self.tasks.names_some()
    }

    pub(super) fn run(&self, run: &Path, json: bool, on: (Device, Precision)) -> anyhow::Result<()> {
        let first = Named::open(run)?;
        let sources = match (self.all, self.tasks.data()) {
            (true, Some(data)) => there(data)?,
            _ => self.tasks.of_run(&first.note.config),
        };
        ensure!(
            !sources.is_empty(),
            "no task: the run was trained on none; name one by --task, or their rows by --data"
        );
        let mut opened = Opened::default();
        let mut all = Vec::new();
        for source in &sources {
            let feed = &first.note.config.feed;
            let Some(exam) = Exam::open(source, self.split, self.examples, feed, &first.vocab)? else {
                ensure!(
                    self.all,
                    "{}: no rows of the split {} in the folder of its data",
                    source.name,
                    self.split
                );
                tell(format_args!(
                    "{}: no rows of the split {}, left out",
                    source.name, self.split
                ));
                continue;
            };
            if self.all && !exam.is_known() {
                tell(format_args!(
                    "{}: the split {} has no answers, left out",
                    exam.name(),
                    self.split
                ));
                continue;
            }
            tell_of_refused(&exam);
            let named = self.answers.open(run, exam.name())?;
            let model = opened.model(&named, on)?;
            let answering = self.answers.answering(&exam, Ensemble::default());
            let answers = exam.answers(0..exam.examples.len(), &mut [model], &first.vocab, &answering, |_| {})?;
            let found = exam.score(&answers, Some(Bootstrap::default()))?;
            all.push(Measured {
                step: named.note.step,
                found,
            });
        }
        ensure!(
            !all.is_empty(),
            "no task has rows of the split {} with answers",
            self.split
        );
        let headlines = all.iter().map(|of| (of.found.task.clone(), of.found.headline));
        let averages = task::averages(&headlines.collect());
        match json {
            true => as_json(&all, &averages, self.split),
            false => table(&all, &averages),
        }
    }
}

/// The built-in tasks that have rows in a folder.
fn there(data: &Path) -> anyhow::Result<Vec<TaskSource>> {
    let mut found = Vec::new();
    for name in Task::names() {
        let task = Task::open(name)?;
        if data.join(name).is_dir() && TaskData::open(&task, data).is_ok() {
            found.push(TaskSource {
                name: name.to_owned(),
                data: Some(data.to_owned()),
                ..TaskSource::default()
            });
        }
    }
    ensure!(
        !found.is_empty(),
        "{}: holds no folder of a built-in task's name, as glue/rte; name a task by --task",
        data.display()
    );
    Ok(found)
}

fn as_json(all: &[Measured], averages: &BTreeMap<String, f64>, split: TaskSplit) -> anyhow::Result<()> {
    let mut tasks = Vec::new();
    for of in all {
        let mut task = serde_json::to_value(&of.found)?;
        task["step"] = of.step.into();
        tasks.push(task);
    }
    let line = json!({ "split": split.to_string(), "tasks": tasks, "averages": averages });
    Ok(print(format_args!("{line}"))?)
}

fn table(all: &[Measured], averages: &BTreeMap<String, f64>) -> anyhow::Result<()> {
    let names = all.iter().map(|of| of.found.task.chars().count());
    let width = names.max().unwrap_or_default().max("task".len());
    print(format_args!(
        "{:width$}  {:>8}  {:>8}  {:14}  {:>7}  95 % interval",
        "task", "step", "examples", "metric", "score"
    ))?;
    for of in all {
        for (place, score) in of.found.scores.iter().enumerate() {
            let interval = match score.interval {
                Some((low, high)) => format!("{low:.2} to {high:.2}"),
                None => "-".to_owned(),
            };
            let (task, step, examples) = match place {
                0 => (&of.found.task[..], of.step.to_string(), thousands(of.found.examples)),
                _ => ("", String::new(), String::new()),
            };
            let metric = score.metric.to_string();
            let value = score.value;
            print(format_args!(
                "{task:width$}  {step:>8}  {examples:>8}  {metric:14}  {value:>7.2}  {interval}"
            ))?;
        }
        if of.found.scores.len() > 1 {
            let (task, headline) = ("", of.found.headline);
            print(format_args!(
                "{task:width$}  {task:>8}  {task:>8}  {:14}  {headline:>7.2}",
                "(the task)"
            ))?;
        }
    }
    for (name, average) in averages {
        print(format_args!(
            "{name:width$}  {:>8}  {:>8}  {:14}  {average:>7.2}",
            "", "", "average"
        ))?;
    }
    Ok(())
}
