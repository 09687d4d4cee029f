//! The recipe: the steps of a build with their constants. TOML, validated, hashed.
//!
//! Above 500 lines with its tests, so that every key is beside the values that it may have.

use crate::limit::MAX_PAGE_BYTES;
use crate::{Error, Lists, atomic_file};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The built-in recipes: name and TOML. The first is the default.
pub const BUILTIN_RECIPES: [(&str, &str); 7] = [
    ("c4", include_str!("../recipes/c4.toml")),
    ("en", include_str!("../recipes/en.toml")),
    ("en.noblocklist", include_str!("../recipes/en.noblocklist.toml")),
    ("en.noclean", include_str!("../recipes/en.noclean.toml")),
    ("realnewslike", include_str!("../recipes/realnewslike.toml")),
    ("webtextlike", include_str!("../recipes/webtextlike.toml")),
    ("multilingual", include_str!("../recipes/multilingual.toml")),
];

/// A recipe: the steps of a build with their constants. A step that is absent is skipped; the order of the steps is
/// fixed (that of the fields), and one page per normalised URL is always kept.
///
/// ```
/// use c4_data::Recipe;
///
/// let (recipe, _) = Recipe::load("en")?;
/// assert_eq!(recipe.clean.expect("it has line rules").min_words, 5);
/// let error = Recipe::parse("mine.toml", "nmae = \"mine\"").unwrap_err().to_string();
/// assert!(error.starts_with("recipe mine.toml: line 1: unknown field `nmae`"), "{error}");
/// # Ok::<(), c4_data::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The recipe's name, which is written into every shard.
    pub name: String,
    /// A sentence for people; not part of the hash.
    pub description: String,
    /// The step that reads archives.
    pub read: ReadStep,
    /// The step that drops pages which are too long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<LengthStep>,
    /// The step that keeps pages of listed domains; other pages do not compete for their URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domains: Option<DomainsStep>,
    /// The step that keeps pages of listed URLs, after the choice of one page per URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub urls: Option<UrlsStep>,
    /// The step that drops pages without enough long lines (mC4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paragraphs: Option<ParagraphStep>,
    /// The step of C4's line and page rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clean: Option<CleanStep>,
    /// The step that drops duplicate text across pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dedup: Option<DedupStep>,
    /// The step that keeps pages of some languages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<LanguageStep>,
    /// The step that drops pages which hold a listed word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad_words: Option<BadWordsStep>,
    /// The step that splits pages into train and validation.
    pub split: SplitStep,
    /// For the codes of reasons, the least and the largest expected share of the pages or lines that come to the
    /// reason's step and are dropped for it. A build outside such a band warns. Not part of the hash.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub expect: BTreeMap<String, [f64; 2]>,
}

/// The step that reads archives: how records become pages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadStep {
    /// The way in which a WET archive is cut into pages.
    pub wet_reading: WetReading,
    /// The limit for a record in bytes (uncompressed): a larger one is dropped and counted. Bounds memory.
    pub max_record_bytes: u64,
    /// The media types of a WARC's responses that become pages.
    #[serde(default, skip_serializing_if = "MediaTypes::is_html")]
    pub media_types: MediaTypes,
    /// Whether a record that differs from its block or payload digest is dropped and counted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub verify_digests: bool,
}

/// The media types of a WARC's responses that become pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaTypes {
    /// HTML and XHTML, which is what the WET of the same crawl holds: `WARC-Identified-Payload-Type` decides where the
    /// record has it, else the HTTP `Content-Type` (`isHTMLHttpResource` in Common Crawl's `ia-web-commons`), else how
    /// the body begins.
    #[default]
    Html,
    /// Plain text as well as HTML, and bodies of text whose type is missing or invalid.
    Text,
}

impl MediaTypes {
    fn is_html(&self) -> bool {
        *self == MediaTypes::Html
    }
}

