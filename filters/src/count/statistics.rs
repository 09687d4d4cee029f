//! The statistics of a build: the tally by step, histograms, tables by domain, language and year.
//!
//! Everything here is a sum, so parts are merged with `+=` in any order.

use super::counters::counters;
use super::domains::DomainTable;
use super::tally::{Tally, UNITS};
use crate::rules::reason::{Reason, Scope, Stage};
use c4_data::{BadWordStats, HistogramStats, InOut, Named, Recipe, SampleStats, StageDropped, StageStats, Stats};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::AddAssign;

/// The number of listed words in `stats.json`.
const TOP_WORDS: usize = 100;

/// The side of a build that is counted: its input or its output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Pages as they were read.
    In,
    /// Pages of the corpus.
    Out,
}

/// Counts by size, of pages as they were read and of those of the corpus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// The first size of each bin; the last bin is open. Not stored: a stored histogram is added to a new one.
    #[serde(skip)]
    starts: &'static [u64],
    /// The bin of each size below [`SMALL`]. Not stored either.
    #[serde(skip, default = "no_bins")]
    small: [u8; SMALL],
    counts: [Vec<u64>; 2],
}

/// The number of sizes whose bin is looked up in a table.
const SMALL: usize = 64;

fn no_bins() -> [u8; SMALL] {
    [0; SMALL]
}

impl Histogram {
    fn new(starts: &'static [u64]) -> Histogram {
        let zeros = vec![0; starts.len()];
        Histogram {
            starts,
            small: std::array::from_fn(|value| bin(starts, value as u64) as u8),
            counts: [zeros.clone(), zeros],
        }
    }

    /// Counts one thing of size `value` on one side.
    pub fn add(&mut self, side: Side, value: u64) {
        let bin = match self.small.get(value as usize) {
            Some(bin) => usize::from(*bin),
            None => bin(self.starts, value),
        };
        self.counts[side as usize][bin] += 1;
    }

    fn to_stats(&self, unit: &str) -> HistogramStats {
        let edges = self.starts.iter().copied().map(Some);
        let [read, kept] = &self.counts;
        HistogramStats {
            unit: unit.to_owned(),
            edges: edges.chain([None]).collect(),
            read: Some(read.clone()),
            kept: kept.clone(),
            sample: None,
        }
    }
}

fn bin(starts: &[u64], value: u64) -> usize {
    let above = starts.partition_point(|start| *start <= value);
    above.saturating_sub(1)
}

/// Code points of a page: doubling bins.
const PAGE_CHARS: [u64; 14] = [
    0, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, 131_072, 262_144,
];
/// Lines of a page.
const PAGE_LINES: [u64; 13] = [0, 1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 2000];
/// Words of a line: single values around C4's limits of 3 and 5.
const LINE_WORDS: [u64; 15] = [0, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 100, 200];
/// Sentences of a page.
const PAGE_SENTENCES: [u64; 15] = [0, 1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50, 100, 200, 500];
/// Probabilities in percent: finer bins around C4's limit of 99.
const PROBABILITY: [u64; 16] = [0, 20, 30, 40, 50, 55, 60, 65, 70, 75, 80, 85, 90, 95, 98, 99];

/// The statistics of a build or a part of it, except the counts by domain ([`DomainCounts`](crate::DomainCounts)).
///
/// ```
/// use c4_filters::{Side, Statistics};
///
/// let (mut all, mut part) = (Statistics::default(), Statistics::default());
/// part.year(Side::In, "2019-04-18T10:12:43Z");
/// all += part.clone();
/// all += part;
/// assert_eq!(all.years["2019"], [2, 0]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// The tally of records, pages and lines.
    pub tally: Tally,
    /// Pages by the code points of their lines.
    pub page_chars: Histogram,
    /// Pages by their number of lines.
    pub page_lines: Histogram,
    /// Lines by their number of words.
    pub line_words: Histogram,
    /// Pages by the probability of their language, in percent: all pages that came to the language step, and those of
    /// the corpus.
    pub language_probability: Histogram,
    /// The numbers of pages read and kept, by the year of their timestamp.
    pub years: BTreeMap<String, [u64; 2]>,
    /// The numbers of pages that came to the language step and that were kept, by language.
    pub languages: BTreeMap<String, [u64; 2]>,
    /// The number of pages dropped for a listed word, by the first such word.
    pub bad_words: BTreeMap<String, u64>,
}

impl Default for Statistics {
    fn default() -> Self {
        Statistics {
            tally: Tally::default(),
            page_chars: Histogram::new(&PAGE_CHARS),
            page_lines: Histogram::new(&PAGE_LINES),
            line_words: Histogram::new(&LINE_WORDS),
            language_probability: Histogram::new(&PROBABILITY),
            years: BTreeMap::new(),
            languages: BTreeMap::new(),
            bad_words: BTreeMap::new(),
        }
    }
}

/// Adds 1 to one side of the count of `name`.
fn raise(counts: &mut BTreeMap<String, [u64; 2]>, name: &str, side: Side) {
    match counts.get_mut(name) {
        Some(count) => count[side as usize] += 1,
        None => {
            let mut count = [0; 2];
            count[side as usize] = 1;
            counts.insert(name.to_owned(), count);
        }
    }
}

impl Statistics {
    /// Counts a page under the year of its `WARC-Date`, as it is written.
    pub fn year(&mut self, side: Side, timestamp: &str) {
        let year = timestamp.get(..4).filter(|y| y.bytes().all(|b| b.is_ascii_digit()));
        raise(&mut self.years, year.unwrap_or("other"), side);
    }

