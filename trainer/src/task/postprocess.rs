//! What of an answer's text is compared: T5's postprocessors (`t5/data/postprocessors.py`,
//! `t5/evaluation/qa_utils.py`).

use super::pystr;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How an answer's text is read before it is compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Postprocess {
    /// One of the task's labels, to the byte; any other text is wrong.
    Label,
    /// A number, as Python's `float` reads it; any other text is -1.
    Number,
    /// The text as it is.
    #[default]
    Text,
    /// Text in lower case without punctuation, articles and white space beyond one space, as SQuAD's script has it.
    Squad,
    /// Whether the answer names the noun that the row asks about, by the words they share (Winograd schemas).
    Wsc,
}

/// The index of the label that `text` is, to the byte.
pub(super) fn class(text: &str, labels: &[String]) -> Option<usize> {
    labels.iter().position(|label| label == text)
}

/// The number that `text` is for Python, and -1 if it is none.
pub(super) fn number(text: &str) -> f64 {
    pystr::float(text).unwrap_or(-1.0)
}

/// A text as SQuAD's script compares it (v1.1, `normalize_answer`): lower case, without ASCII punctuation, the words
/// `a`, `an` and `the` removed, one space between words.
pub(super) fn normalize(text: &str) -> String {
    let mut lower = text.to_lowercase();
    lower.retain(|c| !c.is_ascii_punctuation());
    let mut plain = String::with_capacity(lower.len());
    let mut rest = lower.as_str();
    // Runs of characters of words, and what is between them: an article is a run of its own (`\b` of Python's `re`).
    while let Some(first) = rest.chars().next() {
        let in_word = pystr::is_word(first);
        let end = rest.find(|c| pystr::is_word(c) != in_word).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        plain.push_str(if matches!(run, "a" | "an" | "the") { " " } else { run });
        rest = after;
    }
    pystr::words(&plain).collect::<Vec<_>>().join(" ")
}

/// Whether `answer` names `referent`: the words of one, without determiners, are all among those of the other, and both
/// or neither have an apostrophe. None for an answer of no words, which is wrong whatever the row's label
/// (`wsc_simple`).
pub(crate) fn names(answer: &str, referent: &str) -> Option<bool> {
    let answer = without_determiners(answer);
    if answer.is_empty() {
        return None;
    }
    let referent = without_determiners(referent);
    // "Bob" is not "Bob's hat".
    if answer.contains('\'') != referent.contains('\'') {
        return Some(false);
    }
    let answer: BTreeSet<&str> = answer.split(' ').collect();
    let referent: BTreeSet<&str> = referent.split(' ').collect();
    Some(answer.is_subset(&referent) || referent.is_subset(&answer))
}

/// The determiners that `wsc_simple` leaves out.
const DETERMINERS: [&str; 21] = [
    "a", "an", "few", "her", "his", "each", "every", "many", "much", "my", "our", "some", "that", "the", "their",
    "these", "this", "those", "which", "whose", "your",
];

fn without_determiners(text: &str) -> String {
    let lower = text.trim_matches(pystr::is_space).to_lowercase();
    // By single spaces, as in the reference: two in a row have an empty word between them.
    let words = lower.split(' ').filter(|word| !DETERMINERS.contains(word));
    words.collect::<Vec<_>>().join(" ")
}
