//! Reading the manifest and the statistics of a finished corpus.

use super::WORK;
use super::identity::Mark;
use crate::error::Error;
use crate::work::segment::ArchiveEntry;
use c4_data::{Error as DataError, Manifest, Stats, atomic_file};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// The manifest of a finished corpus.
///
/// # Errors
/// The folder holds no finished corpus (the error says what it holds instead), or the manifest cannot be read.
pub(crate) fn finished(dir: &Path) -> Result<Manifest, DataError> {
    if let Some(manifest) = Manifest::read(dir)? {
        return Ok(manifest);
    }
    let mut reason = format!("holds no finished corpus (no {})", Manifest::FILE);
    let work = dir.join(WORK);
    if let Some(mark) = Mark::read(&work)? {
        let (archives, work) = (mark.identity.inputs.len(), mark.folder(&work));
        let read = (0..archives).filter(|archive| ArchiveEntry::is_there(&work, *archive));
        reason += &match read.count() {
            0 => format!(", but one of recipe {} that was begun", mark.identity.recipe),
            read => format!(
                ", but one of recipe {} that was begun: {read} of {archives} archives are read",
                mark.identity.recipe
            ),
        };
        reason += "; the same `c4 build` goes on with it";
    }
    let folders = fs::read_dir(dir).into_iter().flatten().flatten();
    let corpora = folders.filter(|entry| entry.path().join(Manifest::FILE).exists());
    let mut corpora: Vec<String> = corpora
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    corpora.sort_unstable();
    if !corpora.is_empty() {
        reason += &format!("; there are some in folders of it: {}", corpora.join(", "));
    }
    Err(DataError::Format {
        path: dir.to_owned(),
        reason,
    })
}

/// The path of a file of a finished corpus, once its checksum was found to be right. Reads the file once.
///
/// # Errors
/// The file cannot be read, or is not what the build wrote.
pub(crate) fn checked_file(dir: &Path, file: &str, sha256: &str) -> Result<PathBuf, DataError> {
    let path = dir.join(file);
    if atomic_file::sha256_file(&path)? == sha256 {
        return Ok(path);
    }
    let reason = format!(
        "is not what the build wrote (its checksum differs from {}); build it again",
        Manifest::FILE
    );
    Err(DataError::Format { path, reason })
}

/// The statistics of a finished corpus: the bytes of `stats.json`, and what they say.
///
/// # Errors
/// The file cannot be read, or is not what the build wrote.
pub(crate) fn read_stats(dir: &Path, manifest: &Manifest) -> Result<(Vec<u8>, Stats), Error> {
    let path = dir.join(Stats::FILE);
    let bytes = fs::read(&path).map_err(DataError::io(&path, "read"))?;
    let wrong = |reason: &str| Error::Output {
        path: path.clone(),
        reason: reason.into(),
    };
    let value: Value = match serde_json::from_slice(&bytes) {
        Ok(value) if atomic_file::sha256_hex(&bytes) == manifest.stats_sha256 => value,
        _ => {
            return Err(wrong(
                "is not what the build wrote (its checksum differs); build it again",
            ));
        }
    };
    if !can_be_added(&value) {
        return Err(wrong("holds a number that no build counts to (above 2^53)"));
    }
    let stats = serde_json::from_value(value).map_err(|cause| Error::Shape {
        file: Stats::FILE,
        cause,
    })?;
    Ok((bytes, stats))
}

/// Whether all counts are at most 2^53, so that sums of them neither overflow nor lose digits.
fn can_be_added(value: &Value) -> bool {
    match value {
        Value::Number(n) => n.as_u64().is_none_or(|n| n <= 1 << 53),
        Value::Array(items) => items.iter().all(can_be_added),
        Value::Object(fields) => fields.values().all(can_be_added),
        _ => true,
    }
}
