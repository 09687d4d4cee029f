//! The card of a task: where its rows are, what a model reads and writes of them, and how answers are scored. TOML,
//! checked, hashed.

use super::columns::LABEL;
use super::postprocess::Postprocess;
pub use super::preprocess::Preprocessor;
use super::score::Scoring;
use super::template::Template;
use super::{Task, TaskSplit};
use crate::Error;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The card of a task. A task of one's own needs `name`, `inputs`, `targets` and `[score]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskCard {
    /// The task's name, as `glue/rte`.
    pub name: String,
    /// What is asked, in one sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Where format and constants are from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// The text that the model reads, with columns in braces.
    pub inputs: Template,
    /// The text that the model is to write, with columns in braces.
    pub targets: Template,
    /// The names of the labels, by number: column `label` then stands for one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// What is done with a row's columns before they are text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preprocessor: Option<Preprocessor>,
    /// The column with the list of all right answers, where there is more than the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<String>,
    /// The row's own id, for files of answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Template>,
    /// The name that rows have in common which are scored together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Template>,
    /// Where the rows are.
    #[serde(default, skip_serializing_if = "Rows::is_default")]
    pub rows: Rows,
    /// Further names of columns in public files, by the name that the card uses; with dots, of nested columns.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, Vec<String>>,
    /// How answers are scored.
    pub score: Scoring,
    /// How answers are decoded.
    #[serde(default)]
    pub decode: Decode,
    /// How many tokens an example has at most.
    #[serde(default)]
    pub lengths: Lengths,
}

/// Where a task's rows are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rows {
    /// The splits that the data set has.
    #[serde(default = "all_splits")]
    pub holds: Vec<TaskSplit>,
    /// The data set on the Hugging Face Hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<Hub>,
    /// Further names of the task's folder or archive; case and punctuation are ignored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub folders: Vec<String>,
    /// The columns of tables that do not begin with their names, for each number of columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<Vec<String>>,
    /// For a split, patterns (`*`, `?`) of its files below the folder, the first that matches any; a split without is
    /// found by the words in names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub splits: BTreeMap<TaskSplit, Vec<String>>,
}

fn all_splits() -> Vec<TaskSplit> {
    TaskSplit::ALL.to_vec()
}

impl Default for Rows {
    fn default() -> Rows {
        Rows {
            holds: all_splits(),
            hub: None,
            folders: Vec::new(),
            tables: Vec::new(),
            splits: BTreeMap::new(),
        }
    }
}

impl Rows {
    fn is_default(&self) -> bool {
        *self == Rows::default()
    }
}

/// A data set on the Hugging Face Hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hub {
    /// The repository, as `nyu-mll/glue`.
    pub repository: String,
    /// The configuration, which is a folder in the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<String>,
}

/// How answers are decoded. Greedy at most 128 tokens: T5's `eval.gin`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Decode {
    /// The limit for an answer, in tokens.
    pub max_length: usize,
    /// The number of beams; 1 is greedy.
    pub beams: usize,
    /// The exponent of the length penalty, with more beams than one.
    pub alpha: f32,
}

impl Default for Decode {
    fn default() -> Decode {
        Decode {
            max_length: 128,
            beams: 1,
            alpha: 0.6,
        }
    }
}

/// How many tokens an example has at most, EOS included. 512 each: T5's `sequence_lengths`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lengths {
    /// The limit for what the model reads, in tokens.
    pub inputs: usize,
    /// The limit for what the model writes, in tokens.
    pub targets: usize,
}

impl Default for Lengths {
    fn default() -> Lengths {
        Lengths {
            inputs: 512,
            targets: 512,
        }
    }
}

impl TaskCard {
    /// The columns that the card uses of a row, in the order of their names.
    pub(super) fn used_columns(&self) -> impl Iterator<Item = &str> {
        let mut names: Vec<&str> = self.inputs.columns().chain(self.targets.columns()).collect();
        names.extend(self.answers.as_deref());
        for template in self.id.iter().chain(&self.group) {
            names.extend(template.columns());
        }
        if let Some(preprocessor) = self.preprocessor {
            preprocessor.columns().for_each(|name| names.push(name));
        }
        if !self.labels.is_empty() {
            names.push(LABEL);
        }
        names.sort_unstable();
        names.dedup();
        names.into_iter()
    }

    /// The names that a column may have in a file: the card's own, then the others.
    pub(super) fn names_of<'a>(&'a self, column: &'a str) -> impl Iterator<Item = &'a str> {
        let others = self.columns.get(column).into_iter().flatten();
        std::iter::once(column).chain(others.map(String::as_str))
    }

