//! Judging one page by many recipes at once, for little more than the cost of one.
//!
//! Recipes that differ in thresholds ask the same questions of a line, so each question is answered once: how long its
//! longest word is, how it ends, how many words and sentences it has, which phrases it holds. A recipe then compares
//! numbers. Nothing is answered before a recipe asks, in the order of the rules ([`Cleaner`](crate::Cleaner)), and no
//! further than the greediest one needs.

mod chars;
mod line;

use crate::rules::{citation, reason::Reason};
use crate::text::{punkt, pystr, scan};
use c4_data::Recipe;
use chars::{KeptChars, LineChars, count};
use line::{Answers, LineVerdict, Questions, Thresholds};

/// The verdict of a recipe's length, paragraph, line and page rules on a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SweepOutcome {
    /// The page is dropped.
    Drop(Reason),
    /// The page is kept.
    Keep {
        /// The number of kept lines.
        lines: u32,
        /// Code points of the kept text.
        chars: u64,
    },
}

/// The rules of several recipes that judge one page alone, before dedup.
///
/// ```
/// use c4_data::Recipe;
/// use c4_filters::{Reason, SweepOutcome, Sweeper};
///
/// let (recipe, _) = Recipe::load("en")?;
/// let short = recipe.with(&[("clean.min_words", &3.into()), ("clean.min_sentences", &1.into())])?;
/// let outcomes = Sweeper::new(&[recipe, short]).sweep("Three words here.");
/// assert_eq!(outcomes[0], SweepOutcome::Drop(Reason::TooFewSentences));
/// assert_eq!(outcomes[1], SweepOutcome::Keep { lines: 1, chars: 17 });
/// # Ok::<(), c4_data::Error>(())
/// ```
#[derive(Debug)]
pub struct Sweeper {
    recipes: Vec<SweepRules>,
    /// The different line rules of the recipes, each once.
    line_rules: Vec<Thresholds>,
    questions: Questions,
    /// The smallest of the recipes' length limits.
    min_page_limit: usize,
    /// The different `min_line_chars`, each with the largest `min_lines` that any recipe wants of it.
    paragraphs: Vec<(usize, usize)>,
}

/// The thresholds of a recipe for a page as a whole.
#[derive(Debug)]
struct SweepRules {
    /// The length limit, in code points.
    max_chars: usize,
    /// The index in [`Sweeper::paragraphs`], and how many long lines are enough.
    paragraphs: Option<(usize, usize)>,
    /// The index in [`Sweeper::line_rules`]; `None` if the recipe has no line rules.
    lines: Option<usize>,
    min_sentences: usize,
}

/// The index of the entry that is the `same`; `item` is added if there is none.
fn index_of<T>(list: &mut Vec<T>, same: impl Fn(&T) -> bool, item: impl FnOnce() -> T) -> usize {
    list.iter().position(same).unwrap_or_else(|| {
        list.push(item());
        list.len() - 1
    })
}

/// The state of a page under one recipe's line rules, line by line.
#[derive(Clone, Default)]
struct PageState {
    /// No recipe needs further lines: the page was dropped before its lines, or is dropped for the reason.
    done: bool,
    dropped: Option<Reason>,
    lines: u32,
    kept: KeptChars,
    /// Sentences so far, counted up to `max_sentences`.
    sentences: usize,
    /// The number of sentences that is enough for all recipes with these line rules.
    max_sentences: usize,
}

impl Sweeper {
    /// Compiles the rules of `recipes`.
    pub fn new(recipes: &[Recipe]) -> Sweeper {
        let mut sweeper = Sweeper {
            recipes: Vec::with_capacity(recipes.len()),
            line_rules: Vec::new(),
            questions: Questions::new(),
            min_page_limit: usize::MAX,
            paragraphs: Vec::new(),
        };
        for recipe in recipes {
            let length = recipe.length.as_ref();
            let max_chars = length.map_or(usize::MAX, |step| step.max_page_chars);
            sweeper.min_page_limit = sweeper.min_page_limit.min(max_chars);
            let paragraphs = recipe.paragraphs.as_ref().map(|step| {
                let chars = step.min_line_chars;
                let list = &mut sweeper.paragraphs;
                let at = index_of(list, |(other, _)| *other == chars, || (chars, 0));
                list[at].1 = list[at].1.max(step.min_lines);
                (at, step.min_lines)
            });
            let lines = recipe.clean.as_ref().map(|step| {
                let rules = sweeper.questions.line_rules(step);
                let same = |other: &Thresholds| *other == rules;
                let at = sweeper.line_rules.iter().position(same);
                at.unwrap_or_else(|| {
                    sweeper.line_rules.push(rules);
                    sweeper.line_rules.len() - 1
                })
            });
            sweeper.recipes.push(SweepRules {
                max_chars,
                paragraphs,
                lines,
                min_sentences: recipe.clean.as_ref().map_or(0, |step| step.min_sentences),
            });
        }
        sweeper
    }

