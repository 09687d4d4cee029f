//! From normalised text to ids: the most probable sequence of pieces, to the bit as SentencePiece finds it.
//!
//! SentencePiece (unigram_model.cc, `EncodeOptimized`; from version 0.2.2 on) adds the pieces' scores from the start of
//! the text on in 32-bit floats, so the longer the text, the more its sums are rounded, and where two ways to cut a
//! word are nearly equal, the rounding decides. So a word's pieces cannot simply be remembered. But no piece of such a
//! model reaches over a space: the way through a word depends on what comes before by one number, the sum so far. We
//! carry that number on exactly, and remember a word's pieces together with the largest sum at which rounding cannot
//! turn the decision ([`Segmenter::two_best`]); above it, the word is cut anew.
//!
//! Versions 0.1.99 to 0.2.1 compare a sum in 64 bits with one that is already rounded to 32, so that of equal ways
//! through a run of `!` or `.` the order differs there. T5's own texts were cut before, by a lattice whose sums have 32
//! bits as well: over runs of 1 to 64 marks of 7 kinds, alone and after two texts, it cuts 46 of 1,344 otherwise than
//! 0.2.2 does, and 428 otherwise than 0.2.1. Hugging Face's `tokenizers` cuts 405 of them otherwise than 0.2.2, and 634
//! otherwise than 0.2.1.

use super::normalizer::{SPACE, character};
use super::proto::{Piece, PieceKind};
use super::trie::{NONE, ROOT, Trie};
use ahash::RandomState;
use std::collections::HashMap;

/// SentencePiece's `kUnkPenalty`: what an unknown character costs beyond the least probable piece.
pub(crate) const UNK_PENALTY: f32 = 10.0;
/// SentencePiece's `kScoreResetThreshold`: beyond it, sums begin at 0 again.
const RESET: f32 = 100_000.0;
/// Bytes of a word that is remembered, at most.
const CACHED_WORD: usize = 48;
/// Words that are remembered; then all are forgotten. Some 10 MiB.
const CACHED_WORDS: usize = 1 << 17;

/// The pieces, as the search sees them.
#[derive(Debug)]
pub(crate) struct Segmenter {
    trie: Trie,
    /// By id: natural logarithms.
    scores: Vec<f32>,
    unk: u32,
    unk_score: f32,
    /// Whether a text may be cut at its spaces first, and words remembered.
    by_words: bool,
    /// What unknown characters become, unless they are `<unk>`.
    bytes: Option<BytePieces>,
}

/// The pieces of bytes, for a vocabulary that falls back to them.
#[derive(Debug)]
struct BytePieces {
    /// By byte.
    ids: [u32; 256],
    /// By id: bytes of the piece's text.
    lengths: Vec<u32>,
}

/// Where the best way to a place in the text comes from.
#[derive(Debug, Clone, Copy)]
struct PathNode {
    score: f32,
    start: u32,
    id: u32,
}

/// The best way to a place, and the score of the second best.
#[derive(Debug, Clone, Copy)]
struct TwoBest {
    best: f64,
    second: f64,
    start: u32,
    id: u32,
}

impl Segmenter {
    /// `bytes` are the ids of bytes, where unknown characters become those; `in_text` says which pieces may be found in
    /// a text.
    pub fn new(pieces: &[Piece], unk: u32, bytes: Option<[u32; 256]>, in_text: impl Fn(u32) -> bool) -> Segmenter {
        let normal = pieces.iter().filter(|piece| piece.kind == PieceKind::Normal);
        let min = normal.fold(f32::MAX, |min, piece| min.min(piece.score));
        let score = |piece: &Piece| match piece.kind {
            // Above any sum of others, and the longer the better (`GetUserDefinedScore`).
            PieceKind::UserDefined => (0.1 * (piece.text.len() as f64 - 1.0)) as f32,
            _ => piece.score,
        };
        let scores: Vec<f32> = pieces.iter().map(score).collect();
        let mut keys: Vec<(&str, u32)> = Vec::new();
        let mut by_words = true;
        for (id, piece) in (0..).zip(pieces) {
            if !in_text(id) {
                continue;
            }
            by_words &= !piece.text.chars().skip(1).any(|c| SPACE.starts_with(c));
            by_words &= piece.kind == PieceKind::Normal && piece.score <= 0.0;
            keys.push((&piece.text, id));
        }
        keys.sort_unstable();
        Segmenter {
            trie: Trie::new(&keys),
            scores,
            unk,
            unk_score: min - UNK_PENALTY,
            by_words,
            bytes: bytes.map(|ids| BytePieces {
                ids,
                lengths: pieces.iter().map(|piece| piece.text.len() as u32).collect(),
            }),
        }
    }

