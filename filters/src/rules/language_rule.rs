//! Keeps pages of some languages, as a detector finds them.

use super::reason::{Reason, Verdict};
use crate::detect::{cld3, langdetect};
use c4_data::{DetectorKind, LanguageStep, UNDETERMINED_LANGUAGE, Undetermined};
use whatlang::Lang;

/// The answer of a language detector for a text.
#[derive(Debug, Clone, PartialEq)]
pub enum Detection {
    /// The text has no features that the detector knows (langdetect raises an exception).
    Undetectable,
    /// No language is probable enough to be named (CLD3: the answer is not reliable).
    Nothing,
    /// The most probable language.
    Best {
        /// The language's code (ISO 639-1 where there is one).
        language: String,
        /// The language's probability, 0 to 1.
        probability: f64,
    },
}

/// Detects the language of `text`. Langdetect reads only the first 10,000 code points, CLD3 the first 10,000 bytes.
pub fn detect(detector: DetectorKind, text: &str) -> Detection {
    match detector {
        DetectorKind::Langdetect => match langdetect::detect(text) {
            langdetect::LangdetectAnswer::Undetectable => Detection::Undetectable,
            langdetect::LangdetectAnswer::Nothing => Detection::Nothing,
            langdetect::LangdetectAnswer::Best { language, probability } => Detection::Best {
                language: language.to_owned(),
                probability,
            },
        },
        DetectorKind::Whatlang => match whatlang::detect(text) {
            Some(info) => Detection::Best {
                language: iso_639_1(info.lang()).to_owned(),
                probability: info.confidence(),
            },
            None => Detection::Undetectable,
        },
        DetectorKind::Cld3 => match cld3::detect(text) {
            Some(guess) if guess.reliable => Detection::Best {
                language: guess.language.to_owned(),
                probability: guess.probability.into(),
            },
            _ => Detection::Nothing,
        },
    }
}

/// The codes of all languages that `detector` knows.
pub fn known(detector: DetectorKind) -> Vec<&'static str> {
    match detector {
        DetectorKind::Langdetect => langdetect::languages().to_vec(),
        DetectorKind::Whatlang => Lang::all().iter().map(|lang| iso_639_1(*lang)).collect(),
        DetectorKind::Cld3 => cld3::LANGUAGES.to_vec(),
    }
}

/// The codes of all languages that a kept page may have under `step`, sorted: the languages to keep (all of the
/// detector's, if the recipe names none) and [`UNDETERMINED_LANGUAGE`], if undetermined pages are kept.
pub fn languages(step: &LanguageStep) -> Vec<String> {
    let known: Vec<&str> = match &*step.keep {
        [] => known(step.detector),
        keep => keep.iter().map(String::as_str).collect(),
    };
    let undetermined = step.undetermined == Undetermined::Keep;
    let undetermined = undetermined.then_some(UNDETERMINED_LANGUAGE);
    let mut languages: Vec<String> = known.into_iter().map(str::to_owned).collect();
    languages.extend(undetermined.map(str::to_owned));
    languages.sort_unstable();
    languages.dedup();
    languages
}

/// Loads the tables of `detector`, so that the first page does not wait for them.
pub fn warm_up(detector: DetectorKind) {
    match detector {
        DetectorKind::Langdetect => langdetect::warm_up(),
        DetectorKind::Cld3 => cld3::warm_up(),
        DetectorKind::Whatlang => {}
    }
}

/// The decision of the language step on a page.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The language that is stored with the page: the detector's, or [`UNDETERMINED_LANGUAGE`] with the probability of
    /// the best guess (0 where there is none).
    pub detection: Detection,
    /// The verdict on the page.
    pub verdict: Verdict,
    /// The reason for which the language of a kept page is undetermined.
    pub undetermined: Option<Reason>,
}

