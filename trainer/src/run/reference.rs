//! What each setting means. Its sentence stands once, at the field of the configuration's type: the doc comment is its
//! meaning, and the last paragraph, `Unit: …. Source: ….`, says in what it is counted and where its default is from
//! (`Default: …` between the two where that depends on the machine). Names are those that serde reads.

use super::settings::RunConfig;
use super::transfer::Transfer;
use crate::Error;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// A setting of a run, or a table of them that is of one of several kinds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Setting {
    /// The key as `--set` takes it: `feed.rows`.
    pub key: String,
    /// The kind of the table that has the key, as `adamw` for `optimizer.beta1`; `None` where there is one kind of it.
    pub kind: Option<String>,
    /// What the setting does, in sentences.
    pub meaning: String,
    /// What a number counts.
    pub unit: Option<String>,
    /// The default in words, where it is no constant.
    pub default: Option<String>,
    /// Where the setting and its default are from.
    pub source: Option<String>,
    /// The values by name, each with its meaning; none for numbers, texts and switches.
    pub choices: Vec<(String, String)>,
    /// The type of the value in JSON Schema: `integer`, `number`, `string`, `boolean`, `array` of texts.
    pub json_type: String,
}

impl Setting {
    /// The table of the setting's key, empty at the top, and its name there.
    pub fn table_and_name(&self) -> (&str, &str) {
        self.key.rsplit_once('.').unwrap_or(("", &self.key))
    }
}

/// All settings, in the order of a configuration.
pub fn settings() -> Vec<Setting> {
    let inline = |settings: &mut SchemaSettings| settings.inline_subschemas = true;
    let schema = SchemaSettings::default().with(inline).into_generator();
    let mut found = Vec::new();
    fields(
        schema.into_root_schema_for::<RunConfig>().as_value(),
        "",
        None,
        &mut found,
    );
    found
}

/// The fields of a table, and of the tables in it.
fn fields(table: &Value, prefix: &str, kind: Option<&str>, found: &mut Vec<Setting>) {
    for (name, field) in table["properties"].as_object().into_iter().flatten() {
        let key = match prefix {
            "" => name.clone(),
            prefix => format!("{prefix}.{name}"),
        };
        let value = present(field);
        let kinds = value["oneOf"].as_array().map_or(&[][..], Vec::as_slice);
        if name == "kind" {
            // It is among the kinds of the table.
        } else if value.get("properties").is_some() {
            fields(value, &key, None, found);
        } else if let Some(items) = value.get("items").filter(|items| items.get("properties").is_some()) {
            fields(items, &key, None, found);
        } else if kinds.iter().any(|kind| kind.get("properties").is_some()) {
            let of = |variant: &Value| variant["properties"]["kind"]["const"].as_str().map(str::to_owned);
            let choices = kinds
                .iter()
                .filter_map(|variant| Some((of(variant)?, meaning(variant))));
            found.push(Setting {
                choices: choices.collect(),
                json_type: "string".to_owned(),
                ..Setting::described(format!("{key}.kind"), None, field)
            });
            for variant in kinds {
                fields(variant, &key, of(variant).as_deref(), found);
            }
        } else {
            let choice = |variant: &Value| Some((variant["const"].as_str()?.to_owned(), meaning(variant)));
            let json_type = match &value["type"] {
                Value::Array(types) => types.first().and_then(Value::as_str),
                of => of.as_str(),
            };
            found.push(Setting {
                choices: kinds.iter().filter_map(choice).collect(),
                json_type: json_type.unwrap_or("string").to_owned(),
                ..Setting::described(key, kind, field)
            });
        }
    }
}

/// The schema of an optional value where it is there.
fn present(schema: &Value) -> &Value {
    let any = schema["anyOf"].as_array().into_iter().flatten();
    let mut any = any.filter(|of| of["type"] != "null");
    any.next().unwrap_or(schema)
}

/// A doc comment's paragraphs, each in one line.
fn paragraphs(schema: &Value) -> Vec<String> {
    let text = schema["description"].as_str().unwrap_or_default();
    let line = |paragraph: &str| paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    text.split("\n\n").map(line).collect()
}

fn meaning(schema: &Value) -> String {
    paragraphs(schema).swap_remove(0)
}

impl Setting {
    fn described(key: String, kind: Option<&str>, field: &Value) -> Setting {
        let mut setting = Setting {
            key,
            kind: kind.map(str::to_owned),
            ..Setting::default()
        };
        let mut paragraphs = paragraphs(field);
        let last = paragraphs.pop().unwrap_or_default();
        let mut rest = &last[..];
        for (label, part) in [
            ("Source: ", &mut setting.source),
            ("Default: ", &mut setting.default),
            ("Unit: ", &mut setting.unit),
        ] {
            if let Some((before, text)) = rest.rsplit_once(label)
                && (before.is_empty() || before.ends_with(". "))
            {
                *part = Some(text.trim_end().trim_end_matches('.').to_owned());
                rest = before;
            }
        }
        if !rest.is_empty() {
            paragraphs.push(rest.to_owned());
        }
        setting.meaning = paragraphs.join(" ");
        setting
    }

