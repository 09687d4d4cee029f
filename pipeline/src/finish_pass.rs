//! Pass 4: what is left of each page without its duplicates; language, bad words, split; rows. Here
//! every page is counted, and what went is noted in the ledger.
//!
//! Above 500 lines: deciding and noting stand together, so that nothing goes without its note.

use crate::clean_pass::{CleanedArchive, PageEntry, spool_path};
use crate::error::Error;
use crate::input::Input;
use crate::keys::{Duplicates, Loser, Winner};
use crate::ledger::{self, Batch, Candidates, Ledger, Place};
use crate::parallel::{self, Job, lock};
use crate::progress::Progress;
use crate::rows::Buckets;
use crate::sample::{self, Sampler};
use crate::spool::{Frame, Matched, SpoolReader, SpooledLine, SpooledPage, SpooledRow, unframe};
use crate::url_pass::UrlLosers;
use c4_data::ledger::{DroppedLine, DroppedPage, Duplicate, KEPT};
use c4_data::{DedupStep, Recipe};
use c4_filters::dedup::{self, LeftLine, Lost};
use c4_filters::language::{self, Detection};
use c4_filters::rules::bad_words::{BadWords, BadWordsVerdict, base_language};
use c4_filters::{Amount, LineCounts, Lowered, Reason, Side, Statistics, Verdict, punkt, url};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;

/// Pages whose sentences are counted.
const SENTENCE_SAMPLE: usize = 1000;
/// Characters of a duplicate that `stats.json` shows.
const SHOWN_CHARS: usize = 300;

/// What the pass needs from those before it.
pub struct FinishInput<'a> {
    /// The recipe.
    pub recipe: &'a Recipe,
    /// Its compiled word lists.
    pub bad_words: Option<&'a BadWords>,
    /// The archives.
    pub inputs: &'a [Input],
    /// Pass 1.
    pub archives: &'a [CleanedArchive],
    /// Pass 1, for the ledger.
    pub candidates: &'a Candidates,
    /// Pass 2.
    pub url_losers: &'a UrlLosers,
    /// Pass 3.
    pub duplicates: &'a Duplicates,
    /// The work folder.
    pub work: &'a Path,
    /// Where rows go, by split.
    pub buckets: &'a [Buckets<SpooledRow>; 2],
    /// Where what is dropped goes.
    pub ledger: &'a Ledger,
    /// Counts pages.
    pub progress: &'a Progress,
}

/// What the pass gives.
#[derive(Default)]
pub struct Finished {
    /// What became of all pages.
    pub statistics: Statistics,
    /// UTF-8 bytes of text of each split.
    pub split_bytes: [u64; 2],
    /// Sentences of a sample of the pages kept.
    pub sentences: Vec<u64>,
    /// The most frequent duplicates, for `stats.json`.
    pub repeated: Vec<Value>,
}

struct FinishPass<'a> {
    input: FinishInput<'a>,
    sentences: Sampler,
    /// Which of the most frequent duplicates a page holds.
    repeated: HashMap<(u32, u32), Vec<usize>>,
    result: Mutex<Sums>,
}

#[derive(Default)]
struct Sums {
    statistics: Statistics,
    split_bytes: [u64; 2],
    sentences: Vec<(u64, u64)>,
    repeated: Vec<(usize, Value)>,
}

/// Runs the pass.
///
/// # Errors
/// The work folder cannot be read or written.
pub fn run(input: FinishInput<'_>) -> Result<Finished, Error> {
    let archives = input.archives.len();
    let mut repeated: HashMap<(u32, u32), Vec<usize>> = HashMap::new();
    for (rank, most) in input.duplicates.repeated.iter().enumerate() {
        let Winner { archive, page, .. } = most.winner;
        repeated.entry((archive, page)).or_default().push(rank);
    }
    let pass = FinishPass {
        input,
        sentences: Sampler::new(1, SENTENCE_SAMPLE),
        repeated,
        result: Mutex::default(),
    };
    parallel::drain(&pass, archives)?;
    let mut sums = std::mem::take(&mut *lock(&pass.result));
    sums.sentences.sort_unstable();
    sums.repeated.sort_by_key(|(rank, _)| *rank);
    let drawn = sums
        .sentences
        .iter()
        .filter(|(p, _)| pass.sentences.holds(0, *p));
    Ok(Finished {
        sentences: drawn.map(|(_, n)| *n).collect(),
        statistics: sums.statistics,
        split_bytes: sums.split_bytes,
        repeated: sums.repeated.into_iter().map(|(_, value)| value).collect(),
    })
}

