//! ReCoRD (Zhang et al. 2018): T5's `record`, and SuperGLUE's own nested form.

use super::super::columns::Columns;
use super::super::row::RowProblem;
use super::TaskSplit;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// The mark that ReCoRD sets before each highlight of an article.
const HIGHLIGHT: &str = "\n@highlight\n";

/// A row for each answer in training, one in all where answers are compared.
pub(super) fn apply(mut row: Columns, split: TaskSplit) -> Result<Vec<Columns>, RowProblem> {
    row.set("passage", sentences(row.text("passage")?));
    row.set("entities", row.texts("entities")?.join(", "));
    let mut answers = match row.get("answers") {
        Some(_) => row.texts("answers")?,
        None => Vec::new(),
    };
    if split != TaskSplit::Train {
        answers.truncate(1);
    }
    let of_answer = |answer: String| {
        let mut row = row.clone();
        row.set("answer", answer);
        row
    };
    Ok(match answers.is_empty() {
        true => vec![row],
        false => answers.into_iter().map(of_answer).collect(),
    })
}

/// The passage with its highlights as sentences: each ends in a full stop if it ends in no other mark.
fn sentences(passage: &str) -> String {
    let mut text = String::with_capacity(passage.len());
    for (i, part) in passage.split(HIGHLIGHT).enumerate() {
        if i > 0 {
            let ends = text.ends_with(['.', '?', '!', '"', '\'']);
            text.push_str(if ends { " " } else { ". " });
        }
        text.push_str(part);
    }
    text
}

/// The queries of SuperGLUE's form, `passage: {text, entities: [{start, end}]}, qas: [{query, answers: [{text}]}]`, in
/// the columns of TensorFlow Datasets: entities and answers once each, sorted. Places count code points, `end` is the
/// last one.
pub(super) fn unnest(row: &Map<String, Value>) -> Option<Vec<Map<String, Value>>> {
    let passage = row.get("passage")?.as_object()?;
    let text = passage.get("text").and_then(Value::as_str).unwrap_or_default();
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let mut starts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    starts.push(text.len());
    let span = |entity: &Value| {
        let place = |name: &str, more: u64| usize::try_from(entity.get(name)?.as_u64()? + more).ok();
        let (from, to) = (starts.get(place("start", 0)?)?, starts.get(place("end", 1)?)?);
        text.get(*from..*to).map(str::to_owned)
    };
    let entities: BTreeSet<String> = list(passage.get("entities")).iter().filter_map(span).collect();
    let rows = list(row.get("qas")).into_iter().filter_map(|query| {
        let answers = list(query.get("answers"));
        let answers: BTreeSet<&str> = answers
            .iter()
            .filter_map(|answer| answer.get("text")?.as_str())
            .collect();
        let values = json!({
            "passage": text,
            "query": query.get("query"),
            "entities": entities,
            "answers": answers,
            "idx": {"passage": row.get("idx"), "query": query.get("idx")},
        });
        values.as_object().cloned()
    });
    Some(rows.collect())
}