    /// The columns that a row must have, without which nothing can be read.
    pub(super) fn needed_columns(&self) -> Vec<&str> {
        let made = self.preprocessor.map_or(&[][..], Preprocessor::makes);
        let mut names: Vec<&str> = self.inputs.columns().filter(|name| !made.contains(name)).collect();
        names.extend(self.preprocessor.iter().flat_map(|preprocessor| preprocessor.needs()));
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Checks what the types do not say.
    ///
    /// # Errors
    /// The key, and what is wrong with it.
    fn validate(&self) -> Result<(), (&'static str, String)> {
        let ensure = |ok: bool, key, problem: &str| if ok { Ok(()) } else { Err((key, problem.to_owned())) };
        let name_ok = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
        ensure(
            !self.name.is_empty() && self.name.chars().all(name_ok) && !self.name.starts_with(['/', '.', '-']),
            "name",
            "must be letters, digits, `.`, `_`, `-` and `/`, and begin with a letter or digit",
        )?;
        ensure(
            self.inputs.columns().next().is_some(),
            "inputs",
            "has no {column}, so that every row would be the same",
        )?;
        ensure(
            self.targets.columns().next().is_some(),
            "targets",
            "has no {column}, so that every answer would be the same",
        )?;
        ensure(self.labels.len() != 1, "labels", "needs two labels at least, or none")?;
        let mut labels: Vec<&String> = self.labels.iter().collect();
        labels.sort();
        labels.dedup();
        ensure(
            labels.len() == self.labels.len() && self.labels.iter().all(|label| !label.trim().is_empty()),
            "labels",
            "must differ from each other, and none may be empty",
        )?;
        let used: Vec<&str> = self.used_columns().collect();
        if let Some(name) = self.columns.keys().find(|name| !used.contains(&name.as_str())) {
            return Err((
                "columns",
                format!(
                    "`{name}` is used by no template of the card; the columns are {}",
                    used.join(", ")
                ),
            ));
        }
        let widths: Vec<usize> = self.rows.tables.iter().map(Vec::len).collect();
        ensure(
            (1..widths.len()).all(|i| !widths[..i].contains(&widths[i])),
            "rows.tables",
            "two tables have the same number of columns",
        )?;
        self.score.validate().map_err(|error| ("score", error.to_string()))?;
        ensure(self.decode.max_length > 0, "decode.max_length", "must be above 0")?;
        ensure((1..=64).contains(&self.decode.beams), "decode.beams", "must be 1 to 64")?;
        ensure(
            self.decode.alpha.is_finite() && self.decode.alpha >= 0.0,
            "decode.alpha",
            "must be 0 or above",
        )?;
        ensure(
            self.lengths.inputs > 1 && self.lengths.targets > 1,
            "lengths",
            "must be above 1, since EOS is one token of each",
        )
    }
}

/// Opens a built-in card by its name, or a file that ends in `.toml`.
pub(super) fn open(name: &str) -> Result<Task, Error> {
    if let Some((name, toml)) = c4_data::BUILTIN_TASKS.iter().find(|(built_in, _)| *built_in == name) {
        return parse(name, toml);
    }
    let path = Path::new(name);
    if path.extension().is_none_or(|extension| extension != "toml") {
        return Err(Error::Setting(format!(
            "`{name}` is no task: they are {}; for one of your own, give the path of its card, which ends in .toml",
            Task::names().join(", ")
        )));
    }
    let toml = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
    let task = parse(name, &toml)?;
    if Task::names().contains(&task.card.name.as_str()) {
        let problem = format!(
            "name: `{}` is a task of this program; give this one a name of its own",
            task.card.name
        );
        return Err(Error::format(path, problem));
    }
    Ok(task)
}

/// Parses and checks a card; `source` names it in errors.
pub(super) fn parse(source: &str, toml: &str) -> Result<Task, Error> {
    let fail = |problem: String| Error::format(Path::new(source), problem);
    let mut card: TaskCard = toml::from_str(toml).map_err(|e| {
        let line = e.span().map(|span| toml[..span.start].matches('\n').count() + 1);
        let place = line.map_or(String::new(), |line| format!("line {line}: "));
        fail(format!(
            "{place}{}; `t5 task show glue/rte` prints a card to begin with",
            e.message().replace('\n', " ")
        ))
    })?;
    if card.score.postprocess == Postprocess::Label && card.score.labels.is_empty() {
        card.score.labels.clone_from(&card.labels);
    }
    card.validate()
        .map_err(|(key, problem)| fail(format!("{key}: {problem}")))?;
    let sha256 = c4_data::atomic_file::sha256_hex(toml.as_bytes());
    Ok(Task { card, sha256 })
}