    /// Whether a text may be cut at its spaces first.
    pub fn by_words(&self) -> bool {
        self.by_words
    }

    /// The id of a piece that may be found in a text.
    pub fn id(&self, piece: &str) -> Option<u32> {
        self.trie.get(piece.as_bytes())
    }

    /// The sum after one more piece.
    #[inline]
    fn add(&self, sum: f32, id: u32) -> f32 {
        match id == self.unk {
            true => sum + self.unk_score,
            false => sum + self.scores[id as usize],
        }
    }

    /// Appends the ids of the best way through `text` to `path`, the first first; gives the sum at its end. `sum` is
    /// that at its start. Linear in the text's length.
    fn best_path(&self, text: &[u8], sum: f32, nodes: &mut Vec<PathNode>, path: &mut Vec<u32>) -> f32 {
        let unreached = PathNode {
            score: 0.0,
            start: NONE,
            id: 0,
        };
        nodes.clear();
        nodes.resize(text.len() + 1, unreached);
        nodes[0].score = sum;
        let mut start = 0;
        // The last place that is reached so far.
        let mut frontier = 0;
        while start < text.len() {
            let mut sum = nodes[start].score;
            if sum.abs() > RESET {
                for (i, node) in nodes[start..=frontier].iter_mut().enumerate() {
                    if i == 0 || node.start != NONE {
                        node.score -= sum;
                    }
                }
                sum = 0.0;
            }
            let length = character(text[start]).min(text.len() - start);
            let mut has_single = false;
            let mut at = ROOT;
            for (i, &byte) in text[start..].iter().enumerate() {
                match self.trie.child(at, byte) {
                    Some(child) => at = child,
                    None => break,
                }
                let id = self.trie.value(at);
                if id == NONE {
                    continue;
                }
                has_single |= i + 1 == length;
                frontier = frontier.max(start + i + 1);
                let node = &mut nodes[start + i + 1];
                let score = self.scores[id as usize] + sum;
                if node.start == NONE || score > node.score {
                    *node = PathNode {
                        score,
                        start: start as u32,
                        id,
                    };
                }
            }
            if !has_single {
                frontier = frontier.max(start + length);
                let node = &mut nodes[start + length];
                let score = self.unk_score + sum;
                if node.start == NONE || score > node.score {
                    *node = PathNode {
                        score,
                        start: start as u32,
                        id: self.unk,
                    };
                }
            }
            start += length;
        }
        let first = path.len();
        let mut end = text.len();
        while end > 0 {
            path.push(nodes[end].id);
            end = nodes[end].start as usize;
        }
        path[first..].reverse();
        nodes[text.len()].score
    }

    /// Appends the ids of a way through `text`. Of unknown characters: the bytes, or one id for each run of them.
    #[inline]
    fn push_all(&self, path: &[u32], text: &[u8], after_unk: &mut bool, ids: &mut Vec<u32>) {
        if let Some(bytes) = &self.bytes {
            return bytes.push_all(path, self.unk, text, ids);
        }
        for &id in path {
            if id != self.unk || !*after_unk {
                ids.push(id);
            }
            *after_unk = id == self.unk;
        }
    }

