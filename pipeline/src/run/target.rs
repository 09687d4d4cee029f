//! The build of one target, from what is checked before to what is judged in the end.

use super::clock::Clock;
use super::cut::Cut;
use super::{BuildOptions, Built, TargetOptions};
use crate::admission;
use crate::claim::{TextClaim, UrlClaim};
use crate::clean_pass::Target;
use crate::election::{Election, Older};
use crate::error::Error;
use crate::finish_pass::{self, FinishInput};
use crate::group::Groups;
use crate::ledger::{Candidates, Ledger};
use crate::memory::Memory;
use crate::output::{self, Found, Identity, InputIdentity, Output};
use crate::progress::{Progress, Unit};
use crate::segment::{ArchiveEntry, Segments, TEXTS, URLS};
use crate::sets::Sets;
use c4_data::{InputEntry, Manifest, ShardMeta};
use c4_filters::rules::bad_words::BadWords;
use c4_filters::{Admission, Statistics, guard};

/// What pass 1 has left of all archives.
pub(super) struct Cleaned {
    pub(super) segments: Segments,
    pub(super) entries: Vec<InputEntry>,
    pub(super) statistics: Statistics,
    pub(super) text_bytes: u64,
    pub(super) passed: u64,
    pub(super) warnings: Vec<String>,
}

/// What a target needs.
pub(super) enum Prepared<'a> {
    Done(Box<Manifest>),
    ToDo(Box<Build<'a>>),
}

/// The build of one target.
pub(super) struct Build<'a> {
    pub(super) options: &'a BuildOptions,
    pub(super) target: &'a TargetOptions,
    pub(super) admission: Admission,
    pub(super) bad_words: Option<BadWords>,
    pub(super) sets: Sets,
    pub(super) memory: Memory,
    pub(super) candidates: Candidates,
    pub(super) ledger: Ledger,
    pub(super) output: Output,
    pub(super) meta: ShardMeta,
    pub(super) clock: Clock,
}

impl<'a> Build<'a> {
    /// Checks everything and makes the folders.
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
        guard::check(recipe).map_err(|reason| c4_data::Error::Recipe {
            name: recipe.name.clone(),
            reason,
        })?;
        let bad_words = match &recipe.bad_words {
            None => None,
            Some(step) => {
                let compiled = BadWords::new(step, &target.lists);
                Some(compiled.map_err(|e| Error::WordLists {
                    recipe: recipe.name.clone(),
                    reason: e.to_string(),
                })?)
            }
        };
        let found = output::inspect(&target.output, &identity, options.overwrite)?;
        if let Found::Finished(manifest) = found {
            return Ok(Prepared::Done(manifest));
        }
        let clock = Clock::start();
        let work = options.work_dir.as_deref();
        let output = Output::prepare(&target.output, work, &identity, options.overwrite)?;
        Ok(Prepared::ToDo(Box::new(Build {
            options,
            target,
            admission: admission::load_within(recipe, &target.lists, options.memory_bytes / 4)?,
            bad_words,
            sets: Sets::of(recipe),
            memory,
            candidates: Candidates::new(options.ledger),
            ledger: Ledger::new(options.ledger),
            output,
            meta: ShardMeta {
                recipe: recipe.name.clone(),
                recipe_hash,
            },
            clock,
        })))
    }

    pub(super) fn as_target(&self) -> Target<'_> {
        Target {
            recipe: &self.target.recipe,
            admission: &self.admission,
            work: &self.output.work,
            candidates: &self.candidates,
        }
    }

    pub(super) fn archives_done(&self) -> impl Iterator<Item = usize> {
        let there = |archive: &usize| ArchiveEntry::is_there(&self.output.work, *archive);
        (0..self.options.inputs.len()).filter(there)
    }

    /// Archives that an earlier try went on without are to be tried again, and all that it did without them is
    /// to be done again.
    pub(super) fn forget_missing(&self) -> Result<(), Error> {
        let work = &self.output.work;
        let (mut missing, mut gone) = (Vec::new(), Vec::new());
        for archive in self.archives_done() {
            let entry = ArchiveEntry::read(work, archive)?;
            if entry.health.missing {
                missing.push(archive);
            } else if !entry.is_whole(work, archive) {
                // Segments that are judged are taken away.
                gone.push(archive);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        self.output.keep_archives_only()?;
        // The missing ones last: without them nobody would look for the others.
        let mut again = gone.into_iter().chain(missing);
        Ok(again.try_for_each(|archive| ArchiveEntry::remove(work, archive))?)
    }

    /// Says what of an earlier try is used.
    pub(super) fn tell_resumed(&self) -> Result<(), Error> {
        let work = &self.output.work;
        let archives = self.archives_done().count();
        if archives == 0 {
            return Ok(());
        }
        let all = self.options.inputs.len();
        let mut text = format!("{archives} of {all} archives read");
        let (mut done, mut units) = (archives, all);
        if let Some(cut) = Cut::read(work) {
            let ranges = cut.url_parts + cut.text_parts;
            let files = std::fs::read_dir(work).into_iter().flatten().flatten();
            let names = files.map(|file| file.file_name().to_string_lossy().into_owned());
            let ours = |name: &String| ["urls-", "texts-"].iter().any(|n| name.starts_with(n));
            let whole = names.filter(|name| ours(name) && !name.ends_with("partial"));
            let ranges_done = whole.count().min(ranges);
            let judged = Groups::of(work).summary()?.segments.len();
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
        let work = self.output.work.clone();
        let cut = Cut::of(&self, &cleaned)?;
        let election = |name, table, parts| Election {
            work: &work,
            name,
            segments: &cleaned.segments,
            table,
            parts,
            memory: cut.election_bytes,
        };
        let urls = election("urls", URLS, cut.url_parts);
        urls.run::<UrlClaim>(|_, _| true)?;
        self.clock.lap("newest page per URL");

        let texts = recipe.dedup.is_some();
        let texts = texts.then(|| election("texts", TEXTS, cut.text_parts));
        let mut repeated = Vec::new();
        if let Some(texts) = &texts {
            if texts.done() < texts.parts {
                let older = Older::read(&urls)?;
                texts.run::<TextClaim>(|segment, page| !older.holds(segment, page))?;
            }
            repeated = texts.repeated()?;
        }
        self.clock.lap("duplicates");

        let progress = Progress::new("judging", Unit::Items, cleaned.passed);
        let finished = finish_pass::run(FinishInput {
            recipe,
            bad_words: self.bad_words.as_ref(),
            inputs: &self.options.inputs,
            segments: &cleaned.segments,
            candidates: &self.candidates,
            urls: &urls,
            texts: texts.as_ref(),
            repeated: &repeated,
            work: &work,
            sets: &self.sets,
            layout: cut.layout,
            group_bytes: self.memory.group(cleaned.text_bytes),
            ledger: &self.ledger,
            progress: &progress,
        });
        progress.finish();
        let (groups, summary) = finished?;
        self.clock.lap("finish");
        self.write(cleaned, &cut, &groups, summary)
    }

    /// Reads what pass 1 has left.
    fn cleaned(&self) -> Result<Cleaned, Error> {
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
            entries.push(entry.health.entry(input));
            segments.push(entry.segments);
        }
        Ok(Cleaned {
            segments: Segments::new(work, segments.iter().map(Vec::as_slice)),
            entries,
            statistics,
            text_bytes,
            passed,
            warnings,
        })
    }
}
