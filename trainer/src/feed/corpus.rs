//! Corpora as lists of documents to read: which shards, which of their documents.

use super::Source;
use crate::Error;
use c4_data::{BatchLimit, Manifest, ShardEntry, ShardReader, Split};
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// What a feed reads, of one source or of one language of it.
#[derive(Debug, Clone, PartialEq)]
pub struct CorpusInfo {
    /// The folder, and the language if it has shards by language.
    pub name: String,
    /// Documents of an epoch (blank ones included).
    pub documents: u64,
    /// Bytes of text of the shards they are in.
    pub text_bytes: u64,
    /// Share of the feed's examples.
    pub share: f64,
    /// What its validation documents are.
    pub validation: Validation,
}

/// Where validation documents come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validation {
    /// From the corpus's validation shards.
    Own {
        /// How many there are.
        documents: u64,
    },
    /// The corpus has none, so the first of its train documents are held out from training. `c4` writes documents by the
    /// MD5 of their URL, so these are the ones with the smallest hashes, a random and stable choice.
    HeldOut {
        /// How many there are: 1 %, at least 1, at most 10,000.
        documents: u64,
    },
}

/// How many documents of a corpus without validation are held out.
fn held_out(documents: u64) -> u64 {
    documents.div_ceil(100).min(10_000)
}

/// A corpus ready to be read.
#[derive(Debug)]
pub(super) struct Corpus {
    pub info: CorpusInfo,
    pub pieces: Vec<ShardPart>,
}

/// Documents of one shard.
#[derive(Debug, Clone)]
pub(super) struct ShardPart {
    pub path: PathBuf,
    /// Which of its documents.
    pub rows: Range<u64>,
    /// How many it has.
    pub shard_rows: u64,
    pub sha256: String,
    pub limit: BatchLimit,
}

/// A shard as it was: path, checksum, size, time of change.
type AsItWas = (PathBuf, String, u64, Option<SystemTime>);

/// Shards that were compared with their checksums. Each is compared once a process (about a second a gigabyte), though every look
/// at the validation documents opens them again.
static COMPARED: Mutex<BTreeSet<AsItWas>> = Mutex::new(BTreeSet::new());

impl ShardPart {
    /// Documents to read.
    pub fn len(&self) -> u64 {
        self.rows.end - self.rows.start
    }

    /// Opens the shard at one of its rows, compared with the manifest's checksum.
    ///
    /// # Errors
    /// A shard that cannot be read, or is not what the build wrote.
    pub fn open_at(&self, row: u64) -> Result<ShardReader, Error> {
        let path = &self.path;
        let is = std::fs::metadata(path).map_err(|e| Error::io(path, e))?;
        let as_it_is = (path.clone(), self.sha256.clone(), is.len(), is.modified().ok());
        let compared = || COMPARED.lock().unwrap_or_else(PoisonError::into_inner);
        // Not under the lock: other corpora are compared at the same time.
        let known = compared().contains(&as_it_is);
        if !known {
            let sum = c4_data::atomic_file::sha256_file(path).map_err(|cause| damaged(path, cause))?;
            if sum != self.sha256 {
                let problem = format!(
                    "the shard is damaged (its checksum is not that of {}); `c4 verify` says more",
                    Manifest::FILE
                );
                return Err(Error::format(path, problem));
            }
            compared().insert(as_it_is);
        }
        ShardReader::open_at(path, self.limit, row).map_err(|cause| damaged(path, cause))
    }
}

/// The corpora of all sources, in the order of sources and, within, of the manifest's languages.
///
/// Reads the manifests, and the sizes of shards, which shows most of those that were cut short.
pub(super) fn open(sources: &[Source], split: Split) -> Result<Vec<Corpus>, Error> {
    if sources.is_empty() {
        return Err(Error::Setting(
            "no corpus: name a folder that `c4 build` wrote".to_owned(),
        ));
    }
    let weighted = sources.iter().filter(|source| source.weight.is_some());
    if ![0, sources.len()].contains(&weighted.count()) {
        return Err(Error::Setting(
            "some corpora have a weight and some have none: give one to all of them, or to none".to_owned(),
        ));
    }
    let mut all = Vec::new();
    for (i, source) in sources.iter().enumerate() {
        if sources[..i].iter().any(|other| overlap(other, source)) {
            return Err(Error::Setting(format!(
                "{}: given twice, so that an epoch would repeat its documents; raise its weight if that is meant",
                source.path.display()
            )));
        }
        let mut corpora = of_source(source, split)?;
        let bytes = |c: &Corpus| c.info.text_bytes.max(1) as f64;
        let sum: f64 = corpora.iter().map(bytes).sum();
        for corpus in &mut corpora {
            corpus.info.share = match source.weight {
                Some(weight) if weight.is_finite() && weight > 0.0 => weight * bytes(corpus) / sum,
                Some(weight) => {
                    return Err(Error::Setting(format!(
                        "{}: weight {weight} must be above 0; leave the corpus out to not use it",
                        source.path.display()
                    )));
                }
                None => bytes(corpus),
            };
        }
        all.extend(corpora);
    }
    let sum: f64 = all.iter().map(|corpus| corpus.info.share).sum();
    for corpus in &mut all {
        corpus.info.share /= sum;
    }
    Ok(all)
}

