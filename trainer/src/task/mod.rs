//! Tasks: text in, text out, for everything (paper, section 2.4). A [card](card) says what of a row a model reads and
//! writes.
//!
//! | question | place |
//! |---|---|
//! | What does a card say, and which are built in? | `card.rs`, `data/tasks/` |
//! | How is a column found in a row, whatever form the file has? | `columns.rs`, `template.rs`, `labels.rs` |
//! | What can a template not say? | `preprocess/`, one file each |
//! | How do a task's files come from the Hub? | `hub.rs` |
//! | Which files hold a task's rows? | `data.rs` (by split), `folder.rs` (which folder), `row.rs` (the rows) |

mod averages;
mod bootstrap;
pub(crate) mod card;
mod columns;
mod data;
mod folder;
pub(crate) mod hub;
mod labels;
mod metrics;
mod postprocess;
mod preprocess;
mod pystr;
mod row;
mod score;
mod template;

pub use averages::averages;
pub use bootstrap::Bootstrap;
pub use card::{Preprocessor, TaskCard};
pub use data::{SplitFiles, TaskData};
pub use postprocess::Postprocess;
pub(crate) use postprocess::names;
pub use row::{RowProblem, RowReason, TaskRow, TaskRows};
pub use score::{BleuTokenizer, Metric, Score, Scoring, Stemming, headline, score};

use crate::Error;
use columns::Columns;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::str::FromStr;

/// A task: its card, checked, with the SHA-256 of the card's bytes.
#[derive(Debug, Clone)]
pub struct Task {
    /// The card: which columns a row has, and what is made of them.
    pub card: TaskCard,
    /// The SHA-256 of the card's TOML, in hexadecimal.
    pub sha256: String,
}

/// The three parts of a task's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskSplit {
    /// The rows to train on.
    Train,
    /// The rows that choose a checkpoint, and that are reported where a test set has no labels.
    Validation,
    /// The rows that are answered at last; those of GLUE and SuperGLUE have no labels.
    Test,
}

impl TaskSplit {
    /// All splits, in the order in which they are shown.
    pub const ALL: [TaskSplit; 3] = [TaskSplit::Train, TaskSplit::Validation, TaskSplit::Test];

    /// The name of the split, as it is typed.
    pub fn name(self) -> &'static str {
        match self {
            TaskSplit::Train => "train",
            TaskSplit::Validation => "validation",
            TaskSplit::Test => "test",
        }
    }
}

impl fmt::Display for TaskSplit {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for TaskSplit {
    type Err = String;

    fn from_str(name: &str) -> Result<TaskSplit, String> {
        let split = TaskSplit::ALL.into_iter().find(|split| split.name() == name);
        let split = split.or((name == "dev").then_some(TaskSplit::Validation));
        split.ok_or_else(|| format!("`{name}` is not a split; write train, validation or test"))
    }
}

/// An example of a task: text in, text out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextExample {
    /// The text that the model reads.
    pub inputs: String,
    /// The text that the model is to write; `<unk>` where the label is not known, as the reference has it.
    pub targets: String,
    /// What an answer is compared with.
    pub truth: Truth,
}

/// What an answer is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    /// All right answers; of most tasks the one target.
    pub answers: Vec<String>,
    /// The name of the rows that are scored together: a question of MultiRC, a query of ReCoRD.
    pub group: Option<String>,
    /// The row's own id, for files of answers.
    pub id: Option<String>,
    /// Whether the answer is known: not of a test row without label.
    pub known: bool,
    /// Whether `answers` are right: rows of Winograd's schemas name a noun phrase that may be the wrong one.
    pub holds: bool,
}

/// The target of a row without label (T5's `preprocessors.glue`).
pub(crate) const UNKNOWN: &str = "<unk>";

impl Task {
    /// Opens a task: a built-in card by its name, as `glue/rte`, or the path of a TOML file, which ends in `.toml`.
    ///
    /// # Errors
    /// There is no such task or file; a key that no card has, or an impossible value.
    pub fn open(name: &str) -> Result<Task, Error> {
        card::open(name)
    }

