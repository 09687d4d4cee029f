//! The line and page rules in the recipe's order (the reference's `clean_page`).

use crate::rules::{citation, end_mark, long_word, paragraphs, phrases::Phrases, word_count};
use crate::{LineCounts, Reason, Verdict, punkt, pystr};
use c4_data::{CleanStep, ParagraphStep, Recipe};
use std::borrow::Cow;

/// The rules that look at one page alone, between the length limit and dedup.
#[derive(Debug)]
pub struct Cleaner {
    paragraphs: Option<ParagraphStep>,
    clean: Option<LineRules>,
}

#[derive(Debug)]
struct LineRules {
    step: CleanStep,
    page_phrases: Phrases,
    script_phrases: Phrases,
    code_marks: Phrases,
    policy_phrases: Phrases,
}

/// What a line has become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineOutcome<'t> {
    /// Stripped and without citation markers: what stays if the verdict is to keep it.
    pub text: Cow<'t, str>,
    /// What the rules say.
    pub verdict: Verdict,
}

/// A page that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CleanedPage {
    /// The lines that stayed, joined by `\n`.
    pub text: String,
    /// What became of its lines.
    pub lines: LineCounts,
}

/// What a page has become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cleaned {
    /// It passed.
    Keep(CleanedPage),
    /// It went.
    Drop {
        /// Why.
        reason: Reason,
        /// What had become of its lines by then.
        lines: LineCounts,
    },
}

impl Cleaner {
    /// The rules of `recipe`.
    pub fn new(recipe: &Recipe) -> Cleaner {
        let clean = recipe.clean.as_ref().map(|step| LineRules {
            page_phrases: Phrases::new(&step.page_phrases),
            script_phrases: Phrases::new(&step.script_phrases),
            code_marks: Phrases::new(&step.code_marks),
            policy_phrases: Phrases::new(&step.policy_phrases),
            step: step.clone(),
        });
        Cleaner {
            paragraphs: recipe.paragraphs.clone(),
            clean,
        }
    }

    /// How many lines `text` counts as: those of Python's `splitlines` where there are line rules,
    /// pieces between `\n` where there are none.
    pub fn count_lines(&self, text: &str) -> u32 {
        let lines = match self.clean {
            Some(_) => pystr::count_lines(text),
            None => memchr::memchr_iter(b'\n', text.as_bytes()).count() + 1,
        };
        u32::try_from(lines).unwrap_or(u32::MAX)
    }

    /// Runs the rules over a page. Linear in the text; allocates the text that stays.
    pub fn clean(&self, text: &str) -> Cleaned {
        let mut lines = LineCounts::default();
        if let Some(step) = &self.paragraphs
            && paragraphs::too_few_long_lines(text, step.min_lines, step.min_line_chars)
        {
            lines.total = self.count_lines(text);
            let reason = Reason::ShortParagraphs;
            return Cleaned::Drop { reason, lines };
        }
        let Some(rules) = &self.clean else {
            lines.total = self.count_lines(text);
            return Cleaned::Keep(CleanedPage {
                text: text.to_owned(),
                lines,
            });
        };
        let mut kept = String::new();
        let mut lower = String::new();
        let mut sentences = 0;
        let mut rest = pystr::split_lines(text);
        while let Some(line) = rest.next() {
            lines.total += 1;
            let outcome = rules.line(line, &mut lower);
            match outcome.verdict {
                Verdict::Keep => {
                    lines.passed += 1;
                    if sentences < rules.step.min_sentences {
                        // Only whether there are enough matters, so counting stops there.
                        let missing = rules.step.min_sentences - sentences;
                        sentences += punkt::english()
                            .sentences(&outcome.text)
                            .take(missing)
                            .count();
                    }
                    if lines.passed > 1 {
                        kept.push('\n');
                    }
                    kept.push_str(&outcome.text);
                }
                Verdict::DropLine(reason) => lines.drop_line(reason),
                Verdict::DropPage(reason) => {
                    lines.total += u32::try_from(rest.count()).unwrap_or(u32::MAX);
                    return Cleaned::Drop { reason, lines };
                }
            }
        }
        if sentences < rules.step.min_sentences {
            let reason = Reason::TooFewSentences;
            return Cleaned::Drop { reason, lines };
        }
        let stripped = pystr::strip(&kept);
        let text = if stripped.len() == kept.len() {
            kept
        } else {
            stripped.to_owned()
        };
        Cleaned::Keep(CleanedPage { text, lines })
    }

    /// What the line rules make of one line; keeps it as it is if the recipe has none.
    pub fn line<'t>(&self, line: &'t str) -> LineOutcome<'t> {
        match &self.clean {
            Some(rules) => rules.line(line, &mut String::new()),
            None => LineOutcome {
                text: Cow::Borrowed(line),
                verdict: Verdict::Keep,
            },
        }
    }
}

impl LineRules {
    /// `lower` is scratch space.
    fn line<'t>(&self, line: &'t str, lower: &mut String) -> LineOutcome<'t> {
        let line = pystr::strip(line);
        if long_word::has_long_word(line, self.step.max_word_chars) {
            return LineOutcome {
                text: Cow::Borrowed(line),
                verdict: Verdict::DropLine(Reason::LongWord),
            };
        }
        let text = citation::remove(line);
        let verdict = self.judge(&text, lower);
        LineOutcome { text, verdict }
    }

    fn judge(&self, line: &str, lower: &mut String) -> Verdict {
        let step = &self.step;
        if !end_mark::ends_well(line, &step.end_marks, &step.not_end_marks) {
            return Verdict::DropLine(Reason::NoEndMark);
        }
        if word_count::too_few(line, step.min_words) {
            return Verdict::DropLine(Reason::TooFewWords);
        }
        to_lower(line, lower);
        if self.page_phrases.find(lower).is_some() {
            return Verdict::DropPage(Reason::LoremIpsum);
        }
        if self.script_phrases.find(lower).is_some() {
            return Verdict::DropLine(Reason::Javascript);
        }
        if self.code_marks.find(line).is_some() {
            return Verdict::DropPage(Reason::CurlyBracket);
        }
        if self.policy_phrases.find(lower).is_some() {
            return Verdict::DropLine(Reason::Policy);
        }
        Verdict::Keep
    }
}

/// Python's `str.lower()` into `lower`; one copy where the text is ASCII.
pub(crate) fn to_lower(text: &str, lower: &mut String) {
    lower.clear();
    if text.is_ascii() {
        lower.push_str(text);
        lower.make_ascii_lowercase();
    } else {
        *lower = text.to_lowercase();
    }
}
