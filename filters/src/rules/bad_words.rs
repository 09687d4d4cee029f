//! Drops pages that hold a word of a blocklist.

use crate::{Reason, Verdict};
use c4_data::{BadWordsStep, Lists};
use regex::Regex;
use std::collections::BTreeMap;
use std::ops::Range;

/// Languages written without spaces: a word counts wherever it stands.
const UNSPACED: [&str; 3] = ["ja", "th", "zh"];

/// Python's `\W` of `re`, with characters outside the class that Rust's `\W` has inside and the
/// other way round (marks, circled letters, fractions).
const NOT_WORD: &str = r"[^\p{L}\p{N}_]";

/// The reference's `get_badwords_filter_fn`.
#[derive(Debug)]
pub struct BadWords {
    patterns: BTreeMap<String, Regex>,
    numerator: u128,
    denominator: u128,
}

/// What the rule says of a page, and the counters it feeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadWordsVerdict {
    /// The page's language has no list.
    NoList,
    /// No listed word.
    Passed,
    /// A listed word, but the page is in the share that stays.
    SoftPassed,
    /// A listed word.
    Dropped,
}

impl BadWordsVerdict {
    /// As a verdict on the page.
    pub fn verdict(self) -> Verdict {
        match self {
            BadWordsVerdict::Dropped => Verdict::DropPage(Reason::BadWords),
            _ => Verdict::Keep,
        }
    }
}

impl BadWords {
    /// Compiles the lists: one automaton a language, of all its lists (those of `fr` and `fr-CA`, say)
    /// without the words that the step allows.
    ///
    /// # Errors
    /// A list too large for the regex engine.
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
            let words: Vec<String> = words.into_iter().map(regex::escape).collect();
            let words = words.join("|");
            let pattern = if UNSPACED.contains(&language) {
                format!("({words})")
            } else {
                format!("(?:{NOT_WORD}|^)({words})(?:{NOT_WORD}|$)")
            };
            patterns.insert(language.to_owned(), Regex::new(&pattern)?);
        }
        let (numerator, denominator) = integer_ratio(step.fraction);
        Ok(BadWords {
            patterns,
            numerator,
            denominator,
        })
    }

    /// Judges a page. `language` may carry a region (`es-MX`), `lower` is the page's lower-cased
    /// text (the lists are not lower-cased: an entry with a capital never matches, as in the
    /// reference), `normalized_md5` the MD5 of the normalised URL. Linear in the text.
    pub fn check(&self, language: &str, lower: &str, normalized_md5: u128) -> BadWordsVerdict {
        let Some(pattern) = self.patterns.get(base_language(language)) else {
            return BadWordsVerdict::NoList;
        };
        if !pattern.is_match(lower) {
            BadWordsVerdict::Passed
        } else if normalized_md5 % self.denominator >= self.numerator {
            BadWordsVerdict::SoftPassed
        } else {
            BadWordsVerdict::Dropped
        }
    }

    /// The first listed word in `lower`, as a byte range: what [`check`](Self::check) went by.
    pub fn find(&self, language: &str, lower: &str) -> Option<Range<usize>> {
        let pattern = self.patterns.get(base_language(language))?;
        pattern.captures(lower)?.get(1).map(|word| word.range())
    }
}

/// A language code without its region.
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

    #[test]
    fn integer_ratio_is_pythons() {
        assert_eq!(integer_ratio(1.0), (1, 1));
        assert_eq!(integer_ratio(0.5), (1, 2));
        assert_eq!(integer_ratio(0.999), (8_998_192_055_486_251, 1 << 53));
    }
}
