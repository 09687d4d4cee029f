//! How a vocabulary is made: a unigram model after Kudo 2018 (arXiv 1804.10959), as SentencePiece's trainer makes it
//! (unigram_model_trainer.cc, trainer_interface.cc), with its defaults and T5's layout.
//!
//! 1. [`sample`]: texts are drawn from corpora, in the proportions asked for.
//! 2. `words.rs`: they are normalised and cut at spaces; all that follows sees words and counts. Characters that are
//!    not among the most frequent ones, which cover 99.95 % of the text, cut words, too.
//! 3. `seeds.rs`: a million substrings of one script each.
//! 4. `em.rs`: in turns, two steps of expectation and maximisation, and away with the quarter of the pieces that the
//!    text misses least, until 1.1 times as many are left as wanted.
//! 5. Here: all frequent characters, and the most probable pieces.
//!
//! Why our own: the library's trainer is C++ behind cmake, its binding does not offer it, and linking to it takes
//! unsafe code; crate tokenizers' trainer does not split by script, so its pieces are others. benches/vocabulary.sh
//! compares ours with the library's.

mod em;
pub mod sample;
mod script;
mod seeds;
mod words;

use super::normalizer::Normalizer;
use super::proto::{ModelProto, NormalizerSpec, Piece, PieceKind, TrainerSpec, UNK_SURFACE};
use super::{SENTINELS, Vocab, sentinel_piece};
use crate::Error;
use em::Model;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::path::Path;
pub use words::WordCounts;
use words::{Words, alphabet};

/// The rules of `nmt_nfkc`, compiled; `data/nmt_nfkc/README.md` says whose.
static CHARSMAP: &[u8] = include_bytes!("../../../../data/nmt_nfkc/charsmap.bin");

/// SentencePiece's defaults (sentencepiece_model.proto).
const SEEDS: usize = 1_000_000;
const STEPS: usize = 2;
const SHRINKING: f64 = 0.75;
/// How many more pieces than wanted are left to choose from (`desired_vocab_size_`).
const SPARE: f64 = 1.1;
/// By how much scores of frequent characters without one differ (`kMinScorePenaltyDelta`).
const SCORE_STEP: f64 = 0.0001;

/// The pieces that stand for no text, by id: T5's layout.
const SPECIAL: [(&str, PieceKind); 3] = [
    ("<pad>", PieceKind::Control),
    ("</s>", PieceKind::Control),
    ("<unk>", PieceKind::Unknown),
];

/// What vocabulary is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainOptions {
    /// Pieces, `<pad>`, `</s>` and `<unk>` included, sentinels not: 32,000 for T5.
    pub size: u32,
    /// Share of all characters that are sure of a piece: 0.9995.
    pub coverage: f64,
    /// Whether the 100 sentinels are in the file. T5's own file is without; whoever reads it appends them.
    pub with_sentinels: bool,
}

impl Default for TrainOptions {
    fn default() -> TrainOptions {
        TrainOptions {
            size: 32_000,
            coverage: 0.9995,
            with_sentinels: false,
        }
    }
}

/// What training is at.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// Words are counted and their characters chosen.
    Counted {
        /// Different words.
        words: usize,
        /// Characters that are sure of a piece.
        characters: usize,
    },
    /// So many pieces are left.
    Left(usize),
}

/// Makes [`WordCounts`] of texts.
#[derive(Debug)]
pub struct Counter {
    normalizer: Normalizer,
}

impl Counter {
    /// With the rules `nmt_nfkc`.
    ///
    /// # Errors
    /// Never, unless the rules in this program are damaged.
    pub fn new() -> Result<Counter, Error> {
        let normalizer = Normalizer::new(&normalizer_spec(), None).map_err(Error::Setting)?;
        Ok(Counter { normalizer })
    }

    /// Counts the words of a text.
    pub fn add(&self, counts: &mut WordCounts, text: &str) {
        counts.add(&self.normalizer, text);
    }
}

pub(crate) fn normalizer_spec() -> NormalizerSpec {
    NormalizerSpec {
        name: "nmt_nfkc".to_owned(),
        charsmap: CHARSMAP.to_vec(),
        add_dummy_prefix: true,
        remove_extra_whitespaces: true,
        escape_whitespaces: true,
    }
}

