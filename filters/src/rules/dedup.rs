//! Deduplicates text: the keys by which copies are found, and what remains of a page without them.
//!
//! Which copy is kept is decided over all pages (by the pipeline): of equal keys the one whose page has the smallest
//! MD5 of its URL, and within a page the first. So the result depends on neither threads nor the order of the input.
//!
//! # Lines (`unit = "lines"`, the released code)
//!
//! A line's key is the MD5 of the stripped, lower-cased line. A line of which another copy is kept is dropped.
//!
//! # Spans (`unit = "spans"`, the paper)
//!
//! The paper "discarded all but one of any three-sentence span occurring more than once". Here: sentences are Punkt's,
//! line by line, in order; a span is three consecutive ones, so spans overlap and cross line ends; its key is a 128-bit
//! hash of the three, joined by a space, white space folded, lower-cased. A sentence is dropped when it is in a span of
//! which another copy is kept and that copy does not cover it (the kept copy may overlap on the same page); it may
//! still be dropped with another span. A line that loses no sentence is kept as it is; one that loses some becomes the
//! rest joined by one space; one that loses all is dropped.
//!
//! ## Worked example
//!
//! Page A: `S1. S2. S3.` ⏎ `S4.` and page B: `T1. S2. S3.` ⏎ `S4. T2.`; A's URL has the smaller MD5. A's spans are (S1
//! S2 S3) and (S2 S3 S4); B's are (T1 S2 S3), (S2 S3 S4), (S3 S4 T2). The key of (S2 S3 S4) is on both: A's copy is
//! kept, and B's S2, S3 and S4 are dropped. B becomes `T1.` ⏎ `T2.`: two sentences, too few, so B is dropped. With a
//! third sentence of its own B is kept.
//!
//! ```
//! use c4_data::DedupStep;
//! use c4_filters::dedup::{Lost, left, span_keys};
//! let (a, b) = ("One is. Two are. Three am.\nFour be.", "Une is. Two are. Three am.\nFour be. Cinq be.");
//! assert_eq!(span_keys(a, 3)[1], span_keys(b, 3)[1]);
//! // B loses the span at sentence 1: sentences 1, 2 and 3.
//! let step = DedupStep::Spans { span_sentences: 3, min_sentences: 3 };
//! let lost = Lost { position: 1, same_page: None };
//! assert_eq!(left(&step, b, &[lost]).text(b), "Une is.\nCinq be.");
//! ```

use super::reason::Reason;
use crate::text::lower::{lower, lower_into};
use crate::text::{md5, punkt, pystr};
use c4_data::DedupStep;
use std::ops::Range;
use xxhash_rust::xxh3::Xxh3;

/// The keys of a page of `text` under `step`, by the number of the line or of the span's first sentence; none without
/// dedup.
pub fn keys(step: Option<&DedupStep>, text: &str) -> Vec<u128> {
    match step {
        None => Vec::new(),
        Some(DedupStep::Lines { .. }) => line_keys(text),
        Some(DedupStep::Spans { span_sentences, .. }) => span_keys(text, *span_sentences),
    }
}

/// The keys of a page's lines (cut at `\n`), in order; none of an empty page.
pub fn line_keys(text: &str) -> Vec<u128> {
    if text.is_empty() {
        return Vec::new();
    }
    // Neither white space nor a line's end changes with the case, and no letter's case looks across them.
    let lower = lower(text);
    let mut lines = Vec::new();
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', lower.as_bytes()) {
        lines.push(pystr::strip(&lower[start..end]));
        start = end + 1;
    }
    lines.push(pystr::strip(&lower[start..]));
    md5::digests(&lines)
}

/// The number of keys of a page of `text` under `step`.
pub fn places(step: Option<&DedupStep>, text: &str) -> usize {
    match step {
        None => 0,
        Some(_) if text.is_empty() => 0,
        Some(DedupStep::Lines { .. }) => text.split('\n').count(),
        Some(DedupStep::Spans { span_sentences, .. }) => {
            let sentences: usize = sentence_ranges(text).iter().map(Vec::len).sum();
            (sentences + 1).saturating_sub(*span_sentences)
        }
    }
}

