//! What a template cannot say, one file each: a function from a row's columns to the columns of its examples.

mod dpr;
mod multirc;
mod record;
mod squad;
mod stsb;
mod wnli;
mod wsc;

use super::TaskSplit;
use super::columns::Columns;
use super::row::RowProblem;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The column that says whether a row's noun phrase is the right one, of rows that are to be judged; it is in no file.
pub(super) const HOLDS: &str = "holds";

/// What is done with a row's columns before they are text. T5's function of the same name is the source of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preprocessor {
    /// Marks the pronoun of a sentence of the Definite Pronoun Resolution data set; the right candidate is `answer`.
    Dpr,
    /// Takes the HTML out of MultiRC's texts.
    Multirc,
    /// Makes text of ReCoRD's passages and entities; one `answer` an example in training.
    Record,
    /// Sets punctuation apart; the first of `answers` is `answer`.
    Squad,
    /// Rounds the score in `label` to a fifth.
    Stsb,
    /// Turns WNLI's pair of sentences into WSC's form: a sentence `text` with a marked pronoun, a noun phrase `answer`.
    Wnli,
    /// Marks the pronoun of WSC's `text`; the noun phrase is `answer`.
    Wsc,
}

impl Preprocessor {
    /// The columns that are read of a row.
    pub(super) fn needs(self) -> &'static [&'static str] {
        match self {
            Preprocessor::Dpr => &["sentence", "pronoun", "candidates"],
            Preprocessor::Multirc => &["question", "answer", "paragraph"],
            Preprocessor::Record => &["passage", "query", "entities"],
            Preprocessor::Squad => &["question", "context"],
            Preprocessor::Stsb => &[],
            Preprocessor::Wnli => &["sentence1", "sentence2"],
            Preprocessor::Wsc => &["text", "span1_text", "span2_text", "span2_index"],
        }
    }

    /// The columns that are read of a row where it has them.
    fn may_need(self) -> &'static [&'static str] {
        match self {
            Preprocessor::Record | Preprocessor::Squad => &["answers"],
            Preprocessor::Multirc => &[],
            Preprocessor::Dpr | Preprocessor::Stsb | Preprocessor::Wnli | Preprocessor::Wsc => &["label"],
        }
    }

    /// The columns that are made, and are in no file.
    pub(super) fn makes(self) -> &'static [&'static str] {
        match self {
            Preprocessor::Dpr | Preprocessor::Record | Preprocessor::Squad | Preprocessor::Wsc => &["answer"],
            Preprocessor::Wnli => &["answer", "text"],
            Preprocessor::Multirc | Preprocessor::Stsb => &[],
        }
    }

    /// Whether rows are to be judged: each names an answer, which may be the wrong one.
    pub(super) fn judges(self) -> bool {
        matches!(self, Preprocessor::Wnli | Preprocessor::Wsc)
    }

    /// All columns that are read of a row.
    pub(super) fn columns(self) -> impl Iterator<Item = &'static str> {
        self.needs().iter().chain(self.may_need()).copied()
    }

    /// The columns of rows that hold several, nested; any one of them shows such a row.
    pub(super) fn nested(self) -> &'static [&'static str] {
        match self {
            Preprocessor::Multirc => &["passage"],
            Preprocessor::Record => &["qas"],
            Preprocessor::Squad => &["data", "paragraphs", "qas"],
            Preprocessor::Dpr | Preprocessor::Stsb | Preprocessor::Wnli | Preprocessor::Wsc => &[],
        }
    }

    /// The rows that are nested in one; `None`: it is a row itself.
    pub(super) fn unnest(self, row: &Map<String, Value>) -> Option<Vec<Map<String, Value>>> {
        match self {
            Preprocessor::Multirc => multirc::unnest(row),
            Preprocessor::Record => record::unnest(row),
            Preprocessor::Squad => squad::unnest(row),
            Preprocessor::Dpr | Preprocessor::Stsb | Preprocessor::Wnli | Preprocessor::Wsc => None,
        }
    }

    /// The columns of the row's examples.
    ///
    /// # Errors
    /// Why the row is refused.
    pub(super) fn apply(self, row: Columns, split: TaskSplit) -> Result<Vec<Columns>, RowProblem> {
        Ok(match self {
            Preprocessor::Dpr => vec![dpr::apply(row)?],
            Preprocessor::Multirc => vec![multirc::apply(row)?],
            Preprocessor::Record => record::apply(row, split)?,
            Preprocessor::Squad => vec![squad::apply(row)?],
            Preprocessor::Stsb => vec![stsb::apply(row)?],
            Preprocessor::Wnli => wnli::apply(row, split)?.into_iter().collect(),
            Preprocessor::Wsc => wsc::apply(row, split)?.into_iter().collect(),
        })
    }
}
