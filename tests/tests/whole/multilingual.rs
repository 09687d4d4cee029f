//! The recipe `multilingual` and its word lists.

use c4_data::{DedupStep, DetectorKind, Lists, Recipe, Undetermined, WordList};
use c4_filters::language_rule::{Decision, Detection};
use c4_filters::rules::bad_words::{BadWords, BadWordsVerdict, base_language};
use c4_filters::{Reason, Tally, Verdict, counters};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data").join(name)
}

fn multilingual() -> (Recipe, Lists) {
    let (recipe, base) = Recipe::load("multilingual").unwrap();
    let lists = Lists::load(&recipe, &base).unwrap();
    (recipe, lists)
}

/// The files of third parties are those that the tables beside them name.
#[test]
fn lists_have_the_checksums_of_their_readme() {
    for (folder, files) in [("lists", 29), ("publicsuffix", 1)] {
        let readme = fs::read_to_string(data(folder).join("README.md")).unwrap();
        let mut known = 0;
        for entry in fs::read_dir(data(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if ["README.md", "make.py"].contains(&name) {
                continue;
            }
            known += 1;
            let sum = c4_data::atomic_file::sha256_file(&path).unwrap();
            let line = readme.lines().find(|line| line.contains(&sum));
            let line = line.unwrap_or_else(|| panic!("{name}: no {sum} in the table"));
            assert!(line.contains(name) || folder == "publicsuffix", "{name}: {line}");
        }
        assert_eq!(known, files);
    }
}

#[test]
fn the_recipe_is_that_of_the_reference() {
    let (recipe, lists) = multilingual();
    assert!(recipe.clean.is_none());
    assert_eq!(recipe.dedup, Some(DedupStep::Lines { min_sentences: 0 }));
    let language = recipe.language.as_ref().unwrap();
    assert_eq!(language.detector, DetectorKind::Cld3);
    assert_eq!(language.undetermined, Undetermined::Keep);
    let codes: BTreeSet<&String> = language.keep.iter().collect();
    assert_eq!((codes.len(), language.keep.len()), (107, 107));
    assert_eq!(codes.iter().filter(|code| code.ends_with("-Latn")).count(), 6);
    assert_eq!(lists.words.len(), 28);
    let bases: BTreeSet<&str> = lists.words.keys().map(|code| base_language(code)).collect();
    assert_eq!(bases.len(), 27);
    for (language, name) in &recipe.bad_words.as_ref().unwrap().lists {
        assert!(name.ends_with(&format!("-{language}")), "{language} = {name}");
    }
}

#[test]
fn words_count_by_the_language_without_its_suffix() {
    let (recipe, lists) = multilingual();
    let step = recipe.bad_words.as_ref().unwrap();
    let rule = BadWords::new(step, &lists).unwrap();
    // In the share of 0.999 that goes, and in the one that stays.
    let (goes, stays) = (0, (1 << 53) - 1);
    let check = |language: &str, text: &str| rule.check(language, text, goes);
    let word = |code: &str, i: usize| lists.words[code].words[i].to_lowercase();
    let mut of_their_own = 0;
    for (code, list) in &lists.words {
        let unspaced = ["ja", "th", "zh"].contains(&code.as_str());
        let allowed = step.allow.get(code).cloned().unwrap_or_default();
        for entry in &list.words {
            let base = base_language(code);
            let others = || list.words.iter().filter(|other| *other != entry);
            let inside = |other: &String| unspaced && entry.contains(other.as_str()) && !allowed.contains(other);
            if allowed.contains(entry) {
                if !others().any(inside) {
                    assert_eq!(check(base, entry), BadWordsVerdict::Passed, "{code} {entry}");
                    of_their_own += 1;
                }
                continue;
            }
            // An entry with a capital never matches, as pages are lower-cased; one of its parts may.
            if *entry == entry.to_lowercase() {
                let text = format!("… {entry} …");
                for language in [base, &format!("{base}-Latn")] {
                    assert_eq!(check(language, &text), BadWordsVerdict::Dropped, "{code} {entry}");
                }
                assert_eq!(rule.check(base, &text, stays), BadWordsVerdict::SoftPassed);
            }
        }
    }
    assert_eq!(of_their_own, 4, "all allowed words");
    // Two lists of one language are one, a word in a word counts only where words are not set apart.
    let quebec = &word("fr-CA-u-sd-caqc", 0);
    assert!(!lists.words["fr"].words.contains(quebec));
    assert_eq!(check("fr", quebec), BadWordsVerdict::Dropped);
    assert_eq!(check("fr", &format!("x{quebec}")), BadWordsVerdict::Passed);
    let thai = word("th", 0);
    assert_eq!(check("th", &format!("ก{thai}ก")), BadWordsVerdict::Dropped);
    assert_eq!(check("und", &thai), BadWordsVerdict::NoList);
    assert_eq!(check("uk", quebec), BadWordsVerdict::NoList);
}

#[test]
fn a_language_whose_words_are_all_allowed_drops_nothing() {
    let (recipe, _) = multilingual();
    let mut step = recipe.bad_words.unwrap();
    step.allow.insert("en".into(), vec!["flurb".into()]);
    let mut lists = Lists::default();
    lists.words.insert("en".into(), WordList::from_text("flurb\n"));
    let rule = BadWords::new(&step, &lists).unwrap();
    assert_eq!(rule.check("en", "a flurb", 0), BadWordsVerdict::NoList);
}

/// The reference counts a page without a language as filtered, and as passed in `und`.
#[test]
fn pages_without_a_language_are_counted_twice() {
    let (recipe, _) = multilingual();
    let mut tally = Tally {
        pages_read: [6, 0],
        pages_out: [5, 0],
        ..Tally::default()
    };
    // Bosnian.
    tally.pages_dropped[Reason::OtherLanguage.index()] = 1;
    for (language, undetermined) in [
        ("de", None),
        ("und", Some(Reason::LowConfidence)),
        ("zh-Latn", None),
        ("und", Some(Reason::NoLanguage)),
        ("und", Some(Reason::NoLanguage)),
    ] {
        tally.decide_language(&Decision {
            detection: Detection::Best {
                language: language.to_owned(),
                probability: 0.0,
            },
            verdict: Verdict::Keep,
            undetermined,
        });
    }
    let mut found = counters::counters(&tally, &recipe);
    found.retain(|name, _| name.starts_with("language-filter/") || name.starts_with("english"));
    let expected = [
        ("language-filter/filtered:ignored_language", 1),
        ("language-filter/filtered:low_confidence", 1),
        ("language-filter/filtered:no_predictions", 2),
        ("language-filter/passed", 5),
        ("language-filter/passed:de", 1),
        ("language-filter/passed:und", 3),
        ("language-filter/passed:zh-Latn", 1),
    ];
    let found: Vec<(&str, u64)> = found.iter().map(|(name, n)| (&**name, *n)).collect();
    assert_eq!(found, expected);
}

/// As in the reference, a page that stays though it holds a listed word has a counter of its own, in
/// all and by language; one without a list counts in all only.
#[test]
fn soft_passes_are_counted_apart() {
    let (recipe, _) = multilingual();
    let mut tally = Tally {
        pages_read: [10, 0],
        pages_out: [8, 0],
        bad_words_soft_passed: 3,
        ..Tally::default()
    };
    tally.pages_dropped[Reason::BadWords.index()] = 2;
    tally.bad_words_by_language.insert("de".into(), [2, 1, 3]);
    let counters = counters::counters(&tally, &recipe);
    for (name, n) in [
        ("badwords-filter/passed", 5),
        ("badwords-filter/soft-passed", 3),
        ("badwords-filter/filtered", 2),
        ("badwords-filter-de/passed", 1),
        ("badwords-filter-de/soft-passed", 3),
        ("badwords-filter-de/filtered", 2),
    ] {
        assert_eq!(counters.get(name), Some(&n), "{name} in {counters:?}");
    }
}
