//! Deciding over one page in pass 4, and noting what is dropped: they stand together, so that nothing is dropped
//! without its note.

use super::{DroppedCopies, FinishPass};
use crate::build::dedup::RepeatedKey;
use crate::work::dedup_key::{CopyPlace, DroppedCopy};
use crate::work::intermediate::{Matched, WorkLine, WorkPage, WorkRow};
use crate::work::judged_group::{JudgedGroup, ROWS, RepeatedText};
use crate::work::ledger::{self, PagePosition};
use crate::work::sample;
use crate::work::shard_sets::SetSize;
use c4_data::ledger::{DroppedLine, DroppedPage, Duplicate, KEPT};
use c4_data::{DedupStep, Page};
use c4_filters::dedup::{self, Lost};
use c4_filters::{DroppedText, FinishedText, Finisher, LineCounts, Reason, punkt};

/// How many characters of a duplicate `stats.json` shows.
const SHOWN_CHARS: usize = 300;

/// A page that is being judged, and where it is.
pub(super) struct PageAt<'a> {
    segment: u32,
    /// The page's number in the segment.
    number: u32,
    archive: u32,
    /// The name of the archive.
    label: &'a str,
    /// The page's priority in a draw.
    priority: u64,
    page: WorkPage,
}

impl<'a> PageAt<'a> {
    pub(super) fn new(pass: &FinishPass<'a>, segment: usize, number: u32, page: WorkPage) -> PageAt<'a> {
        let archive = pass.input.segments.all()[segment].archive;
        PageAt {
            segment: segment as u32,
            number,
            archive,
            label: &pass.input.inputs[archive as usize].label,
            priority: sample::priority(page.owner, page.page.record_offset),
            page,
        }
    }

    fn position(&self) -> PagePosition {
        PagePosition {
            key: self.page.normalized,
            archive: self.archive,
            order: self.page.order,
        }
    }

    fn url(&self) -> &str {
        &self.page.page.url
    }

    fn record_offset(&self) -> u64 {
        self.page.page.record_offset
    }
}

impl FinishPass<'_> {
    /// Decides over one page, counts it, and notes what is dropped.
    pub(super) fn judge(&self, mut at: PageAt<'_>, copies: &DroppedCopies, group: &mut JudgedGroup) {
        let newer = copies.urls.binary_search_by_key(&at.number, |copy| copy.page);
        let newer = newer.ok().map(|i| copies.urls[i].kept);
        let mut lines = at.page.lines;
        let text = std::mem::take(&mut at.page.page.text);
        let mut dropped_lines = std::mem::take(&mut at.page.dropped_lines);
        let judged = if let Some(newer) = newer {
            self.note_duplicate(&at, Reason::OlderCopy, 0, newer, group);
            lines = LineCounts::untouched(lines.total);
            dropped_lines.clear();
            // Whether the text of a page that failed a rule is here may be chance.
            let noted = at.page.dropped;
            let noted = noted.is_none_or(|reason| self.input.candidates.hold(reason, at.priority));
            let text = if noted { text } else { String::new() };
            Err((DroppedText::new(Reason::OlderCopy, text), None))
        } else if let Some(reason) = at.page.dropped {
            Err((DroppedText::new(reason, text), at.page.matched.take()))
        } else {
            self.input.progress.add(1);
            self.note_repeated(&at, &text, group);
            let copies = of_page(&copies.texts, at.number);
            let statistics = &mut group.summary.statistics;
            let gone = |place: usize, line: &str, reason| {
                dropped_lines.push(WorkLine {
                    // Without line rules all lines are there.
                    number: *at.page.kept_lines.get(place).unwrap_or(&(place as u32)),
                    reason,
                    text: line.to_owned(),
                    matched: None,
                });
            };
            let lost: Vec<Lost> = copies.iter().map(|copy| lost_copy(&at, copy)).collect();
            let tally = &mut statistics.tally;
            let finisher = self.finisher();
            let judged = finisher
                .without_duplicates(text, &lost, &mut lines, tally, gone)
                .and_then(|text| finisher.judge_language(at.page.normalized, text, statistics));
            self.note_duplicates(&at, copies, &lost, group);
            judged.map_err(|gone| {
                let place = gone.place.clone();
                let matched = place.map(|place| ledger::matched(&gone.left.text, place));
                (gone, matched)
            })
        };
        let outcome = judged.as_ref().err().map(|(gone, _)| gone.reason);
        group.domains.page(at.url(), outcome);
        self.note_lines(&at, outcome, dropped_lines, group);
        if outcome != Some(Reason::OlderCopy) {
            self.input.ledger.outcome(group, at.position(), outcome);
        }
        match judged {
            Ok(judged) => self.keep(at, judged, &lines, group),
            Err(gone) => self.drop_page(&at, gone, &lines, group),
        }
    }

