//! Definite Pronoun Resolution (Rahman and Ng 2012) in WSC's form: `definite_pronoun_resolution_simple` of T5.

use super::super::columns::Columns;
use super::super::row::{RowProblem, RowReason};

/// Marks the first place where the pronoun stands alone, and takes the candidate of the row's `label`.
pub(super) fn apply(mut row: Columns) -> Result<Columns, RowProblem> {
    let marked = mark(row.text("sentence")?, row.text("pronoun")?)?;
    let candidates = row.texts("candidates")?;
    row.set("sentence", marked);
    if row.get("label").is_some() {
        let label = row.index("label")?;
        let Some(right) = candidates.get(label) else {
            let problem = format!("label {label} is none of its {} candidates", candidates.len());
            return Err(RowProblem::new(RowReason::UnknownLabel, problem));
        };
        row.set("answer", right.clone());
    }
    Ok(row)
}

/// The sentence with `*pronoun*`, where a space is before it and a space, full stop or comma behind.
fn mark(sentence: &str, pronoun: &str) -> Result<String, RowProblem> {
    let found = sentence.match_indices(pronoun).find(|(at, _)| {
        let (before, behind) = (&sentence[..*at], &sentence[at + pronoun.len()..]);
        before.ends_with(' ') && behind.starts_with([' ', '.', ','])
    });
    match found {
        Some((at, _)) if !pronoun.is_empty() => {
            let (before, behind) = (&sentence[..at], &sentence[at + pronoun.len()..]);
            Ok(format!("{before}*{pronoun}*{behind}"))
        }
        _ => Err(RowProblem::new(
            RowReason::NoPronoun,
            format!("the pronoun `{pronoun}` does not stand alone in the sentence"),
        )),
    }
}
