//! The line and page rules in the recipe's order (the reference's `clean_page`).

use crate::count::tally::LineCounts;
use crate::rules::reason::{Reason, Verdict};
use crate::rules::{citation, end_mark, long_word, paragraphs, phrases::AnyPhrase, phrases::Phrases, word_count};
use crate::text::lower::{Lowered, lower_into};
use crate::text::{punkt, pystr, scan, text_size::TextSize};
use c4_data::{CleanStep, ParagraphStep, Recipe};
use std::borrow::Cow;
use std::ops::Range;

/// The line and page rules of a recipe, which judge one page alone, between the length limit and dedup.
///
/// ```
/// use c4_data::Recipe;
/// use c4_filters::{Cleaned, Cleaner, Reason};
///
/// let (recipe, _) = Recipe::load("en")?;
/// let cleaner = Cleaner::new(&recipe);
/// let text = "Menu\nThe first sentence is here.[1]\nA second one follows it. A third one ends the page.";
/// let Cleaned::Keep(page) = cleaner.clean(text) else { panic!("three sentences are enough") };
/// assert_eq!(page.text, "The first sentence is here.\nA second one follows it. A third one ends the page.");
/// assert_eq!(page.lines.dropped[Reason::NoEndMark.index()].lines, 1);
/// # Ok::<(), c4_data::Error>(())
/// ```
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
    /// All phrases that are looked up in the lower-cased line: nearly every line holds none.
    any_phrase: AnyPhrase,
    /// For each byte, whether a line that ends with it may end well.
    last_bytes: [bool; 256],
}

/// Bytes reserved for the text of a page: most pages that pass keep less.
const MOSTLY_KEPT: usize = 8 << 10;

/// The outcome of the line rules for one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineOutcome<'t> {
    /// The line, stripped and without citation markers: what is kept if the verdict is to keep it.
    pub text: Cow<'t, str>,
    /// The verdict of the first rule that drops the line or its page, else [`Verdict::Keep`].
    pub verdict: Verdict,
}

/// A line as the rules saw it, shown to callers that explain or sample what a build dropped.
#[derive(Debug, Clone, Copy)]
pub struct SeenLine<'t, 'o> {
    /// The line's number on the page, from 0.
    pub number: u32,
    /// The line as it was read.
    pub text: &'t str,
    /// The size of the line as it was read.
    pub size: TextSize,
    /// The outcome of the line rules; `None` if the page was dropped before this line, or if no rule judges lines.
    pub outcome: Option<&'o LineOutcome<'t>>,
}

/// A page that passed the line and page rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CleanedPage {
    /// The kept lines, joined by `\n`.
    pub text: String,
    /// The counts of the page's lines: read, dropped by reason, trimmed.
    pub lines: LineCounts,
}

/// The verdict of the line and page rules on a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cleaned {
    /// The page passed.
    Keep(CleanedPage),
    /// The page is dropped.
    Drop {
        /// The rule's reason.
        reason: Reason,
        /// The counts of the page's lines up to the drop.
        lines: LineCounts,
    },
}

impl Cleaner {
    /// Compiles the line and page rules of `recipe`.
    pub fn new(recipe: &Recipe) -> Cleaner {
        let clean = recipe.clean.as_ref().map(|step| LineRules {
            page_phrases: Phrases::new(&step.page_phrases),
            script_phrases: Phrases::new(&step.script_phrases),
            code_marks: Phrases::new(&step.code_marks),
            policy_phrases: Phrases::new(&step.policy_phrases),
            any_phrase: AnyPhrase::new([&step.page_phrases, &step.script_phrases, &step.policy_phrases]),
            last_bytes: end_mark::last_bytes(&step.end_marks),
            step: step.clone(),
        });
        Cleaner {
            paragraphs: recipe.paragraphs.clone(),
            clean,
        }
    }

