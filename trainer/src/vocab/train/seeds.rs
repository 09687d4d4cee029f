//! The pieces to begin with: all characters, and those substrings of words that cover most of the text
//! (`Trainer::MakeSeedSentencePieces`).
//!
//! Of all strings that occur in the same places only the longest is taken, as SentencePiece does by a suffix tree over
//! the text. Here the suffixes are those of the different words, which are far fewer, sorted; a string's frequency is
//! the sum of its words' counts.

use super::script::{PIECE_CHARACTERS, longest_piece};
use super::words::Words;
use rayon::prelude::*;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// What may be a piece from a place in a word on.
#[derive(Debug, Clone, Copy)]
struct Suffix {
    /// The first two characters of the suffix; most comparisons end here.
    start: u64,
    place: u32,
    length: u8,
}

/// A string that may become a piece, and its frequency times its length.
type Seed = (Box<str>, u64);

/// Characters and at most `most` longer seeds, in the order of their bytes.
///
/// Needs 24 bytes a character of all different words.
///
/// # Errors
/// More than 2^32 characters in all different words; a sentence.
pub(crate) fn seeds(words: &Words, alphabet: &[char], most: usize) -> Result<Vec<Seed>, String> {
    let mut text: Vec<char> = Vec::new();
    // By word: where it ends, and its count.
    let mut ends: Vec<usize> = Vec::new();
    let mut counts: Vec<u64> = Vec::new();
    let mut characters: BTreeMap<char, u64> = alphabet.iter().map(|c| (*c, 0)).collect();
    for (word, count) in words.iter() {
        for character in String::from_utf8_lossy(word).chars() {
            text.push(character);
            *characters.entry(character).or_default() += count;
        }
        ends.push(text.len());
        counts.push(count);
    }
    if u32::try_from(text.len()).is_err() {
        return Err(format!(
            "the sample's different words have {} characters, and 4 billion are the most; take a smaller sample",
            text.len()
        ));
    }
    let word_of = |place: u32| ends.partition_point(|end| *end <= place as usize);
    let mut suffixes: Vec<Suffix> = (0..ends.len())
        .into_par_iter()
        .flat_map_iter(|word| {
            let start = word.checked_sub(1).map_or(0, |before| ends[before]);
            let (text, end) = (&text, ends[word]);
            (start..end).map(move |place| {
                let rest = &text[place..end];
                let length = longest_piece(rest);
                let second = rest.get(1).filter(|_| length > 1);
                Suffix {
                    start: u64::from(rest[0]) << 32 | second.map_or(0, |c| u64::from(*c)),
                    place: place as u32,
                    length: length as u8,
                }
            })
        })
        .filter(|suffix| suffix.length > 1)
        .collect();
    let string = |suffix: &Suffix| &text[suffix.place as usize..][..usize::from(suffix.length)];
    suffixes.par_sort_unstable_by(|a, b| match a.start.cmp(&b.start) {
        Ordering::Equal => string(a).cmp(string(b)),
        different => different,
    });

    let mut found: Vec<(u64, u32, u8)> = Vec::new();
    // Strings that the last suffix starts with, each longer than the one before, with the frequency of all suffixes
    // before the first that starts with it.
    let mut open: Vec<(usize, u64)> = Vec::with_capacity(PIECE_CHARACTERS);
    let mut before = 0;
    let mut last: Option<&Suffix> = None;
    let mut close = |last: &Suffix, common: usize, open: &mut Vec<(usize, u64)>, before: u64| {
        let mut start = before;
        while let Some(&(length, since)) = open.last().filter(|(length, _)| *length > common) {
            open.pop();
            start = since;
            let frequency = before - since;
            if length > 1 && frequency > 1 {
                found.push((frequency * length as u64, last.place, length as u8));
            }
        }
        start
    };
    for suffix in &suffixes {
        let length = usize::from(suffix.length);
        let common = last.map_or(0, |last| {
            let pairs = string(last).iter().zip(string(suffix));
            pairs.take_while(|(a, b)| a == b).count()
        });
        if let Some(last) = last {
            let start = close(last, common, &mut open, before);
            if common > 0 && open.last().is_none_or(|(length, _)| *length < common) {
                open.push((common, start));
            }
        }
        if open.last().is_none_or(|(open, _)| *open < length) {
            open.push((length, before));
        }
        before += counts[word_of(suffix.place)];
        last = Some(suffix);
    }
    if let Some(last) = last {
        close(last, 0, &mut open, before);
    }

    let piece = |place: u32, length: u8| &text[place as usize..][..usize::from(length)];
    found.par_sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| piece(a.1, a.2).cmp(piece(b.1, b.2))));
    found.truncate(most);
    let mut seeds: Vec<Seed> = characters
        .into_iter()
        .filter(|(_, frequency)| *frequency > 0)
        .map(|(character, frequency)| (character.to_string().into(), frequency))
        .collect();
    seeds.extend(found.into_iter().map(|(score, place, length)| {
        let piece: String = piece(place, length).iter().collect();
        (piece.into(), score)
    }));
    seeds.par_sort_unstable();
    Ok(seeds)
}