    /// Appends the ids of the best way through `text`, as it would be without rounding; gives how large a sum at the
    /// word's end may be (as an absolute value) for that to be SentencePiece's as well.
    ///
    /// Let a sum be rounded by E at most, k be the pieces of the best way and n the text's characters. By induction
    /// over the places in the text, what SentencePiece finds for the best way to the end is at least its true score - k
    /// E; a way that is taken instead has n pieces at most, so its true score is that - n E at least. So a way that is
    /// worse by more than (k + n) E is never taken. E is half a unit in the last place: 2^-24 of the largest sum, which
    /// is that at the end, since no score is positive.
    ///
    /// Nor may sums begin at 0 again within the word: none is lower than that at its end by more than n unknown
    /// characters.
    fn two_best(&self, text: &[u8], nodes: &mut Vec<TwoBest>, path: &mut Vec<u32>) -> f32 {
        let unreached = TwoBest {
            best: f64::NEG_INFINITY,
            second: f64::NEG_INFINITY,
            start: NONE,
            id: 0,
        };
        nodes.clear();
        nodes.resize(text.len() + 1, unreached);
        nodes[0].best = 0.0;
        let mut start = 0;
        let mut characters = 0;
        while start < text.len() {
            let from = nodes[start];
            let length = character(text[start]).min(text.len() - start);
            let mut has_single = false;
            let mut at = ROOT;
            for (i, &byte) in text[start..].iter().enumerate() {
                match self.trie.child(at, byte) {
                    Some(child) => at = child,
                    None => break,
                }
                let id = self.trie.value(at);
                if id != NONE {
                    has_single |= i + 1 == length;
                    let score = f64::from(self.scores[id as usize]);
                    nodes[start + i + 1].offer(from, score, start, id);
                }
            }
            if !has_single {
                let score = f64::from(self.unk_score);
                nodes[start + length].offer(from, score, start, self.unk);
            }
            start += length;
            characters += 1;
        }
        let first = path.len();
        let mut end = text.len();
        while end > 0 {
            path.push(nodes[end].id);
            end = nodes[end].start as usize;
        }
        path[first..].reverse();
        let margin = nodes[text.len()].best - nodes[text.len()].second;
        let roundings = (path.len() - first + characters) as f64;
        // A little less, for the roundings of this very computation.
        let limit = (0.95 * margin * f64::from(1 << 24) / roundings) as f32;
        limit.min(0.95 * (RESET + self.unk_score * characters as f32))
    }
}

impl BytePieces {
    fn push_all(&self, path: &[u32], unk: u32, text: &[u8], ids: &mut Vec<u32>) {
        let mut at = 0;
        for &id in path {
            if id == unk {
                let end = at + character(text[at]).min(text.len() - at);
                let bytes = text[at..end].iter();
                ids.extend(bytes.map(|byte| self.ids[usize::from(*byte)]));
                at = end;
            } else {
                ids.push(id);
                at += self.lengths[id as usize] as usize;
            }
        }
    }
}

impl TwoBest {
    #[inline]
    fn offer(&mut self, from: TwoBest, score: f64, start: usize, id: u32) {
        let best = from.best + score;
        if best > self.best {
            self.second = self.best.max(from.second + score);
            self.best = best;
            self.start = start as u32;
            self.id = id;
        } else {
            self.second = self.second.max(best);
        }
    }
}

/// A word's pieces: a range of [`Encoder::pieces`].
#[derive(Debug, Clone, Copy)]
struct Cached {
    start: u32,
    length: u32,
    /// The largest sum, as an absolute value, for which they hold.
    limit: f32,
}

/// What a thread needs to encode: room, and the words it remembers. They change the speed, never the result.
#[derive(Debug)]
pub(crate) struct Encoder {
    words: HashMap<Box<[u8]>, Cached, RandomState>,
    /// The ids of all remembered words.
    pieces: Vec<u32>,
    nodes: Vec<PathNode>,
    two_best: Vec<TwoBest>,
    path: Vec<u32>,
    /// A word with its U+2581.
    padded: Vec<u8>,
    /// The sum so far.
    sum: f32,
    after_unk: bool,
}

impl Default for Encoder {
    fn default() -> Encoder {
        Encoder {
            words: HashMap::with_hasher(RandomState::with_seeds(1, 2, 3, 4)),
            pieces: Vec::new(),
            nodes: Vec::new(),
            two_best: Vec::new(),
            path: Vec::new(),
            padded: Vec::new(),
            sum: 0.0,
            after_unk: false,
        }
    }
}

impl Encoder {
    /// To be called at the start of each text.
    pub fn start(&mut self) {
        self.sum = 0.0;
        self.after_unk = false;
    }

    /// Appends the ids of `text` as a whole.
    pub fn whole(&mut self, segmenter: &Segmenter, text: &[u8], ids: &mut Vec<u32>) {
        self.path.clear();
        let sum = segmenter.best_path(text, self.sum, &mut self.nodes, &mut self.path);
        self.sum = sum;
        segmenter.push_all(&self.path, text, &mut self.after_unk, ids);
    }

