//! Scores of answers: which metrics a task has, how they are computed, and the one number that it is judged by.

use super::Truth;
use super::bootstrap::{Bootstrap, interval};
use super::metrics::rouge::{Rouge, rouge};
use super::metrics::{Statistic, answers as texts, bleu, classes, numbers};
use super::postprocess::{self, Postprocess};
use crate::Error;
use ahash::{AHashMap, AHashSet};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What is measured. All are given as the paper prints them: from 0 (correlations: -100) to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The share of right answers.
    Accuracy,
    /// F1 of the second of two labels; an answer that is no label counts as the wrong one of them.
    F1,
    /// The mean of the F1 of every label.
    MacroF1,
    /// Matthews' correlation of labels.
    Matthews,
    /// Pearson's correlation of numbers.
    Pearson,
    /// Spearman's correlation of numbers: that of their ranks.
    Spearman,
    /// MultiRC's F1 over all answers of all questions.
    MultircF1a,
    /// The share of MultiRC's questions of which every answer is judged right.
    MultircEm,
    /// SQuAD's exact match with one of the right answers.
    SquadEm,
    /// SQuAD's F1 of words, with the best of the right answers.
    SquadF1,
    /// ReCoRD's exact match: SQuAD's, each query counted once.
    RecordEm,
    /// ReCoRD's F1: SQuAD's, each query counted once.
    RecordF1,
    /// ROUGE-1: F-measure of words.
    Rouge1,
    /// ROUGE-2: F-measure of pairs of words.
    Rouge2,
    /// ROUGE-Lsum: F-measure of longest common subsequences of sentences.
    RougeLsum,
    /// BLEU as sacreBLEU computes it.
    Bleu,
    /// The share of answers that are a right one to the byte. Also called sequence accuracy.
    #[serde(alias = "sequence_accuracy")]
    ExactMatch,
    /// The share of answers whose words are among those of a right one, or the other way round.
    SubsetMatch,
}

impl Metric {
    /// Every metric with its name in cards and files, and how its answers must be read.
    const ALL: [(Metric, &str, &[Postprocess]); 18] = [
        (Metric::Accuracy, "accuracy", &[Postprocess::Label, Postprocess::Wsc]),
        (Metric::F1, "f1", &[Postprocess::Label]),
        (Metric::MacroF1, "macro_f1", &[Postprocess::Label]),
        (Metric::Matthews, "matthews", &[Postprocess::Label]),
        (Metric::Pearson, "pearson", &[Postprocess::Number]),
        (Metric::Spearman, "spearman", &[Postprocess::Number]),
        (Metric::MultircF1a, "multirc_f1a", &[Postprocess::Label]),
        (Metric::MultircEm, "multirc_em", &[Postprocess::Label]),
        (Metric::SquadEm, "squad_em", &[Postprocess::Squad]),
        (Metric::SquadF1, "squad_f1", &[Postprocess::Squad]),
        (Metric::RecordEm, "record_em", &[Postprocess::Squad]),
        (Metric::RecordF1, "record_f1", &[Postprocess::Squad]),
        (Metric::Rouge1, "rouge1", &[Postprocess::Text]),
        (Metric::Rouge2, "rouge2", &[Postprocess::Text]),
        (Metric::RougeLsum, "rouge_lsum", &[Postprocess::Text]),
        (Metric::Bleu, "bleu", &[Postprocess::Text]),
        (Metric::ExactMatch, "exact_match", &[Postprocess::Text]),
        (Metric::SubsetMatch, "subset_match", &[Postprocess::Text]),
    ];

    fn row(self) -> (&'static str, &'static [Postprocess]) {
        let found = Self::ALL.iter().find(|(metric, ..)| *metric == self);
        let (_, name, postprocess) = found.expect("every metric is in the list");
        (name, postprocess)
    }

