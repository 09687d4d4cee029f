//! Finds phrases that mark a line or page as something other than prose: placeholder text, script warnings, code,
//! policy notices.

use memchr::memmem::Finder;
use regex::Regex;

/// A list of phrases, looked up as substrings: `colorem ipsumism` holds `lorem ipsum`.
#[derive(Debug, Clone)]
pub(crate) struct Phrases {
    finders: Vec<Finder<'static>>,
}

impl Phrases {
    /// Compiles the phrases, each not empty.
    pub(crate) fn new(phrases: &[String]) -> Phrases {
        let finder = |phrase: &String| Finder::new(phrase).into_owned();
        Phrases {
            finders: phrases.iter().map(finder).collect(),
        }
    }

    /// The byte range of the first phrase of the list that `text` holds. Case counts: give the lower-cased line for a
    /// rule that ignores case. Takes one pass for each phrase.
    pub(crate) fn find(&self, text: &str) -> Option<std::ops::Range<usize>> {
        self.finders.iter().find_map(|finder| {
            let start = finder.find(text.as_bytes())?;
            Some(start..start + finder.needle().len())
        })
    }
}

/// Whether a text holds a phrase of some lists, in one pass.
#[derive(Debug, Clone)]
pub(crate) struct AnyPhrase {
    /// An alternation of literals; `None` if there are too many for it.
    pattern: Option<Regex>,
    none: bool,
}

impl AnyPhrase {
    /// The phrases, each not empty.
    pub(crate) fn new(lists: [&[String]; 3]) -> AnyPhrase {
        let phrases: Vec<String> = lists.into_iter().flatten().map(|p| regex::escape(p)).collect();
        AnyPhrase {
            pattern: Regex::new(&phrases.join("|")).ok(),
            none: phrases.is_empty(),
        }
    }

    /// False only if `text` holds none of them.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        let found = |pattern: &Regex| pattern.is_match(text);
        !self.none && self.pattern.as_ref().is_none_or(found)
    }
}

#[cfg(test)]
mod tests {
    use super::{AnyPhrase, Phrases};

    #[test]
    fn tells_texts_that_hold_no_phrase() {
        let lists = [vec!["a.c".to_owned()], vec![], vec!["x|y".into(), "ö".into()]];
        let any = AnyPhrase::new([&lists[0], &lists[1], &lists[2]]);
        let held = ["-a.c-", "x|y", "Föhn"].map(|text| any.is_in(text));
        assert_eq!((held, any.is_in("abc x y ")), ([true; 3], false));
        assert!(!AnyPhrase::new([&[], &[], &[]]).is_in("a"));
    }

    #[test]
    fn finds_the_first_phrase_of_the_list() {
        let phrases = Phrases::new(&["use cookies".into(), "terms of use".into()]);
        assert_eq!(phrases.find("the house cookies"), Some(6..17));
        assert_eq!(phrases.find("terms of  use"), None);
        assert_eq!(Phrases::new(&[]).find("x"), None);
    }
}
