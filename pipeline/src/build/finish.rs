//! Pass 4: what is left of each page without its duplicates; language, bad words, split; rows. Here
//! every page is counted, and what is dropped is noted in the ledger ([`page`]).
//!
//! A segment is a unit of work; it is done when the group that it is in is written
//! ([`judged_group`](crate::work::judged_group)).

mod page;

use crate::build::dedup::{DedupPass, RepeatedKey};
use crate::error::Error;
use crate::input::Input;
use crate::runtime::memory::Large;
use crate::runtime::parallel::{self, Job, lock};
use crate::runtime::stop;
use crate::terminal::progress::Progress;
use crate::work::block::{Frame, Frames};
use crate::work::dedup_key::{CopyPlace, DroppedCopy};
use crate::work::intermediate::WorkPage;
use crate::work::judged_group::{JudgedGroup, JudgedGroups, Layout, Summary};
use crate::work::ledger::{BuildLedger, Candidates};
use crate::work::sample::Sampler;
use crate::work::segment::Segments;
use crate::work::shard_sets::Sets;
use c4_data::Recipe;
use c4_filters::rules::bad_words::BadWords;
use page::PageAt;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// How many pages' sentences are counted.
const SENTENCE_SAMPLE: usize = 1000;

/// What the pass needs from those before it.
pub(crate) struct FinishInput<'a> {
    pub recipe: &'a Recipe,
    /// The recipe's compiled word lists; `None` if it has none.
    pub bad_words: Option<&'a BadWords>,
    pub inputs: &'a [Input],
    pub segments: &'a Segments,
    /// What pass 1 has noted for the ledger.
    pub candidates: &'a Candidates,
    /// Pass 2.
    pub urls: &'a DedupPass<'a>,
    /// Pass 3; `None` for a recipe without dedup.
    pub texts: Option<&'a DedupPass<'a>>,
    /// The keys with most copies.
    pub repeated: &'a [RepeatedKey],
    pub work: &'a Path,
    /// The hash of all that the passes before have decided.
    pub origin: u64,
    /// The sets that rows belong to.
    pub sets: &'a Sets,
    pub layout: Layout,
    /// The bytes of a group in memory, from which on it is written.
    pub group_bytes: u64,
    pub ledger: &'a BuildLedger,
    /// Counts the pages that passed the rules.
    pub progress: &'a Progress,
}

struct FinishPass<'a> {
    input: FinishInput<'a>,
    /// The numbers of the segments that are to be judged.
    todo: Vec<usize>,
    sentences: Sampler,
    /// Which of the most repeated keys, by rank, have their kept copies on a page (segment, page).
    repeated: HashMap<(u32, u32), Vec<usize>>,
    /// The segments that are being judged, by place in `todo`.
    open: Vec<Mutex<Option<OpenSegment>>>,
    /// What is judged and not written.
    waiting: Mutex<JudgedGroup>,
    groups: Mutex<JudgedGroups>,
}

/// A segment that is being judged.
struct OpenSegment {
    copies: Arc<DroppedCopies>,
    group: JudgedGroup,
}

/// The copies of a segment that passes 2 and 3 drop, in the order of pages.
struct DroppedCopies {
    urls: Vec<DroppedCopy>,
    texts: Vec<DroppedCopy>,
}

/// Judges all pages that are not judged yet; returns all groups, and their summaries merged.
///
/// # Errors
/// The work folder cannot be read or written, or the build is asked to stop.
pub(crate) fn run(input: FinishInput<'_>) -> Result<(JudgedGroups, Summary), Error> {
    let mut repeated: HashMap<(u32, u32), Vec<usize>> = HashMap::new();
    for (rank, most) in input.repeated.iter().enumerate() {
        let CopyPlace { segment, page, .. } = most.kept;
        repeated.entry((segment, page)).or_default().push(rank);
    }
    let groups = JudgedGroups::of(input.work, input.origin, input.layout)?;
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
        waiting: Mutex::new(JudgedGroup::new(input.layout)),
        groups: Mutex::new(groups),
        input,
        todo,
        sentences,
        repeated,
    };
    parallel::drain(&pass, pass.todo.len())?;
    let rest = std::mem::replace(&mut *lock(&pass.waiting), JudgedGroup::new(pass.input.layout));
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
        let copies = DroppedCopies {
            urls: self.input.urls.dropped(segment)?,
            texts: match self.input.texts {
                Some(texts) => texts.dropped(segment)?,
                None => Vec::new(),
            },
        };
        let open = OpenSegment {
            copies: Arc::new(copies),
            group: JudgedGroup::new(self.input.layout),
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
        let copies = lock(&self.open[index]).as_ref().map(|open| open.copies.clone());
        let Some(copies) = copies else {
            return Ok(());
        };
        let first = frame.number();
        let pages = frame.items::<WorkPage>(&self.input.segments.path(segment))?;
        drop(frame);
        let is_whole = pages.len() == self.input.segments.all()[segment].entry.pages as usize;
        let mut group = JudgedGroup::new(self.input.layout);
        for (number, page) in (first..).zip(pages) {
            self.judge(PageAt::new(self, segment, number, page), &copies, &mut group);
        }
        {
            let mut open = lock(&self.open[index]);
            let Some(open) = open.as_mut() else {
                return Ok(());
            };
            open.group.merge(group);
        }
        // A whole segment is merged and may be written before another thread may hold a large page.
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
            std::mem::replace(&mut *waiting, JudgedGroup::new(self.input.layout))
        };
        self.write(full)
    }
}

impl FinishPass<'_> {
    /// Writes a group, and removes its segments, which are done.
    fn write(&self, group: JudgedGroup) -> Result<(), Error> {
        let segments = group.summary.segments.clone();
        {
            let mut groups = lock(&self.groups);
            group.write(self.input.work, &mut groups)?;
        }
        let remove = |segment: &u32| self.input.segments.remove(*segment as usize);
        Ok(segments.iter().try_for_each(remove)?)
    }
}
