//! Pass 4: what is left of each page without its duplicates; language, bad words, split; rows. Here
//! every page is counted, and what went is noted in the ledger.
//!
//! A segment is a unit of work; it is done when the group that it is in is written ([`group`](crate::work::judged_group)).
//!
//! Above 500 lines: deciding and noting stand together, so that nothing goes without its note.

use crate::build::dedup::{Election, Repeated};
use crate::error::Error;
use crate::input::Input;
use crate::runtime::memory::Large;
use crate::runtime::parallel::{self, Job, lock};
use crate::runtime::stop;
use crate::terminal::progress::Progress;
use crate::work::block::{Frame, Frames};
use crate::work::buckets::part;
use crate::work::dedup_key::{Loser, Place};
use crate::work::intermediate::{Matched, WorkLine, WorkPage, WorkRow};
use crate::work::judged_group::{Group, Groups, Layout, ROWS, RepeatedText, Summary};
use crate::work::ledger::{self, Candidates, Ledger};
use crate::work::sample::{self, Sampler};
use crate::work::segment::Segments;
use crate::work::shard_sets::{SetSize, Sets};
use c4_data::ledger::{DroppedLine, DroppedPage, Duplicate, KEPT};
use c4_data::{DedupStep, Page, Recipe};
use c4_filters::dedup::{self, Lost};
use c4_filters::rules::bad_words::BadWords;
use c4_filters::{DroppedText, FinishedText, Finisher, LineCounts, Reason, punkt};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Pages whose sentences are counted.
const SENTENCE_SAMPLE: usize = 1000;
/// Characters of a duplicate that `stats.json` shows.
const SHOWN_CHARS: usize = 300;

/// What the pass needs from those before it.
pub(crate) struct FinishInput<'a> {
    /// The recipe.
    pub recipe: &'a Recipe,
    /// Its compiled word lists.
    pub bad_words: Option<&'a BadWords>,
    /// The archives.
    pub inputs: &'a [Input],
    /// Pass 1.
    pub segments: &'a Segments,
    /// Pass 1, for the ledger.
    pub candidates: &'a Candidates,
    /// Pass 2.
    pub urls: &'a Election<'a>,
    /// Pass 3; `None` without dedup.
    pub texts: Option<&'a Election<'a>>,
    /// The keys with most copies.
    pub repeated: &'a [Repeated],
    /// The work folder.
    pub work: &'a Path,
    /// What stands for all that the passes before have decided.
    pub origin: u64,
    /// The sets that rows go to.
    pub sets: &'a Sets,
    /// Into how many buckets rows go.
    pub layout: Layout,
    /// Bytes of a group.
    pub group_bytes: u64,
    /// Where what is dropped goes.
    pub ledger: &'a Ledger,
    /// Counts pages.
    pub progress: &'a Progress,
}

struct FinishPass<'a> {
    input: FinishInput<'a>,
    /// Places of the segments that are to be judged.
    todo: Vec<usize>,
    sentences: Sampler,
    /// Which of the most frequent duplicates a page holds.
    repeated: HashMap<(u32, u32), Vec<usize>>,
    /// By place in `todo`, those that are being judged.
    open: Vec<Mutex<Option<OpenSegment>>>,
    /// Segments that are judged and not written.
    waiting: Mutex<Group>,
    groups: Mutex<Groups>,
}

/// A segment that is being judged.
struct OpenSegment {
    lost: Arc<LostCopies>,
    group: Group,
}

/// What a segment's pages have lost, in the order of pages.
struct LostCopies {
    urls: Vec<Loser>,
    texts: Vec<Loser>,
}

/// Judges all pages that are not judged yet; gives all groups and what is known of them.
///
/// # Errors
/// The work folder cannot be read or written, or the build is asked to stop.
pub(crate) fn run(input: FinishInput<'_>) -> Result<(Groups, Summary), Error> {
    let mut repeated: HashMap<(u32, u32), Vec<usize>> = HashMap::new();
    for (rank, most) in input.repeated.iter().enumerate() {
        let Place { segment, page, .. } = most.winner;
        repeated.entry((segment, page)).or_default().push(rank);
    }
    let groups = Groups::of(input.work, input.origin)?;
    let before = groups.summary()?;
    input.ledger.remember(&before.drawn);
    let sentences = Sampler::new(1, SENTENCE_SAMPLE);
    for (priority, _) in &before.sentences {
        sentences.offer(0, *priority);
    }
    let done: HashSet<u32> = before.segments.iter().copied().collect();
    let all = 0..input.segments.all().len();
    let (done, todo): (Vec<usize>, Vec<usize>) = all.partition(|segment| done.contains(&(*segment as u32)));
    for segment in done {
        // The build may have been stopped before this.
        input.segments.remove(segment)?;
    }
    let pass = FinishPass {
        open: todo.iter().map(|_| Mutex::default()).collect(),
        waiting: Mutex::new(Group::new(input.layout)),
        groups: Mutex::new(groups),
        input,
        todo,
        sentences,
        repeated,
    };
    parallel::drain(&pass, pass.todo.len())?;
    let rest = std::mem::replace(&mut *lock(&pass.waiting), Group::new(pass.input.layout));
    if !rest.summary.segments.is_empty() {
        pass.write(rest)?;
    }
    if stop::asked() {
        return Err(Error::Stopped);
    }
    let groups = std::mem::take(&mut *lock(&pass.groups));
    let mut summary = groups.summary()?;
    let drawn = |(priority, _): &(u64, u64)| pass.sentences.holds(0, *priority);
    summary.sentences.retain(drawn);
    summary.sentences.sort_unstable();
    summary.repeated.sort_by_key(|(rank, _)| *rank);
    Ok((groups, summary))
}