    /// The size of a page whose lines are not judged. Lines are those of Python's `splitlines` if the recipe has line
    /// rules, else pieces between `\n`. Every line is shown to `seen`.
    pub fn measure<'t>(&self, text: &'t str, mut seen: impl FnMut(SeenLine<'t, '_>)) -> TextSize {
        let mut total = TextSize::default();
        let mut measure = |line, size| unseen(line, size, &mut total, &mut seen);
        match self.clean {
            Some(_) => scan::lines(text)
                .iter()
                .for_each(|line| measure(&text[line.start..line.end], line.size())),
            None => text.split('\n').for_each(|line| measure(line, TextSize::of_line(line))),
        }
        total
    }

    /// Runs the rules over a page's text. Takes time linear in the text; allocates the kept text.
    pub fn clean(&self, text: &str) -> Cleaned {
        self.clean_seen(text, |_| {})
    }

    /// Runs the rules as [`clean`](Self::clean) does, and shows every line of the page, in order, to `seen`.
    pub fn clean_seen<'t>(&self, text: &'t str, mut seen: impl FnMut(SeenLine<'t, '_>)) -> Cleaned {
        if let Some(step) = &self.paragraphs
            && paragraphs::too_few_long_lines(text, step.min_lines, step.min_line_chars)
        {
            let lines = LineCounts::untouched(self.measure(text, seen));
            let reason = Reason::ShortParagraphs;
            return Cleaned::Drop { reason, lines };
        }
        let Some(rules) = &self.clean else {
            let lines = LineCounts::untouched(self.measure(text, seen));
            let text = text.to_owned();
            return Cleaned::Keep(CleanedPage { text, lines });
        };
        let mut lines = LineCounts::default();
        let mut kept = String::new();
        let mut left = TextSize::default();
        let mut lower = String::new();
        let mut sentences = 0;
        let scanned = scan::lines(text);
        let mut rest = scanned.iter();
        while let Some(scanned) = rest.next() {
            let line = &text[scanned.start..scanned.end];
            let size = scanned.size();
            let outcome = rules.line(line, Some(scanned.words), &mut lower);
            let number = number(&lines.total);
            lines.total += size;
            seen(SeenLine {
                number,
                text: line,
                size,
                outcome: Some(&outcome),
            });
            match outcome.verdict {
                Verdict::Keep => {
                    lines.passed += 1;
                    left += match outcome.text.len() == line.len() {
                        true => size,
                        false => TextSize::of_line(&outcome.text),
                    };
                    if sentences < rules.step.min_sentences {
                        // Only whether there are enough matters, so counting stops there.
                        let missing = rules.step.min_sentences - sentences;
                        sentences += punkt::english().sentences(&outcome.text).take(missing).count();
                    }
                    if lines.passed > 1 {
                        kept.push('\n');
                    } else {
                        kept.reserve((text.len() - scanned.start).min(MOSTLY_KEPT));
                    }
                    kept.push_str(&outcome.text);
                }
                Verdict::DropLine(reason) => lines.drop_line(reason, size),
                Verdict::DropPage(reason) => {
                    rest.for_each(|line| {
                        let (line, size) = (&text[line.start..line.end], line.size());
                        unseen(line, size, &mut lines.total, &mut seen);
                    });
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
            // A line of white space alone (where a citation stood) is still one that passed.
            left = TextSize {
                lines: left.lines,
                ..TextSize::of_text(stripped)
            };
            stripped.to_owned()
        };
        lines.trimmed = lines.left() - left;
        Cleaned::Keep(CleanedPage { text, lines })
    }

    /// The outcome of the line rules for one line; the line as it is if the recipe has none.
    pub fn line<'t>(&self, line: &'t str) -> LineOutcome<'t> {
        match &self.clean {
            Some(rules) => rules.line(line, None, &mut String::new()),
            None => LineOutcome {
                text: Cow::Borrowed(line),
                verdict: Verdict::Keep,
            },
        }
    }

    /// The verdict of the line rules on a line of a finished corpus, as it stands there. It is not stripped or rid of
    /// citation markers a second time, since either may leave a line that the rules would have dropped (`[[1]]` becomes
    /// `[]` becomes nothing).
    pub fn recheck(&self, line: &str) -> Verdict {
        match &self.clean {
            None => Verdict::Keep,
            Some(rules) if long_word::has_long_word(line, rules.step.max_word_chars) => {
                Verdict::DropLine(Reason::LongWord)
            }
            Some(rules) => rules.judge(line, None, &mut String::new()),
        }
    }

    /// The byte range in `line` (as it was read) that gives the rule of `reason` its verdict: the word that is too
    /// long, the phrase, the end of the line. `None` where no part of the line stands out.
    pub fn find_match(&self, line: &str, reason: Reason) -> Option<Range<usize>> {
        let rules = self.clean.as_ref()?;
        let stripped = pystr::strip(line);
        let start = line.len() - line.trim_start_matches(pystr::is_space).len();
        let place = |part: &str| {
            let at = part.as_ptr().addr() - line.as_ptr().addr();
            at..at + part.len()
        };
        let phrase = |phrases: &Phrases| {
            let lowered = Lowered::new(line);
            Some(lowered.original(phrases.find(lowered.text())?))
        };
        match reason {
            Reason::LongWord => {
                let long = |word: &&str| long_word::has_long_word(word, rules.step.max_word_chars);
                pystr::words(line).find(long).map(place)
            }
            Reason::NoEndMark => {
                let not = rules.step.not_end_marks.iter();
                let mark = not.filter(|mark| stripped.ends_with(mark.as_str())).max();
                let last = stripped.chars().next_back().map_or(0, char::len_utf8);
                let length = mark.map_or(last, |mark| mark.len());
                let end = start + stripped.len();
                (length > 0).then(|| end - length..end)
            }
            Reason::TooFewWords => Some(start..start + stripped.len()),
            Reason::LoremIpsum => phrase(&rules.page_phrases),
            Reason::Javascript => phrase(&rules.script_phrases),
            Reason::CurlyBracket => rules.code_marks.find(line),
            Reason::Policy => phrase(&rules.policy_phrases),
            _ => None,
        }
    }
}