    /// The metric's name in cards and files, as `rouge_lsum`.
    pub fn name(self) -> &'static str {
        self.row().0
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether ROUGE compares words or their stems.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stemming {
    /// Words as they are: T5's setting.
    #[default]
    None,
    /// Porter's stems of words of more than three characters.
    Porter,
}

/// How BLEU cuts text into tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BleuTokenizer {
    /// By Unicode's categories of characters (`mteval-v14.pl`): T5's setting.
    #[default]
    Intl,
    /// By ASCII's marks (`mteval-v13a.pl`): WMT's setting, and sacreBLEU's default.
    #[serde(rename = "13a")]
    V13a,
}

/// How a task's answers are scored: the table `[score]` of its card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scoring {
    /// How an answer's text is read.
    #[serde(default)]
    pub postprocess: Postprocess,
    /// What is measured, in the order of tables.
    pub metrics: Vec<Metric>,
    /// The metric that alone is the task's one number. Without it, that is the mean of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headline: Option<Metric>,
    /// What an answer can be, for `postprocess = "label"`: the card's `labels`. F1 is that of the second.
    #[serde(skip)]
    pub labels: Vec<String>,
    /// Whether ROUGE compares words or their stems.
    #[serde(default)]
    pub stemming: Stemming,
    /// How BLEU cuts text into tokens.
    #[serde(default)]
    pub bleu_tokenizer: BleuTokenizer,
}

impl Scoring {
    /// Refuses what cannot be computed.
    ///
    /// # Errors
    /// No metric, one twice, one that wants another `postprocess`, labels missing, repeated or of no use, a headline
    /// that is not measured.
    pub fn validate(&self) -> Result<(), Error> {
        match self.problem() {
            Some(problem) => Err(Error::Setting(problem)),
            None => Ok(()),
        }
    }

    fn problem(&self) -> Option<String> {
        if self.metrics.is_empty() {
            return Some("score.metrics is empty; name at least one".into());
        }
        let mut seen = AHashSet::new();
        for metric in &self.metrics {
            if !seen.insert(metric) {
                return Some(format!("score.metrics names {metric} twice"));
            }
            let (_, fits) = metric.row();
            if !fits.contains(&self.postprocess) {
                let fits: Vec<String> = fits.iter().map(|fit| format!("{:?}", name(fit))).collect();
                let fits = fits.join(" or ");
                return Some(format!(
                    "score.metrics: {metric} needs postprocess = {fits}, not {:?}",
                    name(&self.postprocess)
                ));
            }
        }
        if let Some(headline) = self.headline.filter(|headline| !self.metrics.contains(headline)) {
            return Some(format!(
                "score.headline is {headline}, which score.metrics doesn't name"
            ));
        }
        let labels = self.labels.len();
        let two = [Metric::F1, Metric::MultircF1a]
            .iter()
            .find(|metric| seen.contains(metric));
        if let Some(metric) = two.filter(|_| labels != 2) {
            return Some(format!(
                "the task has {labels} labels; {metric} is the F1 of the second of two"
            ));
        }
        if self.postprocess == Postprocess::Label && labels < 2 {
            return Some(format!(
                "the task has {labels} labels; postprocess = \"label\" needs at least two"
            ));
        }
        let mut labels = AHashSet::new();
        let twice = self.labels.iter().find(|label| !labels.insert(*label));
        twice.map(|label| format!("the task's labels name {label:?} twice"))
    }
}