    fn keep(&self, at: PageAt<'_>, judged: FinishedText, lines: &LineCounts, group: &mut JudgedGroup) {
        let key = at.page.normalized;
        let statistics = &mut group.summary.statistics;
        let known = (key, &*at.page.page.timestamp);
        let split = self.finisher().keep(known, &judged, lines, statistics);
        if self.sentences.offer(0, at.priority) {
            let sentences = |line| punkt::english().sentences(line).count() as u64;
            let sentences = judged.text.split('\n').map(sentences).sum();
            group.summary.sentences.push((at.priority, sentences));
        }
        let set = self.input.sets.number(&judged.language, split);
        *group.summary.sets.entry(set).or_default() += SetSize {
            rows: 1,
            text_bytes: judged.text.len() as u64,
        };
        let row = WorkRow {
            key,
            archive: at.archive,
            page: Page {
                text: judged.text,
                ..at.page.page
            },
            language: judged.language,
            language_score: judged.probability as f32,
        };
        group.put(ROWS, self.input.layout.row_slot(set, key), &row);
    }

    fn drop_page(
        &self,
        at: &PageAt<'_>,
        (gone, matched): (DroppedText, Option<Matched>),
        lines: &LineCounts,
        group: &mut JudgedGroup,
    ) {
        let reason = gone.reason;
        group.summary.statistics.tally.drop_page(reason, lines);
        // Pages of pass 1 are drawn among those that were noted there.
        let noted = at.page.dropped.is_none() || reason == Reason::OlderCopy;
        if !noted && !self.input.candidates.hold(reason, at.priority) {
            return;
        }
        let left = lines.left();
        let draw = (reason, at.priority);
        self.input.ledger.dropped(group, at.position(), draw, 0, || {
            let text = self.input.candidates.text(&gone.left.text);
            let (matched, match_start) = ledger::split_match(matched.as_ref(), text);
            let whole = match at.page.dropped {
                Some(_) => at.page.text_bytes,
                None => gone.left.text.len() as u64,
            };
            DroppedPage {
                reason: reason.code().to_owned(),
                rule: reason.rule().to_owned(),
                matched,
                match_start,
                text: text.to_owned(),
                text_bytes: whole,
                url: at.url().to_owned(),
                timestamp: at.page.page.timestamp.clone(),
                language: gone.left.language.clone(),
                language_score: gone.left.probability as f32,
                lines: left.lines,
                chars: left.chars,
                words: left.words,
                archive: at.label.to_owned(),
                record_offset: at.record_offset(),
            }
        });
    }