impl Job for FinishPass<'_> {
    type Source = Frames<BufReader<File>>;
    type Batch = (Frame, Option<Large>);
    type Error = Error;

    fn stopped(&self) -> bool {
        stop::asked()
    }

    fn open(&self, index: usize) -> Result<Option<Self::Source>, Error> {
        let segment = self.todo[index];
        let lost = LostCopies {
            urls: self.input.urls.losers(segment)?,
            texts: match self.input.texts {
                Some(texts) => texts.losers(segment)?,
                None => Vec::new(),
            },
        };
        let open = OpenSegment {
            lost: Arc::new(lost),
            group: Group::new(self.input.layout),
        };
        *lock(&self.open[index]) = Some(open);
        Ok(Some(self.input.segments.pages(segment)?))
    }

    fn next(&self, _: usize, source: &mut Self::Source) -> Result<Option<Self::Batch>, Error> {
        let Some(head) = source.next_head()? else {
            return Ok(None);
        };
        let large = head.is_large().then(Large::wait);
        Ok(Some((source.body(head)?, large)))
    }

    fn is_large((_, large): &Self::Batch) -> bool {
        large.is_some()
    }

    fn work(&self, index: usize, _: u64, (frame, large): Self::Batch) -> Result<(), Error> {
        let segment = self.todo[index];
        let lost = lock(&self.open[index]).as_ref().map(|open| open.lost.clone());
        let Some(lost) = lost else {
            return Ok(());
        };
        let first = frame.number();
        let pages = frame.items::<WorkPage>(&self.input.segments.path(segment))?;
        drop(frame);
        let is_whole = pages.len() == self.input.segments.all()[segment].entry.pages as usize;
        let mut group = Group::new(self.input.layout);
        for (place, page) in (first..).zip(pages) {
            self.finish(PageAt::new(self, segment, place, &page), page, &lost, &mut group);
        }
        {
            let mut open = lock(&self.open[index]);
            let Some(open) = open.as_mut() else {
                return Ok(());
            };
            open.group.merge(group);
        }
        // The whole segment is put away before another thread may hold a large page.
        if large.is_some() && is_whole {
            Job::finish(self, index)?;
        }
        Ok(())
    }

    fn finish(&self, index: usize) -> Result<(), Error> {
        let Some(OpenSegment { mut group, .. }) = lock(&self.open[index]).take() else {
            return Ok(());
        };
        group.summary.segments.push(self.todo[index] as u32);
        let full = {
            let mut waiting = lock(&self.waiting);
            waiting.merge(group);
            if waiting.bytes() < self.input.group_bytes {
                return Ok(());
            }
            std::mem::replace(&mut *waiting, Group::new(self.input.layout))
        };
        self.write(full)
    }
}

/// A page and where it is.
struct PageAt<'a> {
    segment: u32,
    page: u32,
    label: &'a str,
    place: ledger::Place,
    priority: u64,
    record_offset: u64,
    dropped: Option<Reason>,
}

impl<'a> PageAt<'a> {
    fn new(pass: &FinishPass<'a>, segment: usize, place: u32, page: &WorkPage) -> PageAt<'a> {
        let archive = pass.input.segments.all()[segment].archive;
        PageAt {
            segment: segment as u32,
            page: place,
            label: &pass.input.inputs[archive as usize].label,
            place: ledger::Place {
                key: page.normalized,
                archive,
                order: page.order,
            },
            priority: sample::priority(page.owner, page.page.record_offset),
            record_offset: page.page.record_offset,
            dropped: page.dropped,
        }
    }
}

impl FinishPass<'_> {
    /// Writes a group; its segments are done then.
    fn write(&self, group: Group) -> Result<(), Error> {
        let segments = group.summary.segments.clone();
        {
            let mut groups = lock(&self.groups);
            group.write(self.input.work, &mut groups)?;
        }
        let remove = |segment: &u32| self.input.segments.remove(*segment as usize);
        Ok(segments.iter().try_for_each(remove)?)
    }

