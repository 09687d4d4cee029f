//! Splits English text into sentences as NLTK 3.8.1 does it, byte offset for byte offset.
//!
//! Punkt (Kiss & Strunk 2006, "Unsupervised Multilingual Sentence Boundary Detection", Computational Linguistics 32)
//! judges every `.`, `?` and `!` that is followed by white space or by punctuation, cuts out the words around it, and
//! decides with tables learnt from text (abbreviations, collocations, frequent sentence starters, orthographic
//! contexts) whether a sentence ends there. C4 keeps a page only if it has enough sentences by this count, so the spans
//! must be those of `nltk.tokenize.sent_tokenize`, quirks included. Those of version 3.8.1 matter: 3.10 accepts more
//! closing marks and splits differently.
//!
//! The docs of each step name NLTK's method or pattern. All of them scan bytes: the marks that the rules speak of are
//! ASCII, and other white space is known by its UTF-8 form. Time is linear in the text whatever it holds: each step
//! sees a byte a bounded number of times.

mod chars;
#[cfg(test)]
mod tests;
mod words;

use std::collections::HashMap;
use std::iter::FusedIterator;
use std::ops::Range;
use std::sync::LazyLock;

use ahash::AHashMap;
use serde::Deserialize;

use chars::{ASCII_SPACE, NON_WORD, SPACE, WIDE, class, class_at, skip_space, skip_word, trim_end};
use words::{MAX_KEY, Mark, NUMBER, Token, WordSplitter, lower};

/// Orthographic contexts (`_ORTHO_*`): how the training text wrote a word, as a set of bits.
const MID_UPPER: u8 = 1 << 2;
const BEGIN_LOWER: u8 = 1 << 4;
const ANY_UPPER: u8 = 1 << 1 | MID_UPPER | 1 << 3;
const ANY_LOWER: u8 = BEGIN_LOWER | 1 << 5 | 1 << 6;
/// Not a context: the word is a frequent sentence starter. The contexts leave bit 0 free.
const STARTER: u8 = 1;

/// The entry is a known abbreviation.
const ABBREVIATION: u8 = 1;
/// The entry is the first word of a collocation.
const COLLOCATES: u8 = 2;

/// The parameters of a Punkt model: what NLTK's `PunktParameters` holds.
///
/// The model is read-only and can be shared between threads.
#[derive(Debug)]
pub struct Punkt {
    /// Abbreviations without their final period, and first words of collocations: the few words that can keep a period
    /// from ending a sentence. Separate from `contexts` so that it fits the cache.
    holders: AHashMap<&'static [u8], u8>,
    /// Word type -> orthographic contexts and [`STARTER`].
    contexts: AHashMap<&'static [u8], u8>,
    /// Pairs of types that a period joins ("j" and "aron"), sorted.
    collocations: Vec<(&'static [u8], &'static [u8])>,
}

/// The content of the parameter file. Its words have no escapes, so they need not be copied.
#[derive(Deserialize)]
struct Parameters {
    #[serde(borrow)]
    abbrev_types: Vec<&'static str>,
    sentence_starters: Vec<&'static str>,
    collocations: Vec<(&'static str, &'static str)>,
    ortho_context: HashMap<&'static str, u8, ahash::RandomState>,
}

/// NLTK's English model (`tokenizers/punkt/PY3/english.pickle`).
///
/// The first call reads the embedded tables, which takes a few milliseconds; later calls cost nothing.
///
/// ```
/// use c4_filters::punkt;
/// let text = "Dr. Smith has arrived. Is he here? Yes.";
/// let sentences: Vec<&str> = punkt::english().sentences(text).map(|range| &text[range]).collect();
/// assert_eq!(sentences, ["Dr. Smith has arrived.", "Is he here?", "Yes."]);
/// ```
pub fn english() -> &'static Punkt {
    static ENGLISH: LazyLock<Punkt> = LazyLock::new(|| {
        Punkt::from_json(include_str!("../../../data/punkt/english.json"))
            .expect("the embedded parameters are well formed, a test reads them")
    });
    &ENGLISH
}

