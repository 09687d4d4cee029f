//! MultiRC (Khashabi et al. 2018): texts without HTML, as T5's `glue` makes them, and SuperGLUE's own nested form.

use super::super::columns::Columns;
use super::super::row::RowProblem;
use serde_json::{Map, Value, json};

pub(super) fn apply(mut row: Columns) -> Result<Columns, RowProblem> {
    for column in ["question", "answer", "paragraph"] {
        let text = row.text(column)?.replace("<br>", " ");
        row.set(column, text.replace("<b>", "").replace("</b>", ""));
    }
    Ok(row)
}

/// The answers of SuperGLUE's form, `passage: {text, questions: [{question, answers: [{text, label}]}]}`, in the
/// columns of TensorFlow Datasets.
pub(super) fn unnest(row: &Map<String, Value>) -> Option<Vec<Map<String, Value>>> {
    let passage = row.get("passage")?.as_object()?;
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let mut rows = Vec::new();
    for question in list(passage.get("questions")) {
        for answer in list(question.get("answers")) {
            let values = json!({
                "paragraph": passage.get("text"),
                "question": question.get("question"),
                "answer": answer.get("text"),
                "label": answer.get("label"),
                "idx": {"paragraph": row.get("idx"), "question": question.get("idx"), "answer": answer.get("idx")},
            });
            rows.extend(values.as_object().cloned());
        }
    }
    Some(rows)
}
