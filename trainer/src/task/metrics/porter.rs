//! Porter's stemmer (Porter 1980, "An algorithm for suffix stripping") with the changes that NLTK makes by default,
//! which rouge-score uses: some irregular words, `ies` and `ied` of short words, `y` after a consonant, `alli`, `bli`,
//! `fulli` and `logi` in step 2.
//!
//! Words are lower-case ASCII; digits count as consonants, as in NLTK.

/// Words with a stem of their own.
const IRREGULAR: [(&str, &str); 16] = [
    ("sky", "sky"),
    ("skies", "sky"),
    ("dying", "die"),
    ("lying", "lie"),
    ("tying", "tie"),
    ("news", "news"),
    ("innings", "inning"),
    ("inning", "inning"),
    ("outings", "outing"),
    ("outing", "outing"),
    ("cannings", "canning"),
    ("canning", "canning"),
    ("howe", "howe"),
    ("proceed", "proceed"),
    ("exceed", "exceed"),
    ("succeed", "succeed"),
];

/// Step 2: suffixes and what replaces them, where the stem before has a measure above 0.
const STEP_2: [(&str, &str); 21] = [
    ("ational", "ate"),
    ("tional", "tion"),
    ("enci", "ence"),
    ("anci", "ance"),
    ("izer", "ize"),
    ("bli", "ble"),
    ("alli", "al"),
    ("entli", "ent"),
    ("eli", "e"),
    ("ousli", "ous"),
    ("ization", "ize"),
    ("ation", "ate"),
    ("ator", "ate"),
    ("alism", "al"),
    ("iveness", "ive"),
    ("fulness", "ful"),
    ("ousness", "ous"),
    ("aliti", "al"),
    ("iviti", "ive"),
    ("biliti", "ble"),
    ("fulli", "ful"),
];

/// Step 3, with the same condition.
const STEP_3: [(&str, &str); 7] = [
    ("icate", "ic"),
    ("ative", ""),
    ("alize", "al"),
    ("iciti", "ic"),
    ("ical", "ic"),
    ("ful", ""),
    ("ness", ""),
];

/// Step 4: suffixes that are removed where the stem has a measure above 1; `ion` also needs `s` or `t` before it.
const STEP_4: [&str; 19] = [
    "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou", "ism", "ate", "iti",
    "ous", "ive", "ize",
];

/// The stem of a word of lower-case letters and digits.
pub(super) fn stem(word: &str) -> String {
    if let Some((_, stem)) = IRREGULAR.iter().find(|(irregular, _)| *irregular == word) {
        return (*stem).to_owned();
    }
    if word.len() <= 2 {
        return word.to_owned();
    }
    let mut word = word.to_owned();
    plural(&mut word);
    past_and_participle(&mut word);
    if let Some(stem) = word.strip_suffix('y')
        && stem.len() > 1
        && is_consonant(stem.as_bytes(), stem.len() - 1)
    {
        replace(&mut word, 1, "i");
    }
    step_2(&mut word);
    replace_first(&mut word, &STEP_3);
    step_4(&mut word);
    step_5(&mut word);
    word
}

/// Step 1a.
fn plural(word: &mut String) {
    if word.ends_with("ies") {
        // Dies, but flies.
        replace(word, 3, if word.len() == 4 { "ie" } else { "i" });
    } else if word.ends_with("sses") {
        replace(word, 2, "");
    } else if word.ends_with('s') && !word.ends_with("ss") {
        replace(word, 1, "");
    }
}

/// Step 1b.
fn past_and_participle(word: &mut String) {
    if word.ends_with("ied") {
        replace(word, 3, if word.len() == 4 { "ie" } else { "i" });
        return;
    }
    if let Some(stem) = word.strip_suffix("eed") {
        if measure(stem) > 0 {
            replace(word, 1, "");
        }
        return;
    }
    let Some(stem) = ["ed", "ing"].iter().find_map(|suffix| word.strip_suffix(suffix)) else {
        return;
    };
    if !has_vowel(stem) {
        return;
    }
    word.truncate(stem.len());
    if ["at", "bl", "iz"].iter().any(|end| word.ends_with(end)) {
        word.push('e');
    } else if ends_in_double_consonant(word) {
        if !word.ends_with(['l', 's', 'z']) {
            replace(word, 1, "");
        }
    } else if measure(word) == 1 && ends_in_cvc(word) {
        word.push('e');
    }
}

