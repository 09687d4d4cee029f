//! Why a record, page or line is dropped: a closed list of reasons, by step.

use c4_data::{DedupStep, Recipe};
use serde::{Deserialize, Serialize};

/// The thing that a reason drops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// A record of an archive, which becomes no page.
    Record,
    /// A page.
    Page,
    /// A line of a page.
    Line,
}

/// The steps of a build, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Records become pages.
    Read,
    /// The length limit.
    Length,
    /// The list of domains.
    Domains,
    /// The newest page of each URL.
    Newest,
    /// The list of URLs.
    Urls,
    /// mC4's paragraph filter.
    Paragraphs,
    /// C4's line and page rules.
    Rules,
    /// Duplicate lines or spans.
    Dedup,
    /// The language.
    Language,
    /// The blocklist.
    BadWords,
}

/// The number of stages.
pub const STAGES: usize = Stage::ALL.len();

impl Stage {
    /// All stages, in the order of a build.
    pub const ALL: [Stage; 10] = [
        Stage::Read,
        Stage::Length,
        Stage::Domains,
        Stage::Newest,
        Stage::Urls,
        Stage::Paragraphs,
        Stage::Rules,
        Stage::Dedup,
        Stage::Language,
        Stage::BadWords,
    ];

    /// The stage's stable name, for files.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Read => "read",
            Stage::Length => "length",
            Stage::Domains => "domains",
            Stage::Newest => "newest",
            Stage::Urls => "urls",
            Stage::Paragraphs => "paragraphs",
            Stage::Rules => "rules",
            Stage::Dedup => "dedup",
            Stage::Language => "language",
            Stage::BadWords => "bad_words",
        }
    }

    /// The stages that `recipe` has, in order.
    pub fn of(recipe: &Recipe) -> impl Iterator<Item = Stage> {
        let taken = |stage: &Stage| stage.taken(recipe).is_some();
        Stage::ALL.into_iter().filter(taken)
    }

    /// A few words on what the stage keeps or filters in `recipe`; `None` if the recipe does not have it.
    pub fn taken(self, recipe: &Recipe) -> Option<&'static str> {
        let step = |taken: bool, doc| taken.then_some(doc);
        match self {
            Stage::Read => Some("pages in the archives"),
            Stage::Length => step(recipe.length.is_some(), "pages that are not too long"),
            Stage::Domains => step(recipe.domains.is_some(), "pages of listed domains"),
            Stage::Newest => Some("the newest page of each URL"),
            Stage::Urls => step(recipe.urls.is_some(), "pages of listed URLs"),
            Stage::Paragraphs => step(recipe.paragraphs.is_some(), "pages with long lines"),
            Stage::Rules => step(recipe.clean.is_some(), "line and page rules"),
            Stage::Dedup => recipe.dedup.as_ref().map(|dedup| match dedup {
                DedupStep::Lines { .. } => "duplicate lines",
                DedupStep::Spans { .. } => "duplicate spans of sentences",
            }),
            Stage::Language => step(recipe.language.is_some(), "language"),
            Stage::BadWords => step(recipe.bad_words.is_some(), "blocklist"),
        }
    }
}

/// The verdict of a rule on a line or a page.
///
/// ```
/// use c4_data::Recipe;
/// use c4_filters::{Cleaner, Reason, Verdict};
///
/// let (recipe, _) = Recipe::load("en")?;
/// let cleaner = Cleaner::new(&recipe);
/// assert_eq!(cleaner.line("This line is a whole sentence.").verdict, Verdict::Keep);
/// assert_eq!(cleaner.line("This line is a title").verdict, Verdict::DropLine(Reason::NoEndMark));
/// assert_eq!(cleaner.line("This line ends with code: {}.").verdict, Verdict::DropPage(Reason::CurlyBracket));
/// # Ok::<(), c4_data::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The line or page is kept.
    Keep,
    /// The line is dropped.
    DropLine(Reason),
    /// The page is dropped, with all its lines.
    DropPage(Reason),
}

