//! Google's Compact Language Detector v3, bit for bit: what mC4 used.
//!
//! "The original" is PyPI `gcld3` 3.0.13 as built on x86-64 Linux, and what is ported is
//! `NNetLanguageIdentifier(min_num_bytes=100, max_num_bytes=10000).FindLanguage(text)`, as mC4 called it:
//!
//! 1. of the first 10,000 bytes, as far as they hold no control character, letters are kept, in lower case and in runs
//!    of one script (`scan`, by the tables in `letters`);
//! 2. pieces that repeat themselves are removed (`squeeze`), and a text of less than 100 bytes has no answer;
//! 3. the n-grams of one to four characters and the scripts that remain are counted (`features`),
//! 4. and a network with one hidden layer makes probabilities of 109 languages of them (`network`).
//!
//! Sums of 32-bit floats depend on their order, and here that of n-grams is the one in which a hash map of the GNU C++
//! library lists them, so `order` lists them likewise. Constants carry their name in the original. What the original
//! can do and mC4 did not ask for (HTML, other limits, several languages of one text) is left out.

mod features;
mod letters;
mod network;
mod order;
mod scan;
mod squeeze;

use std::sync::LazyLock;

use letters::Letters;
use network::Network;

/// `min_num_bytes` of mC4: texts of fewer bytes, counted after clean-up, have no answer.
const MIN_BYTES: usize = 100;
/// `max_num_bytes` of mC4: longer texts, after clean-up, are sampled.
const MAX_BYTES: usize = 10_000;
/// `kMaxNumInputBytesToConsider`.
const MAX_INPUT_BYTES: usize = 10_000;
/// `kReliabilityThreshold`.
const RELIABLE: f32 = 0.7;
/// `kReliabilityHrBsThreshold`, for Croatian and Bosnian, which are taken for each other.
const RELIABLE_HR_BS: f32 = 0.5;

/// The codes of the languages that the detector knows (`kLanguageNames`), in its order. BCP 47 codes, most of them ISO
/// 639-1; `iw` is Hebrew, `-Latn` a language in Latin letters.
pub const LANGUAGES: [&str; 109] = [
    "eo", "co", "eu", "ta", "de", "mt", "ps", "te", "su", "uz", "zh-Latn", "ne", "nl", "sw", "sq", "hmn", "ja", "no",
    "mn", "so", "ko", "kk", "sl", "ig", "mr", "th", "zu", "ml", "hr", "bs", "lo", "sd", "cy", "hy", "uk", "pt", "lv",
    "iw", "cs", "vi", "jv", "be", "km", "mk", "tr", "fy", "am", "zh", "da", "sv", "fi", "ht", "af", "la", "id", "fil",
    "sm", "ca", "el", "ka", "sr", "it", "sk", "ru", "ru-Latn", "bg", "ny", "fa", "haw", "gl", "et", "ms", "gd",
    "bg-Latn", "ha", "is", "ur", "mi", "hi", "bn", "hi-Latn", "fr", "yi", "hu", "xh", "my", "tg", "ro", "ar", "lb",
    "el-Latn", "st", "ceb", "kn", "az", "si", "ky", "mg", "en", "gu", "es", "pl", "ja-Latn", "ga", "lt", "sn", "yo",
    "pa", "ku",
];

/// The codes of the languages of mC4 (`MC4_LANGUAGES` of TensorFlow Datasets 4.9.10, `text/c4.py`): those of the
/// detector but Bosnian (`bs`) and Croatian (`hr`), whose pages the reference drops.
pub const MC4_LANGUAGES: [&str; 107] = [
    "af", "am", "ar", "az", "be", "bg", "bg-Latn", "bn", "ca", "ceb", "co", "cs", "cy", "da", "de", "el", "el-Latn",
    "en", "eo", "es", "et", "eu", "fa", "fi", "fil", "fr", "fy", "ga", "gd", "gl", "gu", "ha", "haw", "hi", "hi-Latn",
    "hmn", "ht", "hu", "hy", "id", "ig", "is", "it", "iw", "ja", "ja-Latn", "jv", "ka", "kk", "km", "kn", "ko", "ku",
    "ky", "la", "lb", "lo", "lt", "lv", "mg", "mi", "mk", "ml", "mn", "mr", "ms", "mt", "my", "ne", "nl", "no", "ny",
    "pa", "pl", "ps", "pt", "ro", "ru", "ru-Latn", "sd", "si", "sk", "sl", "sm", "sn", "so", "sq", "sr", "st", "su",
    "sv", "sw", "ta", "te", "tg", "th", "tr", "uk", "ur", "uz", "vi", "xh", "yi", "yo", "zh", "zh-Latn", "zu",
];

/// The most probable language of a text.
///
/// ```
/// use c4_filters::cld3;
/// let text = "Das ist der erste Satz auf dieser Seite, und er ist auf Deutsch geschrieben, damit man sehen kann, \
///     dass er nicht auf Englisch geschrieben ist.";
/// let guess = cld3::detect(text).expect("the text is long enough");
/// assert!(guess.language == "de" && guess.reliable);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guess {
    /// The language's code, one of [`LANGUAGES`].
    pub language: &'static str,
    /// The language's probability, 0 to 1.
    pub probability: f32,
    /// Whether the answer is reliable (`is_reliable`): the probability is at least 0.7, of Croatian and Bosnian 0.5.
    pub reliable: bool,
}

struct Cld3Tables {
    letters: Letters,
    network: Network,
}

static TABLES: LazyLock<Cld3Tables> = LazyLock::new(|| {
    let tables = Letters::load().zip(Network::load());
    let (letters, network) = tables.expect("the built-in tables are whole");
    Cld3Tables { letters, network }
});

/// Detects the language of `text`, of which the first 10,000 bytes count. `None` (the original: `und`, probability 0,
/// not reliable) if less than 100 bytes are left once non-letters and repetitions are gone.
pub fn detect(text: &str) -> Option<Guess> {
    let Cld3Tables { letters, network } = &*TABLES;
    let end = scan::valid_prefix(text, MAX_INPUT_BYTES);
    let mut cleaned = scan::clean(letters, text, end);
    if cleaned.len() < MIN_BYTES {
        return None;
    }
    squeeze::squeeze(&mut cleaned);
    if cleaned.len() < MIN_BYTES {
        return None;
    }
    let text = squeeze::sample(&cleaned, MAX_BYTES);
    let layer = features::layer(letters, network, &text);
    let (language, probability) = network.best(&layer);
    let language = LANGUAGES[language];
    let least = match language {
        "hr" | "bs" => RELIABLE_HR_BS,
        _ => RELIABLE,
    };
    Some(Guess {
        language,
        probability,
        reliable: probability >= least,
    })
}

/// Loads the tables, so that the first text does not wait for them.
pub fn warm_up() {
    LazyLock::force(&TABLES);
}
