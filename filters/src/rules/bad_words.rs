//! Drops pages that hold a word of a blocklist.

mod spotter;

use super::reason::{Reason, Verdict};
use c4_data::{BadWordsStep, Lists};
use regex::Regex;
use spotter::Spotter;
use std::collections::BTreeMap;
use std::ops::Range;

/// Languages written without spaces: a word counts wherever it stands.
const UNSPACED: [&str; 3] = ["ja", "th", "zh"];

/// Python's `\W` of `re`, with characters outside the class that Rust's `\W` has inside and the other way round (marks,
/// circled letters, fractions).
const NOT_WORD: &str = r"[^\p{L}\p{N}_]";

/// The blocklists of a recipe, compiled: the reference's `get_badwords_filter_fn`.
///
/// ```
/// use c4_data::{Lists, Recipe};
/// use c4_filters::rules::bad_words::{BadWords, BadWordsVerdict};
///
/// let (recipe, base) = Recipe::load("en")?;
/// let lists = Lists::load(&recipe, &base)?;
/// let rule = BadWords::new(recipe.bad_words.as_ref().expect("it has a blocklist"), &lists)?;
/// assert_eq!(rule.check("en", "a text without a listed word", 0), BadWordsVerdict::Passed);
/// assert_eq!(rule.check("xx", "a text in a language without a list", 0), BadWordsVerdict::NoList);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct BadWords {
    patterns: BTreeMap<String, Pattern>,
    numerator: u128,
    denominator: u128,
}

/// The compiled list of a language.
#[derive(Debug)]
struct Pattern {
    /// The reference's pattern.
    regex: Regex,
    /// Gives the same answer for a whole text, and faster; `None` where the list does not allow it.
    spotter: Option<Spotter>,
}

/// The verdict of the blocklist on a page, with the distinctions that the reference counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadWordsVerdict {
    /// The page's language has no list.
    NoList,
    /// The page holds no listed word.
    Passed,
    /// The page holds a listed word, but is in the share that is kept.
    SoftPassed,
    /// The page holds a listed word and is dropped.
    Dropped,
}

impl BadWordsVerdict {
    /// The verdict on the page: keep or drop.
    pub fn verdict(self) -> Verdict {
        match self {
            BadWordsVerdict::Dropped => Verdict::DropPage(Reason::BadWords),
            _ => Verdict::Keep,
        }
    }
}

impl BadWords {
    /// Compiles the lists of `step`: one automaton for each language, of all its lists (those of `fr` and `fr-CA`, say)
    /// without the words that the step allows.
    ///
    /// # Errors
    /// A list is too large for the regex engine.
    pub fn new(step: &BadWordsStep, lists: &Lists) -> Result<BadWords, regex::Error> {
        let mut by_language: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (code, list) in &lists.words {
            let language = base_language(code);
            let allowed = step.allow.get(language).map_or(&[][..], Vec::as_slice);
            let words = by_language.entry(language).or_default();
            for word in &list.words {
                if !allowed.contains(word) && !words.contains(&word.as_str()) {
                    words.push(word);
                }
            }
        }
        let mut patterns = BTreeMap::new();
        for (language, words) in by_language {
            if words.is_empty() {
                // All words are allowed. An empty alternation would match everywhere.
                continue;
            }
            let escaped: Vec<String> = words.iter().map(|word| regex::escape(word)).collect();
            let escaped = escaped.join("|");
            let pattern = if UNSPACED.contains(&language) {
                Pattern {
                    regex: Regex::new(&format!("({escaped})"))?,
                    spotter: None,
                }
            } else {
                let regex = format!("(?:{NOT_WORD}|^)({escaped})(?:{NOT_WORD}|$)");
                Pattern {
                    regex: Regex::new(&regex)?,
                    spotter: Spotter::new(words.iter().copied()),
                }
            };
            patterns.insert(language.to_owned(), pattern);
        }
        let (numerator, denominator) = integer_ratio(step.fraction);
        Ok(BadWords {
            patterns,
            numerator,
            denominator,
        })
    }

    /// Judges a page by the list of its language. `language` may carry a region (`es-MX`), `lower` is the page's
    /// lower-cased text (the lists are not lower-cased: an entry with a capital never matches, as in the reference),
    /// `normalized_md5` the MD5 of the normalised URL. Takes time linear in the text.
    pub fn check(&self, language: &str, lower: &str, normalized_md5: u128) -> BadWordsVerdict {
        let Some(pattern) = self.patterns.get(base_language(language)) else {
            return BadWordsVerdict::NoList;
        };
        let listed = match &pattern.spotter {
            Some(spotter) => spotter.is_in(lower),
            None => pattern.regex.is_match(lower),
        };
        if !listed {
            BadWordsVerdict::Passed
        } else if normalized_md5 % self.denominator >= self.numerator {
            BadWordsVerdict::SoftPassed
        } else {
            BadWordsVerdict::Dropped
        }
    }