macro_rules! reasons {
    ($($scope:ident {
        $($stage:ident { $($variant:ident $code:literal $rule:literal $counter:literal $doc:literal)* })*
    })*) => {
        /// The reason for which a record, page or line is dropped.
        ///
        /// ```
        /// use c4_filters::{Reason, Scope, Stage};
        ///
        /// let reason = Reason::from_code("too_few_words").expect("a known code");
        /// assert_eq!((reason.scope(), reason.stage()), (Scope::Line, Stage::Rules));
        /// assert_eq!(reason.counter(), "clean-page/line-filtered:too_short");
        /// assert_eq!(reason.doc(), "The line has too few words.");
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Reason {
            $($($(#[doc = $doc] $variant,)*)*)*
        }

        impl Reason {
            /// Every reason: records first, then pages, then lines, each in the order of the steps.
            pub const ALL: &[Reason] = &[$($($(Reason::$variant,)*)*)*];

            /// The thing that the reason drops.
            pub const fn scope(self) -> Scope {
                match self { $($($(Reason::$variant => Scope::$scope,)*)*)* }
            }

            /// The step that the reason belongs to.
            pub const fn stage(self) -> Stage {
                match self { $($($(Reason::$variant => Stage::$stage,)*)*)* }
            }

            /// The recipe's key that decides, or a few words where no key does.
            pub const fn rule(self) -> &'static str {
                match self { $($($(Reason::$variant => $rule,)*)*)* }
            }

            /// The reason's stable name, for files and for people who grep.
            pub const fn code(self) -> &'static str {
                match self { $($($(Reason::$variant => $code,)*)*)* }
            }

            /// The name of the reference's counter, or of one named in its manner where the reference has no such step.
            pub const fn counter(self) -> &'static str {
                match self { $($($(Reason::$variant => $counter,)*)*)* }
            }

            /// A sentence for people that says what is wrong with the thing dropped.
            pub const fn doc(self) -> &'static str {
                match self { $($($(Reason::$variant => $doc,)*)*)* }
            }
        }
    };
}