/// The two ways to read a WET archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WetReading {
    /// As the reference does it: the whole archive is lines, headers and bodies alike, and a page starts wherever a
    /// line says `WARC/1.0`.
    Lines,
    /// By WARC records, of which every line of the body is kept.
    Records,
}

/// The step that drops pages which are too long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LengthStep {
    /// The largest number of code points that a page's text may have.
    pub max_page_chars: usize,
}

/// The step that keeps pages of listed domains (RealNews).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DomainsStep {
    /// The file of the list ([`DomainList`](crate::DomainList)), beside the recipe. Its content is part of the hash,
    /// its name is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// The step that keeps pages of listed URLs (WebText).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UrlsStep {
    /// The files of the list ([`UrlList`](crate::UrlList)), beside the recipe. Their content is part of the hash, their
    /// names are not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
}

/// The step that drops pages without enough long lines: mC4's paragraph filter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParagraphStep {
    /// The number of lines that must be long enough.
    pub min_lines: usize,
    /// The number of code points that makes a line long enough.
    pub min_line_chars: usize,
}

/// The step of C4's line and page rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CleanStep {
    /// The largest number of code points in a word; a line with a longer one is dropped.
    pub max_word_chars: usize,
    /// The marks with one of which a line must end; others are dropped.
    pub end_marks: Vec<String>,
    /// The marks with none of which a line may end, though it ends with one of `end_marks`.
    pub not_end_marks: Vec<String>,
    /// The smallest number of words; a line with fewer is dropped.
    pub min_words: usize,
    /// The phrases that drop a page (lower case, looked up in the lower-cased line).
    pub page_phrases: Vec<String>,
    /// The phrases that drop a line as one about scripts (lower case, looked up in the lower-cased line).
    pub script_phrases: Vec<String>,
    /// The marks of code that drop a page (looked up in the line as it is).
    pub code_marks: Vec<String>,
    /// The phrases that drop a line as a notice of policy (lower case, looked up in the lower-cased line).
    pub policy_phrases: Vec<String>,
    /// The smallest number of sentences, summed over the lines of a page; a page with fewer is dropped.
    pub min_sentences: usize,
}

/// The step that drops duplicate text across pages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "unit", rename_all = "lowercase", deny_unknown_fields)]
pub enum DedupStep {
    /// One of equal lines is kept.
    Lines {
        /// The smallest number of sentences that a page needs after dedup; 0 for no limit.
        min_sentences: usize,
    },
    /// One of equal spans of consecutive sentences is kept.
    Spans {
        /// The number of sentences in a span.
        span_sentences: usize,
        /// The smallest number of sentences that a page needs after dedup; 0 for no limit.
        min_sentences: usize,
    },
}

/// The step that keeps pages of some languages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LanguageStep {
    /// The detector that decides.
    pub detector: DetectorKind,
    /// The codes of the languages to keep (ISO 639-1 where there is one); every language if there is none.
    pub keep: Vec<String>,
    /// The smallest probability of a language that counts as sure, 0 to 1.
    pub min_probability: f64,
    /// Whether a page is kept of which no language is sure.
    #[serde(default, skip_serializing_if = "Undetermined::is_drop")]
    pub undetermined: Undetermined,
}

/// The language code of a page that is kept although no language is sure (ISO 639-2).
pub const UNDETERMINED_LANGUAGE: &str = "und";

/// The verdict on a page of which no language is sure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Undetermined {
    /// The page is dropped.
    #[default]
    Drop,
    /// The page is kept, as one in [`UNDETERMINED_LANGUAGE`] (mC4).
    Keep,
}

impl Undetermined {
    fn is_drop(&self) -> bool {
        *self == Undetermined::Drop
    }
}

impl LanguageStep {
    /// Whether pages that are surely in `language` are kept.
    pub fn keeps(&self, language: &str) -> bool {
        self.keep.is_empty() || self.keep.iter().any(|code| code == language)
    }

