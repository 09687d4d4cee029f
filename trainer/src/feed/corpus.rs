//! Corpora as lists of documents to read: which files, which of their documents.

use super::mixing::{Mixing, MixtureShare};
use crate::Error;
use crate::rows::listing::{self, ListedCorpus};
use crate::rows::{RowFile, Source};
use c4_data::Split;
use std::ops::Range;

/// What a feed reads, of one source or of one language of it.
#[derive(Debug, Clone, PartialEq)]
pub struct CorpusInfo {
    /// The source's path, and the language if it has shards by language.
    pub name: String,
    /// Documents of an epoch (blank ones included).
    pub documents: u64,
    /// Bytes of text of the files they are in.
    pub text_bytes: u64,
    /// Share of the feed's examples.
    pub share: f64,
    /// What its validation documents are.
    pub validation: Validation,
}

/// Where validation documents come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validation {
    /// From the corpus's validation shards, or from files whose names say validation.
    Own {
        /// How many there are.
        documents: u64,
    },
    /// The corpus has none, so the first of its train documents are held out from training. `c4` writes documents by
    /// the MD5 of their URL, so these are the ones with the smallest hashes, a random and stable choice; of other files
    /// they are those of the first file.
    HeldOut {
        /// How many there are: 1 %, at least 1, at most 10,000.
        documents: u64,
    },
    /// There are none: the corpus has one document, and it is trained on.
    None,
}

impl Validation {
    /// How many validation documents there are.
    pub fn documents(self) -> u64 {
        match self {
            Validation::Own { documents } | Validation::HeldOut { documents } => documents,
            Validation::None => 0,
        }
    }

    fn of(train: u64, validation: u64) -> Validation {
        match (train, validation) {
            (1, 0) => Validation::None,
            (_, 0) => Validation::HeldOut {
                documents: train.div_ceil(100).min(10_000),
            },
            (_, documents) => Validation::Own { documents },
        }
    }
}

/// A corpus ready to be read.
#[derive(Debug)]
pub(super) struct Corpus {
    pub info: CorpusInfo,
    pub parts: Vec<FilePart>,
    /// Bytes of text of the files with documents to train on, by which corpora without weights count.
    train_bytes: u64,
    /// Documents to train on.
    train_documents: u64,
}

/// Documents of one file.
#[derive(Debug, Clone)]
pub(super) struct FilePart {
    pub file: RowFile,
    /// Which of its documents.
    pub rows: Range<u64>,
}

impl FilePart {
    /// Documents to read.
    pub fn len(&self) -> u64 {
        self.rows.end - self.rows.start
    }
}

/// What a task of the same mixture says of its rate.
#[derive(Debug, Clone)]
pub(super) struct TaskRate {
    pub name: String,
    pub weight: Option<f64>,
    /// Those that count.
    pub examples: u64,
}

/// Sources whose shares add up to 1.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// In the order of sources and, within, of the manifest's languages. Of the validation split, those that have one.
    pub corpora: Vec<Corpus>,
    /// Of each task.
    pub task_shares: Vec<f64>,
    /// All sources, corpora first: whole ones, whatever languages they have.
    pub sources: Vec<MixtureShare>,
}

