//! What a model is asked for each task: Hugging Face's `task_specific_params`, in `config.json` there and in a file of
//! a run here.

use super::huggingface::CONFIG;
use crate::Error;
use c4_data::atomic_file::write_atomic;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

/// The file of a run's folder that holds the parameters of its tasks.
pub const FILE: &str = "task_specific_params.json";
const KEY: &str = "task_specific_params";

/// How a model answers inputs of a task, in the words of Hugging Face's transformers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskParams {
    /// What stands before each input, as `summarize: `.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// Tokens of an answer at most, the decoder's first one (no part of an answer here) included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u32>,
    /// Sequences that a beam search follows; 1: greedy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_beams: Option<u16>,
    /// The exponent `p` of transformers' score, log probability over `length^p`. Ours is Mesh TensorFlow's, over
    /// `((5 + length) / 6)^alpha`: with `alpha = p` the two order long answers alike, and short ones less so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length_penalty: Option<f64>,
    /// When a search ends: `true`, as soon as `num_beams` answers have ended; `"never"`, when no sequence can become
    /// better, as ours does; `false`, by a guess at that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<Value>,
    /// What transformers knows besides, as `min_length`; it is kept, and has no effect here.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// Parameters by the task's name.
pub type TaskMap = BTreeMap<String, TaskParams>;

impl TaskParams {
    /// Parameters for an answer of `max_length` tokens at most (EOS included), by a beam search with Mesh TensorFlow's
    /// exponent `alpha`, or greedily where `beams` is 1.
    pub fn new(prefix: &str, max_length: u32, beams: u16, alpha: f64) -> TaskParams {
        let searches = beams > 1;
        TaskParams {
            prefix: prefix.to_owned(),
            max_length: Some(max_length.saturating_add(1)),
            num_beams: Some(beams),
            length_penalty: searches.then_some(alpha),
            early_stopping: searches.then(|| "never".into()),
            others: Map::new(),
        }
    }

    /// Tokens of an answer at most, EOS included.
    pub fn answer_length(&self) -> Option<u32> {
        self.max_length.map(|length| length.saturating_sub(1).max(1))
    }

    /// Names of settings that have no effect here.
    pub fn ignored(&self) -> Vec<&str> {
        self.others.keys().map(String::as_str).collect()
    }

    /// The settings as `generation_config.json` has them.
    fn generation(&self) -> Result<Map<String, Value>, serde_json::Error> {
        let Value::Object(mut settings) = serde_json::to_value(self)? else {
            return Ok(Map::new());
        };
        settings.remove("prefix");
        Ok(settings)
    }
}

/// The tasks of a folder: of a run, by its own file; of a model of transformers, by `config.json`. None where it names
/// none.
///
/// # Errors
/// A file that cannot be read, or holds something else.
pub fn of_folder(folder: &Path) -> Result<TaskMap, Error> {
    for (file, is_config) in [(FILE, false), (CONFIG, true)] {
        let path = folder.join(file);
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            bytes => bytes.map_err(|error| Error::io(&path, error))?,
        };
        let wrong = |error: serde_json::Error| Error::format(&path, format!("{KEY}: {error}"));
        let mut tasks: Value = serde_json::from_slice(&bytes).map_err(wrong)?;
        if is_config {
            tasks = tasks[KEY].take();
        }
        return match tasks {
            Value::Null => Ok(TaskMap::new()),
            tasks => TaskMap::deserialize(tasks).map_err(wrong),
        };
    }
    Ok(TaskMap::new())
}

/// Notes the tasks of a run in its folder; nothing where there are none.
///
/// # Errors
/// The file cannot be written.
pub fn write(folder: &Path, tasks: &TaskMap) -> Result<(), Error> {
    if tasks.is_empty() {
        return Ok(());
    }
    let path = folder.join(FILE);
    let text = serde_json::to_string_pretty(tasks).map_err(|error| Error::format(&path, error.to_string()))?;
    Ok(write_atomic(&path, format!("{text}\n").as_bytes())?)
}

/// Adds the tasks to `config`; where there is one alone, its settings become those of `generation`, by which
/// transformers generates if nothing else is said.
pub(super) fn add(tasks: &TaskMap, config: &mut Value, generation: &mut Value) -> Result<(), serde_json::Error> {
    if tasks.is_empty() {
        return Ok(());
    }
    config[KEY] = json!(tasks);
    if let (1, Some(task)) = (tasks.len(), tasks.values().next()) {
        for (key, value) in task.generation()? {
            generation[key] = value;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As in `config.json` of the released t5-small.
    const RELEASED: &str = r#"{"model_type": "t5", "task_specific_params": {
        "summarization": {"early_stopping": true, "length_penalty": 2.0, "max_length": 200, "min_length": 30,
            "no_repeat_ngram_size": 3, "num_beams": 4, "prefix": "summarize: "},
        "translation_en_to_de": {"early_stopping": true, "max_length": 300, "num_beams": 4,
            "prefix": "translate English to German: "}}}"#;

    #[test]
    fn tasks_come_and_go_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(of_folder(folder.path()).unwrap(), TaskMap::new());
        std::fs::write(folder.path().join(CONFIG), RELEASED).unwrap();
        let tasks = of_folder(folder.path()).unwrap();
        let summarization = &tasks["summarization"];
        assert_eq!(summarization.prefix, "summarize: ");
        assert_eq!(summarization.answer_length(), Some(199));
        assert_eq!(summarization.ignored(), ["min_length", "no_repeat_ngram_size"]);
        let run = tempfile::tempdir().unwrap();
        write(run.path(), &tasks).unwrap();
        assert_eq!(of_folder(run.path()).unwrap(), tasks);
        let (mut config, mut generation) = (json!({}), json!({"pad_token_id": 0}));
        add(&tasks, &mut config, &mut generation).unwrap();
        let released: Value = serde_json::from_str(RELEASED).unwrap();
        assert_eq!(config[KEY], released[KEY]);
        // Which of two tasks would be meant is not known.
        assert_eq!(generation, json!({"pad_token_id": 0}));
    }

    #[test]
    fn one_task_alone_is_what_is_generated() {
        let tasks = TaskMap::from([("boolq".to_owned(), TaskParams::new("boolq ", 10, 4, 0.6))]);
        let (mut config, mut generation) = (json!({}), json!({"pad_token_id": 0}));
        add(&tasks, &mut config, &mut generation).unwrap();
        let expected = json!({
            "pad_token_id": 0, "max_length": 11, "num_beams": 4, "length_penalty": 0.6, "early_stopping": "never"
        });
        assert_eq!(generation, expected);
        assert_eq!(config[KEY]["boolq"]["prefix"], "boolq ");
    }

    #[test]
    fn what_is_no_task_is_refused_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        for wrong in [
            r#"{"task_specific_params": {"a": {"num_beams": "four"}}}"#,
            r#"{"task_specific_params": 3}"#,
            "{",
        ] {
            std::fs::write(folder.path().join(CONFIG), wrong).unwrap();
            let message = of_folder(folder.path()).unwrap_err().to_string();
            assert!(message.contains("config.json") && message.contains(KEY), "{message}");
        }
    }
}