    /// The languages of kept pages, in words.
    pub fn kept(&self) -> String {
        let mut kept = match &self.keep[..] {
            [] => "all languages".to_owned(),
            codes => codes.join(", "),
        };
        if self.undetermined == Undetermined::Keep {
            kept = kept + ", " + UNDETERMINED_LANGUAGE;
        }
        kept
    }
}

/// The language detectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DetectorKind {
    /// Python's `langdetect` 1.0.9 with seed 0, bit for bit: what C4 used.
    Langdetect,
    /// The crate `whatlang`: another decision on some 5 % of pages.
    Whatlang,
    /// Google's CLD3 as in `gcld3` 3.0.13, bit for bit: what mC4 used.
    Cld3,
}

/// The step that drops pages which hold a listed word.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BadWordsStep {
    /// For each language code, its list: the name of a built-in one, or a file beside the recipe. Lists whose codes
    /// differ only after a `-` are joined. A page whose language has no list passes.
    pub lists: BTreeMap<String, String>,
    /// For language codes (without a region), words of their lists that do not count.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub allow: BTreeMap<String, Vec<String>>,
    /// The share of pages with a listed word that is dropped, chosen by the URL's hash; 1.0 is all.
    pub fraction: f64,
}

/// The step that splits pages into train and validation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitStep {
    /// The modulus of validation: a page whose normalised URL has an MD5 of 0 modulo this is for validation; 0 for
    /// none.
    pub validation_one_in: u64,
    /// Whether each language has shards of its own, in both splits (mC4).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_language: bool,
}

