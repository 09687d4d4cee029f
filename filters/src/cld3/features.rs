//! What the network is told of a text: its n-grams and scripts.
//!
//! The original splits a text at spaces, puts `^` and `$` around each word, also around the empty ones
//! between two spaces, and counts the n-grams of characters in words.

use super::letters::{HANI, Letters, SCRIPTS};
use super::network::{Embedding, Layer, Network};
use super::order::{self, Order};
use super::scan;

/// Bytes of four characters.
const LONGEST: usize = 16;

/// Different n-grams of one size, each with its count, in the order in which they first come.
struct Grams {
    grams: Vec<Gram>,
    total: u32,
    /// Places in `grams` plus one by hash, 0 where there is none.
    table: Vec<u16>,
}

#[derive(Clone, Copy)]
struct Gram {
    /// UTF-8, the first byte lowest.
    key: u128,
    length: u32,
    count: u32,
}

impl Grams {
    fn new(positions: usize) -> Grams {
        Grams {
            grams: Vec::new(),
            total: 0,
            table: vec![0; (2 * positions).next_power_of_two().max(64)],
        }
    }

    #[inline]
    fn add(&mut self, key: u128, length: u32) {
        self.total += 1;
        let mask = self.table.len() - 1;
        let folded = (key as u64) ^ ((key >> 64) as u64).rotate_left(29);
        let mixed = folded.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut slot = (mixed >> 40) as usize & mask;
        loop {
            match self.table[slot] {
                0 => {
                    self.grams.push(Gram {
                        key,
                        length,
                        count: 1,
                    });
                    self.table[slot] = self.grams.len() as u16;
                    return;
                }
                place => {
                    let gram = &mut self.grams[usize::from(place) - 1];
                    if gram.key == key {
                        gram.count += 1;
                        return;
                    }
                }
            }
            slot = (slot + 1) & mask;
        }
    }
}

/// The first layer of the network for a text (`ConcatEmbeddings`), of at most 10,005 bytes.
pub(super) fn layer(letters: &Letters, network: &Network, text: &str) -> Layer {
    let mut layer = [0.0; size_of::<Layer>() / size_of::<f32>()];
    let mut order = Order::new();
    let embeddings = &network.embeddings;
    let [bigrams, quadgrams, relevant, script, trigrams, unigrams] = embeddings;
    let grams = count(text);
    for (grams, embedding) in grams.iter().zip([unigrams, bigrams, trigrams, quadgrams]) {
        add_grams(grams, embedding, &mut order, &mut layer);
    }
    add_relevant_scripts(text, relevant, &mut layer);
    script.add(text_script(letters, text), 1.0, &mut layer);
    layer
}

/// Counts the n-grams of one to four characters.
fn count(text: &str) -> [Grams; 4] {
    // A word of n characters has n + 2 positions.
    let spaces = text.bytes().filter(|b| *b == b' ').count();
    let positions = text.chars().count() + 2 + spaces;
    let mut all = [(); 4].map(|()| Grams::new(positions));
    let mut bytes = Vec::with_capacity(64);
    let mut starts = Vec::with_capacity(64);
    for word in text.split(' ') {
        bytes.clear();
        bytes.push(b'^');
        bytes.extend_from_slice(word.as_bytes());
        bytes.push(b'$');
        starts.clear();
        starts.push(0);
        starts.extend(word.char_indices().map(|(at, _)| at + 1));
        starts.extend([bytes.len() - 1, bytes.len()]);
        // So that sixteen bytes can be read from anywhere.
        bytes.resize(bytes.len() + LONGEST, 0);
        for (i, start) in starts[..starts.len() - 1].iter().enumerate() {
            let Some(ahead) = bytes[*start..].first_chunk::<LONGEST>() else {
                break;
            };
            let ahead = u128::from_le_bytes(*ahead);
            for (grams, end) in all.iter_mut().zip(&starts[i + 1..]) {
                let length = (end - start) as u32;
                let key = ahead & (u128::MAX >> (128 - 8 * length));
                grams.add(key, length);
            }
        }
    }
    all
}

/// Adds the embeddings of the n-grams of one size (`ContinuousBagOfNgramsFunction`).
fn add_grams(grams: &Grams, embedding: &Embedding, order: &mut Order, layer: &mut Layer) {
    let hashes: Vec<u64> = grams
        .grams
        .iter()
        .map(|gram| order::hash(gram.key, gram.length as usize))
        .collect();
    let total = grams.total as f32;
    for place in order.of(&hashes) {
        let gram = grams.grams[place];
        let id = hash(gram.key, gram.length) as usize % embedding.rows();
        embedding.add(id, gram.count as f32 / total, layer);
    }
}

/// `Hash32WithDefaultSeed` (MurmurHash2 by Austin Appleby) of the low bytes of `key`.
fn hash(key: u128, length: u32) -> u32 {
    const MUL: u32 = 0x5bd1_e995;
    let mut hash = 0xbeef ^ length;
    for word in 0..length / 4 {
        let mut data = ((key >> (32 * word)) as u32).wrapping_mul(MUL);
        data = (data ^ (data >> 24)).wrapping_mul(MUL);
        hash = hash.wrapping_mul(MUL) ^ data;
    }
    if !length.is_multiple_of(4) {
        hash = (hash ^ (key >> (32 * (length / 4))) as u32).wrapping_mul(MUL);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MUL);
    hash ^ (hash >> 15)
}

/// Adds what share of the letters is of which script (`RelevantScriptFeature`).
fn add_relevant_scripts(text: &str, embedding: &Embedding, layer: &mut Layer) {
    let mut counts = [0_u32; 12];
    for c in text.chars().filter(|c| *c != ' ') {
        counts[relevant_script(c)] += 1;
    }
    let total: u32 = counts.iter().sum();
    for (script, count) in counts.into_iter().enumerate() {
        if count > 0 {
            embedding.add(script, count as f32 / total as f32, layer);
        }
    }
}

/// `Script` in `script_detector.h`: by blocks of Unicode, else by the bytes in UTF-8.
fn relevant_script(c: char) -> usize {
    match u32::from(c) {
        0x370..0x400 => 5,    // Greek
        0x400..0x500 => 6,    // Cyrillic
        0x590..0x600 => 7,    // Hebrew
        0x600..0x700 => 8,    // Arabic
        0x1100..0x1200 => 9,  // Hangul Jamo
        0x3041..0x30a0 => 10, // Hiragana
        0x30a0..0x3100 => 11, // Katakana
        _ => c.len_utf8(),
    }
}

/// The script of the first letters; Korean has a number of its own (`ScriptFeature`).
fn text_script(letters: &Letters, text: &str) -> usize {
    let (mut hangul, mut others) = (0_u32, 0_u32);
    let found = scan::span(letters, text, 0..text.len(), &mut |c| match u32::from(c) {
        0x20 => {}
        0x1100..0x1200
        | 0x3130..0x3190
        | 0xa960..0xa980
        | 0xac00..0xd7b0
        | 0xd7b0..0xd800
        | 0xffa0..=0xffdc => hangul += 1,
        _ => others += 1,
    });
    match found {
        Some((HANI, _)) if hangul > others => SCRIPTS.into(),
        Some((script, _)) => script.into(),
        None => 0,
    }
}