impl Job for FinishPass<'_> {
    type Source = SpoolReader<SpooledPage>;
    type Batch = Frame;
    type Error = Error;

    fn open(&self, index: usize) -> Result<Option<Self::Source>, Error> {
        Ok(SpoolReader::open(&spool_path(self.input.work, index))?)
    }

    fn next(&self, _: usize, source: &mut Self::Source) -> Result<Option<Frame>, Error> {
        Ok(source.next_frame()?)
    }

    fn work(&self, index: usize, sequence: u64, frame: Frame) -> Result<(), Error> {
        let path = spool_path(self.input.work, index);
        let pages = unframe::<SpooledPage>(&path, &frame)?;
        drop(frame);
        let mut found = Found::default();
        let first = self.input.archives[index].frames[sequence as usize];
        for (place, page) in (first..).zip(pages) {
            let entry = &self.input.archives[index].pages[place as usize];
            self.finish(PageAt::new(self, index, place, entry), page, &mut found);
        }
        for (buckets, rows) in self.input.buckets.iter().zip(found.rows) {
            buckets.add(rows)?;
        }
        self.input.ledger.add(found.ledger)?;
        let mut result = lock(&self.result);
        result.statistics += found.statistics;
        for (sum, n) in result.split_bytes.iter_mut().zip(found.split_bytes) {
            *sum += n;
        }
        result.sentences.append(&mut found.sentences);
        result.repeated.append(&mut found.repeated);
        Ok(())
    }

    fn finish(&self, index: usize) -> Result<(), Error> {
        let path = spool_path(self.input.work, index);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(c4_data::Error::io(&path, "remove")(e).into())
            }
            _ => Ok(()),
        }
    }
}

/// What a batch gave.
#[derive(Default)]
struct Found {
    statistics: Statistics,
    rows: [Vec<SpooledRow>; 2],
    split_bytes: [u64; 2],
    ledger: Batch,
    sentences: Vec<(u64, u64)>,
    repeated: Vec<(usize, Value)>,
}

/// A page and where it is.
struct PageAt<'a> {
    archive: u32,
    page: u32,
    entry: &'a PageEntry,
    label: &'a str,
    place: Place,
    priority: u64,
}

impl<'a> PageAt<'a> {
    fn new(pass: &FinishPass<'a>, archive: usize, page: u32, entry: &'a PageEntry) -> PageAt<'a> {
        let archive_place = archive as u32;
        PageAt {
            archive: archive_place,
            page,
            entry,
            label: &pass.input.inputs[archive].label,
            place: Place {
                key: entry.normalized,
                archive: archive_place,
                order: entry.order,
            },
            priority: sample::priority(entry.owner, entry.record_offset),
        }
    }
}

/// A page that has not gone yet.
struct Judged {
    text: String,
    language: String,
    probability: f64,
}

/// A page that has.
struct Gone {
    reason: Reason,
    left: Judged,
    matched: Option<Matched>,
}