    /// Decides over one page, counts it, and notes what went.
    fn finish(&self, at: PageAt<'_>, mut page: WorkPage, lost: &LostCopies, found: &mut Group) {
        let newer = lost.urls.binary_search_by_key(&at.page, |loser| loser.page);
        let newer = newer.ok().map(|i| lost.urls[i].winner);
        let mut lines = page.lines;
        let text = std::mem::take(&mut page.page.text);
        let mut dropped_lines = std::mem::take(&mut page.dropped_lines);
        let judged = if let Some(newer) = newer {
            self.note_duplicate(&at, Reason::OlderCopy, 0, newer, found);
            lines = LineCounts::untouched(lines.total);
            dropped_lines.clear();
            // Whether the text of a page that failed a rule is here may be chance.
            let noted = at.dropped;
            let noted = noted.is_none_or(|reason| self.input.candidates.hold(reason, at.priority));
            let text = if noted { text } else { String::new() };
            Err((DroppedText::new(Reason::OlderCopy, text), None))
        } else if let Some(reason) = at.dropped {
            Err((DroppedText::new(reason, text), page.matched.take()))
        } else {
            self.input.progress.add(1);
            self.note_repeated(&at, &text, &page.page.url, found);
            let losers = of_page(&lost.texts, at.page);
            let statistics = &mut found.summary.statistics;
            let gone = |place: usize, line: &str, reason| {
                dropped_lines.push(WorkLine {
                    // Without line rules all lines are there.
                    number: *page.kept_lines.get(place).unwrap_or(&(place as u32)),
                    reason,
                    text: line.to_owned(),
                    matched: None,
                });
            };
            let copies: Vec<Lost> = losers.iter().map(|loser| lost_copy(&at, loser)).collect();
            let tally = &mut statistics.tally;
            let finisher = self.finisher();
            let judged = finisher
                .without_duplicates(text, &copies, &mut lines, tally, gone)
                .and_then(|text| finisher.judge_language(at.place.key, text, statistics));
            self.note_duplicates(&at, losers, &copies, found);
            judged.map_err(|gone| {
                let place = gone.place.clone();
                let matched = place.map(|place| ledger::matched(&gone.left.text, place));
                (gone, matched)
            })
        };
        let dropped = judged.as_ref().err().map(|(gone, _)| gone.reason);
        found.domains.page(&page.page.url, dropped);
        self.note_lines(&at, &page.page.url, dropped, dropped_lines, found);
        if dropped != Some(Reason::OlderCopy) {
            self.input.ledger.verdict(found, at.place, dropped);
        }
        match judged {
            Ok(judged) => self.keep(&at, page, judged, &lines, found),
            Err(gone) => self.drop_page(&at, &page, gone, &lines, found),
        }
    }

    fn keep(&self, at: &PageAt<'_>, page: WorkPage, judged: FinishedText, lines: &LineCounts, found: &mut Group) {
        let statistics = &mut found.summary.statistics;
        let known = (at.place.key, &*page.page.timestamp);
        let split = self.finisher().keep(known, &judged, lines, statistics);
        if self.sentences.offer(0, at.priority) {
            let sentences = |line| punkt::english().sentences(line).count() as u64;
            let sentences = judged.text.split('\n').map(sentences).sum();
            found.summary.sentences.push((at.priority, sentences));
        }
        let set = self.input.sets.place(&judged.language, split);
        *found.summary.sets.entry(set).or_default() += SetSize {
            rows: 1,
            text_bytes: judged.text.len() as u64,
        };
        let buckets = self.input.layout.rows;
        let slot = set * buckets + part(at.place.key, buckets);
        let row = WorkRow {
            key: at.place.key,
            archive: at.place.archive,
            page: Page {
                text: judged.text,
                ..page.page
            },
            language: judged.language,
            language_score: judged.probability as f32,
        };
        found.put(ROWS, slot, &row);
    }

