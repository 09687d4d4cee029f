//! The tally of a build: every record, page and line that was read is counted in exactly one place.

use crate::rules::language_rule::{Decision, Detection};
use crate::rules::reason::{LINE_REASONS, PAGE_REASONS, RECORD_REASONS, Reason, Scope, Verdict};
use crate::text::text_size::TextSize;
use c4_data::{Account, InOut, Named, Split, TallyStats};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::AddAssign;

/// The kind of an archive, by what its records hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveKind {
    /// A WET archive: extracted text.
    Wet,
    /// A WARC or ARC archive: crawled responses.
    Warc,
}

impl ArchiveKind {
    /// Both kinds, in the order of the arrays of [`Tally`].
    pub const ALL: [ArchiveKind; 2] = [ArchiveKind::Wet, ArchiveKind::Warc];
}

/// The counts of one page's lines, up to the step that the page has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LineCounts {
    /// The size of the page as it was read.
    pub total: TextSize,
    /// The size of dropped lines, by [`Reason::index`]. A line that lost only some of its sentences counts with their
    /// characters and words, but not as a line.
    pub dropped: [TextSize; LINE_REASONS],
    /// The size of what was trimmed off kept lines: white space around them, citation markers. Known when the page has
    /// passed the line rules.
    pub trimmed: TextSize,
    /// The number of lines that passed the line rules, whether or not the page was dropped afterwards.
    pub passed: u32,
}

impl LineCounts {
    /// The counts of a page of this size whose lines no rule has judged.
    pub fn untouched(total: TextSize) -> LineCounts {
        LineCounts {
            total,
            ..LineCounts::default()
        }
    }

    /// Counts a dropped line of this size.
    pub fn drop_line(&mut self, reason: Reason, line: TextSize) {
        self.dropped[reason.index()] += line;
    }

    /// The size of what is neither dropped nor trimmed.
    pub fn left(&self) -> TextSize {
        let gone = self.dropped.iter().copied();
        gone.fold(self.total - self.trimmed, |left, n| left - n)
    }
}

/// The tally of a build: fixed-size counters, merged with `+=` in any order.
///
/// ```
/// use c4_data::Split;
/// use c4_filters::{ArchiveKind, LineCounts, Reason, Tally, TextSize};
///
/// let mut tally = Tally::default();
/// tally.read_pages(ArchiveKind::Wet, 2);
/// let page = LineCounts::untouched(TextSize::of_text("One line of five words.\nAnd another."));
/// tally.lines += page.total;
/// tally.lines += page.total;
/// tally.keep_page(Split::Train, &page);
/// tally.drop_page(Reason::OtherLanguage, &page);
/// tally.check().expect("every page and line is counted once");
/// assert_eq!(tally.dropped_pages(Reason::OtherLanguage), 1);
/// assert_eq!(tally.lines_out.words, 7);
/// ```
///
/// A record, page or line counts under the **first** reason that dropped it: a line that a rule dropped counts under
/// that rule even if its page is dropped later; the lines that a page still had when it was dropped count under the
/// page's reason.
///
/// Conservation ([`check`](Tally::check)): records read = pages + records dropped; pages = pages out + pages dropped;
/// lines = lines out + lines dropped + lines gone with their page.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// The number of archives read, by [`ArchiveKind`].
    pub archives: [u64; 2],
    /// The number of records read.
    pub records: u64,
    /// The number of records that became no page, by [`ArchiveKind`] and [`Reason::index`].
    pub records_dropped: [[u64; RECORD_REASONS]; 2],
    /// The number of pages read, by [`ArchiveKind`].
    pub pages_read: [u64; 2],
    /// The number of dropped pages, by [`Reason::index`].
    pub pages_dropped: [u64; PAGE_REASONS],
    /// The number of pages in the corpus, by [`Split`].
    pub pages_out: [u64; 2],
    /// The size of all pages as they were read.
    pub lines: TextSize,
    /// The size of lines that were dropped from a page that was kept so far, by [`Reason::index`].
    pub lines_dropped: [TextSize; LINE_REASONS],
    /// The size of lines that were dropped with their page, by the [`Reason::index`] of the page's reason.
    pub lines_gone_with_page: [TextSize; PAGE_REASONS],
    /// The size of what was trimmed off kept lines: white space around them, citation markers.
    pub trimmed: TextSize,
    /// The size of the corpus.
    pub lines_out: TextSize,
    /// The number of lines that passed the line rules (the reference's `clean-page/line-passed`).
    pub lines_passed_rules: u64,
    /// The number of lines that passed line dedup (the reference's `dedupe-lines/line-passed`).
    pub lines_passed_dedup: u64,
    /// The number of spans of which another copy was kept.
    pub spans_duplicate: u64,
    /// The number of sentences dropped with such spans.
    pub sentences_removed: u64,
    /// The number of pages with a listed word that a soft blocklist let pass.
    pub bad_words_soft_passed: u64,
    /// The numbers of pages that the bad-words step dropped, passed without a listed word, and let pass with one, by
    /// language.
    pub bad_words_by_language: BTreeMap<String, [u64; 3]>,
    /// The number of pages dropped for their language, by language.
    pub other_languages: BTreeMap<String, u64>,
    /// The number of pages that the language step passed, by language.
    pub languages_passed: BTreeMap<String, u64>,
    /// The number of pages that the language step passed as undetermined, by cause.
    pub undetermined_languages: BTreeMap<Reason, u64>,
    /// The number of different normalised URLs in the recipe's list; set for a whole build, 0 for a part of it.
    pub listed_urls: u64,
    /// UTF-8 bytes of all pages' texts as they were read.
    pub text_bytes_in: u64,
    /// UTF-8 bytes of all texts of the corpus.
    pub text_bytes_out: u64,
}

