//! SQuAD (Rajpurkar et al. 2016): T5's `squad` with punctuation set apart, and the nested form of its own files.

use super::super::columns::Columns;
use super::super::row::RowProblem;
use serde_json::{Map, Value};

pub(super) fn apply(mut row: Columns) -> Result<Columns, RowProblem> {
    // The reference collapses spaces once more after joining; at the seams that is trimming.
    row.set("question", pad_punctuation(row.text("question")?).trim());
    row.set("context", pad_punctuation(row.text("context")?).trim_start());
    if let Some(value) = row.get("answers") {
        let answers = texts(value).ok_or_else(|| RowProblem::wrong_type("answers", "a list of texts"))?;
        let answers: Vec<String> = answers.into_iter().map(pad_punctuation).collect();
        if let Some(first) = answers.first() {
            row.set("answer", first.as_str());
        }
        row.set("answers", answers);
    }
    Ok(row)
}

/// The texts of answers, which are `{text: [...]}`, as the Hub and TensorFlow Datasets have them, `[{text}]`, as
/// SQuAD's own files, or a list of texts.
fn texts(answers: &Value) -> Option<Vec<&str>> {
    let list = match answers {
        Value::Object(answers) => answers.get("text")?.as_array()?,
        answers => answers.as_array()?,
    };
    let answers = list.iter().map(|answer| answer.get("text").unwrap_or(answer));
    answers.map(Value::as_str).collect()
}

/// The text with a space before and after each ASCII punctuation mark, and every run of ASCII white space as one space.
fn pad_punctuation(text: &str) -> String {
    let mut padded = String::with_capacity(text.len() + text.len() / 8);
    let space = |padded: &mut String| {
        if !padded.ends_with(' ') {
            padded.push(' ');
        }
    };
    for c in text.chars() {
        match c {
            // RE2's `\s`, which lacks the vertical tab.
            '\t' | '\n' | '\x0c' | '\r' | ' ' => space(&mut padded),
            c if c.is_ascii_punctuation() => {
                space(&mut padded);
                padded.push(c);
                padded.push(' ');
            }
            c => padded.push(c),
        }
    }
    padded
}

/// The questions of nested forms: `data: [{paragraphs: [{context, qas: [{id, question, answers}]}]}]`, the rows of each
/// level by themselves, and `data` with plain rows.
pub(super) fn unnest(row: &Map<String, Value>) -> Option<Vec<Map<String, Value>>> {
    let (level, inner) = ["data", "paragraphs", "qas"]
        .into_iter()
        .find_map(|level| Some((level, row.get(level)?.as_array()?)))?;
    let mut rows = Vec::new();
    for inner in inner.iter().filter_map(Value::as_object) {
        match unnest(inner) {
            Some(inner) => rows.extend(inner),
            None => {
                let mut inner = inner.clone();
                if level == "qas" {
                    inner.extend(
                        row.get("context")
                            .map(|context| ("context".to_owned(), context.clone())),
                    );
                }
                rows.push(inner);
            }
        }
    }
    Some(rows)
}