    fn drop_page(
        &self,
        at: &PageAt<'_>,
        page: &WorkPage,
        (gone, matched): (DroppedText, Option<Matched>),
        lines: &LineCounts,
        found: &mut Group,
    ) {
        let reason = gone.reason;
        found.summary.statistics.tally.drop_page(reason, lines);
        // Pages of pass 1 are drawn among those that were noted there.
        let noted = at.dropped.is_none() || reason == Reason::OlderCopy;
        if !noted && !self.input.candidates.hold(reason, at.priority) {
            return;
        }
        let left = lines.left();
        self.input.ledger.page(found, at.place, (reason, at.priority), || {
            let text = self.input.candidates.text(&gone.left.text);
            let (matched, match_start) = ledger::split_match(matched.as_ref(), text);
            let whole = match at.dropped {
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
                url: page.page.url.clone(),
                timestamp: page.page.timestamp.clone(),
                language: gone.left.language.clone(),
                language_score: gone.left.probability as f32,
                lines: left.lines,
                chars: left.chars,
                words: left.words,
                archive: at.label.to_owned(),
                record_offset: at.record_offset,
            }
        });
    }

    /// Notes the lines that went while the page was in.
    fn note_lines(&self, at: &PageAt<'_>, url: &str, dropped: Option<Reason>, lines: Vec<WorkLine>, found: &mut Group) {
        for line in lines {
            let priority = sample::line_priority(at.priority, line.number);
            let of_rules = line.reason.stage() <= c4_filters::Stage::Rules;
            if of_rules && !self.input.candidates.hold(line.reason, priority) {
                continue;
            }
            let draw = (line.reason, priority);
            self.input.ledger.line(found, at.place, draw, line.number, || {
                let (matched, match_start) = ledger::split_match(line.matched.as_ref(), &line.text);
                DroppedLine {
                    reason: line.reason.code().to_owned(),
                    rule: line.reason.rule().to_owned(),
                    matched,
                    match_start,
                    text: line.text,
                    line: line.number,
                    page: dropped.map_or(KEPT, Reason::code).to_owned(),
                    url: url.to_owned(),
                    archive: at.label.to_owned(),
                    record_offset: at.record_offset,
                }
            });
        }
    }

    fn note_duplicate(&self, at: &PageAt<'_>, reason: Reason, position: u32, winner: Place, found: &mut Group) {
        if !self.input.ledger.is_kept() {
            return;
        }
        let archive = self.input.segments.all()[winner.segment as usize].archive;
        let row = Duplicate {
            reason: reason.code().to_owned(),
            archive: at.label.to_owned(),
            record_offset: at.record_offset,
            position,
            kept_archive: self.input.inputs[archive as usize].label.to_string(),
            kept_record_offset: winner.record_offset,
            kept_position: winner.position,
        };
        self.input.ledger.duplicate(found, at.place, row);
    }

    /// Notes the text of the most frequent duplicates where it stays.
    fn note_repeated(&self, at: &PageAt<'_>, text: &str, url: &str, found: &mut Group) {
        for &rank in self.repeated.get(&(at.segment, at.page)).into_iter().flatten() {
            let most = &self.input.repeated[rank];
            let first = most.winner.position as usize;
            let copy = match &self.input.recipe.dedup {
                Some(DedupStep::Spans { span_sentences, .. }) => {
                    let ranges = dedup::sentence_ranges(text).into_iter().flatten();
                    let span = ranges.skip(first).take(*span_sentences);
                    span.map(|range| &text[range]).collect::<Vec<_>>().join(" ")
                }
                _ => text.split('\n').nth(first).unwrap_or_default().to_owned(),
            };
            let repeated = RepeatedText {
                copies: most.copies.0,
                text: copy.chars().take(SHOWN_CHARS).collect(),
                url: url.to_owned(),
            };
            found.summary.repeated.push((rank, repeated));
        }
    }

    /// Notes the copies that go.
    fn note_duplicates(&self, at: &PageAt<'_>, losers: &[Loser], copies: &[Lost], found: &mut Group) {
        for (loser, lost) in losers.iter().zip(copies) {
            let reason = match (&self.input.recipe.dedup, lost.same_page) {
                (Some(DedupStep::Spans { .. }), _) => Reason::SpanDuplicate,
                (_, Some(_)) => Reason::LocalDuplicate,
                (_, None) => Reason::GlobalDuplicate,
            };
            self.note_duplicate(at, reason, loser.position, loser.winner, found);
        }
    }

    fn finisher(&self) -> Finisher<'_> {
        Finisher {
            recipe: self.input.recipe,
            bad_words: self.input.bad_words,
        }
    }
}

/// Those of one page.
fn of_page(losers: &[Loser], page: u32) -> &[Loser] {
    let start = losers.partition_point(|loser| loser.page < page);
    let losers = &losers[start..];
    &losers[..losers.partition_point(|loser| loser.page == page)]
}

/// A copy that goes, as seen from its page.
fn lost_copy(at: &PageAt<'_>, loser: &Loser) -> Lost {
    let winner = loser.winner;
    let same_page = (winner.segment, winner.page) == (at.segment, at.page);
    Lost {
        position: loser.position,
        same_page: same_page.then_some(winner.position),
    }
}
