//! Estimating the pieces' probabilities (Kudo 2018, section 3.2), and taking away those that help least.
//!
//! Sums over words are sums of integers, so that no order of them, and no number of threads, changes a bit.

use super::words::Words;
use crate::vocab::encode::UNK_PENALTY;
use crate::vocab::normalizer::character;
use crate::vocab::trie::{NONE, ROOT, Trie};
use rayon::prelude::*;

/// Expected counts are in units of this, so up to 5e11 pieces can be counted.
const UNIT: f64 = (1 << 24) as f64;
/// A piece that is expected less often is dropped (`kExpectedFrequencyThreshold`).
const LEAST_EXPECTED: f64 = 0.5;

/// The pieces that are left, with their scores.
pub(crate) struct Model {
    /// In the order of their bytes, with the natural logarithms of their probabilities.
    pub pieces: Vec<(Box<str>, f64)>,
    /// The least score of a piece.
    pub min_score: f64,
    trie: Trie,
}

/// A piece in a word.
#[derive(Clone, Copy)]
struct Arc {
    start: usize,
    end: usize,
    /// [`NONE`]: a character that has no piece (any more).
    id: u32,
}

impl Model {
    /// `pieces` are in the order of their bytes.
    pub fn new(pieces: Vec<(Box<str>, f64)>) -> Model {
        let keys: Vec<(&str, u32)> = pieces.iter().zip(0..).map(|(p, id)| (&*p.0, id)).collect();
        let trie = Trie::new(&keys);
        let min_score = pieces.iter().map(|piece| piece.1).fold(0.0, f64::min);
        Model {
            pieces,
            min_score,
            trie,
        }
    }

    /// From the seeds' scores.
    pub fn from_seeds(seeds: Vec<(Box<str>, u64)>) -> Model {
        let sum: f64 = seeds.iter().map(|(_, score)| *score as f64).sum();
        let pieces = seeds.into_iter();
        Model::new(
            pieces
                .map(|(piece, score)| (piece, (score as f64 / sum).ln()))
                .collect(),
        )
    }

    /// All pieces in a word, by start; a character without a piece counts as one.
    fn arcs(&self, word: &[u8], arcs: &mut Vec<Arc>) {
        arcs.clear();
        let mut start = 0;
        while start < word.len() {
            let length = character(word[start]).min(word.len() - start);
            let mut has_single = false;
            let mut node = ROOT;
            for (i, &byte) in word[start..].iter().enumerate() {
                match self.trie.child(node, byte) {
                    Some(child) => node = child,
                    None => break,
                }
                let id = self.trie.value(node);
                if id != NONE {
                    has_single |= i + 1 == length;
                    let end = start + i + 1;
                    arcs.push(Arc { start, end, id });
                }
            }
            if !has_single {
                let end = start + length;
                arcs.push(Arc { start, end, id: NONE });
            }
            start += length;
        }
    }

    /// One step of expectation and one of maximisation. Pieces that are expected less than half a time go; the others'
    /// scores are digamma(expected) - digamma(sum), a variational step with a sparse prior (`RunMStep`).
    pub fn step(self, words: &Words) -> Model {
        let expected = self.expect(words);
        let kept = |expected: &&f64| **expected >= LEAST_EXPECTED;
        let sum: f64 = expected.iter().filter(kept).sum();
        let log_sum = digamma(sum);
        let pieces = self.pieces.into_iter().zip(expected);
        let pieces = pieces.filter(|(_, expected)| *expected >= LEAST_EXPECTED);
        Model::new(
            pieces
                .map(|((piece, _), expected)| (piece, digamma(expected) - log_sum))
                .collect(),
        )
    }

    /// How often each piece is expected to be used, over all ways to cut each word, each with its probability.
    fn expect(&self, words: &Words) -> Vec<f64> {
        let probabilities: Vec<f64> = self.pieces.iter().map(|piece| piece.1.exp()).collect();
        let unknown = (self.min_score - f64::from(UNK_PENALTY)).exp();
        let probability = |id: u32| match id {
            NONE => unknown,
            id => probabilities[id as usize],
        };
        struct Room {
            expected: Vec<i64>,
            arcs: Vec<Arc>,
            /// By place: the probability of all ways from the start there; of all ways from there to the end.
            to: Vec<f64>,
            from: Vec<f64>,
        }
        let room = words.fold(
            || Room {
                expected: vec![0; self.pieces.len()],
                arcs: Vec::new(),
                to: Vec::new(),
                from: Vec::new(),
            },
            |room, word, count| {
                let Room { to, from, arcs, .. } = room;
                self.arcs(word, arcs);
                for sums in [&mut *to, &mut *from] {
                    sums.clear();
                    sums.resize(word.len() + 1, 0.0);
                }
                to[0] = 1.0;
                for arc in &*arcs {
                    to[arc.end] += to[arc.start] * probability(arc.id);
                }
                from[word.len()] = 1.0;
                for arc in arcs.iter().rev() {
                    from[arc.start] += from[arc.end] * probability(arc.id);
                }
                let all = to[word.len()];
                // Where most of 64 characters have lost their pieces; nothing is to be learned there.
                if all < f64::MIN_POSITIVE {
                    return;
                }
                let scale = count as f64 / all * UNIT;
                for arc in arcs.iter().filter(|arc| arc.id != NONE) {
                    let share = to[arc.start] * probability(arc.id) * from[arc.end];
                    room.expected[arc.id as usize] += (share * scale) as i64;
                }
            },
            |mut a, b| {
                for (a, b) in a.expected.iter_mut().zip(b.expected) {
                    *a += b;
                }
                a
            },
        );
        let expected = room.expected.into_iter();
        expected.map(|expected| expected as f64 / UNIT).collect()
    }

