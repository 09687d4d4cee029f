//! Settings: values to try for one key of a recipe, written as `clean.min_words=3,4,5`.

use crate::{Error, Recipe};
use serde_json::Value;

/// A key of a recipe and the values to try for it.
///
/// ```
/// let setting = c4_data::Setting::parse(r#"clean.code_marks=[],["{"]"#)?;
/// assert_eq!((setting.key(), setting.values().len()), ("clean.code_marks", 2));
/// assert_eq!(c4_data::Setting::parse("line.min_words=3")?.key(), "clean.min_words");
/// # Ok::<(), c4_data::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    key: String,
    values: Vec<Value>,
}

impl Setting {
    /// Parses `KEY=VALUE,VALUE`. The key is a path into the recipe's TOML; `line` and `page` are other names for
    /// `clean`, which holds rules of both kinds, and `page.max_page_chars` is `length.max_page_chars`. Values are TOML.
    ///
    /// # Errors
    /// The key is not one of a step, there is no value, a value comes twice, or is not TOML.
    pub fn parse(text: &str) -> Result<Setting, Error> {
        let (key, values) = text.split_once('=').unwrap_or((text, ""));
        let fail = |reason: String| Err(refused(key.trim(), reason));
        let shown = values.replace(['\n', '\r'], " ");
        let Some((step, name)) = key.trim().split_once('.') else {
            return fail("wants the form STEP.KEY=VALUE,VALUE, as in clean.min_words=3,5".into());
        };
        let step = match (step, name) {
            ("page", "max_page_chars") => "length",
            ("line" | "page", _) => "clean",
            _ => step,
        };
        // An array of TOML is a list with commas, and so may its elements be.
        let toml = toml::from_str::<toml::Table>(&format!("values = [\n{values}\n]"));
        let list = match toml {
            Ok(mut table) if table.len() == 1 => table.remove("values"),
            Ok(_) => None,
            Err(e) => {
                let cause = e.message().replace('\n', " ");
                return fail(format!(
                    "`{shown}` is no list of TOML values, such as 3,5 or [\".\"],[\".\", \"!\"] ({cause})"
                ));
            }
        };
        let values = match list.map(serde_json::to_value) {
            Some(Ok(Value::Array(values))) => values,
            _ => return fail(format!("`{shown}` is no list of TOML values")),
        };
        if values.is_empty() {
            return fail("has no value".into());
        }
        let mut others = values.iter();
        while let Some(value) = others.next() {
            if others.as_slice().contains(value) {
                return fail(format!("has the value {value} twice"));
            }
        }
        let key = format!("{step}.{name}");
        Ok(Setting { key, values })
    }

    /// The setting's key: a path into the recipe's TOML.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The name of the recipe's section (its step) that the key is in.
    pub fn step(&self) -> &str {
        self.key.split('.').next().unwrap_or_default()
    }

    /// The values to try, in the order given.
    pub fn values(&self) -> &[Value] {
        &self.values
    }
}

fn refused(key: &str, reason: String) -> Error {
    Error::Setting {
        key: key.to_owned(),
        reason,
    }
}

impl Recipe {
    /// The names of the sections in the recipe's TOML, sorted: `read`, `split`, and the other steps it has, without
    /// `expect`.
    pub fn sections(&self) -> Vec<String> {
        let mut recipe = self.clone();
        recipe.expect.clear();
        let fields = recipe.to_json();
        let fields = fields.as_object().into_iter().flatten();
        let mut names: Vec<String> = fields
            .filter(|(_, value)| value.is_object())
            .map(|(name, _)| name.clone())
            .collect();
        names.sort();
        names
    }

    fn to_json(&self) -> Value {
        serde_json::to_value(self).expect("a recipe has only string keys")
    }

    /// This recipe with other values for some keys ([`Setting::key`]), validated as one from a file is.
    ///
    /// # Errors
    /// A key does not exist (the error names those that do), or a value is impossible.
    pub fn with(&self, values: &[(&str, &Value)]) -> Result<Recipe, Error> {
        let mut recipe = self.clone();
        for (key, value) in values {
            let mut json = recipe.to_json();
            let (path, name) = key.rsplit_once('.').unwrap_or(("", key));
            let place = path
                .split('.')
                .try_fold(&mut json, |json, part| json.get_mut(part))
                .and_then(Value::as_object_mut)
                .ok_or_else(|| refused(key, format!("the recipe has no `{path}` with keys")))?;
            place.insert(name.to_owned(), (*value).clone());
            recipe = serde_json::from_value(json).map_err(|e| refused(key, e.to_string().replace('\n', " ")))?;
        }
        let all: Vec<String> = values.iter().map(|(k, v)| format!("{k}={v}")).collect();
        recipe
            .validate()
            .map_err(|(key, reason)| refused(&all.join(" "), format!("{key} {reason}")))?;
        Ok(recipe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(text: &str) -> Result<(String, Vec<Value>), String> {
        let setting = Setting::parse(text).map_err(|e| e.to_string())?;
        Ok((setting.key, setting.values))
    }

    #[test]
    fn values_are_toml() {
        let parsed = |key: &str, values: Value| Ok((key.to_owned(), values.as_array().unwrap().clone()));
        let cases = [
            ("line.min_words=3,4", "clean.min_words", json!([3, 4])),
            ("page.min_sentences= 1_000", "clean.min_sentences", json!([1000])),
            ("page.max_page_chars=5", "length.max_page_chars", json!([5])),
            (
                r#"clean.end_marks=["."],[".", ",", "]"]"#,
                "clean.end_marks",
                json!([["."], [".", ",", "]"]]),
            ),
            (
                "language.min_probability=0.5,0.99",
                "language.min_probability",
                json!([0.5, 0.99]),
            ),
        ];
        for (text, key, values) in cases {
            assert_eq!(parse(text), parsed(key, values), "{text}");
        }
    }

    #[test]
    fn what_is_no_setting_is_refused_in_one_line() {
        for (text, word) in [
            ("", "STEP.KEY"),
            ("min_words=3", "STEP.KEY"),
            ("line.min_words", "no value"),
            ("line.min_words=", "no value"),
            ("line.min_words=3,3", "twice"),
            ("line.min_words=3]\nx = [4", "TOML"),
            ("line.min_words=three", "TOML"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
        assert_eq!(parse("line.min_words=3 # a comment").unwrap().1, [3]);
    }

    #[test]
    fn recipes_with_other_values_are_validated() {
        let (recipe, _) = Recipe::load("c4").unwrap();
        let sections = ["bad_words", "clean", "dedup", "language", "length", "read", "split"];
        assert_eq!(recipe.sections(), sections);
        let other = recipe
            .with(&[("clean.min_words", &json!(7)), ("dedup.span_sentences", &json!(2))])
            .unwrap();
        assert_eq!(other.clean.unwrap().min_words, 7);
        for (key, value, word) in [
            ("clean.min_wrods", json!(1), "`min_words`"),
            ("clean.min_words", json!(-1), "clean.min_words"),
            ("clean.min_words", json!("a"), "usize"),
            ("clean.min_words.x", json!(1), "clean.min_words"),
            ("paragraphs.min_lines", json!(1), "paragraphs"),
            ("clean.end_marks", json!([]), "needs a mark"),
            ("dedup.span_sentences", json!(65), "1 to 64"),
            ("dedup.unit", json!("lines"), "span_sentences"),
        ] {
            let error = recipe.with(&[(key, &value)]).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}
