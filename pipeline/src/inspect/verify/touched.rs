//! Which pages span dedup touched, and which of their spans it left as they had been.
//!
//! A page that lost sentences may hold lines that break a rule, and spans that it did not have
//! before: sentences that stood apart stand together now. So a span that is left twice is a defect
//! of the build only where two copies are **sure** to have been there before.

use c4_data::ledger::{Duplicate, LedgerReader, Table};
use c4_data::{DedupStep, Document, Format, LedgerEntry, Manifest};
use c4_filters::Reason;
use rayon::prelude::*;
use std::collections::HashMap;
use std::path::Path;

/// What is known of the pages that lost sentences.
pub(crate) enum Touched {
    /// The recipe drops no sentences.
    NoSpans,
    /// Any page may have lost some; the reason why that is not known.
    Unknown(String),
    /// The pages that lost sentences.
    Known(LostSpans),
}

/// The spans that pages lost.
pub(crate) struct LostSpans {
    archives: HashMap<String, u32>,
    /// In order.
    lost: Vec<Lost>,
    span_sentences: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Lost {
    archive: u32,
    offset: u64,
    /// The span's first sentence, before removal.
    first: u32,
    /// The first sentence of the copy that is kept, if that is on the same page.
    kept: Option<u32>,
}

impl Touched {
    /// Reads the ledger's table `duplicates`, 32 bytes a row; `sound` says which of the ledger's files are whole. Keeps
    /// no more than `memory` bytes, and takes twice as many while it reads.
    pub(crate) fn load(dir: &Path, manifest: &Manifest, sound: &[bool], memory: usize) -> Touched {
        let Some(DedupStep::Spans { span_sentences, .. }) = &manifest.recipe.dedup else {
            return Touched::NoSpans;
        };
        let unknown = |why: &str| Touched::Unknown(why.to_owned());
        if manifest.format == Format::Jsonl {
            return unknown("JSON lines do not say where a page was read");
        }
        let files = manifest.ledger.files.iter().zip(sound);
        let files: Vec<_> = files.filter(|(f, _)| f.table == Table::Duplicates).collect();
        if files.is_empty() {
            return unknown("the corpus has no ledger");
        }
        if files.iter().any(|(_, sound)| !**sound) {
            return unknown("the ledger is damaged");
        }
        let rows: u64 = files.iter().map(|(file, _)| file.rows).sum();
        let bytes = rows.saturating_mul(size_of::<Lost>() as u64);
        if bytes > memory as u64 {
            let why = format!("the ledger's duplicates take {bytes} bytes; raise --memory");
            return unknown(&why);
        }
        let labels = manifest.inputs.iter().map(|input| input.archive.clone());
        let archives: HashMap<String, u32> = labels.zip(0..).collect();
        let lists: Result<Vec<Vec<Lost>>, c4_data::Error> = files
            .into_par_iter()
            .map(|(file, _)| {
                let ledger = LedgerEntry {
                    files: vec![file.clone()],
                    ..manifest.ledger.clone()
                };
                let mut lost = Vec::new();
                for row in LedgerReader::<Duplicate>::new(dir, &ledger) {
                    let row = row?;
                    let archive = archives.get(&row.archive);
                    let Some(archive) = archive.filter(|_| is_span(&row)) else {
                        continue;
                    };
                    let kept = (&row.kept_archive, row.kept_record_offset);
                    let same = kept == (&row.archive, row.record_offset);
                    lost.push(Lost {
                        archive: *archive,
                        offset: row.record_offset,
                        first: row.position,
                        kept: same.then_some(row.kept_position),
                    });
                }
                Ok(lost)
            })
            .collect();
        let mut lost: Vec<Lost> = match lists {
            Ok(lists) => lists.concat(),
            Err(e) => return unknown(&format!("the ledger cannot be read: {e}")),
        };
        lost.par_sort_unstable();
        Touched::Known(LostSpans {
            archives,
            lost,
            span_sentences: *span_sentences,
        })
    }