impl Punkt {
    fn from_json(json: &'static str) -> serde_json::Result<Self> {
        let tables: Parameters = serde_json::from_str(json)?;
        let mut holders = AHashMap::new();
        for word in tables.abbrev_types {
            *holders.entry(word.as_bytes()).or_default() |= ABBREVIATION;
        }
        let mut collocations = Vec::with_capacity(tables.collocations.len());
        for (first, second) in tables.collocations {
            *holders.entry(first.as_bytes()).or_default() |= COLLOCATES;
            collocations.push((first.as_bytes(), second.as_bytes()));
        }
        collocations.sort_unstable();
        let mut contexts = AHashMap::with_capacity(tables.ortho_context.len());
        for (word, context) in tables.ortho_context {
            contexts.insert(word.as_bytes(), context & !STARTER);
        }
        for word in tables.sentence_starters {
            *contexts.entry(word.as_bytes()).or_default() |= STARTER;
        }
        Ok(Self {
            holders,
            contexts,
            collocations,
        })
    }

    /// The byte ranges of the sentences of `text`, in order: NLTK's `PunktSentenceTokenizer.span_tokenize(text,
    /// realign_boundaries=True)`.
    ///
    /// White space between sentences and at the end is in no sentence; white space at the start is in the first one.
    /// Text that is empty or blank has no sentences.
    ///
    /// The iterator is lazy: a sentence costs the scan of its bytes and of those up to the next mark that could end
    /// one, besides that of the white space at the end of the text, which comes first. The whole text takes time linear
    /// in its length.
    pub fn sentences<'p, 't>(&'p self, text: &'t str) -> Sentences<'p, 't> {
        Sentences {
            breaks: Breaks {
                punkt: self,
                text,
                scan: 0,
                last: None,
            },
            start: 0,
            stop: trim_end(text),
        }
    }

    /// Whether `text` has `n` sentences or more, as [`Punkt::sentences`] counts them.
    ///
    /// Reads no further than the iterator does for `n - 1` sentences. True for `n` of 0.
    pub fn has_at_least(&self, text: &str, n: usize) -> bool {
        let Some(breaks) = n.checked_sub(1) else {
            return true;
        };
        let mut sentences = self.sentences(text);
        // A break ends a sentence whatever follows. What follows the last of them is one more, unless nothing of it is
        // left after the closing marks that go to the sentence before.
        (0..breaks).all(|_| sentences.next_complete().is_some()) && sentences.start < sentences.stop
    }

    /// `PunktSentenceTokenizer.text_contains_sentbreak`: whether a word of `context` other than the last one ends a
    /// sentence.
    fn contains_break(&self, context: &str) -> bool {
        let mut words = WordSplitter::new(context).map(|word| self.annotate(word));
        let Some(mut word) = words.next() else {
            return false;
        };
        words.any(|next| {
            let ends = self.ends_sentence(word, next);
            word = next;
            ends
        })
    }

