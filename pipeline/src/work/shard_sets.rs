//! The sets of shards that a build may write: both splits, of all documents or of each language.
//!
//! All of them are known before the first page is read, so that the number of a set depends on no order
//! and no thread.

use c4_data::{Recipe, ShardSet, Split};
use c4_filters::language_rule;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::AddAssign;

/// The memory of a row beside its text, in bytes: strings and numbers.
pub(crate) const ROW_BYTES: u64 = 400;

/// How much a set holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SetSize {
    pub rows: u64,
    /// The UTF-8 bytes of the rows' texts.
    pub text_bytes: u64,
}

impl SetSize {
    /// The memory of all rows, in bytes.
    pub(crate) fn memory(self) -> u64 {
        self.text_bytes + self.rows * ROW_BYTES
    }
}

impl AddAssign for SetSize {
    fn add_assign(&mut self, other: SetSize) {
        self.rows += other.rows;
        self.text_bytes += other.text_bytes;
    }
}

/// Sizes by the number of the set.
pub(crate) type SetSizes = BTreeMap<usize, SetSize>;

/// The sets of a recipe, by language, then by split.
#[derive(Debug, Clone)]
pub struct Sets {
    /// Sorted; a single `None` where all languages are in one set.
    languages: Vec<Option<String>>,
}

impl Sets {
    /// The sets that a build with `recipe` may write.
    pub fn of(recipe: &Recipe) -> Sets {
        let step = recipe.language.as_ref();
        let languages = match step.filter(|_| recipe.split.by_language) {
            Some(step) => language_rule::languages(step).into_iter().map(Some).collect(),
            None => vec![None],
        };
        Sets { languages }
    }

    /// The sorted languages of the sets; a single `None` if all languages are in one set.
    pub fn languages(&self) -> &[Option<String>] {
        &self.languages
    }

    pub(crate) fn count(&self) -> usize {
        self.languages.len() * Split::ALL.len()
    }

    /// The number of the set that a page belongs to.
    pub(crate) fn number(&self, language: &str, split: Split) -> usize {
        let language = match &self.languages[..] {
            [None] => None,
            _ => Some(language),
        };
        let found = self.languages.binary_search_by_key(&language, |l| l.as_deref());
        let language = found.expect("pages of other languages are dropped");
        language * Split::ALL.len() + split as usize
    }

    /// The sets that are written, with their numbers: those of languages that have documents, and always both splits
    /// of a language.
    pub(crate) fn written<'a>(&'a self, sizes: &'a SetSizes) -> impl Iterator<Item = (usize, ShardSet<'a>)> {
        let splits = Split::ALL.len();
        let languages = self.languages.iter().enumerate();
        let there = move |(i, language): &(usize, &Option<String>)| {
            let mut places = i * splits..(i + 1) * splits;
            language.is_none() || places.any(|place| sizes.contains_key(&place))
        };
        languages.filter(there).flat_map(move |(i, language)| {
            Split::ALL.map(|split| {
                let language = language.as_deref();
                (i * splits + split as usize, ShardSet { language, split })
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_do_not_depend_on_what_is_there() {
        let recipe = |name| Recipe::load(name).unwrap().0;
        let size = SetSize {
            rows: 1,
            text_bytes: 10,
        };

        let plain = Sets::of(&recipe("c4"));
        assert_eq!(plain.count(), 2);
        assert_eq!(plain.number("en", Split::Validation), 1);
        let none = SetSizes::new();
        let written = plain.written(&none);
        assert!(written.eq(Split::ALL.map(|split| (split as usize, split.into()))));

        let sets = Sets::of(&recipe("multilingual"));
        assert_eq!(sets.count(), 2 * 108);
        assert_eq!(sets.written(&none).count(), 0);
        let und = sets.number("und", Split::Validation);
        let sizes = SetSizes::from([(und, size), (sets.number("de", Split::Train), size)]);
        let written: Vec<(usize, ShardSet<'_>)> = sets.written(&sizes).collect();
        let names: Vec<(&str, Split)> = written
            .iter()
            .map(|(place, set)| {
                let language = set.language.unwrap();
                assert_eq!(sets.number(language, set.split), *place);
                (language, set.split)
            })
            .collect();
        let [train, validation] = Split::ALL;
        let expected = [("de", train), ("de", validation), ("und", train), ("und", validation)];
        assert_eq!(names, expected);
    }
}
