//! The build of one target: what is checked before it, what is resumed, and passes 2 to 4.

use super::clock::PassClock;
use super::cut::Cut;
use super::{BuildOptions, Built, TargetOptions};
use crate::build::clean::Target;
use crate::build::dedup::{DedupPass, OlderPages};
use crate::build::finish::{self, FinishInput};
use crate::build::url_list;
use crate::corpus::{self, Identity, InputIdentity, OutputFolder, OutputState};
use crate::error::Error;
use crate::runtime::memory::Memory;
use crate::terminal::progress::{Progress, Unit};
use crate::work::dedup_key::{TextKey, UrlKey};
use crate::work::judged_group::JudgedGroups;
use crate::work::ledger::{BuildLedger, Candidates};
use crate::work::origin;
use crate::work::segment::{ArchiveEntry, Segments, TEXTS, URLS};
use crate::work::shard_sets::Sets;
use c4_data::{InputEntry, Manifest, ShardMeta};
use c4_filters::rules::bad_words::BadWords;
use c4_filters::{Admission, Statistics, expectations};
use std::collections::HashSet;

/// What pass 1 has left of all archives.
pub(super) struct CleanedArchives {
    pub(super) segments: Segments,
    pub(super) entries: Vec<InputEntry>,
    pub(super) statistics: Statistics,
    pub(super) text_bytes: u64,
    pub(super) passed: u64,
    pub(super) warnings: Vec<String>,
}

/// A target whose output folder was looked at: its corpus is finished, or to be built.
pub(super) enum Prepared<'a> {
    Done(Box<Manifest>),
    ToDo(Box<TargetBuild<'a>>),
}

/// The build of one target.
pub(super) struct TargetBuild<'a> {
    pub(super) options: &'a BuildOptions,
    pub(super) target: &'a TargetOptions,
    pub(super) admission: Admission,
    pub(super) bad_words: Option<BadWords>,
    pub(super) sets: Sets,
    pub(super) memory: Memory,
    pub(super) candidates: Candidates,
    pub(super) ledger: BuildLedger,
    pub(super) output: OutputFolder,
    pub(super) meta: ShardMeta,
    /// The stamps of the inputs when the build began.
    pub(super) stamps: Vec<String>,
    pub(super) clock: PassClock,
}

