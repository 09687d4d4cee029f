//! Pass 5: the shards, the ledger, the statistics, and last the manifest.

use super::Built;
use super::clock::unix_seconds;
use super::target::{CleanedArchives, TargetBuild};
use crate::corpus::{self, WrittenFile};
use crate::error::Error;
use crate::runtime::parallel;
use crate::runtime::stop;
use crate::runtime::usage;
use crate::terminal::progress::{Progress, Unit};
use crate::work::buckets::Buckets;
use crate::work::intermediate::WorkRow;
use crate::work::judged_group::{JudgedGroups, ROWS, Summary};
use crate::work::shard_sets::SetSizes;
use c4_data::ledger::Table;
use c4_data::schema::SCHEMA_VERSION;
use c4_data::shard::{self, EncodedBatch};
use c4_data::{
    Document, DuplicateStats, LedgerEntry, LedgerFile, Manifest, ShardEntry, ShardSet, ShardWriter, Stats, Versions,
    atomic_file,
};
use c4_filters::expectations;
use rayon::prelude::*;
use serde_json::{Value, json};

/// Indented JSON with a line end.
fn pretty(value: &Value) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

impl TargetBuild<'_> {
    /// Writes the corpus: shards, ledger, statistics, manifest; then removes the work folder.
    pub(super) fn write(
        mut self,
        cleaned: CleanedArchives,
        groups: &JudgedGroups,
        summary: Summary,
    ) -> Result<Built, Error> {
        let recipe = &self.target.recipe;
        let mut warnings = cleaned.warnings;
        let mut statistics = cleaned.statistics;
        statistics += summary.statistics;
        statistics.tally.listed_urls = self.admission.listed_urls();
        let tally = &statistics.tally;
        tally.check().map_err(Error::Tally)?;
        warnings.extend(expectations::warnings(tally, recipe));

        let shards = self.write_shards(groups, &summary.sets)?;
        self.clock.lap("shards");
        let ledger = self.write_ledger(groups)?;
        self.clock.lap("ledger");

        let mut manifest = Manifest {
            versions: Versions {
                program: env!("CARGO_PKG_VERSION").to_owned(),
                schema: SCHEMA_VERSION,
            },
            recipe_hash: self.meta.recipe_hash.clone(),
            recipe: recipe.clone(),
            format: self.options.format,
            shard_size_bytes: self.options.shard_size_bytes,
            inputs: cleaned.entries,
            shards,
            ledger,
            stats_sha256: String::new(),
        };
        let domains = groups.domains()?;
        let sentences: Vec<u64> = summary.sentences.iter().map(|(_, n)| *n).collect();
        let duplicates = summary.repeated.iter().map(|(_, repeated)| DuplicateStats {
            copies: repeated.copies,
            text: repeated.text.clone(),
            url: repeated.url.clone(),
        });
        let stats = Stats {
            recipe_hash: manifest.recipe_hash.clone(),
            warnings: warnings.clone(),
            duplicates: duplicates.collect(),
            ..statistics.to_stats(recipe, &domains, &sentences)
        };
        let stats = stats.to_file();
        manifest.stats_sha256 = atomic_file::sha256_hex(&stats);
        if stop::asked() {
            return Err(Error::Stopped);
        }
        self.output.replace(&manifest)?;
        let wall_seconds = self.clock.seconds();
        self.write_reports(&manifest, &stats, wall_seconds)?;
        self.output.clear()?;
        Ok(Built {
            manifest,
            tally: statistics.tally,
            warnings,
            wall_seconds,
        })
    }

    fn write_ledger(&self, groups: &JudgedGroups) -> Result<LedgerEntry, Error> {
        let mut entry = LedgerEntry {
            mode: self.options.ledger,
            seed: crate::work::sample::SEED,
            files: Vec::new(),
        };
        if !self.ledger.is_kept() {
            return Ok(entry);
        }
        let table = |table: Table| -> Result<Vec<LedgerFile>, Error> {
            let folder = &self.output.ledger;
            let name = table.file_name(0);
            let (output, origin) = (&self.output, groups.origin);
            if let Some(done) = output.done(&name, origin, folder, |files: &Vec<_>| written_files(files))? {
                return Ok(done);
            }
            if stop::asked() {
                return Err(Error::Stopped);
            }
            let files = self.ledger.write(table, groups, folder)?;
            output.set_done(&name, origin, &files, folder, |files| written_files(files))?;
            Ok(files)
        };
        let tables = parallel::each(Table::ALL.len(), |i| table(Table::ALL[i]))?;
        entry.files = tables.into_iter().flatten().collect();
        Ok(entry)
    }

    fn write_shards(&self, groups: &JudgedGroups, sizes: &SetSizes) -> Result<Vec<ShardEntry>, Error> {
        let mut list = Vec::new();
        for (place, set) in self.sets.written(sizes) {
            let size = sizes.get(&place).copied().unwrap_or_default();
            let shard_bytes = self.options.shard_size_bytes.max(1);
            let count = size.text_bytes.div_ceil(shard_bytes).max(1) as usize;
            list.extend((0..count).map(|i| (place, set, size, i, count)));
        }
        let progress = Progress::new("writing", Unit::Items, list.len() as u64);
        let shards = parallel::each(list.len(), |shard| {
            let (place, set, size, i, count) = list[shard];
            let layout = groups.layout;
            let buckets = Buckets::new(groups, ROWS, layout.first_slot(place), layout.rows)
                .at_once(size.memory(), self.memory.bucket());
            let shard = self.write_shard(&buckets, set, i, count);
            progress.add(1);
            shard
        });
        progress.finish();
        shards
    }

    fn write_shard(
        &self,
        buckets: &Buckets<'_, WorkRow>,
        set: ShardSet<'_>,
        index: usize,
        count: usize,
    ) -> Result<ShardEntry, Error> {
        let format = self.options.format;
        let name = format.file_name(set, index, count);
        let (output, origin) = (&self.output, buckets.groups.origin);
        if let Some(done) = output.done(&name, origin, &output.whole, written_shard)? {
            return Ok(done);
        }
        if stop::asked() {
            return Err(Error::Stopped);
        }
        let target = self.output.whole.join(&name);
        let mut writer = ShardWriter::create(&target, &self.output.partial, format, set, &self.meta)?;
        let mut waiting = Vec::new();
        let mut write = |waiting: &mut Vec<Document>, more_may_come| -> Result<(), Error> {
            let next = || shard::next_batch(waiting, more_may_come);
            let batches: Vec<Vec<Document>> = std::iter::from_fn(next).collect();
            // Compression is most of the work; a shard's batches share the cores.
            let encoded: Vec<EncodedBatch> = batches
                .into_par_iter()
                .map(|batch| shard::encode(format, &self.meta, &batch))
                .collect::<Result<_, _>>()?;
            encoded.into_iter().try_for_each(|batch| Ok(writer.append(batch)?))
        };
        buckets.read(index, count, |rows| {
            waiting.extend(rows.into_iter().map(|row| self.document(row)));
            write(&mut waiting, true)
        })?;
        write(&mut waiting, false)?;
        let entry = writer.finish()?;
        stop::crash_point("shard");
        output.set_done(&name, origin, &entry, &output.whole, written_shard)?;
        Ok(entry)
    }

    fn document(&self, row: WorkRow) -> Document {
        Document {
            page: row.page,
            archive: self.options.inputs[row.archive as usize].label.clone(),
            language: row.language,
            language_score: row.language_score,
        }
    }

    /// Writes `stats.json` and `run.json`, and last the manifest.
    fn write_reports(&self, manifest: &Manifest, stats: &[u8], wall_seconds: f64) -> Result<(), Error> {
        let options = self.options;
        let by_pass = |laps: &[(&str, f64)]| -> Value {
            let pass = |(name, seconds): &(&str, f64)| ((*name).to_owned(), json!(seconds));
            Value::Object(laps.iter().map(pass).collect())
        };
        let run = json!({
            "output": self.target.output.to_string_lossy(),
            "inputs": options.inputs.iter().map(|i| i.location.to_string()).collect::<Vec<_>>(),
            "started_unix_seconds": self.clock.started_unix,
            "finished_unix_seconds": unix_seconds(),
            "input_stamps": self.stamps,
            "wall_seconds": wall_seconds,
            "wall_seconds_by_pass": by_pass(&self.clock.laps),
            "cpu_seconds_by_pass": by_pass(&self.clock.cpu_laps),
            "cpu_seconds": usage::cpu_seconds(),
            "peak_memory_bytes": usage::peak_memory_bytes(),
            "memory_budget_bytes": options.memory_bytes,
            "threads": rayon::current_num_threads(),
        });
        for (file, bytes) in [(Stats::FILE, stats), (corpus::RUN_FILE, &pretty(&run))] {
            c4_data::atomic_file::write_atomic(&self.output.dir.join(file), bytes)?;
        }
        Ok(manifest.write(&self.output.dir)?)
    }
}

fn written_shard(shard: &ShardEntry) -> Vec<WrittenFile<'_>> {
    vec![WrittenFile {
        file: &shard.file,
        bytes: shard.bytes,
        sha256: &shard.sha256,
    }]
}

fn written_files(files: &[LedgerFile]) -> Vec<WrittenFile<'_>> {
    let written = files.iter().map(|file| WrittenFile {
        file: &file.file,
        bytes: file.bytes,
        sha256: &file.sha256,
    });
    written.collect()
}
