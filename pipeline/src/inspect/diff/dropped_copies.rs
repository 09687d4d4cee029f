//! What dedup dropped from the pages of a corpus, by its ledger's table of duplicates.

use super::Place;
use super::pages::ComparedCorpus;
use c4_data::ledger::{Duplicate, LedgerReader, Table};
use c4_data::{DedupStep, Error, Format};
use c4_filters::{Reason, Scope, dedup};
use std::collections::HashMap;

/// A line or span that dedup dropped. 24 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NotedCopy {
    record_offset: u64,
    archive: u32,
    /// The number of the line, or of the first sentence of the span.
    position: u32,
    /// The position of the copy that is kept plus one, if that is on the same page.
    kept: Option<std::num::NonZeroU32>,
    reason: Reason,
}

/// All lines and spans that dedup dropped from a corpus, by page.
#[derive(Debug, Default)]
pub(crate) struct NotedCopies {
    archives: HashMap<String, u32>,
    rows: Vec<NotedCopy>,
    /// Whether the corpus says what dedup dropped, and where its pages were read.
    known: bool,
}

impl NotedCopies {
    /// Reads and sorts the table of duplicates: 24 to 32 bytes a row in memory, where the build that wrote it took
    /// 32 bytes for every line or span that passed.
    ///
    /// # Errors
    /// A file that cannot be read or is not what was written.
    pub(super) fn read(corpus: &ComparedCorpus) -> Result<NotedCopies, Error> {
        let mut copies = NotedCopies {
            known: corpus.has_ledger() && corpus.manifest.format != Format::Jsonl,
            ..NotedCopies::default()
        };
        if !copies.known {
            return Ok(copies);
        }
        corpus.check_table(Table::Duplicates)?;
        let ledger = &corpus.manifest.ledger;
        let tables = ledger.files.iter();
        let tables = tables.filter(|file| file.table == Table::Duplicates);
        copies.rows.reserve(tables.map(|file| file.rows as usize).sum());
        for row in LedgerReader::<Duplicate>::new(&corpus.dir, ledger) {
            let row = row?;
            let reason = Reason::from_code(&row.reason);
            let Some(reason) = reason.filter(|reason| reason.scope() == Scope::Line) else {
                continue;
            };
            let same_page = (row.kept_record_offset, &row.kept_archive) == (row.record_offset, &row.archive);
            // Positions are stored plus one, so that none needs no room.
            let kept = row.kept_position.saturating_add(1);
            let next = copies.archives.len() as u32;
            copies.rows.push(NotedCopy {
                archive: *copies.archives.entry(row.archive).or_insert(next),
                record_offset: row.record_offset,
                position: row.position,
                kept: std::num::NonZeroU32::new(kept).filter(|_| same_page),
                reason,
            });
        }
        copies.rows.sort_unstable();
        Ok(copies)
    }

    /// The lines or spans dropped from the page that was read at `place`, by position; `None` if the corpus does not
    /// say.
    pub(super) fn of(&self, place: Place<'_>) -> Option<&[NotedCopy]> {
        self.known.then(|| self.at(place))
    }

    fn at(&self, place: Place<'_>) -> &[NotedCopy] {
        let Some(archive) = self.archives.get(place.archive) else {
            return &[];
        };
        let page = |copy: &NotedCopy| (copy.record_offset, copy.archive);
        let wanted = (place.record_offset, *archive);
        let start = self.rows.partition_point(|copy| page(copy) < wanted);
        let rows = &self.rows[start..];
        &rows[..rows.partition_point(|copy| page(copy) == wanted)]
    }
}

/// A place in a text where dedup dropped a line or sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hole {
    /// Lines of the text before it; a hole within a line is before the line.
    pub lines_before: usize,
    /// Why it was dropped.
    pub reason: Reason,
}