    /// The names of the built-in tasks, sorted.
    pub fn names() -> Vec<&'static str> {
        c4_data::BUILTIN_TASKS.iter().map(|(name, _)| *name).collect()
    }

    /// What a row becomes: none where the split does not use it, one, or several examples.
    ///
    /// # Errors
    /// Why the row is refused: a column is missing or empty, a label is none of the card's.
    pub fn examples(&self, row: &TaskRow, split: TaskSplit) -> Result<Vec<TextExample>, RowProblem> {
        let card = &self.card;
        let columns = Columns::of(card, row.values()?);
        let rows = match card.preprocessor {
            Some(preprocessor) => preprocessor.apply(columns, split)?,
            None => vec![columns],
        };
        rows.iter().map(|row| self.example(row, split)).collect()
    }

    fn example(&self, row: &Columns, split: TaskSplit) -> Result<TextExample, RowProblem> {
        let card = &self.card;
        refuse_blank(card, row, split)?;
        let inputs = card.inputs.fill(row)?;
        let mut row = row.clone();
        let judged = card.preprocessor.is_some_and(Preprocessor::judges);
        let mut known = !judged || row.get(preprocess::HOLDS).is_some();
        let mut missing = columns::LABEL;
        if !card.labels.is_empty() {
            match labels::resolve(&card.labels, row.get(columns::LABEL))? {
                Some(label) => row.set(columns::LABEL, label),
                None => known = false,
            }
        }
        let targets = match card.targets.missing(&row) {
            None if known || card.labels.is_empty() => card.targets.fill(&row)?,
            None => UNKNOWN.to_owned(),
            Some(column) => {
                (known, missing) = (false, column);
                UNKNOWN.to_owned()
            }
        };
        // Only a test set may lack what is asked for.
        if !known && split == TaskSplit::Train {
            let problem = format!("has no `{missing}`, which training needs");
            return Err(RowProblem::new(RowReason::NoLabel, problem));
        }
        // What is to be judged is judged, even where no noun phrase could be found.
        if known && !judged && targets.trim().is_empty() {
            return Err(RowProblem::new(RowReason::EmptyText, "the target is empty".to_owned()));
        }
        let all = card.answers.as_ref().and_then(|column| texts(row.get(column)));
        Ok(TextExample {
            inputs,
            truth: Truth {
                answers: match known {
                    true => all.unwrap_or_else(|| vec![targets.clone()]),
                    false => Vec::new(),
                },
                group: card.group.as_ref().and_then(|group| group.fill(&row).ok()),
                id: card.id.as_ref().and_then(|id| id.fill(&row).ok()),
                known,
                holds: row.get(preprocess::HOLDS) != Some(&Value::Bool(false)),
            },
            targets,
        })
    }
}

/// Refuses a row that has nothing to read: in training any column of the input that is blank, else all of them, since
/// an answer is due for each row of a test set.
fn refuse_blank(card: &TaskCard, row: &Columns, split: TaskSplit) -> Result<(), RowProblem> {
    let is_blank = |column: &&str| matches!(row.get(column), Some(Value::String(text)) if text.trim().is_empty());
    let names: Vec<&str> = card.inputs.columns().collect();
    let blank: Vec<&str> = names.iter().copied().filter(is_blank).collect();
    match blank.first() {
        Some(first) if split == TaskSplit::Train || blank.len() == names.len() => Err(RowProblem::new(
            RowReason::EmptyText,
            format!("column `{first}` is empty"),
        )),
        _ => Ok(()),
    }
}

/// The texts of a list; `None`: it is no list of texts, or an empty one.
fn texts(value: Option<&Value>) -> Option<Vec<String>> {
    let list = value?.as_array()?;
    let texts: Option<Vec<String>> = list.iter().map(|text| Some(text.as_str()?.to_owned())).collect();
    texts.filter(|texts| !texts.is_empty())
}
