//! From the texts of a group to its examples: tokens, part of a long document, joined, cut, noised, EOS.

use super::cursor::Position;
use super::group::Window;
use super::task::RefusedRow;
use super::{RowLayout, Tokenizer};
use crate::Error;
use crate::objective::{Example, Ids, Objective, Place, Purpose, Random, append_eos_after_trim};
use crate::rows::TextRow;
use std::sync::Arc;

/// The chain and its settings.
#[derive(Clone)]
pub(super) struct Chain {
    pub tokenizer: Arc<dyn Tokenizer>,
    pub objective: Objective,
    pub layout: RowLayout,
    pub ids: Ids,
    pub seed: u64,
    pub max_document_tokens: usize,
    /// Whether the examples of a window are shuffled.
    pub shuffles: bool,
}

/// A window's examples in order.
#[derive(Debug)]
pub(super) struct Group<T = Example> {
    pub start: Position,
    pub end: Position,
    pub examples: Vec<T>,
    pub documents: u64,
    /// All tokens of the documents.
    pub tokens: u64,
    /// Tokens outside of the chosen parts of long documents.
    pub left_out: u64,
    /// Examples that lost their end to the lengths.
    pub trimmed: u64,
    /// Rows of a task that give no example.
    pub refused: Vec<RefusedRow>,
}

impl<T> Group<T> {
    /// A group without examples yet.
    pub fn new(start: Position, end: Position) -> Group<T> {
        Group {
            start,
            end,
            examples: Vec::new(),
            documents: 0,
            tokens: 0,
            left_out: 0,
            trimmed: 0,
            refused: Vec::new(),
        }
    }
}

/// Plain tokens as they are given to the objective.
#[derive(Debug, Default)]
struct Segments {
    segments: Vec<Vec<u32>>,
    tokens: u64,
    left_out: u64,
}

impl Chain {
    /// The whole chain. A function of the window and the corpus's number alone.
    ///
    /// # Errors
    /// A tokeniser that gives ids which the vocabulary does not have.
    pub fn examples(&self, window: &Window, corpus: u32) -> Result<Group, Error> {
        self.made(window, corpus, |_, example| example)
    }

    /// What `take` makes of each segment and its example, in the order of the examples.
    ///
    /// # Errors
    /// As [`examples`](Chain::examples).
    pub fn made<T>(
        &self,
        window: &Window,
        corpus: u32,
        take: impl Fn(Vec<u32>, Example) -> T,
    ) -> Result<Group<T>, Error> {
        let mut group = Group::new(window.start, window.end);
        for (documents, number) in window.groups.iter().zip(window.start.group..) {
            let start = Position {
                group: number,
                ..window.start
            };
            let Segments {
                segments,
                tokens,
                left_out,
            } = self.segments(documents, start, corpus)?;
            for (segment, i) in segments.into_iter().zip(0..) {
                let (example, cut) = self.example(&segment, start, corpus, i);
                group.trimmed += u64::from(cut);
                group.examples.push(take(segment, example));
            }
            group.documents += documents.len() as u64;
            group.tokens += tokens;
            group.left_out += left_out;
        }
        if self.shuffles {
            let place = place(Purpose::Shuffle, self.seed, window.start, corpus, 0);
            Random::at(place).shuffle(&mut group.examples);
        }
        Ok(group)
    }

    /// Tokens of a group's texts, cut to the objective's length.
    fn segments(&self, documents: &[TextRow], start: Position, corpus: u32) -> Result<Segments, Error> {
        let length = self.objective.lengths().segment;
        let joins = self.objective.joins_documents();
        let mut found = Segments::default();
        let mut joined = Vec::new();
        let mut tokens = Vec::new();
        for (document, i) in documents.iter().zip(0..) {
            tokens.clear();
            self.tokenizer.encode(&document.text, &mut tokens);
            self.ids.check(&tokens)?;
            // Padding that a text would bring along would be taken for its end.
            tokens.retain(|id| *id != self.ids.pad);
            found.tokens += tokens.len() as u64;
            let chunk = self.chunk(&tokens, place(Purpose::Chunk, self.seed, start, corpus, i));
            found.left_out += (tokens.len() - chunk.len()) as u64;
            if joins {
                joined.extend_from_slice(chunk);
            } else {
                found.segments.extend(chunk.chunks(length).map(<[u32]>::to_vec));
            }
        }
        found.segments.extend(joined.chunks(length).map(<[u32]>::to_vec));
        Ok(found)
    }

    /// `select_random_chunk`: of a long document one of its parts that begin at multiples of the length, all equally
    /// likely.
    fn chunk<'a>(&self, tokens: &'a [u32], place: Place) -> &'a [u32] {
        let most = self.max_document_tokens;
        let parts = tokens.len().div_ceil(most);
        let start = match parts {
            0 | 1 => 0,
            _ => Random::at(place).index(parts) * most,
        };
        &tokens[start..tokens.len().min(start + most)]
    }

    /// Segment `i` of the group at `start` as an example with EOS, and whether it was trimmed.
    fn example(&self, segment: &[u32], start: Position, corpus: u32, i: u64) -> (Example, bool) {
        let mut rng = Random::at(place(Purpose::Noise, self.seed, start, corpus, i));
        let mut example = self.objective.example(segment, self.ids, &mut rng);
        let trimmed = append_eos_after_trim(&mut example, self.objective.lengths(), self.ids);
        if self.layout == RowLayout::DecoderOnly {
            example.join();
        }
        (example, trimmed)
    }
}

fn place(purpose: Purpose, seed: u64, start: Position, corpus: u32, index: u64) -> Place {
    Place {
        seed,
        purpose,
        corpus,
        epoch: start.epoch,
        group: start.group,
        index,
    }
}