/// Where in `text`, which is what dedup by `step` has left, the dropped `copies` were; in order.
pub(super) fn holes(text: &str, step: &DedupStep, copies: &[NotedCopy]) -> Vec<Hole> {
    let mut gone: Vec<(u64, Reason)> = Vec::new();
    let units: Vec<usize> = match step {
        DedupStep::Lines { .. } => {
            gone.extend(copies.iter().map(|l| (u64::from(l.position), l.reason)));
            text.split('\n').map(|_| 1).collect()
        }
        DedupStep::Spans { span_sentences, .. } => {
            let span = *span_sentences as u64;
            for copy in copies {
                let first = u64::from(copy.position);
                let kept = copy.kept.map(|kept| u64::from(kept.get()) - 1);
                let is_kept = |i: &u64| kept.is_some_and(|kept| (kept..kept + span).contains(i));
                let lost = (first..first + span).filter(|i| !is_kept(i));
                gone.extend(lost.map(|i| (i, copy.reason)));
            }
            let ranges = dedup::sentence_ranges(text);
            ranges.iter().map(Vec::len).collect()
        }
    };
    gone.sort_unstable();
    gone.dedup_by_key(|(place, _)| *place);
    let mut gone = gone.into_iter().peekable();
    let mut holes = Vec::new();
    let mut place = 0;
    for (line, units) in units.into_iter().enumerate() {
        for _ in 0..units {
            while let Some((_, reason)) = gone.next_if(|(at, _)| *at <= place) {
                holes.push(Hole {
                    lines_before: line,
                    reason,
                });
                place += 1;
            }
            place += 1;
        }
    }
    let lines_before = text.split('\n').count();
    holes.extend(gone.map(|(_, reason)| Hole { lines_before, reason }));
    holes
}

/// The reason for which most of `copies` were dropped.
pub(crate) fn main_reason(copies: &[NotedCopy]) -> Option<Reason> {
    let count = |reason| copies.iter().filter(|l| l.reason == reason).count();
    let reasons = Reason::of(Scope::Line).iter().copied();
    let most = reasons.max_by_key(|reason| (count(*reason), std::cmp::Reverse(*reason)));
    most.filter(|_| !copies.is_empty())
}

/// Whether `copies` are spans.
pub(crate) fn took_spans(copies: &[NotedCopy]) -> bool {
    copies.iter().any(|l| l.reason == Reason::SpanDuplicate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(position: u32, kept: Option<u32>, reason: Reason) -> NotedCopy {
        NotedCopy {
            record_offset: 0,
            archive: 0,
            position,
            kept: kept.and_then(|kept| std::num::NonZeroU32::new(kept + 1)),
            reason,
        }
    }

    fn places(holes: &[Hole]) -> Vec<usize> {
        holes.iter().map(|hole| hole.lines_before).collect()
    }

    #[test]
    fn holes_are_where_lines_were() {
        let step = DedupStep::Lines { min_sentences: 3 };
        let (global, local) = (Reason::GlobalDuplicate, Reason::LocalDuplicate);
        // What was: gone, a, gone, gone, b, gone.
        let copies = [
            copy(0, None, global),
            copy(2, None, global),
            copy(3, None, local),
            copy(5, None, global),
        ];
        let holes = holes("a\nb", &step, &copies);
        assert_eq!(places(&holes), [0, 1, 1, 2]);
        assert_eq!(holes[2].reason, local);
    }

    #[test]
    fn holes_are_where_sentences_were() {
        let step = DedupStep::Spans {
            span_sentences: 3,
            min_sentences: 3,
        };
        // What was: One. [Two. Three. Four.] Five., each on a line of its own.
        let copies = [copy(1, None, Reason::SpanDuplicate)];
        let found = holes("One is.\nFive be.", &step, &copies);
        assert_eq!(places(&found), [1, 1, 1]);
        // The copy that is kept overlaps the one that is dropped.
        let copies = [copy(1, Some(0), Reason::SpanDuplicate)];
        let found = holes("One is. Two are. Three am.", &step, &copies);
        assert_eq!(places(&found), [1]);
    }

    #[test]
    fn a_dropped_copy_is_small() {
        assert!(size_of::<NotedCopy>() <= 24);
    }
}
