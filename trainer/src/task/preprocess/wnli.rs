//! WNLI in WSC's form: T5's `wnli_simple`. The second sentence repeats a part of the first, with a noun phrase for the
//! pronoun.

use super::super::columns::{Columns, LABEL};
use super::super::labels;
use super::super::row::{RowProblem, RowReason};
use super::{HOLDS, TaskSplit};

const PRONOUNS: [&str; 9] = ["he", "she", "they", "it", "her", "his", "their", "them", "him"];
const ARTICLES: [&str; 3] = ["a", "an", "the"];
const MARKS: [char; 4] = ['.', ',', '?', '!'];

/// The names of the label: whether the second sentence follows.
const LABELS: [&str; 2] = ["not_entailment", "entailment"];

/// Marks the pronoun, and takes the noun phrase out of the second sentence. No row is for training (T5: "eval and not
/// train").
pub(super) fn apply(row: Columns, split: TaskSplit) -> Result<Option<Columns>, RowProblem> {
    if split == TaskSplit::Train {
        return Ok(None);
    }
    let (premise, hypothesis) = (row.text("sentence1")?, row.text("sentence2")?);
    let (premise_words, words) = (clean(premise), clean(hypothesis));
    let premise_text: Vec<&str> = premise_words.iter().map(|(_, word)| word.as_str()).collect();
    let words: Vec<&str> = words.iter().map(|(_, word)| word.as_str()).collect();
    let mut best: Option<Match> = None;
    for at in (0..premise_text.len()).filter(|at| PRONOUNS.contains(&premise_text[*at])) {
        let found = Match::of(&premise_text, &words, at);
        if best.as_ref().is_none_or(|best| found.score > best.score) {
            best = Some(found);
        }
    }
    let Some(best) = best else {
        let problem = "the first sentence has no pronoun".to_owned();
        return Err(RowProblem::new(RowReason::NoPronoun, problem));
    };
    let text = mark(premise.trim(), premise_words[best.at].0);
    let answer = as_written(&from_last_article(&best.candidate), hypothesis);
    let names = LABELS.map(str::to_owned);
    let holds = labels::resolve(&names, row.get(LABEL))?.map(|label| label == "entailment");
    let mut row = row.without(LABEL);
    row.set("text", text);
    row.set("answer", answer);
    if let Some(holds) = holds {
        row.set(HOLDS, holds);
    }
    Ok(Some(row))
}

/// The words of a sentence between single spaces, in lower case, without a mark at their ends, each with its number.
fn clean(sentence: &str) -> Vec<(usize, String)> {
    let words = sentence.trim().split(' ').enumerate();
    let words = words.map(|(at, word)| {
        let word = word.to_lowercase();
        (at, word.strip_suffix(MARKS).unwrap_or(&word).to_owned())
    });
    words.filter(|(_, word)| !word.is_empty()).collect()
}

/// What a pronoun of the first sentence may stand for.
struct Match {
    /// The pronoun's place among the clean words.
    at: usize,
    /// The number of words around the pronoun that the second sentence has, too.
    score: usize,
    candidate: String,
}

impl Match {
    fn of(premise: &[&str], hypothesis: &[&str], at: usize) -> Match {
        let (before, behind) = (&premise[..at], &premise[at + 1..]);
        let reversed = |words: &[&str]| words.iter().rev().copied().collect::<Vec<_>>().join(" ");
        let whole = hypothesis.join(" ");
        let backwards = reversed(hypothesis);
        let longest = (1..=before.len()).take_while(|n| backwards.contains(&reversed(&before[at - n..])));
        let before = &before[at - longest.last().unwrap_or(0)..];
        let longest = (1..=behind.len()).take_while(|n| whole.contains(&behind[..*n].join(" ")));
        let behind = &behind[..longest.last().unwrap_or(0)];
        let score = before.len() + behind.len();
        Match {
            at,
            score,
            candidate: match score {
                0 => String::new(),
                _ => between(&whole, &before.join(" "), &behind.join(" "))
                    .unwrap_or_default()
                    .to_owned(),
            },
        }
    }
}

/// The part of a sentence between two others, as long as it can be; where that is not there, the part before the second
/// from the sentence's start, or else behind the first to its end.
fn between<'a>(sentence: &'a str, before: &str, behind: &str) -> Option<&'a str> {
    let from_start = |part: &'a str| match behind {
        "" => Some(part),
        _ => part.rfind(&format!(" {behind}")).map(|end| &part[..end]),
    };
    let from_start = |part: &'a str| from_start(part).filter(|found| !found.is_empty());
    let to_end = |at: usize| &sentence[at + before.len() + 1..];
    let with_space = format!("{before} ");
    let all_before = || sentence.match_indices(&with_space).map(|(at, _)| at);
    let both = match before {
        "" => from_start(sentence),
        _ => all_before().find_map(|at| from_start(to_end(at))),
    };
    let last = || match before {
        "" => Some(sentence),
        _ => all_before().map(to_end).find(|found| !found.is_empty()),
    };
    both.or_else(|| from_start(sentence)).or_else(last)
}

/// The candidate from its last article on: it may begin with words that only happen to be before it.
fn from_last_article(candidate: &str) -> String {
    let words: Vec<&str> = candidate.split(' ').collect();
    let first_place = |article: &&str| words.iter().position(|word| word == article);
    let from = ARTICLES.iter().filter_map(first_place).max().unwrap_or(0);
    words[from..].join(" ")
}

/// The candidate as the sentence writes it, without a mark or a possessive ending.
fn as_written(candidate: &str, sentence: &str) -> String {
    let wanted: Vec<&str> = candidate.split(' ').collect();
    let places = sentence.char_indices().map(|(at, _)| at);
    let found = places.filter_map(|at| written_at(&wanted, &sentence[at..])).next();
    let found = found.unwrap_or(candidate);
    let found = found.strip_suffix(MARKS).unwrap_or(found);
    let found = found.strip_suffix("'s").or(found.strip_suffix('\'')).unwrap_or(found);
    found.to_owned()
}

/// The start of a text that is these words, in any case, each perhaps with a mark behind it.
fn written_at<'a>(words: &[&str], text: &'a str) -> Option<&'a str> {
    let mut rest = text;
    for (i, word) in words.iter().enumerate() {
        if i > 0 {
            rest = rest.strip_prefix(' ')?;
        }
        for c in word.chars() {
            let first = rest
                .chars()
                .next()
                .filter(|first| first.to_lowercase().eq(c.to_lowercase()))?;
            rest = &rest[first.len_utf8()..];
        }
        rest = rest.strip_prefix(MARKS).unwrap_or(rest);
    }
    Some(&text[..text.len() - rest.len()])
}

/// The sentence with stars around word `at`, whose mark is set apart.
fn mark(sentence: &str, at: usize) -> String {
    let marked = |word: &str| match word.strip_suffix(MARKS) {
        Some(bare) => format!("*{bare}* {}", &word[bare.len()..]),
        None => format!("*{word}*"),
    };
    let words = sentence.split(' ').enumerate();
    let words = words.map(|(i, word)| if i == at { marked(word) } else { word.to_owned() });
    words.collect::<Vec<_>>().join(" ")
}