impl Tally {
    /// Counts a record that becomes no page.
    pub fn drop_record(&mut self, kind: ArchiveKind, reason: Reason) {
        self.records += 1;
        self.records_dropped[kind as usize][reason.index()] += 1;
    }

    /// Counts records that became pages.
    pub fn read_pages(&mut self, kind: ArchiveKind, pages: u64) {
        self.records += pages;
        self.pages_read[kind as usize] += pages;
    }

    /// Counts a dropped page, with the lines that it still had.
    pub fn drop_page(&mut self, reason: Reason, lines: &LineCounts) {
        self.pages_dropped[reason.index()] += 1;
        self.lines_gone_with_page[reason.index()] += lines.left();
        self.count_lines(lines);
    }

    /// Counts a decision of the language step by language; a dropped page is counted by [`drop_page`](Self::drop_page),
    /// too.
    pub fn decide_language(&mut self, decision: &Decision) {
        let Detection::Best { language, .. } = &decision.detection else {
            return;
        };
        let pages = match decision.verdict {
            Verdict::Keep => &mut self.languages_passed,
            Verdict::DropPage(Reason::OtherLanguage) => &mut self.other_languages,
            _ => return,
        };
        *pages.entry(language.clone()).or_default() += 1;
        if let Some(cause) = decision.undetermined {
            *self.undetermined_languages.entry(cause).or_default() += 1;
        }
    }

    /// Counts a page of the corpus.
    pub fn keep_page(&mut self, split: Split, lines: &LineCounts) {
        self.pages_out[split as usize] += 1;
        self.lines_out += lines.left();
        self.count_lines(lines);
    }

    fn count_lines(&mut self, lines: &LineCounts) {
        for (sum, n) in self.lines_dropped.iter_mut().zip(&lines.dropped) {
            *sum += *n;
        }
        self.trimmed += lines.trimmed;
        self.lines_passed_rules += u64::from(lines.passed);
    }

    /// The number of pages read from archives of both kinds.
    pub fn pages(&self) -> u64 {
        self.pages_read.iter().sum()
    }

    /// The number of pages dropped for `reason`.
    pub fn dropped_pages(&self, reason: Reason) -> u64 {
        self.pages_dropped[reason.index()]
    }