/// The byte ranges of the sentences in `text`, one list for each line (cut at `\n`).
pub fn sentence_ranges(text: &str) -> Vec<Vec<Range<usize>>> {
    let mut start = 0;
    let mut ranges = |line: &str| {
        let at = start;
        start += line.len() + 1;
        let sentences = punkt::english().sentences(line);
        sentences.map(|s| at + s.start..at + s.end).collect()
    };
    text.split('\n').map(&mut ranges).collect()
}

/// The keys of a page's spans of `span_sentences` consecutive sentences, by first sentence; none if the page has fewer
/// sentences. XXH3-128 over the folded sentences.
pub fn span_keys(text: &str, span_sentences: usize) -> Vec<u128> {
    let mut folded: Vec<Box<str>> = Vec::new();
    let mut lower = String::new();
    for range in text.split('\n').flat_map(|line| {
        let sentences = punkt::english().sentences(line);
        sentences.map(move |range| &line[range])
    }) {
        // Lower-casing sentence by sentence is lower-casing the span: the one rule that depends on neighbours (final
        // sigma) does not reach across a space.
        lower_into(range, &mut lower);
        let mut sentence = String::with_capacity(lower.len());
        for (i, word) in pystr::words(&lower).enumerate() {
            if i > 0 {
                sentence.push(' ');
            }
            sentence.push_str(word);
        }
        folded.push(sentence.into_boxed_str());
    }
    let mut hash = Xxh3::new();
    let key = |span: &[Box<str>]| {
        hash.reset();
        for (i, sentence) in span.iter().enumerate() {
            if i > 0 {
                hash.update(b" ");
            }
            hash.update(sentence.as_bytes());
        }
        hash.digest128()
    };
    folded.windows(span_sentences).map(key).collect()
}

/// A line or span of which another copy is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// The number of the line on the page, or of the span's first sentence, from 0.
    pub position: u32,
    /// The number of the kept copy's line or first sentence, if that copy is on the same page.
    pub same_page: Option<u32>,
}

/// What remains of a line without duplicates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeftLine {
    /// The line is kept as it is.
    Whole,
    /// The line is kept without some of its sentences: the rest, joined by spaces.
    Shortened(String),
    /// The line is dropped.
    Dropped(Reason),
}

/// What remains of a page without duplicates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// What remains of each line of the page (cut at `\n`), in order.
    pub lines: Vec<LeftLine>,
    /// The number of sentences dropped with their spans; 0 when lines are deduplicated.
    pub sentences_removed: u64,
}

impl Left {
    /// The text that remains of `text`, the page's text; may be empty.
    pub fn text(&self, text: &str) -> String {
        let mut left = String::with_capacity(text.len());
        let mut first = true;
        for (line, what) in text.split('\n').zip(&self.lines) {
            let line = match what {
                LeftLine::Whole => line,
                LeftLine::Shortened(rest) => rest,
                LeftLine::Dropped(_) => continue,
            };
            if !first {
                left.push('\n');
            }
            first = false;
            left.push_str(line);
        }
        left
    }
}

/// What remains of a page of `text` without the copies `lost` (see the module's definition). Takes time linear in the
/// text.
pub fn left(step: &DedupStep, text: &str, lost: &[Lost]) -> Left {
    match step {
        DedupStep::Lines { .. } => {
            let mut lines = vec![LeftLine::Whole; text.split('\n').count()];
            for lost in lost {
                let reason = match lost.same_page {
                    Some(_) => Reason::LocalDuplicate,
                    None => Reason::GlobalDuplicate,
                };
                if let Some(line) = lines.get_mut(lost.position as usize) {
                    *line = LeftLine::Dropped(reason);
                }
            }
            Left {
                lines,
                sentences_removed: 0,
            }
        }
        DedupStep::Spans { span_sentences, .. } => {
            let mut gone = Vec::new();
            for lost in lost {
                let first = lost.position as usize;
                let winner = lost.same_page.map(|at| at as usize);
                let kept = winner.map_or(0..0, |at| at..at + span_sentences);
                for sentence in (first..first + span_sentences).filter(|i| !kept.contains(i)) {
                    mark(&mut gone, sentence);
                }
            }
            remove_sentences(text, &gone)
        }
    }
}