/// The name that serde writes for a value of an enum.
fn name(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

/// A task's score by one metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// What was measured.
    pub metric: Metric,
    /// The score as the paper prints it, at most 100. NaN (in JSON: null) for a correlation that does not exist, since
    /// all answers are equal or one is not finite.
    #[serde(deserialize_with = "number_or_null")]
    pub value: f64,
    /// The 95 % interval by the bootstrap, if it was asked for and there is a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<(f64, f64)>,
    /// What others need to compute the same: sacreBLEU's signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

/// What serde_json writes for NaN is null.
fn number_or_null<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// The scores of answers, one a metric in the order of `scoring`, each over all rows.
///
/// # Errors
/// `scoring` cannot be; there are no rows, or not as many answers; a row has no label, one that is none of the task's,
/// no right answer, or no group where rows of a group are scored together.
pub fn score(
    scoring: &Scoring,
    truths: &[Truth],
    answers: &[String],
    bootstrap: Option<Bootstrap>,
) -> Result<Vec<Score>, Error> {
    scoring.validate()?;
    if truths.len() != answers.len() {
        let (rows, answers) = (truths.len(), answers.len());
        return Err(Error::Setting(format!(
            "there are {answers} answers to {rows} rows; give one a row, in order"
        )));
    }
    if truths.is_empty() {
        return Err(Error::Setting("there are no rows to score".into()));
    }
    let unknown = truths.iter().filter(|truth| !truth.known).count();
    if unknown > 0 {
        return Err(Error::Setting(format!(
            "{unknown} of {} rows have no label, so their answers can't be scored; take another split, or only predict",
            truths.len()
        )));
    }
    if let Some(row) = truths.iter().position(|truth| truth.answers.is_empty()) {
        return Err(Error::Setting(format!("row {} has no right answer", row + 1)));
    }
    let rows = Rows {
        scoring,
        truths: truths.iter().collect(),
        answers: answers.iter().map(String::as_str).collect(),
    };
    let scores = scoring.metrics.iter().map(|&metric| {
        let statistic = rows.statistic(metric)?;
        let signature = || bleu::signature(scoring.bleu_tokenizer, &rows.truths);
        Ok(Score {
            metric,
            value: statistic.value(&vec![1; statistic.units()]),
            interval: bootstrap.and_then(|bootstrap| interval(&*statistic, bootstrap)),
            signature: (metric == Metric::Bleu).then(signature),
        })
    });
    scores.collect()
}

/// What is scored: a truth and an answer a row.
struct Rows<'a> {
    scoring: &'a Scoring,
    truths: Vec<&'a Truth>,
    answers: Vec<&'a str>,
}

