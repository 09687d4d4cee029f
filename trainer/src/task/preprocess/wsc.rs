//! The Winograd Schema Challenge of SuperGLUE: T5's `wsc_simple`.

use super::super::columns::{Columns, LABEL};
use super::super::labels;
use super::super::row::{RowProblem, RowReason};
use super::{HOLDS, TaskSplit};

/// The names of the label: whether the pronoun means the noun phrase.
const LABELS: [&str; 2] = ["False", "True"];

/// Marks the pronoun. To train, only rows whose noun phrase is the right one are used.
pub(super) fn apply(mut row: Columns, split: TaskSplit) -> Result<Option<Columns>, RowProblem> {
    let names = LABELS.map(str::to_owned);
    let label = labels::resolve(&names, row.get(LABEL))?;
    if split == TaskSplit::Train && label == Some("False") {
        return Ok(None);
    }
    let text = mark(row.text("text")?, row.text("span2_text")?, row.index("span2_index")?)?;
    let answer = row.text("span1_text")?.to_owned();
    row.set("text", text);
    row = row.without(LABEL);
    row.set("answer", answer);
    if let Some(label) = label {
        row.set(HOLDS, label == "True");
    }
    Ok(Some(row))
}

/// The text with `*pronoun*` at word `index`. Two of SuperGLUE's rows count otherwise: there the word has punctuation
/// behind the pronoun, which is set apart, or the pronoun is the nearest word that is one.
fn mark(text: &str, pronoun: &str, index: usize) -> Result<String, RowProblem> {
    let words: Vec<&str> = text.split(' ').collect();
    let marked = |word: &str| {
        let rest = word.strip_prefix(pronoun)?;
        let space = if rest.is_empty() { "" } else { " " };
        let is_whole = !rest.starts_with(char::is_alphanumeric);
        is_whole.then(|| format!("*{pronoun}*{space}{rest}"))
    };
    let mut places: Vec<usize> = (0..words.len()).filter(|at| marked(words[*at]).is_some()).collect();
    places.sort_by_key(|at| (at.abs_diff(index), *at));
    match places.first() {
        Some(&at) if !pronoun.is_empty() => {
            let word = marked(words[at]).unwrap_or_default();
            let mut words: Vec<&str> = words;
            words[at] = &word;
            Ok(words.join(" "))
        }
        _ => Err(RowProblem::new(
            RowReason::NoPronoun,
            format!("the pronoun `{pronoun}` is no word of the text"),
        )),
    }
}
