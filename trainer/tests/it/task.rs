//! Tasks: what their cards make of rows, in every form in which these come.

use crate::common::program::{Place, refused, said};
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

/// A card of one's own, of what it needs.
const OWN: &str = r#"
name = "weather"
inputs = "weather: {text}"
targets = "{label}"
labels = ["dry", "wet"]

[columns]
label = ["rain"]

[score]
postprocess = "label"
metrics = ["accuracy"]
"#;

#[test]
fn a_card_of_ones_own_is_ten_lines() {
    let dir = tempfile::tempdir().unwrap();
    let card = dir.path().join("weather.toml");
    std::fs::write(&card, OWN).unwrap();
    std::fs::write(dir.path().join("train.csv"), "text,rain\nsun,0\n\"rain, wind\",wet\n").unwrap();
    let (found, refused) = examples(card.to_str().unwrap(), dir.path(), TaskSplit::Train);
    let pairs: Vec<_> = found.iter().map(|e| (e.inputs.as_str(), e.targets.as_str())).collect();
    assert_eq!(pairs, [("weather: sun", "dry"), ("weather: rain, wind", "wet")]);
    assert!(refused.is_empty());
}

#[test]
fn cards_that_cannot_be_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("card.toml");
    let path = path.to_str().unwrap();
    for (from, to, words) in [
        ("labels", "lables", "line 5: unknown field `lables`"),
        ("{text}", "text", "inputs: has no {column}"),
        (
            "{text}",
            "{text",
            "line 3: `weather: {text` has a brace that holds no column",
        ),
        ("{label}", "yes", "targets: has no {column}"),
        ("\"wet\"", "\"dry\"", "labels: must differ"),
        ("[\"dry\", \"wet\"]", "[\"dry\"]", "labels: needs two labels at least"),
        (
            "label = [\"rain\"]",
            "lable = [\"rain\"]",
            "columns: `lable` is used by no template of the card; the columns are label, text",
        ),
        ("\"accuracy\"", "\"accurate\"", "unknown variant `accurate`"),
        ("\"accuracy\"", "", "score.metrics"),
        (
            "weather\"\n",
            "glue/rte\"\n",
            "name: `glue/rte` is a task of this program",
        ),
        ("weather\"\n", "../x\"\n", "name: must be letters"),
        ("labels", "preprocessor = \"magic\"\nlabels", "unknown variant `magic`"),
    ] {
        let card = OWN.replacen(from, to, 1);
        assert_ne!(card, OWN);
        std::fs::write(path, card).unwrap();
        refused(&["task", "show", path], &[path, words]);
    }
    refused(
        &["task", "show", "rte"],
        &["`rte` is no task", "glue/rte", "which ends in .toml"],
    );
    refused(&["task", "show", "no.toml"], &["no.toml", "No such file"]);
}

#[test]
fn every_card_is_what_it_shows() {
    let names = Task::names();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(names, sorted);
    let listed = said(&["task", "list"]);
    assert_eq!(listed.lines().count(), names.len());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/tasks");
    let mut files = 0;
    for name in &names {
        let task = Task::open(name).unwrap();
        assert_eq!(task.card.name, *name);
        let toml = std::fs::read_to_string(folder.join(format!("{name}.toml"))).unwrap();
        assert!(toml.lines().all(|line| line.chars().count() <= 120), "{name}");
        assert_eq!(task.sha256, c4_data::atomic_file::sha256_hex(toml.as_bytes()));
        let shown = said(&["task", "show", name]);
        assert!(shown.starts_with(&format!("# SHA-256 {}\n", task.sha256)), "{shown}");
        // What is shown is a card, and the same one but for its name.
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("own.toml");
        std::fs::write(
            &path,
            shown.replacen(&format!("name = \"{name}\""), "name = \"own\"", 1),
        )
        .unwrap();
        let own = Task::open(path.to_str().unwrap()).unwrap();
        let mut card = task.card.clone();
        card.name = "own".to_owned();
        assert_eq!(own.card, card);
        let json: Value = serde_json::from_str(&said(&["task", "show", name, "--json"])).unwrap();
        assert_eq!(json["card"]["name"], *name);
        files += 1;
    }
    // No card lies there that nobody can name.
    let of = |folder: &Path| {
        std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect::<Vec<_>>()
    };
    let (folders, cards): (Vec<_>, Vec<_>) = of(&folder).into_iter().partition(|path| path.is_dir());
    assert_eq!(
        cards.len() + folders.iter().map(|folder| of(folder).len()).sum::<usize>(),
        files
    );
}

