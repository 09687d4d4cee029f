//! Judging a page once it is known which of its lines or spans are kept on other pages: pass 4 of a build, whoever runs
//! it.

use crate::count::statistics::{Side, Statistics};
use crate::count::tally::{LineCounts, Tally};
use crate::rules::bad_words::{BadWords, BadWordsVerdict, base_language};
use crate::rules::dedup::{self, LeftLine, Lost};
use crate::rules::language_rule::{self, Decision, Detection};
use crate::rules::reason::{Reason, Verdict};
use crate::text::lower::{Lowered, lower};
use crate::text::{text_size::TextSize, url};
use c4_data::{DedupStep, Recipe, Split};
use std::ops::Range;

/// The last steps of a recipe: dedup, sentences again, language, bad words, split.
///
/// ```
/// use c4_data::Recipe;
/// use c4_filters::{Finisher, Statistics, url};
///
/// let (recipe, _) = Recipe::load("en")?;
/// let finisher = Finisher { recipe: &recipe, bad_words: None };
/// let text = "The committee met on Tuesday to discuss the new plan for the river and the bridge.";
/// let url = url::md5(&url::normalize("https://example.com/"));
/// let finished = finisher.judge_language(url, text.to_owned(), &mut Statistics::default());
/// assert_eq!(finished.expect("it is English").language, "en");
/// # Ok::<(), c4_data::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Finisher<'a> {
    /// The recipe whose steps are run.
    pub recipe: &'a Recipe,
    /// The recipe's compiled word lists, if it has any.
    pub bad_words: Option<&'a BadWords>,
}

/// A page's text with its language; without a language step the language is empty and its probability 0.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FinishedText {
    /// The page's text, without the duplicates that were dropped.
    pub text: String,
    /// The code of the detected language; empty without a language step.
    pub language: String,
    /// The detector's probability of the language, 0 to 1.
    pub probability: f64,
}

/// A page that one of the last steps drops.
#[derive(Debug, Clone, PartialEq)]
pub struct DroppedText {
    /// The reason of the drop.
    pub reason: Reason,
    /// The page's text and language as the dropping step saw them.
    pub left: FinishedText,
    /// The byte range in the text that gave the reason, if one place did (a listed word).
    pub place: Option<Range<usize>>,
}

impl DroppedText {
    /// A page of `text` that is dropped before its language is detected.
    pub fn new(reason: Reason, text: String) -> DroppedText {
        let left = FinishedText {
            text,
            ..FinishedText::default()
        };
        DroppedText {
            reason,
            left,
            place: None,
        }
    }
}

impl Finisher<'_> {
    /// The page's text without the lines or sentences of which another copy is kept. Dropped lines are counted, and
    /// shown to `dropped` with their number on the page (from 0).
    ///
    /// # Errors
    /// The page is dropped: nothing or too few sentences remain. Holds its text before.
    pub fn without_duplicates(
        &self,
        text: String,
        lost: &[Lost],
        lines: &mut LineCounts,
        tally: &mut Tally,
        mut dropped: impl FnMut(usize, &str, Reason),
    ) -> Result<String, DroppedText> {
        let Some(step) = &self.recipe.dedup else {
            return Ok(text);
        };
        let mut shorter = None;
        if !lost.is_empty() {
            let left = dedup::left(step, &text, lost);
            let rest = left.text(&text);
            for (i, (line, what)) in text.split('\n').zip(&left.lines).enumerate() {
                if let LeftLine::Dropped(reason) = *what {
                    if reason != Reason::SpanDuplicate {
                        lines.drop_line(reason, TextSize::of_line(line));
                    }
                    dropped(i, line, reason);
                }
            }
            if let DedupStep::Spans { .. } = step {
                tally.spans_duplicate += lost.len() as u64;
                tally.sentences_removed += left.sentences_removed;
                let gone = TextSize::of_text(&text) - TextSize::of_text(&rest);
                lines.drop_line(Reason::SpanDuplicate, gone);
            }
            shorter = Some(rest);
        }
        tally.lines_passed_dedup += lines.left().lines;
        let (DedupStep::Lines { min_sentences } | DedupStep::Spans { min_sentences, .. }) = step;
        let left = shorter.as_deref().unwrap_or(&text);
        if left.is_empty() {
            return Err(DroppedText::new(Reason::EmptiedByDedup, text));
        }
        if dedup::too_few_sentences(left, *min_sentences) {
            return Err(DroppedText::new(Reason::TooFewSentencesAfterDedup, text));
        }
        Ok(shorter.unwrap_or(text))
    }

    /// The page's text with its language, judged by the language step and by bad words. `normalized` is the MD5 of the
    /// page's normalised URL.
    ///
    /// # Errors
    /// The page is dropped by one of the two.
    pub fn judge_language(
        &self,
        normalized: u128,
        text: String,
        statistics: &mut Statistics,
    ) -> Result<FinishedText, DroppedText> {
        let mut left = FinishedText {
            text,
            ..FinishedText::default()
        };
        let Some(step) = &self.recipe.language else {
            return Ok(left);
        };
        let decision = language_rule::decide(step, &left.text);
        statistics.tally.decide_language(&decision);
        let Decision { detection, verdict, .. } = decision;
        if let Detection::Best { language, probability } = detection {
            statistics.language(Side::In, &language, Some(probability));
            left.language = language;
            left.probability = probability;
        } else {
            statistics.language(Side::In, "none", None);
        }
        if let Verdict::DropPage(reason) = verdict {
            return Err(DroppedText {
                reason,
                left,
                place: None,
            });
        }
        let Some(rule) = self.bad_words else {
            return Ok(left);
        };
        let lower = lower(&left.text);
        let verdict = rule.check(&left.language, &lower, normalized);
        let tally = &mut statistics.tally;
        if verdict != BadWordsVerdict::NoList {
            let base = base_language(&left.language).to_owned();
            let [dropped, passed, soft] = tally.bad_words_by_language.entry(base).or_default();
            match verdict {
                BadWordsVerdict::Dropped => *dropped += 1,
                BadWordsVerdict::SoftPassed => {
                    *soft += 1;
                    tally.bad_words_soft_passed += 1;
                }
                _ => *passed += 1,
            }
        }
        let Verdict::DropPage(reason) = verdict.verdict() else {
            return Ok(left);
        };
        let mut place = None;
        if let Some(word) = rule.find(&left.language, &lower) {
            let listed = lower[word.clone()].to_owned();
            *statistics.bad_words.entry(listed).or_default() += 1;
            place = Some(Lowered::new(&left.text).original(word));
        }
        Err(DroppedText { reason, left, place })
    }

    /// Counts a kept page (`normalized` is the MD5 of its normalised URL) and gives its split.
    pub fn keep(
        &self,
        (normalized, timestamp): (u128, &str),
        judged: &FinishedText,
        lines: &LineCounts,
        statistics: &mut Statistics,
    ) -> Split {
        let split = url::split(normalized, &self.recipe.split);
        statistics.tally.keep_page(split, lines);
        statistics.tally.text_bytes_out += judged.text.len() as u64;
        statistics.page_chars.add(Side::Out, lines.left().chars);
        statistics.page_lines.add(Side::Out, lines.left().lines);
        for line in judged.text.split('\n') {
            let words = TextSize::of_line(line).words;
            statistics.line_words.add(Side::Out, words);
        }
        statistics.year(Side::Out, timestamp);
        if self.recipe.language.is_some() {
            statistics.language(Side::Out, &judged.language, Some(judged.probability));
        }
        split
    }
}
