//! CPython's `random.Random(0)`: the numbers behind the random walk.
//!
//! The detector seeds anew for each text, so that every text sees the same stream. Its first words are made once; the
//! few walks that outrun them go on with a generator of their own.

use std::f64::consts::PI;

/// Words of state, and the distance of the recurrence (Matsumoto and Nishimura 1998, MT19937).
const N: usize = 624;
const M: usize = 397;

/// Rounds of [`N`] words made ahead: 7 walks of 1,001 draws, most of them of two words, and some.
const ROUNDS: usize = 24;

/// The generator of CPython's `_randommodule.c`.
#[derive(Clone)]
struct Twister {
    state: [u32; N],
    next: usize,
}

impl Twister {
    /// `random.seed(0)`: `init_by_array` with the key `[0]`.
    fn new() -> Self {
        let mut state = [0u32; N];
        state[0] = 19_650_218;
        for i in 1..N {
            let last = state[i - 1];
            state[i] = 1_812_433_253u32
                .wrapping_mul(last ^ (last >> 30))
                .wrapping_add(i as u32);
        }
        let mut i = 1;
        for round in 0..2 * N - 1 {
            let last = state[i - 1];
            let mixed = last ^ (last >> 30);
            state[i] = if round < N {
                state[i] ^ mixed.wrapping_mul(1_664_525)
            } else {
                (state[i] ^ mixed.wrapping_mul(1_566_083_941)).wrapping_sub(i as u32)
            };
            i += 1;
            if i == N {
                state[0] = state[N - 1];
                i = 1;
            }
        }
        state[0] = 1 << 31;
        Twister { state, next: N }
    }

    fn twist(&mut self) {
        for i in 0..N {
            let y = (self.state[i] & (1 << 31)) | (self.state[(i + 1) % N] & !(1 << 31));
            let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[i] = self.state[(i + M) % N] ^ (y >> 1) ^ odd;
        }
        self.next = 0;
    }

    /// `genrand_uint32`.
    fn next(&mut self) -> u32 {
        if self.next == N {
            self.twist();
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }
}

/// The beginning of the stream of seed 0.
pub(super) struct Stream {
    words: Vec<u32>,
    /// The generator after `words`.
    after: Twister,
}

impl Stream {
    pub(super) fn new() -> Self {
        let mut after = Twister::new();
        let words = (0..ROUNDS * N).map(|_| after.next()).collect();
        Stream { words, after }
    }

    /// A generator at the start of the stream.
    pub(super) fn random(&self) -> Random<'_> {
        Random {
            stream: self,
            next: 0,
            beyond: None,
            spare: None,
        }
    }
}

/// `random.Random(0)`.
pub(super) struct Random<'a> {
    stream: &'a Stream,
    /// The number of words that are used up.
    next: usize,
    beyond: Option<Box<Beyond>>,
    /// The number that `gauss` keeps for its next call.
    spare: Option<f64>,
}

/// The generator for the words after those made ahead.
struct Beyond {
    twister: Twister,
    words: Vec<u32>,
}

impl Random<'_> {
    /// The words from place `at` on.
    #[inline]
    fn words<const COUNT: usize>(&mut self, at: usize) -> [u32; COUNT] {
        let ahead = &self.stream.words;
        match ahead.get(at..).and_then(<[u32]>::first_chunk) {
            Some(words) => *words,
            None => std::array::from_fn(|i| match ahead.get(at + i) {
                Some(&word) => word,
                None => self.word_beyond(at + i - ahead.len()),
            }),
        }
    }

    #[cold]
    fn word_beyond(&mut self, at: usize) -> u32 {
        let beyond = self.beyond.get_or_insert_with(|| {
            Box::new(Beyond {
                twister: self.stream.after.clone(),
                words: Vec::new(),
            })
        });
        while beyond.words.len() <= at {
            beyond.words.push(beyond.twister.next());
        }
        beyond.words[at]
    }

    /// `random.random()`.
    fn unit(&mut self) -> f64 {
        let [high, low] = self.words(self.next);
        self.next += 2;
        (f64::from(high >> 5) * 67_108_864.0 + f64::from(low >> 6)) * (1.0 / 9_007_199_254_740_992.0)
    }

    /// `random.gauss(0.0, 1.0)`.
    pub(super) fn gauss(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let angle = self.unit() * (2.0 * PI);
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        self.spare = Some(angle.sin() * radius);
        angle.cos() * radius
    }
}