    /// The byte range of the first listed word in `lower`, the word behind the verdict of [`check`](Self::check).
    pub fn find(&self, language: &str, lower: &str) -> Option<Range<usize>> {
        let pattern = self.patterns.get(base_language(language))?;
        pattern.regex.captures(lower)?.get(1).map(|word| word.range())
    }
}

/// The language code without its region: `es` of `es-MX`.
pub fn base_language(language: &str) -> &str {
    language.split('-').next().unwrap_or(language)
}

/// Python's `float.as_integer_ratio` for a number above 0 and at most 1.
fn integer_ratio(fraction: f64) -> (u128, u128) {
    let bits = fraction.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as i32 - 1075;
    let mantissa = (bits & ((1 << 52) - 1)) | 1 << 52;
    let zeros = mantissa.trailing_zeros().min(exponent.unsigned_abs());
    let shift = (exponent.unsigned_abs() - zeros).min(127);
    (u128::from(mantissa >> zeros), 1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;
    use c4_data::{Lists, Recipe};
    use proptest::prelude::*;

    fn rule() -> BadWords {
        let (recipe, base) = Recipe::load("en").unwrap();
        let mut step = recipe.bad_words.clone().unwrap();
        let mut lists = Lists::load(&recipe, &base).unwrap();
        step.fraction = 1.0;
        let en = lists.words.get_mut("en").unwrap();
        en.words
            .extend(["éclair à", "$$$", "-x-", "ok_", "猫猫", "été"].map(String::from));
        BadWords::new(&step, &lists).unwrap()
    }

    #[test]
    fn the_spotter_says_what_the_pattern_says() {
        let rule = rule();
        let pattern = &rule.patterns["en"];
        let spotter = pattern.spotter.as_ref().unwrap();
        let (recipe, base) = Recipe::load("en").unwrap();
        let lists = Lists::load(&recipe, &base).unwrap();
        for word in &lists.words["en"].words {
            for before in ["", "a", "_", "é", "\u{301}", "—", " ", "\n", "x ", "Ⓐ", "½"] {
                for after in ["", "s", "_", "é", "\u{301}", "—", ".", "\n", " x", "Ⓐ", "½"] {
                    let fill = "y".repeat((before.len() * 31 + after.len() * 7 + word.len()) % 70);
                    let text = format!("{fill}{before}{word}{after}");
                    assert_eq!(spotter.is_in(&text), pattern.regex.is_match(&text), "{text}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn the_spotter_says_what_the_pattern_says_of_any_text(
            parts in prop::collection::vec(0_usize..40, 0..30), seed in 0_usize..400
        ) {
            static RULE: std::sync::LazyLock<(BadWords, Vec<String>)> = std::sync::LazyLock::new(|| {
                let (recipe, base) = Recipe::load("en").unwrap();
                let lists = Lists::load(&recipe, &base).unwrap();
                (rule(), lists.words["en"].words.clone())
            });
            let (rule, words) = &*RULE;
            let other = [
                " ", "_", "é", "—", "\u{301}", "\n", ".", "the", "associate", "title", "cum laude", "12",
                "éclair à", "$$$", "-x-", "ok_", "猫猫", "été", "½", "Ⓐ", "'",
            ];
            let text: String = parts
                .iter()
                .map(|&i| match other.get(i) {
                    Some(other) => (*other).to_owned(),
                    None => words[(i * 97 + seed) % words.len()].chars().take(2).collect(),
                })
                .collect();
            let near = format!("{text}{}{text}", words[seed % words.len()]);
            let pattern = &rule.patterns["en"];
            let spotter = pattern.spotter.as_ref().unwrap();
            for text in [text, near] {
                prop_assert_eq!(spotter.is_in(&text), pattern.regex.is_match(&text), "{}", text);
                for level in crate::text::levels() {
                    prop_assert_eq!(spotter.is_in_at(level, &text), spotter.is_in(&text), "{:?} {}", level, text);
                }
            }
        }
    }

    #[test]
    fn integer_ratio_is_pythons() {
        assert_eq!(integer_ratio(1.0), (1, 1));
        assert_eq!(integer_ratio(0.5), (1, 2));
        assert_eq!(integer_ratio(0.999), (8_998_192_055_486_251, 1 << 53));
    }
}