    /// Notes the lines that were dropped before the page was, if it was.
    fn note_lines(&self, at: &PageAt<'_>, outcome: Option<Reason>, lines: Vec<WorkLine>, group: &mut JudgedGroup) {
        for line in lines {
            let priority = sample::line_priority(at.priority, line.number);
            let of_rules = line.reason.stage() <= c4_filters::Stage::Rules;
            if of_rules && !self.input.candidates.hold(line.reason, priority) {
                continue;
            }
            let draw = (line.reason, priority);
            self.input.ledger.dropped(group, at.position(), draw, line.number, || {
                let (matched, match_start) = ledger::split_match(line.matched.as_ref(), &line.text);
                DroppedLine {
                    reason: line.reason.code().to_owned(),
                    rule: line.reason.rule().to_owned(),
                    matched,
                    match_start,
                    text: line.text,
                    line: line.number,
                    page: outcome.map_or(KEPT, Reason::code).to_owned(),
                    url: at.url().to_owned(),
                    archive: at.label.to_owned(),
                    record_offset: at.record_offset(),
                }
            });
        }
    }

    fn note_duplicate(&self, at: &PageAt<'_>, reason: Reason, position: u32, kept: CopyPlace, group: &mut JudgedGroup) {
        if !self.input.ledger.is_kept() {
            return;
        }
        let archive = self.input.segments.all()[kept.segment as usize].archive;
        let row = Duplicate {
            reason: reason.code().to_owned(),
            archive: at.label.to_owned(),
            record_offset: at.record_offset(),
            position,
            kept_archive: self.input.inputs[archive as usize].label.to_string(),
            kept_record_offset: kept.record_offset,
            kept_position: kept.position,
        };
        self.input.ledger.duplicate(group, at.position(), row);
    }

    /// Notes the texts of those of the most repeated keys whose kept copies are on the page.
    fn note_repeated(&self, at: &PageAt<'_>, text: &str, group: &mut JudgedGroup) {
        for &rank in self.repeated.get(&(at.segment, at.number)).into_iter().flatten() {
            let RepeatedKey { copies, kept, .. } = &self.input.repeated[rank];
            let first = kept.position as usize;
            let copy = match &self.input.recipe.dedup {
                Some(DedupStep::Spans { span_sentences, .. }) => {
                    let ranges = dedup::sentence_ranges(text).into_iter().flatten();
                    let span = ranges.skip(first).take(*span_sentences);
                    span.map(|range| &text[range]).collect::<Vec<_>>().join(" ")
                }
                _ => text.split('\n').nth(first).unwrap_or_default().to_owned(),
            };
            let repeated = RepeatedText {
                copies: copies.0,
                text: copy.chars().take(SHOWN_CHARS).collect(),
                url: at.url().to_owned(),
            };
            group.summary.repeated.push((rank, repeated));
        }
    }

    fn note_duplicates(&self, at: &PageAt<'_>, copies: &[DroppedCopy], lost: &[Lost], group: &mut JudgedGroup) {
        for (copy, lost) in copies.iter().zip(lost) {
            let reason = match (&self.input.recipe.dedup, lost.same_page) {
                (Some(DedupStep::Spans { .. }), _) => Reason::SpanDuplicate,
                (_, Some(_)) => Reason::LocalDuplicate,
                (_, None) => Reason::GlobalDuplicate,
            };
            self.note_duplicate(at, reason, copy.position, copy.kept, group);
        }
    }

    fn finisher(&self) -> Finisher<'_> {
        Finisher {
            recipe: self.input.recipe,
            bad_words: self.input.bad_words,
        }
    }
}

/// The dropped copies that are on one page of a segment.
fn of_page(copies: &[DroppedCopy], page: u32) -> &[DroppedCopy] {
    let start = copies.partition_point(|copy| copy.page < page);
    let copies = &copies[start..];
    &copies[..copies.partition_point(|copy| copy.page == page)]
}

/// A dropped copy, as seen from its page.
fn lost_copy(at: &PageAt<'_>, copy: &DroppedCopy) -> Lost {
    let kept = copy.kept;
    let same_page = (kept.segment, kept.page) == (at.segment, at.number);
    Lost {
        position: copy.position,
        same_page: same_page.then_some(kept.position),
    }
}
