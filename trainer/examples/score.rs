//! For benches/metrics.sh: scores answers. Reads a case a line, as the golden file `golden_metrics.json` has them:
//! `{"score": as in a card, "labels", "truths": the right answers of each row, "groups", "holds", "answers"}`, and
//! writes a list of scores a line. With `bootstrap` in a case, the scores have intervals.
//!
//! Usage: score < CASES

use serde::Deserialize;
use std::io::{BufWriter, Write, stdin, stdout};
use t5_trainer::internals::{Bootstrap, Scoring, Truth, score};

#[derive(Deserialize)]
struct Case {
    score: Scoring,
    #[serde(default)]
    labels: Vec<String>,
    truths: Vec<Vec<String>>,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    holds: Vec<bool>,
    answers: Vec<String>,
    bootstrap: Option<Bootstrap>,
}

fn main() -> anyhow::Result<()> {
    let mut out = BufWriter::new(stdout().lock());
    for line in stdin().lines() {
        let mut case: Case = serde_json::from_str(&line?)?;
        case.score.labels = case.labels;
        let rows = case.truths.into_iter().enumerate();
        let truths = rows.map(|(row, answers)| Truth {
            answers,
            group: case.groups.get(row).cloned(),
            id: None,
            known: true,
            holds: case.holds.get(row).copied().unwrap_or(true),
        });
        let truths: Vec<Truth> = truths.collect();
        let scores = score(&case.score, &truths, &case.answers, case.bootstrap)?;
        serde_json::to_writer(&mut out, &scores)?;
        writeln!(out)?;
    }
    Ok(())
}
