//! STS-B (Cer et al. 2017): a number to be written, T5's `stsb`.

use super::super::columns::{Columns, LABEL};
use super::super::row::{RowProblem, RowReason};
use serde_json::Value;

/// Writes the score, 0 to 5, with one decimal and in steps of a fifth; halves go to the even one. -1, which stands for
/// an unknown score, is taken away.
pub(super) fn apply(mut row: Columns) -> Result<Columns, RowProblem> {
    let score = match row.get(LABEL) {
        None => return Ok(row),
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) if text.trim().is_empty() => return Ok(row.without(LABEL)),
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(_) => None,
    };
    // In f32, as TensorFlow Datasets has it.
    let score = score.ok_or_else(|| RowProblem::wrong_type(LABEL, "a number"))? as f32;
    if score == -1.0 {
        return Ok(row.without(LABEL));
    }
    if !(0.0..=5.0).contains(&score) {
        let problem = format!("label {score} is no score from 0 to 5");
        return Err(RowProblem::new(RowReason::UnknownLabel, problem));
    }
    row.set(LABEL, format!("{:.1}", (score * 5.0).round_ties_even() / 5.0));
    Ok(row)
}