#[test]
fn real_data_sets_are_read() {
    let Some(sup) = shared("data/sup") else { return };
    for (task, data, split, rows) in [
        ("super_glue/boolq", "BoolQ", TaskSplit::Train, 9427),
        ("super_glue/boolq", "hf-arrow/boolq", TaskSplit::Validation, 3270),
        ("glue/rte", "hf-arrow", TaskSplit::Validation, 277),
        ("glue/sst2", "hf-arrow/glue", TaskSplit::Validation, 872),
        ("glue/sst2", "SST2", TaskSplit::Train, 6920),
        ("glue/stsb", "STS-B", TaskSplit::Train, 9),
        ("wmt/en-de", "Multi30k-en-de", TaskSplit::Train, 29000),
        ("wmt/en-ro", "wmt_en_ro", TaskSplit::Test, 20),
        ("cnn_dailymail", "DebianSynopsis", TaskSplit::Validation, 1000),
    ] {
        let (found, refused) = examples(task, &sup.join(data), split);
        assert_eq!((found.len(), refused.as_slice()), (rows, &[][..]), "{task}");
    }
    // Six of its questions have no answer, as of version 2.
    let (found, refused) = examples("squad", &sup.join("SQUAD"), TaskSplit::Train);
    assert_eq!((found.len(), refused.len()), (8, 6));
    assert!(
        refused[0].ends_with("row 1, part 4: has no `answer`, which training needs"),
        "{}",
        refused[0]
    );
}

#[test]
fn a_preview_shows_what_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new();
    let rows: String = (0..50)
        .map(|i| {
            format!(
                "{{\"article\": \"{}\", \"highlights\": \"the river\"}}\n",
                "the town ".repeat(i * 10 + 1)
            )
        })
        .collect();
    std::fs::write(dir.path().join("train.jsonl"), rows).unwrap();
    let data = dir.path().to_str().unwrap();
    let json = said(&[
        "task",
        "preview",
        "cnn_dailymail",
        "--data",
        data,
        "--vocab",
        &place.vocab,
        "--json",
        "--rows",
        "50",
    ]);
    let json: Value = serde_json::from_str(&json).unwrap();
    let vocab = t5_trainer::Vocab::open(Path::new(&place.vocab)).unwrap();
    let mut cut = 0;
    for shown in json["shown"].as_array().unwrap() {
        let mut ids = Vec::new();
        vocab.encode(shown["inputs"]["text"].as_str().unwrap(), &mut ids);
        // EOS takes the last place of 512.
        let kept = ids.len().min(511);
        assert_eq!(shown["inputs"]["pieces"].as_array().unwrap().len(), kept);
        assert_eq!(shown["inputs"]["cut"], ids.len() - kept);
        cut += u64::from(ids.len() > 511);
    }
    assert!(cut > 0 && cut < 50);
    assert_eq!(json["input_lengths"]["cut"], cut);
    let sheet = said(&[
        "task",
        "preview",
        "cnn_dailymail",
        "--data",
        data,
        "--vocab",
        &place.vocab,
        "--most",
        "10",
    ]);
    assert!(sheet.contains("rows      the first 10 of 50: 10 examples"), "{sheet}");
    assert!(sheet.contains("100.0 %  \"the river\""), "{sheet}");
}
