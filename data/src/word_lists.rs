//! Word lists: the "bad words" of C4, by language.

use crate::{Error, atomic_file};

/// The lists of npm's `naughty-words` 1.2.0, one for each language (see `data/lists/README.md`).
macro_rules! naughty_words {
    ($($language:literal)*) => {
        [$((
            $language,
            include_str!(concat!("../lists/naughty-words-1.2.0-", $language, ".json")),
        )),*]
    };
}

const NAUGHTY_WORDS: [(&str, &str); 28] = naughty_words![
    "ar" "cs" "da" "de" "en" "eo" "es" "fa" "fi" "fil" "fr" "fr-CA-u-sd-caqc" "hi" "hu" "it" "ja"
    "kab" "ko" "nl" "no" "pl" "pt" "ru" "sv" "th" "tlh" "tr" "zh"
];
/// The entries of the English list that were added after the commit that C4 used.
const ADDED_LATER_EN: &str = include_str!("../lists/en-added-later.txt");

/// The commit of LDNOOBW that C4 takes its English list from.
const COMMIT_EN: &str = "25e679f";
/// The commit of LDNOOBW that C4 takes all other lists from.
const COMMIT: &str = "5faf2ba";

/// A list of words of one language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WordList {
    /// The entries in the list's order, as they are in the list (not lower-cased).
    pub words: Vec<String>,
    /// The SHA-256 of the list as a text, one entry a line.
    pub sha256: String,
}

impl WordList {
    fn new(words: Vec<String>) -> Self {
        let mut text = words.join("\n");
        text.push('\n');
        WordList {
            sha256: atomic_file::sha256_hex(text.as_bytes()),
            words,
        }
    }

    /// The English list at LDNOOBW's commit 25e679f, the one C4 used: 377 entries, SHA-256 `a506cbcf…`. Derived from
    /// the npm package's later list by leaving out what came later.
    ///
    /// # Errors
    /// The program was built with a damaged list.
    pub fn ldnoobw_25e679f_en() -> Result<WordList, Error> {
        let later: Vec<&str> = ADDED_LATER_EN.lines().collect();
        let mut words = naughty_words("en").unwrap_or_else(|| Ok(Vec::new()))?;
        words.retain(|word| !later.contains(&word.as_str()));
        Ok(Self::new(words))
    }

    /// The built-in list of this name in recipes; `None` if there is none.
    ///
    /// ```
    /// use c4_data::WordList;
    /// assert_eq!(WordList::builtin("ldnoobw-5faf2ba-es").unwrap()?.words.len(), 68);
    /// assert!(WordList::builtin("ldnoobw-5faf2ba-en").is_none());
    /// # Ok::<(), c4_data::Error>(())
    /// ```
    pub fn builtin(name: &str) -> Option<Result<WordList, Error>> {
        let (commit, language) = name.strip_prefix("ldnoobw-")?.split_once('-')?;
        if (commit, language) == (COMMIT_EN, "en") {
            return Some(Self::ldnoobw_25e679f_en());
        }
        let words = naughty_words(language).filter(|_| commit == COMMIT && language != "en")?;
        Some(words.map(|words| {
            // As C4 reads the lists: line by line, without the space around an entry.
            let words = words.iter().map(|word| word.trim().to_owned());
            Self::new(words.collect())
        }))
    }

    /// The names of the built-in lists.
    pub fn builtin_names() -> impl Iterator<Item = String> {
        NAUGHTY_WORDS.iter().map(|(language, _)| match *language {
            "en" => format!("ldnoobw-{COMMIT_EN}-en"),
            language => format!("ldnoobw-{COMMIT}-{language}"),
        })
    }

    /// Parses a list from a text: one entry a line, without surrounding white space and empty lines.
    pub fn from_text(text: &str) -> WordList {
        let words = text.lines().map(str::trim).filter(|line| !line.is_empty());
        Self::new(words.map(str::to_owned).collect())
    }
}

/// The entries of the npm package's list of a language; `None` if it has none.
fn naughty_words(language: &str) -> Option<Result<Vec<String>, Error>> {
    let (_, json) = NAUGHTY_WORDS.iter().find(|(l, _)| *l == language)?;
    Some(serde_json::from_str(json).map_err(|e| Error::Format {
        path: format!("data/lists/naughty-words-1.2.0-{language}.json").into(),
        reason: e.to_string(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn english_list_is_the_one_c4_used() {
        let list = WordList::ldnoobw_25e679f_en().unwrap();
        assert_eq!(list.words.len(), 377);
        assert_eq!(
            list.sha256,
            "a506cbcf8a31935b122299f3bb1d32be6db3d0ad498765d28f365dfc4f4d7b8c"
        );
    }

    /// Facts that were found in the lists of the commit that C4 used, by whoever ran C4's code: entries with capitals,
    /// which can never match a lower-cased page.
    #[test]
    fn other_lists_have_the_capitals_of_those_c4_used() {
        let mut capitals = Vec::new();
        for name in WordList::builtin_names() {
            let list = WordList::builtin(&name).unwrap().unwrap();
            assert!(list.words.iter().all(|w| !w.is_empty() && w.trim() == w));
            let with = list.words.iter().filter(|w| w.to_lowercase() != **w);
            match with.count() {
                0 => {}
                n => capitals.push((name.rsplit('-').next().unwrap().to_owned(), n)),
            }
        }
        let found: Vec<(&str, usize)> = capitals.iter().map(|(l, n)| (&**l, *n)).collect();
        let expected = [("de", 1), ("es", 61), ("fr", 1), ("tlh", 2), ("tr", 11), ("zh", 7)];
        assert_eq!(found, expected);
    }
}
