//! Whether the files are there, and are those that the build wrote.

use super::corpus::places;
use super::report::{Check, Finding, Offence, not_checked};
use crate::error::Error;
use crate::terminal::progress::{Progress, Unit};
use crate::view::number::thousands;
use c4_data::ledger::{LEDGER_FOLDER, Table};
use c4_data::{BatchLimit, Error as DataError, Format, Lists, Manifest, ShardMeta, ShardReader, atomic_file};
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

/// A file by the manifest: name, bytes, SHA-256.
type Listed<'a> = (&'a str, u64, &'a str);

/// The checks of the files.
pub(crate) struct Files {
    pub checks: Vec<Check>,
    /// Whether each shard is what the build wrote, in the manifest's order.
    pub shards: Vec<bool>,
    /// Whether each file of the ledger is what the build wrote, in the manifest's order.
    pub ledger: Vec<bool>,
}

/// Checks sizes and checksums of all files. Reads every file once.
///
/// # Errors
/// The system refuses to read a file or folder.
pub(crate) fn files(dir: &Path, manifest: &Manifest) -> Result<Files, Error> {
    let shards = manifest.shards.iter();
    let shards: Vec<Listed<'_>> = shards.map(|s| (&*s.file, s.bytes, &*s.sha256)).collect();
    let files = manifest.ledger.files.iter();
    let files: Vec<Listed<'_>> = files.map(|f| (&*f.file, f.bytes, &*f.sha256)).collect();
    let bytes = |list: &[Listed<'_>]| list.iter().map(|(_, bytes, _)| bytes).sum::<u64>();
    let progress = Progress::new("checksums", Unit::Bytes, bytes(&shards) + bytes(&files));
    let check = |list: &[Listed<'_>]| -> Result<(Vec<bool>, Finding), Error> {
        let wrong: Vec<Option<Offence>> = list
            .par_iter()
            .map(|file| {
                let wrong = wrong(dir, *file);
                progress.add(file.1);
                wrong
            })
            .collect::<Result<_, Error>>()?;
        let sound = wrong.iter().map(Option::is_none).collect();
        Ok((sound, wrong.into_iter().flatten().collect()))
    };
    let counted = |list: &[Listed<'_>]| {
        let (files, bytes) = (thousands(list.len() as u64), thousands(bytes(list)));
        format!("{files} files, {bytes} bytes: sizes and SHA-256")
    };
    let (sound_shards, mut finding) = check(&shards)?;
    misnamed(manifest).into_iter().for_each(|o| finding.add(|| o));
    let mut checks = vec![finding.check("shard files", counted(&shards))];
    let (sound_ledger, finding) = check(&files)?;
    progress.finish();
    if !files.is_empty() {
        checks.push(finding.check("ledger files", counted(&files)));
    }
    let stray = stray(dir, manifest)?;
    checks.push(stray.check("other files", "no shards or tables but those of the manifest".into()));
    Ok(Files {
        checks,
        shards: sound_shards,
        ledger: sound_ledger,
    })
}

fn wrong(dir: &Path, (file, bytes, sha256): Listed<'_>) -> Result<Option<Offence>, Error> {
    let path = dir.join(file);
    let wrong = |what: String| Ok(Some(Offence::of_file(file, what)));
    let size = match std::fs::metadata(&path) {
        Ok(metadata) => metadata.len(),
        Err(e) if e.kind() == ErrorKind::NotFound => return wrong("is missing".into()),
        Err(e) => return Err(DataError::io(&path, "open")(e).into()),
    };
    if size != bytes {
        return wrong(format!("has {size} bytes, the manifest says {bytes}"));
    }
    if atomic_file::sha256_file(&path)? != sha256 {
        return wrong("has another SHA-256 than in the manifest: not what the build wrote".into());
    }
    Ok(None)
}

/// The shards whose name is not that of their place, or that are of one language where the recipe has no splits by
/// language, and the other way round.
fn misnamed(manifest: &Manifest) -> Vec<Offence> {
    let mut offences = Vec::new();
    for (shard, (i, count)) in manifest.shards.iter().zip(places(manifest)) {
        let name = manifest.format.file_name(shard.set(), i, count);
        if shard.file != name {
            let what = format!("stands in the manifest where {name} should");
            offences.push(Offence::of_file(&shard.file, what));
        }
        if shard.language.is_some() != manifest.recipe.split.by_language {
            let what = match &shard.language {
                Some(language) => {
                    format!("is for `{language}`, but the recipe has no splits by language")
                }
                None => "is for all languages, but the recipe has splits by language".to_owned(),
            };
            offences.push(Offence::of_file(&shard.file, what));
        }
    }
    offences
}

/// The shards and tables that the manifest does not list: a program that reads files by their names would read them,
/// too.
fn stray(dir: &Path, manifest: &Manifest) -> Result<Finding, Error> {
    let shards = manifest.shards.iter().map(|shard| shard.file.clone());
    let files = manifest.ledger.files.iter().map(|file| file.file.clone());
    let listed: BTreeSet<String> = shards.chain(files).collect();
    let mut found: Vec<String> = names(dir)?;
    found.retain(|name| Format::is_shard_name(name));
    let tables = names(&dir.join(LEDGER_FOLDER))?.into_iter();
    let tables = tables.filter(|name| Table::is_file_name(name));
    found.extend(tables.map(|name| format!("{LEDGER_FOLDER}/{name}")));
    found.sort_unstable();
    let what = "is not in the manifest; a program that reads files by their names would read it, too";
    let stray = found.iter().filter(|name| !listed.contains(*name));
    Ok(stray.map(|name| Offence::of_file(name, what)).collect())
}

fn names(dir: &Path) -> Result<Vec<String>, Error> {
    let entries = match std::fs::read_dir(dir) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(DataError::io(dir, "list"))?,
    };
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.map_err(DataError::io(dir, "list"))?;
        Ok(entry.file_name().to_string_lossy().into_owned())
    };
    entries.map(name).collect()
}