fn step_2(word: &mut String) {
    // NLTK takes `alli` first, and what is left runs through the step.
    while word.strip_suffix("alli").is_some_and(|stem| measure(stem) > 0) {
        replace(word, 2, "");
    }
    if STEP_2.iter().any(|(suffix, _)| word.ends_with(suffix)) {
        replace_first(word, &STEP_2);
    } else if word.ends_with("logi") && measure(&word[..word.len() - 3]) > 0 {
        // The `l` belongs to the stem, so that short ones ("geo") count.
        replace(word, 1, "");
    }
}

fn step_4(word: &mut String) {
    let Some(stem) = STEP_4.iter().find_map(|suffix| word.strip_suffix(suffix)) else {
        return;
    };
    let removed = measure(stem) > 1 && (!word.ends_with("ion") || stem.ends_with(['s', 't']));
    if removed {
        word.truncate(stem.len());
    }
}

fn step_5(word: &mut String) {
    if let Some(stem) = word.strip_suffix('e') {
        let measure = measure(stem);
        if measure > 1 || (measure == 1 && !ends_in_cvc(stem)) {
            replace(word, 1, "");
        }
    }
    if word.ends_with("ll") && measure(&word[..word.len() - 1]) > 1 {
        replace(word, 1, "");
    }
}

/// Replaces the last `length` bytes.
fn replace(word: &mut String, length: usize, by: &str) {
    word.truncate(word.len() - length);
    word.push_str(by);
}

/// Replaces the first of the suffixes that the word has, if the stem before has a measure above 0; no other is tried.
fn replace_first(word: &mut String, suffixes: &[(&str, &str)]) {
    let found = suffixes.iter().find(|(suffix, _)| word.ends_with(suffix));
    if let Some((suffix, by)) = found
        && measure(&word[..word.len() - suffix.len()]) > 0
    {
        replace(word, suffix.len(), by);
    }
}

/// Whether each letter is a consonant: no vowel, and no `y` after a consonant.
fn consonants(word: &[u8]) -> impl Iterator<Item = bool> {
    let mut before = false;
    word.iter().map(move |letter| {
        before = match letter {
            b'a' | b'e' | b'i' | b'o' | b'u' => false,
            b'y' => !before,
            _ => true,
        };
        before
    })
}

fn is_consonant(word: &[u8], index: usize) -> bool {
    consonants(&word[..=index]).last() == Some(true)
}

fn has_vowel(word: &str) -> bool {
    consonants(word.as_bytes()).any(|consonant| !consonant)
}

/// Porter's m: how often a consonant follows a vowel.
fn measure(stem: &str) -> usize {
    let mut vowel_before = false;
    let ends = consonants(stem.as_bytes()).filter(|&consonant| {
        let end = consonant && vowel_before;
        vowel_before = !consonant;
        end
    });
    ends.count()
}

fn ends_in_double_consonant(word: &str) -> bool {
    let word = word.as_bytes();
    matches!(word, [.., a, b] if a == b) && is_consonant(word, word.len() - 1)
}

/// Porter's *o: consonant, vowel, consonant other than w, x and y; for NLTK also a word of a vowel and a consonant.
fn ends_in_cvc(word: &str) -> bool {
    let kinds: Vec<bool> = consonants(word.as_bytes()).collect();
    match kinds[..] {
        [.., true, false, true] => !word.ends_with(['w', 'x', 'y']),
        [false, true] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::stem;

    #[test]
    fn stems_are_those_of_the_paper_and_of_nltk() {
        let cases = [
            ("caresses", "caress"),
            ("ponies", "poni"),
            ("dies", "die"),
            ("agreed", "agre"),
            ("plastered", "plaster"),
            ("conflated", "conflat"),
            ("hopping", "hop"),
            ("falling", "fall"),
            ("filing", "file"),
            ("enjoy", "enjoy"),
            ("spied", "spi"),
            ("geology", "geolog"),
            ("relational", "relat"),
            ("hopefulness", "hope"),
            ("adoption", "adopt"),
            ("controlling", "control"),
            ("skies", "sky"),
            ("2019s", "2019"),
        ];
        for (word, expected) in cases {
            assert_eq!(stem(word), expected, "{word}");
        }
    }
}
