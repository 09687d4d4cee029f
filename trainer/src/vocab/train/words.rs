//! The words of a sample and how often each occurs: all that training looks at.

use crate::vocab::normalizer::{Normalizer, SPACE};
use ahash::RandomState;
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Characters of a word that are looked at together. Longer ones (of a script without spaces) are cut, so that a word's
/// probability stays within the range of a 64-bit float.
const WORD_CHARACTERS: usize = 64;

/// Counts words. A word is what stands between spaces after normalisation.
#[derive(Debug)]
pub struct WordCounts {
    counts: HashMap<Box<[u8]>, u64, RandomState>,
    room: Vec<u8>,
    /// Texts that were added.
    pub texts: u64,
    /// The UTF-8 bytes of all words.
    pub bytes: u64,
}

impl Default for WordCounts {
    fn default() -> WordCounts {
        WordCounts {
            counts: HashMap::with_hasher(RandomState::with_seeds(1, 2, 3, 4)),
            room: Vec::new(),
            texts: 0,
            bytes: 0,
        }
    }
}

impl WordCounts {
    /// Counts the words of a text.
    pub(crate) fn add(&mut self, normalizer: &Normalizer, text: &str) {
        self.texts += 1;
        self.bytes += text.len() as u64;
        let counts = &mut self.counts;
        let mut count = |word: &[u8]| match counts.get_mut(word) {
            Some(count) => *count += 1,
            None => {
                counts.insert(word.into(), 1);
            }
        };
        if memchr::memmem::find(text.as_bytes(), SPACE.as_bytes()).is_none() {
            normalizer.for_each_word(text, &mut self.room, count);
            return;
        }
        let mut normalized = Vec::new();
        normalizer.normalize(text, &mut normalized);
        let normalized = String::from_utf8_lossy(&normalized);
        for word in normalized.split(SPACE).filter(|word| !word.is_empty()) {
            count(word.as_bytes());
        }
    }

    /// Adds what another has counted.
    pub fn merge(mut self, mut other: WordCounts) -> WordCounts {
        if self.counts.len() < other.counts.len() {
            std::mem::swap(&mut self, &mut other);
        }
        self.texts += other.texts;
        self.bytes += other.bytes;
        for (word, count) in other.counts {
            *self.counts.entry(word).or_default() += count;
        }
        self
    }

    /// Number of different words.
    pub fn distinct(&self) -> usize {
        self.counts.len()
    }
}

/// The characters that are sure of a piece, most frequent first: as many as cover the share `coverage` of all.
pub(crate) fn alphabet(counts: &WordCounts, coverage: f64) -> Vec<char> {
    let mut frequencies: BTreeMap<char, u64> = BTreeMap::new();
    for (word, count) in &counts.counts {
        let word = String::from_utf8_lossy(word);
        for character in word.chars() {
            *frequencies.entry(character).or_default() += count;
        }
        *frequencies.entry('\u{2581}').or_default() += count;
    }
    // It ends keys and cuts words.
    frequencies.remove(&'\0');
    let all: u64 = frequencies.values().sum();
    let mut frequencies: Vec<(char, u64)> = frequencies.into_iter().collect();
    frequencies.sort_by_key(|(character, count)| (std::cmp::Reverse(*count), *character));
    let mut covered = 0;
    let needed = frequencies.into_iter().take_while(|(_, count)| {
        let enough = covered as f64 >= coverage * all as f64;
        covered += count;
        !enough
    });
    needed.map(|(character, _)| character).collect()
}

/// Different words with their counts, in an order that depends on nothing else. Each starts with U+2581, unless it is
/// the rest of a word behind a rare character, or of a long one.
#[derive(Debug, Default)]
pub(crate) struct Words {
    /// All words, one after the other.
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
    counts: Vec<u64>,
}

impl Words {
    /// `alphabet` are the characters that may be in a piece; a word is cut at all others, which are unknown whatever
    /// stands beside them.
    pub fn new(counts: WordCounts, alphabet: &[char]) -> Words {
        let alphabet: HashSet<char, RandomState> = alphabet.iter().copied().collect();
        let mut parts: HashMap<Box<str>, u64, RandomState> =
            HashMap::with_capacity_and_hasher(counts.counts.len(), RandomState::default());
        let mut part = String::new();
        for (word, count) in counts.counts {
            let mut add = |part: &mut String| {
                if !part.is_empty() {
                    *parts.entry(part.as_str().into()).or_default() += count;
                    part.clear();
                }
            };
            part.push_str(SPACE);
            let mut characters = 1;
            for character in String::from_utf8_lossy(&word).chars() {
                let is_rare = !alphabet.contains(&character);
                if is_rare || characters == WORD_CHARACTERS {
                    add(&mut part);
                    characters = 0;
                }
                if !is_rare {
                    part.push(character);
                    characters += 1;
                }
            }
            add(&mut part);
        }
        let mut parts: Vec<(Box<str>, u64)> = parts.into_iter().collect();
        parts.par_sort_unstable_by(|a, b| (b.1, &a.0).cmp(&(a.1, &b.0)));
        let mut words = Words::default();
        for (part, count) in parts {
            words.bytes.extend_from_slice(part.as_bytes());
            words.ends.push(words.bytes.len());
            words.counts.push(count);
        }
        words
    }

    /// Number of words.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Word `i` and its count.
    pub fn get(&self, i: usize) -> (&[u8], u64) {
        let start = i.checked_sub(1).map_or(0, |before| self.ends[before]);
        (&self.bytes[start..self.ends[i]], self.counts[i])
    }

    /// All words and their counts, most frequent first.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], u64)> {
        (0..self.len()).map(|i| self.get(i))
    }

    /// The sum of all counts.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Calls `visit` with every word and its count on all cores, with an `A` that not all share; merges these. The
    /// result depends on the number of threads unless `merge` is exact and commutes.
    pub fn fold<A: Send>(
        &self,
        new: impl Fn() -> A + Sync,
        visit: impl Fn(&mut A, &[u8], u64) + Sync,
        merge: impl Fn(A, A) -> A + Sync,
    ) -> A {
        // Neighbours are alike in frequency, not in length: a few parts a thread even that out.
        let parts = rayon::current_num_threads() * 4;
        let size = self.len().div_ceil(parts).max(1);
        (0..parts)
            .into_par_iter()
            .map(|part| {
                let mut sum = new();
                for i in (part * size..self.len()).take(size) {
                    let (word, count) = self.get(i);
                    visit(&mut sum, word, count);
                }
                sum
            })
            .reduce(&new, &merge)
    }
}