    /// Counts a page under the language code that the detector gave, and its probability (0 to 1) if there is one.
    pub fn language(&mut self, side: Side, language: &str, probability: Option<f64>) {
        raise(&mut self.languages, language, side);
        if let Some(probability) = probability {
            let percent = (probability * 100.0) as u64;
            self.language_probability.add(side, percent);
        }
    }

    /// These statistics as `stats.json` has them, with the reference's counters. `sentences` are the numbers of
    /// sentences of a sample of the kept pages. The caller fills in what only a build knows: the recipe's hash,
    /// warnings and duplicates.
    pub fn to_stats(&self, recipe: &Recipe, domains: &DomainTable, sentences: &[u64]) -> Stats {
        let tally = &self.tally;
        let mut pages = Histogram::new(&PAGE_SENTENCES);
        sentences.iter().for_each(|n| pages.add(Side::Out, *n));
        let page_sentences = HistogramStats {
            read: None,
            sample: Some(SampleStats {
                pages: sentences.len() as u64,
                of: tally.pages_out.iter().sum(),
            }),
            ..pages.to_stats("sentences of a page")
        };
        let percent = "probability of the language, in percent";
        let histograms = [
            ("page_chars", self.page_chars.to_stats("characters of a page")),
            ("page_lines", self.page_lines.to_stats("lines of a page")),
            ("line_words", self.line_words.to_stats("words of a line")),
            ("page_sentences", page_sentences),
            ("language_probability", self.language_probability.to_stats(percent)),
        ];
        let [domains, top_level_domains] = domains.to_stats(recipe);
        let mut words: Vec<(&String, &u64)> = self.bad_words.iter().collect();
        words.sort_by_key(|(word, n)| (Reverse(**n), *word));
        let words = words.into_iter().take(TOP_WORDS).map(|(word, pages)| BadWordStats {
            word: word.clone(),
            pages: *pages,
        });
        Stats {
            recipe: recipe.name.clone(),
            counters: counters(tally, recipe),
            tally: tally.to_stats(),
            stages: stages(tally, recipe),
            histograms: histograms.into_iter().map(|(name, h)| (name.to_owned(), h)).collect(),
            years: sides(&self.years),
            languages: sides(&self.languages),
            domains: Some(domains),
            top_level_domains: Some(top_level_domains),
            bad_words: words.collect(),
            ..Stats::default()
        }
    }
}

fn sides(counts: &BTreeMap<String, [u64; 2]>) -> BTreeMap<String, InOut> {
    let row = |(name, &[read, kept]): (&String, &[u64; 2])| (name.clone(), InOut { read, kept });
    counts.iter().map(row).collect()
}

/// For each step, what came in, what was dropped under which reason, and what passed.
fn stages(tally: &Tally, recipe: &Recipe) -> Vec<StageStats> {
    let mut pages = tally.pages();
    let mut left = UNITS.map(|of| of(&tally.lines));
    let stage = |stage: Stage| {
        let mut dropped = [Vec::new(), Vec::new()];
        let (pages_in, left_in) = (pages, left);
        for &reason in Reason::ALL.iter().filter(|r| r.stage() == stage) {
            let i = reason.index();
            let (n, size, list) = match reason.scope() {
                Scope::Record => continue,
                Scope::Page => {
                    pages -= tally.pages_dropped[i];
                    (tally.pages_dropped[i], tally.lines_gone_with_page[i], &mut dropped[0])
                }
                Scope::Line => {
                    let size = tally.lines_dropped[i];
                    (size.lines, size, &mut dropped[1])
                }
            };
            list.push((reason.code().to_owned(), n));
            for (left, of) in left.iter_mut().zip(UNITS) {
                *left -= of(&size);
            }
        }
        if stage == Stage::Rules {
            for (left, of) in left.iter_mut().zip(UNITS) {
                *left -= of(&tally.trimmed);
            }
        }
        let unit = |i: usize| InOut {
            read: left_in[i],
            kept: left[i],
        };
        let [of_pages, of_lines] = dropped.map(Named::from_iter);
        StageStats {
            stage: stage.name().to_owned(),
            doc: stage.taken(recipe).unwrap_or_default().to_owned(),
            pages: InOut {
                read: pages_in,
                kept: pages,
            },
            lines: unit(0),
            chars: unit(1),
            words: unit(2),
            dropped: StageDropped {
                pages: of_pages,
                lines: of_lines,
            },
        }
    };
    Stage::of(recipe).map(stage).collect()
}

fn add(sum: &mut [u64], other: &[u64]) {
    sum.iter_mut().zip(other).for_each(|(a, b)| *a += b);
}

fn merge(sum: &mut BTreeMap<String, [u64; 2]>, other: BTreeMap<String, [u64; 2]>) {
    for (name, counts) in other {
        add(sum.entry(name).or_default(), &counts);
    }
}

impl AddAssign for Histogram {
    fn add_assign(&mut self, other: Histogram) {
        for (sum, counts) in self.counts.iter_mut().zip(&other.counts) {
            add(sum, counts);
        }
    }
}

impl AddAssign for Statistics {
    fn add_assign(&mut self, other: Statistics) {
        self.tally += other.tally;
        self.page_chars += other.page_chars;
        self.page_lines += other.page_lines;
        self.line_words += other.line_words;
        self.language_probability += other.language_probability;
        merge(&mut self.years, other.years);
        merge(&mut self.languages, other.languages);
        for (word, n) in other.bad_words {
            *self.bad_words.entry(word).or_default() += n;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_to_the_bin_that_starts_at_or_below_them() {
        let mut histogram = Histogram::new(&PAGE_LINES);
        for value in [0, 1, 4, 5, 5000] {
            histogram.add(Side::Out, value);
        }
        let stats = histogram.to_stats("lines");
        assert_eq!(stats.kept, [1, 1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!((stats.edges.len(), stats.edges[13]), (PAGE_LINES.len() + 1, None));
    }
}
