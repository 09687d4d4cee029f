//! Keeps pages of some languages.

use crate::{Reason, Tally, Verdict, langdetect};
use c4_data::{DetectorKind, LanguageStep};
use whatlang::Lang;

/// What a detector says of a text.
#[derive(Debug, Clone, PartialEq)]
pub enum Detection {
    /// It finds nothing to go by (langdetect raises an exception).
    Undetectable,
    /// It finds no language probable.
    Nothing,
    /// Its best guess.
    Best {
        /// Language code (ISO 639-1 where there is one).
        language: String,
        /// 0 to 1.
        probability: f64,
    },
}

/// The language of `text` by `detector`. Langdetect reads the first 10,000 code points only.
pub fn detect(detector: DetectorKind, text: &str) -> Detection {
    match detector {
        DetectorKind::Langdetect => match langdetect::detect(text) {
            langdetect::Detection::Undetectable => Detection::Undetectable,
            langdetect::Detection::Nothing => Detection::Nothing,
            langdetect::Detection::Best {
                language,
                probability,
            } => Detection::Best {
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
        // No recipe with it gets here: `guard::check` refuses it.
        DetectorKind::Cld3 => Detection::Undetectable,
    }
}

/// Loads the detector's tables, so that the first page does not wait for them.
pub fn warm_up(detector: DetectorKind) {
    if detector == DetectorKind::Langdetect {
        langdetect::warm_up();
    }
}

/// The reference's `detect_english`, for any set of languages: the best language must be probable
/// enough (else [`Reason::LowConfidence`]) and one to keep (else [`Reason::OtherLanguage`]).
pub fn judge(step: &LanguageStep, detection: &Detection) -> Verdict {
    match detection {
        Detection::Undetectable => Verdict::DropPage(Reason::UndetectableLanguage),
        Detection::Nothing => Verdict::DropPage(Reason::NoLanguage),
        Detection::Best { probability, .. } if *probability < step.min_probability => {
            Verdict::DropPage(Reason::LowConfidence)
        }
        Detection::Best { language, .. } if !step.keep.contains(language) => {
            Verdict::DropPage(Reason::OtherLanguage)
        }
        Detection::Best { .. } => Verdict::Keep,
    }
}

/// The code of pages whose language is not determined.
pub const UNDETERMINED: &str = "und";

/// Counts a page that the language step lets pass, under its language or as undetermined.
pub fn count_passed(tally: &mut Tally, step: &LanguageStep, detection: &Detection) {
    let language = match detection {
        Detection::Best {
            language,
            probability,
        } if *probability >= step.min_probability => language,
        Detection::Best { .. } => {
            tally.undetermined[1] += 1;
            UNDETERMINED
        }
        Detection::Undetectable | Detection::Nothing => {
            tally.undetermined[0] += 1;
            UNDETERMINED
        }
    };
    *tally
        .languages_passed
        .entry(language.to_owned())
        .or_default() += 1;
}

/// ISO 639-1 code of a `whatlang` language, so that recipes name languages in one way; its own
/// three-letter code where there is none.
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

    #[test]
    fn both_detectors_know_english_from_german() {
        let english = "The committee met on Tuesday to discuss the new plan for the river.";
        let german = "Das ist der erste Satz auf dieser Seite, und er ist auf Deutsch geschrieben.";
        for detector in [DetectorKind::Langdetect, DetectorKind::Whatlang] {
            let step = LanguageStep {
                detector,
                keep: vec!["en".into()],
                min_probability: 0.5,
                undetermined: Undetermined::Drop,
            };
            assert_eq!(judge(&step, &detect(detector, english)), Verdict::Keep);
            assert_eq!(
                judge(&step, &detect(detector, german)),
                Verdict::DropPage(Reason::OtherLanguage)
            );
            assert_eq!(
                judge(&step, &detect(detector, "12 34 56.")),
                Verdict::DropPage(Reason::UndetectableLanguage)
            );
        }
    }
}