reasons! {
    Record {
        Read {
            RecordType "record_type" "the record's type" "split-warc-file/filtered:record_type"
                "The record is of a type that holds no page (request, metadata, revisit, ...)."
            HttpStatus "http_status" "the HTTP status" "split-warc-file/filtered:http_status"
                "The response's HTTP status is not 200."
            HttpMalformed "http_malformed" "the HTTP framing" "split-warc-file/filtered:http_malformed"
                "The response's block is not an HTTP response."
            MediaType "media_type" "read.media_types" "split-warc-file/filtered:media_type"
                "The response is of a media type that the recipe does not read."
            OtherFormat "other_format" "the body's bytes" "split-warc-file/filtered:other_format"
                "The response's body is of another format than its type says: binary data, a feed, code."
            ContentCoding "content_coding" "Content-Encoding" "split-warc-file/filtered:content_coding"
                "The response's body is in a content coding that is not known, or that cannot be undone."
            HttpHeadTooLarge "http_head_too_large" "the HTTP framing" "split-warc-file/filtered:http_head_too_large"
                "The response's HTTP head is larger than 1 MiB."
            NoUrl "no_url" "WARC-Target-URI" "split-wet-file/filtered:no_url"
                "The record has no target URI (the warcinfo record of a WET, say)."
            UrlTooLong "url_too_long" "the length of WARC-Target-URI" "split-wet-file/filtered:url_too_long"
                "The record's target URI is longer than 64 KiB."
            NoContent "no_content" "the record's text" "split-wet-file/filtered:no_content"
                "The record has no text."
            NoTimestamp "no_timestamp" "WARC-Date" "split-wet-file/filtered:no_timestamp"
                "The record has no date."
            BadUtf8 "bad_utf8" "the record's encoding" "split-wet-file/filtered:bad_utf8"
                "The record of a WET is not valid UTF-8; the reference fails the whole file."
            CorruptMember "corrupt_member" "the compression" "split-wet-file/filtered:corrupt_member"
                "The compressed member does not inflate, or its checksum is wrong."
            Truncated "truncated" "the archive's end" "split-wet-file/filtered:truncated"
                "The archive ends in the middle of the record."
            WrongDigest "wrong_digest" "read.verify_digests" "split-warc-file/filtered:wrong_digest"
                "The record is not what its WARC-Block-Digest or WARC-Payload-Digest says."
            MalformedRecord "malformed_record" "the WARC framing" "split-wet-file/filtered:malformed_record"
                "The bytes are not a WARC record."
            RecordTooLarge "record_too_large" "read.max_record_bytes" "split-wet-file/filtered:record_too_large"
                "The record is larger than the recipe's limit, or unpacks to more than 16 MiB."
        }
    }
    Page {
        Length {
            TooLong "too_long" "length.max_page_chars" "too-long-filter/filtered"
                "The page's text is longer than the limit."
        }
        Domains {
            BadDomain "bad_domain" "domains.file" "realnews-domain-filter/filtered:bad_domain"
                "The page's domain is not in the list of domains."
            BadSubdomain "bad_subdomain" "domains.file" "realnews-domain-filter/filtered:bad_subdomain"
                "The page's domain is in the list of domains, but not with the page's subdomain."
        }
        Newest {
            OlderCopy "older_copy" "one page per URL" "duplicate-url-filter/filtered"
                "A newer page, or an earlier one of the same time, has the same normalised URL."
        }
        Urls {
            NotListed "not_listed" "urls.files" "webtextlike-filter/filtered"
                "The page's URL is not in the list of URLs."
        }
        Paragraphs {
            ShortParagraphs "short_paragraphs" "paragraphs.min_lines" "paragraph-filter/filtered"
                "The page has too few long lines."
        }
        Rules {
            LoremIpsum "lorem_ipsum" "clean.page_phrases" "clean-page/filtered:loremipsum"
                "A line that passed the line rules before holds the placeholder phrase."
            CurlyBracket "curly_bracket" "clean.code_marks" "clean-page/filtered:squigglybracket"
                "A line that passed the line rules before holds a curly bracket, a sign of code."
            TooFewSentences "too_few_sentences" "clean.min_sentences" "clean-page/filtered:too_few_sentences"
                "The lines that stayed have too few sentences."
        }
        Dedup {
            EmptiedByDedup "emptied_by_dedup" "dedup.unit" "dedupe/filtered:empty"
                "All the page's lines or sentences have copies elsewhere that stay."
            TooFewSentencesAfterDedup "too_few_sentences_after_dedup" "dedup.min_sentences" "dedupe/filtered:too_few_sentences"
                "What duplicate removal left has too few sentences."
        }
        Language {
            UndetectableLanguage "undetectable_language" "language.detector" "english-filter/filtered:langdetect_exception"
                "The detector finds nothing in the text to go by."
            NoLanguage "no_language" "language.detector" "english-filter/filtered:no_predictions"
                "The detector finds no language probable."
            LowConfidence "low_confidence" "language.min_probability" "english-filter/filtered:low_confidence"
                "The page's best language is not probable enough."
            OtherLanguage "other_language" "language.keep" "english-filter/filtered:ignored_language"
                "The page is in a language that the recipe does not keep."
        }
        BadWords {
            BadWords "bad_words" "bad_words.lists" "badwords-filter/filtered"
                "The page holds a word of the blocklist."
        }
    }
    Line {
        Rules {
            LongWord "long_word" "clean.max_word_chars" "clean-page/line-filtered:too_long_word"
                "The line holds a word that is too long."
            NoEndMark "no_end_mark" "clean.end_marks" "clean-page/line-filtered:no_endmark"
                "The line does not end with a terminal punctuation mark."
            TooFewWords "too_few_words" "clean.min_words" "clean-page/line-filtered:too_short"
                "The line has too few words."
            Javascript "javascript" "clean.script_phrases" "clean-page/line-filtered:javascript"
                "The line speaks of JavaScript, as warnings do."
            Policy "policy" "clean.policy_phrases" "clean-page/line-filtered:policy"
                "The line speaks of terms, privacy or cookies, as notices do."
        }
        Dedup {
            GlobalDuplicate "global_duplicate" "dedup.unit" "dedupe-lines/line-filtered:global_duplicate"
                "Another page keeps the only copy of the line."
            LocalDuplicate "local_duplicate" "dedup.unit" "dedupe-lines/line-filtered:local_duplicate"
                "The page itself has the line before."
            SpanDuplicate "span_duplicate" "dedup.unit" "dedupe-spans/line-removed"
                "All the line's sentences are in spans of which another copy stays."
        }
    }
}