/// Detects the language of a page's text and judges the page.
///
/// ```
/// use c4_data::Recipe;
/// use c4_filters::{Reason, Verdict, language_rule};
///
/// let (recipe, _) = Recipe::load("en")?;
/// let step = recipe.language.expect("it has a language step");
/// let decision = language_rule::decide(&step, "Ceci est une page en français, avec une phrase entière.");
/// assert_eq!(decision.verdict, Verdict::DropPage(Reason::OtherLanguage));
/// # Ok::<(), c4_data::Error>(())
/// ```
///
/// This is the reference's `detect_english` or, where undetermined
/// pages are kept, `detect_languages`, which gives such pages the language [`UNDETERMINED_LANGUAGE`].
pub fn decide(step: &LanguageStep, text: &str) -> Decision {
    let detection = detect(step.detector, text);
    let verdict = judge(step, &detection);
    let undetermined = unsure(step, &detection).filter(|_| verdict == Verdict::Keep);
    let detection = match (undetermined, detection) {
        (None, detection) => detection,
        (Some(_), detection) => Detection::Best {
            language: UNDETERMINED_LANGUAGE.to_owned(),
            probability: match detection {
                Detection::Best { probability, .. } => probability,
                Detection::Nothing | Detection::Undetectable => 0.0,
            },
        },
    };
    Decision {
        detection,
        verdict,
        undetermined,
    }
}

/// The reason for which no language is sure; `None` if one is.
fn unsure(step: &LanguageStep, detection: &Detection) -> Option<Reason> {
    match detection {
        Detection::Undetectable => Some(Reason::UndetectableLanguage),
        Detection::Nothing => Some(Reason::NoLanguage),
        Detection::Best { probability, .. } if *probability < step.min_probability => Some(Reason::LowConfidence),
        Detection::Best { .. } => None,
    }
}

/// Judges a page by its detected language, as the reference's `detect_english` and `detect_languages` do, for any set
/// of languages: the best one must be probable enough (else [`Reason::LowConfidence`], if undetermined pages are
/// dropped) and one to keep (else [`Reason::OtherLanguage`]).
pub fn judge(step: &LanguageStep, detection: &Detection) -> Verdict {
    match (unsure(step, detection), detection) {
        (Some(_), _) if step.undetermined == Undetermined::Keep => Verdict::Keep,
        (Some(reason), _) => Verdict::DropPage(reason),
        (None, Detection::Best { language, .. }) if !step.keeps(language) => Verdict::DropPage(Reason::OtherLanguage),
        (None, _) => Verdict::Keep,
    }
}

