//! The form in which GLUE's and SuperGLUE's servers take answers: a table `index`, `prediction` a task of GLUE, a file
//! of objects `idx`, `label` a task of SuperGLUE, both with labels as the data sets write them. Source: the
//! instructions of gluebenchmark.com and super.gluebenchmark.com.

use crate::eval::exam::Exam;
use crate::task::{self, Task};
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Write;

/// How a task's answers are handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// GLUE: the label's number.
    TableOfNumbers,
    /// GLUE: the label's name.
    TableOfNames,
    /// GLUE's STS-B: a number of 0 to 5.
    TableOfScores,
    /// SuperGLUE: the label's name.
    Names,
    /// SuperGLUE: the label's name in lower case, as JSON's `true` is.
    LowerNames,
    /// SuperGLUE: the label's number.
    Numbers,
    /// SuperGLUE's ReCoRD: the answer itself, of each query once.
    Texts,
    /// GLUE's WNLI: 1 where the answer names the row's noun, else 0.
    TableOfNouns,
    /// SuperGLUE's WSC: whether the answer names the row's noun.
    Nouns,
    /// SuperGLUE's MultiRC: numbers by paragraph, question and answer.
    Nested,
}

impl Form {
    /// The form of a task.
    ///
    /// # Errors
    /// It is none of GLUE's or SuperGLUE's, or its answers are no labels.
    pub(super) fn of(task: &Task) -> anyhow::Result<Form> {
        Ok(match &task.card.name[..] {
            "glue/cola" | "glue/sst2" | "glue/mrpc" | "glue/qqp" => Form::TableOfNumbers,
            "glue/mnli" | "glue/mnli_mismatched" | "glue/ax" | "glue/qnli" | "glue/rte" => Form::TableOfNames,
            "glue/stsb" => Form::TableOfScores,
            "super_glue/cb" | "super_glue/rte" | "super_glue/axb" | "super_glue/axg" => Form::Names,
            "super_glue/boolq" | "super_glue/wic" => Form::LowerNames,
            "super_glue/copa" => Form::Numbers,
            "super_glue/record" => Form::Texts,
            "super_glue/multirc" => Form::Nested,
            "super_glue/wsc" => Form::Nouns,
            "glue/wnli" => Form::TableOfNouns,
            other => {
                bail!("{other}: there is no form of GLUE's or SuperGLUE's for its answers; take --format tsv or jsonl")
            }
        })
    }

    /// All answers, and how many of them are none of the task's labels.
    ///
    /// # Errors
    /// A row has no id where the form needs one.
    pub(super) fn write(self, exam: &Exam, answers: &[String]) -> anyhow::Result<(String, u64)> {
        let mut text = match self {
            Form::TableOfNumbers | Form::TableOfNames | Form::TableOfScores | Form::TableOfNouns => {
                "index\tprediction\n".to_owned()
            }
            _ => String::new(),
        };
        let labels = &exam.task.card.labels;
        let foreign = Cell::new(0_u64);
        let label = |answer: &str| {
            let found = labels.iter().position(|label| label == answer);
            foreign.set(foreign.get() + u64::from(found.is_none()));
            found.unwrap_or(0)
        };
        // What the model would write is the noun, whether it is the right one or not.
        let names = |number: usize, answer: &str| {
            let found = task::names(answer, &exam.examples[number].targets);
            foreign.set(foreign.get() + u64::from(found.is_none()));
            found.unwrap_or(false)
        };
        let mut nested = Paragraphs::default();
        let mut last = None;
        for (number, answer) in answers.iter().enumerate() {
            let id = exam.examples[number].truth.id.as_deref();
            let index: Value = match id.map(str::parse::<u64>) {
                Some(Ok(id)) => id.into(),
                _ => number.into(),
            };
            match self {
                Form::TableOfNumbers => writeln!(text, "{index}\t{}", label(answer))?,
                Form::TableOfNames => writeln!(text, "{index}\t{}", labels[label(answer)])?,
                Form::TableOfScores => {
                    let score = answer.trim().parse().ok().filter(|score: &f64| score.is_finite());
                    foreign.set(foreign.get() + u64::from(score.is_none()));
                    writeln!(text, "{index}\t{:.3}", score.unwrap_or(0.0).clamp(0.0, 5.0))?;
                }
                Form::TableOfNouns => writeln!(text, "{index}\t{}", u8::from(names(number, answer)))?,
                Form::Nouns => {
                    let label = if names(number, answer) { "True" } else { "False" };
                    writeln!(text, "{}", json!({ "idx": index, "label": label }))?;
                }
                Form::Names => writeln!(text, "{}", json!({ "idx": index, "label": labels[label(answer)] }))?,
                Form::LowerNames => {
                    let name = labels[label(answer)].to_lowercase();
                    writeln!(text, "{}", json!({ "idx": index, "label": name }))?;
                }
                Form::Numbers => writeln!(text, "{}", json!({ "idx": index, "label": label(answer) }))?,
                Form::Texts => {
                    // Of a query that stands there several times, the first counts.
                    let group = exam.examples[number].truth.group.clone();
                    if group.is_none() || group != last {
                        let index: Value = match group
                            .as_deref()
                            .and_then(|id| id.rsplit('-').next()?.parse::<u64>().ok())
                        {
                            Some(query) => query.into(),
                            None => index,
                        };
                        writeln!(text, "{}", json!({ "idx": index, "label": answer }))?;
                    }
                    last = group;
                }
                Form::Nested => nested
                    .add(exam.examples[number].truth.group.as_deref(), id, label(answer))
                    .with_context(|| {
                        format!(
                            "{}: row {} has no numbers of paragraph, question and answer",
                            exam.name(),
                            number + 1
                        )
                    })?,
            }
        }
        text += &nested.text();
        Ok((text, foreign.get()))
    }
}

/// Labels by paragraph, question and answer.
#[derive(Default)]
struct Paragraphs(BTreeMap<u64, BTreeMap<u64, BTreeMap<u64, usize>>>);

impl Paragraphs {
    /// A label by its group, `PARAGRAPH-QUESTION`, and the answer's id.
    fn add(&mut self, group: Option<&str>, id: Option<&str>, label: usize) -> Option<()> {
        let (paragraph, question) = group?.split_once('-')?;
        let (paragraph, question) = (paragraph.parse().ok()?, question.parse().ok()?);
        let answer = id?.parse().ok()?;
        let questions = self.0.entry(paragraph).or_default();
        questions.entry(question).or_default().insert(answer, label);
        Some(())
    }

    fn text(&self) -> String {
        let answers = |answers: &BTreeMap<u64, usize>| -> Vec<Value> {
            answers
                .iter()
                .map(|(idx, label)| json!({ "idx": idx, "label": label }))
                .collect()
        };
        let lines = self.0.iter().map(|(idx, questions)| {
            let questions = questions
                .iter()
                .map(|(idx, of)| json!({ "idx": idx, "answers": answers(of) }));
            let questions: Vec<Value> = questions.collect();
            format!("{}\n", json!({ "idx": idx, "passage": { "questions": questions } }))
        });
        lines.collect()
    }
}
