//! Which line is another one without some of its sentences.

use c4_filters::{dedup, pystr};
use std::collections::HashMap;

/// Lines, each as the words of its sentences.
pub(crate) struct Sentences<'t> {
    lines: HashMap<usize, Vec<Vec<&'t str>>>,
    /// Lines by the first word of each of their sentences, in order.
    by_first_word: HashMap<&'t str, Vec<usize>>,
}

impl<'t> Sentences<'t> {
    /// Splits `lines`, given with their places; several texts of one place are one line.
    pub(super) fn new(lines: impl IntoIterator<Item = (usize, &'t str)>) -> Sentences<'t> {
        let mut found = Sentences {
            lines: HashMap::new(),
            by_first_word: HashMap::new(),
        };
        for (place, line) in lines {
            for range in dedup::sentence_ranges(line).into_iter().flatten() {
                let words: Vec<&str> = pystr::words(&line[range]).collect();
                if let Some(first) = words.first() {
                    let places = found.by_first_word.entry(first).or_default();
                    if places.last() != Some(&place) {
                        places.push(place);
                    }
                }
                found.lines.entry(place).or_default().push(words);
            }
        }
        found
    }

    /// The place of the first line of which `rest` is what is left without some sentences.
    pub(crate) fn whole_of(&self, rest: &str) -> Option<usize> {
        let words: Vec<&str> = pystr::words(rest).collect();
        let candidates = self.by_first_word.get(words.first()?)?;
        let whole = |place: &usize| self.lines.get(place).is_some_and(|l| is_rest(&words, l));
        candidates.iter().copied().find(whole)
    }

    pub(super) fn remove(&mut self, place: usize) {
        self.lines.remove(&place);
    }
}

/// Whether `words` are those of some of `sentences`, in order, and not of all.
fn is_rest(words: &[&str], sentences: &[Vec<&str>]) -> bool {
    let mut rest = words;
    let mut skipped = false;
    for sentence in sentences {
        match rest.strip_prefix(sentence.as_slice()) {
            Some(after) if !sentence.is_empty() => rest = after,
            _ => skipped = true,
        }
    }
    rest.is_empty() && skipped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_is_some_of_the_sentences_in_order() {
        let lines = ["One is. Two are.  Three am.", "One is. Four be."];
        let mut sentences = Sentences::new(lines.into_iter().enumerate());
        assert_eq!(sentences.whole_of("One is. Three am."), Some(0));
        assert_eq!(sentences.whole_of("Four be."), Some(1));
        assert_eq!(sentences.whole_of("Three am. One is."), None);
        assert_eq!(sentences.whole_of("One is. Two are. Three am."), None);
        assert_eq!(sentences.whole_of(""), None);
        sentences.remove(0);
        assert_eq!(sentences.whole_of("One is."), Some(1));
    }
}
