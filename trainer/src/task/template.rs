//! A text with columns in it: `rte sentence1: {sentence1} sentence2: {sentence2}`.

use super::columns::Columns;
use super::row::{RowProblem, RowReason};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A text in which `{column}` stands for a column of a row; `{{` and `}}` are braces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template {
    written: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Column(String),
}

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(written: String) -> Result<Template, String> {
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut rest = written.as_str();
        while let Some(at) = rest.find(['{', '}']) {
            text.push_str(&rest[..at]);
            let (brace, behind) = rest[at..].split_at(1);
            if let Some(behind) = behind.strip_prefix(brace) {
                text.push_str(brace);
                rest = behind;
                continue;
            }
            let column = match brace {
                "{" => behind.split_once('}'),
                _ => None,
            };
            let Some((column, behind)) = column.filter(|(column, _)| !column.trim().is_empty()) else {
                return Err(format!(
                    "`{written}` has a brace that holds no column: write {{column}}, or {{{{ for a brace"
                ));
            };
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text)));
            }
            parts.push(Part::Column(column.trim().to_owned()));
            rest = behind;
        }
        text.push_str(rest);
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        Ok(Template { written, parts })
    }
}

impl From<Template> for String {
    fn from(template: Template) -> String {
        template.written
    }
}

impl Template {
    /// The columns that the text has, in order.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Column(column) => Some(column.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The text before the first column.
    pub(crate) fn start(&self) -> &str {
        match self.parts.first() {
            Some(Part::Text(text)) => text,
            _ => "",
        }
    }

    /// The first column of the text that a row does not have.
    pub(super) fn missing(&self, row: &Columns) -> Option<&str> {
        self.columns().find(|column| row.get(column).is_none())
    }

    /// The text of a row.
    ///
    /// # Errors
    /// A column that the row does not have, or that is no text.
    pub(super) fn fill(&self, row: &Columns) -> Result<String, RowProblem> {
        let mut filled = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Column(column) => match row.get(column) {
                    Some(Value::String(text)) => filled.push_str(text),
                    Some(Value::Number(number)) => filled.push_str(&number.to_string()),
                    // As Python writes them, and so the reference's labels.
                    Some(Value::Bool(true)) => filled.push_str("True"),
                    Some(Value::Bool(false)) => filled.push_str("False"),
                    Some(_) => return Err(RowProblem::wrong_type(column, "text")),
                    None => {
                        let problem = format!("column `{column}` is missing");
                        return Err(RowProblem::new(RowReason::MissingColumn, problem));
                    }
                },
            }
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_hold_columns() {
        let template = Template::try_from("a {{b}} {c}: {d}".to_owned()).unwrap();
        assert_eq!(template.columns().collect::<Vec<_>>(), ["c", "d"]);
        let mut row = Columns::default();
        row.set("c", "x {d}");
        row.set("d", 2);
        assert_eq!(template.fill(&row).unwrap(), "a {b} x {d}: 2");
        for wrong in ["{", "}", "{}", "a {b", "{ } x"] {
            let said = Template::try_from(wrong.to_owned()).unwrap_err();
            assert!(said.contains("holds no column"), "{said}");
        }
    }
}
