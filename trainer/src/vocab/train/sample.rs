//! Texts for a vocabulary, drawn from corpora that `c4 build` has written.

use super::{Counter, WordCounts};
use crate::Error;
use c4_data::{BatchLimit, Document, Manifest, ShardEntry, ShardReader, Split};
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A corpus to draw from.
#[derive(Debug, Clone, PartialEq)]
pub struct SampledCorpus {
    /// Folder of a finished corpus.
    pub dir: PathBuf,
    /// Only documents in this language, by its code in the corpus.
    pub language: Option<String>,
    /// The corpus's part of the sample's bytes, in proportion to the other corpora's weights.
    pub weight: f64,
}

impl FromStr for SampledCorpus {
    type Err = String;

    /// `DIR`, `DIR=WEIGHT`, `DIR:LANGUAGE` or `DIR:LANGUAGE=WEIGHT`.
    fn from_str(text: &str) -> Result<SampledCorpus, String> {
        let (place, weight) = match text.rsplit_once('=') {
            Some((place, weight)) if !Path::new(text).exists() => {
                let number: Option<f64> = weight.parse().ok();
                let number = number.filter(|number| number.is_finite() && *number > 0.0);
                let problem = format!("`{weight}` is no weight; give a number above 0");
                (place, number.ok_or(problem)?)
            }
            _ => (text, 1.0),
        };
        let (dir, language) = match place.rsplit_once(':') {
            Some((dir, language)) if !Path::new(place).exists() => (dir, Some(language)),
            _ => (place, None),
        };
        Ok(SampledCorpus {
            dir: dir.into(),
            language: language.map(str::to_owned),
            weight,
        })
    }
}

/// What was drawn from a source.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    /// Documents.
    pub documents: u64,
    /// UTF-8 bytes of their texts.
    pub bytes: u64,
    /// UTF-8 bytes of the texts of all shards that were looked at.
    pub of_bytes: u64,
}

/// Counts the words of a sample of some `bytes` UTF-8 bytes of the sources' train splits.
///
/// Every source gives its part of `bytes`; where one is too small, all give less in proportion, so the mixture is what
/// was asked for. A document is drawn by the hash of its URL and `seed`: neither shards, order nor threads show.
///
/// # Errors
/// A folder without a finished corpus, a damaged shard, a source without documents or languages that were asked for.
pub fn count(
    counter: &Counter,
    sources: &[SampledCorpus],
    bytes: u64,
    seed: u64,
) -> Result<(WordCounts, Vec<Drawn>), Error> {
    let manifests: Vec<(&SampledCorpus, Manifest)> = sources
        .iter()
        .map(|source| Ok((source, manifest(source)?)))
        .collect::<Result<_, Error>>()?;
    let shards: Vec<Vec<&ShardEntry>> = manifests
        .iter()
        .map(|(source, manifest)| shards(source, manifest))
        .collect::<Result<_, Error>>()?;
    let mut sizes = Vec::new();
    for ((source, _), shards) in manifests.iter().zip(&shards) {
        let size = shards.iter().map(|shard| shard.text_bytes).sum::<u64>();
        if size == 0 {
            let of = source.language.as_deref();
            let problem = match of {
                Some(language) => {
                    format!("has no training documents in `{language}`; `c4 stats` lists its languages")
                }
                None => "has no training documents; build it of more pages".to_owned(),
            };
            return Err(Error::format(&source.dir, problem));
        }
        sizes.push(size);
    }
    let weights: f64 = sources.iter().map(|source| source.weight).sum();
    let share = |source: &SampledCorpus| source.weight / weights;
    let most = sources.iter().zip(&sizes);
    let most = most.map(|(source, size)| *size as f64 / share(source));
    let total = most.fold(bytes as f64, f64::min);
    let mut counts = WordCounts::default();
    let mut drawn = Vec::new();
    for (((source, manifest), shards), size) in manifests.iter().zip(&shards).zip(&sizes) {
        let limit = BatchLimit::of(&manifest.recipe);
        // Hashes up to this one are drawn.
        let rate = total * share(source) / *size as f64;
        let last = (rate * u64::MAX as f64) as u64;
        let new = shards.par_iter().map(|shard| {
            let mut counts = WordCounts::default();
            for document in open(source, shard, limit)? {
                let document: Document = document?;
                if xxh3_64_with_seed(document.page.url.as_bytes(), seed) <= last {
                    counter.add(&mut counts, &document.page.text);
                }
            }
            Ok(counts)
        });
        let new = new.try_reduce(WordCounts::default, |a, b| Ok(a.merge(b)));
        let new: WordCounts = new.map_err(|e: Error| e)?;
        drawn.push(Drawn {
            documents: new.texts,
            bytes: new.bytes,
            of_bytes: *size,
        });
        counts = counts.merge(new);
    }
    Ok((counts, drawn))
}

fn manifest(source: &SampledCorpus) -> Result<Manifest, Error> {
    let manifest = Manifest::read(&source.dir)?;
    manifest.ok_or_else(|| {
        let problem = format!("holds no finished corpus (no {}); `c4 build` makes one", Manifest::FILE);
        Error::format(&source.dir, problem)
    })
}

/// The shards with documents to draw.
fn shards<'a>(source: &SampledCorpus, manifest: &'a Manifest) -> Result<Vec<&'a ShardEntry>, Error> {
    let shards = manifest.shards.iter();
    let shards = shards.filter(|shard| shard.split == Split::Train);
    let Some(wanted) = source.language.as_deref() else {
        return Ok(shards.collect());
    };
    // Else how much there is of a language would be known only when all is read.
    if !manifest.recipe.split.by_language {
        let problem = "its shards are not by language; build it with `by_language = true` in the recipe's [split]";
        return Err(Error::format(&source.dir, problem));
    }
    Ok(shards
        .filter(|shard| shard.language.as_deref() == Some(wanted))
        .collect())
}

fn open(source: &SampledCorpus, shard: &ShardEntry, limit: BatchLimit) -> Result<ShardReader, Error> {
    let path = source.dir.join(&shard.file);
    if c4_data::atomic_file::sha256_file(&path)? != shard.sha256 {
        let problem = format!(
            "is not what the build wrote (its checksum differs from {}); build it again",
            Manifest::FILE
        );
        return Err(Error::format(&path, problem));
    }
    Ok(ShardReader::open_within(&path, limit)?)
}
