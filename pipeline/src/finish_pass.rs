//! Pass 4: what is left of each page without its duplicates; language, bad words, split; rows.

use crate::clean_pass::{CleanedArchive, spool_path};
use crate::error::Error;
use crate::keys::Loser;
use crate::parallel::{self, Job, lock};
use crate::progress::Progress;
use crate::rows::Buckets;
use crate::spool::{Frame, SpoolReader, SpooledPage, SpooledRow, unframe};
use crate::url_pass::UrlLosers;
use c4_data::{DedupStep, Recipe, Split};
use c4_filters::language::{self, Detection};
use c4_filters::rules::bad_words::{BadWords, BadWordsVerdict, base_language};
use c4_filters::{LineCounts, Reason, Tally, Verdict, dedup, url};
use std::path::Path;
use std::sync::Mutex;

/// What the pass needs from those before it.
pub struct FinishInput<'a> {
    /// The recipe.
    pub recipe: &'a Recipe,
    /// Its compiled word lists.
    pub bad_words: Option<&'a BadWords>,
    /// Pass 1.
    pub archives: &'a [CleanedArchive],
    /// Pass 2.
    pub url_losers: &'a UrlLosers,
    /// Pass 3, by archive.
    pub duplicates: &'a [Vec<Loser>],
    /// The work folder.
    pub work: &'a Path,
    /// Where rows go.
    pub buckets: &'a Buckets,
    /// Counts pages.
    pub progress: &'a Progress,
}

struct FinishPass<'a> {
    input: FinishInput<'a>,
    tally: Mutex<Tally>,
    split_bytes: Mutex<[u64; 2]>,
}

