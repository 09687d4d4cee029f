//! Why something is gone: a closed list.

/// What a reason removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// A record of an archive that becomes no page.
    Record,
    /// A page.
    Page,
    /// A line of a page.
    Line,
}

/// What a rule says of a line or a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It stays.
    Keep,
    /// The line goes.
    DropLine(Reason),
    /// The page goes, with all its lines.
    DropPage(Reason),
}

macro_rules! reasons {
    ($($scope:ident { $($variant:ident $code:literal $counter:literal $doc:literal)* })*) => {
        /// Why a record, page or line is gone.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $($(#[doc = $doc] $variant,)*)*
        }

        impl Reason {
            /// Every reason: records first, then pages, then lines, each in the order of the steps.
            pub const ALL: &[Reason] = &[$($(Reason::$variant,)*)*];

            /// What it removes.
            pub const fn scope(self) -> Scope {
                match self { $($(Reason::$variant => Scope::$scope,)*)* }
            }

            /// Stable name, for files and for people who grep.
            pub const fn code(self) -> &'static str {
                match self { $($(Reason::$variant => $code,)*)* }
            }

            /// Name of the reference's counter, or of one named in its manner where the
            /// reference has no such step.
            pub const fn counter(self) -> &'static str {
                match self { $($(Reason::$variant => $counter,)*)* }
            }

            /// One sentence for people.
            pub const fn doc(self) -> &'static str {
                match self { $($(Reason::$variant => $doc,)*)* }
            }
        }
    };
}

reasons! {
    Record {
        RecordType "record_type" "split-warc-file/filtered:record_type"
            "The record is of a type that holds no page (request, metadata, revisit, ...)."
        HttpStatus "http_status" "split-warc-file/filtered:http_status"
            "The response's HTTP status is not 200."
        HttpMalformed "http_malformed" "split-warc-file/filtered:http_malformed"
            "The response's block is not an HTTP response."
        MediaType "media_type" "split-warc-file/filtered:media_type"
            "The response's body is not HTML, XHTML or plain text."
        NoUrl "no_url" "split-wet-file/filtered:no_url"
            "The record has no target URI (the warcinfo record of a WET, say)."
        NoContent "no_content" "split-wet-file/filtered:no_content"
            "The record has no text."
        NoTimestamp "no_timestamp" "split-wet-file/filtered:no_timestamp"
            "The record has no date."
        BadUtf8 "bad_utf8" "split-wet-file/filtered:bad_utf8"
            "The record of a WET is not valid UTF-8; the reference fails the whole file."
        CorruptMember "corrupt_member" "split-wet-file/filtered:corrupt_member"
            "The compressed member does not inflate, or its checksum is wrong."
        Truncated "truncated" "split-wet-file/filtered:truncated"
            "The archive ends in the middle of the record."
        MalformedRecord "malformed_record" "split-wet-file/filtered:malformed_record"
            "The bytes are not a WARC record."
        RecordTooLarge "record_too_large" "split-wet-file/filtered:record_too_large"
            "The record is larger than the recipe's limit."
    }
    Page {
        TooLong "too_long" "too-long-filter/filtered"
            "The page's text is longer than the limit."
        OlderCopy "older_copy" "duplicate-url-filter/filtered"
            "A newer page, or an earlier one of the same time, has the same normalised URL."
        ShortParagraphs "short_paragraphs" "paragraph-filter/filtered"
            "The page has too few long lines."
        LoremIpsum "lorem_ipsum" "clean-page/filtered:loremipsum"
            "A line that passed the line rules before holds the placeholder phrase."
        CurlyBracket "curly_bracket" "clean-page/filtered:squigglybracket"
            "A line that passed the line rules before holds a curly bracket, a sign of code."
        TooFewSentences "too_few_sentences" "clean-page/filtered:too_few_sentences"
            "The lines that stayed have too few sentences."
        EmptiedByDedup "emptied_by_dedup" "dedupe/filtered:empty"
            "All the page's lines or sentences have copies elsewhere that stay."
        TooFewSentencesAfterDedup "too_few_sentences_after_dedup" "dedupe/filtered:too_few_sentences"
            "What duplicate removal left has too few sentences."
        UndetectableLanguage "undetectable_language" "english-filter/filtered:langdetect_exception"
            "The detector finds nothing in the text to go by."
        NoLanguage "no_language" "english-filter/filtered:no_predictions"
            "The detector finds no language probable."
        LowConfidence "low_confidence" "english-filter/filtered:low_confidence"
            "The page's best language is not probable enough."
        OtherLanguage "other_language" "english-filter/filtered:ignored_language"
            "The page is in a language that the recipe does not keep."
        BadWords "bad_words" "badwords-filter/filtered"
            "The page holds a word of the blocklist."
    }
    Line {
        LongWord "long_word" "clean-page/line-filtered:too_long_word"
            "The line holds a word that is too long."
        NoEndMark "no_end_mark" "clean-page/line-filtered:no_endmark"
            "The line does not end with a terminal punctuation mark."
        TooFewWords "too_few_words" "clean-page/line-filtered:too_short"
            "The line has too few words."
        Javascript "javascript" "clean-page/line-filtered:javascript"
            "The line speaks of JavaScript, as warnings do."
        Policy "policy" "clean-page/line-filtered:policy"
            "The line speaks of terms, privacy or cookies, as notices do."
        GlobalDuplicate "global_duplicate" "dedupe-lines/line-filtered:global_duplicate"
            "Another page keeps the only copy of the line."
        LocalDuplicate "local_duplicate" "dedupe-lines/line-filtered:local_duplicate"
            "The page itself has the line before."
        SpanDuplicate "span_duplicate" "dedupe-spans/line-removed"
            "All the line's sentences are in spans of which another copy stays."
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

/// How many reasons remove a record.
pub const RECORD_REASONS: usize = count(Scope::Record);
/// How many reasons remove a page.
pub const PAGE_REASONS: usize = count(Scope::Page);
/// How many reasons remove a line.
pub const LINE_REASONS: usize = count(Scope::Line);

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

    /// Place among the reasons of its scope, from 0.
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
        for name in [Reason::code, Reason::counter] {
            let mut names: Vec<&str> = Reason::ALL.iter().map(|r| name(*r)).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), Reason::ALL.len());
        }
    }
}