/// The corpora of all sources, and what share of the examples each of them and of `tasks` has.
///
/// Reads what [`listing::corpora`] does.
pub(super) fn open(sources: &[Source], tasks: &[TaskRate], mixing: Mixing, split: Split) -> Result<Shared, Error> {
    if sources.is_empty() && tasks.is_empty() {
        return Err(Error::Setting(
            "no corpus: name a folder that `c4 build` wrote, or files of JSON, Parquet, Arrow or text".to_owned(),
        ));
    }
    let weights = sources.iter().map(|source| source.weight);
    let weighted = weights.chain(tasks.iter().map(|task| task.weight)).flatten().count();
    if mixing.is_given() && ![0, sources.len() + tasks.len()].contains(&weighted) {
        let all = if tasks.is_empty() {
            "corpora"
        } else {
            "corpora or tasks"
        };
        return Err(Error::Setting(format!(
            "some {all} have a weight and some have none: give one to all of them, or to none"
        )));
    }
    let by_bytes = mixing.is_given() && tasks.is_empty();
    let mut found = Shared::default();
    for (i, source) in sources.iter().enumerate() {
        if sources[..i].iter().any(|other| overlap(other, source)) {
            return Err(Error::Setting(format!(
                "{}: given twice, so that an epoch would repeat its documents; raise its weight if that is meant",
                source.path.display()
            )));
        }
        let mut corpora = of_source(source, split)?;
        let bytes = |c: &Corpus| c.train_bytes.max(1) as f64;
        let sum: f64 = corpora.iter().map(bytes).sum();
        let documents: u64 = corpora.iter().map(|corpus| corpus.train_documents).sum();
        let examples = source.examples.unwrap_or(documents);
        let rate = match source.weight {
            Some(weight) if weight.is_finite() && weight > 0.0 => Some(weight),
            Some(weight) => {
                return Err(Error::Setting(format!(
                    "{}: weight {weight} must be above 0; leave the corpus out to not use it",
                    source.path.display()
                )));
            }
            None if by_bytes => None,
            None => Some(mixing.rate(examples)),
        };
        for corpus in &mut corpora {
            corpus.info.share = match rate {
                Some(rate) => rate * bytes(corpus) / sum,
                None => bytes(corpus),
            };
        }
        found.sources.push(MixtureShare {
            name: source.path.display().to_string(),
            examples,
            rate: rate.unwrap_or(sum),
            share: 0.0,
        });
        found.corpora.extend(corpora);
    }
    for task in tasks {
        let rate = task.weight.unwrap_or_else(|| mixing.rate(task.examples));
        found.task_shares.push(rate);
        found.sources.push(MixtureShare {
            name: task.name.clone(),
            examples: task.examples,
            rate,
            share: 0.0,
        });
    }
    let shares = found.corpora.iter().map(|corpus| corpus.info.share);
    let sum: f64 = shares.chain(found.task_shares.iter().copied()).sum();
    for corpus in &mut found.corpora {
        corpus.info.share /= sum;
    }
    found.task_shares.iter_mut().for_each(|share| *share /= sum);
    for source in &mut found.sources {
        source.share = source.rate / sum;
    }
    found.corpora.retain(|corpus| !corpus.parts.is_empty());
    Ok(found)
}

fn overlap(a: &Source, b: &Source) -> bool {
    let same = a.language == b.language || a.language.is_none() || b.language.is_none();
    same && a.path == b.path
}

fn of_source(source: &Source, split: Split) -> Result<Vec<Corpus>, Error> {
    let listed = listing::corpora(source, &|_, _| {})?;
    if listed.iter().all(|corpus| corpus.train.is_empty()) {
        let problem = "the corpus has no train shard: build it again with `c4 build`";
        return Err(Error::format(&source.path, problem));
    }
    let corpora: Vec<Corpus> = listed
        .into_iter()
        .filter_map(|corpus| of_language(corpus, split))
        .collect();
    if corpora.is_empty() {
        let problem = "the corpus is empty: its train files hold no document; of a corpus of `c4 build`, `c4 stats` says what \
                       became of its pages";
        return Err(Error::format(&source.path, problem));
    }
    Ok(corpora)
}

/// `None` if there is nothing to train on.
fn of_language(corpus: ListedCorpus, split: Split) -> Option<Corpus> {
    let rows = |files: &[RowFile]| files.iter().map(|file| file.rows).sum::<u64>();
    let (train_rows, validation_rows) = (rows(&corpus.train), rows(&corpus.validation));
    if train_rows == 0 {
        return None;
    }
    let validation = Validation::of(train_rows, validation_rows);
    let held_out = match validation {
        Validation::HeldOut { documents } => documents,
        _ => 0,
    };
    let train = parts(&corpus.train, held_out..train_rows);
    let bytes = |parts: &[FilePart]| parts.iter().map(|part| part.file.text_bytes).sum::<u64>();
    let train_bytes = bytes(&train);
    let train_documents = train.iter().map(FilePart::len).sum();
    let parts = match (split, validation) {
        (Split::Train, _) => train,
        (Split::Validation, Validation::Own { documents }) => parts(&corpus.validation, 0..documents),
        (Split::Validation, _) => parts(&corpus.train, 0..held_out),
    };
    Some(Corpus {
        info: CorpusInfo {
            name: corpus.name,
            documents: parts.iter().map(FilePart::len).sum(),
            text_bytes: bytes(&parts),
            share: 0.0,
            validation,
        },
        parts,
        train_bytes,
        train_documents,
    })
}

/// Documents `range` of files that are read one after the other.
fn parts(files: &[RowFile], range: Range<u64>) -> Vec<FilePart> {
    let mut parts = Vec::new();
    let mut start = 0;
    for file in files {
        let end = start + file.rows;
        let rows = range.start.max(start) - start..range.end.min(end).max(start) - start;
        start = end;
        if !rows.is_empty() {
            let file = file.clone();
            parts.push(FilePart { file, rows });
        }
    }
    parts
}