impl<'a> TargetBuild<'a> {
    /// Checks the recipe, its lists and the output folder, and makes the folders.
    pub(super) fn prepare(
        options: &'a BuildOptions,
        target: &'a TargetOptions,
        memory: Memory,
    ) -> Result<Prepared<'a>, Error> {
        let recipe = &target.recipe;
        let recipe_hash = recipe.hash(&target.lists);
        let identity = Identity {
            recipe: recipe.name.clone(),
            recipe_hash: recipe_hash.clone(),
            format: options.format,
            shard_size_bytes: options.shard_size_bytes,
            ledger: options.ledger,
            inputs: options
                .inputs
                .iter()
                .map(|input| InputIdentity {
                    name: input.label.to_string(),
                    bytes: input.bytes.unwrap_or(0),
                    stamp: input.stamp(),
                })
                .collect(),
        };
        expectations::check(recipe).map_err(|reason| c4_data::Error::Recipe {
            name: recipe.name.clone(),
            reason,
        })?;
        let bad_words = url_list::bad_words(recipe, &target.lists)?;
        let found = corpus::inspect(&target.output, &identity, options.overwrite)?;
        if let OutputState::Finished(manifest) = found {
            return Ok(Prepared::Done(manifest));
        }
        let clock = PassClock::start();
        let work = options.work_dir.as_deref();
        let output = OutputFolder::prepare(&target.output, work, &identity, options.overwrite)?;
        Ok(Prepared::ToDo(Box::new(TargetBuild {
            options,
            target,
            admission: url_list::load_within(recipe, &target.lists, options.memory_bytes / 4)?,
            bad_words,
            sets: Sets::of(recipe),
            memory,
            candidates: Candidates::new(options.ledger),
            ledger: BuildLedger::new(options.ledger),
            output,
            meta: ShardMeta {
                recipe: recipe.name.clone(),
                recipe_hash,
            },
            stamps: identity.inputs.into_iter().map(|i| i.stamp).collect(),
            clock,
        })))
    }

    pub(super) fn as_target(&self) -> Target<'_> {
        Target {
            recipe: &self.target.recipe,
            admission: &self.admission,
            work: &self.output.work,
            key: self.output.key,
            candidates: &self.candidates,
        }
    }

    pub(super) fn archives_done(&self) -> impl Iterator<Item = usize> {
        let there = |archive: &usize| ArchiveEntry::is_there(&self.output.work, *archive);
        (0..self.options.inputs.len()).filter(there)
    }

    /// Forgets what of an earlier try cannot be resumed, so that it is done again: archives that could not be fetched,
    /// unless that is allowed; archives whose segments somebody has removed. Segments that are judged are removed by
    /// the build itself, so if anything before that is to be done again, their archives are, too.
    pub(super) fn forget_what_is_missing(&self) -> Result<(), Error> {
        let work = &self.output.work;
        let (mut entries, mut missing) = (Vec::new(), Vec::new());
        for archive in 0..self.options.inputs.len() {
            let entry = self.entry(archive)?;
            if let Some(entry) = &entry {
                let numbers = entry.missing(work, archive)?;
                missing.extend(numbers.into_iter().map(|number| (archive, number)));
            } else {
                ArchiveEntry::remove(work, archive)?;
            }
            entries.push(entry);
        }
        if missing.is_empty() {
            return Ok(());
        }
        let entries: Option<Vec<ArchiveEntry>> = entries.into_iter().collect();
        if let Some(entries) = entries {
            let segments = entries.iter().map(|entry| &entry.segments[..]);
            let segments = Segments::new(work, segments);
            let judged = self.judged(&segments)?;
            let is_judged = |(archive, number): &(usize, usize)| {
                let place = segments.place(*archive, *number);
                place.is_some_and(|place| judged.contains(&(place as u32)))
            };
            if missing.iter().all(is_judged) {
                return Ok(());
            }
        }
        let name = &self.target.recipe.name;
        let folder = work.display();
        tracing::warn!("{name}: files of {folder} are gone or changed; what needs them is done again");
        self.output.keep_archives_only()?;
        let mut again = missing.into_iter();
        Ok(again.try_for_each(|(archive, _)| ArchiveEntry::remove(work, archive))?)
    }

    /// What pass 1 has left of an archive, if it can be used.
    fn entry(&self, archive: usize) -> Result<Option<ArchiveEntry>, Error> {
        let work = &self.output.work;
        if !ArchiveEntry::is_there(work, archive) {
            return Ok(None);
        }
        let may_miss = self.options.allow_missing;
        match ArchiveEntry::read(work, archive) {
            Ok(entry) if entry.build == self.output.key && (may_miss || !entry.health.missing) => Ok(Some(entry)),
            Ok(_) | Err(c4_data::Error::Format { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The numbers of the segments that are judged, by all that passes 2 and 3 have decided.
    fn judged(&self, segments: &Segments) -> Result<HashSet<u32>, Error> {
        let work = &self.output.work;
        let Some(cut) = Cut::read(work)? else {
            return Ok(HashSet::new());
        };
        let urls = self.urls(segments, &cut);
        if !urls.todo()?.is_empty() {
            return Ok(HashSet::new());
        }
        let texts = self.texts(segments, &cut, urls.id()?);
        if let Some(texts) = &texts
            && !texts.todo()?.is_empty()
        {
            return Ok(HashSet::new());
        }
        let groups = JudgedGroups::of(work, decided(&urls, texts.as_ref(), &cut)?, cut.layout)?;
        Ok(groups.summary()?.segments.into_iter().collect())
    }

    /// Pass 2.
    fn urls<'e>(&'e self, segments: &'e Segments, cut: &Cut) -> DedupPass<'e> {
        DedupPass {
            work: &self.output.work,
            name: "urls",
            segments,
            table: URLS,
            parts: cut.url_parts,
            memory: cut.dedup_bytes,
            origin: segments.id(self.output.key),
        }
    }

    /// Pass 3, after a pass 2 whose decisions have the hash `urls`; `None` for a recipe without dedup.
    fn texts<'e>(&'e self, segments: &'e Segments, cut: &Cut, urls: u64) -> Option<DedupPass<'e>> {
        self.target.recipe.dedup.as_ref()?;
        Some(DedupPass {
            name: "texts",
            table: TEXTS,
            parts: cut.text_parts,
            origin: urls,
            ..self.urls(segments, cut)
        })
    }

    /// Logs how much of an earlier try is used.
    pub(super) fn report_resumed(&self) -> Result<(), Error> {
        let work = &self.output.work;
        let archives = self.archives_done().count();
        if archives == 0 {
            return Ok(());
        }
        let all = self.options.inputs.len();
        let mut text = format!("{archives} of {all} archives read");
        let (mut done, mut units) = (archives, all);
        if let Some(cut) = Cut::read(work)? {
            let ranges = cut.url_parts + cut.text_parts;
            let files = std::fs::read_dir(work).into_iter().flatten().flatten();
            let names = files.map(|file| file.file_name().to_string_lossy().into_owned());
            let ours = |name: &String| ["urls-", "texts-"].iter().any(|n| name.starts_with(n));
            let whole = names.filter(|name| ours(name) && !name.ends_with("partial"));
            let ranges_done = whole.count().min(ranges);
            let mut judged = 0;
            for archive in self.archives_done() {
                judged += ArchiveEntry::read(work, archive)?.missing(work, archive)?.len();
            }
            let shards = self.output.entries_done()?;
            text += &format!(
                ", {ranges_done} of {ranges} ranges of keys compared, {judged} of {} segments \
                 judged, {shards} files written",
                cut.segments
            );
            done += ranges_done + judged + shards;
            units += ranges + cut.segments + shards;
        }
        let name = &self.target.recipe.name;
        tracing::info!("{name}: resumed: {done} of {units} units ({text})");
        Ok(())
    }

    pub(super) fn run(mut self) -> Result<Built, Error> {
        self.clock.leave_out_the_wait();
        let recipe = &self.target.recipe;
        let cleaned = self.cleaned()?;
        let cut = Cut::of(&self, &cleaned)?;
        let mut clock = self.clock.clone();
        let urls = self.urls(&cleaned.segments, &cut);
        urls.run::<UrlKey>(|_, _| true)?;
        clock.lap("newest page per URL");

        let texts = self.texts(&cleaned.segments, &cut, urls.id()?);
        let mut repeated = Vec::new();
        if let Some(texts) = &texts {
            if !texts.todo()?.is_empty() {
                let older = OlderPages::read(&urls)?;
                texts.run::<TextKey>(|segment, page| !older.holds(segment, page))?;
            }
            repeated = texts.repeated()?;
        }
        clock.lap("duplicates");

        let progress = Progress::new("judging", Unit::Items, cleaned.passed);
        let finished = finish::run(FinishInput {
            recipe,
            bad_words: self.bad_words.as_ref(),
            inputs: &self.options.inputs,
            segments: &cleaned.segments,
            candidates: &self.candidates,
            urls: &urls,
            texts: texts.as_ref(),
            repeated: &repeated,
            work: &self.output.work,
            origin: decided(&urls, texts.as_ref(), &cut)?,
            sets: &self.sets,
            layout: cut.layout,
            group_bytes: self.memory.group(cleaned.text_bytes),
            ledger: &self.ledger,
            progress: &progress,
        });
        progress.finish();
        let (groups, summary) = finished?;
        clock.lap("finish");
        self.clock = clock;
        self.write(cleaned, &groups, summary)
    }

    /// Reads what pass 1 has left.
    fn cleaned(&self) -> Result<CleanedArchives, Error> {
        let inputs = &self.options.inputs;
        let work = &self.output.work;
        let mut statistics = Statistics::default();
        let (mut text_bytes, mut passed) = (0, 0);
        let (mut entries, mut segments, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
        for (archive, input) in inputs.iter().enumerate() {
            let entry = ArchiveEntry::read(work, archive)?;
            if entry.segments.is_empty() && entry.health.failed.is_none() {
                warnings.push(format!("{}: gave no page", input.label));
            }
            statistics += entry.statistics;
            text_bytes += entry.text_bytes;
            passed += entry.passed;
            entries.push(entry.health.entry(&input.label, input.bytes));
            segments.push(entry.segments);
        }
        Ok(CleanedArchives {
            segments: Segments::new(work, segments.iter().map(Vec::as_slice)),
            entries,
            statistics,
            text_bytes,
            passed,
            warnings,
        })
    }
}

/// The hash of all that passes 2 and 3 have decided, and of how the rest is cut.
fn decided(urls: &DedupPass<'_>, texts: Option<&DedupPass<'_>>, cut: &Cut) -> Result<u64, Error> {
    let last = texts.unwrap_or(urls);
    Ok(origin([last.id()?, cut.id()]))
}
