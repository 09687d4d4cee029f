//! Options that name tasks, and what is told of them.

use super::output::{count, tell};
use super::pretrain::thousands;
use crate::Error;
use crate::eval::exam::Exam;
use crate::feed::task::{folder, lengths};
use crate::feed::{self, TaskSource};
use crate::run::settings::RunConfig;
use crate::task::{Task, TaskData, TaskSplit};
use clap::Args;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(super) struct TaskArgs {
    /// A task, as NAME or NAME=WEIGHT: a built-in one (`t5 task list`), or the path of a card; may be given several
    /// times.
    #[arg(long = "task", value_name = "NAME[=WEIGHT]", value_parser = parse)]
    tasks: Vec<TaskSource>,
    /// The folder of the tasks' rows: of one task, or of several, each in a folder of its name.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Tasks that are trained on.
#[derive(Debug, Args)]
pub(super) struct TrainedTaskArgs {
    #[command(flatten)]
    pub named: TaskArgs,
    /// Leave out a task of the configuration, or all whose names begin with NAME/; may be given several times.
    #[arg(long, value_name = "NAME")]
    leave_out: Vec<String>,
}

fn parse(text: &str) -> Result<TaskSource, String> {
    let (name, weight) = match text.rsplit_once('=') {
        None => (text, None),
        Some((name, weight)) => {
            let number = weight.parse().ok().filter(|w: &f64| w.is_finite() && *w > 0.0);
            let problem = || format!("`{weight}` is not a weight: give a number above 0");
            (name, Some(number.ok_or_else(problem)?))
        }
    };
    Ok(TaskSource {
        name: name.to_owned(),
        weight,
        ..TaskSource::default()
    })
}

impl TrainedTaskArgs {
    /// Tasks of the command line in place of those of a configuration, and the folder of those that name none.
    ///
    /// # Errors
    /// No such task.
    pub(super) fn apply(&self, config: &mut RunConfig) -> Result<(), Error> {
        if !self.named.tasks.is_empty() {
            config.tasks.clone_from(&self.named.tasks);
        }
        for name in &self.leave_out {
            let before = config.tasks.len();
            let is_it =
                |task: &str| task == name || task.strip_prefix(&name[..]).is_some_and(|rest| rest.starts_with('/'));
            config.tasks.retain(|task| !is_it(&short(&task.name)));
            if config.tasks.len() == before {
                return Err(Error::Setting(format!(
                    "--leave-out {name}: is no task of the configuration"
                )));
            }
        }
        for task in &mut config.tasks {
            if task.name.ends_with(".toml") {
                task.name = absolute(Path::new(&task.name)).display().to_string();
            }
            let data = self.named.data.as_deref().or(task.data.as_deref());
            task.data = data.map(absolute);
        }
        Ok(())
    }
}

impl TaskArgs {
    /// The tasks that were named, or all of a run where none were; their rows are in the folder that was named, or else
    /// where the run has them.
    pub(super) fn of_run(&self, run: &RunConfig) -> Vec<TaskSource> {
        let named = if self.tasks.is_empty() { &run.tasks } else { &self.tasks };
        let with_data = |task: &TaskSource| {
            let same = run.tasks.iter().find(|of| is_same(&of.name, &task.name));
            TaskSource {
                name: same.map_or(&task.name, |of| &of.name).clone(),
                data: self.data.clone().or(same.and_then(|of| of.data.clone())),
                ..task.clone()
            }
        };
        named.iter().map(with_data).collect()
    }

    /// The folder that was named.
    pub(super) fn data(&self) -> Option<&Path> {
        self.data.as_deref()
    }

    /// Whether a task was named.
    pub(super) fn names_some(&self) -> bool {
        !self.tasks.is_empty()
    }
}

/// Whether a task of a run is the one that a user names: as the run has it, by another path of the same card, or by the
/// card's name.
fn is_same(of_run: &str, named: &str) -> bool {
    let is_card = |name: &str| name.ends_with(".toml");
    match (is_card(of_run), is_card(named)) {
        (true, true) => Path::new(of_run) == absolute(Path::new(named)),
        (true, false) => short(of_run) == named,
        _ => of_run == named,
    }
}

/// A task's name; of the path of a card, its file's name without the end.
fn short(name: &str) -> String {
    match name.strip_suffix(".toml") {
        Some(path) => path.rsplit(['/', '\\']).next().unwrap_or(path).to_owned(),
        None => name.to_owned(),
    }
}

/// Tells of rows that are not answered.
pub(super) fn tell_of_refused(exam: &Exam) {
    if let Some(first) = exam.refused.first() {
        let rows = count(exam.refused.len() as u64, "row");
        tell(format_args!(
            "{}: {rows} cannot be used; {}: {}",
            exam.name(),
            first.place,
            first.reason
        ));
    }
}

/// A path that is found from any folder.
fn absolute(path: &Path) -> PathBuf {
    let found = std::fs::canonicalize(path).or_else(|_| std::path::absolute(path));
    // What is not there is told where it is opened.
    found.unwrap_or_else(|_| path.to_owned())
}

/// Tells what a run's tasks are, a line each, and which share of the examples each source has where there are several.
///
/// # Errors
/// A task cannot be opened.
pub(super) fn tell_of_tasks(config: &RunConfig) -> Result<(), Error> {
    if config.tasks.is_empty() {
        return Ok(());
    }
    for source in &config.tasks {
        let task = Task::open(&source.name)?;
        let data = TaskData::open(&task, folder(source)?)?;
        let rows = |split| data.split(split).map_or(0, |files| files.rows());
        let (train, validation) = (rows(TaskSplit::Train), rows(TaskSplit::Validation));
        let lengths = lengths(&task, &config.feed);
        let checked = match (config.evaluate_every, validation) {
            (0, _) => "never validated (evaluate_every=0)".to_owned(),
            (_, 0) => "no rows to validate with".to_owned(),
            (_, rows) if config.evaluate_examples > 0 && config.evaluate_examples < rows => {
                format!(
                    "validated with {} of {}",
                    thousands(config.evaluate_examples),
                    thousands(rows)
                )
            }
            (_, rows) => format!("{} to validate with", thousands(rows)),
        };
        tell(format_args!(
            "{}: {} to train on, {checked}; inputs of {} tokens at most, targets of {}",
            task.card.name,
            count(train, "row"),
            lengths.inputs,
            lengths.targets
        ));
    }
    let mixture = feed::mixture(config.sources(), &config.feed)?;
    if mixture.len() > 1 {
        let shares = mixture
            .iter()
            .map(|of| format!("{} {:.1} %", of.name, 100.0 * of.share));
        let shares: Vec<String> = shares.collect();
        tell(format_args!("Shares of the examples: {}", shares.join(", ")));
    }
    Ok(())
}