fn mark(gone: &mut Vec<bool>, place: usize) {
    if gone.len() <= place {
        gone.resize(place + 1, false);
    }
    gone[place] = true;
}

/// What remains of `text` without the sentences whose number in `gone` is true.
fn remove_sentences(text: &str, gone: &[bool]) -> Left {
    let mut left = Left {
        lines: Vec::new(),
        sentences_removed: 0,
    };
    let mut sentence = 0;
    for ranges in sentence_ranges(text) {
        let places = sentence..sentence + ranges.len();
        sentence = places.end;
        let lost = |i: &usize| gone.get(*i).copied().unwrap_or(false);
        let losses = places.clone().filter(lost).count();
        left.sentences_removed += losses as u64;
        left.lines.push(if losses == 0 {
            LeftLine::Whole
        } else if losses == ranges.len() {
            LeftLine::Dropped(Reason::SpanDuplicate)
        } else {
            let rest = places.zip(ranges).filter(|(i, _)| !lost(i));
            let rest: Vec<&str> = rest.map(|(_, range)| &text[range]).collect();
            LeftLine::Shortened(rest.join(" "))
        });
    }
    left
}

/// Whether `text`, as a whole (a line end is only white space here), has fewer than `min_sentences` sentences. Stops at
/// the last one needed.
pub fn too_few_sentences(text: &str, min_sentences: usize) -> bool {
    !punkt::english().has_at_least(text, min_sentences)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_keys_ignore_case_and_white_space_around() {
        let keys = line_keys("A line here.\n a LINE here. \nAnother line.");
        assert_eq!(keys[0], keys[1]);
        assert_ne!(keys[0], keys[2]);
    }

    #[test]
    fn every_key_has_its_place() {
        let lines = DedupStep::Lines { min_sentences: 3 };
        let spans = DedupStep::Spans {
            span_sentences: 3,
            min_sentences: 3,
        };
        for text in [
            "",
            "\n",
            "One is. Two are.",
            "One is. Two are.\nThree am.",
            "A.\n\nB. C. D. E.",
        ] {
            for step in [None, Some(&lines), Some(&spans)] {
                assert_eq!(places(step, text), keys(step, text).len(), "{text:?}, {step:?}");
            }
        }
    }

    #[test]
    fn span_keys_cross_lines_and_fold() {
        let one = span_keys("One is. Two are.\nThree am.", 3);
        assert_eq!(one, span_keys("one  IS. two\tare. three am.", 3));
        assert_eq!(one.len(), 1);
        assert!(span_keys("One is. Two are.", 3).is_empty());
        // Where sentences end is part of the key only through the space between them.
        assert_ne!(one, span_keys("One is. Two are. Three am not.", 3));
    }

    #[test]
    fn removal_keeps_untouched_lines_as_they_are() {
        let text = "One is.  Two are.\nThree am.\nFour be. Five be. Six be.";
        let gone = [false, false, true, false, true, false];
        let left = remove_sentences(text, &gone);
        assert_eq!(left.text(text), "One is.  Two are.\nFour be. Six be.");
        let shortened = LeftLine::Shortened("Four be. Six be.".into());
        let gone = LeftLine::Dropped(Reason::SpanDuplicate);
        assert_eq!(left.lines, [LeftLine::Whole, gone, shortened]);
        assert_eq!(left.sentences_removed, 2);
        assert_eq!(remove_sentences(text, &[true; 6]).text(text), "");
        let step = DedupStep::Lines { min_sentences: 0 };
        let lost = |position, same_page| Lost { position, same_page };
        let lines = super::left(&step, "a\nb\na", &[lost(0, None), lost(2, Some(0))]);
        assert_eq!(lines.text("a\nb\na"), "b");
        assert_eq!(lines.lines[2], LeftLine::Dropped(Reason::LocalDuplicate));
        assert_eq!(super::left(&step, "a\nb", &[]).text("a\nb"), "a\nb");
    }
}