impl Rows<'_> {
    fn statistic(&self, metric: Metric) -> Result<Box<dyn Statistic>, Error> {
        let (truths, answers) = (&self.truths[..], &self.answers[..]);
        let rouge = |kind| rouge(kind, self.scoring.stemming, truths, answers);
        let labels = self.scoring.labels.len();
        Ok(match metric {
            Metric::Accuracy if self.scoring.postprocess == Postprocess::Wsc => {
                let (truths, answers) = self.references();
                Box::new(classes::accuracy(&truths, &answers))
            }
            Metric::Accuracy => {
                let (truths, answers) = self.classes()?;
                Box::new(classes::accuracy(&truths, &answers))
            }
            Metric::F1 => {
                let (truths, answers) = self.classes()?;
                let rows: Vec<usize> = (0..truths.len()).collect();
                Box::new(classes::f1(&truths, &answers, &rows))
            }
            Metric::MacroF1 => {
                let (truths, answers) = self.classes()?;
                Box::new(classes::macro_f1(&truths, &answers, labels))
            }
            Metric::Matthews => {
                let (truths, answers) = self.classes()?;
                Box::new(classes::matthews(&truths, &answers, labels))
            }
            Metric::MultircF1a => {
                let (truths, answers) = self.classes()?;
                Box::new(classes::f1(&truths, &answers, &self.groups()?))
            }
            Metric::MultircEm => {
                let (truths, answers) = self.classes()?;
                Box::new(classes::all_of_group(&truths, &answers, &self.groups()?))
            }
            Metric::Pearson => {
                let (truths, answers) = self.numbers();
                Box::new(numbers::Pearson::new(truths, answers))
            }
            Metric::Spearman => {
                let (truths, answers) = self.numbers();
                Box::new(numbers::Spearman::new(&truths, &answers))
            }
            Metric::SquadEm => Box::new(texts::squad_exact_match(truths, answers)),
            Metric::SquadF1 => Box::new(texts::squad_f1(truths, answers)),
            Metric::RecordEm => {
                let (truths, answers) = self.first_of_groups()?;
                Box::new(texts::squad_exact_match(&truths, &answers))
            }
            Metric::RecordF1 => {
                let (truths, answers) = self.first_of_groups()?;
                Box::new(texts::squad_f1(&truths, &answers))
            }
            Metric::Rouge1 => Box::new(rouge(Rouge::Words(1))),
            Metric::Rouge2 => Box::new(rouge(Rouge::Words(2))),
            Metric::RougeLsum => Box::new(rouge(Rouge::Sentences)),
            Metric::Bleu => Box::new(bleu::bleu(self.scoring.bleu_tokenizer, truths, answers)),
            Metric::ExactMatch => Box::new(texts::exact_match(truths, answers)),
            Metric::SubsetMatch => Box::new(texts::subset_match(truths, answers)),
        })
    }

    /// Labels of truths and answers by their place in the list.
    fn classes(&self) -> Result<(Vec<usize>, Vec<Option<usize>>), Error> {
        let labels = &self.scoring.labels;
        let truths = self.truths.iter().enumerate().map(|(row, truth)| {
            let text = &truth.answers[0];
            postprocess::class(text, labels).ok_or_else(|| {
                let labels = labels.join(", ");
                Error::Setting(format!(
                    "row {} has the label {text:?}, which is none of: {labels}",
                    row + 1
                ))
            })
        });
        let answers = self.answers.iter().map(|answer| postprocess::class(answer, labels));
        Ok((truths.collect::<Result<_, _>>()?, answers.collect()))
    }

    fn numbers(&self) -> (Vec<f64>, Vec<f64>) {
        let truths = self.truths.iter().map(|truth| postprocess::number(&truth.answers[0]));
        let answers = self.answers.iter().map(|answer| postprocess::number(answer));
        (truths.collect(), answers.collect())
    }

    /// Of the Winograd schemas: whether the row's noun is meant, and whether the answer names it.
    fn references(&self) -> (Vec<usize>, Vec<Option<usize>>) {
        let truths = self.truths.iter().map(|truth| usize::from(truth.holds));
        let pairs = self.truths.iter().zip(&self.answers);
        let answers = pairs.map(|(truth, answer)| postprocess::names(answer, &truth.answers[0]).map(usize::from));
        (truths.collect(), answers.collect())
    }

    /// The number of each row's group, in the order of the groups' first rows.
    fn groups(&self) -> Result<Vec<usize>, Error> {
        let mut numbers: AHashMap<&str, usize> = AHashMap::new();
        let groups = self.truths.iter().enumerate().map(|(row, truth)| {
            let group = truth.group.as_deref().ok_or_else(|| {
                Error::Setting(format!(
                    "row {} belongs to no group of rows that are scored together",
                    row + 1
                ))
            })?;
            let next = numbers.len();
            Ok(*numbers.entry(group).or_insert(next))
        });
        groups.collect()
    }

    /// The first row of each group: of a row that stands there several times, once for each right answer, every copy
    /// has all of them (`deduplicate_metric`).
    fn first_of_groups(&self) -> Result<(Vec<&Truth>, Vec<&str>), Error> {
        let mut next = 0;
        let mut first = |group: usize| {
            let new = group == next;
            next += usize::from(new);
            new
        };
        let rows = self.truths.iter().zip(&self.answers).zip(self.groups()?);
        let rows = rows.filter(|(_, group)| first(*group));
        Ok(rows.map(|((truth, answer), _)| (*truth, *answer)).unzip())
    }
}

/// The task's one number: the metric that `scoring` names as its headline, or the mean of all (in the paper of MRPC,
/// STS-B, QQP, CB, MultiRC and ReCoRD, which have two). NaN if a metric in it has no value, or there is none.
pub fn headline(scoring: &Scoring, scores: &[Score]) -> f64 {
    let wanted = scores
        .iter()
        .filter(|score| scoring.headline.is_none_or(|headline| headline == score.metric));
    let values: Vec<f64> = wanted.map(|score| score.value).collect();
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_listed_by_the_names_of_cards() {
        for (metric, in_list, _) in Metric::ALL {
            assert_eq!(name(&metric), in_list);
            assert_eq!(metric.to_string(), in_list);
        }
        let schema = schemars::schema_for!(Metric);
        let variants = schema.get("oneOf").and_then(|variants| variants.as_array());
        assert_eq!(variants.map(Vec::len), Some(Metric::ALL.len()), "no variant is missing");
    }
}