    /// Keeps those pieces without which the text would become least probable: at most `most`, and all
    /// single characters that are in use (`PruneSentencePieces`). A piece's loss is estimated as if all its uses were
    /// replaced by the next best way to cut its own text.
    pub fn prune(self, words: &Words, most: usize) -> Model {
        let alternatives: Vec<Alternative> = (0..self.pieces.len())
            .into_par_iter()
            .map_init(Room::default, |room, id| self.alternative(id, room))
            .collect();
        let used = self.count(words);
        let total = words.total() as f64;
        let sum = used.iter().sum::<u64>() as f64;
        let log_sum = sum.ln();
        let mut kept = vec![false; self.pieces.len()];
        let mut candidates: Vec<(f64, usize)> = Vec::new();
        for (id, alternative) in alternatives.iter().enumerate() {
            let count = used[id] as f64;
            match alternative {
                _ if used[id] == 0 => {}
                Alternative::Better => {}
                Alternative::None => kept[id] = true,
                Alternative::Pieces(pieces) => {
                    let score = count.ln() - log_sum;
                    let log_sum_after = (sum + count * (pieces.len() as f64 - 1.0)).ln();
                    let after = |id: &u32| match *id {
                        NONE => self.min_score - f64::from(UNK_PENALTY),
                        id => (used[id as usize] as f64 + count).ln() - log_sum_after,
                    };
                    let score_after: f64 = pieces.iter().map(after).sum();
                    candidates.push((count / total * (score - score_after), id));
                }
            }
        }
        let sure = kept.iter().filter(|kept| **kept).count();
        candidates.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        for (_, id) in candidates.into_iter().take(most.saturating_sub(sure)) {
            kept[id] = true;
        }
        let pieces = self.pieces.into_iter().zip(kept);
        Model::new(pieces.filter(|(_, kept)| *kept).map(|(piece, _)| piece).collect())
    }

    /// The best way to cut a piece's text without the piece itself.
    fn alternative(&self, id: usize, room: &mut Room) -> Alternative {
        let (piece, score) = &self.pieces[id];
        self.arcs(piece.as_bytes(), &mut room.arcs);
        room.arcs.retain(|arc| arc.id as usize != id);
        let other = self.best(piece.len(), room);
        if other == f64::NEG_INFINITY {
            Alternative::None
        } else if other > *score {
            Alternative::Better
        } else {
            Alternative::Pieces(room.path.as_slice().into())
        }
    }

    /// How often each piece is used if every word is cut in the best way.
    fn count(&self, words: &Words) -> Vec<u64> {
        let (_, used) = words.fold(
            || (Room::default(), vec![0; self.pieces.len()]),
            |(room, used), word, count| {
                self.arcs(word, &mut room.arcs);
                self.best(word.len(), room);
                for &id in room.path.iter().filter(|id| **id != NONE) {
                    used[id as usize] += count;
                }
            },
            |(room, mut a), (_, b)| {
                for (a, b) in a.iter_mut().zip(b) {
                    *a += b;
                }
                (room, a)
            },
        );
        used
    }

    /// The best way along `room.arcs` over `length` bytes: leaves it in `room.path`, last piece first, and gives its
    /// score; minus infinity if there is none.
    fn best(&self, length: usize, room: &mut Room) -> f64 {
        let unknown = self.min_score - f64::from(UNK_PENALTY);
        let Room { arcs, best, path } = room;
        best.clear();
        best.resize(length + 1, (f64::NEG_INFINITY, 0, NONE));
        best[0].0 = 0.0;
        for arc in &*arcs {
            let score = match arc.id {
                NONE => unknown,
                id => self.pieces[id as usize].1,
            };
            let score = best[arc.start].0 + score;
            if score > best[arc.end].0 {
                best[arc.end] = (score, arc.start, arc.id);
            }
        }
        path.clear();
        let score = best[length].0;
        let mut end = length;
        while end > 0 && score > f64::NEG_INFINITY {
            path.push(best[end].2);
            end = best[end].1;
        }
        score
    }
}

/// What a piece can be replaced by.
enum Alternative {
    /// Nothing: it is a single character.
    None,
    /// Pieces that are more probable together: it is in the way.
    Better,
    /// Pieces that are less probable together; [`NONE`] for a character that has no other.
    Pieces(Box<[u32]>),
}

/// What a search needs.
#[derive(Default)]
struct Room {
    arcs: Vec<Arc>,
    /// By place: the best score, where its last piece starts, and that piece.
    best: Vec<(f64, usize, u32)>,
    path: Vec<u32>,
}

/// The derivative of the logarithm of the gamma function, by its asymptotic series at x - 1/2 for x >= 7.
fn digamma(mut x: f64) -> f64 {
    let mut result = 0.0;
    while x < 7.0 {
        result -= 1.0 / x;
        x += 1.0;
    }
    x -= 0.5;
    let y = 1.0 / (x * x);
    result + x.ln() + y * (1.0 / 24.0 - y * (7.0 / 960.0 - y * (31.0 / 8064.0 - y * (127.0 / 30720.0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digamma_of_known_points() {
        const EULER: f64 = 0.577_215_664_901_532_9;
        assert!((digamma(1.0) + EULER).abs() < 1e-9);
        assert!((digamma(0.5) + EULER + 2.0 * 2f64.ln()).abs() < 1e-9);
        assert!((digamma(1e6) - (1e6f64.ln() - 0.5e-6)).abs() < 1e-9);
    }
}