/// Trains a vocabulary and gives its file's content: a function of the counts and options, on any number of threads.
///
/// Needs some 40 bytes a character of all different words; runs on all cores of rayon's pool.
///
/// # Errors
/// A size that is too small for the characters, or too large for the words; no words.
pub fn train(counts: WordCounts, options: &TrainOptions, mut progress: impl FnMut(Progress)) -> Result<Vec<u8>, Error> {
    let setting = |problem: String| Err(Error::Setting(problem));
    if !(options.coverage > 0.0 && options.coverage <= 1.0) {
        return setting(format!(
            "a coverage of {} is none: give a share above 0, up to 1",
            options.coverage
        ));
    }
    let alphabet = alphabet(&counts, options.coverage);
    let least = alphabet.len() + SPECIAL.len();
    let size = options.size as usize;
    if alphabet.is_empty() {
        return setting("the sample has no words to make a vocabulary of".to_owned());
    }
    if size < least {
        return setting(format!(
            "a vocabulary of {size} is too small for the sample's characters: {least} at least, or a smaller coverage"
        ));
    }
    let words = Words::new(counts, &alphabet);
    progress(Progress::Counted {
        words: words.len(),
        characters: alphabet.len(),
    });
    let seeds = seeds::seeds(&words, &alphabet, SEEDS).map_err(Error::Setting)?;
    let mut model = Model::from_seeds(seeds);
    progress(Progress::Left(model.pieces.len()));
    let wanted = (size as f64 * SPARE) as usize;
    loop {
        for _ in 0..STEPS {
            model = model.step(&words);
        }
        progress(Progress::Left(model.pieces.len()));
        if model.pieces.len() <= wanted {
            break;
        }
        let left = (model.pieces.len() as f64 * SHRINKING) as usize;
        model = model.prune(&words, left.max(wanted));
    }
    let pieces = choose(&model, &alphabet, size - SPECIAL.len());
    if pieces.len() + SPECIAL.len() < size {
        return setting(format!(
            "the sample gives {} pieces, not {size}; take a larger sample, or --size {} at most",
            pieces.len() + SPECIAL.len(),
            pieces.len() + SPECIAL.len()
        ));
    }
    let file = file(pieces, options).to_bytes();
    // What cannot be read shall not be written.
    let check = ModelProto::parse(&file).and_then(Vocab::new);
    match check {
        Ok(_) => Ok(file),
        Err(problem) => setting(format!("the vocabulary {problem}")),
    }
}

/// All frequent characters and, to make up `size`, the most probable pieces; the most probable first
/// (`FinalizeSentencePieces`).
fn choose(model: &Model, alphabet: &[char], size: usize) -> Vec<(Box<str>, f64)> {
    let order =
        |a: &(Box<str>, f64), b: &(Box<str>, f64)| -> Ordering { b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)) };
    let mut rest: HashMap<Box<str>, f64> = model.pieces.iter().cloned().collect();
    let mut without_score = 0;
    let mut chosen: Vec<(Box<str>, f64)> = Vec::with_capacity(size);
    for character in alphabet {
        let piece: Box<str> = character.to_string().into();
        let score = rest.remove(&piece).unwrap_or_else(|| {
            without_score += 1;
            model.min_score - SCORE_STEP * f64::from(without_score)
        });
        chosen.push((piece, score));
    }
    let mut rest: Vec<(Box<str>, f64)> = rest.into_iter().collect();
    rest.sort_unstable_by(order);
    chosen.extend(rest.into_iter().take(size.saturating_sub(chosen.len())));
    chosen.sort_unstable_by(order);
    chosen
}

fn file(pieces: Vec<(Box<str>, f64)>, options: &TrainOptions) -> ModelProto {
    let special = SPECIAL.map(|(text, kind)| Piece {
        text: text.to_owned(),
        score: 0.0,
        kind,
    });
    let normal = pieces.into_iter().map(|(text, score)| Piece {
        text: text.into(),
        score: score as f32,
        kind: PieceKind::Normal,
    });
    let mut pieces: Vec<Piece> = special.into_iter().chain(normal).collect();
    if options.with_sentinels {
        pieces.extend((0..SENTINELS).rev().map(sentinel_piece));
    }
    ModelProto {
        pieces,
        trainer: TrainerSpec {
            model_type: 1,
            byte_fallback: false,
            whitespace_as_suffix: false,
            unk_surface: UNK_SURFACE.to_owned(),
            character_coverage: options.coverage as f32,
        },
        normalizer: normalizer_spec(),
        denormalizes: false,
    }
}

/// Writes a vocabulary's file, whole or not at all.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, file: &[u8]) -> Result<(), Error> {
    Ok(c4_data::atomic_file::write_atomic(path, file)?)
}