    /// `PunktBaseClass._first_pass_annotation`: what the word alone says.
    fn annotate<'t>(&self, text: &'t str) -> Token<'t> {
        let mark = match text.as_bytes() {
            [b'.' | b'?' | b'!'] => Mark::Break,
            bytes @ [stem @ .., b'.'] => {
                if bytes.iter().all(|&b| b == b'.') {
                    Mark::Ellipsis
                } else if stem.ends_with(b".") {
                    Mark::None
                } else if self.is_abbreviation(stem) {
                    Mark::Abbreviation
                } else {
                    Mark::Break
                }
            }
            _ => Mark::None,
        };
        Token { text, mark }
    }

    /// Whether the word, or its part after the last hyphen, is a known abbreviation.
    fn is_abbreviation(&self, stem: &[u8]) -> bool {
        let known = |word: &[u8]| {
            let mut buffer = [0; MAX_KEY];
            lower(word, &mut buffer)
                .and_then(|word| self.holders.get(word))
                .is_some_and(|flags| flags & ABBREVIATION != 0)
        };
        known(stem) || memchr::memrchr(b'-', stem).is_some_and(|hyphen| known(&stem[hyphen + 1..]))
    }

    /// `PunktSentenceTokenizer._second_pass_annotation`: whether `word` ends a sentence given the word after it. The
    /// numbers are the sections of Kiss & Strunk 2006.
    fn ends_sentence(&self, word: Token, next: Token) -> bool {
        let by_itself = word.mark == Mark::Break;
        if !word.text.ends_with('.') {
            return by_itself;
        }
        let mut buffer = [0; MAX_KEY];
        let word_type = word.type_of(true, &mut buffer);

        // 4.1.2 Collocation heuristic.
        if let Some(first) = word_type
            && self.holders.get(first).is_some_and(|flags| flags & COLLOCATES != 0)
            && self.collocates(first, next)
        {
            return false;
        }

        let initial = word.is_initial();
        // 4.2 Reclassification of abbreviations and ellipses.
        if matches!(word.mark, Mark::Abbreviation | Mark::Ellipsis) && !initial {
            let (starts, context) = self.starts_sentence(next);
            if starts == Some(true) || next.first_upper() && context & STARTER != 0 {
                return true;
            }
        }
        // 4.3 Initials and ordinal numbers.
        if by_itself && (initial || word_type == Some(NUMBER)) {
            let (starts, context) = self.starts_sentence(next);
            let name = initial && next.first_upper() && context & ANY_LOWER == 0;
            if starts == Some(false) || starts.is_none() && name {
                return false;
            }
        }
        by_itself
    }

    /// Whether the table of collocations has the pair.
    fn collocates(&self, first: &[u8], next: Token) -> bool {
        let mut buffer = [0; MAX_KEY];
        next.type_of(next.mark == Mark::Break, &mut buffer)
            .is_some_and(|second| self.collocations.binary_search(&(first, second)).is_ok())
    }

    /// 4.1.1 Orthographic heuristic (`_ortho_heuristic`): whether `word` is the first of a sentence, `None` if its
    /// spelling does not tell; and what the tables know of it.
    fn starts_sentence(&self, word: Token) -> (Option<bool>, u8) {
        let mut buffer = [0; MAX_KEY];
        let context = word
            .type_of(word.mark == Mark::Break, &mut buffer)
            .and_then(|word| self.contexts.get(word))
            .copied()
            .unwrap_or(0);
        let starts = if matches!(word.text, ";" | ":" | "," | "." | "!" | "?") {
            Some(false)
        } else if word.first_upper() && context & ANY_LOWER != 0 && context & MID_UPPER == 0 {
            Some(true)
        } else if word.first_lower() && (context & ANY_UPPER != 0 || context & BEGIN_LOWER == 0) {
            Some(false)
        } else {
            None
        };
        (starts, context)
    }
}

/// The iterator of [`Punkt::sentences`]: the byte ranges of a text's sentences.
#[derive(Clone, Debug)]
pub struct Sentences<'p, 't> {
    breaks: Breaks<'p, 't>,
    /// The start of the next sentence.
    start: usize,
    /// The end of the text without the white space at its end.
    stop: usize,
}

impl Sentences<'_, '_> {
    /// The next sentence that a break ends, with the closing marks after the break
    /// (`PunktSentenceTokenizer._realign_boundaries`).
    ///
    /// NLTK looks for the marks within the next slice. That slice ends in a mark of [`Breaks`], or where the text does,
    /// so its end never cuts what is looked for here.
    fn next_complete(&mut self) -> Option<Range<usize>> {
        let found = self.breaks.next()?;
        let bytes = &self.breaks.text.as_bytes()[..self.stop];
        let mut end = found.end;
        let start = self.start;
        self.start = found.next;
        let closing = found.next + bytes[found.next..].iter().take_while(|&&b| is_closing(b)).count();
        if closing > found.next {
            let after = skip_space(bytes, closing);
            if after > closing || closing == bytes.len() || bytes[closing..].starts_with(b"--") {
                end = closing;
                self.start = after;
            }
        }
        Some(start..end)
    }
}