fn overlap(a: &Source, b: &Source) -> bool {
    let same = a.language == b.language || a.language.is_none() || b.language.is_none();
    same && a.path == b.path
}

fn of_source(source: &Source, split: Split) -> Result<Vec<Corpus>, Error> {
    let dir = &source.path;
    let Some(manifest) = Manifest::read(dir)? else {
        return Err(Error::format(
            dir,
            "no finished corpus is here (no manifest.json): give the folder that `c4 build` wrote, or run that to its end; \
             where a run's corpus was moved to, --corpus DIR says",
        ));
    };
    let mut languages: Vec<Option<&str>> = Vec::new();
    for shard in &manifest.shards {
        let language = shard.language.as_deref();
        let wanted = source.language.is_none() || source.language.as_deref() == language;
        if wanted && !languages.contains(&language) {
            languages.push(language);
        }
    }
    if let (Some(language), true) = (&source.language, languages.is_empty()) {
        let problem = format!("the corpus has no shards of language {language:?}");
        return Err(Error::format(dir, problem));
    }
    let limit = BatchLimit::of(&manifest.recipe);
    let mut corpora = Vec::new();
    let mut has_train = false;
    for language in languages {
        let of = |split: Split| -> Vec<&ShardEntry> {
            let shards = manifest.shards.iter();
            let in_set = |s: &&ShardEntry| s.language.as_deref() == language && s.split == split;
            shards.filter(in_set).collect()
        };
        let (train, validation) = (of(Split::Train), of(Split::Validation));
        has_train |= !train.is_empty();
        let name = match language {
            Some(language) => format!("{} ({language})", dir.display()),
            None => dir.display().to_string(),
        };
        corpora.extend(of_language(dir, name, split, &train, &validation, limit)?);
    }
    if !has_train {
        return Err(Error::format(
            dir,
            "the corpus has no train shard: build it again with `c4 build`",
        ));
    }
    if corpora.is_empty() {
        return Err(Error::format(
            dir,
            "the corpus is empty: its train shards hold no document; `c4 stats` says what became of its pages",
        ));
    }
    Ok(corpora)
}

/// `None` if there is nothing to train on.
fn of_language(
    dir: &Path,
    name: String,
    split: Split,
    train: &[&ShardEntry],
    validation: &[&ShardEntry],
    limit: BatchLimit,
) -> Result<Option<Corpus>, Error> {
    let rows = |shards: &[&ShardEntry]| shards.iter().map(|s| s.rows).sum::<u64>();
    let (train_rows, validation_rows) = (rows(train), rows(validation));
    if train_rows == 0 {
        return Ok(None);
    }
    let held_out = match validation_rows {
        0 => held_out(train_rows),
        _ => 0,
    };
    if held_out >= train_rows {
        let language = train.first().and_then(|shard| shard.language.as_deref());
        let of = language.map_or(String::new(), |code| {
            format!(" in {code} (--corpus DIR:LANGUAGE takes only languages that are named)")
        });
        return Err(Error::format(
            dir,
            format!(
                "the corpus is too small{of}: it has one document and no validation, and one document must be held out"
            ),
        ));
    }
    let (shards, range) = match split {
        Split::Train => (train, held_out..train_rows),
        Split::Validation if validation_rows == 0 => (train, 0..held_out),
        Split::Validation => (validation, 0..validation_rows),
    };
    let mut pieces = Vec::new();
    let mut text_bytes = 0;
    let mut start = 0;
    for shard in shards {
        let end = start + shard.rows;
        let rows = range.start.max(start) - start..range.end.min(end).max(start) - start;
        start = end;
        if rows.is_empty() {
            continue;
        }
        text_bytes += shard.text_bytes;
        pieces.push(piece(dir, shard, rows, limit)?);
    }
    Ok(Some(Corpus {
        info: CorpusInfo {
            name,
            documents: range.end - range.start,
            text_bytes,
            share: 0.0,
            validation: match validation_rows {
                0 => Validation::HeldOut { documents: held_out },
                documents => Validation::Own { documents },
            },
        },
        pieces,
    }))
}

fn piece(dir: &Path, shard: &ShardEntry, rows: Range<u64>, limit: BatchLimit) -> Result<ShardPart, Error> {
    let path = dir.join(&shard.file);
    let bytes = std::fs::metadata(&path).map_err(|e| Error::io(&path, e))?.len();
    if bytes != shard.bytes {
        let problem = format!(
            "has {bytes} bytes where the manifest says {}: it was cut short or replaced; `c4 verify` says more",
            shard.bytes
        );
        return Err(Error::format(&path, problem));
    }
    Ok(ShardPart {
        path,
        rows,
        shard_rows: shard.rows,
        sha256: shard.sha256.clone(),
        limit,
    })
}

/// A shard's own error, with what to do.
pub(super) fn damaged(path: &Path, cause: c4_data::Error) -> Error {
    let cause = match cause {
        c4_data::Error::Io { action, cause, .. } => format!("cannot {action}: {cause}"),
        c4_data::Error::Arrow { cause, .. } => cause.to_string(),
        c4_data::Error::Parquet { cause, .. } => cause.to_string(),
        c4_data::Error::Format { reason, .. } => reason,
        other => other.to_string(),
    };
    let problem = format!("the shard is damaged ({cause}); `c4 verify` says more");
    Error::format(path, problem)
}
