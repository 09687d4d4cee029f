//! The language profiles: which n-grams there are, and how probable each is in each language.
//!
//! Characters are numbered ("classes"), the frequent ones first. The n-grams are in a [`Trie`] of classes; beside it,
//! [`Frequent`] answers for the first 64, all that English needs, from 36 KiB.

use std::hint::select_unpredictable;

use super::trie::Trie;

/// `data/langdetect/README.md` has the source and the layout.
static DATA: &[u8] = include_bytes!("../../../../data/langdetect/profiles.bin");

pub(super) const LANGUAGES: usize = 55;

/// The class of the space, which all separators become.
pub(super) const SPACE: u16 = 0;
/// The class of characters that no profile has,
pub(super) const OTHER: u16 = 1;
/// and of those of them that are in upper case.
const OTHER_UPPER: u16 = 2;
/// The class of the first letter of the profiles; the others follow.
const FIRST_LETTER: u16 = 3;
/// Classes that [`Frequent`] knows.
pub(super) const FREQUENT: usize = 64;

/// The built-in profiles.
pub(super) struct Profiles {
    languages: Vec<&'static str>,
    /// Class by code point of the Basic Multilingual Plane. No profile has others.
    classes: Vec<u16>,
    ascii: [u16; 128],
    /// Is the class in upper case?
    upper: Vec<bool>,
    trie: Trie,
    pub(super) frequent: Frequent,
    pub(super) shares: Shares,
}

/// The masks (see [`Profiles::mask`]) of the first [`FREQUENT`] classes.
pub(super) struct Frequent {
    /// Bits 0 and 1, by second and third class,
    pub(super) pairs: Box<[u8; FREQUENT * FREQUENT]>,
    /// and bit 2 for all third classes, by first and second.
    pub(super) triples: Box<[u64; FREQUENT * FREQUENT]>,
}

impl Profiles {
    /// Reads the profiles; `None` if they are not whole.
    pub(super) fn load() -> Option<Self> {
        let mut data = Reader(DATA);
        let mut languages = Vec::with_capacity(LANGUAGES);
        let mut totals = [[0.0; LANGUAGES]; 3];
        if usize::from(data.byte()?) != LANGUAGES {
            return None;
        }
        for language in 0..LANGUAGES {
            let length = data.byte()?;
            languages.push(str::from_utf8(data.take(length.into())?).ok()?);
            for totals in &mut totals {
                totals[language] = f64::from(data.word()?);
            }
        }
        let letters: Vec<u16> = data.halves()?.map(|[letter]| letter).collect();
        let classes = classes(&letters, data.halves()?);
        let ascii = std::array::from_fn(|byte| classes[byte]);
        let mut upper = vec![false, false, true];
        upper.extend(letters.iter().map(|&letter| is_upper(letter.into())));

        let mut shares = Shares::new();
        let singles: Vec<[u16; 1]> = shares.append(&mut data, &totals[0])?;
        let pairs = shares.append(&mut data, &totals[1])?;
        let triples = shares.append(&mut data, &totals[2])?;
        if !data.0.is_empty() || singles.len() != letters.len() {
            return None;
        }
        let trie = Trie::new(upper.len(), &pairs, &triples);
        let mut profiles = Profiles {
            languages,
            classes,
            ascii,
            upper,
            trie,
            frequent: Frequent {
                pairs: Box::new([0; FREQUENT * FREQUENT]),
                triples: Box::new([0; FREQUENT * FREQUENT]),
            },
            shares,
        };
        profiles.fill_frequent(&triples);
        Some(profiles)
    }

    fn fill_frequent(&mut self, triples: &[[u16; 3]]) {
        for place in 0..FREQUENT * FREQUENT {
            let [second, third] = [place / FREQUENT, place % FREQUENT].map(|class| class as u16);
            let pair = self.trie.pair(second, third);
            self.frequent.pairs[place] = self.mask(second, third, 0, pair) as u8;
        }
        for &[first, second, third] in triples {
            let [a, b, c] = [first, second, third].map(usize::from);
            if a.max(b).max(c) < FREQUENT && !(self.upper[b] && self.upper[c]) {
                self.frequent.triples[a * FREQUENT + b] |= 1 << c;
            }
        }
    }

    /// The codes of all languages.
    pub(super) fn languages(&self) -> &[&'static str] {
        &self.languages
    }

