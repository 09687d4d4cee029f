//! Counting: where everything that was read has gone, each thing in exactly one place.

use crate::language::{Decision, Detection};
use crate::{Amount, LINE_REASONS, PAGE_REASONS, RECORD_REASONS, Reason, Scope, Verdict};
use c4_data::Split;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::ops::AddAssign;

/// What an archive holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveKind {
    /// Extracted text.
    Wet,
    /// Crawled responses.
    Warc,
}

impl ArchiveKind {
    /// Both, in the order of the arrays below.
    pub const ALL: [ArchiveKind; 2] = [ArchiveKind::Wet, ArchiveKind::Warc];
}

/// What became of the lines of one page, up to the step that the page has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LineCounts {
    /// All the page's lines.
    pub total: Amount,
    /// Lines that went, by reason. A line that lost some of its sentences only counts with its
    /// characters and words.
    pub dropped: [Amount; LINE_REASONS],
    /// What was taken off lines that stayed: white space around them, citation markers. Known when
    /// the page has passed the line rules.
    pub trimmed: Amount,
    /// Lines that passed the line rules, whatever became of the page then.
    pub passed: u32,
}

impl LineCounts {
    /// Those of a page whose lines no rule has looked at.
    pub fn untouched(total: Amount) -> LineCounts {
        LineCounts {
            total,
            ..LineCounts::default()
        }
    }

    /// Counts a line that went.
    pub fn drop_line(&mut self, reason: Reason, line: Amount) {
        self.dropped[reason.index()] += line;
    }

    /// What has not gone.
    pub fn left(&self) -> Amount {
        let gone = self.dropped.iter().copied();
        gone.fold(self.total - self.trimmed, |left, n| left - n)
    }
}

/// The count of a build. Merged with `+=`; order does not matter.
///
/// A record, page or line counts under the **first** reason that removed it: a line that a rule
/// dropped stays under that rule even if its page goes later; the lines that a page still had when
/// it went count under the page's reason.
///
/// Conservation ([`check`](Tally::check)): records read = pages + records dropped; pages = pages
/// out + pages dropped; lines = lines out + lines dropped + lines gone with their page.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Archives read, by kind.
    pub archives: [u64; 2],
    /// Records read.
    pub records: u64,
    /// Records that became no page, by kind of archive.
    pub records_dropped: [[u64; RECORD_REASONS]; 2],
    /// Pages read, by kind of archive.
    pub pages_read: [u64; 2],
    /// Pages that went.
    pub pages_dropped: [u64; PAGE_REASONS],
    /// Pages of the corpus, train and validation.
    pub pages_out: [u64; 2],
    /// Lines of all pages, as they were read.
    pub lines: Amount,
    /// Lines that went while their page stayed, at that time.
    pub lines_dropped: [Amount; LINE_REASONS],
    /// Lines that went with their page.
    pub lines_gone_with_page: [Amount; PAGE_REASONS],
    /// Taken off lines that stayed: white space around them, citation markers.
    pub trimmed: Amount,
    /// Lines of the corpus.
    pub lines_out: Amount,
    /// Lines that passed the line rules (the reference's `clean-page/line-passed`).
    pub lines_passed_rules: u64,
    /// Lines that passed line dedup (the reference's `dedupe-lines/line-passed`).
    pub lines_passed_dedup: u64,
    /// Spans of which another copy stayed.
    pub spans_duplicate: u64,
    /// Sentences that such spans took along.
    pub sentences_removed: u64,
    /// Pages that a soft blocklist let pass though they hold a listed word.
    pub bad_words_soft_passed: u64,
    /// Pages that the bad-words step dropped, passed, and let pass though they hold a listed word, by
    /// language.
    pub bad_words_by_language: BTreeMap<String, [u64; 3]>,
    /// Pages dropped as being in another language, by language.
    pub other_languages: BTreeMap<String, u64>,
    /// Pages that the language step passed, by language.
    pub languages_passed: BTreeMap<String, u64>,
    /// Those of them whose language is undetermined, by cause.
    pub undetermined_languages: BTreeMap<Reason, u64>,
    /// URLs in the recipe's list, each normalised one once; known to a build, not to a part of it.
    pub listed_urls: u64,
    /// UTF-8 bytes of the texts as read.
    pub text_bytes_in: u64,
    /// UTF-8 bytes of the texts of the corpus.
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

    /// Counts a page that went, with the lines it had.
    pub fn drop_page(&mut self, reason: Reason, lines: &LineCounts) {
        self.pages_dropped[reason.index()] += 1;
        self.lines_gone_with_page[reason.index()] += lines.left();
        self.count_lines(lines);
    }

    /// Counts what the language step made of a page; a page that goes is counted as such besides.
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

    /// Counts a page that stays to the end.
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

    /// Pages read.
    pub fn pages(&self) -> u64 {
        self.pages_read.iter().sum()
    }

    /// Pages that went for `reason`.
    pub fn dropped_pages(&self, reason: Reason) -> u64 {
        self.pages_dropped[reason.index()]
    }

    /// The conservation law; the error says what does not add up.
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
        for (unit, of) in UNITS {
            let sum = |list: &[Amount]| list.iter().map(of).sum::<u64>();
            let (dropped, gone) = (sum(&self.lines_dropped), sum(&self.lines_gone_with_page));
            let parts = [of(&self.lines_out), dropped, gone, of(&self.trimmed)];
            law(unit, of(&self.lines), &parts)?;
        }
        Ok(())
    }

    /// The `tally` object of `stats.json`: every reason is listed, also with 0.
    pub fn to_json(&self) -> Value {
        let by_code = |scope: Scope, counts: &[u64]| -> Map<String, Value> {
            let reasons = Reason::of(scope).iter();
            reasons
                .zip(counts)
                .map(|(r, n)| (r.code().to_owned(), json!(n)))
                .collect()
        };
        let mut records_dropped = self.records_dropped[0];
        add(&mut records_dropped, &self.records_dropped[1]);
        let mut tally = json!({
            "records": {
                "in": self.records,
                "out": self.pages(),
                "dropped": by_code(Scope::Record, &records_dropped),
            },
            "pages": {
                "in": self.pages(),
                "out": self.pages_out.iter().sum::<u64>(),
                "dropped": by_code(Scope::Page, &self.pages_dropped),
            },
            "text_bytes": { "in": self.text_bytes_in, "out": self.text_bytes_out },
        });
        for (unit, of) in UNITS {
            let list = |amounts: &[Amount]| amounts.iter().map(of).collect::<Vec<u64>>();
            tally[unit] = json!({
                "in": of(&self.lines),
                "out": of(&self.lines_out),
                "dropped": by_code(Scope::Line, &list(&self.lines_dropped)),
                "gone_with_page": by_code(Scope::Page, &list(&self.lines_gone_with_page)),
                "trimmed": of(&self.trimmed),
            });
        }
        tally
    }
}

type Unit = (&'static str, fn(&Amount) -> u64);

/// What lines are counted in.
pub(crate) const UNITS: [Unit; 3] = [
    ("lines", |amount| amount.lines),
    ("chars", |amount| amount.chars),
    ("words", |amount| amount.words),
];

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
