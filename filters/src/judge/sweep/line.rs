//! The questions that recipes ask of a line, each answered at most once.

use super::index_of;
use crate::rules::{end_mark, long_word, phrases::Phrases, reason::Reason};
use crate::text::{lower::lower_into, pystr};
use c4_data::CleanStep;

/// The line thresholds of a recipe, and the indices of its lists in [`Questions`].
#[derive(Debug, PartialEq)]
pub(super) struct Thresholds {
    max_word_chars: usize,
    min_words: usize,
    end_marks: usize,
    page_phrases: usize,
    script_phrases: usize,
    code_marks: usize,
    policy_phrases: usize,
}

/// The different lists of the recipes, each once, and the bounds of what is to be counted.
#[derive(Debug)]
pub(super) struct Questions {
    /// Words of fewer code points are short enough for all.
    min_word_limit: usize,
    /// The number of words that is enough for all.
    max_words: usize,
    /// The different pairs of `end_marks` and `not_end_marks`.
    end_marks: Vec<(Vec<String>, Vec<String>)>,
    /// The different phrase lists that are looked up in the lower-cased line.
    phrases: Vec<(Vec<String>, Phrases)>,
    /// The different mark lists that are looked up in the line as it is.
    marks: Vec<(Vec<String>, Phrases)>,
}

fn phrase_index(list: &mut Vec<(Vec<String>, Phrases)>, phrases: &[String]) -> usize {
    let item = || (phrases.to_vec(), Phrases::new(phrases));
    index_of(list, |(other, _)| other == phrases, item)
}

impl Questions {
    /// No questions.
    pub(super) fn new() -> Questions {
        Questions {
            min_word_limit: usize::MAX,
            max_words: 0,
            end_marks: Vec::new(),
            phrases: Vec::new(),
            marks: Vec::new(),
        }
    }

    /// Code points of the longest word of `line` (stripped, with its citation markers); 0 if no recipe finds any of its
    /// words too long.
    pub(super) fn longest_word(&self, line: &str) -> usize {
        let limit = self.min_word_limit;
        if !long_word::may_have(line.as_bytes(), limit) {
            return 0;
        }
        let longest = pystr::words(line)
            .filter(|word| word.len() > limit)
            .map(|word| word.chars().count())
            .max();
        longest.unwrap_or(0)
    }

    /// Adds a recipe's questions; gives its thresholds.
    pub(super) fn line_rules(&mut self, step: &CleanStep) -> Thresholds {
        // Field by field, so that a rule which is added cannot be forgotten here.
        let CleanStep {
            max_word_chars,
            end_marks,
            not_end_marks,
            min_words,
            page_phrases,
            script_phrases,
            code_marks,
            policy_phrases,
            min_sentences: _,
        } = step;
        self.min_word_limit = self.min_word_limit.min(*max_word_chars);
        self.max_words = self.max_words.max(*min_words);
        Thresholds {
            max_word_chars: *max_word_chars,
            min_words: *min_words,
            end_marks: index_of(
                &mut self.end_marks,
                |(marks, not)| (marks, not) == (end_marks, not_end_marks),
                || (end_marks.clone(), not_end_marks.clone()),
            ),
            page_phrases: phrase_index(&mut self.phrases, page_phrases),
            script_phrases: phrase_index(&mut self.phrases, script_phrases),
            code_marks: phrase_index(&mut self.marks, code_marks),
            policy_phrases: phrase_index(&mut self.phrases, policy_phrases),
        }
    }
}

/// The verdict of a recipe on a line, without the reason of a dropped line.
pub(super) enum LineVerdict {
    /// The line is kept.
    Keep,
    /// The line is dropped.
    DropLine,
    /// The line's page is dropped.
    DropPage(Reason),
}

/// The answers for one line, as far as they are known.
pub(super) struct Answers<'q> {
    questions: &'q Questions,
    longest_word: usize,
    words: Option<usize>,
    /// The lower-cased line, if `lowered`.
    lower: String,
    lowered: bool,
    end_marks: Vec<Option<bool>>,
    phrases: Vec<Option<bool>>,
    marks: Vec<Option<bool>>,
}

impl<'q> Answers<'q> {
    /// No answers.
    pub(super) fn new(questions: &'q Questions) -> Answers<'q> {
        Answers {
            questions,
            longest_word: 0,
            words: None,
            lower: String::new(),
            lowered: false,
            end_marks: vec![None; questions.end_marks.len()],
            phrases: vec![None; questions.phrases.len()],
            marks: vec![None; questions.marks.len()],
        }
    }

    /// Starts on another line, whose longest word has `longest_word` code points ([`Questions::longest_word`]).
    pub(super) fn forget(&mut self, longest_word: usize) {
        self.longest_word = longest_word;
        self.words = None;
        self.lowered = false;
        self.end_marks.fill(None);
        self.phrases.fill(None);
        self.marks.fill(None);
    }

    /// The verdict on `line`, which is stripped and without citation markers, and the same since the last
    /// [`forget`](Answers::forget). The questions are asked in the order of the rules.
    pub(super) fn judge(&mut self, line: &str, rules: &Thresholds) -> LineVerdict {
        if self.longest_word > rules.max_word_chars
            || !self.ends_well(line, rules.end_marks)
            || self.words(line) < rules.min_words
        {
            LineVerdict::DropLine
        } else if self.holds_phrase(line, rules.page_phrases) {
            LineVerdict::DropPage(Reason::LoremIpsum)
        } else if self.holds_phrase(line, rules.script_phrases) {
            LineVerdict::DropLine
        } else if self.holds_mark(line, rules.code_marks) {
            LineVerdict::DropPage(Reason::CurlyBracket)
        } else if self.holds_phrase(line, rules.policy_phrases) {
            LineVerdict::DropLine
        } else {
            LineVerdict::Keep
        }
    }

    fn ends_well(&mut self, line: &str, at: usize) -> bool {
        let (marks, not) = &self.questions.end_marks[at];
        *self.end_marks[at].get_or_insert_with(|| end_mark::ends_well(line, marks, not))
    }

    /// The line's words, counted as far as it matters to any recipe.
    fn words(&mut self, line: &str) -> usize {
        let enough = self.questions.max_words;
        *self
            .words
            .get_or_insert_with(|| pystr::words(line).take(enough).count())
    }

    /// Notes how many words the line has, where that is known.
    pub(super) fn know_words(&mut self, words: usize) {
        self.words = Some(words);
    }

    fn holds_phrase(&mut self, line: &str, at: usize) -> bool {
        if self.phrases[at].is_none() && !self.lowered {
            lower_into(line, &mut self.lower);
            self.lowered = true;
        }
        let (_, phrases) = &self.questions.phrases[at];
        *self.phrases[at].get_or_insert_with(|| phrases.find(&self.lower).is_some())
    }

    fn holds_mark(&mut self, line: &str, at: usize) -> bool {
        let (_, marks) = &self.questions.marks[at];
        *self.marks[at].get_or_insert_with(|| marks.find(line).is_some())
    }
}
