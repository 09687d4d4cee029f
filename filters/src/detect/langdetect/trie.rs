//! N-grams of two and three classes.

use super::profiles::SPACE;

/// A run of places, one for each class of a range, and one before them for the space.
#[derive(Clone, Copy)]
struct Span {
    low: u16,
    length: u16,
    at: u32,
}

impl Span {
    const EMPTY: Span = Span {
        low: u16::MAX,
        length: 0,
        at: 0,
    };

    /// Makes room for a class.
    fn cover(&mut self, class: u16) {
        let end = match self.length {
            0 => 0,
            length => self.low.wrapping_add(length - 1),
        };
        if class == SPACE {
            self.length = self.length.max(1);
        } else if self.length <= 1 {
            self.low = class;
            self.length = 2;
        } else {
            self.low = self.low.min(class);
            self.length = end.max(class + 1) - self.low + 1;
        }
    }

    #[inline(always)]
    fn place(self, class: u16) -> Option<usize> {
        let place = match class {
            SPACE => 0,
            class => class.wrapping_sub(self.low).saturating_add(1),
        };
        (place < self.length).then_some(usize::from(place))
    }
}

/// 64 places for third classes.
#[derive(Clone, Copy, Default)]
struct Set {
    bits: u64,
    /// Triples in earlier sets.
    before: u32,
}

/// The n-grams.
pub(super) struct Trie {
    /// For each first class, the places of the second in `pairs`.
    firsts: Vec<Span>,
    /// Numbers of pairs: those that are n-grams, then those that only start one. 0 for none.
    pairs: Vec<u16>,
    /// The number of pairs that are n-grams.
    grams: u16,
    /// For each number of a pair, the places of the third class, 64 in each set of `sets`.
    seconds: Vec<Span>,
    sets: Vec<Set>,
}

impl Trie {
    /// Makes the trie of n-grams in ascending order.
    pub(super) fn new(classes: usize, grams: &[[u16; 2]], triples: &[[u16; 3]]) -> Self {
        let same = |a: &[u16; 3], b: &[u16; 3]| a[..2] == b[..2];
        let mut firsts = vec![Span::EMPTY; classes];
        for &[first, second] in grams {
            firsts[usize::from(first)].cover(second);
        }
        for group in triples.chunk_by(same) {
            firsts[usize::from(group[0][0])].cover(group[0][1]);
        }
        let mut end = 0;
        for span in &mut firsts {
            span.at = end;
            end += u32::from(span.length);
        }
        let mut trie = Trie {
            firsts,
            pairs: vec![0; end as usize],
            grams: grams.len() as u16,
            seconds: vec![Span::EMPTY; grams.len() + 1],
            sets: Vec::new(),
        };
        for (number, &[first, second]) in (1..).zip(grams) {
            trie.number(first, second, number);
        }
        let mut before = 0;
        for group in triples.chunk_by(same) {
            let [first, second, _] = group[0];
            let mut number = trie.pair(first, second);
            if number == 0 {
                number = trie.seconds.len() as u16;
                trie.number(first, second, number);
                trie.seconds.push(Span::EMPTY);
            }
            let mut span = Span {
                at: trie.sets.len() as u32,
                ..Span::EMPTY
            };
            for &[_, _, third] in group {
                span.cover(third);
            }
            let first = trie.sets.len();
            let last = first + usize::from(span.length).div_ceil(64);
            trie.sets.resize(last, Set::default());
            let sets = &mut trie.sets[first..];
            for &[_, _, third] in group {
                if let Some(place) = span.place(third) {
                    sets[place / 64].bits |= 1 << (place % 64);
                }
            }
            for set in sets {
                set.before = before;
                before += set.bits.count_ones();
            }
            trie.seconds[usize::from(number)] = span;
        }
        trie
    }

    fn number(&mut self, first: u16, second: u16, number: u16) {
        let span = self.firsts[usize::from(first)];
        if let Some(place) = span.place(second) {
            self.pairs[span.at as usize + place] = number;
        }
    }

    /// The number of two classes; 0 where no n-gram starts with them.
    #[inline(always)]
    pub(super) fn pair(&self, first: u16, second: u16) -> u16 {
        let span = self.firsts[usize::from(first)];
        span.place(second)
            .map_or(0, |place| self.pairs[span.at as usize + place])
    }

    /// Is the pair of this number an n-gram?
    #[inline(always)]
    pub(super) fn is_gram(&self, pair: u16) -> bool {
        pair.wrapping_sub(1) < self.grams
    }

    /// The number of n-grams of two classes, which are numbered from 1.
    pub(super) fn grams(&self) -> usize {
        self.grams.into()
    }

    /// Is there an n-gram that starts with the pair of this number and ends with `third`?
    #[inline(always)]
    pub(super) fn is_triple(&self, pair: u16, third: u16) -> bool {
        let span = self.seconds[usize::from(pair)];
        span.place(third)
            .is_some_and(|place| self.sets[span.at as usize + place / 64].bits >> (place % 64) & 1 == 1)
    }

    /// The number of n-grams of three classes before this one, which must be one.
    #[inline(always)]
    pub(super) fn rank(&self, pair: u16, third: u16) -> usize {
        let span = self.seconds[usize::from(pair)];
        let place = span.place(third).unwrap_or(0);
        let set = self.sets[span.at as usize + place / 64];
        let earlier = set.bits & ((1 << (place % 64)) - 1);
        set.before as usize + earlier.count_ones() as usize
    }
}