/// The number of words handled at once.
const BATCH: usize = 16;

/// Numbers drawn ahead.
const ROOM: usize = 32;

/// Calls of `random._randbelow(n)`, made by `random.choice`.
///
/// The calls are made ahead of their use, without a branch on what is drawn; the generator moves on to the last number
/// used when the draws are dropped.
pub(super) struct Draws<'a, 'b> {
    random: &'a mut Random<'b>,
    n: u32,
    /// The numbers drawn, those used among them, and for each how many words are used up after it.
    numbers: [u32; ROOM],
    ends: [usize; ROOM],
    used: usize,
    drawn: usize,
    /// The next word to use.
    next: usize,
}

impl<'a, 'b> Draws<'a, 'b> {
    /// Draws numbers below an `n` above 0.
    pub(super) fn new(random: &'a mut Random<'b>, n: u32) -> Self {
        let next = random.next;
        Draws {
            random,
            n,
            numbers: [0; ROOM],
            ends: [0; ROOM],
            used: 0,
            drawn: 0,
            next,
        }
    }

    /// The next `COUNT` numbers. They count as used once [`Self::use_up`] says so.
    #[inline]
    pub(super) fn peek<const COUNT: usize>(&mut self) -> [u32; COUNT] {
        const { assert!(COUNT + BATCH <= ROOM) };
        while self.drawn - self.used < COUNT {
            self.draw::<COUNT>();
        }
        std::array::from_fn(|i| self.numbers[self.used + i])
    }

    #[inline]
    pub(super) fn use_up(&mut self, count: usize) {
        self.random.next = self.ends[self.used + count - 1];
        self.used += count;
    }

    /// Adds the numbers of a batch to the less than `KEPT` unused ones.
    fn draw<const KEPT: usize>(&mut self) {
        for i in 0..KEPT {
            self.numbers[i] = self.numbers[self.used + i];
            self.ends[i] = self.ends[self.used + i];
        }
        self.drawn -= self.used;
        self.used = 0;
        let unneeded = self.n.leading_zeros();
        for (i, word) in self.random.words::<BATCH>(self.next).into_iter().enumerate() {
            let number = word >> unneeded;
            self.numbers[self.drawn % ROOM] = number;
            self.ends[self.drawn % ROOM] = self.next + i + 1;
            self.drawn += usize::from(number < self.n);
        }
        self.next += BATCH;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `r = random.Random(0); r.gauss(0.0, 1.0); r.getrandbits(17); r.random()` in CPython 3.11.
    #[test]
    fn the_stream_is_that_of_cpython() {
        let stream = Stream::new();
        let mut random = stream.random();
        assert_eq!(random.gauss(), 0.9417154046806644);
        let [word] = random.words(random.next);
        assert_eq!(word >> 15, 55125);
        random.next += 1;
        assert_eq!(random.unit(), 0.04048437818077755);
    }

    #[test]
    fn draws_are_those_of_one_call_after_the_other() {
        let stream = Stream::new();
        for n in [1, 2, 3, 4, 5, 1000, 1024, 1025, u32::MAX] {
            let mut random = stream.random();
            let mut twister = Twister::new();
            let mut draws = Draws::new(&mut random, n);
            let mut words = 0;
            while words < (ROUNDS + 2) * N {
                let numbers: [u32; 5] = draws.peek();
                assert_eq!(numbers, draws.peek());
                draws.use_up(5);
                for number in numbers {
                    let below = loop {
                        words += 1;
                        let below = twister.next() >> n.leading_zeros();
                        if below < n {
                            break below;
                        }
                    };
                    assert_eq!(number, below);
                }
            }
            assert_eq!(random.next, words);
        }
    }
}
