//! Tasks: what their cards make of rows, in every form in which these come.

use crate::common::shared;
use serde_json::Value;
use std::path::Path;
use t5_trainer::Task;
use t5_trainer::internals::{TaskData, TaskRow, TaskSplit, TextExample};

/// All examples of a split, and the rows that were refused.
fn examples(name: &str, data: &Path, split: TaskSplit) -> (Vec<TextExample>, Vec<String>) {
    let task = Task::open(name).unwrap();
    let data = TaskData::open(&task, data).unwrap();
    let files = data.split(split).unwrap();
    let mut rows = files.open(0).unwrap();
    let (mut all, mut refused, mut read) = (Vec::new(), Vec::new(), 0);
    while let Some(row) = rows.next().unwrap() {
        read += 1;
        match task.examples(&row, split) {
            Ok(examples) => all.extend(examples),
            Err(problem) => refused.push(format!("{}: {problem}", row.place())),
        }
    }
    assert_eq!(read, files.rows());
    (all, refused)
}

/// The card for a task's name in T5.
fn card_of(reference: &str) -> String {
    let name = reference.split(" (").next().unwrap();
    let words: Vec<&str> = name.split('_').collect();
    match words[..] {
        ["glue", "ax", ..] => "glue/ax".to_owned(),
        ["glue", task, ..] => format!("glue/{task}"),
        ["super", "glue", task, ..] => format!("super_glue/{task}"),
        ["squad", ..] => "squad".to_owned(),
        ["wmt", pair] => format!("wmt/{}-{}", &pair[..2], &pair[2..]),
        ["cnn", ..] => "cnn_dailymail".to_owned(),
        ["dpr", ..] => "dpr".to_owned(),
        _ => panic!("{reference}"),
    }
}

#[test]
fn rows_become_what_the_reference_makes_of_them() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/golden_tasks.jsonl");
    let lines = std::fs::read_to_string(&path).unwrap();
    let mut compared = 0;
    for (number, line) in (1..).zip(lines.lines()) {
        let golden: Value = serde_json::from_str(line).unwrap();
        let reference = golden["task"].as_str().unwrap();
        let task = Task::open(&card_of(reference)).unwrap();
        let row = TaskRow::new(&path, number, golden["example"].as_object().unwrap().clone());
        let known = golden["targets"] != "<unk>";
        let split =
            match reference.contains("wsc") && reference.ends_with("train") || reference.contains("record") && known {
                true => TaskSplit::Train,
                false => TaskSplit::Test,
            };
        let found = task.examples(&row, split).unwrap_or_else(|e| panic!("{line}: {e}"));
        if golden["dropped"] == true {
            assert!(found.is_empty(), "{line}");
        } else {
            let inputs = golden["inputs"].as_str().unwrap();
            let targets = golden["targets"].as_str().unwrap();
            let same = found.iter().find(|found| found.targets == targets);
            let same = same.unwrap_or_else(|| panic!("{line}: {found:?}"));
            assert_eq!(same.inputs, inputs, "{line}");
            if let Some(answers) = golden.get("answers") {
                assert_eq!(serde_json::to_value(&same.truth.answers).unwrap(), *answers);
            }
        }
        compared += 1;
    }
    assert_eq!(compared, 62);
}

#[test]
fn tables_of_glue_are_read_as_they_are() {
    let Some(sup) = shared("data/sup") else { return };
    let (rte, refused) = examples("glue/rte", &sup, TaskSplit::Validation);
    assert_eq!((rte.len(), refused.len()), (277, 0));
    assert!(
        rte[0].inputs.starts_with("rte sentence1: Dana Reeve, the widow"),
        "{}",
        rte[0].inputs
    );
    assert_eq!(rte[0].targets, "not_entailment");
    assert_eq!(rte[0].truth.id.as_deref(), Some("0"));
    let (cola, refused) = examples("glue/cola", &sup, TaskSplit::Train);
    assert_eq!((cola.len(), refused.len()), (8551, 0));
    let (cola, _) = examples("glue/cola", &sup, TaskSplit::Validation);
    assert_eq!(cola.len(), 1043);
}