/// Checks that the recipe's hash in the manifest is that of the recipe in it; gives its lists, if they are at hand.
pub(crate) fn recipe(manifest: &Manifest, lists: &Path) -> (Check, Option<Lists>) {
    const NAME: &str = "recipe hash";
    let lists = match Lists::load(&manifest.recipe, lists) {
        Ok(lists) => lists,
        Err(e) => return (not_checked(NAME, e.to_string()), None),
    };
    let hash = manifest.recipe.hash(&lists);
    let mut finding = Finding::default();
    if hash != manifest.recipe_hash {
        finding.add(|| {
            let what = format!(
                "says {}, but the recipe in it (with its lists) has {hash}",
                manifest.recipe_hash
            );
            Offence::of_file(Manifest::FILE, what)
        });
    }
    let right = finding.offences == 0;
    let counted = format!("recipe {} with its lists", manifest.recipe.name);
    (finding.check(NAME, counted), right.then_some(lists))
}

/// Checks that the sound shards have the schema of the corpus, with the recipe's name and hash.
///
/// # Errors
/// The system refuses to read a file.
pub(crate) fn schemas(dir: &Path, manifest: &Manifest, sound: &[bool]) -> Result<Check, Error> {
    const NAME: &str = "schema";
    if manifest.format == Format::Jsonl {
        let why = "JSON lines have no schema, and hold text, timestamp and url only";
        return Ok(not_checked(NAME, why));
    }
    let meta = ShardMeta {
        recipe: manifest.recipe.name.clone(),
        recipe_hash: manifest.recipe_hash.clone(),
    };
    let shards = manifest.shards.iter().zip(sound).filter(|(_, sound)| **sound);
    let limit = BatchLimit::of(&manifest.recipe);
    let mut finding = Finding::default();
    let mut count = 0;
    for (shard, _) in shards {
        count += 1;
        let wrong = match ShardReader::open_within(&dir.join(&shard.file), limit) {
            Ok(reader) => reader.difference(&meta),
            Err(e) => Some(e.to_string()),
        };
        if let Some(what) = wrong {
            finding.add(|| Offence::of_file(&shard.file, what));
        }
    }
    let version = c4_data::schema::SCHEMA_VERSION;
    if manifest.versions.schema != version {
        finding.add(|| {
            let what = format!(
                "speaks of schema version {}, this program of {version}",
                manifest.versions.schema
            );
            Offence::of_file(Manifest::FILE, what)
        });
    }
    let counted = format!(
        "{} shards: columns, version {version}, recipe's name and hash",
        thousands(count)
    );
    Ok(finding.check(NAME, counted))
}
