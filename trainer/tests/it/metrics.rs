//! Metrics against the reference implementations, and what scoring refuses.

use crate::common::crate_folder;
use serde_json::Value;
use std::collections::BTreeMap;
use t5_trainer::internals::{Metric, Score, Scoring, Truth, averages, headline, score};

fn scoring(toml: &str, labels: &[&str]) -> Scoring {
    let mut scoring: Scoring = toml::from_str(toml).unwrap();
    scoring.labels = labels.iter().map(|label| (*label).to_owned()).collect();
    scoring
}

fn truth(answers: &[&str]) -> Truth {
    Truth {
        answers: answers.iter().map(|answer| (*answer).to_owned()).collect(),
        group: None,
        id: None,
        known: true,
        holds: true,
    }
}

fn values(scoring: &Scoring, truths: &[Truth], answers: &[&str]) -> Vec<f64> {
    let answers: Vec<String> = answers.iter().map(|answer| (*answer).to_owned()).collect();
    let scores = score(scoring, truths, &answers, None).unwrap();
    scores.iter().map(|score| score.value).collect()
}

/// What T5's own code makes of answers, one case a line.
#[test]
fn answers_are_read_as_the_reference_does() {
    let path = crate_folder().join("tests/golden/golden_postprocess.jsonl");
    let lines = std::fs::read_to_string(path).unwrap();
    let mut cases = BTreeMap::new();
    for line in lines.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| case[key].as_str().unwrap();
        let function = text("fn");
        *cases.entry(function.to_owned()).or_insert(0) += 1;
        match function {
            "wsc_simple" => {
                let scoring = scoring("postprocess = 'wsc'\nmetrics = ['accuracy']", &[]);
                // Whether the answer counts as right, where the noun is meant and where it is not.
                let right = [true, false].map(|holds| {
                    let truth = Truth {
                        holds,
                        ..truth(&[text("referent")])
                    };
                    values(&scoring, &[truth], &[text("prediction")])[0]
                });
                let expected = match case["result"].as_i64().unwrap() {
                    1 => [100.0, 0.0],
                    0 => [0.0, 100.0],
                    -1 => [0.0, 0.0],
                    other => panic!("{other}"),
                };
                assert_eq!(right, expected, "{line}");
            }
            "string_to_float" => {
                // The answer among others is as good as the number that the reference reads.
                let scoring = scoring("postprocess = 'number'\nmetrics = ['pearson']", &[]);
                let truths = ["1", "2", "5"].map(|number| truth(&[number]));
                let found = values(&scoring, &truths, &[text("prediction"), "2.5", "3"])[0];
                let expected = values(&scoring, &truths, &[text("result"), "2.5", "3"])[0];
                assert_eq!(found.to_bits(), expected.to_bits(), "{line}");
                assert_eq!(found.is_nan(), text("result") == "nan");
            }
            "string_label_to_class_id" => {
                let labels: Vec<&str> = case["labels"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|label| label.as_str().unwrap())
                    .collect();
                let scoring = scoring("postprocess = 'label'\nmetrics = ['accuracy']", &labels);
                for (index, label) in labels.iter().enumerate() {
                    let right = values(&scoring, &[truth(&[label])], &[text("prediction")])[0] == 100.0;
                    assert_eq!(right, case["result"].as_i64() == i64::try_from(index).ok(), "{line}");
                }
            }
            "normalize_squad" => {
                let scoring = scoring("postprocess = 'squad'\nmetrics = ['squad_em']", &[]);
                let equal = |a, b| values(&scoring, &[truth(&[a])], &[b])[0] == 100.0;
                assert!(equal(text("a"), text("na")) && equal(text("b"), text("nb")), "{line}");
                assert_eq!(equal(text("a"), text("b")), text("na") == text("nb"), "{line}");
            }
            "squad" => {
                let scoring = scoring("postprocess = 'squad'\nmetrics = ['squad_em', 'squad_f1']", &[]);
                let lists = |key: &str| case[key].as_array().unwrap().clone();
                let strings = |list: &Value| -> Vec<String> { serde_json::from_value(list.clone()).unwrap() };
                let truths: Vec<Truth> = lists("targets")
                    .iter()
                    .map(|answers| Truth {
                        answers: strings(answers),
                        ..truth(&[])
                    })
                    .collect();
                let scores = score(&scoring, &truths, &strings(&case["predictions"]), None).unwrap();
                for (score, key) in scores.iter().zip(["em", "f1"]) {
                    let expected = case["result"][key].as_f64().unwrap();
                    assert!((score.value - expected).abs() < 1e-9, "{line}");
                }
            }
            other => panic!("{other}"),
        }
    }
    let counts: Vec<(&str, i32)> = cases.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    let expected = [
        ("normalize_squad", 7),
        ("squad", 1),
        ("string_label_to_class_id", 4),
        ("string_to_float", 8),
        ("wsc_simple", 12),
    ];
    assert_eq!(counts, expected);
}