/// Runs the pass. Gives what became of all pages, and the UTF-8 bytes of text of each split.
///
/// # Errors
/// The work folder cannot be read or written.
pub fn run(input: FinishInput<'_>) -> Result<(Tally, [u64; 2]), Error> {
    let mut tally = Tally::default();
    // Pages that are not in any spool, or that are there in vain.
    for (a, archive) in input.archives.iter().enumerate() {
        for (p, page) in archive.pages.iter().enumerate() {
            if input.url_losers.lost(a, p) {
                let total = page.lines.total;
                let lines = LineCounts {
                    total,
                    ..LineCounts::default()
                };
                tally.drop_page(Reason::OlderCopy, &lines);
            } else if let Some(reason) = page.dropped {
                tally.drop_page(reason, &page.lines);
            }
        }
    }
    let archives = input.archives.len();
    let pass = FinishPass {
        input,
        tally: Mutex::new(tally),
        split_bytes: Mutex::default(),
    };
    parallel::drain(&pass, archives)?;
    let tally = std::mem::take(&mut *lock(&pass.tally));
    let bytes = *lock(&pass.split_bytes);
    Ok((tally, bytes))
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
        let archive = &self.input.archives[index];
        let first = archive.frames[sequence as usize];
        let mut tally = Tally::default();
        let mut rows = [Vec::new(), Vec::new()];
        let mut bytes = [0; 2];
        for page in pages {
            let place = first + page.page;
            let entry = &archive.pages[place as usize];
            if self.input.url_losers.lost(index, place as usize) {
                continue;
            }
            self.input.progress.add(1);
            let mut lines = entry.lines;
            match self.finish_page(
                index,
                place,
                entry.normalized,
                page.text,
                &mut lines,
                &mut tally,
            ) {
                Err(reason) => tally.drop_page(reason, &lines),
                Ok((text, language, language_score)) => {
                    let split = url::split(entry.normalized, &self.input.recipe.split);
                    tally.keep_page(split, &lines);
                    tally.text_bytes_out += text.len() as u64;
                    bytes[split as usize] += text.len() as u64;
                    rows[split as usize].push(SpooledRow {
                        key: entry.normalized,
                        archive: index as u32,
                        record_offset: entry.record_offset,
                        url: page.url,
                        text,
                        timestamp: entry.timestamp.to_string(),
                        content_type: page.content_type,
                        content_length: page.content_length,
                        language,
                        language_score,
                    });
                }
            }
        }
        for (split, rows) in Split::ALL.into_iter().zip(rows) {
            self.input.buckets.add(split, rows)?;
        }
        *lock(&self.tally) += tally;
        lock(&self.split_bytes)
            .iter_mut()
            .zip(bytes)
            .for_each(|(sum, n)| *sum += n);
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

impl FinishPass<'_> {
    /// The page's text, language and its probability, or why it goes.
    fn finish_page(
        &self,
        archive: usize,
        page: u32,
        normalized: u128,
        text: String,
        lines: &mut LineCounts,
        tally: &mut Tally,
    ) -> Result<(String, String, f32), Reason> {
        let text = self.without_duplicates(archive, page, text, lines, tally)?;
        let Some(step) = &self.input.recipe.language else {
            return Ok((text, String::new(), 0.0));
        };
        let detection = language::detect(step.detector, &text);
        if let Verdict::DropPage(reason) = language::judge(step, &detection) {
            if let (Reason::OtherLanguage, Detection::Best { language, .. }) = (reason, detection) {
                *tally.other_languages.entry(language).or_default() += 1;
            }
            return Err(reason);
        }
        let Detection::Best {
            language,
            probability,
        } = detection
        else {
            return Err(Reason::UndetectableLanguage);
        };
        if let Some(rule) = self.input.bad_words {
            let verdict = rule.check(&language, &text.to_lowercase(), normalized);
            if verdict != BadWordsVerdict::NoList {
                let base = base_language(&language).to_owned();
                let [dropped, passed] = tally.bad_words_by_language.entry(base).or_default();
                match verdict {
                    BadWordsVerdict::Dropped => *dropped += 1,
                    BadWordsVerdict::SoftPassed => tally.bad_words_soft_passed += 1,
                    _ => *passed += 1,
                }
            }
            if let Verdict::DropPage(reason) = verdict.verdict() {
                return Err(reason);
            }
        }
        Ok((text, language, probability as f32))
    }

    /// The page's text without the lines or sentences of which another copy stays.
    fn without_duplicates(
        &self,
        archive: usize,
        page: u32,
        text: String,
        lines: &mut LineCounts,
        tally: &mut Tally,
    ) -> Result<String, Reason> {
        let Some(step) = &self.input.recipe.dedup else {
            return Ok(text);
        };
        let all = &self.input.duplicates[archive];
        let start = all.partition_point(|loser| loser.page < page);
        let losers = &all[start..];
        let losers = &losers[..losers.partition_point(|loser| loser.page == page)];
        let min_sentences = match step {
            DedupStep::Lines { min_sentences } | DedupStep::Spans { min_sentences, .. } => {
                *min_sentences
            }
        };
        let text = match step {
            _ if losers.is_empty() => text,
            DedupStep::Lines { .. } => {
                let mut gone = Vec::new();
                for loser in losers {
                    mark(&mut gone, loser.position as usize);
                    lines.drop_line(match loser.same_page {
                        Some(_) => Reason::LocalDuplicate,
                        None => Reason::GlobalDuplicate,
                    });
                }
                dedup::remove_lines(&text, &gone)
            }
            DedupStep::Spans { span_sentences, .. } => {
                let mut gone = Vec::new();
                for loser in losers {
                    let first = loser.position as usize;
                    let winner = loser.same_page.map(|at| at as usize);
                    let kept = winner.map_or(0..0, |at| at..at + span_sentences);
                    for sentence in (first..first + span_sentences).filter(|i| !kept.contains(i)) {
                        mark(&mut gone, sentence);
                    }
                }
                tally.spans_duplicate += losers.len() as u64;
                tally.sentences_removed += gone.iter().filter(|gone| **gone).count() as u64;
                let left = dedup::remove_sentences(&text, &gone);
                lines.dropped[Reason::SpanDuplicate.index()] += left.lines_gone;
                left.text
            }
        };
        tally.lines_passed_dedup += u64::from(lines.left());
        if text.is_empty() {
            return Err(Reason::EmptiedByDedup);
        }
        if dedup::too_few_sentences(&text, min_sentences) {
            return Err(Reason::TooFewSentencesAfterDedup);
        }
        Ok(text)
    }
}

fn mark(gone: &mut Vec<bool>, place: usize) {
    if gone.len() <= place {
        gone.resize(place + 1, false);
    }
    gone[place] = true;
}