/// The ISO 639-1 code of a `whatlang` language, so that recipes name languages in one way; its three-letter code where
/// there is none.
fn iso_639_1(lang: Lang) -> &'static str {
    use Lang::*;
    match lang {
        Epo => "eo",
        Eng => "en",
        Rus => "ru",
        Cmn => "zh",
        Spa => "es",
        Por => "pt",
        Ita => "it",
        Ben => "bn",
        Fra => "fr",
        Deu => "de",
        Ukr => "uk",
        Kat => "ka",
        Ara => "ar",
        Hin => "hi",
        Jpn => "ja",
        Heb => "he",
        Yid => "yi",
        Pol => "pl",
        Amh => "am",
        Jav => "jv",
        Kor => "ko",
        Nob => "no",
        Dan => "da",
        Swe => "sv",
        Fin => "fi",
        Tur => "tr",
        Nld => "nl",
        Hun => "hu",
        Ces => "cs",
        Ell => "el",
        Bul => "bg",
        Bel => "be",
        Mar => "mr",
        Kan => "kn",
        Ron => "ro",
        Slv => "sl",
        Hrv => "hr",
        Srp => "sr",
        Mkd => "mk",
        Lit => "lt",
        Lav => "lv",
        Est => "et",
        Tam => "ta",
        Vie => "vi",
        Urd => "ur",
        Tha => "th",
        Guj => "gu",
        Uzb => "uz",
        Pan => "pa",
        Aze => "az",
        Ind => "id",
        Tel => "te",
        Pes => "fa",
        Mal => "ml",
        Ori => "or",
        Mya => "my",
        Nep => "ne",
        Sin => "si",
        Khm => "km",
        Tuk => "tk",
        Aka => "ak",
        Zul => "zu",
        Sna => "sn",
        Afr => "af",
        Lat => "la",
        Slk => "sk",
        Cat => "ca",
        Tgl => "tl",
        Hye => "hy",
        other => other.code(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use c4_data::Undetermined;

    fn step(detector: DetectorKind, keep: &[&str], min_probability: f64) -> LanguageStep {
        LanguageStep {
            detector,
            keep: keep.iter().map(|code| (*code).to_owned()).collect(),
            min_probability,
            undetermined: Undetermined::Drop,
        }
    }

    const ENGLISH: &str = "The committee met on Tuesday to discuss the new plan for the river, and many \
        people from the village came to hear what it had to say about the bridge.";
    const GERMAN: &str = "Das ist der erste Satz auf dieser Seite, und er ist auf Deutsch geschrieben, \
        damit man sehen kann, dass er nicht auf Englisch geschrieben ist.";

    #[test]
    fn all_detectors_know_english_from_german() {
        for (detector, numbers) in [
            (DetectorKind::Langdetect, Reason::UndetectableLanguage),
            (DetectorKind::Whatlang, Reason::UndetectableLanguage),
            (DetectorKind::Cld3, Reason::NoLanguage),
        ] {
            let step = step(detector, &["en"], 0.5);
            assert_eq!(judge(&step, &detect(detector, ENGLISH)), Verdict::Keep);
            assert_eq!(
                judge(&step, &detect(detector, GERMAN)),
                Verdict::DropPage(Reason::OtherLanguage)
            );
            assert_eq!(judge(&step, &detect(detector, "12 34 56.")), Verdict::DropPage(numbers));
        }
    }

    #[test]
    fn languages_are_known_beforehand() {
        for (detector, count) in [
            (DetectorKind::Langdetect, 55),
            (DetectorKind::Whatlang, Lang::all().len()),
            (DetectorKind::Cld3, 109),
        ] {
            let mut step = step(detector, &[], 0.5);
            let all = languages(&step);
            assert_eq!(all.len(), count);
            assert!(all.is_sorted());
            for text in [ENGLISH, GERMAN] {
                let Detection::Best { language, .. } = detect(detector, text) else {
                    panic!("{detector:?}");
                };
                assert!(all.contains(&language));
            }
            step.undetermined = Undetermined::Keep;
            assert_eq!(languages(&step).len(), count + 1);
            step.keep = vec!["fr".to_owned(), "de".to_owned(), "fr".to_owned()];
            assert_eq!(languages(&step), ["de", "fr", "und"]);
        }
    }

    #[test]
    fn undetermined_pages_are_dropped_or_kept() {
        let best = |language: &str, probability| Detection::Best {
            language: language.to_owned(),
            probability,
        };
        let mut step = step(DetectorKind::Cld3, &["de"], 0.95);
        for (detection, dropped) in [
            (Detection::Undetectable, Some(Reason::UndetectableLanguage)),
            (Detection::Nothing, Some(Reason::NoLanguage)),
            (best("de", 0.9499), Some(Reason::LowConfidence)),
            (best("fr", 0.9499), Some(Reason::LowConfidence)),
            (best("fr", 0.95), Some(Reason::OtherLanguage)),
            (best("de", 0.95), None),
        ] {
            step.undetermined = Undetermined::Drop;
            let verdict = dropped.map_or(Verdict::Keep, Verdict::DropPage);
            assert_eq!(judge(&step, &detection), verdict);
            step.undetermined = Undetermined::Keep;
            let kept = dropped != Some(Reason::OtherLanguage);
            assert_eq!(judge(&step, &detection) == Verdict::Keep, kept);
        }
    }

    #[test]
    fn undetermined_pages_get_a_language_of_their_own() {
        let mut step = step(DetectorKind::Cld3, &["de"], 0.95);
        step.undetermined = Undetermined::Keep;
        let german = decide(&step, GERMAN);
        assert_eq!((german.verdict, german.undetermined), (Verdict::Keep, None));
        assert!(matches!(german.detection, Detection::Best { language, .. } if language == "de"));
        let short = decide(&step, "Zu kurz.");
        assert_eq!(
            short,
            Decision {
                detection: Detection::Best {
                    language: "und".to_owned(),
                    probability: 0.0
                },
                verdict: Verdict::Keep,
                undetermined: Some(Reason::NoLanguage),
            }
        );
        let english = decide(&step, ENGLISH);
        assert_eq!(english.verdict, Verdict::DropPage(Reason::OtherLanguage));
        assert_eq!(english.undetermined, None);
        // Probable, but not enough: the guess's probability is kept.
        step.min_probability = 1.1;
        let unsure = decide(&step, ENGLISH);
        assert_eq!(unsure.undetermined, Some(Reason::LowConfidence));
        let Detection::Best { language, probability } = unsure.detection else {
            panic!("{unsure:?}");
        };
        assert!(language == "und" && probability > 0.95);
    }
}