/// The paper's baseline, row and averages of Table 16.
#[test]
fn averages_are_those_of_the_paper() {
    let pair = |metrics: &str, labels: &[&str], values: &[f64]| {
        let scoring = scoring(metrics, labels);
        let scores: Vec<Score> = scoring
            .metrics
            .iter()
            .zip(values)
            .map(|(&metric, &value)| Score {
                metric,
                value,
                interval: None,
                signature: None,
            })
            .collect();
        headline(&scoring, &scores)
    };
    let two = &["no", "yes"];
    let f1 = "postprocess = 'label'\nmetrics = ['f1', 'accuracy']";
    let record = "postprocess = 'squad'\nmetrics = ['record_f1', 'record_em']";
    let headlines = [
        ("glue/cola", 53.84),
        ("glue/sst2", 92.68),
        ("glue/mrpc", pair(f1, two, &[92.07, 88.92])),
        (
            "glue/stsb",
            pair(
                "postprocess = 'number'\nmetrics = ['pearson', 'spearman']",
                &[],
                &[88.02, 87.94],
            ),
        ),
        ("glue/qqp", pair(f1, two, &[88.67, 91.56])),
        ("glue/mnli", 84.24),
        ("glue/mnli_mismatched", 84.57),
        ("glue/qnli", 90.48),
        ("glue/rte", 76.28),
        ("super_glue/boolq", 76.62),
        (
            "super_glue/cb",
            pair(
                "postprocess = 'label'\nmetrics = ['macro_f1', 'accuracy']",
                two,
                &[91.22, 91.96],
            ),
        ),
        ("super_glue/copa", 66.2),
        (
            "super_glue/multirc",
            pair(
                "postprocess = 'label'\nmetrics = ['multirc_f1a', 'multirc_em']",
                two,
                &[66.13, 25.78],
            ),
        ),
        ("super_glue/record", pair(record, &[], &[69.05, 68.16])),
        ("super_glue/rte", 75.34),
        ("super_glue/wic", 68.04),
        ("super_glue/wsc", 78.56),
    ];
    let mut headlines: BTreeMap<String, f64> = headlines.map(|(name, value)| (name.to_owned(), value)).into();
    let found = averages(&headlines);
    // The paper prints 83.28 and 71.36.
    assert_eq!(
        format!("{:.3} {:.3}", found["glue"], found["super_glue"]),
        "83.284 71.364"
    );
    assert_eq!(found.len(), 2, "without WNLI there is no average over nine");
    headlines.insert("glue/wnli".into(), 56.3);
    let with_wnli = averages(&headlines)["glue_with_wnli"];
    assert!((with_wnli - (8.0 * found["glue"] + 56.3) / 9.0).abs() < 1e-9);
    headlines.remove("super_glue/copa");
    assert!(!averages(&headlines).contains_key("super_glue"), "one task is missing");
    let squad = scoring(
        "postprocess = 'squad'\nmetrics = ['squad_f1', 'squad_em']\nheadline = 'squad_em'",
        &[],
    );
    let scores = [(Metric::SquadF1, 88.81), (Metric::SquadEm, 80.88)].map(|(metric, value)| Score {
        metric,
        value,
        interval: None,
        signature: None,
    });
    assert_eq!(headline(&squad, &scores), 80.88);
}

#[test]
fn what_cannot_be_scored_is_refused() {
    let labels: &[&str] = &["no", "yes"];
    let cases: [(&str, &[&str], &str); 6] = [
        ("metrics = []", &[], "score.metrics is empty; name at least one"),
        ("metrics = ['bleu', 'bleu']", &[], "score.metrics names bleu twice"),
        (
            "metrics = ['accuracy']",
            labels,
            "score.metrics: accuracy needs postprocess = \"label\" or \"wsc\", not \"text\"",
        ),
        (
            "metrics = ['bleu']\nheadline = 'rouge1'",
            &[],
            "score.headline is rouge1, which score.metrics doesn't name",
        ),
        (
            "postprocess = 'label'\nmetrics = ['f1']",
            &["a", "b", "c"],
            "the task has 3 labels; f1 is the F1 of the second of two",
        ),
        (
            "postprocess = 'label'\nmetrics = ['accuracy']",
            &["a", "a"],
            "the task's labels name \"a\" twice",
        ),
    ];
    for (toml, labels, message) in cases {
        assert_eq!(scoring(toml, labels).validate().unwrap_err().to_string(), message);
    }
    let label = scoring("postprocess = 'label'\nmetrics = ['accuracy']", labels);
    let multirc = scoring("postprocess = 'label'\nmetrics = ['multirc_em']", labels);
    let unknown = Truth {
        known: false,
        ..truth(&["<unk>"])
    };
    let cases = [
        (&label, vec![], "there are no rows to score"),
        (
            &label,
            vec![truth(&["maybe"])],
            "row 1 has the label \"maybe\", which is none of: no, yes",
        ),
        (
            &label,
            vec![unknown],
            "1 of 1 rows have no label, so their answers can't be scored; take another split, or only predict",
        ),
        (&label, vec![truth(&[])], "row 1 has no right answer"),
        (
            &multirc,
            vec![truth(&["yes"])],
            "row 1 belongs to no group of rows that are scored together",
        ),
    ];
    for (scoring, truths, message) in cases {
        let answers = vec!["yes".to_owned(); truths.len()];
        let refused = score(scoring, &truths, &answers, None).unwrap_err();
        assert_eq!(refused.to_string(), message);
    }
    let refused = score(&label, &[truth(&["yes"])], &[], None).unwrap_err().to_string();
    assert_eq!(refused, "there are 0 answers to 1 rows; give one a row, in order");
}