    /// The bytes of the spans that are held.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Touched::NoSpans | Touched::Unknown(_) => 0,
            Touched::Known(spans) => spans.lost.len() * size_of::<Lost>(),
        }
    }

    /// The sentences that the page lost, by their place before; empty if it lost none, `None` if that is not known.
    pub(crate) fn gone(&self, document: &Document) -> Option<Vec<bool>> {
        match self {
            Touched::NoSpans => Some(Vec::new()),
            Touched::Unknown(_) => None,
            Touched::Known(spans) => Some(spans.gone(document)),
        }
    }
}

fn is_span(row: &Duplicate) -> bool {
    row.reason == Reason::SpanDuplicate.code()
}

impl LostSpans {
    fn gone(&self, document: &Document) -> Vec<bool> {
        let mut gone = Vec::new();
        let Some(archive) = self.archives.get(&*document.archive) else {
            return gone;
        };
        let place = (*archive, document.page.record_offset);
        let start = self.lost.partition_point(|l| (l.archive, l.offset) < place);
        let of_page = self.lost[start..].iter();
        let span = self.span_sentences;
        for lost in of_page.take_while(|l| (l.archive, l.offset) == place) {
            let first = lost.first as usize;
            let is_kept = |sentence: usize| {
                lost.kept.is_some_and(|kept| {
                    let kept = kept as usize;
                    (kept..kept + span).contains(&sentence)
                })
            };
            for sentence in (first..first + span).filter(|s| !is_kept(*s)) {
                if gone.len() <= sentence {
                    gone.resize(sentence + 1, false);
                }
                gone[sentence] = true;
            }
        }
        gone
    }
}

/// For each of `spans` spans of a page that lost the sentences `gone`: whether its sentences are
/// sure to have stood together before.
///
/// Sentence `k` is what was the `k`-th that did not go, unless two that came to stand on one line
/// are taken for one sentence now; that can happen once where a run of sentences went. So a span is
/// sure if its sentences stood together by any number of such joints before it.
pub(crate) fn sure_spans(gone: &[bool], spans: usize, span_sentences: usize) -> Vec<bool> {
    let stayed: Vec<usize> = (0..gone.len()).filter(|i| !gone[*i]).collect();
    let place = |k: usize| match stayed.get(k) {
        Some(place) => *place,
        None => gone.len() + k - stayed.len(),
    };
    // Runs that start before each sentence.
    let mut runs = vec![0];
    for (i, is_gone) in gone.iter().enumerate() {
        let starts = *is_gone && (i == 0 || !gone[i - 1]);
        runs.push(runs[i] + usize::from(starts));
    }
    let all = runs[gone.len()];
    let runs_before = |place: usize| runs.get(place).copied().unwrap_or(all);
    let together = |k: usize| {
        let last = place(k + span_sentences - 1);
        let apart = last - place(k) >= span_sentences;
        // What follows a sentence after which some went may have been added to it.
        !apart && !gone.get(last + 1).copied().unwrap_or(false)
    };
    let sure = |k: usize| (0..=all).all(|s| s > runs_before(place(k + s)) || together(k + s));
    (0..spans).map(sure).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_sure_where_no_removal_can_have_made_them() {
        assert_eq!(sure_spans(&[], 2, 3), [true, true]);
        // 0 1 2 3 _ 5 6 7 8 ...: one joint, after which sentences may have moved by one.
        let gone = [false, false, false, false, true];
        let sure = sure_spans(&gone, 6, 3);
        assert_eq!(sure, [true, false, false, false, true, true]);
        // _ _ _ 3 4 5: no joint, since nothing stands before; but that is not looked at.
        assert_eq!(sure_spans(&[true, true, true], 2, 3), [true, true]);
        // 0 _ 2 _ 4 5 6 7 8: two joints.
        let gone = [false, true, false, true];
        assert_eq!(
            sure_spans(&gone, 4, 3),
            [false, false, true, true],
            "0 2 4; 2 4 5; 4 5 6; 5 6 7"
        );
        // One sentence at a time: what follows it may have been added.
        assert_eq!(sure_spans(&gone, 3, 1), [false, false, true]);
    }
}