    /// The code of a language.
    pub(super) fn language(&self, index: usize) -> &'static str {
        self.languages[index]
    }

    /// `NGram.normalize`, and the class of what comes out.
    #[inline]
    pub(super) fn class(&self, c: char) -> u16 {
        match self.classes.get(c as usize) {
            Some(&class) => class,
            None if is_upper(c.into()) => OTHER_UPPER,
            None => OTHER,
        }
    }

    /// [`Self::class`] of an ASCII character.
    #[inline]
    pub(super) fn ascii_class(&self, byte: u8) -> u16 {
        self.ascii[usize::from(byte & 0x7f)]
    }

    /// The number of two classes in the trie; 0 where no n-gram starts with them.
    #[inline(always)]
    pub(super) fn pair(&self, first: u16, second: u16) -> u16 {
        self.trie.pair(first, second)
    }

    /// The n-grams that end with `third`, as bits: 0 for the letter alone, 1 for it and the class `second` before it, 2
    /// for these and the class before them. `before` and `pair` number the first two classes and the last two.
    ///
    /// A letter in upper case after another gives none (`NGram.capitalword`).
    #[inline(always)]
    pub(super) fn mask(&self, second: u16, third: u16, before: u16, pair: u16) -> u64 {
        if self.upper[usize::from(second)] && self.upper[usize::from(third)] {
            return 0;
        }
        u64::from(third >= FIRST_LETTER)
            | u64::from(self.trie.is_gram(pair)) << 1
            | u64::from(self.trie.is_triple(before, third)) << 2
    }

    /// The pair that starts the n-gram of `length` classes that ends with the last of these three, or is it. Like
    /// [`Self::gram`], without branches on the length, which chance decides.
    #[inline(always)]
    pub(super) fn pair_of(&self, [first, second, third]: [u16; 3], length: usize) -> u16 {
        let [a, b] = select_unpredictable(length == 3, [first, second], [second, third]);
        self.trie.pair(a, b)
    }

    /// The shares of the languages in this n-gram, which must be one, by its [`Self::pair_of`].
    #[inline(always)]
    pub(super) fn gram(&self, [_, _, third]: [u16; 3], length: usize, pair: u16) -> Gram {
        let rows = [
            usize::from(third.wrapping_sub(FIRST_LETTER)),
            self.letters() + usize::from(pair.wrapping_sub(1)),
            self.letters() + self.trie.grams() + self.trie.rank(pair, third),
        ];
        self.shares.grams[rows[(length - 1) % 3]]
    }

    fn letters(&self) -> usize {
        self.upper.len() - usize::from(FIRST_LETTER)
    }
}

/// The shares of the n-grams in the n-grams of their length of each language.
pub(super) struct Shares {
    /// Letters, then pairs, then triples.
    grams: Vec<Gram>,
    /// Shares by language.
    pub(super) rows: Vec<Row>,
    /// The rest: a language that has the n-gram, and the share.
    languages: Vec<u8>,
    shares: Vec<f64>,
}

/// Languages, and what fills the last vector.
pub(super) const WIDTH: usize = 56;
pub(super) type Row = [f64; WIDTH];

/// N-grams of more languages have a row.
const FEW: u8 = 7;

/// The place of the shares of an n-gram.
#[derive(Clone, Copy)]
pub(super) enum Gram {
    /// In `rows`.
    Row(u32),
    /// In `languages` and `shares`.
    Few { at: u32, count: u8 },
}

impl Default for Gram {
    fn default() -> Self {
        Gram::Row(0)
    }
}

impl Shares {
    fn new() -> Self {
        Shares {
            grams: Vec::new(),
            rows: Vec::new(),
            languages: Vec::new(),
            shares: Vec::new(),
        }
    }

    /// Reads the shares of the n-grams of one length, and says which n-grams they are.
    fn append<const N: usize>(&mut self, data: &mut Reader, totals: &[f64; LANGUAGES]) -> Option<Vec<[u16; N]>> {
        let count = data.word()? as usize;
        let grams = groups(data.take(count * N * 2)?).collect();
        let counts = data.take(count)?;
        let sum = |counts: &mut dyn Iterator<Item = &u8>| -> usize { counts.map(|&count| usize::from(count)).sum() };
        let entries = sum(&mut counts.iter());
        let few = sum(&mut counts.iter().filter(|&&count| count <= FEW));
        let rows = counts.iter().filter(|&&count| count > FEW).count();
        self.languages.reserve_exact(few);
        self.shares.reserve_exact(few);
        self.rows.reserve_exact(rows);
        self.grams.reserve_exact(count);
        let mut entries = data.take(entries * 4)?.as_chunks::<4>().0;
        for &count in counts {
            let (own, rest) = entries.split_at(usize::from(count));
            entries = rest;
            let own = own.iter().map(|&entry| {
                let entry = u32::from_le_bytes(entry);
                let language = entry as u8 & 63;
                // `DetectorFactory.add_profile`.
                let total = totals.get(usize::from(language));
                (language, f64::from(entry >> 6) / total.unwrap_or(&f64::NAN))
            });
            if count > FEW {
                let mut row = [0.0; WIDTH];
                for (language, share) in own {
                    row[usize::from(language)] = share;
                }
                self.grams.push(Gram::Row(self.rows.len() as u32));
                self.rows.push(row);
            } else {
                let at = self.languages.len() as u32;
                self.grams.push(Gram::Few { at, count });
                for (language, share) in own {
                    self.languages.push(language);
                    self.shares.push(share);
                }
            }
        }
        Some(grams)
    }

    /// The languages of an n-gram without a row, and its shares in them.
    #[inline]
    pub(super) fn few(&self, at: u32, count: u8) -> impl Iterator<Item = (u8, f64)> {
        let range = at as usize..at as usize + usize::from(count);
        let languages = self.languages[range.clone()].iter();
        languages.copied().zip(self.shares[range].iter().copied())
    }
}