/// Whether `code` looks like a language code, as `en`, `fil` or `zh-Latn`; then it can be part of a file's name.
pub(crate) fn is_language_code(code: &str) -> bool {
    let base = code.split('-').next().unwrap_or_default();
    (2..=3).contains(&base.len())
        && base.bytes().all(|b| b.is_ascii_lowercase())
        && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// The names of files in a corpus's folder, which cannot be names of recipes.
const RESERVED: [&str; 6] = [
    "ledger",
    "manifest.json",
    "stats.json",
    "run.json",
    "report.html",
    "README.md",
];

impl Recipe {
    /// Loads a recipe by the name of a built-in one, or from a TOML file. Also gives the folder from which its lists
    /// are looked up.
    ///
    /// # Errors
    /// There is no such recipe or file, or it has an unknown key, or a missing or impossible value.
    pub fn load(name_or_file: &str) -> Result<(Recipe, PathBuf), Error> {
        if let Some((name, text)) = BUILTIN_RECIPES.iter().find(|(n, _)| *n == name_or_file) {
            return Ok((Self::parse(name, text)?, PathBuf::new()));
        }
        let path = Path::new(name_or_file);
        if !path.is_file() {
            let names: Vec<&str> = BUILTIN_RECIPES.iter().map(|(n, _)| *n).collect();
            return Err(Error::Recipe {
                name: name_or_file.to_owned(),
                reason: format!(
                    "neither a file nor one of the recipes of this program ({})",
                    names.join(", ")
                ),
            });
        }
        let text = std::fs::read_to_string(path).map_err(Error::io(path, "read"))?;
        let base = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok((Self::parse_own(name_or_file, &text)?, base))
    }

    /// Parses a recipe as [`parse`](Self::parse) does, and refuses one that has the name of a built-in recipe and
    /// differs from it, since its corpora would be taken for those of the built-in one.
    ///
    /// # Errors
    /// An unknown key, a missing or impossible value, or such a name.
    pub fn parse_own(source: &str, toml: &str) -> Result<Recipe, Error> {
        let recipe = Self::parse(source, toml)?;
        let known = BUILTIN_RECIPES.iter().find(|(name, _)| *name == recipe.name);
        let Some((name, text)) = known else {
            return Ok(recipe);
        };
        // Expectations decide nothing.
        let theirs = Recipe {
            expect: recipe.expect.clone(),
            ..Self::parse(name, text)?
        };
        match theirs == recipe {
            true => Ok(recipe),
            false => Err(Error::Recipe {
                name: source.to_owned(),
                reason: format!(
                    "name: `{name}` is a recipe of this program, and this one differs from it; give it a name of its own"
                ),
            }),
        }
    }

    /// Parses and validates a recipe in TOML; `source` names it in errors.
    ///
    /// # Errors
    /// An unknown key, or a missing or impossible value.
    pub fn parse(source: &str, toml: &str) -> Result<Recipe, Error> {
        let fail = |reason: String| Error::Recipe {
            name: source.to_owned(),
            reason,
        };
        let recipe: Recipe = toml::from_str(toml).map_err(|e| {
            let line = e.span().map(|span| toml[..span.start].lines().count().max(1));
            let place = line.map_or(String::new(), |n| format!("line {n}: "));
            fail(place + &e.message().replace('\n', " "))
        })?;
        recipe
            .validate()
            .map_err(|(key, reason)| fail(format!("{key}: {reason}")))?;
        Ok(recipe)
    }

    /// Validates all values.
    ///
    /// # Errors
    /// The key of an impossible value, and what is wrong with it.
    pub(crate) fn validate(&self) -> Result<(), (&'static str, &'static str)> {
        let ensure = |ok: bool, key, reason| if ok { Ok(()) } else { Err((key, reason)) };
        let lower = |list: &[String]| list.iter().all(|p| !p.is_empty() && p.to_lowercase() == *p);
        let name_ok = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        ensure(
            !self.name.is_empty() && self.name.chars().all(name_ok),
            "name",
            "must be letters, digits, `.`, `_`, `-`",
        )?;
        // It names a folder, beside the files of a corpus.
        ensure(
            !self.name.starts_with(['.', '_', '-']) && !RESERVED.contains(&&*self.name),
            "name",
            "must start with a letter or digit, and not be that of a corpus's own file",
        )?;
        ensure(
            (1 << 16..=MAX_PAGE_BYTES).contains(&self.read.max_record_bytes),
            "read.max_record_bytes",
            "must be at least 65536 and at most 134217728 (128 MiB)",
        )?;
        if let Some(clean) = &self.clean {
            let marks = clean.end_marks.iter().chain(&clean.not_end_marks);
            ensure(
                !clean.end_marks.is_empty() && marks.chain(&clean.code_marks).all(|m| !m.is_empty()),
                "clean.end_marks",
                "needs a mark, and no mark may be empty",
            )?;
            ensure(
                lower(&clean.page_phrases) && lower(&clean.script_phrases) && lower(&clean.policy_phrases),
                "clean",
                "phrases must be lower-case and not empty, since they are looked up in lower-cased lines",
            )?;
        }
        if let Some(DedupStep::Spans { span_sentences, .. }) = &self.dedup {
            ensure(
                (1..=64).contains(span_sentences),
                "dedup.span_sentences",
                "must be 1 to 64",
            )?;
        }
        if let Some(language) = &self.language {
            ensure(
                language.keep.iter().all(|code| is_language_code(code)),
                "language.keep",
                "wants codes such as en, de or zh-cn",
            )?;
            ensure(
                !language.keeps(UNDETERMINED_LANGUAGE) || language.keep.is_empty(),
                "language.keep",
                "does not take und: pages of which no language is sure stay with undetermined = \"keep\"",
            )?;
            ensure(
                (0.0..=1.0).contains(&language.min_probability),
                "language.min_probability",
                "must be 0 to 1",
            )?;
        }
        ensure(
            self.language.is_some() || !self.split.by_language,
            "split.by_language",
            "needs a language step",
        )?;
        let band = |[low, high]: &[f64; 2]| 0.0 <= *low && low <= high && *high <= 1.0;
        ensure(
            self.expect.values().all(band),
            "expect",
            "wants two shares from 0 to 1, the smaller first, as in [0.2, 0.6]",
        )?;
        if let Some(bad_words) = &self.bad_words {
            ensure(
                self.language.is_some(),
                "bad_words",
                "needs a language step, since lists go by language",
            )?;
            ensure(
                bad_words.fraction > 0.0 && bad_words.fraction <= 1.0,
                "bad_words.fraction",
                "must be above 0 and at most 1",
            )?;
            let listed = |language: &String| {
                let mut codes = bad_words.lists.keys();
                codes.any(|code| code.split('-').next() == Some(language))
            };
            ensure(
                bad_words.allow.keys().all(listed),
                "bad_words.allow",
                "names a language (wanted without a region) that has no list",
            )?;
        }
        Ok(())
    }

    /// The SHA-256 of all that decides what is kept: every value of the recipe except the description and the
    /// expectations, and the content of its lists. Comments and layout of the TOML do not count.
    pub fn hash(&self, lists: &Lists) -> String {
        let mut recipe = self.clone();
        recipe.description.clear();
        recipe.expect.clear();
        recipe.domains.iter_mut().for_each(|step| step.file = None);
        recipe.urls.iter_mut().for_each(|step| step.files.clear());
        let text = serde_json::to_string(&recipe).expect("a recipe has only string keys");
        atomic_file::sha256_hex((text + &lists.digest()).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builtin_recipes_parse_and_are_named_as_listed() {
        for (name, text) in BUILTIN_RECIPES {
            assert_eq!(Recipe::parse(name, text).unwrap().name, name);
        }
    }

    #[test]
    fn unknown_key_is_refused_with_its_line() {
        let text = BUILTIN_RECIPES[1].1.replace("min_words", "min_wrods");
        let error = Recipe::parse("mine.toml", &text).unwrap_err().to_string();
        assert!(error.contains("mine.toml"), "{error}");
        assert!(error.contains("min_wrods") && error.contains("line "), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }

    #[test]
    fn impossible_values_are_refused() {
        for (from, to, key) in [
            ("min_probability = 0.99", "min_probability = 1.5", "min_probability"),
            ("fraction = 1.0", "fraction = 0.0", "bad_words.fraction"),
            ("\"lorem ipsum\"", "\"Lorem\"", "lower-case"),
            ("keep = [\"en\"]", "keep = [\"english\"]", "language.keep"),
            ("keep = [\"en\"]", "keep = [\"en-/..\"]", "language.keep"),
        ] {
            let text = BUILTIN_RECIPES[1].1;
            assert!(text.contains(from), "{from}");
            let error = Recipe::parse("x", &text.replace(from, to)).unwrap_err();
            assert!(error.to_string().contains(key), "{error}");
        }
    }

    #[test]
    fn language_step_can_keep_all_and_the_undetermined() {
        let parse = |keep: &str| {
            let text = BUILTIN_RECIPES[1].1.replace("keep = [\"en\"]", keep);
            Recipe::parse("x", &text).map(|recipe| recipe.language.unwrap())
        };
        let step = parse("keep = []\nundetermined = \"keep\"").unwrap();
        assert!(step.keeps("en") && step.keeps("zh-Latn"));
        assert_eq!(step.kept(), "all languages, und");
        let step = parse("keep = [\"en\", \"zh-Latn\"]\nundetermined = \"drop\"").unwrap();
        assert!(step.keeps("en") && !step.keeps("zh"));
        assert_eq!(step.kept(), "en, zh-Latn");
        // The default is not written, so that hashes of recipes without the key stay.
        let json = serde_json::to_string(&step).unwrap();
        assert!(!json.contains("undetermined"), "{json}");
        let error = parse("keep = [\"und\"]").unwrap_err().to_string();
        assert!(error.contains("undetermined"), "{error}");
    }

    #[test]
    fn languages_are_splits_where_the_recipe_says_so() {
        let by_language = |name| Recipe::load(name).unwrap().0.split.by_language;
        assert!(by_language("multilingual") && !by_language("c4"));
        // As above.
        let step = Recipe::load("c4").unwrap().0.split;
        assert!(!serde_json::to_string(&step).unwrap().contains("language"));
        let mut recipe = Recipe::load("multilingual").unwrap().0;
        recipe.language = None;
        recipe.bad_words = None;
        assert_eq!(recipe.validate().unwrap_err().0, "split.by_language");
    }

    #[test]
    fn hash_follows_values_and_lists_only() {
        let hash = |text: &str, lists: &Lists| Recipe::parse("x", text).unwrap().hash(lists);
        let text = BUILTIN_RECIPES[1].1;
        let none = Lists::default();
        assert_eq!(hash(text, &none), hash(&format!("# a comment\n{text}"), &none));
        assert_ne!(
            hash(text, &none),
            hash(&text.replace("min_words = 5", "min_words = 3"), &none)
        );
        let mut hashes: Vec<String> = BUILTIN_RECIPES.iter().map(|(_, t)| hash(t, &none)).collect();
        hashes.sort();
        hashes.dedup();
        assert_eq!(hashes.len(), BUILTIN_RECIPES.len());
    }

    #[test]
    fn media_types_are_part_of_the_hash_but_by_default() {
        let text = BUILTIN_RECIPES[0].1;
        let hash = |text: &str| Recipe::parse("x", text).unwrap().hash(&Lists::default());
        let html = "media_types = \"html\"";
        assert!(text.contains(html));
        assert_eq!(hash(text), hash(&text.replace(html, "")));
        assert_ne!(hash(text), hash(&text.replace(html, "media_types = \"text\"")));
        assert!(Recipe::parse("x", &text.replace(html, "media_types = \"all\"")).is_err());
    }

    /// Corpora in the world have these hashes.
    #[test]
    fn hashes_of_recipes_stay() {
        for (name, expected) in [
            ("c4", "5cbaef5bd154144f1e6ce89b62bcba40c66c585d8cd5eef434e863c456ba22fa"),
            ("en", "bdf290909d4a4c55b5309719d3435415ed094709e85bf7ea16052f2e9e8e7107"),
            (
                "en.noblocklist",
                "938d137af0e451aefb4b27f0f5f46f02eef6b9b431bc8a6ee7cc9f4da67e6827",
            ),
            (
                "en.noclean",
                "d737e2220014ffecdd2c479f3034b3e2006d05a97f7288e092fc20c60dae0a5d",
            ),
        ] {
            let (recipe, base) = Recipe::load(name).unwrap();
            let lists = Lists::load(&recipe, &base).unwrap();
            assert_eq!(recipe.hash(&lists), expected, "{name}");
        }
    }

    #[test]
    fn lists_count_by_content_and_must_be_given() {
        let dir = tempfile::tempdir().unwrap();
        let (mut recipe, _) = Recipe::load("realnewslike").unwrap();
        let error = Lists::load(&recipe, dir.path()).unwrap_err().to_string();
        assert!(error.contains("--domains"), "{error}");
        let mut hash = |file: &str, text: &str| {
            std::fs::write(dir.path().join(file), text).unwrap();
            recipe.domains.as_mut().unwrap().file = Some(file.into());
            recipe.hash(&Lists::load(&recipe, dir.path()).unwrap())
        };
        let first = hash("a.txt", "a.com\nb.com\n");
        assert_eq!(first, hash("b.json", r#"{"b.com": true, "a.com": true}"#));
        assert_ne!(first, hash("a.txt", "a.com\n"));

        let (mut recipe, _) = Recipe::load("webtextlike").unwrap();
        let error = Lists::load(&recipe, dir.path()).unwrap_err().to_string();
        assert!(error.contains("--urls"), "{error}");
        let mut hash = |file: &str, text: &str| {
            std::fs::write(dir.path().join(file), text).unwrap();
            recipe.urls.as_mut().unwrap().files = vec![file.into()];
            recipe.hash(&Lists::load(&recipe, dir.path()).unwrap())
        };
        let first = hash("a.txt", "http://a.com/\n");
        assert_eq!(first, hash("b.txt", "http://a.com/"));
        assert_ne!(first, hash("b.txt", "http://b.com/"));
    }
}