    /// What the setting means, as comments of a TOML file.
    fn comment(&self) -> String {
        let mut text = self.meaning.clone();
        if let Some(unit) = self.unit.as_ref().filter(|unit| *unit != "none") {
            text += &format!(" Unit: {unit}.");
        }
        if !self.choices.is_empty() {
            let names: Vec<_> = self.choices.iter().map(|(name, _)| &name[..]).collect();
            text += &format!(" One of {}.", names.join(", "));
        }
        let mut out = String::new();
        let mut line = "#".to_owned();
        for word in text.split(' ') {
            if line.chars().count() + 1 + word.chars().count() > COMMENT_WIDTH {
                out += &format!("{line}\n");
                line = "#".to_owned();
            }
            line += &format!(" {word}");
        }
        out + &line + "\n"
    }
}

/// A number's digits without a row of zeros: `1e-30`.
fn short(value: &str) -> String {
    match value.parse::<f64>() {
        Ok(small) if value.starts_with("0.0000") && small > 0.0 => format!("{small:e}"),
        _ => value.to_owned(),
    }
}

/// What a configuration without corpora says of them.
const NO_CORPORA: &str =
    "# Corpora: by --corpus, or each by a table [[corpora]] with path, weight, language, at the end.\n";

/// Characters of a line of comments.
const COMMENT_WIDTH: usize = 100;

impl RunConfig {
    /// All settings as TOML that [`resolve`](RunConfig::resolve) reads, each below its meaning. What is left out, since
    /// no value says it or since others decide over it, is a comment with its default; so is `model.vocab_size`, unless
    /// it is to be said.
    ///
    /// # Errors
    /// A number that TOML does not have.
    pub fn to_toml(&self, says_vocab_size: bool) -> Result<String, Error> {
        let wrong = |e: toml::ser::Error| Error::Setting(format!("configuration: {e}"));
        let text = toml::to_string(self).map_err(wrong)?;
        let settings = settings();
        let comment = |table: &str, name: &str, kind: &str| {
            let is_it =
                |s: &&Setting| s.table_and_name() == (table, name) && s.kind.as_deref().is_none_or(|k| k == kind);
            settings.iter().find(is_it).map_or(String::new(), Setting::comment)
        };
        let left_out = self.left_out()?;
        let mut out = String::new();
        let (mut table, mut kind) = (String::new(), String::new());
        // Behind what is said of a table.
        let end = |out: &mut String, table: &str, kind: &str| {
            out.truncate(out.trim_end().len());
            out.push('\n');
            for (_, line) in left_out.iter().filter(|(of, _)| *of == table) {
                let name = line.split(' ').next().unwrap_or_default();
                *out += &format!("{}# {line}\n", comment(table, name, kind));
            }
        };
        for line in text.lines() {
            if line.starts_with('[') {
                end(&mut out, &table, &kind);
                out += &format!("\n{line}\n");
                table = line.trim_matches(['[', ']']).to_owned();
                kind.clear();
            } else if let Some((name, value)) = line.split_once(" = ") {
                if name == "kind" {
                    kind = value.trim_matches('"').to_owned();
                }
                out += &comment(&table, name, &kind);
                out += &match (&table[..], name, value) {
                    ("model", "vocab_size", _) if !says_vocab_size => {
                        "# vocab_size: that of the vocabulary\n".to_owned()
                    }
                    ("", "corpora", "[]") => NO_CORPORA.to_owned(),
                    _ => format!("{name} = {}\n", short(value)),
                };
            } else {
                out += &format!("{line}\n");
            }
        }
        end(&mut out, &table, &kind);
        Ok(out)
    }

    /// Tables, and lines `key = value` of what is left out there, with the default or with a value for it.
    fn left_out(&self) -> Result<Vec<(&'static str, String)>, Error> {
        let mut lines = Vec::new();
        if self.clip_norm.is_none() {
            lines.push(("", "clip_norm = 1.0 (left out: gradients are not clipped)".to_owned()));
        }
        if let Transfer::Unfreezing { episodes: None } = self.transfer {
            let episodes = self.transfer.episodes(&self.model);
            let line = format!("episodes = {episodes} (left out: a layer in each)");
            lines.push(("transfer", line));
        }
        let of_tasks = [
            ("", "evaluate_examples", self.evaluate_examples),
            ("", "patience", self.patience),
            ("feed", "task_inputs", self.feed.task_inputs as u64),
            ("feed", "task_targets", self.feed.task_targets as u64),
        ];
        let none = of_tasks.into_iter().filter(|(.., value)| *value == 0);
        lines.extend(none.map(|(table, key, _)| (table, format!("{key} = 0"))));
        let objective = self.feed.objective.defaults()?.into_iter();
        lines.extend(objective.map(|line| ("feed.objective", line)));
        if self.optimizer.takes_absolute_steps() {
            let line = "min_parameter_scale = 0.001 (left out: steps are absolute)";
            lines.push(("optimizer", line.to_owned()));
        }
        if let Some(warmup) = self.schedule.default_warmup(self.steps) {
            lines.push((
                "schedule",
                format!("warmup_steps = {warmup} (left out: it follows the run)"),
            ));
        }
        Ok(lines)
    }
}
