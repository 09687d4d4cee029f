//! The columns of a row by the card's names, whatever the file calls them.

use super::card::TaskCard;
use super::row::RowProblem;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The column that holds a row's label.
pub(super) const LABEL: &str = "label";

/// The values of a row by the card's names of columns; what is null is not there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Columns(BTreeMap<String, Value>);

impl Columns {
    /// The columns of a row that the card uses.
    pub(super) fn of(card: &TaskCard, row: &Map<String, Value>) -> Columns {
        let mut columns = Columns::default();
        for name in card.used_columns() {
            let value = card.names_of(name).find_map(|path| find(row, path));
            if let Some(value) = value {
                columns.set(name, value);
            }
        }
        columns
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    pub(super) fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// The columns but this one.
    pub(super) fn without(mut self, name: &str) -> Columns {
        self.0.remove(name);
        self
    }

    /// The text of a column.
    ///
    /// # Errors
    /// The row does not have it, or it is no text.
    pub(super) fn text(&self, name: &str) -> Result<&str, RowProblem> {
        match self.get(name) {
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(RowProblem::wrong_type(name, "text")),
            None => Err(RowProblem::missing(name)),
        }
    }

    /// The texts of a column that holds a list.
    ///
    /// # Errors
    /// The row does not have it, or it is no list of texts.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<String>, RowProblem> {
        let list = match self.get(name) {
            Some(Value::Array(list)) => list,
            Some(_) => return Err(RowProblem::wrong_type(name, "a list of texts")),
            None => return Err(RowProblem::missing(name)),
        };
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let texts: Option<Vec<String>> = list.iter().map(text).collect();
        texts.ok_or_else(|| RowProblem::wrong_type(name, "a list of texts"))
    }

    /// The number in a column, which tables hold as text.
    ///
    /// # Errors
    /// The row does not have it, or it is no number from 0.
    pub(super) fn index(&self, name: &str) -> Result<usize, RowProblem> {
        let number = match self.get(name) {
            Some(Value::Number(number)) => number.as_u64(),
            Some(Value::String(text)) => text.trim().parse().ok(),
            Some(_) => None,
            None => return Err(RowProblem::missing(name)),
        };
        let number = number.and_then(|number| usize::try_from(number).ok());
        number.ok_or_else(|| RowProblem::wrong_type(name, "a number from 0"))
    }
}

/// The value at a path such as `translation.en`, where a column's own name may have dots; through a list, the values of
/// its elements. `None`: it is not there, or null.
fn find(row: &Map<String, Value>, path: &str) -> Option<Value> {
    if let Some(value) = row.get(path) {
        return Some(value.clone()).filter(|value| !value.is_null());
    }
    let (first, rest) = path.split_once('.')?;
    below(row.get(first)?, rest)
}

fn below(value: &Value, path: &str) -> Option<Value> {
    match value {
        Value::Object(fields) => find(fields, path),
        Value::Array(elements) => elements.iter().map(|element| below(element, path)).collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_lead_through_objects_and_lists() {
        let row = json!({"a.b": 1, "t": {"en": "x", "none": null}, "l": [{"text": "p"}, {"text": "q"}], "s": {"text": ["p"]}});
        let row = row.as_object().unwrap();
        for (path, want) in [
            ("a.b", Some(json!(1))),
            ("t.en", Some(json!("x"))),
            ("t.none", None),
            ("t.de", None),
            ("t.en.x", None),
            ("l.text", Some(json!(["p", "q"]))),
            ("s.text", Some(json!(["p"]))),
            ("m", None),
        ] {
            assert_eq!(find(row, path), want, "{path}");
        }
    }
}
