//! The features of a text that the network reads: its n-grams and scripts.
//!
//! The original splits a text at spaces, puts `^` and `$` around each word, also around the empty ones between two
//! spaces, and counts the n-grams of characters in words.

use super::letters::{HANI, Letters, SCRIPTS};
use super::network::{Embedding, Layer, Network, RELEVANT_SCRIPTS};
use super::order::{self, Order};
use super::scan;

/// Bytes of the longest n-gram.
const LONGEST: usize = 16;

/// A text with its words marked.
struct Marked {
    /// UTF-8, and [`LONGEST`] bytes more, so that as many can be read from anywhere.
    bytes: Vec<u8>,
    /// The starts of the characters, and the end of the last one.
    starts: Vec<u32>,
    /// The characters' numbers: places in `unigrams` plus one, 0 for the space.
    ids: Vec<u16>,
    unigrams: GramCounts,
}

impl Marked {
    fn new(text: &str) -> Marked {
        let mut marked = Marked {
            bytes: Vec::with_capacity(text.len() + text.len() / 2),
            starts: Vec::with_capacity(text.len() + text.len() / 2),
            ids: Vec::with_capacity(text.len() + text.len() / 2),
            unigrams: GramCounts::new(),
        };
        let mut ascii = [0; 128];
        marked.push('^', &mut ascii);
        for c in text.chars() {
            if c == ' ' {
                marked.push('$', &mut ascii);
                marked.starts.push(marked.bytes.len() as u32);
                marked.ids.push(0);
                marked.bytes.push(b' ');
                marked.push('^', &mut ascii);
            } else {
                marked.push(c, &mut ascii);
            }
        }
        marked.push('$', &mut ascii);
        marked.starts.push(marked.bytes.len() as u32);
        marked.bytes.extend([0; LONGEST]);
        marked
    }

    /// Adds a character that is not a space; `ascii` knows the places of the first 128.
    #[inline]
    fn push(&mut self, c: char, ascii: &mut [u16; 128]) {
        let first = self.ids.len() as u32;
        self.starts.push(self.bytes.len() as u32);
        let place = match u8::try_from(c) {
            Ok(byte) if byte.is_ascii() => {
                self.bytes.push(byte);
                let place = &mut ascii[usize::from(byte)];
                if *place == 0 {
                    *place = self.unigrams.add(u64::from(c), first) + 1;
                } else {
                    self.unigrams.count_again(*place - 1);
                }
                *place
            }
            _ => {
                let utf8 = &mut [0; 4];
                self.bytes.extend_from_slice(c.encode_utf8(utf8).as_bytes());
                self.unigrams.add(u64::from(c), first) + 1
            }
        };
        self.ids.push(place);
    }

    /// Counts the n-grams of `n` characters, 2 to 4.
    fn grams(&self, n: u32) -> GramCounts {
        let mut grams = GramCounts::new();
        let (mut key, mut run) = (0, 0);
        for (i, id) in self.ids.iter().enumerate() {
            key = key << 16 | u64::from(*id);
            run = if *id == 0 { 0 } else { run + 1 };
            if run >= n {
                grams.add(key << (64 - 16 * n), i as u32 + 1 - n);
            }
        }
        grams
    }

    /// The n-gram of `n` characters at a place: its bytes, the first one lowest, and their number.
    #[inline]
    fn gram(&self, first: u32, n: u32) -> (u128, u32) {
        let start = self.starts[first as usize];
        let length = self.starts[(first + n) as usize] - start;
        let ahead = self.bytes[start as usize..].first_chunk::<LONGEST>();
        let ahead = u128::from_le_bytes(*ahead.expect("there are as many bytes behind the text"));
        (ahead & (u128::MAX >> (128 - 8 * length)), length)
    }
}

/// Different n-grams of one size, in the order in which they first come.
struct GramCounts {
    grams: Vec<CountedGram>,
    /// The different n-grams.
    total: u32,
    /// Places in `grams` plus one by hash, 0 where there is none. At least half of it is free.
    table: Vec<u16>,
}

struct CountedGram {
    key: u64,
    /// The n-gram's first place in the text.
    first: u32,
    count: u32,
}

impl GramCounts {
    fn new() -> GramCounts {
        GramCounts {
            grams: Vec::with_capacity(512),
            total: 0,
            table: vec![0; 1024],
        }
    }

