//! What a recipe says of a page once it is known which of its lines or spans stay elsewhere: pass 4, whoever
//! runs it.

use crate::dedup::{self, LeftLine, Lost};
use crate::language::{self, Decision, Detection};
use crate::rules::bad_words::{BadWords, BadWordsVerdict, base_language};
use crate::{Amount, LineCounts, Lowered, Reason, Side, Statistics, Tally, Verdict, lower, url};
use c4_data::{DedupStep, Recipe, Split};
use std::ops::Range;

/// The last steps of a recipe: dedup, sentences again, language, bad words, split.
#[derive(Debug, Clone, Copy)]
pub struct Finisher<'a> {
    /// The recipe.
    pub recipe: &'a Recipe,
    /// Its compiled word lists.
    pub bad_words: Option<&'a BadWords>,
}

/// A page's text, and its language if the recipe asks for it (else none, with probability 0).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Judged {
    /// Text.
    pub text: String,
    /// Code of the language.
    pub language: String,
    /// How sure the detector is.
    pub probability: f64,
}

/// A page that goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Gone {
    /// Why.
    pub reason: Reason,
    /// What there was of it.
    pub left: Judged,
    /// Byte range in its text of what gave the reason, if one place did.
    pub place: Option<Range<usize>>,
}

impl Gone {
    /// A page of `text` that goes before its language is asked for.
    pub fn new(reason: Reason, text: String) -> Gone {
        let left = Judged {
            text,
            ..Judged::default()
        };
        Gone {
            reason,
            left,
            place: None,
        }
    }
}

impl Finisher<'_> {
    /// The page's text without the lines or sentences of which another copy stays, or why the page
    /// goes and its text before. Lines that go are counted, and shown to `gone` with their place on the page.
    ///
    /// # Errors
    /// The page goes.
    pub fn without_duplicates(
        &self,
        text: String,
        lost: &[Lost],
        lines: &mut LineCounts,
        tally: &mut Tally,
        mut gone: impl FnMut(usize, &str, Reason),
    ) -> Result<String, Gone> {
        let Some(step) = &self.recipe.dedup else {
            return Ok(text);
        };
        let mut shorter = None;
        if !lost.is_empty() {
            let left = dedup::left(step, &text, lost);
            let rest = left.text(&text);
            for (i, (line, what)) in text.split('\n').zip(&left.lines).enumerate() {
                if let LeftLine::Gone(reason) = *what {
                    if reason != Reason::SpanDuplicate {
                        lines.drop_line(reason, Amount::of_line(line));
                    }
                    gone(i, line, reason);
                }
            }
            if let DedupStep::Spans { .. } = step {
                tally.spans_duplicate += lost.len() as u64;
                tally.sentences_removed += left.sentences_removed;
                let gone = Amount::of_text(&text) - Amount::of_text(&rest);
                lines.drop_line(Reason::SpanDuplicate, gone);
            }
            shorter = Some(rest);
        }
        tally.lines_passed_dedup += lines.left().lines;
        let (DedupStep::Lines { min_sentences } | DedupStep::Spans { min_sentences, .. }) = step;
        let left = shorter.as_deref().unwrap_or(&text);
        if left.is_empty() {
            return Err(Gone::new(Reason::EmptiedByDedup, text));
        }
        if dedup::too_few_sentences(left, *min_sentences) {
            return Err(Gone::new(Reason::TooFewSentencesAfterDedup, text));
        }
        Ok(shorter.unwrap_or(text))
    }

    /// The page with its language, judged by it and by bad words. `normalized` is the MD5 of its normalised URL.
    ///
    /// # Errors
    /// The page goes.
    pub fn judge_language(&self, normalized: u128, text: String, statistics: &mut Statistics) -> Result<Judged, Gone> {
        let mut left = Judged {
            text,
            ..Judged::default()
        };
        let Some(step) = &self.recipe.language else {
            return Ok(left);
        };
        let decision = language::decide(step, &left.text);
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
            return Err(Gone {
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
        Err(Gone { reason, left, place })
    }

    /// Counts a page that stays; gives its split.
    pub fn keep(
        &self,
        (normalized, timestamp): (u128, &str),
        judged: &Judged,
        lines: &LineCounts,
        statistics: &mut Statistics,
    ) -> Split {
        let split = url::split(normalized, &self.recipe.split);
        statistics.tally.keep_page(split, lines);
        statistics.tally.text_bytes_out += judged.text.len() as u64;
        statistics.page_chars.add(Side::Out, lines.left().chars);
        statistics.page_lines.add(Side::Out, lines.left().lines);
        for line in judged.text.split('\n') {
            let words = Amount::of_line(line).words;
            statistics.line_words.add(Side::Out, words);
        }
        statistics.year(Side::Out, timestamp);
        if self.recipe.language.is_some() {
            statistics.language(Side::Out, &judged.language, Some(judged.probability));
        }
        split
    }
}
