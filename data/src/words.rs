//! Word lists: the "bad words" of C4, one set a language.

use crate::{Error, Recipe, fs};
use std::collections::BTreeMap;
use std::path::Path;

/// All of npm's `naughty-words` 1.2.0, `en`: 403 entries (see `data/lists/README.md`).
const NAUGHTY_WORDS_EN: &str = include_str!("../lists/naughty-words-1.2.0-en.json");
/// The 26 of them that were added after the commit that C4 used.
const ADDED_LATER_EN: &str = include_str!("../lists/en-added-later.txt");

/// Names of the lists that come with the program, for error messages.
const BUILTIN: &str = "ldnoobw-25e679f-en";

/// One list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WordList {
    /// The entries, in the list's order, as they are in the list (not lower-cased).
    pub words: Vec<String>,
    /// SHA-256 of the list as a text, one entry a line.
    pub sha256: String,
}

/// The lists of a recipe by language code (without a region).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WordLists {
    /// Language code to list.
    pub by_language: BTreeMap<String, WordList>,
}

impl WordList {
    fn new(words: Vec<String>) -> Self {
        let mut text = words.join("\n");
        text.push('\n');
        WordList {
            sha256: fs::sha256_hex(text.as_bytes()),
            words,
        }
    }

    /// The English list at LDNOOBW's commit 25e679f, the one C4 used: 377 entries, SHA-256
    /// `a506cbcf…`. Derived from the npm package's later list by leaving out what came later.
    pub fn ldnoobw_25e679f_en() -> Result<WordList, Error> {
        let all: Vec<String> =
            serde_json::from_str(NAUGHTY_WORDS_EN).map_err(|e| Error::Format {
                path: "data/lists/naughty-words-1.2.0-en.json".into(),
                reason: e.to_string(),
            })?;
        let later: Vec<&str> = ADDED_LATER_EN.lines().collect();
        Ok(Self::new(
            all.into_iter()
                .filter(|word| !later.contains(&word.as_str()))
                .collect(),
        ))
    }

    /// A list from a text: one entry a line, surrounding white space and empty lines left out.
    pub fn from_text(text: &str) -> WordList {
        let words = text.lines().map(str::trim).filter(|line| !line.is_empty());
        Self::new(words.map(str::to_owned).collect())
    }
}

impl WordLists {
    /// Loads the lists that `recipe` names; files are looked up from `base`, the recipe's folder.
    ///
    /// # Errors
    /// A file that is missing or empty.
    pub fn load(recipe: &Recipe, base: &Path) -> Result<WordLists, Error> {
        let mut lists = WordLists::default();
        let Some(step) = &recipe.bad_words else {
            return Ok(lists);
        };
        for (language, source) in &step.lists {
            let list = if source == BUILTIN {
                WordList::ldnoobw_25e679f_en()?
            } else {
                let path = base.join(source);
                let text = std::fs::read_to_string(&path).map_err(|e| Error::Recipe {
                    name: recipe.name.clone(),
                    reason: format!(
                        "bad_words.lists.{language} = \"{source}\" is neither a list of this \
                         program ({BUILTIN}) nor a file: {}: {e}",
                        path.display()
                    ),
                })?;
                WordList::from_text(&text)
            };
            if list.words.is_empty() {
                return Err(Error::Recipe {
                    name: recipe.name.clone(),
                    reason: format!("bad_words.lists.{language}: the list {source} is empty"),
                });
            }
            lists.by_language.insert(language.clone(), list);
        }
        Ok(lists)
    }
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
}