/// The table of classes of the Basic Multilingual Plane.
fn classes(letters: &[u16], kanji: impl Iterator<Item = [u16; 2]>) -> Vec<u16> {
    let mut own: Vec<u16> = (0..=u16::MAX)
        .map(|c| if is_upper(c.into()) { OTHER_UPPER } else { OTHER })
        .collect();
    own[usize::from(b' ')] = SPACE;
    for (&letter, class) in letters.iter().zip(FIRST_LETTER..) {
        own[usize::from(letter)] = class;
    }
    let mut classes: Vec<u16> = (0..=u16::MAX).map(|c| own[usize::from(normalized(c))]).collect();
    for [from, to] in kanji {
        classes[usize::from(from)] = own[usize::from(to)];
    }
    classes
}

/// `NGram.normalize` of `utils/ngram.py`, but for `CJK_MAP`. The blocks are those of `utils/unicode_block.py`.
fn normalized(c: u16) -> u16 {
    match c {
        0x00..=0x7f if (c as u8).is_ascii_alphabetic() => c,
        0x00..=0x7f => 0x20,
        0xa0 | 0xab | 0xb0 | 0xbb => 0x20,
        // Romanian s and t: comma below to cedilla.
        0x219 => 0x15f,
        0x21b => 0x163,
        // Farsi yeh to Arabic yeh.
        0x6cc => 0x64a,
        // Vietnamese.
        0x1ea0..=0x1eff => 0x1ec3,
        // General punctuation.
        0x2000..=0x206f => 0x20,
        // Hiragana, Katakana, Bopomofo and its extension, Hangul.
        0x3040..=0x309f => 0x3042,
        0x30a0..=0x30ff => 0x30a2,
        0x3100..=0x312f | 0x31a0..=0x31bf => 0x3105,
        0xac00..=0xd7af => 0xac00,
        _ => c,
    }
}

/// `str.isupper()` of one code point in Python 3.11, which has Unicode 14.
fn is_upper(c: u32) -> bool {
    // Letters of Unicode 15 to 17.
    let newer = matches!(
        c,
        0x1c89 | 0xa7cb | 0xa7cc | 0xa7ce | 0xa7d2 | 0xa7d4 | 0xa7da | 0xa7dc
            | 0x10d50..=0x10d65
            | 0x16ea0..=0x16eb8
    );
    !newer && char::from_u32(c).is_some_and(char::is_uppercase)
}

/// The rest of the data.
struct Reader(&'static [u8]);

impl Reader {
    fn take(&mut self, length: usize) -> Option<&'static [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn word(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(*self.take(4)?.first_chunk()?))
    }

    /// A list with its length before it.
    fn halves<const N: usize>(&mut self) -> Option<impl Iterator<Item = [u16; N]> + use<N>> {
        let count = u16::from_le_bytes(*self.take(2)?.first_chunk()?);
        Some(groups(self.take(usize::from(count) * N * 2)?))
    }
}

/// Groups of numbers of two bytes.
fn groups<const N: usize>(bytes: &'static [u8]) -> impl Iterator<Item = [u16; N]> + use<N> {
    bytes
        .chunks_exact(2 * N)
        .map(|group| std::array::from_fn(|i| u16::from_le_bytes([group[2 * i], group[2 * i + 1]])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_are_whole() {
        let profiles = Profiles::load().expect("whole data");
        assert!(profiles.languages.is_sorted());
        assert_eq!(profiles.languages[10], "en");
        assert_eq!(profiles.class('A'), FIRST_LETTER);
        assert_eq!(profiles.class('\u{219}'), profiles.class('\u{15f}'));
        assert_eq!(profiles.class('\u{2019}'), SPACE);
        assert_eq!(profiles.class('\u{1c89}'), OTHER);
        assert_eq!(profiles.class('\u{10400}'), OTHER_UPPER);
        // "the" is a frequent n-gram: a share per mille or more.
        let the = ['t', 'h', 'e'].map(|c| profiles.class(c));
        let Gram::Row(row) = profiles.gram(the, 3, profiles.pair_of(the, 3)) else {
            panic!("in few languages");
        };
        assert!(profiles.shares.rows[row as usize][10] > 0.001);
    }

    #[test]
    fn frequent_classes_have_the_masks_of_the_trie() {
        let profiles = Profiles::load().expect("whole data");
        let frequent = &profiles.frequent;
        for i in 0..FREQUENT.pow(3) {
            let [a, b, c] = [i / 4096, i / 64 % 64, i % 64];
            let [first, second, third] = [a, b, c].map(|class| class as u16);
            let (before, pair) = (profiles.pair(first, second), profiles.pair(second, third));
            let triple = frequent.triples[a * 64 + b] >> c & 1;
            assert_eq!(
                u64::from(frequent.pairs[b * 64 + c]) | triple << 2,
                profiles.mask(second, third, before, pair)
            );
        }
    }
}