    /// The outcome of a page with this text under each recipe, in the order of the recipes: the same as of the length
    /// rule and [`Cleaner::clean`](crate::Cleaner::clean). Takes one pass over the text, and a few comparisons for each
    /// line and each set of line rules.
    pub fn sweep(&self, text: &str) -> Vec<SweepOutcome> {
        let dropped = self.page_drops(text);
        let states = self.lines(text, &dropped);
        let mut whole = None;
        let mut as_it_is = || {
            *whole.get_or_insert_with(|| {
                let lines = memchr::memchr_iter(b'\n', text.as_bytes()).count() + 1;
                SweepOutcome::Keep {
                    lines: u32::try_from(lines).unwrap_or(u32::MAX),
                    chars: count(text),
                }
            })
        };
        let outcome = |(dropped, recipe): (Option<Reason>, &SweepRules)| {
            if let Some(reason) = dropped {
                return SweepOutcome::Drop(reason);
            }
            let Some(state) = recipe.lines.map(|at| &states[at]) else {
                return as_it_is();
            };
            match state.dropped {
                Some(reason) => SweepOutcome::Drop(reason),
                None if state.sentences < recipe.min_sentences => SweepOutcome::Drop(Reason::TooFewSentences),
                None => SweepOutcome::Keep {
                    lines: state.lines,
                    chars: state.kept.count(),
                },
            }
        };
        dropped.into_iter().zip(&self.recipes).map(outcome).collect()
    }

    /// For each recipe, the reason for which it drops the page before its lines are judged.
    fn page_drops(&self, text: &str) -> Vec<Option<Reason>> {
        // As many bytes as the limit are never too many code points.
        let chars = match text.len() > self.min_page_limit {
            true => text.chars().count(),
            false => 0,
        };
        let long_lines = |&(min_chars, enough): &(usize, usize)| {
            let long = |line: &&str| line.len() >= min_chars && line.chars().count() >= min_chars;
            text.split('\n').filter(long).take(enough).count()
        };
        let mut counted: Vec<Option<usize>> = vec![None; self.paragraphs.len()];
        let mut judge = |recipe: &SweepRules| {
            if chars > recipe.max_chars {
                return Some(Reason::TooLong);
            }
            let (at, min_lines) = recipe.paragraphs?;
            let found = *counted[at].get_or_insert_with(|| long_lines(&self.paragraphs[at]));
            (found < min_lines).then_some(Reason::ShortParagraphs)
        };
        self.recipes.iter().map(&mut judge).collect()
    }

    /// Runs those line rules that a recipe which has not `dropped` the page needs.
    fn lines(&self, text: &str, dropped: &[Option<Reason>]) -> Vec<PageState> {
        let unasked = PageState {
            done: true,
            ..PageState::default()
        };
        let mut states = vec![unasked; self.line_rules.len()];
        for (recipe, dropped) in self.recipes.iter().zip(dropped) {
            if let (Some(at), None) = (recipe.lines, dropped) {
                states[at].done = false;
                states[at].max_sentences = states[at].max_sentences.max(recipe.min_sentences);
            }
        }
        let mut open = states.iter().filter(|state| !state.done).count();
        let mut answers = Answers::new(&self.questions);
        let mut keepers = Vec::with_capacity(states.len());
        let scanned = scan::lines(text);
        let mut rest = scanned.iter();
        while open > 0
            && let Some(scanned) = rest.next()
        {
            let line = pystr::strip(&text[scanned.start..scanned.end]);
            // Of the line as it was; all else is asked of the one without citation markers.
            answers.forget(self.questions.longest_word(line));
            let whole = line.len();
            let line = citation::remove(line);
            if line.len() == whole {
                answers.know_words(scanned.words);
            }
            keepers.clear();
            for (at, rules) in self.line_rules.iter().enumerate() {
                if states[at].done {
                    continue;
                }
                match answers.judge(&line, rules) {
                    LineVerdict::Keep => keepers.push(at),
                    LineVerdict::DropLine => {}
                    LineVerdict::DropPage(reason) => {
                        states[at].done = true;
                        states[at].dropped = Some(reason);
                        open -= 1;
                    }
                }
            }
            if keepers.is_empty() {
                continue;
            }
            let missing = keepers
                .iter()
                .map(|&at| states[at].max_sentences.saturating_sub(states[at].sentences))
                .max()
                .unwrap_or(0);
            let sentences = match missing {
                0 => 0,
                _ => punkt::english().sentences(&line).take(missing).count(),
            };
            let chars = LineChars::of(&line);
            for &at in &keepers {
                let state = &mut states[at];
                state.lines += 1;
                state.kept.add(&chars);
                state.sentences += sentences;
            }
        }
        states
    }
}
