//! Metrics against the reference implementations, and what scoring refuses.

use crate::common::{crate_folder, golden, shared};
use serde_json::Value;
use std::collections::BTreeMap;
use t5_trainer::internals::{Bootstrap, Metric, Score, Scoring, Truth, averages, headline, score};

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

/// Made-up answers with the scores of scikit-learn, SciPy, sacreBLEU, rouge-score and the rules of the scripts
/// (`make metrics GOLDEN=…`).
#[test]
fn scores_are_those_of_the_reference_implementations() {
    let golden = golden("golden_metrics.json");
    let mut compared = BTreeMap::new();
    for case in golden.as_array().unwrap() {
        let mut scoring: Scoring = serde_json::from_value(case["score"].clone()).unwrap();
        let texts = |value: &Value| -> Vec<String> { serde_json::from_value(value.clone()).unwrap() };
        if let Some(labels) = case.get("labels") {
            scoring.labels = texts(labels);
        }
        let rows = case["truths"].as_array().unwrap().iter().enumerate();
        let truths = rows.map(|(row, answers)| Truth {
            answers: texts(answers),
            group: case["groups"][row].as_str().map(str::to_owned),
            holds: case["holds"][row].as_bool().unwrap_or(true),
            ..truth(&[])
        });
        let truths: Vec<Truth> = truths.collect();
        let scores = score(&scoring, &truths, &texts(&case["answers"]), None).unwrap();
        assert_eq!(scores.len(), case["expected"].as_array().unwrap().len());
        for (score, expected) in scores.iter().zip(case["expected"].as_array().unwrap()) {
            let equal = match expected.as_f64() {
                Some(expected) => (score.value - expected).abs() < 1e-9,
                None => score.value.is_nan(),
            };
            assert!(equal, "{score:?}, not {expected}: {case}");
            *compared.entry(score.metric.name()).or_insert(0) += 1;
        }
    }
    assert_eq!(compared.len(), 18, "every metric");
    let least = compared.iter().min_by_key(|(_, count)| **count).unwrap();
    assert!(*least.1 >= 20, "{least:?}");
}

/// A thousand lines of which T5's own test has ROUGE: the median over resamples with NumPy's random numbers, so near,
/// not equal. (That the mean is equal to 1e-9 is shown on other texts.)
#[test]
fn rouge_is_near_the_values_of_t5s_test() {
    let Some(folder) = shared("data/sup/t5-eval-testdata") else {
        return;
    };
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let answers: Vec<String> = read("prediction_large.txt").lines().map(str::to_owned).collect();
    let truths: Vec<Truth> = read("target_large.txt").lines().map(|line| truth(&[line])).collect();
    let scoring = scoring("metrics = ['rouge1', 'rouge2', 'rouge_lsum']", &[]);
    let expected: Value = serde_json::from_str(&read("expected_bootstrap_results.json")).unwrap();
    let scores = score(&scoring, &truths, &answers, Some(Bootstrap::default())).unwrap();
    assert_eq!(answers.len(), 1000);
    for (score, key) in scores.iter().zip(["rouge1", "rouge2", "rougeLsum"]) {
        let (low, high) = score.interval.unwrap();
        let standard_error = (high - low) / (2.0 * 1.96);
        // A median of 1000 normal values has a standard error of sqrt(pi / 2000) = 0.04 of theirs.
        let difference = (score.value - expected[key].as_f64().unwrap()).abs();
        assert!(difference < 4.0 * 0.04 * standard_error, "{score:?}, {}", expected[key]);
    }
}

#[test]
fn bleu_has_a_signature() {
    let truths = [truth(&["The cat sat on the mat ."]), truth(&["a", "b"])];
    let answers = ["The cat sat on the mat .".to_owned(), "b".to_owned()];
    let bleu = |toml: &str, rows: usize| score(&scoring(toml, &[]), &truths[..rows], &answers[..rows], None).unwrap();
    let one = &bleu("metrics = ['bleu']", 1)[0];
    let signature = "nrefs:1|case:mixed|eff:no|tok:intl|smooth:exp|version:2.6.0";
    assert_eq!((one.signature.as_deref(), one.value.round()), (Some(signature), 100.0));
    let both = &bleu("metrics = ['bleu']\nbleu_tokenizer = '13a'", 2)[0];
    let signature = "nrefs:var|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0";
    assert_eq!(both.signature.as_deref(), Some(signature));
}

/// Correlations of one value have none, and say so in files.
#[test]
fn a_score_that_does_not_exist_is_null_in_json() {
    let scoring = scoring("postprocess = 'number'\nmetrics = ['pearson']", &[]);
    let truths = ["1", "2"].map(|number| truth(&[number]));
    let answers = vec!["3".to_owned(); 2];
    let scores = score(&scoring, &truths, &answers, Some(Bootstrap::default())).unwrap();
    let text = serde_json::to_string(&scores).unwrap();
    assert_eq!(text, r#"[{"metric":"pearson","value":null}]"#);
    let read: Vec<Score> = serde_json::from_str(&text).unwrap();
    assert!(read[0].value.is_nan() && headline(&scoring, &read).is_nan());
}

/// MultiRC's questions and ReCoRD's queries are drawn as wholes: one question has no interval but its own score.
#[test]
fn rows_of_a_group_are_drawn_together() {
    let labels = &["False", "True"];
    let scoring = scoring("postprocess = 'label'\nmetrics = ['multirc_f1a', 'multirc_em']", labels);
    let row = |label: &str, group: &str| Truth {
        group: Some(group.to_owned()),
        ..truth(&[label])
    };
    let one = [row("True", "1"), row("False", "1"), row("True", "1")];
    let answers = ["True", "True", "False"].map(str::to_owned);
    let scores = score(&scoring, &one, &answers, Some(Bootstrap::default())).unwrap();
    assert_eq!(scores[0].interval, Some((50.0, 50.0)));
    assert_eq!(scores[1].interval, Some((0.0, 0.0)));
    let two = [row("True", "1"), row("False", "2"), row("True", "2")];
    let scores = score(&scoring, &two, &answers, Some(Bootstrap::default())).unwrap();
    assert_eq!((scores[0].value, scores[0].interval), (50.0, Some((0.0, 100.0))));
    assert_eq!((scores[1].value, scores[1].interval), (50.0, Some((0.0, 100.0))));
}