    /// Appends the ids of the text's next word, which comes without its U+2581.
    #[inline]
    pub fn word(&mut self, segmenter: &Segmenter, word: &[u8], ids: &mut Vec<u32>) {
        let Some(&cached) = self.words.get(word) else {
            return self.new_word(segmenter, word, ids);
        };
        let pieces = &self.pieces[cached.start as usize..][..cached.length as usize];
        let sum = pieces.iter().fold(self.sum, |sum, &id| segmenter.add(sum, id));
        if sum.abs() < cached.limit {
            self.sum = sum;
            // Without unknown characters, where those would be looked up in the text.
            segmenter.push_all(pieces, &[], &mut self.after_unk, ids);
        } else {
            self.padded_word(segmenter, word, ids);
        }
    }

    fn padded_word(&mut self, segmenter: &Segmenter, word: &[u8], ids: &mut Vec<u32>) {
        let mut padded = std::mem::take(&mut self.padded);
        padded.clear();
        padded.extend_from_slice(SPACE.as_bytes());
        padded.extend_from_slice(word);
        self.whole(segmenter, &padded, ids);
        self.padded = padded;
    }

    #[cold]
    fn new_word(&mut self, segmenter: &Segmenter, word: &[u8], ids: &mut Vec<u32>) {
        if word.len() <= CACHED_WORD {
            if self.words.len() >= CACHED_WORDS {
                self.words.clear();
                self.pieces.clear();
            }
            self.padded.clear();
            self.padded.extend_from_slice(SPACE.as_bytes());
            self.padded.extend_from_slice(word);
            let start = self.pieces.len();
            let mut limit = segmenter.two_best(&self.padded, &mut self.two_best, &mut self.pieces);
            if segmenter.bytes.is_some() && self.pieces[start..].contains(&segmenter.unk) {
                // To be cut anew each time, since the bytes are in the text.
                limit = 0.0;
            }
            let cached = Cached {
                start: start as u32,
                length: (self.pieces.len() - start) as u32,
                limit,
            };
            self.words.insert(word.into(), cached);
        }
        self.padded_word(segmenter, word, ids);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Scores with many ties, and near ones.
    fn segmenter() -> Segmenter {
        let pieces = [
            ("<unk>", 0.0),
            ("▁", -2.0),
            ("a", -3.0),
            ("b", -3.25),
            ("!", -4.1),
            ("!!", -8.2),
            ("!!!", -12.3),
            ("ab", -6.25),
            ("▁a", -5.000_001),
            ("▁b", -5.3),
            ("aa", -5.999_99),
            ("ba", -6.2),
        ];
        let piece = |(id, (text, score)): (usize, (&str, f32))| Piece {
            text: text.to_owned(),
            score,
            kind: if id == 0 { PieceKind::Unknown } else { PieceKind::Normal },
        };
        let pieces: Vec<Piece> = pieces.into_iter().enumerate().map(piece).collect();
        Segmenter::new(&pieces, 0, None, |id| id > 0)
    }

    proptest! {
        /// With sums from 0 to 2^20, where a unit in the last place is 0.06.
        #[test]
        fn remembering_words_changes_nothing(
            words in prop::collection::vec("[ab!x]{1,9}", 1..60),
            start in prop_oneof![Just(0.0f32), 0.0f32..1048576.0],
        ) {
            let segmenter = segmenter();
            assert!(segmenter.by_words());
            let text: String = words.iter().map(|word| format!("▁{word}")).collect();
            let (mut whole, mut by_words) = (Vec::new(), Vec::new());
            let mut encoder = Encoder {
                sum: -start,
                ..Encoder::default()
            };
            encoder.whole(&segmenter, text.as_bytes(), &mut whole);
            let end = encoder.sum;
            for _ in 0..2 {
                // The second time all words are known.
                by_words.clear();
                encoder.start();
                encoder.sum = -start;
                for word in &words {
                    encoder.word(&segmenter, word.as_bytes(), &mut by_words);
                }
                prop_assert_eq!(&by_words, &whole);
                prop_assert_eq!(encoder.sum.to_bits(), end.to_bits());
            }
        }
    }

    #[test]
    fn ties_are_decided_by_rounding_and_never_remembered() {
        let segmenter = segmenter();
        let limit = |word: &str| segmenter.two_best(word.as_bytes(), &mut Vec::new(), &mut Vec::new());
        // "!!" and "!" "!" have the same score.
        assert!(limit("▁!!") < 16.0);
        // 1e-5 apart.
        assert!((1.0..1e3).contains(&limit("▁baaa")));
        assert!(limit("▁b!") > 1e4);
        // There is one way only, but for sums that begin at 0 again.
        assert!((9e4..RESET).contains(&limit("▁x")));
    }
}
