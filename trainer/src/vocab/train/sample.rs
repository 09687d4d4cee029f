//! Texts for a vocabulary, drawn from corpora.

use super::{Counter, WordCounts};
use crate::Error;
use crate::rows::{RowFile, Source, listing};
use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// What was drawn from a source.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    /// Documents.
    pub documents: u64,
    /// UTF-8 bytes of their texts.
    pub bytes: u64,
    /// UTF-8 bytes of all texts for training of the source.
    pub of_bytes: u64,
}

/// Counts the words of a sample of some `bytes` UTF-8 bytes of the sources' documents for training.
///
/// Every source gives its part of `bytes`, by its weight (1 where it has none); where one is too small, all give less
/// in proportion, so the mixture is what was asked for. A document is drawn by the hash of its text and `seed`: neither
/// the kind of the files, their order nor threads show. `on_first_read`: see [`listing::corpora`].
///
/// # Errors
/// A path without a corpus, a damaged file, a source without documents or languages that were asked for.
pub(crate) fn count(
    counter: &Counter,
    sources: &[Source],
    bytes: u64,
    seed: u64,
    on_first_read: &dyn Fn(usize, u64),
) -> Result<(WordCounts, Vec<Drawn>), Error> {
    let files = |source: &Source| -> Result<Vec<RowFile>, Error> {
        let corpora = listing::corpora(source, on_first_read)?;
        Ok(corpora.into_iter().flat_map(|corpus| corpus.train).collect())
    };
    let files: Vec<Vec<RowFile>> = sources.iter().map(files).collect::<Result<_, Error>>()?;
    let mut sizes = Vec::new();
    for (source, files) in sources.iter().zip(&files) {
        let size = files.iter().map(|file| file.text_bytes).sum::<u64>();
        if size == 0 {
            let problem =
                "has no text to train on; of a corpus of `c4 build`, `c4 stats` says what became of its pages";
            return Err(Error::format(&source.path, problem));
        }
        sizes.push(size);
    }
    let weight = |source: &Source| source.weight.unwrap_or(1.0);
    let weights: f64 = sources.iter().map(weight).sum();
    let share = |source: &Source| weight(source) / weights;
    let most = sources.iter().zip(&sizes);
    let most = most.map(|(source, size)| *size as f64 / share(source));
    let total = most.fold(bytes as f64, f64::min);
    let mut counts = WordCounts::default();
    let mut drawn = Vec::new();
    for ((source, files), size) in sources.iter().zip(&files).zip(&sizes) {
        // Hashes up to this one are drawn.
        let rate = total * share(source) / *size as f64;
        let last = (rate * u64::MAX as f64) as u64;
        let new = files.par_iter().map(|file| {
            let mut counts = WordCounts::default();
            let mut documents = file.documents(0)?;
            while let Some(document) = documents.next()? {
                if xxh3_64_with_seed(document.text.as_bytes(), seed) <= last {
                    counter.add(&mut counts, &document.text);
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