fn number(before: &TextSize) -> u32 {
    u32::try_from(before.lines).unwrap_or(u32::MAX)
}

/// Counts a line that no rule judges.
fn unseen<'t>(line: &'t str, size: TextSize, total: &mut TextSize, seen: &mut impl FnMut(SeenLine<'t, '_>)) {
    seen(SeenLine {
        number: number(total),
        text: line,
        size,
        outcome: None,
    });
    *total += size;
}

impl LineRules {
    /// `words` is how many the line has, if that is known; `lower` is scratch space.
    fn line<'t>(&self, line: &'t str, words: Option<usize>, lower: &mut String) -> LineOutcome<'t> {
        let line = pystr::strip(line);
        if long_word::has_long_word(line, self.step.max_word_chars) {
            return LineOutcome {
                text: Cow::Borrowed(line),
                verdict: Verdict::DropLine(Reason::LongWord),
            };
        }
        let text = citation::remove(line);
        let words = words.filter(|_| text.len() == line.len());
        let verdict = self.judge(&text, words, lower);
        LineOutcome { text, verdict }
    }

    fn judge(&self, line: &str, words: Option<usize>, lower: &mut String) -> Verdict {
        let step = &self.step;
        let may_end_well = match line.as_bytes() {
            [.., last] => self.last_bytes[usize::from(*last)],
            // An empty mark ends an empty line.
            [] => true,
        };
        if !may_end_well || !end_mark::ends_well(line, &step.end_marks, &step.not_end_marks) {
            return Verdict::DropLine(Reason::NoEndMark);
        }
        let too_few = match words {
            Some(words) => words < step.min_words,
            None => word_count::too_few(line, step.min_words),
        };
        if too_few {
            return Verdict::DropLine(Reason::TooFewWords);
        }
        lower_into(line, lower);
        if !self.any_phrase.is_in(lower) {
            return match self.code_marks.find(line) {
                Some(_) => Verdict::DropPage(Reason::CurlyBracket),
                None => Verdict::Keep,
            };
        }
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
