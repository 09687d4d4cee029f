//! Reading the manifest and the statistics of a finished corpus.

use super::identity::Mark;
use super::{STATS_FILE, WORK};
use crate::error::Error;
use crate::work::segment::ArchiveEntry;
use c4_data::{Error as DataError, Manifest, fs as c4_fs};
use serde_json::Value;
use std::fs;
use std::path::Path;

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

/// The content of `stats.json` of a finished corpus, as bytes and as JSON.
///
/// # Errors
/// The file cannot be read, or is not what the build wrote.
pub(crate) fn read_stats(dir: &Path, manifest: &Manifest) -> Result<(Vec<u8>, Value), Error> {
    let path = dir.join(STATS_FILE);
    let bytes = fs::read(&path).map_err(DataError::io(&path, "read"))?;
    let reason = match serde_json::from_slice(&bytes) {
        Ok(value) if c4_fs::sha256_hex(&bytes) == manifest.stats_sha256 => {
            if can_be_added(&value) {
                return Ok((bytes, value));
            }
            "holds a number that no build counts to (above 2^53)"
        }
        _ => "is not what the build wrote (its checksum differs); build it again",
    };
    Err(Error::Output {
        path,
        reason: reason.into(),
    })
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