impl Iterator for Sentences<'_, '_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        self.next_complete().or_else(|| {
            let rest = self.start..self.stop;
            self.start = self.stop;
            (!rest.is_empty()).then_some(rest)
        })
    }
}

impl FusedIterator for Sentences<'_, '_> {}

/// A `.`, `?` or `!` that may end a sentence (a match of NLTK's `period_context_re`).
#[derive(Clone, Copy, Debug)]
struct Candidate {
    /// The start of the word before the mark.
    word: usize,
    /// The place of the mark.
    mark: usize,
    /// The place where the text continues: after the white space behind the mark, or right behind the mark.
    next: usize,
}

/// A break between two sentences.
struct Break {
    /// After the mark that ends the sentence.
    end: usize,
    /// The place where the text continues.
    next: usize,
}

/// The breaks of a text, before closing marks are moved (`PunktSentenceTokenizer._slices_from_text`).
#[derive(Clone, Debug)]
struct Breaks<'p, 't> {
    punkt: &'p Punkt,
    text: &'t str,
    /// The place from which on the next candidate is searched.
    scan: usize,
    /// The last candidate found; it is judged when the one after it is known.
    last: Option<Candidate>,
}

impl Breaks<'_, '_> {
    /// The next match of `period_context_re`.
    fn candidate(&mut self) -> Option<Candidate> {
        let bytes = self.text.as_bytes();
        loop {
            let mark = self.scan + memchr::memchr3(b'.', b'?', b'!', &bytes[self.scan..])?;
            self.scan = mark + 1;
            let next = match class_at(bytes, mark + 1) {
                class if class & NON_WORD != 0 => mark + 1,
                class if class & (SPACE | WIDE) != 0 => skip_space(bytes, mark + 1),
                _ => continue,
            };
            let spaced = next > mark + 1;
            if next < bytes.len() && (spaced || class_at(bytes, next) & NON_WORD != 0) {
                return Some(Candidate {
                    word: self.word_before(mark),
                    mark,
                    next,
                });
            }
        }
    }

    /// The start of the word before `mark`, as `_match_potential_end_contexts` has it: after the last ASCII white
    /// space, or, if the last candidate is nearer, where that one's word starts.
    fn word_before(&self, mark: usize) -> usize {
        let (from, word) = self.last.map_or((0, 0), |last| (last.mark, last.word));
        let space = self.text.as_bytes()[from..mark]
            .iter()
            .rposition(|&b| class(b) & ASCII_SPACE != 0);
        match space {
            // `_get_last_whitespace_index` says 0 both for none and for the first place.
            None | Some(0) => word,
            Some(space) => from + space + 1,
        }
    }

    /// The break at `candidate`, if the words around it make it one.
    fn judge(&self, candidate: Candidate) -> Option<Break> {
        let Candidate { word, mark, next } = candidate;
        let bytes = self.text.as_bytes();
        let stop = if next == mark + 1 {
            next + 1
        } else {
            skip_word(bytes, next)
        };
        self.punkt
            .contains_break(&self.text[word..stop])
            .then_some(Break { end: mark + 1, next })
    }
}

impl Iterator for Breaks<'_, '_> {
    type Item = Break;

    fn next(&mut self) -> Option<Break> {
        while let Some(candidate) = self.candidate() {
            // Of candidates in one word the last one is judged, with the whole word before it.
            if let Some(last) = self.last.replace(candidate)
                && last.mark <= candidate.word
                && let Some(found) = self.judge(last)
            {
                return Some(found);
            }
        }
        self.last.take().and_then(|last| self.judge(last))
    }
}

/// Marks that belong to the sentence before them (`re_boundary_realignment`).
fn is_closing(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'' | b')' | b']' | b'}')
}