    /// Checks the conservation law.
    ///
    /// # Errors
    /// A sentence about what does not add up.
    pub fn check(&self) -> Result<(), String> {
        let law = |what: &str, read: u64, parts: &[u64]| match parts.iter().sum::<u64>() {
            sum if sum == read => Ok(()),
            sum => Err(format!("{what}: {read} read, but {sum} counted in {parts:?}")),
        };
        let sum = |list: &[u64]| list.iter().sum::<u64>();
        let (pages, dropped) = (self.pages(), sum(&self.pages_dropped));
        let [wet, warc] = &self.records_dropped;
        law("records", self.records, &[pages, sum(wet), sum(warc)])?;
        law("pages", pages, &[sum(&self.pages_out), dropped])?;
        for (unit, of) in ["lines", "chars", "words"].into_iter().zip(UNITS) {
            let sum = |list: &[TextSize]| list.iter().map(of).sum::<u64>();
            let (dropped, gone) = (sum(&self.lines_dropped), sum(&self.lines_gone_with_page));
            let parts = [of(&self.lines_out), dropped, gone, of(&self.trimmed)];
            law(unit, of(&self.lines), &parts)?;
        }
        Ok(())
    }

    /// The tally as `stats.json` has it: every reason is listed, also with 0.
    pub fn to_stats(&self) -> TallyStats {
        let by_code = |scope: Scope, counts: &[u64]| -> Named<u64> {
            let reasons = Reason::of(scope).iter();
            reasons.zip(counts).map(|(r, n)| (r.code().to_owned(), *n)).collect()
        };
        let text = |of: fn(&TextSize) -> u64| {
            let list = |sizes: &[TextSize]| sizes.iter().map(of).collect::<Vec<u64>>();
            Account {
                read: of(&self.lines),
                kept: of(&self.lines_out),
                dropped: by_code(Scope::Line, &list(&self.lines_dropped)),
                gone_with_page: Some(by_code(Scope::Page, &list(&self.lines_gone_with_page))),
                trimmed: Some(of(&self.trimmed)),
            }
        };
        let mut records_dropped = self.records_dropped[0];
        add(&mut records_dropped, &self.records_dropped[1]);
        let [lines, chars, words] = UNITS.map(text);
        TallyStats {
            records: Account {
                read: self.records,
                kept: self.pages(),
                dropped: by_code(Scope::Record, &records_dropped),
                ..Account::default()
            },
            pages: Account {
                read: self.pages(),
                kept: self.pages_out.iter().sum(),
                dropped: by_code(Scope::Page, &self.pages_dropped),
                ..Account::default()
            },
            text_bytes: InOut {
                read: self.text_bytes_in,
                kept: self.text_bytes_out,
            },
            lines,
            chars,
            words,
        }
    }
}

/// The units that text is counted in: lines, code points, words.
pub(crate) const UNITS: [fn(&TextSize) -> u64; 3] = [|size| size.lines, |size| size.chars, |size| size.words];

fn add<N: AddAssign + Copy>(sum: &mut [N], other: &[N]) {
    sum.iter_mut().zip(other).for_each(|(a, b)| *a += *b);
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        add(&mut self.archives, &other.archives);
        self.records += other.records;
        for kind in ArchiveKind::ALL {
            let kind = kind as usize;
            add(&mut self.records_dropped[kind], &other.records_dropped[kind]);
        }
        add(&mut self.pages_read, &other.pages_read);
        add(&mut self.pages_dropped, &other.pages_dropped);
        add(&mut self.pages_out, &other.pages_out);
        self.lines += other.lines;
        add(&mut self.lines_dropped, &other.lines_dropped);
        add(&mut self.lines_gone_with_page, &other.lines_gone_with_page);
        self.trimmed += other.trimmed;
        self.lines_out += other.lines_out;
        self.lines_passed_rules += other.lines_passed_rules;
        self.lines_passed_dedup += other.lines_passed_dedup;
        self.spans_duplicate += other.spans_duplicate;
        self.sentences_removed += other.sentences_removed;
        self.bad_words_soft_passed += other.bad_words_soft_passed;
        for (language, counts) in other.bad_words_by_language {
            add(self.bad_words_by_language.entry(language).or_default(), &counts);
        }
        for (language, n) in other.other_languages {
            *self.other_languages.entry(language).or_default() += n;
        }
        for (language, n) in other.languages_passed {
            *self.languages_passed.entry(language).or_default() += n;
        }
        for (cause, n) in other.undetermined_languages {
            *self.undetermined_languages.entry(cause).or_default() += n;
        }
        self.listed_urls += other.listed_urls;
        self.text_bytes_in += other.text_bytes_in;
        self.text_bytes_out += other.text_bytes_out;
    }
}