    /// Counts an n-gram and gives its place.
    #[inline]
    fn add(&mut self, key: u64, first: u32) -> u16 {
        self.total += 1;
        let slot = self.slot(key);
        match self.table[slot] {
            0 => self.insert(slot, key, first),
            place => {
                self.grams[usize::from(place) - 1].count += 1;
                place - 1
            }
        }
    }

    #[inline]
    fn count_again(&mut self, place: u16) {
        self.total += 1;
        self.grams[usize::from(place)].count += 1;
    }

    /// The place in the table where an n-gram is, or will be.
    #[inline]
    fn slot(&self, key: u64) -> usize {
        let mask = self.table.len() - 1;
        // Fibonacci hashing (Knuth, 6.4).
        let mut slot = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize & mask;
        while let place @ 1.. = self.table[slot]
            && self.grams[usize::from(place) - 1].key != key
        {
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn insert(&mut self, slot: usize, key: u64, first: u32) -> u16 {
        let place = self.grams.len() as u16;
        self.grams.push(CountedGram { key, first, count: 1 });
        self.table[slot] = place + 1;
        if 2 * self.grams.len() > self.table.len() {
            self.table = vec![0; 2 * self.table.len()];
            for place in 0..=place {
                let slot = self.slot(self.grams[usize::from(place)].key);
                self.table[slot] = place + 1;
            }
        }
        place
    }
}

/// The first layer of the network for a text (`ConcatEmbeddings`), of at most 10,005 bytes.
pub(super) fn layer(letters: &Letters, network: &Network, text: &str) -> Layer {
    let marked = Marked::new(text);
    let order = &mut Order::new();
    let mut grams = |n, embedding| sum(&marked, &marked.grams(n), n, embedding, order);
    let bigrams = grams(2, &network.bigrams);
    let trigrams = grams(3, &network.trigrams);
    let quadgrams = grams(4, &network.quadgrams);
    let unigrams = sum(&marked, &marked.unigrams, 1, &network.unigrams, order);
    let relevant = relevant_scripts(text, &network.relevant_scripts);
    let script = [(text_script(letters, text), 1.0)];
    let script = network.script.sum(script.into_iter());

    let mut layer: Layer = [0.0; _];
    let parts: [&[f32]; 6] = [&bigrams, &quadgrams, &relevant, &script, &trigrams, &unigrams];
    for (place, x) in layer.iter_mut().zip(parts.into_iter().flatten()) {
        *place = *x;
    }
    layer
}

/// The sum of the embeddings of the n-grams of one size (`ContinuousBagOfNgramsFunction`).
fn sum(text: &Marked, grams: &GramCounts, n: u32, embedding: &Embedding<16>, order: &mut Order) -> [f32; 16] {
    let total = grams.total as f32;
    let mut hashes = Vec::with_capacity(grams.grams.len());
    let mut features = Vec::with_capacity(grams.grams.len());
    for gram in &grams.grams {
        let (key, length) = text.gram(gram.first, n);
        hashes.push(order::hash(key, length));
        let id = hash(key, length) as usize % embedding.rows();
        features.push((id, gram.count as f32 / total));
    }
    embedding.sum(order.of(&hashes).map(|place| features[place]))
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

/// The share of each script in the letters (`RelevantScriptFeature`).
fn relevant_scripts(text: &str, embedding: &Embedding<8>) -> [f32; 8] {
    let mut counts = [0_u32; RELEVANT_SCRIPTS];
    for c in text.chars().filter(|c| *c != ' ') {
        counts[relevant_script(c)] += 1;
    }
    let total: u32 = counts.iter().sum();
    let present = counts.into_iter().enumerate().filter(|(_, n)| *n > 0);
    embedding.sum(present.map(|(script, n)| (script, n as f32 / total as f32)))
}

/// `Script` in `script_detector.h`: by blocks of Unicode, else by the bytes in UTF-8.
fn relevant_script(c: char) -> usize {
    match u32::from(c) {
        ..0x80 => 1,
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
        0x1100..0x1200 | 0x3130..0x3190 | 0xa960..0xa980 | 0xac00..0xd7b0 | 0xd7b0..0xd800 | 0xffa0..=0xffdc => {
            hangul += 1
        }
        _ => others += 1,
    });
    match found {
        Some((HANI, _)) if hangul > others => SCRIPTS.into(),
        Some((script, _)) => script.into(),
        None => 0,
    }
}
