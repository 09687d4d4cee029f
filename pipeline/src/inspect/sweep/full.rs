//! A sweep over all steps: for each recipe a whole build in a folder that is removed afterwards.

use super::{Kept, Swept};
use crate::build::{BuildOptions, Outcome, SHARD_SIZE_BYTES, TargetOptions, build};
use crate::error::Error;
use crate::input::Input;
use crate::remote::RemoteOptions;
use crate::runtime::memory;
use c4_data::{Error as DataError, Format, LedgerMode, Lists, Recipe, ShardReader};
use c4_filters::{TextSize, url};
use std::fs;
use std::path::{Path, PathBuf};

/// Options of a sweep over all steps.
#[derive(Debug)]
pub struct FullOptions<'a> {
    /// The recipes, which all read as the first does.
    pub recipes: &'a [Recipe],
    /// The folder of their lists.
    pub lists: &'a Path,
    /// The archives.
    pub inputs: &'a [Input],
    /// The number of threads; 0: one a core.
    pub threads: usize,
    /// The folder for corpora and intermediate files, in a folder of their own that is removed at the end; `None`: the
    /// system's folder for temporary files.
    pub work_dir: Option<&'a Path>,
}

/// Builds with each recipe, one after the other, and counts what is in the corpora. The archives are read once more for
/// the pages of each domain. One corpus at a time is on disk. If the process is killed, a folder `c4-sweep-...` is left
/// behind.
///
/// # Errors
/// The errors of [`build`], a list that is missing, a work folder that cannot be written.
pub fn sweep_full(options: &FullOptions<'_>) -> Result<Swept, Error> {
    let lists = options
        .recipes
        .iter()
        .map(|recipe| Lists::load(recipe, options.lists))
        .collect::<Result<Vec<_>, _>>()?;
    let folder = WorkFolder::create(options.work_dir)?;
    let first = options.recipes.get(..1).unwrap_or_default();
    let mut swept = super::sweep(first, options.inputs, options.threads)?;
    swept.kept.clear();
    swept.domains.iter_mut().for_each(|d| d.kept.clear());
    for (i, (recipe, lists)) in options.recipes.iter().zip(lists).enumerate() {
        tracing::info!("build {} of {}", i + 1, options.recipes.len());
        let output = folder.path.join(i.to_string());
        let mut outcome = build(&BuildOptions {
            targets: vec![TargetOptions {
                recipe: recipe.clone(),
                lists,
                output: output.clone(),
            }],
            inputs: options.inputs.to_vec(),
            format: Format::Arrow,
            shard_size_bytes: SHARD_SIZE_BYTES,
            threads: options.threads,
            memory_bytes: memory::default_budget(),
            work_dir: None,
            overwrite: false,
            ledger: LedgerMode::None,
            remote: RemoteOptions::default(),
            allow_missing: false,
        })?;
        let (manifest, lines) = match outcome.pop() {
            Some(Outcome::Built(built)) => (built.manifest, built.tally.lines_out.lines),
            _ => {
                return Err(Error::Output {
                    path: output,
                    reason: "was made by another process meanwhile".to_owned(),
                });
            }
        };
        let mut sum = Kept::default();
        swept.domains.iter_mut().for_each(|d| d.kept.push(Kept::default()));
        for shard in &manifest.shards {
            for document in ShardReader::open(&output.join(&shard.file))? {
                let page = document?.page;
                let text = TextSize::of_text(&page.text);
                let kept = Kept {
                    pages: 1,
                    lines: text.lines,
                    characters: text.chars,
                };
                sum += kept;
                let name = url::domain(&page.url);
                let known = swept.domains.iter_mut().find(|d| d.domain == name);
                if let Some(kept_there) = known.and_then(|d| d.kept.last_mut()) {
                    *kept_there += kept;
                }
            }
        }
        sum.lines = lines;
        swept.kept.push(sum);
        fs::remove_dir_all(&output).map_err(DataError::io(&output, "remove"))?;
    }
    Ok(swept)
}

/// A folder of our own, removed with its content when this is dropped.
struct WorkFolder {
    path: PathBuf,
}

impl WorkFolder {
    fn create(below: Option<&Path>) -> Result<WorkFolder, Error> {
        let below = match below {
            Some(dir) => dir.to_owned(),
            None => std::env::temp_dir(),
        };
        fs::create_dir_all(&below).map_err(DataError::io(&below, "create"))?;
        let mut n = 0;
        loop {
            let path = below.join(format!("c4-sweep-{}-{n}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(WorkFolder { path }),
                // Somebody else's, or of a process that was killed.
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => n += 1,
                Err(e) => return Err(DataError::io(&path, "create")(e).into()),
            }
        }
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        if let Err(e) = fs::remove_dir_all(&self.path) {
            tracing::warn!("{}: cannot remove: {e}", self.path.display());
        }
    }
}