impl FinishPass<'_> {
    /// Decides over one page, counts it, and notes what went.
    fn finish(&self, at: PageAt<'_>, mut page: SpooledPage, found: &mut Found) {
        let newer = self
            .input
            .url_losers
            .lost(at.archive as usize, at.page as usize);
        let mut lines = page.lines;
        let text = std::mem::take(&mut page.text);
        let gone = |reason, text| Gone {
            reason,
            left: Judged {
                text,
                language: String::new(),
                probability: 0.0,
            },
            matched: None,
        };
        let mut dropped_lines = std::mem::take(&mut page.dropped_lines);
        let judged = if let Some((archive, newer)) = newer {
            self.note_older_copy(&at, archive, newer, found);
            lines = LineCounts::untouched(lines.total);
            dropped_lines.clear();
            // Whether the text of a page that failed a rule is here may be chance.
            let noted = at.entry.dropped;
            let noted = noted.is_none_or(|reason| self.input.candidates.hold(reason, at.priority));
            Err(gone(
                Reason::OlderCopy,
                if noted { text } else { String::new() },
            ))
        } else if let Some(reason) = at.entry.dropped {
            Err(Gone {
                matched: page.matched.take(),
                ..gone(reason, text)
            })
        } else {
            self.input.progress.add(1);
            self.note_repeated(&at, &text, &page.url, found);
            self.without_duplicates(
                &at,
                text,
                &page.kept_lines,
                (&mut lines, &mut dropped_lines),
                found,
            )
            .map_err(|(reason, text)| gone(reason, text))
            .and_then(|text| self.judge_language(&at, text, found))
        };
        let fate = judged.as_ref().err().map(|gone| gone.reason);
        found.statistics.domain(&page.url, fate);
        self.note_lines(&at, &page.url, fate, dropped_lines, found);
        if fate != Some(Reason::OlderCopy) {
            self.input.ledger.fate(&mut found.ledger, at.place, fate);
        }
        match judged {
            Ok(judged) => self.keep(&at, page, judged, &lines, found),
            Err(gone) => self.drop_page(&at, &page, gone, &lines, found),
        }
    }

    fn keep(
        &self,
        at: &PageAt<'_>,
        page: SpooledPage,
        judged: Judged,
        lines: &LineCounts,
        found: &mut Found,
    ) {
        let split = url::split(at.entry.normalized, &self.input.recipe.split);
        let statistics = &mut found.statistics;
        statistics.tally.keep_page(split, lines);
        statistics.tally.text_bytes_out += judged.text.len() as u64;
        statistics.page_chars.add(Side::Out, lines.left().chars);
        statistics.page_lines.add(Side::Out, lines.left().lines);
        for line in judged.text.split('\n') {
            let words = Amount::of_line(line).words;
            statistics.line_words.add(Side::Out, words);
        }
        statistics.year(Side::Out, &at.entry.timestamp);
        if self.input.recipe.language.is_some() {
            statistics.language(Side::Out, &judged.language, Some(judged.probability));
        }
        if self.sentences.offer(0, at.priority) {
            let sentences = |line| punkt::english().sentences(line).count() as u64;
            let sentences = judged.text.split('\n').map(sentences).sum();
            found.sentences.push((at.priority, sentences));
        }
        found.split_bytes[split as usize] += judged.text.len() as u64;
        found.rows[split as usize].push(SpooledRow {
            key: at.entry.normalized,
            archive: at.archive,
            record_offset: at.entry.record_offset,
            url: page.url,
            text: judged.text,
            timestamp: at.entry.timestamp.to_string(),
            content_type: page.content_type,
            content_length: page.content_length,
            language: judged.language,
            language_score: judged.probability as f32,
        });
    }

    fn drop_page(
        &self,
        at: &PageAt<'_>,
        page: &SpooledPage,
        gone: Gone,
        lines: &LineCounts,
        found: &mut Found,
    ) {
        let reason = gone.reason;
        found.statistics.tally.drop_page(reason, lines);
        // Pages of pass 1 are drawn among those that were noted there.
        let noted = at.entry.dropped.is_none() || reason == Reason::OlderCopy;
        if !noted && !self.input.candidates.hold(reason, at.priority) {
            return;
        }
        let left = lines.left();
        self.input
            .ledger
            .page(&mut found.ledger, at.place, (reason, at.priority), || {
                let text = self.input.candidates.text(&gone.left.text);
                let (matched, match_start) = ledger::split_match(gone.matched.as_ref(), text);
                let whole = match at.entry.dropped {
                    Some(_) => page.text_bytes,
                    None => gone.left.text.len() as u64,
                };
                DroppedPage {
                    reason: reason.code().to_owned(),
                    rule: reason.rule().to_owned(),
                    matched,
                    match_start,
                    text: text.to_owned(),
                    text_bytes: whole,
                    url: page.url.clone(),
                    timestamp: at.entry.timestamp.to_string(),
                    language: gone.left.language.clone(),
                    language_score: gone.left.probability as f32,
                    lines: left.lines,
                    chars: left.chars,
                    words: left.words,
                    archive: at.label.to_owned(),
                    record_offset: at.entry.record_offset,
                }
            });
    }

    /// Notes the lines that went while the page was in.
    fn note_lines(
        &self,
        at: &PageAt<'_>,
        url: &str,
        fate: Option<Reason>,
        lines: Vec<SpooledLine>,
        found: &mut Found,
    ) {
        for line in lines {
            let priority = sample::line_priority(at.priority, line.number);
            let of_rules = line.reason.stage() <= c4_filters::Stage::Rules;
            if of_rules && !self.input.candidates.hold(line.reason, priority) {
                continue;
            }
            let draw = (line.reason, priority);
            self.input
                .ledger
                .line(&mut found.ledger, at.place, draw, line.number, || {
                    let (matched, match_start) =
                        ledger::split_match(line.matched.as_ref(), &line.text);
                    DroppedLine {
                        reason: line.reason.code().to_owned(),
                        rule: line.reason.rule().to_owned(),
                        matched,
                        match_start,
                        text: line.text,
                        line: line.number,
                        page: fate.map_or(KEPT, Reason::code).to_owned(),
                        url: url.to_owned(),
                        archive: at.label.to_owned(),
                        record_offset: at.entry.record_offset,
                    }
                });
        }
    }

    fn note_older_copy(&self, at: &PageAt<'_>, archive: u32, newer: u32, found: &mut Found) {
        let winner = Winner {
            archive,
            page: newer,
            position: 0,
        };
        self.note_duplicate(at, Reason::OlderCopy, 0, winner, found);
    }

    fn note_duplicate(
        &self,
        at: &PageAt<'_>,
        reason: Reason,
        position: u32,
        winner: Winner,
        found: &mut Found,
    ) {
        if !self.input.ledger.is_kept() {
            return;
        }
        let kept = &self.input.archives[winner.archive as usize].pages[winner.page as usize];
        let row = Duplicate {
            reason: reason.code().to_owned(),
            archive: at.label.to_owned(),
            record_offset: at.entry.record_offset,
            position,
            kept_archive: self.input.inputs[winner.archive as usize].label.to_string(),
            kept_record_offset: kept.record_offset,
            kept_position: winner.position,
        };
        self.input
            .ledger
            .duplicate(&mut found.ledger, at.place, row);
    }

    /// Notes the text of the most frequent duplicates where it stays.
    fn note_repeated(&self, at: &PageAt<'_>, text: &str, url: &str, found: &mut Found) {
        for &rank in self
            .repeated
            .get(&(at.archive, at.page))
            .into_iter()
            .flatten()
        {
            let most = &self.input.duplicates.repeated[rank];
            let first = most.winner.position as usize;
            let copy = match &self.input.recipe.dedup {
                Some(DedupStep::Spans { span_sentences, .. }) => {
                    let ranges = dedup::sentence_ranges(text).into_iter().flatten();
                    let span = ranges.skip(first).take(*span_sentences);
                    span.map(|range| &text[range]).collect::<Vec<_>>().join(" ")
                }
                _ => text.split('\n').nth(first).unwrap_or_default().to_owned(),
            };
            let shown: String = copy.chars().take(SHOWN_CHARS).collect();
            let value = json!({ "copies": most.copies.0, "text": shown, "url": url });
            found.repeated.push((rank, value));
        }
    }

    /// The page with its language, or why it goes.
    fn judge_language(
        &self,
        at: &PageAt<'_>,
        text: String,
        found: &mut Found,
    ) -> Result<Judged, Gone> {
        let mut left = Judged {
            text,
            language: String::new(),
            probability: 0.0,
        };
        let Some(step) = &self.input.recipe.language else {
            return Ok(left);
        };
        let statistics = &mut found.statistics;
        let detection = language::detect(step.detector, &left.text);
        let verdict = language::judge(step, &detection);
        if verdict == Verdict::Keep {
            language::count_passed(&mut statistics.tally, step, &detection);
        }
        if let Detection::Best {
            language,
            probability,
        } = detection
        {
            statistics.language(Side::In, &language, Some(probability));
            left.language = language;
            left.probability = probability;
        } else {
            statistics.language(Side::In, "none", None);
        }
        if let Verdict::DropPage(reason) = verdict {
            if reason == Reason::OtherLanguage {
                let others = &mut statistics.tally.other_languages;
                *others.entry(left.language.clone()).or_default() += 1;
            }
            return Err(Gone {
                reason,
                left,
                matched: None,
            });
        }
        let Some(rule) = self.input.bad_words else {
            return Ok(left);
        };
        let lower = left.text.to_lowercase();
        let verdict = rule.check(&left.language, &lower, at.entry.normalized);
        let tally = &mut statistics.tally;
        if verdict != BadWordsVerdict::NoList {
            let base = base_language(&left.language).to_owned();
            let [dropped, passed, soft] = tally.bad_words_by_language.entry(base).or_default();
            match verdict {
                BadWordsVerdict::Dropped => *dropped += 1,
                BadWordsVerdict::SoftPassed => {
                    *soft += 1;
                    tally.bad_words_soft_passed += 1;
                }
                _ => *passed += 1,
            }
        }
        let Verdict::DropPage(reason) = verdict.verdict() else {
            return Ok(left);
        };
        let mut matched = None;
        if let Some(word) = rule.find(&left.language, &lower) {
            let listed = lower[word.clone()].to_owned();
            *statistics.bad_words.entry(listed).or_default() += 1;
            let place = Lowered::new(&left.text).original(word);
            matched = Some(ledger::matched(&left.text, place));
        }
        Err(Gone {
            reason,
            left,
            matched,
        })
    }

    /// The page's text without the lines or sentences of which another copy stays, or why the page
    /// goes and its text before. Lines that go are counted and listed; `numbers` are the places of the
    /// lines that are left.
    fn without_duplicates(
        &self,
        at: &PageAt<'_>,
        text: String,
        numbers: &[u32],
        (lines, dropped): (&mut LineCounts, &mut Vec<SpooledLine>),
        found: &mut Found,
    ) -> Result<String, (Reason, String)> {
        let Some(step) = &self.input.recipe.dedup else {
            return Ok(text);
        };
        let all = &self.input.duplicates.losers[at.archive as usize];
        let start = all.partition_point(|loser| loser.page < at.page);
        let losers = &all[start..];
        let losers = &losers[..losers.partition_point(|loser| loser.page == at.page)];
        let (DedupStep::Lines { min_sentences } | DedupStep::Spans { min_sentences, .. }) = step;
        let mut shorter = None;
        if !losers.is_empty() {
            let lost: Vec<Lost> = losers.iter().map(|loser| lost(at, loser)).collect();
            let left = dedup::left(step, &text, &lost);
            let rest = left.text(&text);
            for (i, (line, what)) in text.split('\n').zip(&left.lines).enumerate() {
                if let LeftLine::Gone(reason) = *what {
                    if reason != Reason::SpanDuplicate {
                        lines.drop_line(reason, Amount::of_line(line));
                    }
                    dropped.push(SpooledLine {
                        // Without line rules all lines are there.
                        number: numbers.get(i).copied().unwrap_or(i as u32),
                        reason,
                        text: line.to_owned(),
                        matched: None,
                    });
                }
            }
            if let DedupStep::Spans { .. } = step {
                let tally = &mut found.statistics.tally;
                tally.spans_duplicate += losers.len() as u64;
                tally.sentences_removed += left.sentences_removed;
                let gone = Amount::of_text(&text) - Amount::of_text(&rest);
                lines.drop_line(Reason::SpanDuplicate, gone);
            }
            for (loser, lost) in losers.iter().zip(lost) {
                let reason = match (step, lost.same_page) {
                    (DedupStep::Spans { .. }, _) => Reason::SpanDuplicate,
                    (_, Some(_)) => Reason::LocalDuplicate,
                    (_, None) => Reason::GlobalDuplicate,
                };
                self.note_duplicate(at, reason, loser.position, loser.winner, found);
            }
            shorter = Some(rest);
        }
        found.statistics.tally.lines_passed_dedup += lines.left().lines;
        let left = shorter.as_deref().unwrap_or(&text);
        if left.is_empty() {
            return Err((Reason::EmptiedByDedup, text));
        }
        if dedup::too_few_sentences(left, *min_sentences) {
            return Err((Reason::TooFewSentencesAfterDedup, text));
        }
        Ok(shorter.unwrap_or(text))
    }
}

/// A copy that goes, as seen from its page.
fn lost(at: &PageAt<'_>, loser: &Loser) -> Lost {
    let Winner {
        archive,
        page,
        position,
    } = loser.winner;
    Lost {
        position: loser.position,
        same_page: ((archive, page) == (at.archive, at.page)).then_some(position),
    }
}
