//! Python's `langdetect` 1.0.9 with `DetectorFactory.seed = 0` on CPython 3.11, bit for bit.
//!
//! The detector is Nakatani Shuyo's "language-detection". It cuts a text into n-grams of one to three characters. Then
//! it draws some by chance and multiplies the languages' probabilities with the n-gram's shares in them, until one
//! language is sure; and that seven times over, for the mean. With a seed the draws are always the same, so the answer
//! has only to follow the original's floating-point operations in their order. What gives the time:
//!
//! - n-grams are not listed, only marked with a bit where the profiles have them (`grams`); a table of 36 KiB does that
//!   for the letters of English, and a trie for all others (`profiles`);
//! - few are drawn, some 270 of 20,000, and shares are looked up only for those (`walk`);
//! - the beginning of the random numbers is made once for all texts (`random`).
//!
//! Constants carry the name that they have in the original, a class and attribute of `detector.py` or `utils/ngram.py`.
//! Profiles are in alphabetical order; the original takes them in the order of its folder on the disk, which decides
//! over the last bits of a probability and nothing else.
//!
//! A page of 6,000 characters takes some 40 microseconds on one core, half of them for the draws, which do not depend
//! on the length. The tables take 4 MiB of memory and some milliseconds to load.

mod grams;
mod profiles;
mod random;
mod text;
mod trie;
mod walk;

use std::sync::LazyLock;

use fearless_simd::{Level, Simd, dispatch};
use grams::Grams;
use profiles::Profiles;
use random::Stream;

/// `Detector.PROB_THRESHOLD`: languages that are less probable are not named.
const THRESHOLD: f64 = 0.1;

/// The answer of langdetect for a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LangdetectAnswer {
    /// The text has none of the n-grams of the profiles (the original raises an exception).
    Undetectable,
    /// No language has a probability of more than 0.1.
    Nothing,
    /// The most probable language.
    Best {
        /// The language's code in the original: ISO 639-1, but `zh-cn` and `zh-tw`.
        language: &'static str,
        /// The language's probability: more than 0.1, at most about 1.
        probability: f64,
    },
}

struct LangdetectTables {
    profiles: Profiles,
    stream: Stream,
}

static TABLES: LazyLock<LangdetectTables> = LazyLock::new(|| LangdetectTables {
    profiles: Profiles::load().expect("the built-in profiles are whole"),
    stream: Stream::new(),
});

/// Detects the language of `text`, of which the first 10,000 code points count.
///
/// ```
/// use c4_filters::langdetect::{LangdetectAnswer, detect};
/// let answer = detect("Ceci est une page en français, avec une phrase entière et encore une autre.");
/// assert!(matches!(answer, LangdetectAnswer::Best { language: "fr", .. }));
/// ```
pub fn detect(text: &str) -> LangdetectAnswer {
    detect_at(Level::new(), text)
}

fn detect_at(level: Level, text: &str) -> LangdetectAnswer {
    let tables = &*TABLES;
    let classes = text::classes(&tables.profiles, &text::prepare(text));
    dispatch!(level, simd => best(simd, tables, classes))
}

/// The language of a text of these classes. What is called here is inlined, so that it is compiled for the vectors of
/// each CPU; all of them do the same operations in the same order.
#[inline(always)]
fn best<S: Simd>(_: S, tables: &LangdetectTables, classes: Vec<u16>) -> LangdetectAnswer {
    let LangdetectTables { profiles, stream } = tables;
    let grams = Grams::new(profiles, classes);
    if grams.len() == 0 {
        return LangdetectAnswer::Undetectable;
    }
    let mut best = LangdetectAnswer::Nothing;
    let mut most = THRESHOLD;
    for (language, p) in walk::probabilities(profiles, stream, &grams).into_iter().enumerate() {
        // Of equals, the first (`_sort_probability` is stable).
        if p > most {
            most = p;
            best = LangdetectAnswer::Best {
                language: profiles.language(language),
                probability: p,
            };
        }
    }
    best
}

/// The codes of the languages that the detector knows.
pub fn languages() -> &'static [&'static str] {
    TABLES.profiles.languages()
}

/// Loads the tables, so that the first text does not wait for them.
pub fn warm_up() {
    LazyLock::force(&TABLES);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_cpu_gives_the_same_bits(words in r"([a-zà-ÿ]{2,7} |[а-я]{2,7} |the |und |[一-三]{1,3}|[A-Z]{1,3}[.]){0,80}") {
            let LangdetectAnswer::Best { language, probability } = detect(&words) else {
                return Ok(());
            };
            for level in crate::text::levels() {
                let found = detect_at(level, &words);
                let LangdetectAnswer::Best { language: other, probability: p } = found else {
                    panic!("{found:?}");
                };
                prop_assert_eq!((other, p.to_bits()), (language, probability.to_bits()), "{:?}", level);
            }
        }
    }
}