const fn count(scope: Scope) -> usize {
    let mut n = 0;
    let mut i = 0;
    while i < Reason::ALL.len() {
        if Reason::ALL[i].scope() as u8 == scope as u8 {
            n += 1;
        }
        i += 1;
    }
    n
}

/// The number of reasons that drop a record.
pub(crate) const RECORD_REASONS: usize = count(Scope::Record);
/// The number of reasons that drop a page.
pub(crate) const PAGE_REASONS: usize = count(Scope::Page);
/// The number of reasons that drop a line.
pub(crate) const LINE_REASONS: usize = count(Scope::Line);

impl Reason {
    /// The reasons of one scope, in order.
    pub fn of(scope: Scope) -> &'static [Reason] {
        let (records, pages) = (RECORD_REASONS, RECORD_REASONS + PAGE_REASONS);
        match scope {
            Scope::Record => &Self::ALL[..records],
            Scope::Page => &Self::ALL[records..pages],
            Scope::Line => &Self::ALL[pages..],
        }
    }

    /// The reason that has `code`.
    pub fn from_code(code: &str) -> Option<Reason> {
        Self::ALL.iter().find(|reason| reason.code() == code).copied()
    }

    /// Whether a page that is dropped for this reason has competed for its URL: a page that is dropped before one page
    /// per URL is chosen has not.
    pub fn competes(self) -> bool {
        self.stage() >= Stage::Newest
    }

    /// The reason's index among the reasons of its scope, from 0.
    pub const fn index(self) -> usize {
        match self.scope() {
            Scope::Record => self as usize,
            Scope::Page => self as usize - RECORD_REASONS,
            Scope::Line => self as usize - RECORD_REASONS - PAGE_REASONS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_found_by_scope_and_index_and_has_its_own_names() {
        for &reason in Reason::ALL {
            assert_eq!(Reason::of(reason.scope())[reason.index()], reason);
            assert!(reason.doc().ends_with('.'));
        }
        for &reason in Reason::ALL {
            let json = serde_json::to_value(reason).unwrap();
            assert_eq!(json, reason.code(), "written as its code");
        }
        for scope in [Scope::Page, Scope::Line] {
            let stages: Vec<Stage> = Reason::of(scope).iter().map(|r| r.stage()).collect();
            assert!(stages.is_sorted(), "{stages:?}");
        }
        let pages = Reason::of(Scope::Page).iter();
        let before: Vec<Reason> = pages.copied().filter(|r| !r.competes()).collect();
        let expected = [Reason::TooLong, Reason::BadDomain, Reason::BadSubdomain];
        assert_eq!(before, expected);
        for name in [Reason::code, Reason::counter] {
            let mut names: Vec<&str> = Reason::ALL.iter().map(|r| name(*r)).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), Reason::ALL.len());
        }
    }
}
