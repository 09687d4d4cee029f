//! Which of a card's labels a row has: by its number, by its name, or as true and false.

use super::row::{RowProblem, RowReason};
use serde_json::Value;

/// The label that a value means; `None`: it is not known (missing, null, empty, or -1, as TensorFlow Datasets has it).
///
/// # Errors
/// A value that is none of the labels.
pub(super) fn resolve<'a>(labels: &'a [String], value: Option<&Value>) -> Result<Option<&'a str>, RowProblem> {
    let label = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Bool(value)) if labels.len() == 2 => labels.get(usize::from(*value)),
        Some(Value::Number(number)) => match number.as_f64() {
            Some(-1.0) => return Ok(None),
            number => number.and_then(|number| numbered(labels, number)),
        },
        Some(Value::String(text)) => match text.trim() {
            "" | "-1" => return Ok(None),
            text => named(labels, text),
        },
        Some(_) => None,
    };
    match label {
        Some(label) => Ok(Some(label)),
        None => {
            let held = value.map_or_else(String::new, Value::to_string);
            let held: String = held.chars().take(40).collect();
            let last = labels.len().saturating_sub(1);
            let problem = format!("label {held} is none of {} (0 to {last})", labels.join(", "));
            Err(RowProblem::new(RowReason::UnknownLabel, problem))
        }
    }
}

fn numbered(labels: &[String], number: f64) -> Option<&String> {
    // Only whole numbers: `0.5 as usize` would be the first label.
    let index = (number >= 0.0 && number.fract() == 0.0).then_some(number as usize);
    labels.get(index?)
}

/// The label of this name, in whatever case; else the one of this number. Names come first, since they may be numbers.
fn named<'a>(labels: &'a [String], text: &str) -> Option<&'a String> {
    let exact = labels.iter().find(|label| *label == text);
    let any_case = || labels.iter().find(|label| label.eq_ignore_ascii_case(text));
    let of_two = || match text {
        "true" | "True" if labels.len() == 2 => labels.get(1),
        "false" | "False" if labels.len() == 2 => labels.first(),
        _ => None,
    };
    let by_number = || text.parse().ok().and_then(|number| numbered(labels, number));
    exact.or_else(any_case).or_else(of_two).or_else(by_number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn labels_are_numbers_names_or_truth_values() {
        let labels = ["entailment".to_owned(), "not_entailment".to_owned()];
        for (value, want) in [
            (json!(0), Some("entailment")),
            (json!(1.0), Some("not_entailment")),
            (json!("1"), Some("not_entailment")),
            (json!("Entailment"), Some("entailment")),
            (json!(true), Some("not_entailment")),
            (json!("false"), Some("entailment")),
            (json!(-1), None),
            (json!("-1"), None),
            (json!(""), None),
            (json!(null), None),
        ] {
            assert_eq!(resolve(&labels, Some(&value)).unwrap(), want, "{value}");
        }
        for value in [
            json!(2),
            json!(0.5),
            json!(-2),
            json!("neutral"),
            json!("2"),
            json!([0]),
        ] {
            let problem = resolve(&labels, Some(&value)).unwrap_err();
            assert_eq!(problem.reason, RowReason::UnknownLabel, "{value}");
        }
    }
}
